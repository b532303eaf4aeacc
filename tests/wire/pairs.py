"""Every body that is written: by what, read by what, and where the exchange's specification describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from kalshi_ray.wire import bodies
from kalshi_ray.wire.trading import Cancel, Refused
from tests.wire import values

ORDERS = "/portfolio/events/orders"
GROUPS = "/portfolio/order_groups"


class Pair(NamedTuple):
    """`write` and `read` are each other's inverse on `values`. Status 0: the body of a request."""

    name: str
    values: st.SearchStrategy[Any]
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    method: str
    template: str
    status: int


def _cancel_answers(answers: tuple[Any, ...]) -> bytes:
    cancels = [Cancel(order_id="X" if isinstance(one, Refused) else one.order_id, ticker="A") for one in answers]
    return bodies.write_batch_reduced(cancels, answers)


# The path names the order, so the reader is given it.
amendments = values.amendments.map(lambda one: type(one)(**{**_fields(one), "order_id": "O", "subaccount": 0}))
decreases = values.decreases.map(lambda one: type(one)(**{**_fields(one), "order_id": "O", "subaccount": 0}))


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


REQUESTS = [
    Pair("order", values.order_requests, bodies.write_order_request, bodies.read_order_request, "POST", ORDERS, 0),
    Pair(
        "orders of a batch",
        values.tuples(values.order_requests),
        bodies.write_create_batch,
        bodies.read_create_batch,
        "POST",
        f"{ORDERS}/batched",
        0,
    ),
    Pair(
        "cancels of a batch",
        values.tuples(values.cancels),
        bodies.write_cancel_batch,
        bodies.read_cancel_batch,
        "DELETE",
        f"{ORDERS}/batched",
        0,
    ),
    Pair(
        "amendment",
        amendments,
        bodies.write_amendment,
        lambda raw: bodies.read_amendment(raw, "O"),
        "POST",
        ORDERS + "/{order_id}/amend",
        0,
    ),
    Pair(
        "decrease",
        decreases,
        bodies.write_decrease,
        lambda raw: bodies.read_decrease(raw, "O"),
        "POST",
        ORDERS + "/{order_id}/decrease",
        0,
    ),
    Pair(
        "group request",
        values.group_requests,
        bodies.write_group_request,
        bodies.read_group_request,
        "POST",
        f"{GROUPS}/create",
        0,
    ),
    Pair(
        "group limit",
        values.limits,
        bodies.write_group_limit,
        bodies.read_group_limit,
        "PUT",
        GROUPS + "/{order_group_id}/limit",
        0,
    ),
]
ANSWERS = [
    Pair("placed", values.placed, bodies.write_placed, bodies.read_placed, "POST", ORDERS, 201),
    Pair("amended", values.placed, bodies.write_amended, bodies.read_placed, "POST", ORDERS + "/{order_id}/amend", 200),
    Pair(
        "cancelled", values.cancelled, bodies.write_reduced, bodies.read_reduced, "DELETE", ORDERS + "/{order_id}", 200
    ),
    Pair(
        "decreased",
        values.decreased,
        bodies.write_reduced,
        bodies.read_reduced,
        "POST",
        ORDERS + "/{order_id}/decrease",
        200,
    ),
    Pair(
        "placed in a batch",
        values.tuples(values.placed | values.item_refusals),
        bodies.write_batch_placed,
        bodies.read_batch_placed,
        "POST",
        f"{ORDERS}/batched",
        201,
    ),
    Pair(
        "cancelled in a batch",
        values.tuples(values.cancelled | values.item_refusals),
        _cancel_answers,
        bodies.read_batch_reduced,
        "DELETE",
        f"{ORDERS}/batched",
        200,
    ),
    Pair(
        "orders", values.pages(values.orders), bodies.write_orders, bodies.read_orders, "GET", "/portfolio/orders", 200
    ),
    Pair("one order", values.orders, bodies.write_order, bodies.read_order, "GET", "/portfolio/orders/{order_id}", 200),
    Pair(
        "queue positions",
        values.tuples(values.queue_positions),
        bodies.write_queue_positions,
        bodies.read_queue_positions,
        "GET",
        "/portfolio/orders/queue_positions",
        200,
    ),
    Pair(
        "queue position",
        values.sizes,
        bodies.write_queue_position,
        bodies.read_queue_position,
        "GET",
        "/portfolio/orders/{order_id}/queue_position",
        200,
    ),
    Pair("fills", values.pages(values.fills), bodies.write_fills, bodies.read_fills, "GET", "/portfolio/fills", 200),
    Pair(
        "positions", values.positions, bodies.write_positions, bodies.read_positions, "GET", "/portfolio/positions", 200
    ),
    Pair("balance", values.balances, bodies.write_balance, bodies.read_balance, "GET", "/portfolio/balance", 200),
    Pair(
        "settlements",
        values.pages(values.settlements),
        bodies.write_settlements,
        bodies.read_settlements,
        "GET",
        "/portfolio/settlements",
        200,
    ),
    Pair(
        "group created",
        values.groups_created,
        bodies.write_group_created,
        bodies.read_group_created,
        "POST",
        f"{GROUPS}/create",
        201,
    ),
    Pair("groups", values.tuples(values.listed_groups), bodies.write_groups, bodies.read_groups, "GET", GROUPS, 200),
    Pair(
        "one group",
        values.groups,
        bodies.write_group,
        lambda raw: bodies.read_group(raw, "G"),
        "GET",
        GROUPS + "/{order_group_id}",
        200,
    ),
    Pair("markets", values.pages(values.markets, 2), bodies.write_markets, bodies.read_markets, "GET", "/markets", 200),
    Pair("one market", values.markets, bodies.write_market, bodies.read_market, "GET", "/markets/{ticker}", 200),
    Pair(
        "book",
        values.books.map(lambda book: type(book)(ticker="A", bids=book.bids, asks=book.asks)),
        bodies.write_orderbook,
        lambda raw: bodies.read_orderbook(raw, "A"),
        "GET",
        "/markets/{ticker}/orderbook",
        200,
    ),
    Pair(
        "books",
        values.tuples(values.books),
        bodies.write_orderbooks,
        bodies.read_orderbooks,
        "GET",
        "/markets/orderbooks",
        200,
    ),
    Pair("trades", values.pages(values.prints), bodies.write_trades, bodies.read_trades, "GET", "/markets/trades", 200),
    Pair(
        "candles",
        values.tuples(values.candles),
        lambda candles: bodies.write_candlesticks("A", candles),
        bodies.read_candlesticks,
        "GET",
        "/series/{series_ticker}/markets/{ticker}/candlesticks",
        200,
    ),
    Pair(
        "candles of many",
        st.dictionaries(values.tickers, values.tuples(values.candles, 2)),
        bodies.write_candlesticks_of_many,
        bodies.read_candlesticks_of_many,
        "GET",
        "/markets/candlesticks",
        200,
    ),
    Pair(
        "candles of an event",
        values.event_candles,
        bodies.write_candlesticks_of_event,
        bodies.read_candlesticks_of_event,
        "GET",
        "/series/{series_ticker}/events/{ticker}/candlesticks",
        200,
    ),
    Pair("events", values.pages(values.events, 2), bodies.write_events, bodies.read_events, "GET", "/events", 200),
    Pair("one event", values.events, bodies.write_event, bodies.read_event, "GET", "/events/{event_ticker}", 200),
    Pair(
        "series",
        values.tuples(values.series),
        bodies.write_series_list,
        bodies.read_series_list,
        "GET",
        "/series",
        200,
    ),
    Pair("one series", values.series, bodies.write_series, bodies.read_series, "GET", "/series/{series_ticker}", 200),
    Pair(
        "fees of series",
        values.tuples(values.series_fees),
        bodies.write_series_fees,
        bodies.read_series_fees,
        "GET",
        "/series/fee_changes",
        200,
    ),
    Pair(
        "fees of events",
        values.pages(values.event_fees),
        bodies.write_event_fees,
        bodies.read_event_fees,
        "GET",
        "/events/fee_changes",
        200,
    ),
    Pair("status", values.statuses, bodies.write_status, bodies.read_status, "GET", "/exchange/status", 200),
    Pair("schedule", values.schedules, bodies.write_schedule, bodies.read_schedule, "GET", "/exchange/schedule", 200),
    Pair(
        "timestamp",
        values.microseconds,
        bodies.write_user_data_timestamp,
        bodies.read_user_data_timestamp,
        "GET",
        "/exchange/user_data_timestamp",
        200,
    ),
    Pair("limits", values.account_limits, bodies.write_limits, bodies.read_limits, "GET", "/account/limits", 200),
    Pair(
        "costs",
        values.endpoint_costs,
        bodies.write_endpoint_costs,
        bodies.read_endpoint_costs,
        "GET",
        "/account/endpoint_costs",
        200,
    ),
]
PAIRS = REQUESTS + ANSWERS
NAMES = [pair.name for pair in PAIRS]
