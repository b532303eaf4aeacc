"""What a simulator leaves on disk while it runs: the file that says where it serves, and the keys of its accounts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from kalshi_ray.errors import Stopped, UsageError


class ReadyPlace:
    """Where the ready file stands, whole, for as long as the simulator serves; without a path nothing is written.

    A file that a killed simulator left there goes first, so that nobody takes it for this one's.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._content = b""

    def __enter__(self) -> ReadyPlace:
        if self.path is None:
            return self
        if not self.path.absolute().parent.is_dir():
            raise UsageError(f"the folder of {self.path} does not exist", remedy="Make it first")
        try:
            self.path.unlink(missing_ok=True)
        except OSError as problem:
            raise self._refused(problem) from problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        """Remove the file, unless another simulator has written its own there."""
        if self.path is not None and self._content and _read(self.path) == self._content:
            self.path.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Write the file so that nobody ever sees half of it."""
        if self.path is None:
            return
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            partial.write_bytes(content)
            partial.replace(self.path)
        except OSError as problem:
            partial.unlink(missing_ok=True)
            raise self._refused(problem) from problem
        self._content = content

    def _refused(self, problem: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be written: {problem.strerror}", remedy="Choose another --ready-file")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # somebody has removed it
        return b""


@contextmanager
def keys_folder(keys: Path | None) -> Iterator[Path]:
    """The folder of the keys, for the owner alone; one that nobody named is removed at the end."""
    if keys is not None:
        try:
            keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise UsageError(f"--keys {keys} is no folder to write to: {problem.strerror}") from problem
        yield keys.absolute()
        return
    made = Path(tempfile.gettempdir()) / f"kalshi-ray-keys-{secrets.token_hex(8)}"
    try:
        made.mkdir(mode=0o700)  # within, as who is stopped right after it would leave it behind
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends what happens before anything is served as Ctrl-C does: by an error, past which all is removed."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # removing takes no time
    raise Stopped("stopped by SIGTERM before it served", exit_code=128 + number)
