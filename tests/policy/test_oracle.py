"""The oracle: its values, what it reads, what it sends, and what it earns in the environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kalshi_ray.core.actions import Intent, action_space, decode
from kalshi_ray.core.fees import TAKER_PPM, model_fee
from kalshi_ray.core.trader import trader_dtype
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import UsageError
from kalshi_ray.evaluate.edge import true_price, truth_from
from kalshi_ray.policy.oracle import (
    Oracle,
    OracleRule,
    expected_edge,
    rule_of,
    taker_fee,
    value_table,
)
from kalshi_ray.policy.protocol import PolicyState, check_policy
from kalshi_ray.policy.taking import largest_step

LIMIT = 50 * CONTRACT
ACTIONS = action_space("sized21")


def rows_with(
    *, position: int = 0, bid: int = 4_900, ask: int = 5_100, bid_size: int = 600, ask_size: int = 600
) -> NDArray[np.void]:
    """One row at a touch; sizes in contracts, position in lots."""
    rows = np.zeros(1, trader_dtype(99))
    rows["best_bid"], rows["best_ask"] = bid, ask
    rows["bid_size"], rows["ask_size"] = bid_size * CONTRACT, ask_size * CONTRACT
    rows["account"]["position"] = position
    return rows


def state_of(rows: NDArray[np.void], mask: NDArray[np.bool_] | None = None) -> PolicyState:
    count = len(rows)
    legal = np.ones((count, ACTIONS.size), np.bool_) if mask is None else mask
    zeros = np.zeros(count, np.int64)
    return PolicyState(
        np.zeros((count, 54), np.float32), legal, rows, zeros, zeros.astype(np.uint64), "sized21", "obs54"
    )


def test_the_expected_edge_at_fifty_cents_is_the_one_of_the_market_rules() -> None:
    assert expected_edge(OracleRule(), 5_000) == pytest.approx(365, abs=5)


@pytest.mark.parametrize("price", [1_500, 5_000, 8_400])
def test_the_fee_is_the_exchanges(price: int) -> None:
    assert taker_fee(price) * LIMIT == model_fee(LIMIT, price, TAKER_PPM)


def test_no_price_brings_more_than_one_flip_per_signal() -> None:
    """Flipping between the limits at every other signal earns e per signal and contract: nothing beats it."""
    rule = OracleRule()
    values = Oracle(rule).values
    best = max(expected_edge(rule, cents * CENT) for cents in range(15, 86))
    assert values.min() >= -1e-6
    assert values.max() <= best * rule.signals_ahead


def test_values_are_symmetric_in_price_and_position() -> None:
    values = Oracle().values
    assert values == pytest.approx(values[::-1, ::-1])


def test_a_signal_worth_less_than_its_cost_is_left_alone() -> None:
    rule = OracleRule(jump=200)
    oracle = Oracle(rule)
    assert expected_edge(rule, 5_000) < 0
    assert value_table(rule, np.array([taker_fee(c * CENT) for c in range(101)])) == pytest.approx(0.0)
    assert oracle.targets(rows_with(bid_size=2_400)).tolist() == [0]


@pytest.mark.parametrize(("bid_size", "ask_size", "signal"), [(2_000, 700, 1), (700, 2_000, -1), (500, 700, 0)])
def test_the_signal_is_read_from_the_touch(bid_size: int, ask_size: int, signal: int) -> None:
    oracle = Oracle()
    rows = rows_with(bid_size=bid_size, ask_size=ask_size)
    assert oracle.signals(rows).tolist() == [signal]
    assert oracle.targets(rows).tolist() == [signal * LIMIT]


@pytest.mark.parametrize("signal", [1, -1])
def test_from_the_other_limit_it_sells_all_and_then_buys_all(signal: int) -> None:
    sizes = {"bid_size": 2_400} if signal > 0 else {"ask_size": 2_400}
    oracle = Oracle()
    first, second = Intent.SELL_NO, Intent.BUY_YES
    if signal < 0:
        first, second = Intent.SELL_YES, Intent.BUY_NO
    mask = np.array([[decode(ACTIONS, action)[0] in (Intent.HOLD, first) for action in range(ACTIONS.size)]])
    sent = oracle.act(state_of(rows_with(position=-signal * LIMIT, **sizes), mask))
    assert decode(ACTIONS, int(sent[0]))[::2] == (first, LIMIT)
    mask = np.array([[decode(ACTIONS, action)[0] in (Intent.HOLD, second) for action in range(ACTIONS.size)]])
    sent = oracle.act(state_of(rows_with(**sizes), mask))
    assert decode(ACTIONS, int(sent[0]))[::2] == (second, LIMIT)


def test_it_holds_at_the_limit_without_a_signal_with_a_side_missing_and_when_nothing_is_legal() -> None:
    oracle = Oracle()
    assert oracle.act(state_of(rows_with(position=LIMIT, bid_size=2_400))).tolist() == [0]
    assert oracle.act(state_of(rows_with(position=LIMIT))).tolist() == [0]
    assert oracle.act(state_of(rows_with(bid=-1, bid_size=0))).tolist() == [0]
    mask = np.zeros((1, ACTIONS.size), np.bool_)
    mask[0, 0] = True
    assert oracle.act(state_of(rows_with(bid_size=2_400), mask)).tolist() == [0]


@pytest.mark.parametrize(("wanted", "size"), [(3_500, 2_000), (499, 0), (50_000, 10_000)])
def test_the_largest_order_that_does_not_pass_the_target_is_chosen(wanted: int, size: int) -> None:
    sent = largest_step(state_of(rows_with()), np.array([wanted]))
    assert decode(ACTIONS, int(sent[0]))[2] == size


def test_a_sell_counts_as_what_is_held() -> None:
    state = state_of(rows_with(position=1_300))
    sent = largest_step(state, np.array([-1_300]))
    intent, _, size = decode(ACTIONS, int(sent[0]))
    assert (intent, size) == (Intent.SELL_YES, 2_000)


def test_a_session_that_was_not_planted_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="null"):
        rule_of({"generator": "synthetic", "settings": {"regime": "null"}})
    with pytest.raises(UsageError, match="recorded"):
        rule_of({})


def test_at_zero_latency_it_earns_the_expected_edge_within_a_twentieth(tmp_path: Path) -> None:
    """Mean fill edge per market against L x e, summed over the signals that the market really had."""
    markets = 48
    store = open_store(str(tmp_path))
    made = SynthSettings(regime="planted", markets=markets, waves=1, feed_ms=0.0, jitter_ms=0.0, seed=9)
    manifest = synthesize(store, "s", made)
    session = store.open("s")
    pack = build_pack(session)
    rules = EnvSettings(start="whole", max_decisions=0, position_limit=50.0, feed_ms=0.0, entry_ms=0.0, response_ms=0.0)
    env = MarketVectorEnv(pack, rules, num_envs=markets, log_fills=True)
    oracle = Oracle.of(manifest.origin)
    batch = env.new_batch()
    env.reset_into(batch)
    states: list[PolicyState] = []
    over = np.zeros(markets, np.bool_)
    step = np.zeros(markets, np.int64)
    while not over.all():
        market = np.arange(markets, dtype=np.uint64)
        state = PolicyState(batch.observation, batch.mask, env.rows, step, market, "sized21", "obs54")
        if len(states) < 20:
            copies = (array.copy() for array in (batch.observation, batch.mask, np.asarray(env.rows), step, market))
            states.append(PolicyState(*copies, "sized21", "obs54"))
        actions = np.where(over, 0, oracle.act(state))
        env.step_into(actions, batch)
        over |= batch.terminated | batch.truncated
        step += 1
    check_policy(oracle, states)

    fills = env.take_fills()
    fills = fills[fills["episode"] == fills["episode"].min()]
    table = session.truth()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    truth = truth_from(columns["market"], columns["exch_ns"], columns["p"])
    earned = 0.0
    for view in range(markets):
        mine = fills[fills["view_index"] == view]
        value = true_price(truth, int(pack.views["market"][view]), mine["venue_ns"])
        earned += float((mine["side"] * (value - mine["price"]) * mine["size"] - mine["fee"]).sum())

    order = np.lexsort((columns["exch_ns"], columns["market"]))
    market, p, signal = (columns[name][order] for name in ("market", "p", "signal"))
    onset = np.flatnonzero((signal[1:] != 0) & (signal[:-1] == 0) & (market[1:] == market[:-1]))
    expected = sum(expected_edge(oracle.rule, float(p[at]) * DOLLAR) for at in onset) * LIMIT
    assert len(onset) > 10 * markets
    assert earned == pytest.approx(expected, rel=0.05)
