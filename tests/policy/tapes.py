"""One market's states over time, from a list of touches: what a rule about the price is told."""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.actions import action_space
from kalshi_ray.core.trader import trader_dtype
from kalshi_ray.core.units import CENT, CENT_GRID, CONTRACT, SECOND
from kalshi_ray.policy.protocol import PolicyState

MARKET = 77


def state_at(
    second: float,
    bid: int,
    ask: int,
    *,
    position: int = 0,
    decision: int = 1,
    market: int = MARKET,
    close_s: float = 0.0,
    fills: int = 0,
    space: str = "sized21",
) -> PolicyState:
    """A row at a touch in cents (0: that side is missing) with a position in contracts; every action is legal."""
    rows = np.zeros(1, trader_dtype(99))
    rows["book"]["prices"], rows["book"]["levels"], rows["book"]["valid"] = CENT_GRID.prices, 99, 1
    rows["best_bid"], rows["best_ask"] = bid * CENT or -1, ask * CENT or -1
    rows["now_ns"], rows["close_ns"] = (
        round((1_000 + second) * SECOND),
        round((1_000 + close_s) * SECOND) * bool(close_s),
    )
    rows["account"]["position"], rows["fills"] = position * CONTRACT, fills
    return PolicyState(
        observation=np.zeros((1, 54), np.float32),
        mask=np.ones((1, action_space(space).size), np.bool_),
        rows=rows,
        decision=np.array([decision]),
        market=np.array([market], np.uint64),
        action_space=space,
        observation_spec="obs54",
    )
