"""Writing one session: exclusive, part by part, finished by its manifest."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ray.data.files import PARTIAL, Files
from kalshi_ray.data.parquet import ROW_GROUP, TableEncoder, check_columns
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, FileEntry, Manifest
from kalshi_ray.data.session import (
    MANIFEST,
    MARKETS_FILE,
    TRUTH_FILE,
    count_rows,
    part_name,
    read_manifest,
    session_folder,
)
from kalshi_ray.errors import DataError, NothingToDo, SessionBusy, SessionDamaged, SessionUnfinished, UsageError

DRAFT = "session.draft.json"  # the manifest as known before the first row; what `recover` starts from
LOCK = "writer.lock"
RAW_BYTES = 32 << 20  # received frames are compressed in pieces of this many bytes


class Owner(msgspec.Struct, frozen=True):
    """Who holds the lock of a session: a process, told apart from later ones of the same number by its birth."""

    host: str
    pid: int
    birth: int  # start time of the process in clock ticks since boot; 0 unknown

    @classmethod
    def this(cls) -> Owner:
        """The process that asks."""
        return cls(host=socket.gethostname(), pid=os.getpid(), birth=_birth(os.getpid()))

    @property
    def is_dead(self) -> bool:
        """Certainly gone: a process of this machine that runs no more. Other machines cannot be asked."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return self.birth != 0 and _birth(self.pid) not in (0, self.birth)


