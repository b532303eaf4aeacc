"""Subscriptions of all connections, and who has to be told of what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kalshi_ray.wire.commands import Channel, Subscribe

if TYPE_CHECKING:
    from kalshi_ray.exchange.simulator.stream_session import Session

NUMBERED = {Channel.BOOK, Channel.TRADE, Channel.GROUPS, Channel.LIFECYCLE, Channel.COMBO_LIFECYCLE,
            Channel.COMMUNICATIONS}  # fmt: skip
# Those whose subscription may name markets.
BY_MARKET = {Channel.BOOK, Channel.TRADE, Channel.TICKER, Channel.FILL, Channel.ORDERS, Channel.POSITIONS}


class Subscription:
    """One channel of one connection. `tickers` is None where it covers all markets."""

    __slots__ = ("channel", "pending", "seq", "session", "sid", "tickers", "use_yes_price", "with_tickers")

    def __init__(self, session: Session, sid: int, command: Subscribe, channel: Channel) -> None:
        self.session, self.sid, self.channel = session, sid, channel
        self.seq = self.pending = 0
        self.use_yes_price = bool(command.use_yes_price)
        self.with_tickers = not command.skip_ticker_ack
        self.tickers: dict[str, None] | None = {} if command.tickers or command.market_ids else None

    def covers(self, ticker: str) -> bool:
        """Whether what happens in that market is told."""
        return self.tickers is None or ticker in self.tickers

    def next_seq(self) -> int:
        """The number of its next frame; 0 where the channel has none."""
        if self.channel not in NUMBERED:
            return 0
        self.seq += 1
        return self.seq


class Index:
    """Who has to be told: subscriptions by channel, and by market where they name some."""

    def __init__(self) -> None:
        self._all: dict[Channel, dict[Subscription, None]] = {channel: {} for channel in Channel}
        self._some: dict[tuple[Channel, str], dict[Subscription, None]] = {}

    def begin(self, subscription: Subscription) -> None:
        """A subscription begins; markets are named afterwards."""
        if subscription.tickers is None:
            self._all[subscription.channel][subscription] = None

    def widen(self, subscription: Subscription, tickers: Iterable[str]) -> None:
        """Markets join a subscription."""
        for ticker in tickers:
            self._some.setdefault((subscription.channel, ticker), {})[subscription] = None

    def shrink(self, subscription: Subscription, tickers: Iterable[str]) -> None:
        """Markets leave a subscription."""
        for ticker in tickers:
            found = self._some.get((subscription.channel, ticker), {})
            found.pop(subscription, None)
            if not found:
                self._some.pop((subscription.channel, ticker), None)

    def end(self, subscription: Subscription) -> None:
        """A subscription ends."""
        self._all[subscription.channel].pop(subscription, None)
        self.shrink(subscription, subscription.tickers or ())

    def covering(self, channel: Channel, ticker: str) -> list[Subscription]:
        """The subscriptions of a channel that cover a market."""
        some = self._some.get((channel, ticker))
        everything = self._all[channel]
        if not some:
            return list(everything) if everything else []
        return [*everything, *some]
