"""Connections to a database: threads that begin at once, poolers on the way, large contents in slices."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import asyncpg
import pytest

from kalshi_ray import telemetry
from kalshi_ray.data.catalog import database, rows
from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.faults import is_passing, is_refusal, told
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.migrations import STEPS
from kalshi_ray.data.catalog.rows import Rows
from kalshi_ray.data.catalog.urls import read_place
from kalshi_ray.data.pieces import MANIFEST, part_name
from kalshi_ray.data.schema import UPDATES
from tests.data.postgres import fresh_backend, server
from tests.data.samples import random_updates

PART = part_name(0)


@pytest.fixture(scope="module")
def shared() -> PostgresBackend:
    """A backend for contents."""
    return fresh_backend()


def test_threads_that_are_the_first_to_call_share_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two loops would have the connections of one database between them, which no connection survives."""
    made = asyncio.new_event_loop

    def slowly() -> asyncio.AbstractEventLoop:
        loop = made()
        met.wait(10)  # until every thread has found that there is none
        return loop

    async def which() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    met = threading.Barrier(8)
    monkeypatch.setattr(database, "_LOOPS", {})
    monkeypatch.setattr("kalshi_ray.data.catalog.database.asyncio.new_event_loop", slowly)
    with ThreadPoolExecutor(8) as threads:
        loops = set(threads.map(lambda _: database.in_background(which()), range(8)))
    assert len(loops) == 1
    only = loops.pop()
    only.call_soon_threadsafe(only.stop)


def test_what_a_library_left_behind_is_no_line_for_a_user(capfd: pytest.CaptureFixture[str]) -> None:
    async def leave() -> None:
        asyncio.get_running_loop().create_future().set_exception(ConnectionError("given up"))

    telemetry.configure(level="INFO")
    database.in_background(leave())
    assert "given up" not in capfd.readouterr().err
    telemetry.configure(level="DEBUG")
    try:
        database.in_background(leave())
        assert "postgres.leftover" in capfd.readouterr().err
    finally:
        telemetry.configure()


async def standing(link: Link) -> dict[str, str]:
    """What bounds a connection between transactions."""
    return {name: await link.value(f"SHOW {name}") for name in ("statement_timeout", "synchronous_commit")}


async def within(link: Link) -> dict[str, str]:
    """What bounds a transaction."""
    async with link.transaction():
        return await standing(link)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_pooled_connection_is_handed_on_as_it_was_and_bounds_hold_in_each_transaction(
    pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = fresh_backend()
    name = backend.place.database
    for setting in ("statement_timeout = '2s'", "synchronous_commit = off"):
        server().sql(f"ALTER DATABASE {name} SET {setting};")
    if pooled:  # which gives its clients numbers of its own making
        monkeypatch.setattr(Link, "process", 0)
    ours, theirs = (
        {"statement_timeout": "0", "synchronous_commit": "on"},
        {"statement_timeout": "2s", "synchronous_commit": "off"},
    )
    table = random_updates(2_000, markets=2, seed=1)
    backend.write_table("s", PART, [table], UPDATES)
    assert backend.read_table("s", PART, UPDATES).equals(table)
    assert backend.database.call(within) == ours
    assert backend.database.call(standing) == (theirs if pooled else ours)


def test_a_server_that_commits_to_more_than_its_own_disk_is_not_asked_for_less() -> None:
    backend = fresh_backend()
    server().sql(f"ALTER DATABASE {backend.place.database} SET synchronous_commit = remote_apply;")
    for asked in (within, standing):
        assert backend.database.call(asked)["synchronous_commit"] == "remote_apply"


def test_transactions_read_what_is_committed_whatever_isolation_a_database_is_given() -> None:
    backend = fresh_backend()
    server().sql(f"ALTER DATABASE {backend.place.database} SET default_transaction_isolation = serializable;")

    async def level(link: Link) -> str:
        async with link.transaction():
            return str(await link.value("SHOW transaction_isolation"))

    assert backend.database.call(level) == "read committed"


def test_a_pooler_that_lends_a_connection_for_a_statement_is_named_at_once() -> None:
    said = "connection was closed in the middle of operation: transaction blocks not allowed in statement pooling mode"
    error, place = asyncpg.ConnectionDoesNotExistError(said), read_place("postgresql://u:s3cret@h/d")
    assert is_refusal(error) and not is_passing(error)
    line = str(told(error, place))
    assert "gives a connection for one statement only" in line and "Set its pool_mode to transaction or session" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 14, 50])
def test_a_content_is_read_in_slices_as_it_was_written(
    size: int, shared: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_SLICE", 7)
    content = bytes(range(size))
    shared.write("s", "raw/part-00000.jsonl.zst", content)
    assert shared.read("s", "raw/part-00000.jsonl.zst") == content


def test_a_content_that_is_replaced_between_two_slices_is_read_from_its_beginning() -> None:
    first, second = UUID(int=1), UUID(int=2)
    answers = [
        {"call": first, "bytes": 6, "slice": b"abc"},
        {"call": second, "bytes": 4, "slice": b"Z"},  # what follows b"WXY" in the one that came in between
        {"call": second, "bytes": 4, "slice": b"WXY"},
        {"call": second, "bytes": 4, "slice": b"Z"},
    ]
    asked: list[object] = []

    class Told:
        async def row(self, sql: str, session_id: str, name: str, at: int) -> dict[str, object]:
            asked.append(at)
            return answers.pop(0)

    reading = Rows(read_place("postgresql://h/d"), STEPS).content(Told(), "s", "raw/x")  # type: ignore[arg-type]
    assert asyncio.run(reading) == b"WXYZ"
    assert asked == [1, 4, 1, 4]


def test_a_table_has_no_content(shared: PostgresBackend) -> None:
    shared.write("d", MANIFEST, b"{}")
    shared.write_table("d", PART, [random_updates(5, markets=1, seed=1)], UPDATES)
    assert shared.read("d", MANIFEST) == b"{}"
    with pytest.raises(FileNotFoundError):
        shared.read("d", PART)
