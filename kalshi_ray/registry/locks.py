"""One writer at a time in a registry: a lock that its holder's death gives back.

On a disk of ours the kernel keeps the lock and drops it with the process, so that none is ever left behind. Elsewhere
the lock is a file that names its owner; one whose owner died on this machine is taken over.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from kalshi_ray.data.files import Files, disk_error
from kalshi_ray.data.owner import Owner
from kalshi_ray.errors import DataError

LOCK = "registry.lock"
PATIENCE_S = 20.0  # how long to wait for another writer; each holds the lock for milliseconds
PAUSE_S = 0.01


class _Claim(msgspec.Struct, frozen=True):
    """What stands in a lock: its owner, and a mark that no other claim has."""

    owner: Owner
    mark: str


@contextmanager
def only_writer(files: Files, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Be the only one who writes below `files` until the block ends. DataError after `patience_s` of waiting."""
    mine = msgspec.json.encode(_Claim(Owner.this(), uuid.uuid4().hex))
    until = time.monotonic() + patience_s
    if files.local is not None:
        descriptor = _lock_here(files, mine, until)
        try:
            yield
        finally:
            os.close(descriptor)
    else:
        _lock_there(files, mine, until)
        try:
            yield
        finally:
            files.take_away(LOCK, mine)


def _lock_here(files: Files, mine: bytes, until: float) -> int:
    try:
        os.makedirs(files.path(""), exist_ok=True)
        descriptor = os.open(files.path(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk_error(files.path(LOCK), error) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(files, os.pread(descriptor, 1000, 0), until)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, mine, 0)  # for whoever waits: the kernel's lock is what counts
    except OSError as error:
        os.close(descriptor)
        raise disk_error(files.path(LOCK), error) from error
    except DataError:
        os.close(descriptor)
        raise
    return descriptor


def _lock_there(files: Files, mine: bytes, until: float) -> None:
    while True:
        try:
            return files.create(LOCK, mine)
        except FileExistsError:
            pass
        try:
            content = files.read(LOCK)
        except FileNotFoundError:
            continue  # given back in between
        claim = _claim(content)
        if claim is not None and claim.owner.is_dead:
            files.take_away(LOCK, content)
        else:
            _wait(files, content, until)


def _wait(files: Files, content: bytes, until: float) -> None:
    if time.monotonic() < until:
        time.sleep(PAUSE_S)
        return
    claim = _claim(content)
    who = f"process {claim.owner.pid} on {claim.owner.host}" if claim else "another process"
    remedy = "Try again when it is done"
    if files.local is None:
        remedy += f"; if it is gone for certain, remove {files.path(LOCK)}"
    raise DataError(f"{who} writes to the registry {files.path('')} and does not end", remedy=remedy)


def _claim(content: bytes) -> _Claim | None:
    try:
        return msgspec.json.decode(content, type=_Claim)
    except msgspec.MsgspecError:
        return None
