"""Compiling before it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_ray.core.jit import COMPILED
from kalshi_ray.env import kernel
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.warm import warm_kernels
from tests.tapes import book, change, pack_of


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
def test_after_warming_a_real_market_compiles_nothing_more() -> None:
    play: Any = kernel.play_rows
    warm_kernels()
    versions = len(play.signatures)
    pack = pack_of(book(0, bids={45: 100}, asks={48: 100}), change(2, "ask", 48, -60), change(3, "ask", 48, -10))
    env = MarketVectorEnv(pack, num_envs=2)
    env.reset_into(env.new_batch())
    assert len(play.signatures) == versions > 0
