"""What one can ask the exchange, as it stands: lists newest first, without pages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.exchange.simulator.accounts import Account, Holding
from kalshi_ray.exchange.simulator.candles import MINUTE_NS
from kalshi_ray.exchange.simulator.flow import ASK, BID
from kalshi_ray.exchange.simulator.market import Market
from kalshi_ray.exchange.simulator.state import ExchangeState
from kalshi_ray.wire import listing
from kalshi_ray.wire.messages import BookSnapshot, Trade
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import (
    AccountFill,
    Balance,
    EventPosition,
    Order,
    OrderGroup,
    OrderStatus,
    Position,
    QueuePosition,
    Refused,
    Settlement,
)

FOREVER = 2**63


def _is_within(at_ns: int, min_ns: int, max_ns: int) -> bool:
    return min_ns <= at_ns <= (max_ns or FOREVER)


class ReadableExchange(ExchangeState):
    """The reads. Times are inclusive, 0 without a bound; a subaccount of None is all of them."""

    # -- of an account

    def orders(
        self, account: Account, *, tickers: Iterable[str] = (), events: Iterable[str] = (),
        status: OrderStatus | None = None, min_ns: int = 0, max_ns: int = 0, subaccount: int | None = None,
    ) -> list[Order]:  # fmt: skip
        """Orders by the time they were created, newest first."""
        working, wanted = account.orders.working, self._wanted(tickers, events)
        source = working if status is OrderStatus.RESTING else account.orders.by_id
        return [
            order.value()
            for order in reversed(source.values())
            if (wanted is None or order.ticker in wanted)
            and (status is None or order.status is status)
            and (subaccount is None or order.subaccount == subaccount)
            and _is_within(order.created_ns, min_ns, max_ns)
        ]

    def order(self, account: Account, order_id: str) -> Order | Refused:
        """One order, working or not."""
        found = account.orders.by_id.get(order_id)
        return found.value() if found else refusal(404, "not_found", "order")

    def queue_position(self, account: Account, order_id: str) -> QueuePosition | Refused:
        """Lots in front of one working order at its level."""
        order = account.orders.working.get(order_id)
        if order is None:
            return refusal(404, "not_found", "order")
        ahead = self.markets_by_ticker[order.ticker].book.ahead_of(order)
        return QueuePosition(order_id=order.id, ticker=order.ticker, ahead=ahead)

    def queue_positions(
        self, account: Account, *, tickers: Iterable[str] = (), events: Iterable[str] = (),
        subaccount: int | None = None,
    ) -> list[QueuePosition]:  # fmt: skip
        """Lots in front of all working orders."""
        wanted = self._wanted(tickers, events)
        return [
            QueuePosition(
                order_id=order.id, ticker=order.ticker, ahead=self.markets_by_ticker[order.ticker].book.ahead_of(order)
            )
            for order in account.orders.working.values()
            if (wanted is None or order.ticker in wanted) and subaccount in (None, order.subaccount)
        ]

    def fills(
        self, account: Account, *, tickers: Iterable[str] = (), order_id: str = "", min_ns: int = 0, max_ns: int = 0,
        subaccount: int | None = None,
    ) -> list[AccountFill]:  # fmt: skip
        """Executions, newest first."""
        wanted = self._wanted(tickers, ())
        return [
            fill
            for fill in reversed(account.fills)
            if (wanted is None or fill.ticker in wanted)
            and order_id in ("", fill.order_id)
            and subaccount in (None, fill.subaccount)
            and _is_within(fill.exch_ns, min_ns, max_ns)
        ]

    def positions(
        self, account: Account, *, tickers: Iterable[str] = (), events: Iterable[str] = (),
        settled: bool | None = False, subaccount: int = 0,
    ) -> list[Position]:  # fmt: skip
        """What one subaccount has or had in each market, by ticker; of settled markets (True), or of all (None)."""
        return [
            holding.listed(market.ticker, market.terms.exchange_index)
            for market, holding in self._holdings(account, tickers, events, settled, subaccount)
        ]

    def event_positions(
        self, account: Account, *, tickers: Iterable[str] = (), events: Iterable[str] = (),
        settled: bool | None = False, subaccount: int = 0,
    ) -> list[EventPosition]:  # fmt: skip
        """The same added up by event."""
        sums: dict[str, list[int]] = {}
        for market, held in self._holdings(account, tickers, events, settled, subaccount):
            total = sums.setdefault(market.terms.event, [0] * 5)
            for at, part in enumerate((held.traded, held.volume, held.cost, held.realized, held.fees)):
                total[at] += part
        return [
            EventPosition(event=event, cost=cost, size=size, exposure=exposure, realized=realized, fees=fees)
            for event, (cost, size, exposure, realized, fees) in sorted(sums.items())
        ]

    def balance(self, account: Account, subaccount: int | None = None) -> Balance:
        """Cash that is free, and what the positions would bring at the best prices."""
        numbers = list(account.subaccounts) if subaccount is None else [subaccount]
        cash = value = 0
        for number in numbers:
            chosen = account.subaccount(number)
            cash += chosen.free
            for ticker, holding in chosen.holdings.items():
                bid, ask, _, _ = self.markets_by_ticker[ticker].book.display.touch
                value += holding.worth(max(0, bid), min(DOLLAR, ask))
        return Balance(cash=cash, portfolio_value=value, updated_ns=account.changed_ns, by_shard=((0, cash),))

    def settlements(
        self, account: Account, *, tickers: Iterable[str] = (), events: Iterable[str] = (), min_ns: int = 0,
        max_ns: int = 0, subaccount: int | None = None,
    ) -> list[Settlement]:  # fmt: skip
        """Payouts, newest first."""
        wanted = self._wanted(tickers, events)
        return [
            paid
            for number, paid in reversed(account.settlements)
            if (wanted is None or paid.ticker in wanted)
            and subaccount in (None, number)
            and _is_within(paid.settled_ns, min_ns, max_ns)
        ]

    def group(self, account: Account, group_id: str) -> OrderGroup | Refused:
        """One order group."""
        found = account.groups.get(group_id)
        return found.value() if found else refusal(404, "not_found", "order group")

    def groups(self, account: Account, subaccount: int | None = None) -> list[OrderGroup]:
        """All order groups."""
        return [group.value() for group in account.groups.values() if subaccount in (None, group.subaccount)]

    # -- of everybody

    def book(self, ticker: str, depth: int = 0) -> listing.Book | Refused:
        """The shown book, `depth` levels a side (0: all)."""
        market = self.markets_by_ticker.get(ticker)
        if market is None:
            return refusal(404, "not_found", "market")
        bids, asks = (market.book.display.levels(side)[: depth or None] for side in (BID, ASK))
        return listing.Book(ticker=ticker, bids=bids, asks=asks)

    def snapshot(self, ticker: str) -> BookSnapshot | None:
        """The shown book as the stream says it; None for a market that does not exist."""
        market = self.markets_by_ticker.get(ticker)
        if market is None:
            return None
        display = market.book.display
        return BookSnapshot(ticker=ticker, bids=display.levels(BID), asks=display.levels(ASK), exch_ns=self.now_ns)

    def market(self, ticker: str) -> listing.Market | Refused:
        """One market."""
        found = self.markets_by_ticker.get(ticker)
        return found.listed() if found else refusal(404, "not_found", "market")

    def markets(
        self, *, tickers: Iterable[str] = (), events: Iterable[str] = (), series: str = "",
        statuses: Iterable[Status] = (),
    ) -> list[listing.Market]:  # fmt: skip
        """Markets in order of listing."""
        wanted, allowed = self._wanted(tickers, events), set(statuses)
        return [
            market.listed()
            for market in self.markets_by_ticker.values()
            if (wanted is None or market.ticker in wanted)
            and series in ("", market.terms.series)
            and (not allowed or market.shown_status in allowed)
        ]

    def trades(self, *, ticker: str = "", min_ns: int = 0, max_ns: int = 0) -> list[listing.Print]:
        """Public trades, newest first."""
        chosen = self.markets_by_ticker.values() if not ticker else [self.markets_by_ticker.get(ticker)]
        found = chain.from_iterable(reversed(market.trades) for market in chosen if market)
        prints = [_print_of(trade) for trade in found if _is_within(trade.exch_ns, min_ns, max_ns)]
        return prints if ticker else sorted(prints, key=lambda one: -one.exch_ns)

    def events(self, *, series: str = "") -> list[listing.Event]:
        """Events with their markets, in order of listing."""
        found: dict[str, list[Market]] = {}
        for market in self.markets_by_ticker.values():
            if series in ("", market.terms.series):
                found.setdefault(market.terms.event, []).append(market)
        return [_event_of(markets) for markets in found.values()]

    def event(self, ticker: str) -> listing.Event | Refused:
        """One event with its markets."""
        markets = [market for market in self.markets_by_ticker.values() if market.terms.event == ticker]
        return _event_of(markets) if markets else refusal(404, "not_found", "event")

    def all_series(self) -> list[listing.Series]:
        """All series, in order of listing."""
        firsts: dict[str, Market] = {}
        for market in self.markets_by_ticker.values():
            firsts.setdefault(market.terms.series, market)
        return [_series_of(market) for market in firsts.values()]

    def series(self, ticker: str) -> listing.Series | Refused:
        """One series."""
        found = next((one for one in self.all_series() if one.ticker == ticker), None)
        return found or refusal(404, "not_found", "series")

    def candles(
        self, ticker: str, *, start_ns: int, end_ns: int, period_ns: int = MINUTE_NS
    ) -> tuple[listing.Candle, ...] | Refused:
        """Periods that end in [start, end], those in which something happened."""
        market = self.markets_by_ticker.get(ticker)
        if market is None:
            return refusal(404, "not_found", "market")
        return market.candles.candles(start_ns, end_ns, period_ns // MINUTE_NS)

    def status(self) -> listing.ExchangeStatus:
        """Whether the exchange is open, and whether it trades."""
        trading = self.exchange_active and self.trading_active
        return listing.ExchangeStatus(exchange_active=self.exchange_active, trading_active=trading)

    # -- choosing

    def _wanted(self, tickers: Iterable[str], events: Iterable[str]) -> set[str] | None:
        """Tickers asked for, by name or event; None for all."""
        names, of_events = set(tickers), set(events)
        if not names and not of_events:
            return None
        found = {m.ticker for m in self.markets_by_ticker.values() if m.terms.event in of_events}
        return names & found if names and of_events else names | found

    def _holdings(
        self, account: Account, tickers: Iterable[str], events: Iterable[str], settled: bool | None, subaccount: int
    ) -> list[tuple[Market, Holding]]:
        wanted, chosen = self._wanted(tickers, events), account.subaccount(subaccount)
        return [
            (self.markets_by_ticker[ticker], holding)
            for ticker, holding in sorted(chosen.holdings.items())
            if holding.volume and (wanted is None or ticker in wanted) and settled in (None, holding.settled)
        ]


def _print_of(trade: Trade) -> listing.Print:
    return listing.Print(
        trade_id=trade.trade_id, ticker=trade.ticker, price=trade.price, size=trade.size, taker=Side(trade.taker),
        exch_ns=trade.exch_ns, is_block=trade.is_block,
    )  # fmt: skip


def _event_of(markets: list[Market]) -> listing.Event:
    terms = markets[0].terms
    return listing.Event(
        ticker=terms.event, series=terms.series, title=terms.title, category=terms.category,
        mutually_exclusive=terms.mutually_exclusive, markets=tuple(market.listed() for market in markets),
    )  # fmt: skip


def _series_of(market: Market) -> listing.Series:
    terms = market.terms
    return listing.Series(
        ticker=terms.series, title=terms.series, category=terms.category, fee_type=market.terms.fee_type,
        multiplier_ppm=market.terms.multiplier_ppm,
    )  # fmt: skip
