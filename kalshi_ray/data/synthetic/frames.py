"""Rows of the session and of the truth, written one after another; receive times and sequence numbers."""

from __future__ import annotations

import math

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import Side
from kalshi_ray.data.synthetic.chance import uniform
from kalshi_ray.data.synthetic.grid import price_at
from kalshi_ray.data.synthetic.ladder import slot
from kalshi_ray.data.synthetic.layout import ONE, SID_BOOK, SID_LIFE, SID_TRADE

BID, ASK, NONE = int(Side.BID), int(Side.ASK), int(Side.NONE)
SNAPSHOT_LEVEL, SNAPSHOT_END = int(Kind.SNAPSHOT_LEVEL), int(Kind.SNAPSHOT_END)
DELTA, TRADE, GAP = int(Kind.DELTA), int(Kind.TRADE), int(Kind.GAP)
LOST = int(GapCause.SEQUENCE)
FRAME_NS = 2_000  # between two frames of one moment


@kernel
def begin(s):  # type: ignore[no-untyped-def]
    """The frames of this moment arrive: one connection, so never before those of an earlier moment."""
    arrival = s.now + s.feed + int(uniform(s) * 2 * s.jitter)
    s.recv = max(s.recv, arrival)


@kernel
def _put(out, s, market, sid, kind, side, price, size, taker):  # type: ignore[no-untyped-def]
    row = out[s.rows]
    s.rows += 1
    row.market = market
    row.recv_ns = s.recv
    row.exch_ns = s.now
    row.sid = sid
    row.seq = s.seq[sid]
    row.kind = kind
    row.side = side
    row.price = price
    row.size = size
    row.taker = taker
    row.flags = 0


@kernel
def put_change(out, s, m, i, side, tick, change):  # type: ignore[no-untyped-def]
    """A signed change of one level, in lots. In a gap the frame is lost: its number is used and no row is written."""
    if m.stale == 2:
        return
    s.seq[SID_BOOK] += 1
    if m.stale == 0:
        _put(out, s, i, SID_BOOK, DELTA, side, price_at(m.grid, tick), change, NONE)
        s.recv += FRAME_NS


@kernel
def put_print(out, s, m, i, side, tick, lots):  # type: ignore[no-untyped-def]
    """A public print at a level of `side`: the taker stood on the other one."""
    s.seq[SID_TRADE] += 1
    _put(out, s, i, SID_TRADE, TRADE, side, price_at(m.grid, tick), lots, 1 - side)
    s.recv += FRAME_NS


@kernel
def put_life(out, s, i, kind, price, size):  # type: ignore[no-untyped-def]
    """A row of the life cycle: status, schedule, settlement."""
    s.seq[SID_LIFE] += 1
    _put(out, s, i, SID_LIFE, kind, NONE, price, size, NONE)
    s.recv += FRAME_NS


@kernel
def put_gap(out, s):  # type: ignore[no-untyped-def]
    """Frames of the book's subscription were lost: every market is concerned."""
    _put(out, s, -1, SID_BOOK, GAP, NONE, 0, LOST, NONE)
    out[s.rows - 1].seq = 0
    s.seq[SID_BOOK] += 1


@kernel
def put_snapshot(out, s, m, i):  # type: ignore[no-untyped-def]
    """The whole book of a market in one frame, each side from the touch."""
    s.seq[SID_BOOK] += 1
    for side in range(2):
        for k in range(m.count[side] - 1, -1, -1):
            at = slot(m, side, k)
            price = price_at(m.grid, m.tick[side, at])
            _put(out, s, i, SID_BOOK, SNAPSHOT_LEVEL, side, price, m.size[side, at], NONE)
    _put(out, s, i, SID_BOOK, SNAPSHOT_END, NONE, 0, 0, NONE)
    s.recv += FRAME_NS


@kernel
def chance_of(s, m):  # type: ignore[no-untyped-def]
    """Probability that YES pays given all that is public, a signal included."""
    return (m.p + m.signal * s.shift) / ONE


@kernel
def put_truth(truth, s, m, i):  # type: ignore[no-untyped-def]
    """The probability after all rows of this exchange time."""
    row = truth[s.truths]
    s.truths += 1
    row.market = i
    row.recv_ns = s.recv
    row.exch_ns = s.now
    row.p = chance_of(s, m)
    row.signal = m.signal


@kernel
def after(s, seconds):  # type: ignore[no-untyped-def]
    """The time that many seconds from now, a whole microsecond and later than now."""
    return s.now + (1 + math.floor(seconds * 1e6)) * 1000
