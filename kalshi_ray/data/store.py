"""A store of sessions, named by one URL: a folder, `file://…`, any `pyarrow.fs` URL, or a PostgreSQL database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from kalshi_ray.data.backend import Backend, Outline
from kalshi_ray.data.files import open_files
from kalshi_ray.data.folder import FolderBackend
from kalshi_ray.data.manifest import check_pieces, count_kinds, encode_manifest, kind_name, read_manifest
from kalshi_ray.data.owner import Owner, busy, check_held, claim, read_owner, release
from kalshi_ray.data.pieces import DRAFT, LOCK, MANIFEST, MARKETS_FILE, is_litter, parts_among, raws_among
from kalshi_ray.data.schema import UPDATES, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.writer import SessionWriter, erase, made_from_rows
from kalshi_ray.errors import (
    DataError,
    KalshiRayError,
    NothingToDo,
    SessionBusy,
    SessionDamaged,
    SessionUnfinished,
    StoreFull,
    UnknownName,
    UsageError,
)

LONGEST_ID = 128
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_ID - 1}}}")

State = Literal["finished", "writing", "unfinished", "damaged"]


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `SessionStore.list`. `manifest` is the draft while unfinished, None where it cannot be read."""

    id: str
    state: State
    rows: int = 0  # updates: of the manifest if finished, else counted in the parts that are whole
    bytes: int = 0  # of all pieces
    raw_bytes: int = 0  # of them, frames as received
    manifest: Manifest | None = None
    problem: str = ""  # why it is not finished, and what to do


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """What a session holds, counted from its rows."""

    rows: int
    kinds: dict[str, int]  # rows by core.tape.Kind name
    parts: int
    unreadable: list[str]  # parts whose kinds, or even rows, cannot be counted
    bytes: int  # of all pieces but the lock
    raw_bytes: int


@dataclass(frozen=True)
class Hold:
    """What is there while a session is ours to change."""

    sizes: dict[str, int]  # of its pieces, without what crashes left
    check: Callable[[], None]  # SessionBusy if the lock was taken from us: call before what cannot be undone


