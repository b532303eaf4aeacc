"""Bodies of writes as they are asked for: orders, cancels, amendments and decreases, singly and in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.direction import book_word
from kalshi_ray.wire.numbers import (
    count_text,
    dollars_text,
    lots_of_text,
    pips_of_text,
)
from kalshi_ray.wire.refusals import RequestRefused, bad_request, read_request, refusal
from kalshi_ray.wire.shapes import Shape
from kalshi_ray.wire.trading import (
    AUTO_ROUTE,
    Amendment,
    Cancel,
    Decrease,
    OrderRequest,
    Refused,
    SelfTrade,
    TimeInForce,
)

Json = dict[str, Any]
SideWord = Literal["bid", "ask"]

_SIDES = {"bid": Side.BID, "ask": Side.ASK}
_LATEST = 2**33  # seconds: a time in milliseconds is refused


class _OrderBody(msgspec.Struct):
    ticker: str
    side: SideWord
    count: str
    price: str
    time_in_force: TimeInForce
    self_trade_prevention_type: SelfTrade
    client_order_id: str = ""
    post_only: bool = False
    reduce_only: bool = False
    cancel_order_on_pause: bool = False
    expiration_time: int = 0
    order_group_id: str = ""
    subaccount: int = 0
    exchange_index: int = AUTO_ROUTE


class _AmendBody(msgspec.Struct):
    ticker: str
    side: SideWord
    price: str
    count: str
    client_order_id: str = ""
    updated_client_order_id: str = ""
    expiration_time: int | None = None
    exchange_index: int = AUTO_ROUTE


class _DecreaseBody(msgspec.Struct):
    reduce_by: str | None = None
    reduce_to: str | None = None
    market_ticker: str = ""
    exchange_index: int = AUTO_ROUTE


class _CancelBody(msgspec.Struct):
    order_id: str
    market_ticker: str = ""
    exchange_index: int = AUTO_ROUTE
    subaccount: int = 0


class _OrdersBody(msgspec.Struct):
    orders: list[_OrderBody]


class _CancelsBody(msgspec.Struct):
    orders: list[_CancelBody]


_order = Shape(_OrderBody)
_amend = Shape(_AmendBody)
_decrease = Shape(_DecreaseBody)
_orders = Shape(_OrdersBody)
_cancels = Shape(_CancelsBody)


def read_order_request(raw: bytes) -> OrderRequest:
    """An order as it comes to the exchange. RequestRefused with the exchange's answer where it cannot be read."""
    return _asked(read_request(_order, raw))


def write_order_request(order: OrderRequest) -> bytes:
    """The body of a create."""
    return msgspec.json.encode(_order_keys(order))


def read_create_batch(raw: bytes) -> tuple[OrderRequest | Refused, ...]:
    """The orders of a batch; one with a price or count that is none is refused for itself."""
    return tuple(_each(_asked, body) for body in read_request(_orders, raw).orders)


def write_create_batch(orders: Sequence[OrderRequest]) -> bytes:
    """The body of a batched create."""
    return msgspec.json.encode({"orders": [_order_keys(order) for order in orders]})


def read_cancel_batch(raw: bytes) -> tuple[Cancel, ...]:
    """The cancels of a batch."""
    return tuple(
        Cancel(
            order_id=one.order_id,
            ticker=one.market_ticker,
            subaccount=one.subaccount,
            exchange_index=one.exchange_index,
        )
        for one in read_request(_cancels, raw).orders
    )


def write_cancel_batch(cancels: Sequence[Cancel]) -> bytes:
    """The body of a batched cancel."""
    return msgspec.json.encode({"orders": [_cancel_keys(cancel) for cancel in cancels]})


def read_amendment(raw: bytes, order_id: str, *, subaccount: int = 0) -> Amendment:
    """An amendment of the order that the path names."""
    body = read_request(_amend, raw)
    return Amendment(
        order_id=order_id,
        ticker=body.ticker,
        side=_SIDES[body.side],
        price=_price(body.price),
        size=_count(body.count),
        client_order_id=body.client_order_id,
        updated_client_order_id=body.updated_client_order_id,
        expires_ns=None if body.expiration_time is None else _expiry(body.expiration_time),
        subaccount=subaccount,
        exchange_index=body.exchange_index,
    )


