"""Happenings to frames for many subscribers: the body is written once, the envelope for each."""

from __future__ import annotations

import msgspec

from kalshi_ray.core.units import DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.encode import Writer, body_of
from kalshi_ray.wire.messages import BookDelta, MarketChange
from kalshi_ray.wire.numbers import count_text, dollars_text, time_text
from kalshi_ray.wire.trading import StreamMessage

_WRITERS = {flag: Writer(flag, "full") for flag in (False, True)}
_CODECS = {flag: Codec(use_yes_price=flag) for flag in (False, True)}
Parts = tuple[bytes, bytes]
_PRICES = [dollars_text(price).encode() for price in range(DOLLAR + 1)]


def whole_frame(message: StreamMessage, *, use_yes_price: bool) -> bytes:
    """One frame as a whole: answers to commands, and snapshots."""
    return _CODECS[use_yes_price].encode(message, form="full")


class Bodies:
    """The frames of one happening but for their numbers, written when the first subscriber needs them."""

    __slots__ = ("_written", "message")

    def __init__(self, message: StreamMessage) -> None:
        self.message = message
        self._written: dict[bool, Parts] = {}

    def frame(self, sid: int, seq: int, sent_ns: int, *, use_yes_price: bool) -> bytes:
        """The frame of a subscription; channels without sequence numbers have none (0)."""
        parts = self._written.get(use_yes_price)
        if parts is None:
            parts = self._written[use_yes_price] = _written(self.message, use_yes_price)
        kind, body = parts
        if seq:
            numbers = (kind, sid, seq, sent_ns // MILLISECOND, body)
            return b'{"type":"%b","sid":%d,"seq":%d,"sending_ts_ms":%d,"msg":%b}' % numbers
        return b'{"type":"%b","sid":%d,"sending_ts_ms":%d,"msg":%b}' % (kind, sid, sent_ns // MILLISECOND, body)


def _written(message: StreamMessage, use_yes_price: bool) -> Parts:
    """The type and the body."""
    if type(message) is BookDelta and not message.client_order_id:
        return b"orderbook_delta", _delta(message, use_yes_price)
    if isinstance(message, MarketChange):
        message = _in_seconds(message)
    kind, body = body_of(message, _WRITERS[use_yes_price])
    return kind.encode(), msgspec.json.encode(body)


def _delta(delta: BookDelta, use_yes_price: bool) -> bytes:
    """What `body_of` writes of a change of a level, without its dictionaries: nearly all frames are one."""
    is_bid = delta.side is Side.BID
    millisecond = delta.exch_ns // MILLISECOND
    return (
        b'{"market_ticker":%b,"market_id":"%b","price_dollars":"%b","delta_fp":"%b","side":"%b","ts":"%b","ts_ms":%d}'
        % (
            msgspec.json.encode(delta.ticker),
            delta.market_id.encode(),
            _PRICES[delta.price if is_bid or use_yes_price else DOLLAR - delta.price],
            count_text(delta.change).encode(),
            b"yes" if is_bid else b"no",
            time_text(millisecond * MILLISECOND).encode(),
            millisecond,
        )
    )


def _in_seconds(change: MarketChange) -> MarketChange:
    """Opening and closing times have no fractions on the wire."""
    opens, closes = (None if time is None else time // SECOND * SECOND for time in (change.open_ns, change.close_ns))
    return msgspec.structs.replace(change, open_ns=opens, close_ns=closes)
