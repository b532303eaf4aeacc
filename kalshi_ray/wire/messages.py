"""What the exchange says, as values: integers, one YES axis, the sender's sequence number.

Prices in pips, sizes in lots, times in nanoseconds since the epoch (0 unknown).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import Side

Levels = tuple[tuple[int, int], ...]  # (price, size), best first
Ranges = tuple[tuple[int, int, int], ...]  # (start, end, step) in pips

# The subscription is dead after these error codes: subscribe again.
TERMINAL_ERRORS = (10, 25)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every frame carries. `seq` counts frames of one `sid`; 0 where the channel has none."""

    sid: int = 0
    seq: int = 0
    sent_ns: int = 0  # when the exchange sent it


class BookSnapshot(Message, frozen=True, kw_only=True):
    """The whole book of a market."""

    ticker: str
    bids: Levels
    asks: Levels
    exch_ns: int = 0  # the exchange sends none; a recording of ours may know it
    market_id: str = ""
    id: int = 0  # of the command that asked for it


class BookDelta(Message, frozen=True, kw_only=True):
    """A signed change of the size at one level. `client_order_id` names the own order that caused it."""

    ticker: str
    side: Side
    price: int
    change: int
    exch_ns: int = 0
    market_id: str = ""
    client_order_id: str = ""
    subaccount: int = 0


class Trade(Message, frozen=True, kw_only=True):
    """A public print. `taker` is the side the taker traded for: BID bought YES."""

    ticker: str
    price: int
    size: int
    taker: Side
    exch_ns: int = 0
    is_block: bool = False
    trade_id: str = ""


class MarketChange(Message, frozen=True, kw_only=True):
    """A step in the life of a market. What the frame does not say is None."""

    ticker: str
    change: str  # the exchange's own word: created, activated, …
    status: Status | None = None
    open_ns: int | None = None
    close_ns: int | None = None  # scheduled
    ranges: Ranges | None = None
    event: str = ""
    result: str = ""  # yes | no | scalar
    value: int | None = None  # pips that one YES pays
    exch_ns: int = 0
    price_structure: str = ""  # a label; `ranges` counts
    exchange_index: int | None = None


class EventCreated(Message, frozen=True, kw_only=True):
    """An event and the series it belongs to."""

    event: str
    series: str
    title: str = ""
    subtitle: str = ""
    collateral_return: str = ""  # MECNET | DIRECNET
    exchange_index: int = 0


class FeeChange(Message, frozen=True, kw_only=True):
    """The fees of an event override those of its series, or no longer do (None)."""

    event: str
    fee_type: str | None
    multiplier_ppm: int | None


class Subscribed(Message, frozen=True, kw_only=True):
    """A channel answers on `sid` from now on."""

    channel: str
    id: int = 0


class Acknowledged(Message, frozen=True, kw_only=True):
    """A command was carried out. Takes a sequence number like any frame of its sid."""

    id: int = 0
    tickers: tuple[str, ...] = ()
    subscriptions: tuple[tuple[str, int], ...] | None = None  # (channel, sid): the answer to list_subscriptions


class Unsubscribed(Message, frozen=True, kw_only=True):
    """The last frame of a sid."""

    id: int = 0


class CommandFailed(Message, frozen=True, kw_only=True):
    """The exchange refused a command or ended a subscription."""

    code: int
    text: str
    id: int = 0
    ticker: str = ""

    @property
    def is_terminal(self) -> bool:
        """Whether the subscription is dead."""
        return self.code in TERMINAL_ERRORS


class RecorderRow(Message, frozen=True, kw_only=True):
    """Ours, not the exchange's: a row of a tape that has no frame of its own, such as a gap. Columns of the schema."""

    ticker: str  # "" every market of the sid
    kind: int  # core.tape.Kind
    side: int = -1
    price: int = 0
    size: int = 0
    taker: int = -1
    flags: int = 0
    exch_ns: int = 0


class RecorderSkip(Message, frozen=True, kw_only=True):
    """Ours, not the exchange's: all frames of `sid` up to `seq` came; those not written here carried no row."""


class RecorderFacts(Message, frozen=True, kw_only=True):
    """Ours, not the exchange's: what the frames that follow cannot show of the books they speak of."""

    depth: Literal["full", "best"]
    sizes: Literal["observed", "assumed"]
    assumed_size: int = 0  # lots


class Unknown(Message, frozen=True, kw_only=True):
    """A frame of a type that is not read here, kept as it came."""

    type: str
    raw: bytes


AnyMessage = (
    BookSnapshot
    | BookDelta
    | Trade
    | MarketChange
    | EventCreated
    | FeeChange
    | Subscribed
    | Acknowledged
    | Unsubscribed
    | CommandFailed
    | RecorderRow
    | RecorderSkip
    | RecorderFacts
    | Unknown
)
