"""The main loop: what happens next in which market, over all markets in order of exchange time."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.data.synthetic.chance import exponential, from_table, uniform
from kalshi_ray.data.synthetic.frames import after, begin, put_truth
from kalshi_ray.data.synthetic.layout import BURST, CALM, CLOSE, NEVER
from kalshi_ray.data.synthetic.life import go_through_gap, live_on
from kalshi_ray.data.synthetic.moments import (
    HIGHEST,
    LOWEST,
    NOBODY,
    REST,
    change_sizes,
    end_signal,
    flicker,
    news,
    start_signal,
)
from kalshi_ray.data.synthetic.quoting import requote, rescale
from kalshi_ray.data.synthetic.takers import trade

SIZES, FLICKER, NEWS, TRADE, SIGNAL, SIGNAL_ENDS = range(6)  # what happens
PAUSED_S = 0.25  # how long a paused market waits before it looks again


@kernel
def _onset(m):
    return m.onset if LOWEST < m.p < HIGHEST else 0.0


@kernel
def _next_moment(s, m, event, tables):
    """When something happens next in an open market; depends on the past only."""
    if m.signal != 0:
        return min(after(s, exponential(s) / m.hold), max(m.signal_end, s.now + 1000))
    quarter = min(max(4 * (s.now - event.opened) // (event.close - event.opened), 0), 3)
    pace = m.profile[quarter]
    if m.follow > 0.0:
        if uniform(s) < m.follow:
            return after(s, from_table(s, tables, BURST))
        return after(s, from_table(s, tables, CALM) * m.calm / pace)
    rate = m.noise + m.flicker + m.news + m.trade + _onset(m)
    return after(s, exponential(s) / (rate * pace))


@kernel
def _kind_of_moment(s, m):
    """What happens in an open market, drawn by the rates."""
    if m.signal != 0:
        return SIGNAL_ENDS if s.now >= m.signal_end else SIZES
    at = uniform(s) * (m.noise + m.flicker + m.news + m.trade + _onset(m)) - m.noise
    if at < 0.0:
        return SIZES
    if at < m.flicker:
        return FLICKER
    if at < m.flicker + m.news:
        return NEWS
    return TRADE if at < m.flicker + m.news + m.trade else SIGNAL


@kernel
def _happen(out, truth, s, markets, events, i, tables):
    """One moment of market i: what happens, then every quote that it moves, at the same exchange time."""
    m = markets[i]
    kind = _kind_of_moment(s, m)
    other, shrunk = NOBODY, -1
    begin(s)
    if kind == SIZES:
        change_sizes(out, s, m, i, tables)
        return
    if kind == SIGNAL:
        rescale(out, s, m, i, start_signal(s, m), s.factor)
        put_truth(truth, s, m, i)
        return
    if kind == FLICKER:
        flicker(s, m)
    elif kind == NEWS:
        other = news(s, markets, events, i, tables)
    elif kind == TRADE:
        other = trade(out, s, markets, events, i, tables)
    else:
        other, shrunk = REST, end_signal(s, markets, events, i)
    moved = i
    while moved >= 0:
        requote(out, s, markets[moved], moved, tables, shrunk)
        if other != NOBODY:
            put_truth(truth, s, markets[moved], moved)
        moved = other if moved == i else -1


@kernel
def _visit(out, truth, s, markets, events, who, tables):
    """Let market, event or gap `who` do what is due; return when it is due again."""
    if who < len(markets):
        event = events[markets[who].event]
        if not event.active:
            return NEVER if event.phase > CLOSE else after(s, PAUSED_S)
        _happen(out, truth, s, markets, events, who, tables)
        return _next_moment(s, markets[who], event, tables)
    if who < len(markets) + len(events):
        return live_on(out, truth, s, markets, events[who - len(markets)], tables)
    return go_through_gap(out, s, markets, events)


@kernel
def _sink(heap, due):
    """Move the root of the heap down to its place; at equal times the lower number comes first."""
    size = len(heap)
    who, at = heap[0], due[heap[0]]
    here = 0
    while True:
        child = 2 * here + 1
        if child >= size:
            break
        if child + 1 < size:
            left, right = heap[child], heap[child + 1]
            if due[right] < due[left] or (due[right] == due[left] and right < left):
                child += 1
        below = heap[child]
        if due[below] > at or (due[below] == at and below > who):
            break
        heap[here] = below
        here = child
    heap[here] = who


@kernel
def advance(out, truth, s, markets, events, heap, due, tables, most):
    """Fill the batch `out` [N] ROW and `truth` [N] TRUTH_ROW; return 1 when the session has ended.

    `most` is more than one moment can write. Exchange times of two moments always differ.
    """
    s.rows = 0
    s.truths = 0
    while s.rows + most <= len(out) and s.truths + most <= len(truth):
        who = heap[0]
        if due[who] >= s.stop:
            return 1
        s.now = max(due[who], s.now + 1000)
        due[who] = _visit(out, truth, s, markets, events, who, tables)
        _sink(heap, due)
    return 0
