"""One connection to the database, and the watch that ends it when nothing moves on it any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

_LONG = 20  # times as long as usual may a statement take that goes through a table, or carries a large content
_LARGE = 1 << 24  # bytes of a content from which that is so
LOCK_S = 10.0  # how long a statement waits for somebody else's lock

Sink = Callable[[bytes], Awaitable[None]]


class Link:
    """A connection and what our calls do on it. `label` is its name in the server's list of connections."""

    def __init__(self, connection: asyncpg.Connection, label: str, *, stall_s: float) -> None:
        self.label = label
        self.is_checked = False  # whether the schema is known to be ours, in our version
        self.may_write = False  # whether we are known to have the rights for it
        self._connection = connection
        self._stall_s = stall_s
        self._alarm: asyncio.TimerHandle | None = None
        self._ended = asyncio.get_running_loop().create_future()
        connection.add_termination_listener(self._note_end)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more can come over it."""
        return self._ended.done() or bool(self._connection.is_closed())

    @property
    def process(self) -> int:
        """The number of the server's process for this connection, as whoever answered us gave it."""
        return int(self._connection.get_server_pid())

    @property
    def server_version(self) -> int:
        """The first number of the server's version."""
        return int(self._connection.get_server_version().major)

    def end(self) -> None:
        """Drop the connection at once; what was under way is rolled back by the server."""
        self._rest()
        self._connection.terminate()
        self._note_end()

    async def close(self) -> None:
        """Take leave of the server."""
        self._rest()
        await self._connection.close(timeout=2.0)

    def bounds(self, word: str = "SET LOCAL") -> str:
        """SQL that sets what our promises need: time for our statements, an end of dead ones, commits on disk."""
        values = {
            "statement_timeout": "0",
            "lock_timeout": str(int(LOCK_S * 1_000)),
            "idle_in_transaction_session_timeout": "60000",
            "client_min_messages": "warning",
        } | ({"transaction_timeout": "0"} if self.server_version >= 17 else {})
        is_local = "false" if word == "SET" else "true"
        return " ".join(f"{word} {name} = {value};" for name, value in values.items()) + (
            f" SELECT set_config('synchronous_commit', 'on', {is_local})"
            " WHERE current_setting('synchronous_commit') = 'off';"
        )

    async def during(self, work: Awaitable[T]) -> T:
        """Do `work`, which uses this link, until it is done or the connection is over: then ConnectionResetError."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():  # the library waits for room in a buffer that nobody will empty
                await asyncio.wait({task}, timeout=0.1)
            if not task.done():
                raise ConnectionResetError("the connection was lost")
            return task.result()
        finally:
            self._rest()
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)

    async def run(self, sql: str, *arguments: object, is_long: bool = False) -> str:
        """One statement; returns what the server says it did. A long one is given more time to say nothing."""
        self._touch(_LONG if is_long else 1)
        said: str = await self._connection.execute(sql, *arguments)
        return said

    async def script(self, sql: str, *, is_long: bool = False) -> None:
        """Several statements without arguments."""
        self._touch(_LONG if is_long else 1)
        await self._connection.execute(sql)

    async def value(self, sql: str, *arguments: object, size: int = 0) -> Any:
        """The first column of the first row; None if there is none. `size`: bytes that it carries, if they are many."""
        self._touch(_LONG if size >= _LARGE else 1)
        return await self._connection.fetchval(sql, *arguments)

    async def row(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        """The first row."""
        self._touch()
        return await self._connection.fetchrow(sql, *arguments)

    async def rows(self, sql: str, *arguments: object, is_long: bool = False) -> list[asyncpg.Record]:
        """All rows."""
        self._touch(_LONG if is_long else 1)
        found: list[asyncpg.Record] = await self._connection.fetch(sql, *arguments)
        return found

    @asynccontextmanager
    async def transaction(self, *, reads_only: bool = False) -> AsyncIterator[None]:
        """Everything inside or nothing. `reads_only`: one state of the database throughout.

        What bounds it is set for it alone: a pooler may give the next one another connection to the server.
        """
        level = "REPEATABLE READ READ ONLY" if reads_only else "READ COMMITTED"
        await self.script(f"BEGIN ISOLATION LEVEL {level}; {self.bounds()}")
        try:
            yield
        except Exception:
            if not self.is_ended:
                # Where that fails, the connection does too, and the server rolls back what was under way on it.
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self.script("ROLLBACK")
            raise
        await self.script("COMMIT")

    async def copy_in(self, schema: str, table: str, columns: Sequence[str], chunks: AsyncIterator[bytes]) -> None:
        """Send rows in the binary format. The watch rests while we wait for our own chunks."""

        async def watched() -> AsyncIterator[bytes]:
            self._rest()
            async for chunk in chunks:
                if self.is_ended:
                    raise ConnectionResetError("the connection was lost")
                self._touch()
                yield chunk
                self._rest()
            self._touch()

        await self._connection.copy_to_table(
            table, schema_name=schema, columns=columns, source=watched(), format="binary"
        )

    async def copy_records(
        self, schema: str, table: str, columns: Sequence[str], records: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert a few rows."""
        self._touch()
        await self._connection.copy_records_to_table(table, schema_name=schema, columns=columns, records=records)

    async def copy_out(self, query: str, sink: Sink) -> None:
        """Receive the rows of a query in the binary format."""

        async def watched(data: bytes) -> None:
            self._rest()
            await sink(data)
            self._touch()

        self._touch()
        await self._connection.copy_from_query(query, output=watched, format="binary")

    def _touch(self, times: int = 1) -> None:
        self._rest()
        self._alarm = asyncio.get_running_loop().call_later(times * self._stall_s, self.end)

    def _rest(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _note_end(self, _: object = None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
