"""Which decreases of a book were prints, and the order of the exchange's clock.

A print and the deltas it causes come in either order, on different subscriptions, under the same exchange time. A
decrease is marked BY_TRADE up to the printed size; a larger one is split into a marked and an unmarked row. Prints
look for their decreases in four rounds, a print with nothing left to find takes part in no further one:

    1  same exchange time, equal size            2  same exchange time, any size, in order of arrival
    3  same exchange millisecond, equal size     4  same exchange millisecond, any size

Where either exchange time is unknown the two must have been received in the same millisecond. A print whose taker is
unknown may have hit either side. The search ends at a book row more than 100 ms on the far side of the print's
exchange time, or 5 s away by receive time: the book's own rows come in order.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import (
    ASK_SIDE,
    BY_TRADE,
    LAG_UNKNOWN,
    OFF_BOOK,
    TAKER_BOUGHT,
    TAKER_SOLD,
    UPDATE,
    Kind,
)

DELTA, TRADE = int(Kind.DELTA), int(Kind.TRADE)
SEARCH_US = 100_000
SEARCH_NS = 5_000_000_000
LARGEST_LAG = 2**31 - 1


@kernel
def _venue_us(update):
    return update.recv_ns // 1000 - update.lag_us


@kernel
def _may_match(trade, row, whole_ms):
    """Whether a decrease may be of that print by side, price and time."""
    if row.kind != DELTA or row.size >= 0 or row.tick != trade.tick:
        return False
    if trade.flags & TAKER_BOUGHT and not row.flags & ASK_SIDE:
        return False
    if trade.flags & TAKER_SOLD and row.flags & ASK_SIDE:
        return False
    if trade.lag_us == LAG_UNKNOWN or row.lag_us == LAG_UNKNOWN:
        return trade.recv_ns // 1_000_000 == row.recv_ns // 1_000_000
    if whole_ms:
        return _venue_us(trade) // 1000 == _venue_us(row) // 1000
    return _venue_us(trade) == _venue_us(row)


@kernel
def _is_far(trade, row, direction):
    """Whether the search in that direction ends at `row`."""
    if abs(row.recv_ns - trade.recv_ns) > SEARCH_NS:
        return True
    if trade.lag_us == LAG_UNKNOWN:
        return row.recv_ns // 1_000_000 != trade.recv_ns // 1_000_000
    if row.kind != DELTA or row.lag_us == LAG_UNKNOWN:
        return False
    return (_venue_us(row) - _venue_us(trade)) * direction > SEARCH_US


@kernel
def _match(updates, printed, at, row, equal):
    """Give print `at` as much of decrease `row` as both have left. `printed` holds what each row has given or found."""
    wanted = updates[at].size - printed[at]
    offered = -updates[row].size - printed[row]
    if offered <= 0 or (equal and (wanted != offered or printed[row] > 0)):
        return
    taken = min(wanted, offered)
    printed[at] += taken
    printed[row] += taken


@kernel
def _search(updates, printed, at, start, stop, whole_ms, equal):
    """One round of one print: the decreases around it, in order of arrival."""
    trade = updates[at]
    first = at
    while first > start and not _is_far(trade, updates[first - 1], -1):
        first -= 1
    for row in range(first, stop):
        if printed[at] == trade.size or (row > at and _is_far(trade, updates[row], 1)):
            return
        if _may_match(trade, updates[row], whole_ms):
            _match(updates, printed, at, row, equal)


@kernel
def match_prints(updates, starts, stops, printed):
    """Fill `printed` [U] with the lots of each decrease that were prints; return how many rows must be split."""
    for view in range(len(starts)):
        for search in range(4):
            for at in range(starts[view], stops[view]):
                trade = updates[at]
                if trade.kind == TRADE and not trade.flags & OFF_BOOK and printed[at] < trade.size:
                    _search(updates, printed, at, starts[view], stops[view], search >= 2, search % 2 == 0)
    splits = 0
    for at in range(len(updates)):
        if updates[at].kind == DELTA and 0 < printed[at] < -updates[at].size:
            splits += 1
    return splits


@kernel
def _copy_row(source, target):
    target.recv_ns = source.recv_ns
    target.lag_us = source.lag_us
    target.size = source.size
    target.tick = source.tick
    target.kind = source.kind
    target.flags = source.flags


@kernel
def mark_rows(updates, printed, starts, stops, marked):
    """Set BY_TRADE and split rows that are print in part, print first. `marked` is `updates` where none is split.

    `starts` and `stops` are moved to the rows of `marked`.
    """
    to = 0
    for view in range(len(starts)):
        start, stop = starts[view], stops[view]
        starts[view] = to
        for at in range(start, stop):
            source = updates[at]
            target = marked[to]
            _copy_row(source, target)
            to += 1
            if source.kind != DELTA or printed[at] == 0:
                continue
            left = source.size + printed[at]
            target.flags = source.flags | BY_TRADE
            if left < 0:
                target.size = -printed[at]
                _copy_row(source, marked[to])
                marked[to].size = left
                to += 1
        stops[view] = to


@kernel
def order_venue_time(updates, starts, stops):
    """Make known exchange times of each view non-decreasing: a late row gets the latest time before it."""
    for view in range(len(starts)):
        latest = -(2**62)
        for at in range(starts[view], stops[view]):
            update = updates[at]
            if update.lag_us == LAG_UNKNOWN:
                continue
            venue = _venue_us(update)
            if venue < latest:
                update.lag_us = min(update.recv_ns // 1000 - latest, LARGEST_LAG)
            else:
                latest = venue


def mark_and_order(
    updates: NDArray[np.void], starts: NDArray[np.int64], stops: NDArray[np.int64], has_trades: bool
) -> NDArray[np.void]:
    """Marked updates with exchange times in order; `starts` and `stops` [V] are moved where rows were split."""
    if has_trades:
        printed = np.zeros(len(updates), np.int32)
        splits = int(match_prints(as_rows(updates), starts, stops, printed))
        marked = updates if splits == 0 else np.empty(len(updates) + splits, UPDATE)
        mark_rows(as_rows(updates), printed, starts, stops, as_rows(marked))
        updates = marked
    order_venue_time(as_rows(updates), starts, stops)
    return updates
