"""What is known of a market: at its join, by an answer of REST, and as the tape last said it."""

from __future__ import annotations

import msgspec

from kalshi_ray.collect.facts import MarketRow
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.market_table import fee_rates
from kalshi_ray.errors import DataError
from kalshi_ray.wire.listing import Event, Market, Series
from kalshi_ray.wire.messages import Ranges
from kalshi_ray.wire.numbers import PPM

Rates = tuple[int, int]  # taker, maker in parts per million

_STATUS = {status.name.lower(): status for status in Status}
_PAID = {"yes": DOLLAR, "no": 0}  # pips that one YES pays after a plain result


class MarketFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A market at its join: its row of the market table, and the fees of its series, which an event may override."""

    row: MarketRow
    series_fee_type: str = ""
    series_multiplier: float = 1.0


class ListedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """What REST says of a market that may change while it is recorded."""

    ticker: str
    status: str  # the exchange's own word
    close_ns: int = 0  # 0 unknown
    ranges: Ranges = ()
    value: int | None = None  # pips that one YES pays
    updated_ns: int = 0  # 0 unknown


class Told(msgspec.Struct, kw_only=True):
    """What the tape last said of a market, and when the exchange last spoke of it on a stream."""

    status: int
    close_ns: int
    ranges: Ranges
    rates: Rates | None  # None: of a fee type without a formula
    value: int | None = None
    changed_ns: int = 0  # exchange time of its last word
    heard_ns: int = 0  # when that came


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a market."""

    facts: MarketFacts
    told: Told


def status_of(word: str) -> Status | None:
    """The state that the exchange has a word for; None for a word that is not known."""
    return _STATUS.get(word)


def market_facts(market: Market, event: Event | None = None, series: Series | None = None) -> MarketFacts:
    """A market as REST describes it and its event and series. An event's own fees win over those of its series.

    A state that is not known counts as paused: nothing is traded until the exchange says something that is.
    """
    series_type = series.fee_type if series else ""
    series_ppm = series.multiplier_ppm if series else PPM
    ppm = event.multiplier_ppm if event and event.multiplier_ppm is not None else series_ppm
    status = status_of(market.status)
    row = MarketRow(
        ticker=market.ticker,
        event=market.event,
        series=(event.series if event else "") or (series.ticker if series else ""),
        category=(event.category if event else "") or (series.category if series else ""),
        price_ranges=market.ranges,
        fee_type=(event.fee_type if event else "") or series_type,
        fee_multiplier=ppm / PPM,
        open_ns=market.open_ns,
        close_ns=market.close_ns,
        status=Status.INACTIVE if status is None else status,
    )
    return MarketFacts(row=row, series_fee_type=series_type, series_multiplier=series_ppm / PPM)


def listed_market(market: Market) -> ListedMarket:
    """What may change of a market as REST describes it."""
    value = market.settlement_value
    if not market.result:
        value = None
    elif value is None:
        value = _PAID.get(market.result)  # a scalar needs its value
    return ListedMarket(
        ticker=market.ticker,
        status=market.status,
        close_ns=market.close_ns,
        ranges=market.ranges,
        value=value,
        updated_ns=market.updated_ns,
    )


def rates_of(fee_type: str, multiplier: float, ticker: str) -> Rates | None:
    """Taker and maker rate; None where there is no formula for them."""
    try:
        return fee_rates(fee_type, multiplier, ticker)
    except DataError:
        return None


def told_at_join(row: MarketRow) -> Told:
    """What the market table says of a market."""
    rates = rates_of(row.fee_type, row.fee_multiplier, row.ticker)
    return Told(status=row.status, close_ns=row.close_ns, ranges=row.price_ranges, rates=rates)
