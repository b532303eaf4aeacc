"""Small ledgers made by hand: fills at random prices, booked by an account in plain Python that knows no kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kalshi_ray.core.units import DOLLAR, SECOND
from kalshi_ray.env.records import EPISODE, FILL
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.markouts import NO_MID
from kalshi_ray.evaluate.tally import empty_moments, empty_states

BANKROLL = 100_000_000  # micros
START = 1_700_000_000 * SECOND


class Account:
    """Cash and collateral as a person would book them: YES and NO contracts bought, pairs redeemed at a dollar."""

    def __init__(self) -> None:
        self.cash, self.yes, self.no = BANKROLL, 0, 0

    def fill(self, side: int, price: int, size: int, fee: int) -> None:
        self.cash -= fee + (price if side > 0 else DOLLAR - price) * size
        self.yes, self.no = (self.yes + size, self.no) if side > 0 else (self.yes, self.no + size)
        pairs = min(self.yes, self.no)
        self.cash += pairs * DOLLAR
        self.yes, self.no = self.yes - pairs, self.no - pairs

    def equity(self, yes_price: int) -> int:
        return self.cash + self.yes * yes_price + self.no * (DOLLAR - yes_price)


def fill(market: int, second: float, side: int, price: int, size: int, **more: Any) -> tuple[int, dict[str, Any]]:
    """One fill of `size` lots at `price` pips, `second` seconds after START; `twice_mid` in half pips before it."""
    at = START + int(second * SECOND)
    row = {"view_index": market, "venue_ns": at, "decision_ns": at, "side": side, "price": price, "size": size}
    return market, {**row, **more}


def ledger(
    markets: int,
    fills: list[tuple[int, dict[str, Any]]],
    *,
    end_price: int = 5_000,
    settled: bool = False,
    events: list[int] | None = None,
    seconds: float = 3_600.0,
) -> Ledger:
    """A ledger of `markets` markets that did `fills`, all ending at `end_price` pips, settled there or marked."""
    ordered = sorted(fills, key=lambda item: (item[0], item[1]["venue_ns"]))
    records, owner = np.zeros(len(ordered), FILL), np.zeros(len(ordered), np.int32)
    accounts = [Account() for _ in range(markets)]
    for index, (market, row) in enumerate(ordered):
        owner[index] = market
        for name in set(row) - {"twice_mid", "spread"}:
            records[index][name] = row[name]
        accounts[market].fill(*(int(records[index][name]) for name in ("side", "price", "size", "fee")))
    episodes = np.zeros(markets, EPISODE)
    episodes["view_index"], episodes["equity_start"], episodes["terminated"] = np.arange(markets), BANKROLL, settled
    episodes["equity_end"] = [one.equity(end_price) for one in accounts]
    episodes["position_end"] = [one.yes - one.no for one in accounts]
    episodes["cash_end"] = episodes["equity_end"] if settled else [one.cash for one in accounts]
    episodes["ladder_value"] = [one.equity(end_price) - one.cash for one in accounts]
    episodes["book_known"], episodes["started_ns"] = 1, START
    episodes["ended_ns"] = START + int(seconds * SECOND)
    np.add.at(episodes["fees"], owner, records["fee"])
    episodes["steps"], episodes["orders_sent"] = 10, np.bincount(owner, minlength=markets)
    episodes["orders_filled"] = episodes["orders_sent"]
    made = Ledger(
        policy="standin",
        fill_model="pessimistic",
        views=np.arange(markets, dtype=np.int32),
        tickers=tuple(f"M{market}" for market in range(markets)),
        events=np.array(events if events is not None else range(markets), np.int32),
        episodes=episodes,
        fills=records,
        fill_market=owner,
        twice_mids=np.array([[row.get("twice_mid", NO_MID)] for _, row in ordered], np.int32).reshape(-1, 1),
        curve_ns=np.array([START, START + int(seconds * SECOND)]),
        curve=np.zeros(2, np.int64),
        actions=np.zeros(0, np.int64),
        spreads=np.array([row.get("spread", -1) for _, row in ordered], np.int32),
        states=empty_states(),
        moments=empty_moments(),
    )
    curve = np.array([0, int(made.pnl.sum())])
    return replace(made, curve=curve)


def random_ledger(seed: int, *, markets: int = 3, count: int = 30, **more: Any) -> Ledger:
    """Random fills on both sides, with fees, makers and decision quotes."""
    source = np.random.default_rng(seed)
    fills = []
    for index in range(count):
        price = int(source.integers(1, 100)) * 100
        fills.append(
            fill(
                int(source.integers(markets)),
                index,
                int(source.choice([-1, 1])),
                price,
                int(source.integers(1, 500)),
                fee=int(source.integers(0, 5_000)),
                maker=int(source.integers(2)),
                twice_mid=2 * price + int(source.integers(-200, 201)),
                order_id=index,
                spread=int(source.integers(-1, 1_500)),
            )
        )
    return ledger(markets, fills, end_price=int(source.integers(0, DOLLAR + 1)), **more)
