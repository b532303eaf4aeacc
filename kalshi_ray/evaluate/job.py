"""Judging policies on sessions: what `kalshi-ray evaluate` and `jobs/evaluate.py` call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings, commonest, select, select_causal
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import GateClosed, NothingToDo, UsageError
from kalshi_ray.evaluate.across import across
from kalshi_ray.evaluate.breakdown import seeded_order
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.edge import Truth, truth_from
from kalshi_ray.evaluate.families import family_of
from kalshi_ray.evaluate.page import across_html, to_html
from kalshi_ray.evaluate.report import EvaluationReport, to_json
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.stress import stress
from kalshi_ray.evaluate.tradelist import trade_lines
from kalshi_ray.evaluate.unseen import count_use, overlap_of, refuse_overlap
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.policy.protocol import Policy, load_policy
from kalshi_ray.registry import Bundle, Contract, Manifest, Registry, contract_of
from kalshi_ray.telemetry import Progress

LABELS = ("category", "series")  # columns of the market table by which results are told apart


@dataclass
class Bundles:
    """Resolves names to bundles that fit, and remembers the manifest of each by the name of its policy."""

    find: Callable[[str], Bundle] | None
    here: Contract

    def __post_init__(self) -> None:
        self.manifests: dict[str, Manifest] = {}

    def policy(self, spec: str) -> Policy:
        """The policy of a bundle. ContractError, with both fingerprints, where it was trained for something else."""
        if self.find is None:
            raise UsageError(f"policy {spec!r} needs a registry", remedy="Give a baseline or module:Class")
        bundle = self.find(spec)
        bundle.require(self.here)
        self.manifests[bundle.policy.name] = bundle.manifest
        return bundle.policy


def evaluate_on_session(
    session: Session,
    policies: Sequence[str],
    settings: EvaluationSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    causal: CausalSettings,
    split: SplitSettings,
    bundles: Callable[[str], Bundle] | None = None,
    registry: Registry | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge `policies` on one part of a session, beside the baselines and, where there is one, the oracle.

    A policy is `module:Class`, the name of a baseline, or what `bundles` resolves to a bundle: a path, an id, an alias.
    The training filter (`selection`) chooses nothing here: the report says what it would have left out. `registry`
    counts how often the test part was used. UsageError for a bundle that was trained on judged events, unless the
    settings allow it.
    """
    found = Bundles(bundles, contract_of(env.action_space, env.observation))
    entered = contestants_of(session, policies, settings, env=env, bundles=found)
    siblings = any(name.startswith("sibling_") for name in env.layout.names)
    pack = build_pack(session, siblings=siblings, progress=progress)
    chosen = choose_markets(session, pack, settings, selection=selection, causal=causal, split=split)
    entered = _beside_training(entered, found.manifests, session, pack, chosen)
    if not settings.allow_overlap:
        events = len(np.unique(pack.views["event"][chosen.views]))
        refuse_overlap(entered, events, part=settings.part)
    truth = truth_of(session)
    judged = evaluate(entered, pack, chosen, env_settings=env, settings=settings, truth=truth, progress=progress)
    report = judged.report
    if settings.stress:
        report = stress(
            report, entered, pack, chosen, env=env, settings=settings, truth=truth, progress=progress
        )  # fmt: skip
    if registry is not None and settings.part == "test" and found.manifests:
        report = count_use(report, found.manifests, pack, chosen, registry)
    return replace(judged, report=report)


def contestants_of(
    session: Session,
    policies: Sequence[str],
    settings: EvaluationSettings,
    *,
    env: EnvSettings,
    bundles: Bundles | None = None,
) -> list[Contestant]:
    """The judged policies, the oracle where the session has one, and the baselines, each under a name of its own."""
    bundles = bundles or Bundles(None, contract_of(env.action_space, env.observation))
    entered = [_judged(load_policy(spec, bundles=bundles.policy), bundles.manifests) for spec in policies]
    if settings.oracle and session.manifest.origin.get("settings", {}).get("regime") == "planted":
        entered.append(Contestant(Oracle.of(session.manifest.origin), "oracle"))
    entered += [Contestant(load_policy(spec), "baseline") for spec in settings.baselines if spec not in policies]
    names = [one.policy.name for one in entered]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{names.count(name)} policies are called {name!r}",
                remedy="Leave one out or name it: random?name=r2",
            )
    return entered


def _judged(policy: Policy, manifests: Mapping[str, Manifest]) -> Contestant:
    manifest = manifests.get(policy.name)
    family, seed = family_of(manifest) if manifest else ("", None)
    return Contestant(policy, "judged", family=family, seed=seed)


def _beside_training(
    entered: Sequence[Contestant],
    manifests: Mapping[str, Manifest],
    session: Session,
    pack: ViewPack,
    markets: Markets,
) -> list[Contestant]:
    """The contestants with what their training saw: of the judged events, and of the session."""
    recorded = session.manifest.source != "synthetic"
    return [
        replace(
            one,
            trained_on=overlap_of(manifests[one.policy.name], pack, markets, recorded=recorded),
            home=any(seen.get("checksum") == pack.checksum for seen in manifests[one.policy.name].sessions),
        )
        if one.role == "judged" and one.policy.name in manifests
        else one
        for one in entered
    ]


