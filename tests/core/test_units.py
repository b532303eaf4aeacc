"""Price grids are what the exchange's `price_ranges` say, and nothing else is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import (
    CENT,
    CENT_GRID,
    CONTRACT,
    DECI_CENT_GRID,
    DOLLAR,
    FINEST_GRID,
    MICROS_PER_CENT,
    MICROS_PER_DOLLAR,
    TAPERED_GRID,
    PriceGrid,
    Side,
    axis_of,
)
from kalshi_ray.errors import DataError

GRIDS = {"cent": CENT_GRID, "deci-cent": DECI_CENT_GRID, "tapered": TAPERED_GRID, "finest": FINEST_GRID}


def test_a_pip_times_a_lot_is_a_micro() -> None:
    assert DOLLAR * CONTRACT == MICROS_PER_DOLLAR
    assert CENT * CONTRACT == MICROS_PER_CENT


def test_sides_are_those_of_the_yes_axis() -> None:
    assert (Side.NONE, Side.BID, Side.ASK) == (-1, 0, 1)


@pytest.mark.parametrize(("grid", "levels"), [("cent", 99), ("deci-cent", 999), ("tapered", 279), ("finest", 9_999)])
def test_a_grid_has_every_price_but_zero_and_one_dollar(grid: str, levels: int) -> None:
    prices = GRIDS[grid].prices
    assert prices.dtype == np.int32
    assert len(prices) == levels
    assert prices.min() > 0 and prices.max() < DOLLAR
    assert (np.diff(prices) > 0).all()


def test_a_tapered_grid_is_fine_at_both_ends() -> None:
    prices = TAPERED_GRID.prices.tolist()
    assert prices[:3] == [10, 20, 30] and prices[-3:] == [9_970, 9_980, 9_990]
    assert [p for p in prices if 1_000 <= p <= 1_200] == [1_000, 1_100, 1_200]
    assert [p for p in prices if 8_900 <= p <= 9_020] == [8_900, 9_000, 9_010, 9_020]


@given(st.lists(st.sampled_from(sorted(GRIDS)), min_size=1, max_size=3))
def test_an_axis_is_the_union_of_its_grids(names: list[str]) -> None:
    axis = axis_of(GRIDS[name] for name in names)
    assert axis.dtype == np.int32
    assert axis.tolist() == sorted(set().union(*(GRIDS[name].prices.tolist() for name in names)))


@given(st.integers(-200, DOLLAR + 200), st.integers(-200, DOLLAR + 200), st.integers(-5, 2_000))
def test_a_range_is_taken_as_it_is_or_refused(start: int, end: int, step: int) -> None:
    sound = 0 <= start < end <= DOLLAR and step > 0 and (end - start) % step == 0
    if not sound:
        with pytest.raises(DataError, match=f"start={start} end={end} step={step}"):
            PriceGrid(((start, end, step),))
        return
    # A price stands at every step, both ends included, but for zero and one dollar.
    expected = [p for p in range(start, end + 1, step) if 0 < p < DOLLAR]
    if not expected:
        return
    assert PriceGrid(((start, end, step),)).prices.tolist() == expected


def test_a_grid_without_a_price_is_refused() -> None:
    with pytest.raises(DataError, match="has none"):
        PriceGrid(((0, DOLLAR, DOLLAR),))


def test_a_grid_without_ranges_is_refused() -> None:
    with pytest.raises(DataError, match="at least one range"):
        PriceGrid(())
