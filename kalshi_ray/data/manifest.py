"""The manifest of a session: read, checked against the pieces that are there, and made from the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.backend import Backend, Outline
from kalshi_ray.data.content import Content
from kalshi_ray.data.pieces import MANIFEST, MARKETS_FILE, TRUTH_FILE, part_name, parts_among, raws_among
from kalshi_ray.data.schema import MARKETS, SCHEMA_VERSION, TRUTH, UPDATES, FileEntry, Manifest
from kalshi_ray.errors import DataError, SessionDamaged
from kalshi_ray.telemetry import Progress

_KIND_NAMES = {int(kind): kind.name for kind in Kind}
COMPUTED = ("markets", "updates", "kinds", "first_ns", "last_ns", "content")  # from the rows, never given


def encode_manifest(manifest: Manifest) -> bytes:
    """session.json, to be read by people too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def read_manifest(backend: Outline, session_id: str, name: str = MANIFEST) -> Manifest:
    """The manifest of a session. SessionDamaged if there is none, or if it is not one."""
    where = backend.where(session_id, name)
    try:
        content = backend.read(session_id, name)
    except FileNotFoundError as error:
        raise SessionDamaged(f"{where} is missing", remedy="If the session is being deleted, wait") from error
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise SessionDamaged(
                f"{where} has schema version {version}, this version reads {SCHEMA_VERSION}",
                remedy="Import, generate or record the session again, or use the version that wrote it",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise SessionDamaged(f"{where} is not a session manifest: {error}", remedy="Restore it from a copy") from error
    if manifest.id != session_id:
        raise SessionDamaged(
            f"{where} is the manifest of {manifest.id!r}, not of {session_id!r}",
            remedy="A session keeps its name: name it as it was, or copy it with `sessions copy --as`",
        )
    return manifest


def check_pieces(backend: Outline, session_id: str, manifest: Manifest, sizes: dict[str, int]) -> None:
    """SessionDamaged unless every piece of the manifest is there in the size it says."""
    for name in {MARKETS_FILE, *manifest.files}:
        entry = manifest.files.get(name)
        where = backend.where(session_id, name)
        if entry is None or name not in sizes:
            raise SessionDamaged(f"{where} is missing", remedy="Restore it from a copy")
        if sizes[name] != entry.bytes:
            raise SessionDamaged(
                f"{where} has {sizes[name]:,} bytes, the manifest says {entry.bytes:,}", remedy="Restore it from a copy"
            )


def stored_parts(backend: Outline, session_id: str, names: Iterable[str]) -> list[str]:
    """The parts of a session that is being written, in order. SessionDamaged where one is missing in between."""
    parts = parts_among(names)
    if parts != [part_name(number) for number in range(len(parts))]:
        raise SessionDamaged(
            f"{backend.where(session_id)} has updates {parts}, expected an unbroken row of parts",
            remedy="Restore what is missing",
        )
    return parts


class Tally:
    """What a manifest says of the rows, counted from the rows themselves."""

    def __init__(self) -> None:
        self._content = Content()
        self._kinds: Counter[int] = Counter()
        self._markets: list[tuple[int, int, str]] = []  # least and greatest of some rows, and where these are
        self._times: list[int] = []
        self._problem = ""

    def add(self, updates: pa.Table, where: str) -> None:
        """The next rows, in order; `where` is what a message calls them. SessionDamaged where a value is missing."""
        try:
            self._content.add(updates)
        except DataError as error:
            raise SessionDamaged(f"{where}: {error}") from error
        if not updates.num_rows:
            return
        kinds = count_kinds(updates)
        if unknown := sorted(kinds.keys() - _KIND_NAMES.keys()):
            self._problem = self._problem or f"{where} has rows of kind {unknown[0]}, which is unknown"
        self._kinds += kinds
        self._markets.append((*extent(updates["market"]), where))
        self._times += extent(updates["recv_ns"])

    def fill(self, manifest: Manifest, markets: pa.Table) -> Manifest:
        """The manifest with counts, times and identity of the rows that were added, of these markets.

        SessionDamaged if they cannot be rows of a session.
        """
        if self._problem:
            raise SessionDamaged(self._problem)
        for low, high, where in self._markets:
            if low < -1 or high >= markets.num_rows:
                raise SessionDamaged(
                    f"{where} refers to markets {low}..{high}, the market table has {markets.num_rows} rows"
                )
        return msgspec.structs.replace(
            manifest,
            markets=markets.num_rows,
            updates=self._content.rows,
            kinds=dict(sorted((kind_name(kind), count) for kind, count in self._kinds.items())),
            first_ns=min(self._times, default=0),
            last_ns=max(self._times, default=0),
            content=self._content.hexdigest(markets, manifest),
        )


def count_rows(
    backend: Backend, session_id: str, manifest: Manifest, parts: list[str], progress: Progress | None = None
) -> Manifest:
    """The manifest with counts, times and identity as the stored rows say, which are read."""
    tally = Tally()
    for done, name in enumerate(parts):
        if progress:
            progress("rows", done, len(parts))
        tally.add(backend.read_table(session_id, name, UPDATES), backend.where(session_id, name))
    return tally.fill(manifest, backend.read_table(session_id, MARKETS_FILE, MARKETS))


def entries_of(
    backend: Backend, session_id: str, sizes: dict[str, int], known: dict[str, FileEntry]
) -> dict[str, FileEntry]:
    """Every piece that is data, with its rows and checksum: as `known` where the size agrees, else as stored."""
    tables = {MARKETS_FILE: MARKETS, TRUTH_FILE: TRUTH} | dict.fromkeys(parts_among(sizes), UPDATES)
    found = {}
    for name in sorted([name for name in tables if name in sizes] + raws_among(sizes)):
        entry = known.get(name)
        if entry is None or entry.bytes != sizes[name]:
            rows = backend.rows(session_id, name, tables[name]) if name in tables else 0
            entry = FileEntry(rows=rows, bytes=sizes[name], sha256=backend.checksum(session_id, name))
        found[name] = entry
    return found


def count_kinds(updates: pa.Table) -> Counter[int]:
    """Rows by kind."""
    return Counter(
        {one["values"]: one["counts"] for one in pc.value_counts(updates["kind"].combine_chunks()).to_pylist()}
    )


def kind_name(kind: int) -> str:
    """What a kind of row is called."""
    return _KIND_NAMES.get(kind, f"unknown {kind}")


def extent(column: pa.ChunkedArray) -> tuple[int, int]:
    """Least and greatest value of a column that has some."""
    found = pc.min_max(column)
    return found["min"].as_py(), found["max"].as_py()


class _Version(msgspec.Struct):
    schema_version: int
