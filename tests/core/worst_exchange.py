"""An exchange that does the worst it may: fills at the order's limit, in any parts, whenever it likes, says so late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kalshi_ray.core.fees import charge_fee
from kalshi_ray.core.orders import MESSAGE, CommandKind, OrderEvent, TimeInForce
from kalshi_ray.core.venue import VENUE_ORDER
from tests.core.records import BID, one
from tests.reference.portfolio import Ledger


@dataclass
class TrueOrder:
    id: int
    side: int
    price: int
    size: int
    selling: bool  # decided as a SELL: must never open
    filled: int = 0
    fees: Any = field(default_factory=lambda: one(VENUE_ORDER))

    @property
    def left(self) -> int:
        return self.size - self.filled


class WorstExchange:
    """Keeps the true ledger: `ledger` moves when a fill happens, the trader's when it hears of it."""

    def __init__(self, seed: int, cash: int, *, taker_ppm: int, maker_ppm: int, precision: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.ledger = Ledger(cash)
        self.taker_ppm, self.maker_ppm, self.precision = taker_ppm, maker_ppm, precision
        self.working: dict[int, TrueOrder] = {}
        self.travelling: list[tuple[Any, bool]] = []
        self.answers: list[Any] = []
        self.opened_by_selling = 0
        self.fills = 0

    def accept(self, command: Any, *, selling: bool) -> None:
        self.travelling.append((command, selling))

    def act(self) -> None:
        """One thing happens: a command arrives, or a resting order fills or ends."""
        slots = sorted(self.working)
        if self.travelling and (not slots or self.chance.random() < 0.5):
            self._arrive(*self.travelling.pop(0))
        elif slots:
            slot = int(self.chance.choice(slots))
            if self.chance.random() < 0.1:
                self._end(slot)
            else:
                self._fill(slot, self.working[slot], self.maker_ppm)

    def cash_if_all_fill(self, first: int) -> int:
        """True cash after every working order has filled at its limit, those of side `first` before the others."""
        ledger = Ledger(0)
        vars(ledger).update(vars(self.ledger))
        for order in sorted(self.working.values(), key=lambda o: o.side != first):
            fees = one(VENUE_ORDER)
            fees["fee_held"] = order.fees["fee_held"]
            self._book(ledger, order.side, order.price, order.left, self.maker_ppm, fees)
        return ledger.cash

    def _arrive(self, command: Any, selling: bool) -> None:
        slot, kind = int(command["slot"]), CommandKind(int(command["kind"]))
        if kind != CommandKind.CREATE and slot not in self.working:
            return  # it was done already, and the trader will hear it
        if kind == CommandKind.CANCEL:
            self._end(slot)
            return
        refused = self.chance.random() < 0.15
        if kind == CommandKind.AMEND:
            self._amend(slot, command, selling, refused)
            return
        order_id = int(command["id"])
        order = TrueOrder(order_id, int(command["side"]), int(command["price"]), int(command["size"]), selling)
        if refused:
            self._say(OrderEvent.REFUSE, slot, order_id)
        elif command["time_in_force"] == TimeInForce.IOC:
            self._take(slot, order, bool(command["reduce_only"]))
        else:
            self.working[slot] = order
            self._say(OrderEvent.ACK, slot, order_id)

    def _amend(self, slot: int, command: Any, selling: bool, refused: bool) -> None:
        order = self.working[slot]
        if refused:
            self._say(OrderEvent.REFUSE, slot, order.id)
        elif command["size"] <= order.filled:
            self._end(slot)
        else:
            order.price, order.size, order.selling = int(command["price"]), int(command["size"]), selling
            self._say(OrderEvent.ACK, slot, order.id)

    def _take(self, slot: int, order: TrueOrder, reduce_only: bool) -> None:
        for _ in range(int(self.chance.integers(3))):
            held = -self.ledger.position if order.side == BID else self.ledger.position
            if order.left and (held > 0 or not reduce_only):
                self._fill(slot, order, self.taker_ppm, held if reduce_only else order.left)
        self._say(OrderEvent.DONE, slot, order.id)

    def _fill(self, slot: int, order: TrueOrder, rate: int, most: int | None = None) -> None:
        most = order.left if most is None else min(most, order.left)
        lots = int(self.chance.integers(1, most + 1)) if self.chance.random() < 0.6 else most
        held = -self.ledger.position if order.side == BID else self.ledger.position
        if order.selling and lots > held:
            self.opened_by_selling += 1
        fee = self._book(self.ledger, order.side, order.price, lots, rate, order.fees)
        order.filled += lots
        self.fills += 1
        self._say(OrderEvent.FILL, slot, order.id, price=order.price, size=lots, fee=fee, maker=slot < 2)
        if slot in self.working and not order.left:
            self._end(slot)

    def _book(self, ledger: Ledger, side: int, price: int, lots: int, rate: int, fees: Any) -> int:
        held = -ledger.position if side == BID else ledger.position
        closing = min(lots, max(0, held))
        paid = price if side == BID else 10_000 - price
        revenue = closing * (10_000 - paid) - (lots - closing) * paid
        fee = int(charge_fee(fees, lots, price, revenue, rate, self.precision))
        (ledger.buy_yes if side == BID else ledger.sell_yes)(price, lots, fee)
        return fee

    def _end(self, slot: int) -> None:
        self._say(OrderEvent.DONE, slot, self.working.pop(slot).id)

    def _say(self, event: OrderEvent, slot: int, order_id: int, **facts: int) -> None:
        message = one(MESSAGE)
        message["event"], message["slot"], message["id"] = event, slot, order_id
        for name, value in facts.items():
            message[name] = value
        self.answers.append(message)
