"""Which lines are open, how far each has come, and up to which time all of them are complete."""

from __future__ import annotations

import numpy as np

from kalshi_ray.collect.block import DESK, MOST_LINES, Block
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import DataError

_MOST_SKIPPED = 10_000  # numbers of lines that were given and have not said anything yet


class Lines:
    """The lines of a session. A line opens with its first block, which may be empty, and closes with its last.

    An open line holds the watermark until it says more: whoever opened it must keep it talking, and close it once it
    is dead. Only the desk, which is no connection, opens again in another life.
    """

    def __init__(
        self, *, floors: dict[int, int] | None = None, next_line: int = DESK + 1, sealed_ns: int = 0, last_ns: int = 0
    ) -> None:
        self.floors = dict(floors or {})  # by open line: it brings no row before this time any more
        self.next_line = next_line  # no line has this number or a greater one
        self.sealed_ns = sealed_ns  # rows before it are in sealed segments: none may come any more
        self.last_ns = last_ns  # nothing recorded is later
        self._silent: set[int] = set()  # numbers below `next_line` that opened no line yet

    def copy(self) -> Lines:
        """The same, to be tried on."""
        other = Lines(floors=self.floors, next_line=self.next_line, sealed_ns=self.sealed_ns, last_ns=self.last_ns)
        other._silent = set(self._silent)
        return other

    def begin_life(self) -> None:
        """Whoever gave the numbers of lines is gone: those that said nothing never will."""
        self._silent.clear()

    @property
    def watermark(self) -> int:
        """No row before this time is missing: the least of the open lines; without any, all there is."""
        return max(min(self.floors.values(), default=self.last_ns + 1), self.sealed_ns)

    def take(self, block: Block, markets: int) -> None:
        """Go on by one block. DataError if it cannot follow what came before, or names a market that is unknown."""
        floor = self._floor(block)
        if block.rows.dtype != ROW:
            raise DataError(f"line {block.line} brought rows of {block.rows.dtype}, expected {ROW}")
        if bool(block.raw) != bool(block.raw_lines):
            raise DataError(f"line {block.line} brought {len(block.raw)} raw bytes of {block.raw_lines} lines")
        until = floor if block.is_last else max(floor, block.until_ns)
        if len(block.rows):
            until = max(until, self._last_of(block, floor, markets))
        self.move(block.line, until)
        if block.is_last:
            del self.floors[block.line]

    def move(self, line: int, until_ns: int) -> None:
        """A line will bring nothing before `until_ns`."""
        if line >= self.next_line:
            self._silent |= set(range(self.next_line, line))
            self.next_line = line + 1
        self._silent.discard(line)
        self.floors[line] = until_ns
        self.last_ns = max(self.last_ns, until_ns)

    def _floor(self, block: Block) -> int:
        """Before which time the line must not bring anything."""
        line = block.line
        if line in self.floors:
            return self.floors[line]
        if not DESK <= line < min(MOST_LINES, self.next_line + _MOST_SKIPPED):
            raise DataError(f"a line has the number {line}, expected {self.next_line}")
        if DESK < line < self.next_line and line not in self._silent:
            raise DataError(f"line {line} is over", remedy=f"A line that opens has the number {self.next_line}")
        return self.sealed_ns

    def _last_of(self, block: Block, floor: int, markets: int) -> int:
        """The time of the last row."""
        times = np.ascontiguousarray(block.rows["recv_ns"])
        if times[0] < floor:
            whose = "it" if block.line in self.floors else "the session"
            raise DataError(
                f"line {block.line} brought a row of {times[0]}, after {whose} was complete up to {floor}",
                remedy="Open a line before time goes on, and let its times never fall, not even if the clock does",
            )
        falls = times[1:] < times[:-1]
        if falls.any():
            at = int(falls.argmax())
            raise DataError(f"line {block.line} brought a row of {times[at + 1]} after one of {times[at]}")
        low, high = int(block.rows["market"].min()), int(block.rows["market"].max())
        if low < -1 or high >= markets:
            raise DataError(
                f"line {block.line} brought rows of markets {low}..{high}, {markets} are known",
                remedy="Note the facts of a market before its first row",
            )
        return int(times[-1])
