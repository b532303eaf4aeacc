"""What waits in the spool of an unfinished session: looked at before it is finished or deleted, and deleted with it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kalshi_ray.collect.pairing import Place, identity_of, place_in_draft, place_of
from kalshi_ray.collect.remnants import clear_finished, remove_shell
from kalshi_ray.collect.repair import Repair
from kalshi_ray.collect.segment import Head
from kalshi_ray.collect.spool import Spool
from kalshi_ray.data.pieces import parts_among
from kalshi_ray.data.store import Census, SessionStore, SessionSummary
from kalshi_ray.errors import KalshiRayError, UsageError


class Remainder(msgspec.Struct, frozen=True, kw_only=True):
    """What a spool on this machine holds that is not in the store."""

    folder: Path
    rows: int
    bytes: int
    repair: Repair | None  # what was cut off it, just now


def place_in(summary: SessionSummary) -> Place:
    """Where the spool of a session lies; one without a host where it has none."""
    is_over = summary.manifest is None or summary.state == "finished"
    return Place() if is_over or summary.manifest is None else place_of(summary.manifest)


def remainder_of(store: SessionStore, session_id: str) -> Remainder | None:
    """Look into the spool of a session, which is repaired on the way; None if it has none on this machine.

    SessionBusy while a collector has it, UsageError if another session's spool lies there.
    """
    spool = _spool_of(store, session_id)
    if spool is None:
        return None
    try:
        rows = _rows_waiting(store, session_id, spool)
        return Remainder(folder=spool.folder, rows=rows, bytes=spool.bytes, repair=spool.repaired)
    finally:
        spool.close()


def delete_session(store: SessionStore, session_id: str, *, expected_rows: int) -> Census:
    """Delete a session for good, as the store does, and before it the spool that it has on this machine.

    `expected_rows` must be the number of updates in the store and in the spool together.
    """
    place = place_in_draft(store, session_id)
    if place.is_on_this_machine and store.summary(session_id).state == "finished":
        clear_finished(store, session_id, Path(place.folder))
    spool = _spool_of(store, session_id)
    if spool is None:
        if place.is_on_this_machine and Path(place.folder).is_dir() and not place.is_here:
            remove_shell(Path(place.folder))  # an earlier deletion died at the last steps
        return store.delete(session_id, expected_rows=expected_rows)
    try:
        stored, waiting = store.count(session_id).rows, _rows_waiting(store, session_id, spool)
        if stored + waiting != expected_rows:
            raise UsageError(
                f"session {session_id!r} holds {stored:,} updates and {waiting:,} in its spool, not {expected_rows:,}: "
                "nothing was deleted",
                remedy=f"Give {stored + waiting} to delete it",
            )
        return store.delete(session_id, expected_rows=stored, first=spool.remove)
    except KalshiRayError:
        spool.close()
        raise


def _rows_waiting(store: SessionStore, session_id: str, spool: Spool) -> int:
    """Rows of a spool that are not in the store: a segment may be in both when the process dies."""
    stored = len(parts_among(store.backend.sizes(session_id)))
    return spool.rows + sum(rows for number, (rows, _) in spool.waiting.items() if number >= stored)


def _spool_of(store: SessionStore, session_id: str) -> Spool | None:
    summary = store.summary(session_id)
    place = place_in(summary)
    if summary.manifest is None or not place.is_here:
        return None
    return Spool.open(Path(place.folder), Head(identity=identity_of(store, summary.manifest), number=0))
