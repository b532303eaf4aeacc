"""Orders of accounts as the exchange keeps them, the queues they stand in, and the places where they are found."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.exchange.simulator.flow import BID, NONE, reaches
from kalshi_ray.exchange.simulator.outbox import Cause
from kalshi_ray.wire.trading import Order, OrderRequest, OrderStatus, SelfTrade

if TYPE_CHECKING:
    from kalshi_ray.exchange.simulator.accounts import Account
    from kalshi_ray.exchange.simulator.groups import Group

FEW = 32  # orders looked at together: most who come meet no more
QUEUE_EXPONENT = 3  # of the fitted model, as in core.matching


class LiveOrder:
    """One order. `queue` counts the lots of the flow in front of it; accounts' orders stand in their own sequence."""

    __slots__ = (
        "account", "cancel_on_pause", "client_order_id", "created_ns", "exchange_index", "expires_ns", "fee_bound",
        "fee_held", "fees", "filled", "group", "id", "maker_cost", "maker_fees", "number", "owed", "post_only", "price",
        "queue", "self_trade", "side", "size", "status", "subaccount", "taker_cost", "ticker", "updated_ns",
    )  # fmt: skip

    def __init__(
        self, number: int, order_id: str, account: Account, request: OrderRequest, group: Group | None, shard: int,
        now_ns: int,
    ) -> None:  # fmt: skip
        self.number, self.id, self.account = number, order_id, account
        self.client_order_id, self.ticker, self.side = request.client_order_id, request.ticker, int(request.side)
        self.price, self.size, self.filled = request.price, request.size, 0
        self.status = OrderStatus.RESTING
        self.queue = self.owed = 0  # owed: decreases by trade at our level less prints there
        self.fee_held = self.fees = self.fee_bound = 0  # micros: not paid back yet, charged, most that can be charged
        self.taker_cost = self.maker_cost = self.maker_fees = 0
        self.self_trade, self.post_only = request.self_trade, request.post_only
        self.cancel_on_pause, self.expires_ns = request.cancel_on_pause, request.expires_ns
        self.group, self.subaccount, self.exchange_index = group, request.subaccount, shard
        self.created_ns = self.updated_ns = now_ns

    @property
    def left(self) -> int:
        """Lots that can still fill."""
        return self.size - self.filled

    @property
    def is_live(self) -> bool:
        """Whether the order works."""
        return self.status is OrderStatus.RESTING

    @property
    def locked_fee(self) -> int:
        """Micros held back for fees still to come."""
        return max(0, self.fee_bound - self.fees)

    @property
    def paid(self) -> int:
        """Pips a lot costs at the limit: of the YES for a bid, of the NO for an ask."""
        return self.price if self.side == BID else DOLLAR - self.price

    @property
    def cause(self) -> Cause:
        """The order as the cause of a change of the book."""
        return Cause(self.account, self.client_order_id, self.subaccount)

    def value(self) -> Order:
        """The order as it stands, for the wire."""
        return Order(
            order_id=self.id,
            client_order_id=self.client_order_id,
            ticker=self.ticker,
            side=Side(self.side),
            price=self.price,
            status=self.status,
            size=self.size,
            filled=self.filled,
            remaining=self.left if self.is_live else 0,
            taker_cost=self.taker_cost,
            maker_cost=self.maker_cost,
            taker_fees=self.fees - self.maker_fees,
            maker_fees=self.maker_fees,
            self_trade=self.self_trade,
            group=self.group.id if self.group else "",
            created_ns=self.created_ns,
            updated_ns=self.updated_ns,
            expires_ns=self.expires_ns,
            subaccount=self.subaccount,
            exchange_index=self.exchange_index,
            cancel_on_pause=self.cancel_on_pause,
            user_id=self.account.user_id,
        )


