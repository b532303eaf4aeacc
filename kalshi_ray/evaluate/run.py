"""`evaluate`: policies x fill models x shards of markets, in this process or as Ray tasks that share the views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.compose import compose_report, ledger_of
from kalshi_ray.evaluate.contest import Contestant, Markets, can_rest, not_measurable, with_decisions
from kalshi_ray.evaluate.edge import Truth
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.shards import Played, Shard, curve_times, play, shards_of
from kalshi_ray.policy.baselines import Random
from kalshi_ray.policy.protocol import Policy
from kalshi_ray.telemetry import Progress


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
            rows=settings.rows,
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

    Judged policies go first, so that the random baseline can trade as often. The result does not depend on the number
    of workers. Raises NothingToDo when no market has a decision point.
    """
    settings = settings or EvaluationSettings()
    markets = with_decisions(pack, markets)
    whole = msgspec.structs.replace(env_settings, start="whole", max_decisions=0)
    work = _Work(pack, curve_times(pack, markets.views, settings.curve_points), settings)
    shards = shards_of(markets.views, markets.starts, settings.shard_markets)
    entered = list(contestants)
    barred = {index: why for index, one in enumerate(entered) if (why := not_measurable(one.policy, pack, whole))}
    ledgers: dict[int, list[Ledger]] = {}
    with _Player(work, settings.workers) as player:
        for judged in (True, False):
            wave = [at for at, one in enumerate(entered) if (one.role == "judged") == judged and at not in barred]
            ledgers |= _play_wave(wave, entered, shards, work, whole, player, progress)
            entered = _match_random(entered, ledgers, settings)
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
    contestants: Sequence[Contestant], ledgers: dict[int, list[Ledger]], settings: EvaluationSettings
) -> list[Contestant]:
    """Let random baselines without a rate of their own trade as often as the first judged policy."""
    judged = [index for index, one in enumerate(contestants) if one.role == "judged" and index in ledgers]
    if not settings.match_random or not judged:
        return list(contestants)
    episodes = ledgers[judged[0]][0].episodes
    rate = min(1.0, float(episodes["orders_sent"].sum() / max(1, episodes["steps"].sum())))

    def matched(one: Contestant) -> Contestant:
        policy: object = one.policy
        if one.role != "baseline" or not isinstance(policy, Random) or policy.trade_probability is not None:
            return one
        return replace(one, policy=Random(rate, policy.name))

    return [matched(one) for one in contestants]


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
            ray.init(num_cpus=self._workers, include_dashboard=False, log_to_driver=False)
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
