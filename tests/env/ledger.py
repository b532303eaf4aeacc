"""A second opinion on money, in plain Python: an account from fills alone, counted in another way than the core's.

The core keeps NO contracts, their cost and what closing realized. Here a position is a signed number of YES and money
is what moved: buying a YES pays its price, selling one brings its price, and a short position has a dollar per contract
set aside, because the NO it stands for was bought at a dollar less the price.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kalshi_ray.core.units import DOLLAR


@dataclass
class Ledger:
    """Micros and lots."""

    cash: int
    position: int = 0
    fees: int = 0

    def fill(self, side: int, price: int, size: int, fee: int) -> None:
        """`side` +1 bought YES, -1 sold YES; pips, lots, micros."""
        before = self.set_aside()
        self.position += side * size
        self.cash += -side * price * size - fee + before - self.set_aside()
        self.fees += fee

    def set_aside(self) -> int:
        """What a short position binds: a dollar per YES sold short."""
        return max(0, -self.position) * DOLLAR

    def equity(self, bid: int, ask: int) -> int:
        """Cash, what is set aside, and the position bought back or sold at the touch."""
        return self.cash + self.set_aside() + self.position * (bid if self.position >= 0 else ask)

    def settled(self, value: int) -> int:
        """Cash after the venue's result: `value` pips per YES; parts of a cent of the payout are kept by the venue."""
        payout = self.set_aside() + self.position * value
        return self.cash + payout // 10_000 * 10_000


def fee_of(size: int, price: int, rate_ppm: int) -> Fraction:
    """Fee in micros of the published formula, exactly: rate x contracts x P x (1 - P) dollars."""
    contracts, dollars = Fraction(size, 100), Fraction(price, DOLLAR)
    return Fraction(rate_ppm, 1_000_000) * contracts * dollars * (1 - dollars) * 1_000_000


def booked(ledger: Ledger, fills: Any) -> Ledger:
    """The ledger after FILL records."""
    for fill in fills:
        ledger.fill(int(fill["side"]), int(fill["price"]), int(fill["size"]), int(fill["fee"]))
    return ledger
