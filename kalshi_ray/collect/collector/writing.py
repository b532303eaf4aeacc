"""Blocks to disk and segments into the store: two threads of their own, so that neither holds up the sockets.

A disk that is full makes the blocks wait here, and with them, in the end, the exchange. A store that is down makes
segments wait on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kalshi_ray import telemetry
from kalshi_ray.collect.block import Block
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.data.schema import Manifest
from kalshi_ray.errors import DataError, StoreDown, StoreFull, UsageError

T = TypeVar("T")

TICK_S = 0.1
RETRY_S = 1.0  # before a full disk is tried again, and a store that is down; that is doubled
MOST_RETRY_S = 30.0


class Writing:
    """The only one who calls the keeper. `tasks` never end but by a fault; what is waited for is said in words."""

    def __init__(self, keeper: Keeper, clock: Callable[[], int]) -> None:
        self.keeper = keeper
        self.waits_store = ""
        self._refused: dict[object, str] = {}  # why the disk did not take something, by whoever tries it again
        self.pending_bytes = 0  # of blocks that are not written yet
        self.counted: Callable[[list[Block]], None] = lambda blocks: None  # is told of those that are
        self._clock = clock
        self._disk = ThreadPoolExecutor(1, "collect-disk")
        self._store = ThreadPoolExecutor(1, "collect-store")
        self._wake = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def waits_disk(self) -> str:
        """Why something is not on the disk yet that should be; empty: all is."""
        return next(iter(self._refused.values()), "")

    def start(self) -> None:
        """Tend the disk and the store from now on."""
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(self._tick()), loop.create_task(self._drain())]

    async def append(self, blocks: Sequence[Block]) -> None:
        """Return once the blocks are written. Waits while the disk is full."""
        if not blocks:
            return
        size = sum(block.size for block in blocks)
        self.pending_bytes += size
        try:
            await self._insist(lambda: self.keeper.append(blocks))
        finally:
            self.pending_bytes -= size
        self.counted(list(blocks))

    async def room(self) -> None:
        """Return once nothing waits for the disk."""
        while self.waits_disk:
            await asyncio.sleep(TICK_S)

    async def note(self, facts: Facts) -> None:
        """Return once the facts are written, which rows that follow may refer to."""
        await self._insist(lambda: self.keeper.note(facts))

    async def stop(self) -> None:
        """Tend nothing any more. What is spooled stays there."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def finish(self, patience_s: float) -> Manifest:
        """Everything into the store, and the session's manifest. DataError: it stays in the spool."""
        await self.stop()
        until, pause = time.monotonic() + patience_s, RETRY_S
        while True:
            try:
                return await self._in(self._store, self.keeper.finish)
            except DataError as problem:
                self.waits_store = str(problem)
                if not _may_pass(problem) or time.monotonic() + pause > until:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_RETRY_S)

    async def close(self, *, discard: bool = False) -> None:
        """Give disk and store back, whatever is there; the session stays unfinished if it is, or goes."""
        await self.stop()
        if discard:
            # What cannot be removed now is an unfinished session without rows.
            with contextlib.suppress(DataError, UsageError):
                await self._in(self._store, self.keeper.discard)
        try:
            await self._in(self._disk, self.keeper.close)
        except DataError as problem:  # what ended the work is told; whoever goes on finds this process dead
            telemetry.event("collect.not_closed", problem=str(problem))
        self._disk.shutdown()
        self._store.shutdown()

    async def _insist(self, work: Callable[[], object]) -> None:
        """Do something at the disk, again and again where it is full."""
        me = object()
        try:
            while True:
                try:
                    await self._in(self._disk, work)
                    break
                except StoreFull as problem:
                    if not self._refused:
                        telemetry.warning("collect.disk_full", problem=str(problem))
                    self._refused[me] = str(problem)
                await asyncio.sleep(RETRY_S)
            if me in self._refused and len(self._refused) == 1:
                telemetry.event("collect.disk_has_room")
        finally:
            self._refused.pop(me, None)
        self._wake.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._insist(lambda: self.keeper.tick(self._clock()))

    async def _drain(self) -> None:
        pause = RETRY_S
        while True:
            self._wake.clear()
            try:
                while await self._in(self._store, self.keeper.drain):
                    if self.waits_store:
                        telemetry.event("collect.store_is_back")
                    self.waits_store, pause = "", RETRY_S
            except DataError as problem:
                if not _may_pass(problem):
                    raise
                if not self.waits_store:
                    telemetry.warning("collect.store_down", problem=str(problem))
                self.waits_store = str(problem)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._wake.wait()

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _may_pass(problem: DataError) -> bool:
    """Whether a store may take later what it did not take now: it is away, full, or without rights at present."""
    return isinstance(problem, (StoreDown, StoreFull)) or isinstance(problem.__cause__, OSError)
