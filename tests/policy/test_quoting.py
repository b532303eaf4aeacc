"""Inventory-aware quoting: the formula, its bounds and what it has seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import CENT, DOLLAR
from kalshi_ray.policy.quoting import InventoryAware
from tests.policy.tapes import state_at


def quoted(policy: InventoryAware, *states: tuple[float, int, int], **more: float) -> tuple[int, int]:
    """The last quote in cents after consecutive (second, bid, ask); 0: none."""
    policy.reset(np.zeros(0, np.uint64), 0)
    for at, (second, bid, ask) in enumerate(states):
        last = {**more} if at == len(states) - 1 else {}
        quote = policy.quote(state_at(second, bid, ask, decision=at, **last))[0]  # type: ignore[arg-type]
    bid_price, ask_price = (int(quote[f"{word}_price"]) * bool(quote[f"{word}_size"]) for word in ("bid", "ask"))
    return bid_price // CENT, ask_price // CENT


MOVING = [(float(second), 40 + second % 3 * 4, 44 + second % 3 * 4) for second in range(60)]


def test_a_quiet_market_is_quoted_at_the_distance_that_arrivals_pay_for() -> None:
    """Without variance the half spread is ln(1 + risk / arrival) / risk, about 1 / arrival cents."""
    assert quoted(InventoryAware(risk=0.001, arrival=0.25), (0.0, 40, 60)) == (46, 54)


def test_inventory_moves_both_quotes_against_it() -> None:
    flat = quoted(InventoryAware(inventory=100, risk=0.0005), *MOVING, (60.0, 30, 70))
    long = quoted(InventoryAware(inventory=100, risk=0.0005), *MOVING, (60.0, 30, 70), position=40)
    short = quoted(InventoryAware(inventory=100, risk=0.0005), *MOVING, (60.0, 30, 70), position=-40)
    assert long[0] < flat[0] < short[0] and long[1] < flat[1] < short[1]


def test_the_quote_is_the_formula_on_the_variance_that_was_seen() -> None:
    policy = InventoryAware(risk=0.05, arrival=0.5, horizon_s=10.0, memory_s=1e9, inventory=100)
    states = [(0.0, 40, 60), (10.0, 44, 64), (20.0, 41, 61)]
    ahead = (4.0**2 + 3.0**2) / (20.0 + 30.0) * 10.0
    middle, half = 51.0 - 20 * 0.05 * ahead, 0.05 * ahead / 2 + np.log1p(0.05 / 0.5) / 0.05
    assert quoted(policy, *states, position=20) == (np.floor(middle - half), np.ceil(middle + half))


def test_variance_ahead_is_never_more_than_a_price_between_zero_and_a_dollar_can_have() -> None:
    policy = InventoryAware(risk=0.001, arrival=1e6, horizon_s=1e9)
    jumps = [(float(second), 4 + second % 2 * 90, 6 + second % 2 * 90) for second in range(11)]
    bid, ask = quoted(policy, *jumps)
    assert (bid, ask) == (5 - 1, 5 + 1)  # half of 0.001 x 5 x 95 is a quarter of a cent


def test_the_horizon_ends_at_the_scheduled_close() -> None:
    policy = InventoryAware(risk=0.05, arrival=1e6)
    far, near = quoted(policy, *MOVING, (60.0, 40, 60)), quoted(policy, *MOVING, (60.0, 40, 60), close_s=60.5)
    assert near[1] - near[0] < far[1] - far[0]


def test_what_was_seen_of_an_earlier_episode_is_forgotten() -> None:
    policy = InventoryAware()
    once = policy.quote(state_at(0.0, 40, 60, decision=0))
    for second, bid, ask in MOVING:
        policy.quote(state_at(second, bid, ask))
    assert (policy.quote(state_at(99.0, 40, 60)) != once).any()
    assert (policy.quote(state_at(99.0, 40, 60, decision=0)) == once).all()


def test_without_two_sides_there_is_no_quote() -> None:
    for bid, ask in ((0, 60), (40, 0), (0, 0)):
        assert quoted(InventoryAware(), (0.0, bid, ask)) == (0, 0)


@given(st.integers(1, 98), st.integers(1, 20), st.integers(-60, 60), st.floats(0.01, 5.0), st.sampled_from([1, 3]))
def test_quotes_are_on_the_grid_post_only_and_inside_the_dollar(
    bid: int, width: int, position: int, arrival: float, step: int
) -> None:
    ask = min(99, bid + width)
    state = state_at(0.0, bid, ask, position=position)
    valid = np.arange(99) % step == 0
    state.rows["book"]["valid"] = valid
    quote = InventoryAware(arrival=arrival, risk=0.2).quote(replace(state))[0]
    for word in ("bid", "ask"):
        if quote[f"{word}_size"]:
            price = int(quote[f"{word}_price"])
            assert 0 < price < DOLLAR and valid[price // CENT - 1]
    assert not quote["bid_size"] or quote["bid_price"] < ask * CENT
    assert not quote["ask_size"] or quote["ask_price"] > bid * CENT
    assert not quote["bid_takes"] and not quote["ask_takes"]


@pytest.mark.parametrize(("position", "sides"), [(50, (False, True)), (-50, (True, False)), (0, (True, True))])
def test_a_full_inventory_is_only_reduced(position: int, sides: tuple[bool, bool]) -> None:
    quote = InventoryAware(risk=0.001).quote(state_at(0.0, 40, 60, position=position))[0]
    assert (quote["bid_size"] > 0, quote["ask_size"] > 0) == sides
