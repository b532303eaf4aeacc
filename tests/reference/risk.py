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


# What a plan is called here; those in capitals are refusals.
def plan(trader: Any, rules: Any, *, side: int, tick: int, lots: int, immediate: bool, now: int, budget: int) -> str:
    """What it would take to send an order, rule by rule."""
    resting, other = trader["orders"][side], trader["orders"][1 - side]
    in_flight, other_in_flight = trader["orders"][2 + side], trader["orders"][3 - side]
    price = int(trader["book"]["prices"][tick])
    if in_flight["state"] != FREE or resting["state"] not in (FREE, WORKING):
        return "SIDE_BUSY"
    works = resting["state"] == WORKING
    if works and not immediate and resting["tick"] == tick and lots_left(resting) == lots:
        return "keep"
    if budget < 1:
        return "BUDGET"
    if works and immediate:
        return "cancel own"
    if other["state"] != FREE and _meets(side, tick, other):
        return "cancel other" if other["state"] == WORKING else "SIDE_BUSY"
    position = int(trader["account"]["position"])
    after = position + lots if side == BID else position - lots
    if abs(after) > int(rules["position_limit"]) and (after > 0) == (side == BID):
        return "POSITION_LIMIT"
    taker, maker = int(trader["taker_ppm"]), int(trader["maker_ppm"])
    if works:
        price = max(price, int(resting["price"])) if side == BID else min(price, int(resting["price"]))
        lots = max(lots, lots_left(resting))
    rate = taker if immediate else max(taker, maker)
    need = cash_need(position, side, price, lots, rate, int(rules["fee_precision"]))
    cash = int(trader["account"]["cash"])
    if need <= cash - reserved(trader, rules, 1 - side):
        return "change" if works else "place"
    if need <= cash and other["state"] == WORKING and other_in_flight["state"] == FREE:
        return "cancel other"
    return "CASH"


def _meets(side: int, tick: int, other: Any) -> bool:
    """Whether an order at `tick` would trade with our own other one, wherever that one may stand."""
    ticks = [int(other["tick"])] + ([int(other["amended_tick"])] if other["state"] == AMENDING else [])
    return any(t <= tick for t in ticks) if side == BID else any(t >= tick for t in ticks)


def tick_by_pricing(book: Any, side: int, pricing: str) -> int | str:
    """Where an order stands; the name of a refusal where it cannot."""
    levels = range(int(book["levels"]))
    shown = [[t for t in levels if book["recorded"][s][t] > book["consumed"][s][t]] for s in (BID, ASK)]
    own = (max if side == BID else min)(shown[side], default=None)
    far = (min if side == BID else max)(shown[1 - side], default=None)
    valid = [t for t in levels if book["valid"][t]]
    if pricing in ("TAKE", "INSIDE"):
        if far is None or (pricing == "TAKE" and far not in valid):
            return "SIDE_MISSING"
        if pricing == "TAKE":
            return far
        inside = [t for t in valid if (t < far if side == BID else t > far)]
        tick = (max if side == BID else min)(inside, default=None)
        # One tick inside the far touch must be better than the own one.
        if tick is None or (own is not None and (tick <= own if side == BID else tick >= own)):
            return "NO_ROOM_IN_SPREAD"
        return tick
    if own is None or (pricing == "JOIN" and own not in valid):
        return "SIDE_MISSING"
    if pricing == "JOIN":
        return own
    better = [t for t in valid if (t > own if side == BID else t < own)]
    tick = (min if side == BID else max)(better, default=None)
    if tick is None or (far is not None and (tick >= far if side == BID else tick <= far)):
        return "NO_ROOM_IN_SPREAD"
    return tick


def plan_of_action(trader: Any, rules: Any, *, intent: str, pricing: str, lots: int, smaller: int, budget: int) -> str:
    """The plan of one action; `smaller` is the size before it of the same intent and pricing, 0 for the smallest."""
    side = BID if intent in ("BUY_YES", "SELL_NO") else ASK
    position = int(trader["account"]["position"])
    held = position if intent in ("SELL_YES", "BUY_NO") else -position
    if intent.startswith("SELL"):
        available = held - lots_left(trader["orders"][2 + side])
        if available <= 0:
            return "NOTHING_HELD"
        if smaller >= available:
            return "SAME_AS_SMALLER"
        lots = min(lots, available)
    elif held > 0 and rules["mask_opposite_buy"]:
        return "OTHER_SIDE_HELD"
    tick = tick_by_pricing(trader["book"], side, pricing)
    if isinstance(tick, str):
        return tick
    immediate = pricing == "TAKE"
    now = int(trader["now_ns"])
    return plan(trader, rules, side=side, tick=tick, lots=lots, immediate=immediate, now=now, budget=budget)
