"""The files of a store: a local folder or any `pyarrow.fs` filesystem, written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from kalshi_ray.config import without_password
from kalshi_ray.errors import DataError, StoreDown, StoreFull, UsageError

KINDS = "Give a folder, file://…, s3://… or postgresql://…"
PARTIAL = ".partial"  # suffix of a file that is still being written
# A disk without hard links says one of these.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_UNREACHABLE = (errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH)


class Files:
    """Reads and writes below one base folder. `local` is that folder where it is on this machine.

    `write` is atomic: the bytes go to a temporary name, are synced where the disk is ours, then renamed.
    """

    def __init__(self, filesystem: fs.FileSystem, base: str) -> None:
        self.filesystem = filesystem
        self.base = base.rstrip("/") or "/"
        self.local = Path(self.base) if isinstance(filesystem, fs.LocalFileSystem) else None

    def path(self, name: str) -> str:
        """The full path of a file in its filesystem, for messages and for `filesystem`."""
        return f"{self.base}/{name}" if name else self.base

    def exists(self, name: str) -> bool:
        """Whether a file (not a folder) of that name is there."""
        return bool(self.filesystem.get_file_info(self.path(name)).type == fs.FileType.File)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Bytes of every file below `folder`, by name relative to it; empty if there is no such folder."""
        root = self.path(folder)
        found = self.filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        start = root.rstrip("/") + "/"
        return {item.path[len(start) :]: item.size for item in found if item.type == fs.FileType.File}

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in `folder`."""
        found = self.filesystem.get_file_info(fs.FileSelector(self.path(folder), allow_not_found=True))
        return sorted(item.base_name for item in found if item.type == fs.FileType.Directory)

    def read(self, name: str) -> bytes:
        """The bytes of a file. FileNotFoundError if there is none."""
        with self.filesystem.open_input_file(self.path(name)) as stream:
            return bytes(stream.read())

    def open(self, name: str) -> pa.NativeFile:
        """A file open for random access."""
        return self.filesystem.open_input_file(self.path(name))

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Write a whole file or nothing. DataError when the disk refuses."""
        partial = name + PARTIAL
        try:
            self._make_folder(name)
            if self.local is None:
                self._write_remote(partial, content)
                self.filesystem.move(self.path(partial), self.path(name))
            else:
                self._write_local(partial, content)
                os.replace(self.path(partial), self.path(name))
                sync_folder(Path(self.path(name)).parent)
        except OSError as error:
            self._drop_quietly(partial)
            raise disk_error(self.path(name), error) from error

    def create(self, name: str, content: bytes) -> None:
        """Write a new file, whole; FileExistsError if it is there. Exclusive on a local disk, best effort elsewhere."""
        try:
            self._create(name, content)
        except FileExistsError:
            raise
        except OSError as error:
            if self.local is not None:
                with suppress(OSError):  # a folder that was made for it alone is empty
                    os.rmdir(self.path(name).rpartition("/")[0])
            raise disk_error(self.path(name), error) from error

    def _create(self, name: str, content: bytes) -> None:
        self._make_folder(name)
        if self.local is None:
            if self.exists(name):
                raise FileExistsError(self.path(name))
            self._write_remote(name, content)
            if self.read(name) != content:  # two writers raced and the other one came last
                raise FileExistsError(self.path(name))
            return
        if os.path.lexists(self.path(name)):
            raise FileExistsError(self.path(name))
        # A link appears at once and with all of its content: a crash never leaves an empty file of that name.
        partial = f"{name}.{uuid.uuid4().hex}{PARTIAL}"
        try:
            self._write_local(partial, content)
            with self._alone(name):
                self._link(partial, name, content)
            sync_folder(Path(self.path(name)).parent)
        finally:
            self._drop_quietly(partial)

    def _link(self, partial: str, name: str, content: bytes) -> None:
        try:
            os.link(self.path(partial), self.path(name))
        except FileExistsError:
            # A network disk asks a second time where an answer was lost, and is refused by its own first time.
            if os.stat(self.path(partial)).st_nlink < 2:
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Without links it is still exclusive; a crash may leave less than all, which is nobody's we know.
            with open(self.path(name), "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())

    def take_away(self, name: str, expected: bytes) -> bool:
        """Remove a file if it still holds `expected`; False if somebody else was faster."""
        aside = f"{name}.{uuid.uuid4().hex}"
        try:
            with self._alone(name):
                if self.read(name) != expected:
                    return False
                self.filesystem.move(self.path(name), self.path(aside))
                if self.read(aside) != expected:  # replaced in between, by somebody on another machine
                    self.filesystem.move(self.path(aside), self.path(name))
                    return False
                self.remove(aside)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(self.path(name), error) from error
        return True

    def remove(self, name: str) -> None:
        """Delete one file."""
        self.filesystem.delete_file(self.path(name))

    def remove_folder(self, folder: str) -> None:
        """Delete a folder and all that is in it."""
        self.filesystem.delete_dir(self.path(folder))

    def drop(self, name: str) -> None:
        """Delete one file; nothing if there is none. DataError when the disk refuses."""
        try:
            self.remove(name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(self.path(name), error) from error

    def drop_folder(self, folder: str) -> None:
        """Delete a folder and all that is in it; nothing if there is none. DataError when the disk refuses."""
        try:
            self.remove_folder(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(self.path(folder), error) from error

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """No other process of this machine creates or takes away a file of this folder meanwhile, where that is local.

        FileNotFoundError if there is no such folder.
        """
        if self.local is None:
            yield
            return
        descriptor = os.open(self.path(name).rpartition("/")[0], os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # a network disk may know no such locks; those of other machines it need not know
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self, name: str) -> None:
        path = self.path(name).rpartition("/")[0]
        if self.local is None:
            self.filesystem.create_dir(path, recursive=True)
            return
        folder = Path(path)
        if folder.is_dir():
            return
        absent = [one for one in (folder, *folder.parents) if not one.exists()]
        os.makedirs(folder, exist_ok=True)
        for one in absent:
            sync_folder(one.parent)

    def _write_remote(self, name: str, content: bytes | memoryview) -> None:
        with self.filesystem.open_output_stream(self.path(name)) as stream:
            stream.write(content)

    def _write_local(self, name: str, content: bytes | memoryview) -> None:
        with open(self.path(name), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def _drop_quietly(self, name: str) -> None:
        try:
            self.remove(name)
        except OSError:
            return  # the error that brought us here is the one to report; `recover` drops what is left


def open_files(url: str) -> Files:
    """Files below a folder path, `file://` or any `pyarrow.fs` URL. UsageError for what cannot be opened."""
    if not url:
        raise UsageError("the store has no name", remedy=KINDS)
    if "://" not in url:
        folder = Path(url).expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"the store {url!r} is a file", remedy=KINDS)
        return Files(fs.LocalFileSystem(), str(folder))
    try:
        filesystem, base = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, ValueError, OSError) as error:
        shown, said = without_password(url), str(error).replace(url, without_password(url))
        raise UsageError(f"cannot open {shown!r}: {said}", remedy=KINDS) from error
    if not base.strip("/"):
        raise UsageError(f"the store {without_password(url)!r} names no bucket or folder", remedy=KINDS)
    return Files(filesystem, base)


def disk_error(path: str, error: OSError) -> DataError:
    """What a failed write is called: a full disk by its name."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"no space left while writing {path}", remedy="Nothing half-written is kept; free space, retry"
        )
    if error.errno == errno.EFBIG:
        return StoreFull(
            f"{path} has reached the size to which files are limited",
            remedy="Nothing half-written is kept; raise the limit (ulimit -f, LimitFSIZE), or write smaller parts",
        )
    if error.errno in _UNREACHABLE or "NETWORK_CONNECTION" in str(error):
        return StoreDown(f"cannot reach {path}: {error}", remedy="Nothing half-written is kept; retry later")
    return DataError(f"cannot write {path}: {error}", remedy="Check the path, its rights and the disk")


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
