"""The life of an event: it opens, may be rescheduled and paused, closes and settles. And gaps of the recording."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.synthetic.chance import exponential, uniform
from kalshi_ray.data.synthetic.frames import (
    after,
    begin,
    chance_of,
    put_gap,
    put_life,
    put_snapshot,
    put_truth,
)
from kalshi_ray.data.synthetic.layout import (
    CLOSE,
    NEVER,
    ONE,
    OPEN,
    PAUSE,
    PHASES,
    RESCHEDULE,
    RESUME,
    SETTLE,
    SID_BOOK,
)
from kalshi_ray.data.synthetic.quoting import renew_book

STATUS, SCHEDULE, SETTLEMENT = int(Kind.STATUS), int(Kind.SCHEDULE), int(Kind.SETTLEMENT)
ACTIVE, INACTIVE = int(Status.ACTIVE), int(Status.INACTIVE)
CLOSED, DETERMINED = int(Status.CLOSED), int(Status.DETERMINED)


@kernel
def next_phase(event):
    """When the event's next phase is due; phases without a time are passed over."""
    while event.phase < PHASES and event.times[event.phase] == 0:
        event.phase += 1
    return event.times[event.phase] if event.phase < PHASES else NEVER


@kernel
def live_on(out, truth, s, markets, event, tables):
    """Go through the phase that is due, in all markets of the event at once; return when the next one is due."""
    begin(s)
    phase = event.phase
    if phase in (OPEN, RESUME):
        event.active = 1
    elif phase in (PAUSE, CLOSE):
        event.active = 0
    if phase == OPEN:
        event.opened = s.now
    drawn = uniform(s)
    for i in range(event.first, event.first + event.strikes):
        m = markets[i]
        if phase in (OPEN, RESUME):
            _open(out, truth, s, m, i, tables, phase == OPEN)
        elif phase == SETTLE:
            drawn = _settle(out, truth, s, m, i, drawn)
        elif phase == RESCHEDULE:
            put_life(out, s, i, SCHEDULE, 0, event.close)
        else:
            put_life(out, s, i, STATUS, 0, INACTIVE if phase == PAUSE else CLOSED)
    event.phase += 1
    return next_phase(event)


@kernel
def _open(out, truth, s, m, i, tables, is_first):
    """Makers quote: sent as a snapshot at first. Reactivation cancels what rested before the pause."""
    if is_first:
        m.stale = 2
    else:
        put_life(out, s, i, STATUS, 0, ACTIVE)
    renew_book(out, s, m, i, tables)
    if is_first:
        put_truth(truth, s, m, i)
        m.stale = s.cursor == 0  # in a gap the first snapshot is lost too
        if m.stale:
            s.seq[SID_BOOK] += 1
        else:
            put_snapshot(out, s, m, i)


@kernel
def _settle(out, truth, s, m, i, drawn):
    """YES with probability p; at most one strike of an event wins, so one draw serves them all."""
    share = chance_of(s, m)
    won = 0.0 <= drawn < share
    put_life(out, s, i, STATUS, 0, DETERMINED)
    put_life(out, s, i, SETTLEMENT, DOLLAR if won else 0, 0)
    m.p = ONE if won else 0
    m.signal = 0
    m.stale = 0  # a resync to come has nothing left to show
    put_truth(truth, s, m, i)
    return drawn - share


@kernel
def go_through_gap(out, s, markets, events):
    """Lose frames, or resync one market after them; return when to come back."""
    begin(s)
    if s.cursor < 0:
        put_gap(out, s)
        for i in range(len(markets)):
            if OPEN < events[markets[i].event].phase <= CLOSE:
                markets[i].stale = 1
        s.cursor = 0
        return s.now + s.gap_ns
    while s.cursor < len(markets) and markets[s.cursor].stale == 0:
        s.cursor += 1
    if s.cursor == len(markets):
        s.cursor = -1
        return after(s, exponential(s) * s.gap_mean * 1e-9)
    m = markets[s.cursor]
    m.stale = 0
    put_snapshot(out, s, m, s.cursor)
    s.cursor += 1
    return s.now
