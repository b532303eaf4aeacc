"""Lying environments change what is told, by exactly their lie, and nothing that happens."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import PER_MICRO, EnvSettings
from kalshi_ray.train.lies import LIES, LyingSource
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource

ROWS, STEPS = 8, 400


@pytest.fixture(scope="module")
def source() -> MarketSource:
    state = start(SynthSettings(regime="planted", markets=10, hours=0.05, seed=3))
    updates, _ = zip(*run(state), strict=True)
    pack = build_pack_from_tables(state.table, pa.concat_tables(updates), Manifest(id="small", source="synthetic"))
    env = TrainSettings(episode=60).training_env(EnvSettings(position_limit=50.0))
    return MarketSource(pack=pack, settings=env, views=tuple(range(10)))


class Told:
    """What rows told while the same random actions were played, and what their ledger says."""

    def __init__(self, rows: Any, *, share: float = 1.0, seed: int = 0) -> None:
        self.batch, draws = rows.new_batch(), np.random.default_rng(seed)
        rows.set_cost_share(share)
        rows.reset_into(self.batch)
        self.first_mask = self.batch.mask.copy()
        self.rewards = np.zeros((STEPS, ROWS))
        self.rows, self.ends = [rows.rows.copy()], np.zeros((STEPS, ROWS), bool)
        for step in range(STEPS):
            actions = np.where(draws.random(ROWS) < 0.3, draws.integers(0, 21, ROWS), 0)
            rows.step_into(actions, self.batch)
            self.rewards[step] = self.batch.reward
            self.ends[step] = self.batch.terminated | self.batch.truncated
            self.rows.append(rows.rows.copy())
        self.episodes = rows.take_episodes()


def both(source: MarketSource, lie: Any, *, share: float = 1.0) -> tuple[Told, Told]:
    return (
        Told(source.make(ROWS, 5), share=share),
        Told(LyingSource(source, lie).make(ROWS, 5), share=share),
    )


@pytest.mark.parametrize("lie", list(LIES))
def test_what_happens_is_the_same_under_every_lie(source: MarketSource, lie: Any) -> None:
    honest, lying = both(source, lie)
    assert (honest.episodes == lying.episodes).all()
    assert len(honest.episodes) > ROWS and honest.episodes["fills"].sum() > 100
    for one, two in zip(honest.rows, lying.rows, strict=True):
        assert (one == two).all()


def test_without_a_mask_everything_looks_legal_and_the_environment_refuses_what_is_not(source: MarketSource) -> None:
    honest, lying = both(source, "no-mask")
    assert not honest.first_mask.all() and lying.first_mask.all() and lying.batch.mask.all()
    assert lying.episodes["refused"].sum() > 0
    np.testing.assert_array_equal(honest.rewards, lying.rewards)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_without_fees_the_reward_gives_back_what_was_charged_and_no_more(source: MarketSource, share: float) -> None:
    honest, lying = both(source, "no-fees", share=share)
    fees = _by_step(honest, lambda rows: rows["account"]["fees"].astype(float), "fees")
    assert fees.sum() > 0
    expected = honest.rewards + fees * share * PER_MICRO["spread"]
    np.testing.assert_allclose(lying.rewards, expected, rtol=1e-5, atol=1e-5)


def test_at_the_mid_a_reward_is_the_position_times_the_move_less_the_fee(source: MarketSource) -> None:
    honest, lying = both(source, "mid-prices")
    fees = _by_step(honest, lambda rows: rows["account"]["fees"].astype(float), "fees")
    seen = 0
    for step in range(STEPS):
        before, after = honest.rows[step], honest.rows[step + 1]
        inside = ~honest.ends[step]
        move = _mid(after) - _mid(before)
        expected = after["account"]["position"] * move - fees[step]
        np.testing.assert_allclose(
            lying.rewards[step][inside], expected[inside] * PER_MICRO["spread"], rtol=1e-5, atol=1e-5
        )
        seen += int((expected[inside] != 0).sum())
    assert seen > 100


def test_over_an_episode_the_mid_lies_by_the_spread_that_was_paid(source: MarketSource) -> None:
    """Fills at quotes and fills at the mid differ by side x (price - mid at the fill's decision) x size."""
    pack = source.pack
    assert isinstance(pack, ViewPack)
    told = LIES["mid-prices"](MarketVectorEnv(pack, source.settings, num_envs=1, seed=5, log_fills=True))
    batch = told.new_batch()
    told.reset_into(batch)
    total, mids, ended = 0.0, [_mid(told.rows)[0]], False
    actions = iter([4, 0, 9, 0] + [0] * 1_000)  # buy 50, sell 50, hold
    positions = []
    while not ended:
        told.step_into(np.array([next(actions)]), batch)
        total += float(batch.reward[0])
        ended = bool(batch.terminated[0] | batch.truncated[0])
        if not ended:
            mids.append(_mid(told.rows)[0])
            positions.append(int(told.rows["account"]["position"][0]))
    fills, episode = told.take_fills(), told.take_episodes()[0]
    assert len(fills) and episode["position_end"] == 0
    honest = float(episode["equity_end"] - episode["equity_start"])
    at = [next(k for k, held in enumerate(positions) if held != 0), 0]
    at[1] = next(k for k in range(at[0] + 1, len(positions)) if positions[k] == 0)
    signed = fills["side"].astype(float) * fills["size"]
    bought, sold = signed > 0, signed < 0
    paid = (signed * fills["price"])[bought].sum() - signed[bought].sum() * mids[at[0]]
    given = (signed * fills["price"])[sold].sum() - signed[sold].sum() * mids[at[1]]
    assert paid > 0 and given > 0
    assert total / PER_MICRO["spread"] == pytest.approx(honest + paid + given, abs=1.0)


def test_the_description_names_the_lie_and_the_recipe_travels(source: MarketSource) -> None:
    told = LyingSource(source, "no-fees")
    assert told.describe().env["lie"] == "no-fees" and "no-fees" in told.describe().reward
    again = pickle.loads(pickle.dumps(replace(told, honest=replace(source, views=(0,)))))
    assert again.lie == "no-fees" and again.make(2, 0).num_envs == 2


def _by_step(told: Told, read: Any, field: str) -> NDArray[np.float64]:
    """[T, B] what was added to a sum of the ledger in each step, ends included."""
    found = np.zeros((STEPS, ROWS))
    ended = {row: iter(told.episodes[told.episodes["row"] == row]) for row in range(ROWS)}
    for step in range(STEPS):
        now = read(told.rows[step + 1])
        for row in np.flatnonzero(told.ends[step]):
            now[row] = float(next(ended[int(row)])[field])
        found[step] = now - read(told.rows[step])
    return found


def _mid(rows: NDArray[np.void]) -> NDArray[np.float64]:
    assert rows["mark_ask"].max() <= DOLLAR
    return np.asarray((rows["mark_bid"].astype(float) + rows["mark_ask"]) / 2.0)
