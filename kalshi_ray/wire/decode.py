"""Frames as they stand on the wire to messages on the YES axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol, cast

import msgspec

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire import frames as wire
from kalshi_ray.wire.messages import (
    Acknowledged,
    AnyMessage,
    BookDelta,
    BookSnapshot,
    CommandFailed,
    EventCreated,
    FeeChange,
    Levels,
    MarketChange,
    Ranges,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Subscribed,
    Trade,
    Unsubscribed,
)
from kalshi_ray.wire.numbers import lots_of, milliseconds, pips_of_cents, pips_of_dollars, ppm_of, time_of

Envelope = dict[str, int]  # sid, seq, sent_ns

_TAKERS = {"bid": Side.BID, "yes": Side.BID, "ask": Side.ASK, "no": Side.ASK}
_STATUS = {
    "created": Status.INITIALIZED,
    "activated": Status.ACTIVE,
    "deactivated": Status.INACTIVE,
    "determined": Status.DETERMINED,
    "settled": Status.FINALIZED,
}
_WITHOUT_STATUS = ("close_date_updated", "price_level_structure_updated", "metadata_updated")


class Reading(msgspec.Struct):
    """How the NO side is to be read, and the words met that are not documented."""

    use_yes_price: bool
    unknown_words: Counter[str]  # "market_lifecycle_v2 paused"


def ranges_of(bands: Iterable[wire.Band]) -> Ranges:
    """A price grid in pips."""
    return tuple((pips_of_dollars(b.start), pips_of_dollars(b.end), pips_of_dollars(b.step)) for b in bands)


def decode_book(ticker: str, book: bytes | msgspec.Raw) -> BookSnapshot:
    """A book from REST, in any form: `orderbook_fp`, `orderbook` or its content. NO prices are of the NO leg there."""
    try:
        body = msgspec.json.decode(book, type=RestBook)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(f"not an order book: {error}") from error
    bids, asks = book_of(body)
    return BookSnapshot(ticker=ticker, bids=bids, asks=asks)


def book_of(body: RestBook) -> tuple[Levels, Levels]:
    """Bids and asks of a book from REST, best first."""
    inner = body.orderbook_fp or body.orderbook or body
    bids = _ladder(inner.yes_dollars_fp, inner.yes_dollars, inner.yes)
    asks = _ladder(inner.no_dollars_fp, inner.no_dollars, inner.no)
    return tuple(sorted(bids, reverse=True)), tuple(sorted((DOLLAR - price, size) for price, size in asks))


def crossings(snapshot: BookSnapshot) -> tuple[bool, bool]:
    """Whether a snapshot read with NO-leg prices is crossed, and whether it would be if they were YES prices.

    Which setting a recording was made with shows where only one of the two readings never crosses.
    """
    if not snapshot.bids or not snapshot.asks:
        return False, False
    best_bid = snapshot.bids[0][0]
    return best_bid >= snapshot.asks[0][0], best_bid >= DOLLAR - snapshot.asks[-1][0]


class BookSides(msgspec.Struct):
    """The two sides of a book from REST; the finest form that is there counts."""

    yes_dollars_fp: wire.Ladder | None = None
    no_dollars_fp: wire.Ladder | None = None
    yes_dollars: wire.Ladder | None = None
    no_dollars: wire.Ladder | None = None
    yes: wire.Ladder | None = None
    no: wire.Ladder | None = None


class RestBook(BookSides):
    """A book from REST in any of its forms."""

    orderbook_fp: BookSides | None = None
    orderbook: BookSides | None = None


def _snapshot(frame: wire.SnapshotFrame, envelope: Envelope, reading: Reading) -> BookSnapshot:
    body = frame.msg
    bids = _ladder(body.yes_dollars_fp, body.yes_dollars, body.yes)
    asks = _ladder(body.no_dollars_fp, body.no_dollars, body.no)
    if not reading.use_yes_price:
        asks = [(DOLLAR - price, size) for price, size in asks]
    return BookSnapshot(
        **envelope,
        ticker=body.market_ticker,
        bids=tuple(sorted(bids, reverse=True)),
        asks=tuple(sorted(asks)),
        exch_ns=time_of_body(body),
        market_id=body.market_id,
        id=frame.id,
    )


def _delta(frame: wire.DeltaFrame, envelope: Envelope, reading: Reading) -> BookDelta:
    body = frame.msg
    price = _price(body.price_dollars, body.price, "price")
    if body.side not in ("yes", "no"):
        raise WireError(f"side {body.side!r} is neither yes nor no")
    is_bid = body.side == "yes"
    return BookDelta(
        **envelope,
        ticker=body.market_ticker,
        side=Side.BID if is_bid else Side.ASK,
        price=price if is_bid or reading.use_yes_price else DOLLAR - price,
        change=_size(body.delta_fp, body.delta, "delta"),
        exch_ns=time_of_body(body),
        market_id=body.market_id,
        client_order_id=body.client_order_id,
        subaccount=body.subaccount,
    )


def _trade(frame: wire.TradeFrame, envelope: Envelope, reading: Reading) -> Trade:
    body = frame.msg
    if body.yes_price_dollars is None and body.yes_price is None:
        price = DOLLAR - _price(body.no_price_dollars, body.no_price, "no_price")
    else:
        price = _price(body.yes_price_dollars, body.yes_price, "yes_price")
    return Trade(
        **envelope,
        ticker=body.market_ticker,
        price=price,
        size=_size(body.count_fp, body.count, "count"),
        taker=_taker(body, reading),
        exch_ns=time_of_body(body),
        is_block=body.is_block_trade,
        trade_id=body.trade_id,
    )


def _taker(body: wire.TradeBody, reading: Reading) -> Side:
    return taker_of(body.taker_book_side or body.taker_outcome_side or body.taker_side, reading.unknown_words)


def taker_of(word: str, unknown_words: Counter[str]) -> Side:
    """The side that the taker traded for. A word that is not known is counted and names none."""
    if word and word not in _TAKERS:
        unknown_words[f"trade taker {word}"] += 1
    return _TAKERS.get(word, Side.NONE)


def _lifecycle(
    frame: wire.LifecycleFrame | wire.ComboLifecycleFrame, envelope: Envelope, reading: Reading
) -> MarketChange:
    body = frame.msg
    if body.event_type not in _STATUS and body.event_type not in _WITHOUT_STATUS:
        reading.unknown_words[f"market_lifecycle_v2 {body.event_type}"] += 1
    value = body.settlement_value
    return MarketChange(
        **envelope,
        ticker=body.market_ticker,
        change=body.event_type,
        status=_STATUS.get(body.event_type),
        open_ns=None if body.open_ts is None else body.open_ts * SECOND,
        close_ns=None if body.close_ts is None else body.close_ts * SECOND,
        ranges=None if body.price_ranges is None else ranges_of(body.price_ranges),
        event=body.additional_metadata.event_ticker if body.additional_metadata else "",
        result=body.result,
        value=_settled_at(body.result) if value is None else pips_of_dollars(value, "settlement_value"),
        exch_ns=time_of_body(body) or (body.determination_ts or body.settled_ts) * SECOND,
        price_structure=body.price_level_structure,
        exchange_index=body.exchange_index,
    )


def _event(frame: wire.EventFrame, envelope: Envelope, reading: Reading) -> EventCreated:
    body = frame.msg
    return EventCreated(
        **envelope,
        event=body.event_ticker,
        series=body.series_ticker,
        title=body.title,
        subtitle=body.subtitle,
        collateral_return=body.collateral_return_type,
        exchange_index=body.exchange_index,
    )


def _fee(frame: wire.FeeFrame, envelope: Envelope, reading: Reading) -> FeeChange:
    factor = frame.msg.fee_multiplier_override
    return FeeChange(
        **envelope,
        event=frame.msg.event_ticker,
        fee_type=frame.msg.fee_type_override,
        multiplier_ppm=None if factor is None else ppm_of(factor, "fee_multiplier_override"),
    )


def _subscribed(frame: wire.SubscribedFrame, envelope: Envelope, reading: Reading) -> Subscribed:
    return Subscribed(**{**envelope, "sid": frame.msg.sid}, channel=frame.msg.channel, id=frame.id)


def _ok(frame: wire.OkFrame, envelope: Envelope, reading: Reading) -> Acknowledged:
    try:
        body = msgspec.json.decode(frame.msg, type=wire.OkBody | list[wire.ListedBody] | None)
    except msgspec.ValidationError:  # says something else: still an acknowledgement
        reading.unknown_words["ok msg"] += 1
        body = None
    subscriptions = tuple((one.channel, one.sid) for one in body) if isinstance(body, list) else None
    tickers = tuple(body.market_tickers or ()) if isinstance(body, wire.OkBody) else ()
    return Acknowledged(**envelope, id=frame.id, tickers=tickers, subscriptions=subscriptions)


def _unsubscribed(frame: wire.UnsubscribedFrame, envelope: Envelope, reading: Reading) -> Unsubscribed:
    return Unsubscribed(**envelope, id=frame.id)


def _error(frame: wire.ErrorFrame, envelope: Envelope, reading: Reading) -> CommandFailed:
    body = frame.msg
    return CommandFailed(**envelope, code=body.code, text=body.msg, id=frame.id, ticker=body.market_ticker)


def _row(frame: wire.RowFrame, envelope: Envelope, reading: Reading) -> RecorderRow:
    body = frame.msg
    if body.kind not in Kind.__members__:
        raise WireError(f"kind {body.kind!r} is none of {', '.join(Kind.__members__)}")
    columns = {name: getattr(body, name) for name in ("side", "price", "size", "taker", "flags")}
    return RecorderRow(**envelope, ticker=body.market_ticker, kind=Kind[body.kind], exch_ns=body.ts_ns, **columns)


def _skip(frame: wire.SkipFrame, envelope: Envelope, reading: Reading) -> RecorderSkip:
    return RecorderSkip(**envelope)


def _facts(frame: wire.FactsFrame, envelope: Envelope, reading: Reading) -> RecorderFacts:
    body = frame.msg
    return RecorderFacts(**envelope, depth=body.depth, sizes=body.sizes, assumed_size=body.assumed_size)


def _ladder(fixed: wire.Ladder | None, dollars: wire.Ladder | None, cents: wire.Ladder | None) -> list[tuple[int, int]]:
    """(price, size) of one side as sent; the finest form wins. Levels of size 0 are no levels."""
    if fixed is None and dollars is None:
        levels = [(pips_of_cents(price), lots_of(count)) for price, count in cents or ()]
    else:
        chosen = cast("wire.Ladder", dollars if fixed is None else fixed)
        levels = [(pips_of_dollars(price), lots_of(count)) for price, count in chosen]
    return [(price, size) for price, size in levels if size != 0]


def _price(dollars: Decimal | None, cents: Decimal | None, what: str) -> int:
    if dollars is not None:
        return pips_of_dollars(dollars, what)
    if cents is not None:
        return pips_of_cents(cents, what)
    raise WireError(f"{what} is missing")


def _size(fixed: Decimal | None, whole: Decimal | None, what: str) -> int:
    if fixed is None and whole is None:
        raise WireError(f"{what} is missing")
    return lots_of(cast("Decimal", whole if fixed is None else fixed), what)


class _Timed(Protocol):
    ts: str | int
    ts_ms: int
    ts_ns: int


def time_of_body(body: _Timed) -> int:
    """Exchange time in ns. Milliseconds where sent, so that a trade and the change it caused have the same time."""
    if body.ts_ns:
        return body.ts_ns
    if body.ts_ms:
        return milliseconds(body.ts_ms)
    return time_of(body.ts) if isinstance(body.ts, str) else body.ts * SECOND


def _settled_at(result: str) -> int | None:
    """Pips that one YES pays after a plain result; a scalar needs its value."""
    return {"yes": DOLLAR, "no": 0}.get(result)


READERS: dict[type[wire.Frame], Callable[[Any, Envelope, Reading], AnyMessage]] = {
    wire.SnapshotFrame: _snapshot,
    wire.DeltaFrame: _delta,
    wire.TradeFrame: _trade,
    wire.LifecycleFrame: _lifecycle,
    wire.ComboLifecycleFrame: _lifecycle,
    wire.EventFrame: _event,
    wire.FeeFrame: _fee,
    wire.SubscribedFrame: _subscribed,
    wire.OkFrame: _ok,
    wire.UnsubscribedFrame: _unsubscribed,
    wire.ErrorFrame: _error,
    wire.RowFrame: _row,
    wire.SkipFrame: _skip,
    wire.FactsFrame: _facts,
}
