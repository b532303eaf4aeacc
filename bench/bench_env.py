"""The environment: steps a second, markets at equal updates, where an episode starts."""

from __future__ import annotations

import time

import numpy as np

from bench.figures import Figure, Measured, in_turns
from bench.worlds import pack_of
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings

ROWS = 64
TRADING = 0.1  # share of decisions that are a random legal action; the others hold


def steps_per_second(pack: ViewPack, *, rows: int = ROWS, steps: int = 4_000) -> float:
    """Time inside the environment alone; actions are drawn outside the clock."""
    env = MarketVectorEnv(pack, EnvSettings(), num_envs=rows, seed=1)
    batch, chance = env.new_batch(), np.random.default_rng(1)
    env.reset_into(batch)
    spent = 0.0
    for step in range(-50, steps):
        legal = np.argmax(chance.random(batch.mask.shape) * batch.mask, axis=1)
        actions = np.where(chance.random(rows) < TRADING, legal, 0)
        began = time.perf_counter()
        env.step_into(actions, batch)
        if step >= 0:
            spent += time.perf_counter() - began
    return rows * steps / spent


def vector_steps() -> Measured:
    """64 rows of obs54 with mask, latency, matching and fees on one core."""
    pack = pack_of(markets=96, updates=2_000_000)
    [ours] = in_turns([lambda: steps_per_second(pack)])
    return Measured(ours)


def market_scaling() -> Measured:
    """Time per step with 1, 10, 100 and 1000 markets of equal updates in all: the worst over the best."""
    packs = [pack_of(markets=markets, updates=1_000_000) for markets in (1, 10, 100, 1000)]
    speeds = in_turns([lambda pack=pack: steps_per_second(pack, steps=1_000) for pack in packs], repeats=3)  # type: ignore[misc]
    return Measured(max(speeds) / min(speeds), note=", ".join(f"{speed / 1e3:.0f}k" for speed in speeds))


def episode_start() -> Measured:
    """Milliseconds to start one episode at a random place."""
    env = MarketVectorEnv(pack_of(markets=96, updates=2_000_000), EnvSettings(start="random"), num_envs=ROWS, seed=1)
    batch = env.new_batch()
    env.reset_into(batch)

    def once() -> float:
        began = time.perf_counter()
        for _ in range(10):
            env.reset_into(batch)
        return (time.perf_counter() - began) / (10 * ROWS) * 1e3

    [ours] = in_turns([once])
    return Measured(ours)


FIGURES = [
    Figure(name="vector env, 64 rows, one core", unit="steps/s", measure=vector_steps, floor=800_000),
    Figure(name="1 to 1000 markets, time per step", unit="×", measure=market_scaling, ceiling=1.6),
    Figure(name="start of an episode anywhere", unit="ms", measure=episode_start, ceiling=1.0),
]
