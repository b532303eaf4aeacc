"""Frames of the private channels and of the ticker to messages.

A frame whose direction or status is a word that is not known has no message: it is counted and kept as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.wire import frames_private as wire
from kalshi_ray.wire.decode import Envelope, Reading, time_of_body
from kalshi_ray.wire.direction import side_of_fill, side_of_order
from kalshi_ray.wire.frames import Frame
from kalshi_ray.wire.numbers import (
    lots_of,
    micros_of,
    milliseconds,
    pips_of_cents,
    pips_of_dollars,
    time_or_none,
)
from kalshi_ray.wire.trading import (
    FillMessage,
    GroupMessage,
    Order,
    OrderMessage,
    OrderStatus,
    PositionMessage,
    PrivateMessage,
    SelfTrade,
    TickerMessage,
)

_STATUS = {status.value: status for status in OrderStatus}
_SELF_TRADE = {word.value: word for word in SelfTrade}
_GROUP_CHANGES = ("created", "limit_updated", "triggered", "reset", "deleted")


def _fill(frame: wire.FillFrame, envelope: Envelope, reading: Reading) -> FillMessage | None:
    body = frame.msg
    side = side_of_fill(body.book_side, body.outcome_side, body.purchased_side or body.side)
    if side is Side.NONE:
        reading.unknown_words[f"fill side {body.book_side or body.outcome_side or body.side}"] += 1
        return None
    return FillMessage(
        **envelope,
        trade_id=body.trade_id,
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        ticker=body.market_ticker,
        side=side,
        price=pips_of_dollars(body.yes_price_dollars, "yes_price_dollars"),
        size=lots_of(body.count_fp, "count_fp"),
        is_taker=body.is_taker,
        fee=micros_of(body.fee_cost, "fee_cost"),
        position=None if body.post_position_fp is None else lots_of(body.post_position_fp, "post_position_fp"),
        exch_ns=time_of_body(body),
        subaccount=body.subaccount,
        exchange_index=body.exchange_index,
    )


def _order(frame: wire.UserOrderFrame, envelope: Envelope, reading: Reading) -> OrderMessage | None:
    body = frame.msg
    side, status = _side_of(body), _STATUS.get(body.status)
    if side is Side.NONE or status is None:
        said = f"status {body.status}" if status is None else f"side {body.book_side or body.outcome_side or body.side}"
        reading.unknown_words[f"user_order {said}"] += 1
        return None
    word = body.self_trade_prevention_type
    if word and word not in _SELF_TRADE:
        reading.unknown_words[f"user_order self_trade_prevention_type {word}"] += 1
    order = Order(
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        ticker=body.ticker,
        side=side,
        price=pips_of_dollars(body.yes_price_dollars, "yes_price_dollars"),
        status=status,
        size=lots_of(body.initial_count_fp, "initial_count_fp"),
        filled=lots_of(body.fill_count_fp, "fill_count_fp"),
        remaining=lots_of(body.remaining_count_fp, "remaining_count_fp"),
        taker_cost=micros_of(body.taker_fill_cost_dollars, "taker_fill_cost_dollars"),
        maker_cost=micros_of(body.maker_fill_cost_dollars, "maker_fill_cost_dollars"),
        taker_fees=micros_of(body.taker_fees_dollars, "taker_fees_dollars"),
        maker_fees=micros_of(body.maker_fees_dollars, "maker_fees_dollars"),
        self_trade=_SELF_TRADE.get(word),
        group=body.order_group_id,
        created_ns=_time(body.created_ts_ms, body.created_time),
        updated_ns=_time(body.last_updated_ts_ms, body.last_update_time),
        expires_ns=_time(body.expiration_ts_ms, body.expiration_time),
        subaccount=body.subaccount_number,
        exchange_index=body.exchange_index,
        user_id=body.user_id,
    )
    return OrderMessage(**envelope, order=order, reason=body.last_update_reason)


def _side_of(body: wire.UserOrderBody) -> Side:
    """Without today's words and without an action, `is_yes` says the outcome."""
    if body.book_side or body.outcome_side or body.action:
        return side_of_order(body.book_side, body.outcome_side, body.action, body.side)
    if body.is_yes is None:
        return Side.NONE
    return Side.BID if body.is_yes else Side.ASK


def _position(frame: wire.PositionFrame, envelope: Envelope, reading: Reading) -> PositionMessage:
    body = frame.msg
    return PositionMessage(
        **envelope,
        ticker=body.market_ticker,
        position=lots_of(body.position_fp, "position_fp"),
        cost=micros_of(body.position_cost_dollars, "position_cost_dollars"),
        realized=micros_of(body.realized_pnl_dollars, "realized_pnl_dollars"),
        fees=micros_of(body.fees_paid_dollars, "fees_paid_dollars"),
        position_fees=micros_of(body.position_fee_cost_dollars, "position_fee_cost_dollars"),
        volume=lots_of(body.volume_fp, "volume_fp"),
        user_id=body.user_id,
        subaccount=body.subaccount,
    )


def _group(frame: wire.GroupFrame, envelope: Envelope, reading: Reading) -> GroupMessage:
    body = frame.msg
    if body.event_type not in _GROUP_CHANGES:
        reading.unknown_words[f"order_group_updates {body.event_type}"] += 1
    limit = body.contracts_limit_fp
    return GroupMessage(
        **envelope,
        group=body.order_group_id,
        change=body.event_type,
        limit=None if limit is None else lots_of(limit, "contracts_limit_fp"),
        exch_ns=time_of_body(body),
    )


def _ticker(frame: wire.TickerFrame, envelope: Envelope, reading: Reading) -> TickerMessage:
    body = frame.msg
    return TickerMessage(
        **envelope,
        ticker=body.market_ticker,
        price=_price(body.price_dollars, body.price, none=0),
        bid=_price(body.yes_bid_dollars, body.yes_bid, none=0),
        ask=_price(body.yes_ask_dollars, body.yes_ask, none=DOLLAR),
        bid_size=_lots(body.yes_bid_size_fp, None),
        ask_size=_lots(body.yes_ask_size_fp, None),
        last_size=_lots(body.last_trade_size_fp, None),
        volume=_lots(body.volume_fp, body.volume),
        open_interest=_lots(body.open_interest_fp, body.open_interest),
        dollar_volume=body.dollar_volume,
        dollar_open_interest=body.dollar_open_interest,
        exch_ns=time_of_body(body) or time_or_none(body.time),
        market_id=body.market_id,
    )


def _price(dollars: Decimal | None, cents: Decimal | None, *, none: int) -> int | None:
    """A price, or None at the end of the scale that stands for none."""
    if dollars is None and cents is None:
        return None
    price = pips_of_dollars(dollars) if dollars is not None else pips_of_cents(cents or Decimal(0))
    return None if price in (0, none) else price


def _lots(exact: Decimal | None, whole: Decimal | None) -> int:
    count = whole if exact is None else exact
    return 0 if count is None else lots_of(count)


def _time(ts_ms: int, text: str) -> int:
    return milliseconds(ts_ms) if ts_ms else time_or_none(text)


READERS: dict[type[Frame], Callable[[Any, Envelope, Reading], PrivateMessage | None]] = {
    wire.FillFrame: _fill,
    wire.UserOrderFrame: _order,
    wire.PositionFrame: _position,
    wire.GroupFrame: _group,
    wire.TickerFrame: _ticker,
}
