"""The shards of a collector: which line each market is on, who is asked for blocks, and what happens when one dies."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from kalshi_ray import telemetry
from kalshi_ray.collect.assignment import Assignment
from kalshi_ray.collect.collector.shard import Shard, Taken
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.exchange.settings import ExchangeSettings

START_S = 120.0  # for an actor to be there


class ShardLost(Exception):
    """A shard's process is gone, or does not answer."""


class RemoteShard:
    """A shard in a Ray actor, with the calls of `Shard`."""

    def __init__(self, *arguments: Any) -> None:
        self.actor = ray.remote(num_cpus=1, max_restarts=0)(Shard).remote(*arguments)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(self._ask, name)

    async def _ask(self, name: str, *arguments: Any) -> Any:
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
        ray.kill(self.actor)


class Fleet:
    """Shards and their lines. `first_line`: the least number that no line of the session has had."""

    def __init__(
        self, exchange: ExchangeSettings, collect: CollectSettings, clock: Callable[[], int], first_line: int
    ) -> None:
        self._exchange, self._collect, self._clock = exchange, collect, clock
        self.assignment = Assignment(max(1, collect.shards), exchange.tickers_per_connection, first_line)
        self._open: set[int] = set()  # lines
        self.shards: list[Shard | RemoteShard] = [self._make() for _ in range(self.assignment.shards)]
        self.deaths = 0
        self.until: dict[int, int] = {}  # line: what is known to be complete

    def _make(self) -> Shard | RemoteShard:
        kind = RemoteShard if self._collect.shards else Shard
        return kind(self._exchange, self._collect, self._clock())

    async def place(self, numbers: Mapping[str, int], events: Mapping[str, str]) -> None:
        """Record these markets: number in the session and event of each."""
        placed = self.assignment.place({ticker: events[ticker] for ticker in numbers})
        for line, tickers in placed.items():
            await self._tell(line, {ticker: numbers[ticker] for ticker in tickers})

    async def _tell(self, line: int, numbers: dict[str, int]) -> None:
        shard = self.shards[self.assignment.lines[line].shard]
        try:
            if line in self._open:
                await shard.join(line, numbers)
            else:
                self._open.add(line)
                self.until[line] = self._clock()
                await asyncio.wait_for(shard.open(line, numbers), START_S)
        except (ShardLost, TimeoutError):
            return  # whoever takes from it finds out, and places its markets anew

    async def leave(self, tickers: Iterable[str]) -> None:
        """Record these markets no longer."""
        for line, names in self.assignment.leave(tickers).items():
            try:
                await self.shards[self.assignment.lines[line].shard].leave(line, names)
            except ShardLost:
                continue  # and what is on it with it

    async def take(self, number: int, wait_s: float) -> Taken:
        """What a shard has. ShardLost if it does not answer."""
        try:
            taken: Taken = await asyncio.wait_for(self.shards[number].take(wait_s), wait_s + self._collect.lost_s)
        except TimeoutError as silence:
            raise ShardLost(f"no answer for {self._collect.lost_s:g} s") from silence
        self._followed(taken)
        return taken

    async def finish(self, number: int) -> Taken:
        """The last blocks of a shard."""
        taken: Taken = await asyncio.wait_for(self.shards[number].finish(), self._collect.lost_s)
        self._followed(taken)
        return taken

    def replace(self, number: int, why: str) -> tuple[dict[int, int], dict[str, str]]:
        """Another shard for one that is lost: its lines, complete up to a time, are over; its markets have none now."""
        self.deaths += 1
        telemetry.error("collect.shard_lost", shard=number, why=why)
        gone = self.shards[number]
        if isinstance(gone, RemoteShard):
            gone.kill()
        lines, markets = self.assignment.lost(number)
        over = {line: self.until.pop(line) for line in lines if line in self._open}
        self._open.difference_update(lines)
        self.shards[number] = self._make()
        return over, markets

    def stop(self) -> None:
        """End the processes of the shards."""
        for shard in self.shards:
            if isinstance(shard, RemoteShard):
                shard.kill()

    def _followed(self, taken: Taken) -> None:
        for block in taken.blocks:
            self.until[block.line] = block.until_ns
