"""Reads that anybody may do: markets, events, series, books, trades, candles, and the exchange itself."""

from __future__ import annotations

from functools import partial

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.simulator.candles import MINUTE_NS
from kalshi_ray.exchange.simulator.paging import Place, page_of
from kalshi_ray.exchange.simulator.rest_api_call import Call, Response, refused, wrong_parameter
from kalshi_ray.wire import bodies, listing
from kalshi_ray.wire.refusals import refusal
from kalshi_ray.wire.trading import Page, Refused

# The words of a query, which are not those of an answer.
STATUSES: dict[str, tuple[Status, ...]] = {
    "unopened": (Status.INITIALIZED,),
    "open": (Status.ACTIVE,),
    "paused": (Status.INACTIVE,),
    "closed": (Status.CLOSED, Status.DETERMINED, Status.DISPUTED, Status.AMENDED),
    "settled": (Status.FINALIZED,),
}
COMBOS = "KXMVE"  # how their tickers begin
MOST_BOOKS = 100
MOST_CANDLES = 10_000
DAY_NS = 86_400 * SECOND
ALWAYS = tuple((("00:00", "24:00"),) for _ in range(7))


def markets(call: Call) -> Response:
    """GET /markets"""
    status = call.choice("status", tuple(STATUSES))
    combos = call.choice("mve_filter", ("only", "exclude"))
    bounds = _time_bounds(call)
    found = call.exchange.markets(
        tickers=call.words("tickers"),
        events=call.words("event_ticker", 10),
        series=call.word("series_ticker"),
        statuses=STATUSES.get(status, ()),
    )
    chosen = [
        one
        for one in found
        if all(first <= getattr(one, field) <= last for field, first, last in bounds)
        and (not combos or one.ticker.startswith(COMBOS) == (combos == "only"))
    ]
    places = {ticker: at for at, ticker in enumerate(call.exchange.markets_by_ticker)}
    page = page_of(chosen, lambda one: (places[one.ticker], ""), limit=call.limit(), cursor=call.word("cursor"))
    return Response(200, bodies.write_markets(page))


def _time_bounds(call: Call) -> list[tuple[str, int, int]]:
    """Fields of a market with their first and last time. Those of one kind at a time."""
    fields = {"created": "created_ns", "close": "close_ns", "settled": "settled_ns", "updated": "updated_ns"}
    found = []
    for kind, field in fields.items():
        first, last = call.first_ns(f"min_{kind}_ts"), call.last_ns(f"max_{kind}_ts")
        if first or last:
            found.append((field, first, last or 2**63))
    if len(found) > 1:
        raise wrong_parameter("timestamps", "filters of several kinds exclude each other")
    return found


def market(call: Call) -> Response:
    """GET /markets/{ticker}"""
    found = call.exchange.market(call.names[0])
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_market(found))


def orderbook(call: Call) -> Response:
    """GET /markets/{ticker}/orderbook"""
    found = call.exchange.book(call.names[0], call.number("depth", 0, 100) or 0)
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_orderbook(found))


def orderbooks(call: Call) -> Response:
    """GET /markets/orderbooks"""
    tickers = call.words("tickers", MOST_BOOKS)
    if not tickers:
        raise wrong_parameter("tickers", "at least one")
    books = [call.exchange.book(ticker) for ticker in dict.fromkeys(tickers)]
    return Response(200, bodies.write_orderbooks([book for book in books if isinstance(book, listing.Book)]))


def trades(call: Call) -> Response:
    """GET /markets/trades"""
    found = call.exchange.trades(
        ticker=call.word("ticker"), min_ns=call.first_ns("min_ts"), max_ns=call.last_ns("max_ts")
    )
    is_block = call.flag("is_block_trade")
    chosen = [one for one in found if is_block in (None, one.is_block)]
    page = page_of(chosen, _print_place, limit=call.limit(), cursor=call.word("cursor"), newest_first=True)
    return Response(200, bodies.write_trades(page))


def _print_place(trade: listing.Print) -> Place:
    return trade.exch_ns, trade.trade_id


def events(call: Call) -> Response:
    """GET /events"""
    tickers, status = set(call.words("tickers", 200)), call.choice("status", ("unopened", "open", "closed", "settled"))
    words = {word.name.lower() for word in STATUSES.get(status, ())}
    chosen = [
        event
        for event in call.exchange.events(series=call.word("series_ticker"))
        if not event.series.startswith(COMBOS)
        and (not tickers or event.ticker in tickers)
        and (not words or any(market.status in words for market in event.markets))
        and any(market.close_ns >= call.first_ns("min_close_ts") for market in event.markets)
        and any(market.updated_ns >= call.first_ns("min_updated_ts") for market in event.markets)
    ]
    page = page_of(chosen, lambda one: (0, one.ticker), limit=call.limit(200, 200), cursor=call.word("cursor"))
    if not call.flag("with_nested_markets"):
        page = Page(tuple(map(_without_markets, page.items)), page.cursor)
    return Response(200, bodies.write_events(page))


