"""The recorded book again, after the fact: where the mid stood after each fill, and what a final position would bring.

Used by reports only. The book is the recorded one less what our taking consumed, by exchange time, as in matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import ASK, BID, BOOK, apply_to_book, clear_book, consume, is_crossed, next_level, shown
from kalshi_ray.core.fees import DIRECT_PRECISION, charge_fee
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import LAG_UNKNOWN, Kind, ViewPack
from kalshi_ray.core.units import DOLLAR, MICROSECOND

FEE = int(Kind.FEE)

TAKEN = np.dtype([("us", np.int64), ("side", np.int8), ("tick", np.int32), ("size", np.int64)], align=True)
"""What a taking fill removed: exchange time in microseconds, side and tick of the level, lots."""

_ACCUMULATOR = np.dtype([("fee_held", np.int64)], align=True)


@dataclass(frozen=True)
class Hindsight:
    """Best prices in pips at the times asked for (-1: side missing or book unknown), and the end of the view."""

    bid: NDArray[np.int32]  # [Q]
    ask: NDArray[np.int32]  # [Q]
    known: bool  # whether there is a book to close against at the end: known and not crossed
    close_value: int  # micros that the final position brings down the shown ladder, fee paid; 0 without a book


def look_back(
    pack: ViewPack, view: int, *, fills: NDArray[np.void], query_us: NDArray[np.int64], position: int, feed_us: int
) -> Hindsight:
    """Run the whole of `view` through a book. `query_us` [Q] is ascending, in microseconds of exchange time.

    `fills` are the view's own fills in order of time, `position` the signed lots held at the end, `feed_us` the delay
    assumed where the exchange time of an update is not known.
    """
    record = pack.views[view]
    levels = int(record["levels"])
    axis = np.ascontiguousarray(pack.axes[record["axis"]][:levels])
    book, lots = as_rows(np.zeros(1, BOOK)), np.zeros((2, 1, 2, levels), np.int64)
    best = np.full((2, len(query_us)), -1, np.int32)
    asked, rows = np.ascontiguousarray(query_us, np.int64), as_rows(pack.updates[record["start"] : record["stop"]])
    rate = np.array([record["taker_ppm"]], np.int64)
    taken = as_rows(_taken_by(fills, axis))
    _replay(book, lots[0], lots[1], rows, pack.values, rate, feed_us, taken, asked, best, axis)
    value = _walk_ladder(book, lots[0], lots[1], axis, position, rate[0], as_rows(np.zeros(1, _ACCUMULATOR)))
    known = bool(book["known"][0]) and not is_crossed(book[0])
    return Hindsight(best[0], best[1], known, int(value) if known else 0)


def _taken_by(fills: NDArray[np.void], axis: NDArray[np.int32]) -> NDArray[np.void]:
    takers = fills[fills["maker"] == 0]
    taken = np.zeros(len(takers), TAKEN)
    taken["us"] = takers["venue_ns"] // MICROSECOND
    taken["side"] = np.where(takers["side"] > 0, ASK, BID)
    taken["tick"] = np.searchsorted(axis, takers["price"])
    taken["size"] = takers["size"]
    return taken


@kernel
def _replay(book, recorded, consumed, rows, values, rate, feed_us, taken, query_us, best, axis):  # type: ignore[no-untyped-def]
    """Run all `rows` through the book; the best prices asked for go into `best` [2, Q], the taker fee into `rate`."""
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
        if update.kind == FEE:
            rate[0] = values[int(update.size)]
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


@kernel
def _walk_ladder(book, recorded, consumed, axis, position, rate, order):  # type: ignore[no-untyped-def]
    """Micros that closing `position` at once would move, fee paid; what finds no size is worth the worst."""
    side = BID if position > 0 else ASK
    sign = 1 if position > 0 else -1
    left = abs(position)
    value = 0
    tick = np.int64(book[0].best[side])
    while left > 0 and 0 <= tick < book[0].levels:
        price = np.int64(axis[tick])
        lots = min(left, shown(recorded, consumed, 0, side, tick))
        revenue = sign * lots * price
        value += revenue - charge_fee(order[0], lots, price, revenue, rate, DIRECT_PRECISION)
        left -= lots
        tick = next_level(book[0], recorded, consumed, 0, side, tick)
    if position < 0:
        value -= left * DOLLAR
    return value
