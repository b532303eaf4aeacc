"""Sequence numbers: one counter per subscription, taken by every frame of it, control frames too."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Order(Enum):
    """How a frame stands to the ones before it on its sid."""

    NEXT = auto()  # as expected
    UNNUMBERED = auto()  # the channel has no numbers
    GAP = auto()  # at least one frame is missing: every book of the sid is stale
    DUPLICATE = auto()  # seen before: ignore it
    RESTART = auto()  # the counter began again: another connection, every book of the sid is stale


class Verdict(NamedTuple):
    """`missing` frames did not come; 0 unless `order` is GAP."""

    order: Order
    expected: int
    received: int

    @property
    def missing(self) -> int:
        """Frames that did not come."""
        return self.received - self.expected if self.order is Order.GAP else 0


class SequenceTracker:
    """Watches the counters of one connection. Feed it every frame with its sid; `forget` after a reconnect."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._resubscribed: set[int] = set()
        self._unjudged: set[int] = set()

    def receive(self, sid: int, seq: int, *, opens_book: bool = False) -> Verdict:
        """Judge one frame. `opens_book`: it is a snapshot, so that number 1 again can only mean a later connection."""
        if sid == 0 or seq == 0:
            return Verdict(Order.UNNUMBERED, 0, seq)
        expected = self._last.get(sid, 0) + 1
        may_restart = sid in self._resubscribed or (opens_book and seq == 1)
        if sid in self._unjudged:
            order = Order.NEXT
        elif seq < expected:
            order = Order.RESTART if may_restart else Order.DUPLICATE
        else:
            order = Order.NEXT if seq == expected else Order.GAP
        if order is not Order.DUPLICATE:
            self.accept(sid, seq)
        return Verdict(order, expected, seq)

    def last(self, sid: int) -> int:
        """The number of the last frame of a sid, 0 before the first."""
        return self._last.get(sid, 0)

    def accept(self, sid: int, seq: int) -> None:
        """Continue from this number without judging it."""
        self._last[sid] = seq
        self._resubscribed.discard(sid)
        self._unjudged.discard(sid)

    def resubscribed(self, sid: int) -> None:
        """The exchange confirmed a subscription of this sid: a smaller number is a later counter, no duplicate."""
        if sid in self._last:
            self._resubscribed.add(sid)

    def excuse(self, sid: int) -> None:
        """The recorder knows of a gap here: the next number is right, whatever it is."""
        self._unjudged.add(sid)

    def forget(self, sid: int | None = None) -> None:
        """The counter of a sid begins again (unsubscribed); of every sid (reconnected)."""
        for known in (self._last, self._resubscribed, self._unjudged):
            if sid is None:
                known.clear()
            elif isinstance(known, dict):
                known.pop(sid, None)
            else:
                known.discard(sid)
