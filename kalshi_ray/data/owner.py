"""Who writes a session: a lock that names a process, and is taken over only from one that is certainly gone."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

import msgspec

from kalshi_ray.data.backend import Backend, Outline
from kalshi_ray.data.pieces import LOCK
from kalshi_ray.errors import DataError, SessionBusy, StoreDown

UNKNOWN_HOST = "an unknown machine"
_MACHINE = Path("/etc/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lock: a process, told apart from later ones of the same number by its birth."""

    host: str
    pid: int
    birth: int  # start time of the process in clock ticks since boot; 0 unknown
    since: str = ""  # when it took the lock, UTC
    machine: str = ""  # tells machines of one name apart; empty unknown
    boot: str = ""  # of the machine: processes of an earlier one are gone; empty unknown

    @classmethod
    def this(cls, since: str = "") -> Owner:
        """The process that asks."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            birth=_birth(os.getpid()),
            since=since,
            machine=machine_mark(),
            boot=_read(_BOOT),
        )

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, and can be asked whether it lives."""
        return is_this_machine(self.host, self.machine)

    @property
    def is_dead(self) -> bool:
        """Certainly gone: a process of this machine that runs no more. Other machines cannot be asked."""
        if not self.is_here:
            return False
        if not _agree(self.boot, _read(_BOOT)):
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return _is_over(self.pid) or (self.birth != 0 and _birth(self.pid) not in (0, self.birth))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" since {self.since}" if self.since else "")


def read_owner(backend: Outline, session_id: str) -> tuple[bytes, Owner | None]:
    """The lock as it stands and who holds it; (b"", None) where nobody does."""
    try:
        content = backend.read(session_id, LOCK)
    except FileNotFoundError:
        return b"", None
    try:
        return content, msgspec.json.decode(content, type=Owner)
    except msgspec.MsgspecError:
        # Written by something we cannot name: treated as alive, on no machine of ours.
        return content, Owner(host=UNKNOWN_HOST, pid=0, birth=0)


def claim(backend: Backend, session_id: str, since: str) -> bytes:
    """Take the lock of a session and return what stands in it now.

    SessionBusy while another process lives; the lock of a dead one is replaced.
    """
    mine = msgspec.json.encode(Owner.this(since))
    while True:
        try:
            backend.create(session_id, LOCK, mine)
            return mine
        except FileExistsError:
            content, owner = read_owner(backend, session_id)
        except StoreDown:
            with suppress(DataError):  # it may be there although we were not told
                backend.take_away(session_id, LOCK, mine)
            raise
        if owner is None:
            continue  # released in between
        if not owner.is_dead:
            raise busy(session_id, owner)
        backend.take_away(session_id, LOCK, content)


def busy(session_id: str, owner: Owner) -> SessionBusy:
    """The error that names who writes a session."""
    unlock = f"kalshi-ray sessions unlock {session_id} --host '{owner.host}'"
    remedy = "Wait for it" if owner.is_here else f"Wait for it; if it is gone for certain: {unlock}"
    return SessionBusy(f"session {session_id!r} is being written by {owner}", remedy=remedy)


def check_held(backend: Backend, session_id: str, mine: bytes) -> None:
    """SessionBusy unless the lock is still ours: somebody may have decided that we were gone.

    StoreDown where nothing of the session is there: a disk that is not mounted at present looks like that.
    """
    content, owner = read_owner(backend, session_id)
    if not content and not backend.sizes(session_id):
        raise StoreDown(
            f"{backend.where(session_id)} is not there any more",
            remedy="Bring its disk back; if somebody deleted the session, nothing can be written to it",
        )
    if content != mine:
        holder = f"{owner} has it" if owner else "nobody has it"
        raise SessionBusy(
            f"the lock of session {session_id!r} was taken from this process: {holder} now",
            remedy="Nothing was written; resume the session where its lock is",
        )


def release(backend: Backend, session_id: str, mine: bytes) -> None:
    """Give the lock back, if it is still ours; a session of which nothing else is there goes with it."""
    if backend.take_away(session_id, LOCK, mine) and not backend.sizes(session_id):
        backend.remove_session(session_id)


def is_this_machine(host: str, machine: str) -> bool:
    """Whether a name, and the mark that tells machines of one name apart, are of the machine that we are on."""
    return host == socket.gethostname() and _agree(machine, machine_mark())


def machine_mark() -> str:
    """Which machine this is, without giving its secret number away; empty where the system does not say."""
    number = _read(_MACHINE)
    return hashlib.sha256(f"kalshi_ray {number}".encode()).hexdigest()[:16] if number else ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _agree(theirs: str, ours: str) -> bool:
    """Whether two names may be of the same; what is unknown speaks against nothing."""
    return not (theirs and ours) or theirs == ours


def _birth(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 where the system does not say."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _is_over(pid: int) -> bool:
    """Whether a process has ended with all its threads, and only waits for its parent to ask how."""
    try:
        return _stat(pid)[:1] == ["Z"] and len(os.listdir(f"/proc/{pid}/task")) == 1
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """What the system says of a process, from its state on; nothing where it does not say."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
