"""Messages of the private channels and of the ticker to frames, with the deprecated words the exchange still sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kalshi_ray.core.units import DOLLAR, MILLISECOND, SECOND
from kalshi_ray.wire.bodies.own_orders import order_sums
from kalshi_ray.wire.direction import book_word, outcome_word, words_of
from kalshi_ray.wire.encode import Body, Json, Writer, market_id_of
from kalshi_ray.wire.numbers import count_text, dollars_text, micros_text, money_text, time_text
from kalshi_ray.wire.trading import (
    FillMessage,
    GroupMessage,
    OrderMessage,
    PositionMessage,
    PrivateMessage,
    TickerMessage,
)


def _fill(message: FillMessage, writer: Writer) -> Body:
    outcome = outcome_word(message.side)
    body: Json = {
        "trade_id": message.trade_id,
        "order_id": message.order_id,
        "market_ticker": message.ticker,
        "exchange_index": message.exchange_index,
        "is_taker": message.is_taker,
        **words_of(message.side),
        "purchased_side": outcome,
        "yes_price_dollars": dollars_text(message.price),
        "count_fp": count_text(message.size),
        "fee_cost": micros_text(message.fee),
        "ts": message.exch_ns // SECOND,
        "ts_ms": message.exch_ns // MILLISECOND,
    }
    if message.client_order_id:
        body["client_order_id"] = message.client_order_id
    if message.position is not None:
        body["post_position_fp"] = count_text(message.position)
    return "fill", body | ({"subaccount": message.subaccount} if message.subaccount else {})


def _order(message: OrderMessage, writer: Writer) -> Body:
    order = message.order
    outcome = outcome_word(order.side)
    body: Json = {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "exchange_index": order.exchange_index,
        "status": order.status.value,
        "outcome_side": outcome,
        "book_side": book_word(order.side),
        "side": outcome,
        "is_yes": outcome == "yes",
        "yes_price_dollars": dollars_text(order.price),
        **order_sums(order),
        "created_ts_ms": order.created_ns // MILLISECOND,
        "created_time": _millisecond_text(order.created_ns),
        "subaccount_number": order.subaccount,
    }
    if order.updated_ns:
        body["last_updated_ts_ms"] = order.updated_ns // MILLISECOND
        body["last_update_time"] = _millisecond_text(order.updated_ns)
    if order.expires_ns:
        body["expiration_ts_ms"] = order.expires_ns // MILLISECOND
        body["expiration_time"] = _millisecond_text(order.expires_ns)
    if order.self_trade is not None:
        body["self_trade_prevention_type"] = order.self_trade.value
    if order.group:
        body["order_group_id"] = order.group
    return "user_order", body | ({"last_update_reason": message.reason} if message.reason else {})


def _position(message: PositionMessage, writer: Writer) -> Body:
    body: Json = {
        "user_id": message.user_id,
        "market_ticker": message.ticker,
        "position_fp": count_text(message.position),
        "position_cost_dollars": money_text(message.cost),
        "realized_pnl_dollars": money_text(message.realized),
        "fees_paid_dollars": money_text(message.fees),
        "position_fee_cost_dollars": money_text(message.position_fees),
        "volume_fp": count_text(message.volume),
    }
    return "market_position", body | ({"subaccount": message.subaccount} if message.subaccount else {})


def _group(message: GroupMessage, writer: Writer) -> Body:
    body: Json = {"event_type": message.change, "order_group_id": message.group}
    if message.limit is not None:
        body["contracts_limit_fp"] = count_text(message.limit)
    return "order_group_updates", body | {"ts_ms": message.exch_ns // MILLISECOND}


def _ticker(message: TickerMessage, writer: Writer) -> Body:
    body: Json = {
        "market_ticker": message.ticker,
        "market_id": message.market_id or market_id_of(message.ticker),
        "price_dollars": _price(message.price, 0),
        "yes_bid_dollars": _price(message.bid, 0),
        "yes_ask_dollars": _price(message.ask, DOLLAR),
        "yes_bid_size_fp": count_text(message.bid_size),
        "yes_ask_size_fp": count_text(message.ask_size),
        "last_trade_size_fp": count_text(message.last_size),
        "volume_fp": count_text(message.volume),
        "open_interest_fp": count_text(message.open_interest),
        "dollar_volume": message.dollar_volume,
        "dollar_open_interest": message.dollar_open_interest,
        "ts": message.exch_ns // SECOND,
        "ts_ms": message.exch_ns // MILLISECOND,
        "time": _millisecond_text(message.exch_ns),
    }
    return "ticker", body


WRITERS: dict[type[PrivateMessage], Callable[[Any, Writer], Body]] = {
    FillMessage: _fill,
    OrderMessage: _order,
    PositionMessage: _position,
    GroupMessage: _group,
    TickerMessage: _ticker,
}


def _price(price: int | None, none: int) -> str:
    return dollars_text(none if price is None else price)


def _millisecond_text(time_ns: int) -> str:
    """A time to the millisecond: it says no more than its twin in milliseconds."""
    return time_text(time_ns // MILLISECOND * MILLISECOND)
