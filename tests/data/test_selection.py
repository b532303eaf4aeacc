"""Every market is chosen or left out with its reason; an evaluation chooses by what it could have known."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.data.selection import (
    CausalSettings,
    SuitabilitySettings,
    pattern_of,
    select,
    select_causal,
)
from kalshi_ray.errors import ConfigError, NothingToDo
from tests.data.pack_tables import ASK, BID, delta, end, level, markets_table, pack_of, quoted_session, row


def quotes(market: int, times_s: list[float], bid: int = 4_000, ask: int = 4_300) -> list[dict[str, Any]]:
    """A two-sided book from the first time on, and one change of size at each further time."""
    first, *later = times_s
    rows = [level(first * 1e3, BID, bid, 100, market=market), level(first * 1e3, ASK, ask, 100, market=market)]
    rows.append(end(first * 1e3, market=market))
    return rows + [delta(t * 1e3, BID, bid, 1, market=market) for t in later]


def by_time(*parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((r for part in parts for r in part), key=lambda r: int(r["recv_ns"]))


EVEN = [float(t) for t in range(100)]
EARLY = [float(t) / 4 for t in range(96)]
FEW = [0.0, 30.0, 60.0, 99.0]


@pytest.fixture(scope="module")
def mixed() -> ViewPack:
    """M0 even, M1 in the first quarter only, M2 nearly silent, M3 wide."""
    return pack_of(by_time(quotes(0, EVEN), quotes(1, EARLY), quotes(2, FEW), quotes(3, EVEN, ask=7_000)))


def verdicts(pack: ViewPack, **options: Any) -> dict[str, tuple[str, Any, Any]]:
    found = select(pack, SuitabilitySettings(**options))
    assert sorted([*(pack.tickers[v] for v in found.views), *(r.ticker for r in found.rejected)]) == sorted(
        pack.tickers
    )
    return {r.ticker: (r.reason, r.value, r.threshold) for r in found.rejected}


def test_by_default_fifty_decisions_in_two_quarters_are_asked_for(mixed: ViewPack) -> None:
    assert verdicts(mixed) == {
        "M1": ("quarters of the session", 1.0, 2),
        "M2": ("decision points", 3.0, 50.0),
    }


def test_quarters_are_those_of_the_event_where_it_was_recorded_for_less_than_half_the_session(mixed: ViewPack) -> None:
    short = [r for part in (quotes(0, EVEN), quotes(1, EARLY), quotes(2, EVEN)) for r in part]
    pack = pack_of(sorted(short, key=lambda r: int(r["recv_ns"])), markets_table(3, event=["A", "B", "C"]))
    assert verdicts(pack) == {}
    assert list(verdicts(pack, quarters_of="session")) == ["M1"]
    assert list(verdicts(mixed)) == ["M1", "M2"], "its event was recorded throughout"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"max_spread_cents": 10.0}, {"M3": ("spread in cents", 30.0, "below 10")}),
        ({"max_mid_cents": 50.0}, {"M3": ("mid in cents", 55.0, "0 to 50")}),
        ({"min_updates_per_hour": 1_000.0}, {"M2": ("updates per hour", pytest.approx(218.2, abs=0.1), 1_000.0)}),
        ({"tickers": ("M[01]",)}, {"M2": ("ticker", "M2", "M[01]"), "M3": ("ticker", "M3", "M[01]")}),
    ],
)
def test_each_filter_says_what_it_found_and_what_it_asked_for(
    mixed: ViewPack, options: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert verdicts(mixed, min_decisions=0, min_quarters=0, **options) == wanted


def test_series_and_category_come_from_the_market_table(mixed: ViewPack) -> None:
    table = markets_table(5, series=["A", "A", "B", "B", "B"], category=["Sports", "x", "Sports", "x", "x"])
    wanted = SuitabilitySettings(min_decisions=0, min_quarters=0, series=("A",), categories=("S*",))
    found = select(mixed, wanted, markets=table)
    assert found.views.tolist() == [0]
    assert [(r.ticker, r.reason, r.value) for r in found.rejected] == [
        ("M1", "category", "x"),
        ("M2", "series", "B"),
        ("M3", "series", "B"),
        ("M4", "updates", 0.0),
    ]
    with pytest.raises(ConfigError, match="market table"):
        select(mixed, wanted)


def test_no_suitable_market_is_an_error_with_the_commonest_reasons(mixed: ViewPack) -> None:
    with pytest.raises(NothingToDo, match=r"4 by decision points .such as M0: decision points 99, asked for 9,999"):
        select(mixed, SuitabilitySettings(min_decisions=9_999))
    with pytest.raises(NothingToDo, match="4 by trades"):
        select(mixed, SuitabilitySettings(min_decisions=0, min_quarters=0, min_trades=1))


def test_fewer_than_three_decision_points_are_never_enough() -> None:
    with pytest.raises(NothingToDo, match="decision points 2, asked for 3"):
        select(pack_of(quotes(0, [0.0, 10.0, 20.0])), SuitabilitySettings(min_decisions=0, min_quarters=0))


@pytest.mark.parametrize("options", [{"min_quarters": 5}, {"min_mid_cents": 60.0, "max_mid_cents": 40.0}])
def test_settings_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SuitabilitySettings(**options)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="min_steps"):
        msgspec.convert({"min_steps": 5}, SuitabilitySettings)


@pytest.mark.parametrize(
    ("quarters", "pattern"),
    [
        ([9, 3, 3, 2], "front-loaded"),
        ([2, 3, 3, 9], "back-loaded"),
        ([2, 5, 3, 4], "mid-peak"),
        ([5, 5, 5, 5], "even"),
        ([0, 0, 0, 0], "none"),
        ([4, 4, 0, 0], "even"),
    ],
)
def test_pattern_names_where_the_activity_was(quarters: list[int], pattern: str) -> None:
    assert pattern_of(np.array(quarters)) == pattern


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_pattern_turns_around_with_time(quarters: list[int]) -> None:
    turned = {"front-loaded": "back-loaded", "back-loaded": "front-loaded"}
    forward = pattern_of(np.array(quarters))
    assert pattern_of(np.array(quarters[::-1])) == turned.get(forward, forward)


# Causal


def causal(rows: list[dict[str, Any]], **options: Any) -> tuple[dict[str, int], dict[str, str]]:
    """Updates seen before the start by ticker, and the reasons of the others."""
    pack = pack_of(rows)
    found = select_causal(pack, CausalSettings(**options))
    starts = {
        pack.tickers[v]: int(start - pack.views[v]["start"]) for v, start in zip(found.views, found.starts.tolist())
    }
    return starts, {r.ticker: r.reason for r in found.rejected}


def test_trading_starts_after_enough_updates_with_an_open_two_sided_book() -> None:
    one_sided = [level(0, BID, 4_000, 5, market=1), end(0, market=1)]
    one_sided += [delta(1_000.0 * t, BID, 4_000, 1, market=1) for t in range(1, 30)]
    opened, *later = [r | {"market": 2} for r in quotes(2, EVEN)][2:]
    paused = [*quotes(2, EVEN)[:2], opened, row(Kind.STATUS, 1, size=2, market=2), *later]
    rows = by_time(quotes(0, EVEN), one_sided, paused)
    reason = "open and two-sided updates at the start"
    assert causal(rows, updates=5) == ({"M0": 5}, {"M1": reason, "M2": reason})


def test_trading_starts_when_the_second_side_appears() -> None:
    rows = [level(0, BID, 4_000, 5), end(0), *(delta(1_000.0 * t, BID, 4_000, 1) for t in range(1, 10))]
    rows += [delta(9_500.0, ASK, 5_000, 1), delta(9_600.0, BID, 4_000, 1)]
    assert causal(rows, updates=5)[0] == {"M0": 12}


def test_updates_after_the_first_minutes_do_not_count() -> None:
    rows = quotes(0, [0.0, 1.0, 700.0, 701.0, 702.0, 703.0])
    with pytest.raises(NothingToDo, match="updates at the start 4, asked for 5"):
        causal(rows, updates=5)
    assert causal(rows, updates=5, minutes=20.0)[0] == {"M0": 5}


def test_a_market_that_ends_with_its_first_minutes_is_left_out() -> None:
    rows = by_time(quotes(0, EVEN), quotes(1, FEW[:3]))
    starts, reasons = causal(rows, updates=5)
    assert starts == {"M0": 5} and reasons == {"M1": "updates after the start"}


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(5, 40))
def test_what_happens_after_the_start_changes_nothing_of_the_choice(seed: int, cut: int) -> None:
    """Causality: any other future gives the same start."""
    rows = quoted_session(seed % 50, markets=2, changes=60)
    wanted = CausalSettings(updates=10)
    before = select_causal(pack_of(rows), wanted)
    starts = dict(zip(before.views.tolist(), before.starts.tolist()))
    pack = pack_of(rows)
    kept = {v: s - int(pack.views[v]["start"]) for v, s in starts.items()}
    other = [r for r in rows if r["recv_ns"] <= rows[-cut]["recv_ns"]]
    again = pack_of(other)
    after = select_causal(again, wanted)
    for view, start in zip(after.views.tolist(), after.starts.tolist()):
        assert start - int(again.views[view]["start"]) == kept[view]
