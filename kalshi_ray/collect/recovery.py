"""Finishing a session whose collector died, with what lies in its spool and without another collector."""

from __future__ import annotations

from pathlib import Path

from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.pairing import holds_spool, place_in_draft
from kalshi_ray.collect.remnants import drop_remnant
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import NothingToDo, UsageError


def recover_session(store: SessionStore, session_id: str, *, without_spool: bool = False) -> Manifest:
    """Finish any session whose writer died: with its spool if it has one, else with what the store has.

    Of one that died after the session was finished, what it had not removed yet is removed.

    UsageError where the spool is on another machine or gone, unless it is given up by `without_spool`.
    """
    is_finished = store.summary(session_id).state == "finished"
    place = place_in_draft(store, session_id)
    if is_finished and place.is_on_this_machine and not without_spool:
        return drop_remnant(store, session_id, Path(place.folder))
    if is_finished or without_spool or not place.host:
        return store.recover(session_id)
    if not place.is_here:
        raise UsageError(
            f"rows of session {session_id!r} wait in {place.folder} on {place.host}, and that is not here",
            remedy="Recover it there, or give up what is not in the store",
        )
    return recover(store, session_id, Path(place.folder))


def recover(store: SessionStore, session_id: str, spool_folder: Path) -> Manifest:
    """Finish a session with what its spool holds, and remove the spool.

    NothingToDo if there is no spool: `SessionStore.recover` finishes what the store has.
    """
    if not holds_spool(spool_folder):
        raise NothingToDo(f"{spool_folder} holds no spool", remedy="Recover the session from the store alone")
    summary = store.summary(session_id)
    if summary.state == "finished":
        return drop_remnant(store, session_id, spool_folder)
    nothing = Manifest(id=session_id, source="collect")  # the session is there: it is not told what it is
    keeps_raw = summary.raw_bytes > 0 or any(one.stat().st_size for one in spool_folder.glob("*.jsonl.zst"))
    keeper = Keeper(store, session_id, spool_folder, nothing, CollectSettings(raw=keeps_raw))
    try:
        keeper.take_up()
        keeper.describe(unknowns=["the recorder stopped before its end"])
        return keeper.finish()
    finally:
        keeper.close()
