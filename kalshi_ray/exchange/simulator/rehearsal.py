"""Work for the exchange whose amount is known: what a benchmark times."""

from __future__ import annotations

import random

from kalshi_ray.core.units import CENT, CONTRACT, SECOND, Side
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire.messages import BookSnapshot
from kalshi_ray.wire.trading import Cancel, OrderRequest, Placed

TICKER = "KXREHEARSAL-1"
START_NS = 1_700_000_000 * SECOND
DRAINED_EVERY = 1_000  # calls: what a stream would take over


def quiet_exchange() -> Exchange:
    """One market with a book of the flow, and one rich account."""
    exchange = Exchange(seed=1)
    exchange.create_account(1_000_000)
    exchange.open_market(MarketTerms(ticker=TICKER, event="KXREHEARSAL", series="KXREHEARSAL"))
    bids = tuple((price * CENT, 100 * CONTRACT) for price in range(47, 27, -1))
    asks = tuple((price * CENT, 100 * CONTRACT) for price in range(52, 72))
    exchange.apply_flow(BookSnapshot(ticker=TICKER, bids=bids, asks=asks), START_NS)
    return exchange


def place_and_cancel(exchange: Exchange, trips: int, first: int = 0) -> int:
    """Place a resting order and cancel it, `trips` times from number `first` on; commands that were carried out."""
    account, done = exchange.accounts[0], 0
    for number in range(first, first + trips):
        now_ns = START_NS + number
        request = OrderRequest(
            ticker=TICKER, client_order_id=f"r{number}", side=Side.BID, size=CONTRACT, price=48 * CENT, post_only=True
        )
        placed = exchange.place(account, request, now_ns)
        if isinstance(placed, Placed):
            exchange.cancel(account, Cancel(order_id=placed.order_id, ticker=TICKER), now_ns)
            done += 2
        if number % DRAINED_EVERY == 0:
            exchange.drain()
    return done


def changes_of_flow(count: int, seed: int = 1) -> list[FlowDelta]:
    """Lawful changes around the book of `quiet_exchange`, made beforehand."""
    chance, levels, changes = random.Random(seed), dict[tuple[int, int], int](), list[FlowDelta]()
    for _ in range(count):
        side = chance.randrange(2)
        price = (chance.randrange(28, 48) if side == 0 else chance.randrange(52, 72)) * CENT
        there = levels.get((side, price), 0)
        change = -there if there > 20 * CONTRACT else chance.randrange(1, 30) * CONTRACT
        levels[side, price] = there + change
        changes.append(FlowDelta(ticker=TICKER, side=Side(side), price=price, change=change))
    return changes


def replay(exchange: Exchange, changes: list[FlowDelta]) -> int:
    """Let the flow pass through the market; how many updates were published."""
    published = 0
    for number, change in enumerate(changes):
        exchange.apply_flow(change, START_NS + number)
        if number % DRAINED_EVERY == 0:
            published += len(exchange.drain())
    return published + len(exchange.drain())
