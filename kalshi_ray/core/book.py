"""The order book of one row: recorded sizes, what we have consumed of them, and the best prices.

A level shows `recorded - consumed` lots. What we take out of a replayed book stays taken: a recorded decrease counts
against our consumption first, and a snapshot or an emptied level forgets it (market-rules.md section 5).

A book is one record that holds everything, its price axis included, so that kernels pass a pointer and nothing else. L,
the number of prices, is part of the record's type: 99 for markets in cents, 999 in tenths, 9,999 for the finest.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from functools import cache

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import ASK_SIDE, Kind
from kalshi_ray.core.units import Side

BID, ASK = int(Side.BID), int(Side.ASK)
SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, GAP = (
    int(Kind.SNAPSHOT_LEVEL),
    int(Kind.SNAPSHOT_END),
    int(Kind.DELTA),
    int(Kind.GAP),
)

BOOK_SIZES = (99, 999, 9_999)  # L: kernels are compiled once for each that is used


@cache
def book_dtype(levels: int) -> np.dtype[np.void]:
    """The BOOK record for L = `levels` prices."""
    return np.dtype(
        [
            ("best", np.int32, 2),  # tick of the best bid (-1: none) and of the best ask (`levels`: none)
            ("count", np.int32, 2),  # levels shown by side
            ("total", np.int64, 2),  # lots shown by side
            ("levels", np.int32),  # prices on this market's axis, at most L
            ("known", np.int8),  # 0 after a gap, until the next whole snapshot
            ("in_snapshot", np.int8),  # between the first level of a snapshot and its end
            ("damaged", np.int32),  # times a level would have gone negative
            ("hidden", np.int32),  # recorded levels of which nothing is shown, because we took all
            ("prices", np.int32, levels),  # pips by tick
            ("valid", np.uint8, levels),  # 1 where a price is on the market's current grid
            ("recorded", np.int64, (2, levels)),  # lots by side and tick
            ("consumed", np.int64, (2, levels)),  # lots of them that we took
        ],
        align=True,
    )


def book_size(levels: int) -> int:
    """The smallest L of BOOK_SIZES that holds an axis of `levels` prices."""
    return next(size for size in BOOK_SIZES if levels <= size)


@kernel
def clear_book(book):
    """Empty both sides. The book is unknown until told otherwise."""
    for tick in range(book.levels):
        book.recorded[0, tick] = 0
        book.recorded[1, tick] = 0
        book.consumed[0, tick] = 0
        book.consumed[1, tick] = 0
    book.best[0] = -1
    book.best[1] = book.levels
    book.count[0] = 0
    book.count[1] = 0
    book.total[0] = 0
    book.total[1] = 0
    book.hidden = 0


@kernel
def shown(book, side, tick):
    """Lots at a level that are left for others and for us."""
    return book.recorded[side, tick] - book.consumed[side, tick]


@kernel
def next_level(book, side, tick):
    """The nearest shown level strictly behind `tick`: lower for bids, higher for asks; -1 or L where there is none."""
    if side == BID:
        tick -= 1
        while tick >= 0 and book.recorded[BID, tick] <= book.consumed[BID, tick]:
            tick -= 1
        return tick
    tick += 1
    while tick < book.levels and book.recorded[ASK, tick] <= book.consumed[ASK, tick]:
        tick += 1
    return tick


@kernel
def _reshow(book, side, tick, before, after):
    """Keep totals, counts and best prices in step with a level that showed `before` and shows `after` lots."""
    book.total[side] += after - before
    if before == 0:
        if after > 0:
            book.count[side] += 1
            if (side == BID and tick > book.best[0]) or (side == ASK and tick < book.best[1]):
                book.best[side] = tick
    elif after == 0:
        book.count[side] -= 1
        if tick == book.best[side]:
            book.best[side] = next_level(book, side, tick)


@kernel
def change_level(book, side, tick, change):
    """Apply a signed recorded change. A level below zero makes the book unknown: it waits for a snapshot."""
    recorded_before = book.recorded[side, tick]
    recorded_after = recorded_before + change
    if recorded_after < 0:
        book.known = 0
        book.damaged += 1
        return
    shown_before = recorded_before - book.consumed[side, tick]
    book.recorded[side, tick] = recorded_after
    if change < 0 and book.consumed[side, tick] > 0:
        book.consumed[side, tick] = max(0, book.consumed[side, tick] + change)
    shown_after = recorded_after - book.consumed[side, tick]
    if shown_before == 0 and recorded_before > 0:
        book.hidden -= 1
    if shown_after == 0 and recorded_after > 0:
        book.hidden += 1
    if shown_before != shown_after:
        _reshow(book, side, tick, shown_before, shown_after)


@kernel
def consume(book, side, tick, lots):
    """Take at most `lots` of what a level shows; return the lots taken."""
    before = shown(book, side, tick)
    taken = min(lots, before)
    if taken > 0:
        book.hidden += taken == before
        book.consumed[side, tick] += taken
        _reshow(book, side, tick, before, before - taken)
    return taken


@kernel
def apply_to_book(book, update):
    """Apply one row of the tape; return whether the public book may have changed.

    The first level of a snapshot empties the book, its end makes it known. Deltas before a snapshot are ignored, as
    they would be on the wire.
    """
    kind = update.kind
    side = update.flags & ASK_SIDE
    if kind == DELTA:
        if book.known:
            change_level(book, side, int(update.tick), int(update.size))
        return book.known != 0
    if kind == SNAPSHOT_LEVEL:
        if not book.in_snapshot:
            clear_book(book)
            book.in_snapshot = 1
            book.known = 0
        level = book.recorded[side, int(update.tick)]
        book.recorded[side, int(update.tick)] = int(update.size)
        _reshow(book, side, int(update.tick), level, int(update.size))
        return False
    if kind == SNAPSHOT_END:
        if not book.in_snapshot:
            clear_book(book)
        book.in_snapshot = 0
        book.known = 1
        return True
    if kind == GAP:
        book.known = 0
        book.in_snapshot = 0
    return False


@kernel
def load_axis(book, axes, axis, levels):
    """Set the price axis: row `axis` of `axes`, [X, L] pips."""
    book.levels = levels
    for tick in range(levels):
        book.prices[tick] = axes[axis, tick]


@kernel
def load_grid(book, grids, grid):
    """Set which prices of the axis are valid: row `grid` of `grids`, [G, L]."""
    for tick in range(book.levels):
        book.valid[tick] = grids[grid, tick]


@kernel
def load_book(book, stored, start, stop, known, in_snapshot):
    """Set the book from a keyframe: `stored[start:stop]` are LEVEL records on the book's axis."""
    clear_book(book)
    for at in range(start, stop):
        level = stored[at]
        book.recorded[level.side, level.tick] = level.size
        _reshow(book, int(level.side), int(level.tick), 0, level.size)
    book.known = known
    book.in_snapshot = in_snapshot
    book.damaged = 0


