"""Calls that read an account."""

from __future__ import annotations

from collections.abc import Sequence

from kalshi_ray.wire.requests.request import Request, first_second, last_second, query_of, read_call
from kalshi_ray.wire.trading import OrderStatus

GROUPS = "/portfolio/order_groups"


def get_orders(
    *,
    ticker: str = "",
    events: Sequence[str] = (),
    status: OrderStatus | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
    cursor: str = "",
    subaccount: int | None = None,
    exchange_index: int | None = None,
) -> Request:
    """Own orders, newest first. Those that ended long ago are in the exchange's archive, not here."""
    query = query_of(
        ticker=ticker,
        event_ticker=",".join(events),
        status=status.value if status else None,
        min_ts=first_second(since_ns),
        max_ts=last_second(until_ns),
        limit=limit,
        cursor=cursor,
        subaccount=subaccount,
        exchange_index=exchange_index,
    )
    return read_call("/portfolio/orders", query=query)


def get_order(order_id: str) -> Request:
    """One own order."""
    return read_call("/portfolio/orders/{order_id}", order_id)


def get_queue_positions(*, tickers: Sequence[str] = (), event: str = "", subaccount: int | None = None) -> Request:
    """What is ahead of own working orders, in these markets or in an event."""
    query = query_of(market_tickers=",".join(tickers), event_ticker=event, subaccount=subaccount)
    return read_call("/portfolio/orders/queue_positions", query=query)


def get_queue_position(order_id: str) -> Request:
    """What is ahead of one own order."""
    return read_call("/portfolio/orders/{order_id}/queue_position", order_id)


def get_fills(
    *,
    tickers: Sequence[str] = (),
    order_id: str = "",
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
    cursor: str = "",
    subaccount: int | None = None,
    exchange_index: int | None = None,
) -> Request:
    """Own fills, newest first; of at most 100 markets."""
    query = query_of(
        ticker=",".join(tickers),
        order_id=order_id,
        min_ts=first_second(since_ns),
        max_ts=last_second(until_ns),
        limit=limit,
        cursor=cursor,
        subaccount=subaccount,
        exchange_index=exchange_index,
    )
    return read_call("/portfolio/fills", query=query)


def get_positions(
    *,
    ticker: str = "",
    event: str = "",
    count_filter: Sequence[str] = (),
    settlement_status: str = "",
    limit: int | None = None,
    cursor: str = "",
    subaccount: int | None = None,
    exchange_index: int | None = None,
) -> Request:
    """Own positions. `count_filter` of position, total_traded; `settlement_status` unsettled, settled or all."""
    query = query_of(
        ticker=ticker,
        event_ticker=event,
        count_filter=",".join(count_filter),
        settlement_status=settlement_status,
        limit=limit,
        cursor=cursor,
        subaccount=subaccount,
        exchange_index=exchange_index,
    )
    return read_call("/portfolio/positions", query=query)


def get_balance(*, subaccount: int | None = None, exchange_index: int | None = None) -> Request:
    """Own cash, of all shards unless one is named."""
    return read_call("/portfolio/balance", query=query_of(subaccount=subaccount, exchange_index=exchange_index))


def get_settlements(
    *,
    ticker: str = "",
    event: str = "",
    since_ns: int | None = None,
    until_ns: int | None = None,
    limit: int | None = None,
    cursor: str = "",
    subaccount: int | None = None,
) -> Request:
    """What own markets paid at their end."""
    query = query_of(
        ticker=ticker,
        event_ticker=event,
        min_ts=first_second(since_ns),
        max_ts=last_second(until_ns),
        limit=limit,
        cursor=cursor,
        subaccount=subaccount,
    )
    return read_call("/portfolio/settlements", query=query)


def get_groups(*, subaccount: int | None = None) -> Request:
    """Own order groups."""
    return read_call(GROUPS, query=query_of(subaccount=subaccount))


def get_group(group: str, *, subaccount: int | None = None) -> Request:
    """One order group with its orders."""
    return read_call(GROUPS + "/{order_group_id}", group, query=query_of(subaccount=subaccount))


def get_user_data_timestamp() -> Request:
    """The moment up to which reads of an account know its writes."""
    return read_call("/exchange/user_data_timestamp")


def get_limits() -> Request:
    """What this account may ask for."""
    return read_call("/account/limits")


def get_endpoint_costs() -> Request:
    """What calls cost."""
    return read_call("/account/endpoint_costs")
