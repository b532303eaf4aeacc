"""What the exchange lists: markets, events, series, its own state and an account's limits. Units as in `trading`."""

from __future__ import annotations

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
    updated_ns: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event and the series it belongs to."""

    ticker: str
    series: str
    title: str = ""
    category: str = ""
    mutually_exclusive: bool = False
    markets: tuple[Market, ...] = ()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A series and its fees. `multiplier_ppm` scales the published schedule."""

    ticker: str
    title: str = ""
    category: str = ""
    frequency: str = ""
    fee_type: str = ""
    multiplier_ppm: int = 1_000_000


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A change of fees that comes into force at a time, of a series or an event."""

    name: str
    fee_type: str
    multiplier_ppm: int
    from_ns: int


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


class ExchangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the exchange is open, and whether it trades."""

    exchange_active: bool
    trading_active: bool


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: refilled continuously, tokens a second."""

    refill_rate: int
    capacity: int


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may ask for."""

    tier: str
    read: Bucket
    write: Bucket


class EndpointCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens by (method, path template); what is not listed costs `default`."""

    default: int
    costs: dict[tuple[str, str], int]
