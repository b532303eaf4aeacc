"""Draws that depend on a key alone, however the rows are batched: splitmix64 over seed, market and decision."""

# Kernels of whole numbers that wrap: numpy types say more here than annotations.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np

from kalshi_ray.core.jit import kernel

GOLDEN = 0x9E37_79B9_7F4A_7C15

_GOLDEN = np.uint64(GOLDEN)
_FIRST = np.uint64(0xBF58_476D_1CE4_E5B9)
_SECOND = np.uint64(0x94D0_49BB_1331_11EB)
_U11, _U27, _U30, _U31 = (np.uint64(bits) for bits in (11, 27, 30, 31))


@kernel
def _scramble(value):
    """The finaliser of splitmix64: every input bit moves every output bit."""
    value = value + _GOLDEN
    value = (value ^ (value >> _U30)) * _FIRST
    value = (value ^ (value >> _U27)) * _SECOND
    return value ^ (value >> _U31)


@kernel
def draw_keyed(key, market, decision, out):
    """Uniform draws in [0, 1) into `out` [B], by `key` (uint64), `market` [B] uint64 and `decision` [B] int64."""
    for row in range(out.shape[0]):
        mixed = _scramble(_scramble(market[row] + key) ^ np.uint64(decision[row]))
        out[row] = np.float64(mixed >> _U11) * 1.1102230246251565e-16
