"""The desk's register: numbers of markets, grids and signals of a session, and what its tape last said of each market.

What is told to it comes back as rows where it differs from what the tape said, and as nothing where it does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.market_facts import (
    Known,
    ListedMarket,
    MarketFacts,
    Rates,
    Told,
    listed_market,
    rates_of,
    status_of,
    told_at_join,
)
from kalshi_ray.collect.told import of_markets
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR, SECOND, PriceGrid, Side
from kalshi_ray.data.recording import life_cells
from kalshi_ray.errors import DataError, UnknownName, UsageError
from kalshi_ray.wire.listing import Market
from kalshi_ray.wire.messages import FeeChange, MarketChange, Ranges
from kalshi_ray.wire.numbers import PPM
from kalshi_ray.wire.rows import ALL, ROW

SIGNALS_MOST = 2**15  # names, as a row of the tape can hold
KEPT_NS = 60 * SECOND  # REST's answers may be kept for some 15 s on their way
_MILLION = 1_000_000
_LARGEST = 2**63 - 1
Cells = tuple[int, Kind, int, int]  # market, kind, price, size


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """An external value of a market, or of every market."""

    name: str
    value: float
    ticker: str | None = None


class Register:
    """Numbers are given in order and never again. `counts` says how often what could not be used, by name."""

    def __init__(self, known: Iterable[Known] = (), grids: Iterable[Ranges] = (), signals: Iterable[str] = ()) -> None:
        self.known: list[Known] = []  # by number
        self.numbers: dict[str, int] = {}  # by ticker
        self.grids: list[Ranges] = list(grids)
        self.signals: list[str] = list(signals)
        self.counts: Counter[str] = Counter()
        self._events: dict[str, list[int]] = {}
        for one in known:
            self._add(one)
        self._taken = (len(self.known), len(self.grids), len(self.signals))

    @classmethod
    def of_session(cls, facts: Facts, rows: Iterable[NDArray[np.void]] = ()) -> Register:
        """The register of a session that is gone on with: all its facts, and its rows so far, ROW records in order.

        Only rows of STATUS, SCHEDULE, GRID, FEE and SETTLEMENT need be given. A market's fees at its join count as
        those of its series until they are told again by `enter`.
        """
        register = cls(
            (
                Known(
                    facts=MarketFacts(row=row, series_fee_type=row.fee_type, series_multiplier=row.fee_multiplier),
                    told=told_at_join(row),
                )
                for row in facts.markets
            ),
            facts.grids,
            facts.signals,
        )
        for run in rows:
            register._learn(run)
        return register

    def __contains__(self, ticker: str) -> bool:
        return ticker in self.numbers

    @property
    def facts(self) -> Facts:
        """All markets, grids and signals so far."""
        return self._facts((0, 0, 0))

    def take_facts(self) -> Facts:
        """Those that came since the last time: to be kept before any row that refers to them."""
        since, self._taken = self._taken, (len(self.known), len(self.grids), len(self.signals))
        return self._facts(since)

    def enter(self, facts: MarketFacts) -> int:
        """The number of a market, which gets one if it has none. DataError if its price grid is none.

        Of one that has a number the fees of its series are noted; what else differs is for `rows_of_listing`.
        """
        number = self.numbers.get(facts.row.ticker)
        if number is None:
            _check_grid(facts.row.price_ranges, facts.row.ticker)
            return self._add(Known(facts=facts, told=told_at_join(facts.row)))
        before = self.known[number]
        series = {name: getattr(facts, name) for name in ("series_fee_type", "series_multiplier")}
        self.known[number] = Known(facts=msgspec.structs.replace(before.facts, **series), told=before.told)
        return number

    # -- rows

    def rows_of_change(self, change: MarketChange, recv_ns: int, sid: int = 0) -> NDArray[np.void]:
        """What a step in a market's life says that the tape does not; nothing of a market without a number."""
        number = self.numbers.get(change.ticker)
        if number is None:
            return _rows([], recv_ns, 0, sid)
        told = self.known[number].told
        told.heard_ns = max(told.heard_ns, recv_ns)
        told.changed_ns = max(told.changed_ns, change.exch_ns)
        if change.change == "created":  # it speaks of the time before all others
            change = msgspec.structs.replace(change, status=None)
        exch_ns = change.exch_ns if 0 <= change.exch_ns <= _LARGEST else 0
        return _rows(self._cells(number, change), recv_ns, exch_ns, sid)

    def rows_of_listing(self, market: Market | ListedMarket, recv_ns: int, asked_ns: int = 0) -> NDArray[np.void]:
        """What REST says of a market that the tape does not. `asked_ns`: when it was asked, 0 unknown.

        An answer that is older than the last word of the exchange's stream is left aside: some are cached.
        """
        listed = listed_market(market) if isinstance(market, Market) else market
        number = self.numbers.get(listed.ticker)
        if number is None:
            return _rows([], recv_ns, 0, 0)
        if self.is_older(listed, asked_ns):
            self.counts["listings older than the stream"] += 1
            return _rows([], recv_ns, 0, 0)
        status = status_of(listed.status)
        if status is None:
            self.counts[f"unknown status {listed.status}"] += 1
        change = MarketChange(
            ticker=listed.ticker,
            change="listed",
            status=status,
            close_ns=listed.close_ns or None,
            ranges=listed.ranges or None,
            value=listed.value,
        )
        return _rows(self._cells(number, change), recv_ns, 0, 0)

    def is_older(self, market: Market | ListedMarket, asked_ns: int) -> bool:
        """Whether an answer of REST may be older than the last word of the exchange's stream."""
        number = self.numbers.get(market.ticker)
        if number is None:
            return False
        told = self.known[number].told
        may_be_kept = asked_ns < told.heard_ns + KEPT_NS
        return (may_be_kept and 0 < market.updated_ns < told.changed_ns) or 0 < asked_ns <= told.heard_ns

    def rows_of_fees(self, change: FeeChange, recv_ns: int, sid: int = 0) -> NDArray[np.void]:
        """What the fees of an event, or their end (None), mean for each of its markets, where the tape says else."""
        cells = list[Cells]()
        for number in self._events.get(change.event, ()):
            facts, told = self.known[number].facts, self.known[number].told
            fee_type = facts.series_fee_type if change.fee_type is None else change.fee_type
            factor = facts.series_multiplier if change.multiplier_ppm is None else change.multiplier_ppm / PPM
            rates = rates_of(fee_type, factor, facts.row.ticker)
            if rates is None:
                self.counts[f"fees without a formula: {fee_type} x {factor:g}"] += 1
            elif rates != told.rates:
                told.rates = rates
                cells.append((number, Kind.FEE, rates[1], rates[0]))
        return _rows(cells, recv_ns, 0, sid)

    def signal_rows(self, signal: Signal, recv_ns: int) -> NDArray[np.void]:
        """An external value. UsageError for a market without a number, or a value that no row can hold."""
        number = ALL if signal.ticker is None else self.numbers.get(signal.ticker)
        if number is None:
            raise UnknownName("recorded market", signal.ticker, list(self.numbers))
        if not math.isfinite(signal.value) or abs(signal.value) * _MILLION > _LARGEST / 2:
            raise UsageError(f"signal {signal.name!r} has the value {signal.value}, expected a number below 4e12")
        if signal.name not in self.signals:
            if not signal.name or len(self.signals) >= SIGNALS_MOST:
                raise UsageError(f"a session has up to {SIGNALS_MOST:,} signals, each with a name: {signal.name!r}")
            self.signals.append(signal.name)
        which, value = self.signals.index(signal.name), round(signal.value * _MILLION)
        return _rows([(number, Kind.SIGNAL, which, value)], recv_ns, 0, 0)

    # -- what the tape says

    def _add(self, known: Known) -> int:
        number = self.numbers[known.facts.row.ticker] = len(self.known)
        self.known.append(known)
        self._events.setdefault(known.facts.row.event, []).append(number)
        return number

    def _facts(self, since: tuple[int, int, int]) -> Facts:
        markets, grids, signals = since
        return Facts(
            markets=tuple(one.facts.row for one in self.known[markets:]),
            grids=tuple(self.grids[grids:]),
            signals=tuple(self.signals[signals:]),
        )

    def _cells(self, number: int, change: MarketChange) -> list[Cells]:
        """The rows of what is said anew, which counts as told from now on."""
        told = self.known[number].told
        said = self._unsaid(change, told)
        for name in ("status", "close_ns", "ranges", "value"):
            if (value := getattr(said, name)) is not None:
                setattr(told, name, value)
        return [(number, *cells) for cells in life_cells(said, self.grids)]

    def _unsaid(self, change: MarketChange, told: Told) -> MarketChange:
        """The same change without what was said before, and without what cannot be."""
        ranges, value, close_ns = change.ranges, change.value, change.close_ns
        if close_ns is not None and not 0 <= close_ns <= _LARGEST:
            self.counts["closes that are none"] += 1
            close_ns = None
        if ranges is not None and ranges != told.ranges:
            try:
                _check_grid(ranges, change.ticker)
            except DataError:
                self.counts["price grids that are none"] += 1
                ranges = None
        if value is not None and not 0 <= value <= DOLLAR:
            self.counts["results that are none"] += 1
            value = None
        # A stream tells whole seconds of what REST may know better.
        is_known_close = close_ns in (told.close_ns, told.close_ns // SECOND * SECOND)
        return msgspec.structs.replace(
            change,
            status=None if change.status == told.status else change.status,
            close_ns=None if is_known_close else close_ns,
            ranges=None if ranges == told.ranges else ranges,
            value=None if value == told.value else value,
        )

    def _learn(self, rows: NDArray[np.void]) -> None:
        chosen = rows[of_markets(rows)]
        for market, kind, price, size in chosen[["market", "kind", "price", "size"]].tolist():
            told = self.known[market].told
            if kind == Kind.STATUS:
                told.status = Status(size)
            elif kind == Kind.SCHEDULE:
                told.close_ns = size
            elif kind == Kind.GRID:
                told.ranges = self.grids[size]
            elif kind == Kind.FEE:
                told.rates = _rates(size, price)
            else:
                told.value = price


def _rates(taker: int, maker: int) -> Rates:
    return taker, maker


def _check_grid(ranges: Ranges, ticker: str) -> None:
    try:
        PriceGrid(ranges)
    except DataError as error:
        raise DataError(f"{ticker}: {error}") from error


def _rows(cells: Iterable[Cells], recv_ns: int, exch_ns: int, sid: int) -> NDArray[np.void]:
    """ROW records of one moment. They have no number on their sid: what is lost of them, REST makes up for."""
    return np.array(
        [
            (market, recv_ns, exch_ns, sid, 0, kind, Side.NONE, price, size, Side.NONE, 0)
            for market, kind, price, size in cells
        ],
        ROW,
    )
