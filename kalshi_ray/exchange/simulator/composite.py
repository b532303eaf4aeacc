"""One market's matching: accounts' orders against each other and against the flow, by price and time.

    take_through   an incoming order walks the other side up to its limit
    meet_print     a print of the flow: orders at better prices first, then the flow in front, then orders in order
    change_flow    a level of the flow changes
    replace_flow   a snapshot of the flow

Between flow and accounts the rules are those of `core.matching`: a resting order fills on a print at or through its
price, or when the other side of the flow shows a level there, less the flow in front of it; never on touch or cancel.
Among accounts an order that came later waits. Own orders never meet.
"""

from __future__ import annotations

from typing import Protocol

from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.units import Side
from kalshi_ray.exchange.simulator.display import Display
from kalshi_ray.exchange.simulator.flow import ASK, BID, FlowBook, reaches
from kalshi_ray.exchange.simulator.orders import Ladder, LiveOrder, stops_taker
from kalshi_ray.wire.messages import BookDelta, BookSnapshot


class Desk(Protocol):
    """What matching asks of the market around it."""

    def deal(self, resting: LiveOrder | None, taker: LiveOrder | None, price: int, lots: int, bought: int) -> None:
        """Two parties meet, None being the flow; `bought` is the side the taker traded for."""

    def done(self, order: LiveOrder) -> None:
        """A resting order is complete and has left its level."""

    def cancel(self, order: LiveOrder, reason: str) -> None:
        """A resting order is taken off."""