@kernel
def copy_book(source, target):
    """Make `target` equal to `source`."""
    target.levels = source.levels
    target.known = source.known
    target.in_snapshot = source.in_snapshot
    target.damaged = source.damaged
    target.hidden = source.hidden
    for side in range(2):
        target.best[side] = source.best[side]
        target.count[side] = source.count[side]
        target.total[side] = source.total[side]
        for tick in range(source.levels):
            target.recorded[side, tick] = source.recorded[side, tick]
            target.consumed[side, tick] = source.consumed[side, tick]
    for tick in range(source.levels):
        target.prices[tick] = source.prices[tick]
        target.valid[tick] = source.valid[tick]


@kernel
def is_two_sided(book):
    """Whether both sides show a level."""
    return book.best[0] >= 0 and book.best[1] < book.levels


@kernel
def is_crossed(book):
    """Whether the best recorded bid stands at or above the best recorded ask: locked or crossed.

    What we took hides a level from us, not that the recording is wrong there.
    """
    bid, ask = int(book.best[0]), int(book.best[1])
    if book.hidden > 0:
        for tick in range(bid + 1, book.levels):
            if book.recorded[BID, tick] > 0:
                bid = tick
        for tick in range(ask - 1, -1, -1):
            if book.recorded[ASK, tick] > 0:
                ask = tick
    return bid >= 0 and ask < book.levels and bid >= ask
