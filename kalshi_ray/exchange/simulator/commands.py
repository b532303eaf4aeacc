"""What accounts may tell the exchange about one order, and what it does then."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kalshi_ray.core.units import CONTRACT, DOLLAR
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.checks import (
    NOT_ENOUGH_RESTING,
    POOR,
    POST_ONLY,
    check_amendment,
    check_cancelling,
    check_request,
    check_trading,
    find_order,
)
from kalshi_ray.exchange.simulator.flow import BID
from kalshi_ray.exchange.simulator.market import Market
from kalshi_ray.exchange.simulator.orders import LiveOrder
from kalshi_ray.exchange.simulator.state import EXPIRE, ExchangeState
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    OrderRequest,
    Placed,
    Reduced,
    Refused,
    TimeInForce,
)

FOK, GTC = TimeInForce.FOK, TimeInForce.GTC
Check = Callable[[ExchangeState, Market], Refused | None]


def place(exchange: ExchangeState, account: Account, request: OrderRequest) -> Placed | Refused:
    """Place an order. What it can take it takes at once; the rest rests, or is cancelled."""
    market = check_request(exchange, account, request)
    if isinstance(market, Refused):
        return market
    clearing, group = exchange.clearing, account.groups.get(request.group)
    number, order_id = clearing.next_id("order")
    order = LiveOrder(number, order_id, account, request, group, market.terms.exchange_index, exchange.now_ns)
    immediate = request.time_in_force is not GTC
    if request.reduce_only:  # what a reduction cannot reach costs nothing
        order.size = account.subaccount(order.subaccount).holding(order.ticker).closing(order.side, order.size)
    wanted = order.size
    order.fee_bound = clearing.bound_fee(order, _highest_rate(market, immediate))
    clearing.engage(order)
    refused = _check_book(market, order, request)
    if refused or wanted < request.size:
        clearing.release(order)
    if refused:
        if refused is NOT_ENOUGH_RESTING and order.client_order_id:
            account.orders.by_client_id[order.client_order_id] = ""  # a killed order has used its id
        return refused
    if wanted < request.size:
        order.size = request.size
        clearing.engage(order)
    account.orders.add(order)
    if group:
        group.orders[order.id] = order
    _execute(exchange, market, order, wanted, rests=not immediate, reason="")
    return _placed(order, 0, 0, 0, exchange.now_ns)


def _check_book(market: Market, order: LiveOrder, request: OrderRequest) -> Refused | None:
    """What only the book and the account's cash can say. The order holds back what it can cost already."""
    if order.account.subaccount(order.subaccount).free < 0:
        return POOR
    if order.post_only and market.book.crosses(order.side, order.price):
        return POST_ONLY
    if request.time_in_force is FOK:
        reachable = market.book.reachable(order)
        if reachable is not None and reachable < order.size:
            return NOT_ENOUGH_RESTING
    return None


def _highest_rate(market: Market, immediate: bool) -> int:
    return market.taker_ppm if immediate else max(market.taker_ppm, market.maker_ppm)


def _execute(
    exchange: ExchangeState, market: Market, order: LiveOrder, wanted: int, *, rests: bool, reason: str
) -> None:
    """Take what can be taken, then rest or end. `reason` is told where nothing else happened."""
    filled = order.filled
    stopped = market.book.take_through(order, wanted)
    if not order.left:
        exchange.clearing.forget(order)
        exchange.clearing.tell_order(order, "Trade")
    elif stopped:
        exchange.clearing.end(order, "SelfTradeCancel")
    elif rests:
        market.book.rest(order)
        if order.expires_ns:
            exchange.schedule(order.expires_ns, EXPIRE, order)
        exchange.clearing.tell_order(order, "Trade" if order.filled > filled else reason)
    else:
        was_capped = wanted < order.size and order.filled == wanted
        exchange.clearing.end(order, "ReduceOnlyCancel" if was_capped else "")


def _placed(order: LiveOrder, filled: int, cost: int, fees: int, now_ns: int) -> Placed:
    """The answer, counting fills beyond those that the order had: `filled` lots at taker cost `cost` and `fees`."""
    lots = order.filled - filled
    paid, fee = order.taker_cost - cost, order.fees - fees
    if lots and order.side != BID:
        paid = lots * DOLLAR - paid  # averages are YES prices
    return Placed(
        order_id=order.id,
        client_order_id=order.client_order_id,
        filled=lots,
        remaining=order.left if order.is_live else 0,
        average_price=_average(paid, lots) if lots else None,
        average_fee=_average(fee, lots) if lots else None,
        ts_ns=now_ns,
    )


def _average(micros: int, lots: int) -> int:
    """Micros a contract, rounded half up."""
    return (2 * micros * CONTRACT + lots) // (2 * lots)


