"""Baselines pass the policy contract and do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.actions import ACTION_SPACES, Intent, action_space
from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.errors import UsageError
from kalshi_ray.policy.baselines import Hold, JoinBest, Random, TakeImbalance
from kalshi_ray.policy.protocol import BASELINES, check_policy, load_policy
from kalshi_ray.policy.quoting import InventoryAware
from kalshi_ray.policy.trends import LongshotFade, MeanReversion, Momentum
from tests.policy.states import make_state, make_states

POLICIES = [
    Hold(),
    Random(),
    Random(0.1),
    Random(0.0),
    Random(1.0),
    TakeImbalance(),
    TakeImbalance(0.0, 100),
    JoinBest(),
    InventoryAware(),
    InventoryAware(size=50, risk=0.5, arrival=0.2),
    Momentum(window_s=0.5, threshold=0.5),
    Momentum(window_s=0.5, threshold=0.5, hold_s=1.0, size=100),
    MeanReversion(window_s=0.5, threshold=0.5),
    LongshotFade(),
    LongshotFade(49.0, 100),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("space", ACTION_SPACES)
@pytest.mark.parametrize("hold_masked", [False, True])
def test_every_baseline_passes_the_contract(policy, space: str, hold_masked: bool) -> None:
    check_policy(policy, make_states(3, space=space, hold_masked=hold_masked))


def test_hold_holds() -> None:
    assert not Hold().act(make_state(1)).any()


def test_random_draws_every_legal_id_equally_often() -> None:
    state = make_state(5, rows=20_000)
    state.mask[:] = state.mask[0]
    state.market[:] = np.arange(20_000)
    policy = Random()
    policy.reset(state.market, 1)
    counts = np.bincount(policy.act(state), minlength=21)
    expected = 20_000 / state.mask[0].sum()
    assert (counts[~state.mask[0]] == 0).all()
    assert (np.abs(counts[state.mask[0]] - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 1.0])
def test_random_trades_as_often_as_it_is_told(probability: float) -> None:
    state = make_state(5, rows=20_000)
    state.mask[:, 1] = True
    state.market[:] = np.arange(20_000)
    policy = Random(probability)
    policy.reset(state.market, 1)
    assert abs((policy.act(state) != 0).mean() - probability) < 0.015


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_imbalance_taker_buys_heavy_bids_and_sells_heavy_asks(seed: int) -> None:
    state = make_state(seed)
    table = action_space("sized21").table
    chosen = table[TakeImbalance(0.2, 20).act(state)]
    heavy = (state.rows["bid_size"] - state.rows["ask_size"]) / (state.rows["bid_size"] + state.rows["ask_size"])
    buys, sells = (np.isin(chosen["intent"], intents) for intents in ([1, 4], [2, 3]))
    assert (heavy[buys] > 0.2).all() and (heavy[sells] < -0.2).all()
    assert (chosen["size"] <= 20 * CONTRACT).all()
    assert (buys | sells | (chosen["intent"] == Intent.HOLD)).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_join_best_quotes_at_the_touch_within_its_inventory(seed: int) -> None:
    state = make_state(seed)
    quotes = JoinBest(size=10, inventory=50).quote(state)
    for word, sign in (("bid", 1), ("ask", -1)):
        stands = quotes[f"{word}_size"] > 0
        assert (quotes[f"{word}_price"][stands] == state.rows[f"best_{word}"][stands]).all()
        assert (sign * state.rows["account"]["position"] + quotes[f"{word}_size"])[stands].max(initial=0) <= 5_000


def test_join_best_leaves_a_partly_filled_order_in_its_place() -> None:
    state = make_state(1)
    state.rows["best_bid"], state.rows["account"]["position"] = 5_000, 0
    state.rows["orders"]["state"][:, 0] = OrderState.WORKING
    state.rows["orders"]["price"][:, 0] = 5_000
    assert (JoinBest().quote(state)["bid_size"] == 700).all()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_made_by_its_name_and_named_by_option(name: str) -> None:
    assert load_policy(name).name == name
    assert load_policy(f"{name}?name=mine").name == "mine" if name != "hold" else True


@pytest.mark.parametrize(
    "make",
    [
        lambda: TakeImbalance(threshold=1.0),
        lambda: JoinBest(size=0),
        lambda: Random(-0.1),
        lambda: InventoryAware(inventory=0),
        lambda: InventoryAware(risk=0.0),
        lambda: InventoryAware(horizon_s=-1.0),
        lambda: Momentum(window_s=0.0),
        lambda: MeanReversion(hold_s=-1.0),
        lambda: LongshotFade(longshot=50.0),
        lambda: LongshotFade(size=0),
    ],
)
def test_senseless_options_are_refused(make) -> None:
    with pytest.raises(UsageError, match="expected"):
        make()