class SessionStore:
    """Lists, opens, writes, recovers and deletes the sessions that a backend keeps."""

    def __init__(self, backend: Backend, *, now: Callable[[], datetime] | None = None) -> None:
        self._backend = backend
        self._now = now or (lambda: datetime.now(UTC))

    @property
    def url(self) -> str:
        """The store as people may read it."""
        return self._backend.url

    @property
    def local(self) -> Path | None:
        """Its folder where it is one on this machine."""
        return self._backend.local

    @property
    def backend(self) -> Backend:
        """What keeps the pieces."""
        return self._backend

    def ids(self) -> list[str]:
        """Names of all sessions, finished or not."""
        return self._backend.ids()

    def list(self) -> list[SessionSummary]:
        """Every session, finished or not, by name. Reads no rows."""
        look = self._backend.outline()
        found = [_summary(look, session_id) for session_id in look.ids()]
        there = {one.id for one in found} if all(one.bytes for one in found) else set(self.ids())
        return [one for one in found if one.bytes or one.id in there]  # without those that are gone meanwhile

    def summary(self, session_id: str) -> SessionSummary:
        """State of one session, without reading its rows. UnknownName if there is none."""
        return _summary(self._look(session_id), session_id)

    def open(self, session_id: str) -> Session:
        """A finished session. UnknownName, SessionUnfinished or SessionDamaged if it is not one."""
        look = self._look(session_id)
        sizes = look.sizes(session_id)
        if MANIFEST not in sizes:
            raise SessionUnfinished(_unfinished(look, session_id, sizes).problem)
        manifest = read_manifest(look, session_id)
        check_pieces(look, session_id, manifest, sizes)
        return Session(self._backend, session_id, manifest)

    def writer(self, session_id: str, *, manifest: Manifest) -> SessionWriter:
        """The one writer of a session that does not exist yet; `manifest` has no counts.

        SessionBusy while another process writes it, SessionUnfinished if one died, UsageError if it exists.
        """
        if not _ID.fullmatch(session_id):
            shown = session_id if len(session_id) <= LONGEST_ID else f"{session_id[:LONGEST_ID]}…"
            raise UsageError(
                f"{shown!r} is no session name",
                remedy=f"Use up to {LONGEST_ID} letters, digits, dots, dashes and underscores, "
                "a letter or a digit first",
            )
        if manifest.files or manifest.updates:
            raise UsageError("the manifest of a new session has counts", remedy="They are computed from the rows")
        created = manifest.created or self._now().isoformat(timespec="seconds")
        manifest = msgspec.structs.replace(manifest, id=session_id, created=created)
        lock = self._claim(session_id)
        try:
            self._check_free(session_id)
            self._backend.write(session_id, DRAFT, encode_manifest(manifest))
            return SessionWriter(self._backend, manifest, lock)
        except (DataError, UsageError):
            release(self._backend, session_id, lock)
            raise

    def resume(self, session_id: str) -> SessionWriter:
        """The writer of an unfinished session whose writer is gone: it goes on after the last whole part.

        UnknownName if nothing of it is there, so that it can be begun; SessionBusy while another process writes it;
        UsageError if it is finished.
        """
        sizes = self._sizes(session_id)
        if not _held(sizes):
            raise UnknownName(f"session in {self.url}", session_id, self.ids())
        lock = self._claim(session_id)
        try:
            sizes = self._tidy(session_id)
            if MANIFEST in sizes:
                raise UsageError(f"session {session_id!r} is finished", remedy="Choose another name")
            return SessionWriter(self._backend, self._draft(session_id, sizes), lock, sizes=sizes)
        except (DataError, UsageError):
            release(self._backend, session_id, lock)
            raise

    def recover(self, session_id: str) -> Manifest:
        """Finish a session whose writer died: every whole part is kept and the manifest made from its rows."""
        with self.hold(session_id) as hold:
            sizes = hold.sizes
            if MANIFEST in sizes:
                self._backend.remove(session_id, DRAFT)
                return read_manifest(self._backend, session_id)
            draft = self._draft(session_id, sizes)
            if MARKETS_FILE not in sizes:
                raise NothingToDo(f"session {session_id!r} has no market table: nothing to recover", remedy="Delete it")
            note = "the writer stopped before its end; rows after the last whole part are lost"
            draft = msgspec.structs.replace(draft, unknowns=[*draft.unknowns, note], content="")
            manifest = made_from_rows(self._backend, draft, {})
            hold.check()
            self._backend.write(session_id, MANIFEST, encode_manifest(manifest))
            self._backend.remove(session_id, DRAFT)
            return manifest

    @contextmanager
    def hold(self, session_id: str) -> Iterator[Hold]:
        """Be the only one who changes a session until the block ends.

        SessionBusy while another process writes it, UnknownName if there is none.
        """
        self._sizes(session_id)
        lock = self._claim(session_id)
        try:
            check = partial(check_held, self._backend, session_id, lock)
            yield Hold(sizes=self._tidy(session_id), check=check)
        finally:
            release(self._backend, session_id, lock)

    def count(self, session_id: str) -> Census:
        """What a session holds, counted from its rows, whatever a manifest says. UnknownName if there is none."""
        return self._count(self._look(session_id), session_id)

    def delete(self, session_id: str, *, expected_rows: int, first: Callable[[], None] = lambda: None) -> Census:
        """Delete a session for good. `expected_rows` must be the number of updates counted in its parts.

        `first` is done before, once it is certain that the session goes.
        """
        self._sizes(session_id)
        try:
            lock = self._claim(session_id)
        except StoreFull:  # a store that is full must not keep anybody from making room
            lock = b""
        try:
            held = self._count(self._backend.outline(session_id), session_id)
            if held.rows != expected_rows:
                raise UsageError(
                    f"session {session_id!r} holds {held.rows:,} updates, not {expected_rows:,}: nothing was deleted",
                    remedy=f"Give {held.rows} to delete it",
                )
            first()
        except KalshiRayError:
            release(self._backend, session_id, lock)
            raise
        erase(self._backend, session_id)
        return held

    def owner(self, session_id: str) -> Owner | None:
        """Who writes a session; None if nobody does. UnknownName if there is none."""
        self._sizes(session_id)
        return read_owner(self._backend, session_id)[1]

    def unlock(self, session_id: str, *, host: str) -> Owner:
        """Take the lock from a writer on another machine that is certainly gone; `host` must be that machine.

        SessionBusy if it is a process of this machine that lives.
        """
        self._sizes(session_id)
        content, owner = read_owner(self._backend, session_id)
        if owner is None:
            raise NothingToDo(f"nobody writes session {session_id!r}", remedy="Recover it or delete it")
        if owner.is_here and not owner.is_dead:
            raise SessionBusy(f"session {session_id!r} is being written by {owner}, which lives", remedy="Stop it")
        if owner.host != host:
            raise UsageError(f"session {session_id!r} is being written by {owner}, not on {host!r}")
        if not self._backend.take_away(session_id, LOCK, content):
            raise SessionBusy(f"the lock of session {session_id!r} changed hands just now", remedy="Look again")
        return owner

    def _claim(self, session_id: str) -> bytes:
        return claim(self._backend, session_id, self._now().isoformat(timespec="microseconds"))

    def _look(self, session_id: str) -> Outline:
        """What there is of one session. UnknownName if there is none."""
        look = self._backend.outline(session_id)
        if not _ID.fullmatch(session_id) or not look.sizes(session_id):
            known = self.ids()
            if session_id not in known:
                raise UnknownName(f"session in {self.url}", session_id, known)
        return look

    def _sizes(self, session_id: str) -> dict[str, int]:
        return self._look(session_id).sizes(session_id)

    def _tidy(self, session_id: str) -> dict[str, int]:
        """The pieces of a session whose lock we hold, without what crashes left."""
        sizes = self._backend.sizes(session_id)
        for name in [name for name in sizes if is_litter(name)]:
            self._backend.remove(session_id, name)
            del sizes[name]
        return sizes

    def _check_free(self, session_id: str) -> None:
        """Refuse a name that is taken."""
        held = _held(self._tidy(session_id))
        if MANIFEST in held:
            raise UsageError(f"session {session_id!r} exists", remedy="Choose another name or delete it first")
        if held:
            raise SessionUnfinished(f"session {session_id!r} is unfinished", remedy="Recover it or delete it first")

    def _draft(self, session_id: str, sizes: dict[str, int]) -> Manifest:
        if DRAFT not in sizes:
            raise SessionDamaged(
                f"session {session_id!r} has neither {MANIFEST} nor {DRAFT}", remedy="Delete it or restore it"
            )
        return read_manifest(self._backend, session_id, DRAFT)

    def _count(self, look: Outline, session_id: str) -> Census:
        sizes = look.sizes(session_id)
        kinds: Counter[int] = Counter()
        unreadable = []
        for name in parts_among(sizes):
            try:
                kinds += count_kinds(self._backend.read_table(session_id, name, UPDATES, columns=["kind"]))
            except SessionDamaged:
                unreadable.append(name)
        return Census(
            rows=_countable_rows(look, session_id, sizes),
            kinds={kind_name(kind): count for kind, count in sorted(kinds.items())},
            parts=len(parts_among(sizes)),
            unreadable=unreadable,
            bytes=sum(size for name, size in sizes.items() if name != LOCK),
            raw_bytes=sum(sizes[name] for name in raws_among(sizes)),
        )


