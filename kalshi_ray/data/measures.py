"""What each market of a pack was like: counts, times in each state, spread, depth, decision points by quarter.

One replay per view; selection and analysis read the same record. Times are receive times; a state counts from the row
that brought it to the next row. "Open" means: book known, market active, neither locked nor crossed.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import is_crossed
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind, Status, ViewPack
from kalshi_ray.core.units import CENT, DOLLAR
from kalshi_ray.data.replay import (
    BURST_NS,
    Replay,
    Tape,
    apply_row,
    decide_until,
    make_replay,
    note_change,
    start_view,
    tape_of,
)
from kalshi_ray.telemetry import Progress

REGIMES = (2, 5, 10, 20)  # cents: bounds between spread regimes
_BOUND_2, _BOUND_5, _BOUND_10, _BOUND_20 = (cents * CENT for cents in REGIMES)
QUARTERS, HOURS, PHASES = 4, 24, 10
HOUR_NS = 3_600_000_000_000
ACTIVE = int(Status.ACTIVE)
SNAPSHOT_END, DELTA, TRADE, GAP = int(Kind.SNAPSHOT_END), int(Kind.DELTA), int(Kind.TRADE), int(Kind.GAP)

# States of a quote. Only an open one can be traded on.
UNKNOWN, INACTIVE, CROSSED, OPEN = 0, 1, 2, 3

MEASURES = np.dtype(
    [
        ("updates", np.int64),
        ("snapshots", np.int64),
        ("deltas", np.int64),
        ("trades", np.int64),  # block and off-grid prints included
        ("off_book", np.int64),  # of which block or off-grid
        ("traded", np.int64),  # lots
        ("gaps", np.int64),
        ("damaged", np.int64),  # times a level would have gone below zero
        ("first_ns", np.int64),
        ("last_ns", np.int64),
        ("decisions", np.int64, QUARTERS),  # by quarter of the session's time
        ("event_decisions", np.int64, QUARTERS),  # by quarter of the time its event was recorded
        ("session_ns", np.int64),  # length of the session
        ("event_ns", np.int64),  # time its event was recorded
        ("seconds", np.float64, 4),  # by state: unknown, inactive, crossed, open
        ("two_sided_s", np.float64),  # of the open time
        ("bid_only_s", np.float64),
        ("ask_only_s", np.float64),
        ("spread_sum", np.float64),  # pips x seconds, over two-sided time
        ("mid_sum", np.float64),
        ("regime_s", np.float64, len(REGIMES) + 1),  # two-sided seconds by spread regime
        ("mid_low", np.int32),  # half pips: bid + ask, over two-sided time
        ("mid_high", np.int32),
        ("touch_sum", np.float64),  # lots x seconds: mean of both sides at the best prices, two-sided time
        ("depth_sum", np.float64),  # lots x seconds: all levels of both sides, open time
        ("quote_changes", np.int64),  # changes of a best price
        ("end_state", np.int32),
        ("end_bid", np.int32),  # pips, 0 missing
        ("end_ask", np.int32),  # pips, one dollar missing
    ],
    align=True,
)

# One row per change of the best prices or the state; the last one closes the view. Rows of one change on the exchange
# arrive one by one, and nobody decides inside a burst: a row tells how the book stood 5 ms after the first of them.
PATH = np.dtype(
    [
        ("recv_ns", np.int64),
        ("bid", np.int32),  # pips, 0 missing
        ("ask", np.int32),  # pips, one dollar missing
        ("taker_ppm", np.int32),
        ("maker_ppm", np.int32),
        ("state", np.int8),
    ]
)

# Public prints that moved the book.
PRINT = np.dtype([("recv_ns", np.int64), ("size", np.int64), ("price", np.int32), ("taker", np.int8)])

ACTIVITY = np.dtype([("updates", np.int64), ("trades", np.int64), ("quotes", np.int64), ("decisions", np.int64)])


class Survey(NamedTuple):
    """Where `measure_view` writes besides the measures. `used` counts rows of `path` and `prints`."""

    hours: NDArray[np.void]  # [HOURS] ACTIVITY by hour of the day, UTC
    phases: NDArray[np.void]  # [PHASES] ACTIVITY by tenth of the session's time
    path: NDArray[np.void]  # [P] PATH
    prints: NDArray[np.void]  # [Q] PRINT
    used: NDArray[np.int64]  # [2]


def make_survey(path_rows: int, print_rows: int) -> Survey:
    """Room for a survey; with no rows asked for, paths and prints are not written."""
    hours, phases = np.zeros(HOURS, ACTIVITY), np.zeros(PHASES, ACTIVITY)
    path, prints = np.empty(path_rows, PATH), np.empty(print_rows, PRINT)
    return Survey(as_rows(hours), as_rows(phases), as_rows(path), as_rows(prints), np.zeros(2, np.int64))


@kernel
def _regime(spread):
    if spread < _BOUND_2:
        return 0
    if spread < _BOUND_5:
        return 1
    if spread < _BOUND_10:
        return 2
    return 3 if spread < _BOUND_20 else 4


@kernel
def _hold(measure, state, bid, ask, touch, depth, seconds):
    """Count the time for which a quote stood."""
    measure.seconds[state] += seconds
    if state != OPEN:
        return
    measure.depth_sum += depth * seconds
    if bid > 0 and ask < DOLLAR:
        measure.two_sided_s += seconds
        measure.spread_sum += (ask - bid) * seconds
        measure.mid_sum += 0.5 * (bid + ask) * seconds
        measure.regime_s[_regime(ask - bid)] += seconds
        measure.touch_sum += touch * seconds
        measure.mid_low = min(measure.mid_low, bid + ask)
        measure.mid_high = max(measure.mid_high, bid + ask)
    elif bid > 0:
        measure.bid_only_s += seconds
    elif ask < DOLLAR:
        measure.ask_only_s += seconds


@kernel
def quote_state(book, state):
    """Which of the states a quote is in."""
    if not book.known:
        return UNKNOWN
    if state.status != ACTIVE or state.settled:
        return INACTIVE
    return CROSSED if is_crossed(book) else OPEN


@kernel
def _count_kind(measure, hour, phase, update):
    """Count a row by its kind, and in its hour and its tenth."""
    hour.updates += 1
    phase.updates += 1
    measure.updates += 1
    kind = update.kind
    measure.deltas += kind == DELTA
    measure.snapshots += kind == SNAPSHOT_END
    measure.gaps += kind == GAP
    if kind == TRADE:
        measure.trades += 1
        measure.traded += update.size
        measure.off_book += (update.flags & OFF_BOOK) != 0
        hour.trades += 1
        phase.trades += 1


@kernel
def _write_print(prints, at, update, price):
    """Write one print; return one past it."""
    found = prints[at]
    found.recv_ns = update.recv_ns
    found.size = update.size
    found.price = price
    found.taker = 0 if update.flags & TAKER_BOUGHT else (1 if update.flags & TAKER_SOLD else -1)
    return at + 1


@kernel
def _write_quote(path, first, at, now, bid, ask, state, quote):
    """Write one row of a path that starts at `first`, over the last one where that began less than a burst ago."""
    if at > first and now - path[at - 1].recv_ns < BURST_NS:
        at -= 1
    else:
        path[at].recv_ns = now
    row = path[at]
    row.bid = bid
    row.ask = ask
    row.state = quote
    row.taker_ppm = state.taker_ppm
    row.maker_ppm = state.maker_ppm
    return at + 1


@kernel
def _tenth(spans, now):
    """The tenth of the session's time that a time lies in."""
    return min(PHASES - 1, (now - spans.start_ns) * PHASES // spans.session_ns)


@kernel
def _count_decision(measure, survey, spans, number, due):
    """Count a decision in its quarters, its hour and its tenth."""
    event_start, event_ns = spans.event_start[number], spans.event_ns[number]
    measure.decisions[min(QUARTERS - 1, (due - spans.start_ns) * QUARTERS // spans.session_ns)] += 1
    measure.event_decisions[min(QUARTERS - 1, (due - event_start) * QUARTERS // event_ns)] += 1
    survey.hours[due // HOUR_NS % HOURS].decisions += 1
    survey.phases[_tenth(spans, due)].decisions += 1


@kernel
def _best_prices(book, prices):
    """Best bid and ask of a known book in pips: 0 and one dollar where they are missing."""
    bid = int(prices[book.best[0]]) if book.best[0] >= 0 else 0
    ask = int(prices[book.best[1]]) if book.best[1] < book.levels else DOLLAR
    return bid, ask


@kernel
def _touch_of(book, bid, ask):
    """Mean lots of both sides at the best prices; a missing side counts as none."""
    touch = book.recorded[0, book.best[0]] * 0.5 if bid > 0 else 0.0
    if ask < DOLLAR:
        touch += book.recorded[1, book.best[1]] * 0.5
    return touch


@kernel
def _begin(measure, spans, number, first_ns):
    """What is known of a view before its first row."""
    measure.mid_low = 2 * DOLLAR
    measure.first_ns = first_ns
    measure.session_ns = spans.session_ns
    measure.event_ns = spans.event_ns[number]


@kernel
def _end(measure, book, last_ns, quote, bid, ask):
    """How a view ended."""
    measure.last_ns = last_ns
    measure.end_state = quote
    measure.end_bid = bid
    measure.end_ask = ask
    measure.damaged = book.damaged


@kernel
def measure_view(tape, replay, number, spans, measure, survey):
    """Replay one view and write its measures; quarters and phases are those of `spans`.

    Path and prints are appended where the survey has room for any; activity is added up.
    """
    updates, values, book, state = tape.updates, tape.values, replay.book[0], replay.state[0]
    hours, phases, path, prints = survey.hours, survey.phases, survey.path, survey.prints
    first, written, printed = survey.used[0], survey.used[0], survey.used[1]
    view = tape.views[number]
    prices = tape.axes[view.axis]
    start_view(book, state, tape.axes, view)
    before = updates[view.start].recv_ns
    _begin(measure, spans, number, before)
    quote, bid, ask, touch, depth = UNKNOWN, 0, DOLLAR, 0.0, 0
    for at in range(view.start, view.stop):
        update = updates[at]
        now = update.recv_ns
        due = decide_until(book, state, now)
        if due:
            _count_decision(measure, survey, spans, number, due)
        if now > before:
            _hold(measure, quote, bid, ask, touch, depth, (now - before) * 1e-9)
            before = now
        hour, phase = hours[now // HOUR_NS % HOURS], phases[_tenth(spans, now)]
        _count_kind(measure, hour, phase, update)
        if update.kind == TRADE and len(prints) and not update.flags & OFF_BOOK:
            printed = _write_print(prints, printed, update, prices[update.tick])
        fees = state.taker_ppm
        if apply_row(book, state, update, values):
            note_change(state, now)
        best_bid, best_ask, standing = bid, ask, quote_state(book, state)
        if standing != UNKNOWN:
            best_bid, best_ask = _best_prices(book, prices)
            touch, depth = _touch_of(book, best_bid, best_ask), book.total[0] + book.total[1]
        moved = best_bid != bid or best_ask != ask
        if moved:
            measure.quote_changes += 1
            hour.quotes += 1
            phase.quotes += 1
        if len(path) and (moved or standing != quote or fees != state.taker_ppm):
            written = _write_quote(path, first, written, now, best_bid, best_ask, state, standing)
        quote, bid, ask = standing, best_bid, best_ask
    due = decide_until(book, state, before + 1)
    if due:
        _count_decision(measure, survey, spans, number, due)
    _end(measure, book, before, quote, bid, ask)
    if len(path):
        written = _write_quote(path, first, written, before, bid, ask, state, UNKNOWN)
    survey.used[0], survey.used[1] = written, printed


class Spans(NamedTuple):
    """When the session and the event of each view were recorded; lengths are at least one nanosecond."""

    start_ns: int
    session_ns: int
    event_start: NDArray[np.int64]  # [V] first receive time of the view's event
    event_ns: NDArray[np.int64]  # [V]


def spans_of(pack: ViewPack) -> Spans:
    """From the first to the last row of the pack, and of each event."""
    received, event = pack.updates["recv_ns"], pack.views["event"]
    first, last = received[pack.views["start"]], received[pack.views["stop"] - 1]
    start = np.full(len(pack.events), np.iinfo(np.int64).max)
    stop = np.zeros(len(pack.events), np.int64)
    np.minimum.at(start, event, first)
    np.maximum.at(stop, event, last)
    length = max(1, int(last.max()) - int(first.min()))
    return Spans(int(first.min()), length, start[event], np.maximum(1, stop - start)[event])


def measure_pack(pack: ViewPack, progress: Progress | None = None) -> NDArray[np.void]:
    """MEASURES of every view, [V]."""
    found = np.zeros(len(pack.views), MEASURES)
    rows, tape, room = as_rows(found), tape_of(pack), make_replay(pack.max_levels)
    survey = make_survey(0, 0)
    spans = spans_of(pack)
    for view in range(len(found)):
        if progress is not None and view % 64 == 0:
            progress("measure markets", view, len(found))
        measure_one(tape, room, view, spans, rows[view], survey)
    return found


def measure_one(tape: Tape, room: Replay, view: int, spans: Spans, measure: np.void, survey: Survey) -> tuple[int, int]:
    """Measure one view; return the first row of its path and of its prints in the survey."""
    first = int(survey.used[0]), int(survey.used[1])
    measure_view(tape, room, view, spans, measure, survey)
    return first
