"""A session from one store into another, part by part: what is cut short goes on, and the end is checked."""

from __future__ import annotations

import hashlib

import msgspec

from kalshi_ray.data.content import table_digest
from kalshi_ray.data.manifest import COMPUTED
from kalshi_ray.data.packing import raw_digest
from kalshi_ray.data.pieces import number_of
from kalshi_ray.data.schema import TRUTH
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.writer import SessionWriter
from kalshi_ray.errors import SessionDamaged, SessionUnfinished, UnknownName, UsageError
from kalshi_ray.telemetry import Progress


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy came to."""

    session: str
    store: str
    content: str
    updates: int
    parts: int
    was_there: bool = False  # a copy with equal content stood there: nothing was done
    resumed_at: int = 0  # updates that an earlier attempt had stored
    lacks: list[str] = []  # what the copy that stood there does not have


def copy_session(source: Session, target: SessionStore, name: str = "", progress: Progress | None = None) -> Copied:
    """Copy a finished session, under its own name or another. Holds one part in memory, and the truth if there is one.

    Called again after an interruption it goes on; where an equal copy is complete it does nothing. UsageError if
    another session has that name, SessionDamaged if the copy does not come out equal.
    """
    name = name or source.id
    standing = _standing(source, target, name)
    if standing is not None:
        return standing
    with _writer(source, target, name) as writer:
        resumed_at = writer.rows
        _copy_markets(source, writer)
        _copy_raw(source, writer, progress)
        _copy_updates(source, writer, progress)
        if source.manifest.has_truth:
            writer.add_truth(source.truth())
        writer.commit(progress)
    copy = target.open(name)
    if lacks := _differences(source, copy):
        raise SessionDamaged(
            f"the copy of {source.id!r} in {target.url} differs in {', '.join(lacks)}",
            remedy=f"Delete {name!r} there and copy again",
        )
    return _copied(copy, target, resumed_at=resumed_at)


def _standing(source: Session, target: SessionStore, name: str) -> Copied | None:
    """The finished copy that stands there already. UsageError if it is something else."""
    try:
        copy = target.open(name)
    except (UnknownName, SessionUnfinished):
        return None
    if copy.checksum != source.checksum:
        raise UsageError(
            f"{target.url} has another session {name!r}: its content is {copy.checksum[:16]}…, "
            f"that of {source.id!r} is {source.checksum[:16]}…",
            remedy="Give another name with --as, or delete it there first",
        )
    return _copied(copy, target, was_there=True, lacks=_differences(source, copy))


def _copied(copy: Session, target: SessionStore, **more: object) -> Copied:
    told = {"session": copy.id, "store": target.url, "content": copy.checksum, "updates": copy.manifest.updates}
    return msgspec.convert(told | {"parts": len(copy.parts)} | more, Copied)


def _writer(source: Session, target: SessionStore, name: str) -> SessionWriter:
    """The writer of the copy. Its draft promises the content, by which a copy that was cut short is known again."""
    draft = msgspec.structs.replace(
        source.manifest, id=name, markets=0, updates=0, kinds={}, first_ns=0, last_ns=0, files={}
    )
    try:
        writer = target.resume(name)
    except UnknownName:
        return target.writer(name, manifest=draft)
    if writer.manifest.content != source.checksum:
        writer.close()
        raise UsageError(
            f"session {name!r} in {target.url} is unfinished and no copy of this one",
            remedy="Give another name with --as, or recover or delete it there first",
        )
    return writer


def _copy_markets(source: Session, writer: SessionWriter) -> None:
    markets = source.markets()
    if not writer.market_rows:
        writer.add_markets(markets)
    elif not writer.market_table.equals(markets):
        raise SessionDamaged(f"the copy {writer.id!r} has another market table", remedy="Delete it and copy again")


def _copy_raw(source: Session, writer: SessionWriter, progress: Progress | None) -> None:
    """Every raw part that is not there yet, checked against its checksum on the way.

    Those of an earlier attempt stay where they are still the source's, which may have been packed in between.
    """
    names = source.raw_parts
    for name in writer.raw_parts.difference(names):
        writer.drop_raw(name)
    for number, name in enumerate(names):
        if progress:
            progress("frames", number, len(names))
        entry = source.manifest.files[name]
        if writer.keep_raw(name, entry):
            continue
        content = source.raw_part(name)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise SessionDamaged(f"{name} of session {source.id!r} is damaged", remedy="Restore it from a copy")
        writer.put_raw(number_of(name), content, level=entry.level)


def _copy_updates(source: Session, writer: SessionWriter, progress: Progress | None) -> None:
    """Every row that is not there yet; parts stay as they are cut, unless the source was cut anew in between."""
    first, done = 0, writer.rows
    for name in source.parts:
        rows = source.manifest.files[name].rows
        if done < first + rows:
            writer.write_part(writer.parts, source.part(name).slice(done - first))
            done = first + rows
        first += rows
        if progress:
            progress("rows", min(first, done), source.manifest.updates)


def _differences(source: Session, copy: Session) -> list[str]:
    """In what a copy is not the source: nothing, if all is well."""
    ours, theirs = source.manifest, copy.manifest
    found = [name for name in COMPUTED if getattr(ours, name) != getattr(theirs, name)]
    if not _has_equal_frames(source, copy):
        found.append("received frames")
    if ours.has_truth != theirs.has_truth or (
        ours.has_truth and table_digest(source.truth(), TRUTH) != table_digest(copy.truth(), TRUTH)
    ):
        found.append("truth")
    return found


def _has_equal_frames(source: Session, copy: Session) -> bool:
    """Whether both have the same lines; where one of them was packed they are read."""
    mine = [source.manifest.files[name].sha256 for name in source.raw_parts]
    theirs = [copy.manifest.files[name].sha256 for name in copy.raw_parts]
    if mine == theirs or not (mine and theirs):
        return mine == theirs
    return raw_digest(source) == raw_digest(copy)
