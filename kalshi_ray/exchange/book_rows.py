"""The kernel that applies rows to the books of many markets, each on the coarsest axis that holds its prices."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.book import apply_to_book, is_crossed
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import ASK_SIDE, GapCause, Kind
from kalshi_ray.core.units import CENT, DOLLAR, Side

LEVEL, END, DELTA, TRADE, GAP = (
    int(Kind.SNAPSHOT_LEVEL),
    int(Kind.SNAPSHOT_END),
    int(Kind.DELTA),
    int(Kind.TRADE),
    int(Kind.GAP),
)
ASK, NONE = int(Side.ASK), int(Side.NONE)
SEQUENCE = int(GapCause.SEQUENCE)

# Prices by size class: whole cents, tenths, hundredths. Tick t of class c stands at (t + 1) * STEPS[c] pips.
_STEPS = (CENT, CENT // 10, CENT // 100)
STEPS = np.array(_STEPS, np.int64)
LEVELS = tuple(DOLLAR // step - 1 for step in _STEPS)
NOWHERE = -1  # size class of a market that has no book

PLACE = np.dtype([("size_class", np.int32), ("slot", np.int32), ("spoiled", np.int32)], align=True)

# What `apply_to_book` reads of a row of the tape.
STEP = np.dtype([("size", np.int64), ("tick", np.int64), ("kind", np.int64), ("flags", np.int64)], align=True)

APPLIED = np.dtype(
    [
        ("step", STEP),
        ("written", np.int64),  # rows
        ("hurt", np.int64),  # books that are wrong
        ("early", np.int64),  # deltas to books that are not known
        ("needs_room", np.int8),  # a price is finer than its book's axis
    ],
    align=True,
)


@kernel
def _is_off(row):
    """Whether a level is none: no price, or a snapshot's level without size."""
    return row.price <= 0 or row.price >= DOLLAR or (row.kind == LEVEL and row.size <= 0)


@kernel
def _apply(book, row, place, applied, pips):
    """Apply one row of a book, whose copy was written last. False where it shows that the book is wrong.

    What no book can hold is no row: a level that is none, a change that takes more than there is.
    """
    kind = int(row.kind)
    is_none = kind != END and _is_off(row)
    applied.written -= is_none
    if kind == DELTA and not book.known:
        applied.early += 1
        return True
    if is_none:
        place.spoiled = kind == LEVEL
        return kind == LEVEL
    step = applied.step
    step.kind = kind
    step.tick = 0
    if kind != END:
        step.tick = row.price // pips - 1
        step.size = row.size
        step.flags = ASK_SIDE if row.side == ASK else 0
    apply_to_book(book, step)
    if kind == LEVEL:
        return True
    if kind == DELTA and not book.known:
        applied.written -= 1
        return False
    is_right = book.known and not place.spoiled and not is_crossed(book)
    place.spoiled = 0
    return is_right


@kernel
def _write_gap(out, row, applied):
    gap = out[applied.written]
    gap.market = row.market
    gap.recv_ns = row.recv_ns
    gap.exch_ns = 0
    gap.sid = row.sid
    gap.seq = 0
    gap.kind = GAP
    gap.side = NONE
    gap.price = 0
    gap.size = SEQUENCE
    gap.taker = NONE
    gap.flags = 0
    applied.written += 1


@kernel
def apply_rows(rows, first, places, cents, tenths, hundredths, applied, out, hurt):
    """Apply rows from `first` on and copy them to `out`; return the first that needs a finer book, or their number.

    A book that a row shows to be wrong is unknown from there on: a GAP row of its market stands in `out`, which holds
    twice as many rows, behind the row or instead of one that no book can hold; the market is added to `hurt`.
    """
    applied.needs_room = 0
    for at in range(first, len(rows)):
        row = rows[at]
        kind, is_right = int(row.kind), True
        place = places[row.market]
        size_class, slot = int(place.size_class), int(place.slot)
        has_book = size_class != NOWHERE and kind in (DELTA, LEVEL, END)
        if has_book and kind != END and row.price % STEPS[size_class] != 0:
            applied.needs_room = 1
            return at
        out[applied.written] = row
        applied.written += 1
        if not has_book:
            continue
        if size_class == 0:
            book = cents[slot]
            is_right = _apply(book, row, place, applied, CENT)
            book.known = book.known if is_right else 0
        elif size_class == 1:
            book_of_tenths = tenths[slot]
            is_right = _apply(book_of_tenths, row, place, applied, CENT // 10)
            book_of_tenths.known = book_of_tenths.known if is_right else 0
        else:
            finest = hundredths[slot]
            is_right = _apply(finest, row, place, applied, CENT // 100)
            finest.known = finest.known if is_right else 0
        if not is_right:
            _write_gap(out, row, applied)
            hurt[applied.hurt] = row.market
            applied.hurt += 1
    return len(rows)
