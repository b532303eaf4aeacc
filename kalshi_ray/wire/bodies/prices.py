"""Bodies of prices: order books, public trades and candles. NO prices of a book are of the NO leg here, always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.decode import RestBook, book_of, taker_of
from kalshi_ray.wire.direction import book_word, outcome_word
from kalshi_ray.wire.listing import Book, Candle, EventCandles, Print
from kalshi_ray.wire.numbers import (
    NO_TIME,
    count_text,
    dollars_text,
    lots_of,
    micros_of,
    money_text,
    pips_of_cents,
    pips_of_dollars,
    time_or_none,
    time_text,
)
from kalshi_ray.wire.shapes import Shape, Unknown
from kalshi_ray.wire.trading import Page

Json = dict[str, Any]
Prices = tuple[int, int, int, int]  # open, low, high, close in pips

_PRICES = ("open_dollars", "low_dollars", "high_dollars", "close_dollars")
_CENTS = frozenset(["open", "low", "high", "close", "min", "max", "mean", "previous", "min_dollars", "max_dollars"])


class _TickerBook(RestBook):
    ticker: str = ""


class _Books(msgspec.Struct):
    orderbooks: list[_TickerBook]


class _TradeBody(msgspec.Struct):
    """Counts and prices without suffix are of before 2026-03."""

    ticker: str
    trade_id: str = ""
    yes_price_dollars: Decimal | None = None
    no_price_dollars: Decimal | None = None
    yes_price: Decimal | None = None  # cents
    no_price: Decimal | None = None
    count_fp: Decimal | None = None
    count: Decimal | None = None
    taker_book_side: str = ""
    taker_outcome_side: str = ""
    taker_side: str = ""
    created_time: str | None = None
    is_block_trade: bool = False


class _TradePage(msgspec.Struct):
    trades: list[_TradeBody]
    cursor: str = ""


class _PricesBody(msgspec.Struct):
    open_dollars: Decimal | None = None
    low_dollars: Decimal | None = None
    high_dollars: Decimal | None = None
    close_dollars: Decimal | None = None
    mean_dollars: Decimal | None = None
    previous_dollars: Decimal | None = None


class _CandleBody(msgspec.Struct):
    end_period_ts: int
    yes_bid: _PricesBody = msgspec.field(default_factory=_PricesBody)
    yes_ask: _PricesBody = msgspec.field(default_factory=_PricesBody)
    price: _PricesBody = msgspec.field(default_factory=_PricesBody)
    volume_fp: Decimal | None = None
    open_interest_fp: Decimal | None = None
    volume: Decimal | None = None
    open_interest: Decimal | None = None


class _Candles(msgspec.Struct):
    candlesticks: list[_CandleBody]
    ticker: str = ""


class _MarketCandles(msgspec.Struct):
    market_ticker: str
    candlesticks: list[_CandleBody]


class _CandlesOfMany(msgspec.Struct):
    markets: list[_MarketCandles]


class _EventCandles(msgspec.Struct):
    """Lists in the order of the tickers."""

    market_tickers: list[str]
    market_candlesticks: list[list[_CandleBody]]
    adjusted_end_ts: int


_book = Shape(RestBook)
_books = Shape(_Books)
_trades = Shape(_TradePage, unread=frozenset({"price"}))
_candles = Shape(_Candles, unread=_CENTS)
_candles_of_many = Shape(_CandlesOfMany, unread=_CENTS)
_candles_of_event = Shape(_EventCandles, unread=_CENTS)


def read_orderbook(raw: bytes, ticker: str, unknown: Unknown = None) -> Book:
    """The book of the market that was asked for; the answer does not name it."""
    bids, asks = book_of(_book.read(raw, unknown))
    return Book(ticker=ticker, bids=bids, asks=asks)


def write_orderbook(book: Book) -> bytes:
    """A book: both sides ascending, the best level last."""
    return msgspec.json.encode({"orderbook_fp": _book_keys(book)})


def read_orderbooks(raw: bytes, unknown: Unknown = None) -> tuple[Book, ...]:
    """The books of several markets."""
    books = []
    for body in _books.read(raw, unknown).orderbooks:
        bids, asks = book_of(body)
        books.append(Book(ticker=body.ticker, bids=bids, asks=asks))
    return tuple(books)


def write_orderbooks(books: Sequence[Book]) -> bytes:
    """The books of several markets."""
    items = [{"ticker": book.ticker, "orderbook_fp": _book_keys(book)} for book in books]
    return msgspec.json.encode({"orderbooks": items})


def read_trades(raw: bytes, unknown: Unknown = None) -> Page[Print]:
    """A page of public trades, newest first."""
    page = _trades.read(raw, unknown)
    words: Counter[str] = Counter() if unknown is None else unknown
    return Page(tuple(_print_of(body, words) for body in page.trades), page.cursor)


def write_trades(page: Page[Print]) -> bytes:
    """A page of public trades."""
    return msgspec.json.encode({"trades": [_print_keys(one) for one in page.items], "cursor": page.cursor})


def read_candlesticks(raw: bytes, unknown: Unknown = None) -> tuple[Candle, ...]:
    """The candles of one market."""
    return tuple(map(_candle_of, _candles.read(raw, unknown).candlesticks))


def write_candlesticks(ticker: str, candles: Sequence[Candle]) -> bytes:
    """The candles of one market."""
    return msgspec.json.encode({"ticker": ticker, "candlesticks": [_candle_keys(candle) for candle in candles]})


def read_candlesticks_of_many(raw: bytes, unknown: Unknown = None) -> dict[str, tuple[Candle, ...]]:
    """The candles of several markets by ticker."""
    body = _candles_of_many.read(raw, unknown)
    return {one.market_ticker: tuple(map(_candle_of, one.candlesticks)) for one in body.markets}


def write_candlesticks_of_many(candles: Mapping[str, Sequence[Candle]]) -> bytes:
    """The candles of several markets by ticker."""
    markets = [
        {"market_ticker": ticker, "candlesticks": [_candle_keys(candle) for candle in those]}
        for ticker, those in candles.items()
    ]
    return msgspec.json.encode({"markets": markets})


def read_candlesticks_of_event(raw: bytes, unknown: Unknown = None) -> EventCandles:
    """The candles of an event's markets, and the end of the period that the exchange made of the one asked for."""
    body = _candles_of_event.read(raw, unknown)
    if len(body.market_tickers) != len(body.market_candlesticks):
        raise WireError(f"{len(body.market_tickers)} markets with {len(body.market_candlesticks)} lists of candles")
    lists = (tuple(map(_candle_of, candles)) for candles in body.market_candlesticks)
    return EventCandles(markets=dict(zip(body.market_tickers, lists)), end_ns=body.adjusted_end_ts * SECOND)


