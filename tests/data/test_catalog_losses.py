"""A server that goes away and comes back, and lines that break at any byte: nothing is lost, nothing stands twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from bench.postgres import Server
from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.urls import read_place
from kalshi_ray.data.pieces import part_name
from kalshi_ray.data.schema import MARKETS, UPDATES
from kalshi_ray.errors import StoreDown
from tests.data.breaking_line import Break, Line
from tests.data.postgres import server
from tests.data.samples import market_table, random_updates

TICKERS = [f"KXA-26-{number}" for number in range(12)]
STALL_S = 0.3
ROWS = 2_000


def part(number: int, seed: int) -> pa.Table:
    return random_updates(ROWS, markets=len(TICKERS), seed=1_000 * seed + number)


def record(backend: PostgresBackend, seed: int) -> None:
    """What a writer does, with every kind of call; each has to say that it did what it was asked to."""
    backend.create("s", "writer.lock", b"mine")
    with pytest.raises(FileExistsError):
        backend.create("s", "writer.lock", b"mine")
    backend.write("s", "session.draft.json", b"{}")
    assert backend.write_table("s", "markets.parquet", [market_table(*TICKERS)], MARKETS).rows == len(TICKERS)
    for number in range(3):
        table = part(number, seed)
        pieces = [table.slice(0, 700), table.slice(700)]
        assert backend.write_table("s", part_name(number), pieces, UPDATES).rows == ROWS
    assert backend.read_table("s", part_name(0), UPDATES).equals(part(0, seed))
    assert backend.write_table("s", part_name(1), [part(7, seed)], UPDATES).rows == ROWS
    backend.write("s", "raw/part-00000.jsonl.zst", bytes(range(256)) * 500)
    backend.write("s", "raw/part-00001.jsonl.zst", b"superfluous")
    backend.remove("s", "raw/part-00001.jsonl.zst")
    backend.write("s", "session.json", b'{"id": "s"}')
    backend.remove("s", "session.draft.json")
    assert backend.take_away("s", "writer.lock", b"mine")
    assert not backend.take_away("s", "writer.lock", b"mine")


def check(seed: int, database: str, schema: str) -> None:
    """Everything stands there once, seen over a line that does not break."""
    backend = PostgresBackend(read_place(server().url(database, schema=schema)))
    assert backend.ids() == ["s"]
    sizes = backend.sizes("s")
    assert list(sizes) == sorted(
        ["markets.parquet", "raw/part-00000.jsonl.zst", "session.json", *map(part_name, range(3))]
    )
    assert backend.read_table("s", "markets.parquet", MARKETS).equals(market_table(*TICKERS))
    for number in range(3):
        assert backend.read_table("s", part_name(number), UPDATES).equals(part(7 if number == 1 else number, seed))
    assert backend.read("s", "raw/part-00000.jsonl.zst") == bytes(range(256)) * 500
    counted = server().sql(
        f"SELECT (SELECT count(*) FROM {schema}.updates) AS updates,"
        f" (SELECT count(*) FROM {schema}.markets) AS markets, (SELECT count(*) FROM {schema}.sessions) AS sessions,"
        " (SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction') AS open",
        database,
        database=database,
    )
    assert counted == [{"updates": 3 * ROWS, "markets": len(TICKERS), "sessions": 1, "open": 0}]
    backend.database.close()


def play(database: str, seed: int, breaks: list[Break]) -> dict[str, int]:
    """One plan. Returns how many bytes passed in each direction."""

    def restart() -> None:
        server().kill()
        server().start()

    line, schema = Line(server().socket, breaks, restart), f"plan{seed}"
    asked = f"sslmode=disable&connect_timeout=30&schema={schema}"
    place = read_place(f"postgresql://postgres@127.0.0.1:{line.port}/{database}?{asked}")
    backend = PostgresBackend(place, stall_s=STALL_S)
    try:
        record(backend, seed)
        check(seed, database, schema)
    finally:
        backend.database.close()
        line.close()
    server().sql(f"SET client_min_messages = error; DROP SCHEMA {schema} CASCADE", database=database)
    assert line.broken == len(breaks)
    return line.passed


@pytest.fixture(scope="module")
def database() -> str:
    """A database for all plans; each has a schema."""
    return server().create_database()


@pytest.fixture(scope="module")
def traffic(database: str) -> dict[str, int]:
    """Bytes of an undisturbed recording."""
    return play(database, 0, [])


def plan(seed: int, traffic: dict[str, int], hows: tuple[str, ...]) -> list[Break]:
    chance = random.Random(seed)
    breaks = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        towards = chance.choice(("server", "client"))
        breaks.append(Break(chance.randrange(traffic[towards]), towards, chance.choice(hows)))  # type: ignore[arg-type]
    return breaks


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_a_line_that_breaks_at_any_byte_costs_nothing(first: int, database: str, traffic: dict[str, int]) -> None:
    for seed in range(first, first + 20):
        play(database, seed, plan(seed, traffic, ("cut", "cut", "cut", "stall")))


@pytest.mark.parametrize("first", range(1_000, 1_020, 10))
def test_a_server_that_is_killed_at_any_byte_and_started_again_costs_nothing(
    first: int, database: str, traffic: dict[str, int]
) -> None:
    for seed in range(first, first + 10):
        play(database, seed, plan(seed, traffic, ("kill", "kill", "cut")))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2_000, 2_500, 50))
def test_five_hundred_more(first: int, database: str, traffic: dict[str, int]) -> None:
    for seed in range(first, first + 50):
        play(database, seed, plan(seed, traffic, ("cut", "cut", "stall", "kill")))


def begun(backend: PostgresBackend) -> PostgresBackend:
    """A session with a lock and a part."""
    backend.create("s", "writer.lock", b"mine")
    backend.write_table("s", part_name(0), [part(0, 0)], UPDATES)
    return backend


CALLS: dict[str, Callable[[PostgresBackend], object]] = {
    "create": lambda backend: backend.create("s", "other.lock", b"mine"),
    "write": lambda backend: backend.write("s", "session.json", b"{}"),
    "write_table": lambda backend: backend.write_table("s", part_name(1), [part(1, 0)], UPDATES),
    "replace": lambda backend: backend.write_table("s", part_name(0), [part(1, 0)], UPDATES),
    "take_away": lambda backend: backend.take_away("s", "writer.lock", b"mine"),
    "remove": lambda backend: backend.remove("s", part_name(0)),
    "remove_session": lambda backend: backend.remove_session("s"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("missing", [1, 12, 40])
def test_an_answer_that_is_lost_is_looked_up(database: str, name: str, missing: int) -> None:
    """The call was carried out, or nearly so, when the line broke within the last bytes of its answer."""
    outcomes, writes = [], []
    at = 0
    for is_broken in (False, True):
        schema = f"answer{is_broken:d}_{missing:02d}{name}"
        line = Line(server().socket, [Break(at - missing, "client", "cut")] if is_broken else [], lambda: None)
        asked = f"sslmode=disable&connect_timeout=30&schema={schema}"
        backend = PostgresBackend(read_place(f"postgresql://postgres@127.0.0.1:{line.port}/{database}?{asked}"))
        begun(backend)
        outcomes.append(CALLS[name](backend))
        at = line.passed["client"]
        assert line.broken == is_broken
        backend.database.close()
        line.close()
        state = f"SELECT name, sha256 FROM {schema}.pieces ORDER BY name"
        writes.append((server().sql(state, database=database), count_of(database, schema)))
    assert outcomes[0] == outcomes[1]
    assert writes[0] == writes[1]


def count_of(database: str, schema: str) -> int:
    return int(server().sql(f"SELECT count(*) AS n FROM {schema}.updates", database=database)[0]["n"])


def test_tables_that_can_be_read_only_once_are_not_sent_again(database: str) -> None:
    line = Line(server().socket, [Break(60_000, "server", "cut")], lambda: None)
    place = read_place(f"postgresql://postgres@127.0.0.1:{line.port}/{database}?sslmode=disable&schema=once")
    backend = PostgresBackend(place)
    with pytest.raises(StoreDown, match=r"lost while updates/part-00000.parquet.*write it again from its beginning"):
        backend.write_table("s", part_name(0), iter([part(0, 0), part(1, 0)]), UPDATES)
    assert backend.sizes("s") == {}
    assert backend.write_table("s", part_name(0), iter([part(0, 0)]), UPDATES).rows == ROWS
    assert backend.read_table("s", part_name(0), UPDATES).equals(part(0, 0))
    backend.database.close()
    line.close()


def test_a_server_that_stays_away_is_down_and_all_is_there_when_it_is_back() -> None:
    own = Server(fsync="off")
    try:
        backend = PostgresBackend(read_place(own.url(own.create_database())))
        begun(backend)
        database, place = backend.database, backend.database.place
        own.halt()
        database.place = replace(place, patience_s=0.5)  # where there is nobody to be waited for
        with pytest.raises(StoreDown, match=r"within 0.5 s"):
            backend.write("s", "session.json", b"{}")
        with pytest.raises(StoreDown, match=r"Nothing was half-written"):
            backend.write_table("s", part_name(1), [part(1, 0)], UPDATES)
        own.start()
        database.place = place
        assert list(backend.sizes("s")) == [part_name(0), "writer.lock"]
        assert backend.write_table("s", part_name(1), [part(1, 0)], UPDATES).rows == ROWS
        own.halt()  # connections that were kept are dead, which their next call finds out
        own.start()
        assert backend.read_table("s", part_name(1), UPDATES).equals(part(1, 0))
        backend.database.close()
    finally:
        own.stop()
