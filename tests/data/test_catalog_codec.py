"""Rows in the binary format of COPY: what goes out comes in, however it is cut, mixed and divided."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.data.catalog.codec import END, HEADER, KEYS, Incoming, Outgoing, packed_sha256, wire_dtype, wire_kinds
from kalshi_ray.data.schema import TRUTH, UPDATES
from kalshi_ray.errors import DataError, SessionDamaged
from tests.data.samples import random_updates

WIRE = wire_dtype(wire_kinds(UPDATES, (*KEYS, *UPDATES.names)))
LIMITS = {pa.int8(): 7, pa.int32(): 31, pa.int64(): 63}


def tables(schema: pa.Schema) -> st.SearchStrategy[pa.Table]:
    """Any rows of a schema, extremes included."""

    def values(kind: pa.DataType) -> st.SearchStrategy[object]:
        if kind == pa.float64():
            return st.floats()
        bits = LIMITS[kind]
        return st.integers(-(2**bits), 2**bits - 1)

    row = st.fixed_dictionaries({field.name: values(field.type) for field in schema})
    return st.lists(row, max_size=40).map(lambda rows: pa.Table.from_pylist(rows, schema=schema))


def sent(schema: pa.Schema, table: pa.Table) -> bytes:
    return b"".join(Outgoing(schema, [table], session=3, part=4).chunks())


def answered(content: bytes, schema: pa.Schema, names: list[str], seed: int) -> bytes:
    """What a server would send for these columns, with the rows in another order than they came."""
    going = wire_dtype(wire_kinds(schema, (*KEYS, *schema.names)))
    rows = np.frombuffer(content[len(HEADER) : -len(END)], going).copy()
    assert (rows["session"] == 3).all() and (rows["part"] == 4).all()
    np.random.default_rng(seed).shuffle(rows)
    coming = wire_dtype(wire_kinds(schema, dict.fromkeys(("ordinal", *names))))
    result = np.empty(len(rows), coming)
    for name in coming.names or ():
        result[name] = rows[name] if name != "columns" else (len(coming.names or ()) - 1) // 2
    return HEADER + result.tobytes() + END


@pytest.mark.parametrize("schema", [UPDATES, TRUTH], ids=["updates", "truth"])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_rows_come_back_in_their_order_however_they_are_cut(schema: pa.Schema, data: st.DataObject, seed: int) -> None:
    table = data.draw(tables(schema))
    chance = random.Random(seed)
    names = chance.sample(schema.names, chance.randint(1, len(schema.names)))
    content = answered(sent(schema, table), schema, names, seed)
    coming = Incoming(schema, names, "here")
    at = 0
    while at < len(content):
        size = chance.choice((1, 7, 1_000))
        coming.take(content[at : at + size])
        at += size
    found = coming.table(table.num_rows, is_whole=True)
    assert found.schema == pa.schema([schema.field(name) for name in names])
    for name in names:
        assert np.array_equal(found[name].to_numpy(), table[name].to_numpy(), equal_nan=schema is TRUTH)


def test_rows_are_sent_by_market_and_each_market_in_its_order() -> None:
    table = random_updates(5_000, markets=40, seed=1)
    rows = np.frombuffer(sent(UPDATES, table)[len(HEADER) : -len(END)], WIRE)
    keys = list(zip(rows["market"].tolist(), rows["ordinal"].tolist()))
    assert keys == sorted(keys)
    assert sorted(rows["ordinal"].tolist()) == list(range(5_000))


@given(st.lists(st.integers(0, 300), max_size=5))
def test_the_checksum_is_that_of_the_rows_in_any_division(cuts: list[int]) -> None:
    table = random_updates(300, markets=3, seed=2)
    edges = [0, *sorted(cuts), 300]
    going = Outgoing(UPDATES, [table.slice(a, b - a) for a, b in pairwise(edges)], session=1, part=1)
    assert b"".join(going.chunks()).endswith(END)
    assert (going.rows, going.size, going.sha256) == (300, 300 * 48, packed_sha256(table, UPDATES))
    assert going.sha256 != packed_sha256(table.slice(1), UPDATES)


def test_other_columns_and_empty_cells_are_refused() -> None:
    table = random_updates(3, markets=1, seed=3)
    with pytest.raises(DataError, match=r"missing flags"):
        sent(UPDATES, table.drop_columns(["flags"]))
    holed = table.set_column(4, UPDATES.field("seq"), pa.array([1, None, 3], pa.int64()))
    with pytest.raises(DataError, match=r"column seq has 1 empty cells"):
        sent(UPDATES, holed)


@pytest.mark.parametrize("rows", [2, 4])
def test_a_part_with_too_few_or_too_many_rows_is_damaged(rows: int) -> None:
    content = answered(sent(UPDATES, random_updates(3, markets=1, seed=4)), UPDATES, ["price"], 1)
    coming = Incoming(UPDATES, ["price"], "part 4")
    coming.take(content)
    with pytest.raises(SessionDamaged, match=r"part 4 has 3 rows.*were written"):
        coming.table(rows, is_whole=True)


def test_a_row_that_stands_twice_is_damage() -> None:
    content = answered(sent(UPDATES, random_updates(1, markets=1, seed=5)), UPDATES, ["price"], 1)
    row = content[len(HEADER) : -len(END)]
    coming = Incoming(UPDATES, ["price"], "part 4")
    coming.take(HEADER + row + row + END)
    with pytest.raises(SessionDamaged, match=r"twice"):
        coming.table(2, is_whole=True)


def test_an_answer_that_stops_short_is_no_table() -> None:
    coming = Incoming(UPDATES, ["price"], "part 4")
    coming.take(answered(sent(UPDATES, random_updates(1, markets=1, seed=6)), UPDATES, ["price"], 1)[:-1])
    with pytest.raises(SessionDamaged, match=r"no binary COPY"):
        coming.table(1, is_whole=True)


def test_a_value_that_does_not_fit_is_damage() -> None:
    kinds = wire_kinds(UPDATES, ("ordinal", "kind"))
    row = np.zeros(1, wire_dtype(kinds))
    row["columns"], row["kind"] = 2, 300
    coming = Incoming(UPDATES, ["kind"], "part 4")
    coming.take(HEADER)
    with pytest.raises(SessionDamaged, match=r"column kind has a value that does not fit"):
        coming.take(row.tobytes())
