"""A collector from its first look at the exchange to the finished session.

The markets are chosen before anything is written. Then the session is begun or gone on with, and four kinds of tasks
run beside each other: shards are asked for blocks, the desk follows the markets, two threads write, and somebody is
told how it stands. Stopped, each hands over what it has, in this order, and the session is finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.collect.choice import Found
from kalshi_ray.collect.clock import Clock
from kalshi_ray.collect.collector.desk import Desk
from kalshi_ray.collect.collector.fleet import Fleet, ShardLost, check_room
from kalshi_ray.collect.collector.inlet import Inlets, Taker
from kalshi_ray.collect.collector.listing import ExchangeListing
from kalshi_ray.collect.collector.metrics import serving_metrics
from kalshi_ray.collect.collector.naming import NotListed
from kalshi_ray.collect.collector.shard import Taken
from kalshi_ray.collect.collector.watch import Watch
from kalshi_ray.collect.collector.writing import Writing
from kalshi_ray.collect.endings import given_up
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.register import Register
from kalshi_ray.collect.remnants import clear_remnants
from kalshi_ray.collect.settings import CollectSettings, UniverseSettings
from kalshi_ray.collect.signals import SignalReader
from kalshi_ray.collect.status import Status
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import ConfigError, DataError, NothingToDo
from kalshi_ray.exchange.client import Requester, opened
from kalshi_ray.exchange.settings import ExchangeSettings
from kalshi_ray.exchange.warm import warm_feed

TAKE_S = 0.25
REPORT_S = 0.5
HEARD = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # what shells expect after Ctrl-C
AGAIN = "The session is unfinished; the same command goes on with it"
ENVIRONMENTS = {"local": "simulated", "demo": "demo", "live": "production"}

Tell = Callable[[Status], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to record, from where, into which session, for how long (0: until stopped)."""

    session: str
    universe: UniverseSettings
    collect: CollectSettings
    exchange: ExchangeSettings
    duration_s: float = 0.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was finished, and how the collector stood at the end."""

    manifest: Manifest
    status: Status
    why: str  # it ended


def run(plan: Plan, store: SessionStore, tell: Tell, *, stays_deaf: bool = False) -> Ended:
    """Record until stopped by SIGINT, SIGTERM or the duration, or until every market has left; finish the session.

    From then on these signals are not heard, and do again what they did before when this returns; `stays_deaf`: they
    do not, for a process that has nothing left to be stopped.
    """
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in HEARD}
    try:
        ended = asyncio.run(record(plan, store, tell, _signalled))
    except BaseException:
        _hear_as(before)
        raise
    if not stays_deaf:
        _hear_as(before)
    return ended


async def record(
    plan: Plan, store: SessionStore, tell: Tell, stopping: Callable[[], AbstractContextManager[asyncio.Event]]
) -> Ended:
    """The same until an event is set, whose context is entered once there is something to be finished."""
    address, signer = opened(plan.exchange)
    if signer is None:
        raise ConfigError(
            "recording needs a key, for public channels too",
            remedy="Set exchange.key_id, and exchange.private_key_file or the variable KALSHI_PRIVATE_KEY",
        )
    check_room(plan.collect.shards)
    await asyncio.to_thread(warm_feed)
    async with AsyncExitStack() as open_ones:
        tell_metrics = open_ones.enter_context(serving_metrics(plan.collect.metrics_port))
        plan = await asyncio.to_thread(_as_before, plan, store)
        requester = await open_ones.enter_async_context(Requester(address, signer, plan.exchange, random.Random()))
        listing = ExchangeListing(requester)
        found = await _chosen(plan, store, listing)
        folder = spool_folder(plan.collect, store, plan.session)
        await asyncio.to_thread(clear_remnants, store, folder.parent)
        keeper = Keeper(store, plan.session, folder, _manifest(plan), plan.collect)
        is_resumed = await asyncio.to_thread(keeper.start)
        collector = Collector(plan, keeper, listing, [tell, tell_metrics], is_resumed=is_resumed)
        open_ones.push_async_callback(collector.close)
        with stopping() as stop:
            await open_ones.enter_async_context(collector.inlet)
            await collector.begin(found)
            why = await collector.record(stop, collector.desk.listen(address, signer, plan.exchange))
            manifest = await collector.finish()
        return Ended(manifest=manifest, status=collector.told_last(), why=why)


def _as_before(plan: Plan, store: SessionStore) -> Plan:
    """Where nobody says what to record, that which an earlier life of the session was told to."""
    if plan.universe != UniverseSettings() or plan.session not in store.ids():
        return plan
    before = store.summary(plan.session).manifest
    if before is None or "universe" not in before.origin:
        return plan
    return msgspec.structs.replace(plan, universe=msgspec.convert(before.origin["universe"], UniverseSettings))


async def _chosen(plan: Plan, store: SessionStore, listing: ExchangeListing) -> Found:
    """The markets to record. An earlier life of the session may have left some: then none are needed, and what was
    named may have gone from the exchange meanwhile."""
    try:
        return await listing.choose(plan.universe)
    except (NothingToDo, NotListed):
        if plan.session not in await asyncio.to_thread(store.ids):
            raise
    try:
        return await listing.choose(plan.universe, knows_all=False)
    except NothingToDo:
        return Found()


def spool_folder(settings: CollectSettings, store: SessionStore, session: str) -> Path:
    """Where the spool of a session lies."""
    beside = store.local / "spool" if store.local else Path("spool")
    return (Path(settings.spool).expanduser() if settings.spool else beside) / session


def _manifest(plan: Plan) -> Manifest:
    return Manifest(
        id=plan.session,
        source="collect",
        environment=ENVIRONMENTS[plan.exchange.environment],
        clock="receive",
        has_trades=plan.collect.trades,
        use_yes_price=plan.collect.use_yes_price,
        origin={"universe": msgspec.to_builtins(plan.universe), "collect": msgspec.to_builtins(plan.collect)},
    )


class Collector:
    """One session being recorded."""

    def __init__(
        self, plan: Plan, keeper: Keeper, listing: ExchangeListing, tell: Sequence[Tell], *, is_resumed: bool
    ) -> None:
        self.plan, self._tell, self._is_resumed = plan, tell, is_resumed
        clock = Clock(time.time_ns, time.monotonic_ns, keeper.last_ns)
        self.writing = Writing(keeper, clock)
        self.fleet = Fleet(plan.exchange, plan.collect, clock, keeper.next_line, self.writing.append)
        register = Register.of_session(keeper.facts, keeper.told_rows())
        self.desk = Desk(plan.universe, plan.collect, register, listing, self.fleet, self.writing, clock)
        self._taker = taker = Taker(
            SignalReader(register.signals, register.numbers), self.desk.signal, self.writing.room
        )
        self.inlet = Inlets(taker, socket_path=plan.collect.signal_socket, file_path=plan.collect.signal_file)
        about = Status(
            session=plan.session,
            store=keeper.store_url,
            at_ns=clock(),
            started_ns=clock(),
            environment=plan.exchange.environment,
            is_resumed=is_resumed,
        )
        self.watch = Watch(about, plan.collect, self.desk, self.fleet, self.writing, taker, clock)
        self.writing.counted = self.watch.wrote
        self.watch.wrote(keeper.own_blocks)
        self._is_ending = False
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def begin(self, found: Found) -> None:
        """Let the markets join that were found, and those that an earlier life recorded."""
        kept = [one.facts.row.ticker for one in self.desk.register.known if one.told.value is None]
        self.writing.start()
        if self._is_resumed:
            telemetry.event("collect.resumed", session=self.plan.session, markets=len(kept))
        await self.desk.begin(found, kept)

    async def record(self, stop: asyncio.Event, listen: Coroutine[Any, Any, None]) -> str:
        """Until somebody says stop, the time is over, or no market is left; say which. Raises what else ends it."""
        self._start("listen", listen)
        self._start("report", self._report())
        for number in range(len(self.fleet.shards)):
            self._start(f"shard {number}", self._receive(number))
        endings = {
            self._start("stop", stop.wait()): "stopped",
            self._start("work", self.desk.work()): "every market has left",
        }
        if self.plan.duration_s:
            endings[self._start("duration", asyncio.sleep(self.plan.duration_s))] = "the duration is over"
        done, _ = await asyncio.wait([*self._tasks.values(), *self.writing.tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return next(why for task, why in endings.items() if task in done)

    async def finish(self) -> Manifest:
        """Take what everybody has, and finish the session."""
        self._is_ending = True
        self.watch.ending()
        await self._end("stop", "work", "duration")
        for number in range(len(self.fleet.shards)):
            await self._in_time(self._tasks[f"shard {number}"])
            if number in self.fleet.gone:
                continue
            try:
                last = await self.fleet.finish(number)
            except ShardLost as loss:
                await self._in_time(self._give_up(number, str(loss)))
                continue
            await self._in_time(self._keep(number, last))
        await self.desk.close()
        await self._in_time(self._tasks["listen"])
        await self._in_time(self.desk.finish())
        self.writing.keeper.describe(origin={"counts": self.watch.totals()})
        try:
            manifest = await self.writing.finish(self.plan.collect.finish_s)
        except DataError as problem:
            where = f"what is not in the store waits in {self.writing.keeper.folder}"
            raise DataError(f"{where}: {problem}", remedy=AGAIN) from problem
        await self._end("report")
        return manifest

    def told_last(self) -> Status:
        """The last status, once everybody was told."""
        status = self.watch.last_status()
        for tell in self._tell:
            tell(status)
        return status

    async def close(self) -> None:
        """End what still runs. A session that is not finished can be resumed; one without a frame is none."""
        await self._end(*self._tasks)
        self.fleet.stop()
        await self.writing.close(discard=not self._is_resumed and not self.writing.keeper.state.frames)

    # -- tasks

    async def _receive(self, number: int) -> None:
        """Blocks of one shard to the disk, and another shard where it is lost."""
        while not self._is_ending:
            try:
                taken = await self.fleet.take(number, TAKE_S)
            except ShardLost as loss:
                await self._give_up(number, str(loss))
                continue
            await self._keep(number, taken)

    async def _give_up(self, number: int, why: str) -> None:
        """Another shard for one that is lost, unless this is the end anyway."""
        over, markets = self.fleet.give_up(number, why, again=not self._is_ending)
        self.watch.lost(number)
        blocks = [given_up(line, at_ns, raw=self.plan.collect.raw) for line, at_ns in over.items()]
        await self.desk.given_up(blocks, () if self._is_ending else markets)

    async def _keep(self, number: int, taken: Taken) -> None:
        await self.writing.append(taken.blocks)
        self.watch.took(number, taken)
        if taken.fault is not None:
            raise taken.fault

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            if self._taker.fault is not None:
                raise self._taker.fault
            status = self.watch.status()
            for tell in self._tell:
                tell(status)

    def _start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._tasks[name] = asyncio.get_running_loop().create_task(work, name=name)
        return task

    async def _end(self, *names: str) -> None:
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_time(self, work: Awaitable[object]) -> None:
        """Wait at the end, but not for ever. DataError where somebody still waits for room."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait([task], timeout=self.plan.collect.finish_s)
        if not done:
            why = self.writing.waits_disk or f"no end within {self.plan.collect.finish_s:g} s"
            task.cancel()
            raise DataError(f"the last blocks could not be written: {why}", remedy=AGAIN)
        task.result()


@contextlib.contextmanager
def _signalled() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM; the second ends the process, as it would without us. Once the block is done
    there is nothing to be stopped, and none is heard."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def listen_no_more() -> None:
        for number in HEARD:
            loop.remove_signal_handler(number)

    def hear() -> None:
        stop.set()
        listen_no_more()
        signal.signal(signal.SIGINT, _interrupt)

    for number in HEARD:
        loop.add_signal_handler(number, hear)
    try:
        yield stop
    except BaseException:
        if not stop.is_set():
            listen_no_more()
        raise
    listen_no_more()
    _hear_as(dict.fromkeys(HEARD, signal.SIG_IGN))


def _interrupt(number: int, frame: object) -> None:
    """End the process in order. Who asks again while that goes on does not want to wait for it."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    raise KeyboardInterrupt


def _hear_as(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