def open_store(url: str) -> SessionStore:
    """The store of that URL: a folder, `file://…`, any `pyarrow.fs` URL or `postgresql://…`. It need not exist yet."""
    if url.startswith(("postgresql://", "postgres://")):
        from kalshi_ray.data.catalog import open_backend  # on call: a folder needs no client of a database

        return SessionStore(open_backend(url))
    return SessionStore(FolderBackend(open_files(url), url))


def _held(sizes: dict[str, int]) -> set[str]:
    """The pieces of a session, without its lock and what crashes left."""
    return {name for name in sizes if name != LOCK and not is_litter(name)}


def _summary(look: Outline, session_id: str) -> SessionSummary:
    sizes: dict[str, int] | None = None
    while sizes != (sizes := look.sizes(session_id)):  # what changes while we look at it, we look at again
        try:
            if MANIFEST not in sizes:
                return _unfinished(look, session_id, sizes)
            manifest = read_manifest(look, session_id)
            check_pieces(look, session_id, manifest, sizes)
        except SessionDamaged as error:
            problem = str(error)
        else:
            return _line(session_id, sizes, "finished", manifest.updates, manifest, "")
    return _line(session_id, sizes, "damaged", _countable_rows(look, session_id, sizes), None, problem)


def _unfinished(look: Outline, session_id: str, sizes: dict[str, int]) -> SessionSummary:
    rows = _countable_rows(look, session_id, sizes)
    _, owner = read_owner(look, session_id)
    draft = read_manifest(look, session_id, DRAFT) if DRAFT in sizes else None
    state: State = "unfinished"
    if owner is not None and not owner.is_dead:
        problem, state = str(busy(session_id, owner)), "writing"
    elif draft is None:
        problem = f"session {session_id!r} was begun or deleted in part: nothing can be recovered. Delete it"
    else:
        died = f"{owner} died while writing session {session_id!r}" if owner else ""
        never = f"session {session_id!r} was never finished"
        go_on = f"Go on with kalshi-ray collect {session_id}, finish" if draft.source == "collect" else "Finish"
        how = f"{go_on} it with kalshi-ray sessions recover {session_id}, or delete it"
        if draft.content:  # promised by a copy: recovered, it would be the smaller one of two
            how = "It is a copy that was cut short: the same kalshi-ray sessions copy goes on with it, or delete it"
        problem = f"{died or never}; {rows:,} updates are in the store. {how}"
    return _line(session_id, sizes, state, rows, draft, problem)


def _countable_rows(look: Outline, session_id: str, sizes: dict[str, int]) -> int:
    """Updates in the parts that can be read, whatever any manifest says."""
    rows = 0
    for name in parts_among(sizes):
        try:
            rows += look.rows(session_id, name, UPDATES)
        except SessionDamaged:
            continue  # `open` and `verify` name the damage; here only whole rows count
    return rows


def _line(
    session_id: str, sizes: dict[str, int], state: State, rows: int, manifest: Manifest | None, problem: str
) -> SessionSummary:
    return SessionSummary(
        id=session_id,
        state=state,
        rows=rows,
        bytes=sum(sizes.values()),
        raw_bytes=sum(sizes[name] for name in raws_among(sizes)),
        manifest=manifest,
        problem=problem,
    )