def write_candlesticks_of_event(candles: EventCandles) -> bytes:
    """The candles of an event's markets."""
    body: Json = {
        "market_tickers": list(candles.markets),
        "market_candlesticks": [[_candle_keys(candle) for candle in those] for those in candles.markets.values()],
        "adjusted_end_ts": candles.end_ns // SECOND,
    }
    return msgspec.json.encode(body)


def _book_keys(book: Book) -> Json:
    no_bids = sorted((DOLLAR - price, size) for price, size in book.asks)
    return {
        "yes_dollars": [[dollars_text(price), count_text(size)] for price, size in sorted(book.bids)],
        "no_dollars": [[dollars_text(price), count_text(size)] for price, size in no_bids],
    }


def _print_of(body: _TradeBody, words: Counter[str]) -> Print:
    count = body.count if body.count_fp is None else body.count_fp
    if count is None:
        raise WireError(f"trade {body.trade_id} has no count")
    return Print(
        trade_id=body.trade_id,
        ticker=body.ticker,
        price=_print_price(body),
        size=lots_of(count, "count_fp"),
        taker=taker_of(body.taker_book_side or body.taker_outcome_side or body.taker_side, words),
        exch_ns=time_or_none(body.created_time),
        is_block=body.is_block_trade,
    )


def _print_price(body: _TradeBody) -> int:
    if body.yes_price_dollars is not None:
        return pips_of_dollars(body.yes_price_dollars, "yes_price_dollars")
    if body.no_price_dollars is not None:
        return DOLLAR - pips_of_dollars(body.no_price_dollars, "no_price_dollars")
    if body.yes_price is not None:
        return pips_of_cents(body.yes_price, "yes_price")
    if body.no_price is not None:
        return DOLLAR - pips_of_cents(body.no_price, "no_price")
    raise WireError(f"trade {body.trade_id} has no price")


def _print_keys(trade: Print) -> Json:
    keys: Json = {
        "trade_id": trade.trade_id,
        "ticker": trade.ticker,
        "count_fp": count_text(trade.size),
        "yes_price_dollars": dollars_text(trade.price),
        "no_price_dollars": dollars_text(DOLLAR - trade.price),
        "created_time": time_text(trade.exch_ns) if trade.exch_ns else NO_TIME,
        "is_block_trade": trade.is_block,
    }
    if trade.taker is Side.NONE:
        return keys
    outcome = outcome_word(trade.taker)
    return keys | {
        "taker_outcome_side": outcome,
        "taker_book_side": book_word(trade.taker),
        "taker_side": outcome,
    }


def _candle_of(body: _CandleBody) -> Candle:
    mean, previous = body.price.mean_dollars, body.price.previous_dollars
    return Candle(
        end_ns=body.end_period_ts * SECOND,
        bid=_prices_of(body.yes_bid, "yes_bid"),
        ask=_prices_of(body.yes_ask, "yes_ask"),
        price=_prices_of(body.price, "price"),
        volume=_lots(body.volume_fp, body.volume),
        open_interest=_lots(body.open_interest_fp, body.open_interest),
        mean=None if mean is None else micros_of(mean, "mean_dollars"),
        previous=None if previous is None else pips_of_dollars(previous, "previous_dollars"),
    )


def _candle_keys(candle: Candle) -> Json:
    price = _prices_keys(candle.price)
    if candle.mean is not None:
        price["mean_dollars"] = money_text(candle.mean)
    if candle.previous is not None:
        price["previous_dollars"] = dollars_text(candle.previous)
    return {
        "end_period_ts": candle.end_ns // SECOND,
        "yes_bid": _prices_keys(candle.bid),
        "yes_ask": _prices_keys(candle.ask),
        "price": price,
        "volume_fp": count_text(candle.volume),
        "open_interest_fp": count_text(candle.open_interest),
    }


def _prices_of(body: _PricesBody, what: str) -> Prices | None:
    """Open, low, high and close; None unless all are there."""
    said = (body.open_dollars, body.low_dollars, body.high_dollars, body.close_dollars)
    found = [pips_of_dollars(price, what) for price in said if price is not None]
    return (found[0], found[1], found[2], found[3]) if len(found) == len(said) else None


def _prices_keys(prices: Prices | None) -> Json:
    return {} if prices is None else dict(zip(_PRICES, map(dollars_text, prices)))


def _lots(exact: Decimal | None, whole: Decimal | None) -> int:
    count = whole if exact is None else exact
    return 0 if count is None else lots_of(count)
