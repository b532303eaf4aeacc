"""What our orders can cost at worst, and how many commands may go: plain integers, one thing at a time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from tests.reference.fees import model_fee

DOLLAR, CONTRACT, MICROS = 10_000, 100, 1_000_000
BID, ASK = 0, 1
FREE, SENT, WORKING, AMENDING, CANCELLING = range(5)


def worst_fee(lots: int, price: int, rate_ppm: int, precision: int) -> int:
    """A micro of rounding a lot, and one unit of the member's precision; see `core.fees`."""
    fee = model_fee(Fraction(lots, CONTRACT), Fraction(price, DOLLAR), Fraction(rate_ppm, MICROS))
    between = 0 if price * CONTRACT % precision == 0 else math.ceil(lots / CONTRACT) * precision
    return int(fee * MICROS) + lots + precision + between


def lots_left(order: Any) -> int:
    """What can still fill of an order, an amendment on its way taken at the larger of its two sizes."""
    if order["state"] == FREE:
        return 0
    sizes = [int(order["size"])] + ([int(order["amended_size"])] if order["state"] == AMENDING else [])
    return max(0, max(sizes) - int(order["filled"]))


def dearest_price(order: Any, side: int) -> int:
    """The price that costs us more, of an order that may be moving."""
    prices = [int(order["price"])] + ([int(order["amended_price"])] if order["state"] == AMENDING else [])
    return max(prices) if side == BID else min(prices)


def cash_need(position: int, side: int, price: int, lots: int, rate_ppm: int, precision: int) -> int:
    """Cash that an order takes at worst: closing brings a dollar less the price, opening costs the price."""
    paid = price if side == BID else DOLLAR - price
    held_against = max(0, -position if side == BID else position)
    closing = min(lots, held_against)
    cost = (lots - closing) * paid - closing * (DOLLAR - paid)
    return max(0, cost + worst_fee(lots, price, rate_ppm, precision))


def reserved(trader: Any, rules: Any, side: int) -> int:
    """Cash held back for the orders of one side."""
    rate = max(int(trader["taker_ppm"]), int(trader["maker_ppm"]))
    position, precision = int(trader["account"]["position"]), int(rules["fee_precision"])
    total = 0
    for slot in (side, 2 + side):
        order = trader["orders"][slot]
        lots = lots_left(order)
        if lots:
            total += cash_need(position, side, dearest_price(order, side), lots, rate, precision)
    return total


class Bucket:
    """Commands as tokens: a full bucket holds `burst`, one grows back every `interval`."""

    def __init__(self, burst: int, interval: int) -> None:
        self.burst, self.interval = burst, interval
        self.tokens, self.at = Fraction(burst), 0

    def left(self, now: int) -> int:
        self._grow(now)
        return math.floor(self.tokens)

    def spend(self, now: int) -> None:
        self._grow(now)
        self.tokens -= 1

    def _grow(self, now: int) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction(now - self.at, self.interval))
        self.at = now
