"""Sessions in PostgreSQL: documents and frames as they are, tables as rows. See `data.backend.Backend`."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from kalshi_ray.data.catalog.database import STALL_S, CallersError, Database, Repeat, Work
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.migrations import STEPS, Step, is_ready, make_ready, quoted
from kalshi_ray.data.catalog.outline import HeldOutline, missing
from kalshi_ray.data.catalog.rows import Entry, Holding, Rows
from kalshi_ray.data.catalog.tables import PARTITIONED, StoredTable, is_table, stored_table, sum_parts
from kalshi_ray.data.catalog.urls import Place
from kalshi_ray.data.pieces import number_of
from kalshi_ray.data.rowsum import RowSum
from kalshi_ray.data.schema import FileEntry
from kalshi_ray.errors import DataError, KalshiRayError, SessionDamaged, StoreDown

T = TypeVar("T")

LARGEST_CONTENT = 1_000_000_000  # bytes of a document or a blob; the server's own limit is a little above


class PostgresBackend:
    """Pieces of sessions in one schema of a database, which the first write sets up.

    A call that meets a server which went away is repeated for as long as the place's patience; a write of which it is
    not known whether it was carried out is looked up first.
    """

    def __init__(self, place: Place, *, steps: Sequence[Step] = STEPS, stall_s: float = STALL_S) -> None:
        self.place = place
        self.database = Database(place, stall_s=stall_s)
        self.steps = tuple(steps)
        self._home = quoted(place)
        self._rows = Rows(place, self.steps)

    @property
    def speaks(self) -> int:
        """The version of the schema that it reads and writes."""
        return self.steps[-1].version

    @property
    def url(self) -> str:
        """The URL without its password."""
        return str(self.place)

    @property
    def local(self) -> Path | None:
        """None: it is no folder."""
        return None

    def outline(self, session_id: str | None = None) -> HeldOutline:
        """All sessions, or one, in one statement."""
        return HeldOutline(self.where, self._ask(lambda link: self._rows.outline(link, session_id), {}))

    @property
    def row_sums(self) -> Callable[[str, Sequence[str]], dict[str, RowSum]]:
        """The server sums rows several times as fast as it sends them."""
        return self._sum_rows

    def ids(self) -> list[str]:
        """Names of all sessions, sorted."""
        return self._ask(self._rows.ids, [])

    def sizes(self, session_id: str) -> dict[str, int]:
        """Bytes of every piece of a session."""
        return self._ask(lambda link: self._rows.sizes(link, session_id), {})

    def where(self, session_id: str, name: str = "") -> str:
        """Piece, session and database."""
        return f"{name} of session {session_id!r} in {self.url}" if name else f"session {session_id!r} in {self.url}"

    def read(self, session_id: str, name: str) -> bytes:
        """A document or a blob. FileNotFoundError if there is none."""
        content = self._ask(lambda link: self._rows.content(link, session_id, name), None)
        if content is None:
            raise FileNotFoundError(self.where(session_id, name))
        return content

    def write(self, session_id: str, name: str, content: bytes | memoryview) -> None:
        """A document or a blob, which may replace one."""
        self._put(session_id, name, bytes(content), is_new=False)

    def create(self, session_id: str, name: str, content: bytes) -> None:
        """A document that must not exist yet. FileExistsError if it does: the primary key decides between two."""
        if not self._put(session_id, name, content, is_new=True):
            raise FileExistsError(self.where(session_id, name))

    def take_away(self, session_id: str, name: str, expected: bytes) -> bool:
        """Remove a document if it still holds `expected`.

        Where the answer is lost, one that is gone counts as taken by us: who may put another there, `create` decides.
        """

        async def settled(link: Link) -> bool:
            held = await self._rows.content(link, session_id, name)
            if held == expected:
                raise Repeat
            return held is None

        async def work(link: Link) -> bool:
            async with link.transaction():
                return await self._rows.take_away(link, session_id, name, expected)

        return self._ask(work, False, settled=settled)

    def remove(self, session_id: str, name: str) -> None:
        """Remove one piece; nothing if there is none."""

        async def work(link: Link) -> None:
            async with link.transaction():
                number = await self._rows.begin(link, session_id, Holding.ROWS)
                if number is not None and await self._rows.holds(link, number, name):
                    if is_table(name):
                        await stored_table(name).clear(link, self._home, number)
                    await self._rows.forget(link, number, name)

        self._ask(work, None)

    def remove_session(self, session_id: str) -> None:
        """Remove a session with all its pieces: what is large by dropping its partitions."""

        async def work(link: Link) -> None:
            async with link.transaction():
                number = await self._rows.begin(link, session_id, Holding.ALONE)
                if number is not None:
                    for table in PARTITIONED:
                        await link.run(f"DROP TABLE IF EXISTS {self._home}.{table}_{number}", is_long=True)
                    await self._rows.forget_session(link, number)

        self._ask(work, None)

    def write_table(self, session_id: str, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> FileEntry:
        """One table with its row in `pieces`, in one transaction; may replace one.

        `tables` that can be gone through only once cannot be sent again: StoreDown if the connection is lost meanwhile.
        """
        table, call = self._table(name, schema), uuid.uuid4()
        source = _Source(tables, self.where(session_id, name))

        async def work(link: Link) -> FileEntry:
            await make_ready(link, self.place, self.steps)
            while True:
                async with link.transaction():
                    number = await self._rows.begin(link, session_id, Holding.ROWS)
                    if number is not None and await table.has_room(link, self._home, number):
                        if await self._rows.holds(link, number, name):
                            await table.clear(link, self._home, number)
                        written = await table.send(link, self._home, number, source.begin())
                        await self._rows.enter(link, number, Entry(name, "table", written), call)
                        return written
                async with link.transaction():  # its own: whoever reads other sessions must not wait for our rows
                    number = await self._rows.begin_or_make(link, session_id, Holding.ROWS)
                    await table.prepare(link, self._home, number)

        async def settled(link: Link) -> FileEntry:
            written = await self._rows.written_by(link, session_id, name, call)
            if written is None:
                raise Repeat
            return written

        return self.database.call(work, settled=self._if_ready(settled))

    def rows(self, session_id: str, name: str, schema: pa.Schema) -> int:
        """Rows as they were counted in the transaction that wrote them. SessionDamaged if there is no such table."""
        self._table(name, schema)
        found = self._ask(lambda link: self._rows.numbers(link, session_id, name), None)
        if found is None:
            raise missing(self.where(session_id, name))
        return found[1]

    def read_table(
        self,
        session_id: str,
        name: str,
        schema: pa.Schema,
        *,
        columns: Sequence[str] | None = None,
        markets: Sequence[int] | None = None,
    ) -> pa.Table:
        """Rows in their order: some columns in the order asked, some markets only, which the server picks out."""
        table, where = self._table(name, schema), self.where(session_id, name)

        async def work(link: Link) -> pa.Table | None:
            try:
                async with link.transaction(reads_only=True):
                    found = await self._rows.numbers(link, session_id, name)
                    if found is None:
                        return None
                    return await table.receive(link, self._home, *found, columns, markets, where)
            except SessionDamaged:
                # A partition that is dropped is gone for every transaction, also for those that began before.
                if not link.is_ended and await self._rows.numbers(link, session_id, name) != found:
                    raise ConnectionError(f"{where} was deleted meanwhile") from None  # looked for again
                raise

        found = self._ask(work, None)
        if found is None:
            raise missing(self.where(session_id, name))
        return found

    def checksum(self, session_id: str, name: str) -> str:
        """Of a table: from its rows, read again. Of the rest: by the server, which sends nothing but the result."""
        if is_table(name):
            table = stored_table(name)
            return table.sha256(self.read_table(session_id, name, table.schema))
        found = self._ask(lambda link: self._rows.hash_of_content(link, session_id, name), None)
        if found is None:
            raise missing(self.where(session_id, name))
        return found

    def _sum_rows(self, session_id: str, names: Sequence[str]) -> dict[str, RowSum]:
        parts = {number_of(name): name for name in names}

        async def work(link: Link) -> dict[int, RowSum]:
            async with link.transaction(reads_only=True):
                number = await self._rows.number(link, session_id)
                return {} if number is None else await sum_parts(link, self._home, number, list(parts))

        nothing: dict[int, RowSum] = {}
        found = self._ask(work, nothing)
        return {name: found.get(number, RowSum(0, 0)) for number, name in parts.items()}

    def _put(self, session_id: str, name: str, content: bytes, *, is_new: bool) -> bool:
        """Write a document or a blob; False if it must be new and is not."""
        if len(content) > LARGEST_CONTENT:
            raise DataError(
                f"{self.where(session_id, name)} has {len(content):,} bytes", remedy=f"At most {LARGEST_CONTENT:,} fit"
            )
        size = FileEntry(rows=0, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        entry = Entry(name, "blob" if name.startswith("raw/") else "document", size, content)
        call = uuid.uuid4()

        async def work(link: Link) -> bool:
            await make_ready(link, self.place, self.steps)
            async with link.transaction():
                number = await self._rows.begin_or_make(link, session_id, Holding.PIECES)
                return await self._rows.enter(link, number, entry, call, is_new=is_new)

        async def settled(link: Link) -> bool:
            if await self._rows.written_by(link, session_id, name, call) is None:
                raise Repeat
            return True

        return self.database.call(work, settled=self._if_ready(settled))

    def _ask(self, work: Work[T], nothing: T, *, settled: Work[T] | None = None) -> T:
        """Do `work` where the database is set up; otherwise there is `nothing`."""

        async def asked(link: Link) -> T:
            return await work(link) if await is_ready(link, self.place, self.steps) else nothing

        return self.database.call(asked, settled=settled)

    def _if_ready(self, settled: Work[T]) -> Work[T]:
        """The same lookup, where there may be nothing yet to look into."""

        async def looked_up(link: Link) -> T:
            if not await is_ready(link, self.place, self.steps):
                raise Repeat
            return await settled(link)

        return looked_up

    def _table(self, name: str, schema: pa.Schema) -> StoredTable:
        table = stored_table(name)
        if not schema.equals(table.schema):
            raise DataError(f"{name} has columns {schema.names}, expected {table.schema.names}")
        return table


class _Source:
    """Tables to send, from their beginning as often as that can be."""

    def __init__(self, tables: Iterable[pa.Table], where: str) -> None:
        self._tables = tables
        self._where = where
        self._is_used = False

    def begin(self) -> Iterator[pa.Table]:
        """All tables. StoreDown where they were begun before and cannot be again."""
        tables = iter(self._tables)
        if self._is_used and tables is self._tables:
            raise StoreDown(
                f"the connection was lost while {self._where} was being written",
                remedy="Nothing was half-written: write it again from its beginning",
            )
        self._is_used = True
        return _passed_through(tables)


def _passed_through(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    try:
        yield from tables
    except KalshiRayError:
        raise
    except Exception as error:  # whatever it is, it is not about the database
        raise CallersError(error) from error
