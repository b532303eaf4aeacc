"""Reads of one account: orders, queue positions, fills, positions, balance, settlements, limits."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.limits import limits_of
from kalshi_ray.exchange.simulator.paging import Place, page_of
from kalshi_ray.exchange.simulator.rest_api_call import Call, Response, refused, wrong_parameter
from kalshi_ray.wire import bodies
from kalshi_ray.wire.trading import (
    AccountFill,
    Order,
    OrderStatus,
    Page,
    Position,
    Positions,
    Refused,
    Settlement,
)

SETTLED: dict[str, bool | None] = {"": False, "unsettled": False, "settled": True, "all": None}
COUNTED = ("position", "total_traded")


def orders(call: Call) -> Response:
    """GET /portfolio/orders"""
    status, shard = call.choice("status", tuple(one.value for one in OrderStatus)), call.shard
    found = call.exchange.orders(
        call.account,
        tickers=call.words("ticker"),
        events=call.words("event_ticker", 10),
        status=OrderStatus(status) if status else None,
        min_ns=call.first_ns("min_ts"),
        max_ns=call.last_ns("max_ts"),
        subaccount=call.subaccount,
    )
    chosen = [order for order in found if shard in (None, -1, order.exchange_index)]
    page = page_of(chosen, _order_place, limit=call.limit(), cursor=call.word("cursor"), newest_first=True)
    return Response(200, bodies.write_orders(page))


def _order_place(order: Order) -> Place:
    return order.created_ns, order.order_id


def order(call: Call) -> Response:
    """GET /portfolio/orders/{order_id}"""
    found = call.exchange.order(call.account, call.names[0])
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_order(found))


def queue_positions(call: Call) -> Response:
    """GET /portfolio/orders/queue_positions"""
    tickers, events = call.words("market_tickers"), call.words("event_ticker")
    if not tickers and not events:
        raise wrong_parameter("market_tickers", "market_tickers or event_ticker is required")
    found = call.exchange.queue_positions(call.account, tickers=tickers, events=events, subaccount=call.subaccount)
    return Response(200, bodies.write_queue_positions(found))


def queue_position(call: Call) -> Response:
    """GET /portfolio/orders/{order_id}/queue_position"""
    found = call.exchange.queue_position(call.account, call.names[0])
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_queue_position(found.ahead))


def fills(call: Call) -> Response:
    """GET /portfolio/fills"""
    shard = call.shard
    found = call.exchange.fills(
        call.account,
        tickers=call.words("ticker", 100),
        order_id=call.word("order_id"),
        min_ns=call.first_ns("min_ts"),
        max_ns=call.last_ns("max_ts"),
        subaccount=call.subaccount,
    )
    chosen = [fill for fill in found if shard in (None, -1, fill.exchange_index)]
    page = page_of(chosen, _fill_place, limit=call.limit(), cursor=call.word("cursor"), newest_first=True)
    return Response(200, bodies.write_fills(page))


def _fill_place(fill: AccountFill) -> Place:
    """Both sides of a trade between two orders of one account are fills of one trade id."""
    return fill.exch_ns, f"{fill.trade_id} {fill.order_id}"


def positions(call: Call) -> Response:
    """GET /portfolio/positions. One cursor for both lists: events are those of the markets on the page."""
    settled = SETTLED[call.choice("settlement_status", tuple(SETTLED)[1:])]
    counted, shard = call.words("count_filter"), call.shard
    if not set(counted) <= set(COUNTED):
        raise wrong_parameter("count_filter", f"of {', '.join(COUNTED)}")
    tickers, events, subaccount = call.words("ticker"), call.words("event_ticker"), call.subaccount or 0
    found = call.exchange.positions(
        call.account, tickers=tickers, events=events, settled=settled, subaccount=subaccount
    )
    chosen = [one for one in found if shard in (None, -1, one.exchange_index) and _counts(one, counted)]
    page = page_of(chosen, lambda one: (0, one.ticker), limit=call.limit(), cursor=call.word("cursor"))
    shown = [one.ticker for one in page.items]
    summed = (
        call.exchange.event_positions(call.account, tickers=shown, settled=settled, subaccount=subaccount)
        if shown
        else []
    )
    return Response(
        200, bodies.write_positions(Positions(markets=page.items, events=tuple(summed), cursor=page.cursor))
    )


def _counts(position: Position, counted: list[str]) -> bool:
    values = {"position": position.position, "total_traded": position.traded}
    return all(values[word] for word in counted)


def balance(call: Call) -> Response:
    """GET /portfolio/balance"""
    return Response(200, bodies.write_balance(call.exchange.balance(call.account, call.subaccount)))


def settlements(call: Call) -> Response:
    """GET /portfolio/settlements"""
    found = call.exchange.settlements(
        call.account,
        tickers=call.words("ticker"),
        events=call.words("event_ticker"),
        min_ns=call.first_ns("min_ts"),
        max_ns=call.last_ns("max_ts"),
        subaccount=call.subaccount,
    )
    page: Page[Settlement] = page_of(
        found, lambda one: (one.settled_ns, one.ticker), limit=call.limit(), cursor=call.word("cursor"),
        newest_first=True,
    )  # fmt: skip
    return Response(200, bodies.write_settlements(page))


def limits(call: Call) -> Response:
    """GET /account/limits"""
    return Response(200, bodies.write_limits(limits_of(call.limits.allowed.tier)))


def endpoint_costs(call: Call) -> Response:
    """GET /account/endpoint_costs"""
    return Response(200, bodies.write_endpoint_costs(call.limits.costs))
