"""States as an environment would show them, made by hand: any mask, touch, position and working orders."""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.actions import action_space
from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.trader import trader_dtype
from kalshi_ray.policy.protocol import PolicyState


def make_state(
    seed: int, *, rows: int = 8, step: int = 0, space: str = "sized21", hold_masked: bool = False
) -> PolicyState:
    """One step of `rows` random rows; HOLD is legal unless it is masked by option, and something always is."""
    source = np.random.default_rng([seed, step])
    actions = action_space(space).size
    mask = source.random((rows, actions)) < 0.4
    mask[:, 0] = not hold_masked
    mask[:, 1] |= hold_masked
    traders = np.zeros(rows, trader_dtype(99))
    bid = source.integers(1, 98, rows) * 100
    traders["best_bid"], traders["best_ask"] = bid, bid + 100
    traders["best_bid"][source.random(rows) < 0.2] = -1
    traders["bid_size"], traders["ask_size"] = source.integers(0, 9_999, (2, rows))
    traders["account"]["position"] = source.integers(-6_000, 6_001, rows)
    traders["orders"]["state"] = source.choice([OrderState.FREE, OrderState.WORKING], (rows, 4))
    traders["orders"]["price"] = bid[:, None]
    traders["orders"]["size"], traders["orders"]["filled"] = 1_000, 300
    return PolicyState(
        observation=source.normal(size=(rows, 54)).astype(np.float32),
        mask=mask,
        rows=traders,
        decision=np.full(rows, step, np.int64),
        market=np.random.default_rng(seed).integers(0, 2**63, rows).astype(np.uint64),
        action_space=space,
        observation_spec="obs54",
    )


def make_states(seed: int, *, steps: int = 5, **more: object) -> list[PolicyState]:
    """Consecutive steps of the same rows."""
    return [make_state(seed, step=step, **more) for step in range(steps)]  # type: ignore[arg-type]
