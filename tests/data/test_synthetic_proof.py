"""The proof that `null` is an instrument: in the environment no fill of any order has a positive edge."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.edge import Truth, true_price, truth_from
from tests.examples import few

MARKETS, STEPS = 12, 200
MODELS = ["pessimistic", "fitted", "optimistic"]


@pytest.fixture(scope="module")
def session_of(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Packs and truths by grid, made once."""

    @cache
    def made(grid: str) -> tuple[ViewPack, Truth]:
        store = open_store(str(tmp_path_factory.mktemp(grid)))
        given = SynthSettings(
            regime="null",
            markets=MARKETS,
            hours=0.05,
            waves=1,
            grid=grid,  # type: ignore[arg-type]
            seed=5,
            gaps_per_hour=30.0,
            paused_share=0.5,
            pause_s=5.0,
        )
        synthesize(store, grid, given)
        table = store.open(grid).truth()
        columns = [table[name].to_numpy() for name in ("market", "exch_ns", "p")]
        return build_pack(store.open(grid)), truth_from(*columns)

    return made


def random_quotes(env: MarketVectorEnv, chance: np.random.Generator) -> NDArray[np.void]:
    """Orders of any price on the axis around the touch, resting or taking, now one side, now both."""
    quotes = np.zeros(env.num_envs, QUOTE)
    for row, trader in enumerate(env.rows):
        prices = np.asarray(trader["book"]["prices"])[: int(trader["book"]["levels"])]
        middle = int(np.searchsorted(prices, (max(trader["best_bid"], 0) + max(trader["best_ask"], 0)) // 2))
        low = int(np.clip(middle + chance.integers(-6, 5), 0, len(prices) - 2))
        high = int(np.clip(low + chance.integers(1, 8), low + 1, len(prices) - 1))
        sizes = chance.integers(0, 3, 2) * 3_000
        quotes[row] = (prices[low], prices[high], *sizes, *chance.integers(0, 2, 2))
    return quotes


def play(env: MarketVectorEnv, mode: str, seed: int) -> NDArray[np.void]:
    """Random legal actions, or random quotes; the fills."""
    chance = np.random.default_rng(seed)
    batch = env.new_batch()
    env.reset_into(batch)
    for _ in range(STEPS):
        if mode == "quotes":
            env.step_quotes_into(random_quotes(env, chance), batch)
        else:
            keys = chance.random(batch.mask.shape) * batch.mask
            env.step_into(np.argmax(keys, axis=1).astype(np.int64), batch)
    return env.take_fills()


def check(made: tuple[ViewPack, Truth], model: str, mode: str, latency_ms: float, seed: int) -> None:
    """Play and compare every fill with the truth after its timestamp."""
    pack, truth = made
    rules = EnvSettings(
        action_space="sized21" if mode == "quotes" else mode,
        fill_model=model,  # type: ignore[arg-type]
        feed_ms=latency_ms,
        entry_ms=latency_ms,
        response_ms=latency_ms,
        decision_ms=50.0,
        bankroll_cents=100_000_000,
        budget_per_s=10.0,
        budget_burst=20,
        start="whole",
    )
    env = MarketVectorEnv(pack, rules, num_envs=MARKETS, seed=seed, log_fills=True)
    fills = play(env, mode, seed)
    assert len(fills) > 10
    for view in range(MARKETS):
        mine = fills[fills["view_index"] == view]
        value = true_price(truth, int(pack.views["market"][view]), mine["venue_ns"])
        assert (mine["side"] * (value - mine["price"]) < 0).all()


@given(
    model=st.sampled_from(MODELS),
    mode=st.sampled_from(["sized21", "sized21-join", "sized21-improve", "quotes"]),
    latency_ms=st.sampled_from([0.0, 7.0, 100.0, 1_000.0]),
    seed=st.integers(0, 2**31),
)
@settings(derandomize=True, max_examples=few(10, many=60), deadline=None)
def test_no_order_at_any_price_under_any_model_and_latency_is_filled_with_a_positive_edge(  # type: ignore[no-untyped-def]
    session_of, model: str, mode: str, latency_ms: float, seed: int
) -> None:
    check(session_of("cent"), model, mode, latency_ms, seed)


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["deci", "tapered"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["sized21", "sized21-join", "sized21-improve", "quotes"])
@pytest.mark.parametrize("latency_ms", [0.0, 300.0])
def test_the_same_on_finer_grids(  # type: ignore[no-untyped-def]
    session_of, grid: str, model: str, mode: str, latency_ms: float
) -> None:
    check(session_of(grid), model, mode, latency_ms, seed=1)
