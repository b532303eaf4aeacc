"""What a feed says beside the exchange's own messages."""

from __future__ import annotations

from enum import Enum

import msgspec

from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade
from kalshi_ray.wire.trading import StreamMessage


class Cause(Enum):
    """Why books are unknown."""

    GAP = "a frame is missing"
    RESTART = "the exchange began to count its frames again"
    DEAD = "the exchange ended the subscription"
    WRONG = "a level below zero, at no price, or bids that meet asks"
    AXIS = (
        "bids meet asks, and would not if the prices of NO were its own: where the exchange does not know"
        " use_yes_price, set collect.use_yes_price = false"
    )
    LOST = "the connection is gone"


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """These books are unknown until their next snapshot: they were known, or a snapshot of them was wrong."""

    tickers: tuple[str, ...]
    cause: Cause
    sid: int


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of a channel without books did not come, and nobody will send them: ask REST what they said."""

    channel: Channel
    sid: int
    frames: int


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription ended or was refused. `code` is the exchange's, 0 where it gave none.

    Where `is_final` it is not asked for again on this connection.
    """

    sid: int
    channel: Channel
    code: int
    text: str
    is_final: bool = False


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing comes of these markets: they were refused with `code`, or (0) never answered. Books are asked for on."""

    tickers: tuple[str, ...]
    channel: Channel
    code: int = 0


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that cannot be read. What it said is missing, and asked for anew."""

    text: str
    raw: bytes


FeedEvent = StreamMessage | Stale | Missed | Dead | Missing | Broken


def is_row(event: FeedEvent) -> bool:
    """Whether an event is all in the rows."""
    if isinstance(event, BookDelta):
        return not event.client_order_id
    return isinstance(event, BookSnapshot | Trade)
