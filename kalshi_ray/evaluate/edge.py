"""Fill edge on synthetic sessions: what each fill was worth by the true probability, whatever the result.

edge = side x (p after all rows of the fill's timestamp - price) x size - fee        (market-rules.md section 9)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import DOLLAR, MICROSECOND
from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.ledger import Ledger


@dataclass(frozen=True)
class Truth:
    """The true probability of YES over time, rows sorted by market and then by exchange time."""

    market: NDArray[np.int32]  # row of the session's market table
    exch_us: NDArray[np.int64]  # exchange time in whole microseconds, as the tape keeps it
    p: NDArray[np.float64]


def truth_from(market: NDArray[np.int32], exch_ns: NDArray[np.int64], p: NDArray[np.float64]) -> Truth:
    """A Truth from the columns of `truth.parquet`, in any order of markets but in order of time within each."""
    exch_us = np.asarray(exch_ns, np.int64) // MICROSECOND
    order = np.lexsort((exch_us, market))  # stable: rows of one time keep their order, the last one counts
    return Truth(
        np.asarray(market, np.int32)[order],
        exch_us[order],
        np.asarray(p, np.float64)[order],
    )


def true_price(truth: Truth, market: int, venue_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """True value in pips of one YES of `market` after all rows of each time; raises DataError before the first row."""
    start, stop = np.searchsorted(truth.market, [market, market + 1])
    at = np.searchsorted(truth.exch_us[start:stop], np.asarray(venue_ns) // MICROSECOND, side="right") - 1
    if stop == start or (len(at) and at.min() < 0):
        raise DataError(
            f"truth.parquet has no row for market {market} at or before {int(np.min(venue_ns))} ns",
            remedy="The session and its truth do not belong together: generate it again",
        )
    return np.asarray(truth.p[start:stop][at] * DOLLAR, np.float64)


def fill_edges(ledger: Ledger, truth: Truth, markets: NDArray[np.int32]) -> NDArray[np.float64]:
    """Edge in micros of every fill; `markets` [N] are the session's market rows of the ledger's markets."""
    fills = ledger.fills
    value = np.zeros(len(fills))
    bounds = np.searchsorted(ledger.fill_market, np.arange(len(markets) + 1))
    for index, market in enumerate(markets):
        start, stop = bounds[index], bounds[index + 1]
        if stop > start:
            value[start:stop] = true_price(truth, int(market), fills["venue_ns"][start:stop])
    gain = fills["side"].astype(np.float64) * (value - fills["price"]) * fills["size"]
    return np.asarray(gain - fills["fee"], np.float64)


def edge_by_market(ledger: Ledger, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of edges in micros by market, [N]; a market without fills counts as zero."""
    return np.bincount(ledger.fill_market, weights=edges, minlength=len(ledger.tickers)).astype(np.float64)
