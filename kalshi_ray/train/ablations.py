"""Ablations: one recipe, and what becomes of it when one thing is taken away or lied about.

Every variant is trained with several seeds and judged by the honest environment, at full cost, on markets that no
training saw. A lie also says what its own environment claims for the same policy on the same markets. Nothing but the
table is kept: policies that learnt from a lie never become a bundle.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, DataError, UnknownName
from kalshi_ray.evaluate.contest import Contestant
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.report import PolicyReport
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import JoinBest
from kalshi_ray.policy.inference import NetworkPolicy
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.lies import LieName, LyingSource
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.trial import Trial

STEP = {"tau_s": 0.0}  # discount per step
COLUMNS = (
    "variant", "share", "worst share", "edge a market", "worst edge", "it claims", "holds", "trades", "refused",
    "s a seed",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One change to the recipe. `lie` names a wrapper of the training environment; `optimistic` is a lie by setting."""

    name: str
    words: str
    train: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    lie: LieName | None = None

    @property
    def claims(self) -> bool:
        """Whether its environment claims another result than the honest one."""
        return self.lie in ("no-fees", "mid-prices") or "fill_model" in self.env


JOIN = {"action_space": "sized21-join"}

VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("recipe", "the recipe as it is"),
        Variant("no-ramp", "full cost from the first step", {"cost_ramp": 0.0}),
        Variant("no-ramp-0.95", "full cost from the first step, and lambda 0.95",
                {"cost_ramp": 0.0, "gae_lambda": 0.95}),
        Variant("lambda-0.95", "advantages over twenty decisions instead of five", {"gae_lambda": 0.95}),
        Variant("per-step-0.99", "discount per step, 0.99", {**STEP, "discount": 0.99}),
        Variant("per-step-0.9967", "discount per step, 0.9967: as far as 300 s at one decision a second",
                {**STEP, "discount": 0.9967}),
        Variant("stock-learner", "RLlib's own learner, discount per step, 0.9967",
                {**STEP, "discount": 0.9967, "learner": "stock", "split_towers": False}),
        Variant("entropy-0", "no weight on the entropy", {"entropy": 0.0}),
        Variant("entropy-0.05", "the documents' weight on the entropy, to the end",
                {"entropy": 0.05, "entropy_end": 0.05}),
        Variant("no-mask", "a lie: every action looks legal, a masked one sends nothing", lie="no-mask"),
        Variant("no-fees", "a lie: the reward gives fees back", lie="no-fees"),
        Variant("mid-prices", "a lie: fills and marks at the mid in the reward", lie="mid-prices"),
        Variant("join", "the recipe with resting orders", env=JOIN),
        Variant("optimistic-fills", "a lie: resting orders, every cancel was ahead of us",
                env={**JOIN, "fill_model": "optimistic"}),
        Variant("documents", "the documents' hyperparameters and network, full cost", {"preset": "documents"}),
        Variant("documents-ramp", "the same with the cost ramp", {"preset": "documents", "cost_ramp": 0.7}),
    )
}  # fmt: skip

DEFAULT = tuple(name for name in VARIANTS if name != "documents-ramp")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One seed of one variant, judged honestly; `claimed` is what its own environment says. Dollars a market.

    The edge is what fills were worth by the true probability, less fees; on sessions without a truth it is the net.
    """

    variant: str
    seed: int
    edge: float
    claimed: float
    net: float
    share: float | None  # of the reference's edge
    hold_share: float  # of the decisions at which anything else was legal
    trades: int
    contracts: float
    refused_in_training: float  # share of decisions of the last iteration
    seconds: float  # of training


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """All seeds of one variant."""

    variant: str
    words: str
    seeds: int
    share: float | None  # median
    worst_share: float | None
    edge: float  # median
    worst_edge: float
    claimed: float | None  # median, of lies
    hold_share: float  # median
    trades: float  # median
    refused_in_training: float  # median
    seconds: float  # median


class Ablation(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, on what, and how it came out."""

    session: str
    checksum: str
    steps: int
    seeds: tuple[int, ...]
    markets: int
    has_truth: bool
    reference: str  # whose edge the shares are of
    reference_edge: float | None
    lines: tuple[Line, ...]
    outcomes: tuple[Outcome, ...]
    recipe: dict[str, Any]
    environment: dict[str, Any]
    seconds: float


