"""One market of the exchange: its terms, its book, its life, and what was traded in it."""

from __future__ import annotations

from collections import deque
from typing import Any

from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR, SECOND, PriceGrid, Side
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.simulator.accounts import Holding
from kalshi_ray.exchange.simulator.candles import CandleHistory
from kalshi_ray.exchange.simulator.clearing import Clearing
from kalshi_ray.exchange.simulator.composite import CompositeBook
from kalshi_ray.exchange.simulator.display import Touch
from kalshi_ray.exchange.simulator.flow import NO_ASK, NO_BID
from kalshi_ray.exchange.simulator.lifecycle import CANCELS, RESULTS, result_of, step_word
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.outbox import Cause, Public
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire import listing
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, MarketChange, Ranges, Trade
from kalshi_ray.wire.trading import TickerMessage

HALT, UNPAID = "HaltCancel", "MarginCancel"


class Market:
    """A market and all that stands and happens in it. It is the `Desk` of its own matching."""

    def __init__(self, terms: MarketTerms, model: FillModel, clearing: Clearing, kept: int) -> None:
        self.terms, self.ticker, self.clearing = terms, terms.ticker, clearing
        self.id = clearing.next_id("market")[1]
        self.book = CompositeBook(model, self)
        self.status = Status.INITIALIZED
        self.is_over = False  # closed or beyond: the flow has no say any more
        self.is_halted = False  # the flow's book is unknown: as in a pause
        self.close_ns = terms.close_ns
        self.taker_ppm, self.maker_ppm = terms.rates
        self.fee_type, self.multiplier_ppm = terms.fee_type, terms.multiplier_ppm
        self.set_ranges(terms.ranges)
        self.result = ""
        self.value: int | None = None  # pips that one YES pays
        self.settle_ns = self.settled_ns = 0
        self.updated_ns = clearing.now_ns
        self.last_price: int | None = None
        self.last_size = self.volume = self.open_interest = self.fees = 0
        self.trades: deque[Trade] = deque(maxlen=kept)
        self.candles = CandleHistory()
        self.flow_holding, self.flow_cash = Holding(), 0
        self._is_restated = True  # the last price, the volume or the open interest changed
        self._told: tuple[Touch, int | None, int, int] | None = None

    # -- what it is

    @property
    def trades_now(self) -> bool:
        """Whether orders may be placed and amended."""
        return self.status is Status.ACTIVE and not self.is_halted

    @property
    def shown_status(self) -> Status:
        """The state that everybody is told."""
        return Status.INACTIVE if self.is_halted and self.status is Status.ACTIVE else self.status

    @property
    def is_settled(self) -> bool:
        """Whether positions were paid out."""
        return self.settled_ns > 0

    def set_ranges(self, ranges: Ranges) -> None:
        """Another grid. Resting orders stay where they are."""
        self.ranges = ranges
        self.prices = frozenset(PriceGrid(ranges).prices.tolist())

    def listed(self) -> listing.Market:
        """The market as REST describes it."""
        bid, ask, bid_size, ask_size = self.book.display.touch
        terms = self.terms
        return listing.Market(
            ticker=self.ticker,
            event=terms.event,
            status=self.shown_status.name.lower(),
            title=terms.title,
            open_ns=terms.open_ns,
            close_ns=self.close_ns,
            bid=bid if bid != NO_BID else None,
            ask=ask if ask != NO_ASK else None,
            bid_size=bid_size,
            ask_size=ask_size,
            last_price=self.last_price,
            volume=self.volume,
            volume_24h=self.candles.volume_since(self.clearing.now_ns),
            open_interest=self.open_interest,
            ranges=self.ranges,
            price_structure=terms.price_structure,
            result=self.result,
            settlement_value=self.value,
            settled_ns=self.settled_ns,
            can_close_early=True,
            exchange_index=terms.exchange_index,
            updated_ns=self.updated_ns,
            settlement_timer_s=terms.settlement_timer_s,
        )

    # -- the desk of its matching

    def deal(self, resting: LiveOrder | None, taker: LiveOrder | None, price: int, lots: int, bought: int) -> None:
        """Two parties meet."""
        self.clearing.match(self, resting, taker, price, lots, bought)

    def done(self, order: LiveOrder) -> None:
        """A resting order is complete."""
        self.clearing.forget(order)

    def cancel(self, order: LiveOrder, reason: str = "") -> None:
        """A resting order is taken off."""
        self.book.leave(order)
        self.clearing.end(order, reason)

    def cancel_resting(self, reason: str, *, only_on_pause: bool = False) -> None:
        """All resting orders are taken off, or those that asked for it in a pause."""
        for ladder in self.book.ladders:
            for order in list(ladder.by_priority()):
                if order.cancel_on_pause or not only_on_pause:
                    self.cancel(order, reason)

    def note_trade(self, trade: Trade) -> None:
        """A print, whoever was in it."""
        self.volume += trade.size
        self.last_price, self.last_size = trade.price, trade.size
        self._is_restated = True
        self.trades.append(trade)
        self.candles.note_trade(trade.exch_ns, trade.price, trade.size)
        self.clearing.tell_all(self.ticker, trade)

    def note_position(self, before: int, after: int) -> None:
        """A position changed, the flow's own included: each pair of YES and NO has one who is long."""
        change = max(0, after) - max(0, before)
        self.open_interest += change
        self._is_restated |= change != 0

    def charge(self, taker_ppm: int, maker_ppm: int) -> None:
        """Other fees. Resting orders hold them back from now on; the latest that nobody can pay for are taken off."""
        self.taker_ppm, self.maker_ppm = taker_ppm, maker_ppm
        resting = sorted((o for ladder in self.book.ladders for o in ladder.by_priority()), key=lambda o: -o.number)
        for order in resting:
            self.clearing.rebound(order, max(taker_ppm, maker_ppm))
        for order in resting:
            if order.account.subaccount(order.subaccount).free < 0:
                self.cancel(order, UNPAID)

    def note_print(self, price: int, lots: int, taker: Side, *, is_block: bool) -> None:
        """A print in which no account took part."""
        clearing = self.clearing
        self.note_trade(
            Trade(ticker=self.ticker, price=price, size=lots, taker=taker, exch_ns=clearing.now_ns, is_block=is_block,
                  trade_id=clearing.next_id("trade")[1])
        )  # fmt: skip

    # -- telling

    def publish(self, cause: Cause | None = None) -> None:
        """Tell how the shown book differs from what was shown, and the touch and the last price where they differ."""
        display, clearing = self.book.display, self.clearing
        if display.touched:
            now_ns, outbox = clearing.now_ns, clearing.outbox
            for side, price, change in display.refresh(self.book.flow, self.book.ladders):
                delta = BookDelta(
                    ticker=self.ticker, market_id=self.id, side=_SIDES[side], price=price, change=change, exch_ns=now_ns
                )
                outbox.append(Public("public", self.ticker, delta, cause))
        if display.has_moved or self._is_restated:
            display.has_moved = self._is_restated = False
            told = (display.touch, self.last_price, self.volume, self.open_interest)
            if told != self._told:
                self._told = told
                self.candles.note_state(clearing.now_ns, told[0], self.open_interest)
                clearing.tell_all(self.ticker, self.ticker_message())

    def ticker_message(self) -> TickerMessage:
        """The last price and the touch."""
        bid, ask, bid_size, ask_size = self.book.display.touch
        return TickerMessage(
            ticker=self.ticker,
            market_id=self.id,
            price=self.last_price,
            bid=bid if bid != NO_BID else None,
            ask=ask if ask != NO_ASK else None,
            bid_size=bid_size,
            ask_size=ask_size,
            last_size=self.last_size,
            volume=self.volume,
            open_interest=self.open_interest,
            dollar_volume=self.volume // 200,
            dollar_open_interest=self.open_interest // 200,
            exch_ns=self.clearing.now_ns,
        )

    def tell_change(self, change: str, **facts: Any) -> None:
        """A step in the market's life, in the exchange's word."""
        self.updated_ns = self.clearing.now_ns
        message = MarketChange(ticker=self.ticker, change=change, exch_ns=self.clearing.now_ns, **facts)
        self.clearing.tell_all(self.ticker, message)

    # -- its life

    def become(self, status: Status) -> None:
        """Step to another state, with all that it does to resting orders. Nothing happens where it is already there."""
        if status is self.status:
            return
        if status in RESULTS:
            raise DataError(f"{self.ticker}: a market becomes {status.name.lower()} by its result alone")
        before = self.status
        word = step_word(self.ticker, before, status)
        self.status = status
        if word in ("activated", "deactivated") and not self.is_halted:
            self.tell_change(word, status=status)
        reason = CANCELS.get((before, status))
        if reason:
            self.cancel_resting(reason)
        elif status is Status.INACTIVE:
            self.cancel_resting(HALT, only_on_pause=True)
        if status is Status.CLOSED:  # the orders of the flow are cancelled as well
            self.book.replace_flow(BookSnapshot(ticker=self.ticker, bids=(), asks=()), meets=False)
            self.is_halted, self.is_over = False, True
        self.updated_ns = self.clearing.now_ns

    def halt(self) -> None:
        """The flow's book is lost: no orders until it is known again, and none survives (as in the environment)."""
        self.cancel_resting(HALT)
        if not self.is_halted:
            self.is_halted = True
            if self.status is Status.ACTIVE:
                self.tell_change("deactivated", status=Status.INACTIVE)

    def resume(self) -> None:
        """The flow's book is known again."""
        if self.is_halted:
            self.is_halted = False
            if self.status is Status.ACTIVE:
                self.tell_change("activated", status=Status.ACTIVE)

    def close(self) -> None:
        """No more orders, and no resting ones."""
        if self.status in (Status.INITIALIZED, Status.ACTIVE, Status.INACTIVE):
            self.become(Status.CLOSED)

    def determine(self, value: int) -> None:
        """The result is known: what one YES pays, in pips. Payout follows after the settlement timer."""
        result = result_of(value)
        self.close()
        status = Status.AMENDED if self.status is Status.DISPUTED else Status.DETERMINED
        word = step_word(self.ticker, self.status, status)
        self.status, self.result, self.value = status, result, value
        self.settle_ns = self.clearing.now_ns + self.terms.settlement_timer_s * SECOND
        self.tell_change(word, status=status, result=result, value=value)

    def reschedule(self, close_ns: int) -> None:
        """The close moves."""
        self.close_ns = close_ns
        self.tell_change("close_date_updated", close_ns=close_ns)

    def regrid(self, ranges: Ranges) -> None:
        """The grid changes; resting orders stay."""
        self.set_ranges(ranges)
        self.tell_change("price_level_structure_updated", ranges=ranges)

    def taker_of(self, price: int) -> Side:
        """Whom an unsigned print most likely came from: the side that it stands on."""
        bid, ask, _, _ = self.book.display.touch
        return Side.ASK if price <= bid or (price < ask and 2 * price < bid + min(ask, DOLLAR)) else Side.BID


_SIDES = (Side.BID, Side.ASK)
