"""Bodies that list events and series, and changes of their fees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.wire.bodies.markets import UNREAD, MarketBody, market_keys, market_of
from kalshi_ray.wire.listing import Event, FeeSchedule, Series
from kalshi_ray.wire.numbers import (
    NO_TIME,
    count_text,
    factor_of_ppm,
    lots_of,
    ppm_of,
    time_or_none,
    time_text,
)
from kalshi_ray.wire.shapes import Shape, Unknown, written
from kalshi_ray.wire.trading import Page

Json = dict[str, Any]


class _SourceBody(msgspec.Struct):
    name: str = ""
    url: str = ""


class _EventBody(msgspec.Struct):
    event_ticker: str
    series_ticker: str
    title: str = ""
    sub_title: str = ""
    category: str = ""
    collateral_return_type: str = ""
    mutually_exclusive: bool = False
    available_on_brokers: bool = False
    strike_date: str | None = None
    strike_period: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None
    settlement_sources: list[_SourceBody] | None = None
    last_updated_ts: str | None = None
    markets: list[MarketBody] | None = None
    exchange_index: int = 0


class _EventPage(msgspec.Struct):
    events: list[_EventBody]
    cursor: str = ""


class _OneEvent(msgspec.Struct):
    event: _EventBody
    markets: list[MarketBody] | None = None


class _SeriesBody(msgspec.Struct):
    ticker: str
    title: str = ""
    category: str = ""
    frequency: str = ""
    fee_type: str = ""
    fee_multiplier: Decimal | None = None
    tags: list[str] | None = None
    settlement_sources: list[_SourceBody] | None = None
    contract_url: str = ""
    contract_terms_url: str = ""
    additional_prohibitions: list[str] | None = None
    volume_fp: Decimal | None = None
    last_updated_ts: str | None = None
    exchange_index: int = 0


class _SeriesList(msgspec.Struct):
    series: list[_SeriesBody] | None = None


class _OneSeries(msgspec.Struct):
    series: _SeriesBody


class _SeriesFee(msgspec.Struct):
    series_ticker: str
    fee_type: str
    fee_multiplier: Decimal
    scheduled_ts: str
    id: str = ""


class _SeriesFees(msgspec.Struct):
    series_fee_change_arr: list[_SeriesFee]


class _EventFee(msgspec.Struct):
    event_ticker: str
    scheduled_ts: str
    series_ticker: str = ""
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None
    id: str = ""


class _EventFees(msgspec.Struct):
    event_fee_changes: list[_EventFee]
    cursor: str = ""


_event_page = Shape(_EventPage, unread=UNREAD)
_one_event = Shape(_OneEvent, unread=UNREAD)
_series_list = Shape(_SeriesList, unread=UNREAD)
_one_series = Shape(_OneSeries, unread=UNREAD)
_series_fees = Shape(_SeriesFees)
_event_fees = Shape(_EventFees)


def read_events(raw: bytes, unknown: Unknown = None) -> Page[Event]:
    """A page of events, with their markets where they were asked for."""
    page = _event_page.read(raw, unknown)
    return Page(tuple(_event_of(body, body.markets) for body in page.events), page.cursor)


def write_events(page: Page[Event]) -> bytes:
    """A page of events, each with its markets if it has any."""
    events = [
        _event_keys(event) | ({"markets": [market_keys(one) for one in event.markets]} if event.markets else {})
        for event in page.items
    ]
    return written({"events": events, "cursor": page.cursor})


def read_event(raw: bytes, unknown: Unknown = None) -> Event:
    """One event; its markets stand beside it or inside."""
    body = _one_event.read(raw, unknown)
    return _event_of(body.event, body.event.markets or body.markets)


def write_event(event: Event, *, nested: bool = False) -> bytes:
    """One event with its markets beside it, and inside as well where that was asked for."""
    markets = [market_keys(one) for one in event.markets]
    return written({"event": _event_keys(event) | ({"markets": markets} if nested else {}), "markets": markets})


def read_series_list(raw: bytes, unknown: Unknown = None) -> tuple[Series, ...]:
    """All series that were asked for; the list has no pages."""
    return tuple(map(_series_of, _series_list.read(raw, unknown).series or ()))


def write_series_list(series: Sequence[Series]) -> bytes:
    """All series that were asked for."""
    return written({"series": [_series_keys(one) for one in series]})


def read_series(raw: bytes, unknown: Unknown = None) -> Series:
    """One series."""
    return _series_of(_one_series.read(raw, unknown).series)


def write_series(series: Series) -> bytes:
    """One series."""
    return written({"series": _series_keys(series)})


def read_series_fees(raw: bytes, unknown: Unknown = None) -> tuple[FeeSchedule, ...]:
    """Changes of the fees of series."""
    return tuple(
        FeeSchedule(
            name=body.series_ticker,
            fee_type=body.fee_type,
            multiplier_ppm=ppm_of(body.fee_multiplier, "fee_multiplier"),
            from_ns=time_or_none(body.scheduled_ts),
            id=body.id,
        )
        for body in _series_fees.read(raw, unknown).series_fee_change_arr
    )


def write_series_fees(changes: Sequence[FeeSchedule]) -> bytes:
    """Changes of the fees of series."""
    items = [
        {
            "id": one.id,
            "series_ticker": one.name,
            "fee_type": one.fee_type,
            "fee_multiplier": _factor(one.multiplier_ppm),
            "scheduled_ts": _time(one.from_ns),
        }
        for one in changes
    ]
    return written({"series_fee_change_arr": items})


def read_event_fees(raw: bytes, unknown: Unknown = None) -> Page[FeeSchedule]:
    """A page of changes of the fees of events."""
    page = _event_fees.read(raw, unknown)
    return Page(tuple(map(_event_fee_of, page.event_fee_changes)), page.cursor)


def write_event_fees(page: Page[FeeSchedule]) -> bytes:
    """A page of changes of the fees of events."""
    items = [
        {
            "id": one.id,
            "event_ticker": one.name,
            "series_ticker": one.series,
            "fee_type_override": one.fee_type,
            "fee_multiplier_override": _factor(one.multiplier_ppm),
            "scheduled_ts": _time(one.from_ns),
        }
        for one in page.items
    ]
    return written({"event_fee_changes": items, "cursor": page.cursor})


def _event_fee_of(body: _EventFee) -> FeeSchedule:
    return FeeSchedule(
        name=body.event_ticker,
        fee_type=body.fee_type_override,
        multiplier_ppm=_ppm(body.fee_multiplier_override),
        from_ns=time_or_none(body.scheduled_ts),
        id=body.id,
        series=body.series_ticker,
    )


def _event_of(body: _EventBody, markets: Iterable[MarketBody] | None) -> Event:
    return Event(
        ticker=body.event_ticker,
        series=body.series_ticker,
        title=body.title,
        category=body.category,
        mutually_exclusive=body.mutually_exclusive,
        markets=tuple(map(market_of, markets or ())),
        subtitle=body.sub_title,
        collateral_return=body.collateral_return_type,
        strike_ns=time_or_none(body.strike_date),
        strike_period=body.strike_period or "",
        fee_type=body.fee_type_override or "",
        multiplier_ppm=_ppm(body.fee_multiplier_override),
        is_on_brokers=body.available_on_brokers,
        sources=_sources_of(body.settlement_sources),
        updated_ns=time_or_none(body.last_updated_ts),
        exchange_index=body.exchange_index,
    )


def _event_keys(event: Event) -> Json:
    keys: Json = {
        "event_ticker": event.ticker,
        "series_ticker": event.series,
        "title": event.title,
        "sub_title": event.subtitle,
        "category": event.category,
        "collateral_return_type": event.collateral_return,
        "mutually_exclusive": event.mutually_exclusive,
        "available_on_brokers": event.is_on_brokers,
        "settlement_sources": _sources_keys(event.sources),
        "strike_period": event.strike_period,
        "exchange_index": event.exchange_index,
    }
    if event.strike_ns:
        keys["strike_date"] = time_text(event.strike_ns)
    if event.updated_ns:
        keys["last_updated_ts"] = time_text(event.updated_ns)
    if event.fee_type:
        keys["fee_type_override"] = event.fee_type
    if event.multiplier_ppm is not None:
        keys["fee_multiplier_override"] = _factor(event.multiplier_ppm)
    return keys


def _series_of(body: _SeriesBody) -> Series:
    multiplier = _ppm(body.fee_multiplier)
    return Series(
        ticker=body.ticker,
        title=body.title,
        category=body.category,
        frequency=body.frequency,
        fee_type=body.fee_type,
        multiplier_ppm=1_000_000 if multiplier is None else multiplier,
        tags=tuple(body.tags or ()),
        sources=_sources_of(body.settlement_sources),
        contract_url=body.contract_url,
        terms_url=body.contract_terms_url,
        prohibitions=tuple(body.additional_prohibitions or ()),
        volume=None if body.volume_fp is None else lots_of(body.volume_fp, "volume_fp"),
        updated_ns=time_or_none(body.last_updated_ts),
        exchange_index=body.exchange_index,
    )


def _series_keys(series: Series) -> Json:
    keys: Json = {
        "ticker": series.ticker,
        "title": series.title,
        "category": series.category,
        "frequency": series.frequency,
        "fee_type": series.fee_type,
        "fee_multiplier": _factor(series.multiplier_ppm),
        "tags": list(series.tags),
        "settlement_sources": _sources_keys(series.sources),
        "contract_url": series.contract_url,
        "contract_terms_url": series.terms_url,
        "additional_prohibitions": list(series.prohibitions),
        "exchange_index": series.exchange_index,
    }
    if series.volume is not None:
        keys["volume_fp"] = count_text(series.volume)
    return keys | ({"last_updated_ts": time_text(series.updated_ns)} if series.updated_ns else {})


def _sources_of(bodies: Iterable[_SourceBody] | None) -> tuple[tuple[str, str], ...]:
    return tuple((one.name, one.url) for one in bodies or ())


def _sources_keys(sources: Iterable[tuple[str, str]]) -> list[Json]:
    return [{"name": name, "url": url} for name, url in sources]


def _ppm(factor: Decimal | None) -> int | None:
    return None if factor is None else ppm_of(factor, "fee_multiplier")


def _factor(ppm: int | None) -> Decimal | None:
    return None if ppm is None else factor_of_ppm(ppm)


def _time(time_ns: int) -> str:
    return time_text(time_ns) if time_ns else NO_TIME
