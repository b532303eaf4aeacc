"""What happens in a market: sizes change, quotes flicker, news, and signals that come true or not."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.data.synthetic.chance import below, coin, from_table, uniform
from kalshi_ray.data.synthetic.frames import put_change
from kalshi_ray.data.synthetic.grid import floor_tick, levels_of, price_at
from kalshi_ray.data.synthetic.ladder import drop_deep, insert, remove, slot
from kalshi_ray.data.synthetic.layout import DEEPEST, NEWS, ONE, PIP, SHALLOWEST
from kalshi_ray.data.synthetic.quoting import deepen, fresh_lots

NOBODY, REST, TRIES = -2, -1, 3
LOWEST, HIGHEST = 150_000, 850_000  # ppm: signals start strictly between
FAR_NEWS = 5  # times larger where no signal can start: brings p back
LEAST = 50  # ppm: no probability goes below
BOUNCE, LEAP = 0.40, 0.04  # share of flickers that undo the last one, and that go far
LEAP_UNITS, NEAR = 9, 3  # how far, and from where quotes come back in strides
TWO_UNITS = 0.15  # share of steps that are two units


@kernel
def change_sizes(out, s, m, i, tables):
    """Orders come and go at one or two levels, more often near the touch. The quotes stay."""
    wanted = 1 + coin(s)
    for _ in range(wanted):
        side = coin(s)
        if m.count[side] == 0:
            side = 1 - side
        if m.count[side] == 0:
            return
        behind = min(below(s, m.count[side]), below(s, m.count[side]))
        _change_level(out, s, m, i, tables, side, m.count[side] - 1 - behind)


@kernel
def _change_level(out, s, m, i, tables, side, k):
    choice = below(s, 16)
    count = m.count[side]
    if choice == 0 and k < count - 1 and count > SHALLOWEST:
        at = slot(m, side, k)
        put_change(out, s, m, i, side, m.tick[side, at], -m.size[side, at])
        remove(m, side, k)
    elif choice == 1 and count < DEEPEST:
        _fill_hole(out, s, m, i, tables, side, k)
    elif count > DEEPEST:
        at = m.base[side]
        put_change(out, s, m, i, side, m.tick[side, at], -m.size[side, at])
        drop_deep(m, side)
    else:
        _resize(out, s, m, i, tables, side, k)


@kernel
def _fill_hole(out, s, m, i, tables, side, k):
    """A level behind level k where there is room, else behind the deepest."""
    ahead = 1 - 2 * side
    tick = m.tick[side, slot(m, side, k)] - m.unit * ahead
    if k == 0 or (tick - m.tick[side, slot(m, side, k - 1)]) * ahead <= 0:
        deepen(out, s, m, i, tables, side)
        return
    lots = fresh_lots(s, m, tables, side)
    insert(m, side, k, tick, lots)
    put_change(out, s, m, i, side, tick, lots)


@kernel
def _resize(out, s, m, i, tables, side, k):
    """A fresh size: orders come and go, the distribution of sizes stays."""
    at = slot(m, side, k)
    change = fresh_lots(s, m, tables, side) - m.size[side, at]
    if change != 0:
        put_change(out, s, m, i, side, m.tick[side, at], change)
        m.size[side, at] += change


@kernel
def flicker(s, m):
    """A quote steps back from p or nearer, without news; most go back the way they came."""
    side = coin(s)
    here = m.offset[side]
    if uniform(s) < BOUNCE and m.before[side] != here:
        there = m.before[side]
    elif uniform(s) < LEAP:
        there = here + 2 + below(s, LEAP_UNITS)
    elif here > NEAR and coin(s):
        there = here // 2
    else:
        units = 2 if uniform(s) < TWO_UNITS else 1
        there = here + units if uniform(s) < m.breadth or here == 0 else max(here - units, 0)
    m.offset[side] = there
    m.before[side] = here


@kernel
def partner(s, markets, events, i, up, down):
    """Who takes the other side when p of market i may rise by `up` or fall by `down`: a strike of its event, or REST.

    Likely ones are chosen more often. The choice depends on the past only and on both outcomes being possible;
    NOBODY if they are not.
    """
    event = events[markets[i].event]
    for _ in range(TRIES if event.strikes > 1 else 0):
        j = _likely_sibling(s, markets, event, i)
        if j != REST and markets[j].p - up >= LEAST and markets[j].p + down <= ONE - LEAST:
            return j
    return REST if event.rest >= up else NOBODY


@kernel
def _likely_sibling(s, markets, event, i):
    """A strike other than i, each as often as its probability; REST for what has no market."""
    left = below(s, ONE - markets[i].p)
    for j in range(event.first, event.first + event.strikes):
        if j != i:
            left -= markets[j].p
            if left < 0:
                return j
    return REST


@kernel
def move(markets, events, i, other, change):
    """p of market i changes, that of its partner by as much the other way. Both must requote at this very time."""
    markets[i].p += change
    if other == REST:
        events[markets[i].event].rest -= change
    else:
        markets[other].p -= change


@kernel
def _step_here(m):
    """Distance of two prices around p in ppm."""
    tick = min(max(floor_tick(m.grid, m.p), 0), levels_of(m.grid) - 2)
    return (price_at(m.grid, tick + 1) - price_at(m.grid, tick)) * PIP


@kernel
def _news_size(s, m, tables):
    """J in ppm, at most half the way to certainty."""
    if m.news_scale > 0.0:
        size = int(from_table(s, tables, NEWS) * m.news_scale)
    else:
        step = _step_here(m)
        size = m.p % step if m.p % step else step
        if m.onset > 0.0 and not LOWEST < m.p < HIGHEST:
            size *= FAR_NEWS
    return min(size, min(m.p, ONE - m.p) // 2)


@kernel
def news(s, markets, events, i, tables):
    """p moves by J, up or down with equal odds; return the partner."""
    size = _news_size(s, markets[i], tables)
    other = partner(s, markets, events, i, size, size)
    if other != NOBODY:
        move(markets, events, i, other, size if coin(s) else -size)
    return other


@kernel
def start_signal(s, m):
    """One side is chosen; its resting size grows. Quotes are held until the signal ends."""
    side = coin(s)
    m.signal = 1 - 2 * side
    m.signal_end = s.now + s.signal_ns
    s.signals += 1
    return side


@kernel
def end_signal(s, markets, events, i):
    """p jumps the way the signal pointed with odds theta, else the other way; return the side whose size goes back."""
    m = markets[i]
    side = 0 if m.signal > 0 else 1
    move(markets, events, i, REST, m.signal * s.jump if uniform(s) < s.theta else -m.signal * s.jump)
    m.signal = 0
    return side
