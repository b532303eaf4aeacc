"""The frames of the private channels and of the ticker as they stand on the wire, deprecated words included."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from kalshi_ray.wire.frames import Frame

ZERO = Decimal(0)


class FillBody(msgspec.Struct, forbid_unknown_fields=True):
    """One match of an own order; the price is on the YES scale whatever the side."""

    order_id: str
    market_ticker: str
    is_taker: bool
    yes_price_dollars: Decimal
    count_fp: Decimal
    trade_id: str = ""
    client_order_id: str = ""
    exchange_index: int = 0
    outcome_side: str = ""
    book_side: str = ""
    side: str = ""  # deprecated, as action and purchased_side
    action: str = ""
    purchased_side: str = ""
    fee_cost: Decimal = ZERO
    post_position_fp: Decimal | None = None
    subaccount: int = 0
    ts: str | int = 0  # seconds
    ts_ms: int = 0
    ts_ns: int = 0


class UserOrderBody(msgspec.Struct, forbid_unknown_fields=True):
    """An own order after a change."""

    order_id: str
    ticker: str
    status: str
    yes_price_dollars: Decimal
    initial_count_fp: Decimal
    fill_count_fp: Decimal
    remaining_count_fp: Decimal
    user_id: str = ""
    client_order_id: str = ""
    exchange_index: int = 0
    outcome_side: str = ""
    book_side: str = ""
    side: str = ""  # deprecated, as is_yes and action
    is_yes: bool | None = None
    action: str = ""
    taker_fill_cost_dollars: Decimal = ZERO
    maker_fill_cost_dollars: Decimal = ZERO
    taker_fees_dollars: Decimal = ZERO
    maker_fees_dollars: Decimal = ZERO
    self_trade_prevention_type: str = ""
    order_group_id: str = ""
    last_update_reason: str = ""
    created_ts_ms: int = 0
    last_updated_ts_ms: int = 0
    expiration_ts_ms: int = 0
    created_time: str = ""  # deprecated, as the two others
    last_update_time: str = ""
    expiration_time: str = ""
    subaccount_number: int = 0


class PositionBody(msgspec.Struct, forbid_unknown_fields=True):
    """An own position after a change."""

    market_ticker: str
    position_fp: Decimal
    user_id: str = ""
    position_cost_dollars: Decimal = ZERO
    realized_pnl_dollars: Decimal = ZERO
    fees_paid_dollars: Decimal = ZERO
    position_fee_cost_dollars: Decimal = ZERO
    volume_fp: Decimal = ZERO
    subaccount: int = 0


class GroupBody(msgspec.Struct, forbid_unknown_fields=True):
    """A change of an order group."""

    event_type: str
    order_group_id: str
    contracts_limit_fp: Decimal | None = None
    ts: str | int = 0
    ts_ms: int = 0
    ts_ns: int = 0


class TickerBody(msgspec.Struct, forbid_unknown_fields=True):
    """Last price and touch. Cents and whole contracts are of before 2026-03."""

    market_ticker: str
    market_id: str = ""
    price_dollars: Decimal | None = None
    yes_bid_dollars: Decimal | None = None
    yes_ask_dollars: Decimal | None = None
    no_bid_dollars: Decimal | None = None
    no_ask_dollars: Decimal | None = None
    yes_bid_size_fp: Decimal | None = None
    yes_ask_size_fp: Decimal | None = None
    last_trade_size_fp: Decimal | None = None
    volume_fp: Decimal | None = None
    open_interest_fp: Decimal | None = None
    price: Decimal | None = None
    yes_bid: Decimal | None = None
    yes_ask: Decimal | None = None
    volume: Decimal | None = None
    open_interest: Decimal | None = None
    dollar_volume: int = 0
    dollar_open_interest: int = 0
    time: str = ""
    ts: str | int = 0  # seconds
    ts_ms: int = 0
    ts_ns: int = 0


class FillFrame(Frame, tag="fill", kw_only=True):
    """An own fill."""

    msg: FillBody


class UserOrderFrame(Frame, tag="user_order", kw_only=True):
    """Of the channel `user_orders`."""

    msg: UserOrderBody


class PositionFrame(Frame, tag="market_position", kw_only=True):
    """Of the channel `market_positions`."""

    msg: PositionBody


class GroupFrame(Frame, tag="order_group_updates", kw_only=True):
    """The only private channel with sequence numbers."""

    msg: GroupBody


class TickerFrame(Frame, tag="ticker", kw_only=True):
    """Public, and without sequence numbers."""

    msg: TickerBody


PrivateFrame = FillFrame | UserOrderFrame | PositionFrame | GroupFrame | TickerFrame
