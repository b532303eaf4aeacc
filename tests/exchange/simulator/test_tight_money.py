"""Accounts that spend all they have: at any price of any grid, whatever fees become, nobody's cash falls below zero.

`test_invariants` trades around the middle with cash to spare, where what orders hold back is hardly ever needed.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import FeeChange, Ranges, RecorderRow, Trade
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Order,
    OrderRequest,
    OrderStatus,
    Placed,
    SelfTrade,
    TickerMessage,
    TimeInForce,
)
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene

CENTS, PARTS = ((0, 10_000, 100),), ((0, 10_000, 10),)


class Spenders:
    """Accounts of a few dollars in one market. Each order is as large as the cash that is left allows."""

    def __init__(self, seed: int, member: str, ranges: Ranges, least: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.exchange = Exchange(SimulatorSettings(member=member), seed=seed)  # type: ignore[arg-type]
        self.accounts = [self.exchange.create_account(dollars) for dollars in (20, 3.17, 0.9, 0.53)]
        self.market = self.exchange.open_market(MarketTerms(ticker=TICKER, ranges=ranges, settlement_timer_s=1))
        self.prices = sorted(self.market.prices)
        self.least = least  # lots that orders and prints are multiples of
        self.now, self.number = T0, 0

    def play(self, steps: int, value: int) -> None:
        """So many random steps, and the end of the market."""
        words = ["place"] * 9 + ["flow"] * 3 + ["print"] * 4 + ["cancel", "amend", "fees", "pause"]
        for _ in range(steps):
            self.now += int(self.chance.choice([0, SECOND]))
            if self.market.status is Status.INACTIVE and self.chance.random() < 0.5:
                self.exchange.set_status(TICKER, Status.ACTIVE, self.now)
            getattr(self, "_" + str(self.chance.choice(words)))()
            self.exchange.audit()
        self.exchange.settle_at(TICKER, value, self.now)
        self.exchange.advance(self.now + SECOND)
        self.exchange.audit()

    def _price(self) -> int:
        """Mostly near a dollar or nothing, where fees are smallest."""
        near = int(self.chance.choice([0, 1, 2, 5, len(self.prices) // 2, int(self.chance.integers(len(self.prices)))]))
        return self.prices[near if self.chance.random() < 0.5 else -1 - near]

    def _place(self) -> None:
        account, price, side = self.accounts[int(self.chance.integers(4))], self._price(), int(self.chance.integers(2))
        paid = price if side == 0 else 10_000 - price
        lots = account.subaccount(0).free // paid // self.least * self.least
        tif = (TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC)[int(self.chance.integers(3))]
        reduce = tif is TimeInForce.IOC and self.chance.random() < 0.5
        for size in (lots, lots - self.least, lots - 2 * self.least, int(self.chance.integers(1, 12)) * self.least):
            self.number += 1
            request = OrderRequest(
                ticker=TICKER, client_order_id=f"c{self.number}", side=Side(side), size=max(self.least, size),
                price=price, time_in_force=tif, reduce_only=reduce, self_trade=list(SelfTrade)[self.number % 2],
            )  # fmt: skip
            if isinstance(self.exchange.place(account, request, self.now), Placed):
                return

    def _working(self) -> tuple[Account, Order] | None:
        found = [(a, o) for a in self.accounts for o in self.exchange.orders(a, status=OrderStatus.RESTING)]
        return found[int(self.chance.integers(len(found)))] if found else None

    def _cancel(self) -> None:
        if found := self._working():
            self.exchange.cancel(found[0], Cancel(order_id=found[1].order_id, ticker=TICKER), self.now)

    def _amend(self) -> None:
        if found := self._working():
            account, order = found
            size = order.filled + int(self.chance.integers(1, 5)) * self.least
            asked = Amendment(order_id=order.order_id, ticker=TICKER, side=order.side, price=self._price(), size=size)
            self.exchange.amend(account, asked, self.now)

    def _flow(self) -> None:
        side, price = int(self.chance.integers(2)), self._price()
        there = self.market.book.flow.recorded[side].get(price, 0)
        change = -there if there else int(self.chance.integers(1, 9)) * self.least
        self.exchange.apply_flow(FlowDelta(ticker=TICKER, side=Side(side), price=price, change=change), self.now)

    def _print(self) -> None:
        """Mostly at the price of a working order."""
        size, taker, price = int(self.chance.integers(1, 300)), Side(int(self.chance.integers(2))), self._price()
        found = self._working()
        if found and self.chance.random() < 0.8:
            price, taker = found[1].price, Side(1 - found[1].side)
        size = max(self.least, size // self.least * self.least)
        self.exchange.apply_flow(Trade(ticker=TICKER, price=price, size=size, taker=taker), self.now)

    def _fees(self) -> None:
        taker, maker = ((0, 0), (70_000, 17_500), (70_000, 0), (700_000, 175_000))[int(self.chance.integers(4))]
        row = RecorderRow(ticker=TICKER, kind=Kind.FEE, size=taker, price=maker)
        self.exchange.apply_flow(row, self.now)

    def _pause(self) -> None:
        self.exchange.set_status(TICKER, Status.INACTIVE, self.now)


KINDS = [("direct", CENTS, 100), ("direct", CENTS, 1), ("direct", PARTS, 100), ("cleared", CENTS, 100)]


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), value=st.sampled_from([0, 10_000, 3_333]))
def test_nobody_owes_anything_and_nothing_is_lost(seed: int, kind: tuple[str, Ranges, int], value: int) -> None:
    """Audited after every step: cash, what is held back, fees, open pairs, books.

    Left out: fills worth a part of what a member's cash is rounded to, for which `core.fees.worst_fee` knows no bound.
    """
    Spenders(seed, *kind).play(60, value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_holds_over_many_plays(kind: tuple[str, Ranges, int]) -> None:
    for seed in range(500):
        Spenders(seed, *kind).play(120, (0, 10_000, 3_333)[seed % 3])


def test_what_a_better_price_leaves_over_pays_for_its_higher_fee() -> None:
    """A bid at 99 cents takes a contract at 50, whose fee is higher than both were expected to cost; the other one
    rests, its own fee is held back, and whoever spends all the rest can still pay it."""
    scene = Scene(accounts=2)
    poor = scene.exchange.create_account(1.99)
    scene.accounts.append(poor)
    scene.place(0, ASK, 50, 1)
    scene.place(2, BID, 99, 2)
    held = poor.subaccount(0)
    assert held.locked > 990_000
    for contracts in (20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        while isinstance(scene.ask_for(2, BID, 1, contracts), Placed):
            pass
    scene.place(1, ASK, 99, 1)
    assert scene.position(2) == 2 and held.free >= 0


def test_when_fees_rise_the_latest_orders_that_cannot_be_paid_are_taken_off() -> None:
    scene = Scene(accounts=1, dollars=10)
    scene.row(Kind.FEE, 0, 0)
    for contracts in (10, 9, 0.9):
        scene.place(0, BID, 50, contracts)
    scene.row(Kind.FEE, 70_000, 17_500)
    assert scene.reasons(0) == ["", "", "", "MarginCancel"]
    assert scene.book() == ({50: 19}, {})
    scene.row(Kind.FEE, 0, 0)
    assert scene.accounts[0].subaccount(0).free > 400_000
    scene.exchange.apply_flow(FeeChange(event="E", fee_type=None, multiplier_ppm=10_000_000), scene.clock)
    scene.hear()
    assert scene.book() == ({50: 10}, {})


def test_open_interest_counts_whoever_is_long_the_flow_too() -> None:
    scene = Scene(accounts=2)
    scene.flow({50: 10})
    scene.place(0, ASK, 50, 5)
    assert scene.market.open_interest == 500
    scene.print(BID, 60, 1)
    scene.place(0, BID, 50, 2)
    scene.place(1, ASK, 50, 1)
    assert scene.public(TickerMessage)[-1].open_interest == scene.market.open_interest
    scene.exchange.settle_at(TICKER, 10_000, scene.clock)
    scene.hear()
    assert scene.public(TickerMessage)[-1].open_interest == 0


def test_a_reduction_needs_no_cash_for_what_it_cannot_reach() -> None:
    """Capped by the position, as the exchange says of reduce_only."""
    scene = Scene(accounts=2, dollars=6)
    scene.place(0, BID, 50, 10)
    scene.place(1, ASK, 50, 10)
    scene.flow({45: 1_000})
    more = {"time_in_force": TimeInForce.IOC}
    assert scene.refusal(0, ASK, 45, 100, **more)[1] == "insufficient_balance"
    answer = scene.place(0, ASK, 45, 100, reduce_only=True, **more)
    assert (answer.filled, answer.remaining) == (1_000, 0)
    assert scene.position(0) == 0
