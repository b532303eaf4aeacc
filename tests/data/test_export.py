"""What is exported says what the session says, and frames come back as the same rows."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.data.export import export_markets, export_session
from kalshi_ray.data.importing import FrameFiles, ImportOptions, import_session
from kalshi_ray.data.recording import ROW, table_of
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import DataError, UsageError
from tests.data.samples import START, delta, end, level, market_table, recorded, updates, write_session
from tests.examples import some_of

BOOK = (level(0, 4700, 300), level(0, 4600, 1), level(1, 5200, 200), end())
GRIDS = [[[0, 10_000, 10]]]


def session_of(folder: Path, table: pa.Table, **more: Any) -> Session:
    store = open_store(str(folder))
    write_session(store, "s", table, market_table("KXA-26-T1", "KXA-26-T2"), **more)
    return store.open("s")


def interrupted(label: str, done: int, total: int) -> None:
    """A report of progress during which Ctrl-C comes."""
    raise KeyboardInterrupt


def there_and_back(session: Session, folder: Path) -> Session:
    """Export as frames beside the market list, import into another store."""
    frames, markets = str(folder / "frames.jsonl"), str(folder / "markets.json")
    assert export_session(session, frames, format="jsonl-frames") == session.manifest.updates
    assert export_markets(session, markets) == session.manifest.markets
    store = open_store(str(folder / "back"))
    source = FrameFiles(paths=(frames,), use_yes_price=bool(session.manifest.use_yes_price))
    import_session(store, "s", source, ImportOptions(markets=(markets,)))
    return store.open("s")


@pytest.mark.parametrize("use_yes_price", [None, False, True])
def test_every_kind_of_row_comes_back(tmp_path: Path, use_yes_price: bool | None) -> None:
    rows = updates(
        *BOOK,
        delta(0, 4700, -300),
        {"kind": Kind.TRADE, "price": 4700, "size": 300, "taker": 1, "sid": 2, "seq": 1},
        {"kind": Kind.TRADE, "price": 4705, "size": 5, "flags": 1, "sid": 2, "seq": 7},
        {"kind": Kind.GAP, "market": -1, "seq": 0, "size": 1, "exch_ns": 0},
        *BOOK,
        {"kind": Kind.GAP, "seq": 0, "size": 2, "sid": 0},
        end(market=1, sid=0, seq=0),
        {"kind": Kind.STATUS, "size": Status.INACTIVE, "sid": 3, "seq": 5},
        {"kind": Kind.STATUS, "size": Status.CLOSED},
        {"kind": Kind.SCHEDULE, "size": 5_000_000_000, "sid": 3, "seq": 6},
        {"kind": Kind.SCHEDULE, "size": 5_000_000_001},
        {"kind": Kind.GRID, "size": 0},
        {"kind": Kind.FEE, "price": 17_500, "size": 70_000},
        {"kind": Kind.SIGNAL, "price": 1, "size": -(2**40), "market": -1},
        {"kind": Kind.STATUS, "size": Status.DETERMINED, "seq": 40},
        {"kind": Kind.SETTLEMENT, "price": 2500, "seq": 40},
        {"kind": Kind.STATUS, "size": Status.FINALIZED, "exch_ns": 7},
    )
    session = session_of(tmp_path, rows, grids=GRIDS, use_yes_price=use_yes_price)
    back = there_and_back(session, tmp_path)
    assert back.updates().to_pylist() == session.updates().to_pylist()
    assert back.manifest.grids == GRIDS


def test_books_of_best_quotes_come_back_as_such(tmp_path: Path) -> None:
    """Else an export and an import would make a full recording of assumed sizes, and open gates on it."""
    session = session_of(tmp_path, updates(*BOOK), depth="best", sizes="assumed", assumed_size=1000)
    back = there_and_back(session, tmp_path).manifest
    assert (back.depth, back.sizes, back.assumed_size) == ("best", "assumed", 1000)
    assert "sizes: 10 contracts assumed at every quote" in back.unknowns


def test_markets_come_back_from_the_list(tmp_path: Path) -> None:
    session = session_of(tmp_path, updates(*BOOK, end(market=1)))
    assert there_and_back(session, tmp_path).markets().equals(session.markets())


rows_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from([Kind.SNAPSHOT_LEVEL, Kind.SNAPSHOT_END, Kind.DELTA, Kind.TRADE, Kind.GAP, Kind.STATUS]),
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(1, 9_999),
        st.integers(1, 500),
        st.integers(0, 2),
        st.integers(0, 6),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)


@settings(derandomize=True, max_examples=some_of(40), deadline=None)
@given(rows_of_any_kind)
def test_any_rows_come_back_whatever_their_order(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Levels without an end, numbers that jump or fall back, several frames at one time."""
    rows = np.zeros(len(steps) + 1, ROW)
    rows["side"], rows["taker"] = -1, -1
    rows["recv_ns"] = START
    rows["kind"][0] = Kind.SNAPSHOT_END
    for row, (kind, market, side, price, size, sid, seq, step) in zip(rows[1:], steps):
        row["kind"], row["market"], row["sid"], row["seq"] = kind, market, sid, seq
        row["recv_ns"] = START + step
        if kind in (Kind.SNAPSHOT_LEVEL, Kind.DELTA):
            row["side"], row["price"], row["size"] = side, price, size
        elif kind == Kind.TRADE:
            row["price"], row["size"], row["taker"] = price, size, side
        elif kind in (Kind.GAP, Kind.STATUS):
            row["size"], row["seq"] = 1, 0
    rows = np.concatenate([rows, rows[:1]])
    rows["market"][-1] = 1
    folder = tmp_path_factory.mktemp("export")
    session = session_of(folder, table_of(rows))
    assert there_and_back(session, folder).updates().to_pylist() == session.updates().to_pylist()


