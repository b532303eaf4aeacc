"""States recorded from a real environment, to hold any policy against its contract (`policy.protocol.check_policy`)."""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.policy.baselines import Random
from kalshi_ray.policy.protocol import PolicyState, market_key


def record_states(
    pack: ViewPack, settings: EnvSettings, *, steps: int = 64, rows: int = 8, seed: int = 0
) -> list[PolicyState]:
    """Consecutive states of `rows` rows that a random policy led through, with positions, orders and episode ends."""
    env = MarketVectorEnv(pack, settings, num_envs=rows, seed=seed)
    batch, guide, decision = env.new_batch(), Random(0.3), np.zeros(rows, np.int64)
    keys = np.array([market_key(ticker) for ticker in pack.tickers], np.uint64)
    guide.reset(keys, seed)
    env.reset_into(batch)
    states = []
    for _ in range(steps):
        state = PolicyState(
            batch.observation.copy(),
            batch.mask.copy(),
            env.rows.copy(),
            decision.copy(),
            keys[env.rows["view_index"]],
            settings.action_space,
            settings.observation,
        )
        states.append(state)
        env.step_into(guide.act(state), batch)
        decision = np.where(batch.terminated | batch.truncated, 0, decision + 1)
    return states
