"""One side of a book as a ring of levels, the deepest first and the touch last."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.data.synthetic.layout import LADDER


@kernel
def slot(m, side, k):
    """Place of level k, counted from the deepest."""
    return (m.base[side] + k) & (LADDER - 1)


@kernel
def top(m, side):
    """Place of the touch; the side must not be empty."""
    return (m.base[side] + m.count[side] - 1) & (LADDER - 1)


@kernel
def push_top(m, side, tick, lots):
    """A level in front of the touch."""
    at = slot(m, side, m.count[side])
    m.tick[side, at] = tick
    m.size[side, at] = lots
    m.count[side] += 1


@kernel
def push_deep(m, side, tick, lots):
    """A level behind the deepest."""
    m.base[side] = (m.base[side] - 1) & (LADDER - 1)
    at = m.base[side]
    m.tick[side, at] = tick
    m.size[side, at] = lots
    m.count[side] += 1


@kernel
def drop_deep(m, side):
    """Forget the deepest level."""
    m.base[side] = (m.base[side] + 1) & (LADDER - 1)
    m.count[side] -= 1


@kernel
def remove(m, side, k):
    """Forget level k; those in front of it move down."""
    for later in range(k, m.count[side] - 1):
        here, there = slot(m, side, later), slot(m, side, later + 1)
        m.tick[side, here] = m.tick[side, there]
        m.size[side, here] = m.size[side, there]
    m.count[side] -= 1


@kernel
def insert(m, side, k, tick, lots):
    """A level at place k; those from k on move up."""
    for later in range(m.count[side], k, -1):
        here, there = slot(m, side, later), slot(m, side, later - 1)
        m.tick[side, here] = m.tick[side, there]
        m.size[side, here] = m.size[side, there]
    at = slot(m, side, k)
    m.tick[side, at] = tick
    m.size[side, at] = lots
    m.count[side] += 1
