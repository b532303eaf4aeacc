"""The exchange's side as a record: how it starts, its clock, its latencies, its answers in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import MAX_MESSAGES, OrderEvent
from kalshi_ray.core.rules import PPM
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.core.venue import NEVER, draw_latency, start_venue, tell, venue_dtype, venue_time
from tests.core.records import T0, one, rules_of, trader_of, update_of, venue_of
from tests.examples import some_of

MASK = 2**64 - 1


def drawn(state: int, latency: int, spread_ppm: int) -> tuple[int, int]:
    """splitmix64 in Python integers: the next state and the latency."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    mixed = state
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
    mixed ^= mixed >> 31
    share = (mixed >> 32) * 2 * spread_ppm // 2**32 - spread_ppm
    return state, latency + latency * share // PPM


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@settings(max_examples=some_of(40))
@given(st.integers(0, MASK), st.integers(0, 10**9), st.integers(1, PPM - 1))
def test_a_drawn_latency_is_reproducible_and_within_its_spread(seed: int, latency: int, spread_ppm: int) -> None:
    venue, state = one(venue_dtype(99)), seed
    venue["chance"] = np.uint64(seed)
    for _ in range(5):
        state, expected = drawn(state, latency, spread_ppm)
        found = int(draw_latency(venue, latency, spread_ppm))
        assert found == expected
        assert abs(found - latency) <= latency * spread_ppm / PPM + 1
        assert int(venue["chance"]) == state


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_drawn_latencies_are_spread_evenly_around_their_value() -> None:
    venue = one(venue_dtype(99))
    found = np.array([draw_latency(venue, 1_000_000, PPM // 2) for _ in range(4_000)])
    assert abs(found.mean() - 1_000_000) < 20_000
    assert found.min() < 510_000 and found.max() > 1_490_000


def test_without_a_spread_a_latency_is_constant_and_draws_nothing() -> None:
    venue = one(venue_dtype(99))
    assert draw_latency(venue, 77, 0) == 77
    assert venue["chance"] == 0


@given(st.integers(0, 10**9), st.integers(-(10**6), 10**6), st.integers(0, 10**9))
def test_exchange_time_is_receive_time_less_the_lag(nanoseconds: int, lag_us: int, feed: int) -> None:
    update = update_of(Kind.DELTA, lag_us=lag_us)
    update["recv_ns"] = T0 + nanoseconds
    assert venue_time(update, feed) == (T0 + nanoseconds) // 1_000 * 1_000 - lag_us * 1_000


@given(st.integers(0, 10**9))
def test_an_unknown_exchange_time_is_receive_time_less_the_feed_latency(feed: int) -> None:
    assert venue_time(update_of(Kind.DELTA), feed) == T0 - feed


def test_an_episode_starts_with_what_the_trader_knows_and_nothing_else() -> None:
    trader = trader_of({40: 5}, {50: 7}, taker_ppm=1, maker_ppm=2)
    trader["status"] = Status.INACTIVE
    venue = venue_of(trader, 9)
    used = venue_of(trader, 9)
    for name in ("clock_ns", "next_own_ns", "position", "live", "message_start", "message_count", "taken_count"):
        used[name] = 5
    for slot in range(4):
        used["orders"][slot]["live"], used["orders"][slot]["pending"] = 1, 2
    start_venue(used, trader, 4, 9)
    for name in ("clock_ns", "next_own_ns", "position", "live", "message_start", "message_count", "taken_count"):
        assert used[name] == venue[name]
    assert (used["cursor"], used["stop"], used["clock_ns"], used["next_own_ns"]) == (4, 9, -NEVER, NEVER)
    assert (used["status"], used["taker_ppm"], used["maker_ppm"]) == (Status.INACTIVE, 1, 2)
    assert not any(order["live"] or order["pending"] for order in used["orders"])
    assert used["book"].tobytes() == trader["book"].tobytes()


def told(venue: Any, response_ms: int, **facts: int) -> None:
    plain = {"slot": 0, "event": OrderEvent.FILL, "reason": 0, "price": 5_000, "size": 100, "fee": 7, "maker": 1}
    f = plain | facts
    tell(
        venue, rules_of(response_ns=response_ms * MILLISECOND), f["slot"], f["event"], f["reason"], f["price"],
        f["size"], f["fee"], f["maker"],
    )  # fmt: skip


def test_answers_become_visible_in_the_order_in_which_they_happened() -> None:
    venue = venue_of(trader_of({40: 5}, {50: 7}), 1)
    venue["clock_ns"] = T0
    told(venue, 100)
    venue["clock_ns"] = T0 + MILLISECOND
    told(venue, 10)
    assert [int(m["venue_ns"]) for m in venue["messages"][:2]] == [T0, T0 + MILLISECOND]
    assert [int(m["visible_ns"]) for m in venue["messages"][:2]] == [T0 + 100 * MILLISECOND] * 2


@pytest.mark.parametrize(
    ("facts", "merged"),
    [
        ({}, True),
        ({"price": 5_100}, False),
        ({"slot": 1}, False),
        ({"maker": 0}, False),
        ({"event": OrderEvent.DONE, "maker": 0, "price": 0}, False),
    ],
)
def test_only_maker_fills_of_one_order_at_one_price_merge_and_only_in_a_crowd(
    facts: dict[str, int], merged: bool
) -> None:
    venue = venue_of(trader_of({40: 5}, {50: 7}), 1)
    venue["clock_ns"], venue["message_start"] = T0, MAX_MESSAGES - 3
    for count in range(MAX_MESSAGES // 4):
        told(venue, 0)
        assert venue["message_count"] == count + 1
    venue["clock_ns"] = T0 + 5
    told(venue, 0, **facts)
    assert venue["message_count"] == MAX_MESSAGES // 4 + (not merged)
    if merged:
        last = venue["messages"][(MAX_MESSAGES - 3 + MAX_MESSAGES // 4 - 1) % MAX_MESSAGES]
        assert (last["size"], last["fee"], last["visible_ns"]) == (200, 14, T0 + 5)
