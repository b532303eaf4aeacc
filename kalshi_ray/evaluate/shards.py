"""Playing policies through whole views, one shard of markets at a time.

A shard is a fixed list of markets with a seed of its own. It does not depend on the number of workers, so that a
parallel evaluation gives the bytes of a serial one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import MICROSECOND, MILLISECOND
from kalshi_ray.env.market_env import Batch, MarketVectorEnv
from kalshi_ray.env.records import EPISODE, FILL, joined
from kalshi_ray.env.samplers import DONE
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.account import DAY
from kalshi_ray.evaluate.markouts import mids_around
from kalshi_ray.evaluate.tally import INTENTS, Tally, intents_of, lives_of, quoted
from kalshi_ray.evaluate.watch import Curve, count_answers
from kalshi_ray.policy.protocol import Policy, PolicyState, decide, market_key


@dataclass(frozen=True)
class Shard:
    """Markets that one environment judges: n views of a pack, and where each may begin."""

    index: int
    views: NDArray[np.int32]  # [n]
    starts: NDArray[np.int64]  # [n] first row of the tape; -1: the view's own


@dataclass(frozen=True)
class Played:
    """What a policy did in a shard. Markets are numbered as in the shard; those without an episode are missing."""

    shard: int
    market: NDArray[np.int32]  # [m] which markets of the shard, ascending
    episodes: NDArray[np.void]  # [m] EPISODE
    fills: NDArray[np.void]  # FILL, by market and then in order of execution
    fill_market: NDArray[np.int32]  # as `market`, one per fill
    twice_mids: NDArray[np.int32]  # [fills, 1 + horizons] half pips before and after each fill
    spreads: NDArray[np.int32]  # [fills] pips just before each fill; -1 one-sided
    curve: NDArray[np.int64]  # [G] micros, summed over the markets
    actions: NDArray[np.int64]  # [A] decisions by action id
    states: NDArray[np.int64]  # decisions by state and intent, see `tally`
    moments: NDArray[np.int64]  # and by moment


def shards_of(views: NDArray[np.int32], starts: NDArray[np.int64], size: int) -> list[Shard]:
    """Cut the views, in their order, into as few even shards as have at most `size` markets each."""
    count = -(-len(views) // size)
    parts = zip(np.array_split(views, count), np.array_split(starts, count), strict=True)
    return [Shard(index, own, begin) for index, (own, begin) in enumerate(parts)]


def curve_times(pack: ViewPack, views: NDArray[np.int32], points: int) -> NDArray[np.int64]:
    """Times at which the account is looked at: `points` even ones over the views, and every midnight between."""
    chosen = pack.views[views]
    first = int(pack.updates["recv_ns"][chosen["start"]].min())
    last = int(pack.updates["recv_ns"][chosen["stop"] - 1].max())
    midnights = np.arange(first // DAY + 1, last // DAY + 1) * DAY - 1  # the last moment of each day
    return np.unique(np.r_[np.linspace(first, last, points).astype(np.int64), midnights, last])


class Queue:
    """A sampler that hands out each market of a shard once, the longest first, and remembers who got what."""

    def __init__(self, pack: ViewPack, shard: Shard) -> None:
        rows = pack.views[shard.views]
        self._order = np.argsort(rows["start"] - rows["stop"], kind="stable")
        self._shard, self._at = shard, 0
        self.given: dict[int, deque[int]] = {}

    def next(self, row: int) -> tuple[int, int]:
        """The next market for `row`; DONE when none is left."""
        if self._at >= len(self._order):
            self.given.setdefault(row, deque()).append(DONE)
            return DONE, -1
        market = int(self._order[self._at])
        self._at += 1
        self.given.setdefault(row, deque()).append(market)
        return int(self._shard.views[market]), int(self._shard.starts[market])

    def set_progress(self, share: float) -> None:
        """A judgement knows no progress."""

    def get_state(self) -> dict[str, Any]:
        """The place in the order."""
        return {"at": self._at}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._at = state["at"]


def rows_for(pack: ViewPack, shard: Shard, most: int) -> int:
    """How many markets to play at a time: no more than keep every row busy until the longest market is through."""
    steps = pack.views["steps"][shard.views].astype(np.int64)
    busy = -(-int(steps.sum()) // max(1, int(steps.max())))
    return max(1, min(most, len(steps), busy))


class _Run:
    """One policy in one shard, from the first reset to the last episode."""

    def __init__(
        self,
        pack: ViewPack,
        policy: Policy,
        settings: EnvSettings,
        shard: Shard,
        times: NDArray[np.int64],
        *,
        rows: int,
        seed: int,
    ) -> None:
        self.pack, self.policy, self.shard = pack, policy, shard
        self.queue = Queue(pack, shard)
        count = rows_for(pack, shard, rows)
        own_seed = int(np.random.SeedSequence([seed, shard.index]).generate_state(1)[0])
        self.env = MarketVectorEnv(pack, settings, num_envs=count, seed=own_seed, sampler=self.queue, log_fills=True)
        self.keys = np.array([market_key(pack.tickers[view]) for view in shard.views], np.uint64)
        self.bankroll = int(settings.rules()["bankroll"][0])
        self.curve = Curve(times, len(shard.views), count)
        self.actions = np.zeros(self.env.actions.size if policy.needs == "actions" else 0, np.int64)
        self.tally = Tally(
            lives_of(pack, shard.views, shard.starts),
            intents_of(self.env.actions) if policy.needs == "actions" else np.arange(len(INTENTS)),
        )
        self.decision = np.zeros(count, np.int64)
        self.current = np.zeros(count, np.int64)  # which market each row plays, DONE: none
        self.current_keys = np.zeros(count, np.uint64)
        self.playing = 0  # rows that have a market
        self.episodes: list[tuple[int, np.void]] = []
        self.fills: list[NDArray[np.void]] = []
        self.owners: list[NDArray[np.int64]] = []
        policy.reset(self.keys, seed)

    def play(self) -> None:
        """Step until every market has been played."""
        env, batch = self.env, self.env.new_batch()
        env.reset_into(batch)
        for row in range(len(self.current)):
            self._move_on(row)
        state = PolicyState(
            batch.observation, batch.mask, env.rows, self.decision, self.current_keys,
            env.settings.action_space, env.settings.observation,
        )  # fmt: skip
        while self.playing:
            self._step(batch, state)

    def _step(self, batch: Batch, state: PolicyState) -> None:
        answer = decide(self.policy, state)
        acts = self.policy.needs == "actions"
        self.tally.count(state.rows, self.current, answer if acts else quoted(answer))
        if acts:
            self.env.step_into(answer, batch)
            count_answers(answer, self.current, self.actions)
        else:
            self.env.step_quotes_into(answer, batch)
        self.decision += 1
        if self.curve.follow(state.rows, self.current, self.bankroll, batch):
            self._collect()

    def _collect(self) -> None:
        """Book what ended: the fills heard so far belong to what each row was playing until now."""
        fills = self.env.take_fills()
        self.fills.append(fills)
        self.owners.append(self.current[fills["row"]])
        for episode in self.env.take_episodes():
            row = int(episode["row"])
            market = int(self.current[row])
            self.episodes.append((market, episode))
            self.curve.note(market, int(episode["ended_ns"]), int(episode["equity_end"]) - self.bankroll)
            self.playing -= 1
            self._move_on(row)

    def _move_on(self, row: int) -> None:
        market = self.queue.given[row].popleft()
        self.current[row], self.decision[row] = market, 0
        if market == DONE:
            self.current_keys[row] = 0
            return
        view = self.shard.views[market]
        if not self.env.playing[row]:
            raise DataError(
                f"{self.pack.tickers[view]} has {self.pack.views['steps'][view]} decision points by its view and none "
                "in the environment",
                remedy="Judge with the decision settings that the views were built for",
            )
        self.playing += 1
        self.current_keys[row] = self.keys[market]
        self.curve.begin(row)
        self.curve.note(market, int(self.env.rows["now_ns"][row]), int(self.env.rows["equity"][row]) - self.bankroll)


def play(
    pack: ViewPack,
    policy: Policy,
    settings: EnvSettings,
    shard: Shard,
    times: NDArray[np.int64],
    *,
    rows: int,
    seed: int,
    markouts_s: tuple[float, ...],
) -> Played:
    """Play `policy` through every market of `shard`, whole views at full cost; `times` [G] are those of the curve."""
    run = _Run(pack, policy, settings, shard, times, rows=rows, seed=seed)
    run.play()
    kept = dict(item for item in run.episodes if not _began_early(pack, shard, *item))
    market = np.array(sorted(kept), np.int32)
    fills = joined(run.fills, FILL)
    owner = np.concatenate([np.zeros(0, np.int64), *run.owners])
    chosen = np.flatnonzero(np.isin(owner, market))
    chosen = chosen[np.argsort(owner[chosen], kind="stable")]
    fills, owner = fills[chosen], owner[chosen].astype(np.int32)
    feed_us = round(settings.feed_ms * MILLISECOND) // MICROSECOND
    twice_mids, spreads = _around(pack, shard, fills, owner, markouts_s, feed_us)
    return Played(
        shard=shard.index,
        market=market,
        episodes=np.array([kept[int(one)] for one in market], EPISODE),
        fills=fills,
        fill_market=owner,
        twice_mids=twice_mids,
        spreads=spreads,
        curve=run.curve.total(market),
        actions=run.actions,
        states=run.tally.states,
        moments=run.tally.moments,
    )


def _began_early(pack: ViewPack, shard: Shard, market: int, episode: np.void) -> bool:
    """Whether an episode found no decision after its start and went back to the start of the view: not judged."""
    start = int(shard.starts[market])
    return start >= 0 and bool(episode["started_ns"] < pack.updates["recv_ns"][start])


def _around(
    pack: ViewPack,
    shard: Shard,
    fills: NDArray[np.void],
    owner: NDArray[np.int32],
    seconds: tuple[float, ...],
    feed_us: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Mids around each fill and the spread before it, as `mids_around` gives them."""
    mids, spreads = [np.zeros((0, 1 + len(seconds)), np.int32)], [np.zeros(0, np.int32)]
    for market in np.unique(owner):
        found = mids_around(pack, int(shard.views[market]), fills[owner == market], seconds=seconds, feed_us=feed_us)
        mids.append(found[0])
        spreads.append(found[1])
    return np.concatenate(mids), np.concatenate(spreads)
