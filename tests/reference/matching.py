"""The exchange's side of one row, written as the rules say it: a list of orders and events in order of exchange time.

Money is in exact fractions until it is compared; nothing is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from tests.reference.book import ASK, BID, Book
from tests.reference.fees import OrderFees

DOLLAR, CONTRACT, MICROS = 10_000, 100, 1_000_000
PESSIMISTIC, FITTED, OPTIMISTIC = 0, 1, 2
ACTIVE, INACTIVE, FINALIZED = 1, 2, 7
MARKET_STATE, WOULD_CROSS = 1, 12
EXPIRY, TAPE, ARRIVAL = 0, 1, 2  # which goes first at the same time


@dataclass(frozen=True)
class Row:
    """One row of the tape at exchange time `at`; `taker` is the side a print's taker traded for, None unknown."""

    at: int
    kind: str  # level, end, delta, print, gap, status, fee, settlement, other
    side: int = BID
    tick: int = 0
    size: int = 0
    by_trade: bool = False
    off_book: bool = False
    taker: int | None = None
    rates: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Command:
    kind: str  # create, amend, cancel
    slot: int
    id: int = 0
    side: int = BID
    tick: int = 0
    size: int = 0
    expires: int = 0
    rests: bool = True
    post_only: bool = True
    reduce_only: bool = False


class Answer(NamedTuple):
    event: str
    slot: int
    id: int
    at: int
    visible: int
    after_row: int
    price: int = 0
    size: int = 0
    fee: int = 0
    maker: bool = False
    reason: int = 0


@dataclass
class Order:
    id: int
    side: int
    tick: int
    size: int
    expires: int
    post_only: bool
    reduce_only: bool
    fees: OrderFees
    filled: int = 0
    ahead: int = 0  # lots in front of us
    unprinted: int = 0  # decreases of our level by trades whose print has not come, less prints ahead of theirs


