"""Costs, moves, markouts and sums over strikes are exact over time: compared with looking every moment up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.fees import model_fee
from kalshi_ray.core.jit import as_rows
from kalshi_ray.data.analysis.edge import EventPaths, ratio_and_error, sum_event, weighted_quantile
from kalshi_ray.data.analysis.quotes import (
    BANDS,
    COST,
    COST_BINS,
    MARKOUT,
    MOVE,
    MOVE_BINS,
    compare_moves,
    fee_of,
    mark_prints,
    sum_costs,
)
from kalshi_ray.data.measures import HOURS, OPEN, PATH, PRINT, UNKNOWN
from tests.data.pack_tables import S
from tests.examples import some_of

TAKER, MAKER = 70_000, 17_500


def path_of(quotes: list[tuple[float, int, int, int]], start_s: float = 0.0) -> np.ndarray:
    """PATH rows from (second, bid, ask, state), closed by the last one."""
    path = np.zeros(len(quotes), PATH)
    for place, (second, bid, ask, state) in enumerate(quotes):
        path[place] = (round((start_s + second) * S), bid, ask, TAKER, MAKER, state)
    path[-1]["state"] = UNKNOWN
    return path


QUOTES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 60), st.integers(1, 40), st.sampled_from([OPEN, OPEN, OPEN, UNKNOWN])),
    min_size=2,
    max_size=12,
)


def drawn_path(drawn: list[tuple[int, int, int, int]]) -> np.ndarray:
    second, quotes = 0, []
    for pause, bid, width, state in drawn:
        quotes.append((second, 100 * bid, min(10_000, 100 * (bid + width)), state))
        second += pause
    return path_of(quotes)


def row_at(path: np.ndarray, ns: int) -> Any:
    return path[np.searchsorted(path["recv_ns"], ns, side="right") - 1]


def two_sided(row: Any) -> bool:
    return bool(row["state"] == OPEN and row["bid"] > 0 and row["ask"] < 10_000)


def fee(price: int, rate: int = TAKER) -> float:
    return rate * price * (10_000 - price) / 1e10


def test_fees_are_those_of_the_core_without_rounding() -> None:
    for price in (100, 2_500, 5_000, 9_900):
        assert model_fee(100_000, price, TAKER) / 100_000 == pytest.approx(fee_of(price, TAKER), abs=1e-4)


@given(QUOTES)
def test_round_trips_are_weighted_by_the_time_their_quote_stood(drawn: list[Any]) -> None:
    path = drawn_path(drawn)
    histogram, bands, hours = np.zeros(COST_BINS), np.zeros(len(BANDS) + 1, COST), np.zeros(HOURS, COST)
    sum_costs(as_rows(path), 0, len(path), histogram, as_rows(bands), as_rows(hours))
    wanted_s, wanted_cost = 0.0, 0.0
    by_band = np.zeros(len(BANDS) + 1)
    for here, later in pairwise(path):
        if two_sided(here):
            seconds = (later["recv_ns"] - here["recv_ns"]) * 1e-9
            cost = here["ask"] - here["bid"] + fee(int(here["bid"])) + fee(int(here["ask"]))
            wanted_s, wanted_cost = wanted_s + seconds, wanted_cost + seconds * cost
            by_band[sum((here["bid"] + here["ask"]) / 2 >= 100 * b for b in BANDS)] += seconds
    assert histogram.sum() == pytest.approx(wanted_s)
    assert bands["seconds"] == pytest.approx(by_band)
    for sums in (bands, hours):
        assert (sums["spread"] + sums["fee"]).sum() == pytest.approx(wanted_cost)


def test_a_quote_that_stands_over_midnight_counts_in_each_hour() -> None:
    path = path_of([(0, 4_000, 4_200, OPEN), (7_200, 0, 0, UNKNOWN)], start_s=23.5 * 3_600)
    hours = np.zeros(HOURS, COST)
    sum_costs(as_rows(path), 0, 2, np.zeros(COST_BINS), as_rows(np.zeros(len(BANDS) + 1, COST)), as_rows(hours))
    assert {h: float(s) for h, s in enumerate(hours["seconds"]) if s} == {23: 1_800.0, 0: 3_600.0, 1: 1_800.0}


@given(QUOTES, st.integers(1, 90))
@settings(max_examples=some_of(60))
def test_moves_agree_with_looking_up_every_second(drawn: list[Any], horizon: int) -> None:
    """Quotes change at whole seconds, so every stretch between them is constant."""
    path = drawn_path(drawn)
    histogram, found = np.zeros(MOVE_BINS), np.zeros(1, MOVE)
    compare_moves(as_rows(path), 0, len(path), horizon * S, histogram, as_rows(found)[0])
    wanted = dict.fromkeys(("seen_s", "unseen_s", "over_s", "foresight_s"), 0)
    moves: dict[int, int] = {}
    for second in range(int(path[-1]["recv_ns"]) // S - horizon):
        here, there = row_at(path, second * S), row_at(path, (second + horizon) * S)
        if not two_sided(here):
            continue
        if not two_sided(there):
            wanted["unseen_s"] += 1
            continue
        b0, a0, b1, a1 = (int(x) for x in (here["bid"], here["ask"], there["bid"], there["ask"]))
        half_pips = abs(b1 + a1 - b0 - a0)
        moves[half_pips // 2] = moves.get(half_pips // 2, 0) + 1
        wanted["seen_s"] += 1
        wanted["over_s"] += half_pips / 2 > a0 - b0 + fee(a0) + fee(b0)
        wanted["foresight_s"] += b1 - a0 - fee(a0) - fee(b1) > 0 or b0 - a1 - fee(b0) - fee(a1) > 0
    assert {name: float(found[name][0]) for name in wanted} == pytest.approx(wanted)
    assert {int(pips): float(histogram[pips]) for pips in np.flatnonzero(histogram)} == pytest.approx(moves)


PRINTS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 99), st.integers(1, 50), st.sampled_from([0, 1, -1])), max_size=10
)


@given(QUOTES, PRINTS, st.integers(1, 60))
def test_markouts_agree_with_looking_each_print_up(drawn: list[Any], sold: list[Any], horizon: int) -> None:
    path = drawn_path(drawn)
    prints = np.array([(s * S, size, 100 * c, taker) for s, c, size, taker in sorted(sold)], PRINT)
    found = np.zeros(2, MARKOUT)
    mark_prints(as_rows(path), 0, len(path), as_rows(prints), 0, len(prints), horizon * S, as_rows(found))
    wanted = np.zeros(2, MARKOUT)
    for p in prints:
        if p["taker"] < 0:
            continue
        at, sums = int(p["recv_ns"]) + horizon * S, wanted[p["taker"]]
        there = row_at(path, at)
        if at > path[-1]["recv_ns"] or not two_sided(there):
            sums["unseen"] += 1
            continue
        sign, size, price = (1 if p["taker"] == 0 else -1), int(p["size"]), int(p["price"])
        sums["prints"] += 1
        sums["lots"] += size
        sums["value"] += sign * ((there["bid"] + there["ask"]) / 2 - price) * size
        sums["taker_fee"] += fee(price) * size
        sums["maker_fee"] += fee(price, MAKER) * size
    for name in MARKOUT.names or ():
        assert found[name] == pytest.approx(wanted[name]), name


def event_of(*paths: np.ndarray) -> EventPaths:
    bounds = np.cumsum([0, *map(len, paths)]).tolist()
    spans = [(a, b, 0, 0) for a, b in pairwise(bounds)]
    return EventPaths("E", np.concatenate(paths), np.empty(0, PRINT), spans, ["S"] * len(paths))


@given(QUOTES, QUOTES, QUOTES)
def test_sums_over_strikes_agree_with_looking_every_second_up(one: list[Any], two: list[Any], three: list[Any]) -> None:
    paths = [drawn_path(drawn) for drawn in (one, two, three)]
    line = sum_event(event_of(*paths))
    bids, asks, buying, selling = [], [], 0, 0
    for second in range(max(int(path[-1]["recv_ns"]) for path in paths) // S):
        rows = [row_at(path, second * S) for path in paths]
        if all(two_sided(row) for row in rows):
            bid, ask = sum(int(row["bid"]) for row in rows), sum(int(row["ask"]) for row in rows)
            bids.append(bid)
            asks.append(ask)
            buying += 10_000 - ask - sum(fee(int(row["ask"])) for row in rows) > 0
            selling += bid - 10_000 - sum(fee(int(row["bid"])) for row in rows) > 0
    assert line.hours * 3_600 == pytest.approx(len(bids))
    assert (line.buy_all.seconds, line.sell_all.seconds) == pytest.approx((buying, selling))
    if bids:
        assert line.bid_sum_cents == pytest.approx(float(np.quantile(bids, 0.5, method="inverted_cdf")) / 100)
        assert line.ask_sum_cents == pytest.approx(float(np.quantile(asks, 0.5, method="inverted_cdf")) / 100)
    else:
        assert line.bid_sum_cents is None


def test_an_arbitrage_is_counted_once_while_it_lasts_with_its_best_and_longest() -> None:
    a = path_of([(0, 4_000, 4_400, OPEN), (10, 4_100, 4_500, OPEN), (20, 4_000, 6_000, OPEN), (90, 0, 0, UNKNOWN)])
    b = path_of([(0, 4_000, 4_500, OPEN), (30, 4_000, 3_000, OPEN), (35, 4_000, 5_000, OPEN), (90, 0, 0, UNKNOWN)])
    buy = sum_event(event_of(a, b)).buy_all
    assert (buy.count, buy.seconds, buy.longest_s) == (2, 25.0, 20.0)
    assert buy.best_cents == pytest.approx((10_000 - 8_900 - fee(4_400) - fee(4_500)) / 100)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1, max_size=20), st.floats(0.01, 1.0))
def test_a_weighted_quantile_is_that_of_the_repeated_values(drawn: list[tuple[int, int]], share: float) -> None:
    values, weights = (np.array(column, float) for column in zip(*drawn))
    repeated = np.repeat(values, weights.astype(int))
    assert weighted_quantile(values, weights, share) == np.quantile(repeated, share, method="inverted_cdf")


def test_the_error_of_a_ratio_is_that_of_independent_events() -> None:
    """Equal weights: the usual standard error of a mean."""
    values = np.array([1.0, 4.0, 2.0, 7.0])
    mean, error = ratio_and_error(values * 10, np.full(4, 10.0))
    assert mean == values.mean() and error == pytest.approx(values.std(ddof=1) / 2)
    assert ratio_and_error(np.array([3.0, 0.0]), np.array([2.0, 0.0])) == (1.5, None)


def test_an_arbitrage_inside_a_burst_does_not_count() -> None:
    other = path_of([(0, 4_000, 5_000, OPEN), (90, 0, 0, UNKNOWN)])
    short, long = (
        path_of([(0, 4_000, 6_000, OPEN), (10, 4_000, 4_200, OPEN), (10 + s, 4_000, 6_000, OPEN), (90, 0, 0, UNKNOWN)])
        for s in (0.004, 0.006)
    )
    assert sum_event(event_of(short, other)).buy_all.count == 0
    assert sum_event(event_of(long, other)).buy_all.seconds == pytest.approx(0.006)
