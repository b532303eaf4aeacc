"""Compile the environment before it is needed: `python -m kalshi_ray.env.warm [PRICES]`.

The first step of a new version compiles for some twenty seconds into the cache that all processes share. Whoever is
about to start several, or has something else to do meanwhile, calls this once.
"""

from __future__ import annotations

import sys

import numpy as np

from kalshi_ray.core.tape import KEYFRAME, LEVEL, SIBLING, UPDATE, VIEW, Kind, Status, ViewPack
from kalshi_ray.core.units import CENT, SECOND
from kalshi_ray.env.market_env import MarketVectorEnv


def warm_kernels(levels: int = 99) -> None:
    """Compile the kernels for markets of `levels` prices; takes milliseconds where they are compiled already."""
    env = MarketVectorEnv(_smallest_pack(levels), num_envs=1)
    env.reset_into(env.new_batch())


def _smallest_pack(levels: int) -> ViewPack:
    """One active market whose book is known to be empty for a second: one decision."""
    updates, views, keyframes = np.zeros(2, UPDATE), np.zeros(1, VIEW), np.zeros(1, KEYFRAME)
    updates["kind"], updates["recv_ns"] = (Kind.SNAPSHOT_END, Kind.GAP), (0, SECOND)
    views["stop"], views["key_stop"], views["levels"], views["steps"] = 2, 1, levels, 1
    keyframes["status"] = Status.ACTIVE
    return ViewPack(
        session="",
        checksum="",
        tickers=("",),
        events=("",),
        updates=updates,
        views=views,
        keyframes=keyframes,
        levels=np.zeros(0, LEVEL),
        axes=(np.arange(1, levels + 1, dtype=np.int32) * CENT)[None],
        grids=np.ones((1, levels), np.uint8),
        values=np.zeros(0, np.int64),
        siblings=np.zeros(0, SIBLING),
        sibling_start=np.zeros(2, np.int64),
    )


if __name__ == "__main__":
    warm_kernels(*map(int, sys.argv[1:2]))
