"""Every fault that a session can have is found, named by market and row, and nothing else is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.data.parquet import encode_table
from kalshi_ray.data.recording import ROW, table_of
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import open_store
from kalshi_ray.data.validate import Finding, ValidationReport, validate_session
from tests.data.samples import START, delta, end, level, market_table, updates, write_session
from tests.examples import some_of

BID, ASK = 0, 1
SECOND = 1_000_000_000
BOOK = (level(BID, 4700, 300), level(ASK, 5200, 200), end())


def validated(tmp_path: Path, *rows: dict[str, int], markets: pa.Table | None = None, **more: Any) -> ValidationReport:
    """The report of these rows; one message, one number: rows of a snapshot share it."""
    store = open_store(str(tmp_path))
    write_session(store, "s", updates(*rows), markets or market_table("A", "B"), has_trades=False, **more)
    return validate_session(store.open("s"))


def found(report: ValidationReport) -> dict[str, int]:
    """How often what was found, but for what every small session has."""
    usual = ("without-rows", "without-book", "never-two-sided", "no-updates")
    return {finding.name: finding.count for finding in report.findings if finding.name not in usual}


def finding(report: ValidationReport, name: str) -> Finding:
    return next(one for one in report.findings if one.name == name)


def test_a_right_session_has_no_findings(tmp_path: Path) -> None:
    trade = {"kind": Kind.TRADE, "price": 4700, "size": 100}
    report = validated(tmp_path, *BOOK, delta(BID, 4700, -300), delta(BID, 4600, 100), trade)
    assert found(report) == {}
    assert report.is_valid and report.updates == 6
    market = report.markets[0]
    assert (market.ticker, market.rows, market.snapshots, market.trades, market.two_sided) == ("A", 6, 1, 1, True)


@pytest.mark.parametrize(
    ("rows", "name", "severity", "row", "value"),
    [
        ((*BOOK, delta(BID, 4700, -400)), "negative-level", "error", 3, -100),
        ((*BOOK, delta(BID, 4650, 100)), "level-off-grid", "error", 3, 4650),
        ((level(ASK, 10_000, 100), *BOOK), "level-off-grid", "error", 0, 10_000),
        ((*BOOK, delta(-1, 4600, 100)), "level-without-side", "error", 3, -1),
        ((level(BID, 4600, 0), *BOOK), "level-without-size", "error", 0, 0),
        ((level(BID, 4700, 100), *BOOK), "level-twice", "error", 1, 4700),
        ((*BOOK, level(BID, 4600, 100), delta(BID, 4600, 100), end()), "snapshot-cut", "error", 4, Kind.DELTA),
        ((delta(BID, 4600, 100), *BOOK), "delta-on-unknown", "warning", 0, 0),
        ((*BOOK, {"kind": Kind.TRADE, "price": 4650, "size": 100}), "trade-off-grid", "note", 3, 4650),
        ((*BOOK, {"kind": Kind.TRADE, "price": 4600, "size": 0}), "trade-impossible", "error", 3, 4600),
        ((*BOOK, {"kind": Kind.TRADE, "price": 10_000, "size": 1}), "trade-impossible", "error", 3, 10_000),
        ((*BOOK, {"kind": Kind.TRADE, "price": 4600, "size": 100, "flags": 1}), "block-trade", "note", 3, 4600),
        ((*BOOK, delta(BID, 4600, 150)), "fractional-size", "note", 3, 150),
        ((*BOOK, *BOOK), "repeated-snapshot", "note", 5, 0),
        ((*BOOK, {"kind": Kind.GRID, "size": 0}), "unknown-grid", "error", 3, 0),
        ((*BOOK, {"kind": Kind.SETTLEMENT, "price": 10_001}), "settlement-impossible", "error", 3, 10_001),
        (
            (*BOOK, {"kind": Kind.SETTLEMENT, "price": 0}, {"kind": Kind.SETTLEMENT, "price": 10_000}),
            "settled-again",
            "warning",
            4,
            10_000,
        ),
        (
            (*BOOK, {"kind": Kind.SETTLEMENT, "price": 0}, delta(BID, 4600, 100)),
            "row-after-settlement",
            "warning",
            4,
            Kind.DELTA,
        ),
        (({"kind": Kind.GAP, "size": 1, "seq": 0}, *BOOK), "gap-at-start", "note", 0, 1),
        (({"kind": Kind.GAP, "size": 1, "seq": 0, "market": -1}, *BOOK), "gap-at-start", "note", 0, 1),
        ((*BOOK, delta(BID, 4600, 100, seq=2)), "sequence-back", "error", 3, 2),
        ((*BOOK, delta(BID, 4600, 100, seq=9)), "sequence-skipped", "note", 3, 5),
        ((*BOOK, delta(BID, 4600, 100, recv_ns=START)), "time-backwards", "error", 3, -2_000_000),
        (
            (*BOOK, delta(BID, 4600, 100, exch_ns=START + 9 * SECOND)),
            "exchange-ahead",
            "warning",
            3,
            3_000_000 - 9 * SECOND,
        ),
        (
            (*BOOK, delta(BID, 4600, 100, exch_ns=START - 99 * SECOND)),
            "absurd-lag",
            "warning",
            3,
            99 * SECOND + 3_000_000,
        ),
        ((level(BID, 4600, 100, recv_ns=5, exch_ns=0), *BOOK), "time-impossible", "error", 0, 5),
    ],
)
def test_a_fault_is_found_where_it_is(
    tmp_path: Path, rows: tuple[dict[str, int], ...], name: str, severity: str, row: int, value: int
) -> None:
    report = validated(tmp_path, *rows)
    assert found(report)[name] == 1
    assert set(found(report)) <= {name, "repeated-snapshot"}
    one = finding(report, name)
    assert one.severity == severity
    assert [(example.row, example.value) for example in one.examples] == [(row, value)]
    assert one.examples[0].ticker in ("A", "")
    assert report.is_valid == (severity != "error")
    assert f"row {row}" in str(one)


@pytest.mark.parametrize(
    ("lasted", "names"),
    [(0, set()), (1, {"crossed"}), (SECOND, {"crossed"}), (SECOND + 1, {"crossed", "crossed-long"})],
)
def test_a_book_may_be_crossed_for_a_second(tmp_path: Path, lasted: int, names: set[str]) -> None:
    at = START + 5_000_000
    crossing, clearing = delta(BID, 5300, 100, recv_ns=at), delta(BID, 5300, -100, recv_ns=at + lasted)
    report = validated(tmp_path, *BOOK, crossing, clearing)
    assert set(found(report)) == names
    assert report.is_valid == (lasted <= SECOND)
    assert report.markets[0].longest_crossing_s == round(lasted / SECOND, 6)
    if names:
        assert finding(report, "crossed").examples[0] == msgspec.structs.replace(
            finding(report, "crossed").examples[0], row=3, ticker="A", value=lasted
        )


def test_locked_is_told_from_crossed_and_ends_with_the_market_or_a_gap(tmp_path: Path) -> None:
    at = START + 5_000_000
    locking = delta(BID, 5200, 100, recv_ns=at)
    until_end = validated(tmp_path / "a", *BOOK, locking, delta(BID, 4600, 100, recv_ns=at + 2 * SECOND))
    assert found(until_end) == {"locked": 1, "crossed-long": 1}
    gap = {"kind": Kind.GAP, "market": -1, "seq": 0, "size": 1, "recv_ns": at + 7}
    until_gap = validated(tmp_path / "b", *BOOK, locking, gap, delta(BID, 4600, 100, recv_ns=at + 2 * SECOND))
    assert found(until_gap) == {"locked": 1, "delta-on-unknown": 1}
    assert finding(until_gap, "locked").examples[0].value == 7


def test_gaps_are_counted_by_cause_and_their_time_summed(tmp_path: Path) -> None:
    def at(second: int, row: dict[str, int]) -> dict[str, int]:
        return row | {"recv_ns": START + second * SECOND, "exch_ns": 0}

    other = [at(1, row | {"market": 1, "sid": 2}) for row in BOOK]
    rows = [at(0, row) for row in BOOK] + other
    rows += [at(10, {"kind": Kind.GAP, "market": -1, "sid": 1, "seq": 0, "size": GapCause.SEQUENCE})]
    rows += [at(12, {"kind": Kind.GAP, "market": 0, "sid": 1, "seq": 0, "size": GapCause.RECORDER})]
    rows += [at(15, row) for row in BOOK]
    rows += [at(20, {"kind": Kind.GAP, "market": 0, "sid": 1, "seq": 0, "size": GapCause.RECORDER})]
    rows += [at(21, {"kind": Kind.TRADE, "price": 100, "size": 100})]
    rows += [at(22, delta(BID, 4600, 100, market=1, sid=2))]
    report = validated(tmp_path, *rows)
    assert report.gaps == {"sequence": 1, "recorder": 2}
    assert [(market.gaps, market.unknown_s) for market in report.markets] == [(3, 6.0), (0, 0.0)]
    assert report.unknown_s == 6.0
    assert report.is_valid


def test_a_gap_excuses_the_number_after_it(tmp_path: Path) -> None:
    gap = {"kind": Kind.GAP, "market": -1, "seq": 0, "size": GapCause.RECONNECT}
    report = validated(tmp_path, *BOOK, gap, *({**row, "seq": 1} for row in (delta(BID, 4600, 100),)))
    assert found(report) == {"delta-on-unknown": 1}


def test_a_changed_grid_is_the_one_that_counts(tmp_path: Path) -> None:
    rows = (*BOOK, {"kind": Kind.GRID, "size": 1}, delta(BID, 4610, 100))
    report = validated(tmp_path, *rows, grids=[[[0, 10_000, 100]], [[0, 10_000, 10]]])
    assert found(report) == {}


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ((), "no-updates"),
        ((level(BID, 4700, 100), end()), "never-two-sided"),
        ((end(),), "never-two-sided"),
        ((delta(BID, 4700, 100),), "without-book"),
        (BOOK, "without-rows"),
    ],
)
def test_what_is_thin_is_noted_and_valid(tmp_path: Path, rows: tuple[dict[str, int], ...], note: str) -> None:
    report = validated(tmp_path, *rows)
    assert note in {finding.name for finding in report.findings}
    assert report.is_valid


def test_counts_of_the_manifest_are_compared_with_the_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_session(store, "s", updates(*BOOK), market_table("A"))
    path = tmp_path / "sessions" / "s" / "session.json"
    manifest = json.loads(path.read_text()) | {"updates": 4, "last_ns": 5}
    path.write_text(json.dumps(manifest))
    report = validate_session(store.open("s"))
    messages = " ".join(finding.message for finding in report.findings)
    assert "updates = 4, the rows say 3" in messages and "last_ns = 5" in messages
    assert not report.is_valid
    assert "no-trades" in {finding.name for finding in report.findings}


@pytest.mark.parametrize(("column", "value", "name"), [("market", 7, "unknown-market"), ("kind", 99, "unknown-kind")])
def test_rows_that_cannot_be_replayed_are_named(tmp_path: Path, column: str, value: int, name: str) -> None:
    """Such rows pass no writer of ours: the file is put in place of a right one."""
    store = open_store(str(tmp_path))
    write_session(store, "s", updates(*BOOK), market_table("A"))
    rows = updates(*BOOK).to_pylist()
    rows[1][column] = value
    folder = tmp_path / "sessions" / "s"
    content = bytes(encode_table(pa.Table.from_pylist(rows, schema=UPDATES), UPDATES))
    (folder / "updates" / "part-00000.parquet").write_bytes(content)
    manifest = json.loads((folder / "session.json").read_text())
    manifest["files"]["updates/part-00000.parquet"] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "session.json").write_text(json.dumps(manifest))
    report = validate_session(store.open("s"))
    assert finding(report, name).examples[0].row == 1
    assert finding(report, name).examples[0].value == value


def test_damage_is_a_finding_and_not_an_exception(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_session(store, "s", updates(*BOOK), market_table("A"))
    session = store.open("s")
    path = tmp_path / "sessions" / "s" / "updates" / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    report = validate_session(session)
    assert [finding.name for finding in report.findings] == ["damaged"]
    assert "checksum of" in report.findings[0].message
    assert report.to_dict()["is_valid"] is False
    path.unlink()
    assert "missing" in validate_session(session).findings[0].message


def test_only_the_first_few_are_named_and_all_are_counted(tmp_path: Path) -> None:
    report = validated(tmp_path, *BOOK, *(delta(BID, 4650, 100) for _ in range(20)))
    one = finding(report, "level-off-grid")
    assert (one.count, [example.row for example in one.examples]) == (20, [3, 4, 5, 6, 7])
    assert report.to_dict()["findings"][0]["examples"][0] == {"row": 3, "ticker": "A", "value": 4650}


def test_lags_are_reported_in_milliseconds(tmp_path: Path) -> None:
    rows = [row | {"exch_ns": START - 40_000_000, "recv_ns": START} for row in BOOK]
    assert validated(tmp_path, *rows).lag_ms == {"p1": 40.0, "p50": 40.0, "p99": 40.0, "max": 40.0}


@settings(derandomize=True, max_examples=some_of(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 1), st.integers(1, 8), st.integers(-3, 3)),
        max_size=80,
    )
)
def test_random_books_agree_with_the_plainest_replay(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int, int, int]]
) -> None:
    """Negative levels, crossings and deltas on unknown books, as counted by dictionaries."""
    rows = np.zeros(len(steps), ROW)
    for row, (market, kind, side, price, size) in zip(rows, steps):
        row["market"], row["side"], row["price"] = market, side, price * 1_000
        row["kind"] = (Kind.SNAPSHOT_LEVEL, Kind.SNAPSHOT_END, Kind.DELTA, Kind.GAP)[kind]
        row["size"] = 1 if row["kind"] == Kind.GAP else size * 100
    rows["recv_ns"] = START + np.arange(len(rows)) * 10_000_000
    store = open_store(str(tmp_path_factory.mktemp("store")))
    write_session(store, "s", table_of(rows), market_table("A", "B"), has_trades=False)
    counts = found(validate_session(store.open("s")))
    expected = plain_counts(rows)
    for name in ("negative-level", "delta-on-unknown", "level-without-size", "crossed", "locked", "snapshot-cut"):
        assert counts.get(name, 0) == expected[name], name


def plain_counts(rows: Any) -> dict[str, int]:
    names = ("negative-level", "delta-on-unknown", "level-without-size", "crossed", "locked", "snapshot-cut")
    counts = dict.fromkeys(names, 0)
    for market in (0, 1):
        book: dict[tuple[int, int], int] = {}
        known = building = False
        crossing = ""
        for row in rows[rows["market"] == market]:
            kind, level_of, size = row["kind"], (int(row["side"]), int(row["price"])), int(row["size"])
            counts["snapshot-cut"] += building and kind not in (Kind.SNAPSHOT_LEVEL, Kind.SNAPSHOT_END)
            if kind == Kind.SNAPSHOT_LEVEL:
                if not building:
                    book, building = {}, True
                if size <= 0:
                    counts["level-without-size"] += 1
                else:
                    book[level_of] = size
            elif kind == Kind.SNAPSHOT_END:
                book = book if building else {}
                known, building = True, False
            elif kind == Kind.DELTA and not known:
                counts["delta-on-unknown"] += 1
            elif kind == Kind.DELTA:
                book[level_of] = book.get(level_of, 0) + size
                counts["negative-level"] += book[level_of] < 0
                book[level_of] = max(0, book[level_of])
            else:
                known = building = False
                if crossing:
                    counts[crossing] += 1
                    crossing = ""
            if known and not building:
                bids = [price for (side, price), held in book.items() if held and side == BID]
                asks = [price for (side, price), held in book.items() if held and side == ASK]
                state = ""
                if bids and asks and max(bids) >= min(asks):
                    state = "locked" if max(bids) == min(asks) else "crossed"
                if crossing and not state:
                    counts[crossing] += 1
                    crossing = ""
                elif state:
                    crossing = "crossed" if "crossed" in (crossing, state) else "locked"
        if crossing:
            counts[crossing] += 1
    return counts
