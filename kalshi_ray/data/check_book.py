"""The book of a replay that looks for faults, and the tally of what it finds, with first examples.

The book here is by pip and not by tick, because off-grid levels are among the things to find. Everything a replay
touches is one record, which kernels pass by its address: arrays passed on are counted, which cost more than the work.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import DOLLAR

EXAMPLES = 5  # rows named of every kind of finding
_BLOCK = 100  # pips whose levels are counted together, so that the next best price is found fast
BLOCKS = DOLLAR // _BLOCK + 1


class Check(IntEnum):
    """Kinds of findings that the replay makes; the value is their place in a TALLY."""

    NEGATIVE_LEVEL = 0
    LEVEL_OFF_GRID = auto()
    LEVEL_WITHOUT_SIDE = auto()
    LEVEL_WITHOUT_SIZE = auto()
    LEVEL_TWICE = auto()
    SNAPSHOT_CUT = auto()
    DELTA_ON_UNKNOWN = auto()
    LOCKED = auto()
    CROSSED = auto()
    CROSSED_LONG = auto()
    TRADE_OFF_GRID = auto()
    TRADE_IMPOSSIBLE = auto()
    BLOCK_TRADE = auto()
    GAP_AT_START = auto()
    REPEATED_SNAPSHOT = auto()
    FRACTIONAL_SIZE = auto()
    UNKNOWN_GRID = auto()
    SETTLEMENT_IMPOSSIBLE = auto()
    SETTLED_AGAIN = auto()
    ROW_AFTER_SETTLEMENT = auto()
    SEQUENCE_BACK = auto()
    SEQUENCE_SKIPPED = auto()


(
    NEGATIVE_LEVEL,
    LEVEL_OFF_GRID,
    LEVEL_WITHOUT_SIDE,
    LEVEL_WITHOUT_SIZE,
    LEVEL_TWICE,
    SNAPSHOT_CUT,
    DELTA_ON_UNKNOWN,
    LOCKED,
    CROSSED,
    CROSSED_LONG,
    TRADE_OFF_GRID,
    TRADE_IMPOSSIBLE,
    BLOCK_TRADE,
    GAP_AT_START,
    REPEATED_SNAPSHOT,
    FRACTIONAL_SIZE,
    UNKNOWN_GRID,
    SETTLEMENT_IMPOSSIBLE,
    SETTLED_AGAIN,
    ROW_AFTER_SETTLEMENT,
    SEQUENCE_BACK,
    SEQUENCE_SKIPPED,
) = (int(check) for check in Check)

# What the replay of one market saw.
STATS = np.dtype(
    [
        ("rows", np.int64),
        ("snapshots", np.int64),
        ("trades", np.int64),
        ("gaps", np.int64),
        ("unknown_ns", np.int64),  # in gaps
        ("crossed_ns", np.int64),  # locked or crossed
        ("longest_ns", np.int64),
        ("seen_bid", np.int64),
        ("seen_ask", np.int64),
        ("settled", np.int64),
    ]
)
_CHECKS = len(Check)

# Room for the replay of one market after another, and what was found in all of them.
WORK = np.dtype(
    [
        ("longest", np.int64),  # ns that a book may be crossed
        ("best", np.int32, 2),  # pips; 0 no bid, DOLLAR no ask
        ("levels", np.int32, 2),  # with a size
        ("known", np.int8),
        ("in_snapshot", np.int8),
        ("crossing", np.int8),  # 0 no, 1 locked, 2 crossed
        ("sid", np.int32),  # of the last row of the book
        ("changed_ns", np.int64),  # time of the last change
        ("changed_row", np.int64),  # -1 none yet
        ("crossing_ns", np.int64),  # since when
        ("crossing_row", np.int64),
        ("gap_ns", np.int64),  # since when unknown by a gap; 0 not
        ("value", np.int64),  # of the settlement
        ("stats", STATS),
        ("sizes", np.int64, (2, DOLLAR + 1)),  # lots by pip
        ("blocks", np.int64, (2, BLOCKS)),  # levels with a size in every hundred pips
        ("on_grid", np.uint8, DOLLAR + 1),  # 1 where a price is on the market's current grid
        ("found", np.int64, _CHECKS),  # how often, by Check
        ("found_rows", np.int64, (_CHECKS, EXAMPLES)),  # row of the first ones
        ("found_values", np.int64, (_CHECKS, EXAMPLES)),  # what stood there: a size, a price, a time
    ],
    align=True,
)


@kernel
def note(work, check, i, value):
    """Count a finding; keep it if it is among the first."""
    seen = work.found[check]
    if seen < EXAMPLES:
        work.found_rows[check, seen] = i
        work.found_values[check, seen] = value
    work.found[check] = seen + 1


@kernel
def clear(work):
    """Empty both sides."""
    for side in range(2):
        for block in range(BLOCKS):
            if work.blocks[side, block]:
                for price in range(block * _BLOCK, min((block + 1) * _BLOCK, DOLLAR + 1)):
                    work.sizes[side, price] = 0
                work.blocks[side, block] = 0
        work.levels[side] = 0
    work.best[0] = 0
    work.best[1] = DOLLAR


@kernel
def put_level(work, side, price, size):
    """Set the size of a level and keep the best prices right."""
    was = work.sizes[side, price]
    work.sizes[side, price] = size
    appeared = int(size > 0) - int(was > 0)
    work.blocks[side, price // _BLOCK] += appeared
    work.levels[side] += appeared
    if size > 0:
        if side == 0:
            work.best[0] = max(work.best[0], price)
        else:
            work.best[1] = min(work.best[1], price)
    elif work.levels[side] == 0:
        work.best[side] = 0 if side == 0 else DOLLAR
    elif price == work.best[side]:
        work.best[side] = next_bid(work, price) if side == 0 else next_ask(work, price)


@kernel
def next_bid(work, price):
    """The best bid below `price`; 0 none."""
    block = price // _BLOCK
    top = price
    while block >= 0:
        if work.blocks[0, block]:
            for level in range(top, block * _BLOCK - 1, -1):
                if work.sizes[0, level] > 0:
                    return level
        block -= 1
        top = block * _BLOCK + _BLOCK - 1
    return 0


@kernel
def next_ask(work, price):
    """The best ask above `price`; DOLLAR none."""
    block = price // _BLOCK
    bottom = price
    while block < BLOCKS:
        if work.blocks[1, block]:
            for level in range(bottom, min((block + 1) * _BLOCK, DOLLAR + 1)):
                if work.sizes[1, level] > 0:
                    return level
        block += 1
        bottom = block * _BLOCK
    return DOLLAR


@kernel
def judge_crossing(work):
    """Whether the book stood locked or crossed after everything that came at one time."""
    if not work.known or work.in_snapshot:
        return
    bid, ask = work.best[0], work.best[1]
    crossing = 0
    if bid > 0 and ask < DOLLAR and bid >= ask:
        crossing = 1 if bid == ask else 2
    if crossing and not work.crossing:
        work.crossing_ns = work.changed_ns
        work.crossing_row = work.changed_row
    if crossing:
        work.crossing = max(work.crossing, crossing)
    elif work.crossing:
        end_crossing(work, work.changed_ns)


@kernel
def end_crossing(work, now):
    """The book is right again, or unknown, or at its end."""
    lasted = now - work.crossing_ns
    note(work, LOCKED if work.crossing == 1 else CROSSED, work.crossing_row, lasted)
    if lasted > work.longest:
        note(work, CROSSED_LONG, work.crossing_row, lasted)
    work.stats.crossed_ns += lasted
    work.stats.longest_ns = max(work.stats.longest_ns, lasted)
    work.crossing = 0
