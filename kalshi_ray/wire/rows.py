"""Rows: the updates of a session as records, and the rows that one message of the exchange says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import Side
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade

# Column for column what a session has on disk, so that rows are written as they stand.
ROW = np.dtype(
    [
        ("market", np.int32),  # index of the ticker in the feed's list; ALL: every market of the sid
        ("recv_ns", np.int64),
        ("exch_ns", np.int64),  # 0 unknown
        ("sid", np.int32),
        ("seq", np.int64),  # 0 unknown
        ("kind", np.int8),  # core.tape.Kind
        ("side", np.int8),  # core.units.Side
        ("price", np.int32),  # pips
        ("size", np.int64),  # lots, absolute for levels and signed for deltas; GAP: GapCause
        ("taker", np.int8),  # TRADE: the side the taker traded for; -1 unknown
        ("flags", np.int8),
    ]
)
ALL = -1
BLOCK = 1  # bit of `flags`: a block trade

Cells = tuple[int, int, int, int, int, int]  # kind, side, price, size, taker, flags


def gap_rows(places: Iterable[tuple[int, int]], now_ns: int, cause: GapCause) -> NDArray[Any]:
    """A GAP row for each (market, sid): what is known of it ends here. ROW records."""
    return np.array([(*_where(place, now_ns), Kind.GAP, Side.NONE, 0, cause, Side.NONE, 0) for place in places], ROW)


def _where(place: tuple[int, int], now_ns: int) -> tuple[int, int, int, int, int]:
    market, sid = place
    return market, now_ns, 0, sid, 0


def cells_of(message: BookSnapshot | BookDelta | Trade) -> Iterator[Cells]:
    """What differs between the rows of one message."""
    if isinstance(message, BookDelta):
        yield Kind.DELTA, message.side, message.price, message.change, Side.NONE, 0
    elif isinstance(message, Trade):
        yield Kind.TRADE, Side.NONE, message.price, message.size, message.taker, BLOCK if message.is_block else 0
    else:
        for side, levels in ((Side.BID, message.bids), (Side.ASK, message.asks)):
            for price, size in levels:
                yield Kind.SNAPSHOT_LEVEL, side, price, size, Side.NONE, 0
        yield Kind.SNAPSHOT_END, Side.NONE, 0, 0, Side.NONE, 0
