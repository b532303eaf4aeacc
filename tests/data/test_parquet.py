"""Tables as Parquet: every value comes back, in few bytes whatever number of lines alternate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.collect.block import SIDS
from kalshi_ray.data import parquet, steps
from kalshi_ray.data.files import open_files
from kalshi_ray.data.parquet import TableEncoder, decode_table, encode_table, read_columns
from kalshi_ray.data.schema import TRUTH, UPDATES
from kalshi_ray.errors import SessionDamaged
from tests.data.samples import START, random_updates, truth_table

ROWS = 200_000


def alternating(lines: int) -> pa.Table:
    """Rows of 1,000 markets, each on one of so many lines, whose frames come in any order and are numbered by line."""
    rng = np.random.default_rng(lines)
    market = np.minimum(rng.geometric(1 / 150, ROWS), 1_000) - 1  # some are busy
    line = market % lines
    order = np.argsort(line, kind="stable")
    seq = np.empty(ROWS, np.int64)
    starts = np.searchsorted(line[order], np.arange(lines))
    seq[order] = np.arange(ROWS) - starts[line[order]] + rng.integers(1, 10_000_000, lines)[line[order]]
    recv = START + np.cumsum(rng.exponential(1.6e6, ROWS).astype(np.int64))
    size = np.round(np.exp(rng.normal(5, 2, ROWS))).astype(np.int64) * 100 * rng.choice([-1, 1], ROWS)
    table = random_updates(ROWS, markets=1, seed=lines)
    for name, values in (
        ("market", market.astype(np.int32)),
        ("recv_ns", recv),
        ("exch_ns", (recv // 1_000_000 - rng.integers(40, 60, ROWS)) * 1_000_000),
        ("sid", (line * SIDS + SIDS + 1).astype(np.int32)),
        ("seq", seq),
        ("size", size),
    ):
        table = table.set_column(table.schema.get_field_index(name), UPDATES.field(name), pa.array(values))
    return table


@pytest.mark.parametrize(("lines", "most"), [(1, 9.0), (16, 10.0), (64, 10.4)])
def test_an_update_takes_few_bytes_whatever_number_of_lines_alternate(lines: int, most: float) -> None:
    table = alternating(lines)
    content = encode_table(table, UPDATES)
    assert content.size / ROWS <= most
    assert decode_table(content).equals(table)


@settings(max_examples=40)
@given(st.data())
def test_any_row_comes_back_as_it_was(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 50))
    columns = {}
    for field in UPDATES:
        bits = field.type.bit_width - 1
        values = st.integers(-(2**bits), 2**bits - 1)
        columns[field.name] = pa.array(data.draw(st.lists(values, min_size=count, max_size=count)), field.type)
    table = pa.table(columns, schema=UPDATES)
    assert decode_table(encode_table(table, UPDATES)).equals(table)


def test_a_truth_comes_back_as_it_was() -> None:
    table = truth_table(1_000)
    assert decode_table(encode_table(table, TRUTH)).equals(table)


def test_several_tables_and_row_groups_come_back_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 3_000)
    monkeypatch.setattr(steps, "_STRETCH", 700)
    table = alternating(16).slice(0, 10_000)
    encoder = TableEncoder(UPDATES)
    for start, rows in ((0, 6_500), (6_500, 0), (6_500, 1), (6_501, 3_499)):
        encoder.add(table.slice(start, rows))
    assert encoder.rows == 10_000 and decode_table(encoder.finish()).equals(table)


@pytest.mark.parametrize("columns", [["seq"], ["price", "seq", "market"], ["sid", "seq"], ["market", "sid"]])
def test_columns_come_in_the_order_asked(columns: list[str], tmp_path: Path) -> None:
    table = alternating(4).slice(0, 1_000)
    (tmp_path / "x").write_bytes(encode_table(table, UPDATES))
    assert read_columns(open_files(str(tmp_path)), "x", UPDATES, columns=columns).equals(table.select(columns))


@pytest.mark.parametrize("mark", [{}, {b"kalshi_ray.schema": b"1"}])
def test_a_file_that_was_written_before_is_read(mark: dict[bytes, bytes], tmp_path: Path) -> None:
    """With sequence numbers as they are, in other encodings."""
    table = random_updates(5_000, markets=50, seed=1)
    pq.write_table(table.replace_schema_metadata(mark), tmp_path / "x", compression="zstd")
    for columns in (UPDATES.names, ["price", "seq"], ["market"]):
        assert read_columns(open_files(str(tmp_path)), "x", UPDATES, columns=columns).equals(table.select(columns))


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    table = random_updates(10, markets=1, seed=1)
    pq.write_table(table.replace_schema_metadata({b"kalshi_ray.schema": b"3"}), tmp_path / "x")
    with pytest.raises(SessionDamaged, match=r"has tables of version 3, this version reads 2"):
        read_columns(open_files(str(tmp_path)), "x", UPDATES)
