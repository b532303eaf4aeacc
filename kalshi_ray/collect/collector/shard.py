"""The market connections of one process: their lines, and the blocks that wait to be taken.

A shard lives in the collector's own process or in a Ray actor; whoever runs it takes its blocks again and again. Where
nobody does, its room fills up, its sockets are no longer read, and the exchange waits: nothing piles up here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from kalshi_ray.collect.block import Block
from kalshi_ray.collect.clock import Clock, Jump
from kalshi_ray.collect.line import Happening
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.client import Stream, opened
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.settings import ExchangeSettings
from kalshi_ray.exchange.warm import warm_feed
from kalshi_ray.wire.commands import Channel

WAITING_LISTS = 4  # of blocks that a stream holds beside what waits here


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the lines of a shard did since it was made; totals, but for what is so at this moment."""

    counts: Mapping[str, int] = field(default_factory=dict)  # of the feeds and lines, by name
    lines: int = 0  # that it has
    up: int = 0  # of them, with a connection
    reconnects: int = 0
    known_books: int = 0
    pending_bytes: int = 0
    clock_jumps: int = 0


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a shard handed over. `fault`: a line gave up, for good, and so must the collector."""

    blocks: list[Block]
    tally: Tally
    happenings: list[Happening | Jump]
    fault: Exception | None = None


def feed_settings(collect: CollectSettings) -> FeedSettings:
    """The channels of a market connection."""
    chosen = [Channel.BOOK]
    chosen += [Channel.TRADE] if collect.trades else []
    chosen += [Channel.TICKER] if collect.ticker else []
    return FeedSettings(channels=tuple(chosen), use_yes_price=collect.use_yes_price)


class _Carried:
    """A line, the stream that carries it, and the task that collects its blocks."""

    def __init__(self, line: BookLine, stream: Stream[Block]) -> None:
        self.line, self.stream = line, stream
        self.task: asyncio.Task[None] | None = None


class Shard:
    """Lines by number. Made anywhere, used within one event loop. It reads the key where it runs, never over Ray."""

    def __init__(self, exchange: ExchangeSettings, collect: CollectSettings, since_ns: int) -> None:
        warm_feed()  # in an actor on another machine nobody did yet
        self._address, self._signer = opened(exchange)
        # What a stream keeps of its own would not be counted here.
        self._exchange = msgspec.structs.replace(exchange, buffered_frames=WAITING_LISTS)
        self._collect = collect
        self._clock = Clock(time.time_ns, time.monotonic_ns, since_ns)
        self._most_bytes = collect.most_pending_mb * 2**20 // (2 * max(1, collect.shards))
        self._carried: dict[int, _Carried] = {}
        self._blocks: list[Block] = []
        self._bytes = 0
        self._fault: Exception | None = None
        self._is_ending = False
        self._there, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()

    async def open(self, number: int, numbers: Mapping[str, int], at_ns: int) -> None:
        """Begin a line with these markets, ticker to number in the session. None of its times is before `at_ns`."""
        line = BookLine(
            number,
            feed_settings(self._collect),
            raw=self._collect.raw,
            block_ns=round(self._collect.block_s * SECOND),
        )
        line.join(dict(numbers), max(self._clock(), at_ns))
        chance = random.Random(number)
        # The exchange answered before there was a market for this line: it is down for a while, and comes back.
        stream = Stream(self._address, self._signer, self._exchange, [line], chance, clock=self._clock, insists=True)
        carried = self._carried[number] = _Carried(line, stream)
        carried.task = asyncio.get_running_loop().create_task(self._carry(carried))

    async def join(self, number: int, numbers: Mapping[str, int]) -> None:
        """Have more markets on a line."""
        carried = self._carried[number]
        carried.line.join(dict(numbers), self._clock())
        carried.stream.wake()

    async def leave(self, number: int, tickers: Sequence[str]) -> None:
        """Have these markets no longer."""
        carried = self._carried[number]
        carried.line.leave(list(tickers), self._clock())
        carried.stream.wake()

    async def take(self, wait_s: float) -> Taken:
        """The blocks that wait, in their order; after so long even where there is none."""
        if not self._blocks and self._fault is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._there.wait()
        return self._hand_over()

    async def finish(self) -> Taken:
        """End every line; the last blocks."""
        self._is_ending = True
        self._room.set()
        await asyncio.gather(*(carried.stream.close() for carried in self._carried.values()))
        await asyncio.gather(*(carried.task for carried in self._carried.values() if carried.task is not None))
        for carried in self._carried.values():
            self._blocks += carried.line.finish(self._clock())
        return self._hand_over()

    def _hand_over(self) -> Taken:
        blocks, self._blocks, self._bytes = self._blocks, [], 0
        self._there.clear()
        self._room.set()
        happenings: list[Happening | Jump] = [*self._clock.take_jumps()]
        happenings += [one for carried in self._carried.values() for one in carried.line.take_happenings()]
        return Taken(blocks=blocks, tally=self._tally(), happenings=happenings, fault=self._fault)

    def _tally(self) -> Tally:
        counts: Counter[str] = Counter()
        for carried in self._carried.values():
            counts.update(carried.line.counts)
        return Tally(
            counts=dict(counts),
            lines=len(self._carried),
            up=sum(carried.line.is_online for carried in self._carried.values()),
            reconnects=sum(max(0, carried.stream.ups - 1) for carried in self._carried.values()),
            known_books=sum(carried.line.known_books for carried in self._carried.values()),
            pending_bytes=self._bytes,
            clock_jumps=self._clock.jumps,
        )

    async def _carry(self, carried: _Carried) -> None:
        """Collect the blocks of a line as long as there is room."""
        try:
            async with carried.stream as stream:
                async for block in stream:
                    await self._room.wait()
                    self._blocks.append(block)
                    self._bytes += block.size
                    self._there.set()
                    if self._bytes >= self._most_bytes and not self._is_ending:
                        self._room.clear()
        except Exception as problem:  # whatever it is, whoever takes the blocks raises it
            self._fault = problem
            self._there.set()
