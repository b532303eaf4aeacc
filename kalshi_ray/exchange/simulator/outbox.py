"""What happened, in order, for whoever publishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from kalshi_ray.wire.messages import BookDelta, EventCreated, FeeChange, MarketChange, Trade
from kalshi_ray.wire.trading import FillMessage, GroupMessage, OrderMessage, PositionMessage, TickerMessage

if TYPE_CHECKING:
    from kalshi_ray.exchange.simulator.accounts import Account

PublicValue = BookDelta | Trade | TickerMessage | MarketChange | EventCreated | FeeChange
PrivateValue = FillMessage | OrderMessage | PositionMessage | GroupMessage


class Cause(NamedTuple):
    """Whose order changed the book: told to that account alone."""

    account: Account
    client_order_id: str
    subaccount: int


class Public(NamedTuple):
    """Something everybody may know of a market (or of an event: then `ticker` is the event's)."""

    scope: Literal["public"]
    ticker: str
    value: PublicValue
    cause: Cause | None = None


class Private(NamedTuple):
    """Something one account may know."""

    scope: Literal["private"]
    account: Account
    value: PrivateValue


Happening = Public | Private
Outbox = list[Happening]
