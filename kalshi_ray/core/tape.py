"""The tape: the records that every kernel reads, and the pack that carries them.

A view is one market in one session. The views of a session share a few large arrays, so that one copy per node
serves every env runner. Arrays that come out of the object store are read-only; a pack is read-only from birth, so
that kernels are compiled once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What a row of the tape is."""

    SNAPSHOT_LEVEL = 1  # absolute size of one level; the first one of a run empties the book
    SNAPSHOT_END = 2  # the book is known and whole; alone it means an empty book
    DELTA = 3  # signed change of one level
    TRADE = 4  # a public print
    GAP = 5  # the book is unknown until the next SNAPSHOT_END
    STATUS = 6  # see Status
    SCHEDULE = 7  # the scheduled close moved
    GRID = 8  # the price grid changed
    FEE = 9  # the fee rates changed
    SETTLEMENT = 10  # the venue's result
    SIGNAL = 11  # an external value, stamped when it was received


class Status(IntEnum):
    """Life cycle of a market as far as trading cares."""

    INITIALIZED = 0
    ACTIVE = 1
    INACTIVE = 2  # paused; reactivation cancels resting orders
    CLOSED = 3
    DETERMINED = 4
    DISPUTED = 5
    AMENDED = 6
    FINALIZED = 7


class GapCause(IntEnum):
    """Why the book is unknown."""

    SEQUENCE = 1  # a sequence number is missing
    SILENCE = 2  # an import: every market of the event was silent for longer than the threshold
    RECONNECT = 3
    RECORDER = 4  # the recorder stopped


# Bits of `flags`. Side and taker are of the YES axis.
ASK_SIDE = 1  # set: the row concerns asks; clear: bids
TAKER_BOUGHT = 2  # the taker of a print bought YES
TAKER_SOLD = 4  # the taker of a print sold YES; neither bit: unknown
BY_TRADE = 8  # a decrease caused by a print; otherwise it is a cancel. Matching reads it, features never do
OFF_BOOK = 16  # block or off-grid print: kept, never moves a queue

LAG_UNKNOWN = -(2**31)  # in `lag_us`: the exchange time of the row is not known

# 20 bytes a row. `venue time` = recv_ns // 1000 * 1000 - lag_us * 1000, made non-decreasing by the view builder.
UPDATE = np.dtype(
    [
        ("recv_ns", np.int64),
        ("lag_us", np.int32),  # receive time (whole microseconds) less exchange time; or LAG_UNKNOWN
        ("size", np.int32),  # lots: absolute for levels, signed for deltas; GAP: cause; STATUS: status; SETTLEMENT:
        #                      value in pips; SCHEDULE, FEE, GRID, SIGNAL: index into `values`
        ("tick", np.int16),  # index of the price on the view's axis; -1 off the axis; SIGNAL: which signal
        ("kind", np.uint8),
        ("flags", np.uint8),
    ]
)

# One market in one session. Every field was known at its first update, but for those named "selection".
VIEW = np.dtype(
    [
        ("market", np.int32),  # row of the session's market table
        ("event", np.int32),  # index of the event, shared by its markets
        ("siblings", np.int32),  # row of `sibling_start`: the event in its own session
        ("start", np.int64),  # first row in `updates`
        ("stop", np.int64),  # one past the last
        ("key_start", np.int64),  # first row in `keyframes`
        ("key_stop", np.int64),
        ("axis", np.int32),  # row of `axes`
        ("levels", np.int32),  # L, prices on the axis
        ("grid", np.int32),  # row of `grids`: which prices of the axis are valid at the start
        ("status", np.int32),
        ("open_ns", np.int64),  # 0 unknown
        ("close_ns", np.int64),  # scheduled close, 0 unknown
        ("taker_ppm", np.int32),  # fee rate in parts per million: 70,000 = 0.07
        ("maker_ppm", np.int32),
        ("default_size", np.int32),  # lots assumed at a level whose size was not observed; 0: sizes are observed
        ("steps", np.int64),  # selection: decision points by the timer rule
    ]
)

# The state of a book before row `at`, so that an episode can start there.
KEYFRAME = np.dtype(
    [
        ("at", np.int64),  # row in `updates`
        ("level_start", np.int64),  # first row in `levels`
        ("level_stop", np.int64),
        ("grid", np.int32),
        ("status", np.int32),
        ("close_ns", np.int64),
        ("taker_ppm", np.int32),
        ("maker_ppm", np.int32),
        ("known", np.int8),  # 0: inside a gap
        ("in_snapshot", np.int8),
    ]
)

LEVEL = np.dtype([("size", np.int64), ("tick", np.int16), ("side", np.int8)])

# One row per change of best prices within an event: what a market can know of its siblings.
SIBLING = np.dtype(
    [
        ("recv_ns", np.int64),
        ("market", np.int32),
        ("bid_change", np.int16),  # pips; a missing bid counts 0, a missing ask one dollar
        ("ask_change", np.int16),
        ("bid_sum", np.int32),  # over all markets of the event, after the change
        ("ask_sum", np.int32),
    ]
)


@dataclass(frozen=True)
class ViewPack:
    """The views of one session, or of several joined: U updates, V views, K keyframes, X axes of at most L prices.

    Read-only. `data.joined` joins sessions: an event that two of them recorded is one event, with siblings in each.
    """

    session: str
    checksum: str  # of the session's files: the data identity that a bundle records
    tickers: tuple[str, ...]  # [V] by view
    events: tuple[str, ...]  # by event index
    updates: NDArray[np.void]  # [U] UPDATE
    views: NDArray[np.void]  # [V] VIEW
    keyframes: NDArray[np.void]  # [K] KEYFRAME
    levels: NDArray[np.void]  # [...] LEVEL
    axes: NDArray[np.int32]  # [X, L] pips, padded with one dollar
    grids: NDArray[np.uint8]  # [G, L] 1 where a price of the axis is valid on that grid
    values: NDArray[np.int64]  # [N] what does not fit a row: FEE takes two, taker then maker ppm
    siblings: NDArray[np.void]  # [S] SIBLING; empty unless asked for
    sibling_start: NDArray[np.int64]  # [E + 1] rows of `siblings` by event of a session
    depth: str = "full"  # full | best
    sizes: str = "observed"  # observed | assumed
    has_trades: bool = True
    signals: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for item in fields(self):
            array = getattr(self, item.name)
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    @property
    def max_levels(self) -> int:
        """L of the largest axis."""
        return int(self.axes.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays: what one copy in the object store costs."""
        return sum(getattr(self, f.name).nbytes for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray))
