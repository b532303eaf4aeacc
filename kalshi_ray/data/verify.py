"""Whether a session is still what was written: every piece by its checksum, counts and identity by its rows."""

from __future__ import annotations

import msgspec

from kalshi_ray.data.manifest import COMPUTED, count_rows, read_manifest
from kalshi_ray.data.pieces import DRAFT, LOCK, MANIFEST, MARKETS_FILE, TRUTH_FILE, parts_among
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, FileEntry, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, State
from kalshi_ray.errors import DataError
from kalshi_ray.telemetry import Progress


class PieceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One piece that was checked."""

    name: str
    rows: int  # as the manifest says
    bytes: int
    checksum: str
    problem: str = ""  # empty: it is what was written


class SessionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked of one session, and what is wrong."""

    session: str
    state: State
    pieces: list[PieceCheck] = []
    updates: int = 0  # counted
    content: str = ""  # identity as counted; empty where the rows cannot be read
    problems: list[str] = []  # damage
    notes: list[str] = []  # no damage: it is being written, or an interrupted compaction left pieces

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged. A session that was never finished is not damaged."""
        return not self.problems


def verify_session(store: SessionStore, session_id: str, progress: Progress | None = None) -> SessionCheck:
    """Check one session in full; damage is told, not raised. UnknownName if there is none."""
    summary = store.summary(session_id)
    if summary.state in ("writing", "unfinished"):
        return SessionCheck(session=session_id, state=summary.state, updates=summary.rows, notes=[summary.problem])
    try:
        manifest = read_manifest(store.backend, session_id)
    except DataError as error:
        return SessionCheck(session=session_id, state="damaged", problems=[str(error)])
    sizes = store.backend.sizes(session_id)
    pieces = _check_pieces(store, Session(store.backend, session_id, manifest), sizes, progress)
    problems = [piece.problem for piece in pieces if piece.problem]
    counted, wrong = _check_counts(store, manifest, progress)
    problems += [line for line in wrong if line not in problems]
    return SessionCheck(
        session=session_id,
        state="damaged" if problems else "finished",
        pieces=pieces,
        updates=counted.updates if counted else 0,
        content=counted.content if counted else "",
        problems=problems,
        notes=[_note_of(session_id, name, sizes[name]) for name in _foreign(manifest, sizes)],
    )


def _check_pieces(
    store: SessionStore, session: Session, sizes: dict[str, int], progress: Progress | None
) -> list[PieceCheck]:
    checked = []
    files = session.manifest.files
    for done, (name, entry) in enumerate(files.items()):
        if progress:
            progress("pieces", done, len(files))
        problem = _problem_of(store, session, name, entry, sizes)
        checked.append(
            PieceCheck(name=name, rows=entry.rows, bytes=entry.bytes, checksum=entry.sha256, problem=problem)
        )
    if MARKETS_FILE not in files:
        problem = f"the manifest of {session.id!r} names no market table"
        checked.append(PieceCheck(name=MARKETS_FILE, rows=0, bytes=0, checksum="", problem=problem))
    return checked


def _problem_of(store: SessionStore, session: Session, name: str, entry: FileEntry, sizes: dict[str, int]) -> str:
    """What is wrong with one piece; nothing if it is what was written."""
    where = store.backend.where(session.id, name)
    if name not in sizes:
        return f"{where} is missing"
    if sizes[name] != entry.bytes:
        return f"{where} has {sizes[name]:,} bytes, the manifest says {entry.bytes:,}"
    try:
        session.verify_piece(name)
        schema = {MARKETS_FILE: MARKETS, TRUTH_FILE: TRUTH}.get(name, UPDATES if name in session.parts else None)
        rows = store.backend.rows(session.id, name, schema) if schema is not None else 0
    except DataError as error:
        return str(error)
    return f"{where} holds {rows:,} rows, the manifest says {entry.rows:,}" if rows != entry.rows else ""


def _check_counts(
    store: SessionStore, manifest: Manifest, progress: Progress | None
) -> tuple[Manifest | None, list[str]]:
    """The manifest as the rows say, and where the one that is stored says something else."""
    try:
        counted = count_rows(store.backend, manifest.id, manifest, parts_among(manifest.files), progress)
    except DataError as error:
        return None, [str(error)]
    return counted, [
        f"the manifest of {manifest.id!r} says {name} {getattr(manifest, name)}, the rows say {getattr(counted, name)}"
        for name in COMPUTED
        if getattr(manifest, name) != getattr(counted, name)
    ]


def _note_of(session_id: str, name: str, size: int) -> str:
    if name == DRAFT:
        return f"{name} stays of a writer that died as it ended: kalshi-ray sessions recover {session_id} clears up"
    return f"{name} is no part of the session ({size:,} bytes)"


def _foreign(manifest: Manifest, sizes: dict[str, int]) -> list[str]:
    """What lies there and is not in the manifest."""
    return sorted(name for name in sizes if name not in (MANIFEST, LOCK) and name not in manifest.files)
