"""One WebSocket connection without its socket: commands in, frames out, numbered by subscription."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.faults import FaultyLine
from kalshi_ray.exchange.simulator.stream_frames import Bodies, whole_frame
from kalshi_ray.exchange.simulator.stream_index import BY_MARKET, Index, Subscription
from kalshi_ray.exchange.simulator.stream_settings import MOST_FRAME_BYTES, StreamSettings
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    Code,
    Command,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
    read_command,
)
from kalshi_ray.wire.messages import Acknowledged, CommandFailed, Subscribed, Unsubscribed
from kalshi_ray.wire.trading import StreamMessage

# Values of other places, which an exchange without them cannot send.
ABSENT = {Channel.CF_VALUE, Channel.CF_VALUE_5HZ, Channel.PYTH_VALUE}


class Session:
    """One connection. `index` is told of subscriptions that come, widen, shrink and go."""

    def __init__(
        self,
        exchange: Exchange,
        account: Account,
        settings: StreamSettings,
        index: Index,
        line: FaultyLine | None = None,
    ) -> None:
        self.exchange, self.account, self.settings = exchange, account, settings
        self.subscriptions: dict[int, Subscription] = {}
        self.is_cut = False  # the connection ends without a close frame
        self._index, self._line = index, line
        self._out: list[bytes] = []
        self._last_sid = 0
        self._now_ns = 0
        self._second = self._commands = 0  # commands within the second that runs

    # -- in

    def receive(self, text: bytes | str, now_ns: int) -> None:
        """One message of the client. Whatever it holds, there is an answer."""
        self._now_ns = now_ns
        second = now_ns // SECOND
        self._second, self._commands = second, self._commands + 1 if second == self._second else 1
        command = read_command(text) if len(text) <= MOST_FRAME_BYTES else Code.BAD_MESSAGE.failure()
        if self._commands > self.settings.commands_per_second:
            self._say(Code.TOO_MANY_REQUESTS.failure(command.id))
        elif isinstance(command, CommandFailed):
            self._say(command)
        else:
            self._obey(command)

    def _obey(self, command: Command) -> None:
        match command:
            case Subscribe():
                self._subscribe(command)
            case UpdateSubscription():
                self._update(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case ListSubscriptions():
                found = tuple((one.channel.value, one.sid) for one in self.subscriptions.values())
                self._say(Acknowledged(id=command.id, subscriptions=found))

    def _subscribe(self, command: Subscribe) -> None:
        for channel in command.channels:
            if channel in ABSENT:
                self._say(Code.CHANNEL_ERROR.failure(command.id))
                continue
            found = next((one for one in self.subscriptions.values() if one.channel is channel), None)
            tickers = self._tickers_of(command) if channel in BY_MARKET else ()
            if channel is Channel.BOOK and self._is_over_limit(found, tickers):
                self._say(Code.MARKET_LIMIT.failure(command.id))
                continue
            if found is None:
                self._last_sid += 1
                found = self.subscriptions[self._last_sid] = Subscription(self, self._last_sid, command, channel)
                if channel not in BY_MARKET:
                    found.tickers = None
                self._index.begin(found)
            self._say(Subscribed(id=command.id, sid=found.sid, channel=channel.value))
            self._widen(found, tickers, with_snapshots=command.send_initial_snapshot)

    def _widen(self, subscription: Subscription, tickers: Iterable[str], *, with_snapshots: bool) -> None:
        """Markets join; those of a book say at once what it is, those of a ticker where that was asked for."""
        if subscription.tickers is None:
            joined = list(self.exchange.markets_by_ticker) if subscription.channel is Channel.TICKER else []
        else:
            joined = [ticker for ticker in tickers if ticker not in subscription.tickers]
            subscription.tickers |= dict.fromkeys(joined)
            self._index.widen(subscription, joined)
        if subscription.channel is Channel.BOOK:
            self._send_books(subscription, joined)
        elif subscription.channel is Channel.TICKER and with_snapshots:
            for ticker in joined:
                market = self.exchange.markets_by_ticker.get(ticker)
                if market:
                    self.tell(subscription, Bodies(market.ticker_message()))

    def _update(self, command: UpdateSubscription) -> None:
        subscription = self.subscriptions.get(command.sid)
        if subscription is None:
            self._say(Code.UNKNOWN_SID.failure(command.id))
            return
        tickers = self._tickers_of(command)
        if command.action is Action.SNAPSHOT:
            if subscription.channel is not Channel.BOOK:
                self._say(Code.UNSUPPORTED_ACTION.failure(command.id))
                return
            self._send_books(subscription, [one for one in tickers if subscription.covers(one)], command.id)
            return
        if subscription.channel not in BY_MARKET:
            self._say(Code.UNSUPPORTED_ACTION.failure(command.id))
            return
        if command.action is Action.ADD and self._is_over_limit(subscription, tickers):
            self._say(Code.MARKET_LIMIT.failure(command.id))
            return
        if command.action is Action.DELETE and subscription.tickers is not None:
            left = [ticker for ticker in tickers if ticker in subscription.tickers]
            for ticker in left:
                del subscription.tickers[ticker]
            self._index.shrink(subscription, left)
        covered = dict(subscription.tickers or {})
        if command.action is Action.ADD and subscription.tickers is not None:
            covered |= dict.fromkeys(tickers)
        shown = tuple(covered) if subscription.with_tickers else ()
        seq = subscription.next_seq()
        self._say(Acknowledged(id=command.id, sid=subscription.sid, seq=seq, tickers=shown))
        if command.action is Action.ADD:
            self._widen(subscription, tickers, with_snapshots=command.send_initial_snapshot)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        for sid in command.sids:
            subscription = self.subscriptions.get(sid)
            if subscription is None:
                self._say(Code.UNKNOWN_SID.failure(command.id))
                continue
            self._end(subscription)
            self._say(Unsubscribed(id=command.id, sid=sid, seq=subscription.next_seq()))

    # -- out

    def tell(self, subscription: Subscription, bodies: Bodies) -> None:
        """Something happened that this subscription covers."""
        if subscription.pending >= self.settings.buffered_frames:
            self.overflow(subscription)
            return
        subscription.pending += 1
        seq, flag = subscription.next_seq(), subscription.use_yes_price
        self._out.append(bodies.frame(subscription.sid, seq, self._now_ns, use_yes_price=flag))

    def overflow(self, subscription: Subscription) -> None:
        """The reader is too slow: the subscription ends with code 25."""
        self._end(subscription)
        failure = Code.BUFFER_OVERFLOW.failure(sid=subscription.sid, seq=subscription.next_seq())
        self._say(failure)

    def send_due(self, now_ns: int) -> list[bytes]:
        """The frames to be sent now, in order."""
        self._now_ns = now_ns
        sent, self._out = self._out, []
        for subscription in self.subscriptions.values():
            subscription.pending = 0
        return self._pass_on(sent, self._line) if self._line else sent

    def _pass_on(self, frames: list[bytes], line: FaultyLine) -> list[bytes]:
        """What arrives where frames go astray."""
        arrived = line.pass_on(frames)
        self.is_cut = line.is_cut
        if line.is_slow and not self.is_cut:
            line.is_slow = False
            oldest = next(iter(self.subscriptions.values()), None)
            if oldest:
                self.overflow(oldest)
        return arrived

    def turn(self, now_ns: int) -> None:
        """The time that frames say they were sent at."""
        self._now_ns = now_ns

    @property
    def has_frames(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._out)

    def close(self) -> None:
        """The connection is gone, and all subscriptions with it."""
        for subscription in list(self.subscriptions.values()):
            self._end(subscription)

    def _send_books(self, subscription: Subscription, tickers: Iterable[str], command_id: int = 0) -> None:
        for ticker in tickers:
            snapshot = self.exchange.snapshot(ticker)
            if snapshot is not None:
                market_id = self.exchange.markets_by_ticker[ticker].id
                sid, seq = subscription.sid, subscription.next_seq()
                numbered = replace(snapshot, market_id=market_id, id=command_id, sid=sid, seq=seq)
                self._say(numbered, subscription.use_yes_price)

    def _end(self, subscription: Subscription) -> None:
        del self.subscriptions[subscription.sid]
        self._index.end(subscription)

    def _say(self, message: StreamMessage, use_yes_price: bool = False) -> None:
        self._out.append(whole_frame(replace(message, sent_ns=self._now_ns), use_yes_price=use_yes_price))

    def _tickers_of(self, command: Subscribe | UpdateSubscription) -> tuple[str, ...]:
        if not command.market_ids:
            return command.tickers
        by_id = {market.id: ticker for ticker, market in self.exchange.markets_by_ticker.items()}
        return tuple(by_id[one] for one in command.market_ids if one in by_id)

    def _is_over_limit(self, subscription: Subscription | None, tickers: Iterable[str]) -> bool:
        there = subscription.tickers or {} if subscription else {}
        return len(there | dict.fromkeys(tickers)) > self.settings.market_limit
