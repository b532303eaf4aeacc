"""Tables among the pieces of a session: the market table, and the wide ones that have a partition for each session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Protocol

import pyarrow as pa

from kalshi_ray.data.catalog.codec import Incoming, Outgoing, packed_sha256
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.market_rows import COLUMNS, MarketRows, market_table
from kalshi_ray.data.pieces import MARKETS_FILE, TRUTH_FILE, number_of
from kalshi_ray.data.rowsum import RowSum, row_sum_sql
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, FileEntry
from kalshi_ray.errors import UsageError

PARTITIONED = ("updates", "truth")  # each has a table `updates_<number of the session>` of its own
_RECEIVED = 2 << 20  # bytes decoded at a time
_MOST_LOOKED_UP = 16  # markets for which the index is asked one by one; for more the part is gone through


class StoredTable(Protocol):
    """One table of a session, in the database. `home` is the quoted schema, `number` the session's."""

    schema: pa.Schema

    async def has_room(self, link: Link, home: str, number: int) -> bool:
        """Whether there is a place for its rows."""

    async def prepare(self, link: Link, home: str, number: int) -> None:
        """Make room for it, in a transaction of its own."""

    async def clear(self, link: Link, home: str, number: int) -> None:
        """Delete its rows."""

    async def send(self, link: Link, home: str, number: int, tables: Iterable[pa.Table]) -> FileEntry:
        """Insert its rows."""

    async def receive(
        self,
        link: Link,
        home: str,
        number: int,
        rows: int,
        columns: Sequence[str] | None,
        markets: Sequence[int] | None,
        where: str,
    ) -> pa.Table:
        """Read its rows, of which there must be `rows`."""

    def sha256(self, table: pa.Table) -> str:
        """The hash that `send` gives these rows."""


def is_table(name: str) -> bool:
    """Whether a piece is kept as rows."""
    return name.endswith(".parquet")


def stored_table(name: str) -> StoredTable:
    """The table of a piece. UsageError for a name that no piece has."""
    if name == MARKETS_FILE:
        return MarketRowsTable()
    if name == TRUTH_FILE:
        return PartOfRows("truth", 0, TRUTH)
    try:
        return PartOfRows("updates", number_of(name), UPDATES)
    except ValueError:
        raise UsageError(f"a session has no table {name!r}", remedy="Known: markets, truth, updates/part-…") from None


class MarketRowsTable:
    """The market table: small, in one table for all sessions."""

    schema = MARKETS

    async def has_room(self, link: Link, home: str, number: int) -> bool:
        """There always is."""
        return True

    async def prepare(self, link: Link, home: str, number: int) -> None:
        """There is room."""

    async def clear(self, link: Link, home: str, number: int) -> None:
        """Delete the markets of the session."""
        await link.run(f"DELETE FROM {home}.markets WHERE session = $1", number)

    async def send(self, link: Link, home: str, number: int, tables: Iterable[pa.Table]) -> FileEntry:
        """Insert the markets in their order."""
        with _thread() as thread:
            going = await asyncio.get_running_loop().run_in_executor(thread, MarketRows, tables)
        records = [(number, market, *record) for market, record in enumerate(going.records)]
        await link.copy_records(home.strip('"'), "markets", ("session", "market", *COLUMNS), records)
        return FileEntry(rows=len(records), bytes=going.bytes, sha256=going.sha256)

    async def receive(
        self,
        link: Link,
        home: str,
        number: int,
        rows: int,
        columns: Sequence[str] | None,
        markets: Sequence[int] | None,
        where: str,
    ) -> pa.Table:
        """The markets in their order."""
        if markets is not None:
            raise UsageError("the market table is read whole", remedy="Choose rows of it afterwards")
        found = await link.rows(f"SELECT * FROM {home}.markets WHERE session = $1 ORDER BY market", number)
        return market_table(found, rows, columns, where)

    def sha256(self, table: pa.Table) -> str:
        """The hash of its rows as JSON lines."""
        return MarketRows([table]).sha256


