"""Every feature equals its formula, is finite and lies in its range, and own orders move only what is about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.features import FACTS, FEATURES, OBSERVATIONS, ORDER, PORTFOLIO, PORTFOLIO_MORE, ObservationSpec
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.observe import arrange, measure
from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.trader import wake
from kalshi_ray.core.units import DOLLAR, SECOND
from tests.core.records import BID, T0, copied, rules_of, trader_of
from tests.core.states import random_trader
from tests.examples import some_of
from tests.reference.features import features

SEEDS = st.integers(0, 10**6)
RULES = {"budget_burst": 5, "position_limit": 20_000}
# What our own orders may move: their block, the portfolio, and what is said of them in the extended block.
OF_OUR_ORDERS = {f.name for f in (*ORDER, *PORTFOLIO, *PORTFOLIO_MORE)} | {"bid_queue", "ask_queue", "fill_rate"}


def measured(trader: Any, rules: Any | None = None) -> dict[str, float]:
    facts = as_rows(np.full(1, np.nan, FACTS))
    measure(trader, rules_of(**RULES) if rules is None else rules, facts[0])
    return {name: float(facts[name][0]) for name in FACTS.names or ()}


def observed(spec: ObservationSpec, facts: dict[str, float]) -> tuple[np.ndarray, int]:
    out = np.full((3, spec.size), np.nan, np.float32)
    values = np.array([facts[feature.name] for feature in FEATURES], np.float32)
    clipped = arrange(values, spec.index, spec.low, spec.high, 1, out)
    assert np.isnan(out[[0, 2]]).all(), "only the row asked for is written"
    return out[1], int(clipped)


@settings(max_examples=some_of(250))
@given(SEEDS)
def test_every_feature_equals_its_formula(seed: int) -> None:
    trader = random_trader(seed)
    found, expected = measured(trader), features(trader, rules_of(**RULES))
    assert set(found) == set(expected) == {feature.name for feature in FEATURES}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


@settings(max_examples=20)
@given(SEEDS)
def test_features_on_a_grid_of_tenths_of_a_cent_equal_their_formulas(seed: int) -> None:
    trader = random_trader(seed, levels=999)
    assert measured(trader) == pytest.approx(features(trader, rules_of(**RULES)), rel=1e-6, abs=1e-6)


@settings(max_examples=some_of(60))
@given(SEEDS, st.sampled_from(sorted(OBSERVATIONS)))
def test_an_observation_is_finite_and_in_range_and_its_clips_are_counted(seed: int, name: str) -> None:
    spec = OBSERVATIONS[name]
    facts = measured(random_trader(seed))
    row, clipped = observed(spec, facts)
    assert np.isfinite(row).all()
    expected = np.array([facts[feature] for feature in spec.names], np.float32)
    outside = (expected < spec.low) | (expected > spec.high)
    assert clipped == outside.sum()
    assert (row >= spec.low).all() and (row <= spec.high).all()
    assert np.array_equal(row[~outside], expected[~outside])


def test_a_value_is_cut_at_its_bounds() -> None:
    spec = OBSERVATIONS["obs-x"]
    facts = dict.fromkeys((feature.name for feature in FEATURES), 0.5)
    row, clipped = observed(spec, facts | {"signal_0": -99.0, "microprice": 7.0})
    assert clipped == 2
    assert row[spec.names.index("signal_0")] == -10.0
    assert row[spec.names.index("microprice")] == 1.0


@settings(max_examples=some_of(60))
@given(SEEDS, st.integers(1, 50))
def test_a_far_off_own_order_changes_nothing_but_what_is_said_of_our_orders(seed: int, contracts: int) -> None:
    trader = random_trader(seed)
    other = copied(trader)
    order = other["orders"][BID]
    order["state"], order["size"], order["filled"], order["side"] = OrderState.WORKING, contracts * 100, 0, BID
    order["tick"], order["price"] = 0, 100
    trader["orders"][BID]["state"] = OrderState.FREE
    before, after = measured(trader), measured(other)
    assert {name for name in before if before[name] != after[name]} <= OF_OUR_ORDERS


def test_measuring_changes_nothing_of_the_row() -> None:
    trader = random_trader(3)
    before = trader.tobytes()
    measured(trader)
    assert trader.tobytes() == before


def test_a_one_sided_book_has_flags_and_defined_prices() -> None:
    trader = trader_of({}, {})
    wake(trader, T0)
    found = measured(trader)
    assert (found["bid_missing"], found["ask_missing"]) == (1.0, 1.0)
    assert (found["yes_bid"], found["yes_ask"], found["spread"], found["yes_mid"]) == (0.0, 1.0, 1.0, 0.5)
    assert (found["bid_concentration"], found["touch_imbalance"], found["microprice"]) == (0.5, 0.0, 0.0)


def test_without_a_decision_to_look_back_on_everything_is_still_finite() -> None:
    """The last observation of a tape that ends in a gap, or of a row that stands idle."""
    trader = trader_of()
    assert trader["history_count"] == 0
    assert np.isfinite(list(measured(trader).values())).all()


@pytest.mark.parametrize(
    ("updates", "burst", "quiet"),
    [
        ([6, 0, 0, 0], 1.0, 0.0),  # 1.73 sigma above the mean
        ([6, 0, 0], 0.0, 0.0),  # 1.41 sigma
        ([0, 6, 6], 0.0, 1.0),  # 1.41 sigma below
        ([0, 6], 0.0, 0.0),  # too few to tell
        ([6, 6, 6], 0.0, 0.0),
    ],
)
def test_bursts_and_quiet_are_told_by_sigmas_of_the_last_decisions(
    updates: list[int], burst: float, quiet: float
) -> None:
    trader = trader_of({40: 1}, {50: 1})
    wake(trader, T0 + SECOND)
    trader["history_count"] = len(updates)
    trader["history_updates"][: len(updates)] = updates
    found = measured(trader)
    assert (found["burst"], found["quiet"]) == (burst, quiet)


def test_extreme_marks_have_defined_shares() -> None:
    trader = trader_of({98: 1}, {})
    wake(trader, T0)
    trader["mark_bid"] = DOLLAR
    assert measured(trader)["no_spread_share"] == 2.0
    trader["mark_bid"] = trader["mark_ask"] = 0
    assert measured(trader)["yes_spread_share"] == 2.0


def test_a_bankrupt_row_has_no_position_ratio() -> None:
    trader = trader_of({40: 1}, {50: 1}, bankroll=0)
    wake(trader, T0)
    assert measured(trader)["position_ratio"] == 0.0


def test_a_decision_at_the_same_moment_has_no_frequency() -> None:
    trader = trader_of({40: 1}, {50: 1})
    wake(trader, T0 + SECOND)
    assert measured(trader)["update_frequency"] == 0.0
