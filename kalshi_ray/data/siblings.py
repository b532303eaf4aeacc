"""What a market can know of its event: changes of best prices of all its markets and their sums, causal."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import SIBLING
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.replay import Tape, apply_row, make_replay, start_view


@kernel
def quote_changes(tape, replay, rows, event_of, write):
    """Write a SIBLING row per change of best prices, view by view; return how many. Sums are left to the caller.

    With `write` false the rows are only counted. An unknown book keeps its last quotes.
    """
    book, state = replay.book[0], replay.state[0]
    found = 0
    for v in range(len(tape.views)):
        view = tape.views[v]
        start_view(book, state, tape.axes, view)
        bid, ask = 0, DOLLAR
        for at in range(view.start, view.stop):
            update = tape.updates[at]
            apply_row(book, state, update, tape.values)
            if not book.known:
                continue
            new_bid = int(tape.axes[view.axis, book.best[0]]) if book.best[0] >= 0 else 0
            new_ask = int(tape.axes[view.axis, book.best[1]]) if book.best[1] < book.levels else DOLLAR
            if new_bid == bid and new_ask == ask:
                continue
            if write:
                row = rows[found]
                row.recv_ns = update.recv_ns
                row.market = view.market
                row.bid_change = new_bid - bid
                row.ask_change = new_ask - ask
                event_of[found] = view.event
            found += 1
            bid, ask = new_bid, new_ask
    return found


def build_siblings(
    updates: NDArray[np.void], views: NDArray[np.void], axes: NDArray[np.int32], values: NDArray[np.int64], events: int
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """SIBLING rows by event and time, and where each event starts [events + 1]; `views` must hold whole events."""
    tape = Tape(as_rows(updates), as_rows(views), axes, values)
    replay = make_replay(axes.shape[1])
    count = int(quote_changes(tape, replay, as_rows(np.empty(0, SIBLING)), np.empty(0, np.int32), False))
    rows, event_of = np.empty(count, SIBLING), np.empty(count, np.int32)
    quote_changes(tape, replay, as_rows(rows), event_of, True)
    order = np.lexsort((rows["recv_ns"], event_of))
    rows, event_of = rows[order], event_of[order]
    start = np.searchsorted(event_of, np.arange(events + 1)).astype(np.int64)
    markets = np.bincount(views["event"], minlength=events)
    for sums, change, before in (("bid_sum", "bid_change", 0), ("ask_sum", "ask_change", DOLLAR)):
        running = np.cumsum(rows[change], dtype=np.int64)
        earlier = np.concatenate(([0], running))[start[:-1]]
        rows[sums] = running - (earlier - before * markets)[event_of]
    return rows, start
