"""The order book of one row: recorded sizes, what we have consumed of them, and the best prices.

A level shows `recorded - consumed` lots. What we take out of a replayed book stays taken: a recorded decrease counts
against our consumption first, and a snapshot or an emptied level forgets it (market-rules.md section 5).

Sizes are kept in arrays `recorded` and `consumed`, [B, 2, L] lots by row, side and tick; the rest in a `BOOK` record.
"""

from __future__ import annotations

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

BOOK = np.dtype(
    [
        ("best", np.int32, 2),  # tick of the best bid (-1: none) and of the best ask (L: none)
        ("count", np.int32, 2),  # levels shown by side
        ("total", np.int64, 2),  # lots shown by side
        ("levels", np.int32),  # L
        ("known", np.int8),  # 0 after a gap, until the next whole snapshot
        ("in_snapshot", np.int8),  # between the first level of a snapshot and its end
        ("damaged", np.int32),  # times a level would have gone negative
    ],
    align=True,
)


@kernel
def clear_book(book, recorded, consumed, row, levels):  # type: ignore[no-untyped-def]
    """Empty both sides. The book is unknown until told otherwise."""
    for tick in range(levels):
        recorded[row, 0, tick] = 0
        recorded[row, 1, tick] = 0
        consumed[row, 0, tick] = 0
        consumed[row, 1, tick] = 0
    book.levels = levels
    book.best[0] = -1
    book.best[1] = levels
    book.count[0] = 0
    book.count[1] = 0
    book.total[0] = 0
    book.total[1] = 0


@kernel
def shown(recorded, consumed, row, side, tick):  # type: ignore[no-untyped-def]
    """Lots at a level that are left for others and for us."""
    return recorded[row, side, tick] - consumed[row, side, tick]


@kernel
def next_level(book, recorded, consumed, row, side, tick):  # type: ignore[no-untyped-def]
    """The nearest shown level strictly behind `tick`: lower for bids, higher for asks; -1 or L where there is none."""
    if side == BID:
        tick -= 1
        while tick >= 0 and recorded[row, BID, tick] <= consumed[row, BID, tick]:
            tick -= 1
        return tick
    tick += 1
    while tick < book.levels and recorded[row, ASK, tick] <= consumed[row, ASK, tick]:
        tick += 1
    return tick


@kernel
def _reshow(book, recorded, consumed, row, side, tick, before, after):  # type: ignore[no-untyped-def]
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
            book.best[side] = next_level(book, recorded, consumed, row, side, tick)


@kernel
def change_level(book, recorded, consumed, row, side, tick, change):  # type: ignore[no-untyped-def]
    """Apply a signed recorded change. A level below zero makes the book unknown: a corrupted book waits for a snapshot."""
    recorded_before = recorded[row, side, tick]
    recorded_after = recorded_before + change
    if recorded_after < 0:
        book.known = 0
        book.damaged += 1
        return
    shown_before = recorded_before - consumed[row, side, tick]
    recorded[row, side, tick] = recorded_after
    if change < 0 and consumed[row, side, tick] > 0:
        consumed[row, side, tick] = max(0, consumed[row, side, tick] + change)
    shown_after = recorded_after - consumed[row, side, tick]
    if shown_before != shown_after:
        _reshow(book, recorded, consumed, row, side, tick, shown_before, shown_after)


@kernel
def consume(book, recorded, consumed, row, side, tick, lots):  # type: ignore[no-untyped-def]
    """Take at most `lots` of what a level shows; return the lots taken."""
    before = shown(recorded, consumed, row, side, tick)
    taken = min(lots, before)
    if taken > 0:
        consumed[row, side, tick] += taken
        _reshow(book, recorded, consumed, row, side, tick, before, before - taken)
    return taken


@kernel
def apply_to_book(book, recorded, consumed, row, update):  # type: ignore[no-untyped-def]
    """Apply one row of the tape; return whether the public book may have changed.

    The first level of a snapshot empties the book, its end makes it known. Deltas before a snapshot are ignored, as
    they would be on the wire.
    """
    kind = update.kind
    side = update.flags & ASK_SIDE
    if kind == DELTA:
        if book.known:
            change_level(book, recorded, consumed, row, side, int(update.tick), int(update.size))
        return book.known != 0
    if kind == SNAPSHOT_LEVEL:
        if not book.in_snapshot:
            clear_book(book, recorded, consumed, row, book.levels)
            book.in_snapshot = 1
            book.known = 0
        level = recorded[row, side, int(update.tick)]
        recorded[row, side, int(update.tick)] = int(update.size)
        _reshow(book, recorded, consumed, row, side, int(update.tick), level, int(update.size))
        return False
    if kind == SNAPSHOT_END:
        if not book.in_snapshot:
            clear_book(book, recorded, consumed, row, book.levels)
        book.in_snapshot = 0
        book.known = 1
        return True
    if kind == GAP:
        book.known = 0
        book.in_snapshot = 0
    return False


@kernel
def load_book(book, recorded, consumed, row, levels, stored, start, stop, known, in_snapshot):  # type: ignore[no-untyped-def]
    """Set the book from a keyframe: `stored[start:stop]` are LEVEL records on an axis of `levels` prices."""
    clear_book(book, recorded, consumed, row, levels)
    for at in range(start, stop):
        level = stored[at]
        recorded[row, level.side, level.tick] = level.size
        _reshow(book, recorded, consumed, row, int(level.side), int(level.tick), 0, level.size)
    book.known = known
    book.in_snapshot = in_snapshot


@kernel
def is_two_sided(book):  # type: ignore[no-untyped-def]
    """Whether both sides show a level."""
    return book.best[0] >= 0 and book.best[1] < book.levels


@kernel
def is_crossed(book):  # type: ignore[no-untyped-def]
    """Whether the best bid stands at or above the best ask: locked or crossed."""
    return book.best[0] >= 0 and book.best[1] < book.levels and book.best[0] >= book.best[1]
