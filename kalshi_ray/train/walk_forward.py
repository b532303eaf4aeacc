"""Walk-forward by expanding window: train on what came before a fold, judge on the fold, join what was judged.

Events are taken in order of time. The first fold begins once enough events are over; the events from there on are cut
into folds that follow each other. A fold's policy is trained on the events that had ended before its first one began:
what lives across that moment trains nobody. Every event from the first fold on is judged once, by a policy that could
not have seen it, and the report is over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import MICROS_PER_DOLLAR, SECOND
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings, select
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, DataError, NothingToDo
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.job import choose_markets, contestants_of, truth_of, write_report
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.protocol import Policy, PolicyState, market_key
from kalshi_ray.policy.taking import first_legal
from kalshi_ray.registry.bundle import load_bundle
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.curricula import ratings_of
from kalshi_ray.train.run import train
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource

RECIPE = "walk-forward"
NO_FOLD = -1  # a row that plays no market


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the events are cut."""

    folds: int = 5
    min_events: int = 5  # fewest events that are over before the first fold begins
    purge_s: float = 0.0  # shortest pause between the last update of a training event and the fold's first one, s

    def __post_init__(self) -> None:
        if self.folds < 1 or self.min_events < 1 or self.purge_s < 0.0:
            raise ConfigError(
                f"{self.folds} folds after {self.min_events} events with a pause of {self.purge_s:g} s",
                remedy="Folds and events are at least one, the pause is none or positive",
            )


@dataclass(frozen=True)
class Fold:
    """One fold: events by their number in the pack, in order of time."""

    number: int  # from 1
    training: tuple[int, ...]
    judged: tuple[int, ...]
    purged: int  # events that lived across the beginning of the fold, or too close to it
    views: tuple[int, ...]  # suitable markets of the training events
    markets: NDArray[np.int32]  # views to judge on


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on one fold."""

    fold: int
    policy: str
    trained_on: str  # first and last event
    training_events: int
    training_markets: int
    purged_events: int
    judged_on: str
    events: int
    markets: int
    fills: int
    hold_share: float  # of decisions
    net_dollars: float


@dataclass(frozen=True)
class WalkForward:
    """The joined evaluation, and what each policy did in each fold."""

    evaluation: Evaluation
    folds: tuple[FoldResult, ...]


class ByFold:
    """A policy for all folds: each market is played by the one that was trained before it; a row without one holds."""

    needs: Literal["actions"] = "actions"

    def __init__(self, name: str, policies: Sequence[Policy], fold_of: Mapping[int, int], decide: str) -> None:
        self.name = name
        self.decide = decide
        self._policies = tuple(policies)
        self._fold_of = dict(fold_of)  # index into `policies` by market key

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget everything."""
        for policy in self._policies:
            policy.reset(views, seed)

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """One legal action id for each row, [B]."""
        fold = np.array([self._fold_of.get(int(key), NO_FOLD) for key in state.market])
        actions = first_legal(state.mask)
        for number in np.unique(fold[fold != NO_FOLD]):
            rows = np.flatnonzero(fold == number)
            asked = replace(
                state,
                observation=np.ascontiguousarray(state.observation[rows]),
                mask=np.ascontiguousarray(state.mask[rows]),
                rows=state.rows[rows],
                decision=state.decision[rows],
                market=state.market[rows],
            )
            policy = self._policies[number]
            actions[rows] = policy.act(asked)
        return actions


def walk_forward(
    session: Session,
    window: Window,
    settings: TrainSettings,
    evaluation: EvaluationSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    causal: CausalSettings,
    seeds: Sequence[int],
    runs: Path,
    progress: Progress | None = None,
) -> WalkForward:
    """Train every fold with every seed into `runs`, and judge all of them beside the baselines. Needs a running Ray."""
    if not seeds:
        raise ConfigError("a walk-forward needs at least one seed")
    settings.resolved()
    entered = contestants_of(session, [], evaluation, env=env, bundles=None)
    siblings = any(name.startswith("sibling_") for name in env.layout.names)
    pack = build_pack(session, siblings=siblings, progress=progress)
    suitable = select(pack, selection, markets=session.markets(), progress=progress).views
    judging = msgspec.structs.replace(evaluation, part="all")
    every = choose_markets(session, pack, judging, selection=selection, causal=causal, split=SplitSettings())
    folds = cut_folds(pack, window, trainable=suitable, judgeable=every.views)
    markets = _judged_markets(pack, every, folds)
    fold_of = {market_key(pack.tickers[view]): at for at, fold in enumerate(folds) for view in fold.markets}
    shared, own = put_pack(pack), []
    for seed in seeds:
        policies = []
        for fold in folds:
            chosen = msgspec.structs.replace(settings, seed=seed, eval_freq=0)
            source = MarketSource(
                pack=shared,
                settings=chosen.training_env(env),
                views=fold.views,
                sampler=chosen.sampler,
                ratings=ratings_of(chosen.sampler, pack, np.array(fold.views)),
            )
            result = train(chosen, source, run_dir=runs / f"fold-{fold.number}-s{seed}", progress=progress)
            policies.append(load_bundle(result.bundle).policy)
        policy = ByFold(f"{RECIPE} s{seed}", policies, fold_of, settings.decide)
        own.append(Contestant(policy, "judged", family=RECIPE, seed=seed))
    judged = evaluate(
        [*own, *entered], pack, markets,
        env_settings=env, settings=evaluation, truth=truth_of(session), progress=progress,
    )  # fmt: skip
    return WalkForward(judged, tuple(_results(judged, pack, folds, [one.policy.name for one in own])))


