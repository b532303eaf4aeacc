"""Fees in exact fractions of a dollar, as protocol.md section 7 writes them."""

from __future__ import annotations

import math
from fractions import Fraction

MICRO = Fraction(1, 1_000_000)


def floor_to(amount: Fraction, unit: Fraction) -> Fraction:
    return math.floor(amount / unit) * unit


def ceil_to(amount: Fraction, unit: Fraction) -> Fraction:
    return math.ceil(amount / unit) * unit


def model_fee(contracts: Fraction, price: Fraction, rate: Fraction) -> Fraction:
    return ceil_to(rate * contracts * price * (1 - price), MICRO)


class OrderFees:
    """The accumulator of one order."""

    def __init__(self, precision: Fraction) -> None:
        self.precision, self.held = precision, Fraction(0)

    def charge(self, contracts: Fraction, price: Fraction, revenue: Fraction, rate: Fraction) -> Fraction:
        """Net fee of one fill that moves `revenue` dollars (negative for a purchase)."""
        trade_fee = model_fee(contracts, price, rate)
        change = floor_to(revenue - trade_fee, self.precision)
        rounding = (revenue - trade_fee) - change
        self.held += rounding
        rebate = floor_to(self.held, self.precision)
        while trade_fee + rounding - rebate < 0:
            rebate -= self.precision
        self.held -= rebate
        return trade_fee + rounding - rebate
