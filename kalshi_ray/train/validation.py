"""Validation while training: the weights of one step play whole markets at full cost, beside the training.

The markets are cut into fixed shards with seeds of their own, and played by the code that evaluates: what comes out
depends neither on the number of tasks nor on how fast they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import msgspec
import numpy as np
import ray
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.view_store import get_pack, put_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import KalshiRayError, NothingToDo
from kalshi_ray.evaluate.compose import ledger_of
from kalshi_ray.evaluate.contest import Markets, with_decisions
from kalshi_ray.evaluate.metrics import measure
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.shards import Played, Shard, curve_times, play, shards_of
from kalshi_ray.policy.inference import Network, NetworkPolicy

SHARD_MARKETS = 32  # at most: never depends on the number of tasks
Decide = Literal["greedy", "sampled"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one validation says. `net_per_market` is the score."""

    net_per_market: float  # dollars, positions at the end closed down the shown ladder
    markets: int
    events: int
    trades: int
    fills: int
    hold_share: float
    win_rate: float | None  # per trade; none where there was no trade


class Pending(Protocol):
    """A validation that is under way."""

    def verdict(self) -> Verdict:
        """Wait for it."""


class Judge(Protocol):
    """What the training loop asks of a validation."""

    @property
    def words(self) -> str:
        """Which markets, and how they were chosen."""

    def begin(self, network: Network, *, decide: Decide, tasks: int) -> Pending:
        """Start to judge a network, and come back at once."""

    def describe(self) -> dict[str, object]:
        """What the folder of a run says of it. Raises NothingToDo where there is nothing to judge on."""


@dataclass(frozen=True)
class Validation:
    """Markets to validate on: views of one pack, which may be a reference, and where each may begin.

    `env` is that of evaluation: full cost, whole views. `words` describe the markets and how they were chosen.
    """

    pack: ViewPack | ray.ObjectRef[ViewPack]
    views: NDArray[np.int32]  # [N]
    starts: NDArray[np.int64]  # [N] first row of the tape; -1: the view's own
    env: EnvSettings
    evaluation: EvaluationSettings
    words: str

    def describe(self) -> dict[str, object]:
        """Words and counts. NothingToDo where no market has a decision point."""
        rows = self._pack.views[self._markets.views]
        return {"words": self.words, "markets": len(rows), "events": len(np.unique(rows["event"]))}

    def begin(self, network: Network, *, decide: Decide, tasks: int) -> Pending:
        """Start to judge a network as Ray tasks that take no CPU from the runners: they must not wait for them."""
        policy = NetworkPolicy("validation", network, decide=decide)
        work = ray.put(_Work(self._reference, self._env, self.evaluation, self._times, policy))
        remote = ray.remote(num_cpus=0)(_play_shards)
        count = max(1, min(tasks, len(self._shards)))
        references = [remote.remote(work, self._shards[first::count]) for first in range(count)]
        return _Tasks(self, references)

    def measured(self, played: Sequence[Played]) -> Verdict:
        """The verdict on what was played, shard by shard."""
        ledger = ledger_of(
            self._pack, self._shards, played, self._times, policy="validation", fill_model=self._env.fill_model
        )
        figures = measure(ledger, self.evaluation)
        return Verdict(
            net_per_market=figures.money.net / figures.counts.markets,
            markets=figures.counts.markets,
            events=figures.counts.events,
            trades=figures.counts.trades,
            fills=figures.counts.fills,
            hold_share=figures.rates.hold_share,
            win_rate=figures.rates.win_rate,
        )

    @cached_property
    def _pack(self) -> ViewPack:
        return self.pack if isinstance(self.pack, ViewPack) else get_pack(self.pack)

    @cached_property
    def _reference(self) -> ray.ObjectRef[ViewPack]:
        return put_pack(self.pack) if isinstance(self.pack, ViewPack) else self.pack

    @cached_property
    def _env(self) -> EnvSettings:
        return msgspec.structs.replace(self.env, start="whole", max_decisions=0)

    @cached_property
    def _markets(self) -> Markets:
        if not len(self.views):
            raise NothingToDo(
                f"no market to validate on: {self.words}",
                remedy="Give it a share (split.validation), ask less of it (causal.…), or train without "
                "(train.eval_freq = 0)",
            )
        return with_decisions(self._pack, Markets(self.views, self.starts, self.words))

    @cached_property
    def _shards(self) -> list[Shard]:
        size = min(SHARD_MARKETS, self.evaluation.shard_markets)
        return shards_of(self._markets.views, self._markets.starts, size)

    @cached_property
    def _times(self) -> NDArray[np.int64]:
        return curve_times(self._pack, self._markets.views, self.evaluation.curve_points)


@dataclass(frozen=True)
class _Work:
    """What every task shares."""

    pack: ray.ObjectRef[ViewPack]
    env: EnvSettings
    evaluation: EvaluationSettings
    times: NDArray[np.int64]
    policy: NetworkPolicy


@dataclass(frozen=True)
class _Tasks:
    """Tasks at work on the shards of one validation."""

    validation: Validation
    references: list[ray.ObjectRef[list[Played]]]

    def verdict(self) -> Verdict:
        """Wait for all tasks. What failed in one of them is raised as what it is."""
        try:
            found = ray.get(self.references)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, KalshiRayError):
                raise error.cause from error
            raise
        return self.validation.measured(sorted((one for part in found for one in part), key=lambda one: one.shard))


def _play_shards(work: _Work, shards: Sequence[Shard]) -> list[Played]:
    settings = work.evaluation
    return [
        play(
            get_pack(work.pack),
            work.policy,
            work.env,
            shard,
            work.times,
            rows=settings.rows,
            seed=settings.seed,
            markouts_s=settings.markouts_s,
        )
        for shard in shards
    ]
