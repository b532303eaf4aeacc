"""Calls that read markets and the exchange; most need no signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kalshi_ray.wire.requests.request import Query, Request, first_second, last_second, query_of, read_call


def get_markets(
    *,
    tickers: Sequence[str] = (),
    event: str = "",
    series: str = "",
    status: str = "",
    times: Mapping[str, int] | None = None,
    combos: str = "",
    limit: int | None = None,
    cursor: str = "",
) -> Request:
    """Markets. `status` is one of unopened, open, paused, closed, settled; `combos` only or exclude.

    `times` are bounds in ns such as {"min_close": …}; the exchange takes those of one kind at a time.
    """
    bounds = {f"{name}_ts": _bound(name, time) for name, time in (times or {}).items()}
    query = query_of(
        tickers=",".join(tickers),
        event_ticker=event,
        series_ticker=series,
        status=status,
        mve_filter=combos,
        limit=limit,
        cursor=cursor,
        **bounds,
    )
    return read_call("/markets", query=query)


def get_market(ticker: str) -> Request:
    """One market."""
    return read_call("/markets/{ticker}", ticker)


def get_orderbook(ticker: str, depth: int = 0) -> Request:
    """The book of one market; all levels (0) or the best `depth` of each side, at most 100."""
    return read_call("/markets/{ticker}/orderbook", ticker, query=query_of(depth=depth or None))


def get_orderbooks(tickers: Sequence[str]) -> Request:
    """The books of at most 100 markets."""
    return read_call("/markets/orderbooks", query=tuple(("tickers", ticker) for ticker in tickers))


def get_trades(
    *,
    ticker: str = "",
    since_ns: int | None = None,
    until_ns: int | None = None,
    is_block: bool | None = None,
    limit: int | None = None,
    cursor: str = "",
) -> Request:
    """Public trades, newest first."""
    query = query_of(
        ticker=ticker,
        min_ts=first_second(since_ns),
        max_ts=last_second(until_ns),
        is_block_trade=is_block,
        limit=limit,
        cursor=cursor,
    )
    return read_call("/markets/trades", query=query)


def get_candlesticks(series: str, ticker: str, *, since_ns: int, until_ns: int, minutes: int) -> Request:
    """Candles of one market, of 1, 60 or 1440 minutes."""
    query = _candle_query(since_ns, until_ns, minutes)
    return read_call("/series/{series_ticker}/markets/{ticker}/candlesticks", series, ticker, query=query)


def get_candlesticks_of_many(tickers: Sequence[str], *, since_ns: int, until_ns: int, minutes: int) -> Request:
    """Candles of at most 100 markets, 10,000 in all."""
    query = query_of(market_tickers=",".join(tickers)) + _candle_query(since_ns, until_ns, minutes)
    return read_call("/markets/candlesticks", query=query)


def get_candlesticks_of_event(series: str, event: str, *, since_ns: int, until_ns: int, minutes: int) -> Request:
    """Candles of all markets of an event."""
    query = _candle_query(since_ns, until_ns, minutes)
    return read_call("/series/{series_ticker}/events/{ticker}/candlesticks", series, event, query=query)


def get_events(
    *,
    tickers: Sequence[str] = (),
    series: str = "",
    status: str = "",
    with_markets: bool = False,
    min_close_ns: int | None = None,
    min_updated_ns: int | None = None,
    limit: int | None = None,
    cursor: str = "",
) -> Request:
    """Events, at most 200 a page; combos are not among them. `status` is unopened, open, closed or settled."""
    query = query_of(
        tickers=",".join(tickers),
        series_ticker=series,
        status=status,
        with_nested_markets=with_markets or None,
        min_close_ts=first_second(min_close_ns),
        min_updated_ts=first_second(min_updated_ns),
        limit=limit,
        cursor=cursor,
    )
    return read_call("/events", query=query)


def get_event(event: str, *, with_markets: bool = False) -> Request:
    """One event; its markets come inside it or beside it."""
    return read_call("/events/{event_ticker}", event, query=query_of(with_nested_markets=with_markets or None))


def get_series(ticker: str, *, with_volume: bool = False) -> Request:
    """One series with its fees."""
    return read_call("/series/{series_ticker}", ticker, query=query_of(include_volume=with_volume or None))


def get_series_list(*, category: str = "", tags: Sequence[str] = (), with_volume: bool = False) -> Request:
    """All series of a category or of tags."""
    query = query_of(category=category, tags=",".join(tags), include_volume=with_volume or None)
    return read_call("/series", query=query)


def get_series_fees(*, series: str = "", with_past: bool = False) -> Request:
    """Changes of the fees of series."""
    query = query_of(series_ticker=series, show_historical=with_past or None)
    return read_call("/series/fee_changes", query=query)


def get_event_fees(*, event: str = "", limit: int | None = None, cursor: str = "") -> Request:
    """Changes of the fees of events."""
    return read_call("/events/fee_changes", query=query_of(event_ticker=event, limit=limit, cursor=cursor))


def get_status() -> Request:
    """Whether the exchange is open."""
    return read_call("/exchange/status")


def get_schedule() -> Request:
    """The hours of the exchange."""
    return read_call("/exchange/schedule")


def _candle_query(since_ns: int, until_ns: int, minutes: int) -> Query:
    return query_of(start_ts=first_second(since_ns), end_ts=last_second(until_ns), period_interval=minutes)


def _bound(name: str, time_ns: int) -> int | None:
    return first_second(time_ns) if name.startswith("min_") else last_second(time_ns)
