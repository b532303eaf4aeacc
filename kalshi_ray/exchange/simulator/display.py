"""What everybody sees of a market: flow and accounts' orders in one book that is never crossed.

    shown = flow − consumed + accounts' orders, less the flow that is hidden

Accounts' orders are always shown. Flow at or through the best order of an account on the other side is hidden: it has
filled that order as far as its queue let it. Of flow that meets flow the older is hidden. What is hidden can still be
taken, as in `core.matching`, and appears when what it met has gone.
"""

from __future__ import annotations

from kalshi_ray.exchange.simulator.flow import ASK, BID, NONE, FlowBook
from kalshi_ray.exchange.simulator.orders import Ladder

Change = tuple[int, int, int]  # side, price, signed lots
Touch = tuple[int, int, int, int]  # best bid and ask (`flow.NONE` where missing), lots there


class Display:
    """The book as it was last shown."""

    __slots__ = ("_overlapping", "best", "has_moved", "shown", "touched")

    def __init__(self) -> None:
        self.shown: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.best = list(NONE)
        self.touched: set[tuple[int, int]] = set()  # levels whose flow or orders changed since
        self.has_moved = False  # the touch, since somebody last cleared this
        self._overlapping = False

    @property
    def touch(self) -> Touch:
        """The best prices and their sizes."""
        bid, ask = self.best
        return bid, ask, self.shown[BID].get(bid, 0), self.shown[ASK].get(ask, 0)

    def levels(self, side: int) -> tuple[tuple[int, int], ...]:
        """(price, lots), best first."""
        return tuple(sorted(self.shown[side].items(), reverse=side == BID))

    def refresh(self, flow: FlowBook, ladders: tuple[Ladder, Ladder]) -> list[Change]:
        """Show the book as it is now; return the differences, decreases first so that it never crosses on the way."""
        bids, asks = ladders
        flow_bid, flow_ask = flow.best
        bid = flow_bid if flow_bid > bids.best else bids.best
        overlapping = bid >= (flow_ask if flow_ask < asks.best else asks.best)
        if overlapping or self._overlapping:
            changes = self._compare_all(flow, ladders)
        else:
            changes = []
            for side, price in self.touched:
                after = flow.recorded[side].get(price, 0) - flow.consumed[side].get(price, 0)
                if ladders[side].count:
                    after += ladders[side].lots(price)
                change = after - self.shown[side].get(price, 0)
                if change:
                    changes.append((side, price, change))
        self._overlapping = overlapping
        self.touched.clear()
        if len(changes) > 1:
            changes.sort(key=_decreases_first)
        for side, price, change in changes:
            self._show(side, price, change)
        return changes

    def _compare_all(self, flow: FlowBook, ladders: tuple[Ladder, Ladder]) -> list[Change]:
        changes = []
        visible = flow.uncrossed(bids_below=ladders[ASK].best, asks_above=ladders[BID].best)
        for side in (BID, ASK):
            wanted = {price: flow.left(side, price) for price in visible[side]}
            for price, level in ladders[side].levels.items():
                wanted[price] = wanted.get(price, 0) + level.lots
            shown = self.shown[side]
            changes += [
                (side, price, wanted.get(price, 0) - shown.get(price, 0)) for price in wanted.keys() | shown.keys()
            ]
        return [change for change in changes if change[2]]

    def _show(self, side: int, price: int, change: int) -> None:
        shown, best = self.shown[side], self.best[side]
        after = shown.get(price, 0) + change
        if price >= best if side == BID else price <= best:
            self.has_moved = True
        if after:
            shown[price] = after
            if price > best if side == BID else price < best:
                self.best[side] = price
            return
        del shown[price]
        if price == best:
            none = NONE[side]
            self.best[side] = max(shown, default=none) if side == BID else min(shown, default=none)


def _decreases_first(change: Change) -> tuple[bool, int, int]:
    side, price, lots = change
    return lots > 0, side, price
