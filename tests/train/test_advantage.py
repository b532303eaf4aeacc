"""Advantages: the recursion, its ends, and discounting in time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_ray.train.advantage import advantages, discounts, following_values


def plain(
    reward: NDArray[np.float32], value: NDArray[np.float32], after: NDArray[np.float32], cut: NDArray[np.bool_],
    discount: NDArray[np.float32], lam: float,
) -> NDArray[np.float64]:  # fmt: skip
    """By the definition: a discounted sum of all later deltas of the same episode."""
    steps, rows = reward.shape
    delta = reward + discount.astype(np.float64) * after - value
    out = np.zeros((steps, rows))
    for b in range(rows):
        for t in range(steps):
            weight = 1.0
            for later in range(t, steps):
                out[t, b] += weight * delta[later, b]
                if cut[later, b]:
                    break
                weight *= lam * float(discount[later, b])
    return out


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.8, 0.95, 1.0]), st.sampled_from([0.0, 30.0]))
def test_the_kernel_agrees_with_the_definition(seed: int, lam: float, tau: float) -> None:
    draw = np.random.default_rng(seed)
    shape = (12, 3)
    reward, value, after = (draw.normal(size=shape).astype(np.float32) for _ in range(3))
    elapsed = draw.exponential(2.0, shape).astype(np.float32)
    cut = draw.random(shape) < 0.2
    factor = discounts(elapsed, per_step=0.97, tau_s=tau)
    out = np.empty(shape, np.float32)
    advantages(reward, value, after, cut, factor, lam, out)
    assert np.allclose(out, plain(reward, value, after, cut, factor, lam), atol=1e-4)


def test_a_truncated_end_bootstraps_its_last_observation_and_a_terminated_one_nothing() -> None:
    values = np.arange(8, dtype=np.float32).reshape(4, 2)  # T = 3, B = 2
    terminated = np.zeros((3, 2), bool)
    terminated[1, 0] = True
    ends = np.array([[1, 0], [2, 1]])
    after = following_values(values, terminated, ends, np.array([70.0, 90.0], np.float32))
    assert after.tolist() == [[2.0, 3.0], [0.0, 5.0], [6.0, 90.0]]


def test_without_tau_every_step_counts_the_same() -> None:
    assert (discounts(np.array([[1.0, 900.0]], np.float32), per_step=0.99, tau_s=0.0) == np.float32(0.99)).all()
