"""A store of every kind, for tests that hold for all; and a backend that fails when it is told to."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from pyarrow import fs

from kalshi_ray.data.backend import Backend
from kalshi_ray.data.files import Files
from kalshi_ray.data.folder import FolderBackend
from kalshi_ray.data.owner import Owner, read_owner
from kalshi_ray.data.pieces import LOCK
from kalshi_ray.data.store import SessionStore, open_store

KINDS = ("folder", "filesystem", "memory", "postgres")
CALLS = tuple(name for name, member in inspect.getmembers(Backend, inspect.isfunction) if not name.startswith("_"))
CHANGES = ("write", "create", "take_away", "remove", "remove_session", "write_table")
_numbers = itertools.count()


def store_of_kind(kind: str, folder: Path) -> SessionStore:
    """An empty store. Skips the test where that kind cannot be had."""
    if kind == "folder":
        return open_store(str(folder / "store"))
    if kind == "filesystem":
        below = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        return SessionStore(FolderBackend(Files(below, "below")))
    if kind == "memory":
        memory = fs.FileSystem.from_uri("mock:///")[0]
        memory.create_dir("lake")
        return SessionStore(FolderBackend(Files(memory, "lake"), "mock://lake"))
    postgres = pytest.importorskip("tests.data.postgres", reason="needs a PostgreSQL that the tests can start")
    return open_store(postgres.fresh_url())


@cache
def _database() -> SessionStore:
    return store_of_kind("postgres", Path())


def emptied_store(kind: str, folder: Path) -> SessionStore:
    """An empty store for one of many tries: databases are slow to make, so that one is shared and emptied."""
    if kind != "postgres":
        return store_of_kind(kind, folder)
    store = _database()
    for session_id in store.ids():
        store.backend.remove_session(session_id)
    return store


def fresh_id() -> str:
    """A name that no session of this run has."""
    return f"s{next(_numbers)}"


def bury(store: SessionStore, session_id: str) -> None:
    """Make the owner of the lock a process that is dead, as it would be after kill -9."""
    content, owner = read_owner(store.backend, session_id)
    if owner is not None:
        dead = msgspec.json.encode(msgspec.structs.replace(Owner.this(), birth=1))
        assert store.backend.take_away(session_id, LOCK, content)
        store.backend.create(session_id, LOCK, dead)


class MovableFolder:
    """A folder that can be taken away and brought back in one stroke, while somebody writes to it: no moment is left
    in which he could make it anew."""

    def __init__(self, path: Path) -> None:
        self.path, self._content = path, path.with_name(f"{path.name}-content")
        self._content.mkdir()
        self.bring()

    def take(self) -> None:
        """What stands there is no folder."""
        mark = self.path.with_name(f"{self.path.name}-mark")
        mark.write_text("no folder")
        mark.replace(self.path)

    def bring(self) -> None:
        """It is there again, as it was."""
        link = self.path.with_name(f"{self.path.name}-link")
        link.symlink_to(self._content)
        link.replace(self.path)


class Killed(BaseException):
    """The process is no more: nothing that it would have done is done."""


class FaultyBackend:
    """A backend whose call number `at` fails, before or after it did its work.

    With Killed every later call fails too; other errors happen once, as of a store that was away for a moment.
    """

    def __init__(self, inner: Backend, at: int, fault: BaseException, *, when: Literal["before", "after"]) -> None:
        self.calls = 0
        self.names: list[str] = []
        self._inner, self._at, self._fault, self._when = inner, at, fault, when

    @property
    def url(self) -> str:
        return self._inner.url

    @property
    def local(self) -> Path | None:
        return self._inner.local

    @property
    def row_sums(self) -> Callable[..., Any] | None:
        return None if self._inner.row_sums is None else partial(self._call, "row_sums", self._inner.row_sums)

    @property
    def happened(self) -> bool:
        """Whether the fault came to pass."""
        return self.calls > self._at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CALLS:
            raise AttributeError(name)
        return partial(self._call, name, getattr(self._inner, name))

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        number, self.calls = self.calls, self.calls + 1
        self.names.append(name)
        gone = isinstance(self._fault, Killed) and number > self._at
        if gone or (number == self._at and self._when == "before"):
            raise self._fault
        result = method(*args, **named)
        if number == self._at:
            raise self._fault
        return result
