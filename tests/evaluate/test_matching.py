"""The matched random trader trades like the judged policy and knows nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.contest import Contestant, every_market
from kalshi_ray.evaluate.ledger import Ledger, parts_of, trades_of
from kalshi_ray.evaluate.matching import MatchedRandom, profile_of, survival, turnover
from kalshi_ray.evaluate.rehearsal import record_states
from kalshi_ray.evaluate.report import PolicyReport
from kalshi_ray.evaluate.run import evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import Hold, JoinBest, Random, TakeImbalance
from kalshi_ray.policy.protocol import Policy, check_policy
from kalshi_ray.policy.trends import LongshotFade, Momentum
from tests.evaluate import standin
from tests.evaluate.sessions import small_session

ENV = EnvSettings(position_limit=50)
TAKING, JOINING, HOLDING = TakeImbalance(0.5, 20), JoinBest(), Hold()
SETTINGS = EvaluationSettings(resamples=50, curve_points=50, controls=False)
NEAR = 1 / 3  # how far turnover and holding time may lie from the judged ones: both are means of a few hundred trades


@cache
def beside(policy: Policy, regime: str = "planted") -> tuple[list[Ledger], tuple[PolicyReport, ...]]:
    """The judged policy and its random double: ledgers and reports."""
    pack, truth = small_session(regime, markets=30, hours=0.2)
    entered = [Contestant(policy), Contestant(Random(), "baseline")]
    found = evaluate(entered, pack, every_market(pack), env_settings=ENV, settings=SETTINGS, truth=truth)
    ledgers = [next(one for one in found.ledgers if one.policy == name) for name in (policy.name, "random")]
    return ledgers, found.report.policies


@pytest.mark.parametrize("policy", [TAKING, Momentum(window_s=20.0)], ids=lambda policy: policy.name)
def test_turnover_holding_time_and_entry_prices_are_those_of_the_judged_policy(policy: Policy) -> None:
    ledgers, (judged, random) = beside(policy)
    assert turnover(ledgers[1]) == pytest.approx(turnover(ledgers[0]), rel=NEAR)
    assert random.figures.rates.median_holding_s == pytest.approx(judged.figures.rates.median_holding_s, rel=NEAR)
    own, drawn = (trades_of(one, parts_of(one)) for one in ledgers)
    quartiles = [np.percentile(one["entry_value"] / one["lots"], (25, 50, 75)) for one in (own, drawn)]
    assert np.abs(quartiles[0] - quartiles[1]).max() < 1_000  # ten cents
    assert drawn["lots"].mean() == pytest.approx(own["lots"].mean(), rel=NEAR)


def test_it_has_less_edge_than_the_skill_it_imitates_and_none_of_its_own() -> None:
    skilled, random = (one.figures.edge for one in beside(TAKING)[1])
    assert skilled is not None and random is not None
    assert skilled.per_market.mean > 0 > random.per_market.mean
    null = beside(TAKING, "null")[1][1].figures.edge
    assert null is not None and null.per_market.mean < 0


def test_it_takes_where_the_judged_policy_rests_and_says_so() -> None:
    (joining, random), (_, report) = beside(JOINING)
    assert joining.fills["maker"].all() and not random.fills["maker"].any()
    assert (
        report.decides.startswith("actions, matched to join-best in turnover")
        and "takes where that rests" in report.decides
    )
    assert turnover(random) == pytest.approx(turnover(joining), rel=NEAR)


def test_a_policy_that_holds_to_the_end_is_matched_by_one_that_does() -> None:
    ledger = beside(LongshotFade())[0][0]
    profile = profile_of(ledger)
    assert profile is not None and profile.to_the_end == 1.0


def test_who_never_trades_is_matched_by_nobody_who_does() -> None:
    (_, random), _ = beside(HOLDING)
    assert profile_of(beside(HOLDING)[0][0]) is None
    assert len(random.fills) == 0


def test_a_rate_of_its_own_is_left_alone() -> None:
    pack, truth = small_session()
    entered = [
        Contestant(TakeImbalance()),
        Contestant(Random(0.5), "baseline"),
        Contestant(Random(name="r"), "baseline"),
    ]
    found = evaluate(entered, pack, every_market(pack), env_settings=ENV, settings=SETTINGS, truth=truth)
    assert [one.decides.startswith("actions, matched") for one in found.report.policies] == [False, False, True]
    free = msgspec.structs.replace(SETTINGS, match_random=False)
    found = evaluate(entered, pack, every_market(pack), env_settings=ENV, settings=free, truth=truth)
    assert {one.decides for one in found.report.policies} == {"actions"}


@pytest.mark.parametrize("space", ["sized21", "sized21-join", "intent5", "priced7"])
def test_it_keeps_the_policy_contract(space: str) -> None:
    profile = profile_of(beside(TAKING)[0][0])
    assert profile is not None
    policy = MatchedRandom(replace(profile, chance=0.3), of="x", rests=False)
    pack, _ = small_session()
    check_policy(policy, record_states(pack, msgspec.structs.replace(ENV, action_space=space), steps=40))


def test_entries_lie_in_the_band_of_their_side() -> None:
    ledger = beside(TAKING)[0][0]
    profile = profile_of(ledger)
    assert profile is not None
    for side, (low, high) in zip((1, -1), profile.bands, strict=True):
        price = (lambda one: one["entry_value"] / one["lots"])(trades_of(ledger, parts_of(ledger)))
        inside = price[trades_of(ledger, parts_of(ledger))["side"] == side]
        assert np.mean((inside >= low) & (inside <= high)) >= 0.97


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=50), st.integers(0, 2**32))
def test_survival_is_the_plain_distribution_when_all_is_closed(held: list[int], seed: int) -> None:
    del seed
    times = np.array(held)
    quantiles, to_the_end = survival(times, np.ones(len(held), np.bool_))
    assert to_the_end == pytest.approx(0.0, abs=1e-9)
    assert quantiles[-1] == times.max() and set(quantiles.tolist()) <= set(held)
    assert quantiles[50] in np.percentile(times, [50], method="inverted_cdf")


def test_what_the_end_cuts_off_counts_as_held_until_then_and_no_longer() -> None:
    """Two of four close at 10; of the two that went on, one is cut at 15 and the other closes at 20."""
    quantiles, to_the_end = survival(np.array([10, 10, 15, 20]), np.array([True, True, False, True]))
    assert to_the_end == 0.0 and quantiles[49] == 10 and quantiles[51] == 20
    quantiles, to_the_end = survival(np.array([10, 20]), np.array([True, False]))
    assert to_the_end == 0.5 and set(quantiles.tolist()) == {10}


def test_the_chance_of_an_entry_is_by_decision_without_a_position() -> None:
    """Two entries in ten decisions of a market that held for half the time: two in five."""
    fills = [standin.fill(0, second, side, 5_000, 100) for second, side in ((0, 1), (30, -1), (50, 1), (70, -1))]
    profile = profile_of(standin.ledger(1, fills, seconds=100.0))
    assert profile is not None
    assert profile.chance == pytest.approx(2 / 5)
    assert profile.turnover == pytest.approx(200 / 10)
