"""Observations: one table of named features, and layouts that choose from it.

A feature is written once, in `FEATURES` (name, unit, formula, range) and in `measure`, which the live trader and the
environment both call. A layout is an ordered choice of names; its fingerprint covers names, formulas and ranges.

A missing bid counts as 0 and a missing ask as one dollar, with a flag. Nothing here reads what was not public, nor our
own orders outside the order block.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import UnknownName


@dataclass(frozen=True)
class Feature:
    """One column: what it is, how it is computed, and the range it is clipped to."""

    name: str
    unit: str
    formula: str
    low: float = 0.0
    high: float = 1.0


MARKET = (
    Feature("yes_bid", "$", "best bid; 0 if missing"),
    Feature("yes_ask", "$", "best ask; 1 if missing"),
    Feature("no_bid", "$", "1 - yes_ask"),
    Feature("no_ask", "$", "1 - yes_bid"),
    Feature("spread", "$", "yes_ask - yes_bid"),
    Feature("bid_missing", "flag", "1 where no bid stands"),
    Feature("yes_mid", "$", "(yes_bid + yes_ask) / 2"),
    Feature("no_mid", "$", "1 - yes_mid"),
    Feature("ask_missing", "flag", "1 where no ask stands"),
    Feature("spread_trend", "$", "spread less its mean over the last decisions", -1.0, 1.0),
    Feature("yes_spread_share", "share", "spread / yes_mid", 0.0, 2.0),
    Feature("no_spread_share", "share", "spread / no_mid", 0.0, 2.0),
    Feature("spread_regime", "class", "spread < 2c 0, < 5c .25, < 10c .5, < 20c .75, else 1"),
    Feature("taker_fee", "$ per contract x 50", "taker rate x yes_mid x no_mid x 50"),
    Feature("break_even", "$", "price move that pays a round trip: spread and taker fee both ways"),
    Feature("maker_break_even", "$", "maker fee both ways less the spread", -1.0, 1.0),
    Feature("bid_liquidity", "score", "log10(1 + contracts at the bid) / (5 (1 + spread in dimes))", 0.0, 2.0),
    Feature("ask_liquidity", "score", "log10(1 + contracts at the ask) / (5 (1 + spread in dimes))", 0.0, 2.0),
    Feature("total_volume", "log share", "log10(1 + contracts shown on both sides) / 7"),
    Feature("volume_imbalance", "share", "(bid contracts - ask contracts) / both, all levels", -1.0, 1.0),
    Feature("touch_imbalance", "share", "(bid size - ask size) / both, at the best prices", -1.0, 1.0),
    Feature("near_imbalance", "share", "the same over the five best levels of each side", -1.0, 1.0),
    Feature("bid_depth", "levels / 50", "bid levels shown", 0.0, 2.0),
    Feature("ask_depth", "levels / 50", "ask levels shown", 0.0, 2.0),
    Feature("bid_concentration", "share", "the three biggest bid levels over all; .5 if there is none"),
    Feature("ask_concentration", "share", "the three biggest ask levels over all; .5 if there is none"),
    Feature("bid_gap", "$ x 10", "best bid less the next one; 0 if there is none"),
    Feature("ask_gap", "$ x 10", "next ask less the best one; 0 if there is none"),
)

TEMPORAL = (
    Feature("gap", "300 s", "time since the previous decision"),
    Feature("time_of_day", "day", "seconds since midnight UTC / 86,400"),
    Feature("activity", "score", "tanh(updates since the previous decision / 20)"),
    Feature("activity_change", "score", "activity less the previous one", -1.0, 1.0),
    Feature("update_frequency", "4 per s", "decisions per second over the last five"),
    Feature("burst", "flag", "updates above mean + 1.5 sigma of the last ten decisions"),
    Feature("activity_trend", "score", "tanh(slope of activity over the last five decisions x 10)", -1.0, 1.0),
    Feature("momentum", "score", "tanh(20 x change of the mid in $ over the last five decisions)", -1.0, 1.0),
    Feature("volatility", "5c", "sigma of the absolute mid changes over the last five decisions"),
    Feature("stability", "5c", "1 - mean absolute mid change over the last three decisions"),
)

TEMPORAL_MORE = (
    Feature("weekday", "6 days", "Monday 0 to Sunday 1, UTC"),
    Feature("quiet", "flag", "updates below mean - 1 sigma of the last ten decisions"),
    Feature("activity_consistency", "score", "1 - sigma of activity over the last five decisions / .3"),
    Feature("activity_persistence", "share", "last decisions in a row whose activity moved by at most .1, of ten"),
)

PORTFOLIO = (
    Feature("cash_ratio", "bankroll", "cash / bankroll", 0.0, 4.0),
    Feature("position_ratio", "share", "value of the position / equity"),
    Feature("holding", "flag", "1 while a position is open"),
    Feature("average_cost", "$", "paid per contract of the open position; 0 if flat"),
    Feature("long_ratio", "limit", "YES contracts / position limit"),
    Feature("short_ratio", "limit", "NO contracts / position limit"),
    Feature("holding_time", "hour", "time since the position was opened"),
    Feature("exposure", "bankroll", "cost of the position and collateral of working orders / bankroll", 0.0, 4.0),
    Feature("drawdown", "bankroll", "fall of equity from its peak / bankroll", 0.0, 4.0),
    Feature("unrealized", "bankroll", "value of the position less its cost / bankroll", -4.0, 4.0),
    Feature("realized", "bankroll", "booked by closing, less fees / bankroll", -4.0, 4.0),
)

PORTFOLIO_MORE = (Feature("budget", "share", "commands that may be sent now / burst"),)

ORDER = (
    Feature("open_buy", "flag", "1 while an order of ours works or is on its way on the bid side"),
    Feature("open_sell", "flag", "the same on the ask side"),
    Feature("buy_distance", "$", "mid less the price of our bid; 0 without one", -1.0, 1.0),
    Feature("sell_distance", "$", "price of our ask less the mid; 0 without one", -1.0, 1.0),
    Feature("since_order", "300 s", "time since our last command; 1 before the first"),
)

EXTENDED = (
    Feature("bid_size", "log share", "log10(1 + contracts at the best bid) / 6"),
    Feature("ask_size", "log share", "log10(1 + contracts at the best ask) / 6"),
    Feature("microprice", "$", "prices weighted by the size on the other side, less the mid", -1.0, 1.0),
    Feature("bid_queue", "share", "what we believe stands ahead of our bid / size of its level"),
    Feature("ask_queue", "share", "what we believe stands ahead of our ask / size of its level"),
    Feature("fill_rate", "share", "orders filled at least in part / orders sent; 0 before the first"),
    Feature("progress", "share", "time since the market opened / time from opening to scheduled close; 0 unknown"),
    Feature("time_to_close", "log share", "log10(1 + seconds to the scheduled close) / 7; 1 unknown"),
    Feature("sibling_bids", "$", "sum of the best bids of the event's other markets", 0.0, 4.0),
    Feature("sibling_asks", "$", "sum of the best asks of the event's other markets", 0.0, 40.0),
    Feature("sibling_bid_move", "$", "last change of a best bid among them", -1.0, 1.0),
    Feature("sibling_ask_move", "$", "last change of a best ask among them", -1.0, 1.0),
    Feature("signal_0", "value", "last external value 0", -10.0, 10.0),
    Feature("signal_1", "value", "last external value 1", -10.0, 10.0),
    Feature("signal_2", "value", "last external value 2", -10.0, 10.0),
    Feature("signal_3", "value", "last external value 3", -10.0, 10.0),
)

FEATURES: tuple[Feature, ...] = (
    *MARKET,
    *TEMPORAL,
    *TEMPORAL_MORE,
    *PORTFOLIO,
    *PORTFOLIO_MORE,
    *ORDER,
    *EXTENDED,
)
FEATURE_INDEX = {feature.name: index for index, feature in enumerate(FEATURES)}

# All features of one row by name; float32, in the order of FEATURES.
FACTS = np.dtype([(feature.name, np.float32) for feature in FEATURES])

# obs52 leaves out what the 21 market features of the documents did not have.
_NOT_IN_52 = {"spread_trend", "taker_fee", "break_even", "maker_break_even", "bid_gap", "ask_gap", "spread_regime"}


@dataclass(frozen=True)
class ObservationSpec:
    """One layout: F feature names in order."""

    name: str
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """F, the number of features."""
        return len(self.names)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The rows of the table, in the order of the layout."""
        return tuple(FEATURES[FEATURE_INDEX[name]] for name in self.names)

    @property
    def index(self) -> NDArray[np.int32]:
        """Where each feature stands in FACTS; [F]."""
        return np.array([FEATURE_INDEX[name] for name in self.names], np.int32)

    @property
    def low(self) -> NDArray[np.float32]:
        """Lower bounds, [F]."""
        return np.array([feature.low for feature in self.features], np.float32)

    @property
    def high(self) -> NDArray[np.float32]:
        """Upper bounds, [F]."""
        return np.array([feature.high for feature in self.features], np.float32)

    @property
    def fingerprint(self) -> str:
        """Hash of names, units, formulas and ranges: what a bundle stores and a loader compares."""
        meaning = [[f.name, f.unit, f.formula, f.low, f.high] for f in self.features]
        return hashlib.sha256(json.dumps(["observation", 1, meaning]).encode()).hexdigest()[:16]


def _names(*blocks: tuple[Feature, ...]) -> tuple[str, ...]:
    return tuple(feature.name for block in blocks for feature in block)


OBSERVATIONS: dict[str, ObservationSpec] = {
    spec.name: spec
    for spec in (
        ObservationSpec("obs54", _names(MARKET, TEMPORAL, PORTFOLIO, ORDER)),
        ObservationSpec(
            "obs52",
            _names(tuple(f for f in MARKET if f.name not in _NOT_IN_52), TEMPORAL, TEMPORAL_MORE)
            + _names(PORTFOLIO, PORTFOLIO_MORE, ORDER),
        ),
        ObservationSpec("obs-x", _names(MARKET, TEMPORAL, TEMPORAL_MORE, PORTFOLIO, PORTFOLIO_MORE, ORDER, EXTENDED)),
    )
}


def observation(name: str) -> ObservationSpec:
    """The observation layout of that name."""
    if name not in OBSERVATIONS:
        raise UnknownName("observation layout", name, list(OBSERVATIONS))
    return OBSERVATIONS[name]
