"""Receive times that never fall, whatever becomes of the machine's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from kalshi_ray.core.units import MILLISECOND, SECOND

LOOK_NS = 100 * MILLISECOND  # how often the wall clock is looked at; between two looks time passes steadily
JUMP_NS = SECOND  # more than this between two looks is a jump
SLOWING = 6  # bits: times that are ahead of the wall clock run slower by 1/64 until it has caught up
_KEPT = 64  # jumps that nobody took


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """The wall clock was set: by `size_ns` (back where negative), noticed at the receive time `at_ns`."""

    at_ns: int
    size_ns: int

    def __str__(self) -> str:
        way = "forward" if self.size_ns > 0 else "back"
        return f"the clock of this machine jumped {way} by {abs(self.size_ns) / SECOND:,.3f} s"


class Clock:
    """Gives receive times, in ns since the epoch; call it as often as wanted.

    It follows the wall clock forward. Where that is set back, times go on a little slower than they pass until it has
    caught up. `last_ns`: the last time of an earlier life, which is never given again, and nothing before it.
    """

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int], last_ns: int = 0) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._looked, self._seen = monotonic(), wall()
        self._base = max(self._seen, last_ns + 1)  # the time at the last look
        self._ahead = self._base - self._seen  # of the wall clock then
        self.jumps = 0
        self._untold: deque[Jump] = deque(maxlen=_KEPT)
        if self._ahead > JUMP_NS:
            self._note(-self._ahead)

    def __call__(self) -> int:
        """The time now."""
        now = self._monotonic()
        if now - self._looked >= LOOK_NS:
            self._look(now)
        return self._at(now)

    def take_jumps(self) -> list[Jump]:
        """The jumps since the last time; the earliest of very many are left out, `jumps` counts all."""
        untold = list(self._untold)
        self._untold.clear()
        return untold

    def _at(self, now: int) -> int:
        elapsed = now - self._looked
        return self._base + elapsed - min(self._ahead, elapsed >> SLOWING)

    def _look(self, now: int) -> None:
        wall, ours = self._wall(), self._at(now)
        jump = wall - self._seen - (now - self._looked)
        self._base, self._ahead = max(ours, wall), max(ours - wall, 0)
        self._looked, self._seen = now, wall
        if abs(jump) > JUMP_NS:
            self._note(jump)

    def _note(self, size_ns: int) -> None:
        self.jumps += 1
        self._untold.append(Jump(at_ns=self._base, size_ns=size_ns))
