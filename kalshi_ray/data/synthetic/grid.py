"""Prices and ticks by arithmetic: the four grids of the exchange, no table."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.synthetic.layout import CENT_CODE, DECI_CODE, PIP, TAPERED_CODE


@kernel
def step_of(grid):
    """Pips between prices of an even grid."""
    if grid == CENT_CODE:
        return 100
    if grid == DECI_CODE:
        return 10
    return 1


@kernel
def levels_of(grid):
    """L: how many prices the grid has."""
    if grid == TAPERED_CODE:
        return 279
    return DOLLAR // step_of(grid) - 1


@kernel
def price_at(grid, tick):
    """Price of a tick in pips; the tick before the first is 0, the one after the last is one dollar."""
    if grid == TAPERED_CODE:
        if tick < 100:
            return (tick + 1) * 10
        if tick < 180:
            return 1_000 + (tick - 99) * 100
        return 9_000 + (tick - 179) * 10
    return (tick + 1) * step_of(grid)


@kernel
def floor_tick(grid, ppm):
    """The highest tick whose price is at most `ppm`; -1 where there is none."""
    pips = ppm // PIP
    if pips <= 0:
        return -1
    if grid == TAPERED_CODE:
        if pips < 1_000:
            return pips // 10 - 1
        if pips < 9_000:
            return 99 + (pips - 1_000) // 100
        return min(179 + (pips - 9_000) // 10, 278)
    step = step_of(grid)
    return min(pips // step, DOLLAR // step - 1) - 1


@kernel
def ceil_tick(grid, ppm):
    """The lowest tick whose price is at least `ppm`; L where there is none."""
    return floor_tick(grid, ppm - 1) + 1
