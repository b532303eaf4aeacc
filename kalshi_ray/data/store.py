"""A store of sessions, named by one URL: a folder, `file://…` or any `pyarrow.fs` URL.

<store>/sessions/<id>/session.json    manifest, written last
                      markets.parquet, updates/part-00000.parquet …, truth.parquet, raw/*.jsonl.zst
                      session.draft.json, writer.lock    only while it is being written
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from kalshi_ray.data.files import Files, open_files
from kalshi_ray.data.parquet import open_parquet
from kalshi_ray.data.schema import UPDATES, Manifest
from kalshi_ray.data.session import MANIFEST, Session, check_files, read_manifest, session_folder
from kalshi_ray.data.writer import (
    DRAFT,
    SessionWriter,
    begin,
    claim,
    finish_crashed,
    read_owner,
    release,
)
from kalshi_ray.errors import (
    KalshiRayError,
    SessionBusy,
    SessionDamaged,
    SessionUnfinished,
    UnknownName,
    UsageError,
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

State = Literal["finished", "writing", "unfinished", "damaged"]


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `SessionStore.list`. `manifest` is the draft while unfinished, None where it cannot be read."""

    id: str
    state: State
    rows: int = 0  # updates: of the manifest if finished, else counted in the whole files
    bytes: int = 0  # of all files
    manifest: Manifest | None = None
    problem: str = ""  # why it is not finished, and what to do


class SessionStore:
    """Lists, opens, writes, recovers and deletes sessions below one base folder."""

    def __init__(self, files: Files, url: str, *, now: Callable[[], datetime] | None = None) -> None:
        self.url = url
        self._files = files
        self._now = now or (lambda: datetime.now(UTC))

    def ids(self) -> list[str]:
        """Names of all sessions, finished or not."""
        return self._files.folders("sessions")

    def list(self) -> list[SessionSummary]:
        """Every session, finished or not, by name."""
        return [self.summary(session_id) for session_id in self.ids()]

    def summary(self, session_id: str) -> SessionSummary:
        """State of one session, without reading its rows. UnknownName if there is none."""
        sizes = self._sizes(session_id)
        try:
            if MANIFEST in sizes:
                manifest = read_manifest(self._files, session_id)
                check_files(self._files, session_id, manifest)
                return SessionSummary(
                    id=session_id,
                    state="finished",
                    rows=manifest.updates,
                    bytes=sum(sizes.values()),
                    manifest=manifest,
                )
            return self._unfinished(session_id, sizes)
        except SessionDamaged as error:
            return SessionSummary(
                id=session_id,
                state="damaged",
                rows=self._countable_rows(session_id, sizes),
                bytes=sum(sizes.values()),
                problem=str(error),
            )

    def open(self, session_id: str) -> Session:
        """A finished session. UnknownName, SessionUnfinished or SessionDamaged if it is not one."""
        sizes = self._sizes(session_id)
        if MANIFEST not in sizes:
            raise SessionUnfinished(self._unfinished(session_id, sizes).problem)
        manifest = read_manifest(self._files, session_id)
        check_files(self._files, session_id, manifest)
        return Session(self._files, session_id, manifest)

    def writer(self, session_id: str, *, manifest: Manifest, keep_raw: bool = False) -> SessionWriter:
        """The one writer of a session that does not exist yet; `manifest` has no counts.

        SessionBusy while another process writes it, SessionUnfinished if one died, UsageError if it exists.
        """
        if not _ID.fullmatch(session_id):
            raise UsageError(f"{session_id!r} is no session name", remedy="Use letters, digits, dot, dash, underscore")
        if manifest.files or manifest.updates:
            raise UsageError("the manifest of a new session has counts", remedy="They are computed from the rows")
        created = manifest.created or self._now().isoformat(timespec="seconds")
        manifest = msgspec.structs.replace(manifest, id=session_id, created=created)
        begin(self._files, manifest)
        return SessionWriter(self._files, manifest, keep_raw=keep_raw)

    def recover(self, session_id: str) -> Manifest:
        """Finish a session whose writer died: every whole file is kept and the manifest made from its rows."""
        sizes = self._sizes(session_id)
        if MANIFEST in sizes:
            return read_manifest(self._files, session_id)
        claim(self._files, session_id)
        try:
            return finish_crashed(self._files, session_id)
        except KalshiRayError:
            release(self._files, session_id)
            raise

    def delete(self, session_id: str, *, expected_rows: int) -> None:
        """Delete a session for good. `expected_rows` must be the number of updates counted in its files."""
        sizes = self._sizes(session_id)
        _, owner = read_owner(self._files, session_id)
        if owner is not None and not owner.is_dead and MANIFEST not in sizes:
            raise SessionBusy(f"session {session_id!r} is being written by process {owner.pid} on {owner.host}")
        rows = self._countable_rows(session_id, sizes)
        if rows != expected_rows:
            raise UsageError(
                f"session {session_id!r} holds {rows:,} updates, not {expected_rows:,}: nothing was deleted",
                remedy=f"Give {rows} to delete it",
            )
        if MANIFEST in sizes:  # first, so that an interrupted deletion never looks whole
            self._files.remove(f"{session_folder(session_id)}/{MANIFEST}")
        self._files.remove_folder(session_folder(session_id))

    def _sizes(self, session_id: str) -> dict[str, int]:
        known = self.ids()
        if session_id not in known:
            raise UnknownName(f"session in {self.url}", session_id, known)
        return self._files.sizes(session_folder(session_id))

    def _unfinished(self, session_id: str, sizes: dict[str, int]) -> SessionSummary:
        _, owner = read_owner(self._files, session_id)
        draft = read_manifest(self._files, session_id, DRAFT) if DRAFT in sizes else None
        rows = self._countable_rows(session_id, sizes)
        state: State = "unfinished"
        if owner is None:
            problem = f"session {session_id!r} was never finished. Recover it ({rows:,} updates are whole) or delete it"
        elif owner.is_dead:
            problem = (
                f"process {owner.pid} on {owner.host} died while writing session {session_id!r}. "
                f"Recover it ({rows:,} updates are whole) or delete it"
            )
        else:
            state = "writing"
            problem = f"session {session_id!r} is being written by process {owner.pid} on {owner.host}. Wait for it"
        return SessionSummary(
            id=session_id, state=state, rows=rows, bytes=sum(sizes.values()), manifest=draft, problem=problem
        )

    def _countable_rows(self, session_id: str, sizes: dict[str, int]) -> int:
        """Updates in the files that can be read, whatever any manifest says."""
        rows = 0
        for name in sizes:
            if not (name.startswith("updates/") and name.endswith(".parquet")):
                continue
            try:
                with open_parquet(self._files, f"{session_folder(session_id)}/{name}", UPDATES) as parquet:
                    rows += parquet.metadata.num_rows
            except SessionDamaged:
                continue  # `open` and `validate` name the damage; here only whole rows count
        return rows


def open_store(url: str) -> SessionStore:
    """The store of that URL: a folder, `file://…` or any `pyarrow.fs` URL. It need not exist yet."""
    if url.startswith(("postgresql://", "postgres://")):
        raise UsageError("sessions in PostgreSQL are not supported by this version", remedy="Give a folder or a URL")
    return SessionStore(open_files(url), url)
