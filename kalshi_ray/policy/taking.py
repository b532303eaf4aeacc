"""From what a policy wants to the id that comes closest: orders of the action table under the legal mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import Intent, action_space
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.policy.protocol import PolicyState

HOLD_ID = 0

_DIRECTION = np.array([0, 1, -1, -1, 1])  # of the position on the YES axis, by Intent


def first_legal(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first id that is True in each row of [B, A]: HOLD, unless it is masked."""
    return np.asarray(np.argmax(mask, axis=1), np.int64)


def largest_order(state: PolicyState, direction: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The largest legal id of at most `size` contracts that moves the position in `direction` (+1, 0, -1), [B].

    HOLD where there is none, or the first legal id where HOLD is masked.
    """
    table = action_space(state.action_space).table
    way = _DIRECTION[table["intent"].astype(np.int64)]
    fits = state.mask & (way * direction[:, None] > 0) & (table["size"] <= size * CONTRACT)
    return _largest(state, fits, np.broadcast_to(table["size"], state.mask.shape))


def largest_step(state: PolicyState, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The legal id that trades most of `wanted` (signed lots, [B]) without passing it; HOLD where there is none.

    A SELL counts with what it can reduce.
    """
    table = action_space(state.action_space).table
    way = _DIRECTION[table["intent"].astype(np.int64)]
    held = state.rows["account"]["position"].astype(np.int64)
    size = np.broadcast_to(table["size"], state.mask.shape)
    for intent, available in ((Intent.SELL_YES, held), (Intent.SELL_NO, -held)):
        capped = np.minimum(size, np.maximum(available, 0)[:, None])
        size = np.where((table["intent"] == intent)[None, :], capped, size)
    fits = state.mask & (way * np.sign(wanted)[:, None] > 0) & (size <= np.abs(wanted)[:, None])
    return _largest(state, fits, size)


def _largest(state: PolicyState, fits: NDArray[np.bool_], size: NDArray[np.int64]) -> NDArray[np.int64]:
    best = np.argmax(np.where(fits, size, 0), axis=1)
    return np.where(fits.any(axis=1), best, first_legal(state.mask))
