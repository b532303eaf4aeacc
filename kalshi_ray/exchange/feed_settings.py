"""What a feed subscribes to and how patient it is, and how a large universe is spread over connections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError
from kalshi_ray.wire.commands import Channel

# Channels whose subscriptions name markets: always, or if one wants to.
TICKERS_NEEDED = frozenset({Channel.BOOK})
TICKERS_ALLOWED = frozenset({Channel.BOOK, Channel.TRADE, Channel.TICKER})
SPOKEN = TICKERS_ALLOWED | {
    Channel.FILL,
    Channel.ORDERS,
    Channel.POSITIONS,
    Channel.GROUPS,
    Channel.LIFECYCLE,
    Channel.COMBO_LIFECYCLE,
}
MARKETS_MOST = 500_000  # of one session, the exchange's limit
COMMANDS_MOST = 10_000  # a second, the exchange's limit


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The channels of one connection, and how long it waits for what."""

    channels: tuple[Channel, ...] = (Channel.BOOK, Channel.TRADE)
    all_markets: tuple[Channel, ...] = ()  # of them: trades or tickers of every market, not of the feed's alone
    unread: tuple[Channel, ...] = ()  # of them: the ticker, where its frames are passed over
    books_need_trades: bool = False  # a book is known only while no print of its market can have been missed
    use_yes_price: bool = True  # always said, because the exchange's default will flip
    silence_s: float = 27.5  # without a frame or a ping the connection counts as lost; a ping comes every 10 s
    answer_s: float = 5.0  # for a command to be answered
    retry_s: float = 0.25  # before something is asked again; doubled while that does not help
    most_retry_s: float = 30.0
    attempts: int = 3  # unanswered requests for a book before the subscription is made anew, or its market given up
    audit_s: float = 30.0  # how often the exchange is asked which subscriptions it has: a death may go untold
    commands_per_second: int = 100
    tickers_per_command: int = 1_000

    def __post_init__(self) -> None:
        for name in ("silence_s", "answer_s", "retry_s", "most_retry_s", "audit_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise ConfigError(f"feed.{name} must be above 0 and at most 3600, got {getattr(self, name)}")
        for name, most in (
            ("commands_per_second", COMMANDS_MOST),
            ("tickers_per_command", MARKETS_MOST),
            ("attempts", 100),
        ):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"feed.{name} must be from 1 to {most}, got {getattr(self, name)}")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ConfigError("feed.channels must name at least one channel, and none twice")
        if unspoken := [channel.value for channel in self.channels if channel not in SPOKEN]:
            spoken = ", ".join(sorted(channel.value for channel in SPOKEN))
            raise ConfigError(f"feed.channels holds {', '.join(unspoken)}, which is not read here", remedy=spoken)
        if unfit := [c.value for c in self.all_markets if c not in self.channels or c in TICKERS_NEEDED]:
            raise ConfigError(
                f"feed.all_markets holds {', '.join(unfit)}, which must be a channel of the feed that may go without"
                " tickers: trade or ticker"
            )
        if unfit := [c.value for c in self.unread if c not in self.channels or c is not Channel.TICKER]:
            raise ConfigError(
                f"feed.unread holds {', '.join(unfit)}; of the feed's channels only a ticker may be unread"
            )
        if self.books_need_trades and not {Channel.BOOK, Channel.TRADE} <= set(self.channels):
            raise ConfigError("feed.books_need_trades needs the channels orderbook_delta and trade")

    def names_markets(self, channel: Channel) -> bool:
        """Whether the subscription to a channel lists the feed's tickers."""
        return channel in TICKERS_ALLOWED and channel not in self.all_markets


def nanoseconds(seconds: float) -> int:
    """A setting in seconds as time."""
    return round(seconds * SECOND)


def plan_connections(tickers: Sequence[str], per_connection: int) -> list[tuple[str, ...]]:
    """Tickers in their order over as few connections as hold at most `per_connection` each, evenly filled.

    A gap makes every book of a connection unknown until its snapshot: fewer tickers each, less to ask for.
    """
    if not 1 <= per_connection <= MARKETS_MOST:
        raise ConfigError(f"a connection takes 1 to {MARKETS_MOST} markets, got {per_connection}")
    distinct = tuple(dict.fromkeys(tickers))
    count = -(-len(distinct) // per_connection)
    cuts = [len(distinct) * at // count for at in range(count + 1)] if count else []
    return [distinct[start:stop] for start, stop in pairwise(cuts)]
