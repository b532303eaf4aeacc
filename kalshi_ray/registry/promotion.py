"""Promotion: an alias moves to a model only through the gates of a report about that very model.

Of a report.json that `kalshi-ray evaluate` wrote, the parts below are read. Every gate is decided anew from its checks.
"""

from __future__ import annotations

import msgspec

from kalshi_ray.errors import ConfigError, GateClosed, UsageError
from kalshi_ray.registry.aliases import Alias, check_name, check_reason
from kalshi_ray.registry.bundle import Bundle, sha256_of
from kalshi_ray.registry.manifest import Manifest, tickers_of
from kalshi_ray.registry.models import Registry
from kalshi_ray.registry.uses import digest_of
from kalshi_ray.registry.verdicts import GATES, GateVerdict, Verdict

NAMED = 3  # markets or events that a message names


class PromotionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which gate an alias needs."""

    production: tuple[str, ...] = ("champion",)  # aliases that need both gates, viable and production
    viable: bool = True  # every other alias needs the viable gate; false: only a report that counts

    def __post_init__(self) -> None:
        """Refuse what names no alias."""
        for alias in self.production:
            if not alias.strip():
                raise ConfigError("promotion.production holds an empty name", remedy='For example ["champion"]')

    def gates_for(self, alias: str) -> tuple[str, ...]:
        """The gates that must be open."""
        if alias in self.production:
            return GATES
        return GATES[:1] if self.viable else ()


class _Check(msgspec.Struct, frozen=True):
    passed: bool
    reason: str = ""


class _Gate(msgspec.Struct, frozen=True):
    name: str
    fill_model: str
    checks: list[_Check]


class _Interval(msgspec.Struct, frozen=True):
    mean: float | None = None
    low: float | None = None
    high: float | None = None


class _Figures(msgspec.Struct, frozen=True):
    fill_model: str
    net_per_market: _Interval


class _Event(msgspec.Struct, frozen=True):
    event: str


class _Policy(msgspec.Struct, frozen=True):
    name: str
    role: str
    not_measurable: str = ""
    by_model: list[_Figures] = []
    gates: list[_Gate] = []
    events: list[_Event] = []


class _Judged(msgspec.Struct, frozen=True):
    """What the policies were judged on."""

    session: str
    checksum: str
    events: int
    markets: int
    tickers: list[str] = []
    synthetic: bool = False


class _Settings(msgspec.Struct, frozen=True):
    part: str


class Report(msgspec.Struct, frozen=True):
    """The parts of a report.json that a promotion looks at."""

    data: _Judged
    policies: list[_Policy]
    settings: _Settings
    action_fingerprint: str
    observation_fingerprint: str


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """An alias that moved, and the verdict that let it; None where there was no report."""

    move: Alias
    verdict: Verdict | None = None


def promote(
    registry: Registry,
    spec: str,
    *,
    alias: str,
    reason: str,
    report: bytes | None,
    settings: PromotionSettings,
    force: bool = False,
) -> Promotion:
    """Let `alias` name the model `spec` if a report opens the gates that the alias needs.

    The verdict is kept with the model, also a closed one. Raises GateClosed with every reason; `force` moves all the
    same, and the history says so. UsageError for a report that does not judge this model at all.
    """
    check_name("alias", alias)
    check_reason(f"promoting to {alias}", reason)
    model = registry.require(spec)
    bundle = registry.load(model)
    if report is None:
        if not force:
            raise UsageError(
                f"promoting {model} needs the report of an evaluation",
                remedy=f"kalshi-ray evaluate --session SESSION --policy {model}, then --report reports/…/report.json",
            )
        return Promotion(move=registry.move(alias, model, reason=reason, forced=True))
    verdict = judge(report, bundle, registry)
    registry.keep_verdicts(model, [verdict])
    closed = reasons_against(verdict, settings.gates_for(alias))
    if closed and not force:
        raise GateClosed(
            f"{model} does not become {alias}: {'; '.join(closed)}",
            remedy=f"{alias} stays at {registry.aliases().get(alias, 'no model')}; --force moves it, and is kept",
        )
    move = registry.move(alias, model, reason=reason, forced=bool(closed), report=verdict.report)
    return Promotion(move=move, verdict=verdict)


def judge(raw: bytes, bundle: Bundle, registry: Registry) -> Verdict:
    """What a report says of a bundle, and why it may be no evidence."""
    report = read_report(raw)
    policy = _policy_of(report, bundle.manifest.id)
    data, tickers = report.data, digest_of(report.data.tickers)
    figures = {one.fill_model: one.net_per_market for one in policy.by_model}
    fill_model = policy.gates[0].fill_model if policy.gates else ""
    net = figures.get(fill_model, _Interval())
    return Verdict(
        at=registry.now(),
        report=sha256_of(raw),
        session=data.session,
        checksum=data.checksum,
        tickers=tickers,
        part=report.settings.part,
        events=data.events,
        markets=data.markets,
        fill_model=fill_model,
        net_per_market=net.mean,
        low=net.low,
        high=net.high,
        gates=tuple(_verdict_of(policy, name) for name in GATES),
        objections=tuple(_objections(report, policy, bundle)),
        uses=sum(use.test_set == (data.checksum, tickers) for use in registry.test_uses()),
    )


def reasons_against(verdict: Verdict, needed: tuple[str, ...]) -> list[str]:
    """Why a verdict does not open these gates; each reason once. Empty: it does."""
    closed = [f"{gate.name} gate: {reason}" for gate in verdict.gates if gate.name in needed for reason in gate.reasons]
    said: dict[str, None] = dict.fromkeys(verdict.objections)
    for line in closed:
        if not any(other.partition(": ")[2] == line.partition(": ")[2] for other in said):
            said[line] = None
    return list(said)


def read_report(raw: bytes) -> Report:
    """The report in these bytes. UsageError for anything else."""
    try:
        return msgspec.json.decode(raw, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"this is no report of an evaluation: {error}", remedy="Give the report.json that kalshi-ray evaluate wrote"
        ) from error


def _policy_of(report: Report, model: str) -> _Policy:
    judged = [policy for policy in report.policies if policy.role == "judged"]
    for policy in judged:
        if policy.name == model:
            return policy
    raise UsageError(
        f"the report judges {', '.join(policy.name for policy in judged) or 'no model'}, not {model}",
        remedy=f"kalshi-ray evaluate --session SESSION --policy {model}",
    )


def _verdict_of(policy: _Policy, name: str) -> GateVerdict:
    for gate in policy.gates:
        if gate.name == name:
            failed = tuple(check.reason or "a check without words failed" for check in gate.checks if not check.passed)
            reasons = failed if gate.checks else ("the report holds no check of it",)
            return GateVerdict(name=name, open=not reasons, reasons=reasons)
    why = policy.not_measurable or "the report does not hold it"
    return GateVerdict(name=name, open=False, reasons=(why,))


def _objections(report: Report, policy: _Policy, bundle: Bundle) -> list[str]:
    """Why the report is no evidence about this bundle, whatever its gates say."""
    found = []
    contract = bundle.manifest.contract
    for kind, ours, theirs in (
        ("action space", contract.action_space, report.action_fingerprint),
        ("observation", contract.observation, report.observation_fingerprint),
    ):
        if ours.fingerprint != theirs:
            found.append(f"it was judged with {kind} {theirs}, the model has {ours.fingerprint} ({ours.name})")
    if report.settings.part != "test":
        found.append(f"it was judged on the part {report.settings.part!r}, expected 'test'")
    return found + _seen_before(report.data, policy, bundle.manifest)


def _seen_before(data: _Judged, policy: _Policy, manifest: Manifest) -> list[str]:
    """Markets and events that training saw. Generated sessions of other checksums share names and nothing else."""
    if not data.tickers:
        return ["the report does not name its markets, so nobody can tell whether training saw them: evaluate again"]
    same = [session for session in manifest.sessions if session.get("checksum") == data.checksum]
    if any(not tickers_of([session]) for session in same):
        return [f"the model was trained on session {data.session} and does not name the markets it saw"]
    known = tickers_of(same if data.synthetic else manifest.sessions)
    judged = set(data.tickers)
    if seen := sorted(known & judged):
        return [f"training saw {len(seen)} of the {len(judged)} markets it was judged on: {_named(seen)}"]
    begun = {"-".join(words[:count]) for words in (one.split("-") for one in known) for count in range(1, len(words))}
    if events := sorted({one.event for one in policy.events} & begun):
        return [f"training saw other markets of events it was judged on: {_named(events)}"]
    return []


def _named(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
