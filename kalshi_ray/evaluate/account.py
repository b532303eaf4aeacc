"""The account above the rows: capital in use, drawdown, daily P&L and Sharpe. All markets of a ledger share it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import SECOND
from kalshi_ray.evaluate.ledger import Ledger

DAY = 86_400 * SECOND
MIN_DAYS = 30  # for a Sharpe ratio


def drawdown(curve: NDArray[np.int64]) -> int:
    """Largest fall from a running peak, in the unit of the curve [G]; zero, where it starts, is its first peak."""
    if not len(curve):
        return 0
    peak = np.maximum(np.maximum.accumulate(curve), 0)
    return int((peak - curve).max())


def capital_path(parts: NDArray[np.void], end_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times and micros tied up over all markets: what the open trades together can still lose, after every fill.

    `end_ns` [N] is when a market's episode ended and gave back what was left in it.
    """
    if not len(parts):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    market = parts["market"]
    first = np.flatnonzero(np.r_[True, market[1:] != market[:-1]])
    before = np.r_[0, parts["capital"][:-1]]
    before[first] = 0
    last = np.r_[first[1:], len(parts)] - 1
    times = np.r_[parts["ns"], end_ns[market[last]]]
    changes = np.r_[parts["capital"] - before, -parts["capital"][last]]
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(changes[order])


def peak_capital(parts: NDArray[np.void], end_ns: NDArray[np.int64]) -> int:
    """Most micros ever tied up at once."""
    _, path = capital_path(parts, end_ns)
    return int(path.max(initial=0))


def daily_pnl(ledger: Ledger) -> NDArray[np.int64]:
    """Micros won on each UTC day that the curve touches, [days]; they sum to the net."""
    if not len(ledger.curve):
        return np.zeros(0, np.int64)
    days = np.arange(ledger.curve_ns[0] // DAY, ledger.curve_ns[-1] // DAY + 1)
    # The value at the end of a day is the last one recorded before midnight.
    at = np.searchsorted(ledger.curve_ns, (days + 1) * DAY, side="left") - 1
    return np.diff(ledger.closed_curve[at], prepend=0)


def sharpe(daily: NDArray[np.int64], active_days: int) -> float | None:
    """Mean over standard deviation of daily P&L [calendar days] times the root of 365.

    None under 30 days on which markets ran, or without any movement.
    """
    if active_days < MIN_DAYS:
        return None
    deviation = float(daily.std(ddof=1))
    return float(daily.mean()) / deviation * math.sqrt(365) if deviation else None
