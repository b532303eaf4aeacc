"""The order flow of everybody else: what a tape or a generator says, and the book it makes.

`FlowBook` keeps the books of `core.book` by price instead of by tick: recorded lots, what accounts have consumed of
them, and the difference, which is what can be traded. A decrease counts against what was consumed first; a snapshot
or an emptied level forgets it.
"""

from __future__ import annotations

from collections.abc import Iterator

from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, FeeChange, MarketChange, RecorderRow, Trade

BID, ASK = int(Side.BID), int(Side.ASK)
NO_BID, NO_ASK = -1, DOLLAR + 1  # best prices of an empty side
NONE = (NO_BID, NO_ASK)


class FlowDelta(BookDelta, frozen=True, kw_only=True):
    """A change of one level that says whether it was a print: queues shrink by prints and not by cancels."""

    by_trade: bool = False


# A plain BookDelta is not known to be a print. RecorderRow: GAP, STATUS, SCHEDULE, FEE and SETTLEMENT rows, columns of
# `data.schema`; a grid and its ranges come as a MarketChange. A taker NONE is unknown.
WholeUpdate = BookSnapshot | Trade | MarketChange | RecorderRow
FlowUpdate = BookDelta | FeeChange | WholeUpdate


def reaches(side: int, limit: int, price: int) -> bool:
    """Whether an order on `side` with that limit trades at `price`."""
    return price <= limit if side == BID else price >= limit


class FlowBook:
    """Recorded and consumed lots by side and price, in pips."""

    __slots__ = ("_stamp", "best", "consumed", "damaged", "known", "recorded", "stamps")

    def __init__(self) -> None:
        self.recorded: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.consumed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.stamps: tuple[dict[int, int], dict[int, int]] = ({}, {})  # when a level last changed, as a count
        self.best = [NO_BID, NO_ASK]  # of what is left
        self.known = True
        self.damaged = 0  # times a level would have gone negative
        self._stamp = 0

    def left(self, side: int, price: int) -> int:
        """Lots at a level that nobody has taken."""
        recorded = self.recorded[side].get(price, 0)
        return recorded - self.consumed[side].get(price, 0) if recorded else 0

    def levels(self, side: int) -> Iterator[tuple[int, int]]:
        """(price, lots) of all that is left, best first."""
        for price in sorted(self.recorded[side], reverse=side == BID):
            lots = self.left(side, price)
            if lots > 0:
                yield price, lots

    def change(self, side: int, price: int, change: int) -> bool:
        """Apply a signed change; a level below zero makes the book unknown and is not applied. Whether it was."""
        recorded = self.recorded[side]
        before = recorded.get(price, 0)
        after = before + change
        if after < 0:
            self.known = False
            self.damaged += 1
            return False
        consumed = self.consumed[side]
        if after == 0:
            recorded.pop(price, None)
            consumed.pop(price, None)
        else:
            recorded[price] = after
            if change < 0 and price in consumed:
                taken = consumed[price] + change
                if taken > 0:
                    consumed[price] = taken
                else:
                    del consumed[price]
        self._stamp += 1
        self.stamps[side][price] = self._stamp
        best = self.best[side]
        if price >= best if side == BID else price <= best:
            self._follow_best(side, price)
        return True

    def consume(self, side: int, price: int, lots: int) -> None:
        """Take lots of what is left at a level."""
        self.consumed[side][price] = self.consumed[side].get(price, 0) + lots
        self._follow_best(side, price)

    def replace(self, snapshot: BookSnapshot) -> set[tuple[int, int]]:
        """Become the snapshot, with nothing consumed; return all levels that may have changed."""
        touched: set[tuple[int, int]] = set()
        self._stamp += 1
        for side, levels in ((BID, snapshot.bids), (ASK, snapshot.asks)):
            touched.update((side, price) for price in self.recorded[side])
            self.consumed[side].clear()
            self.recorded[side].clear()
            self.recorded[side].update((price, size) for price, size in levels if size > 0)
            self.stamps[side].clear()
            self.stamps[side].update(dict.fromkeys(self.recorded[side], self._stamp))
            touched.update((side, price) for price in self.recorded[side])
            self.best[side] = self._find_best(side)
        self.known = True
        return touched

    def uncrossed(self, *, bids_below: int, asks_above: int) -> tuple[list[int], list[int]]:
        """Prices of bids and asks with lots left, best first, without those that newer flow of the other side meets.

        A recording may say the new quote before it takes the former one away: what changed last is right.
        """
        bids = [price for price, _ in self.levels(BID) if price < bids_below]
        asks = [price for price, _ in self.levels(ASK) if price > asks_above]
        at_bid = at_ask = 0
        while at_bid < len(bids) and at_ask < len(asks) and bids[at_bid] >= asks[at_ask]:
            newer = self.stamps[BID].get(bids[at_bid], 0) - self.stamps[ASK].get(asks[at_ask], 0)
            at_ask += newer >= 0
            at_bid += newer <= 0
        return bids[at_bid:], asks[at_ask:]

    def _follow_best(self, side: int, price: int) -> None:
        best = self.best[side]
        if self.left(side, price) > 0:
            if price > best if side == BID else price < best:
                self.best[side] = price
        elif price == best:
            self.best[side] = self._find_best(side)

    def _find_best(self, side: int) -> int:
        recorded, consumed = self.recorded[side], self.consumed[side]
        prices = (p for p, size in recorded.items() if size > consumed.get(p, 0)) if consumed else recorded
        return max(prices, default=NO_BID) if side == BID else min(prices, default=NO_ASK)
