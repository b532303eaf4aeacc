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

    def receive(self, sid: int, seq: int, *, restarts: bool = False) -> Verdict:
        """Judge one frame. `restarts`: a frame that opens a book, so that number 1 again means a later connection."""
        if sid == 0 or seq == 0:
            return Verdict(Order.UNNUMBERED, 0, seq)
        expected = self._last.get(sid, 0) + 1
        if seq < expected:
            if seq > 1 or not restarts:
                return Verdict(Order.DUPLICATE, expected, seq)
            self._last[sid] = seq
            return Verdict(Order.RESTART, expected, seq)
        self._last[sid] = seq
        return Verdict(Order.NEXT if seq == expected else Order.GAP, expected, seq)

    def knows(self, sid: int) -> bool:
        """Whether a numbered frame of that sid has come."""
        return sid in self._last

    def accept(self, sid: int, seq: int) -> None:
        """Continue from this number without judging: the recorder said that it knows of the gap."""
        self._last[sid] = seq

    def forget(self, sid: int | None = None) -> None:
        """The counter of a sid starts again (unsubscribed); of every sid (reconnected)."""
        if sid is None:
            self._last.clear()
        else:
            self._last.pop(sid, None)
