"""Writes of orders: the only family that works (V2), singly and in batches, and the gate of the former one."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.rest_api_call import Call, Response, refused
from kalshi_ray.wire import bodies
from kalshi_ray.wire.refusals import bad_request, refusal
from kalshi_ray.wire.trading import AUTO_ROUTE, Cancel, OrderRequest, Placed, Reduced, Refused

GONE = refusal(410, "deprecated_v1_order_endpoint", "use /portfolio/events/orders")


def create(call: Call) -> Response:
    """POST /portfolio/events/orders"""
    request = bodies.read_order_request(call.body)
    answer = call.exchange.place(call.account, request, call.now_ns)
    return refused(answer) if isinstance(answer, Refused) else Response(201, bodies.write_placed(answer))


def cancel(call: Call) -> Response:
    """DELETE /portfolio/events/orders/{order_id}. Without a ticker or a shard it looks in shard 0 alone."""
    ticker, shard = call.word("market_ticker"), call.shard
    if shard is None:
        shard = AUTO_ROUTE if ticker else 0
    asked = Cancel(
        order_id=call.names[0], ticker=ticker, subaccount=_subaccount_of(call, call.names[0]), exchange_index=shard
    )
    answer = call.exchange.cancel(call.account, asked, call.now_ns)
    return refused(answer) if isinstance(answer, Refused) else Response(200, bodies.write_reduced(answer))


def cancel_all(call: Call) -> Response:
    """DELETE /portfolio/events/orders"""
    answer = call.exchange.cancel_all(call.account, call.subaccount, call.now_ns)
    return refused(answer) if isinstance(answer, Refused) else Response(204, headers=())


def amend(call: Call) -> Response:
    """POST /portfolio/events/orders/{order_id}/amend"""
    subaccount = _subaccount_of(call, call.names[0])
    asked = bodies.read_amendment(call.body, call.names[0], subaccount=subaccount)
    answer = call.exchange.amend(call.account, asked, call.now_ns)
    if isinstance(answer, Refused):
        return refused(answer)
    return Response(200, bodies.write_amended(answer, has_changed=answer.remaining is not None))


def decrease(call: Call) -> Response:
    """POST /portfolio/events/orders/{order_id}/decrease"""
    asked = bodies.read_decrease(call.body, call.names[0], subaccount=_subaccount_of(call, call.names[0]))
    answer = call.exchange.decrease(call.account, asked, call.now_ns)
    return refused(answer) if isinstance(answer, Refused) else Response(200, bodies.write_reduced(answer))


def create_batch(call: Call) -> Response:
    """POST /portfolio/events/orders/batched. Each order has an answer of its own, in the order that was asked."""
    requests = bodies.read_create_batch(call.body)
    if not requests:
        raise bad_request("orders must not be empty")
    answers = [_placed_in_batch(call, request) for request in requests]
    return Response(201, bodies.write_batch_placed(answers))


def _placed_in_batch(call: Call, request: OrderRequest | Refused) -> Placed | Refused:
    if isinstance(request, Refused):
        return request
    return call.exchange.place_batch(call.account, [request], call.now_ns)[0]


def cancel_batch(call: Call) -> Response:
    """DELETE /portfolio/events/orders/batched"""
    cancels = bodies.read_cancel_batch(call.body)
    if not cancels:
        raise bad_request("orders must not be empty")
    answers: list[Reduced | Refused] = call.exchange.cancel_batch(call.account, cancels, call.now_ns)
    return Response(200, bodies.write_batch_reduced(cancels, answers))


def gone(call: Call) -> Response:
    """The writes of the former family."""
    return refused(GONE)


def _subaccount_of(call: Call, order_id: str) -> int:
    """The subaccount that the query names; the order's own where it names none."""
    named = call.subaccount
    return _own_subaccount(call.account, order_id) if named is None else named


def _own_subaccount(account: Account, order_id: str) -> int:
    found = account.orders.working.get(order_id)
    return found.subaccount if found else 0
