"""The REST interface without sockets: a request's bytes in, an answer's bytes out.

    response = api.handle("POST", "/trade-api/v2/portfolio/events/orders", headers, body, now_ns)

What the call did is in the exchange's outbox afterwards. Every refusal has the exchange's own status, code and shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote

import msgspec

from kalshi_ray.exchange.simulator import rest_api_account as account_reads
from kalshi_ray.exchange.simulator import rest_api_groups as order_groups
from kalshi_ray.exchange.simulator import rest_api_orders as orders
from kalshi_ray.exchange.simulator import rest_api_public as public
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.auth import Auth, is_signed
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.exchange.simulator.rest_api_call import Call, Response, refused
from kalshi_ray.wire.refusals import RequestRefused, bad_request, refusal
from kalshi_ray.wire.trading import AUTO_ROUTE, Refused

ROOT = "/trade-api/v2"
ORDERS, ONE_ORDER = "/portfolio/events/orders", "/portfolio/events/orders/{order_id}"
BATCHED = ORDERS + "/batched"
GROUPS, ONE_GROUP = "/portfolio/order_groups", "/portfolio/order_groups/{order_group_id}"

NO_ROUTE = refusal(404, "not_found")
NO_METHOD = refusal(405, "method_not_allowed")

Handler = Callable[[Call], Response]

# Reads that need no signature.
OPEN: dict[str, Handler] = {
    "/markets": public.markets,
    "/markets/{ticker}": public.market,
    "/markets/{ticker}/orderbook": public.orderbook,
    "/markets/trades": public.trades,
    "/markets/candlesticks": public.candlesticks_of_many,
    "/events": public.events,
    "/events/{event_ticker}": public.event,
    "/events/fee_changes": public.event_fees,
    "/series": public.series_list,
    "/series/{series_ticker}": public.series,
    "/series/fee_changes": public.series_fees,
    "/series/{series_ticker}/markets/{ticker}/candlesticks": public.candlesticks,
    "/series/{series_ticker}/events/{ticker}/candlesticks": public.candlesticks_of_event,
    "/exchange/status": public.status,
    "/exchange/schedule": public.schedule,
    "/exchange/user_data_timestamp": public.user_data_timestamp,
}
SIGNED: dict[tuple[str, str], Handler] = {
    ("GET", "/markets/orderbooks"): public.orderbooks,
    ("POST", ORDERS): orders.create,
    ("DELETE", ORDERS): orders.cancel_all,
    ("DELETE", ONE_ORDER): orders.cancel,
    ("POST", ONE_ORDER + "/amend"): orders.amend,
    ("POST", ONE_ORDER + "/decrease"): orders.decrease,
    ("POST", BATCHED): orders.create_batch,
    ("DELETE", BATCHED): orders.cancel_batch,
    ("POST", "/portfolio/orders"): orders.gone,
    ("DELETE", "/portfolio/orders/{order_id}"): orders.gone,
    ("POST", "/portfolio/orders/{order_id}/amend"): orders.gone,
    ("POST", "/portfolio/orders/{order_id}/decrease"): orders.gone,
    ("POST", "/portfolio/orders/batched"): orders.gone,
    ("DELETE", "/portfolio/orders/batched"): orders.gone,
    ("GET", "/portfolio/orders"): account_reads.orders,
    ("GET", "/portfolio/orders/{order_id}"): account_reads.order,
    ("GET", "/portfolio/orders/queue_positions"): account_reads.queue_positions,
    ("GET", "/portfolio/orders/{order_id}/queue_position"): account_reads.queue_position,
    ("GET", "/portfolio/fills"): account_reads.fills,
    ("GET", "/portfolio/positions"): account_reads.positions,
    ("GET", "/portfolio/balance"): account_reads.balance,
    ("GET", "/portfolio/settlements"): account_reads.settlements,
    ("GET", "/account/limits"): account_reads.limits,
    ("GET", "/account/endpoint_costs"): account_reads.endpoint_costs,
    ("GET", GROUPS): order_groups.groups,
    ("POST", GROUPS + "/create"): order_groups.create_group,
    ("GET", ONE_GROUP): order_groups.group,
    ("DELETE", ONE_GROUP): order_groups.delete_group,
    ("PUT", ONE_GROUP + "/limit"): order_groups.limit_group,
    ("PUT", ONE_GROUP + "/reset"): order_groups.reset_group,
    ("PUT", ONE_GROUP + "/trigger"): order_groups.trigger_group,
}


class Route(msgspec.Struct, frozen=True):
    """One method on one path."""

    template: str
    handler: Handler
    is_open: bool


class Api:
    """The REST interface of an exchange."""

    def __init__(self, exchange: Exchange, auth: Auth, limits: Limits) -> None:
        self.exchange, self.auth, self.limits = exchange, auth, limits
        self._routes = _routes()

    def handle(
        self, method: str, path_and_query: str, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> Response:
        """Answer one request. Names of headers are in lower case."""
        path, _, query = path_and_query.partition("?")
        found = self._find(method, path)
        if isinstance(found, Refused):
            return refused(found)
        route, names = found
        account: Account | None = None
        if not route.is_open or is_signed(headers):
            who = self.auth.account_of(method, path, headers, now_ns)
            if isinstance(who, Refused):
                return refused(who)
            account = who
        try:
            call = Call(self.exchange, self.limits, account, names, parse_qs(query), body, now_ns)
            over = self._charge(account, method, route.template, call) if account else None
            return refused(over) if over else route.handler(call)
        except RequestRefused as no:
            return refused(no.refused)

    def _find(self, method: str, path: str) -> tuple[Route, list[str]] | Refused:
        if not path.startswith(ROOT + "/"):
            return NO_ROUTE
        parts = path[len(ROOT) + 1 :].split("/")
        by_method = next((found for pattern, found in self._routes.get(len(parts), ()) if _fits(pattern, parts)), None)
        if by_method is None:
            return NO_ROUTE
        route = by_method.get(method)
        if route is None:
            return NO_METHOD
        places = route.template[1:].split("/")
        return route, [unquote(part) for part, place in zip(parts, places) if place.startswith("{")]

    def _charge(self, account: Account, method: str, template: str, call: Call) -> Refused | None:
        """Batches pay per item, from the account's own bucket; other writes from that of the shard they name."""
        items, shard = 1, AUTO_ROUTE
        if template == BATCHED:
            items, shard = max(1, items_of(call.body)), 0
        elif template == ORDERS and method == "POST":
            shard = _shard_of(call.body)
        elif method != "GET" and template != ORDERS:
            shard = call.shard if call.shard is not None else AUTO_ROUTE
        return self.limits.charge(account, method, template, call.now_ns, items=items, shard=shard)


