"""The simulated exchange against a slow and obvious one: after any commands both have said and hold the same.

Compared after every step: answers, orders and their lines, fills with fees, cash, positions, settlements, public trades
and the shown book. The private stream, followed as a client would, agrees with what one can read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kalshi_ray.core.fees import MAKER_PPM, TAKER_PPM
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.settings import PRECISIONS, MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    FillMessage,
    Order,
    OrderMessage,
    OrderRequest,
    OrderStatus,
    Placed,
    PositionMessage,
    Reduced,
    SelfTrade,
    TimeInForce,
)
from tests.exchange.reference.exchange import TAKEN, TOO_LITTLE, Market, ReferenceExchange
from tests.exchange.reference.money import Order as ReferenceOrder
from tests.exchange.simulator.scenes import T0

DOLLARS = (200, 40, 9)
TICKERS = ("A", "B")
OFF_GRID = 5_055
STEPS = {"A": 100, "B": 10}  # pips
PRICES = {"A": (4_800, 4_900, 5_000, 5_100, 5_200), "B": (9_390, 9_400, 9_410, 9_470)}
SIZES = (1, 37, 100, 250, 1_000, 3_000)
WORDS = {TimeInForce.GTC: "gtc", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}

whose = st.integers(0, len(DOLLARS) - 1)
sides = st.sampled_from((0, 1))
tickers = st.sampled_from(TICKERS)
sizes = st.sampled_from(SIZES)
any_price = st.integers(0, 9)
any_order = st.integers(0, 10_000)
rarely = st.integers(0, 7).map(lambda number: number == 7)

seen: Counter[str] = Counter()  # what happened in all examples


def price_of(ticker: str, number: int) -> int:
    """A price of the market's few."""
    return PRICES[ticker][number % len(PRICES[ticker])]


def said(answer: Any) -> tuple[Any, ...]:
    """An answer in the words of the reference."""
    if isinstance(answer, Placed):
        return ("placed", answer.filled, answer.remaining, answer.average_price, answer.average_fee)
    if isinstance(answer, Reduced):
        return ("reduced", answer.reduced_by if answer.reduced_by is not None else answer.remaining)
    if isinstance(answer, int):
        return ("cancelled", answer)
    return ("refused", answer.status, answer.code)


