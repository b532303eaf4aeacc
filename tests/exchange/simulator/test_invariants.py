"""What holds after every call, whatever accounts and flow do: random commands of several accounts in two markets."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import MILLISECOND, SECOND, Side
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.outbox import Outbox
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, RecorderRow, Trade
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    FillMessage,
    GroupRequest,
    Order,
    OrderMessage,
    OrderRequest,
    OrderStatus,
    PositionMessage,
    SelfTrade,
    TickerMessage,
    TimeInForce,
)
from tests.exchange.simulator.scenes import T0

TICKERS = ("A", "B")
PRICES = list(range(4_500, 5_600, 100))


class Watcher:
    """Follows the outbox as a client would, and compares it with what one can read."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.books: dict[str, tuple[dict[int, int], dict[int, int]]] = {t: ({}, {}) for t in TICKERS}
        self.orders: dict[str, Order] = {}
        self.positions: dict[tuple[Account, int, str], int] = {}
        self.reasons: Counter[str] = Counter()
        self.tickers: dict[str, TickerMessage] = {}

    def follow(self, happened: Outbox) -> None:
        parties: dict[str, list[tuple[Account, FillMessage]]] = defaultdict(list)
        trades: dict[str, Trade] = {}
        for happening in happened:
            value = happening.value
            if isinstance(value, BookDelta):
                self._change(value)
            elif isinstance(value, Trade):
                trades[value.trade_id] = value
            elif isinstance(value, TickerMessage):
                self.tickers[value.ticker] = value
            elif isinstance(value, OrderMessage):
                self.orders[value.order.order_id] = value.order
                self.reasons[value.reason] += 1
            elif isinstance(value, FillMessage) and happening.scope == "private":
                parties[value.trade_id].append((happening.account, value))
            elif isinstance(value, PositionMessage) and happening.scope == "private":
                self.positions[happening.account, value.subaccount, value.ticker] = value.position
        for trade_id, fills in parties.items():
            self._check_match(trades[trade_id], fills)

    def _change(self, delta: BookDelta) -> None:
        book = self.books[delta.ticker]
        left = book[delta.side].get(delta.price, 0) + delta.change
        assert delta.change != 0 and left >= 0
        book[delta.side][delta.price] = left
        if left == 0:
            del book[delta.side][delta.price]
        assert max(book[0], default=0) < min(book[1], default=10_000), "the shown book is crossed"

    def _check_match(self, trade: Trade, fills: list[tuple[Account, FillMessage]]) -> None:
        assert len(fills) <= 2
        for _, fill in fills:
            assert (fill.price, fill.size, fill.ticker) == (trade.price, trade.size, trade.ticker)
            assert fill.is_taker == (fill.side == trade.taker)
        if len(fills) == 2:
            (one, first), (other, second) = fills
            assert one is not other, "own orders met"
            assert first.side != second.side and first.is_taker != second.is_taker

    def check(self) -> None:
        """Public books, private orders, positions and fills are what one can read."""
        exchange = self.exchange
        for ticker in TICKERS:
            book = exchange.book(ticker)
            assert book.bids == tuple(sorted(self.books[ticker][0].items(), reverse=True))  # type: ignore[union-attr]
            assert book.asks == tuple(sorted(self.books[ticker][1].items()))  # type: ignore[union-attr]
            told = self.tickers[ticker]
            assert (told.bid, told.bid_size) == (book.bids[0] if book.bids else (None, 0))  # type: ignore[union-attr]
            assert (told.ask, told.ask_size) == (book.asks[0] if book.asks else (None, 0))  # type: ignore[union-attr]
        for account in exchange.accounts:
            for order in exchange.orders(account):
                assert self.orders[order.order_id] == order
                assert order.filled == sum(f.size for f in exchange.fills(account, order_id=order.order_id))
            for number in account.subaccounts:
                for position in exchange.positions(account, subaccount=number, settled=None):
                    assert self.positions[account, number, position.ticker] == position.position


