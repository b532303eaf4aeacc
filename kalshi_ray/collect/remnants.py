"""What crashes left of spools whose sessions are finished: found where spools lie, and removed if nothing is in it."""

from __future__ import annotations

from pathlib import Path

from kalshi_ray import telemetry
from kalshi_ray.collect.disk import LOCK, Disk, is_litter
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.pairing import facts_of, identity_of
from kalshi_ray.collect.repair import read_identity
from kalshi_ray.collect.segment import Head, Identity, raw_number, rows_number
from kalshi_ray.collect.spool import Spool
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import DataError, SessionBusy, UnknownName, UsageError


def clear_remnants(store: SessionStore, root: Path) -> list[Path]:
    """Remove from the folder of all spools those that hold nothing any more; says which.

    A spool goes where the store has the very session that it was of, finished and with all that the spool knows; or
    where it has no such session, and nothing ever was in the spool. All others stay as they are.
    """
    cleared = []
    for folder in sorted(root.absolute().iterdir()) if root.is_dir() else ():
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            if _clear(store, folder):
                cleared.append(folder)
        except SessionBusy:
            continue
        except (DataError, UsageError) as problem:  # what others left is no reason not to record
            telemetry.warning("collect.spool_stays", folder=str(folder), problem=str(problem))
    return cleared


def drop_remnant(store: SessionStore, session_id: str, folder: Path) -> Manifest:
    """The crash came after the manifest: the spool of a finished session goes, and then its draft.

    DataError if something is in the spool that is not in the session; SessionBusy while a process has it.
    """
    if more := clear_finished(store, session_id, folder):
        raise DataError(
            f"session {session_id!r} is finished, and {folder} holds {more} that are not in it",
            remedy="Nothing was removed; delete the folder if they may be lost",
        )
    return store.recover(session_id)


def clear_finished(store: SessionStore, session_id: str, folder: Path) -> str:
    """Remove the spool of a finished session; or say what is in it that is not in the session, and leave it."""
    session = store.open(session_id)
    if _numbers(folder):
        spool = Spool.open(folder, Head(identity=identity_of(store, session.manifest), number=0))
        if more := _more_than(facts_of(session.markets(), session.manifest), spool):
            spool.close()
            return more
        spool.remove()
    elif folder.is_dir() and _is_shell(folder):
        remove_shell(folder)
    return ""


def remove_shell(folder: Path) -> None:
    """Remove what stays of a spool when its last journal is gone: raw lines that no journal knows of are litter."""
    disk = Disk(folder)
    disk.claim()
    for name in disk.names() if not _numbers(folder) else ():
        if raw_number(name) is not None or is_litter(name):
            disk.remove(name)
    disk.leave()


def _clear(store: SessionStore, folder: Path) -> bool:
    """Remove one spool if it is a remnant; whether it was."""
    numbers = _numbers(folder)
    whose = read_identity(Disk(folder), numbers[0]) if numbers else None
    name = folder.name if whose is None else whose.session
    try:
        summary = store.summary(name)
    except UnknownName:
        return whose is not None and numbers == [0] and _remove_unused(store, folder, whose)
    if summary.state != "finished" or summary.manifest is None:
        return False
    is_its = _is_shell(folder) if whose is None else whose == identity_of(store, summary.manifest)
    if not is_its or clear_finished(store, name, folder):
        return False
    store.recover(name)
    return True


def _remove_unused(store: SessionStore, folder: Path, whose: Identity) -> bool:
    """Remove a spool into which nothing ever came, of a session that is gone; whether it was one."""
    if whose.store != identity_of(store, Manifest(id=whose.session, source="collect")).store:
        return False
    spool = Spool.open(folder, Head(identity=whose, number=0))
    if _more_than(Facts(), spool):
        spool.close()
        return False
    spool.remove()
    return True


def _more_than(known: Facts, spool: Spool) -> str:
    """What is in a spool beside these facts; nothing if it is nothing."""
    if rows := spool.rows + sum(rows for rows, _ in spool.waiting.values()):
        return f"{rows:,} rows"
    if spool.raw_bytes or spool.waiting:
        return "raw lines"
    return "facts of markets, grids or signals" if spool.facts != known else ""


def _numbers(folder: Path) -> list[int]:
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    return sorted(number for name in names if (number := rows_number(name)) is not None)


def _is_shell(folder: Path) -> bool:
    """Whether nothing is in a folder but what stays of a spool when its last journal is gone."""
    return all(
        one.is_file() and (one.name == LOCK or is_litter(one.name) or _is_without_lines(one))
        for one in folder.iterdir()
    )


def _is_without_lines(file: Path) -> bool:
    return raw_number(file.name) is not None and file.stat().st_size == 0
