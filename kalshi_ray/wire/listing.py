"""What the exchange lists: markets, events, series, its own state and an account's limits. Units as in `trading`."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from kalshi_ray.core.units import Side
from kalshi_ray.wire.messages import Levels, Ranges


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A market as REST describes it. `status` is the exchange's own word: initialized, active, inactive, closed, …"""

    ticker: str
    event: str
    status: str
    market_type: str = "binary"
    title: str = ""
    open_ns: int = 0
    close_ns: int = 0
    bid: int | None = None
    ask: int | None = None
    bid_size: int = 0
    ask_size: int = 0
    last_price: int | None = None
    volume: int = 0
    volume_24h: int = 0
    open_interest: int = 0
    ranges: Ranges = ()
    price_structure: str = ""  # a label; `ranges` counts
    result: str = ""
    settlement_value: int | None = None  # pips
    settled_ns: int = 0
    can_close_early: bool = False
    exchange_index: int = 0
    created_ns: int = 0
    updated_ns: int = 0
    expected_expiration_ns: int = 0
    latest_expiration_ns: int = 0
    occurrence_ns: int = 0
    fee_waiver_ends_ns: int = 0
    settlement_timer_s: int = 0
    settlement_bounds: str = ""
    expiration_value: str = ""
    early_close_condition: str = ""
    yes_subtitle: str = ""
    no_subtitle: str = ""
    rules: str = ""
    further_rules: str = ""
    notional: int = 10_000  # pips that a winning contract pays
    previous_price: int | None = None
    previous_bid: int | None = None
    previous_ask: int | None = None  # a dollar: there was a day before, and no ask
    strike: Strike | None = None
    is_provisional: bool = False
    collection: str = ""  # of a combo
    legs: tuple[Leg, ...] = ()  # of a combo


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """What the result is measured against, in the exchange's own words and digits."""

    type: str = ""  # greater, less, between, custom, …
    floor: Decimal | None = None
    cap: Decimal | None = None
    custom: str = ""  # a JSON object
    functional: str = ""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One of the markets a combo is made of."""

    event: str
    ticker: str
    side: str  # yes | no
    settlement_value: int | None = None  # pips


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event and the series it belongs to."""

    ticker: str
    series: str
    title: str = ""
    category: str = ""
    mutually_exclusive: bool = False
    markets: tuple[Market, ...] = ()
    subtitle: str = ""
    collateral_return: str = ""  # MECNET | DIRECNET
    strike_ns: int = 0
    strike_period: str = ""
    fee_type: str = ""  # overrides that of the series
    multiplier_ppm: int | None = None
    is_on_brokers: bool = False
    sources: tuple[tuple[str, str], ...] = ()  # (name, address)
    updated_ns: int = 0
    exchange_index: int = 0


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A series and its fees. `multiplier_ppm` scales the published schedule."""

    ticker: str
    title: str = ""
    category: str = ""
    frequency: str = ""
    fee_type: str = ""
    multiplier_ppm: int = 1_000_000
    tags: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()  # (name, address)
    contract_url: str = ""
    terms_url: str = ""
    prohibitions: tuple[str, ...] = ()
    volume: int | None = None  # lots, where asked for
    updated_ns: int = 0
    exchange_index: int = 0


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A change of fees that comes into force at a time, of a series or an event. None: an override ends."""

    name: str
    fee_type: str | None
    multiplier_ppm: int | None
    from_ns: int
    id: str = ""
    series: str = ""  # of an event


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """The order book of a market at the moment of the answer, best first."""

    ticker: str
    bids: Levels
    asks: Levels


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """A public trade as REST lists it."""

    trade_id: str
    ticker: str
    price: int
    size: int
    taker: Side
    exch_ns: int
    is_block: bool = False


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """A period of a market: open, low, high, close of bid, ask and price in pips; None where there was none."""

    end_ns: int
    bid: tuple[int, int, int, int] | None
    ask: tuple[int, int, int, int] | None
    price: tuple[int, int, int, int] | None
    volume: int
    open_interest: int
    mean: int | None = None  # micros
    previous: int | None = None  # pips: the last price before the period


class EventCandles(msgspec.Struct, frozen=True, kw_only=True):
    """The candles of all markets of an event by ticker; they end at `end_ns`, which may be before what was asked."""

    markets: dict[str, tuple[Candle, ...]]
    end_ns: int


class ExchangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the exchange is open, and whether it trades."""

    exchange_active: bool
    trading_active: bool
    transfers_active: bool | None = None
    resumes_ns: int = 0  # the exchange's own estimate
    shards: tuple[ShardStatus, ...] = ()


class ShardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The same of one shard."""

    exchange_index: int
    exchange_active: bool
    trading_active: bool
    transfers_active: bool = False
    description: str = ""


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """Trading hours of the days Monday to Sunday as (open, close) in Eastern time, valid between two times."""

    from_ns: int
    to_ns: int
    days: tuple[tuple[tuple[str, str], ...], ...]  # seven days of ("08:00", "23:00")


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When the exchange is open, and when it is closed for work on it."""

    weeks: tuple[Week, ...] = ()
    maintenance: tuple[tuple[int, int], ...] = ()  # (from, to) in ns


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: refilled continuously, tokens a second."""

    refill_rate: int
    capacity: int


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may ask for."""

    tier: str
    read: Bucket
    write: Bucket
    grants: tuple[Grant, ...] = ()


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A level an account was given."""

    level: str
    source: str
    instance: str = "event_contract"
    expires_ns: int | None = None


class EndpointCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by (method, path template as in `Request.template`); what is not listed costs `default`."""

    default: int
    costs: dict[tuple[str, str], int]