class Play:
    """Random commands that are mostly lawful."""

    def __init__(self, seed: int, model: str) -> None:
        self.chance = np.random.default_rng(seed)
        self.exchange = Exchange(SimulatorSettings(fill_model=model), seed=seed)  # type: ignore[arg-type]
        self.accounts = [self.exchange.create_account(dollars) for dollars in (2_000, 300, 60)]
        for account in self.accounts:
            self.exchange.transfer(account, 0, 1, account.subaccount(0).cash // 3)
        for ticker in TICKERS:
            self.exchange.open_market(MarketTerms(ticker=ticker, event="E", series="S", settlement_timer_s=1))
        self.groups = [self.exchange.create_group(a, GroupRequest(limit=5_000), T0) for a in self.accounts]
        self.watcher, self.now, self.number = Watcher(self.exchange), T0, 0

    def step(self, check: bool) -> None:
        self.now += int(self.chance.choice([0, MILLISECOND, 700 * MILLISECOND]))
        self._end_pauses()
        what = self.chance.choice(["place"] * 12 + ["flow"] * 6 + ["cancel", "amend", "amend", "decrease", "odd"])
        getattr(self, f"_{what}")()
        self.exchange.audit()
        self.watcher.follow(self.exchange.drain())
        if check:
            self.watcher.check()

    def _end_pauses(self) -> None:
        """So that they do not last."""
        exchange, market = self.exchange, self.exchange.market_of(TICKERS[0])
        if not exchange.trading_active and self.chance.random() < 0.5:
            exchange.resume_trading(self.now)
        if market.status is Status.INACTIVE and self.chance.random() < 0.5:
            exchange.set_status(TICKERS[0], Status.ACTIVE, self.now)
        if not market.book.flow.known and self.chance.random() < 0.5:
            exchange.apply_flow(BookSnapshot(ticker=TICKERS[0], bids=((4_600, 300),), asks=()), self.now)

    def _pick(self, choices: list[int]) -> int:
        return int(self.chance.choice(choices))

    def _place(self) -> None:
        chance, account = self.chance, self.accounts[self._pick([0, 1, 2])]
        self.number += 1
        tif = list(TimeInForce)[self._pick([0, 0, 0, 0, 1, 1, 2])]
        gtc = tif is TimeInForce.GTC
        group = self.groups[self.accounts.index(account)].group if chance.random() < 0.2 else ""  # type: ignore[union-attr]
        request = OrderRequest(
            ticker=str(chance.choice(TICKERS)), client_order_id=f"c{self.number - self._pick([0] * 9 + [1])}",
            side=Side(self._pick([0, 1])), size=self._pick([1, 50, 700, 1_500, 4_000]), price=self._pick(PRICES),
            time_in_force=tif, self_trade=list(SelfTrade)[self._pick([0, 1])], post_only=gtc and chance.random() < 0.2,
            reduce_only=tif is TimeInForce.IOC and chance.random() < 0.4,
            expires_ns=self.now + SECOND if gtc and chance.random() < 0.2 else 0, group=group,
            subaccount=0 if group else self._pick([0, 0, 1]), cancel_on_pause=bool(chance.random() < 0.3),
        )  # fmt: skip
        self.exchange.place(account, request, self.now)

    def _working(self) -> tuple[Account, Order] | None:
        found = [(a, o) for a in self.accounts for o in self.exchange.orders(a, status=OrderStatus.RESTING)]
        return found[int(self.chance.integers(len(found)))] if found else None

    def _cancel(self) -> None:
        if found := self._working():
            account, order = found
            asked = Cancel(order_id=order.order_id, ticker=order.ticker, subaccount=order.subaccount)
            self.exchange.cancel(account, asked, self.now)

    def _amend(self) -> None:
        if found := self._working():
            account, order = found
            asked = Amendment(
                order_id=order.order_id, ticker=order.ticker, side=order.side, subaccount=order.subaccount,
                price=order.price if self.chance.random() < 0.5 else self._pick(PRICES),
                size=self._pick([order.size, order.filled + 100, order.filled + 2_000, max(1, order.filled)]),
                expires_ns=(None, 0, self.now + SECOND)[self._pick([0, 1, 2])],
            )  # fmt: skip
            self.exchange.amend(account, asked, self.now)

    def _decrease(self) -> None:
        if found := self._working():
            account, order = found
            lots = self._pick([0, 1, order.remaining // 2, order.remaining, order.remaining + 5])
            more = {"by": lots} if self.chance.random() < 0.5 else {"to": lots}
            asked = Decrease(order_id=order.order_id, ticker=order.ticker, subaccount=order.subaccount, **more)
            self.exchange.decrease(account, asked, self.now)

    def _flow(self) -> None:
        ticker, side, price = str(self.chance.choice(TICKERS)), self._pick([0, 1]), self._pick(PRICES)
        lots = self._pick([100, 250, 1_000])
        kind = self._pick([0, 0, 0, 1, 1, 2, 2, 3])
        if kind == 0:
            self.exchange.apply_flow(FlowDelta(ticker=ticker, side=Side(side), price=price, change=lots), self.now)
        elif kind == 1:
            there = self.exchange.market_of(ticker).book.flow.recorded[side]
            if there:
                price = self._pick(list(there))
                drop = FlowDelta(
                    ticker=ticker, side=Side(side), price=price, change=-min(lots, there[price]),
                    by_trade=bool(self.chance.random() < 0.5),
                )  # fmt: skip
                self.exchange.apply_flow(drop, self.now)
        elif kind == 2:
            taker = Side(self._pick([-1, 0, 1]))
            self.exchange.apply_flow(Trade(ticker=ticker, price=price, size=lots, taker=taker), self.now)
        else:
            middle = self._pick(PRICES)
            bids = tuple((p, lots) for p in reversed(PRICES) if p < middle)
            asks = tuple((p, lots) for p in PRICES if p > middle)
            self.exchange.apply_flow(BookSnapshot(ticker=ticker, bids=bids, asks=asks), self.now)

    def _odd(self) -> None:
        exchange, ticker = self.exchange, TICKERS[0]
        what = self._pick(list(range(8)))
        if what < 2:
            status = Status.INACTIVE if what else Status.ACTIVE
            exchange.apply_flow(RecorderRow(ticker=ticker, kind=Kind.STATUS, size=status), self.now)
        elif what == 2:
            exchange.apply_flow(RecorderRow(ticker=ticker, kind=Kind.GAP, size=1), self.now)
        elif what < 5:
            (exchange.pause_trading if what == 3 else exchange.resume_trading)(self.now)
        elif what == 5:
            exchange.cancel_all(self.accounts[self._pick([0, 1, 2])], self._pick([0, 1]), self.now)
        else:
            at = self._pick([0, 1, 2])
            exchange.reset_group(self.accounts[at], self.groups[at].group, self.now)  # type: ignore[union-attr]

    def settle(self) -> None:
        """Both markets end, one of them at a part of a cent."""
        for ticker, value in zip(TICKERS, (10_000, 3_333)):
            self.exchange.settle_at(ticker, value, self.now)
        self.exchange.advance(self.now + 2 * SECOND)
        self.exchange.audit()
        self.watcher.follow(self.exchange.drain())
        self.watcher.check()


@given(seed=st.integers(0, 2**32), model=st.sampled_from(["pessimistic", "fitted", "optimistic"]))
def test_money_contracts_books_and_messages_agree_after_every_call(seed: int, model: str) -> None:
    """Audited after each; the public book never crosses and has no level below zero, delta by delta; both sides of a
    match say the same; own orders never meet; private messages and reads agree; settlement empties every position."""
    play = Play(seed, model)
    for step in range(100):
        play.step(check=step % 5 == 0)
    play.settle()
    exchange = play.exchange
    cash = sum(sub.cash for account in play.accounts for sub in account.subaccounts.values())
    flow = sum(exchange.market_of(ticker).flow_cash for ticker in TICKERS)
    fees = sum(exchange.market_of(ticker).fees for ticker in TICKERS)
    assert cash + flow + fees == exchange.deposits
    assert all(sub.locked == 0 for account in play.accounts for sub in account.subaccounts.values())


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_the_same_holds_over_many_plays(part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        play = Play(seed, ("pessimistic", "fitted", "optimistic")[seed % 3])
        for step in range(300):
            play.step(check=step % 10 == 0)
        play.settle()


def test_the_random_play_reaches_what_it_is_for() -> None:
    """Matches between accounts and with the flow, self-trade prevention, expiries, groups that trip."""
    reasons: Counter[str] = Counter()
    between = 0
    for seed in range(15):
        play = Play(seed, "pessimistic")
        for _ in range(100):
            play.step(check=False)
        reasons += play.watcher.reasons
        fills = Counter(f.trade_id for account in play.accounts for f in play.exchange.fills(account))
        between += sum(count == 2 for count in fills.values())
    assert between > 50
    for reason in ("Trade", "SelfTradeCancel", "ExpiryCancel", "HaltCancel", "Amend", "Decrease", "ReduceOnlyCancel"):
        assert reasons[reason] > 3, (reason, reasons)
