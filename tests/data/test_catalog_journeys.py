"""How often the server is asked: a list of sessions costs the same whatever there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.pieces import MANIFEST, part_name
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import SessionStore
from tests.data.postgres import fresh_backend, server
from tests.data.samples import draft, market_table, random_updates, write_session

Counted = Callable[[Callable[[], object]], list[str]]


@pytest.fixture
def statements() -> Iterator[Callable[[PostgresBackend], Counted]]:
    """Counts what a database is asked, as the server's own log says."""
    log, logged = server().folder / "log", []

    def begin(backend: PostgresBackend) -> Counted:
        logged.append(backend.place.database)
        server().sql(f"ALTER DATABASE {backend.place.database} SET log_statement = 'all';")

        def count(work: Callable[[], object]) -> list[str]:
            backend.database.close()  # the setting holds for connections that are made now
            before = log.stat().st_size
            work()
            text = log.read_bytes()[before:].decode()
            return re.findall(r"(?:statement|execute <unnamed>): (.*)", text)

        return count

    yield begin
    for database in logged:
        server().sql(f"ALTER DATABASE {database} RESET log_statement;")


def fill(store: SessionStore, first: int, sessions: int) -> None:
    """Sessions that are finished, damaged, being written and left unfinished, in turns."""
    table = random_updates(20, markets=2, seed=1)
    for number in range(first, first + sessions):
        name = f"s{number:02d}"
        if number % 4 < 2:
            write_session(store, name, table, market_table("A", "B"))
        if number % 4 == 1:
            store.backend.remove(name, part_name(0))
        if number % 4 > 1:
            writer = store.writer(name, manifest=draft())
            writer.add_markets(market_table("A", "B"))
            for part in range(3):
                writer.write_part(part, table)
            if number % 4 == 3:
                writer.close()


def test_a_list_of_fifty_sessions_asks_what_a_list_of_one_does(
    statements: Callable[[PostgresBackend], Counted],
) -> None:
    backend = fresh_backend()
    store, count = SessionStore(backend), statements(backend)
    fill(store, 0, 1)
    one = count(store.list)
    fill(store, 1, 7)
    for number in range(8, 50):
        store.writer(f"s{number:02d}", manifest=draft()).close()
    many = count(store.list)
    assert many == one
    assert sum("pieces" in line for line in many) == 1
    assert count(lambda: (store.list(), store.list())) == [*many, many[-1]]  # over a connection that is there: one
    listed = store.list()
    assert [(summary.state, summary.rows) for summary in listed[:4]] == [
        ("finished", 20),
        ("damaged", 0),
        ("writing", 60),
        ("unfinished", 60),
    ]
    assert listed == [store.summary(summary.id) for summary in listed] and len(listed) == 50


def test_a_session_of_many_parts_is_opened_and_resumed_without_a_question_for_each(
    statements: Callable[[PostgresBackend], Counted],
) -> None:
    backend = fresh_backend()
    store, count = SessionStore(backend), statements(backend)
    table, asked = random_updates(5, markets=1, seed=1), []
    for parts in (2, 40):
        name = f"s{parts}"
        with store.writer(name, manifest=draft()) as writer:
            writer.add_markets(market_table("A"))
            for number in range(parts):
                writer.write_part(number, table)
        summary = count(lambda name=name: store.summary(name))
        resumed = count(lambda name=name: store.resume(name).close())
        store.recover(name)
        asked.append((len(summary), len(resumed), len(count(lambda name=name: store.open(name)))))
    assert asked[0] == asked[1]


def test_the_outline_says_what_the_pieces_say(tmp_path: Path) -> None:
    for store in (SessionStore(fresh_backend()), SessionStore(fresh_backend(schema="other"))):
        fill(store, 0, 4)
        look, backend = store.backend.outline(), store.backend
        assert look.ids() == backend.ids()
        for name in look.ids():
            assert look.sizes(name) == backend.sizes(name)
            assert list(look.sizes(name)) == list(backend.sizes(name))
            assert look.where(name, MANIFEST) == backend.where(name, MANIFEST)
            with pytest.raises(FileNotFoundError, match=r"raw/part-00000"):
                look.read(name, "raw/part-00000.jsonl.zst")
            one = backend.outline(name)
            assert one.ids() == [name] and one.sizes(name) == look.sizes(name)
        assert look.read("s00", MANIFEST) == backend.read("s00", MANIFEST)
        assert backend.outline("nobody").ids() == []


def test_a_part_is_one_transaction_once_its_session_has_a_place(
    statements: Callable[[PostgresBackend], Counted],
) -> None:
    backend, table = fresh_backend(), random_updates(20, markets=2, seed=1)
    count = statements(backend)
    first = count(lambda: backend.write_table("s", part_name(0), [table], UPDATES))
    later = count(lambda: backend.write_table("s", part_name(1), [table], UPDATES))
    assert [line for line in first if line.startswith("CREATE TABLE")] != []
    assert len([line for line in later if line.startswith("COMMIT")]) == 2  # the first looks at the server
