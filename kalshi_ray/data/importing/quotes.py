"""Best quotes to books of one level a side: the first quote of a market is a snapshot, later ones are changes.

A change removes the level that was best and adds the one that is, removals first, so that no row in between crosses
a book which does not. (A snapshot at every quote would be larger, and would make a size that was taken at an
unchanged price reappear whenever the other side moves.)
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import CONTRACT, DOLLAR, SECOND, Side
from kalshi_ray.data.importing.market_table import Names, event_codes
from kalshi_ray.data.importing.options import ImportOptions, QuoteFiles
from kalshi_ray.data.importing.rows import Recording, blank_rows
from kalshi_ray.data.importing.tables import codes_of, prices_of, read_files, refusal, sizes_of
from kalshi_ray.data.importing.times import times_of

_SLOTS = 8  # places that the rows of one quote may take in the order of the tape; the last is for a gap after it


class Quotes(NamedTuple):
    """Quotes in order of time, [N]. Prices in pips, 0 none; sizes in lots."""

    market: NDArray[np.int32]
    time: NDArray[np.int64]
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]
    bid_size: NDArray[np.int64]
    ask_size: NDArray[np.int64]


def import_quotes(source: QuoteFiles, options: ImportOptions, names: Names) -> Recording:
    """The books that a log of best quotes implies."""
    quotes, tickers, backwards = _read(source, options)
    event = event_codes(names, tickers)[quotes.market]
    rows, silences = book_rows(quotes, event, round(options.gap_threshold_s * SECOND))
    has_sizes = bool(source.bid_size)
    counts = Counter({"quotes": len(quotes.time), "gaps: silence": silences, "quotes out of order": backwards})
    unknowns = [
        "depth beyond the best quotes",
        "exchange times, sequence numbers",
        f"whether silence of an event for more than {options.gap_threshold_s:g} s was the market's or the recorder's",
    ]
    if not has_sizes:
        unknowns.append(f"sizes: {options.assumed_size} contracts assumed at every quote")
    if source.time_zone:
        unknowns.append(f"zone of the clock: {source.time_zone} as told")
    return Recording(
        rows=rows,
        tickers=tickers,
        clock=f"time column {source.time!r} of the quotes, taken as receive time",
        counts=+counts,
        unknowns=unknowns,
        depth="best",
        sizes="observed" if has_sizes else "assumed",
        assumed_size=0 if has_sizes else options.assumed_size * CONTRACT,
    )


def book_rows(quotes: Quotes, event: NDArray[np.int64], threshold: int) -> tuple[NDArray[Any], int]:
    """Rows of updates and the number of silences. `event` is that of each quote, `threshold` in ns, 0 never."""
    epoch, last_before = _silences(event, quotes.time, threshold)
    before = _previous(quotes.market)
    is_first = (before < 0) | (epoch != epoch[before])
    parts, order = [], []

    def emit(where: NDArray[np.bool_], slot: int, kind: Kind, side: Side, price: Any, size: Any) -> None:
        at = np.flatnonzero(where)
        rows = blank_rows(len(at), kind)
        rows["market"], rows["recv_ns"], rows["side"] = quotes.market[at], quotes.time[at], side
        rows["price"], rows["size"] = price[at], size[at]
        parts.append(rows)
        order.append(at * _SLOTS + slot)

    for side, price, size in ((Side.BID, quotes.bid, quotes.bid_size), (Side.ASK, quotes.ask, quotes.ask_size)):
        was_price, was_size = price[before], size[before]
        moved, here = was_price != price, price > 0
        emit(~is_first & moved & (was_price > 0), side, Kind.DELTA, side, was_price, -was_size)
        emit(~is_first & moved & here, 2 + side, Kind.DELTA, side, price, size)
        emit(~is_first & ~moved & here & (size != was_size), 2 + side, Kind.DELTA, side, price, size - was_size)
        emit(is_first & here, 4 + side, Kind.SNAPSHOT_LEVEL, side, price, size)
    nothing = np.zeros(len(quotes.time), np.int64)
    emit(is_first, 6, Kind.SNAPSHOT_END, Side.NONE, nothing, nothing)
    for rows, at in _gap_rows(quotes, event, last_before):
        parts.append(rows)
        order.append(at)
    sequence = np.argsort(np.concatenate(order), kind="stable")
    return np.concatenate(parts)[sequence], len(last_before)


def _read(source: QuoteFiles, options: ImportOptions) -> tuple[Quotes, list[str], int]:
    """Quotes of all files in order of time, their tickers, and how many stood before an earlier one of their market."""
    ask_column = source.ask or source.no_bid
    sizes = [source.bid_size, source.ask_size] if source.bid_size else []
    table = read_files(source.paths, [source.ticker, source.time, source.bid, ask_column, *sizes])
    market, tickers = codes_of(table, source.ticker)
    time = times_of(table, source.time, source.time_unit, source.time_zone, form="quotes")
    bid = prices_of(table, source.bid, source.unit)
    ask = prices_of(table, ask_column, source.unit)
    _refuse_where(bid < 0, table, source.bid, "a price of 0 or more")
    _refuse_where(ask < 0, table, ask_column, "a price of 0 or more")
    wrong_unit = f"Check the unit of the prices: quotes.unit is {source.unit}"
    _refuse_where(bid >= DOLLAR, table, source.bid, "a bid below one dollar", wrong_unit)
    if source.no_bid:
        _refuse_where(ask >= DOLLAR, table, ask_column, "a bid below one dollar", wrong_unit)
        ask = np.where(ask > 0, DOLLAR - ask, 0)
    else:
        ask = np.where(ask < DOLLAR, ask, 0)
    if sizes:
        bid_size, ask_size = (sizes_of(table, column) for column in sizes)
        for price, size, column in ((bid, bid_size, source.bid_size), (ask, ask_size, source.ask_size)):
            _refuse_where((price > 0) & (size <= 0), table, column, "a size above 0 where there is a quote")
    else:
        bid_size = ask_size = np.full(len(time), options.assumed_size * CONTRACT, np.int64)
    quotes = Quotes(market, time, bid, ask, bid_size, ask_size)
    before = _previous(market)
    backwards = int(((before >= 0) & (time < time[before])).sum())
    order = np.argsort(time, kind="stable")
    return Quotes._make(column[order] for column in quotes), tickers, backwards


def _refuse_where(wrong: NDArray[np.bool_], table: pa.Table, column: str, expected: str, remedy: str = "") -> None:
    if wrong.any():
        raise refusal(table, column, int(np.flatnonzero(wrong)[0]), expected, remedy=remedy)


def _previous(group: NDArray[Any]) -> NDArray[np.int64]:
    """For each row the row before it of the same group, -1 if it is the first; [N]."""
    order = np.argsort(group, kind="stable")
    before = np.full(len(group), -1, np.int64)
    same = group[order[1:]] == group[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return before


def _silences(
    event: NDArray[np.int64], time: NDArray[np.int64], threshold: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many silences of its event lie before each quote, [N], and the last quote before each silence."""
    before = _previous(event)
    if not threshold:
        return np.zeros(len(time), np.int64), np.zeros(0, np.int64)
    silent = (before >= 0) & (time - time[before] > threshold)
    order = np.argsort(event, kind="stable")
    epoch = np.empty(len(time), np.int64)
    epoch[order] = np.cumsum(silent[order])
    return epoch, np.sort(before[silent])


def _gap_rows(
    quotes: Quotes, event: NDArray[np.int64], last_before: NDArray[np.int64]
) -> list[tuple[NDArray[Any], NDArray[np.int64]]]:
    """A gap for every market of the event seen so far, at the last quote before the silence; with their order.

    The book is unknown from the last that was heard, not only after the threshold.
    """
    first_seen = np.full(int(quotes.market.max()) + 1, -1, np.int64)
    markets, first = np.unique(quotes.market, return_index=True)
    first_seen[markets] = first
    by_event: dict[int, NDArray[np.int32]] = {}
    found = []
    for last in last_before.tolist():
        key = int(event[last])
        if key not in by_event:
            by_event[key] = np.unique(quotes.market[event == key])
        seen = by_event[key][first_seen[by_event[key]] <= last]
        rows = blank_rows(len(seen), Kind.GAP)
        rows["market"], rows["recv_ns"], rows["size"] = seen, quotes.time[last], GapCause.SILENCE
        found.append((rows, np.full(len(seen), last * _SLOTS + _SLOTS - 1, np.int64)))
    return found
