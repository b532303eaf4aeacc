"""Policies that learn nothing: what a trained one has to beat. They pass the same risk, matching and fees."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import UsageError
from kalshi_ray.policy.protocol import PolicyState, keyed_uniform
from kalshi_ray.policy.quoting import sized_quotes
from kalshi_ray.policy.taking import HOLD_ID, first_legal, largest_order


class Hold:
    """Never trades."""

    name = "hold"
    needs: Literal["actions"] = "actions"

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """There is nothing to forget."""
        del views, seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """HOLD, or the first legal action where HOLD is masked, [B]."""
        return first_legal(state.mask)


class Random:
    """Draws uniformly among the legal actions.

    `trade_probability` is the chance of drawing among the orders rather than holding, where both are legal; None draws
    among all legal ids alike. Evaluation sets it so that orders come as often as from the policy it is compared with.
    """

    needs: Literal["actions"] = "actions"

    def __init__(self, trade_probability: float | None = None, name: str = "random") -> None:
        if trade_probability is not None and not 0.0 <= trade_probability <= 1.0:
            raise UsageError(f"trade_probability is {trade_probability}, expected a share from 0 to 1")
        self.name = name
        self.trade_probability = trade_probability
        self._seed = 0

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """The draws depend on `seed` from here on."""
        del views
        self._seed = seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """One legal action id for each row, [B]."""
        legal = state.mask.copy()
        if self.trade_probability is not None:
            trades = keyed_uniform(self._seed, state.market, state.decision, stream=1) < self.trade_probability
            can_trade, can_hold = legal[:, 1:].any(axis=1), legal[:, HOLD_ID]
            legal[:, HOLD_ID] &= ~(trades & can_trade)
            legal[:, 1:] &= (trades | ~can_hold)[:, None]
        drawn = keyed_uniform(self._seed, state.market, state.decision)
        rank = np.floor(drawn * legal.sum(axis=1)).astype(np.int64)
        return first_legal(np.cumsum(legal, axis=1) > rank[:, None])


class TakeImbalance:
    """Buys when the touch is heavy with bids and sells when it is heavy with asks; holds in between.

    `threshold` is of (bid size - ask size) / (bid size + ask size) at the touch; `size` the contracts an order may
    have at most.
    """

    needs: Literal["actions"] = "actions"

    def __init__(self, threshold: float = 0.5, size: int = 10, name: str = "take-imbalance") -> None:
        if not 0.0 <= threshold < 1.0 or size < 1:
            raise UsageError(f"threshold {threshold} and size {size}: expected 0 <= threshold < 1 and size >= 1")
        self.name = name
        self.threshold = threshold
        self.size = size

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """There is nothing to forget."""
        del views, seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        """The largest legal order of the wanted direction up to `size`, else HOLD, [B]."""
        bid, ask = state.rows["bid_size"].astype(np.float64), state.rows["ask_size"].astype(np.float64)
        imbalance = (bid - ask) / np.maximum(bid + ask, 1.0)
        direction = np.where(np.abs(imbalance) > self.threshold, np.sign(imbalance), 0.0).astype(np.int64)
        return largest_order(state, direction, self.size)


class JoinBest:
    """Rests `size` contracts at the best bid and the best ask, as long as the position stays within `inventory`.

    An order that works at the wanted price is left alone, so that a partial fill does not cost its place in the queue.
    """

    needs: Literal["quotes"] = "quotes"

    def __init__(self, size: int = 10, inventory: int = 50, name: str = "join-best") -> None:
        if size < 1 or inventory < 1:
            raise UsageError(f"size {size} and inventory {inventory}: expected at least one contract")
        self.name = name
        self.size = size
        self.inventory = inventory

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """There is nothing to forget."""
        del views, seed

    def quote(self, state: PolicyState) -> NDArray[np.void]:
        """One QUOTE for each row, [B]."""
        rows = state.rows
        return sized_quotes(rows, rows["best_bid"], rows["best_ask"], size=self.size, inventory=self.inventory)
