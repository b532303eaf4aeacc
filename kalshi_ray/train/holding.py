"""Who writes into the folder of a run: one process at a time, whose death gives the folder back.

The kernel keeps the lock and drops it with the process that took it, however that ended. What stands in the file says
who that is, for whoever finds the folder taken.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.data.owner import Owner
from kalshi_ray.errors import DataError, RunBusy

LOCK = "writer.lock"
_MOST = 10_000  # bytes of a lock


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Be the only one who writes into a run's folder; it is made, and removed at the end if nothing came into it.

    RunBusy while another process, or another call in this one, does the same.
    """
    is_there = folder.exists()
    descriptor = _take(folder)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # somebody moved the folder away
            os.unlink(folder / LOCK)
        os.close(descriptor)
        if not is_there:
            with suppress(OSError):  # it holds a run now
                folder.rmdir()


def holder_of(folder: Path) -> Owner | None:
    """Who took the folder last and did not give it back; dead perhaps."""
    try:
        content = (folder / LOCK).read_bytes()
    except OSError:  # nobody, or none of our business
        return None
    return _read(content)


def require_free(folder: Path) -> None:
    """RunBusy where a process of this machine writes into the folder: what would be refused later, early."""
    owner = holder_of(folder)
    if owner is not None and owner.is_here and not owner.is_dead:
        raise _busy(folder, owner)


def _take(folder: Path) -> int:
    """The open lock, which is ours."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # whoever had the folder has just removed it
        except FileExistsError as error:
            if _is_no_folder(error.filename):
                raise _unwritable(folder, error) from error
            continue  # it was there, and was removed before `mkdir` looked what it was
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            if _lock(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(folder: Path, descriptor: int) -> bool:
    """Lock an open file and sign it; False where it is the folder's lock no more."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(folder / LOCK, descriptor):
            return False
        before = os.pread(descriptor, _MOST, 0)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(Owner.this(datetime.now(UTC).isoformat(timespec="seconds"))), 0)
    except BlockingIOError:
        raise _busy(folder, _read(os.pread(descriptor, _MOST, 0))) from None
    except OSError as error:
        raise _unwritable(folder, error) from error
    if before:
        telemetry.warning("train.folder.taken_over", folder=str(folder), died=str(_read(before) or "its last writer"))
    return True


def _is_no_folder(path: Path) -> bool:
    """Whether something stands at a path and is no folder, by one look."""
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still stands at a path: its last owner may have removed it since it was opened."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _read(content: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(content, type=Owner)
    except msgspec.MsgspecError:  # taken this very moment, and not signed yet
        return None


def _busy(folder: Path, owner: Owner | None) -> RunBusy:
    return RunBusy(
        f"run folder {folder} is being written by {owner or 'another process'}",
        remedy="Wait for it or stop it, or choose another folder (--run)",
    )


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(f"cannot write {folder}: {error}", remedy="Choose another run folder")
