"""On a session without any edge no fill has one: the environment gives nothing away, whatever is played."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.env.play import NO_BUDGET
from tests.examples import some_of

Truth = dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]
SPACES = ["sized21", "sized21-join", "sized21-improve", "generic[1,5,100;take,inside,join,improve]"]
MODELS = ["pessimistic", "fitted", "optimistic"]


@cache
def session(seed: int, hours: float) -> tuple[ViewPack, Truth]:
    """Eight markets of the null regime; by market, the true price in pips after each exchange time."""
    state = start(SynthSettings(regime="null", markets=8, waves=1, hours=hours, seed=seed, gaps_per_hour=20))
    batches, truths = [], []
    for updates, truth in run(state):
        batches += updates.to_batches()
        truths.append({name: truth[name].to_numpy() for name in ("market", "exch_ns", "p")})
    joined = {name: np.concatenate([part[name] for part in truths]) for name in truths[0]}
    by_market = {}
    for market in range(8):
        own = joined["market"] == market
        by_market[market] = (joined["exch_ns"][own], joined["p"][own] * DOLLAR)
    return build_pack_from_tables(state.table, batches, Manifest(id="null", source="synthetic")), by_market


def edges(pack: ViewPack, truth: Truth, rules: EnvSettings, seed: int, steps: int) -> NDArray[np.float64]:
    """Micros that each fill of a random legal course is worth: side x (p - price) x size - fee."""
    env = MarketVectorEnv(pack, rules, num_envs=8, seed=seed, log_fills=True)
    batch, chance = env.new_batch(), np.random.default_rng(seed)
    env.reset_into(batch)
    for _ in range(steps):
        env.step_into(np.argmax(chance.random(batch.mask.shape) * batch.mask, axis=1), batch)
    found = []
    for fill in env.take_fills():
        times, prices = truth[int(pack.views["market"][fill["view_index"]])]
        # The price after all rows of that time: the last one at or before it.
        worth = prices[np.searchsorted(times, fill["venue_ns"], side="right") - 1]
        found.append(fill["side"] * (worth - fill["price"]) * fill["size"] - fill["fee"])
    return np.array(found)


def rules_of(space: str, model: str, latency_ms: float) -> EnvSettings:
    return EnvSettings(
        action_space=space, fill_model=model, feed_ms=latency_ms, entry_ms=latency_ms, response_ms=latency_ms,
        start="whole", bankroll_cents=10_000_000, position_limit=100_000, mask_opposite_buy=False, **NO_BUDGET,
    )  # fmt: skip


@pytest.mark.parametrize(("space", "model"), [("sized21", MODELS[0]), (SPACES[1], MODELS[1]), (SPACES[3], MODELS[2])])
def test_no_fill_of_a_random_course_has_a_positive_edge(space: str, model: str) -> None:
    pack, truth = session(3, 0.02)
    found = edges(pack, truth, rules_of(space, model, 50.0), 1, 200)
    assert len(found) > 10
    assert found.max() < 0


@pytest.mark.slow
@given(
    space=st.sampled_from(SPACES),
    model=st.sampled_from(MODELS),
    latency_ms=st.sampled_from([0.0, 3.0, 50.0, 200.0, 1_000.0]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=some_of(60))
def test_no_fill_has_a_positive_edge_under_any_model_and_latency(
    space: str, model: str, latency_ms: float, seed: int
) -> None:
    pack, truth = session(seed % 7, 0.3)
    found = edges(pack, truth, rules_of(space, model, latency_ms), seed, 2_000)
    assert len(found) > 50
    assert found.max() < 0
