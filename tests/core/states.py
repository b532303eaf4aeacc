"""Random states of a trader, by a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from kalshi_ray.core.book import consume
from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.portfolio import apply_fill
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.trader import decided, see_update, wake
from kalshi_ray.core.units import MILLISECOND, SECOND
from tests.core.records import ASK, BANKROLL, BID, T0, trader_of, update_of


def random_trader(seed: int, *, levels: int = 99) -> Any:
    """A trader of a known, uncrossed book, just woken: any history, position, orders, cash and budget."""
    chance = np.random.default_rng(seed)
    middle = int(chance.integers(1, levels))
    bids = _side(chance, range(max(0, middle - 30), middle))
    asks = _side(chance, range(middle, min(levels, middle + 30)))
    trader = trader_of(bids, asks, levels=levels, taker_ppm=int(chance.choice([70_000, 35_000, 0])))
    trader["open_ns"] = chance.choice([0, T0 - 3_600 * SECOND])
    trader["close_ns"] = chance.choice([0, T0 + 2 * SECOND, T0 + 86_400 * SECOND])
    _add_position(trader, chance)
    now = _add_history(trader, chance, levels)
    _add_orders(trader, chance, levels)
    trader["commanded_ns"] = chance.choice([0, now - 70 * SECOND, now - 700 * SECOND])
    trader["budget_ns"] = now + int(chance.integers(-3_000, 5_000)) * MILLISECOND
    trader["opened_ns"] = T0 - int(chance.integers(7_200)) * SECOND
    trader["signals"] = chance.normal(0, 8, 4)
    for name in ("sibling_bid_sum", "sibling_ask_sum", "sibling_bid_move", "sibling_ask_move"):
        trader[name] = chance.integers(-9_000, 50_000)
    trader["sent"] = chance.integers(0, 9)
    trader["filled_orders"] = chance.integers(0, int(trader["sent"]) + 1)
    trader["peak_equity"] = max(int(trader["peak_equity"]), int(trader["equity"])) + int(chance.integers(10**7))
    if chance.random() < 0.1:
        trader["history_count"] = 0
    if chance.random() < 0.1:
        trader["status"] = Status.INACTIVE
    return trader


def _side(chance: np.random.Generator, ticks: range) -> dict[int, int]:
    """Levels of one side; sometimes none."""
    count = int(chance.choice([0, 1, 2, 5, 12]))
    chosen = chance.choice(list(ticks), min(count, len(ticks)), replace=False) if len(ticks) else []
    return {int(tick): int(chance.choice([1, 100, 5_000, 90_000]) + chance.integers(100)) for tick in chosen}


def _add_position(trader: Any, chance: np.random.Generator) -> None:
    for _ in range(int(chance.integers(4))):
        lots = int(chance.integers(1, 8_000))
        price = int(chance.integers(1, 100)) * 100
        apply_fill(trader["account"], int(chance.integers(2)), price, lots, int(chance.integers(10**5)))
    if chance.random() < 0.3:
        trader["account"]["cash"] = int(chance.integers(-1_000, BANKROLL // 10))


def _add_history(trader: Any, chance: np.random.Generator, levels: int) -> int:
    """A few decisions with the book moving between them; returns the time of the last."""
    now = T0
    for _ in range(int(chance.integers(1, 14))):
        now += int(chance.integers(250, 90_000)) * MILLISECOND
        for _ in range(int(chance.choice([0, 1, 2, 3, 4, 5, 6, 9, 13]))):
            see_update(trader, _change(trader, chance, levels, (now - T0) / MILLISECOND))
        wake(trader, now)
        decided(trader, True)
    for side in (BID, ASK):
        best = int(trader["book"]["best"][side])
        if 0 <= best < levels and chance.random() < 0.3:
            consume(trader["book"], side, best, int(chance.integers(1, 6_000)))
    now += int(chance.integers(250, 90_000)) * MILLISECOND
    wake(trader, now)
    return now


def _change(trader: Any, chance: np.random.Generator, levels: int, at_ms: float) -> Any:
    """A change of one level that neither crosses the book nor empties it below zero."""
    book, side = trader["book"], int(chance.integers(2))
    best_bid, best_ask = int(book["best"][BID]), int(book["best"][ASK])
    ticks = range(min(best_ask, levels)) if side == BID else range(best_bid + 1, levels)
    tick = int(chance.choice(list(ticks))) if len(ticks) else 0
    held = int(book["recorded"][side][tick])
    change = int(chance.integers(1, 900)) if len(ticks) else 0
    if held and chance.random() < 0.4:
        change = -held
    return update_of(Kind.DELTA, at_ms, side=side, tick=tick, size=change)


def _add_orders(trader: Any, chance: np.random.Generator, levels: int) -> None:
    """Orders that a trader can have: one a side, resting or immediate, in any state; ours never cross each other."""
    middle = int(chance.integers(1, levels - 1))
    for side in (BID, ASK):
        own = range(max(0, middle - 40), middle) if side == BID else range(middle, min(levels, middle + 40))
        near = [t for t in (int(trader["book"]["best"][side]),) if t in own]
        slot = side + 2 * int(chance.random() < 0.25)
        order = trader["orders"][slot]
        states = [OrderState.FREE, OrderState.SENT, OrderState.WORKING, OrderState.AMENDING, OrderState.CANCELLING]
        state = chance.choice(states, p=[0.3, 0.1, 0.4, 0.1, 0.1]) if slot < 2 else chance.choice(states[:2])
        order["state"], order["side"], order["id"] = state, side, 40 + slot
        order["size"] = int(chance.choice([100, 500, 1_000, 2_000, 5_000]))
        order["filled"] = int(chance.choice([0, 0, 100, order["size"]]))
        order["amended_size"] = int(order["filled"]) + int(chance.integers(0, 20)) * 100
        for name in ("tick", "amended_tick"):
            order[name] = chance.choice(near * 20 + list(own))
        for name in ("price", "amended_price"):
            order[name] = trader["book"]["prices"][order["tick" if name == "price" else "amended_tick"]]
        order["queue"] = chance.integers(0, 9_000)
