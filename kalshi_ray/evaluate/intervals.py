"""Intervals of a mean per market when markets come in events: events are independent, markets of one event are not.

events      interval                         gates
under 10    none, and how many are needed    closed
10 to 19    Student t over events, weak      closed
from 20     bootstrap by event, seeded       may open
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

MIN_WEAK = 10  # events for any interval
MIN_STRONG = 20  # events for the bootstrap, and for a gate to open
POWER = 0.8


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean per market and what is known of it, in the unit of the values; `low` and `high` are None without one."""

    mean: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: Literal["none", "t", "bootstrap"] = "none"
    events: int = 0
    markets: int = 0
    standard_error: float | None = None  # of the mean, clustered by event
    detectable: float | None = None  # smallest true mean that would show at 80 % power
    events_needed: int | None = None  # to show the mean seen here at 80 % power; None: not computable
    largest_event_share: float | None = None  # of the sum of absolute event totals

    @property
    def is_weak(self) -> bool:
        """Whether the data is too thin for a gate."""
        return self.events < MIN_STRONG

    @property
    def remark(self) -> str:
        """What to say beside the interval."""
        if self.events < MIN_WEAK:
            return f"{self.events} events: no interval, {MIN_WEAK} needed for a weak one and {MIN_STRONG} for a gate"
        if self.is_weak:
            return f"weak: t interval over {self.events} events, {MIN_STRONG} needed for a gate"
        return f"bootstrap over {self.events} events"


def by_event(
    values: NDArray[np.float64] | NDArray[np.int64],
    events: NDArray[np.int32],
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """The mean of `values` [M], one per market, with its interval over `events` [M]. Same seed, same bytes."""
    totals, counts = event_sums(values, events)
    number = len(totals)
    if not number:
        return Interval(mean=0.0, level=level)
    mean = float(totals.sum() / counts.sum())
    largest = _largest_share(totals)
    if number < 2:
        return Interval(mean=mean, level=level, events=number, markets=len(values), largest_event_share=largest)
    error = standard_error(totals, counts)
    low, high, method = _bounds(totals, counts, mean, error, level, resamples, seed)
    return Interval(
        mean=mean,
        low=low,
        high=high,
        level=level,
        method=method,
        events=number,
        markets=len(values),
        standard_error=error,
        detectable=_effect_in_errors(number, level) * error,
        events_needed=_events_needed(number, mean, error, level),
        largest_event_share=largest,
    )


def event_sums(
    values: NDArray[np.float64] | NDArray[np.int64], events: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of values and number of markets by event, each [E], events ascending."""
    _, group = np.unique(events, return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    return np.bincount(group, weights=values, minlength=len(counts)).astype(np.float64), counts


def standard_error(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Standard error of sum(totals) / sum(counts) over independent events (ratio estimator), E >= 2."""
    number = len(totals)
    residual = totals - counts * (totals.sum() / counts.sum())
    return float(math.sqrt(number / (number - 1) * float((residual**2).sum())) / counts.sum())


def _bounds(
    totals: NDArray[np.float64],
    counts: NDArray[np.float64],
    mean: float,
    error: float,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float | None, float | None, Literal["none", "t", "bootstrap"]]:
    number = len(totals)
    if number < MIN_WEAK:
        return None, None, "none"
    if number < MIN_STRONG:
        reach = float(stdtrit(number - 1, 0.5 + level / 2)) * error
        return mean - reach, mean + reach, "t"
    means = _bootstrap(totals, counts, resamples, seed)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high), "bootstrap"


def _bootstrap(
    totals: NDArray[np.float64], counts: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means over events drawn with replacement, [resamples]; a million draws at a time."""
    source = np.random.default_rng(seed)
    number = len(totals)
    means = np.empty(resamples)
    block = max(1, 1_000_000 // number)
    for start in range(0, resamples, block):
        drawn = source.integers(0, number, (min(block, resamples - start), number))
        means[start : start + len(drawn)] = totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def _effect_in_errors(number: int, level: float) -> float:
    """How many standard errors a true mean must be away from zero to be shown with 80 % power."""
    return float(stdtrit(number - 1, 0.5 + level / 2) + stdtrit(number - 1, POWER))


def _events_needed(number: int, mean: float, error: float, level: float) -> int | None:
    """Events at which the mean seen here would be shown with 80 % power, were the spread between events the same."""
    if mean == 0.0 or error == 0.0:
        return None
    errors = float(ndtri(0.5 + level / 2) + ndtri(POWER))
    return max(MIN_STRONG, math.ceil(number * (errors * error / abs(mean)) ** 2))


def _largest_share(totals: NDArray[np.float64]) -> float | None:
    """The largest event's part of the sum of absolute event totals; None where all are zero."""
    whole = float(np.abs(totals).sum())
    return float(np.abs(totals).max() / whole) if whole else None
