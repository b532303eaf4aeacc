"""Market lists, events and series as REST sends them: what they say of a market, and its result if it has one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.importing.options import GRIDS
from kalshi_ray.errors import DataError
from kalshi_ray.wire.decode import ranges_of
from kalshi_ray.wire.frames import Band
from kalshi_ray.wire.messages import Ranges
from kalshi_ray.wire.numbers import pips_of_dollars, time_of

# While a market has one of these, its close time is the scheduled one; later it is the real one, which nobody knew.
_BEFORE_CLOSE = ("initialized", "active", "inactive", "unopened", "open", "paused")


class ListedMarket(msgspec.Struct):
    """A market of `GET /markets`; only what is read here."""

    ticker: str
    event_ticker: str = ""
    series_ticker: str = ""
    category: str = ""
    open_time: str | None = None
    close_time: str | None = None
    price_ranges: list[Band] | None = None
    price_level_structure: str = ""
    status: str = ""
    result: str | None = None
    settlement_value_dollars: Decimal | None = None
    settlement_ts: str | None = None

    @property
    def open_ns(self) -> int:
        """0 unknown."""
        return time_of(self.open_time) if self.open_time else 0

    @property
    def close_ns(self) -> int:
        """The scheduled close, 0 unknown."""
        return time_of(self.close_time) if self.close_time and self.status in _BEFORE_CLOSE else 0

    @property
    def ranges(self) -> Ranges | None:
        """The price grid, by its bands or else by its label."""
        if self.price_ranges:
            return ranges_of(self.price_ranges)
        return GRIDS[self.price_level_structure].ranges if self.price_level_structure in GRIDS else None

    @property
    def settled_at(self) -> int | None:
        """Pips that one YES paid; None while there is no result."""
        if not self.result:
            return None
        if self.settlement_value_dollars is not None:
            return pips_of_dollars(self.settlement_value_dollars, "settlement_value_dollars")
        plain = {"yes": DOLLAR, "no": 0}.get(self.result)
        if plain is None:
            raise DataError(f"{self.ticker}: result {self.result!r} comes without settlement_value_dollars")
        return plain

    @property
    def settled_ns(self) -> int:
        """When the result was booked, 0 unknown."""
        return time_of(self.settlement_ts) if self.settlement_ts else 0


class ListedEvent(msgspec.Struct):
    """An event of `GET /events`."""

    event_ticker: str
    series_ticker: str = ""
    category: str = ""
    markets: list[ListedMarket] | None = None


class ListedSeries(msgspec.Struct):
    """A series of `GET /series`."""

    ticker: str
    category: str = ""
    fee_type: str = ""
    fee_multiplier: Decimal | None = None


class _Document(msgspec.Struct):
    market: ListedMarket | None = None
    markets: list[ListedMarket] | None = None
    event: ListedEvent | None = None
    events: list[ListedEvent] | None = None
    series: list[ListedSeries] | ListedSeries | None = None
    response: _Document | None = None  # a recorder's wrapper


class MarketLists(msgspec.Struct):
    """Everything that several lists say, by name."""

    markets: dict[str, ListedMarket] = {}
    events: dict[str, ListedEvent] = {}
    series: dict[str, ListedSeries] = {}


def read_market_lists(paths: Sequence[str]) -> MarketLists:
    """The lists of several files; a later file wins. DataError for what is no list."""
    lists = MarketLists()
    for path in paths:
        _add(lists, _read(path))
    return lists


def _read(path: str) -> _Document:
    try:
        content = Path(path).read_bytes()
        found = msgspec.json.decode(content, type=_Document | list[ListedMarket], strict=False)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path}: {error}", remedy="Expected JSON as GET /markets, /events or /series answers"
        ) from error
    document = _Document(markets=found) if isinstance(found, list) else found
    document = document.response or document
    if not any(getattr(document, field) for field in ("market", "markets", "event", "events", "series")):
        raise DataError(f"{path} holds no markets, events or series", remedy="Expected JSON as GET /markets answers")
    return document


def _add(lists: MarketLists, document: _Document) -> None:
    events = [*(document.events or []), *([document.event] if document.event else [])]
    markets = [*(document.markets or []), *([document.market] if document.market else [])]
    for event in events:
        lists.events[event.event_ticker] = event
        markets += event.markets or []
    lists.markets |= {market.ticker: market for market in markets}
    series = document.series if isinstance(document.series, list) else [document.series] if document.series else []
    lists.series |= {one.ticker: one for one in series}
