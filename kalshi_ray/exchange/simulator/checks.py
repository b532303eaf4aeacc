"""Why the exchange says no, in its own codes, before anything has changed."""

from __future__ import annotations

from kalshi_ray.exchange.simulator.accounts import SUBACCOUNTS, Account
from kalshi_ray.exchange.simulator.lifecycle import CANCELLABLE, REFUSALS
from kalshi_ray.exchange.simulator.market import Market
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.state import ExchangeState
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import AUTO_ROUTE, Amendment, Cancel, Decrease, OrderRequest, Refused, TimeInForce

PAUSED = refusal(409, "trading_is_paused")
NO_ORDER = refusal(404, "not_found", "order")
TAKEN = refusal(409, "order_already_exists")
NO_GROUP = refusal(404, "not_found", "order group")
POOR = refusal(400, "insufficient_balance")
POST_ONLY = refusal(400, "invalid_order", "post only cross")
NOT_ENOUGH_RESTING = refusal(409, "fill_or_kill_insufficient_resting_volume")


def check_trading(exchange: ExchangeState, market: Market) -> Refused | None:
    """Whether orders can be placed and changed."""
    if not exchange.exchange_active or not exchange.trading_active:
        return PAUSED
    if not market.trades_now:
        return refusal(*REFUSALS[market.shown_status])
    return None


def check_cancelling(exchange: ExchangeState, market: Market) -> Refused | None:
    """Whether orders can be cancelled: in a pause of trading too, but not when the exchange stands still."""
    if not exchange.exchange_active:
        return PAUSED
    if market.shown_status not in CANCELLABLE:
        return refusal(*REFUSALS[market.shown_status])
    return None


def check_price(market: Market, price: int) -> Refused | None:
    """Whether a price is on the market's grid."""
    if price not in market.prices:
        return refusal(400, "invalid_price", f"{price} is not on the grid of {market.ticker}")
    return None


def check_request(exchange: ExchangeState, account: Account, request: OrderRequest) -> Refused | Market:
    """The market of an order that may be placed, as far as one can say without its book and the account's cash."""
    market = exchange.markets_by_ticker.get(request.ticker)
    if market is None or request.exchange_index not in (AUTO_ROUTE, market.terms.exchange_index):
        return refusal(404, "not_found", "market")
    if request.client_order_id and request.client_order_id in account.orders.by_client_id:
        return TAKEN
    refused = _check_shape(exchange, request) or check_trading(exchange, market) or check_price(market, request.price)
    refused = refused or _check_group(account, market, request)
    if refused is None and len(account.orders.working) >= exchange.settings.max_orders:
        refused = refusal(400, "invalid_order", f"more than {exchange.settings.max_orders} working orders")
    return refused or market


def _check_shape(exchange: ExchangeState, request: OrderRequest) -> Refused | None:
    if not 0 <= request.subaccount < SUBACCOUNTS:
        return refusal(400, "bad_request", f"subaccount is 0 to {SUBACCOUNTS - 1}")
    if request.size <= 0:
        return refusal(400, "invalid_order_size", "count must be positive")
    if request.reduce_only and request.time_in_force is not TimeInForce.IOC:
        return refusal(400, "invalid_order", "reduce_only needs immediate_or_cancel")
    if request.post_only and request.time_in_force is not TimeInForce.GTC:
        return refusal(400, "invalid_order", "post_only needs good_till_canceled")
    if request.expires_ns and request.time_in_force is not TimeInForce.GTC:
        return refusal(400, "invalid_order", "expiration_time needs good_till_canceled")
    if request.expires_ns and request.expires_ns <= exchange.now_ns:
        return refusal(400, "invalid_order", "expiration_time is not in the future")
    return None


def _check_group(account: Account, market: Market, request: OrderRequest) -> Refused | None:
    """Whether the group takes orders; it belongs to one subaccount and one shard."""
    if not request.group:
        return None
    group = account.groups.get(request.group)
    if group is None or (group.subaccount, group.exchange_index) != (request.subaccount, market.terms.exchange_index):
        return NO_GROUP
    if group.is_triggered:
        return refusal(400, "invalid_order", "order group is triggered")
    return None


def find_order(account: Account, asked: Cancel | Decrease | Amendment) -> LiveOrder | Refused:
    """The working order that is meant."""
    order = account.orders.working.get(asked.order_id)
    if order is None or order.subaccount != asked.subaccount:
        return NO_ORDER
    if asked.ticker and asked.ticker != order.ticker:
        return refusal(400, "order_ticker_mismatch") if isinstance(asked, Amendment) else NO_ORDER
    if asked.exchange_index not in (AUTO_ROUTE, order.exchange_index):
        return NO_ORDER
    return order


def check_amendment(exchange: ExchangeState, market: Market, order: LiveOrder, asked: Amendment) -> Refused | None:
    """Whether an order may become what is asked, as far as one can say without its book and the account's cash."""
    if asked.side != order.side:
        return refusal(400, "order_side_mismatch")
    if asked.client_order_id and asked.client_order_id != order.client_order_id:
        return refusal(400, "order_id_and_client_order_id_mismatch")
    renamed = asked.updated_client_order_id
    if renamed and renamed != order.client_order_id and renamed in order.account.orders.by_client_id:
        return TAKEN
    if asked.size <= 0:
        return refusal(400, "invalid_order_size", "count must be positive")
    if asked.expires_ns and asked.expires_ns <= exchange.now_ns:
        return refusal(400, "invalid_order", "expiration_time is not in the future")
    if asked.price != order.price:  # after a change of grid an order may keep a price that is no longer on it
        return check_price(market, asked.price)
    return None
