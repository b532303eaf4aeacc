"""Many small parts into few: of about a million rows, and raw parts packed. The session opens at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pyarrow as pa

from kalshi_ray.data.manifest import count_rows, encode_manifest
from kalshi_ray.data.packing import PACKED, pack_raw
from kalshi_ray.data.parquet import ROW_GROUP
from kalshi_ray.data.pieces import DRAFT, MANIFEST, number_of, part_name, parts_among, raws_among
from kalshi_ray.data.schema import UPDATES, FileEntry, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import Hold, SessionStore
from kalshi_ray.errors import DataError, SessionBusy, SessionDamaged
from kalshi_ray.telemetry import Progress


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """What a compaction came to."""

    session: str
    content: str
    updates: int
    parts_before: int
    parts: int
    bytes_before: int  # of the updates
    bytes: int
    raw_parts_before: int = 0
    raw_parts: int = 0
    raw_bytes_before: int = 0  # of the frames as received
    raw_bytes: int = 0
    removed: int = 0  # bytes that an interrupted compaction had left


def compact_session(
    store: SessionStore,
    session_id: str,
    progress: Progress | None = None,
    *,
    part_rows: int = ROW_GROUP,
    packed: int = PACKED,
) -> Compacted:
    """Cut the updates of a finished session anew, and pack its raw parts.

    The parts that are made stand under numbers of their own until the manifest names them; then the former ones go:
    all updates at once, raw parts one after the other. An interrupted compaction goes on when it is done again.
    SessionBusy or SessionUnfinished if it is being written. Whoever had opened the session before opens it again.
    """
    store.open(session_id)  # refuses what is not finished, while the lock is not ours
    with store.hold(session_id) as hold:
        session = store.open(session_id)
        former = session.manifest
        removed = _remove_foreign(store, former, hold.sizes)
        wanted = max(1, round(former.updates / part_rows))
        if len(session.parts) > wanted:
            files = _cut(store, session, max(1, -(-former.updates // wanted)), hold, progress)
            manifest = msgspec.structs.replace(former, files=files)
            store.backend.write(session_id, MANIFEST, encode_manifest(manifest))
            _remove_foreign(store, manifest, hold.sizes)
        manifest = pack_raw(store, store.open(session_id), hold, progress, most=packed)
    return Compacted(
        session=session_id,
        content=manifest.content,
        updates=manifest.updates,
        parts_before=len(session.parts),
        parts=len(parts_among(manifest.files)),
        bytes_before=_bytes(former),
        bytes=_bytes(manifest),
        raw_parts_before=len(session.raw_parts),
        raw_parts=len(raws_among(manifest.files)),
        raw_bytes_before=former.raw_bytes,
        raw_bytes=manifest.raw_bytes,
        removed=removed,
    )


def _cut(
    store: SessionStore, session: Session, rows: int, hold: Hold, progress: Progress | None
) -> dict[str, FileEntry]:
    """Store the updates in parts of so many rows under free numbers; the files of the session with them.

    What was stored is removed again if the store fails, or if it does not hold the same content.
    """
    backend, manifest = store.backend, session.manifest
    first = number_of(session.parts[-1]) + 1
    made: dict[str, FileEntry] = {}
    try:
        for number, table in enumerate(_slices(session, rows, progress), first):
            name = part_name(number)
            made[name] = FileEntry(rows=0, bytes=0, sha256="")  # it may be there although we are not told
            made[name] = backend.write_table(session.id, name, [table], UPDATES)
        counted = count_rows(backend, session.id, manifest, list(made), progress)
        if counted.content != manifest.content:
            raise SessionDamaged(
                f"the rows of session {session.id!r} are not those of its manifest: nothing was changed",
                remedy="See kalshi-ray sessions verify",
            )
        hold.check()
    except SessionBusy:  # whoever holds it now has removed our parts, and may write some of the same names
        raise
    except DataError:
        for name in made:
            with suppress(DataError):
                backend.remove(session.id, name)
        raise
    kept = {name: entry for name, entry in manifest.files.items() if name not in session.parts}
    return dict(sorted((kept | made).items()))


def _slices(session: Session, rows: int, progress: Progress | None) -> Iterator[pa.Table]:
    """The updates in tables of so many rows; the last one has the rest."""
    waiting: list[pa.Table] = []
    held = done = 0
    for name in session.parts:
        table = session.part(name)
        waiting.append(table)
        held += table.num_rows
        done += table.num_rows
        while held >= rows:
            merged = pa.concat_tables(waiting)
            yield merged.slice(0, rows)
            waiting, held = [merged.slice(rows)], held - rows
        if progress:
            progress("compaction", done, session.manifest.updates)
    if held:
        yield pa.concat_tables(waiting)


def _remove_foreign(store: SessionStore, manifest: Manifest, sizes: dict[str, int]) -> int:
    """Remove the parts that the manifest does not name, and the draft; the bytes that were freed."""
    data = [name for name in (*parts_among(sizes), *raws_among(sizes)) if name not in manifest.files]
    names = [DRAFT, *data] if DRAFT in sizes else data
    for name in names:
        store.backend.remove(manifest.id, name)
    return sum(sizes[name] for name in names)


def _bytes(manifest: Manifest) -> int:
    return sum(manifest.files[name].bytes for name in parts_among(manifest.files))
