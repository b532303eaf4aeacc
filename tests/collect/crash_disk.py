"""A disk in memory which stops in the middle of anything, and forgets what a real one may forget."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kalshi_ray.collect.disk import Disk

PAGE = 64  # bytes that reach a disk together; small, so that small files are torn too


class Killed(BaseException):
    """The process is gone: nothing of ours may catch it."""


@dataclass
class Inode:
    now: bytearray = field(default_factory=bytearray)
    safe: bytes = b""  # as of the last sync
    dirty: list[tuple[int, int]] = field(default_factory=list)  # written since

    def sync(self) -> None:
        """What was written since the last sync, failed or not, is safe."""
        safe = bytearray(self.safe[: len(self.now)].ljust(len(self.now), b"\0"))
        for start, stop in self.dirty:
            safe[start:stop] = self.now[start:stop]
        self.safe, self.dirty = bytes(safe[: len(self.now)]), []

    def after_power_cut(self, chance: random.Random) -> Inode:
        """Any mixture of what was synced and what was written since."""
        length = chance.choice([len(self.safe), len(self.now), chance.randint(0, max(len(self.safe), len(self.now)))])
        length = max(length, min(len(self.safe), len(self.now)))  # a cut that was not synced may be undone
        left = bytearray(length)
        for start in range(0, length, PAGE):
            stop = min(start + PAGE, length)
            source = chance.choice([self.safe, self.now])
            if self.safe[start:stop] == self.now[start:stop]:
                source = self.now
            left[start:stop] = bytes(source[start:stop]).ljust(stop - start, b"\0")
        return Inode(left, bytes(left))


@dataclass
class Medium:
    """What outlives a process: files, and the names they have, or will have once those are synced."""

    names: dict[str, Inode] = field(default_factory=dict)
    safe_names: dict[str, Inode] = field(default_factory=dict)
    pending: list[Callable[[dict[str, Inode]], None]] = field(default_factory=list)

    def cut_power(self, chance: random.Random) -> None:
        """The machine dies: of what was not synced, any part is gone."""
        names = dict(self.safe_names)
        for change in self.pending:
            if chance.random() < 0.5:
                change(names)
        self.names = {name: inode.after_power_cut(chance) for name, inode in names.items()}
        self.safe_names, self.pending = dict(self.names), []


class CrashDisk(Disk):
    """The files of a medium, for one life. `fuel`: changes until it dies in the middle of one; None: never."""

    def __init__(self, medium: Medium, chance: random.Random) -> None:
        super().__init__(Path("/nowhere"))
        self.medium, self.chance = medium, chance
        self.fuel: int | None = None
        self.changes = 0
        self.is_full = False
        self.cannot_sync = False

    def names(self) -> list[str]:
        return sorted(self.medium.names)

    def size(self, name: str) -> int:
        return len(self._inode(name).now)

    def read(self, name: str) -> bytes:
        return bytes(self._inode(name).now)

    def read_at(self, name: str, position: int, length: int) -> bytes:
        return bytes(self._inode(name).now[position : position + length])

    def write(self, name: str, position: int, buffers: Sequence[bytes]) -> None:
        content, is_last = b"".join(buffers), self._burn()
        if is_last or self.is_full:
            content = content[: self.chance.randint(0, len(content))]
        now = self._made(name).now
        now.extend(bytes(max(position - len(now), 0)))
        now[position : position + len(content)] = content
        self._inode(name).dirty.append((position, position + len(content)))
        self._end(is_last)
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")

    def truncate(self, name: str, length: int) -> None:
        is_last = self._burn()
        now = self._made(name).now
        del now[length:]
        now.extend(bytes(length - len(now)))
        self._end(is_last)

    def sync(self, name: str) -> None:
        if is_last := self._burn():
            self._end(is_last)
        inode = self._inode(name)
        if self.cannot_sync:  # the system calls the pages clean: only what is written again is synced later
            inode.dirty = []
            raise OSError(errno.EIO, "input/output error")
        inode.sync()

    def sync_names(self) -> None:
        self._end(self._burn())
        self.medium.safe_names, self.medium.pending = dict(self.medium.names), []

    def rename(self, name: str, to: str) -> None:
        inode = self._inode(name)

        def change(names: dict[str, Inode]) -> None:
            names.pop(name, None)
            names[to] = inode

        self._change_names(change)

    def remove(self, name: str) -> None:
        self._change_names(lambda names: names.pop(name, None))

    def claim(self) -> None: ...

    def close(self) -> None: ...

    def leave(self) -> None: ...

    def let_go(self, name: str) -> None: ...

    def _inode(self, name: str) -> Inode:
        if name not in self.medium.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return self.medium.names[name]

    def _made(self, name: str) -> Inode:
        if name not in self.medium.names:
            inode = Inode()
            self.medium.names[name] = inode
            self.medium.pending.append(lambda names: names.update({name: inode}))
        return self.medium.names[name]

    def _change_names(self, change: Callable[[dict[str, Inode]], object]) -> None:
        is_last = self._burn()
        if not is_last or self.chance.random() < 0.5:
            change(self.medium.names)
            self.medium.pending.append(change)
        self._end(is_last)

    def _burn(self) -> bool:
        """Whether this change is the last one."""
        self.changes += 1
        if self.fuel is None:
            return False
        self.fuel -= 1
        return self.fuel <= 0

    def _end(self, is_last: bool) -> None:
        if is_last:
            raise Killed
