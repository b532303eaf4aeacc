"""Numbers behind the regimes: aggregate statistics of recorded markets, each with its source, and our own choices.

A distribution is a list of (share of cases below, value). Sources, by folder of the recorded data:

    K  jetpackjules_kalshi-trader    718,044 best-quote changes of 102 KXHIGHNY markets
    R  clouvelai_kalshiflow, run 32  964 markets, level sizes and update rates
    T  gitty-gat_capopm              21,004 trade prints of college football markets
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.data.synthetic.layout import TABLE_POINTS

Distribution = list[tuple[float, float]]

# R: contracts at a level, over all points and levels.
LEVEL_CONTRACTS: Distribution = [
    (0, 1), (0.02, 2), (0.05, 8), (0.1, 20), (0.2, 100), (0.3, 293), (0.4, 500), (0.5, 766), (0.6, 1_224),
    (0.7, 2_070), (0.8, 4_102), (0.9, 13_500), (0.95, 60_000), (0.98, 300_000), (0.99, 808_555), (1, 1_590_000),
]  # fmt: skip
# T: contracts of a print.
PRINT_CONTRACTS: Distribution = [
    (0, 1), (0.05, 1), (0.1, 2), (0.2, 5), (0.3, 10), (0.4, 14), (0.5, 23), (0.6, 43), (0.7, 83), (0.8, 150),
    (0.9, 414), (0.95, 967), (0.98, 2_100), (0.99, 4_544), (0.999, 10_000), (1, 35_000),
]  # fmt: skip
# K: cents by which a best quote moves, spread within the cent: 77 % one, 12 % two, 5 % three, 4 % five and more.
MOVE_CENTS: Distribution = [
    (0, 0.25), (0.5, 0.7), (0.767, 1.5), (0.884, 2.5), (0.932, 3.5), (0.958, 4.5), (0.972, 5.5), (0.992, 10),
    (0.998, 20), (1, 30),
]  # fmt: skip
# K: seconds between changes of the best quotes of one market, changes within a millisecond being one, below and above
# the quantile FOLLOW; half of all moments change no best quote, hence the factor.
FOLLOW = 0.6
_THINNING = 0.6
BURST_SECONDS: Distribution = [
    (q / FOLLOW, seconds * _THINNING)
    for q, seconds in [
        (0, 0.001), (0.01, 0.008), (0.02, 0.014), (0.05, 0.023), (0.1, 0.033), (0.2, 0.076), (0.3, 0.127), (0.4, 0.253),
        (0.5, 0.587), (FOLLOW, 1.143),
    ]
]  # fmt: skip
CALM_SECONDS: Distribution = [
    ((q - FOLLOW) / (1 - FOLLOW), seconds * _THINNING)
    for q, seconds in [
        (FOLLOW, 1.143), (0.7, 2.211), (0.8, 4.752), (0.9, 16.25), (0.95, 37.5), (0.98, 112.7), (0.99, 231.5), (1, 300),
    ]
]  # fmt: skip
# R: updates of a market relative to the median market.
ACTIVITY: Distribution = [
    (0, 0.26), (0.05, 0.6), (0.3, 0.7), (0.5, 1), (0.7, 1.1), (0.8, 1.7), (0.9, 4.7), (0.95, 11.9), (0.98, 14),
    (0.99, 25.6), (0.995, 61), (0.999, 178), (1, 458),
]  # fmt: skip
# Activity by quarter of a market's life: even, front-loaded, mid-peak, back-loaded.
PROFILES = [(1.0, 1.0, 1.0, 1.0), (2.0, 1.0, 0.6, 0.4), (0.6, 1.6, 1.3, 0.5), (0.4, 0.6, 1.0, 2.0)]
TAKERS_LOSE = 0.011  # of stake, over 72 million trades


@dataclass(frozen=True)
class Regime:
    """Rates are per second and market; shares in `calibrated`, where the tables of waits set the pace."""

    noise: float  # sizes change, quotes stay
    flicker: float  # a quote moves, p stays
    news: float  # p moves
    trade: float  # taker orders
    width: tuple[float, float]  # w in ticks, drawn evenly per market
    start: tuple[float, float]  # first p, drawn evenly
    levels: Distribution  # contracts of a level
    strikes: int  # markets of an event
    hours: float  # life of a market
    news_cents: float  # scale of MOVE_CENTS; 0: one tick, on the lattice of prices
    signals: bool = False
    mixed_takers: bool = False  # a share of them is uninformed


REGIMES: dict[str, Regime] = {
    "null": Regime(
        noise=0.7, flicker=0.0, news=0.1, trade=0.03, width=(1.0, 6.0), start=(0.15, 0.85), levels=LEVEL_CONTRACTS,
        strikes=1, hours=0.5, news_cents=0.4,
    ),
    "planted": Regime(
        noise=0.9, flicker=0.0, news=0.06, trade=0.02, width=(2.0, 2.0), start=(0.35, 0.65),
        levels=[(0, 500), (1, 700)], strikes=1, hours=0.5, news_cents=0.0, signals=True,
    ),
    "planted-maker": Regime(
        noise=0.6, flicker=0.0, news=0.05, trade=0.35, width=(2.0, 2.0), start=(0.25, 0.75), levels=[(0, 20), (1, 80)],
        strikes=1, hours=0.5, news_cents=0.4, mixed_takers=True,
    ),
    "calibrated": Regime(
        noise=0.50, flicker=0.43, news=0.03, trade=0.04, width=(0.1, 0.6), start=(0.05, 0.95), levels=LEVEL_CONTRACTS,
        strikes=6, hours=2.0, news_cents=0.4, mixed_takers=True,
    ),
}  # fmt: skip
HOLD_RATE = 2.5  # size noise per second during a signal: several decisions fall into its 3 s
MIRROR_SHARE = 0.3  # of events of `calibrated` that are one market and its mirror image
BREADTH = (0.05, 0.3)  # odds that a flicker widens, by market
LARGEST_NEWS_PER_HOUR, LARGEST_TRADES_PER_HOUR = 40.0, 40.0
MIXED_GRIDS = [(0.8, "cent"), (0.92, "deci"), (1.0, "tapered")]  # cumulated shares; `finest` only by its own name
TICKS_PER_LEVEL = {"cent": 1, "deci": 3, "tapered": 1, "finest": 30}


def table_of(distribution: Distribution) -> NDArray[np.float64]:
    """Quantiles of a distribution, [TABLE_POINTS], log-linear between the given ones."""
    shares, values = np.array(distribution, np.float64).T
    at = np.linspace(0.0, 1.0, TABLE_POINTS)
    return np.asarray(np.exp(np.interp(at, shares, np.log(values))), np.float64)


def mean_of(distribution: Distribution) -> float:
    """Mean of a distribution, as `table_of` draws it."""
    table = table_of(distribution)
    return float((table[1:] + table[:-1]).mean() / 2)
