"""The recorded book again, after the fact: where the best prices stood at any time.

Used by reports only. The book is the recorded one less what our taking consumed, by exchange time, as in matching.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import ASK, BID, BOOK, apply_to_book, clear_book, consume
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import LAG_UNKNOWN, ViewPack
from kalshi_ray.core.units import MICROSECOND

TAKEN = np.dtype([("us", np.int64), ("side", np.int8), ("tick", np.int32), ("size", np.int64)], align=True)
"""What a taking fill removed: exchange time in microseconds, side and tick of the level, lots."""


def best_prices(
    pack: ViewPack, view: int, *, fills: NDArray[np.void], query_us: NDArray[np.int64], feed_us: int
) -> NDArray[np.int32]:
    """Best bid and ask in pips, [2, Q], after all rows of each time; -1 where a side is missing or the book unknown.

    `query_us` [Q] is ascending, in microseconds of exchange time; `fills` are the view's own fills;
    `feed_us` is the delay assumed where the exchange time of an update is not known.
    """
    record = pack.views[view]
    levels = int(record["levels"])
    axis = np.ascontiguousarray(pack.axes[record["axis"]][:levels])
    book, lots = as_rows(np.zeros(1, BOOK)), np.zeros((2, 1, 2, levels), np.int64)
    best = np.full((2, len(query_us)), -1, np.int32)
    asked, rows = np.ascontiguousarray(query_us, np.int64), as_rows(pack.updates[record["start"] : record["stop"]])
    _replay(book, lots[0], lots[1], rows, feed_us, as_rows(_taken_by(fills, axis)), asked, best, axis)
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
def _replay(book, recorded, consumed, rows, feed_us, taken, query_us, best, axis):  # type: ignore[no-untyped-def]
    """Run all `rows` through the book; the best prices asked for go into `best` [2, Q]."""
    asked = 0
    removed = 0
    clear_book(book[0], recorded, consumed, 0, len(axis))
    for at in range(len(rows)):
        update = rows[at]
        lag_us = feed_us if update.lag_us == LAG_UNKNOWN else np.int64(update.lag_us)
        now_us = update.recv_ns // 1000 - lag_us
        while removed < len(taken) and taken[removed].us < now_us:
            asked = _answer(book[0], axis, query_us, best, asked, taken[removed].us)
            _remove(book[0], recorded, consumed, taken[removed])
            removed += 1
        asked = _answer(book[0], axis, query_us, best, asked, now_us)
        apply_to_book(book[0], recorded, consumed, 0, update)
    while removed < len(taken):
        asked = _answer(book[0], axis, query_us, best, asked, taken[removed].us)
        _remove(book[0], recorded, consumed, taken[removed])
        removed += 1
    _answer(book[0], axis, query_us, best, asked, 2**62)


@kernel
def _remove(book, recorded, consumed, taken):  # type: ignore[no-untyped-def]
    consume(book, recorded, consumed, 0, np.int64(taken.side), np.int64(taken.tick), taken.size)


@kernel
def _answer(book, axis, query_us, best, asked, until_us):  # type: ignore[no-untyped-def]
    """Answer the questions about times before `until_us`; return the number of the next one."""
    while asked < len(query_us) and query_us[asked] < until_us:
        if book.known and book.best[0] >= 0:
            best[0, asked] = axis[book.best[0]]
        if book.known and book.best[1] < book.levels:
            best[1, asked] = axis[book.best[1]]
        asked += 1
    return asked
