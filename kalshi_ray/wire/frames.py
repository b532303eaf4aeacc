"""The frames as they stand on the wire: field for field, today's fixed-point form and the cents of before 2026-03.

Every known key is named here. Others are counted by the codec and ignored: the exchange adds fields without notice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Ladder = list[tuple[Decimal, Decimal]]  # (price, count), any order


class SnapshotBody(msgspec.Struct, forbid_unknown_fields=True):
    """An empty side's key is absent. Dollars if there are any, else cents."""

    market_ticker: str
    market_id: str = ""
    yes_dollars_fp: Ladder | None = None
    no_dollars_fp: Ladder | None = None
    yes_dollars: Ladder | None = None
    no_dollars: Ladder | None = None
    yes: Ladder | None = None
    no: Ladder | None = None
    ts: str | int = 0
    ts_ms: int = 0
    ts_ns: int = 0  # ours: a recorded time finer than milliseconds


class DeltaBody(msgspec.Struct, forbid_unknown_fields=True):
    """`client_order_id` and `subaccount` mark changes that our own order caused."""

    market_ticker: str
    side: str
    market_id: str = ""
    price_dollars: Decimal | None = None
    price: Decimal | None = None  # cents
    delta_fp: Decimal | None = None
    delta: Decimal | None = None
    client_order_id: str = ""
    subaccount: int = 0
    ts: str | int = 0
    ts_ms: int = 0
    ts_ns: int = 0


class TradeBody(msgspec.Struct, forbid_unknown_fields=True):
    """The direction of the taker is said in up to three ways."""

    market_ticker: str
    trade_id: str = ""
    yes_price_dollars: Decimal | None = None
    no_price_dollars: Decimal | None = None
    yes_price: Decimal | None = None  # cents
    no_price: Decimal | None = None
    count_fp: Decimal | None = None
    count: Decimal | None = None
    taker_book_side: str = ""
    taker_outcome_side: str = ""
    taker_side: str = ""
    is_block_trade: bool = False
    ts: str | int = 0  # seconds
    ts_ms: int = 0
    ts_ns: int = 0


class Band(msgspec.Struct):
    """One band of a price grid, in dollars."""

    start: Decimal
    end: Decimal
    step: Decimal


class CreatedBody(msgspec.Struct):
    """What a `created` market says beside its times; most of it is prose and not read."""

    event_ticker: str = ""


class LifecycleBody(msgspec.Struct, forbid_unknown_fields=True):
    """Times are whole seconds."""

    market_ticker: str
    event_type: str
    exchange_index: int | None = None
    open_ts: int | None = None
    close_ts: int | None = None
    price_level_structure: str = ""
    price_ranges: list[Band] | None = None
    additional_metadata: CreatedBody | None = None
    result: str = ""
    settlement_value: Decimal | None = None
    determination_ts: int = 0
    settled_ts: int = 0
    is_deactivated: bool | None = None
    strike_type: str = ""
    floor_strike: msgspec.Raw | None = None
    cap_strike: msgspec.Raw | None = None
    custom_strike: msgspec.Raw | None = None
    yes_sub_title: str = ""
    ts: str | int = 0
    ts_ms: int = 0
    ts_ns: int = 0


class EventBody(msgspec.Struct, forbid_unknown_fields=True):
    """An event as it is created."""

    event_ticker: str
    series_ticker: str
    exchange_index: int = 0
    title: str = ""
    subtitle: str = ""
    collateral_return_type: str = ""
    strike_date: int = 0
    strike_period: str = ""


class FeeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Null: the override is cleared."""

    event_ticker: str
    fee_type_override: str | None
    fee_multiplier_override: Decimal | None


class SubscribedBody(msgspec.Struct, forbid_unknown_fields=True):
    """The channel that answers on `sid`."""

    channel: str
    sid: int


class ListedBody(msgspec.Struct):
    """One of the subscriptions that there are."""

    channel: str
    sid: int


class ErrorBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why a command failed or a subscription ended."""

    code: int
    msg: str = ""
    market_id: str = ""
    market_ticker: str = ""
    market_tickers: list[str] = []


class RowBody(msgspec.Struct, forbid_unknown_fields=True):
    """Ours: one row of a session's updates, in its own units."""

    market_ticker: str
    kind: str
    side: int = -1
    price: int = 0
    size: int = 0
    taker: int = -1
    flags: int = 0
    ts_ns: int = 0


class Frame(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """The envelope."""

    sid: int = 0
    seq: int = 0
    id: int = 0
    sending_ts_ms: int = 0


class SnapshotFrame(Frame, tag="orderbook_snapshot", kw_only=True):
    """Answers `get_snapshot` with the command's id, else unasked."""

    msg: SnapshotBody


class DeltaFrame(Frame, tag="orderbook_delta", kw_only=True):
    """One level changed."""

    msg: DeltaBody


class TradeFrame(Frame, tag="trade", kw_only=True):
    """A public print."""

    msg: TradeBody


class LifecycleFrame(Frame, tag="market_lifecycle_v2", kw_only=True):
    """A step in the life of a market."""

    msg: LifecycleBody


class ComboLifecycleFrame(Frame, tag="multivariate_market_lifecycle", kw_only=True):
    """The same for combo markets."""

    msg: LifecycleBody


class EventFrame(Frame, tag="event_lifecycle", kw_only=True):
    """A new event."""

    msg: EventBody


class FeeFrame(Frame, tag="event_fee_update", kw_only=True):
    """Fees of an event."""

    msg: FeeBody


class SubscribedFrame(Frame, tag="subscribed", kw_only=True):
    """The answer to a subscription. Its sid stands inside, not in the envelope."""

    msg: SubscribedBody


class OkFrame(Frame, tag="ok", kw_only=True):
    """`msg` is an object, a list of subscriptions, or absent."""

    msg: msgspec.Raw = msgspec.Raw(b"null")


class UnsubscribedFrame(Frame, tag="unsubscribed", kw_only=True):
    """The last frame of a sid."""

    msg: msgspec.Raw = msgspec.Raw(b"null")


class ErrorFrame(Frame, tag="error", kw_only=True):
    """A command failed or a subscription ended."""

    msg: ErrorBody


class RowFrame(Frame, tag="recorder_row", kw_only=True):
    """Ours: what a tape says and no frame of the exchange can."""

    msg: RowBody


class SkipFrame(Frame, tag="recorder_skip", kw_only=True):
    """Ours: the numbers up to this one came and carried no row."""


class FactsBody(msgspec.Struct):
    """What the books of a recording are made of."""

    depth: Literal["full", "best"]
    sizes: Literal["observed", "assumed"]
    assumed_size: int = 0


class FactsFrame(Frame, tag="recorder_facts", kw_only=True):
    """Ours: depth and sizes of a recording that was not made of the exchange's frames."""

    msg: FactsBody


AnyFrame = (
    SnapshotFrame
    | DeltaFrame
    | TradeFrame
    | LifecycleFrame
    | ComboLifecycleFrame
    | EventFrame
    | FeeFrame
    | SubscribedFrame
    | OkFrame
    | UnsubscribedFrame
    | ErrorFrame
    | RowFrame
    | SkipFrame
    | FactsFrame
)


class OkBody(msgspec.Struct):
    """The full list of tickers of a subscription, where it is not skipped."""

    market_tickers: list[str] | None = None


class Envelope(msgspec.Struct):
    """What can be read of a frame of any type."""

    type: str
    sid: int | None = None
    seq: int | None = None
    sending_ts_ms: int | None = None
