"""A finished session, opened for reading: manifest, markets, updates and, if synthetic, the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.files import Files
from kalshi_ray.data.parquet import empty_table, open_parquet, read_columns
from kalshi_ray.data.schema import MARKETS, SCHEMA_VERSION, TRUTH, UPDATES, FileEntry, Manifest
from kalshi_ray.errors import NothingToDo, SessionDamaged, UnknownName

MANIFEST = "session.json"
MARKETS_FILE = "markets.parquet"
TRUTH_FILE = "truth.parquet"
_KIND_NAMES = {int(kind): kind.name for kind in Kind}

Progress = Callable[[str, int, int], None]  # label, done, total


class Session:
    """One finished session. Tables come in arrival order; damage is a SessionDamaged that names the file."""

    def __init__(self, files: Files, session_id: str, manifest: Manifest) -> None:
        self.id = session_id
        self.manifest = manifest
        self._files = files
        self._folder = session_folder(session_id)

    @property
    def parts(self) -> list[str]:
        """Names of the update files, in order."""
        return sorted(name for name in self.manifest.files if name.startswith("updates/"))

    @property
    def checksum(self) -> str:
        """One hash over the hashes of all files: the identity of this data."""
        lines = "".join(f"{name}:{entry.sha256}\n" for name, entry in sorted(self.manifest.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def markets(self) -> pa.Table:
        """The market table, schema MARKETS; `updates.market` is a row of it."""
        return self._read(MARKETS_FILE, MARKETS, None)

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
        tables = [self._part(name, columns, chosen) for name in self.parts]
        if not tables:
            table = empty_table(UPDATES)
            return table if columns is None else table.select(list(columns))
        return pa.concat_tables(tables)

    def update_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Updates in arrival order, file by file, in batches of at most a million rows."""
        _known_columns(columns, UPDATES)
        for name in self.parts:
            yield from self._part(name, columns, None).combine_chunks().to_batches()

    def truth(self) -> pa.Table:
        """The true probability after every update, schema TRUTH. NothingToDo unless the session is synthetic."""
        if not self.manifest.has_truth:
            raise NothingToDo(f"session {self.id!r} has no recorded truth", remedy="Only synthetic sessions do")
        return self._read(TRUTH_FILE, TRUTH, None)

    def verify_checksums(self, progress: Progress | None = None) -> None:
        """Hash every file and compare with the manifest. SessionDamaged names the first that differs."""
        for done, (name, entry) in enumerate(self.manifest.files.items()):
            if progress:
                progress("checksums", done, len(self.manifest.files))
            path = f"{self._folder}/{name}"
            try:
                found = hashlib.sha256(self._files.read(path)).hexdigest()
            except OSError as error:
                raise SessionDamaged(f"{self._files.path(path)} is missing or unreadable: {error}") from error
            if found != entry.sha256:
                raise SessionDamaged(
                    f"checksum of {self._files.path(path)} is {found[:16]}…, the manifest says {entry.sha256[:16]}…",
                    remedy="Restore the file from a copy",
                )

    def _choice(self, markets: Sequence[str]) -> pa.Array:
        known = {ticker: row for row, ticker in enumerate(self.tickers())}
        for ticker in markets:
            if ticker not in known:
                raise UnknownName("market", ticker, list(known))
        return pa.array([-1, *(known[ticker] for ticker in markets)], pa.int32())

    def _part(self, name: str, columns: Sequence[str] | None, chosen: pa.Array | None) -> pa.Table:
        if chosen is None or columns is None or "market" in columns:
            table = self._read(name, UPDATES, columns)
            return table if chosen is None else table.filter(pc.is_in(table["market"], chosen))
        table = self._read(name, UPDATES, [*columns, "market"])
        return table.filter(pc.is_in(table["market"], chosen)).select(list(columns))

    def _read(self, name: str, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
        rows = self.manifest.files[name].rows
        return read_columns(self._files, f"{self._folder}/{name}", schema, columns=columns, rows=rows)


def session_folder(session_id: str) -> str:
    """Where a session lies below its store."""
    return f"sessions/{session_id}"


def read_manifest(files: Files, session_id: str, name: str = MANIFEST) -> Manifest:
    """The manifest of a session. FileNotFoundError if there is none, SessionDamaged if it is not one."""
    path = f"{session_folder(session_id)}/{name}"
    content = files.read(path)
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise SessionDamaged(
                f"{files.path(path)} has schema version {version}, this version reads {SCHEMA_VERSION}",
                remedy="Use the version that wrote it, or record or import it again",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise SessionDamaged(
            f"{files.path(path)} is not a session manifest: {error}", remedy="Restore it from a copy"
        ) from error
    if manifest.id != session_id:
        raise SessionDamaged(
            f"{files.path(path)} is the manifest of {manifest.id!r}, not of {session_id!r}",
            remedy="A session keeps its name: name its folder as it was, or export and import it",
        )
    return manifest


def check_files(files: Files, session_id: str, manifest: Manifest) -> None:
    """SessionDamaged unless every file of the manifest is there in the size it says."""
    folder = session_folder(session_id)
    sizes = files.sizes(folder)
    for name in {MARKETS_FILE, *manifest.files}:
        entry = manifest.files.get(name)
        if entry is None or name not in sizes:
            raise SessionDamaged(f"{files.path(folder)}/{name} is missing", remedy="Restore it from a copy")
        if sizes[name] != entry.bytes:
            raise SessionDamaged(
                f"{files.path(folder)}/{name} has {sizes[name]:,} bytes, the manifest says {entry.bytes:,}",
                remedy="Restore it from a copy",
            )


def count_rows(files: Files, session_id: str, manifest: Manifest) -> Manifest:
    """The manifest with files, counts and times as the files on disk say: the only way they are ever made.

    Known entries of `manifest.files` keep their hash; the others are hashed here.
    """
    folder = session_folder(session_id)
    sizes = files.sizes(folder)
    parts = sorted(name for name in sizes if name.startswith("updates/"))
    if parts != [part_name(number) for number in range(len(parts))]:
        raise SessionDamaged(f"{files.path(folder)} has update files {parts}, expected an unbroken row of parts")
    kinds: dict[str, int] = {}
    times: list[int] = []
    rows = {name: _count_part(files, f"{folder}/{name}", kinds, times) for name in parts}
    for name, schema in ((MARKETS_FILE, MARKETS), (TRUTH_FILE, TRUTH)):
        if name in sizes:
            with open_parquet(files, f"{folder}/{name}", schema) as parquet:
                rows[name] = parquet.metadata.num_rows
    rows |= {name: 0 for name in sizes if name.startswith("raw/")}
    entries = {name: _entry(files, folder, name, manifest, rows[name], sizes[name]) for name in sorted(rows)}
    return msgspec.structs.replace(
        manifest,
        files=entries,
        markets=rows.get(MARKETS_FILE, 0),
        updates=sum(rows[name] for name in parts),
        kinds=dict(sorted(kinds.items())),
        first_ns=min(times, default=0),
        last_ns=max(times, default=0),
    )


def part_name(number: int) -> str:
    """Name of the update file of that number."""
    return f"updates/part-{number:05d}.parquet"


def _count_part(files: Files, path: str, kinds: dict[str, int], times: list[int]) -> int:
    """Rows of one update file; adds its kinds and its first and last receive time."""
    table = read_columns(files, path, UPDATES, columns=["kind", "recv_ns"])
    for entry in pc.value_counts(table["kind"].combine_chunks()).to_pylist():
        if entry["values"] not in _KIND_NAMES:
            raise SessionDamaged(f"{files.path(path)} has rows of kind {entry['values']}, which is unknown")
        name = _KIND_NAMES[entry["values"]]
        kinds[name] = kinds.get(name, 0) + int(entry["counts"])
    if table.num_rows:
        extent = pc.min_max(table["recv_ns"])
        times += [extent["min"].as_py(), extent["max"].as_py()]
    return int(table.num_rows)


def _entry(files: Files, folder: str, name: str, manifest: Manifest, rows: int, size: int) -> FileEntry:
    known = manifest.files.get(name)
    if known is not None and known.bytes == size:
        return msgspec.structs.replace(known, rows=rows)
    return FileEntry(rows=rows, bytes=size, sha256=hashlib.sha256(files.read(f"{folder}/{name}")).hexdigest())


def _known_columns(columns: Sequence[str] | None, schema: pa.Schema) -> None:
    for name in columns or ():
        if name not in schema.names:
            raise UnknownName("column of updates", name, schema.names)


class _Version(msgspec.Struct):
    schema_version: int