def _without_markets(event: listing.Event) -> listing.Event:
    return listing.Event(
        ticker=event.ticker, series=event.series, title=event.title, category=event.category,
        mutually_exclusive=event.mutually_exclusive,
    )  # fmt: skip


def event(call: Call) -> Response:
    """GET /events/{event_ticker}"""
    found = call.exchange.event(call.names[0])
    if isinstance(found, Refused):
        return refused(found)
    return Response(200, bodies.write_event(found, nested=bool(call.flag("with_nested_markets"))))


def series_list(call: Call) -> Response:
    """GET /series"""
    category = call.word("category")
    return Response(
        200, bodies.write_series_list([s for s in call.exchange.all_series() if category in ("", s.category)])
    )


def series(call: Call) -> Response:
    """GET /series/{series_ticker}"""
    found = call.exchange.series(call.names[0])
    return refused(found) if isinstance(found, Refused) else Response(200, bodies.write_series(found))


def series_fees(call: Call) -> Response:
    """GET /series/fee_changes: fees here change at once, none are scheduled."""
    return Response(200, bodies.write_series_fees(()))


def event_fees(call: Call) -> Response:
    """GET /events/fee_changes"""
    return Response(200, bodies.write_event_fees(Page()))


def candlesticks(call: Call) -> Response:
    """GET /series/{series_ticker}/markets/{ticker}/candlesticks"""
    series_ticker, ticker = call.names
    known = call.exchange.markets_by_ticker.get(ticker)
    if known is None or known.terms.series != series_ticker:
        return refused(refusal(404, "not_found", "market"))
    return Response(200, bodies.write_candlesticks(ticker, _candles(call, [ticker])[ticker]))


def candlesticks_of_many(call: Call) -> Response:
    """GET /markets/candlesticks"""
    return Response(200, bodies.write_candlesticks_of_many(_candles(call, call.words("market_tickers", MOST_BOOKS))))


def candlesticks_of_event(call: Call) -> Response:
    """GET /series/{series_ticker}/events/{ticker}/candlesticks"""
    found = call.exchange.event(call.names[1])
    if isinstance(found, Refused) or found.series != call.names[0]:
        return refused(refusal(404, "not_found", "event"))
    candles = _candles(call, [market.ticker for market in found.markets])
    return Response(
        200, bodies.write_candlesticks_of_event(listing.EventCandles(markets=candles, end_ns=call.last_ns("end_ts")))
    )


def _candles(call: Call, tickers: list[str]) -> dict[str, tuple[listing.Candle, ...]]:
    minutes = call.number("period_interval", 1, 1440)
    if minutes not in (1, 60, 1440):
        raise wrong_parameter("period_interval", "one of 1, 60, 1440")
    start_ns, end_ns = call.first_ns("start_ts"), call.last_ns("end_ts")
    if not end_ns or end_ns < start_ns:
        raise wrong_parameter("end_ts", "after start_ts")
    read = partial(call.exchange.candles, start_ns=start_ns, end_ns=end_ns, period_ns=minutes * MINUTE_NS)
    found = {ticker: candles for ticker in tickers if not isinstance(candles := read(ticker), Refused)}
    if sum(map(len, found.values())) > MOST_CANDLES:
        raise wrong_parameter("end_ts", f"at most {MOST_CANDLES} candles at once")
    return found


def status(call: Call) -> Response:
    """GET /exchange/status. A closed exchange answers 503, with the same body."""
    found = call.exchange.status()
    return Response(200 if found.exchange_active else 503, bodies.write_status(found))


def schedule(call: Call) -> Response:
    """GET /exchange/schedule: always open."""
    week = listing.Week(from_ns=call.now_ns - DAY_NS, to_ns=call.now_ns + 365 * DAY_NS, days=ALWAYS)
    return Response(200, bodies.write_schedule(listing.Schedule(weeks=(week,))))


def user_data_timestamp(call: Call) -> Response:
    """GET /exchange/user_data_timestamp: reads know every write at once."""
    return Response(200, bodies.write_user_data_timestamp(call.now_ns))