def choose_markets(
    session: Session,
    pack: ViewPack,
    settings: EvaluationSettings,
    *,
    selection: SuitabilitySettings,
    causal: CausalSettings,
    split: SplitSettings,
) -> Markets:
    """The markets of the part that may be traded by what their first minutes showed, and where each begins."""
    every = np.arange(len(pack.views), dtype=np.int32)
    part = every if settings.part == "all" else getattr(split_views(pack, split), settings.part)
    if not len(part):
        raise NothingToDo(
            f"the {settings.part} part of {session.id} is empty",
            remedy=f"Give it a share (split.{settings.part}), or judge another part (evaluation.part)",
        )
    words = "the whole session" if settings.part == "all" else f"the {settings.part} part, split by {split.by}"
    filtered, labels = ~np.isin(part, _suitable(session, pack, selection)), labels_of(session, pack)
    if settings.select == "none":
        starts = np.full(len(part), -1, np.int64)
        return _first(Markets(part, starts, f"{words}, every market", 0, filtered, labels), pack, settings)
    first = select_causal(pack, causal)
    start_of = dict(zip(first.views.tolist(), first.starts.tolist(), strict=True))
    kept = np.isin(part, first.views)
    if not kept.any():
        raise NothingToDo(
            f"none of the {len(part)} markets in {words} can be traded by its first {causal.minutes:g} minutes",
            remedy="Ask for fewer updates (causal.updates), or take every market (evaluation.select = none)",
        )
    starts = np.array([start_of[int(view)] for view in part[kept]], np.int64)
    words += f"; traded from {causal.updates} updates in the first {causal.minutes:g} minutes on"
    names = {pack.tickers[view] for view in part[~kept]}
    if names:
        words += f"; left out: {commonest([one for one in first.rejected if one.ticker in names])}"
    return _first(Markets(part[kept], starts, words, int((~kept).sum()), filtered[kept], labels), pack, settings)


def _first(markets: Markets, pack: ViewPack, settings: EvaluationSettings) -> Markets:
    """The first `max_markets` of the seeded order, in the order of the pack; all of them where that is 0."""
    wanted, there = settings.max_markets, len(markets.views)
    if not wanted:
        return markets
    if wanted >= there:
        return replace(markets, selection=f"{markets.selection}; {wanted:,} were asked for, all {there:,} are judged")
    order = seeded_order([pack.tickers[view] for view in markets.views], settings.seed)
    kept = np.sort(order[:wanted])
    return replace(
        markets,
        views=markets.views[kept],
        starts=markets.starts[kept],
        selection=f"{markets.selection}; the first {wanted:,} of {there:,} in the order drawn by seed {settings.seed}",
        dropped=markets.dropped + there - wanted,
        filtered=None if markets.filtered is None else markets.filtered[kept],
    )


def labels_of(session: Session, pack: ViewPack) -> dict[str, tuple[str, ...]]:
    """Category and series by view of the pack, where the market table names any."""
    table, rows = session.markets(), pack.views["market"]
    found = {}
    for kind in LABELS:
        names = table[kind].to_pylist()
        own = tuple(names[row] for row in rows)
        if any(own):
            found[kind] = own
    return found


def _suitable(session: Session, pack: ViewPack, selection: SuitabilitySettings) -> np.ndarray:
    """Views that the training filter takes; none where nothing fits."""
    try:
        return select(pack, selection, markets=session.markets()).views
    except NothingToDo:
        return np.zeros(0, np.int32)


def truth_of(session: Session) -> Truth | None:
    """The true probability, where the session was made with one."""
    if not session.manifest.has_truth:
        return None
    table = session.truth()
    market, exch_ns, p = (table[name].to_numpy() for name in ("market", "exch_ns", "p"))
    return truth_from(market, exch_ns, p)


def write_report(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write report.json, report.html and trades.csv into `folder`; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("report.json", "report.html", "trades.csv")]
    paths[0].write_bytes(to_json(evaluation.report))
    paths[1].write_text(to_html(evaluation.report), encoding="utf-8")
    with paths[2].open("w", encoding="utf-8") as stream:
        stream.writelines(line + "\n" for line in trade_lines(evaluation.ledgers, evaluation.events))
    return paths


def write_reports(evaluations: Sequence[Evaluation], folder: Path) -> list[Path]:
    """The report of one session, or a folder for each of several and, above them, sessions.html and .json."""
    if len(evaluations) == 1:
        return write_report(evaluations[0], folder)
    paths, links = [], []
    for one in evaluations:
        session = one.report.data.session
        paths += write_report(one, folder / session)
        links.append((session, f"{session}/report.html"))
    found = across([one.report for one in evaluations])
    above = [folder / "sessions.json", folder / "sessions.html"]
    above[0].write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    above[1].write_text(across_html(found, links), encoding="utf-8")
    return above + paths


def require_gate(reports: Sequence[EvaluationReport], gate: Literal["production", "viable", "none"]) -> None:
    """Raise GateClosed, naming every policy and session, where a judged policy does not pass `gate`."""
    wanted = {"production": ("viable", "production"), "viable": ("viable",), "none": ()}[gate]
    closed = [
        f"{policy.name} on {report.data.session}: {one.name} ({one.reasons[0]})"
        for report in reports
        for policy in report.judged
        for one in policy.gates
        if one.name in wanted and not one.is_open
    ]
    if closed:
        more = f" and {len(closed) - 3} more" if len(closed) > 3 else ""
        raise GateClosed(
            f"a gate is closed: {'; '.join(closed[:3])}{more}",
            remedy="The report has every reason; --no-gates ends with 0 all the same",
        )
