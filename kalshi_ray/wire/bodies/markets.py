"""Bodies that list markets."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import DOLLAR
from kalshi_ray.errors import WireError
from kalshi_ray.wire.decode import ranges_of
from kalshi_ray.wire.frames import Band
from kalshi_ray.wire.listing import Leg, Market, Strike
from kalshi_ray.wire.messages import Ranges
from kalshi_ray.wire.numbers import (
    NO_TIME,
    count_text,
    dollars_text,
    lots_of,
    pips_of_dollars,
    time_or_none,
    time_text,
)
from kalshi_ray.wire.shapes import Shape, Unknown, written
from kalshi_ray.wire.trading import Page

Json = dict[str, Any]

_LARGEST = 2**63 - 1

# Left the API (the cents on 2026-03-12), or deprecated and said elsewhere.
UNREAD = frozenset(
    {"yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "previous_price", "previous_yes_bid", "previous_yes_ask"}
    | {"notional_value", "liquidity", "liquidity_dollars", "tick_size", "response_price_units", "expiration_time"}
    | {"fractional_trading_enabled", "subtitle", "no_bid_dollars", "no_ask_dollars", "primary_participant_key"}
    | {"product_metadata", "milestones"}
)


class _LegBody(msgspec.Struct):
    event_ticker: str = ""
    market_ticker: str = ""
    side: str = ""
    yes_settlement_value_dollars: Decimal | None = None


class MarketBody(msgspec.Struct):
    """A market. Counts without `_fp` are whole contracts of before 2026-03."""

    ticker: str
    event_ticker: str
    status: str
    market_type: str = "binary"
    title: str = ""
    yes_sub_title: str = ""
    no_sub_title: str = ""
    created_time: str | None = None
    updated_time: str | None = None
    open_time: str | None = None
    close_time: str | None = None
    expected_expiration_time: str | None = None
    latest_expiration_time: str | None = None
    occurrence_datetime: str | None = None
    fee_waiver_expiration_time: str | None = None
    settlement_timer_seconds: int = 0
    settlement_bounds_type: str | None = None
    notional_value_dollars: Decimal | None = None
    yes_bid_dollars: Decimal | None = None
    yes_ask_dollars: Decimal | None = None
    yes_bid_size_fp: Decimal | None = None
    yes_ask_size_fp: Decimal | None = None
    last_price_dollars: Decimal | None = None
    previous_price_dollars: Decimal | None = None
    previous_yes_bid_dollars: Decimal | None = None
    previous_yes_ask_dollars: Decimal | None = None
    volume_fp: Decimal | None = None
    volume_24h_fp: Decimal | None = None
    open_interest_fp: Decimal | None = None
    volume: Decimal | None = None
    volume_24h: Decimal | None = None
    open_interest: Decimal | None = None
    result: str | None = None
    settlement_value_dollars: Decimal | None = None
    settlement_ts: str | None = None
    can_close_early: bool = False
    early_close_condition: str | None = None
    expiration_value: str | None = None
    rules_primary: str = ""
    rules_secondary: str = ""
    price_level_structure: str = ""
    price_ranges: list[Band] | None = None
    strike_type: str | None = None
    floor_strike: Decimal | None = None
    cap_strike: Decimal | None = None
    custom_strike: dict[str, Any] | None = None
    functional_strike: str | None = None
    is_provisional: bool | None = None
    mve_collection_ticker: str | None = None
    mve_selected_legs: list[_LegBody] | None = None
    exchange_index: int = 0


class _MarketPage(msgspec.Struct):
    markets: list[MarketBody]
    cursor: str = ""


class _OneMarket(msgspec.Struct):
    market: MarketBody


class _RawPage(msgspec.Struct):
    markets: list[msgspec.Raw]
    cursor: str | None = None


class _Named(msgspec.Struct):
    ticker: str


_page = Shape(_MarketPage, unread=UNREAD)
_one = Shape(_OneMarket, unread=UNREAD)
_raw_page = Shape(_RawPage)
_alone = Shape(MarketBody, unread=UNREAD)
_named = Shape(_Named)


def read_markets(raw: bytes, unknown: Unknown = None) -> Page[Market]:
    """A page of markets."""
    page = _page.read(raw, unknown)
    return Page(tuple(map(market_of, page.markets)), page.cursor)


def read_market_page(raw: bytes, unknown: Unknown = None) -> tuple[Page[Market], dict[str, str]]:
    """The same where a market that cannot be read costs the others nothing: by ticker, why not."""
    counted: Counter[str] = Counter()
    try:
        page = read_markets(raw, counted)
    except WireError:
        return _one_by_one(raw, unknown)
    if unknown is not None:
        unknown.update(counted)
    return page, {}


def _one_by_one(raw: bytes, unknown: Unknown) -> tuple[Page[Market], dict[str, str]]:
    page, found, unread = _raw_page.read(raw, unknown), list[Market](), dict[str, str]()
    for body in map(bytes, page.markets):
        counted: Counter[str] = Counter()
        try:
            found.append(market_of(_alone.read(body, counted)))
        except WireError as problem:
            unread[_named.read(body).ticker] = str(problem)
            continue
        if unknown is not None:
            unknown.update({f"markets[].{key}": times for key, times in counted.items()})
    return Page(tuple(found), page.cursor or ""), unread


def write_markets(page: Page[Market]) -> bytes:
    """A page of markets."""
    return written({"markets": [market_keys(market) for market in page.items], "cursor": page.cursor})


def read_market(raw: bytes, unknown: Unknown = None) -> Market:
    """One market."""
    return market_of(_one.read(raw, unknown).market)


def write_market(market: Market) -> bytes:
    """One market."""
    return written({"market": market_keys(market)})


def market_of(body: MarketBody) -> Market:
    """A market in any list. A bid of zero and an ask of a dollar are none."""
    value = body.settlement_value_dollars
    return Market(
        ticker=body.ticker,
        event=body.event_ticker,
        status=body.status,
        market_type=body.market_type,
        title=body.title,
        open_ns=_moment(body.open_time, "open_time"),
        close_ns=_moment(body.close_time, "close_time"),
        bid=_quote(body.yes_bid_dollars, "yes_bid_dollars"),
        ask=_quote(body.yes_ask_dollars, "yes_ask_dollars"),
        bid_size=_lots(body.yes_bid_size_fp, None),
        ask_size=_lots(body.yes_ask_size_fp, None),
        last_price=_quote(body.last_price_dollars, "last_price_dollars", is_whole=True),
        volume=_lots(body.volume_fp, body.volume),
        volume_24h=_lots(body.volume_24h_fp, body.volume_24h),
        open_interest=_lots(body.open_interest_fp, body.open_interest),
        ranges=ranges_of(body.price_ranges or ()),
        price_structure=body.price_level_structure,
        result=body.result or "",
        settlement_value=None if value is None else pips_of_dollars(value, "settlement_value_dollars"),
        settled_ns=time_or_none(body.settlement_ts),
        can_close_early=body.can_close_early,
        exchange_index=body.exchange_index,
        created_ns=time_or_none(body.created_time),
        updated_ns=time_or_none(body.updated_time),
        expected_expiration_ns=time_or_none(body.expected_expiration_time),
        latest_expiration_ns=time_or_none(body.latest_expiration_time),
        occurrence_ns=time_or_none(body.occurrence_datetime),
        fee_waiver_ends_ns=time_or_none(body.fee_waiver_expiration_time),
        settlement_timer_s=body.settlement_timer_seconds,
        settlement_bounds=body.settlement_bounds_type or "",
        expiration_value=body.expiration_value or "",
        early_close_condition=body.early_close_condition or "",
        yes_subtitle=body.yes_sub_title,
        no_subtitle=body.no_sub_title,
        rules=body.rules_primary,
        further_rules=body.rules_secondary,
        notional=DOLLAR if body.notional_value_dollars is None else pips_of_dollars(body.notional_value_dollars),
        previous_price=_quote(body.previous_price_dollars, "previous_price_dollars", is_whole=True),
        previous_bid=_quote(body.previous_yes_bid_dollars, "previous_yes_bid_dollars"),
        previous_ask=_quote(body.previous_yes_ask_dollars, "previous_yes_ask_dollars", is_whole=True),
        strike=_strike_of(body),
        is_provisional=bool(body.is_provisional),
        collection=body.mve_collection_ticker or "",
        legs=tuple(map(_leg_of, body.mve_selected_legs or ())),
    )


def market_keys(market: Market) -> Json:
    """A market in any list."""
    bid, ask = _price(market.bid, 0), _price(market.ask, DOLLAR)
    keys: Json = {
        "ticker": market.ticker,
        "event_ticker": market.event,
        "market_type": market.market_type,
        "title": market.title,
        "yes_sub_title": market.yes_subtitle,
        "no_sub_title": market.no_subtitle,
        "status": market.status,
        "notional_value_dollars": dollars_text(market.notional),
        "yes_bid_dollars": dollars_text(bid),
        "yes_ask_dollars": dollars_text(ask),
        "no_bid_dollars": dollars_text(DOLLAR - ask),
        "no_ask_dollars": dollars_text(DOLLAR - bid),
        "yes_bid_size_fp": count_text(market.bid_size),
        "yes_ask_size_fp": count_text(market.ask_size),
        "last_price_dollars": dollars_text(_price(market.last_price, 0)),
        "previous_price_dollars": dollars_text(_price(market.previous_price, 0)),
        "previous_yes_bid_dollars": dollars_text(_price(market.previous_bid, 0)),
        "previous_yes_ask_dollars": dollars_text(_price(market.previous_ask, 0)),
        "volume_fp": count_text(market.volume),
        "volume_24h_fp": count_text(market.volume_24h),
        "open_interest_fp": count_text(market.open_interest),
        "result": market.result,
        "can_close_early": market.can_close_early,
        "expiration_value": market.expiration_value,
        "rules_primary": market.rules,
        "rules_secondary": market.further_rules,
        "settlement_timer_seconds": market.settlement_timer_s,
        "price_level_structure": market.price_structure,
        "price_ranges": ranges_keys(market.ranges),
        "exchange_index": market.exchange_index,
    }
    return keys | _times(market) | _where_said(market) | _strike_keys(market.strike)


def _times(market: Market) -> Json:
    """Times: the usual ones always, the others where there are any."""
    always = {
        "created_time": market.created_ns,
        "updated_time": market.updated_ns,
        "open_time": market.open_ns,
        "close_time": market.close_ns,
        "latest_expiration_time": market.latest_expiration_ns,
    }
    sometimes = {
        "expected_expiration_time": market.expected_expiration_ns,
        "occurrence_datetime": market.occurrence_ns,
        "fee_waiver_expiration_time": market.fee_waiver_ends_ns,
        "settlement_ts": market.settled_ns,
    }
    keys: Json = {key: time_text(time) if time else NO_TIME for key, time in always.items()}
    return keys | {key: time_text(time) for key, time in sometimes.items() if time}


def _where_said(market: Market) -> Json:
    """What is absent where it says nothing."""
    keys: Json = {
        "settlement_bounds_type": market.settlement_bounds,
        "early_close_condition": market.early_close_condition,
        "is_provisional": market.is_provisional,
        "mve_collection_ticker": market.collection,
        "mve_selected_legs": [_leg_keys(leg) for leg in market.legs],
    }
    if market.settlement_value is not None:
        keys["settlement_value_dollars"] = dollars_text(market.settlement_value)
    return {key: value for key, value in keys.items() if value}


def ranges_keys(ranges: Ranges) -> list[Json]:
    """A price grid."""
    return [dict(zip(("start", "end", "step"), map(dollars_text, band))) for band in ranges]


def _strike_of(body: MarketBody) -> Strike | None:
    for number in (body.floor_strike, body.cap_strike):
        if number is not None and not number.is_finite():
            raise WireError(f"market {body.ticker}: a strike of {number}")
    strike = Strike(
        type=body.strike_type or "",
        floor=body.floor_strike,
        cap=body.cap_strike,
        custom="" if body.custom_strike is None else written(body.custom_strike).decode(),
        functional=body.functional_strike or "",
    )
    return None if strike == Strike() else strike


def _strike_keys(strike: Strike | None) -> Json:
    if strike is None:
        return {}
    keys: Json = {"strike_type": strike.type, "functional_strike": strike.functional}
    keys = {key: word for key, word in keys.items() if word}
    if strike.custom:
        keys["custom_strike"] = msgspec.Raw(strike.custom.encode())
    ends = {"floor_strike": strike.floor, "cap_strike": strike.cap}
    return keys | {key: end for key, end in ends.items() if end is not None}


def _leg_of(body: _LegBody) -> Leg:
    value = body.yes_settlement_value_dollars
    return Leg(
        event=body.event_ticker,
        ticker=body.market_ticker,
        side=body.side,
        settlement_value=None if value is None else pips_of_dollars(value, "yes_settlement_value_dollars"),
    )


def _leg_keys(leg: Leg) -> Json:
    keys: Json = {"event_ticker": leg.event, "market_ticker": leg.ticker, "side": leg.side}
    return (
        keys
        if leg.settlement_value is None
        else keys | {"yes_settlement_value_dollars": dollars_text(leg.settlement_value)}
    )


def _quote(dollars: Decimal | None, what: str, *, is_whole: bool = False) -> int | None:
    """A price, or None for the ends of the scale that stand for none; a dollar is a price too where `is_whole`."""
    price = 0 if dollars is None else pips_of_dollars(dollars, what)
    return None if price == 0 or (price == DOLLAR and not is_whole) else price


def _price(price: int | None, none: int) -> int:
    return none if price is None else price


def _moment(text: str | None, what: str) -> int:
    """A time that is kept with the market, so that its nanoseconds have to fit into 64 bits."""
    time = time_or_none(text)
    if not -_LARGEST <= time <= _LARGEST:
        raise WireError(f"{what} {text!r} is not between the years 1678 and 2261")
    return time


def _lots(exact: Decimal | None, whole: Decimal | None) -> int:
    count = whole if exact is None else exact
    return 0 if count is None else lots_of(count)