def cut_folds(
    pack: ViewPack, window: Window, *, trainable: NDArray[np.int32], judgeable: NDArray[np.int32]
) -> list[Fold]:
    """The folds, each with at least one market to train on and one to judge. NothingToDo where events are too few."""
    received, event_of = pack.updates["recv_ns"], pack.views["event"]
    events = np.unique(event_of)
    first = np.array([received[pack.views["start"][event_of == event]].min() for event in events])
    last = np.array([received[pack.views["stop"][event_of == event] - 1].max() for event in events])
    order = np.argsort(first, kind="stable")
    events, first, last = events[order], first[order], last[order]
    purge_ns = round(window.purge_s * SECOND)
    over = np.array([(last < start - purge_ns).sum() for start in first])
    usable = np.isin(events, event_of[judgeable]) & (over >= window.min_events)
    later = np.flatnonzero(usable)
    if len(later) < window.folds:
        raise NothingToDo(
            f"{len(events)} events, of which {len(later)} can be judged after {window.min_events} are over:"
            f" fewer than {window.folds} folds",
            remedy="Ask for fewer folds (--folds) or fewer training events (--min-events), or record longer",
        )
    folds = []
    for number, part in enumerate(np.array_split(later, window.folds), 1):
        begins = first[part[0]]
        training = events[last < begins - purge_ns]
        views = trainable[np.isin(event_of[trainable], training)]
        if not len(views):
            raise NothingToDo(
                f"no market of the {len(training)} events before fold {number} is suitable",
                remedy="Loosen the filter (selection.…), or begin later (--min-events)",
            )
        folds.append(
            Fold(
                number=number,
                training=tuple(training.tolist()),
                judged=tuple(events[part].tolist()),
                purged=int(((first < begins) & (last >= begins - purge_ns)).sum()),
                views=tuple(views.tolist()),
                markets=judgeable[np.isin(event_of[judgeable], events[part])],
            )
        )
    return folds


def _judged_markets(pack: ViewPack, every: Markets, folds: Sequence[Fold]) -> Markets:
    """The markets of all folds, in the order of the pack, and how they came to be chosen."""
    events = [event for fold in folds for event in fold.judged]
    kept = np.isin(pack.views["event"][every.views], events)
    words = f"{len(events)} events in {len(folds)} folds, each judged by a policy trained on the events before it; "
    listed = int(np.isin(pack.views["event"], events).sum())
    return replace(
        every,
        views=every.views[kept],
        starts=every.starts[kept],
        selection=words + every.selection.partition("; ")[2].partition("; left out")[0],
        dropped=listed - int(kept.sum()),
        filtered=None if every.filtered is None else every.filtered[kept],
    )


def _results(judged: Evaluation, pack: ViewPack, folds: Sequence[Fold], names: Sequence[str]) -> list[FoldResult]:
    """Each fold of each policy, under the fill model with the lowest net."""
    models = {policy.name: policy.figures.fill_model for policy in judged.report.policies if policy.by_model}
    ledgers = {one.policy: one for one in judged.ledgers if models.get(one.policy) == one.fill_model}
    return [_result(fold, ledgers[name], pack) for fold in folds for name in names]


def _result(fold: Fold, ledger: Ledger, pack: ViewPack) -> FoldResult:
    own = np.isin(ledger.views, fold.markets)
    episodes = ledger.episodes[own]
    return FoldResult(
        fold=fold.number,
        policy=ledger.policy,
        trained_on=_span(pack, fold.training),
        training_events=len(fold.training),
        training_markets=len(fold.views),
        purged_events=fold.purged,
        judged_on=_span(pack, fold.judged),
        events=len(fold.judged),
        markets=int(own.sum()),
        fills=int(np.isin(ledger.fill_market, np.flatnonzero(own)).sum()),
        hold_share=float(episodes["holds"].sum() / max(1, episodes["steps"].sum())),
        net_dollars=int(ledger.closed_pnl[own].sum()) / MICROS_PER_DOLLAR,
    )


def _span(pack: ViewPack, events: Sequence[int]) -> str:
    names = [pack.events[events[0]], pack.events[events[-1]]]
    return names[0] if len(events) == 1 else " to ".join(names)


def write(found: WalkForward, folder: Path) -> list[Path]:
    """The report of the joined evaluation and folds.json, in `folder`; the paths."""
    paths = write_report(found.evaluation, folder)
    folds = folder / "folds.json"
    try:
        folds.write_bytes(msgspec.json.format(msgspec.json.encode(found.folds), indent=2))
    except OSError as error:
        raise DataError(f"cannot write {folds}: {error}", remedy="Choose another folder (--report)") from error
    return [*paths, folds]
