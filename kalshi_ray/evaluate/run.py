"""`evaluate`: policies x fill models x shards of markets, in this process or as Ray tasks that share the views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.compose import compose_report, ledger_of
from kalshi_ray.evaluate.contest import Contestant, Markets, can_rest, not_measurable, with_decisions
from kalshi_ray.evaluate.controls import OtherMarket, controls_of
from kalshi_ray.evaluate.edge import Truth
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.matching import MatchedRandom, corrected, profile_of, turnover
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.shards import Played, Shard, curve_times, play, shards_of
from kalshi_ray.policy.baselines import Random
from kalshi_ray.policy.protocol import Policy
from kalshi_ray.telemetry import Progress

REHEARSALS = 3  # of the random baseline at most, until it trades as much as the judged policy
ENOUGH = 0.1  # by which its turnover may differ


@dataclass(frozen=True)
class Evaluation:
    """The report, and the ledgers behind it by contestant and fill model."""

    report: EvaluationReport
    ledgers: tuple[Ledger, ...]
    events: tuple[str, ...]  # names by the ledgers' event numbers


@dataclass(frozen=True)
class _Task:
    """One policy in one environment on one shard."""

    policy: Policy
    env: EnvSettings
    shard: Shard


@dataclass(frozen=True)
class _Work:
    """What every task shares."""

    pack: ViewPack
    times: NDArray[np.int64]
    settings: EvaluationSettings

    def play(self, task: _Task) -> Played:
        """Play one task."""
        settings = self.settings
        return play(
            self.pack,
            task.policy,
            task.env,
            task.shard,
            self.times,
            rows=max(settings.rows, 2) if isinstance(task.policy, OtherMarket) else settings.rows,
            seed=settings.seed,
            markouts_s=settings.markouts_s,
        )


def evaluate(
    contestants: Sequence[Contestant],
    pack: ViewPack,
    markets: Markets,
    *,
    env_settings: EnvSettings,
    settings: EvaluationSettings | None = None,
    truth: Truth | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge `contestants` on the same markets of `pack`, whole views at full cost, and compose the report.

    Judged policies go first: the random baseline trades as they do, and each of them that acts gets negative controls.
    The result does not depend on the number of workers. Raises NothingToDo when no market has a decision point.
    """
    settings = settings or EvaluationSettings()
    markets = with_decisions(pack, markets)
    whole = msgspec.structs.replace(env_settings, start="whole", max_decisions=0)
    work = _Work(pack, curve_times(pack, markets.views, settings.curve_points), settings)
    shards = shards_of(markets.views, markets.starts, settings.shard_markets)
    entered = list(contestants)
    barred = {index: why for index, one in enumerate(entered) if (why := not_measurable(one.policy, pack, whole))}
    with _Player(work, settings.workers) as player:

        def play_all(wave: Sequence[int]) -> dict[int, list[Ledger]]:
            return _play_wave(wave, entered, shards, work, whole, player, progress)

        ledgers = play_all([at for at, one in enumerate(entered) if one.role == "judged" and at not in barred])
        entered = _match_random(entered, ledgers, shards, work, whole, player)
        if settings.controls:
            barred |= _enter_controls(entered, ledgers, pack, markets, whole, shards)
        ledgers |= play_all([at for at, one in enumerate(entered) if one.role != "judged" and at not in barred])
    report = compose_report(entered, ledgers, barred, pack, markets, env_settings=whole, settings=settings, truth=truth)
    return Evaluation(report, tuple(one for index in sorted(ledgers) for one in ledgers[index]), pack.events)


def _play_wave(
    wave: Sequence[int],
    contestants: Sequence[Contestant],
    shards: Sequence[Shard],
    work: _Work,
    env: EnvSettings,
    player: _Player,
    progress: Progress | None,
) -> dict[int, list[Ledger]]:
    """Play some contestants under all their fill models; their ledgers by contestant."""
    runs = []
    for index in wave:
        policy = contestants[index].policy
        models = work.settings.models_for(rests=can_rest(policy, env), default=env.fill_model)
        runs += [(index, policy, msgspec.structs.replace(env, fill_model=model)) for model in models]
    tasks = [_Task(policy, setting, shard) for _, policy, setting in runs for shard in shards]
    played = iter(player.play(tasks, progress))
    ledgers: dict[int, list[Ledger]] = {index: [] for index in wave}
    for index, policy, setting in runs:
        own = [next(played) for _ in shards]
        ledgers[index].append(
            ledger_of(work.pack, shards, own, work.times, policy=policy.name, fill_model=setting.fill_model)
        )
    return ledgers


