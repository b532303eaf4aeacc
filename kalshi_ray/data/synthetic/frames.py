"""Rows of the session and of the truth, written one after another; receive times and sequence numbers."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

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
def begin(s):
    """The frames of this moment arrive: one connection, so never before those of an earlier moment."""
    arrival = s.now + s.feed + int(uniform(s) * 2 * s.jitter)
    s.recv = max(s.recv, arrival)


@kernel
def _next_row(out, s, market):
    """The next row of the batch, with its times; the caller says what it is."""
    row = out[s.rows]
    s.rows += 1
    row.market = market
    row.recv_ns = s.recv
    row.exch_ns = s.now
    row.taker = NONE
    row.flags = 0
    return row


@kernel
def put_change(out, s, m, i, side, tick, change):
    """A signed change of one level, in lots. In a gap the frame is lost: its number is used and no row is written."""
    if m.stale:
        # Once the resync has begun, what happens is in the snapshot to come.
        s.seq[SID_BOOK] += m.stale == 1 and s.cursor == 0
        return
    s.seq[SID_BOOK] += 1
    row = _next_row(out, s, i)
    row.sid = SID_BOOK
    row.seq = s.seq[SID_BOOK]
    row.kind = DELTA
    row.side = side
    row.price = price_at(m.grid, tick)
    row.size = change
    s.recv += FRAME_NS


@kernel
def put_print(out, s, m, i, side, tick, lots):
    """A public print at a level of `side`: the taker stood on the other one."""
    s.seq[SID_TRADE] += 1
    row = _next_row(out, s, i)
    row.sid = SID_TRADE
    row.seq = s.seq[SID_TRADE]
    row.kind = TRADE
    row.side = side
    row.price = price_at(m.grid, tick)
    row.size = lots
    row.taker = 1 - side
    s.recv += FRAME_NS


@kernel
def put_life(out, s, i, kind, price, size):
    """A row of the life cycle: status, schedule, settlement."""
    s.seq[SID_LIFE] += 1
    row = _next_row(out, s, i)
    row.sid = SID_LIFE
    row.seq = s.seq[SID_LIFE]
    row.kind = kind
    row.side = NONE
    row.price = price
    row.size = size
    s.recv += FRAME_NS


@kernel
def put_gap(out, s):
    """Frames of the book's subscription were lost: every market is concerned."""
    s.seq[SID_BOOK] += 1
    row = _next_row(out, s, -1)
    row.sid = SID_BOOK
    row.seq = 0
    row.kind = GAP
    row.side = NONE
    row.price = 0
    row.size = LOST


@kernel
def put_snapshot(out, s, m, i):
    """The whole book of a market in one frame, each side from the touch."""
    s.seq[SID_BOOK] += 1
    levels = m.count[0] + m.count[1]
    for at in range(levels + 1):
        row = _next_row(out, s, i)
        row.sid = SID_BOOK
        row.seq = s.seq[SID_BOOK]
        if at == levels:
            row.kind = SNAPSHOT_END
            row.side = NONE
            row.price = 0
            row.size = 0
            continue
        side = 0 if at < m.count[0] else 1
        place = slot(m, side, (m.count[0] if side == 0 else levels) - 1 - at)
        row.kind = SNAPSHOT_LEVEL
        row.side = side
        row.price = price_at(m.grid, m.tick[side, place])
        row.size = m.size[side, place]
    s.recv += FRAME_NS


@kernel
def chance_of(s, m):
    """Probability that YES pays given all that is public, a signal included."""
    return (m.p + m.signal * s.shift) / ONE


@kernel
def put_truth(truth, s, m, i):
    """The probability after all rows of this exchange time."""
    row = truth[s.truths]
    s.truths += 1
    row.market = i
    row.recv_ns = s.recv
    row.exch_ns = s.now
    row.p = chance_of(s, m)
    row.signal = m.signal


@kernel
def after(s, seconds):
    """The time that many seconds from now, a whole microsecond and later than now."""
    return s.now + (1 + math.floor(seconds * 1e6)) * 1000