class TwoExchanges(RuleBasedStateMachine):
    """The same commands to both."""

    @initialize(member=st.sampled_from(("direct", "direct", "cleared")))
    def open(self, member: Any) -> None:
        """Three accounts, rich to poor; a market with maker fees, which closes, and one with prices below a cent."""
        self.exchange = Exchange(SimulatorSettings(member=member), seed=1)
        self.accounts = [self.exchange.create_account(dollars) for dollars in DOLLARS]
        close_ns = T0 + 40 * SECOND
        # Left out: parts of a contract at a part of a cent on an account cleared by another firm. What is held back
        # for fees is no upper bound there (`core.fees.worst_fee` says so).
        self.grid = STEPS | ({"B": 100} if member == "cleared" else {})
        fees = {"A": ("quadratic_with_maker_fees", MAKER_PPM), "B": ("quadratic", 0)}
        for ticker in TICKERS:
            self.exchange.open_market(
                MarketTerms(
                    ticker=ticker, event="E", series="S", fee_type=fees[ticker][0], settlement_timer_s=2,
                    ranges=((0, 10_000, self.grid[ticker]),), close_ns=close_ns if ticker == "A" else 0,
                )
            )  # fmt: skip
        self.reference = ReferenceExchange(
            [dollars * 1_000_000 for dollars in DOLLARS],
            [
                Market(
                    ticker, self.grid[ticker], TAKER_PPM, fees[ticker][1], close_ns if ticker == "A" else 0, 2 * SECOND
                )
                for ticker in TICKERS
            ],
            PRECISIONS[member],
        )
        self.now, self.steps, self.ids = T0, 0, dict[int, str]()
        self.stream_orders: dict[str, Order] = {}
        self.stream_fills: dict[int, list[FillMessage]] = defaultdict(list)
        self.stream_positions: dict[tuple[int, str], PositionMessage] = {}
        self.books: dict[str, tuple[dict[int, int], dict[int, int]]] = {ticker: ({}, {}) for ticker in TICKERS}
        self.exchange.advance(T0)
        self.reference.advance(T0)
        self.compare()

    # -- commands

    @rule(
        who=whose, ticker=tickers, side=sides, size=sizes, at=any_price, expires=rarely, pause=rarely, post=rarely,
        tif=st.sampled_from([TimeInForce.GTC] * 4 + [TimeInForce.IOC, TimeInForce.FOK]), reduce=st.booleans(),
        self_trade=st.sampled_from(SelfTrade), odd=st.integers(0, 40),
    )  # fmt: skip
    def place(self, who: int, ticker: str, side: int, size: int, at: int, expires: bool, pause: bool, post: bool,
              tif: TimeInForce, reduce: bool, self_trade: SelfTrade, odd: int) -> None:  # fmt: skip
        """An order, now and then one that breaks a rule."""
        repeats = odd in (1, 2, 20, 30) and self.reference.members[who].names
        request = OrderRequest(
            ticker="NONE" if odd == 0 else ticker,
            client_order_id=max(self.reference.members[who].names) if repeats else f"c{self.steps}",
            side=Side(side), size=0 if odd == 3 else size, price=OFF_GRID if odd == 4 else price_of(ticker, at),
            time_in_force=tif, self_trade=self_trade, post_only=post and (tif is TimeInForce.GTC or odd == 5),
            reduce_only=reduce and (tif is TimeInForce.IOC or odd == 6), cancel_on_pause=pause,
            expires_ns=self.now + 2 * SECOND if expires and (tif is TimeInForce.GTC or odd == 7) else 0,
        )  # fmt: skip
        before = len(self.reference.orders)
        expected = self.reference.place(
            who, request.ticker, request.client_order_id, side, request.size, request.price, tif=WORDS[tif],
            self_trade=self_trade.value, post_only=request.post_only, reduce_only=request.reduce_only,
            cancel_on_pause=pause, expires_ns=request.expires_ns,
        )  # fmt: skip
        answer = self.exchange.place(self.accounts[who], request, self.now)
        if isinstance(answer, Placed):
            self.ids[before] = answer.order_id
        self.check(said(answer), expected)
        if expected == TOO_LITTLE:  # a killed order has used its id
            self.check(said(self.exchange.place(self.accounts[who], request, self.now)), TAKEN)

    @rule(ticker=tickers, plan=st.lists(st.tuples(whose, sides, sizes, any_price), min_size=2, max_size=6),
          self_trade=st.sampled_from(SelfTrade))  # fmt: skip
    def place_some(self, ticker: str, plan: list[tuple[int, int, int, int]], self_trade: SelfTrade) -> None:
        """Plain orders that rest or meet, after whatever stood still goes on."""
        if not self.reference.is_trading:
            self.resume()
        if self.reference.markets[ticker].state == "inactive":
            self.switch(ticker)
        for who, side, size, at in plan:
            self.place(who, ticker, side, size, at, False, False, False, TimeInForce.GTC, False, self_trade, 40)

    def pick(self, number: int) -> ReferenceOrder | None:
        """One of the orders there were, mostly one that works."""
        orders = self.reference.orders
        working = [order for order in orders if order.state == "resting"]
        chosen = working if working and number % 16 else orders
        return chosen[number % len(chosen)] if chosen else None

    @rule(number=any_order, stranger=rarely)
    def cancel(self, number: int, stranger: bool) -> None:
        """A cancel, now and then of somebody else's order."""
        if order := self.pick(number):
            who = (order.owner + stranger) % len(DOLLARS)
            answer = self.exchange.cancel(
                self.accounts[who], Cancel(order_id=self.ids[order.number], ticker=order.ticker), self.now
            )
            self.check(said(answer), self.reference.cancel(who, order.number))

    @precondition(lambda self: self.steps % 7 == 0)
    @rule(who=whose)
    def cancel_all(self, who: int) -> None:
        """All orders of an account."""
        self.check(said(self.exchange.cancel_all(self.accounts[who], None, self.now)), self.reference.cancel_all(who))

    @rule(
        number=any_order,
        lots=st.sampled_from((0, 1, 30, 100, 500)),
        way=st.sampled_from(("by", "to", "by", "to", "both")),
    )
    def decrease(self, number: int, lots: int, way: str) -> None:
        """Less of an order."""
        if order := self.pick(number):
            by, to = lots if way != "to" else None, lots if way != "by" else None
            asked = Decrease(order_id=self.ids[order.number], ticker=order.ticker, by=by, to=to)
            answer = self.exchange.decrease(self.accounts[order.owner], asked, self.now)
            self.check(said(answer), self.reference.decrease(order.owner, order.number, by=by, to=to))

    @rule(
        number=any_order, at=any_price, moves=st.booleans(), change=st.sampled_from((-5_000, -100, -1, 0, 0, 50, 900)),
        rename=rarely, odd=st.integers(0, 25), expires=st.sampled_from((None, None, None, 0, -1, 1, 3)),
    )  # fmt: skip
    def amend(
        self, number: int, at: int, moves: bool, change: int, rename: bool, odd: int, expires: int | None
    ) -> None:
        """Another price, size, name or expiration."""
        if order := self.pick(number):
            price = price_of(order.ticker, at) if moves else order.price
            price = OFF_GRID if odd == 0 else price
            side = 1 - order.side if odd == 1 else order.side
            size, name = order.size + change, f"c{self.steps - (odd == 2)}" if rename else ""
            expires_ns = self.now + expires * SECOND if expires else expires
            asked = Amendment(
                order_id=self.ids[order.number], ticker=order.ticker, side=Side(side), price=price, size=size,
                updated_client_order_id=name, expires_ns=expires_ns,
            )  # fmt: skip
            answer = self.exchange.amend(self.accounts[order.owner], asked, self.now)
            expected = self.reference.amend(
                order.owner, order.number, side, price, size, name=name, expires_ns=expires_ns
            )
            self.check(said(answer), expected)

    # -- time and the life of markets

    @rule(millis=st.sampled_from((1, 300, 1_000, 2_000)))
    def wait(self, millis: int) -> None:
        """Time passes."""
        self.now += millis * 1_000_000
        self.exchange.advance(self.now)
        self.reference.advance(self.now)
        self.check((), ())

    @precondition(lambda self: self.steps % 5 == 4 and self.reference.is_trading)
    @rule(whole=st.booleans())
    def pause(self, whole: bool) -> None:
        """Trading stops, or the whole exchange."""
        (self.exchange.pause_exchange if whole else self.exchange.pause_trading)(self.now)
        self.reference.pause(whole=whole)
        self.check((), ())

    @precondition(lambda self: not self.reference.is_trading)
    @rule()
    def resume(self) -> None:
        """Trading goes on."""
        self.exchange.resume_trading(self.now)
        self.reference.resume()
        self.check((), ())

    @precondition(lambda self: self.steps % 5 == 3)
    @rule(ticker=tickers)
    def switch(self, ticker: str) -> None:
        """An active market becomes inactive, an inactive one active."""
        state = self.reference.markets[ticker].state
        if state in ("active", "inactive"):
            active = state == "inactive"
            self.exchange.set_status(ticker, Status.ACTIVE if active else Status.INACTIVE, self.now)
            self.reference.set_active(ticker, active)
            self.check((), ())

    @precondition(lambda self: self.steps > 40)
    @rule(ticker=tickers, value=st.sampled_from((0, 10_000, 3_333)))
    def determine(self, ticker: str, value: int) -> None:
        """A market has its result; payout comes two seconds later."""
        if self.reference.markets[ticker].state in ("active", "inactive", "closed"):
            self.exchange.settle_at(ticker, value, self.now)
            self.reference.determine(ticker, value)
            self.check((), ())

    # -- the flow

    def takes_flow(self, ticker: str) -> bool:
        """Whether the flow has a say: in a pause its book still changes."""
        return self.reference.markets[ticker].state in ("active", "inactive")

    def flow_word(self, ticker: str, what: str) -> str:
        """What the flow did, and whether orders rested in a pause meanwhile."""
        market = self.reference.markets[ticker]
        stands = market.state == "inactive" or not self.reference.is_trading
        return f"{what} in a pause" if stands and any(list(side.orders()) for side in market.sides) else what

    @rule(ticker=tickers, side=sides, at=any_price, lots=st.sampled_from((30, 200, 800)), leaves=st.booleans())
    def flow(self, ticker: str, side: int, at: int, lots: int, leaves: bool) -> None:
        """Others place orders, never against each other, or take them back."""
        if not self.takes_flow(ticker):
            return
        price, (own, far) = price_of(ticker, at), self.reference.markets[ticker].sides[:: 1 - 2 * side]
        if leaves:
            change = -min(lots, own.taped.get(price, 0))
        else:
            change = 0 if any(far.reaches(price, other) for other in far.taped) else lots
        if change:
            delta = FlowDelta(ticker=ticker, side=Side(side), price=price, change=change)
            self.exchange.apply_flow(delta, self.now)
            self.reference.flow_changes(ticker, side, price, change)
            self.check((), ())
            seen[self.flow_word(ticker, "flow")] += 1

    @precondition(lambda self: self.steps % 4 == 0)
    @rule(ticker=tickers, between=any_price, lots=st.lists(st.sampled_from((0, 40, 500)), min_size=5, max_size=5))
    def restate(self, ticker: str, between: int, lots: list[int]) -> None:
        """The whole book of the others: bids up to a price, asks beyond it."""
        if not self.takes_flow(ticker):
            return
        middle = price_of(ticker, between)
        found = {price: size for price, size in zip(PRICES[ticker], lots, strict=False) if size}
        bids = {price: size for price, size in found.items() if price <= middle}
        asks = {price: size for price, size in found.items() if price > middle}
        snapshot = BookSnapshot(
            ticker=ticker, bids=tuple(sorted(bids.items(), reverse=True)), asks=tuple(sorted(asks.items()))
        )
        self.exchange.apply_flow(snapshot, self.now)
        self.reference.flow_restated(ticker, bids, asks)
        self.check((), ())

    @rule(ticker=tickers, taker=sides, at=any_price, lots=st.sampled_from((20, 150, 900)))
    def print(self, ticker: str, taker: int, at: int, lots: int) -> None:
        """Others trade with each other, or with the orders that stand in front of them."""
        if not self.takes_flow(ticker):
            return
        price = price_of(ticker, at)
        self.exchange.apply_flow(Trade(ticker=ticker, price=price, size=lots, taker=Side(taker)), self.now)
        self.reference.flow_trades(ticker, taker, price, lots)
        gone = min(lots, self.reference.markets[ticker].sides[1 - taker].taped.get(price, 0))
        if gone:
            delta = FlowDelta(ticker=ticker, side=Side(1 - taker), price=price, change=-gone, by_trade=True)
            self.exchange.apply_flow(delta, self.now)
            self.reference.flow_changes(ticker, 1 - taker, price, -gone)
        self.check((), ())
        seen[self.flow_word(ticker, "print")] += 1

    @rule(who=whose, other=whose, ticker=tickers, side=sides, at=any_price, prints=st.booleans(),
          lots=st.tuples(*[st.sampled_from((30, 100, 250, 400))] * 4))  # fmt: skip
    def line_up(self, who: int, other: int, ticker: str, side: int, at: int, prints: bool,
                lots: tuple[int, int, int, int]) -> None:  # fmt: skip
        """Flow, an order, more flow, another order; then some of the line trades."""
        for owner, ahead in ((who, lots[0]), (other, lots[1])):
            self.flow(ticker, side, at, ahead, leaves=False)
            self.place(owner, ticker, side, 100, at, False, False, False, TimeInForce.GTC, False, SelfTrade.MAKER, 40)
        if prints:
            self.print(ticker, 1 - side, at, lots[2])
        else:
            taker = len(DOLLARS) - 1 - who
            self.place(taker, ticker, 1 - side, lots[2], at, False, False, False, TimeInForce.IOC, False,
                       SelfTrade.MAKER, 40)  # fmt: skip
        self.flow(ticker, side, at, lots[3], leaves=True)

    @rule(who=whose, ticker=tickers, side=sides, at=any_price, lots=st.sampled_from((30, 200, 800)),
          of_market=st.booleans())  # fmt: skip
    def trade_in_a_pause(self, who: int, ticker: str, side: int, at: int, lots: int, of_market: bool) -> None:
        """An order rests, everything stops, the flow comes to it, and everything goes on."""
        self.place_some(ticker, [(who, side, 250, at)], SelfTrade.MAKER)
        if self.reference.markets[ticker].state != "active":
            return
        if of_market:
            self.switch(ticker)
        else:
            self.pause(whole=False)
        self.flow(ticker, 1 - side, at, lots, leaves=False)
        self.flow(ticker, side, at, lots, leaves=True)
        self.print(ticker, 1 - side, at, lots)
        if of_market:
            self.switch(ticker)
        else:
            self.resume()

    # -- what must agree

    def check(self, answer: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
        """Both said the same, and hold the same."""
        assert answer == expected
        self.steps += 1
        seen[f"refused {answer[2]}" if answer[:1] == ("refused",) else "".join(answer[:1])] += 1
        self.compare()

    def compare(self) -> None:
        """Everything that one can read, in both."""
        self.exchange.audit()
        self.follow()
        for ticker in TICKERS:
            self.compare_market(ticker)
        for who in range(len(DOLLARS)):
            self.compare_account(who)
        self.compare_orders()

    def follow(self) -> None:
        """The outbox, as clients hear it: books from deltas, and each its own orders, fills and positions."""
        parties: dict[str, list[tuple[int, FillMessage]]] = defaultdict(list)
        for happening in self.exchange.drain():
            value = happening.value
            if isinstance(value, BookDelta):
                side = self.books[value.ticker][value.side]
                side[value.price] = side.get(value.price, 0) + value.change
                assert side[value.price] >= 0
                if not side[value.price]:
                    del side[value.price]
            if happening.scope == "public":
                continue
            who = self.accounts.index(happening.account)
            if isinstance(value, OrderMessage):
                self.stream_orders[value.order.order_id] = value.order
            elif isinstance(value, FillMessage):
                self.stream_fills[who].append(value)
                parties[value.trade_id].append((who, value))
            elif isinstance(value, PositionMessage):
                self.stream_positions[who, value.ticker] = value
        for fills in parties.values():
            check_both_sides(fills)

    def compare_market(self, ticker: str) -> None:
        """The book that is shown, told by the stream and known to the reference; and the trades."""
        market, book = self.reference.markets[ticker], self.exchange.book(ticker)
        bids, asks = market.shown(0), market.shown(1)
        assert (dict(book.bids), dict(book.asks)) == (bids, asks) == self.books[ticker]  # type: ignore[union-attr]
        assert max(bids, default=0) < min(asks, default=10_000), "the book is crossed"
        trades = [(trade.price, trade.size, int(trade.taker)) for trade in self.exchange.trades(ticker=ticker)]
        assert trades[::-1] == market.trades

    def compare_account(self, who: int) -> None:
        """Money, positions and fills of one account."""
        account, member = self.accounts[who], self.reference.members[who]
        assert account.subaccount(0).cash == member.cash
        assert self.exchange.balance(account).cash == self.reference.free(who)
        assert {p.ticker: (p.position, p.exposure, p.realized, p.fees, p.traded)
                for p in self.exchange.positions(account, settled=None)} == {
            ticker: (held.position, held.cost, held.realized, held.fees, held.traded)
            for ticker, held in member.holdings.items() if held.traded
        }  # fmt: skip
        numbers = {order_id: number for number, order_id in self.ids.items()}
        fills = self.exchange.fills(account)[::-1]
        assert [
            (numbers[f.order_id], f.ticker, int(f.side), f.price, f.size, f.is_taker, f.fee) for f in fills
        ] == member.fills
        assert [(f.trade_id, f.order_id, f.price, f.size, f.is_taker, f.fee) for f in fills] == [
            (f.trade_id, f.order_id, f.price, f.size, f.is_taker, f.fee) for f in self.stream_fills[who]
        ]
        for position in self.exchange.positions(account, settled=None):
            told = self.stream_positions[who, position.ticker]
            assert (told.position, told.cost, told.realized) == (
                position.position,
                position.exposure,
                position.realized,
            )
        paid = [
            (s.ticker, s.yes_size, s.no_size, s.revenue, s.value, s.fee) for s in self.exchange.settlements(account)
        ]
        assert sorted(paid) == sorted(member.settlements)  # those of one moment in any order

    def compare_orders(self) -> None:
        """Every order as it stands, and what is in front of it."""
        for mine in self.reference.orders:
            account, order_id = self.accounts[mine.owner], self.ids[mine.number]
            order = self.exchange.order(account, order_id)
            assert isinstance(order, Order)
            assert order == self.stream_orders[order_id]
            assert (
                order.client_order_id, order.ticker, int(order.side), order.price, order.size, order.filled,
                order.expires_ns, order.status.value, order.taker_cost, order.maker_cost, order.taker_fees,
                order.maker_fees,
            ) == (
                mine.name, mine.ticker, mine.side, mine.price, mine.size, mine.filled,
                mine.expires_ns, mine.state, mine.taker_cost, mine.maker_cost, mine.fees - mine.maker_fees,
                mine.maker_fees,
            )  # fmt: skip
        for who, account in enumerate(self.accounts):
            ahead = {place.order_id: place.ahead for place in self.exchange.queue_positions(account)}
            assert ahead == {
                self.ids[order.number]: self.reference.markets[order.ticker].sides[order.side].ahead_of(order)
                for order in self.reference.working(who)
            }
            working = self.exchange.orders(account, status=OrderStatus.RESTING)
            assert [order.order_id for order in working[::-1]] == [
                self.ids[order.number] for order in self.reference.working(who)
            ]


def check_both_sides(fills: list[tuple[int, FillMessage]]) -> None:
    """Two accounts that met: one price, one size, opposite sides, one taker."""
    assert len(fills) <= 2
    if len(fills) == 2:
        (one, first), (other, second) = fills
        assert one != other, "an account traded with itself"
        assert (first.price, first.size, first.ticker) == (second.price, second.size, second.ticker)
        assert first.side != second.side and first.is_taker != second.is_taker
        seen["between accounts"] += 1


def test_the_exchange_is_the_reference() -> None:
    """Random commands of three accounts, flow, pauses and results: both exchanges agree after each of them."""
    seen.clear()
    run_state_machine_as_test(TwoExchanges, settings=settings(max_examples=100, stateful_step_count=50))
    for what in ("placed", "reduced", "between accounts", "flow", "print", "flow in a pause", "print in a pause",
                 "refused insufficient_balance", "refused invalid_order", "refused market_closed",
                 "refused fill_or_kill_insufficient_resting_volume", "refused order_already_exists",
                 "refused trading_is_paused"):  # fmt: skip
        assert seen[what] > 0, (what, seen)


@pytest.mark.slow
def test_the_exchange_is_the_reference_for_long() -> None:
    """The same with more and longer plays."""
    run_state_machine_as_test(TwoExchanges, settings=settings(max_examples=1_000, stateful_step_count=100))
