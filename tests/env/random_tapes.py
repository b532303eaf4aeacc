"""Random but lawful tapes: books that never cross, prints with their decreases, in either order, gaps and pauses."""

from __future__ import annotations

import numpy as np

from kalshi_ray.core.tape import Status
from tests.tapes import Rows, book, change, fee, gap, settle, status, trade

SIZES = [0.5, 1, 3, 10, 25, 60]


class Market:
    """A book under construction; every method appends rows and keeps the two sides apart."""

    def __init__(self, seed: int, market: int = 0, slowest_ms: float = 60.0) -> None:
        self.chance, self.market, self.slowest_ms = np.random.default_rng(seed), market, slowest_ms
        self.sides: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.rows: Rows = []
        self.late, self.received = 50.0, 0.05
        middle = int(self.chance.integers(20, 80))
        for step in range(1, 6):
            self.sides[0][middle - step - 1] = float(self.chance.choice(SIZES))
            self.sides[1][middle + step] = float(self.chance.choice(SIZES))
        self.snapshot(0.0)

    @property
    def bid(self) -> int:
        return max(self.sides[0], default=0)

    @property
    def ask(self) -> int:
        return min(self.sides[1], default=100)

    def pass_time(self, t: float) -> None:
        """The rows of `t` are received 20 ms and more later, in the order in which they happened."""
        self.received = max(self.received, t + float(self.chance.uniform(20.0, self.slowest_ms)) / 1e3)
        self.late = (self.received - t) * 1e3

    def _add(self, rows: Rows) -> None:
        self.rows += [one | {"market": self.market} for one in rows]

    def snapshot(self, t: float) -> None:
        self._add(book(t, self.sides[0], self.sides[1], late=self.late))

    def _level(self, t: float, side: int, cents: int, contracts: float) -> None:
        left = round(self.sides[side].get(cents, 0) + contracts, 2)
        self.sides[side][cents] = left
        if left == 0:
            del self.sides[side][cents]
        self._add(change(t, ("bid", "ask")[side], cents, contracts, late=self.late))

    def grow(self, t: float) -> None:
        """Lots join a level or improve the touch."""
        side = int(self.chance.integers(2))
        low, high = (max(1, self.bid - 4), self.ask - 1) if side == 0 else (self.bid + 1, min(99, self.ask + 4))
        if low <= high:
            self._level(t, side, int(self.chance.integers(low, high + 1)), float(self.chance.choice(SIZES)))

    def cancel(self, t: float) -> None:
        """Some or all of a level is withdrawn."""
        side = int(self.chance.integers(2))
        if self.sides[side]:
            cents = int(self.chance.choice(list(self.sides[side])))
            size = self.sides[side][cents]
            self._level(t, side, cents, -size if self.chance.random() < 0.5 else -round(size / 2, 2))

    def print(self, t: float) -> None:
        """A taker hits the touch, up to two levels deep; print and decrease in either order."""
        side = int(self.chance.integers(2))
        for _ in range(int(self.chance.integers(1, 3))):
            if not self.sides[side]:
                return
            cents = (self.bid, self.ask)[side]
            lots = min(float(self.chance.choice(SIZES)), self.sides[side][cents])
            taker = str(self.chance.choice([("sells", "buys")[side], "unknown"], p=[0.9, 0.1]))
            first = self.chance.random() < 0.5
            if first:
                self._add(trade(t, taker, cents, lots, late=self.late))
            self._level(t, side, cents, -lots)
            if not first:
                self._add(trade(t, taker, cents, lots, late=self.late))

    def interrupt(self, t: float) -> None:
        """A gap, or a pause, and what ends it half a second later."""
        if self.chance.random() < 0.5:
            self._add(gap(t, late=self.late))
            for _ in range(int(self.chance.integers(3))):
                side = int(self.chance.integers(2))
                if self.sides[side]:
                    del self.sides[side][int(self.chance.choice(list(self.sides[side])))]
            self.pass_time(t + 0.5)
            self.snapshot(t + 0.5)
        else:
            self._add(status(t, Status.INACTIVE, late=self.late))
            self.pass_time(t + 0.5)
            self._add(status(t + 0.5, Status.ACTIVE, late=self.late))


def random_tape(
    seed: int,
    *,
    moments: int = 120,
    mean_s: float = 0.25,
    interrupts: float = 0.02,
    result: float | None = None,
    market: int = 0,
    slowest_ms: float = 60.0,
    other_seed: int | None = None,
    other_from: int = 0,
) -> Rows:
    """One market's rows. From moment `other_from` on, `other_seed` decides: two tapes with one beginning."""
    made = Market(seed, market, slowest_ms)
    t = 0.0
    for moment in range(moments):
        if other_seed is not None and moment == other_from:
            made.chance = np.random.default_rng(other_seed)
        t = round(t + 0.001 + float(made.chance.exponential(mean_s)), 6)
        made.pass_time(t)
        drawn = made.chance.random()
        if drawn < interrupts:
            made.interrupt(t)
            t += 0.6
        elif drawn < 0.25:
            made.print(t)
        elif drawn < 0.65:
            made.grow(t)
        else:
            made.cancel(t)
        if moment == moments // 3:
            made._add(fee(t, 70_000, 0, late=made.late))
    if result is not None:
        made._add(settle(t + 1.0, result, late=made.late))
    return made.rows