class Level:
    """Orders of accounts at one price, in order of time."""

    __slots__ = ("lots", "orders")

    def __init__(self) -> None:
        self.orders: dict[str, LiveOrder] = {}
        self.lots = 0

    def in_turn(self) -> Iterator[LiveOrder]:
        """Orders by time. The one at hand may leave before the next is asked for."""
        while len(found := list(islice(self.orders.values(), FEW))) == FEW:
            stays = 0
            for order in found:
                yield order
                stays += order.id in self.orders
            if stays:  # then nothing after them has been taken, and whoever looks further looks at all
                yield from list(self.orders.values())[stays:]
                return
        yield from found

    def move_up(self, lots: int) -> None:
        """Lots of the flow in front have gone."""
        if lots:
            for order in self.orders.values():
                order.queue = max(0, order.queue - lots)

    def meet_decrease(self, model: FillModel, before: int, after: int, lots: int, by_trade: bool) -> None:
        """The flow here fell by `lots` to `after`: places by the fill model, clipped to what is left (core.matching).

        Who came later has never less in front than who came first.
        """
        last = self.orders[next(reversed(self.orders))]
        if not by_trade and model is FillModel.PESSIMISTIC and last.queue <= after:
            return  # nobody has more in front
        least = 0
        for order in self.orders.values():
            if by_trade:
                order.owed += lots
            elif model is FillModel.OPTIMISTIC:
                order.queue = max(0, order.queue - lots)
            elif model is FillModel.FITTED and before > 0:
                ahead = min(1.0, order.queue / before)
                share = 1.0
                for _ in range(QUEUE_EXPONENT):
                    share *= ahead
                order.queue -= int(lots * share)
            least = order.queue = max(least, min(order.queue, after + max(0, order.owed)))


class Ladder:
    """The accounts' orders of one side of a market, by price and time."""

    __slots__ = ("best", "count", "levels", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        self.levels: dict[int, Level] = {}
        self.best = NONE[side]
        self.count = 0

    def lots(self, price: int) -> int:
        """Lots of accounts at a price."""
        level = self.levels.get(price)
        return level.lots if level else 0

    def add(self, order: LiveOrder, flow_ahead: int) -> None:
        """The order goes to the back of its level, behind the flow that stands there."""
        level = self.levels.get(order.price)
        if level is None:
            level = self.levels[order.price] = Level()
            if order.price > self.best if self.side == BID else order.price < self.best:
                self.best = order.price
        last = level.orders[next(reversed(level.orders))].queue if level.orders else 0
        order.queue, order.owed = max(last, flow_ahead), 0
        level.orders[order.id] = order
        level.lots += order.left
        self.count += 1

    def remove(self, order: LiveOrder) -> None:
        """The order leaves; what is left of it leaves the level."""
        level = self.levels[order.price]
        del level.orders[order.id]
        level.lots -= order.left
        self.count -= 1
        if not level.orders:
            del self.levels[order.price]
            if order.price == self.best:
                prices = self.levels
                none = NONE[self.side]
                self.best = max(prices, default=none) if self.side == BID else min(prices, default=none)

    def by_priority(self, limit: int | None = None) -> Iterator[LiveOrder]:
        """Orders by price and time, those that reach `limit` (all without). They may leave while this goes on."""
        for price in sorted(self.levels, reverse=self.side == BID):
            if limit is not None and not reaches(self.side, price, limit):
                return
            yield from self.levels[price].in_turn()


class OrderFile:
    """All orders of one account by their two ids. Of those that no longer work the last `kept` are known."""

    __slots__ = ("by_client_id", "by_id", "done", "kept", "working")

    def __init__(self, kept: int) -> None:
        self.by_id: dict[str, LiveOrder] = {}
        self.by_client_id: dict[str, str] = {}  # order id; "" where the order was killed at once
        self.working: dict[str, LiveOrder] = {}
        self.done: deque[str] = deque()
        self.kept = kept

    def add(self, order: LiveOrder) -> None:
        """An order was accepted. Its client order id is taken for good."""
        self.by_id[order.id] = self.working[order.id] = order
        self.by_client_id[order.client_order_id] = order.id

    def rename(self, order: LiveOrder, client_order_id: str) -> None:
        """Another client order id; the former stays taken."""
        order.client_order_id = client_order_id
        self.by_client_id[client_order_id] = order.id

    def finish(self, order: LiveOrder) -> None:
        """The order works no more; the oldest such order is forgotten when there are too many."""
        del self.working[order.id]
        self.done.append(order.id)
        if len(self.done) > self.kept:
            forgotten = self.by_id.pop(self.done.popleft())
            self.by_client_id.pop(forgotten.client_order_id, None)


def stops_taker(taker: LiveOrder, resting: LiveOrder) -> bool:
    """Whether the incoming order ends here rather than trade with one of its own account."""
    return taker.account is resting.account and taker.self_trade is SelfTrade.TAKER_AT_CROSS
