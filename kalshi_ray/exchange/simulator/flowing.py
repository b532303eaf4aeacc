"""How the flow and the operator drive the exchange: updates of a tape, pauses, results."""

from __future__ import annotations

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import Side
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.simulator.flow import FlowDelta, FlowUpdate, WholeUpdate
from kalshi_ray.exchange.simulator.grouping import GroupingExchange
from kalshi_ray.exchange.simulator.lifecycle import RESULTS
from kalshi_ray.exchange.simulator.market import HALT, Market
from kalshi_ray.exchange.simulator.settings import rates_of
from kalshi_ray.exchange.simulator.state import CLOSE
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, FeeChange, MarketChange, RecorderRow, Trade


class FlowingExchange(GroupingExchange):
    """The exchange as the flow meets it."""

    def apply_flow(self, update: FlowUpdate, now_ns: int) -> None:
        """One update of the flow, with all that it does to accounts' orders."""
        self.turn(now_ns)
        if isinstance(update, BookDelta):  # nearly all of them
            market = self.market_of(update.ticker)
            if not market.is_over:
                self._change_level(market, update)
                market.publish()
        elif isinstance(update, FeeChange):
            self._change_fees(update)
        elif isinstance(update, RecorderRow) and not update.ticker:
            for market in self.markets_by_ticker.values():
                self._flow_into(market, update)
        else:
            self._flow_into(self.market_of(update.ticker), update)
        if self.clearing.tripped:
            self.trip_groups()

    def advance(self, now_ns: int) -> None:
        """Let everything happen that is due up to `now_ns`."""
        self.turn(now_ns)

    @property
    def next_due_ns(self) -> int | None:
        """When something may happen by itself next."""
        return self._timers[0][0] if self._timers else None

    def _flow_into(self, market: Market, update: WholeUpdate) -> None:
        if isinstance(update, BookSnapshot):
            if not market.is_over:
                market.book.replace_flow(update, meets=self.may_trade(market))
                market.resume()
        elif isinstance(update, Trade):
            if not market.is_over:
                self._print(market, update)
        elif isinstance(update, MarketChange):
            self._change_market(market, update)
        else:
            self._note_row(market, update)
        market.publish()

    def may_trade(self, market: Market) -> bool:
        """Whether orders can meet: elsewhere the flow's book changes, and nothing trades."""
        return self.exchange_active and self.trading_active and market.trades_now

    def _change_level(self, market: Market, delta: BookDelta) -> None:
        book = market.book
        bids, asks = book.ladders
        meets = bool(bids.count or asks.count) and self.may_trade(market)
        by_trade = meets and isinstance(delta, FlowDelta) and delta.by_trade  # in a pause its print counts for nobody
        if not book.change_flow(delta, by_trade=by_trade, meets=meets):
            market.halt()

    def _print(self, market: Market, trade: Trade) -> None:
        """Accounts' orders are hit first; the rest of the print is the flow's own. Blocks and odd prices hit nobody."""
        if not self.may_trade(market):
            return
        rest, taker = trade.size, trade.taker
        if not trade.is_block and trade.price in market.prices:
            rest = market.book.meet_print(trade.price, trade.size, int(taker))
        if rest:
            if taker is Side.NONE:
                taker = market.taker_of(trade.price)
            market.note_print(trade.price, rest, taker, is_block=trade.is_block)

    def _change_market(self, market: Market, change: MarketChange) -> None:
        """What a tape or the exchange's own stream says of a market's life."""
        if change.ranges is not None and change.ranges != market.ranges:
            market.regrid(change.ranges)
        if change.close_ns is not None and change.close_ns != market.close_ns:
            self._reschedule(market, change.close_ns)
        if change.value is not None and change.change != "settled":
            self.determine(market, change.value)
        elif change.status is not None:
            self._become(market, change.status)

    def _note_row(self, market: Market, row: RecorderRow) -> None:
        kind = Kind(row.kind)
        if kind is Kind.GAP:
            if not market.is_over:
                market.book.flow.known = False
                market.halt()
        elif kind is Kind.STATUS:
            self._become(market, Status(row.size))
        elif kind is Kind.SCHEDULE:
            self._reschedule(market, row.size)
        elif kind is Kind.FEE:
            market.charge(row.size, row.price)
        elif kind is Kind.SETTLEMENT:
            self.determine(market, row.price)
        elif kind is not Kind.SIGNAL:  # of which an exchange knows nothing
            raise DataError(
                f"{market.ticker}: a row of kind {kind.name} does not reach the exchange as a row",
                remedy="Send it as a message: BookSnapshot, FlowDelta, Trade, or MarketChange with its ranges",
            )

    def _become(self, market: Market, status: Status) -> None:
        """A state that a tape names. Results come with their value, so that the states behind it only close."""
        if status in RESULTS:
            market.close()
        else:
            market.become(status)

    def _reschedule(self, market: Market, close_ns: int) -> None:
        if market.is_over:
            return
        market.reschedule(close_ns)
        if close_ns:
            self.schedule(close_ns, CLOSE, market)
            self.turn(self.now_ns)

    def _change_fees(self, change: FeeChange) -> None:
        """Fees of an event override those of its series, or no longer do."""
        for market in self.markets_by_ticker.values():
            if market.terms.event == change.event:
                fee_type = change.fee_type or market.terms.fee_type
                multiplier = market.terms.multiplier_ppm if change.multiplier_ppm is None else change.multiplier_ppm
                market.charge(*rates_of(fee_type, multiplier))
                market.publish()
        self.clearing.tell_all(change.event, change)

    # -- the operator

    def pause_trading(self, now_ns: int) -> None:
        """No orders until further notice; cancels pass. Orders that asked for it are cancelled."""
        self.turn(now_ns)
        self.trading_active = False
        for market in self.markets_by_ticker.values():
            market.cancel_resting(HALT, only_on_pause=True)
            market.publish()

    def pause_exchange(self, now_ns: int) -> None:
        """Nothing is taken until further notice, cancels neither."""
        self.pause_trading(now_ns)
        self.exchange_active = False

    def resume_trading(self, now_ns: int) -> None:
        """Trading goes on: orders meet what the flow has become."""
        self.turn(now_ns)
        self.exchange_active = self.trading_active = True
        for market in self.markets_by_ticker.values():
            if market.trades_now:
                market.book.meet_flow()
            market.publish()
        self.trip_groups()

    def set_status(self, ticker: str, status: Status, now_ns: int) -> None:
        """Pause one market, let it go on, close it, dispute its result."""
        self.turn(now_ns)
        market = self.market_of(ticker)
        market.become(status)
        market.publish()

    def settle_at(self, ticker: str, value: int, now_ns: int) -> None:
        """Close a market and name its result, in pips that one YES pays. Payout follows after its settlement timer."""
        self.turn(now_ns)
        market = self.market_of(ticker)
        self.determine(market, value)
        market.publish()
