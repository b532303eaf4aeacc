"""The files of a spool's folder: written in place, synced, renamed and removed; nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from pyarrow import fs

from kalshi_ray.data.files import PARTIAL, Files, disk_error, sync_folder
from kalshi_ray.data.owner import UNKNOWN_HOST, Owner
from kalshi_ray.errors import SessionBusy

LOCK = "spool.lock"
_MOST_BUFFERS = 1024  # of one system call
_CHUNK = 8 << 20


class Disk:
    """Files of one folder on this machine. Everything raises OSError; `saying` makes our own errors of them.

    A write goes to a place in a file, so that a failed one is made good by writing there again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, int] = {}
        self._lock = b""

    def path(self, name: str) -> str:
        """The full path, for messages."""
        return str(self.folder / name)

    @contextlib.contextmanager
    def saying(self, name: str) -> Iterator[None]:
        """StoreFull or DataError that names the file, for the OSError of what is done to it."""
        try:
            yield
        except OSError as error:
            raise disk_error(self.path(name), error) from error

    def names(self) -> list[str]:
        """All files, but for the lock."""
        return sorted(one.name for one in self.folder.iterdir() if one.is_file() and one.name != LOCK)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return os.stat(self.path(name)).st_size

    def read(self, name: str) -> bytes:
        """The whole of a file."""
        return (self.folder / name).read_bytes()

    def read_at(self, name: str, position: int, length: int) -> bytes:
        """A stretch of a file, shorter at its end."""
        descriptor = os.open(self.path(name), os.O_RDONLY)
        try:
            return os.pread(descriptor, length, position)
        finally:
            os.close(descriptor)

    def write(self, name: str, position: int, buffers: Sequence[bytes]) -> None:
        """Write into a file from `position` on; it is made if there is none. An error may leave a part written."""
        descriptor = self._descriptor(name)
        for start in range(0, len(buffers), _MOST_BUFFERS):
            waiting = [memoryview(one) for one in buffers[start : start + _MOST_BUFFERS] if one]
            while waiting:
                written = os.pwritev(descriptor, waiting, position)
                position += written
                while waiting and written >= len(waiting[0]):
                    written -= len(waiting.pop(0))
                if written:
                    waiting[0] = waiting[0][written:]

    def rewrite(self, name: str, start: int, stop: int) -> None:
        """Write a stretch again as it is: a failed sync leaves pages that the system calls clean and may drop."""
        for position in range(start, stop, _CHUNK):
            self.write(name, position, [self.read_at(name, position, min(_CHUNK, stop - position))])

    def truncate(self, name: str, length: int) -> None:
        """Cut a file."""
        os.ftruncate(self._descriptor(name), length)

    def sync(self, name: str) -> None:
        """Return when the content of a file would survive the machine. OSError where somebody deleted it."""
        os.fsync(self._descriptor(name))
        os.stat(self.path(name))

    def sync_names(self) -> None:
        """Return when the names of the files would survive the machine."""
        sync_folder(self.folder)

    def rename(self, name: str, to: str) -> None:
        """Give a file its name, in place of what had it."""
        self.let_go(name)
        self.let_go(to)
        os.replace(self.path(name), self.path(to))

    def remove(self, name: str) -> None:
        """Remove a file; nothing if there is none."""
        self.let_go(name)
        (self.folder / name).unlink(missing_ok=True)

    def let_go(self, name: str) -> None:
        """Nothing more is written to this file for now."""
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def claim(self) -> None:
        """Make the folder and take its lock. SessionBusy while another spool lives; that of a dead one is replaced."""
        files, mine = self._files(), msgspec.json.encode(Owner.this())
        with self.saying(""):
            absent = [one for one in (self.folder, *self.folder.parents) if not one.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            for one in absent:
                sync_folder(one.parent)
        while True:
            try:
                files.create(LOCK, mine)
                self._lock = mine
                return
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):
                    content = files.read(LOCK)
                    owner = _owner(content)
                    if not owner.is_dead:
                        raise self._busy(owner) from None
                    files.take_away(LOCK, content)

    def close(self) -> None:
        """Close the files and give the lock back."""
        for name in list(self._open):
            self.let_go(name)
        if self._lock:
            self._files().take_away(LOCK, self._lock)
            self._lock = b""

    def leave(self) -> None:
        """Give the lock back, and remove the folder if nothing is in it."""
        self.close()
        with contextlib.suppress(OSError):  # somebody keeps something of his own there
            self.folder.rmdir()

    def _files(self) -> Files:
        return Files(fs.LocalFileSystem(), str(self.folder))

    def _busy(self, owner: Owner) -> SessionBusy:
        gone = "" if owner.is_here else f"; if it is gone for certain, remove {self.path(LOCK)}"
        return SessionBusy(f"the spool {self.folder} is being written by {owner}", remedy=f"Wait for it{gone}")

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            self._open[name] = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._open[name]


def is_litter(name: str) -> bool:
    """Whether it is what a crash leaves of a file that had not got its name yet, or was about to go."""
    return name.endswith(PARTIAL) or name.startswith(f"{LOCK}.")


def _owner(content: bytes) -> Owner:
    try:
        return msgspec.json.decode(content, type=Owner)
    except msgspec.MsgspecError:
        # Not written by us: treated as alive, on no machine of ours.
        return Owner(host=UNKNOWN_HOST, pid=0, birth=0)
