"""Order groups."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.rest_api_call import Call, Response, refused
from kalshi_ray.wire import bodies
from kalshi_ray.wire.trading import Refused

DONE = Response(200, b"{}")


def create_group(call: Call) -> Response:
    """POST /portfolio/order_groups/create"""
    made = call.exchange.create_group(call.account, bodies.read_group_request(call.body), call.now_ns)
    return refused(made) if isinstance(made, Refused) else Response(201, bodies.write_group_created(made))


def groups(call: Call) -> Response:
    """GET /portfolio/order_groups"""
    return Response(200, bodies.write_groups(call.exchange.groups(call.account, call.subaccount)))


def group(call: Call) -> Response:
    """GET /portfolio/order_groups/{order_group_id}"""
    found = call.exchange.group(call.account, call.names[0])
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_group(found))


def limit_group(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/limit"""
    limit = bodies.read_group_limit(call.body)
    return _done(call.exchange.limit_group(call.account, call.names[0], limit, call.now_ns))


def reset_group(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/reset"""
    return _done(call.exchange.reset_group(call.account, call.names[0], call.now_ns))


def trigger_group(call: Call) -> Response:
    """PUT /portfolio/order_groups/{order_group_id}/trigger"""
    return _done(call.exchange.trigger_group(call.account, call.names[0], call.now_ns))


def delete_group(call: Call) -> Response:
    """DELETE /portfolio/order_groups/{order_group_id}"""
    return _done(call.exchange.delete_group(call.account, call.names[0], call.now_ns))


def _done(no: Refused | None) -> Response:
    return refused(no) if no else DONE