class PartOfRows:
    """A part of the updates, or the truth: some rows of the session's partition."""

    def __init__(self, table: str, part: int, schema: pa.Schema) -> None:
        self.schema = schema
        self._table, self._part = table, part

    async def has_room(self, link: Link, home: str, number: int) -> bool:
        """Whether the partition is there, which is made and attached in one transaction."""
        return await link.value("SELECT to_regclass($1)", f"{home}.{self._table}_{number}") is not None

    async def prepare(self, link: Link, home: str, number: int) -> None:
        """Make the partition. Attached afterwards, so that nobody who reads other sessions has to wait."""
        own = f"{home}.{self._table}_{number}"
        if not await self.has_room(link, home, number):
            await link.script(
                f"CREATE TABLE {own} (LIKE {home}.{self._table} INCLUDING ALL);"
                f"ALTER TABLE {home}.{self._table} ATTACH PARTITION {own} FOR VALUES IN ({number})"
            )
            owner = await link.value(
                "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class"
                " WHERE oid = $1::regclass AND relowner <> current_user::regrole",
                f"{home}.{self._table}",
            )
            if owner is not None:  # who is only a member of the owner must not be the only one who can go on with it
                await link.run(f"ALTER TABLE {own} OWNER TO {owner}")

    async def clear(self, link: Link, home: str, number: int) -> None:
        """Delete the rows of this part."""
        await link.script("SET LOCAL enable_seqscan = off")
        await link.run(f"DELETE FROM {home}.{self._table}_{number} WHERE part = {self._part}", is_long=True)

    async def send(self, link: Link, home: str, number: int, tables: Iterable[pa.Table]) -> FileEntry:
        """Send the rows straight into the partition, and enter them into its index."""
        going = Outgoing(self.schema, tables, session=number, part=self._part)
        own = f"{self._table}_{number}"
        async with aclosing(_made_ahead(going.chunks())) as chunks:
            await link.copy_in(home.strip('"'), own, going.columns, chunks)
        await link.run(
            "SELECT brin_summarize_new_values(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " JOIN pg_am ON pg_am.oid = relam WHERE indrelid = $1::regclass AND amname = 'brin'",
            f"{home}.{own}",
            is_long=True,
        )
        return FileEntry(rows=going.rows, bytes=going.size, sha256=going.sha256)

    async def receive(
        self,
        link: Link,
        home: str,
        number: int,
        rows: int,
        columns: Sequence[str] | None,
        markets: Sequence[int] | None,
        where: str,
    ) -> pa.Table:
        """The rows of the part, brought into their order here; the server only picks them out."""
        coming = Incoming(self.schema, self.schema.names if columns is None else columns, where)
        query = (
            f"SELECT {', '.join(coming.columns)} FROM {home}.{self._table}"
            f" WHERE session = {number} AND part = {self._part}"
        )
        await link.script("SET LOCAL enable_seqscan = off")
        await _decoded_behind(link, " UNION ALL ".join(query + condition for condition in _among(markets)), coming)
        return await asyncio.to_thread(coming.table, rows, is_whole=markets is None)

    def sha256(self, table: pa.Table) -> str:
        """The hash of its rows, packed."""
        return packed_sha256(table, self.schema)


async def sum_parts(link: Link, home: str, number: int, parts: Sequence[int]) -> dict[int, RowSum]:
    """`rowsum.row_sum` of each part that has rows, computed by the server inside a transaction."""
    # The planner knows nothing of a partition that is being written: it would sort rows to group them, through the
    # disk, and compile an expression that is gone through faster as it is.
    await link.script("SET LOCAL jit = off; SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
    found = await link.rows(
        f"SELECT part, count(*) AS rows, {row_sum_sql('ordinal')} AS total FROM {home}.updates"
        f" WHERE session = {number} AND part BETWEEN {min(parts)} AND {max(parts)} GROUP BY part",
        is_long=True,
    )
    return {row["part"]: RowSum(row["rows"], int(row["total"])) for row in found}


def _among(markets: Sequence[int] | None) -> list[str]:
    """Conditions that together choose these markets, each row by one of them.

    The index is asked for a few markets one by one: of a list the planner would take no notice. Many are bounded there
    and picked out afterwards.
    """
    if markets is None:
        return [""]
    chosen = sorted({int(market) for market in markets})
    if len(chosen) <= _MOST_LOOKED_UP:
        return [f" AND market = {market}" for market in chosen] or [" AND false"]
    listed = ",".join(map(str, chosen))
    return [f" AND market BETWEEN {chosen[0]} AND {chosen[-1]} AND market + 0 = ANY('{{{listed}}}'::int[])"]


def _thread() -> ThreadPoolExecutor:
    """A thread for somebody else's tables: they may come from calls to this database, which must find threads free."""
    return ThreadPoolExecutor(1, thread_name_prefix="kalshi-ray-tables")


async def _made_ahead(chunks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Chunks made in another thread, one ahead of the one that is being sent."""
    loop = asyncio.get_running_loop()
    with _thread() as thread:  # which waits for the last one: whoever gave us the tables must not find them in use
        coming = loop.run_in_executor(thread, next, chunks, None)
        try:
            while (chunk := await asyncio.shield(coming)) is not None:
                coming = loop.run_in_executor(thread, next, chunks, None)
                yield chunk
        finally:
            await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()  # it was raised above, or came too late to matter


async def _decoded_behind(link: Link, query: str, coming: Incoming) -> None:
    """Receive what a query gives; it is decoded in another thread while more comes."""
    held: list[bytes] = []
    decoding = asyncio.ensure_future(asyncio.sleep(0))

    async def sink(data: bytes) -> None:
        nonlocal decoding
        held.append(data)
        if sum(map(len, held)) >= _RECEIVED:
            await decoding
            decoding = asyncio.ensure_future(asyncio.to_thread(coming.take, b"".join(held)))
            held.clear()

    try:
        await link.copy_out(query, sink)
    finally:
        await asyncio.wait({decoding})
    decoding.result()
    coming.take(b"".join(held))
