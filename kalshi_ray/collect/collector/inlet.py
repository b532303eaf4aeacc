"""Where external values come in: a Unix socket whose senders are answered, and a file whose added lines are read.

What a line may say is in `collect.signals`. Values are handed on one by one, and nothing is read while there is no room
for them: their senders wait, and lines of a file stay in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.collect.register import Signal
from kalshi_ray.collect.signals import Lines, SignalReader
from kalshi_ray.errors import ConfigError, UsageError

MOST_SENDERS = 64
ANSWER_S = 1.0  # how long a sender may take to read its answers
CHUNK = 8_192  # bytes read at once
POLL_S = 0.05  # how often a file is looked at
LINGER_S = 2.0  # how long a file that was moved away is read on after its last line


class Taker:
    """Hands values on, and counts. `fault` is an error of `deliver` that no sender made.

    `deliver` stamps a value and returns the time, or raises UsageError; `room` returns once there is room for more.
    """

    def __init__(
        self, reader: SignalReader, deliver: Callable[[Signal], int], room: Callable[[], Awaitable[None]]
    ) -> None:
        self.taken = self.refused = 0
        self.fault: Exception | None = None
        self.room = room
        self._reader, self._deliver = reader, deliver

    def take(self, line: bytes) -> int:
        """When the value of a line was received. UsageError says why it was not."""
        try:
            recv_ns = self._deliver(self._reader.read(line))
        except UsageError:
            self.refused += 1
            raise
        except Exception as problem:
            self.fault = problem
            raise
        self.taken += 1
        return recv_ns


class Inlets:
    """The socket and the file, where there are any, as long as the block runs."""

    def __init__(self, taker: Taker, *, socket_path: str = "", file_path: str = "") -> None:
        self._parts: list[SignalSocket | FileTail] = []
        if socket_path:
            self._parts.append(SignalSocket(taker, Path(socket_path).expanduser()))
        if file_path:
            self._parts.append(FileTail(taker, Path(file_path).expanduser()))
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            for part in self._parts:
                await opening.enter_async_context(part)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


class SignalSocket:
    """A Unix socket for the user that the collector runs as. One whose collector is dead is replaced.

    Plain sockets: a stream of asyncio forgets what a sender wrote once an answer cannot be delivered, and a sender may
    write its lines and go.
    """

    def __init__(self, taker: Taker, path: Path) -> None:
        self.path = path
        self._taker = taker
        self._senders: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = _bound(self.path)
        self._identity = _identity(self.path.stat())
        self._accepting = asyncio.get_running_loop().create_task(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [self._accepting, *self._senders]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening.close()
        with contextlib.suppress(OSError):
            if _identity(self.path.stat()) == self._identity:  # it may be another's by now
                self.path.unlink()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as problem:  # no file numbers left, for example
                telemetry.warning("collect.signal_socket", problem=str(problem))
                await asyncio.sleep(ANSWER_S)
                continue
            connection.setblocking(False)
            sender = loop.create_task(self._serve(connection, is_too_many=len(self._senders) >= MOST_SENDERS))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def _serve(self, connection: socket.socket, *, is_too_many: bool) -> None:
        with connection:
            if is_too_many:
                await _sent(connection, _refusal(f"{MOST_SENDERS} senders are connected already"))
                return
            lines, hears = Lines(), True
            while content := await self._read(connection):
                answers = b"".join(map(self._answer, lines.feed(content)))
                hears = hears and await _sent(connection, answers)
            # A whole object needs no line feed at the end.
            answers = b"".join(map(self._answer, lines.feed(b"\n")))
            if hears:
                await _sent(connection, answers)

    async def _read(self, connection: socket.socket) -> bytes:
        """What a sender wrote; nothing once it is gone."""
        await asyncio.sleep(0)  # a busy sender leaves others their turn
        await self._taker.room()
        try:
            return await asyncio.get_running_loop().sock_recv(connection, CHUNK)
        except OSError:  # it went without reading its answers
            return b""

    def _answer(self, line: bytes) -> bytes:
        try:
            return msgspec.json.encode({"ok": True, "recv_ns": self._taker.take(line)}) + b"\n"
        except UsageError as problem:
            return _refusal(str(problem))


class FileTail:
    """The lines that are added to a file. It may be missing at first, be moved away for another, or be emptied."""

    def __init__(self, taker: Taker, path: Path) -> None:
        self.path = path
        self._taker = taker
        self._files: list[_TailedFile] = []  # oldest first; all but the last were moved away
        self._trouble = ""

    async def __aenter__(self) -> Self:
        self._follow(from_start=False)
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for one in self._files:
            one.close()

    async def _run(self) -> None:
        while True:
            found = await self.poll()
            await asyncio.sleep(0.0 if found else POLL_S)

    async def poll(self) -> bool:
        """Take what was added; whether there was anything."""
        self._follow(from_start=True)
        now, found = asyncio.get_running_loop().time(), False
        for one in self._files:
            await self._taker.room()
            try:
                content = one.read()
            except OSError as problem:
                self._tell(f"cannot read {self.path}: {problem.strerror}")
                continue
            if content:
                one.quiet_since, found = now, True
            for line in one.lines.feed(content):
                self._take(line)
        for one in self._files[:-1]:
            if now - one.quiet_since >= LINGER_S:
                self._files.remove(one)
                one.close()
                for line in one.lines.feed(b"\n"):  # nobody will end it any more
                    self._take(line)
        return found

    def _follow(self, *, from_start: bool) -> None:
        """Open the file that stands under the name now, if it is another."""
        try:
            identity = _identity(self.path.stat())
            known = next((one for one in self._files if one.identity == identity), None)
            if known is None:
                known = _TailedFile(self.path, asyncio.get_running_loop().time(), from_start=from_start)
                self._files.append(known)
            elif known is not self._files[-1]:  # it is back
                self._files.append(self._files.pop(self._files.index(known)))
        except FileNotFoundError as problem:
            if not from_start and not self.path.absolute().parent.is_dir():
                raise ConfigError(
                    f"there is no folder for {self.path}", remedy="Make it, or choose another collect.signal_file"
                ) from problem
            return
        except OSError as problem:
            trouble = f"cannot read {self.path}: {problem.strerror}"
            if not from_start:
                raise ConfigError(trouble, remedy="Choose another collect.signal_file") from problem
            self._tell(trouble)
        else:
            self._trouble = ""

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            telemetry.warning("collect.signal_file", problem=trouble)
        self._trouble = trouble

    def _take(self, line: bytes) -> None:
        try:
            self._taker.take(line)
        except UsageError as problem:
            telemetry.warning("collect.signal_refused", file=str(self.path), problem=str(problem))


class _TailedFile:
    """One file under the name, open until it is no longer written."""

    def __init__(self, path: Path, now: float, *, from_start: bool) -> None:
        self._number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._number)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._number)
            raise OSError(errno.EINVAL, "it is not a file")
        self.identity, self.quiet_since, self.lines = _identity(status), now, Lines()
        self._at = 0 if from_start else status.st_size

    def read(self) -> bytes:
        """What was added."""
        was_emptied = os.fstat(self._number).st_size < self._at
        content = os.pread(self._number, CHUNK, 0 if was_emptied else self._at)
        self._at = len(content) if was_emptied else self._at + len(content)
        return b"\n" + content if was_emptied and self.lines.rest else content  # nobody ends a half line any more

    def close(self) -> None:
        """Read it no more."""
        os.close(self._number)


def _identity(status: os.stat_result) -> tuple[int, int]:
    """A file that is open keeps its own, whatever becomes of its name."""
    return status.st_dev, status.st_ino


async def _sent(connection: socket.socket, answers: bytes) -> bool:
    """Whether a sender takes its answers. One that does not gets no more, and sees their end."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await asyncio.get_running_loop().sock_sendall(connection, answers)
        return True
    except (OSError, TimeoutError):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return False


def _refusal(problem: str) -> bytes:
    return msgspec.json.encode({"ok": False, "error": problem}) + b"\n"


def _bound(path: Path) -> socket.socket:
    """A socket at this path that only its owner may use. UsageError where a living collector has it."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        with _folder_locked(path.parent):
            _remove_stale(path)
            made.bind(str(path))
            path.chmod(0o600)  # nobody can connect before it listens
            made.listen(MOST_SENDERS)
    except OSError as problem:
        made.close()
        why = problem.strerror or str(problem)
        raise ConfigError(f"no socket at {path}: {why}", remedy="Choose another collect.signal_socket") from problem
    except UsageError:
        made.close()
        raise
    return made


def _remove_stale(path: Path) -> None:
    """Remove the socket of a collector that is dead."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"{path} is there and is no socket", remedy="Choose another collect.signal_socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError:
            pass  # whatever it is, it is not dead
    raise UsageError(f"another collector takes signals at {path}", remedy="Choose another collect.signal_socket")


@contextlib.contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Two collectors do not look at a stale socket at once."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
