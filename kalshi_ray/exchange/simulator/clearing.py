"""What a match does to orders and money, and who is told.

Cash, the dollar behind every open pair of YES and NO, and fees add up to what was paid in. The flow trades on an
account of its own, without limits and without fees.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from kalshi_ray.core.fees import charge_fee, worst_fee
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.exchange.simulator.flow import BID
from kalshi_ray.exchange.simulator.groups import Group
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.outbox import Cause, Outbox, Private, PrivateValue, Public, PublicValue
from kalshi_ray.wire.messages import Trade
from kalshi_ray.wire.trading import AccountFill, FillMessage, OrderMessage, OrderStatus

if TYPE_CHECKING:
    from kalshi_ray.exchange.simulator.market import Market

FEE_STATE = np.dtype([("fee_held", np.int64)])


class Clearing:
    """The money of all accounts, the exchange's clock, its ids and its outbox."""

    def __init__(self, precision: int, seed: int) -> None:
        self.precision = precision
        self.outbox: Outbox = []
        self.now_ns = 0
        self.tripped: list[Group] = []  # groups that filled more than they may
        self._fee_state = as_rows(np.zeros(1, FEE_STATE))[0]
        self._prefix = f"{seed & 0xFFFFFFFF:08x}"
        self._counts = {kind: count(1) for kind in ("trade", "order", "user", "group", "market")}

    def next_id(self, kind: str) -> tuple[int, str]:
        """A number that rises and an id in the form of a UUID, the same for the same seed and calls."""
        number = next(self._counts[kind])
        sort = 0x8000 + list(self._counts).index(kind)
        return number, f"{self._prefix}-{number >> 32 & 0xFFFF:04x}-4000-{sort:04x}-{number & 0xFFFFFFFF:012x}"

    # -- telling

    def tell_all(self, ticker: str, value: PublicValue, cause: Cause | None = None) -> None:
        """Something happened that everybody may know."""
        self.outbox.append(Public("public", ticker, value, cause))

    def tell(self, order: LiveOrder, value: PrivateValue) -> None:
        """Something happened that the owner of an order may know."""
        self.outbox.append(Private("private", order.account, value))

    def tell_order(self, order: LiveOrder, reason: str = "") -> None:
        """The order as it stands now."""
        order.updated_ns = self.now_ns
        self.tell(order, OrderMessage(order=order.value(), reason=reason))

    # -- orders

    def bound_fee(self, order: LiveOrder, rate_ppm: int) -> int:
        """The most an order can be charged in all, what it was charged included."""
        return order.fees + int(worst_fee(order.left, order.price, rate_ppm, self.precision))

    def engage(self, order: LiveOrder) -> None:
        """The order starts to hold back what it can cost."""
        self._weigh(order, 1)

    def release(self, order: LiveOrder) -> None:
        """The order holds nothing back any more; so before every change of it."""
        self._weigh(order, -1)

    def rebound(self, order: LiveOrder, rate_ppm: int) -> None:
        """A working order holds back what it can be charged at another rate."""
        self.release(order)
        order.fee_bound = self.bound_fee(order, rate_ppm)
        self.engage(order)

    def _weigh(self, order: LiveOrder, sign: int) -> None:
        subaccount = order.account.subaccount(order.subaccount)
        holding = subaccount.holding(order.ticker)
        holding.weigh(order, sign)
        subaccount.relock(holding)

    def end(self, order: LiveOrder, reason: str) -> None:
        """A working order is cancelled."""
        self.release(order)
        order.status = OrderStatus.CANCELED
        self.forget(order)
        self.tell_order(order, reason)

    def forget(self, order: LiveOrder) -> None:
        """The order works no more."""
        order.account.orders.finish(order)
        if order.group:
            order.group.orders.pop(order.id, None)

    # -- matches

    def match(
        self, market: Market, resting: LiveOrder | None, taker: LiveOrder | None, price: int, lots: int, bought: int
    ) -> None:
        """Two parties meet at a YES price, None being the flow; `bought` is the side the taker traded for."""
        trade_id = self.next_id("trade")[1]
        market.note_trade(
            Trade(ticker=market.ticker, price=price, size=lots, taker=Side(bought), exch_ns=self.now_ns,
                  trade_id=trade_id)
        )  # fmt: skip
        for order, side, is_taker in ((resting, 1 - bought, False), (taker, bought, True)):
            if order is None:
                before = market.flow_holding.position
                market.flow_cash += market.flow_holding.fill(side, price, lots, 0, self.now_ns)
                market.note_position(before, market.flow_holding.position)
            else:
                self._fill(market, order, price, lots, is_taker, trade_id)

    def _fill(self, market: Market, order: LiveOrder, price: int, lots: int, is_taker: bool, trade_id: str) -> None:
        subaccount = order.account.subaccount(order.subaccount)
        holding = subaccount.holding(order.ticker)
        holding.weigh(order, -1)
        before = holding.position
        fee = self._charge(market, order, price, lots, is_taker, holding.closing(order.side, lots))
        subaccount.cash += holding.fill(order.side, price, lots, fee, self.now_ns)
        market.note_position(before, holding.position)
        market.fees += fee
        order.filled += lots
        cost = lots * (price if order.side == BID else DOLLAR - price)
        order.fees += fee
        if is_taker:
            order.taker_cost += cost
        else:
            order.maker_cost += cost
            order.maker_fees += fee
        if order.left:
            # What a better price left over may go into fees: those of a better price can be higher.
            bound = order.fee_bound + lots * order.paid - cost
            order.fee_bound = min(bound, self.bound_fee(order, max(market.taker_ppm, market.maker_ppm)))
            holding.weigh(order, 1)
        else:
            order.status = OrderStatus.EXECUTED
        subaccount.relock(holding)
        order.account.changed_ns = self.now_ns
        if order.group and order.group.note_fill(lots, self.now_ns):
            self.tripped.append(order.group)
        self._tell_fill(order, price, lots, fee, is_taker, trade_id, holding.position)
        if not is_taker:
            self.tell_order(order, "Trade")
        self.tell(order, holding.message(order.ticker, order.account.user_id, order.subaccount))

    def _charge(self, market: Market, order: LiveOrder, price: int, lots: int, is_taker: bool, closing: int) -> int:
        """The net fee of one fill, by the kernel that the environment uses."""
        paid = price if order.side == BID else DOLLAR - price
        revenue = closing * (DOLLAR - paid) - (lots - closing) * paid
        self._fee_state["fee_held"] = order.fee_held
        rate = market.taker_ppm if is_taker else market.maker_ppm
        fee = int(charge_fee(self._fee_state, lots, price, revenue, rate, self.precision))
        order.fee_held = int(self._fee_state["fee_held"])
        return fee

    def _tell_fill(
        self, order: LiveOrder, price: int, lots: int, fee: int, is_taker: bool, trade_id: str, position: int
    ) -> None:
        side = Side(order.side)
        order.account.fills.append(
            AccountFill(
                trade_id=trade_id, order_id=order.id, ticker=order.ticker, side=side, price=price, size=lots,
                is_taker=is_taker, fee=fee, exch_ns=self.now_ns, subaccount=order.subaccount,
                exchange_index=order.exchange_index,
            )
        )  # fmt: skip
        self.tell(
            order,
            FillMessage(
                trade_id=trade_id, order_id=order.id, client_order_id=order.client_order_id, ticker=order.ticker,
                side=side, price=price, size=lots, is_taker=is_taker, fee=fee, position=position,
                exch_ns=self.now_ns, subaccount=order.subaccount, exchange_index=order.exchange_index,
            ),
        )  # fmt: skip
