"""Bodies of reads of own orders: the orders, what is ahead of them, and their fills."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.direction import side_of_fill, side_of_order, words_of
from kalshi_ray.wire.numbers import (
    NO_TIME,
    count_text,
    dollars_text,
    lots_of,
    micros_of,
    micros_text,
    pips_of_dollars,
    time_or_none,
    time_text,
)
from kalshi_ray.wire.shapes import Shape, Unknown
from kalshi_ray.wire.trading import AccountFill, Order, OrderStatus, Page, QueuePosition, SelfTrade

Json = dict[str, Any]
ZERO = Decimal(0)


class OrderBody(msgspec.Struct):
    """An order in a list; the prices are its limit."""

    order_id: str
    ticker: str
    status: OrderStatus
    yes_price_dollars: Decimal
    fill_count_fp: Decimal
    remaining_count_fp: Decimal
    initial_count_fp: Decimal
    client_order_id: str = ""
    user_id: str = ""
    outcome_side: str = ""
    book_side: str = ""
    side: str = ""  # deprecated, as action
    action: str = ""
    type: str = ""
    no_price_dollars: Decimal | None = None
    taker_fill_cost_dollars: Decimal = ZERO
    maker_fill_cost_dollars: Decimal = ZERO
    taker_fees_dollars: Decimal = ZERO
    maker_fees_dollars: Decimal = ZERO
    created_time: str | None = None
    last_update_time: str | None = None
    expiration_time: str | None = None
    self_trade_prevention_type: str | None = None
    order_group_id: str | None = None
    cancel_order_on_pause: bool = False
    subaccount_number: int | None = None
    exchange_index: int = 0


class _OrderPage(msgspec.Struct):
    orders: list[OrderBody]
    cursor: str = ""


class _OneOrder(msgspec.Struct):
    order: OrderBody


class _QueueBody(msgspec.Struct):
    order_id: str
    market_ticker: str
    queue_position_fp: Decimal


class _QueuePage(msgspec.Struct):
    queue_positions: list[_QueueBody]


class _OneQueue(msgspec.Struct):
    queue_position_fp: Decimal


class _FillBody(msgspec.Struct):
    order_id: str
    count_fp: Decimal
    yes_price_dollars: Decimal
    is_taker: bool
    fee_cost: Decimal
    trade_id: str = ""
    fill_id: str = ""
    ticker: str = ""
    market_ticker: str = ""
    outcome_side: str = ""
    book_side: str = ""
    side: str = ""
    action: str = ""
    no_price_dollars: Decimal | None = None
    created_time: str | None = None
    ts: int = 0
    subaccount_number: int | None = None
    exchange_index: int = 0


class _FillPage(msgspec.Struct):
    fills: list[_FillBody]
    cursor: str = ""


_order_page = Shape(_OrderPage)
_one_order = Shape(_OneOrder)
_queue_page = Shape(_QueuePage)
_one_queue = Shape(_OneQueue)
_fill_page = Shape(_FillPage)


def read_orders(raw: bytes, unknown: Unknown = None) -> Page[Order]:
    """A page of orders."""
    page = _order_page.read(raw, unknown)
    return Page(tuple(_order_of(body, unknown) for body in page.orders), page.cursor)


def write_orders(page: Page[Order]) -> bytes:
    """A page of orders."""
    return msgspec.json.encode({"orders": [_order_keys(order) for order in page.items], "cursor": page.cursor})


def read_order(raw: bytes, unknown: Unknown = None) -> Order:
    """One order."""
    return _order_of(_one_order.read(raw, unknown).order, unknown)


def write_order(order: Order) -> bytes:
    """One order."""
    return msgspec.json.encode({"order": _order_keys(order)})


def read_queue_positions(raw: bytes, unknown: Unknown = None) -> tuple[QueuePosition, ...]:
    """What is ahead of several orders."""
    return tuple(
        QueuePosition(order_id=one.order_id, ticker=one.market_ticker, ahead=lots_of(one.queue_position_fp))
        for one in _queue_page.read(raw, unknown).queue_positions
    )


def write_queue_positions(positions: Sequence[QueuePosition]) -> bytes:
    """What is ahead of several orders."""
    items = [
        {"order_id": one.order_id, "market_ticker": one.ticker, "queue_position_fp": count_text(one.ahead)}
        for one in positions
    ]
    return msgspec.json.encode({"queue_positions": items})


def read_queue_position(raw: bytes, unknown: Unknown = None) -> int:
    """Lots ahead of one order."""
    return lots_of(_one_queue.read(raw, unknown).queue_position_fp, "queue_position_fp")


def write_queue_position(ahead: int) -> bytes:
    """Lots ahead of one order."""
    return msgspec.json.encode({"queue_position_fp": count_text(ahead)})


def read_fills(raw: bytes, unknown: Unknown = None) -> Page[AccountFill]:
    """A page of fills."""
    page = _fill_page.read(raw, unknown)
    return Page(tuple(map(_fill_of, page.fills)), page.cursor)


def write_fills(page: Page[AccountFill]) -> bytes:
    """A page of fills."""
    return msgspec.json.encode({"fills": [_fill_keys(fill) for fill in page.items], "cursor": page.cursor})


def _order_of(body: OrderBody, unknown: Unknown) -> Order:
    side = side_of_order(body.book_side, body.outcome_side, body.action, body.side)
    if side is Side.NONE:
        raise WireError(f"order {body.order_id} has no direction: {body.book_side!r}, {body.outcome_side!r}")
    return Order(
        order_id=body.order_id,
        client_order_id=body.client_order_id,
        ticker=body.ticker,
        side=side,
        price=pips_of_dollars(body.yes_price_dollars, "yes_price_dollars"),
        status=body.status,
        size=lots_of(body.initial_count_fp, "initial_count_fp"),
        filled=lots_of(body.fill_count_fp, "fill_count_fp"),
        remaining=lots_of(body.remaining_count_fp, "remaining_count_fp"),
        taker_cost=micros_of(body.taker_fill_cost_dollars, "taker_fill_cost_dollars"),
        maker_cost=micros_of(body.maker_fill_cost_dollars, "maker_fill_cost_dollars"),
        taker_fees=micros_of(body.taker_fees_dollars, "taker_fees_dollars"),
        maker_fees=micros_of(body.maker_fees_dollars, "maker_fees_dollars"),
        self_trade=self_trade_of(body.self_trade_prevention_type, unknown),
        group=body.order_group_id or "",
        created_ns=time_or_none(body.created_time),
        updated_ns=time_or_none(body.last_update_time),
        expires_ns=time_or_none(body.expiration_time),
        subaccount=body.subaccount_number or 0,
        exchange_index=body.exchange_index,
        user_id=body.user_id,
        cancel_on_pause=body.cancel_order_on_pause,
    )


def self_trade_of(word: str | None, unknown: Unknown) -> SelfTrade | None:
    """What gives way when own orders meet. A word that is not known is counted and says nothing."""
    if not word:
        return None
    try:
        return SelfTrade(word)
    except ValueError:
        if unknown is not None:
            unknown[f"self_trade_prevention_type {word}"] += 1
        return None


def order_sums(order: Order) -> Json:
    """What has filled, what is left and what it cost, as orders carry it everywhere."""
    return {
        "initial_count_fp": count_text(order.size),
        "fill_count_fp": count_text(order.filled),
        "remaining_count_fp": count_text(order.remaining),
        "taker_fill_cost_dollars": micros_text(order.taker_cost),
        "maker_fill_cost_dollars": micros_text(order.maker_cost),
        "taker_fees_dollars": micros_text(order.taker_fees),
        "maker_fees_dollars": micros_text(order.maker_fees),
    }


def _order_keys(order: Order) -> Json:
    keys: Json = {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        **words_of(order.side),
        "type": "limit",
        "status": order.status.value,
        "yes_price_dollars": dollars_text(order.price),
        "no_price_dollars": dollars_text(DOLLAR - order.price),
        **order_sums(order),
        "created_time": _time(order.created_ns),
        "last_update_time": _time(order.updated_ns),
        "expiration_time": _time(order.expires_ns),
        "self_trade_prevention_type": order.self_trade.value if order.self_trade else None,
        "cancel_order_on_pause": order.cancel_on_pause,
        "subaccount_number": order.subaccount,
        "exchange_index": order.exchange_index,
    }
    return keys | ({"order_group_id": order.group} if order.group else {})


def _fill_of(body: _FillBody) -> AccountFill:
    side = side_of_fill(body.book_side, body.outcome_side, body.side)
    if side is Side.NONE:
        raise WireError(
            f"the fill of order {body.order_id} has no direction: {body.book_side!r}, {body.outcome_side!r}"
        )
    return AccountFill(
        trade_id=body.trade_id or body.fill_id,
        order_id=body.order_id,
        ticker=body.ticker or body.market_ticker,
        side=side,
        price=pips_of_dollars(body.yes_price_dollars, "yes_price_dollars"),
        size=lots_of(body.count_fp, "count_fp"),
        is_taker=body.is_taker,
        fee=micros_of(body.fee_cost, "fee_cost"),
        exch_ns=time_or_none(body.created_time) or body.ts * SECOND,
        subaccount=body.subaccount_number or 0,
        exchange_index=body.exchange_index,
    )


def _fill_keys(fill: AccountFill) -> Json:
    return {
        "fill_id": fill.trade_id,
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "market_ticker": fill.ticker,
        **words_of(fill.side),
        "count_fp": count_text(fill.size),
        "yes_price_dollars": dollars_text(fill.price),
        "no_price_dollars": dollars_text(DOLLAR - fill.price),
        "is_taker": fill.is_taker,
        "fee_cost": micros_text(fill.fee),
        "created_time": time_text(fill.exch_ns) if fill.exch_ns else NO_TIME,
        "ts": fill.exch_ns // SECOND,
        "subaccount_number": fill.subaccount,
        "exchange_index": fill.exchange_index,
    }


def _time(time_ns: int) -> str | None:
    return time_text(time_ns) if time_ns else None
