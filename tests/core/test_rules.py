"""The constants of a row: what settings say, in the kernels' units."""

from __future__ import annotations

from kalshi_ray.core.rules import PPM, RULES, FillModel
from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.env.settings import EnvSettings


def test_the_defaults_in_force_are_those_of_the_market_rules() -> None:
    rules = EnvSettings().rules()[0]
    expected = {
        "bankroll": 100_000_000,
        "position_limit": 50_000,
        "fee_precision": 100,
        "decision_ns": 250 * MILLISECOND,
        "burst_ns": 5 * MILLISECOND,
        "lifetime_ns": 30 * SECOND,
        "budget_interval_ns": SECOND,
        "budget_burst": 4,
        "feed_ns": 50 * MILLISECOND,
        "entry_ns": 100 * MILLISECOND,
        "response_ns": 100 * MILLISECOND,
        "latency_spread_ppm": 0,
        "fill_model": FillModel.PESSIMISTIC,
        "cost_share_ppm": PPM,
        "max_decisions": 0,
        "mask_opposite_buy": 1,
        "mask_repeated_hold": 0,
    }
    assert {name: int(rules[name]) for name in RULES.names or ()} == expected


def test_fill_models_are_ordered_from_the_worst() -> None:
    assert FillModel.PESSIMISTIC < FillModel.FITTED < FillModel.OPTIMISTIC
