"""One market's updates in two forms: our tape, and the events of hftbacktest. Book changes and prints, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel, read_only
from kalshi_ray.core.tape import ASK_SIDE, TAKER_SOLD, Kind, ViewPack
from kalshi_ray.core.units import DOLLAR, MICROSECOND

SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, TRADE = (
    int(Kind.SNAPSHOT_LEVEL),
    int(Kind.SNAPSHOT_END),
    int(Kind.DELTA),
    int(Kind.TRADE),
)
# hftbacktest's events, written down here so that reading a stream does not need it.
EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)
EXCHANGE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH_EVENT, TRADE_EVENT = 1, 2


@dataclass(frozen=True)
class Stream:
    """The longest stretch of a view without a change of its terms."""

    view: int
    updates: NDArray[np.void]  # [N] UPDATE
    events: NDArray[np.void]  # [N'] EVENT, for the exchange and for the trader; the ends of snapshots have none
    order_tick: int  # of a bid that is never reached, at the busiest such level
    order_changes: int  # of that level


def streams_of(pack: ViewPack, count: int, *, changes: int = 100) -> list[Stream]:
    """The `count` longest streams that have a level of so many changes where a bid can rest undisturbed."""
    found = [_stream(pack, view) for view in range(len(pack.views))]
    usable = [stream for stream in found if stream is not None and stream.order_changes >= changes]
    return sorted(usable, key=lambda stream: -len(stream.updates))[:count]


def _stream(pack: ViewPack, view: int) -> Stream | None:
    row = pack.views[view]
    rows = pack.updates[row["start"] : row["stop"]]
    terms = np.concatenate([[-1], np.flatnonzero(rows["kind"] > TRADE), [len(rows)]])
    longest = int(np.diff(terms).argmax())
    updates = read_only(rows[terms[longest] + 1 : terms[longest + 1]].copy())
    if not len(updates) or updates["kind"][0] not in (SNAPSHOT_LEVEL, SNAPSHOT_END):
        return None
    tick, changes = _quiet_bid(updates)
    return Stream(view, updates, _events(updates, pack.axes[row["axis"]]), tick, changes)


def _quiet_bid(updates: NDArray[np.void]) -> tuple[int, int]:
    """The busiest bid level below every print and every ask after the snapshot, and how often it changes."""
    asks = (updates["flags"] & ASK_SIDE) != 0
    prints = updates["kind"] == TRADE
    reached = updates["tick"][prints | (asks & (updates["kind"] != SNAPSHOT_END))].min(initial=2**15 - 1)
    quiet = updates[(updates["kind"] == DELTA) & ~asks & (updates["tick"] < reached)]
    if not len(quiet):
        return -1, 0
    changes = np.bincount(quiet["tick"])
    return int(changes.argmax()), int(changes.max())


@kernel
def _absolute(updates, sizes, out):  # type: ignore[no-untyped-def]
    """Sizes of levels after each row; `sizes` is [2, L]."""
    for at in range(len(updates)):
        update = updates[at]
        side = update.flags & ASK_SIDE
        if update.kind == SNAPSHOT_LEVEL:
            sizes[side, update.tick] = update.size
        elif update.kind == DELTA:
            sizes[side, update.tick] += update.size
        out[at] = update.size if update.kind == TRADE else sizes[side, update.tick]


def _events(updates: NDArray[np.void], prices: NDArray[np.int32]) -> NDArray[np.void]:
    """hftbacktest knows levels by their absolute size; both of its clocks see every event."""
    sizes = np.empty(len(updates), np.int64)
    _absolute(updates, np.zeros((2, len(prices)), np.int64), sizes)
    prints = updates["kind"] == TRADE
    sells = (updates["flags"] & np.where(prints, TAKER_SOLD, ASK_SIDE)) != 0
    events = np.zeros(len(updates), EVENT)
    events["ev"] = np.where(prints, TRADE_EVENT, DEPTH_EVENT) | np.where(sells, SELL, BUY) | EXCHANGE | LOCAL
    events["exch_ts"] = (updates["recv_ns"] // MICROSECOND - updates["lag_us"]) * MICROSECOND
    events["local_ts"] = updates["recv_ns"]
    events["px"] = prices[updates["tick"]] / DOLLAR
    events["qty"] = sizes
    kept: NDArray[np.void] = events[updates["kind"] != SNAPSHOT_END]
    return kept
