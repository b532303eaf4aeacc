"""Messages to frames: what the exporter writes and the simulator sends."""

from __future__ import annotations

from functools import cache, singledispatch
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CONTRACT, DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.messages import (
    Acknowledged,
    BookDelta,
    BookSnapshot,
    CommandFailed,
    EventCreated,
    FeeChange,
    Levels,
    MarketChange,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Subscribed,
    Trade,
    Unknown,
    Unsubscribed,
)
from kalshi_ray.wire.numbers import PPM, cents_of, count_text, dollars_text, time_text
from kalshi_ray.wire.trading import StreamMessage

Form = Literal["fixed", "cents", "full"]
Json = dict[str, Any]
Body = tuple[str, Any]  # the frame's type and its `msg`


def encode_message(message: StreamMessage, *, use_yes_price: bool, form: Form) -> bytes:
    """The frame of a message. WireError for what that form cannot say."""
    if isinstance(message, Unknown):
        return message.raw
    writer = Writer(use_yes_price, form)
    kind, body = body_of(message, writer)
    frame: Json = {"type": kind}
    identity = getattr(message, "id", 0)
    if identity:
        frame["id"] = identity
    if message.sid and kind != "subscribed":
        frame["sid"] = message.sid
    if message.seq:
        frame["seq"] = message.seq
    if message.sent_ns:
        frame["sending_ts_ms"] = message.sent_ns // MILLISECOND
    if body is not None:
        frame["msg"] = body
    return msgspec.json.encode(frame)


