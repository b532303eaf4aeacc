"""A slow and obvious exchange: what protocol.md says of orders, fees and settlement, in lists and dictionaries.

It answers ("placed", filled, remaining, average price, average fee), ("reduced", lots) or ("refused", status, code).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.exchange.reference.line import Flow, Side
from tests.exchange.reference.money import DOLLAR, Member, Order, highest_fees

NOT_FOUND = ("refused", 404, "not_found")
BAD_ORDER = ("refused", 400, "invalid_order")
BAD_SIZE = ("refused", 400, "invalid_order_size")
BAD_PRICE = ("refused", 400, "invalid_price")
TAKEN = ("refused", 409, "order_already_exists")
PAUSED = ("refused", 409, "trading_is_paused")
CLOSED = ("refused", 409, "market_closed")
POOR = ("refused", 400, "insufficient_balance")
TOO_LITTLE = ("refused", 409, "fill_or_kill_insufficient_resting_volume")
Answer = tuple[Any, ...]


@dataclass
class Market:
    """One market and its two sides."""

    ticker: str
    step: int
    taker_ppm: int
    maker_ppm: int
    close_ns: int
    timer_ns: int
    state: str = "active"
    value: int = 0
    pays_ns: int = 0
    sides: tuple[Side, Side] = field(default_factory=lambda: (Side(0), Side(1)))
    trades: list[tuple[int, int, int]] = field(default_factory=list)

    def shown(self, side: int) -> dict[int, int]:
        """Lots by price, without flow that an order of the other side reaches: it waits for trading to go on."""
        own, far = self.sides[side], self.sides[1 - side]
        limit = next((order.price for order in far.orders()), None)
        found = {}
        for price, lots in own.shown().items():
            hidden = own.flow_at(price) if limit is not None and own.reaches(limit, price) else 0
            if lots > hidden:
                found[price] = lots - hidden
        return found


class ReferenceExchange:
    """Accounts by number, markets by ticker."""

    def __init__(self, cash: list[int], markets: list[Market], precision: int) -> None:
        self.members = [Member(micros) for micros in cash]
        self.markets = {market.ticker: market for market in markets}
        self.precision = precision
        self.orders: list[Order] = []
        self.now_ns = 0
        self.is_trading = self.is_open = True

    # -- what one sees

    def working(self, owner: int) -> list[Order]:
        """An account's working orders, oldest first."""
        return [order for order in self.orders if order.owner == owner and order.state == "resting"]

    def free(self, owner: int) -> int:
        """Cash that no order holds back."""
        return self.members[owner].cash - self.members[owner].held_back(self.working(owner))

    # -- time

    def advance(self, now_ns: int) -> None:
        """Everything that falls due up to now, in order of time; expiries before closes before payouts."""
        while due := [event for event in self._events() if event[0] <= now_ns]:
            at_ns, what, subject = min(due, key=lambda event: event[:2])
            self.now_ns = at_ns
            if isinstance(subject, Order):
                self._cancel(subject)
            elif what == 1:
                self.close(subject)
            else:
                self._pay(subject)
        self.now_ns = now_ns

    def _events(self) -> list[tuple[int, int, Order | Market]]:
        found: list[tuple[int, int, Order | Market]] = [
            (o.expires_ns, 0, o) for o in self.orders if o.state == "resting" and o.expires_ns
        ]
        for market in self.markets.values():
            if market.state in ("active", "inactive") and market.close_ns:
                found.append((market.close_ns, 1, market))
            if market.state == "determined":
                found.append((market.pays_ns, 2, market))
        return found

    # -- the life of a market

    def close(self, market: Market) -> None:
        """No orders any more, neither resting nor those of the flow."""
        market.state = "closed"
        for side in market.sides:
            for order in list(side.orders()):
                self._cancel(order)
            side.restate({})
            side.tidy()

    def determine(self, ticker: str, value: int) -> None:
        """The result is known."""
        market = self.markets[ticker]
        if market.state in ("active", "inactive"):
            self.close(market)
        market.state, market.value, market.pays_ns = "determined", value, self.now_ns + market.timer_ns
        self.advance(self.now_ns)

    def _pay(self, market: Market) -> None:
        market.state = "finalized"
        for member in self.members:
            held = member.holding(market.ticker)
            position = held.position
            paid = held.settle(market.value)
            member.cash += paid
            if position:
                yes, no = max(0, position), max(0, -position)
                member.settlements.append((market.ticker, yes, no, paid, market.value, held.fees))

    def set_active(self, ticker: str, active: bool) -> None:
        """Deactivation cancels orders that asked for it, reactivation all of them."""
        market = self.markets[ticker]
        market.state = "active" if active else "inactive"
        self._sweep(market, only_on_pause=not active)

    def pause(self, *, whole: bool) -> None:
        """Trading pauses, or the whole exchange; orders that asked for it are cancelled."""
        self.is_trading = False
        self.is_open = self.is_open and not whole
        for market in self.markets.values():
            self._sweep(market, only_on_pause=True)

    def resume(self) -> None:
        """Everything goes on."""
        self.is_trading = self.is_open = True
        for market in self.markets.values():
            self._meet(market)

    def _sweep(self, market: Market, *, only_on_pause: bool) -> None:
        for side in market.sides:
            for order in list(side.orders()):
                if order.cancel_on_pause or not only_on_pause:
                    self._cancel(order)

    # -- commands

    def place(
        self, owner: int, ticker: str, name: str, side: int, size: int, price: int, *, tif: str, self_trade: str,
        post_only: bool, reduce_only: bool, cancel_on_pause: bool, expires_ns: int,
    ) -> Answer:  # fmt: skip
        """An order; whether it is taken, and what became of it."""
        market, member = self.markets.get(ticker), self.members[owner]
        if market is None:
            return NOT_FOUND
        if name in member.names:
            return TAKEN
        if size <= 0:
            return BAD_SIZE
        if (reduce_only and tif != "ioc") or (post_only and tif != "gtc"):
            return BAD_ORDER
        if expires_ns and (tif != "gtc" or expires_ns <= self.now_ns):
            return BAD_ORDER
        if refused := self._refuses_change(market):
            return refused
        if not self._is_on_grid(market, price):
            return BAD_PRICE
        order = Order(len(self.orders), owner, ticker, name, side, price, size, self_trade, post_only,
                      cancel_on_pause, expires_ns)  # fmt: skip
        wanted = member.holding(ticker).closes(side, size) if reduce_only else size
        order.size = wanted
        order.fee_bound = highest_fees(wanted, price, market.taker_ppm, self.precision)
        if member.cash < member.held_back([*self.working(owner), order]):
            return POOR
        order.size = size
        if post_only and self._crosses(market, side, price):
            return BAD_ORDER
        if tif == "fok" and not self._can_fill(market, order):
            member.names.add(name)
            return TOO_LITTLE
        member.names.add(name)
        self.orders.append(order)
        self._execute(market, order, wanted, rests=tif == "gtc")
        return self._placed(order, 0, 0, 0)

    def cancel(self, owner: int, number: int) -> Answer:
        """Take an order back; in a pause of trading too."""
        order = self.orders[number]
        market = self.markets[order.ticker]
        if not self.is_open:
            return PAUSED
        if market.state not in ("active", "inactive"):
            return CLOSED
        if order.owner != owner or order.state != "resting":
            return NOT_FOUND
        lots = order.left
        self._cancel(order)
        return ("reduced", lots)

    def cancel_all(self, owner: int) -> Answer:
        """Take all orders back."""
        if not self.is_open:
            return PAUSED
        found = self.working(owner)
        for order in found:
            self._cancel(order)
        return ("cancelled", len(found))

    def decrease(self, owner: int, number: int, *, by: int | None, to: int | None) -> Answer:
        """Less of an order, in its place; nothing of it is a cancel."""
        order = self.orders[number]
        if (by is None) == (to is None):
            return ("refused", 400, "bad_request")
        if refused := self._refuses_change(self.markets[order.ticker]):
            return refused
        if order.owner != owner or order.state != "resting":
            return NOT_FOUND
        if by is not None and by <= 0:
            return BAD_SIZE
        left = max(0, order.left - by) if by is not None else to
        if left is None or not 0 <= left <= order.left:
            return BAD_SIZE
        self._shrink(order, left)
        return ("reduced", left)

    def amend(
        self, owner: int, number: int, side: int, price: int, size: int, *, name: str, expires_ns: int | None
    ) -> Answer:
        """Another price, total size, name or expiration. A higher size or another price goes to the back."""
        order = self.orders[number]
        market = self.markets[order.ticker]
        if refused := self._refuses_change(market):
            return refused
        if order.owner != owner or order.state != "resting":
            return NOT_FOUND
        if side != order.side:
            return ("refused", 400, "order_side_mismatch")
        if name and name != order.name and name in self.members[owner].names:
            return TAKEN
        if size <= 0:
            return BAD_SIZE
        if expires_ns and expires_ns <= self.now_ns:
            return BAD_ORDER
        if price != order.price and not self._is_on_grid(market, price):
            return BAD_PRICE
        before, left = (order.filled, order.taker_cost, order.fees), order.left
        if size > order.filled and (price != order.price or size > order.size):
            refused = self._requeue(market, order, price, size)
            if refused:
                return refused
        elif size < order.size:
            self._shrink(order, max(0, size - order.filled))
        if name:
            self.members[owner].names.add(name)
            order.name = name
        if expires_ns is not None:
            order.expires_ns = expires_ns
        answer = self._placed(order, *before)
        return (*answer[:2], None, *answer[3:]) if answer[1:3] == (0, left) else answer

    def _requeue(self, market: Market, order: Order, price: int, size: int) -> Answer | None:
        member = self.members[order.owner]
        was = order.price, order.size, order.fee_bound
        order.price, order.size = price, size
        order.fee_bound = order.fees + highest_fees(order.left, price, market.taker_ppm, self.precision)
        is_poor = member.cash < member.held_back(self.working(order.owner))
        crosses = price != was[0] and order.post_only and self._crosses(market, order.side, price)
        if is_poor or crosses:
            order.price, order.size, order.fee_bound = was
            return POOR if is_poor else BAD_ORDER
        market.sides[order.side].lines[was[0]].remove(order)
        self._execute(market, order, order.left if price != was[0] else 0, rests=True)
        return None

    def _shrink(self, order: Order, left: int) -> None:
        if left == 0:
            self._cancel(order)
            return
        market = self.markets[order.ticker]
        order.size = order.filled + left
        order.fee_bound = order.fees + highest_fees(left, order.price, market.taker_ppm, self.precision)

    def _refuses_change(self, market: Market) -> Answer | None:
        if not self.is_open or not self.is_trading:
            return PAUSED
        return {"active": None, "inactive": PAUSED}.get(market.state, CLOSED)

    def _is_on_grid(self, market: Market, price: int) -> bool:
        return 0 < price < DOLLAR and price % market.step == 0

    # -- matching

    def _crosses(self, market: Market, side: int, price: int) -> bool:
        far = market.sides[1 - side]
        return any(far.reaches(price, there) for there in far.lines)

    def _can_fill(self, market: Market, order: Order) -> bool:
        """Whether others have enough for it; one that would meet its own account first does what it can instead."""
        far, lots = market.sides[1 - order.side], 0
        for price in far.prices():
            if not far.reaches(order.price, price):
                break
            for entry in far.lines[price]:
                if isinstance(entry, Flow):
                    lots += entry.lots
                elif entry.owner != order.owner:
                    lots += entry.left
                elif order.self_trade == "taker_at_cross":
                    return True
        return lots >= order.size

    def _execute(self, market: Market, order: Order, wanted: int, *, rests: bool) -> None:
        stopped = self._take(market, order, wanted)
        for side in market.sides:
            side.tidy()
        if not order.left:
            order.state = "executed"
        elif stopped or not rests:
            order.state = "canceled"
        else:
            market.sides[order.side].join(order, order.price)

    def _take(self, market: Market, order: Order, wanted: int) -> bool:
        """Walk the other side, by price and then by time; whether an own order stood in the way."""
        far = market.sides[1 - order.side]
        for price in far.prices():
            if not far.reaches(order.price, price):
                break
            for entry in list(far.lines[price]):
                if not wanted:
                    return False
                if isinstance(entry, Flow):
                    lots = min(wanted, entry.lots)
                    entry.lots -= lots
                    far.taken[price] = far.taken.get(price, 0) + lots
                    self._trade(market, None, order, price, lots, order.side)
                elif entry.owner == order.owner:
                    if order.self_trade == "taker_at_cross":
                        return True
                    entry.state = "canceled"
                    far.leave(entry)
                    continue
                else:
                    lots = min(wanted, entry.left)
                    self._trade(market, entry, order, price, lots, order.side)
                wanted -= lots
        return False

    def _trade(
        self, market: Market, maker: Order | None, taker: Order | None, price: int, lots: int, bought: int
    ) -> None:
        market.trades.append((price, lots, bought))
        for order, is_taker in ((maker, False), (taker, True)):
            if order is None:
                continue
            member, ppm = self.members[order.owner], market.taker_ppm if is_taker else market.maker_ppm
            held = member.holding(order.ticker)
            revenue = held.revenue(order.side, price, lots)
            fee = order.charge(lots, price, revenue, ppm, self.precision)
            held.trade(order.side, price, lots, fee)
            member.cash += revenue - fee
            order.filled += lots
            order.fees += fee
            cost = lots * (price if order.side == 0 else DOLLAR - price)
            if is_taker:
                order.taker_cost += cost
            else:
                order.maker_cost += cost
                order.maker_fees += fee
            rest = order.fees + highest_fees(order.left, order.price, market.taker_ppm, self.precision)
            better = lots * order.paid - cost  # than its limit: that much more is there for fees
            order.fee_bound = min(order.fee_bound + better, rest)
            if not order.left:
                order.state = "executed"
            member.fills.append((order.number, order.ticker, order.side, price, lots, is_taker, fee))

    def _cancel(self, order: Order) -> None:
        order.state = "canceled"
        side = self.markets[order.ticker].sides[order.side]
        side.leave(order)
        side.tidy()

    def _placed(self, order: Order, filled: int, cost: int, fees: int) -> Answer:
        lots, paid, fee = order.filled - filled, order.taker_cost - cost, order.fees - fees
        remaining = order.left if order.state == "resting" else 0
        if not lots:
            return ("placed", 0, remaining, None, None)
        if order.side == 1:
            paid = lots * DOLLAR - paid
        # Micros a contract of 100 lots, half a micro upwards.
        return ("placed", lots, remaining, *((200 * micros + lots) // (2 * lots) for micros in (paid, fee)))

    # -- the flow of everybody else

    def flow_changes(self, ticker: str, side: int, price: int, change: int) -> None:
        """Others place lots, which trade with orders that they reach and queue behind; or they take lots back."""
        market = self.markets[ticker]
        own = market.sides[side]
        if change > 0:
            own.taped[price] = own.taped.get(price, 0) + change
            own.join(Flow(change), price)
            self._meet(market)
        else:
            own.shrink(price, -change)
        own.tidy()

    def flow_restated(self, ticker: str, bids: dict[int, int], asks: dict[int, int]) -> None:
        """The whole book of the others."""
        market = self.markets[ticker]
        for side, taped in zip(market.sides, (bids, asks), strict=True):
            side.restate(taped)
            side.tidy()
        self._meet(market)
        for side in market.sides:
            side.tidy()

    def _meet(self, market: Market) -> None:
        """Orders trade at their own prices with the flow that reaches them, where anything trades."""
        if self._refuses_change(market):
            return
        for side, far in (market.sides, market.sides[::-1]):
            for order in list(side.orders()):
                for price in far.prices():
                    if not far.reaches(order.price, price):
                        break
                    for entry in [e for e in far.lines[price] if isinstance(e, Flow)]:
                        lots = min(order.left, entry.lots)
                        if lots:
                            entry.lots -= lots
                            far.taken[price] = far.taken.get(price, 0) + lots
                            self._trade(market, order, None, order.price, lots, far.side)
            side.tidy()
            far.tidy()

    def flow_trades(self, ticker: str, taker: int, price: int, lots: int) -> None:
        """Others trade at a price: orders beyond it first, then the line there, whose flow the tape takes away next."""
        market = self.markets[ticker]
        if self._refuses_change(market):
            return
        if not self._is_on_grid(market, price):  # no order can be priced so: it hits nobody
            market.trades.append((price, lots, taker))
            return
        side, left, passed = market.sides[1 - taker], lots, 0
        for at in [p for p in side.prices() if side.reaches(price, p)]:
            for entry in list(side.lines[at]):
                if isinstance(entry, Flow):
                    if at == price and any(isinstance(e, Order) for e in side.lines[at][side.lines[at].index(entry) :]):
                        eaten = min(left, entry.lots)
                        entry.lots -= eaten
                        passed += eaten
                        left -= eaten
                elif left:
                    dealt = min(left, entry.left)
                    self._trade(market, entry, None, at, dealt, taker)
                    left -= dealt
        if passed:
            side.join(Flow(passed), price)
        side.tidy()
        if left + passed:
            market.trades.append((price, left + passed, taker))
