"""A store of sessions, named by one URL: a folder, `file://…`, any `pyarrow.fs` URL, or a PostgreSQL database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from kalshi_ray.data.backend import Backend
from kalshi_ray.data.files import open_files
from kalshi_ray.data.folder import FolderBackend
from kalshi_ray.data.manifest import check_pieces, encode_manifest, read_manifest
from kalshi_ray.data.owner import Owner, busy, claim, read_owner, release
from kalshi_ray.data.pieces import DRAFT, LOCK, MANIFEST, MARKETS_FILE, is_litter, parts_among, raws_among
from kalshi_ray.data.schema import UPDATES, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.writer import SessionWriter, erase, made_from_rows, write_manifest
from kalshi_ray.errors import (
    DataError,
    NothingToDo,
    SessionBusy,
    SessionDamaged,
    SessionUnfinished,
    StoreFull,
    UnknownName,
    UsageError,
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

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
        return [self._summary(session_id, self._backend.sizes(session_id)) for session_id in self.ids()]

    def summary(self, session_id: str) -> SessionSummary:
        """State of one session, without reading its rows. UnknownName if there is none."""
        return self._summary(session_id, self._sizes(session_id))

    def open(self, session_id: str) -> Session:
        """A finished session. UnknownName, SessionUnfinished or SessionDamaged if it is not one."""
        sizes = self._sizes(session_id)
        if MANIFEST not in sizes:
            raise SessionUnfinished(self._unfinished(session_id, sizes).problem)
        manifest = read_manifest(self._backend, session_id)
        check_pieces(self._backend, session_id, manifest, sizes)
        return Session(self._backend, session_id, manifest)

    def writer(self, session_id: str, *, manifest: Manifest) -> SessionWriter:
        """The one writer of a session that does not exist yet; `manifest` has no counts.

        SessionBusy while another process writes it, SessionUnfinished if one died, UsageError if it exists.
        """
        if not _ID.fullmatch(session_id):
            raise UsageError(f"{session_id!r} is no session name", remedy="Use letters, digits, dot, dash, underscore")
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
        self._sizes(session_id)
        lock = self._claim(session_id)
        try:
            sizes = self._tidy(session_id)
            if MANIFEST in sizes:
                self._backend.remove(session_id, DRAFT)
                release(self._backend, session_id, lock)
                return read_manifest(self._backend, session_id)
            draft = self._draft(session_id, sizes)
            if MARKETS_FILE not in sizes:
                raise NothingToDo(f"session {session_id!r} has no market table: nothing to recover", remedy="Delete it")
            note = "the writer stopped before its end; rows after the last whole part are lost"
            draft = msgspec.structs.replace(draft, unknowns=[*draft.unknowns, note], content="")
            manifest = made_from_rows(self._backend, draft, {})
            write_manifest(self._backend, manifest, lock)
        except (DataError, UsageError):
            release(self._backend, session_id, lock)
            raise
        return manifest

    def delete(self, session_id: str, *, expected_rows: int) -> None:
        """Delete a session for good. `expected_rows` must be the number of updates counted in its parts."""
        sizes = self._sizes(session_id)
        try:
            lock = self._claim(session_id)
        except StoreFull:  # a store that is full must not keep anybody from making room
            lock = b""
        rows = self._countable_rows(session_id, sizes)
        if rows != expected_rows:
            release(self._backend, session_id, lock)
            raise UsageError(
                f"session {session_id!r} holds {rows:,} updates, not {expected_rows:,}: nothing was deleted",
                remedy=f"Give {rows} to delete it",
            )
        erase(self._backend, session_id)

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

    def _sizes(self, session_id: str) -> dict[str, int]:
        sizes = self._backend.sizes(session_id) if _ID.fullmatch(session_id) else {}
        if not sizes:
            known = self.ids()
            if session_id not in known:
                raise UnknownName(f"session in {self.url}", session_id, known)
        return sizes

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

    def _summary(self, session_id: str, sizes: dict[str, int]) -> SessionSummary:
        try:
            if MANIFEST not in sizes:
                return self._unfinished(session_id, sizes)
            manifest = read_manifest(self._backend, session_id)
            check_pieces(self._backend, session_id, manifest, sizes)
        except SessionDamaged as error:
            rows = self._countable_rows(session_id, sizes)
            return _line(session_id, sizes, "damaged", rows, None, str(error))
        return _line(session_id, sizes, "finished", manifest.updates, manifest, "")

    def _unfinished(self, session_id: str, sizes: dict[str, int]) -> SessionSummary:
        rows = self._countable_rows(session_id, sizes)
        _, owner = read_owner(self._backend, session_id)
        state: State = "unfinished"
        if owner is not None and not owner.is_dead:
            problem, state = str(busy(session_id, owner)), "writing"
        elif DRAFT not in sizes:
            problem = f"session {session_id!r} was begun or deleted in part: nothing can be recovered. Delete it"
        else:
            died = f"{owner} died while writing session {session_id!r}" if owner else ""
            never = f"session {session_id!r} was never finished"
            problem = f"{died or never}. Recover it ({rows:,} updates are whole) or delete it"
        draft = read_manifest(self._backend, session_id, DRAFT) if DRAFT in sizes else None
        return _line(session_id, sizes, state, rows, draft, problem)

    def _countable_rows(self, session_id: str, sizes: dict[str, int]) -> int:
        """Updates in the parts that can be read, whatever any manifest says."""
        rows = 0
        for name in parts_among(sizes):
            try:
                rows += self._backend.rows(session_id, name, UPDATES)
            except SessionDamaged:
                continue  # `open` and `verify` name the damage; here only whole rows count
        return rows


def open_store(url: str) -> SessionStore:
    """The store of that URL: a folder, `file://…`, any `pyarrow.fs` URL or `postgresql://…`. It need not exist yet."""
    if url.startswith(("postgresql://", "postgres://")):
        from kalshi_ray.data.catalog import open_backend  # on call: a folder needs no client of a database

        return SessionStore(open_backend(url))
    return SessionStore(FolderBackend(open_files(url), url))


def _held(sizes: dict[str, int]) -> set[str]:
    """The pieces of a session, without its lock and what crashes left."""
    return {name for name in sizes if name != LOCK and not is_litter(name)}


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
