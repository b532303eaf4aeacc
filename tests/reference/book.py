"""An order book as four dictionaries."""

from __future__ import annotations

BID, ASK = 0, 1


class Book:
    """What was recorded at each level and what we took of it; both sides, on ticks 0 to `levels` - 1."""

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self.recorded: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.consumed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.known = False
        self.in_snapshot = False
        self.damaged = 0

    def snapshot_level(self, side: int, tick: int, size: int) -> bool:
        if not self.in_snapshot:
            self._empty()
            self.in_snapshot, self.known = True, False
        self.recorded[side][tick] = size
        return False

    def snapshot_end(self) -> bool:
        if not self.in_snapshot:
            self._empty()
        self.in_snapshot, self.known = False, True
        return True

    def gap(self) -> bool:
        self.known = self.in_snapshot = False
        return False

    def delta(self, side: int, tick: int, change: int) -> bool:
        if not self.known:
            return False
        after = self.recorded[side].get(tick, 0) + change
        if after < 0:
            self.known = False
            self.damaged += 1
            return False
        self.recorded[side][tick] = after
        if change < 0:
            # What others took or withdrew counts against what we took first.
            self.consumed[side][tick] = max(0, self.consumed[side].get(tick, 0) + change)
        return True

    def consume(self, side: int, tick: int, lots: int) -> int:
        taken = min(lots, self.shown_at(side, tick))
        self.consumed[side][tick] = self.consumed[side].get(tick, 0) + taken
        return taken

    def shown_at(self, side: int, tick: int) -> int:
        return self.recorded[side].get(tick, 0) - self.consumed[side].get(tick, 0)

    def shown(self, side: int) -> dict[int, int]:
        """Levels that show anything."""
        return {tick: self.shown_at(side, tick) for tick in self.recorded[side] if self.shown_at(side, tick)}

    def best(self, side: int) -> int:
        if side == BID:
            return max(self.shown(BID), default=-1)
        return min(self.shown(ASK), default=self.levels)

    def behind(self, side: int, tick: int) -> int:
        """The next shown level that is worse than `tick`."""
        if side == BID:
            return max((t for t in self.shown(BID) if t < tick), default=-1)
        return min((t for t in self.shown(ASK) if t > tick), default=self.levels)

    def is_two_sided(self) -> bool:
        return bool(self.shown(BID)) and bool(self.shown(ASK))

    def is_crossed(self) -> bool:
        """As recorded, whatever we took of it."""
        bids = [tick for tick, size in self.recorded[BID].items() if size > 0]
        asks = [tick for tick, size in self.recorded[ASK].items() if size > 0]
        return bool(bids and asks) and max(bids) >= min(asks)

    def _empty(self) -> None:
        self.recorded, self.consumed = ({}, {}), ({}, {})
