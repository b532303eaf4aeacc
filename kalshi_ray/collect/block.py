"""What travels from a connection to the spool: rows, the raw lines they came from, and up to when that is all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

DESK = 0  # the line of what no market connection brings: life cycles, answers of REST, signals, gaps of dead lines
SIDS = 16  # of one line; a sid of a session is line × SIDS + the number of its channel
MOST_LINES = (2**31 - 1) // SIDS  # a sid is an int32


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of one line. Blocks of a line are appended in their order, and none is left out.

    A line is one connection and its successors in one life of a collector; its number is never used by another.
    """

    line: int
    rows: NDArray[Any]  # [N] ROW with markets and sids of the session; recv_ns never falls along a line
    raw: bytes = b""  # one zstd frame with whole lines of `inputs`; empty where none are kept
    raw_lines: int = 0
    frames: int = 0  # received from the exchange
    until_ns: int = 0  # no later block of this line has a row before this time
    is_last: bool = False  # the line is over: nobody waits for it any more

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return int(self.rows.nbytes) + len(self.raw)
