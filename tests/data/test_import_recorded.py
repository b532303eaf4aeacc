"""The recorded folders become sessions, and validation finds in them what their descriptions say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from kalshi_ray.data.importing import (
    BookFiles,
    FrameFiles,
    ImportOptions,
    ImportSource,
    QuoteFiles,
    TradeFiles,
    import_session,
)
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.validate import ValidationReport, validate_session
from tests.data.samples import recorded


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return open_store(str(tmp_path))


def imported(store: SessionStore, source: ImportSource, **options: object) -> tuple[Session, ValidationReport]:
    import_session(store, "s", source, ImportOptions(**options))  # type: ignore[arg-type]
    session = store.open("s")
    return session, validate_session(session)


@cache
def highny() -> tuple[Session, ValidationReport]:
    """All days of the KXHIGHNY logs in one session."""
    folder = recorded("jetpackjules_kalshi-trader")
    source = QuoteFiles(
        paths=tuple(str(path) for path in sorted(folder.glob("*.parquet"))),
        time_zone="US/Pacific",
        bid="best_yes_bid",
        no_bid="best_no_bid",
    )
    return imported(open_store(mkdtemp()), source, environment="production")


def test_every_change_of_the_highny_logs_is_imported() -> None:
    session, report = highny()
    manifest = session.manifest
    assert (manifest.markets, manifest.origin["counts"]["quotes"]) == (102, 718_044)
    assert (manifest.depth, manifest.sizes, manifest.assumed_size) == ("best", "assumed", 1_000)
    assert len(set(session.markets()["event"].to_pylist())) == 17
    assert all(
        band == [{"start": 0, "end": 10_000, "step": 100}] for band in session.markets()["price_ranges"].to_pylist()
    )
    assert manifest.first_ns == 1_764_880_036_079_996_000  # 2025-12-04 12:27:16 in Los Angeles
    assert manifest.kinds["GAP"] == manifest.origin["counts"]["gaps: silence"] * 6
    assert report.is_valid


def test_the_highny_session_is_small() -> None:
    session, _ = highny()
    size = sum(entry.bytes for entry in session.manifest.files.values())
    assert size / session.manifest.updates <= 12


def test_locked_and_crossed_quotes_of_the_highny_logs_are_kept_and_short() -> None:
    _, report = highny()
    found = {finding.name: finding.count for finding in report.findings}
    assert 0 < found["locked"] + found["crossed"] <= 49  # 0.007 % of the rows
    assert max(market.longest_crossing_s for market in report.markets) < 1


def test_demo_frames_have_no_gap_and_no_fault(store: SessionStore) -> None:
    path = str(recorded("jfreun123_kalshi-market-maker", "ws_orderbook.jsonl"))
    session, report = imported(store, FrameFiles(paths=(path,)), environment="demo")
    assert session.manifest.kinds["DELTA"] == 2_212
    assert session.manifest.kinds["SNAPSHOT_END"] == 5
    assert "GAP" not in session.manifest.kinds
    assert session.manifest.use_yes_price is False
    assert report.is_valid
    assert {finding.name for finding in report.findings} == {"fractional-size", "sequence-skipped"}


def test_two_excerpts_that_do_not_join_are_parted_by_a_gap(store: SessionStore) -> None:
    folder = recorded("landonct_kalshi-websockets_excerpt")
    names = ("ws_snapshots_excerpt.jsonl", "ws_deltas_trades_excerpt.jsonl")
    session, report = imported(store, FrameFiles(paths=tuple(str(folder / name) for name in names)))
    assert session.manifest.kinds["GAP"] == 1
    assert session.manifest.origin["counts"]["frames missing"] == 1_823
    assert session.manifest.kinds["TRADE"] == 6
    assert report.gaps == {"sequence": 1}
    assert {f.name: f.count for f in report.findings}["delta-on-unknown"] == 34
    assert 690 < report.lag_ms["p50"] < 720


def test_the_second_excerpt_alone_begins_with_a_gap(store: SessionStore) -> None:
    path = str(recorded("landonct_kalshi-websockets_excerpt", "ws_deltas_trades_excerpt.jsonl"))
    _, report = imported(store, FrameFiles(paths=(path,), use_yes_price=False))
    assert {finding.name for finding in report.findings} >= {"gap-at-start", "delta-on-unknown", "without-book"}


@pytest.mark.parametrize(("name", "use_yes_price"), [("noleg", False), ("yes", True)])
def test_both_settings_recorded_on_one_market_are_imported(store: SessionStore, name: str, use_yes_price: bool) -> None:
    folder = recorded("ws_rest_fixtures_fortuna_demo")
    source = FrameFiles(paths=(str(folder / f"ws__orderbook_trade_{name}.jsonl"),), use_yes_price=use_yes_price)
    session, report = imported(store, source, markets=(str(folder / "markets__single.json"),))
    assert session.updates()["price"].to_pylist()[:2] == [4700, 5200]
    assert session.markets()["close_ns"].to_pylist() == [1_782_403_200 * 10**9]
    assert report.is_valid


def test_samples_with_sizes_are_rounded_to_the_tenth_of_a_cent(store: SessionStore) -> None:
    folder = recorded("min-park123_kalshi-mm-study")
    source = QuoteFiles(
        paths=tuple(str(path) for path in sorted(folder.glob("*.parquet"))),
        ticker="ticker",
        time="ts",
        time_unit="ms",
        bid="yes_bid",
        ask="yes_ask",
        bid_size="yes_bid_sz",
        ask_size="yes_ask_sz",
    )
    session, report = imported(store, source)
    assert session.manifest.origin["counts"]["quotes"] == 5_472 + 920
    assert session.manifest.sizes == "observed"
    assert any("deci_cent for 4 markets" in line for line in session.manifest.unknowns)
    assert report.is_valid


def test_daily_reports_of_prints_are_imported(store: SessionStore) -> None:
    path = str(recorded("gitty-gat_capopm", "trades_KXNCAAFPLAYOFF-25.parquet"))
    source = TradeFiles(
        paths=(path,), ticker="ticker_name", time="create_ts", price="price", unit="cents", size="contracts_traded"
    )
    session, report = imported(store, source)
    assert session.manifest.kinds == {"TRADE": 21_004}
    assert session.manifest.markets == 58
    assert report.is_valid


def test_candles_with_results_end_in_settlements(store: SessionStore) -> None:
    folder = recorded("sidsub1041_kalshi-mlb")
    source = QuoteFiles(
        paths=tuple(str(path) for path in sorted(folder.glob("*.parquet"))),
        time="ts",
        time_unit="s",
        bid="bid_close",
        ask="ask_close",
        unit="dollars",
    )
    results = (str(folder / "games_and_results.csv"),)
    session, report = imported(store, source, results=results, results_time="market_close_utc")
    assert session.manifest.kinds["SETTLEMENT"] == 8
    assert not any("results" in line for line in session.manifest.unknowns)
    assert all(market.settled for market in report.markets)


def test_sampled_books_are_snapshots(store: SessionStore) -> None:
    path = str(recorded("eshan327_kalshi_mm", "rest_orderbook_KXNBASPREAD-25NOV05BKNIND-IND12.jsonl"))
    session, report = imported(store, BookFiles(paths=(path,), time_zone="America/New_York"))
    assert session.manifest.kinds["SNAPSHOT_END"] == 15
    assert report.is_valid
