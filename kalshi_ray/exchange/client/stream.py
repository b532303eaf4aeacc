"""Streams over WebSockets: dialled with a fresh signature each time, kept alive, dialled again, closed cleanly.

What is said on a connection is decided by its feed; here are sockets and clocks alone. Several connections, each with
its feed, come out as one stream of events. A slow reader makes the exchange wait: nothing piles up here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from kalshi_ray import telemetry
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import AuthenticationFailed, ExchangeDown, ExchangeError
from kalshi_ray.exchange.client.requester import AGENT
from kalshi_ray.exchange.rest import Backoff, refusal_error, skew_ns
from kalshi_ray.exchange.settings import Address, ExchangeSettings
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.wire.refusals import read_error
from kalshi_ray.wire.requests import Request

E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")

LARGEST_FRAME = 64 * 2**20  # the exchange's own limit
TEND_S = 0.1  # how often a feed is asked for what is due
CLOSE_S = 2.0
AHEAD = (1_024, 256)  # frames that a connection reads before it stops, and where it goes on


class Converses(Protocol[E_co]):
    """The side of a feed that a connection sees; `exchange.feed.Feed` is one."""

    @property
    def is_online(self) -> bool:
        """Whether the feed still counts the connection as there."""

    def connect(self, now_ns: int) -> Sequence[bytes]:
        """A connection is there: what to send first."""

    def heard(self, now_ns: int) -> None:
        """The other side answered a ping."""

    def receive(self, raw: bytes, now_ns: int) -> Sequence[E_co]:
        """A frame came: what it means."""

    def due(self, now_ns: int) -> Sequence[bytes]:
        """What to send now; nothing where there is no connection."""

    def take_events(self) -> Sequence[E_co]:
        """What time alone brought about."""

    def lost(self, now_ns: int) -> Sequence[E_co]:
        """The connection is gone: what that means."""


class Stream(Generic[E]):
    """The events of several feeds, each on a connection of its own, until it is left.

    async with Stream(address, signer, settings, [feed], random.Random()) as stream:
        async for event in stream: ...
    """

    def __init__(
        self,
        address: Address,
        signer: Signer | None,
        settings: ExchangeSettings,
        feeds: Sequence[Converses[E]],
        chance: random.Random,
        *,
        clock: Callable[[], int] = time.time_ns,
        insists: bool = False,
    ) -> None:
        """`clock` says when frames came; signatures and answers go by the clock of the machine.

        `insists`: dial for ever, as after a connection that there was, although there was none yet.
        """
        if signer is None:
            raise AuthenticationFailed(
                "a stream needs a key, for public channels too", remedy="Set exchange.key_id and a private key"
            )
        self.dials = self.ups = 0  # how often a connection was asked for, and how often there was one
        self._address, self._signer, self._settings = address, signer, settings
        self._feeds, self._backoff, self._clock = feeds, Backoff(settings, chance), clock
        self._frames: asyncio.Queue[Sequence[E] | None] = asyncio.Queue(settings.buffered_frames)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed, self._insists = False, insists
        self._turn = asyncio.Lock()  # a queue alone lets who comes later overtake who waits for room
        self._unplaced: deque[Sequence[E]] = deque()  # what found no room yet, in order
        self._wake = [asyncio.Event() for _ in feeds]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(*pair)) for pair in zip(self._feeds, self._wake)]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections. What they brought can still be read; then the events end."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._frames.full():
            self._frames.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[E]:
        while True:
            if self._frames.empty() and self._is_closed:
                break
            if any(task.done() for task in self._tasks) and self._frames.empty():
                await self._raise()
            events = await self._frames.get()
            for event in events or ():
                yield event
        for events in self._unplaced:
            for event in events:
                yield event

    async def batches(self, every_s: float) -> AsyncIterator[list[E]]:
        """The events of every so many seconds, which may be none: for who draws, not for who trades."""
        while True:
            if any(task.done() for task in self._tasks) and self._frames.empty():
                await self._raise()
            found: list[E] = []
            while not self._frames.empty():
                found += self._frames.get_nowait() or ()
            yield found
            await asyncio.sleep(every_s)

    def wake(self) -> None:
        """Send at once what the feeds have due: after tickers were added or dropped."""
        for event in self._wake:
            event.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A connection gave up: whoever waits for events is told."""
        if not task.cancelled() and not self._frames.full():
            self._frames.put_nowait(None)

    async def _raise(self) -> None:
        for task in self._tasks:
            if task.done():
                await task

    async def _keep(self, feed: Converses[E], wake: asyncio.Event) -> None:
        """Dial and listen, again and again. Raises where there never was a connection and dialling cannot help."""
        failures, was_up = 0, self._insists
        while True:
            began, waiting = time.monotonic(), asyncio.create_task(self._pass_time(feed))
            try:
                async with self._dial() as socket:
                    await _stop(waiting)
                    was_up = True
                    self.ups += 1
                    telemetry.event("stream.up", dials=self.dials)
                    await self._listen(socket, feed, wake)
                    cause = "silence"
            except InvalidStatus as problem:
                cause = self._refused(problem, may_pass=was_up)
            except (OSError, TimeoutError, WebSocketException, EOFError) as problem:
                cause = str(problem) or type(problem).__name__
            finally:
                await _stop(waiting)
            await self._hand_out(feed.lost(self._clock()))
            failures = 1 if time.monotonic() - began > self._settings.most_backoff_s else failures + 1
            if not was_up and failures >= self._settings.attempts:
                raise ExchangeDown(f"no stream from {self._host}: {cause}", remedy="`kalshi-ray doctor` says why")
            pause = self._backoff.pause_ns(failures) / SECOND
            telemetry.warning("stream.lost", cause=cause, again_in_s=round(pause, 3))
            waiting = asyncio.create_task(self._pass_time(feed))
            try:
                await asyncio.sleep(pause)
            finally:
                await _stop(waiting)

    def _dial(self) -> connect:
        self.dials += 1
        return connect(
            self._address.stream,
            additional_headers=self._signer.headers("GET", self._address.stream_path, time.time_ns()),
            user_agent_header=AGENT,
            compression=None,
            proxy=None if self._address.is_loopback else True,
            open_timeout=self._settings.timeout_s,
            ping_interval=self._settings.ping_s,
            ping_timeout=2 * self._settings.ping_s,
            close_timeout=CLOSE_S,
            max_size=LARGEST_FRAME,
            max_queue=AHEAD,
        )

    async def _listen(self, socket: ClientConnection, feed: Converses[E], wake: asyncio.Event) -> None:
        """Until the connection is gone, which raises, or the feed gives it up, which does not."""
        for command in feed.connect(self._clock()):
            await socket.send(command, text=True)
        loop = asyncio.get_running_loop()
        both = {loop.create_task(self._read(socket, feed)), loop.create_task(self._tend(socket, feed, wake))}
        try:
            ended, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # we leave, which is no fault
            await socket.close()
            raise
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        for task in ended:
            task.result()

    async def _read(self, socket: ClientConnection, feed: Converses[E]) -> None:
        while True:
            raw = await socket.recv(decode=False)
            await self._hand_out(feed.receive(raw, self._clock()))

    async def _tend(self, socket: ClientConnection, feed: Converses[E], wake: asyncio.Event) -> None:
        """Send what is due, now and again, and whenever woken, as long as the feed counts on the connection."""
        latency = socket.latency
        while feed.is_online:
            if socket.latency != latency:
                latency = socket.latency
                feed.heard(self._clock())
            for command in feed.due(self._clock()):
                await socket.send(command, text=True)
            await self._hand_out(feed.take_events())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TEND_S):
                    await wake.wait()
            wake.clear()

    async def _pass_time(self, feed: Converses[E]) -> None:
        """While there is no connection: time alone may bring something about."""
        while True:
            await asyncio.sleep(TEND_S)
            if not feed.is_online:
                feed.due(self._clock())
                await self._hand_out(feed.take_events())

    async def _hand_out(self, events: Sequence[E]) -> None:
        """To whoever reads, in order, once there is room: a slow reader makes the connection wait.

        Who is cancelled meanwhile, because the connection is gone, leaves its events to whoever comes next.
        """
        if events:
            self._unplaced.append(events)
        if not self._unplaced:
            return
        async with self._turn:
            while self._unplaced:
                await self._frames.put(self._unplaced[0])
                self._unplaced.popleft()

    def _refused(self, problem: InvalidStatus, *, may_pass: bool) -> str:
        """Why a handshake was refused, if another may fare better; raises the error if not.

        `may_pass`: we were let in before. Clocks are set, exchanges are restarted and gates have bad hours.
        """
        response, now = problem.response, time.time_ns()
        status = response.status_code
        if status >= 500 or status == 429:
            return f"HTTP {status}"
        skew = skew_ns(response.headers.get("Date", ""), now, now)
        handshake = Request(method="GET", path=self._address.stream_path, template=self._address.stream_path)
        error: ExchangeError = refusal_error(
            handshake,
            read_error(status, bytes(response.body or b"")),
            skew[0] if skew else None,
            remedy=f"See that exchange.stream_url is right: {self._address.stream}",
        )
        if may_pass:
            return str(error)
        raise error from problem

    @property
    def _host(self) -> str:
        return self._address.stream.partition("://")[2].partition("/")[0]


async def _stop(task: asyncio.Task[None]) -> None:
    """End a task; a fault of it is raised."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()
