"""A server that goes away and comes back, and lines that break at any byte: nothing is lost, nothing stands twice."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.urls import read_place
from kalshi_ray.data.pieces import part_name
from kalshi_ray.data.schema import MARKETS, UPDATES
from tests.data.breaking_line import Break, Line
from tests.data.postgres import server
from tests.data.samples import market_table, random_updates

TICKERS = [f"KXA-26-{number}" for number in range(12)]
STALL_S = 0.3
ROWS = 4_000


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
        pieces = [table.slice(0, 1_500), table.slice(1_500)]
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


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_a_line_that_breaks_at_any_byte_costs_nothing(first: int, database: str, traffic: dict[str, int]) -> None:
    for seed in range(first, first + 20):
        play(database, seed, plan(seed, traffic, ("cut", "cut", "cut", "stall")))


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_a_server_that_is_killed_at_any_byte_and_started_again_costs_nothing(
    first: int, database: str, traffic: dict[str, int]
) -> None:
    for seed in range(1_000 + first, 1_010 + first):
        play(database, seed, plan(seed, traffic, ("kill", "kill", "cut")))
