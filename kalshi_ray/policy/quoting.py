"""Policies that want orders on both sides, and what they share: prices on the grid, sizes within an inventory."""

# The kernel takes records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import QUOTE, OrderState
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND, Side
from kalshi_ray.errors import UsageError
from kalshi_ray.policy.memory import Memory
from kalshi_ray.policy.protocol import PolicyState

BID, ASK, WORKING = int(Side.BID), int(Side.ASK), int(OrderState.WORKING)

WARM_S = 30.0  # seconds of quiet that a variance starts from, so that one early jump is no estimate

SEEN = np.dtype(
    [
        ("ns", np.int64),  # of the last decision; 0: none yet
        ("twice_mid", np.int64),  # half pips; 0: none yet
        ("squares", np.float64),  # cents squared, fading
        ("seconds", np.float64),  # fading alike
    ]
)


def sized_quotes(
    rows: NDArray[np.void], bid: NDArray[np.int32], ask: NDArray[np.int32], *, size: int, inventory: int
) -> NDArray[np.void]:
    """Quotes at `bid` and `ask` (pips, [B]; none where not above 0), as long as the position stays in `inventory`.

    An order that works at the wanted price is left alone, so that a partial fill does not cost its place in the queue.
    """
    quotes = np.zeros(len(rows), QUOTE)
    position = rows["account"]["position"]
    for side, word, price, held in ((BID, "bid", bid, position), (ASK, "ask", ask, -position)):
        order = rows["orders"][:, side]
        room = np.minimum(np.maximum(inventory * CONTRACT - held, 0), size * CONTRACT)
        works = (order["state"] == WORKING) & (order["price"] == price)
        wanted = np.where(works, np.minimum(room, order["size"] - order["filled"]), room)
        quotes[f"{word}_price"] = price
        quotes[f"{word}_size"] = np.where(price > 0, wanted, 0)
    return quotes


class InventoryAware:
    """Avellaneda-Stoikov quoting on a price that ends at 0 or $1.

    With mid m (cents), position q (contracts), variance v (cents squared a second) and horizon h (seconds), u = v h is
    the variance that lies ahead, at most m (100 - m), which is all that a martingale on [0, 100] can have:

        reservation price   r = m - q risk u
        half spread         d = risk u / 2 + ln(1 + risk / arrival) / risk

    bid = r - d rounded down to the grid, ask = r + d rounded up, both post-only and inside $0 and $1. v is the mean
    of squared changes of the mid over the time that passed, both fading with `memory_s`. Source: M. Avellaneda and
    S. Stoikov, High-frequency trading in a limit order book, Quantitative Finance 8 (2008): their approximate solution,
    at a rolling horizon that is cut at the scheduled close.
    """

    needs: Literal["quotes"] = "quotes"

    def __init__(
        self,
        size: int = 10,
        inventory: int = 50,
        risk: float = 0.02,
        arrival: float = 1.0,
        horizon_s: float = 60.0,
        memory_s: float = 300.0,
        name: str = "inventory-aware",
    ) -> None:
        if size < 1 or inventory < 1:
            raise UsageError(f"size {size} and inventory {inventory}: expected at least one contract")
        numbers = {"risk": risk, "arrival": arrival, "horizon_s": horizon_s, "memory_s": memory_s}
        for option, value in numbers.items():
            if not value > 0:
                raise UsageError(f"{option} is {value}, expected more than 0")
        self.name = name
        self.size, self.inventory = size, inventory
        self.risk, self.arrival = risk, arrival  # per cent of price and contract; decay of fills per cent of distance
        self.horizon_s, self.memory_s = horizon_s, memory_s
        self._seen = Memory(SEEN)

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        """Forget every mid that was seen."""
        del seed
        self._seen.forget(views)

    def quote(self, state: PolicyState) -> NDArray[np.void]:
        """One QUOTE for each row, [B]; none where a side of the book is missing."""
        rows = state.rows
        variance = self._variance(state)
        two_sided = (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        middle = (rows["best_bid"] + rows["best_ask"]) / (2.0 * CENT)
        left_s = np.where(rows["close_ns"] > 0, (rows["close_ns"] - rows["now_ns"]) / SECOND, np.inf)
        ahead = np.minimum(variance * np.clip(left_s, 0.0, self.horizon_s), middle * (DOLLAR / CENT - middle))
        reservation = middle - rows["account"]["position"] / CONTRACT * self.risk * ahead
        half = self.risk * ahead / 2.0 + np.log1p(self.risk / self.arrival) / self.risk
        bid, ask = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32)
        low = np.floor(np.clip(reservation - half, 0, DOLLAR / CENT) * CENT).astype(np.int64)
        high = np.ceil(np.clip(reservation + half, 0, DOLLAR / CENT) * CENT).astype(np.int64)
        onto_grid(rows, np.where(two_sided, low, 0), np.where(two_sided, high, DOLLAR), bid, ask)
        return sized_quotes(rows, bid, ask, size=self.size, inventory=self.inventory)

    def _variance(self, state: PolicyState) -> NDArray[np.float64]:
        """Cents squared a second, [B], from the mids that were seen up to now, this one included."""
        at, rows = self._seen.at(state), state.rows
        seen = self._seen.records[at]
        now, two_sided = rows["now_ns"], (rows["best_bid"] > 0) & (rows["best_ask"] > 0)
        twice_mid = np.where(two_sided, rows["best_bid"].astype(np.int64) + rows["best_ask"], seen["twice_mid"])
        seconds = np.where(seen["ns"] > 0, np.maximum(now - seen["ns"], 0) / SECOND, 0.0)
        moved = np.where(seen["twice_mid"] > 0, (twice_mid - seen["twice_mid"]) / (2.0 * CENT), 0.0)
        fading = np.exp(-seconds / self.memory_s)
        seen["squares"] = seen["squares"] * fading + moved**2
        seen["seconds"] = seen["seconds"] * fading + seconds
        seen["ns"], seen["twice_mid"] = now, twice_mid
        self._seen.records[at] = seen
        return np.asarray(seen["squares"] / (seen["seconds"] + WARM_S))


@kernel
def onto_grid(rows, low, high, bid, ask):
    """The highest valid price not above `low` and below the best ask, the lowest not below `high` and above the best
    bid: pips, [B]; 0 where there is none."""
    for row in range(rows.shape[0]):
        trader = rows[row]
        book = trader.book
        highest = low[row] if trader.best_ask <= 0 else min(low[row], np.int64(trader.best_ask) - 1)
        lowest = max(high[row], np.int64(trader.best_bid) + 1)
        bid[row] = 0
        ask[row] = 0
        first, last = 0, book.levels
        while first < last:
            middle = (first + last) // 2
            if book.prices[middle] <= highest:
                first = middle + 1
            else:
                last = middle
        for tick in range(first - 1, -1, -1):
            if book.valid[tick]:
                bid[row] = book.prices[tick]
                break
        first, last = 0, book.levels
        while first < last:
            middle = (first + last) // 2
            if book.prices[middle] < lowest:
                first = middle + 1
            else:
                last = middle
        for tick in range(first, book.levels):
            if book.valid[tick]:
                ask[row] = book.prices[tick]
                break
