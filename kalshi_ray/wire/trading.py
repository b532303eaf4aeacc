"""Orders and accounts as values: what is asked of the exchange and what it answers, on the YES axis, in integers.

Prices in pips, sizes in lots, money in micros, times in nanoseconds since the epoch. A time of 0 and an empty text mean
that nothing was said; None means that it does not exist.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, Literal, TypeVar

import msgspec

from kalshi_ray.core.units import Side
from kalshi_ray.wire.messages import AnyMessage, Message

AUTO_ROUTE = -1  # exchange index: by the market's ticker

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. An empty cursor ends it."""

    items: tuple[T, ...] = ()
    cursor: str = ""


class TimeInForce(Enum):
    """How long an order may rest, in the exchange's words."""

    GTC = "good_till_canceled"
    IOC = "immediate_or_cancel"
    FOK = "fill_or_kill"


class SelfTrade(Enum):
    """Which of two own orders gives way when they would meet."""

    TAKER_AT_CROSS = "taker_at_cross"  # the incoming remainder is cancelled
    MAKER = "maker"  # the resting one is cancelled


class OrderStatus(Enum):
    """Where an order stands, in the exchange's words."""

    RESTING = "resting"
    CANCELED = "canceled"
    EXECUTED = "executed"


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be placed. BID buys YES, ASK sells YES (buys NO at one dollar less the price)."""

    ticker: str
    client_order_id: str
    side: Side
    size: int
    price: int
    time_in_force: TimeInForce = TimeInForce.GTC
    self_trade: SelfTrade = SelfTrade.TAKER_AT_CROSS
    post_only: bool = False
    reduce_only: bool = False  # with IOC alone
    cancel_on_pause: bool = False
    expires_ns: int = 0  # whole seconds; with GTC alone
    group: str = ""
    subaccount: int = 0
    exchange_index: int = AUTO_ROUTE


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """Another price or size for a working order. `size` is the total: filled and wanted to rest."""

    order_id: str
    ticker: str
    side: Side
    price: int
    size: int
    client_order_id: str = ""
    updated_client_order_id: str = ""
    expires_ns: int | None = None  # None: as before; 0: never
    subaccount: int = 0
    exchange_index: int = AUTO_ROUTE


class Decrease(msgspec.Struct, frozen=True, kw_only=True):
    """Less of a working order, which keeps its place: exactly one of `by` and `to`, remaining lots."""

    order_id: str
    ticker: str
    by: int | None = None
    to: int | None = None
    subaccount: int = 0
    exchange_index: int = AUTO_ROUTE


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Take a working order back."""

    order_id: str
    ticker: str
    subaccount: int = 0
    exchange_index: int = AUTO_ROUTE


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an order request or an amendment. Averages are of what filled at once, and None without a fill.

    `remaining` is None where an amendment neither filled nor changed what rests.
    """

    order_id: str
    client_order_id: str
    filled: int
    remaining: int | None
    average_price: int | None = None  # micros a contract
    average_fee: int | None = None  # micros a contract
    ts_ns: int = 0


class Reduced(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a cancel (`reduced_by`) or a decrease (`remaining`)."""

    order_id: str
    client_order_id: str
    reduced_by: int | None = None
    remaining: int | None = None
    ts_ns: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange says when it does not do what was asked: one shape for all of its own."""

    status: int  # of HTTP; 0 inside a batch
    code: str
    message: str = ""
    details: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the exchange knows it. `price` is its limit, not what it filled at."""

    order_id: str
    client_order_id: str
    ticker: str
    side: Side
    price: int
    status: OrderStatus
    size: int  # in all
    filled: int
    remaining: int
    taker_cost: int = 0
    maker_cost: int = 0
    taker_fees: int = 0
    maker_fees: int = 0
    self_trade: SelfTrade | None = None
    group: str = ""
    created_ns: int = 0
    updated_ns: int = 0
    expires_ns: int = 0
    subaccount: int = 0
    exchange_index: int = 0
    user_id: str = ""
    cancel_on_pause: bool = False


class QueuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """Lots in front of a working order at its level."""

    order_id: str
    ticker: str
    ahead: int


class AccountFill(msgspec.Struct, frozen=True, kw_only=True):
    """An execution of an own order, as REST lists it. BID made us longer YES."""

    trade_id: str
    order_id: str
    ticker: str
    side: Side
    price: int
    size: int
    is_taker: bool
    fee: int
    exch_ns: int
    subaccount: int = 0
    exchange_index: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What is held in one market: signed lots, YES positive."""

    ticker: str
    position: int
    exposure: int = 0  # micros
    traded: int = 0
    realized: int = 0
    fees: int = 0
    updated_ns: int = 0
    exchange_index: int = 0


class EventPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What is held in all markets of an event."""

    event: str
    cost: int = 0  # micros
    size: int = 0  # lots traded, YES and NO
    exposure: int = 0
    realized: int = 0
    fees: int = 0


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """One page of positions: by market and by event, under one cursor."""

    markets: tuple[Position, ...] = ()
    events: tuple[EventPosition, ...] = ()
    cursor: str = ""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Cash, and what positions are worth by the exchange's reckoning."""

    cash: int  # micros
    portfolio_value: int
    updated_ns: int
    by_shard: tuple[tuple[int, int], ...] = ()  # (exchange index, micros)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What a market paid at its end."""

    ticker: str
    event: str
    result: Literal["yes", "no", "scalar"] | str
    yes_size: int
    no_size: int
    yes_cost: int
    no_cost: int
    revenue: int  # micros
    value: int | None  # pips a YES paid
    fee: int
    settled_ns: int
    exchange_index: int = 0


class GroupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order group to be made. More than `limit` lots filled within 15 s cancel all of its orders."""

    limit: int
    subaccount: int = 0
    exchange_index: int = 0


class GroupCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a group request."""

    group: str
    subaccount: int = 0
    exchange_index: int = 0


class OrderGroup(msgspec.Struct, frozen=True, kw_only=True):
    """An order group. Its orders are named where one group was asked for, not in lists."""

    group: str
    limit: int | None = None  # lots
    is_auto_cancel_enabled: bool = True
    orders: tuple[str, ...] = ()
    exchange_index: int = 0


class FillMessage(Message, frozen=True, kw_only=True):
    """One match of an own order. `position` is what is held in the market afterwards."""

    trade_id: str
    order_id: str
    client_order_id: str
    ticker: str
    side: Side  # BID: longer YES
    price: int
    size: int
    is_taker: bool
    fee: int
    position: int | None = None
    exch_ns: int = 0
    subaccount: int = 0
    exchange_index: int = 0


class OrderMessage(Message, frozen=True, kw_only=True):
    """An own order as it stands after a change; `reason` in the exchange's words, where it says one."""

    order: Order
    reason: str = ""


class PositionMessage(Message, frozen=True, kw_only=True):
    """An own position as it stands after a change."""

    ticker: str
    position: int
    cost: int
    realized: int
    fees: int
    position_fees: int
    volume: int
    user_id: str = ""
    subaccount: int = 0


class GroupMessage(Message, frozen=True, kw_only=True):
    """A change of an order group: created, limit_updated, triggered, reset, deleted."""

    group: str
    change: str
    limit: int | None = None  # lots
    exch_ns: int = 0


class TickerMessage(Message, frozen=True, kw_only=True):
    """The last price and the touch of a market. None where a side is missing."""

    ticker: str
    price: int | None
    bid: int | None
    ask: int | None
    bid_size: int = 0
    ask_size: int = 0
    last_size: int = 0
    volume: int = 0
    open_interest: int = 0
    dollar_volume: int = 0  # whole dollars
    dollar_open_interest: int = 0
    exch_ns: int = 0
    market_id: str = ""


PrivateMessage = FillMessage | OrderMessage | PositionMessage | GroupMessage | TickerMessage
StreamMessage = AnyMessage | PrivateMessage  # all that a frame can say