class Exchange:
    """At most four orders: `resting` by slot; what is on its way stands in `travelling` by slot."""

    def __init__(
        self,
        book: Book,
        prices: list[int],
        tape: list[Row],
        *,
        model: int,
        entry: int,
        response: int,
        feed: int,
        precision: int,
        taker_ppm: int,
        maker_ppm: int,
    ) -> None:
        self.book, self.prices, self.tape = book, prices, tape
        self.model, self.entry, self.response, self.feed = model, entry, response, feed
        self.precision, self.taker_ppm, self.maker_ppm = precision, taker_ppm, maker_ppm
        self.next_row, self.clock, self.status, self.position = 0, -(2**62), ACTIVE, 0
        self.resting: dict[int, Order] = {}
        self.travelling: dict[int, tuple[int, Command]] = {}
        self.answers: list[Answer] = []
        self.taken: list[tuple[int, int, int, int, int]] = []

    # -- time

    def send(self, command: Command, now: int) -> None:
        if command.kind == "create" or command.slot in self.resting:
            self.travelling[command.slot] = (now + self.entry, command)

    def advance(self, until: int) -> None:
        """Everything up to `until`, in order of time; at one time expiries, then the tape, then arrivals."""
        while True:
            events = [(o.expires, EXPIRY, -slot) for slot, o in self.resting.items() if o.expires]
            events += [(at, ARRIVAL, slot) for slot, (at, _) in self.travelling.items()]
            if self.next_row < len(self.tape):
                events.append((self.tape[self.next_row].at, TAPE, 0))
            if not events or min(events)[0] > until:
                break
            at, what, slot = min(events)
            self.clock = max(self.clock, at)
            if what == EXPIRY:
                self._finish(-slot)
            elif what == ARRIVAL:
                self._arrive(self.travelling.pop(slot)[1])
            else:
                self.next_row += 1
                self._see(self.tape[self.next_row - 1])
        self.clock = max(self.clock, until)

    def _answer(self, event: str, slot: int, order_id: int, **facts: int) -> None:
        visible = self.clock + self.response
        if self.answers:
            visible = max(visible, self.answers[-1].visible)
        self.answers.append(Answer(event, slot, order_id, self.clock, visible, self.next_row, **facts))

    def _finish(self, slot: int) -> None:
        order = self.resting.pop(slot)
        self.travelling.pop(slot, None)
        self._answer("done", slot, order.id)

    def _finish_all(self) -> None:
        for slot in sorted(self.resting):
            self._finish(slot)

    # -- our commands

    def _arrive(self, command: Command) -> None:
        slot = command.slot
        if command.kind == "cancel":
            self._finish(slot)
        elif command.kind == "amend":
            self._amend(command)
        else:
            self._create(command)

    def _create(self, command: Command) -> None:
        slot = command.slot
        if self.status != ACTIVE or not self.book.known:
            self._answer("refuse", slot, command.id, reason=MARKET_STATE)
            return
        if command.post_only and self._would_cross(command.side, command.tick):
            self._answer("refuse", slot, command.id, reason=WOULD_CROSS)
            return
        order = Order(
            command.id, command.side, command.tick, command.size, command.expires, command.post_only,
            command.reduce_only, OrderFees(Fraction(self.precision, MICROS)),
        )  # fmt: skip
        self._walk(slot, order)
        if not command.rests or order.filled == order.size:
            self._answer("done", slot, order.id)
            return
        self.resting[slot] = order
        order.ahead = self.book.shown_at(order.side, order.tick)
        self._answer("ack", slot, order.id)

    def _walk(self, slot: int, order: Order) -> None:
        """Take what is shown, best first, up to the limit."""
        far = 1 - order.side
        for tick in self._far_levels(order.side, order.tick):
            wanted = order.size - order.filled
            if order.reduce_only:
                wanted = min(wanted, max(0, self.position if order.side == ASK else -self.position))
            lots = min(wanted, self.book.shown_at(far, tick))
            if lots > 0:
                self._take(far, tick, lots)
                self._fill(slot, order, tick, lots, maker=False)

    def _amend(self, command: Command) -> None:
        slot, order = command.slot, self.resting[command.slot]
        if command.size <= order.filled:
            self._finish(slot)
        elif self.status != ACTIVE or not self.book.known:
            self._answer("refuse", slot, order.id, reason=MARKET_STATE)
        elif command.tick != order.tick and order.post_only and self._would_cross(order.side, command.tick):
            self._answer("refuse", slot, order.id, reason=WOULD_CROSS)
        else:
            keeps_place = command.tick == order.tick and command.size <= order.size
            order.tick, order.size, order.expires = command.tick, command.size, command.expires
            if not keeps_place:
                order.ahead, order.unprinted = self.book.shown_at(order.side, order.tick), 0
            self._answer("ack", slot, order.id)

    def _would_cross(self, side: int, tick: int) -> bool:
        return bool(self._far_levels(side, tick))

    def _far_levels(self, side: int, tick: int) -> list[int]:
        """Levels of the other side at or through a price, best first."""
        if side == BID:
            return sorted(t for t in self.book.shown(ASK) if t <= tick)
        return sorted((t for t in self.book.shown(BID) if t >= tick), reverse=True)

    # -- fills

    def _fill(self, slot: int, order: Order, tick: int, lots: int, *, maker: bool) -> None:
        price = self.prices[tick]
        held = -self.position if order.side == BID else self.position
        closing = min(lots, max(0, held))
        paid = price if order.side == BID else DOLLAR - price
        revenue = closing * (DOLLAR - paid) - (lots - closing) * paid
        rate = self.maker_ppm if maker else self.taker_ppm
        fee = order.fees.charge(
            Fraction(lots, CONTRACT), Fraction(price, DOLLAR), Fraction(revenue, MICROS), Fraction(rate, MICROS)
        )
        order.filled += lots
        self.position += lots if order.side == BID else -lots
        self._answer("fill", slot, order.id, price=price, size=lots, fee=int(fee * MICROS), maker=maker)

    def _fill_resting(self, slot: int, lots: int) -> int:
        order = self.resting[slot]
        lots = min(lots, order.size - order.filled)
        if lots <= 0:
            return 0
        self._fill(slot, order, order.tick, lots, maker=True)
        if order.filled == order.size:
            self._finish(slot)
        return lots

    def _take(self, side: int, tick: int, lots: int) -> None:
        self.book.consume(side, tick, lots)
        self.taken.append((self.next_row, self.clock + self.feed, lots, tick, side))

    # -- the tape

    def _see(self, row: Row) -> None:
        if row.kind == "print":
            self._see_print(row)
        elif row.kind == "delta":
            self._see_delta(row)
        elif row.kind == "level":
            self.book.snapshot_level(row.side, row.tick, row.size)
        elif row.kind == "end":
            self.book.snapshot_end()
            for order in self.resting.values():
                self._clip(order)
            self._meet_far_side()
        elif row.kind == "gap":
            self.book.gap()
            self._finish_all()
        elif row.kind == "status":
            if row.size not in (self.status, INACTIVE):  # a pause keeps orders, its end cancels them
                self._finish_all()
            self.status = row.size
        elif row.kind == "fee":
            self.taker_ppm, self.maker_ppm = row.rates
        elif row.kind == "settlement":
            self._finish_all()
            self.status = FINALIZED

    def _see_print(self, row: Row) -> None:
        if row.off_book or self.status != ACTIVE:
            return
        for slot in (BID, ASK):
            order = self.resting.get(slot)
            if order is None or row.taker == slot:  # a taker who buys meets asks
                continue
            through = row.tick < order.tick if slot == BID else row.tick > order.tick
            if through:
                self._fill_resting(slot, row.size)
            elif row.tick == order.tick:
                first = min(order.ahead, row.size)
                order.ahead -= first
                order.unprinted -= row.size
                self._fill_resting(slot, row.size - first)

    def _see_delta(self, row: Row) -> None:
        before = self.book.recorded[row.side].get(row.tick, 0)
        self.book.delta(row.side, row.tick, row.size)
        if not self.book.known:
            if not self.book.in_snapshot:  # damaged: as after a gap
                self._finish_all()
            return
        if row.size >= 0:
            self._meet_far_side()
            return
        order = self.resting.get(row.side)
        if order is None or order.tick != row.tick:
            return
        if row.by_trade and self.status == ACTIVE:
            order.unprinted -= row.size
        elif self.model == OPTIMISTIC:
            order.ahead = max(0, order.ahead + row.size)
        elif self.model == FITTED and before > 0:
            share = min(1.0, order.ahead / before)
            order.ahead -= int(-row.size * (share * share * share))
        self._clip(order)

    def _clip(self, order: Order) -> None:
        """No more can stand in front of us than is displayed; a trade whose print is to come is still in front."""
        displayed = self.book.recorded[order.side].get(order.tick, 0)
        order.ahead = min(order.ahead, displayed + max(0, order.unprinted))

    def _meet_far_side(self) -> None:
        """A level of the other side at or through our price fills us, after the queue at our price."""
        for slot in (BID, ASK) if self.status == ACTIVE else ():
            order = self.resting.get(slot)
            if order is None:
                continue
            for tick in self._far_levels(slot, order.tick):
                if slot not in self.resting:
                    break
                offered = self.book.shown_at(1 - slot, tick) - order.ahead
                filled = self._fill_resting(slot, offered)
                if filled:
                    self._take(1 - slot, tick, filled)
