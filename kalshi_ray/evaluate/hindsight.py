"""The recorded book again, after the fact: where the best prices stood at any time.

Used by reports only. The book is the recorded one less what our taking consumed, by exchange time, as in matching.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import ASK, BID, apply_to_book, book_dtype, book_size, clear_book, consume, load_axis
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import LAG_UNKNOWN, ViewPack
from kalshi_ray.core.units import MICROSECOND

TAKEN = np.dtype([("us", np.int64), ("side", np.int8), ("tick", np.int32), ("size", np.int64)], align=True)
"""What a taking fill removed: exchange time in microseconds, side and tick of the level, lots."""


def best_prices(
    pack: ViewPack, view: int, *, fills: NDArray[np.void], query_us: NDArray[np.int64], feed_us: int
) -> NDArray[np.int32]:
    """Best bid and ask in pips, [2, Q], after all rows of each time; -1 where a side is missing or the book unknown.

    `query_us` [Q] is ascending, in microseconds of exchange time; `fills` are the view's own fills; `feed_us` is the
    delay assumed where the exchange time of an update is not known.
    """
    record = pack.views[view]
    axis, levels = int(record["axis"]), int(record["levels"])
    books = as_rows(np.zeros(1, book_dtype(book_size(levels))))
    best = np.full((2, len(query_us)), -1, np.int32)
    asked, rows = np.ascontiguousarray(query_us, np.int64), as_rows(pack.updates[record["start"] : record["stop"]])
    taken = as_rows(_taken_by(fills, pack.axes[axis, :levels]))
    _replay(books, pack.axes, axis, levels, rows, feed_us, taken, asked, best)
    return best


def _taken_by(fills: NDArray[np.void], axis: NDArray[np.int32]) -> NDArray[np.void]:
    takers = fills[fills["maker"] == 0]
    takers = takers[np.argsort(takers["venue_ns"], kind="stable")]
    taken = np.zeros(len(takers), TAKEN)
    taken["us"] = takers["venue_ns"] // MICROSECOND
    taken["side"] = np.where(takers["side"] > 0, ASK, BID)
    taken["tick"] = np.searchsorted(axis, takers["price"])
    taken["size"] = takers["size"]
    return taken


@kernel
def _replay(books, axes, axis, levels, rows, feed_us, taken, query_us, best):
    """Run all `rows` through the book; the best prices asked for go into `best` [2, Q]."""
    book = books[0]
    load_axis(book, axes, axis, levels)
    clear_book(book)
    asked = 0
    removed = 0
    for at in range(len(rows)):
        update = rows[at]
        lag_us = feed_us if update.lag_us == LAG_UNKNOWN else np.int64(update.lag_us)
        now_us = update.recv_ns // 1000 - lag_us
        while removed < len(taken) and taken[removed].us < now_us:
            asked = _answer(book, query_us, best, asked, taken[removed].us)
            _remove(book, taken[removed])
            removed += 1
        asked = _answer(book, query_us, best, asked, now_us)
        apply_to_book(book, update)
    while removed < len(taken):
        asked = _answer(book, query_us, best, asked, taken[removed].us)
        _remove(book, taken[removed])
        removed += 1
    _answer(book, query_us, best, asked, 2**62)


@kernel
def _remove(book, taken):
    consume(book, np.int64(taken.side), np.int64(taken.tick), taken.size)


@kernel
def _answer(book, query_us, best, asked, until_us):
    """Answer the questions about times before `until_us`; return the number of the next one."""
    while asked < len(query_us) and query_us[asked] < until_us:
        if book.known and book.best[0] >= 0:
            best[0, asked] = book.prices[book.best[0]]
        if book.known and book.best[1] < book.levels:
            best[1, asked] = book.prices[book.best[1]]
        asked += 1
    return asked