class CompositeBook:
    """Flow and orders of one market."""

    __slots__ = ("_desk", "_model", "display", "flow", "ladders")

    def __init__(self, model: FillModel, desk: Desk) -> None:
        self._model, self._desk = model, desk
        self.flow, self.display = FlowBook(), Display()
        self.ladders = (Ladder(BID), Ladder(ASK))

    # -- orders of accounts

    def best(self, side: int) -> int:
        """The best price that can be taken on a side, hidden flow included; `flow.NONE` where there is none."""
        flow, own = self.flow.best[side], self.ladders[side].best
        return max(flow, own) if side == BID else min(flow, own)

    def crosses(self, side: int, price: int) -> bool:
        """Whether an order would trade at once."""
        return reaches(side, price, self.best(1 - side))

    def rest(self, order: LiveOrder) -> None:
        """The order goes to the back of its level."""
        self.ladders[order.side].add(order, self.flow.left(order.side, order.price))
        self.display.touched.add((order.side, order.price))

    def leave(self, order: LiveOrder) -> None:
        """The order leaves its level."""
        self.ladders[order.side].remove(order)
        self.display.touched.add((order.side, order.price))

    def shrink(self, order: LiveOrder, lots: int) -> None:
        """A resting order wants less and keeps its place."""
        self.ladders[order.side].levels[order.price].lots -= lots
        self.display.touched.add((order.side, order.price))

    def ahead_of(self, order: LiveOrder) -> int:
        """Lots in front of a resting order at its level."""
        lots = min(order.queue, self.flow.left(order.side, order.price))
        for other in self.ladders[order.side].levels[order.price].orders.values():
            if other is order:
                break
            lots += other.left
        return lots

    def reachable(self, order: LiveOrder) -> int | None:
        """Lots of others that an order could take, at most its size; None where an own order would stop it first."""
        far, lots = 1 - order.side, 0
        prices = {price for price, _ in self.flow.levels(far)} | self.ladders[far].levels.keys()
        for price in sorted(prices, reverse=far == BID):
            if not reaches(order.side, order.price, price):
                break
            level, flow = self.ladders[far].levels.get(price), self.flow.left(far, price)
            for resting in level.orders.values() if level else ():
                if stops_taker(order, resting):
                    return order.size if lots + min(flow, resting.queue) >= order.size else None
                lots += 0 if resting.account is order.account else resting.left
            lots += flow
        return min(lots, order.size)

    def take_through(self, order: LiveOrder, wanted: int) -> bool:
        """Take up to `wanted` lots at the order's limit or better; return whether an own order stopped it."""
        far, stopped = 1 - order.side, False
        while wanted > 0 and not stopped:
            price = self.best(far)
            if not reaches(order.side, order.price, price):
                break
            wanted, stopped = self._take_level(order, price, wanted)
        return stopped

    def _take_level(self, order: LiveOrder, price: int, wanted: int) -> tuple[int, bool]:
        """Take at one price in order of time; return what is wanted still, and whether an own order stands next."""
        far, stopped, eaten = 1 - order.side, False, 0
        level = self.ladders[far].levels.get(price)
        for resting in level.in_turn() if level else ():
            lots = self._take_flow(order, price, min(wanted, resting.queue - eaten))
            eaten, wanted = eaten + lots, wanted - lots
            if not wanted:
                break
            if stops_taker(order, resting):
                stopped = True
                break
            if resting.account is order.account:
                self._desk.cancel(resting, "SelfTradeCancel")
                continue
            wanted -= self._fill(resting, wanted, order)
            if not wanted:
                break
        if wanted and not stopped:
            wanted -= self._take_flow(order, price, wanted)
        if level:
            level.move_up(eaten)
        return wanted, stopped

    def _take_flow(self, order: LiveOrder, price: int, wanted: int) -> int:
        far = 1 - order.side
        lots = min(wanted, self.flow.left(far, price))
        if lots <= 0:
            return 0
        self.flow.consume(far, price, lots)
        self.display.touched.add((far, price))
        self._desk.deal(None, order, price, lots, order.side)
        return lots

    def _fill(self, order: LiveOrder, wanted: int, taker: LiveOrder | None) -> int:
        """Fill a resting order at its own price; return the lots."""
        lots = min(wanted, order.left)
        if lots <= 0:
            return 0
        ladder = self.ladders[order.side]
        ladder.levels[order.price].lots -= lots
        self.display.touched.add((order.side, order.price))
        self._desk.deal(order, taker, order.price, lots, 1 - order.side)
        if not order.left:
            ladder.remove(order)
            self._desk.done(order)
        return lots

    # -- the flow

    def meet_print(self, price: int, lots: int, taker: int) -> int:
        """A print of the flow fills orders; return what of it the flow's own orders took. Unknown takers hit both."""
        filled = 0
        for side in (BID, ASK):
            if taker != side and self.ladders[side].count and reaches(side, self.ladders[side].best, price):
                filled += self._print_on(side, price, lots)
        return max(0, lots - filled)

    def _print_on(self, side: int, price: int, lots: int) -> int:
        left, eaten, ladder = lots, 0, self.ladders[side]
        for order in ladder.by_priority(limit=price):
            if order.price != price:
                left -= self._fill(order, left, None)
        level = ladder.levels.get(price)
        for order in level.in_turn() if level else ():
            ahead = max(0, min(order.queue - eaten, left))
            eaten, left = eaten + ahead, left - ahead
            order.owed -= lots
            left -= self._fill(order, left, None)
        if level:
            level.move_up(eaten)
        return lots - eaten - left

    def change_flow(self, delta: BookDelta, *, by_trade: bool, meets: bool) -> bool:
        """A level of the flow changes; False where that makes the book unknown. An unknown book ignores it."""
        flow = self.flow
        if not flow.known:
            return True
        side, price, change = int(delta.side), delta.price, delta.change
        before = flow.recorded[side].get(price, 0)
        if not flow.change(side, price, change):
            return False
        self.display.touched.add((side, price))
        if change > 0:
            if meets:
                self.meet_flow()
        elif level := self.ladders[side].levels.get(price):
            level.meet_decrease(self._model, before, before + change, -change, by_trade)
        return True

    def replace_flow(self, snapshot: BookSnapshot, *, meets: bool) -> None:
        """The flow's book is this from now on."""
        self.display.touched |= self.flow.replace(snapshot)
        for ladder in self.ladders:
            for price, level in ladder.levels.items():
                left = self.flow.recorded[ladder.side].get(price, 0)
                level.meet_decrease(FillModel.PESSIMISTIC, left, left, 0, by_trade=False)
        if meets:
            self.meet_flow()

    def meet_flow(self) -> None:
        """Fill orders from levels of the flow that stand at or through their prices."""
        for side in (Side.BID, Side.ASK):
            ladder = self.ladders[side]
            if ladder.count and reaches(side, ladder.best, self.flow.best[1 - side]):
                self._meet_side(ladder)

    def _meet_side(self, ladder: Ladder) -> None:
        side, far = ladder.side, 1 - ladder.side
        for order in ladder.by_priority(limit=self.flow.best[far]):
            for price, _ in list(self.flow.levels(far)):
                if not order.is_live or not reaches(side, order.price, price):
                    break
                filled = self._fill(order, self.flow.left(far, price) - order.queue, None)
                if filled:
                    self.flow.consume(far, price, filled)
                    self.display.touched.add((far, price))
