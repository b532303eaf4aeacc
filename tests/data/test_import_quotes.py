"""Best quotes to books of one level a side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.data.importing import ImportOptions, QuoteFiles, import_session
from kalshi_ray.data.importing.quotes import Quotes, book_rows
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import ConfigError, DataError, NothingToDo, UnknownName
from tests.examples import some_of

TWO = {"t": ["E-1"] * 2, "at": [1, 2], "b": [45, 45], "a": [47, 47]}
SOURCE = {"ticker": "t", "time": "at", "bid": "b", "ask": "a", "time_unit": "s"}


def imported(tmp_path: Path, columns: dict[str, Any], options: ImportOptions | None = None, **source: Any) -> Session:
    path = tmp_path / "quotes.parquet"
    pq.write_table(pa.table(columns), path)
    store = open_store(str(tmp_path / "store"))
    import_session(store, "s", QuoteFiles(paths=(str(path),), **(SOURCE | source)), options)
    return store.open("s")


def said(session: Session) -> list[tuple[str, int, int, int]]:
    return [(Kind(r["kind"]).name, r["side"], r["price"], r["size"]) for r in session.updates().to_pylist()]


def test_the_first_quote_is_a_snapshot_and_later_ones_are_changes(tmp_path: Path) -> None:
    columns = {
        "t": ["E-1"] * 4,
        "at": [1.5e9, 1.5e9 + 1, 1.5e9 + 2, 1.5e9 + 3],
        "b": [45, 46, 46, 0],
        "a": [47, 47, 47, 100],
    }
    session = imported(tmp_path, columns)
    assert said(session) == [
        ("SNAPSHOT_LEVEL", 0, 4500, 1000),
        ("SNAPSHOT_LEVEL", 1, 4700, 1000),
        ("SNAPSHOT_END", -1, 0, 0),
        ("DELTA", 0, 4500, -1000),
        ("DELTA", 0, 4600, 1000),
        ("DELTA", 0, 4600, -1000),
        ("DELTA", 1, 4700, -1000),
    ]
    manifest = session.manifest
    assert (manifest.depth, manifest.sizes, manifest.assumed_size, manifest.has_trades) == (
        "best",
        "assumed",
        1000,
        False,
    )
    assert any("10 contracts assumed" in line for line in manifest.unknowns)


def test_observed_sizes_change_in_place(tmp_path: Path) -> None:
    columns = {
        "t": ["E-1"] * 3,
        "at": [1_500_000_000, 1_500_000_001, 1_500_000_002],
        "b": [6.1, 6.1, 6.2],
        "a": [6.200000000000003, 6.200000000000003, None],
        "bs": ["4695.94", "4000.00", "5"],
        "as": ["61280.73", "61280.73", None],
    }
    session = imported(tmp_path, columns, bid_size="bs", ask_size="as")
    assert said(session) == [
        ("SNAPSHOT_LEVEL", 0, 610, 469_594),
        ("SNAPSHOT_LEVEL", 1, 620, 6_128_073),
        ("SNAPSHOT_END", -1, 0, 0),
        ("DELTA", 0, 610, -69_594),
        ("DELTA", 0, 610, -400_000),
        ("DELTA", 1, 620, -6_128_073),
        ("DELTA", 0, 620, 500),
    ]
    assert (session.manifest.sizes, session.manifest.assumed_size) == ("observed", 0)


def test_a_no_bid_is_an_ask_at_the_rest_of_the_dollar(tmp_path: Path) -> None:
    columns = {"t": ["E-1"], "at": [1_500_000_000], "b": [45], "n": [53]}
    assert said(imported(tmp_path, columns, ask="", no_bid="n"))[1] == ("SNAPSHOT_LEVEL", 1, 4700, 1000)


@pytest.mark.parametrize(("unit", "bid"), [("cents", 45), ("dollars", 0.45), ("pips", 4500), ("dollars", "0.45")])
def test_units_are_told(tmp_path: Path, unit: str, bid: Any) -> None:
    session = imported(tmp_path, {"t": ["E-1"], "at": [1_500_000_000], "b": [bid], "a": [None]}, unit=unit)
    assert said(session)[0] == ("SNAPSHOT_LEVEL", 0, 4500, 1000)


def test_locked_and_crossed_quotes_are_kept(tmp_path: Path) -> None:
    columns = {"t": ["E-1", "E-2"], "at": [1_500_000_000] * 2, "b": [45, 46], "a": [45, 44]}
    assert [row[2] for row in said(imported(tmp_path, columns)) if row[0] == "SNAPSHOT_LEVEL"] == [
        4500,
        4500,
        4600,
        4400,
    ]


def test_silence_of_a_whole_event_is_a_gap_from_its_last_quote_on(tmp_path: Path) -> None:
    start = 1_500_000_000
    columns = {
        "t": ["E-1", "E-2", "F-1", "F-1", "E-1", "E-3", "F-1"],
        "at": [start, start + 10, start + 20, start + 310, start + 400, start + 410, start + 420],
        "b": [45, 30, 20, 21, 46, 10, 22],
        "a": [47, 32, 22, 23, 48, 12, 24],
    }
    session = imported(tmp_path, columns)
    rows = session.updates().to_pylist()
    tickers = session.tickers()
    gaps = [(tickers[r["market"]], r["recv_ns"] // 10**9 - start, r["size"]) for r in rows if r["kind"] == Kind.GAP]
    assert gaps == [("E-1", 10, GapCause.SILENCE), ("E-2", 10, GapCause.SILENCE)]
    ends = [tickers[r["market"]] for r in rows if r["kind"] == Kind.SNAPSHOT_END]
    assert ends == ["E-1", "E-2", "F-1", "E-1", "E-3"]
    assert session.manifest.origin["counts"]["gaps: silence"] == 1
    assert session.manifest.gap_threshold_s == 300


def test_no_threshold_means_no_gap(tmp_path: Path) -> None:
    columns = {"t": ["E-1"] * 2, "at": [1_500_000_000, 1_600_000_000], "b": [45, 46], "a": [47, 47]}
    session = imported(tmp_path, columns, ImportOptions(gap_threshold_s=0))
    assert "GAP" not in session.manifest.kinds


def test_rows_are_put_in_order_of_time_and_it_is_said(tmp_path: Path) -> None:
    columns = {
        "t": ["E-1"] * 3,
        "at": [1_500_000_002, 1_500_000_001, 1_500_000_003],
        "b": [46, 45, 47],
        "a": [None] * 3,
    }
    session = imported(tmp_path, columns)
    assert [row[2] for row in said(session) if row[3] > 0] == [4500, 4600, 4700]
    assert session.manifest.origin["counts"]["quotes out of order"] == 1


@pytest.mark.parametrize(
    ("cells", "source", "ns"),
    [
        (pa.array([1_500_000_000_123], pa.int64()), {"time_unit": "ms"}, 1_500_000_000_123_000_000),
        (pa.array([1.5e9 + 0.25]), {"time_unit": "s"}, 1_500_000_000_250_000_000),
        (pa.array(["1500000000.25"]), {"time_unit": "s"}, 1_500_000_000_250_000_000),
        (pa.array(["2025-12-04T12:27:16.079996Z"]), {"time_unit": "auto"}, 1_764_851_236_079_996_000),
        (pa.array(["2025-12-04 07:27:16.079996-05:00"]), {"time_unit": "auto"}, 1_764_851_236_079_996_000),
        (
            pa.array(["2025-12-04T07:27:16"]),
            {"time_unit": "iso", "time_zone": "America/New_York"},
            1_764_851_236 * 10**9,
        ),
        (
            pa.array([1_764_836_836_079_996], pa.timestamp("us")),
            {"time_unit": "auto", "time_zone": "US/Pacific"},
            1_764_865_636_079_996_000,
        ),
        (
            pa.array([1_764_836_836_079], pa.timestamp("ms", "US/Pacific")),
            {"time_unit": "auto"},
            1_764_836_836_079_000_000,
        ),
    ],
)
def test_times_are_exact_in_every_form(tmp_path: Path, cells: pa.Array, source: dict[str, Any], ns: int) -> None:
    session = imported(tmp_path, {"t": ["E-1"], "at": cells, "b": [45], "a": [47]}, **source)
    assert session.manifest.first_ns == ns


def test_local_times_follow_the_change_of_clocks(tmp_path: Path) -> None:
    """New York went from UTC-4 to UTC-5 on 2025-11-02 at 06:00 UTC."""
    cells = ["2025-11-02T00:30:00", "2025-11-02T03:30:00"]
    columns = {"t": ["E-1"] * 2, "at": cells, "b": [45, 46], "a": [47, 47]}
    session = imported(tmp_path, columns, time_unit="iso", time_zone="America/New_York")
    assert session.manifest.last_ns - session.manifest.first_ns == 4 * 3600 * 10**9


@pytest.mark.parametrize(
    ("columns", "source", "error", "message"),
    [
        ({}, {"bid": "x"}, UnknownName, "'x'.*Known: t, at, b, a"),
        (
            {"at": ["2025-12-04T12:27:16"]},
            {"time_unit": "auto"},
            ConfigError,
            "'at' name no zone. Set quotes.time_zone",
        ),
        ({"at": ["2025-12-04T12:27:16"]}, {"time_unit": "auto", "time_zone": "Mars/X"}, ConfigError, "no time zone"),
        (
            {"at": [1_500_000_000]},
            {"time_unit": "auto"},
            ConfigError,
            "1500000000, of unknown unit. Set quotes.time_unit",
        ),
        (
            TWO | {"at": ["2025-12-04T12:27:16Z", "noon"]},
            {"time_unit": "iso"},
            DataError,
            "row 1: .*'noon', expected an ISO",
        ),
        ({"at": [None]}, {}, DataError, "'at' holds None, expected a time in every row"),
        ({"t": pa.array([None], pa.string())}, {}, DataError, "expected a ticker in every row"),
        (
            {"b": [45.5003]},
            {},
            DataError,
            "quotes.parquet, row 0: column 'b' holds 45.5003, expected a price in multiples of 1/100",
        ),
        ({"b": ["45.00001"]}, {}, DataError, "'b' holds '45.00001', expected a price in multiples"),
        (TWO | {"b": ["45", "many"]}, {}, DataError, "row 1: column 'b' holds 'many', expected a price"),
        ({"b": [float("inf")]}, {}, DataError, "holds inf, expected a price"),
        (
            {"b": [100]},
            {},
            DataError,
            "'b' holds 100, expected a bid below one dollar. Check the unit .* quotes.unit is cents",
        ),
        ({"b": [-1]}, {}, DataError, "'b' holds -1, expected a price of 0 or more"),
        (
            {"bs": ["0"], "as": ["1"]},
            {"bid_size": "bs", "ask_size": "as"},
            DataError,
            "'bs' holds '0', expected a size above 0 where there is a quote",
        ),
        ({"t": pa.array([], pa.string()), "at": [], "b": [], "a": []}, {}, NothingToDo, "no rows in"),
    ],
)
def test_a_bad_column_is_named(
    tmp_path: Path, columns: dict[str, Any], source: dict[str, Any], error: type[Exception], message: str
) -> None:
    right = {"t": ["E-1"], "at": [1_500_000_000], "b": [45], "a": [47]}
    with pytest.raises(error, match=message):
        imported(tmp_path, right | columns, **source)
    assert open_store(str(tmp_path / "store")).ids() == []


def test_a_cell_is_named_by_its_own_file_and_line(tmp_path: Path) -> None:
    for name, price in (("1.csv", "45"), ("2.csv", "4x5")):
        (tmp_path / name).write_text(f"t,at,b,a\nE-1,15,44,47\nE-1,16,{price},47\n")
    source = QuoteFiles(paths=(str(tmp_path / "1.csv"), str(tmp_path / "2.csv")), **SOURCE)
    with pytest.raises(DataError, match=r"2\.csv, line 3: column 'b' holds '4x5'"):
        import_session(open_store(str(tmp_path / "store")), "s", source)


def test_a_time_that_the_clocks_skipped_says_that_the_zone_is_another(tmp_path: Path) -> None:
    """New York went from 02:00 to 03:00 on 2025-03-09."""
    columns = {"t": ["E-1"], "at": ["2025-03-09T02:30:00"], "b": [45], "a": [47]}
    with pytest.raises(DataError, match=r"from 2025-03-09 02:00 on, which clocks in America/New_York skipped"):
        imported(tmp_path, columns, time_unit="iso", time_zone="America/New_York")


def test_options_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"both quotes.ask and quotes.no_bid name a column"):
        QuoteFiles(paths=(), ask="a", no_bid="n")
    with pytest.raises(ConfigError, match=r"neither quotes.ask nor quotes.no_bid"):
        QuoteFiles(paths=())
    with pytest.raises(ConfigError, match=r"the other does not. Give the size columns of both sides"):
        QuoteFiles(paths=(), ask="a", bid_size="s")


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("t,at,b,a\nE-1,1500000000,6.1,6.3\nE-1,1500000001,,nan\n")
    store = open_store(str(tmp_path / "store"))
    import_session(store, "s", QuoteFiles(paths=(str(path),), **SOURCE))
    assert said(store.open("s"))[0] == ("SNAPSHOT_LEVEL", 0, 610, 1000)
    assert said(store.open("s"))[3:] == [("DELTA", 0, 610, -1000), ("DELTA", 1, 630, -1000)]


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r"cannot read .*x.parquet.*Expected CSV with a header, or Parquet"):
        import_session(
            open_store(str(tmp_path / "store")), "s", QuoteFiles(paths=(str(tmp_path / "x.parquet"),), ask="a")
        )


@settings(derandomize=True, max_examples=some_of(150), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 400), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=60,
    )
)
def test_replaying_the_rows_gives_back_every_quote(quotes: list[tuple[int, int, int, int]]) -> None:
    """At every time a market shows its last quote, or is unknown in a silence; no level is ever negative."""
    market, steps, bid, ask = (np.array(column, np.int64) for column in zip(*quotes))
    time = np.cumsum(steps) * 10**9
    size = np.full(len(time), 10 * CONTRACT)
    columns = Quotes(market.astype(np.int32), time, bid * 100, ask * 100, size, size)
    rows, _ = book_rows(columns, market // 2, 300 * 10**9)
    book = PlainBook()
    for now in np.unique(time):
        for row in rows[rows["recv_ns"] == now]:
            book.apply(row)
        for one in np.unique(market[time <= now]):
            last = np.flatnonzero((market == one) & (time <= now))[-1]
            quoted = ((0, int(bid[last]) * 100), (1, int(ask[last]) * 100))
            expected = {level: 10 * CONTRACT for level in quoted if level[1]}
            heard = time[(market // 2 == one // 2) & (time > now)]
            silent = len(heard) > 0 and heard[0] - time[(market // 2 == one // 2) & (time <= now)][-1] > 300 * 10**9
            if silent:
                assert book.levels[int(one)] is None
            else:
                assert book.levels[int(one)] in (expected, None)
    assert (rows["recv_ns"][1:] >= rows["recv_ns"][:-1]).all()


class PlainBook:
    """The plainest book there is: sizes by (side, price), None while unknown."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[tuple[int, int], int] | None] = {}
        self.building: dict[int, dict[tuple[int, int], int]] = {}

    def apply(self, row: Any) -> None:
        market, kind, level = int(row["market"]), int(row["kind"]), (int(row["side"]), int(row["price"]))
        if kind == Kind.GAP:
            self.levels[market] = None
        elif kind == Kind.SNAPSHOT_LEVEL:
            self.building.setdefault(market, {})[level] = int(row["size"])
        elif kind == Kind.SNAPSHOT_END:
            self.levels[market] = self.building.pop(market, {})
        else:
            book = self.levels[market]
            assert book is not None
            book[level] = book.get(level, 0) + int(row["size"])
            assert book[level] >= 0
            if not book[level]:
                del book[level]
