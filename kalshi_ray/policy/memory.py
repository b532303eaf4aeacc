"""What a policy remembers of each market: one record a market, found by its key, forgotten when an episode begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
        """Where the markets of `state` stand in `records`, [B]; those that begin an episode are zero."""
        places = np.searchsorted(self._keys, state.market)
        known = places < len(self._keys)
        known[known] = self._keys[places[known]] == state.market[known]
        if not known.all():
            self._admit(state.market[~known])
            places = np.searchsorted(self._keys, state.market)
        self.records[places[state.decision == 0]] = np.zeros((), self._dtype)
        return places

    def _admit(self, markets: NDArray[np.uint64]) -> None:
        """Markets that `forget` did not name: a policy may be asked about any."""
        keys = np.union1d(self._keys, markets)
        records = np.zeros(len(keys), self._dtype)
        records[np.searchsorted(keys, self._keys)] = self.records
        self._keys, self.records = keys, records
