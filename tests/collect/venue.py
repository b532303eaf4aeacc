"""A simulated exchange on a port of loopback whose every change is kept, beside which a collector can be tried.

with Venue(folder, flow_of(1, 500), waits=True) as venue:
    ended = record(venue.plan("s"), store, lambda status: venue.is_quiet(status))
    check(store.open("s"), venue)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from bench.ports import free_port
from kalshi_ray.collect.collector import run
from kalshi_ray.collect.collector.run import Ended, Plan
from kalshi_ray.collect.settings import CollectSettings, UniverseSettings
from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.tape import Status as MarketStatus
from kalshi_ray.core.units import CENT, CONTRACT, MILLISECOND, Side
from kalshi_ray.data.store import SessionStore
from kalshi_ray.exchange.settings import ExchangeSettings
from kalshi_ray.exchange.sim_server import SimulatorServer
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.faults import FaultPlan, Faults
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.exchange.simulator.outbox import Outbox
from kalshi_ray.exchange.simulator.replay import Pace, Replay, Timed
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.messages import BookDelta, MarketChange, RecorderRow, Trade
from tests.collect.plans import mixed_plan
from tests.exchange.keys import ed25519_key, pem_of

T = TypeVar("T")

TICKERS = ("KXA-26-T1", "KXA-26-T2", "KXB-26-T1", "KXB-26-T2")
KEY_ID = "11111111-aaaa-4000-8000-000000000003"
PATIENCE_S = 200.0  # for whatever a test waits for: a hang says what it waited for before the limit of a test ends it
LOOK_S = 0.005

Book = dict[tuple[int, int], int]  # lots by (side, price)
Delta = tuple[int, int, int, int]  # exchange time in ms, side, price, change
Print = tuple[int, int, int, int]  # exchange time in ms, price, size, taker


class Truth:
    """What one market was: its changes, and the book before the first and after each."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []
        self.books: list[Book] = [{}]
        self.prints: list[Print] = []
        self.changes: list[MarketChange] = []

    def note(self, value: Any) -> None:
        """Something happened."""
        if isinstance(value, BookDelta):
            key, book = (int(value.side), value.price), dict(self.books[-1])
            book[key] = book.get(key, 0) + value.change
            self.books.append({key: lots for key, lots in book.items() if lots})
            self.deltas.append((value.exch_ns // MILLISECOND, *key, value.change))
        elif isinstance(value, Trade):
            self.prints.append((value.exch_ns // MILLISECOND, value.price, value.size, int(value.taker)))
        elif isinstance(value, MarketChange):
            self.changes.append(value)


class LoggedExchange(Exchange):
    """An exchange that keeps what everybody may know."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self.truths: dict[str, Truth] = {}

    def open_market(self, terms: MarketTerms) -> Any:
        self.truths[terms.ticker] = Truth()
        return super().open_market(terms)

    def drain(self) -> Outbox:
        happened = super().drain()
        for one in happened:
            if one[0] == "public" and one.ticker in self.truths:
                self.truths[one.ticker].note(one.value)
        return happened


class Venue:
    """The exchange, its server in a thread, and the ready file by which a collector finds it."""

    def __init__(
        self,
        folder: Path,
        flow: Iterable[Timed] = (),
        *,
        tickers: Sequence[str] = TICKERS,
        faults: FaultPlan | None = None,
        terms: dict[str, Any] | None = None,
        waits: bool = False,
        stream: StreamSettings | None = None,
    ) -> None:
        """`waits`: the flow begins once somebody hears every book, however long that takes; otherwise at once."""
        self.folder, self.tickers = folder, tickers
        self.exchange, auth = LoggedExchange(seed=faults.seed if faults else 1), Auth()
        self.account = self.exchange.create_account(1_000)
        auth.add(KEY_ID, ed25519_key().public_key(), self.account)
        now_ns = time.time_ns()
        self.exchange.advance(now_ns)
        for ticker in tickers:
            self.open_market(ticker, **(terms or {}))
        self._is_ended, self._quiet_at = False, -1
        self._replay = Replay(
            itertools.takewhile(lambda _: not self._is_ended, flow), None if waits else Pace(0, now_ns, 1)
        )
        self.surface = Surface(
            self.exchange,
            auth,
            limits=Limits("prestige"),
            stream=stream,
            replay=self._replay,
            faults=Faults(faults) if faults else None,
        )
        self.port = free_port()  # which stays its own while it is away
        self.server: SimulatorServer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue")
        (folder / "key.pem").write_bytes(pem_of(ed25519_key()))
        (folder / "key.pem").chmod(0o600)

    def open_market(self, ticker: str, **terms: Any) -> None:
        """One more market; on the thread of the server once that runs."""
        event = ticker.rpartition("-")[0]
        self.exchange.open_market(MarketTerms(ticker=ticker, event=event, series=event.partition("-")[0], **terms))

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        self._loop.call_soon_threadsafe(self._begin)
        ready = {
            "rest": self.server.rest,
            "ws": self.server.stream,
            "accounts": [{"key_id": KEY_ID, "private_key_file": "key.pem"}],
            "markets": self.tickers,
        }
        self.ready_file.write_bytes(msgspec.json.encode(ready))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.crash()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def ready_file(self) -> Path:
        """Where the simulator says where it is."""
        return self.folder / "ready.json"

    def open(self) -> None:
        """Serve; again after a crash, at the same place."""

        async def start() -> None:
            await self.server.start()

        self.server = SimulatorServer(self.surface, port=self.port)
        asyncio.run_coroutine_threadsafe(start(), self._loop).result(PATIENCE_S)

    def _begin(self) -> None:
        """Let the flow begin once every book is heard."""
        if self._replay.pace is None:
            index = self.surface.stream._index
            if all(index.covering(Channel.BOOK, ticker) for ticker in self.tickers):
                self._replay.pace = Pace(0, time.time_ns(), 1)
                self.server.pump()
            else:
                self._loop.call_later(LOOK_S, self._begin)

    def end_flow(self) -> None:
        """Nothing happens any more but what is due within the next moment."""
        self._is_ended = True

    def crash(self) -> None:
        """Every connection breaks off, and nobody listens; the exchange itself goes on."""

        async def stop() -> None:
            for connection in list(self.server.connections):
                connection._transport.abort()
            await self.server.stop()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(PATIENCE_S)

    def do(self, work: Callable[[int], T]) -> T:
        """Do something at the exchange, at its present time, and tell everybody."""

        async def whole() -> T:
            now_ns = time.time_ns()
            result = work(now_ns)
            self.server.pump()
            return result

        return asyncio.run_coroutine_threadsafe(whole(), self._loop).result(PATIENCE_S)

    @property
    def is_over(self) -> bool:
        """Whether the flow has ended."""
        return self._replay.is_over

    @property
    def happened(self) -> int:
        """How much of the flow there was."""
        return self._replay.done

    def is_quiet(self, status: Status) -> bool:
        """Whether the flow has ended, and all that it caused has come."""
        is_settled = status.markets.known == len(self.tickers) and not status.pending_bytes
        return self.has_come(status.total_frames, is_settled=is_settled)

    def has_come(self, frames: int, *, is_settled: bool) -> bool:
        """Whether a collector that has counted so many frames has them all: as many as when it was asked before, with
        the flow over and everything sent already then. How long ago that was says nothing: all may have slept."""
        is_over = is_settled and self.is_over and self._has_told()
        has_come = is_over and frames == self._quiet_at
        self._quiet_at = frames if is_over and not has_come else -1
        return has_come

    def _has_told(self) -> bool:
        """Whether nothing waits to be sent; what does is sent next."""
        for connection in list(self.server.streams):
            session = connection._session
            if connection._transport.get_write_buffer_size() or (session is not None and session.has_frames):
                self._loop.call_soon_threadsafe(self.server.pump)
                return False
        return True

    def settings(self, **more: Any) -> ExchangeSettings:
        """How a collector reaches it, without much patience."""
        quick = {"backoff_s": 0.02, "most_backoff_s": 0.2, "attempts": 12}
        # Only faults keep silent; everybody else may take his time to answer.
        quick |= {"timeout_s": 0.5} if self.surface.faults else {}
        return ExchangeSettings(ready_file=str(self.ready_file), **(quick | more))

    def plan(
        self,
        session: str,
        *,
        universe: UniverseSettings | None = None,
        exchange: dict[str, Any] | None = None,
        duration_s: float = PATIENCE_S,
        **collect: Any,
    ) -> Plan:
        """Every market into a session whose spool is in the folder."""
        quick = {"block_s": 0.02, "spool": str(self.folder / "spool"), "queue_positions_s": 0.0}
        return Plan(
            session=session,
            universe=universe or UniverseSettings(tickers=tuple(self.tickers)),
            collect=CollectSettings(**(quick | collect)),
            exchange=self.settings(**(exchange or {})),
            duration_s=duration_s,
        )


Until = Callable[[Status], bool]


def record(plan: Plan, store: SessionStore, until: Until, seen: list[Status] | None = None) -> Ended:
    """Record in this process until a status says so. Only the duration bounds it."""
    return asyncio.run(recording(plan, store, until, seen))


async def recording(plan: Plan, store: SessionStore, until: Until, seen: list[Status] | None = None) -> Ended:
    """The same beside others."""
    stop = asyncio.Event()

    def tell(status: Status) -> None:
        if seen is not None:
            seen.append(status)
        if not status.is_final and until(status):
            stop.set()

    return await run.record(plan, store, tell, lambda: contextlib.nullcontext(stop))


class Steps:
    """What a test does at one status after the other: each step waits for its own, and is done beside the collector."""

    def __init__(self, *steps: tuple[Callable[[Status], bool], Callable[[], object]]) -> None:
        self._steps = list(steps)
        self._doing: threading.Thread | None = None

    def __call__(self, status: Status) -> bool:
        """Whether all steps are done, and this is a status after the last."""
        if self._doing is not None:
            if self._doing.is_alive():
                return False
            self._doing = None
        if not self._steps:
            return True
        fits, work = self._steps[0]
        if fits(status):
            del self._steps[0]
            self._doing = threading.Thread(target=work)
            self._doing.start()
        return False


def flow_of(
    seed: int,
    updates: int | None,
    *,
    every_ns: int = MILLISECOND,
    tickers: Sequence[str] = TICKERS,
    pauses: float = 0.0,
) -> Iterator[Timed]:
    """Lawful changes of all books, some prints, and pauses of markets by chance. `updates` None: without end."""
    chance, there = random.Random(seed), Counter[tuple[str, int, int]]()
    paused: set[str] = set()
    for number in itertools.count() if updates is None else range(updates):
        at_ns, ticker, luck = number * every_ns, chance.choice(tickers), chance.random()
        if luck < pauses:
            is_paused = ticker in paused
            paused.symmetric_difference_update([ticker])
            status = MarketStatus.ACTIVE if is_paused else MarketStatus.INACTIVE
            yield at_ns, RecorderRow(ticker=ticker, kind=Kind.STATUS, size=status, price=0)
            continue
        side = chance.randrange(2)
        price = (chance.randrange(28, 45) if side == 0 else chance.randrange(52, 72)) * CENT
        if luck < 0.2:
            yield at_ns, Trade(ticker=ticker, price=price, size=chance.randrange(1, 900), taker=Side(1 - side))
            continue
        key = (ticker, side, price)
        change = -there[key] if there[key] > 20 * CONTRACT else chance.randrange(1, 30) * CONTRACT
        there[key] += change
        yield at_ns, FlowDelta(ticker=ticker, side=Side(side), price=price, change=change)


def endless() -> Iterator[Timed]:
    """What goes on as long as a test does, on a machine of any pace."""
    return flow_of(3, None, every_ns=4 * MILLISECOND)


def plan_of(seed: int) -> FaultPlan:
    """Faults of the stream, seldom, and of REST."""
    stream = {"gap": 0.006, "duplicate": 0.01, "reorder": 0.01, "drop": 0.005, "slow_consumer": 0.002}
    rest = {"too_many": 0.1, "failed_after": 0.1, "timeout": 0.04, "hang_up": 0.05}
    return mixed_plan(seed, disconnect=0.002, **stream, **rest)


class Part(NamedTuple):
    """Where a stretch of rows stands in what was true."""

    first: int  # change that it begins after
    last: int


def place_of(truth: Sequence[T], part: Sequence[T], first: int, fits: Callable[[int], bool]) -> Part | None:
    """Where a run of items stands in a longer one, from `first` on, beginning at a place that fits."""
    count = len(part)
    for at in range(first, len(truth) - count + 1):
        if fits(at) and list(truth[at : at + count]) == list(part):
            return Part(at, at + count)
    return None
