"""Calls that change orders and order groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kalshi_ray.wire import bodies
from kalshi_ray.wire.requests.request import Request, query_of, write_call
from kalshi_ray.wire.trading import AUTO_ROUTE, Amendment, Cancel, Decrease, GroupRequest, OrderRequest

ORDERS = "/portfolio/events/orders"
GROUPS = "/portfolio/order_groups"


def create_order(order: OrderRequest) -> Request:
    """Place an order."""
    return write_call("POST", ORDERS, body=bodies.write_order_request(order), shard=order.exchange_index)


def create_batch(orders: Sequence[OrderRequest]) -> Request:
    """Place several orders; each is accepted or refused for itself."""
    shard = _common(order.exchange_index for order in orders)
    return write_call(
        "POST", f"{ORDERS}/batched", body=bodies.write_create_batch(orders), items=len(orders), shard=shard
    )


def cancel_order(cancel: Cancel) -> Request:
    """Take an order back."""
    query = query_of(
        market_ticker=cancel.ticker or None,
        exchange_index=_shard(cancel.exchange_index),
        subaccount=cancel.subaccount or None,
    )
    shard = cancel.exchange_index
    return write_call("DELETE", ORDERS + "/{order_id}", cancel.order_id, query=query, is_cancel=True, shard=shard)


def cancel_batch(cancels: Sequence[Cancel]) -> Request:
    """Take several orders back."""
    body = bodies.write_cancel_batch(cancels)
    shard = _common(cancel.exchange_index for cancel in cancels)
    return write_call("DELETE", f"{ORDERS}/batched", body=body, is_cancel=True, items=len(cancels), shard=shard)


def cancel_all(subaccount: int | None = None) -> Request:
    """Take every order back, of one subaccount or of all (None)."""
    return write_call("DELETE", ORDERS, query=query_of(subaccount=subaccount), is_cancel=True)


def amend_order(amendment: Amendment) -> Request:
    """Another price or size for a working order."""
    query = query_of(subaccount=amendment.subaccount or None)
    body = bodies.write_amendment(amendment)
    template = ORDERS + "/{order_id}/amend"
    return write_call("POST", template, amendment.order_id, query=query, body=body, shard=amendment.exchange_index)


def decrease_order(decrease: Decrease) -> Request:
    """Less of a working order, which keeps its place."""
    query = query_of(subaccount=decrease.subaccount or None)
    body = bodies.write_decrease(decrease)
    template = ORDERS + "/{order_id}/decrease"
    return write_call("POST", template, decrease.order_id, query=query, body=body, shard=decrease.exchange_index)


def create_group(group: GroupRequest) -> Request:
    """Make an order group."""
    return write_call("POST", f"{GROUPS}/create", body=bodies.write_group_request(group), shard=group.exchange_index)


def delete_group(group: str, *, subaccount: int | None = None, exchange_index: int | None = None) -> Request:
    """Delete an order group and cancel its orders."""
    return _group("DELETE", "", group, b"", subaccount, exchange_index, is_cancel=True)


def reset_group(group: str, *, subaccount: int | None = None, exchange_index: int | None = None) -> Request:
    """Count the fills of a group from zero and let it take orders again."""
    return _group("PUT", "/reset", group, b"{}", subaccount, exchange_index)


def trigger_group(group: str, *, subaccount: int | None = None, exchange_index: int | None = None) -> Request:
    """Cancel all orders of a group and take no more until it is reset."""
    return _group("PUT", "/trigger", group, b"{}", subaccount, exchange_index, is_cancel=True)


def limit_group(group: str, limit: int, *, subaccount: int | None = None, exchange_index: int | None = None) -> Request:
    """Another limit, in lots, for a group."""
    return _group("PUT", "/limit", group, bodies.write_group_limit(limit), subaccount, exchange_index)


def _group(
    method: str,
    action: str,
    group: str,
    body: bytes,
    subaccount: int | None,
    exchange_index: int | None,
    *,
    is_cancel: bool = False,
) -> Request:
    query = query_of(subaccount=subaccount, exchange_index=exchange_index)
    shard = exchange_index or 0
    template = GROUPS + "/{order_group_id}" + action
    return write_call(method, template, group, query=query, body=body, is_cancel=is_cancel, shard=shard)


def _shard(exchange_index: int) -> int | None:
    return None if exchange_index == AUTO_ROUTE else exchange_index


def _common(shards: Iterable[int]) -> int:
    """The one shard that all name, or none."""
    found = set(shards)
    return found.pop() if len(found) == 1 else AUTO_ROUTE