def _match_random(
    contestants: Sequence[Contestant],
    ledgers: Mapping[int, Sequence[Ledger]],
    shards: Sequence[Shard],
    work: _Work,
    env: EnvSettings,
    player: _Player,
) -> list[Contestant]:
    """Let random baselines without a rate of their own trade like the first judged policy."""
    judged = [index for index, one in enumerate(contestants) if one.role == "judged" and index in ledgers]
    open_to_it = [at for at, one in enumerate(contestants) if _is_plain_random(one)]
    if not work.settings.match_random or not judged or not open_to_it:
        return list(contestants)
    policy = contestants[judged[0]].policy
    ledger = ledgers[judged[0]][0]
    profile = profile_of(ledger)
    rests = bool((ledger.fills["maker"] != 0).any())
    for _ in range(REHEARSALS if profile else 0):
        assert profile is not None
        trial = MatchedRandom(profile, of=policy.name, rests=rests)
        played = player.play([_Task(trial, env, shard) for shard in shards], None)
        own = ledger_of(work.pack, shards, played, work.times, policy=trial.name, fill_model=env.fill_model)
        if abs(turnover(own) / profile.turnover - 1.0) < ENOUGH:
            break
        profile = corrected(profile, own)
    entered = list(contestants)
    for at in open_to_it:
        name = entered[at].policy.name
        matched = MatchedRandom(profile, of=policy.name, rests=rests, name=name) if profile else Random(0.0, name)
        entered[at] = replace(entered[at], policy=matched)
    return entered


def _is_plain_random(contestant: Contestant) -> bool:
    policy: object = contestant.policy
    return contestant.role == "baseline" and isinstance(policy, Random) and policy.trade_probability is None


def _enter_controls(
    entered: list[Contestant],
    ledgers: Mapping[int, Sequence[Ledger]],
    pack: ViewPack,
    markets: Markets,
    env: EnvSettings,
    shards: Sequence[Shard],
) -> dict[int, str]:
    """Append both controls of each judged policy that sent an order; which of them cannot be played, and why."""
    acts = [entered[at] for at, own in sorted(ledgers.items()) if own[0].episodes["orders_sent"].any()]
    barred = {}
    for control, why in controls_of(acts, pack, markets, env, alone=min(len(one.views) for one in shards) < 2):
        if reason := why or not_measurable(control.policy, pack, env):
            barred[len(entered)] = reason
        entered.append(control)
    return barred


class _Player:
    """Plays tasks in order, in this process or on Ray; the pack goes into the object store once."""

    def __init__(self, work: _Work, workers: int) -> None:
        self._work, self._workers = work, workers
        self._started_ray = False
        self._shared: Any = None

    def __enter__(self) -> _Player:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._started_ray:
            import ray

            ray.shutdown()

    def play(self, tasks: Sequence[_Task], progress: Progress | None) -> list[Played]:
        """What each task gave, in the order of the tasks."""
        report = progress or _silent
        source = self._here(tasks) if self._workers == 1 or len(tasks) < 2 else self._on_ray(tasks)
        played: dict[int, Played] = {}
        for at, one in source:
            played[at] = one
            report("evaluate", len(played), len(tasks))
        return [played[at] for at in range(len(tasks))]

    def _here(self, tasks: Sequence[_Task]) -> Iterator[tuple[int, Played]]:
        for at, task in enumerate(tasks):
            yield at, self._work.play(task)

    def _on_ray(self, tasks: Sequence[_Task]) -> Iterator[tuple[int, Played]]:
        import ray

        if not ray.is_initialized():
            ray.init(address="local", num_cpus=self._workers, include_dashboard=False, log_to_driver=False)
            self._started_ray = True
        if self._shared is None:
            self._shared = ray.put(self._work)
        remote = ray.remote(num_cpus=1)(_play_remotely)
        waiting: dict[Any, int] = {}
        todo = iter(enumerate(tasks))
        while True:
            # A few tasks wait in line, so that no worker does; not all, so that memory stays bounded.
            while len(waiting) < 2 * self._workers and (following := next(todo, None)) is not None:
                waiting[remote.remote(self._shared, following[1])] = following[0]
            if not waiting:
                return
            done, _ = ray.wait(list(waiting), num_returns=1)
            for reference in done:
                yield waiting.pop(reference), ray.get(reference)


def _play_remotely(work: _Work, task: _Task) -> Played:
    return work.play(task)


def _silent(label: str, done: int, total: int) -> None:
    del label, done, total
