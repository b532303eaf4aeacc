"""Best quotes and level sizes of a session, replayed row by row: what its statistics are computed from."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR

LEVEL, END, DELTA, GAP = int(Kind.SNAPSHOT_LEVEL), int(Kind.SNAPSHOT_END), int(Kind.DELTA), int(Kind.GAP)
SAMPLE_EVERY = 64  # rows of a market between two looks at all its levels


class Quotes(NamedTuple):
    """One row per change of a best quote, sorted by market and time; [N]. Prices in pips, 0 and one dollar missing."""

    market: NDArray[np.int32]
    recv_ns: NDArray[np.int64]
    bid: NDArray[np.int32]
    ask: NDArray[np.int32]


class _Rows(NamedTuple):
    """Updates sorted by market, in order of arrival within each; [N]."""

    market: NDArray[Any]
    recv_ns: NDArray[Any]
    kind: NDArray[Any]
    side: NDArray[Any]
    price: NDArray[Any]
    size: NDArray[Any]


def best_quotes(updates: pa.Table) -> tuple[Quotes, NDArray[np.int64]]:
    """The changes of best quotes, and sampled level sizes in lots; `updates` in order of arrival."""
    whole = _Rows(*(updates[name].to_numpy() for name in _Rows._fields))
    gaps = whole.recv_ns[(whole.kind == GAP) & (whole.market < 0)]
    order = np.argsort(whole.market, kind="stable")
    order = order[whole.market[order] >= 0]
    rows = _Rows(*(array[order] for array in whole))
    count = len(order)
    found = Quotes(
        np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.int32), np.empty(count, np.int32)
    )
    sizes = np.empty(2 * count + 2 * DOLLAR, np.int64)
    written, sampled = _replay(rows, gaps, np.zeros((2, DOLLAR + 1), np.int64), np.zeros(2, np.int64), found, sizes)
    kept = Quotes(found.market[:written], found.recv_ns[:written], found.bid[:written], found.ask[:written])
    return kept, sizes[:sampled]


@kernel
def _best(book, side, price):
    """The best price of a side at or behind `price`; 0 or one dollar where there is none."""
    if side == 0:
        while price > 0 and book[0, price] == 0:
            price -= 1
        return price
    while price < DOLLAR and book[1, price] == 0:
        price += 1
    return price


@kernel
def _sample(book, bid, ask, sizes, sampled):
    for side, start, stop in ((0, 1, bid + 1), (1, ask, DOLLAR)):
        for price in range(start, stop):
            if book[side, price] > 0 and sampled < len(sizes):
                sizes[sampled] = book[side, price]
                sampled += 1
    return sampled


@kernel
def _apply(book, best, on, price, size, is_level):
    """Change one level and the best prices `best` [2]."""
    book[on, price] = size if is_level else book[on, price] + size
    best[on] = _best(book, on, max(best[0], price) if on == 0 else min(best[1], price))


@kernel
def _clear(book, best):
    book[:] = 0
    best[0], best[1] = 0, DOLLAR


@kernel
def _replay(updates, gaps, book, best, found, sizes):
    """Replay market after market; a row of `found` when the best prices of a known book differ from the last row's."""
    rows = sampled = gap = 0
    last_bid = last_ask = -1
    known = in_snapshot = False
    for at in range(len(updates.market)):
        if at == 0 or updates.market[at] != updates.market[at - 1]:
            _clear(book, best)
            last_bid, last_ask, gap, known, in_snapshot = -1, -1, 0, False, False
        while gap < len(gaps) and gaps[gap] <= updates.recv_ns[at]:
            known = False
            gap += 1
        kind = updates.kind[at]
        if kind == LEVEL and not in_snapshot:
            _clear(book, best)
            in_snapshot = True
        if kind in (LEVEL, DELTA):
            _apply(book, best, updates.side[at], updates.price[at], updates.size[at], kind == LEVEL)
        elif kind == END:
            known, in_snapshot = True, False
        else:
            continue
        if not known or in_snapshot:
            continue
        if at % SAMPLE_EVERY == 0:
            sampled = _sample(book, best[0], best[1], sizes, sampled)
        if best[0] != last_bid or best[1] != last_ask:
            last_bid, last_ask = best[0], best[1]
            found.market[rows], found.recv_ns[rows] = updates.market[at], updates.recv_ns[at]
            found.bid[rows], found.ask[rows] = last_bid, last_ask
            rows += 1
    return rows, sampled
