"""Best quotes and level sizes of a session, replayed row by row: what its statistics are computed from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.columns import Columns, columns_of

LEVEL, END, DELTA, GAP = int(Kind.SNAPSHOT_LEVEL), int(Kind.SNAPSHOT_END), int(Kind.DELTA), int(Kind.GAP)
CLOSING = int(Kind.SETTLEMENT)
SAMPLE_EVERY = 64  # rows of a market between two looks at all its levels


class Quotes(NamedTuple):
    """One row per change of a best quote, sorted by market and time; [N]. Prices in pips, 0 and one dollar missing."""

    market: NDArray[np.int32]
    recv_ns: NDArray[np.int64]
    bid: NDArray[np.int32]
    ask: NDArray[np.int32]


def best_quotes(updates: pa.Table) -> tuple[Quotes, NDArray[np.int64]]:
    """The changes of best quotes, and sampled level sizes in lots; `updates` in order of arrival."""
    parts = list(columns_of(updates.combine_chunks()))
    whole = Columns(*(np.concatenate(arrays) for arrays in zip(*parts)))
    market = whole.market
    order = np.argsort(market, kind="stable")
    order = order[market[order] >= 0]
    gaps = whole.recv_ns[(whole.kind == GAP) & (market < 0)]
    columns = [array[order] for array in (market, whole.recv_ns, whole.kind, whole.side, whole.price, whole.size)]
    count = len(order)
    found = Quotes(
        np.empty(count, np.int32), np.empty(count, np.int64), np.empty(count, np.int32), np.empty(count, np.int32)
    )
    sizes = np.empty(2 * count + 2 * DOLLAR, np.int64)
    rows, sampled = _replay(*columns, gaps, np.zeros((2, DOLLAR + 1), np.int64), *found, sizes)
    return Quotes(*(array[:rows] for array in found)), sizes[:sampled]


@kernel
def _best(book, side, price):  # type: ignore[no-untyped-def]
    """The best price of a side at or behind `price`; 0 or one dollar where there is none."""
    if side == 0:
        while price > 0 and book[0, price] == 0:
            price -= 1
        return price
    while price < DOLLAR and book[1, price] == 0:
        price += 1
    return price


@kernel
def _sample(book, bid, ask, sizes, sampled):  # type: ignore[no-untyped-def]
    for side, start, stop in ((0, 1, bid + 1), (1, ask, DOLLAR)):
        for price in range(start, stop):
            if book[side, price] > 0 and sampled < len(sizes):
                sizes[sampled] = book[side, price]
                sampled += 1
    return sampled


@kernel
def _replay(  # type: ignore[no-untyped-def]
    market, recv, kind, side, price, size, gaps, book, out_market, out_recv, out_bid, out_ask, sizes
):
    """Replay market after market; a quote row when the best prices of a known book differ from the last row's."""
    rows = sampled = 0
    bid, ask, last_bid, last_ask = 0, DOLLAR, -1, -1
    in_snapshot = False
    gap = 0
    known = False
    for at in range(len(market)):
        if at == 0 or market[at] != market[at - 1]:
            book[:] = 0
            bid, ask, last_bid, last_ask, gap, known, in_snapshot = 0, DOLLAR, -1, -1, 0, False, False
        while gap < len(gaps) and gaps[gap] <= recv[at]:
            known = False
            gap += 1
        if kind[at] == LEVEL:
            if not in_snapshot:
                book[:] = 0
                bid, ask = 0, DOLLAR
            in_snapshot = True
        elif kind[at] == END:
            known, in_snapshot = True, False
        elif kind[at] != DELTA:
            continue
        if kind[at] != END:
            on = side[at]
            book[on, price[at]] = size[at] if kind[at] == LEVEL else book[on, price[at]] + size[at]
            if on == 0:
                bid = _best(book, 0, max(bid, price[at]))
            else:
                ask = _best(book, 1, min(ask, price[at]))
        if not known or in_snapshot:
            continue
        if at % SAMPLE_EVERY == 0:
            sampled = _sample(book, bid, ask, sizes, sampled)
        if bid != last_bid or ask != last_ask:
            out_market[rows], out_recv[rows], out_bid[rows], out_ask[rows] = market[at], recv[at], bid, ask
            last_bid, last_ask = bid, ask
            rows += 1
    return rows, sampled
