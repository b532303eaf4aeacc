"""Counts of decisions by what the market and the position were like, gathered while a policy is played.

    states   [PRICES, SPREADS, IMBALANCES, POSITIONS, INTENTS]   which intent at which state
    moments  [PHASES, ENDS, PACES, INTENTS]                      and when in the life of the market

Phase and pace are told by hindsight: they describe the data and are shown to no policy.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import ActionSpec, Intent
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import CENT, DOLLAR, SECOND
from kalshi_ray.env.samplers import DONE

PRICES = tuple(f"{low}-{low + 10}¢" for low in range(0, 100, 10))  # of the mid
SPREADS = ("below 1¢", "1-2¢", "2-5¢", "5-10¢", "from 10¢", "one-sided")
IMBALANCES = ("ask heavy", "more ask", "even", "more bid", "bid heavy")  # fifths of [-1, 1]
POSITIONS = ("short", "flat", "long")
INTENTS = ("none", "buys", "sells", "both")  # on the YES axis
PHASES = ("first quarter", "second quarter", "third quarter", "last quarter")
ENDS = ("before", "last 5 minutes")
PACES = ("quiet", "burst")

SPREAD_BOUNDS = np.array([1, 2, 5, 10]) * CENT
LAST_NS = 300 * SECOND
CELL_NS = 10 * SECOND
BURST_UPDATES = 5  # in a cell, at least
BURST_FACTOR = 3.0  # times the market's own mean

_BOUND_1, _BOUND_2, _BOUND_5, _BOUND_10 = (int(bound) for bound in SPREAD_BOUNDS)
_ONE_SIDED = len(SPREADS) - 1

LIFE = np.dtype([("first_ns", np.int64), ("last_ns", np.int64), ("cells", np.int64)])


@dataclass(frozen=True)
class Lives:
    """When N markets were judged, and in which of their ten-second cells they were in a burst."""

    spans: NDArray[np.void]  # [N] LIFE; `cells`: where the market's cells begin
    pace: NDArray[np.uint8]  # [C] 1: at least 5 updates, and 3 times the mean of the market's cells


def lives_of(pack: ViewPack, views: NDArray[np.int32], starts: NDArray[np.int64]) -> Lives:
    """Spans and bursts of `views` [N], each from row `starts` [N] of the tape on; -1: from its own first row."""
    spans, pace, cells = np.zeros(len(views), LIFE), [np.zeros(0, np.uint8)], 0
    for at, view in enumerate(views):
        record = pack.views[view]
        begin = max(int(starts[at]), int(record["start"]))
        rows = pack.updates[begin : record["stop"]]
        first, last = int(rows["recv_ns"][0]), int(rows["recv_ns"][-1])
        changes = rows["recv_ns"][rows["kind"] <= Kind.DELTA]
        counts = np.bincount((changes - first) // CELL_NS, minlength=(last - first) // CELL_NS + 1)
        spans[at] = (first, last, cells)
        pace.append((counts >= np.maximum(BURST_UPDATES, BURST_FACTOR * counts.mean())).astype(np.uint8))
        cells += len(counts)
    return Lives(spans, np.concatenate(pace))


def phase_of(lives: Lives, market: NDArray[np.int64], ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Quarter of its market's judged life in which each moment lies."""
    span = lives.spans[market]
    length = np.maximum(span["last_ns"] - span["first_ns"], 1)
    return np.asarray(np.clip((ns - span["first_ns"]) * len(PHASES) // length, 0, len(PHASES) - 1), np.int64)


def end_of(lives: Lives, market: NDArray[np.int64], ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 where a moment lies in the last five minutes of its market's judged life."""
    return np.asarray(ns >= lives.spans["last_ns"][market] - LAST_NS, np.int64)


def pace_of(lives: Lives, market: NDArray[np.int64], ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 where a moment lies in a burst."""
    span = lives.spans[market]
    inside = np.clip(ns, span["first_ns"], span["last_ns"])
    return np.asarray(lives.pace[span["cells"] + (inside - span["first_ns"]) // CELL_NS], np.int64)


def spread_of(spread: NDArray[np.int32]) -> NDArray[np.int64]:
    """Regime of each spread in pips; below zero: one-sided."""
    regime = np.searchsorted(SPREAD_BOUNDS, spread, side="right")
    return np.where(spread < 0, _ONE_SIDED, regime).astype(np.int64)


def intents_of(spec: ActionSpec) -> NDArray[np.int64]:
    """What each action id wants on the YES axis, [A] numbers of INTENTS."""
    found = np.zeros(spec.size, np.int64)
    found[np.isin(spec.table["intent"], (Intent.BUY_YES, Intent.SELL_NO))] = 1
    found[np.isin(spec.table["intent"], (Intent.SELL_YES, Intent.BUY_NO))] = 2
    return found


def quoted(quotes: NDArray[np.void]) -> NDArray[np.int64]:
    """Which sides each quote wants, [B] numbers of INTENTS."""
    return (quotes["bid_size"] > 0).astype(np.int64) + 2 * (quotes["ask_size"] > 0)


def empty_states() -> NDArray[np.int64]:
    """No decision counted yet, by state."""
    return np.zeros((len(PRICES), len(SPREADS), len(IMBALANCES), len(POSITIONS), len(INTENTS)), np.int64)


def empty_moments() -> NDArray[np.int64]:
    """No decision counted yet, by moment."""
    return np.zeros((len(PHASES), len(ENDS), len(PACES), len(INTENTS)), np.int64)


class Tally:
    """The decisions of a policy in N markets so far."""

    def __init__(self, lives: Lives, intents: NDArray[np.int64]) -> None:
        """`intents` [A] says which of INTENTS each answer is."""
        self.states, self.moments = empty_states(), empty_moments()
        self._lives, self._intents = lives, intents

    def count(self, rows: NDArray[np.void], current: NDArray[np.int64], answers: NDArray[np.int64]) -> None:
        """Count `answers` [B] of rows which play the markets `current` [B], before the rows move on."""
        lives = self._lives
        count_decisions(rows, current, answers, self._intents, lives.spans, lives.pace, self.states, self.moments)


@kernel
def count_decisions(rows, current, answers, intents, spans, pace, states, moments):
    """Count the decision that each row with a market takes now, by its state and by its moment."""
    for row in range(rows.shape[0]):
        market = current[row]
        if market == DONE:
            continue
        trader = rows[row]
        price = min(9, (trader.mark_bid + trader.mark_ask) * 10 // (2 * DOLLAR))
        position = 1
        if trader.account.position > 0:
            position = 2
        elif trader.account.position < 0:
            position = 0
        intent = intents[answers[row]]
        states[price, _spread_at(trader), _imbalance_at(trader), position, intent] += 1
        span = spans[market]
        now = min(max(trader.now_ns, span.first_ns), span.last_ns)
        phase = min(3, (now - span.first_ns) * 4 // max(1, span.last_ns - span.first_ns))
        end = 1 if now >= span.last_ns - LAST_NS else 0
        moments[phase, end, pace[span.cells + (now - span.first_ns) // CELL_NS], intent] += 1


@kernel
def _spread_at(trader):
    if trader.best_bid < 0 or trader.best_ask < 0:
        return _ONE_SIDED
    spread = trader.best_ask - trader.best_bid
    if spread < _BOUND_1:
        return 0
    if spread < _BOUND_2:
        return 1
    if spread < _BOUND_5:
        return 2
    return 3 if spread < _BOUND_10 else 4


@kernel
def _imbalance_at(trader):
    whole = trader.bid_size + trader.ask_size
    if whole <= 0:
        return 2
    return min(4, 5 * trader.bid_size // whole)
