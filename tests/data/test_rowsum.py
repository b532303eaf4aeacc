"""The number of a part: the same here and in a database, and another one for every other part."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.data import proving, rowsum
from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.pieces import MARKETS_FILE, part_name
from kalshi_ray.data.rowsum import RowSum, row_sum
from kalshi_ray.data.schema import MARKETS, UPDATES
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import SessionDamaged, SessionUnfinished
from tests.data.postgres import fresh_backend, server
from tests.data.samples import draft, market_table, random_updates
from tests.data.stores import store_of_kind

LIMITS = {field.name: np.iinfo(field.type.to_pandas_dtype()) for field in UPDATES}


def values(name: str) -> st.SearchStrategy[int]:
    low, high = int(LIMITS[name].min), int(LIMITS[name].max)
    return st.sampled_from((low, high, 0, -1, high // 2)) | st.integers(low, high)


def tables(least: int = 0) -> st.SearchStrategy[pa.Table]:
    row = st.fixed_dictionaries({name: values(name) for name in UPDATES.names})
    return st.lists(row, min_size=least, max_size=20).map(lambda rows: pa.Table.from_pylist(rows, schema=UPDATES))


@pytest.fixture(scope="module")
def backend() -> PostgresBackend:
    """A backend for tests that have a session each."""
    return fresh_backend()


def test_the_factors_are_those_that_the_promise_needs() -> None:
    prime = rowsum._PRIME
    assert all(prime % divisor for divisor in range(2, int(prime**0.5) + 1))
    factors = [factor for pair in rowsum._FACTORS.values() for factor in pair]
    assert len(set(factors)) == len(factors) == 15
    assert all(factor % 2 and 2**23 < factor < 2**24 for factor in factors)
    assert rowsum._STRIDE % 2


@given(data=st.data())
def test_a_value_that_changes_changes_the_number(data: st.DataObject) -> None:
    rows = data.draw(tables(1)).to_pylist()
    before = row_sum(pa.Table.from_pylist(rows, schema=UPDATES))
    name, at = data.draw(st.sampled_from(UPDATES.names)), data.draw(st.integers(0, len(rows) - 1))
    was = rows[at][name]
    rows[at][name] = data.draw(values(name).filter(lambda value: value != was))
    # Of 64 bits one half at a time: both at once agree by a chance of 1 in 2^32.
    if LIMITS[name].bits == 64 and (rows[at][name] ^ was) >> 32:
        rows[at][name] = (rows[at][name] >> 32 << 32) | (was & 0xFFFFFFFF)
    assert row_sum(pa.Table.from_pylist(rows, schema=UPDATES)) != before


@given(data=st.data())
def test_rows_that_change_places_or_are_lost_change_the_number(data: st.DataObject) -> None:
    rows = data.draw(tables(2)).to_pylist()
    before = row_sum(pa.Table.from_pylist(rows, schema=UPDATES))
    one, other = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True))
    assert row_sum(pa.Table.from_pylist(rows[:one] + rows[one + 1 :], schema=UPDATES)) != before
    if rows[one] != rows[other]:
        rows[one], rows[other] = rows[other], rows[one]
        assert row_sum(pa.Table.from_pylist(rows, schema=UPDATES)) != before


def test_a_database_computes_the_same_number(backend: PostgresBackend) -> None:
    @given(tables())
    def compare(table: pa.Table) -> None:
        backend.write_table("same", part_name(3), [table], UPDATES)
        found = backend.row_sums("same", [part_name(3), part_name(4)])
        assert found == {part_name(3): row_sum(table), part_name(4): RowSum(0, 0)}

    compare()
    many = random_updates(70_000, markets=9, seed=1)  # more than are summed at a time
    backend.write_table("same", part_name(4), [many.slice(0, 40_000), many.slice(40_000)], UPDATES)
    assert backend.row_sums("same", [part_name(4)]) == {part_name(4): row_sum(many)}
    assert backend.row_sums("nobody", [part_name(0)]) == {part_name(0): RowSum(0, 0)}


def written(store: SessionStore, parts: list[pa.Table], name: str = "s") -> None:
    with store.writer(name, manifest=draft()) as writer:
        writer.add_markets(market_table("A", "B", "C"))
        for number, table in enumerate(parts):
            writer.write_part(number, table)
        writer.commit()


def test_a_commit_to_a_database_reads_no_rows_and_says_what_a_folder_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    parts = [random_updates(rows, markets=3, seed=rows) for rows in (40, 0, 25, 1)]
    here, there = store_of_kind("memory", tmp_path), SessionStore(fresh_backend())  # type: ignore[arg-type]
    written(here, parts)
    read = PostgresBackend.read_table

    def only_markets(self: PostgresBackend, session_id: str, name: str, *more: object, **named: object) -> pa.Table:
        assert name == MARKETS_FILE
        return read(self, session_id, name, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresBackend, "read_table", only_markets)
    monkeypatch.setattr(proving, "_ROWS_ASKED", 45)  # several questions
    written(there, parts)
    monkeypatch.undo()
    ours, theirs = here.open("s").manifest, there.open("s").manifest
    for name in ("content", "updates", "kinds", "first_ns", "last_ns", "markets"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert there.open("s").updates().equals(pa.concat_tables(parts))


CHANGES: dict[str, str] = {
    "a value": "UPDATE {0} SET price = price + 1 WHERE part = 1 AND ordinal = 7",
    "a lost row": "DELETE FROM {0} WHERE part = 1 AND ordinal = 7",
    "a row twice": "INSERT INTO {0} SELECT * FROM {0} WHERE part = 1 AND ordinal = 7",
    "two places": "UPDATE {0} SET ordinal = 15 - ordinal WHERE part = 1 AND ordinal IN (7, 8)",
    "another part": "UPDATE {0} SET part = 0 WHERE part = 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_that_are_not_those_that_were_written_are_never_committed(backend: PostgresBackend, change: str) -> None:
    store, name = SessionStore(backend), change.replace(" ", "-")
    with store.writer(name, manifest=draft()) as writer:
        writer.add_markets(market_table("A", "B"))
        writer.write_part(0, random_updates(20, markets=2, seed=1))
        writer.write_part(1, random_updates(20, markets=2, seed=2))
        asked = "SELECT number FROM kalshi_ray.sessions WHERE id = $1"
        number = server().sql(asked, name, database=backend.place.database)[0]["number"]
        server().sql(f"{CHANGES[change].format(f'kalshi_ray.updates_{number}')};", database=backend.place.database)
        with pytest.raises(SessionDamaged, match=r"part-0000\d.parquet of session .* holds .*Somebody changed it"):
            writer.commit()
    with pytest.raises(SessionUnfinished):
        store.open(name)


def one_row(**changed: int) -> pa.Table:
    return pa.Table.from_pylist([random_updates(1, markets=1, seed=1).to_pylist()[0] | changed], schema=UPDATES)


def test_rows_of_no_kind_are_never_committed(backend: PostgresBackend) -> None:
    with SessionStore(backend).writer("kind", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.write_part(0, one_row(kind=99))
        with pytest.raises(SessionDamaged, match=r"part-00000.parquet .* has rows of kind 99, which is unknown"):
            writer.commit()


def test_rows_of_a_market_that_is_gone_are_never_committed(backend: PostgresBackend) -> None:
    with SessionStore(backend).writer("market", manifest=draft()) as writer:
        writer.add_markets(market_table("A", "B"))
        writer.write_part(0, one_row(market=1))
        backend.write_table("market", MARKETS_FILE, [market_table("A")], MARKETS)
        with pytest.raises(SessionDamaged, match=r"refers to markets 1..1, the market table has 1 rows"):
            writer.commit()
