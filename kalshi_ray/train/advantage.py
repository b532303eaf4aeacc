"""Generalised advantage estimation over columns, with a discount per step or in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel


def discounts(elapsed: NDArray[np.float32], *, per_step: float, tau_s: float) -> NDArray[np.float32]:
    """What a reward after each step is worth before it, [T, B]: `exp(-elapsed / tau_s)`, or `per_step` if tau is 0."""
    if tau_s > 0.0:
        return np.asarray(np.exp(-elapsed / np.float32(tau_s)), np.float32)
    return np.full(elapsed.shape, per_step, np.float32)


def following_values(
    values: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    ends: NDArray[np.int64],
    last_values: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The value after each step, [T, B], from `values` [T + 1, B].

    After a truncated episode it is the value of its last observation, after a terminated one zero.
    """
    after = values[1:].copy()
    after[ends[:, 0], ends[:, 1]] = last_values
    after[terminated] = 0.0
    return after


@kernel
def advantages(
    reward: NDArray[np.float32],
    value: NDArray[np.float32],
    value_after: NDArray[np.float32],
    cut: NDArray[np.bool_],
    discount: NDArray[np.float32],
    lam: float,
    out: NDArray[np.float32],
) -> None:
    """Write the advantage of every step into `out`, all [T, B]. `cut`: the next step belongs to another episode."""
    for b in range(reward.shape[1]):
        run = 0.0
        for t in range(reward.shape[0] - 1, -1, -1):
            gamma = np.float64(discount[t, b])
            if cut[t, b]:
                run = 0.0
            delta = np.float64(reward[t, b]) + gamma * np.float64(value_after[t, b]) - np.float64(value[t, b])
            run = delta + gamma * lam * run
            out[t, b] = np.float32(run)
