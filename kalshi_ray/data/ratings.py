"""What samplers go by: a number for each market, from its measures.

Training only: these look at whole recordings, as the training filter does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.data.selection import HOUR_S, decisions_by_quarter, pattern_of

SPREAD_CENTS = 10.0  # from here on a spread is as hard as it gets
RANGE = DOLLAR // 2  # pips: from here on a range of the mid is as hard as it gets
TERTILES = 3
PATTERNS = ("front-loaded", "mid-peak", "back-loaded", "even", "none")


def volumes(pack: ViewPack, views: NDArray[np.integer], measures: NDArray[np.void]) -> NDArray[np.float64]:
    """[N] contracts traded by public prints.

    Where any session of the pack has no prints, the contracts that came and went at all levels stand in for every
    market: the sum of the changes of displayed sizes.
    """
    if pack.has_trades:
        return np.asarray(measures["traded"][views] / CONTRACT)
    return np.array([_changed(pack, int(view)) for view in views], np.float64) / CONTRACT


def activities(views: NDArray[np.integer], measures: NDArray[np.void]) -> NDArray[np.float64]:
    """[N] updates an hour of each market's own time."""
    hours = (measures["last_ns"] - measures["first_ns"])[views] * 1e-9 / HOUR_S
    rates = np.zeros(len(views))
    np.divide(measures["updates"][views], hours, out=rates, where=hours > 0.0)
    return rates


def classes(views: NDArray[np.integer], measures: NDArray[np.void], quarters_of: str) -> NDArray[np.float64]:
    """[N] kinds of markets as numbers: when they were active, by quarters, and how active, by tertiles of the views."""
    rates = activities(views, measures)
    tertile = np.searchsorted(np.quantile(rates, np.arange(1, TERTILES) / TERTILES), rates, side="left")
    patterns = [PATTERNS.index(pattern_of(decisions_by_quarter(measures[v], quarters_of)[1])) for v in views]
    return np.array(patterns, np.float64) * TERTILES + tertile


def difficulties(views: NDArray[np.integer], measures: NDArray[np.void]) -> NDArray[np.float64]:
    """[N] from 0, easy, to 1: 0.3 spread + 0.5 range + 0.2 time without two sides, each from 0 to 1.

    A wide spread counts as hard: a round trip costs it, and few moves are larger. (The documents' formula calls a wide
    spread easy.) The range is that of the mid over the market's life: the further it travels, the dearer a position
    that stands wrong. Where there is no bid or no ask, a position cannot be left.
    """
    found = measures[views]
    two_sided = found["two_sided_s"]
    known = two_sided > 0.0
    spread = np.divide(found["spread_sum"], two_sided, out=np.full(len(found), np.inf), where=known) / CENT
    travelled = np.where(known, (found["mid_high"].astype(np.float64) - found["mid_low"]) / 2, np.inf)
    own = np.maximum((found["last_ns"] - found["first_ns"]) * 1e-9, 1e-9)
    parts = (
        0.3 * np.minimum(1.0, spread / SPREAD_CENTS),
        0.5 * np.minimum(1.0, travelled / RANGE),
        0.2 * (1.0 - np.minimum(1.0, two_sided / own)),
    )
    return np.asarray(sum(parts), np.float64)


def _changed(pack: ViewPack, view: int) -> int:
    """Lots by which the displayed sizes of a view changed, up and down."""
    rows = pack.updates[pack.views["start"][view] : pack.views["stop"][view]]
    return int(np.abs(rows["size"][rows["kind"] == Kind.DELTA].astype(np.int64)).sum())
