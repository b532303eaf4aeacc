"""What the exchange answers as people read it: prices in dollars, sizes in contracts, exact; one record a line."""

from __future__ import annotations

from datetime import UTC, datetime

from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.wire.listing import Book, Market
from kalshi_ray.wire.numbers import count_text, dollars_text, money_text
from kalshi_ray.wire.trading import AccountFill, Balance, Order, Placed, Position, Reduced

Row = dict[str, str]

DOLLARS = ("bid", "ask", "last", "price", "exposure", "realized", "fees", "fee", "cash", "positions")
CONTRACTS = ("volume", "count", "filled", "remaining", "position", "bid count", "ask count")
TIMES = ("closes", "created", "time", "updated")
CASH_OF = "cash of shard "


def headings(row: Row) -> tuple[list[str], list[str]]:
    """The names of a row's columns with their units, and those of numbers among them."""
    units = dict.fromkeys(DOLLARS, " ($)") | dict.fromkeys(TIMES, " (UTC)")
    units |= {name: " ($)" for name in row if name.startswith(CASH_OF)}
    numbers = [name + units.get(name, "") for name in row if name not in TIMES and (name in units or name in CONTRACTS)]
    return [name + units.get(name, "") for name in row], numbers


def market_row(market: Market) -> Row:
    """A line of `exchange markets`."""
    return {
        "ticker": market.ticker,
        "status": market.status,
        "bid": price(market.bid),
        "ask": price(market.ask),
        "last": price(market.last_price),
        "volume": count_text(market.volume),
        "closes": moment(market.close_ns),
        "title": market.title,
    }


def book_rows(book: Book, depth: int) -> list[Row]:
    """The ladder, highest price first: asks above bids."""
    asks = [{"bid count": "", "price": price(p), "ask count": count_text(size)} for p, size in book.asks[:depth]]
    bids = [{"bid count": count_text(size), "price": price(p), "ask count": ""} for p, size in book.bids[:depth]]
    return asks[::-1] + bids


def order_row(order: Order) -> Row:
    """A line of `exchange orders`."""
    return {
        "order": order.order_id,
        "ticker": order.ticker,
        "side": side_word(order.side),
        "price": price(order.price),
        "count": count_text(order.size),
        "filled": count_text(order.filled),
        "remaining": count_text(order.remaining),
        "status": order.status.value,
        "created": moment(order.created_ns),
        "client_order_id": order.client_order_id,
    }


def fill_row(fill: AccountFill) -> Row:
    """A line of `exchange fills`."""
    return {
        "time": moment(fill.exch_ns),
        "ticker": fill.ticker,
        "side": side_word(fill.side),
        "price": price(fill.price),
        "count": count_text(fill.size),
        "role": "taker" if fill.is_taker else "maker",
        "fee": money_text(fill.fee),
        "order": fill.order_id,
        "trade": fill.trade_id,
    }


def position_row(position: Position) -> Row:
    """A line of `exchange positions`: positive is YES, negative is NO."""
    return {
        "ticker": position.ticker,
        "position": count_text(position.position),
        "exposure": money_text(position.exposure),
        "realized": money_text(position.realized),
        "fees": money_text(position.fees),
        "updated": moment(position.updated_ns),
    }


def balance_row(balance: Balance) -> Row:
    """What `exchange balance` says."""
    shards = {f"{CASH_OF}{shard}": money_text(cash) for shard, cash in balance.by_shard}
    return {"cash": money_text(balance.cash), "positions": money_text(balance.portfolio_value)} | shards


def placed_row(placed: Placed) -> Row:
    """What became of an order that was placed."""
    return {
        "order": placed.order_id,
        "client_order_id": placed.client_order_id,
        "filled": count_text(placed.filled),
        "remaining": count_text(placed.remaining or 0),
        "average_price": "" if placed.average_price is None else money_text(placed.average_price),
        "average_fee": "" if placed.average_fee is None else money_text(placed.average_fee),
    }


def reduced_row(reduced: Reduced) -> Row:
    """What became of an order that was taken back."""
    return {
        "order": reduced.order_id,
        "client_order_id": reduced.client_order_id,
        "cancelled": "" if reduced.reduced_by is None else count_text(reduced.reduced_by),
    }


def side_word(side: Side) -> str:
    """Bid buys YES, ask sells YES."""
    return "bid" if side is Side.BID else "ask"


def price(pips: int | None) -> str:
    """A price in dollars; nothing where there is none."""
    return "" if pips is None else dollars_text(pips)


def moment(ns: int) -> str:
    """A time to the second in UTC; nothing for 0."""
    return datetime.fromtimestamp(ns // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S") if ns else ""
