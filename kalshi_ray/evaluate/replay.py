"""The recorded book again, after the fact: where the mid stood after each fill, and what a final position would bring.

Used by reports only. The book is the recorded one less what our taking consumed, by exchange time, as in matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import ASK, BID, BOOK, apply_to_book, clear_book, consume, next_level, shown
from kalshi_ray.core.fees import DIRECT_PRECISION, charge_fee
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import LAG_UNKNOWN, Kind, ViewPack
from kalshi_ray.core.units import DOLLAR, MICROSECOND

FEE = int(Kind.FEE)

TAKEN = np.dtype([("us", np.int64), ("side", np.int8), ("tick", np.int16), ("size", np.int64)], align=True)
"""What a taking fill removed: exchange time in microseconds, side and tick of the level, lots."""

_ACCUMULATOR = np.dtype([("fee_held", np.int64)], align=True)


@dataclass(frozen=True)
class Replayed:
    """Best prices in pips at the times asked for (-1: side missing or book unknown), and the end of the view."""

    bid: NDArray[np.int32]  # [Q]
    ask: NDArray[np.int32]  # [Q]
    known: bool  # whether the book is known at the end
    close_value: int  # micros that the final position brings down the shown ladder, fee paid; 0 at an unknown book


def replay_view(
    pack: ViewPack, view: int, *, fills: NDArray[np.void], query_us: NDArray[np.int64], position: int, feed_us: int
) -> Replayed:
    """Run the whole of `view` through a book. `query_us` [Q] is ascending, in microseconds of exchange time.

    `fills` are the view's own fills in order of time, `position` the signed lots held at the end, `feed_us` the delay
    assumed where the exchange time of an update is not known.
    """
    record = pack.views[view]
    levels = int(record["levels"])
    axis = pack.axes[record["axis"]][:levels]
    book = as_rows(np.zeros(1, BOOK))
    sizes = np.zeros((2, 1, 2, levels), np.int64)
    best = np.full((2, len(query_us)), -1, np.int32)
    order = as_rows(np.zeros(1, _ACCUMULATOR))
    value = _replay(
        book,
        sizes[0],
        sizes[1],
        as_rows(pack.updates),
        int(record["start"]),
        int(record["stop"]),
        feed_us,
        as_rows(_taken_by(fills, axis)),
        np.ascontiguousarray(query_us, np.int64),
        best,
        np.ascontiguousarray(axis),
        pack.values,
        int(record["taker_ppm"]),
        order,
        position,
    )
    known = bool(book["known"][0])
    return Replayed(best[0], best[1], known, int(value) if known else 0)


def _taken_by(fills: NDArray[np.void], axis: NDArray[np.int32]) -> NDArray[np.void]:
    takers = fills[fills["maker"] == 0]
    taken = np.zeros(len(takers), TAKEN)
    taken["us"] = takers["venue_ns"] // MICROSECOND
    taken["side"] = np.where(takers["side"] > 0, ASK, BID)
    taken["tick"] = np.searchsorted(axis, takers["price"])
    taken["size"] = takers["size"]
    return taken


@kernel
def _replay(  # type: ignore[no-untyped-def]  # numba infers; one call, so many arguments
    book,
    recorded,
    consumed,
    updates,
    start,
    stop,
    feed_us,
    taken,
    query_us,
    best,
    axis,
    values,
    taker_ppm,
    order,
    position,
):
    """Fill `best` [2, Q] and return what closing `position` brings at the end, micros."""
    asked = 0
    removed = 0
    clear_book(book[0], recorded, consumed, 0, len(axis))
    for at in range(start, stop):
        update = updates[at]
        now_us = update.recv_ns // 1000 - (feed_us if update.lag_us == LAG_UNKNOWN else update.lag_us)
        while removed < len(taken) and taken[removed].us < now_us:
            cut = taken[removed]
            while asked < len(query_us) and query_us[asked] < cut.us:
                _write_best(book[0], axis, best, asked)
                asked += 1
            consume(book[0], recorded, consumed, 0, int(cut.side), int(cut.tick), cut.size)
            removed += 1
        while asked < len(query_us) and query_us[asked] < now_us:
            _write_best(book[0], axis, best, asked)
            asked += 1
        if update.kind == FEE:
            taker_ppm = values[update.size]
        apply_to_book(book[0], recorded, consumed, 0, update)
    while removed < len(taken):
        consume(book[0], recorded, consumed, 0, int(taken[removed].side), int(taken[removed].tick), taken[removed].size)
        removed += 1
    while asked < len(query_us):
        _write_best(book[0], axis, best, asked)
        asked += 1
    return _walk_ladder(book[0], recorded, consumed, axis, position, taker_ppm, order)


@kernel
def _write_best(book, axis, best, asked):  # type: ignore[no-untyped-def]
    """Best bid and ask in pips as they stand now."""
    if book.known and book.best[0] >= 0:
        best[0, asked] = axis[book.best[0]]
    if book.known and book.best[1] < book.levels:
        best[1, asked] = axis[book.best[1]]


@kernel
def _walk_ladder(book, recorded, consumed, axis, position, taker_ppm, order):  # type: ignore[no-untyped-def]
    """Micros that closing `position` at once would move, fee paid; what finds no size is worth the worst."""
    left = abs(position)
    side = BID if position > 0 else ASK
    sign = 1 if position > 0 else -1
    value = 0
    tick = book.best[side]
    while left > 0 and 0 <= tick < book.levels:
        lots = min(left, shown(recorded, consumed, 0, side, tick))
        revenue = sign * lots * axis[tick]
        value += revenue - charge_fee(order[0], lots, axis[tick], revenue, taker_ppm, DIRECT_PRECISION)
        left -= lots
        tick = next_level(book, recorded, consumed, 0, side, tick)
    if position < 0:
        value -= left * DOLLAR
    return value
