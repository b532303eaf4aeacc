"""The shards of a collector: which line each market is on, who is asked for blocks, and what happens when one dies."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kalshi_ray import telemetry
from kalshi_ray.collect.assignment import Assignment
from kalshi_ray.collect.block import Block
from kalshi_ray.collect.collector.shard import Shard, Taken
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import KalshiRayError, UsageError
from kalshi_ray.exchange.settings import ExchangeSettings

START_S = 120.0  # for an actor to be there


class ShardLost(Exception):
    """A shard's process is gone, or does not answer."""


class RemoteShard:
    """A shard in a Ray actor, with the calls of `Shard`."""

    def __init__(self, *arguments: Any) -> None:
        import ray  # which takes a second, and is not needed without shards

        self.actor = ray.remote(num_cpus=1, max_restarts=0)(Shard).remote(*arguments)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._ask, name)

    async def _ask(self, name: str, *arguments: Any) -> Any:
        from ray.exceptions import RayError

        try:
            return await getattr(self.actor, name).remote(*arguments)
        except KalshiRayError:
            raise
        except RayError as problem:
            cause = getattr(problem, "cause", None)
            if isinstance(cause, KalshiRayError):
                raise cause from None
            raise ShardLost(f"{type(problem).__name__}: {problem}".splitlines()[0]) from problem

    def kill(self) -> None:
        """End its process."""
        import ray

        ray.kill(self.actor)


def check_room(shards: int) -> None:
    """UsageError where Ray can never have so many at once, and would wait for ever."""
    if not shards:
        return
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < shards:
        raise UsageError(
            f"{shards} shards take a CPU each, and Ray has {cpus}",
            remedy=f"Give fewer --shards, or a larger Ray: --ray.cpus {shards} for one that is started here",
        )


class Fleet:
    """Shards and their lines. `first_line`: the least number that no line of the session has had.

    `write` brings blocks to the disk: a line is known there before it begins.
    """

    def __init__(
        self,
        exchange: ExchangeSettings,
        collect: CollectSettings,
        clock: Callable[[], int],
        first_line: int,
        write: Callable[[Sequence[Block]], Awaitable[None]],
    ) -> None:
        self._exchange, self._collect, self._clock, self._write = exchange, collect, clock, write
        self.assignment = Assignment(max(1, collect.shards), exchange.tickers_per_connection, first_line)
        self._open: set[int] = set()  # lines
        self.shards: list[Shard | RemoteShard] = [self._make() for _ in range(self.assignment.shards)]
        self._has_answered: set[int] = set()  # shards
        self._faults: dict[int, str] = {}  # of shards that did not do what they were told
        self._turn = asyncio.Lock()  # a line is there before somebody else has more markets for it, or fewer
        self.gone: set[int] = set()  # those lost that nobody replaced
        self.deaths = 0
        self.until: dict[int, int] = {}  # line: what is known to be complete

    def _make(self) -> Shard | RemoteShard:
        kind = RemoteShard if self._collect.shards else Shard
        return kind(self._exchange, self._collect, self._clock())

    async def place(self, numbers: Mapping[str, int], events: Mapping[str, str]) -> None:
        """Record these markets: number in the session and event of each."""
        async with self._turn:
            placed = self.assignment.place({ticker: events[ticker] for ticker in numbers})
            for line, tickers in placed.items():
                await self._tell(line, {ticker: numbers[ticker] for ticker in tickers})

    async def _tell(self, line: int, numbers: dict[str, int]) -> None:
        if line in self._open:
            await self._ask(self.assignment.lines[line].shard, "join", line, numbers)
        elif line in self.assignment.lines:
            await self._begin(line, numbers)
        # Otherwise its shard was lost meanwhile, and others have its markets.

    async def _begin(self, line: int, numbers: dict[str, int]) -> None:
        at_ns = self._clock()
        await self._write([Block(line=line, rows=np.empty(0, ROW), until_ns=at_ns)])
        if on := self.assignment.lines.get(line):
            self._open.add(line)
            self.until[line] = at_ns
            await self._ask(on.shard, "open", line, numbers, at_ns)
        else:
            await self._write([Block(line=line, rows=np.empty(0, ROW), is_last=True)])

    async def leave(self, tickers: Iterable[str]) -> None:
        """Record these markets no longer."""
        async with self._turn:
            for line, names in self.assignment.leave(tickers).items():
                if on := self.assignment.lines.get(line):
                    await self._ask(on.shard, "leave", line, names)

    async def _ask(self, number: int, what: str, *arguments: Any) -> None:
        """Tell a shard something. Where it fails, whoever takes from it finds it lost, and places its markets anew."""
        shard = self.shards[number]
        try:
            await asyncio.wait_for(getattr(shard, what)(*arguments), START_S)
        except (ShardLost, TimeoutError) as problem:
            if self.shards[number] is shard:  # no other took its place meanwhile
                self._faults[number] = str(problem) or f"no answer for {START_S:g} s"

    async def take(self, number: int, wait_s: float) -> Taken:
        """What a shard has. ShardLost if it does not answer, or did not do what it was told."""
        if number in self._faults:
            raise ShardLost(self._faults[number])
        patience_s = self._collect.lost_s if number in self._has_answered else START_S
        taken = await self._answer(number, self.shards[number].take(wait_s), wait_s + patience_s)
        self._has_answered.add(number)
        return taken

    async def finish(self, number: int) -> Taken:
        """The last blocks of a shard. ShardLost if it does not answer."""
        return await self._answer(number, self.shards[number].finish(), self._collect.lost_s)

    async def _answer(self, number: int, asked: Awaitable[Taken], patience_s: float) -> Taken:
        """One in this process always answers, however long the process was held up."""
        is_here = isinstance(self.shards[number], Shard)
        try:
            taken = await asyncio.wait_for(asked, None if is_here else patience_s)
        except TimeoutError as silence:
            raise ShardLost(f"no answer for {patience_s:g} s") from silence
        for block in taken.blocks:
            self.until[block.line] = block.until_ns
        return taken

    def give_up(self, number: int, why: str, *, again: bool) -> tuple[dict[int, int], dict[str, str]]:
        """A shard is lost: its lines, complete up to a time, are over; its markets have none now.

        `again`: another takes its place.
        """
        self.deaths += 1
        telemetry.error("collect.shard_lost", shard=number, why=why)
        gone = self.shards[number]
        if isinstance(gone, RemoteShard):
            gone.kill()
        lines, markets = self.assignment.lost(number)
        over = {line: self.until.pop(line) for line in lines if line in self._open}
        self._open.difference_update(lines)
        self._has_answered.discard(number)
        self._faults.pop(number, None)
        if again:
            self.shards[number] = self._make()
        else:
            self.gone.add(number)
        return over, markets

    def stop(self) -> None:
        """End the processes of the shards."""
        for shard in self.shards:
            if isinstance(shard, RemoteShard):
                shard.kill()