def variants_of(names: Sequence[str]) -> list[Variant]:
    """The variants of these names, in their order. UnknownName lists what exists."""
    for name in names:
        if name not in VARIANTS:
            raise UnknownName("variant", name, list(VARIANTS))
    return [VARIANTS[name] for name in names]


def ablate(
    trial: Trial,
    variants: Sequence[Variant],
    *,
    recipe: TrainSettings,
    env: EnvSettings,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Ablation:
    """Train every variant with every seed and judge all of them. Needs a running Ray."""
    if not variants or not seeds:
        raise ConfigError("an ablation needs at least one variant and one seed")
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    references = {}
    total = len(variants) * len(seeds)
    for space in dict.fromkeys(variant.env.get("action_space", env.action_space) for variant in variants):
        own = [one for one in variants if one.env.get("action_space", env.action_space) == space]
        honest = msgspec.structs.replace(env, action_space=space)
        trained: list[_Trained] = []
        for variant in own:
            for seed in seeds:
                trained.append(_train(trial, variant, recipe, env, seed))
                if progress is not None:
                    progress("ablate", len(outcomes) + len(trained), total)
        reference, found = _judge(trial, trained, honest)
        references[space] = reference
        outcomes += found
    order = {variant.name: at for at, variant in enumerate(variants)}
    outcomes.sort(key=lambda one: (order[one.variant], one.seed))
    name, edge = references.get(env.action_space) or next(iter(references.values()))
    return Ablation(
        session=trial.session.id,
        checksum=trial.pack.checksum,
        steps=recipe.steps,
        seeds=tuple(seeds),
        markets=len(trial.markets.views),
        has_truth=trial.truth is not None,
        reference=name,
        reference_edge=edge,
        lines=tuple(_line(one, [o for o in outcomes if o.variant == one.name]) for one in variants),
        outcomes=tuple(outcomes),
        recipe=recipe.describe(),
        environment=msgspec.to_builtins(env),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Trained:
    variant: Variant
    seed: int
    policy: NetworkPolicy
    refused: float
    seconds: float


def _train(trial: Trial, variant: Variant, recipe: TrainSettings, env: EnvSettings, seed: int) -> _Trained:
    """Train in a folder that is thrown away: a lie leaves nothing that could be registered."""
    settings = msgspec.structs.replace(recipe, seed=seed, save_freq=recipe.steps, eval_freq=0, **variant.train)
    source = trial.source(settings, msgspec.structs.replace(env, **variant.env))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kalshi-ray-ablation-") as folder:
        policy, last = trial.train(
            settings,
            LyingSource(source, variant.lie) if variant.lie else source,
            Path(folder) / "run",
            name=f"{variant.name} s{seed}",
        )
    refused = last.get("episode_refused", 0.0) / max(1.0, last.get("episode_steps", 0.0))
    return _Trained(variant, seed, policy, refused, time.perf_counter() - began)


def _judge(
    trial: Trial, trained: Sequence[_Trained], honest: EnvSettings
) -> tuple[tuple[str, float | None], list[Outcome]]:
    """The reference with its edge, and every policy beside it, at full cost under all fill models that differ."""
    entered = [Contestant(one.policy, "baseline") for one in trained]  # judged ones bring controls and gates along
    takes = honest.action_space != JOIN["action_space"]
    origin = trial.session.manifest.origin
    if takes and origin.get("settings", {}).get("regime") == "planted":
        entered.append(Contestant(Oracle.of(origin), "baseline"))
    elif trial.pack.depth == "full":
        entered.append(Contestant(JoinBest(), "baseline"))
    settings = EvaluationSettings(baselines=(), match_random=False, resamples=200, curve_points=100)
    reports = {report.name: report for report in trial.judge(entered, settings, env=honest).report.policies}
    names = [one.policy.name for one in entered[len(trained) :]]
    best = _edge(reports[names[0]].figures) if names else None
    outcomes = []
    for one in trained:
        report = reports[one.policy.name]
        edge = _edge(report.figures)
        outcomes.append(
            Outcome(
                variant=one.variant.name,
                seed=one.seed,
                edge=edge,
                claimed=_claimed(one.variant, report),
                net=report.figures.net_per_market.mean,
                share=edge / best if best and best > 0.0 else None,
                hold_share=trial.holding(one.policy, env=honest),
                trades=report.figures.counts.trades,
                contracts=report.figures.counts.contracts,
                refused_in_training=one.refused,
                seconds=one.seconds,
            )
        )
    return (names[0] if names else "", best), outcomes


def _edge(figures: Figures) -> float:
    """Dollars a market: fill edge where there is a truth, else net."""
    return figures.net_per_market.mean if figures.edge is None else figures.edge.per_market.mean


def _claimed(variant: Variant, report: PolicyReport) -> float:
    """Dollars a market that the variant's own environment reports for what the policy did."""
    figures, markets = report.figures, report.figures.counts.markets
    if variant.lie == "no-fees":
        return _edge(figures) + figures.money.fees / markets
    if variant.lie == "mid-prices":
        return _edge(figures) + figures.money.spread / markets
    if "fill_model" in variant.env:
        return next(_edge(one) for one in report.by_model if one.fill_model == variant.env["fill_model"])
    return _edge(figures)


def _line(variant: Variant, outcomes: Sequence[Outcome]) -> Line:
    shares = [one.share for one in outcomes if one.share is not None]

    def median(name: str) -> float:
        return float(np.median([getattr(one, name) for one in outcomes]))

    return Line(
        variant=variant.name,
        words=variant.words,
        seeds=len(outcomes),
        share=float(np.median(shares)) if shares else None,
        worst_share=min(shares) if shares else None,
        edge=median("edge"),
        worst_edge=min(one.edge for one in outcomes),
        claimed=median("claimed") if variant.claims else None,
        hold_share=median("hold_share"),
        trades=median("trades"),
        refused_in_training=median("refused_in_training"),
        seconds=median("seconds"),
    )


def cells(line: Line) -> tuple[str, ...]:
    """A line of the table as text."""
    return (
        line.variant,
        _share(line.share),
        _share(line.worst_share),
        _dollars(line.edge),
        _dollars(line.worst_edge),
        "" if line.claimed is None else _dollars(line.claimed),
        f"{line.hold_share:.2%}",
        f"{line.trades:,.0f}",
        f"{line.refused_in_training:.1%}" if line.refused_in_training >= 5e-4 else "",
        f"{line.seconds:.0f}",
    )


def note_of(found: Ablation) -> str:
    """What the figures are."""
    figure = "fill edge by the true probability, less fees" if found.has_truth else "net"
    best = found.reference_edge or 0.0
    shares = f"; shares are of {found.reference}'s ${best:,.2f}" if best > 0.0 else ""
    return (
        f"edge: {figure}, $ a market, judged at full cost on {found.markets:,} markets that no training saw{shares}. "
        "it claims: what the variant's own environment reports for the same policy on the same markets. "
        "holds: of the decisions at which anything else was legal. refused: masked actions in training."
    )


def to_markdown(found: Ablation) -> str:
    """The table as Markdown, and what each variant changes."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(cells(line) for line in found.lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    words = "\n".join(f"* `{line.variant}`: {line.words}" for line in found.lines)
    head = f"{found.session}: {found.steps:,} steps, seeds {', '.join(map(str, found.seeds))}, {found.seconds:.0f} s"
    return f"{head}\n\n{table}\n\n{note_of(found)}\n\n{words}\n"


def write(found: Ablation, folder: Path) -> list[Path]:
    """Write ablations.json and ablations.md into `folder`; the paths."""
    paths = [folder / "ablations.json", folder / "ablations.md"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
        paths[1].write_text(to_markdown(found), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write into {folder}: {error}", remedy="Choose another folder (--out)") from error
    return paths


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _dollars(value: float) -> str:
    return f"{'−' if value < -0.005 else ''}${abs(value):,.2f}"
