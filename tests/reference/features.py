"""Every feature from its formula in the table, one function of the trader's fields each. Python numbers throughout."""

from __future__ import annotations

import itertools
import math
from typing import Any

from tests.reference.risk import ASK, BID, lots_left, reserved

DOLLAR, CONTRACT, SECOND = 10_000, 100, 1_000_000_000
DAY = 86_400


def features(trader: Any, rules: Any) -> dict[str, float]:
    """Name to value, before it is cut at its bounds."""
    found: dict[str, float] = {}
    for block in (_prices, _depth, _clock, _history, _portfolio, _orders, _extended):
        found |= block(trader, rules)
    return found


def _prices(trader: Any, rules: Any) -> dict[str, float]:
    bid, ask = int(trader["mark_bid"]) / DOLLAR, int(trader["mark_ask"]) / DOLLAR
    spread, mid = ask - bid, (bid + ask) / 2
    taker, maker = int(trader["taker_ppm"]) / 1e6, int(trader["maker_ppm"]) / 1e6
    both_ways = bid * (1 - bid) + ask * (1 - ask)
    cents = (int(trader["mark_ask"]) - int(trader["mark_bid"])) / 100
    regime = next(value for limit, value in ((2, 0), (5, 0.25), (10, 0.5), (20, 0.75), (101, 1)) if cents < limit)
    bid_size, ask_size = int(trader["bid_size"]) / CONTRACT, int(trader["ask_size"]) / CONTRACT
    sizes = bid_size + ask_size
    return {
        "yes_bid": bid,
        "yes_ask": ask,
        "no_bid": 1 - ask,
        "no_ask": 1 - bid,
        "spread": spread,
        "bid_missing": float(trader["best_bid"] < 0),
        "ask_missing": float(trader["best_ask"] < 0),
        "yes_mid": mid,
        "no_mid": 1 - mid,
        "yes_spread_share": spread / mid if mid else 2.0,
        "no_spread_share": spread / (1 - mid) if mid < 1 else 2.0,
        "spread_regime": regime,
        "taker_fee": taker * mid * (1 - mid) * 50,
        "break_even": spread + taker * both_ways,
        "maker_break_even": maker * both_ways - spread,
        "bid_liquidity": math.log10(1 + bid_size) / (5 * (1 + spread / 0.10)),
        "ask_liquidity": math.log10(1 + ask_size) / (5 * (1 + spread / 0.10)),
        "touch_imbalance": _share(bid_size - ask_size, sizes),
        "bid_size": math.log10(1 + bid_size) / 6,
        "ask_size": math.log10(1 + ask_size) / 6,
        "microprice": (bid * ask_size + ask * bid_size) / sizes - mid if sizes else 0.0,
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _levels(trader: Any, side: int) -> list[tuple[int, int]]:
    """(price, lots) shown, best first."""
    book = trader["book"]
    shown = [
        (int(book["prices"][t]), int(book["recorded"][side][t] - book["consumed"][side][t]))
        for t in range(int(book["levels"]))
    ]
    return sorted((level for level in shown if level[1] > 0), reverse=side == BID)


def _depth(trader: Any, rules: Any) -> dict[str, float]:
    bids, asks = _levels(trader, BID), _levels(trader, ASK)
    total = [sum(lots for _, lots in levels) for levels in (bids, asks)]
    near = [sum(lots for _, lots in levels[:5]) for levels in (bids, asks)]
    biggest = [sum(sorted((lots for _, lots in levels), reverse=True)[:3]) for levels in (bids, asks)]
    gaps = [abs(levels[1][0] - levels[0][0]) / DOLLAR if len(levels) > 1 else 0.0 for levels in (bids, asks)]
    return {
        "total_volume": math.log10(1 + sum(total) / CONTRACT) / 7,
        "volume_imbalance": _share(total[0] - total[1], sum(total)),
        "near_imbalance": _share(near[0] - near[1], sum(near)),
        "bid_depth": len(bids) / 50,
        "ask_depth": len(asks) / 50,
        "bid_concentration": biggest[0] / total[0] if bids else 0.5,
        "ask_concentration": biggest[1] / total[1] if asks else 0.5,
        "bid_gap": gaps[0] * 10,
        "ask_gap": gaps[1] * 10,
    }


def _clock(trader: Any, rules: Any) -> dict[str, float]:
    now = int(trader["now_ns"])
    before = int(trader["decided_ns"] if trader["decisions"] else trader["started_ns"])
    commanded, opened, closes = (int(trader[name]) for name in ("commanded_ns", "open_ns", "close_ns"))
    return {
        "gap": min(1.0, (now - before) / SECOND / 300),
        "time_of_day": now / SECOND % DAY / DAY,
        # The first of January 1970 was a Thursday.
        "weekday": (now // (DAY * SECOND) + 3) % 7 / 6,
        "since_order": min(1.0, (now - commanded) / SECOND / 300) if commanded else 1.0,
        "progress": (now - opened) / (closes - opened) if 0 < opened < closes else 0.0,
        "time_to_close": math.log10(1 + max(0.0, (closes - now) / SECOND)) / 7 if closes else 1.0,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _sigma(values: list[float]) -> float:
    return math.sqrt(max(0.0, _mean([v * v for v in values]) - _mean(values) ** 2))


def _history(trader: Any, rules: Any) -> dict[str, float]:
    count = int(trader["history_count"])
    if count == 0:
        nothing = dict.fromkeys(
            ("activity", "activity_change", "burst", "quiet", "spread_trend", "update_frequency", "momentum"), 0.0
        )
        return nothing | {
            "volatility": 0.0,
            "stability": 1.0,
            "activity_trend": 0.0,
            "activity_consistency": 1.0,
            "activity_persistence": 0.0,
        }
    # Oldest first from here on.
    updates = [int(n) for n in trader["history_updates"][:count]][::-1]
    activity = [math.tanh(n / 20) for n in updates]
    spreads = [int(pips) / DOLLAR for pips in trader["history_spread"][:count]]
    mids = [int(pips) / 2 / DOLLAR for pips in trader["history_mid"][:count]][::-1][-5:]
    times = [int(ns) for ns in trader["history_ns"][:count]][::-1][-5:]
    moves = [abs(after - before) for before, after in itertools.pairwise(mids)]
    span = (int(trader["now_ns"]) - times[0]) / SECOND
    run = 0
    for after, before in itertools.pairwise(activity[::-1]):
        if abs(after - before) > 0.1:
            break
        run += 1
    return {
        "activity": activity[-1],
        "activity_change": activity[-1] - activity[-2] if count > 1 else 0.0,
        "burst": float(count > 2 and updates[-1] > _mean(updates) + 1.5 * _sigma(updates)),
        "quiet": float(count > 2 and updates[-1] < _mean(updates) - _sigma(updates)),
        "spread_trend": (int(trader["mark_ask"]) - int(trader["mark_bid"])) / DOLLAR - _mean(spreads),
        "update_frequency": (len(times) - 1) / span / 4 if span > 0 else 0.0,
        "momentum": math.tanh(20 * (mids[-1] - mids[0])),
        "volatility": _sigma(moves) / 0.05 if moves else 0.0,
        "stability": 1 - _mean(moves[-3:]) / 0.05 if moves else 1.0,
        "activity_trend": math.tanh(10 * _slope(activity[-5:])),
        "activity_consistency": 1 - _sigma(activity[-5:]) / 0.3,
        "activity_persistence": run / 10,
    }


def _slope(values: list[float]) -> float:
    """Least squares over 0, 1, 2 …"""
    places = [float(n) for n in range(len(values))]
    spread = sum((x - _mean(places)) ** 2 for x in places)
    return sum((x - _mean(places)) * y for x, y in zip(places, values)) / spread if spread else 0.0


def _portfolio(trader: Any, rules: Any) -> dict[str, float]:
    account = trader["account"]
    cash, position, cost = (int(account[name]) for name in ("cash", "position", "cost"))
    bankroll, limit = int(rules["bankroll"]), int(rules["position_limit"])
    equity, value = int(trader["equity"]), int(trader["equity"]) - cash
    working = reserved(trader, rules, BID) + reserved(trader, rules, ASK)
    held_for = (int(trader["now_ns"]) - int(trader["opened_ns"])) / SECOND
    backlog = max(0, int(trader["budget_ns"]) - int(trader["now_ns"])) / int(rules["budget_interval_ns"])
    return {
        "cash_ratio": cash / bankroll,
        "position_ratio": value / equity if equity > 0 else 0.0,
        "holding": float(position != 0),
        "average_cost": cost / abs(position) / DOLLAR if position else 0.0,
        "long_ratio": max(0, position) / limit,
        "short_ratio": max(0, -position) / limit,
        "holding_time": min(1.0, held_for / 3600) if position else 0.0,
        "exposure": (cost + working) / bankroll,
        "drawdown": (int(trader["peak_equity"]) - equity) / bankroll,
        "unrealized": (value - cost) / bankroll,
        "realized": (int(account["realized"]) - int(account["fees"])) / bankroll,
        "budget": math.floor(int(rules["budget_burst"]) - backlog) / int(rules["budget_burst"]),
    }


def _orders(trader: Any, rules: Any) -> dict[str, float]:
    orders = trader["orders"]
    mid = (int(trader["mark_bid"]) + int(trader["mark_ask"])) / 2
    bid, ask = orders[BID], orders[ASK]
    return {
        "open_buy": float(lots_left(bid) > 0 or lots_left(orders[2 + BID]) > 0),
        "open_sell": float(lots_left(ask) > 0 or lots_left(orders[2 + ASK]) > 0),
        "buy_distance": (mid - int(bid["price"])) / DOLLAR if lots_left(bid) else 0.0,
        "sell_distance": (int(ask["price"]) - mid) / DOLLAR if lots_left(ask) else 0.0,
    }


def _queue_share(trader: Any, side: int) -> float:
    order, book = trader["orders"][side], trader["book"]
    shown = int(book["recorded"][side][order["tick"]] - book["consumed"][side][order["tick"]])
    return min(int(order["queue"]), shown) / shown if lots_left(order) and shown else 0.0


def _extended(trader: Any, rules: Any) -> dict[str, float]:
    found = {
        "bid_queue": _queue_share(trader, BID),
        "ask_queue": _queue_share(trader, ASK),
        "fill_rate": int(trader["filled_orders"]) / int(trader["sent"]) if trader["sent"] else 0.0,
    }
    for name in ("bids", "asks"):
        found[f"sibling_{name}"] = int(trader[f"sibling_{name[:-1]}_sum"]) / DOLLAR
        found[f"sibling_{name[:-1]}_move"] = int(trader[f"sibling_{name[:-1]}_move"]) / DOLLAR
    return found | {f"signal_{n}": float(trader["signals"][n]) for n in range(4)}