def write_amendment(amendment: Amendment) -> bytes:
    """The body of an amendment."""
    body: Json = {
        "ticker": amendment.ticker,
        "side": book_word(amendment.side),
        "price": dollars_text(amendment.price),
        "count": count_text(amendment.size),
    }
    if amendment.client_order_id:
        body["client_order_id"] = amendment.client_order_id
    if amendment.updated_client_order_id:
        body["updated_client_order_id"] = amendment.updated_client_order_id
    if amendment.expires_ns is not None:
        body["expiration_time"] = _expiry_second(amendment.expires_ns)
    return msgspec.json.encode(body | {"exchange_index": amendment.exchange_index})


def read_decrease(raw: bytes, order_id: str, *, subaccount: int = 0) -> Decrease:
    """A decrease of the order that the path names: exactly one of reduce_by and reduce_to."""
    body = read_request(_decrease, raw)
    if (body.reduce_by is None) == (body.reduce_to is None):
        raise bad_request("exactly one of reduce_by and reduce_to must be provided")
    return Decrease(
        order_id=order_id,
        ticker=body.market_ticker,
        by=None if body.reduce_by is None else _count(body.reduce_by),
        to=None if body.reduce_to is None else _count(body.reduce_to),
        subaccount=subaccount,
        exchange_index=body.exchange_index,
    )


def write_decrease(decrease: Decrease) -> bytes:
    """The body of a decrease."""
    if (decrease.by is None) == (decrease.to is None):
        raise WireError(
            f"a decrease of {decrease.order_id} says exactly one of by ({decrease.by}) and to ({decrease.to})"
        )
    body: Json = {} if decrease.by is None else {"reduce_by": count_text(decrease.by)}
    if decrease.to is not None:
        body["reduce_to"] = count_text(decrease.to)
    if decrease.ticker:
        body["market_ticker"] = decrease.ticker
    return msgspec.json.encode(body | {"exchange_index": decrease.exchange_index})


def _order_keys(order: OrderRequest) -> Json:
    keys: Json = {
        "ticker": order.ticker,
        "client_order_id": order.client_order_id,
        "side": book_word(order.side),
        "count": count_text(order.size),
        "price": dollars_text(order.price),
        "time_in_force": order.time_in_force.value,
        "self_trade_prevention_type": order.self_trade.value,
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "cancel_order_on_pause": order.cancel_on_pause,
        "subaccount": order.subaccount,
        "exchange_index": order.exchange_index,
    }
    if order.expires_ns:
        keys["expiration_time"] = _expiry_second(order.expires_ns)
    if order.group:
        keys["order_group_id"] = order.group
    return keys


def _cancel_keys(cancel: Cancel) -> Json:
    keys: Json = {"order_id": cancel.order_id, "exchange_index": cancel.exchange_index}
    if cancel.ticker:
        keys["market_ticker"] = cancel.ticker
    if cancel.subaccount:
        keys["subaccount"] = cancel.subaccount
    return keys


def _asked(body: _OrderBody) -> OrderRequest:
    return OrderRequest(
        ticker=body.ticker,
        client_order_id=body.client_order_id,
        side=_SIDES[body.side],
        size=_count(body.count),
        price=_price(body.price),
        time_in_force=body.time_in_force,
        self_trade=body.self_trade_prevention_type,
        post_only=body.post_only,
        reduce_only=body.reduce_only,
        cancel_on_pause=body.cancel_order_on_pause,
        expires_ns=_expiry(body.expiration_time),
        group=body.order_group_id,
        subaccount=body.subaccount,
        exchange_index=body.exchange_index,
    )


def _each(read: Callable[[_OrderBody], OrderRequest], body: _OrderBody) -> OrderRequest | Refused:
    try:
        return read(body)
    except RequestRefused as error:
        return error.refused


def _price(text: str) -> int:
    try:
        return pips_of_text(text)
    except WireError as error:
        raise RequestRefused(refusal(400, "invalid_price", str(error))) from error


def _count(text: str) -> int:
    try:
        return lots_of_text(text)
    except WireError as error:
        raise RequestRefused(refusal(400, "invalid_order_size", str(error))) from error


def _expiry(second: int) -> int:
    if not 0 <= second < _LATEST:
        raise bad_request(f"expiration_time {second} is not a time in seconds")
    return second * SECOND


def _expiry_second(time_ns: int) -> int:
    if time_ns % SECOND:
        raise WireError(f"an order expires at a whole second, not at {time_ns} ns")
    return time_ns // SECOND
