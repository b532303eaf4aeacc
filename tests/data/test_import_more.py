"""Prints, REST books, results, market lists, and several sources in one session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.importing import BookFiles, ImportOptions, ImportSource, QuoteFiles, TradeFiles, import_session
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import ConfigError, DataError, NothingToDo, UnknownName, WireError

START = 1_500_000_000  # s


def quotes(tmp_path: Path, tickers: list[str], *, bid: float = 45, name: str = "quotes") -> QuoteFiles:
    """One quote a second, one market after the other."""
    path = tmp_path / f"{name}.parquet"
    count = len(tickers)
    bids = [bid + tickers[:row].count(ticker) for row, ticker in enumerate(tickers)]
    columns = {"t": tickers, "at": [START + row for row in range(count)], "b": bids, "a": [bid + 2 for bid in bids]}
    pq.write_table(pa.table(columns), path)
    return QuoteFiles(paths=(str(path),), ticker="t", time="at", bid="b", ask="a", time_unit="s")


def prints(tmp_path: Path, rows: list[tuple[str, int, str, str, str]]) -> TradeFiles:
    path = tmp_path / "prints.csv"
    lines = [f"{ticker},{START + at},{price},{size},{taker}" for ticker, at, price, size, taker in rows]
    path.write_text("ticker,at,price,size,taker\n" + "\n".join(lines) + "\n")
    return TradeFiles(
        paths=(str(path),), time="at", time_unit="s", price="price", unit="cents", size="size", taker="taker"
    )


def imported(
    tmp_path: Path, source: ImportSource | list[ImportSource], options: ImportOptions | None = None
) -> Session:
    store = open_store(str(tmp_path / "store"))
    import_session(store, "s", source, options)
    return store.open("s")


def written(tmp_path: Path, name: str, content: Any) -> str:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_prints_alone_are_a_session(tmp_path: Path) -> None:
    rows = [("E-1", 2, "45", "7.5", "no"), ("E-2", 1, "99.9", "1", "bid"), ("E-1", 3, "45", "2", "")]
    session = imported(tmp_path, prints(tmp_path, rows))
    found = [
        (r["market"], r["price"], r["size"], r["taker"], r["exch_ns"] == r["recv_ns"])
        for r in session.updates().to_pylist()
    ]
    assert found == [(0, 9990, 100, 0, True), (1, 4500, 750, 1, True), (1, 4500, 200, -1, True)]
    assert session.tickers() == ["E-2", "E-1"]
    unknowns = " ".join(session.manifest.unknowns)
    assert "order books" in unknowns and "side of the taker" in unknowns and "within a second" in unknowns


def test_prints_beside_quotes_stand_in_order_of_time(tmp_path: Path) -> None:
    source: list[ImportSource] = [quotes(tmp_path, ["E-1", "E-2"]), prints(tmp_path, [("E-2", 0, "45", "1", "yes")])]
    session = imported(tmp_path, source)
    kinds = [Kind(kind).name for kind in session.updates()["kind"].to_pylist()]
    assert kinds == ["SNAPSHOT_LEVEL"] * 2 + ["SNAPSHOT_END", "TRADE"] + ["SNAPSHOT_LEVEL"] * 2 + ["SNAPSHOT_END"]
    assert session.updates()["market"].to_pylist() == [0, 0, 0, 1, 1, 1, 1]
    assert session.manifest.has_trades and session.manifest.depth == "best"
    assert session.manifest.clock.count(";") == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("E-1", 0, "0", "1", ""),
            "prints.csv, line 2: column 'price' holds '0', expected a price between 0 and one dollar",
        ),
        (("E-1", 0, "100", "1", ""), "'price' holds '100'.*trades.unit is cents"),
        (("E-1", 0, "45", "0", ""), "column 'size' holds '0', expected a size above 0"),
        (("E-1", 0, "45", "0.001", ""), "'size' holds '0.001', expected a size in multiples of 1/100"),
        (("E-1", 0, "45", "1", "both"), "'taker' holds .'both'.*Expected yes, no, bid, ask or empty"),
    ],
)
def test_an_impossible_print_is_named(tmp_path: Path, row: tuple[str, int, str, str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, prints(tmp_path, [row]))


def test_prints_as_rest_answers_them(tmp_path: Path) -> None:
    trades = [
        {
            "ticker": "E-1",
            "created_time": "2026-06-15T15:48:42.609997Z",
            "count_fp": "7.77",
            "yes_price_dollars": "0.0300",
        },
        {
            "ticker": "E-1",
            "created_time": "2026-06-15T15:48:41Z",
            "count": 1,
            "yes_price": 6,
            "taker_side": "no",
            "price": 0.06,
        },
    ]
    path = written(tmp_path, "t.json", {"response": {"trades": trades, "cursor": ""}})
    rows = imported(tmp_path, TradeFiles(paths=(path,))).updates().to_pylist()
    assert [(r["price"], r["size"], r["taker"]) for r in rows] == [(600, 100, 1), (300, 777, -1)]
    with pytest.raises(DataError, match="holds no trades"):
        imported(tmp_path / "other", TradeFiles(paths=(written(tmp_path, "u.json", {}),)))


def test_rest_books_are_snapshots_and_silence_is_a_gap(tmp_path: Path) -> None:
    def line(minute: int, ticker: str, **book: Any) -> str:
        return json.dumps({"at": f"2025-11-05T18:{minute:02d}:00", "m": ticker, "book": {"orderbook": book}})

    lines = [
        line(44, "E-1", yes=[[27, 3]], no=[[69, 2]]),
        line(45, "F-1", yes=None, no=None),
        line(50, "E-1", yes=[[28, 3]]),
    ]
    source = BookFiles(
        paths=(written(tmp_path, "b.jsonl", "\n".join(lines)),),
        ticker_field="m",
        time_field="at",
        book_field="book",
        time_zone="America/New_York",
    )
    session = imported(tmp_path, source)
    rows = [(Kind(r["kind"]).name, r["market"], r["price"]) for r in session.updates().to_pylist()]
    assert rows == [
        ("SNAPSHOT_LEVEL", 0, 2700),
        ("SNAPSHOT_LEVEL", 0, 3100),
        ("SNAPSHOT_END", 0, 0),
        ("GAP", 0, 0),
        ("SNAPSHOT_END", 1, 0),
        ("SNAPSHOT_LEVEL", 0, 2800),
        ("SNAPSHOT_END", 0, 0),
    ]
    assert session.manifest.first_ns == 1_762_386_240 * 10**9
    wrong = msgspec.structs.replace(source, book_field="order_book")
    with pytest.raises(WireError, match=r"line 1 has no field 'order_book', only at, m, book"):
        import_session(open_store(str(tmp_path / "store")), "t", wrong)


def test_results_come_after_the_last_row_and_not_before_their_time(tmp_path: Path) -> None:
    source = quotes(tmp_path, ["E-1", "E-2", "E-3", "E-1", "E-4"])
    results = f"ticker,result,at\nE-1,yes,{iso(1)}\nE-2,NO,{iso(3.5)}\nE-3,0.25,{iso(99)}\nE-4,,\nX-1,yes,{iso(1)}\n"
    path = written(tmp_path, "r.csv", results.replace("E-4,,", f"E-4,,{iso(0)}"))
    session = imported(tmp_path, source, ImportOptions(results=(path,), results_time="at"))
    rows = session.updates().to_pylist()
    settled = [(r["market"], r["price"], r["recv_ns"] / 1e9 - START) for r in rows if r["kind"] == Kind.SETTLEMENT]
    assert settled == [(0, DOLLAR, 3), (1, 0, 3.5), (2, 2500, 99)]
    times = [r["recv_ns"] for r in rows]
    assert times == sorted(times)
    unknowns = " ".join(session.manifest.unknowns)
    assert "results of 1 market" in unknowns and "1 results are of markets that are not in the session" in unknowns


def iso(second: float) -> str:
    return f"2017-07-14T02:{40 + int(second) // 60:02d}:{second % 60:04.1f}Z"


def test_without_a_time_the_result_stands_right_after_the_last_row(tmp_path: Path) -> None:
    path = written(tmp_path, "r.csv", "market_ticker,result\nE-1,no\n")
    rows = imported(tmp_path, quotes(tmp_path, ["E-1", "E-2"]), ImportOptions(results=(path,))).updates().to_pylist()
    assert [r["kind"] for r in rows][3] == Kind.SETTLEMENT
    assert (rows[3]["market"], rows[3]["recv_ns"], rows[3]["exch_ns"]) == (0, START * 10**9, 0)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet", "list.json"])
def test_results_are_read_in_every_form(tmp_path: Path, name: str) -> None:
    if name == "list.json":
        markets = [
            {"ticker": "E-1", "result": "yes", "settlement_ts": "2017-07-14T02:40:00Z"},
            {"ticker": "E-2", "result": "scalar", "settlement_value_dollars": "0.2500"},
            {"ticker": "E-3", "result": ""},
        ]
        path = written(tmp_path, name, {"markets": markets})
    elif name.endswith("csv"):
        path = written(tmp_path, name, "game,a_ticker,a_result,b_ticker,b_result\nG,E-1,yes,E-2,0.25\n")
    else:
        path = str(tmp_path / name)
        pq.write_table(
            pa.table({"ticker": ["E-1", "E-2"], "result": ["yes", "scalar"], "settlement_value": [1.0, 0.25]}), path
        )
    session = imported(tmp_path, quotes(tmp_path, ["E-1", "E-2", "E-3"]), ImportOptions(results=(path,)))
    settled = {r["market"]: r["price"] for r in session.updates().to_pylist() if r["kind"] == Kind.SETTLEMENT}
    assert settled == {0: DOLLAR, 1: 2500}


@pytest.mark.parametrize(
    ("content", "options", "error", "message"),
    [
        ("ticker,result\nE-1,maybe\n", {}, DataError, "row 0: result 'maybe'.*Expected yes, no, or a value"),
        ("ticker,result\nE-1,1.5\n", {}, DataError, "result '1.5'"),
        ("ticker,result\nE-1,yes\nE-1,no\n", {}, DataError, "E-1 has two results: 10000 and 0 pips"),
        ("ticker,result\nX-1,yes\n", {}, NothingToDo, "none of the 1 results.*Its tickers look like E-1"),
        ("ticker,outcome\nE-1,yes\n", {}, DataError, "has columns ticker, outcome. Expected ticker and result"),
        ("ticker,result\nE-1,yes\n", {"results_time": "at"}, UnknownName, "'at'.*Known: ticker, result"),
    ],
)
def test_results_that_cannot_be_are_refused(
    tmp_path: Path, content: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = written(tmp_path, "r.csv", content)
    with pytest.raises(error, match=message):
        imported(tmp_path, quotes(tmp_path, ["E-1"]), ImportOptions(results=(path,), **options))
    assert open_store(str(tmp_path / "store")).ids() == []


LISTED = {
    "ticker": "E-1",
    "event_ticker": "EVENT",
    "open_time": "2017-07-14T02:40:00Z",
    "close_time": "2017-07-15T02:40:00Z",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
    "status": "active",
}


def test_a_market_list_says_what_the_recording_cannot(tmp_path: Path) -> None:
    series = {"ticker": "SERIES", "category": "Climate", "fee_type": "quadratic", "fee_multiplier": 0.5}
    paths = (
        written(tmp_path, "m.json", {"response": {"markets": [LISTED], "cursor": ""}}),
        written(tmp_path, "e.json", {"event": {"event_ticker": "EVENT", "series_ticker": "SERIES", "title": "x"}}),
        written(tmp_path, "s.json", {"series": series}),
    )
    session = imported(tmp_path, quotes(tmp_path, ["E-1"]), ImportOptions(markets=paths))
    market = session.markets().to_pylist()[0]
    assert market == {
        "ticker": "E-1",
        "event": "EVENT",
        "series": "SERIES",
        "category": "Climate",
        "price_ranges": [{"start": 0, "end": DOLLAR, "step": 10}],
        "fee_type": "quadratic",
        "fee_multiplier": 0.5,
        "open_ns": START * 10**9,
        "close_ns": (START + 86_400) * 10**9,
        "status": Status.ACTIVE,
    }
    assert not any("price grids" in line or "event and series" in line for line in session.manifest.unknowns)


def test_the_real_close_of_a_closed_market_is_not_taken_as_scheduled(tmp_path: Path) -> None:
    path = written(tmp_path, "m.json", {"market": LISTED | {"status": "finalized", "result": "yes"}})
    session = imported(tmp_path, quotes(tmp_path, ["E-1"]), ImportOptions(markets=(path,)))
    assert session.markets()["close_ns"].to_pylist() == [0]
    assert "SETTLEMENT" not in session.manifest.kinds
    assert "scheduled close of 1 market" in session.manifest.unknowns


@pytest.mark.parametrize(("content", "message"), [("{}", "holds no markets"), ("nonsense", "malformed|Expected JSON")])
def test_a_file_that_is_no_market_list_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=f"m.json.*{message}"):
        options = ImportOptions(markets=(written(tmp_path, "m.json", content),))
        imported(tmp_path, quotes(tmp_path, ["E-1"]), options)


@pytest.mark.parametrize(
    ("bid", "label", "step"),
    [
        (45, "linear_cent", 100),
        (45.5, "center_half_edge_half_cent", 50),
        (7.9, "tapered_deci_cent", 10),
        (45.1, "deci_cent", 10),
    ],
)
def test_the_grid_is_the_coarsest_that_holds_the_prices_of_the_series(
    tmp_path: Path, bid: float, label: str, step: int
) -> None:
    source = [quotes(tmp_path, ["E-1-A"], bid=bid), quotes(tmp_path, ["E-2-B", "F-1-A"], name="more")]
    session = imported(tmp_path, source)
    steps = [market["price_ranges"][0]["step"] for market in session.markets().to_pylist()]
    assert dict(zip(session.tickers(), steps)) == {"E-1-A": step, "E-2-B": step, "F-1-A": 100}
    assert any(line.startswith("price grids") and label in line for line in session.manifest.unknowns)


def test_a_grid_can_be_told(tmp_path: Path) -> None:
    session = imported(tmp_path, quotes(tmp_path, ["E-1"]), ImportOptions(grid="deci_cent"))
    assert session.markets().to_pylist()[0]["price_ranges"] == [{"start": 0, "end": DOLLAR, "step": 10}]
    assert not any("price grids" in line for line in session.manifest.unknowns)


def test_events_and_series_come_from_patterns(tmp_path: Path) -> None:
    tickers = ["KXHIGHNY-25DEC05-B32.5", "LONELY"]
    session = imported(tmp_path, quotes(tmp_path, tickers))
    names = [(market["event"], market["series"]) for market in session.markets().to_pylist()]
    assert names == [("KXHIGHNY-25DEC05", "KXHIGHNY"), ("LONELY", "LONELY")]
    assert any("event and series of 2 markets" in line for line in session.manifest.unknowns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap_threshold_s": -1}, "gap_threshold_s"),
        ({"assumed_size": 0}, "at least 1 contract"),
        ({"grid": "wide"}, "no price grid named 'wide'. Known: infer, linear_cent"),
        ({"event_pattern": "("}, "no regular expression"),
        ({"series_pattern": "x"}, "no group in brackets"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImportOptions(**options)


def test_no_source_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="no source"):
        import_session(open_store(str(tmp_path)), "s", [])


def test_the_manifest_keeps_how_it_was_made(tmp_path: Path) -> None:
    session = imported(tmp_path, quotes(tmp_path, ["E-1"]), ImportOptions(environment="production"))
    assert session.manifest.source == "import"
    assert session.manifest.environment == "production"
    assert session.manifest.origin["sources"][0]["type"] == "quotes"
    assert session.manifest.origin["options"]["assumed_size"] == 10