def _find(
    exchange: ExchangeState, account: Account, asked: Cancel | Decrease | Amendment, check: Check
) -> tuple[Market, LiveOrder] | Refused:
    """The order that is meant and its market; a market that takes no commands says so for any order."""
    market = exchange.markets_by_ticker.get(asked.ticker)
    refused = check(exchange, market) if market else None
    if refused:
        return refused
    order = find_order(account, asked)
    if isinstance(order, Refused):
        return order
    market = exchange.markets_by_ticker[order.ticker]
    return check(exchange, market) or (market, order)


def cancel(exchange: ExchangeState, account: Account, asked: Cancel) -> Reduced | Refused:
    """Take a working order back."""
    found = _find(exchange, account, asked, check_cancelling)
    if isinstance(found, Refused):
        return found
    market, order = found
    lots = order.left
    market.cancel(order)
    return Reduced(order_id=order.id, client_order_id=order.client_order_id, reduced_by=lots, ts_ns=exchange.now_ns)


def decrease(exchange: ExchangeState, account: Account, asked: Decrease) -> Reduced | Refused:
    """Less of a working order, which keeps its place; down to nothing is a cancel."""
    if (asked.by is None) == (asked.to is None):
        return refusal(400, "bad_request", "exactly one of reduce_by and reduce_to")
    found = _find(exchange, account, asked, check_trading)
    if isinstance(found, Refused):
        return found
    market, order = found
    left = asked.to if asked.to is not None else max(0, order.left - (asked.by or 0))
    if left < 0 or left > order.left or (asked.by is not None and asked.by <= 0):
        return refusal(400, "invalid_order_size", f"{order.left} lots remain")
    if left:
        _shrink(exchange, market, order, left)
        exchange.clearing.tell_order(order, "Decrease")
    else:
        market.cancel(order, "Decrease")
    return Reduced(order_id=order.id, client_order_id=order.client_order_id, remaining=left, ts_ns=exchange.now_ns)


def _shrink(exchange: ExchangeState, market: Market, order: LiveOrder, left: int) -> None:
    """The order keeps its place and wants `left` lots."""
    exchange.clearing.release(order)
    market.book.shrink(order, order.left - left)
    order.size = order.filled + left
    order.fee_bound = exchange.clearing.bound_fee(order, _highest_rate(market, immediate=False))
    exchange.clearing.engage(order)


def amend(exchange: ExchangeState, account: Account, asked: Amendment) -> Placed | Refused:
    """Another price, size, expiration or client order id.

    A smaller size at the same price, and what does not touch price and size, keeps the place; anything else goes to
    the back, and trades first where it crosses. A size that is filled already ends the order.
    """
    found = _find(exchange, account, asked, check_trading)
    if isinstance(found, Refused):
        return found
    market, order = found
    refused = check_amendment(exchange, market, order, asked)
    if refused:
        return refused
    before, left = (order.filled, order.taker_cost, order.fees), order.left
    moved = asked.price != order.price
    if asked.size > order.filled and (moved or asked.size > order.size):
        refused = _requeue(exchange, market, order, asked)
        if refused:
            return refused
    else:
        _rename(exchange, order, asked)
        if asked.size <= order.filled:
            market.cancel(order, "Amend")
        else:
            if asked.size < order.size:
                _shrink(exchange, market, order, asked.size - order.filled)
            exchange.clearing.tell_order(order, "Amend")
    answer = _placed(order, *before, exchange.now_ns)
    unchanged = not answer.filled and answer.remaining == left
    return msgspec.structs.replace(answer, remaining=None) if unchanged else answer


def _rename(exchange: ExchangeState, order: LiveOrder, asked: Amendment) -> None:
    """What an amendment changes besides price and size."""
    renamed = asked.updated_client_order_id
    if renamed and renamed != order.client_order_id:
        order.account.orders.rename(order, renamed)
    if asked.expires_ns is not None and asked.expires_ns != order.expires_ns:
        order.expires_ns = asked.expires_ns
        if order.expires_ns:
            exchange.schedule(order.expires_ns, EXPIRE, order)


def _requeue(exchange: ExchangeState, market: Market, order: LiveOrder, asked: Amendment) -> Refused | None:
    """Move the order to the back of the level it asks for, if cash and book allow; else it stays as it was."""
    clearing, book = exchange.clearing, market.book
    was = (order.price, order.size, order.fee_bound)
    crosses = asked.price != order.price and order.post_only and book.crosses(order.side, asked.price)
    clearing.release(order)
    order.price, order.size = asked.price, asked.size
    order.fee_bound = clearing.bound_fee(order, _highest_rate(market, immediate=False))
    clearing.engage(order)
    poor = order.account.subaccount(order.subaccount).free < 0
    if crosses or poor:
        clearing.release(order)
        order.price, order.size, order.fee_bound = was
        clearing.engage(order)
        return POOR if poor else POST_ONLY
    order.price, order.size, _ = was  # where it stands
    book.leave(order)
    order.price, order.size = asked.price, asked.size
    _rename(exchange, order, asked)
    # A larger order at its price takes nothing: what stands there stands behind the queue that it was in.
    wanted = order.left if asked.price != was[0] else 0
    _execute(exchange, market, order, wanted, rests=True, reason="Amend")
    return None
