"""A finished session, opened for reading: manifest, markets, updates and, if synthetic, the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from kalshi_ray.data.backend import Backend
from kalshi_ray.data.parquet import ROW_GROUP, empty_table
from kalshi_ray.data.pieces import MARKETS_FILE, TRUTH_FILE, parts_among, raws_among
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, Manifest
from kalshi_ray.errors import NothingToDo, SessionDamaged, UnknownName
from kalshi_ray.telemetry import Progress


class Session:
    """One finished session. Tables come in arrival order; damage is a SessionDamaged that names the piece."""

    def __init__(self, backend: Backend, session_id: str, manifest: Manifest) -> None:
        self.id = session_id
        self.manifest = manifest
        self._backend = backend

    @property
    def is_local(self) -> bool:
        """Whether it lies on a disk of this machine, so that reading it again costs little."""
        return self._backend.local is not None

    @cached_property
    def parts(self) -> list[str]:
        """Names of the parts of updates, in order."""
        return parts_among(self.manifest.files)

    @cached_property
    def raw_parts(self) -> list[str]:
        """Names of the parts of received frames, in order."""
        return raws_among(self.manifest.files)

    @property
    def checksum(self) -> str:
        """The identity of this data: markets, grids, signals and rows in order, in whatever store and parts."""
        return self.manifest.content

    def markets(self) -> pa.Table:
        """The market table, schema MARKETS; `updates.market` is a row of it."""
        return self._read(MARKETS_FILE, MARKETS)

    def tickers(self) -> list[str]:
        """Tickers by row of the market table."""
        found: list[str] = self._read(MARKETS_FILE, MARKETS, ["ticker"])["ticker"].to_pylist()
        return found

    def updates(self, columns: Sequence[str] | None = None, markets: Sequence[str] | None = None) -> pa.Table:
        """Updates in arrival order, all columns or some, of all markets or the named ones.

        Rows with market -1 concern every market and are kept by any choice of markets.
        """
        _known_columns(columns, UPDATES)
        chosen = None if markets is None else self._choice(markets)
        tables = [self._read(name, UPDATES, columns, chosen) for name in self.parts]
        if not tables:
            table = empty_table(UPDATES)
            return table if columns is None else table.select(list(columns))
        return pa.concat_tables(tables)

    def update_batches(
        self, columns: Sequence[str] | None = None, markets: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The same part by part, in batches of at most a million rows."""
        _known_columns(columns, UPDATES)
        chosen = None if markets is None else self._choice(markets)
        for name in self.parts:
            yield from self._read(name, UPDATES, columns, chosen).combine_chunks().to_batches(max_chunksize=ROW_GROUP)

    def part(self, name: str) -> pa.Table:
        """The updates of one of `parts`."""
        return self._read(name, UPDATES)

    def raw_part(self, name: str) -> bytes:
        """One of `raw_parts`: frames as received, one JSON object a line, compressed by zstd."""
        try:
            return self._backend.read(self.id, name)
        except FileNotFoundError as error:
            raise SessionDamaged(f"{self._where(name)} is missing", remedy="Restore it from a copy") from error

    def truth(self) -> pa.Table:
        """The true probability after every update, schema TRUTH. NothingToDo unless the session is synthetic."""
        if not self.manifest.has_truth:
            raise NothingToDo(f"session {self.id!r} has no recorded truth", remedy="Only synthetic sessions do")
        return self._read(TRUTH_FILE, TRUTH)

    def verify_checksums(self, progress: Progress | None = None) -> None:
        """Hash every piece as stored and compare with the manifest. SessionDamaged names the first that differs."""
        for done, name in enumerate(self.manifest.files):
            if progress:
                progress("checksums", done, len(self.manifest.files))
            self.verify_piece(name)

    def verify_piece(self, name: str) -> None:
        """Hash one piece of the manifest as stored. SessionDamaged if it is not what was written."""
        expected = self.manifest.files[name].sha256
        found = self._backend.checksum(self.id, name)
        if found != expected:
            raise SessionDamaged(
                f"checksum of {self._where(name)} is {found[:16]}…, the manifest says {expected[:16]}…",
                remedy="Restore it from a copy",
            )

    def _choice(self, markets: Sequence[str]) -> list[int]:
        known = {ticker: row for row, ticker in enumerate(self.tickers())}
        for ticker in markets:
            if ticker not in known:
                raise UnknownName("market", ticker, list(known))
        return [-1, *(known[ticker] for ticker in markets)]

    def _read(
        self, name: str, schema: pa.Schema, columns: Sequence[str] | None = None, chosen: Sequence[int] | None = None
    ) -> pa.Table:
        table = self._backend.read_table(self.id, name, schema, columns=columns, markets=chosen)
        rows = self.manifest.files[name].rows
        if chosen is None and table.num_rows != rows:
            raise SessionDamaged(f"{self._where(name)} holds {table.num_rows:,} rows, the manifest says {rows:,}")
        return table

    def _where(self, name: str) -> str:
        return self._backend.where(self.id, name)


def _known_columns(columns: Sequence[str] | None, schema: pa.Schema) -> None:
    for name in columns or ():
        if name not in schema.names:
            raise UnknownName("column of updates", name, schema.names)
