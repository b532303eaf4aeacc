"""Sessions in PostgreSQL, beyond what holds for every store: rows that SQL reads, and only those that are asked for."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from kalshi_ray.core.tape import GapCause, Kind, Status
from kalshi_ray.data.catalog import codec, open_backend
from kalshi_ray.data.catalog.backend import LARGEST_CONTENT, PostgresBackend
from kalshi_ray.data.catalog.codec import KEYS
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.rows import Rows
from kalshi_ray.data.copying import copy_session
from kalshi_ray.data.pieces import MANIFEST, MARKETS_FILE, TRUTH_FILE, part_name
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.views import build_pack
from kalshi_ray.errors import DataError, SessionDamaged, UsageError
from tests.data.postgres import fresh_backend, fresh_url, server
from tests.data.samples import draft, market_table, random_updates, truth_table, updates, write_session

PART = part_name(0)


@pytest.fixture(scope="module")
def shared() -> PostgresBackend:
    """A backend for tests that have a session each."""
    return fresh_backend()


def sql(backend: PostgresBackend, statement: str, *arguments: object) -> list[dict[str, Any]]:
    return server().sql(statement, *arguments, database=backend.place.database)


def pages_read(backend: PostgresBackend, table: str) -> int:
    """Pages of a table that were asked for so far, in the cache or not. A connection counts when it ends."""
    backend.database.close()
    while sql(
        backend,
        "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'kalshi_ray%' AND datname = current_database()",
    ):
        pass
    found = sql(
        backend, "SELECT heap_blks_read + heap_blks_hit AS n FROM pg_statio_user_tables WHERE relname = $1", table
    )
    return int(found[0]["n"])


def test_rows_are_rows_in_the_columns_of_the_schema(shared: PostgresBackend) -> None:
    table = random_updates(500, markets=3, seed=1)
    shared.write_table("rows", part_name(7), [table], UPDATES)
    held = sql(
        shared,
        "SELECT u.* FROM kalshi_ray.updates u JOIN kalshi_ray.sessions s ON s.number = u.session"
        " WHERE s.id = 'rows' ORDER BY part, ordinal",
    )
    assert [row["part"] for row in held] == [7] * 500
    assert [row["ordinal"] for row in held] == list(range(500))
    assert [{name: row[name] for name in UPDATES.names} for row in held] == table.to_pylist()


@pytest.mark.parametrize(("name", "schema"), [("updates", UPDATES), ("truth", TRUTH), ("markets", MARKETS)])
def test_tables_have_the_columns_of_the_schema_and_say_what_they_are(
    shared: PostgresBackend, name: str, schema: pa.Schema
) -> None:
    shared.write("columns", MANIFEST, b"{}")
    held = sql(
        shared,
        "SELECT attname::text AS name, atttypid::regtype::text AS type, attnotnull AS is_whole FROM pg_attribute"
        " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
        f"kalshi_ray.{name}",
    )
    assert all(row["is_whole"] for row in held)
    types = {pa.int8(): "smallint", pa.int32(): "integer", pa.int64(): "bigint", pa.float64(): "double precision"}
    types |= {pa.string(): "text", MARKETS.field("price_ranges").type: "jsonb"}
    keys = ("session", "market") if name == "markets" else KEYS
    expected = dict.fromkeys(keys, "integer") | {field.name: types[field.type] for field in schema}
    assert {row["name"]: row["type"] for row in held} == expected
    assert sql(shared, "SELECT obj_description($1::text::regclass, 'pg_class') AS said", f"kalshi_ray.{name}")[0][
        "said"
    ]


def test_kinds_are_those_of_the_tape(shared: PostgresBackend) -> None:
    shared.write("kinds", MANIFEST, b"{}")
    held = sql(shared, "SELECT kind, name, size FROM kalshi_ray.kinds ORDER BY kind")
    assert [(row["kind"], row["name"]) for row in held] == [(int(kind), kind.name) for kind in Kind]
    causes = ", ".join(f"{int(cause)} {cause.name.lower()}" for cause in GapCause)
    assert causes in held[Kind.GAP - 1]["size"]
    said = sql(
        shared,
        "SELECT col_description('kalshi_ray.markets'::regclass, attnum) AS said FROM pg_attribute"
        " WHERE attrelid = 'kalshi_ray.markets'::regclass AND attname = 'status'",
    )
    assert said[0]["said"] == ", ".join(f"{int(status)} {status.name.lower()}" for status in Status)


def test_order_does_not_depend_on_where_rows_lie(shared: PostgresBackend) -> None:
    table = random_updates(3_000, markets=5, seed=2)
    shared.write_table("heap", PART, [table], UPDATES)
    number = sql(shared, "SELECT number FROM kalshi_ray.sessions WHERE id = 'heap'")[0]["number"]
    # Every row moves, at random.
    sql(
        shared,
        f"CREATE TABLE mixed AS SELECT * FROM kalshi_ray.updates_{number} ORDER BY random();"
        f"TRUNCATE kalshi_ray.updates_{number}; INSERT INTO kalshi_ray.updates_{number} SELECT * FROM mixed;"
        "DROP TABLE mixed",
    )
    assert shared.read_table("heap", PART, UPDATES).equals(table)
    assert shared.read_table("heap", PART, UPDATES, columns=["seq"])["seq"].to_pylist() == list(range(1, 3_001))


def test_rows_that_somebody_changed_by_hand_are_damage(shared: PostgresBackend) -> None:
    for number, change in enumerate(("DELETE FROM {0} WHERE ordinal = 5", "INSERT INTO {0} SELECT * FROM {0} LIMIT 1")):
        name = f"changed{number}"
        entry = shared.write_table(name, PART, [random_updates(50, markets=2, seed=3)], UPDATES)
        found = sql(shared, "SELECT number FROM kalshi_ray.sessions WHERE id = $1", name)[0]["number"]
        sql(shared, change.format(f"kalshi_ray.updates_{found}"))
        with pytest.raises(SessionDamaged, match=rf"{PART} of session '{name}' in postgresql.*50 were written"):
            shared.read_table(name, PART, UPDATES)
        sql(shared, f"UPDATE kalshi_ray.pieces SET rows = rows + {1 if number else -1} WHERE session = {found}")
        with pytest.raises(SessionDamaged):
            shared.checksum(name, PART)
        assert entry.rows == 50
    shared.write_table("changed2", PART, [random_updates(50, markets=2, seed=3)], UPDATES)
    found = sql(shared, "SELECT number FROM kalshi_ray.sessions WHERE id = 'changed2'")[0]["number"]
    sql(shared, f"UPDATE kalshi_ray.updates_{found} SET price = price + 1 WHERE ordinal = 5")
    assert shared.checksum("changed2", PART) != entry.sha256


def test_a_value_that_no_column_of_ours_holds_is_damage(shared: PostgresBackend) -> None:
    shared.write_table("unfit", PART, [random_updates(50, markets=2, seed=3)], UPDATES)
    sql(shared, "UPDATE kalshi_ray.updates SET kind = 300 WHERE session ="
        " (SELECT number FROM kalshi_ray.sessions WHERE id = 'unfit');")  # fmt: skip
    with pytest.raises(SessionDamaged, match=r"column kind has a value that does not fit"):
        shared.read_table("unfit", PART, UPDATES)


def test_a_session_that_is_deleted_while_it_is_read_is_gone_and_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = fresh_backend()
    other = open_backend(f"{reader.url}")
    table, looked_up = random_updates(50, markets=2, seed=3), Rows.numbers

    async def overtaken(self: Rows, link: Link, session_id: str, name: str) -> tuple[int, int] | None:
        found = await looked_up(self, link, session_id, name)
        if act:
            await asyncio.to_thread(act.pop())
        return found

    monkeypatch.setattr(Rows, "numbers", overtaken)
    reader.write_table("s", PART, [table], UPDATES)
    act = [lambda: other.remove_session("s")]
    with pytest.raises(SessionDamaged, match=r"part-00000.parquet of session 's' .* is missing. If nobody deleted it"):
        reader.read_table("s", PART, UPDATES)
    reader.write_table("s", PART, [table], UPDATES)

    def replace() -> None:
        other.remove_session("s")
        other.write_table("s", PART, [table.slice(20)], UPDATES)

    act = [replace]
    assert reader.read_table("s", PART, UPDATES).equals(table.slice(20))


def test_two_of_a_hundred_markets_read_about_their_share() -> None:
    backend = fresh_backend()
    store, tickers = SessionStore(backend), [f"M{number}" for number in range(100)]
    table = random_updates(400_000, markets=100, seed=4)
    write_session(store, "s", table, market_table(*tickers))
    number = sql(backend, "SELECT number FROM kalshi_ray.sessions")[0]["number"]
    session, name = store.open("s"), f"updates_{number}"
    before = pages_read(backend, name)
    assert session.updates().equals(table)
    whole = pages_read(backend, name) - before
    found = session.updates(markets=["M3", "M70"])
    share = (pages_read(backend, name) - before - whole) / whole
    assert found["market"].to_numpy().tolist() == [m for m in table["market"].to_pylist() if m in (3, 70)]
    assert share < 0.06
    backend.database.close()


def test_views_of_some_markets_are_those_of_the_whole_session_and_read_their_share() -> None:
    backend = fresh_backend()
    store, tickers = SessionStore(backend), [f"M{number}" for number in range(100)]
    chance, rows = np.random.default_rng(5), []
    for step in range(3_000):
        rows.append({"market": int(chance.integers(100)), "kind": 2})
        if step % 500 == 0:
            rows.append({"market": -1, "kind": 5, "size": 1})
    write_session(store, "s", updates(*rows), market_table(*tickers))
    session = store.open("s")
    whole, some = build_pack(session), build_pack(session, tickers=["M3", "M70"])
    assert some.tickers == ("M3", "M70")
    for view, market in enumerate((3, 70)):
        other = whole.views[whole.tickers.index(f"M{market}")]
        mine = some.views[view]
        assert np.array_equal(some.updates[mine["start"] : mine["stop"]], whole.updates[other["start"] : other["stop"]])


def test_many_markets_are_picked_out_by_the_server_too(shared: PostgresBackend) -> None:
    table = random_updates(4_000, markets=60, seed=6)
    shared.write_table("many", PART, [table], UPDATES)
    for count in (0, 1, 16, 17, 60):
        markets = list(range(-1, count - 1))
        found = shared.read_table("many", PART, UPDATES, markets=markets, columns=["seq", "market"])
        kept = [row for row in table.select(["seq", "market"]).to_pylist() if row["market"] in markets]
        assert found.to_pylist() == kept


def test_a_list_of_sessions_reads_no_updates() -> None:
    backend = fresh_backend()
    store = SessionStore(backend)
    write_session(store, "done", random_updates(1_000, markets=2, seed=7), market_table("A", "B"))
    writer = store.writer("open", manifest=draft())
    writer.add_markets(market_table("A", "B"))
    writer.write_part(0, random_updates(1_000, markets=2, seed=8))
    names = [f"updates_{row['number']}" for row in sql(backend, "SELECT number FROM kalshi_ray.sessions")]
    before = [pages_read(backend, name) for name in names]
    assert [(one.id, one.state, one.rows) for one in store.list()] == [
        ("done", "finished", 1_000),
        ("open", "writing", 1_000),
    ]
    assert [pages_read(backend, name) for name in names] == before
    writer.close()


def test_a_session_is_deleted_with_its_partitions_and_leaves_others_alone() -> None:
    backend = fresh_backend()
    for name in ("a", "b"):
        backend.write_table(name, MARKETS_FILE, [market_table("A")], MARKETS)
        backend.write_table(name, PART, [random_updates(10, markets=1, seed=9)], UPDATES)
        backend.write_table(name, TRUTH_FILE, [truth_table(10)], TRUTH)
        backend.write(name, "raw/part-00000.jsonl.zst", b"frames")
    backend.remove_session("a")
    backend.remove_session("a")
    assert backend.ids() == ["b"] and backend.sizes("a") == {}
    held = sql(
        backend,
        "SELECT relname::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'kalshi_ray'::regnamespace"
        " AND relname ~ '_[0-9]+$' ORDER BY 1",
    )
    assert [row["name"] for row in held] == ["truth_2", "updates_2"]
    assert backend.read_table("b", PART, UPDATES).num_rows == 10
    backend.write_table("a", PART, [random_updates(20, markets=1, seed=9)], UPDATES)
    assert backend.rows("a", PART, UPDATES) == 20


def test_looking_leaves_no_trace_in_an_empty_database() -> None:
    backend = fresh_backend()
    assert backend.ids() == [] and backend.sizes("s") == {}
    with pytest.raises(FileNotFoundError, match=r"session.json of session 's' in postgresql://"):
        backend.read("s", MANIFEST)
    with pytest.raises(SessionDamaged, match=r"is missing"):
        backend.read_table("s", PART, UPDATES)
    backend.remove("s", MANIFEST)
    backend.remove_session("s")
    assert not backend.take_away("s", MANIFEST, b"")
    assert sql(backend, "SELECT nspname FROM pg_namespace WHERE nspname = 'kalshi_ray'") == []


def test_the_schema_is_the_one_that_the_url_names() -> None:
    url = fresh_url()
    one, two = open_backend(f"{url}&schema=One"), open_backend(f"{url}&schema=two")
    one.write_table("s", PART, [random_updates(5, markets=1, seed=1)], UPDATES)
    assert (one.ids(), two.ids()) == (["s"], [])
    two.write_table("t", PART, [random_updates(6, markets=1, seed=1)], UPDATES)
    assert (one.ids(), two.ids()) == (["s"], ["t"])
    assert two.rows("t", PART, UPDATES) == 6 and one.read_table("s", PART, UPDATES).num_rows == 5
    assert one.url.endswith("schema=One") and "One" in one.where("s")


def test_tickers_are_any_text_but_nul(shared: PostgresBackend) -> None:
    table = market_table("Zürich-雨-🙂", "'; DROP TABLE x; --", "\\N", "\t\n")
    shared.write_table("texts", MARKETS_FILE, [table], MARKETS)
    assert shared.read_table("texts", MARKETS_FILE, MARKETS).equals(table)
    assert shared.read_table("texts", MARKETS_FILE, MARKETS, columns=["status", "ticker"]).column_names == [
        "status",
        "ticker",
    ]
    with pytest.raises(DataError, match=r"column ticker has 'a\\x00b'. PostgreSQL holds no NUL"):
        shared.write_table("texts", MARKETS_FILE, [market_table("a\0b")], MARKETS)
    assert shared.read_table("texts", MARKETS_FILE, MARKETS).equals(table)
    shared.write("texts", "raw/part-00000.jsonl.zst", b"\0\xff")
    assert shared.read("texts", "raw/part-00000.jsonl.zst") == b"\0\xff"


def test_a_failing_source_leaves_what_stood_there(shared: PostgresBackend) -> None:
    table = random_updates(40_000, markets=3, seed=10)
    entry = shared.write_table("fails", PART, [table], UPDATES)

    def failing() -> Iterator[pa.Table]:
        yield table
        raise ZeroDivisionError("stop")

    with pytest.raises(ZeroDivisionError, match=r"stop"):
        shared.write_table("fails", PART, failing(), UPDATES)
    with pytest.raises(DataError, match=r"missing flags"):
        shared.write_table("fails", PART, [table, table.drop_columns(["flags"])], UPDATES)
    assert shared.read_table("fails", PART, UPDATES).equals(table)
    assert shared.checksum("fails", PART) == entry.sha256


def test_a_table_can_be_written_from_one_that_is_read_from_the_same_database(shared: PostgresBackend) -> None:
    for number in range(3):
        table = random_updates(1_000, markets=2, seed=20 + number)
        shared.write_table("from", part_name(number), [table], UPDATES)
    parts = (shared.read_table("from", part_name(number), UPDATES) for number in range(3))
    assert shared.write_table("to", PART, parts, UPDATES).rows == 3_000
    whole = pa.concat_tables([shared.read_table("from", part_name(number), UPDATES) for number in range(3)])
    assert shared.read_table("to", PART, UPDATES).equals(whole)


def test_many_such_copies_at_once_do_not_wait_for_each_other(shared: PostgresBackend) -> None:
    table = random_updates(500, markets=2, seed=50)
    shared.write_table("crowd", PART, [table], UPDATES)

    def copy(number: int) -> int:
        tables = (shared.read_table("crowd", PART, UPDATES) for _ in range(2))
        return shared.write_table(f"crowd{number}", PART, tables, UPDATES).rows

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(copy, range(16))) == [1_000] * 16


def test_a_part_of_several_blocks_is_one_part(shared: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "BLOCK", 1_000)
    table = random_updates(3_500, markets=7, seed=30)
    shared.write_table("blocks", PART, [table.slice(0, 2_300), table.slice(2_300)], UPDATES)
    assert shared.read_table("blocks", PART, UPDATES).equals(table)


def test_copies_to_and_from_a_folder_are_the_same_session(tmp_path: Any) -> None:
    here, there = SessionStore(fresh_backend()), SessionStore(fresh_backend())
    write_session(here, "s", random_updates(5_000, markets=3, seed=31), market_table("A", "B", "C"))
    copied = copy_session(here.open("s"), there)
    assert there.open("s").checksum == here.open("s").checksum
    assert copied is not None


def _claims(url: str, number: int) -> bool:
    backend = open_backend(url)
    try:
        backend.create("s", "writer.lock", str(number).encode())
    except FileExistsError:
        return False
    finally:
        backend.database.close()
    return True


def test_of_many_processes_exactly_one_creates_and_an_empty_database_is_set_up_once() -> None:
    url = fresh_url()
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        won = list(pool.map(_claims, [url] * 12, range(12)))
    assert won.count(True) == 1
    assert open_backend(url).read("s", "writer.lock") == str(won.index(True)).encode()


def test_writers_of_different_sessions_and_of_one_do_not_disturb_each_other() -> None:
    backend = fresh_backend()

    def write(number: int) -> None:
        session = f"s{number % 3}"
        table = random_updates(3_000, markets=4, seed=number)
        backend.write_table(session, part_name(number // 3), [table], UPDATES)
        backend.write_table(session, part_name(99), [table], UPDATES)  # all of a session write this one
        backend.write(session, f"raw/part-{number:05d}.jsonl.zst", b"frames")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(18)))
    assert backend.ids() == ["s0", "s1", "s2"]
    for number in range(18):
        found = backend.read_table(f"s{number % 3}", part_name(number // 3), UPDATES)
        assert found.equals(random_updates(3_000, markets=4, seed=number))
    for session in backend.ids():
        assert backend.read_table(session, part_name(99), UPDATES).num_rows == 3_000
    backend.database.close()


def test_a_document_is_written_while_a_table_of_the_session_is(shared: PostgresBackend) -> None:
    """The lock of a session is renewed while a large part is on its way."""
    table, reached, go_on = random_updates(10, markets=1, seed=40), threading.Event(), threading.Event()

    def slow() -> Iterator[pa.Table]:
        yield table
        reached.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(shared.write_table, "slow", PART, slow(), UPDATES)
        assert reached.wait(20)
        shared.write("slow", "session.draft.json", b"{}")
        assert list(shared.sizes("slow")) == ["session.draft.json"]
        go_on.set()
        assert writing.result(20).rows == 10


def test_names_and_sizes_that_cannot_be_are_refused(shared: PostgresBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    table = random_updates(1, markets=1, seed=1)
    with pytest.raises(UsageError, match=r"no table 'updates/one.parquet'"):
        shared.write_table("s", "updates/one.parquet", [table], UPDATES)
    with pytest.raises(DataError, match=r"truth.parquet has columns"):
        shared.write_table("s", TRUTH_FILE, [table], UPDATES)
    with pytest.raises(UsageError, match=r"read whole"):
        shared.write_table("s", MARKETS_FILE, [market_table("A")], MARKETS)
        shared.read_table("s", MARKETS_FILE, MARKETS, markets=[0])
    monkeypatch.setattr("kalshi_ray.data.catalog.backend.LARGEST_CONTENT", 10)
    with pytest.raises(DataError, match=r"has 11 bytes. At most 10 fit"):
        shared.write("s", "raw/part-00000.jsonl.zst", b"x" * 11)
    assert LARGEST_CONTENT == 1_000_000_000


def test_recordings_and_the_tape_say_what_the_session_says() -> None:
    backend = fresh_backend()
    store = SessionStore(backend)
    rows = updates(
        {"kind": 1, "side": 0, "price": 4_500, "size": 250},
        {"kind": 2},
        {"kind": 4, "price": 4_600, "size": 100, "taker": 1, "market": 1},
        {"kind": 5, "market": -1, "size": 3},
        {"kind": 10, "price": 10_000},
    )
    manifest = write_session(store, "s", rows, market_table("A", "B"), environment="demo")
    store.writer("t", manifest=draft()).close()
    found = sql(backend, "SELECT * FROM kalshi_ray.recordings ORDER BY session")
    assert [(row["session"], row["finished"], row["updates"]) for row in found] == [("s", True, 5), ("t", False, 0)]
    assert (found[0]["environment"], found[0]["markets"]) == ("demo", 2)
    assert int(found[0]["last_received"].timestamp() * 1e6) == manifest.last_ns // 1_000
    tape = sql(backend, "SELECT * FROM kalshi_ray.tape('s') ORDER BY part, ordinal")
    assert [(row["ticker"], row["kind"], row["side"]) for row in tape] == [
        ("A", "SNAPSHOT_LEVEL", "bid"),
        ("A", "SNAPSHOT_END", None),
        ("B", "TRADE", None),
        (None, "GAP", None),
        ("A", "SETTLEMENT", None),
    ]
    assert [float(row["dollars"]) if row["dollars"] is not None else None for row in tape] == [
        0.45,
        None,
        0.46,
        None,
        1.0,
    ]
    assert (float(tape[0]["contracts"]), tape[2]["taker"], tape[4]["contracts"]) == (2.5, "sold", None)
    plan = sql(backend, "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM kalshi_ray.tape('s') WHERE ticker = 'B'")
    text = msgspec.json.encode(plan).decode()
    assert "updates_1" in text and "Function Scan" not in text  # the planner looks into the function
