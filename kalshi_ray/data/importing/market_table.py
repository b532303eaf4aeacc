"""The market table of an import: from lists, from the stream, from options, and what remains unknown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.importing.market_lists import MarketLists
from kalshi_ray.data.importing.options import GRIDS, INFER, ImportOptions
from kalshi_ray.data.importing.rows import Recording, counted
from kalshi_ray.data.recording import KnownMarket
from kalshi_ray.data.schema import MARKETS
from kalshi_ray.errors import DataError
from kalshi_ray.wire.messages import Ranges


class Names:
    """Events and series of tickers: as listed, else by the patterns of the options."""

    def __init__(self, lists: MarketLists, options: ImportOptions) -> None:
        self._lists = lists
        self._event_pattern = re.compile(options.event_pattern)
        self._series_pattern = re.compile(options.series_pattern)
        self.derived: set[str] = set()  # tickers whose event or series is only a guess by pattern

    def event(self, ticker: str, said: str = "") -> str:
        """The event of a market; `said` is what the stream called it."""
        listed = self._lists.markets.get(ticker)
        name = said or (listed.event_ticker if listed else "")
        if name:
            return name
        self.derived.add(ticker)
        return _group(self._event_pattern, ticker)

    def series(self, ticker: str, event: str, said: str = "") -> str:
        """The series of a market in that event."""
        listed, of_event = self._lists.markets.get(ticker), self._lists.events.get(event)
        name = said or (listed.series_ticker if listed else "") or (of_event.series_ticker if of_event else "")
        if name:
            return name
        self.derived.add(ticker)
        return _group(self._series_pattern, ticker)


def market_table(
    recording: Recording, lists: MarketLists, names: Names, options: ImportOptions
) -> tuple[pa.Table, list[str]]:
    """The table, schema MARKETS, and what it does not know, in words."""
    events = [names.event(ticker, recording.known.get(ticker, KnownMarket()).event) for ticker in recording.tickers]
    series = [
        names.series(ticker, event, recording.series.get(event, "")) for ticker, event in zip(recording.tickers, events)
    ]
    grids, inferred = _grids(recording, lists, series, options)
    rows = [
        _row(ticker, event, one, grid, recording.known.get(ticker), lists, options)
        for ticker, event, one, grid in zip(recording.tickers, events, series, grids)
    ]
    unknowns = _unknown(rows, inferred, len(names.derived & set(recording.tickers)))
    return pa.Table.from_pylist(rows, schema=MARKETS), unknowns


def _row(
    ticker: str,
    event: str,
    series: str,
    ranges: Ranges,
    known: KnownMarket | None,
    lists: MarketLists,
    options: ImportOptions,
) -> dict[str, Any]:
    listed, of_event, of_series = lists.markets.get(ticker), lists.events.get(event), lists.series.get(series)
    said = known or KnownMarket()
    category = (of_event.category if of_event else "") or (of_series.category if of_series else "")
    factor = of_series.fee_multiplier if of_series else None
    return {
        "ticker": ticker,
        "event": event,
        "series": series,
        "category": (listed.category if listed else "") or category or options.category,
        "price_ranges": [{"start": start, "end": end, "step": step} for start, end, step in ranges],
        "fee_type": (of_series.fee_type if of_series else "") or options.fee_type,
        "fee_multiplier": options.fee_multiplier if factor is None else float(factor),
        "open_ns": said.open_ns or (listed.open_ns if listed else 0),
        "close_ns": said.close_ns or (listed.close_ns if listed else 0),
        "status": int(said.status),
    }


def _unknown(rows: list[dict[str, Any]], inferred: Counter[str], derived: int) -> list[str]:
    def missing(column: str) -> int:
        return sum(not row[column] for row in rows)

    unknowns = []
    if inferred:
        grids = ", ".join(f"{label} for {counted(count)}" for label, count in sorted(inferred.items()))
        unknowns.append(f"price grids: the coarsest that holds all recorded prices of the series ({grids})")
    if derived:
        unknowns.append(f"event and series of {counted(derived)}: taken from their tickers")
    for column, what in (
        ("close_ns", "scheduled close"),
        ("open_ns", "open time"),
        ("fee_type", "fee type"),
        ("category", "category"),
    ):
        if count := missing(column):
            unknowns.append(f"{what} of {counted(count)}")
    return unknowns


def _grids(
    recording: Recording, lists: MarketLists, series: list[str], options: ImportOptions
) -> tuple[list[Ranges], Counter[str]]:
    """The grid of every market, and how many were inferred, by label."""
    codes, series_of = np.unique(np.array(series), return_inverse=True)
    inferred: Counter[str] = Counter()
    labels: dict[int, str] = {}
    found: list[Ranges] = []
    for row, ticker in enumerate(recording.tickers):
        listed, said = lists.markets.get(ticker), recording.known.get(ticker)
        ranges = (said.ranges if said else None) or (listed.ranges if listed else None)
        if ranges is None and options.grid != INFER:
            ranges = GRIDS[options.grid].ranges
        if ranges is None:
            if not labels:
                labels = dict(enumerate(_coarsest(recording.rows, series_of, len(codes))))
            label = labels[int(series_of[row])]
            inferred[label] += 1
            ranges = GRIDS[label].ranges
        found.append(ranges)
    return found, inferred


def _coarsest(rows: NDArray[Any], series_of: NDArray[np.int64], count: int) -> list[str]:
    """For each series the label of the grid with the fewest prices that holds its book, or else its prints."""
    labels = []
    levels = np.isin(rows["kind"], (Kind.SNAPSHOT_LEVEL, Kind.DELTA)) & (rows["market"] >= 0)
    prints = (rows["kind"] == Kind.TRADE) & (rows["market"] >= 0)
    book, trades = (_prices_by_series(rows[kind], series_of, count) for kind in (levels, prints))
    for one in range(count):
        prices = np.flatnonzero(book[one] if book[one].any() else trades[one])
        labels.append(next((label for label in GRIDS if _holds(label)[prices].all()), "center_centi_edge_centi_cent"))
    return labels


def _prices_by_series(rows: NDArray[Any], series_of: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Whether a price in pips occurs in a series, [S, DOLLAR + 1]."""
    seen = np.zeros((count, DOLLAR + 1), bool)
    outside = (rows["price"] < 0) | (rows["price"] > DOLLAR)
    if outside.any():
        raise DataError(f"a price of {rows['price'][outside][0]} pips is not between 0 and $1")
    seen[series_of[rows["market"]], rows["price"]] = True
    return seen


@cache
def _holds(label: str) -> NDArray[np.bool_]:
    """Whether a price in pips is on the grid, [DOLLAR + 1]."""
    table = np.zeros(DOLLAR + 1, bool)
    table[GRIDS[label].prices] = True
    return table


def _group(pattern: re.Pattern[str], ticker: str) -> str:
    """The first group of the pattern; a ticker that does not fit stands for itself."""
    match = pattern.fullmatch(ticker)
    return (match.group(1) or ticker) if match else ticker


def event_codes(names: Names, tickers: Sequence[str]) -> NDArray[np.int64]:
    """Events of tickers as small numbers, [M]."""
    events = [names.event(ticker) for ticker in tickers]
    return np.unique(np.array(events), return_inverse=True)[1].astype(np.int64)