@pytest.mark.parametrize(
    "name",
    [
        "jfreun123_kalshi-market-maker/ws_orderbook.jsonl",
        "landonct_kalshi-websockets_excerpt/ws_snapshots_excerpt.jsonl",
    ],
)
def test_recorded_frames_come_back(tmp_path: Path, name: str) -> None:
    store = open_store(str(tmp_path))
    import_session(store, "s", FrameFiles(paths=(str(recorded(*name.split("/"))),)))
    session = store.open("s")
    back = there_and_back(session, tmp_path)
    assert back.updates().equals(session.updates())
    assert back.markets().equals(session.markets())


def test_tables_carry_tickers_and_names_of_kinds(tmp_path: Path) -> None:
    session = session_of(tmp_path, updates(*BOOK, {"kind": Kind.GAP, "market": -1, "size": 1}))
    assert export_session(session, str(tmp_path / "x.csv")) == 5
    with open(tmp_path / "x.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["ticker"], row["kind"], row["price"]) for row in rows][2:] == [
        ("KXA-26-T1", "snapshot_level", "5200"),
        ("KXA-26-T1", "snapshot_end", "0"),
        ("", "gap", "0"),
    ]
    export_session(session, str(tmp_path / "x.parquet"), format="parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["ticker", *UPDATES.names]
    assert table.drop_columns(["ticker", "kind"]).equals(session.updates().drop_columns(["kind"]))


def test_an_empty_session_is_exported_as_a_header(tmp_path: Path) -> None:
    session = session_of(tmp_path, UPDATES.empty_table())
    for name in ("csv", "parquet", "jsonl-frames"):
        assert export_session(session, str(tmp_path / name), format=name) == 0  # type: ignore[arg-type]
    assert (tmp_path / "csv").read_text().startswith('"ticker","market"')


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    session = session_of(tmp_path, updates(*BOOK))
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"x.csv exists"):
        export_session(session, str(tmp_path / "x.csv"))
    with pytest.raises(UsageError, match=r"no export format 'xml'. Known: csv, parquet, jsonl-frames"):
        export_session(session, str(tmp_path / "y"), format="xml")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"cannot write .*nowhere"):
        export_session(session, str(tmp_path / "nowhere" / "x.csv"))
    with pytest.raises(KeyboardInterrupt):
        export_session(session, str(tmp_path / "z.csv"), progress=interrupted)
    assert (tmp_path / "x.csv").read_text() == "mine"
    assert not any(name.endswith(".partial") for name in os.listdir(tmp_path))
