"""Calls that outlive the server's restarts: they connect, are repeated while that can help, and say when it cannot."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

from kalshi_ray.data.catalog.faults import down, is_passing, is_refusal, told
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.urls import Place
from kalshi_ray.errors import DataError
from kalshi_ray.telemetry import debug

T = TypeVar("T")

Work = Callable[[Link], Awaitable[T]]

STALL_S = 60.0  # a connection on which nothing moves for so long is given up
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0  # between attempts; each wait is twice the one before
KEPT = 2  # connections kept for the next call
OLDEST_SERVER = 140000
_LOOPS: dict[int, asyncio.AbstractEventLoop] = {}  # of this process, and what it inherited from its parents


class Repeat(Exception):  # no error of a user's: how a lookup ends that found nothing
    """Raised by `settled`: the call had not been carried out and is to be done again."""


class CallersError(Exception):  # carries an error of the caller's own code through a call, which must not judge it
    """What the tables raised that were to be written."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Database:
    """The connections to one place. Calls may come from any thread, also while another call is under way."""

    def __init__(self, place: Place, *, stall_s: float = STALL_S) -> None:
        self.place = place
        self._stall_s = stall_s
        self._idle: list[Link] = []
        self._owner = os.getpid()
        self._lost: list[str] = []  # labels of connections that the server may still be working for
        weakref.finalize(self, _end_all, self._idle, self._owner)

    def call(self, work: Work[T], *, settled: Work[T] | None = None) -> T:
        """Do `work` on a connection; again on another while the loss of one, or a busy server, stands in the way.

        `settled` is asked before a repetition: it returns what `work` would have, where that was carried out all the
        same, and raises Repeat otherwise. StoreDown when it takes longer than the place's patience.
        """
        if self._owner != os.getpid():  # a fork: the connections are the parent's
            self._idle.clear()
            self._owner = os.getpid()
        return in_background(self._call(work, settled))

    def close(self) -> None:
        """Close the connections that no call is using."""
        if self._owner == os.getpid():
            in_background(self._close())

    async def _close(self) -> None:
        while self._idle:
            try:
                await self._idle.pop().close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue  # the server closed it first

    async def _call(self, work: Work[T], settled: Work[T] | None) -> T:
        wait, ends, is_repetition = FIRST_WAIT_S, 0.0, False
        while True:
            link: Link | None = None
            try:
                link = self._idle.pop() if self._idle else await self._connect()
                result = await link.during(self._once(link, work, settled if is_repetition else None))
            except BaseException as error:
                misused = isinstance(error, asyncpg.InterfaceError) and link is not None and not link.is_ended
                if link is not None:
                    self._drop(link)
                    is_repetition = True
                if isinstance(error, CallersError):
                    raise error.error from None
                if misused or not (is_passing(error) or is_refusal(error)):
                    raise
                if is_refusal(error):
                    raise told(error, self.place) from None
                now = asyncio.get_running_loop().time()
                ends = ends or now + self.place.patience_s
                if now + wait > ends:
                    raise down(error, self.place) from None
            else:
                await self._keep(link)
                return result
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    async def _once(self, link: Link, work: Work[T], settled: Work[T] | None) -> T:
        await self._end_lost(link)
        if settled is not None:
            try:
                return await settled(link)
            except Repeat:
                pass
        return await work(link)

    async def _connect(self) -> Link:
        label = f"kalshi_ray {os.getpid()} {uuid.uuid4().hex}"
        connection = await asyncpg.connect(
            **self.place.arguments(),
            timeout=min(self._stall_s, self.place.patience_s / 2),  # so that a silent server is asked twice
            statement_cache_size=0,
            server_settings={"application_name": label},
        )
        link = Link(connection, label, stall_s=self._stall_s)
        try:
            await link.during(self._greet(link))
        except BaseException:
            self._drop(link)
            raise
        return link

    async def _greet(self, link: Link) -> None:
        """Check the server, and set what our promises need for the whole connection where it is ours alone.

        Behind a pooler others would inherit it: there it holds for each transaction of ours.
        """
        async with link.transaction():  # a role or a database may be given a few milliseconds for a statement
            server = await link.row(
                "SELECT current_setting('server_version_num')::int AS version, pg_backend_pid() AS process,"
                " current_setting('server_version') AS name, current_setting('server_encoding') AS encoding"
            )
        assert server is not None  # a SELECT without FROM has one row
        if server["version"] < OLDEST_SERVER:
            raise DataError(f"{self.place} is PostgreSQL {server['name']}", remedy="Version 14 or newer is needed")
        if server["encoding"] != "UTF8":
            raise DataError(
                f"{self.place} holds texts as {server['encoding']}", remedy="Create a database WITH ENCODING 'UTF8'"
            )
        if server["process"] == link.process:
            keepalives = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;"
            await link.script(link.bounds("SET") + keepalives)

    async def _end_lost(self, link: Link) -> None:
        """Make sure that nothing is under way any more on connections that broke: then it can be looked up."""
        while self._lost:
            label = self._lost[-1]
            gone = await link.rows(
                "SELECT pg_terminate_backend(pid, 5000) AS gone FROM pg_stat_activity WHERE application_name = $1",
                label,
            )
            if not all(row["gone"] for row in gone):
                raise ConnectionError("the server is still busy with a connection that broke")
            self._lost.remove(label)

    def _drop(self, link: Link) -> None:
        self._lost.append(link.label)
        link.end()

    async def _keep(self, link: Link) -> None:
        if len(self._idle) < KEPT and not link.is_ended:
            self._idle.append(link)
        else:
            await link.close()


def in_background(work: Coroutine[Any, Any, T]) -> T:
    """Run on the loop of this process's own thread and wait for it. Ctrl-C cancels the work."""
    future = asyncio.run_coroutine_threadsafe(work, _loop(os.getpid()))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _loop(process: int) -> asyncio.AbstractEventLoop:
    """The loop of a process, in a thread that ends with it; of threads that ask first at once, one makes it."""
    loop = _LOOPS.get(process)
    if loop is None:
        made = asyncio.new_event_loop()
        made.set_exception_handler(_note)
        loop = _LOOPS.setdefault(process, made)  # without a lock: a child forked meanwhile would find it held for good
        if loop is made:
            threading.Thread(target=loop.run_forever, name="kalshi-ray-postgres", daemon=True).start()
        else:
            made.close()
    return loop


def _note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waited for, such as a handshake that was given up: its call has said or repeated what matters."""
    debug("postgres.leftover", what=context["message"], error=str(context.get("exception", "")))


def _end_all(idle: list[Link], process: int) -> None:
    """What happens to connections whose database nobody uses any more; it may be called in any thread."""
    if process == os.getpid() and idle:
        loop = _loop(process)
        for link in idle:
            loop.call_soon_threadsafe(link.end)
