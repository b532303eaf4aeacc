"""Where quotes stand and how they move: cancels before adds, and no level ever on the wrong side of p."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.data.synthetic.chance import below, from_table
from kalshi_ray.data.synthetic.frames import ASK, BID, put_change
from kalshi_ray.data.synthetic.grid import ceil_tick, floor_tick, levels_of
from kalshi_ray.data.synthetic.ladder import drop_deep, push_deep, push_top, slot, top
from kalshi_ray.data.synthetic.layout import DEEPEST, LEVEL_SIZES, SHALLOWEST

FILLED_IN = 8  # levels at most that are added at once between the touch that was and the one that is


@kernel
def touch_tick(m, side):
    """Tick of the quote: p less or plus w / 2 to the grid, and the offset; -1 or L where the side is missing."""
    if side == BID:
        tick = floor_tick(m.grid, m.p - m.half)
        return max(tick - m.offset[BID] * m.unit, 0) if tick > 0 else tick
    tick = ceil_tick(m.grid, m.p + m.half)
    last = levels_of(m.grid) - 1
    return min(tick + m.offset[ASK] * m.unit, last) if tick < last else tick


@kernel
def fresh_lots(s, m, tables, side):
    """Size of a level that somebody quotes anew, in lots of whole contracts."""
    contracts = max(1, int(from_table(s, tables, LEVEL_SIZES) * m.scale))
    return contracts * CONTRACT * m.factor[side]


@kernel
def pull(out, s, m, i, side, touch):
    """Cancel every level in front of `touch`, the deepest first, so that the best price changes once."""
    ahead = 1 - 2 * side
    first = m.count[side]
    while first > 0 and (m.tick[side, slot(m, side, first - 1)] - touch) * ahead > 0:
        first -= 1
    for k in range(first, m.count[side]):
        at = slot(m, side, k)
        if m.size[side, at] > 0:
            put_change(out, s, m, i, side, m.tick[side, at], -m.size[side, at])
    m.count[side] = first
    while m.count[side] > DEEPEST + FILLED_IN:
        at = m.base[side]
        put_change(out, s, m, i, side, m.tick[side, at], -m.size[side, at])
        drop_deep(m, side)


@kernel
def build(out, s, m, i, tables, side, touch):
    """Add levels up to `touch`, the best first, and behind the deepest until the side is deep enough."""
    if touch < 0 or touch >= levels_of(m.grid):
        return
    ahead = 1 - 2 * side
    known = m.count[side]
    if known == 0:
        push_top(m, side, touch, fresh_lots(s, m, tables, side))
    else:
        at = m.tick[side, top(m, side)]
        distance = (touch - at) * ahead
        stride = max(m.unit, distance // FILLED_IN + 1)
        for step in range(stride, distance, stride):
            push_top(m, side, at + step * ahead, fresh_lots(s, m, tables, side))
        if distance > 0:
            push_top(m, side, touch, fresh_lots(s, m, tables, side))
    for k in range(m.count[side] - 1, known - 1, -1):
        place = slot(m, side, k)
        put_change(out, s, m, i, side, m.tick[side, place], m.size[side, place])
    while m.count[side] < SHALLOWEST and deepen(out, s, m, i, tables, side):
        pass


@kernel
def deepen(out, s, m, i, tables, side):
    """Add a level behind the deepest; False where the grid ends."""
    stride = m.unit * (1 + (below(s, 4) == 0))
    tick = m.tick[side, m.base[side]] - stride * (1 - 2 * side)
    if tick < 0 or tick >= levels_of(m.grid):
        return False
    lots = fresh_lots(s, m, tables, side)
    push_deep(m, side, tick, lots)
    put_change(out, s, m, i, side, tick, lots)
    return True


@kernel
def requote(out, s, m, i, tables, shrunk):
    """Move the quotes to where p, width and offsets want them; the size of side `shrunk` (or -1) goes back."""
    for side in range(2):
        pull(out, s, m, i, side, touch_tick(m, side))
    if shrunk >= 0:
        rescale(out, s, m, i, shrunk, 1)
    for side in range(2):
        build(out, s, m, i, tables, side, touch_tick(m, side))


@kernel
def renew_book(out, s, m, i, tables):
    """Cancel everything and build a book whose depth lies between the shallowest and the deepest."""
    pull_all(out, s, m, i)
    for side in range(2):
        build(out, s, m, i, tables, side, touch_tick(m, side))
        wanted = SHALLOWEST + below(s, DEEPEST - SHALLOWEST)
        while 0 < m.count[side] < wanted and deepen(out, s, m, i, tables, side):
            pass


@kernel
def pull_all(out, s, m, i):
    """Cancel both sides."""
    for side in range(2):
        pull(out, s, m, i, side, -1 if side == BID else levels_of(m.grid))


@kernel
def rescale(out, s, m, i, side, factor):
    """Multiply the resting size of a side: a signal comes (`factor`) or goes (1)."""
    for k in range(m.count[side] - 1, -1, -1):
        at = slot(m, side, k)
        lots = m.size[side, at] // m.factor[side] * factor
        put_change(out, s, m, i, side, m.tick[side, at], lots - m.size[side, at])
        m.size[side, at] = lots
    m.factor[side] = factor
