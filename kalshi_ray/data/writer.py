"""Writing one session: exclusive, part by part, finished by its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa

from kalshi_ray.data.backend import Backend
from kalshi_ray.data.content import check_whole
from kalshi_ray.data.manifest import COMPUTED, count_rows, encode_manifest, entries_of, extent, stored_parts
from kalshi_ray.data.owner import check_held, release
from kalshi_ray.data.parquet import ROW_GROUP, check_columns, decode_table, empty_table, encode_table
from kalshi_ray.data.pieces import (
    DRAFT,
    MANIFEST,
    MARKETS_FILE,
    TRUTH_FILE,
    part_name,
    raw_name,
    raws_among,
)
from kalshi_ray.data.proving import WrittenRows
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, FileEntry, Manifest
from kalshi_ray.errors import DataError, SessionDamaged, UsageError
from kalshi_ray.telemetry import Progress

# What a writer is told of a session; everything else of a manifest is its name or computed.
DESCRIBED = frozenset(Manifest.__struct_fields__) - {"id", "schema_version", "files", *COMPUTED}


class SessionWriter:
    """Writes one session; use as a context manager and `commit` at the end.

    Either rows are given to `append`, which rolls them into parts of about a million, or parts are given whole to
    `write_part`. Leaving without `commit` writes out what is buffered and leaves the session unfinished:
    `SessionStore.recover` finishes it, `SessionStore.resume` goes on with it. After an error of the store the same
    call may be made again: what was stored by the first one is replaced, never doubled.
    """

    def __init__(
        self, backend: Backend, manifest: Manifest, claim: bytes, *, sizes: dict[str, int] | None = None
    ) -> None:
        """`claim` is the lock as taken; `sizes` are the pieces that an earlier writer left."""
        self.id = manifest.id
        self._backend = backend
        self._manifest = manifest
        self._claim = claim
        self._is_resumed = sizes is not None
        self._entries: dict[str, FileEntry] = {}
        parts = stored_parts(backend, self.id, sizes or {})
        self._parts = len(parts)
        look = backend.outline(self.id) if parts else backend
        self._rows = sum(look.rows(self.id, name, UPDATES) for name in parts)
        self._raws = set(raws_among(sizes or {}))
        self._sizes = {name: size for name, size in (sizes or {}).items() if name in self._raws or name in parts}
        held = MARKETS_FILE in (sizes or {})
        self._markets = backend.read_table(self.id, MARKETS_FILE, MARKETS) if held else empty_table(MARKETS)
        self._tickers = set(self._markets["ticker"].to_pylist())
        self._has_markets = held
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._truth: list[pa.Buffer] = []
        ask = backend.row_sums
        # Rows that an earlier writer stored are known from the store alone: then all are read at the end.
        self._written = WrittenRows(backend, self.id, ask) if ask is not None and not parts else None
        self._finished: Manifest | None = None
        self._is_open = True

    @property
    def manifest(self) -> Manifest:
        """What the session is known to be so far."""
        return self._manifest

    @property
    def parts(self) -> int:
        """Parts of updates that are stored."""
        return self._parts

    @property
    def rows(self) -> int:
        """Updates that are stored."""
        return self._rows

    @property
    def stored_bytes(self) -> int:
        """Bytes of the parts and raw parts that are stored."""
        return sum(self._sizes.values())

    @property
    def market_rows(self) -> int:
        """Rows of the market table that are stored."""
        return int(self._markets.num_rows)

    @property
    def market_table(self) -> pa.Table:
        """The market table as stored, schema MARKETS."""
        return self._markets

    def describe(self, **fields: Any) -> None:
        """Set fields of the manifest that are not computed. The draft is written anew at once, if it changes."""
        self._check_open()
        if unknown := sorted(fields.keys() - DESCRIBED):
            known = ", ".join(sorted(DESCRIBED))
            raise UsageError(f"a session is not described by {', '.join(unknown)}", remedy=f"Give some of {known}")
        try:
            manifest = msgspec.convert(msgspec.to_builtins(self._manifest) | msgspec.to_builtins(fields), Manifest)
        except msgspec.ValidationError as error:
            raise UsageError(f"a manifest cannot say that: {error}") from error
        if manifest != self._manifest:
            self._check_held()
            self._backend.write(self.id, DRAFT, encode_manifest(manifest))
            self._manifest = manifest

    def add_markets(self, table: pa.Table) -> None:
        """Append rows to the market table (schema MARKETS), before any update that refers to them."""
        self._check_open()
        check_columns(table, MARKETS)
        check_whole(table, MARKETS, "the market table")
        merged = pa.concat_tables([self._markets, table])
        tickers = self._tickers | set(table["ticker"].to_pylist())
        if len(tickers) != merged.num_rows:
            raise DataError("the market table has a ticker twice")
        self._check_held()
        self._put_table(MARKETS_FILE, [merged], MARKETS)
        self._markets, self._tickers, self._has_markets = merged, tickers, True

    def append(self, table: pa.Table) -> None:
        """Append updates (schema UPDATES), in arrival order. If the store fails they stay buffered for `flush`."""
        self._check_open()
        self._check_updates(table)
        if not table.num_rows:
            return
        self._pending.append(table)
        self._pending_rows += table.num_rows
        while self._pending_rows >= ROW_GROUP:
            self._roll(ROW_GROUP)

    def write_part(self, number: int, table: pa.Table) -> None:
        """Store updates (schema UPDATES) as the part of that number, or do nothing if it is stored already."""
        self._check_open()
        if number < self._parts:
            return
        if number > self._parts:
            raise UsageError(f"part {number} of session {self.id!r} is early: {self._parts} are stored")
        if self._pending_rows:
            raise UsageError(f"{self._pending_rows:,} rows wait before part {number}", remedy="Call flush first")
        self._check_updates(table)
        self._store_part(table)

    def put_raw(self, number: int, content: bytes, *, level: int = 0) -> None:
        """Store received frames, compressed by zstd, as the raw part of that number. May be repeated.

        `level` is that of a raw part that was packed.
        """
        self._check_open()
        self._check_held()
        name = raw_name(number)
        self._entries.pop(name, None)
        self._backend.write(self.id, name, content)
        digest = hashlib.sha256(content).hexdigest()
        self._entries[name] = FileEntry(rows=0, bytes=len(content), sha256=digest, level=level)
        self._raws.add(name)
        self._sizes[name] = len(content)

    def keep_raw(self, name: str, entry: FileEntry) -> bool:
        """Whether an earlier writer stored exactly this raw part, which is then as good as put."""
        if self._sizes.get(name) != entry.bytes or self._backend.checksum(self.id, name) != entry.sha256:
            return False
        self._entries[name] = entry
        return True

    def drop_raw(self, name: str) -> None:
        """Remove a raw part that an earlier writer stored."""
        self._check_open()
        self._check_held()
        self._backend.remove(self.id, name)
        self._entries.pop(name, None)
        self._raws.discard(name)
        self._sizes.pop(name, None)

    @property
    def raw_parts(self) -> frozenset[str]:
        """Names of the raw parts that are stored."""
        return frozenset(self._raws)

    def add_truth(self, table: pa.Table) -> None:
        """Append the true probabilities (schema TRUTH) of a synthetic session; kept in memory until `commit`."""
        self._check_open()
        check_whole(table, TRUTH, "the truth")
        self._truth.append(encode_table(table, TRUTH))

    def flush(self) -> None:
        """Write out what is buffered, so that it survives a crash."""
        self._check_open()
        if self._pending_rows:
            self._roll(self._pending_rows)

    def commit(
        self,
        progress: Progress | None = None,
        *,
        origin: dict[str, Any] | None = None,
        settle: Callable[[], None] = lambda: None,
    ) -> Manifest:
        """Finish the session: counts and identity from the stored rows, then the manifest, last and at once.

        `origin` stands in the manifest in place of what the draft says. The draft stays until `settle`, called once
        the session is finished, has returned: it tells whoever comes after a crash what else there was.
        SessionDamaged if the draft promised another identity, as that of a copy does.
        """
        self._check_open()
        if self._finished is None:
            self._finished = self._finish(progress, origin)
        settle()
        self._backend.remove(self.id, DRAFT)
        release(self._backend, self.id, self._claim)
        self._is_open = False
        return self._finished

    def _finish(self, progress: Progress | None, origin: dict[str, Any] | None) -> Manifest:
        if not self._has_markets:
            raise DataError(f"session {self.id!r} has no market table", remedy="Call add_markets first")
        self.flush()
        self._check_held()
        if self._truth:
            self._put_table(TRUTH_FILE, self._truth_tables(), TRUTH)
        known = self._manifest if origin is None else msgspec.structs.replace(self._manifest, origin=origin)
        manifest = made_from_rows(self._backend, known, self._entries, progress, written=self._written)
        self._check_held()
        self._backend.write(self.id, MANIFEST, encode_manifest(manifest))
        return manifest

    def close(self) -> None:
        """Write out what is buffered, leave the session unfinished and give the lock back."""
        if not self._is_open:
            return
        try:
            self.flush()
        finally:
            self._is_open = False
            release(self._backend, self.id, self._claim)

    def discard(self) -> None:
        """Remove everything this writer wrote, as if it had never begun."""
        self._check_open()
        if self._is_resumed:
            raise UsageError(f"session {self.id!r} was begun by an earlier writer", remedy="Close it, then delete it")
        self._check_held()
        erase(self._backend, self.id)
        self._is_open = False

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(f"the writer of session {self.id!r} is closed", remedy="Open another session")

    def _check_held(self) -> None:
        check_held(self._backend, self.id, self._claim)

    def _check_updates(self, table: pa.Table) -> None:
        check_columns(table, UPDATES)
        check_whole(table, UPDATES, "the updates")
        if not table.num_rows:
            return
        low, high = extent(table["market"])
        if low < -1 or high >= self.market_rows:
            raise DataError(f"updates refer to markets {low}..{high}, the market table has {self.market_rows} rows")

    def _roll(self, rows: int) -> None:
        """Store the first `rows` buffered rows as the next part."""
        table = pa.concat_tables(self._pending)
        self._store_part(table.slice(0, rows))
        rest = table.slice(rows)
        self._pending = [rest] if rest.num_rows else []
        self._pending_rows = rest.num_rows

    def _store_part(self, table: pa.Table) -> None:
        self._check_held()
        name = part_name(self._parts)
        self._put_table(name, [table], UPDATES)
        if self._written is not None:
            self._written.add(name, table)
        self._sizes[name] = self._entries[name].bytes
        self._parts += 1
        self._rows += table.num_rows

    def _truth_tables(self) -> Iterator[pa.Table]:
        return (decode_table(buffer) for buffer in self._truth)

    def _put_table(self, name: str, tables: Any, schema: pa.Schema) -> None:
        self._entries.pop(name, None)  # whatever comes of it, the piece is no more what it was
        self._entries[name] = self._backend.write_table(self.id, name, tables, schema)


def made_from_rows(
    backend: Backend,
    manifest: Manifest,
    known: dict[str, FileEntry],
    progress: Progress | None = None,
    *,
    written: WrittenRows | None = None,
) -> Manifest:
    """The manifest of a session that is being finished. SessionDamaged if its rows are not those it promised.

    Its rows are read, unless all of them were `written` by us: then the store says whether it holds these.
    """
    sizes = backend.sizes(manifest.id)
    parts = stored_parts(backend, manifest.id, sizes)
    if written is not None:
        made = written.count(manifest, parts, progress)
    else:
        made = count_rows(backend, manifest.id, manifest, parts, progress)
    if manifest.content not in ("", made.content):
        raise SessionDamaged(
            f"{backend.where(manifest.id)} has content {made.content[:16]}…, expected {manifest.content[:16]}…",
            remedy="It is not a true copy: delete it and copy again",
        )
    return msgspec.structs.replace(made, files=entries_of(backend, manifest.id, sizes, known))


def erase(backend: Backend, session_id: str) -> None:
    """Remove a session. What is left of it if that is interrupted is neither finished nor can it be recovered."""
    for name in (DRAFT, MANIFEST):
        backend.remove(session_id, name)
    backend.remove_session(session_id)
