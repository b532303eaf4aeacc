"""What samplers go by says what it claims of each market."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.measures import measure_pack
from kalshi_ray.data.ratings import activities, classes, difficulties, volumes
from tests.tapes import Rows, book, change, gap, markets_of, pack_of, trade

EVERY = np.arange(3)


def quotes(market: int, times: list[float], *, bid: float = 40, ask: float = 43) -> Rows:
    """A two-sided book at the first time and one more contract on the bid at each later one."""
    first, *later = times
    rows = book(first, {bid: 1}, {ask: 1}, market=market)
    return rows + [one for t in later for one in change(t, "bid", bid, 1, market=market)]


def rated(pack: ViewPack, by: Any) -> list[float]:
    return [float(x) for x in by(np.arange(len(pack.views)), measure_pack(pack))]


def test_volume_is_contracts_traded() -> None:
    prints = trade(5, "buys", 43, 7, market=1) + trade(6, "sells", 40, 3.5, market=1) + trade(7, "buys", 43, 2)
    pack = pack_of(*(quotes(market, [0.0, 10.0]) for market in range(3)), prints)
    assert volumes(pack, EVERY, measure_pack(pack)).tolist() == [2.0, 10.5, 0.0]


def test_without_prints_in_any_session_volume_is_what_came_and_went_at_all_levels() -> None:
    tape = [quotes(market, [float(t) for t in range(2 + market)]) for market in range(3)]
    tape[0] += change(5, "bid", 40, -0.5) + trade(6, "buys", 43, 100)
    pack = replace(pack_of(*tape), has_trades=False)
    assert volumes(pack, EVERY, measure_pack(pack)).tolist() == [1.5, 2.0, 3.0]


def test_activity_is_updates_an_hour_of_the_markets_own_time() -> None:
    pack = pack_of(quotes(0, [0.0, 1_800.0, 3_600.0]), quotes(1, [0.0, 3_600.0]), quotes(2, [3_000.0, 3_600.0]))
    assert rated(pack, activities) == pytest.approx([5.0, 4.0, 24.0])


def test_markets_of_one_pattern_and_one_tertile_of_activity_are_a_class() -> None:
    early, late, even = ([float(t) for t in range(a, b)] for a, b in ((0, 100), (300, 400), (0, 400)))
    tape = [quotes(0, early), quotes(1, early), quotes(2, late), quotes(3, [t for t in even if t % 4 == 0])]
    pack = pack_of(*tape, quotes(4, [t / 2 for t in range(800)]))
    found = rated(pack, lambda views, measures: classes(views, measures, "session"))
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3], found[4]}) == 4


def test_difficulty_grows_with_spread_range_and_time_without_two_sides() -> None:
    still = [0.0, 100.0, 200.0]
    tight, wide = quotes(0, still, bid=40, ask=41), quotes(1, still, bid=40, ask=52)
    moving = [
        *book(0, {20: 1}, {21: 1}, market=2),
        *book(100, {60: 1}, {61: 1}, market=2),
        *change(200, "bid", 60, 1, market=2),
    ]
    lost = [*quotes(3, [0.0, 100.0], bid=40, ask=41), *gap(100, market=3), *book(200, {40: 1}, {41: 1}, market=3)]
    one_sided = book(0, {40: 1}, {}, market=4) + change(200, "bid", 40, 1, market=4)
    pack = pack_of(tight, wide, moving, lost, one_sided, markets=markets_of(5))
    found = rated(pack, difficulties)
    assert found == pytest.approx([0.03, 0.3, 0.03 + 0.5 * 40 / 50, 0.03 + 0.2 * 0.5, 1.0], abs=1e-3)
