"""Raw lines compressed harder: a segment when it becomes a raw part, and the raw parts of a finished session together.

The same lines in the same order, in fewer and larger zstd frames. Those of a finished session are checked before the
former go, and packed from the last to the first, so that each packed part finds a free number between its neighbours:
after each of them the session is whole, and a packing that was cut short goes on where it was.

Measured on one core in bytes an update (550 of plain lines), as lines gave them, level 9, level 12: one line at 28,000
updates a second 35.1, 24.6, 23.9; one at 600 a second 46.1, 31.1, 30.5; 16 lines at 3,000 a second together 57.7, 29.9,
29.0. Level 9 takes 120 MB/s of plain lines, level 12 60, level 15 13 for 4 % less; levels 2 to 4 are larger than 1.
Frames and windows above 4 MB gain nothing, 27 bits of window neither: what repeats is near.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec
import pyarrow as pa

from kalshi_ray.core.units import SECOND
from kalshi_ray.data.manifest import encode_manifest
from kalshi_ray.data.pieces import MANIFEST, number_of, raw_name
from kalshi_ray.data.schema import FileEntry, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import Hold, SessionStore
from kalshi_ray.errors import DataError, SessionBusy, SessionDamaged
from kalshi_ray.telemetry import Progress

LEVEL = 12  # of zstd, once a session is finished
WHILE_RECORDING = 9
UNHURRIED = 200_000  # bytes of raw lines a second, as lines gave them; packing those takes 2 % of a core
PACKED = 64 << 20  # bytes as recorded that become one packed part, at most; a larger one stays alone
_FRAME = 4 << 20  # bytes of plain lines in one zstd frame
_RESTORE = "Restore it from a copy"


def pack_raw(
    store: SessionStore, session: Session, hold: Hold, progress: Progress | None = None, *, most: int = PACKED
) -> Manifest:
    """Pack what is not packed yet; the manifest with it, which is stored. Nothing but raw parts changes.

    Holds one part as it was recorded and one packed part in memory. SessionDamaged where the lines are not those that
    were recorded: the parts they stand in stay as they are.
    """
    manifest = session.manifest
    groups = groups_of(manifest, session.raw_parts, most)
    whole = done = sum(manifest.files[name].bytes for group in groups for name in group)
    for group in reversed(groups):
        if progress:
            progress("frames", whole - done, whole)
        done -= sum(manifest.files[name].bytes for name in group)
        made = raw_name(number_of(group[-1]) + 1)
        entry = _store_packed(store, session, group, made, hold)
        kept = {name: one for name, one in manifest.files.items() if name not in group}
        manifest = msgspec.structs.replace(manifest, files=dict(sorted((kept | {made: entry}).items())))
        store.backend.write(session.id, MANIFEST, encode_manifest(manifest))
        for name in group:
            store.backend.remove(session.id, name)
    return manifest


def groups_of(manifest: Manifest, raw_parts: list[str], most: int) -> list[list[str]]:
    """What is to be packed together: neighbours of at most so many bytes, or one that has more.

    Behind the last of them are packed parts alone, and its next number is free.
    """
    count = len(raw_parts)
    while count and manifest.files[raw_parts[count - 1]].level >= LEVEL:
        count -= 1
    while 0 < count < len(raw_parts) and number_of(raw_parts[count]) == number_of(raw_parts[count - 1]) + 1:
        count += 1
    groups: list[list[str]] = []
    held = 0
    for name in raw_parts[:count]:
        size = manifest.files[name].bytes
        if not groups or held + size > most:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
    return groups


def raw_digest(session: Session) -> str:
    """The sha256 of all plain lines, however they are packed."""
    hashed = hashlib.sha256()
    for name in session.raw_parts:
        for lines in plain_lines(session.raw_part(name), f"{name} of session {session.id!r}"):
            hashed.update(lines)
    return hashed.hexdigest()


def pack_segment(content: bytes, span_ns: int, where: str) -> bytes:
    """Raw lines as they become a raw part; they came within `span_ns`. SessionDamaged if they are not zstd.

    What came faster than UNHURRIED stays as it is, so that a busy collector is not made to wait, and what is larger
    than PACKED, so that no memory is added to what that takes.
    """
    if len(content) > PACKED or len(content) * SECOND > UNHURRIED * span_ns:
        return content
    return b"".join(_frames(plain_lines(content, where), WHILE_RECORDING))


def plain_lines(content: bytes, where: str) -> Iterator[bytes]:
    """The lines of a raw part, in stretches that may end within one. SessionDamaged if it is none."""
    if not content:
        return
    try:
        with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
            while lines := stream.read(_FRAME):
                yield lines
    except (OSError, pa.ArrowException) as error:
        raise SessionDamaged(f"{where} cannot be decompressed: {error}", remedy=_RESTORE) from error


def _store_packed(store: SessionStore, session: Session, group: list[str], made: str, hold: Hold) -> FileEntry:
    """Store raw parts as one, and read it again. Whatever goes wrong, it is not left behind."""
    backend, where = store.backend, store.backend.where(session.id, made)
    hashed = hashlib.sha256()
    content = b"".join(_frames(_lines_of(session, group, hashed), LEVEL))
    try:
        backend.write(session.id, made, content)
        stored = backend.read(session.id, made)
        again = hashlib.sha256()
        for lines in plain_lines(stored, where):
            again.update(lines)
        if stored != content or again.digest() != hashed.digest():
            raise SessionDamaged(f"{where} does not hold the lines it was made of", remedy="The session is unchanged")
        hold.check()
    except SessionBusy:  # whoever holds it now has removed it, and may write one of the same name
        raise
    except DataError:
        with suppress(DataError):
            backend.remove(session.id, made)
        raise
    return FileEntry(rows=0, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), level=LEVEL)


def _lines_of(session: Session, group: list[str], hashed: hashlib._Hash) -> Iterator[bytes]:
    """The plain lines of raw parts, which must be what the manifest says; `hashed` is fed with them."""
    for name in group:
        where, content = f"{name} of session {session.id!r}", session.raw_part(name)
        if hashlib.sha256(content).hexdigest() != session.manifest.files[name].sha256:
            raise SessionDamaged(f"{where} is damaged", remedy=_RESTORE)
        for lines in plain_lines(content, where):
            hashed.update(lines)
            yield lines


def _frames(stretches: Iterable[bytes], level: int) -> Iterator[bytes]:
    """zstd frames of equal length, and the rest."""
    codec, waiting = pa.Codec("zstd", compression_level=level), bytearray()
    for stretch in stretches:
        waiting += stretch
        while len(waiting) >= _FRAME:
            yield codec.compress(bytes(waiting[:_FRAME]), asbytes=True)
            del waiting[:_FRAME]
    if waiting:
        yield codec.compress(bytes(waiting), asbytes=True)
