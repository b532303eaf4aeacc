"""The generator's own random numbers: splitmix64, one counter as the whole state, the same on every machine."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import math

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.data.synthetic.layout import TABLE_POINTS

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_U11, _U27, _U30, _U31, _U33, _U63 = (np.uint64(bits) for bits in (11, 27, 30, 31, 33, 63))


@kernel
def draw(s):
    """64 random bits."""
    s.counter = s.counter + _GOLDEN
    z = s.counter
    z = (z ^ (z >> _U30)) * _FIRST
    z = (z ^ (z >> _U27)) * _SECOND
    return z ^ (z >> _U31)


@kernel
def uniform(s):
    """Uniform in [0, 1)."""
    return np.float64(draw(s) >> _U11) * 1.1102230246251565e-16


@kernel
def below(s, bound):
    """An integer in [0, bound), bound at most 2^31; odds exact to 2^-31."""
    return (np.int64(draw(s) >> _U33) * bound) >> 31


@kernel
def coin(s):
    """0 or 1 with equal odds."""
    return np.int64(draw(s) >> _U63)


@kernel
def exponential(s):
    """Exponential of mean one."""
    return -math.log(1.0 - uniform(s))


@kernel
def from_table(s, tables, table):
    """A draw from the distribution whose quantiles are row `table`, linear between them."""
    at = uniform(s) * (TABLE_POINTS - 1)
    low = int(at)
    first = tables[table, low]
    return first + (at - low) * (tables[table, low + 1] - first)
