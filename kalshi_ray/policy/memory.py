"""What a policy remembers of each market: one record a market, found by its key, forgotten when an episode begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.policy.chance import GOLDEN
from kalshi_ray.policy.protocol import PolicyState


class Memory:
    """Records of `dtype` by market, all zeros at first and again at decision 0 of each episode."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self.forget(np.zeros(0, np.uint64))

    def forget(self, markets: NDArray[np.uint64]) -> None:
        """Forget all, and expect these markets, [V]."""
        self._keys = np.unique(markets)
        self.records = np.zeros(len(self._keys), self._dtype)

    def at(self, state: PolicyState) -> NDArray[np.intp]:
        """Where the markets of `state` stand in `records`, [B]; those that begin an episode are zero.

        Call it before touching `records`: markets that are new make it another array.
        """
        keys = _told_apart(state.market)
        places = np.searchsorted(self._keys, keys)
        known = places < len(self._keys)
        known[known] = self._keys[places[known]] == keys[known]
        if not known.all():
            self._admit(keys[~known])
            places = np.searchsorted(self._keys, keys)
        self.records[places[state.decision == 0]] = np.zeros((), self._dtype)
        return places

    def _admit(self, markets: NDArray[np.uint64]) -> None:
        """Markets that `forget` did not name: a policy may be asked about any."""
        keys = np.union1d(self._keys, markets)
        records = np.zeros(len(keys), self._dtype)
        records[np.searchsorted(keys, self._keys)] = self.records
        self._keys, self.records = keys, records


def _told_apart(markets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key for each row [B]: its market's, and others where several rows play the same market."""
    order = np.argsort(markets, kind="stable")
    ordered = markets[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    if len(first) == len(markets):
        return markets
    rank = np.arange(len(markets)) - np.repeat(first, np.diff(np.r_[first, len(markets)]))
    keys = markets.copy()
    keys[order] += rank.astype(np.uint64) * np.uint64(GOLDEN)
    return keys
