"""Who trades: cash, positions and what is held back for working orders, in micros and lots.

A working order holds back what it can cost at worst: its price for every lot that opens, its highest fee, less the
dollar that each lot gets back which closes a position. What is free never falls below zero.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.portfolio import ACCOUNT, apply_fill, position_value, settle
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.exchange.simulator.flow import ASK, BID
from kalshi_ray.exchange.simulator.groups import Group
from kalshi_ray.exchange.simulator.orders import LiveOrder, OrderFile
from kalshi_ray.wire.trading import AccountFill, Position, PositionMessage, Settlement

SUBACCOUNTS = 64  # 0 is the primary one


class Holding:
    """What one subaccount has in one market: a ledger of `core.portfolio`, and what its orders hold back."""

    __slots__ = (
        "fees", "ledger", "locked", "lots", "position", "position_fees", "settled", "traded", "updated_ns", "value",
        "volume",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ledger = as_rows(np.zeros(1, ACCOUNT))[0]
        self.position = self.fees = 0
        self.position_fees = self.traded = self.volume = self.updated_ns = 0
        self.lots = [0, 0]  # of working orders, by side
        self.value = [0, 0]  # micros they can cost, fees included, before what closing brings
        self.locked = 0
        self.settled = False

    @property
    def cost(self) -> int:
        """Micros paid for what is held."""
        return int(self.ledger["cost"])

    @property
    def realized(self) -> int:
        """Micros booked by closing and settlement, fees apart."""
        return int(self.ledger["realized"])

    def weigh(self, order: LiveOrder, sign: int) -> None:
        """An order starts (1) or ceases (-1) to hold back what it can cost."""
        self.lots[order.side] += sign * order.left
        self.value[order.side] += sign * (order.paid * order.left + order.locked_fee)

    def need(self) -> int:
        """Micros that the orders of both sides can cost at worst."""
        position, lots, value = self.position, self.lots, self.value
        bids = value[BID] - DOLLAR * min(lots[BID], max(0, -position))
        asks = value[ASK] - DOLLAR * min(lots[ASK], max(0, position))
        return max(0, bids) + max(0, asks)

    def closing(self, side: int, lots: int) -> int:
        """Lots of a fill that reduce the position."""
        return min(lots, max(0, -self.position if side == BID else self.position))

    def fill(self, side: int, price: int, lots: int, fee: int, now_ns: int) -> int:
        """Book a fill; return the change of cash."""
        cash, closing, held = int(self.ledger["cash"]), self.closing(side, lots), abs(self.position)
        apply_fill(self.ledger, side, price, lots, fee)
        if closing:
            self.position_fees -= self.position_fees * closing // held
        self.position_fees += fee * (lots - closing) // lots
        self.position, self.fees = int(self.ledger["position"]), int(self.ledger["fees"])
        self.traded += lots * (price if side == BID else DOLLAR - price)
        self.volume += lots
        self.updated_ns = now_ns
        return int(self.ledger["cash"]) - cash

    def settle(self, value: int, now_ns: int) -> int:
        """Pay out the position at `value` pips a YES; return the change of cash."""
        cash = int(self.ledger["cash"])
        settle(self.ledger, value)
        self.position, self.fees = 0, int(self.ledger["fees"])
        self.position_fees, self.updated_ns, self.settled = 0, now_ns, True
        return int(self.ledger["cash"]) - cash

    def worth(self, bid: int, ask: int) -> int:
        """Micros that closing at those best prices would bring."""
        return int(position_value(self.position, bid, ask))

    def message(self, ticker: str, user_id: str, subaccount: int) -> PositionMessage:
        """The position as its channel says it."""
        return PositionMessage(
            ticker=ticker,
            position=self.position,
            cost=self.cost,
            realized=self.realized,
            fees=self.fees,
            position_fees=self.position_fees,
            volume=self.volume,
            user_id=user_id,
            subaccount=subaccount,
        )

    def listed(self, ticker: str, exchange_index: int) -> Position:
        """The position as REST lists it."""
        return Position(
            ticker=ticker,
            position=self.position,
            exposure=self.cost,
            traded=self.traded,
            realized=self.realized,
            fees=self.fees,
            updated_ns=self.updated_ns,
            exchange_index=exchange_index,
        )


class Subaccount:
    """Cash and holdings kept apart from those of the account's other subaccounts."""

    __slots__ = ("cash", "holdings", "locked")

    def __init__(self) -> None:
        self.cash = 0
        self.locked = 0
        self.holdings: dict[str, Holding] = {}

    @property
    def free(self) -> int:
        """Micros that orders do not hold back."""
        return self.cash - self.locked

    def holding(self, ticker: str) -> Holding:
        """What is held in a market, made at first use."""
        found = self.holdings.get(ticker)
        if found is None:
            found = self.holdings[ticker] = Holding()
        return found

    def relock(self, holding: Holding) -> None:
        """Hold back what the holding's orders need now."""
        need = holding.need()
        self.locked += need - holding.locked
        holding.locked = need


class Account:
    """One member of the exchange. Compared by identity."""

    def __init__(self, user_id: str, kept: int) -> None:
        self.user_id = user_id
        self.orders = OrderFile(kept)
        self.groups: dict[str, Group] = {}
        self.fills: deque[AccountFill] = deque(maxlen=kept)
        self.settlements: deque[tuple[int, Settlement]] = deque(maxlen=kept)  # subaccount, what it was paid
        self.subaccounts: dict[int, Subaccount] = {0: Subaccount()}
        self.changed_ns = 0

    def subaccount(self, number: int) -> Subaccount:
        """A subaccount, empty at first."""
        found = self.subaccounts.get(number)
        if found is None:
            found = self.subaccounts[number] = Subaccount()
        return found

    def __repr__(self) -> str:
        return f"Account({self.user_id})"
