"""Desired orders for both sides become commands, through the same risk, matching and fees as actions."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.risk import (
    ASK,
    BID,
    BUDGET,
    CANCEL_OWN,
    FREE,
    SIDE_BUSY,
    WORKING,
    budget_left,
    note_exposure,
    plan_order,
    send_order,
)
from kalshi_ray.core.trader import is_decidable


@kernel
def tick_of(book, price):
    """Index of a price on the axis, -1 where it is not on it; a binary search."""
    low, high = 0, book.levels
    while low < high:
        middle = (low + high) // 2
        if book.prices[middle] < price:
            low = middle + 1
        else:
            high = middle
    return low if low < book.levels and book.prices[low] == price else -1


@kernel
def decide_quote(trader, rules, quote):
    """Turn a QUOTE into commands; what risk refuses is counted. Return whether nothing was wanted or sent."""
    trader.command_count = 0
    refused = 0
    for side in (BID, ASK):
        size = quote.bid_size if side == BID else quote.ask_size
        price = quote.bid_price if side == BID else quote.ask_price
        takes = (quote.bid_takes if side == BID else quote.ask_takes) != 0
        if size <= 0:
            refused += _withdraw(trader, rules, side)
            continue
        tick = tick_of(trader.book, price) if is_decidable(trader) else -1
        if tick < 0 or not trader.book.valid[tick]:
            refused += 1
            continue
        plan = plan_order(trader, rules, trader.now_ns, side, tick, price, size, takes)
        if plan > 0:
            refused += plan != SIDE_BUSY
        else:
            send_order(trader, rules, plan, side, tick, price, size, takes, False)
    trader.refused += refused
    note_exposure(trader, rules)
    return trader.command_count == 0


@kernel
def _withdraw(trader, rules, side):
    """Cancel the resting order of a side; return 1 where the budget forbids it."""
    if trader.orders[side].state != WORKING:
        return 0
    if budget_left(trader, rules, trader.now_ns) < 1:
        return BUDGET > 0
    send_order(trader, rules, CANCEL_OWN, side, 0, 0, 0, trader.orders[side].state == FREE, False)
    return 0