def _routes() -> dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]]:
    """Routes by the number of parts of their path; paths without names come first."""
    every = {("GET", path): Route(path, handler, True) for path, handler in OPEN.items()}
    every |= {(method, path): Route(path, handler, False) for (method, path), handler in SIGNED.items()}
    paths: dict[tuple[str, ...], dict[str, Route]] = {}
    for (method, path), route in every.items():
        pattern = tuple("" if part.startswith("{") else part for part in path[1:].split("/"))
        paths.setdefault(pattern, {})[method] = route
    found: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
    for pattern, by_method in sorted(paths.items(), key=lambda one: one[0].count("")):
        found.setdefault(len(pattern), []).append((pattern, by_method))
    return found


def _fits(pattern: tuple[str, ...], parts: list[str]) -> bool:
    return all(part == wanted or (not wanted and part) for wanted, part in zip(pattern, parts))


class _Shard(msgspec.Struct):
    exchange_index: int = AUTO_ROUTE


class _Items(msgspec.Struct):
    orders: list[msgspec.Raw] = []


_shard, _items = msgspec.json.Decoder(_Shard), msgspec.json.Decoder(_Items)


def _shard_of(body: bytes) -> int:
    """The shard that an order names."""
    try:
        return _shard.decode(body).exchange_index
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return AUTO_ROUTE


def items_of(body: bytes) -> int:
    """How many orders a batch holds."""
    try:
        return len(_items.decode(body).orders)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise bad_request(f"json: {error}") from error