class Writer:
    """How prices, sizes and times are written."""

    def __init__(self, use_yes_price: bool, form: Form) -> None:
        self.use_yes_price = use_yes_price
        self.form = form

    def leg(self, side: Side, price: int) -> int:
        """The price as it stands on the wire on that side of the book."""
        return price if side is Side.BID or self.use_yes_price else DOLLAR - price

    def ladder(self, side: Side, levels: Levels) -> list[list[Any]]:
        """One side of a snapshot, ascending as the exchange sends it."""
        legs = sorted((self.leg(side, price), size) for price, size in levels)
        if self.form == "cents":
            return [[cents_of(price), whole_contracts(size)] for price, size in legs]
        return [[dollars_text(price), count_text(size)] for price, size in legs]

    def market(self, ticker: str, market_id: str) -> Json:
        """How a frame names its market."""
        market_id = market_id or (market_id_of(ticker) if self.form == "full" else "")
        return {"market_ticker": ticker} | ({"market_id": market_id} if market_id else {})

    def times(self, exch_ns: int, *, twin: Literal["seconds", "text"]) -> Json:
        """Milliseconds as the exchange sends them, and what they leave out or, in full, their deprecated twin."""
        if self.form == "full":
            ts = exch_ns // SECOND if twin == "seconds" else time_text(exch_ns // MILLISECOND * MILLISECOND)
            return {"ts": ts, "ts_ms": exch_ns // MILLISECOND}
        return self.own_times(exch_ns)

    def own_times(self, exch_ns: int) -> Json:
        """Times where the exchange sends none."""
        if not exch_ns or self.form == "full":
            return {}
        found: Json = {"ts_ms": exch_ns // MILLISECOND}
        if exch_ns % MILLISECOND:
            found["ts_ns"] = exch_ns
        return found


@singledispatch
def body_of(message: StreamMessage, writer: Writer) -> Body:
    """The frame's type and its `msg`."""
    raise WireError(f"{type(message).__name__} has no frame")


@body_of.register
def _snapshot(message: BookSnapshot, writer: Writer) -> Body:
    body = writer.market(message.ticker, message.market_id)
    yes, no = ("yes", "no") if writer.form == "cents" else ("yes_dollars_fp", "no_dollars_fp")
    if message.bids:
        body[yes] = writer.ladder(Side.BID, message.bids)
    if message.asks:
        body[no] = writer.ladder(Side.ASK, message.asks)
    return "orderbook_snapshot", body | writer.own_times(message.exch_ns)


@body_of.register
def _delta(message: BookDelta, writer: Writer) -> Body:
    price = writer.leg(message.side, message.price)
    body = writer.market(message.ticker, message.market_id)
    if writer.form == "cents":
        body |= {"price": cents_of(price), "delta": whole_contracts(message.change)}
    else:
        body |= {"price_dollars": dollars_text(price), "delta_fp": count_text(message.change)}
    body["side"] = "yes" if message.side is Side.BID else "no"
    if message.client_order_id:
        body["client_order_id"] = message.client_order_id
    if message.subaccount:
        body["subaccount"] = message.subaccount
    return "orderbook_delta", body | writer.times(message.exch_ns, twin="text")


@body_of.register
def _trade(message: Trade, writer: Writer) -> Body:
    body: Json = {"trade_id": message.trade_id} if message.trade_id else {}
    body["market_ticker"] = message.ticker
    if writer.form == "cents":
        yes, no = cents_of(message.price), cents_of(DOLLAR - message.price)
        body |= {"yes_price": yes, "no_price": no, "count": whole_contracts(message.size)}
    else:
        body |= {
            "yes_price_dollars": dollars_text(message.price),
            "no_price_dollars": dollars_text(DOLLAR - message.price),
            "count_fp": count_text(message.size),
        }
    if message.taker is not Side.NONE:
        outcome = "yes" if message.taker is Side.BID else "no"
        if writer.form != "cents":
            body |= {"taker_outcome_side": outcome, "taker_book_side": message.taker.name.lower()}
        body["taker_side"] = outcome
    if writer.form != "cents":
        body["is_block_trade"] = message.is_block
    return "trade", body | writer.times(message.exch_ns, twin="seconds")


@body_of.register
def _lifecycle(message: MarketChange, writer: Writer) -> Body:
    body: Json = {"market_ticker": message.ticker, "event_type": message.change}
    if message.open_ns is not None:
        body["open_ts"] = _seconds(message.open_ns)
    if message.close_ns is not None:
        body["close_ts"] = _seconds(message.close_ns)
    if message.exchange_index is not None:
        body["exchange_index"] = message.exchange_index
    if message.price_structure:
        body["price_level_structure"] = message.price_structure
    if message.ranges is not None:
        names = ("start", "end", "step")
        body["price_ranges"] = [dict(zip(names, map(dollars_text, band))) for band in message.ranges]
    if message.event:
        body["additional_metadata"] = {"event_ticker": message.event}
    if message.result:
        body["result"] = message.result
    if message.value is not None:
        body["settlement_value"] = dollars_text(message.value)
    stamp = {"determined": "determination_ts", "settled": "settled_ts"}.get(message.change)
    in_full = writer.form == "full"
    if in_full and message.change in ("activated", "deactivated"):
        body["is_deactivated"] = message.change == "deactivated"
    second = message.exch_ns // SECOND
    if stamp and second and (in_full or message.exch_ns % SECOND == 0):
        body[stamp] = second
        return "market_lifecycle_v2", body
    return "market_lifecycle_v2", body | writer.own_times(message.exch_ns)


@body_of.register
def _event(message: EventCreated, writer: Writer) -> Body:
    body: Json = {"event_ticker": message.event, "series_ticker": message.series}
    told: Json = {
        "title": message.title,
        "subtitle": message.subtitle,
        "collateral_return_type": message.collateral_return,
        "exchange_index": message.exchange_index,
    }
    return "event_lifecycle", body | {key: word for key, word in told.items() if word or writer.form == "full"}


@body_of.register
def _fee(message: FeeChange, writer: Writer) -> Body:
    factor = None if message.multiplier_ppm is None else msgspec.Raw(_decimal(message.multiplier_ppm))
    body = {"event_ticker": message.event, "fee_type_override": message.fee_type, "fee_multiplier_override": factor}
    return "event_fee_update", body


@body_of.register
def _subscribed(message: Subscribed, writer: Writer) -> Body:
    return "subscribed", {"channel": message.channel, "sid": message.sid}


@body_of.register
def _ok(message: Acknowledged, writer: Writer) -> Body:
    if message.subscriptions is not None:
        return "ok", [{"channel": channel, "sid": sid} for channel, sid in message.subscriptions]
    return "ok", {"market_tickers": list(message.tickers)} if message.tickers else None


@body_of.register
def _unsubscribed(message: Unsubscribed, writer: Writer) -> Body:
    return "unsubscribed", None


@body_of.register
def _error(message: CommandFailed, writer: Writer) -> Body:
    body: Json = {"code": message.code, "msg": message.text}
    return "error", body | ({"market_ticker": message.ticker} if message.ticker else {})


@body_of.register
def _row(message: RecorderRow, writer: Writer) -> Body:
    body: Json = {"market_ticker": message.ticker, "kind": Kind(message.kind).name}
    plain = {"side": -1, "price": 0, "size": 0, "taker": -1, "flags": 0}
    body |= {name: getattr(message, name) for name, usual in plain.items() if getattr(message, name) != usual}
    return "recorder_row", body | ({"ts_ns": message.exch_ns} if message.exch_ns else {})


@body_of.register
def _skip(message: RecorderSkip, writer: Writer) -> Body:
    return "recorder_skip", None


@body_of.register
def _facts(message: RecorderFacts, writer: Writer) -> Body:
    return "recorder_facts", {"depth": message.depth, "sizes": message.sizes, "assumed_size": message.assumed_size}


@cache
def market_id_of(ticker: str) -> str:
    """The id under which a simulated exchange knows a market: a UUID, always the same for a ticker."""
    return str(uuid5(NAMESPACE_URL, f"market:{ticker}"))


def whole_contracts(size: int) -> int:
    """Lots as whole contracts. WireError where there is a fraction."""
    if size % CONTRACT:
        raise WireError(f"size {count_text(size)} has no form in whole contracts")
    return size // CONTRACT


def _seconds(time: int) -> int:
    if time % SECOND:
        raise WireError(f"{time} ns is not a whole second, as the exchange sends it here")
    return time // SECOND


def _decimal(ppm: int) -> bytes:
    """A factor in plain decimals, without a float in between."""
    whole, rest = divmod(ppm, PPM)
    return (f"{whole}.{rest:06d}".rstrip("0").rstrip(".")).encode()
