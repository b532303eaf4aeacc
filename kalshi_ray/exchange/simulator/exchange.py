"""The whole exchange as one object: no text, no sockets, no clock.

Every call says when it happens. What is due up to then (expiries, opens, closes, payouts) happens first; what the call
did is appended to `outbox`, in order, for whoever publishes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from kalshi_ray.exchange.simulator import commands
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.checks import PAUSED
from kalshi_ray.exchange.simulator.flowing import FlowingExchange
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    OrderRequest,
    Placed,
    Reduced,
    Refused,
)

Answer = TypeVar("Answer", Placed, Reduced)


class Exchange(FlowingExchange):
    """Markets, accounts, and what accounts may tell it."""

    # -- orders

    def place(self, account: Account, request: OrderRequest, now_ns: int) -> Placed | Refused:
        """Place an order. What it can take it takes at once; the rest rests, or is cancelled."""
        self.turn(now_ns)
        answer = commands.place(self, account, request)
        if isinstance(answer, Placed):
            self._publish(account.orders.by_id.get(answer.order_id))
        return answer

    def cancel(self, account: Account, asked: Cancel, now_ns: int) -> Reduced | Refused:
        """Take a working order back."""
        self.turn(now_ns)
        order = account.orders.working.get(asked.order_id)
        answer = commands.cancel(self, account, asked)
        self._publish(order)
        return answer

    def decrease(self, account: Account, asked: Decrease, now_ns: int) -> Reduced | Refused:
        """Less of a working order, which keeps its place."""
        self.turn(now_ns)
        order = account.orders.working.get(asked.order_id)
        answer = commands.decrease(self, account, asked)
        self._publish(order)
        return answer

    def amend(self, account: Account, asked: Amendment, now_ns: int) -> Placed | Refused:
        """Another price, size, expiration or client order id for a working order."""
        self.turn(now_ns)
        order = account.orders.working.get(asked.order_id)
        answer = commands.amend(self, account, asked)
        self._publish(order)
        return answer

    def place_batch(self, account: Account, requests: Sequence[OrderRequest], now_ns: int) -> list[Placed | Refused]:
        """Place orders one after another; each has an answer of its own, refusals with status 0."""
        return [_inside(self.place(account, request, now_ns)) for request in requests]

    def cancel_batch(self, account: Account, asked: Sequence[Cancel], now_ns: int) -> list[Reduced | Refused]:
        """Cancel orders one after another; each has an answer of its own, refusals with status 0."""
        return [_inside(self.cancel(account, one, now_ns)) for one in asked]

    def cancel_all(self, account: Account, subaccount: int | None, now_ns: int) -> int | Refused:
        """Cancel all working orders of one subaccount, or of all, where cancels are taken; how many there were."""
        self.turn(now_ns)
        if not self.exchange_active:
            return PAUSED
        chosen = [order for order in account.orders.working.values() if subaccount in (None, order.subaccount)]
        self.cancel_orders(chosen)
        return len(chosen)

    def _publish(self, order: LiveOrder | None) -> None:
        """Tell what a command changed; groups that filled too much are acted on after it."""
        if order:
            self.markets_by_ticker[order.ticker].publish(order.cause)
        self.trip_groups()


def _inside(answer: Answer | Refused) -> Answer | Refused:
    """An answer as it stands in a batch."""
    return msgspec.structs.replace(answer, status=0) if isinstance(answer, Refused) else answer