class SessionWriter:
    """Writes one session; use as a context manager and `commit` at the end.

    Rows are rolled into files of about a million, each whole and synced before it gets its name. Leaving without
    `commit` writes out what is buffered and leaves the session unfinished: `SessionStore.recover` finishes it.
    """

    def __init__(self, files: Files, manifest: Manifest, *, keep_raw: bool = False) -> None:
        self.id = manifest.id
        self._files = files
        self._folder = session_folder(manifest.id)
        self._manifest = manifest
        self._keep_raw = keep_raw
        self._entries: dict[str, FileEntry] = {}
        self._markets: list[pa.Table] = []
        self._market_rows = 0
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._parts = 0
        self._truth: TableEncoder | None = None
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._raw_parts = 0
        self._is_open = True

    def add_markets(self, table: pa.Table) -> None:
        """Append rows to the market table (schema MARKETS), before any update that refers to them."""
        self._check_open()
        check_columns(table, MARKETS)
        self._markets.append(table)
        merged = pa.concat_tables(self._markets)
        if len(set(merged["ticker"].to_pylist())) != merged.num_rows:
            raise DataError("the market table has a ticker twice")
        self._put_table(MARKETS_FILE, merged, MARKETS)
        self._market_rows = merged.num_rows

    def append(self, table: pa.Table) -> None:
        """Append updates (schema UPDATES), in arrival order."""
        self._check_open()
        check_columns(table, UPDATES)
        if not table.num_rows:
            return
        extent = pc.min_max(table["market"])
        low, high = extent["min"].as_py(), extent["max"].as_py()
        if low is None or low < -1 or high >= self._market_rows:
            raise DataError(f"updates refer to markets {low}..{high}, the market table has {self._market_rows} rows")
        self._pending.append(table)
        self._pending_rows += table.num_rows
        while self._pending_rows >= ROW_GROUP:
            self._roll(ROW_GROUP)

    def add_truth(self, table: pa.Table) -> None:
        """Append the true probabilities (schema TRUTH) of a synthetic session; kept in memory until `commit`."""
        self._check_open()
        if self._truth is None:
            self._truth = TableEncoder(TRUTH)
        self._truth.add(table)

    def add_raw(self, frames: Iterable[bytes]) -> None:
        """Keep frames exactly as received, one a line, under `raw/`. Needs `keep_raw`."""
        self._check_open()
        if not self._keep_raw:
            raise UsageError("the writer keeps no frames", remedy="Open it with keep_raw=True")
        for frame in frames:
            self._raw.append(frame)
            self._raw_bytes += len(frame) + 1
            if self._raw_bytes >= RAW_BYTES:
                self._roll_raw()

    def flush(self) -> None:
        """Write out what is buffered, so that it survives a crash."""
        self._check_open()
        if self._pending_rows:
            self._roll(self._pending_rows)
        if self._raw:
            self._roll_raw()

    def commit(self) -> Manifest:
        """Finish the session: counts from the rows on disk, then the manifest, last and at once."""
        self._check_open()
        if MARKETS_FILE not in self._entries:
            raise DataError(f"session {self.id!r} has no market table", remedy="Call add_markets first")
        self.flush()
        if self._truth is not None:
            self._put(TRUTH_FILE, self._truth)
            self._truth = None
        manifest = count_rows(self._files, self.id, msgspec.structs.replace(self._manifest, files=self._entries))
        write_manifest(self._files, manifest)
        self._is_open = False
        return manifest

    def discard(self) -> None:
        """Remove everything this writer wrote, as if it had never begun."""
        self._check_open()
        self._is_open = False
        self._files.remove_folder(self._folder)

    def __enter__(self) -> SessionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_open:
            return
        try:
            self.flush()
        finally:
            self._is_open = False
            release(self._files, self.id)

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(f"the writer of session {self.id!r} is closed", remedy="Open another session")

    def _roll(self, rows: int) -> None:
        """Write the first `rows` buffered rows as the next part."""
        table = pa.concat_tables(self._pending)
        self._put_table(part_name(self._parts), table.slice(0, rows), UPDATES)
        self._parts += 1
        rest = table.slice(rows)
        self._pending = [rest] if rest.num_rows else []
        self._pending_rows = rest.num_rows

    def _roll_raw(self) -> None:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(b"\n".join(self._raw) + b"\n")
        name = f"raw/part-{self._raw_parts:05d}.jsonl.zst"
        self._files.write(f"{self._folder}/{name}", memoryview(sink.getvalue()))
        self._raw, self._raw_bytes, self._raw_parts = [], 0, self._raw_parts + 1

    def _put_table(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        encoder = TableEncoder(schema)
        encoder.add(table)
        self._put(name, encoder)

    def _put(self, name: str, encoder: TableEncoder) -> None:
        content = memoryview(encoder.finish())
        self._files.write(f"{self._folder}/{name}", content)
        digest = hashlib.sha256(content).hexdigest()
        self._entries[name] = FileEntry(rows=encoder.rows, bytes=content.nbytes, sha256=digest)


def begin(files: Files, manifest: Manifest) -> None:
    """Take the lock of a session that does not exist yet and leave the draft of its manifest there."""
    folder = session_folder(manifest.id)
    claim(files, manifest.id)
    held = files.sizes(folder)
    if MANIFEST in held or DRAFT in held or any("/" in name for name in held):
        release(files, manifest.id)
        if MANIFEST in held:
            raise UsageError(f"session {manifest.id!r} exists", remedy="Choose another name or delete it first")
        raise SessionUnfinished(f"session {manifest.id!r} is unfinished", remedy="Recover it or delete it first")
    try:
        files.write(f"{folder}/{DRAFT}", encode_manifest(manifest))
    except DataError:
        release(files, manifest.id)
        raise


def claim(files: Files, session_id: str) -> None:
    """Take the lock of a session. SessionBusy while another process lives; the lock of a dead one is replaced."""
    name = f"{session_folder(session_id)}/{LOCK}"
    mine = msgspec.json.encode(Owner.this())
    while True:
        try:
            return files.create(name, mine)
        except FileExistsError:
            content, owner = read_owner(files, session_id)
        if owner is None:
            continue  # released in between
        if not owner.is_dead:
            raise SessionBusy(
                f"session {session_id!r} is being written by process {owner.pid} on {owner.host}",
                remedy=f"Wait for it; if it is gone for certain, remove {files.path(name)}",
            )
        files.take_away(name, content)


def release(files: Files, session_id: str) -> None:
    """Give the lock back; an empty folder goes with it."""
    folder = session_folder(session_id)
    files.remove(f"{folder}/{LOCK}")
    if not files.sizes(folder):
        files.remove_folder(folder)


def read_owner(files: Files, session_id: str) -> tuple[bytes, Owner | None]:
    """The bytes of the lock and who holds it; (b"", None) where nobody does."""
    name = f"{session_folder(session_id)}/{LOCK}"
    try:
        content = files.read(name)
    except FileNotFoundError:
        return b"", None
    try:
        return content, msgspec.json.decode(content, type=Owner)
    except msgspec.MsgspecError:
        # Created and not yet filled, by a process we cannot name: treated as alive, on no machine of ours.
        return content, Owner(host="an unknown machine", pid=0, birth=0)


def write_manifest(files: Files, manifest: Manifest) -> None:
    """Make the session finished: the manifest last and at once, then drop draft and lock."""
    folder = session_folder(manifest.id)
    files.write(f"{folder}/{MANIFEST}", encode_manifest(manifest))
    for name in (DRAFT, LOCK):
        if files.exists(f"{folder}/{name}"):
            files.remove(f"{folder}/{name}")


def finish_crashed(files: Files, session_id: str) -> Manifest:
    """Finish a session whose writer is gone, from its draft and the rows on disk. The caller holds the lock."""
    folder = session_folder(session_id)
    held = files.sizes(folder)
    if MANIFEST in held:  # it was finished while we took the lock
        release(files, session_id)
        return read_manifest(files, session_id)
    if DRAFT not in held:
        raise SessionDamaged(
            f"session {session_id!r} has neither {MANIFEST} nor {DRAFT}", remedy="Delete or restore it"
        )
    if MARKETS_FILE not in held:
        raise NothingToDo(f"session {session_id!r} has no market table: nothing to recover", remedy="Delete it")
    for name in held:
        if name.endswith(PARTIAL):
            files.remove(f"{folder}/{name}")
    manifest = count_rows(files, session_id, read_manifest(files, session_id, DRAFT))
    note = "the writer stopped before its end; rows after the last whole file are lost"
    manifest = msgspec.structs.replace(manifest, unknowns=[*manifest.unknowns, note])
    write_manifest(files, manifest)
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """session.json, to be read by people too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _birth(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19])
