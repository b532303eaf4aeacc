"""The market-data feed of one connection, without the connection: frames in, messages, books and commands out.

    commands = feed.connect(now)              after each dial: send them
    events = feed.receive(raw, now)           every frame, in order
    feed.heard(now)                           pings too show that the connection lives
    commands = feed.due(now)                  now and again, some ten times a second: send them
    events = feed.take_events()               after `due`: what time alone brought about
    events = feed.lost(now)                   when the connection is gone; `is_online` says that the feed thinks so

A book is known from its snapshot to the next doubt: a missing frame makes every book of its subscription unknown, and
fresh snapshots are asked for. Frames are never put back in order: TCP keeps their order, so a frame that comes late was
missing when the next one came; it is then ignored as a duplicate, and the snapshots make up for it.

`receive_many` is the fast way: it gives rows instead of messages, in `rows`, where gaps stand in their place. Where
books need trades, a print that may be missing is a gap too, and no book is asked for before the prints come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.errors import UnknownName, UsageError, WireError
from kalshi_ray.exchange.books import Books, RowBuffer, is_on_other_axis
from kalshi_ray.exchange.conversation import Conversation
from kalshi_ray.exchange.feed_events import Broken, Cause, FeedEvent, Missed, Stale, is_row
from kalshi_ray.exchange.feed_numbers import Numbers
from kalshi_ray.exchange.feed_settings import MARKETS_MOST, FeedSettings, nanoseconds
from kalshi_ray.exchange.subscription import State, Subscription
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.fast import BOOK_FRAMES, TICKER_FRAMES, TRADE_FRAMES, Batch, FastReader, Followed, Names
from kalshi_ray.wire.messages import (
    Acknowledged,
    BookDelta,
    BookSnapshot,
    CommandFailed,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Subscribed,
    Trade,
    Unknown,
    Unsubscribed,
)
from kalshi_ray.wire.rows import ALL, ROW, cells_of, gap_rows
from kalshi_ray.wire.sequence import Order
from kalshi_ray.wire.trading import StreamMessage, TickerMessage

_CARRIES = {Channel.BOOK: BOOK_FRAMES, Channel.TRADE: TRADE_FRAMES}
_LARGEST = 2**63 - 1  # of a row


class Feed:
    """Subscriptions, sequence and books of one connection. `counts` says how often what was ignored, by name."""

    def __init__(
        self,
        settings: FeedSettings | None = None,
        tickers: Iterable[str] = (),
        *,
        sids: Mapping[Channel, int] | None = None,
    ) -> None:
        """`sids`: what rows say by channel, instead of the numbers that the exchange gave."""
        self.settings = settings or FeedSettings()
        self.codec = Codec(use_yes_price=self.settings.use_yes_price)
        self.names = Names()  # index of each ticker, as in `market` of the rows
        self.books = Books(self.names)
        self.rows = RowBuffer()
        self.counts: Counter[str] = Counter()
        self.acts = 0  # how often `due` did something; where it did nothing, it need not have been called
        self.aside: list[int] = []  # of the last `receive_many`: the frames that the codec read
        self._sids = sids or {}
        self._follows = _CARRIES | dict.fromkeys(self.settings.unread, TICKER_FRAMES)
        self._conversation = Conversation(self.settings)
        self._books_of = next((one for one in self._conversation.subscriptions if one.has_books), None)
        self._needed = Channel.TRADE if self.settings.books_need_trades else None
        self._tracker = Numbers()
        self._reader = FastReader(self.names, use_yes_price=self.settings.use_yes_price)
        self._tickers: dict[str, int] = {}
        self._silence_ns = nanoseconds(self.settings.silence_s)
        self._online, self._heard_ns = False, 0
        self._events: list[FeedEvent] = []
        self.add(tickers)

    # -- the connection

    @property
    def is_online(self) -> bool:
        """Whether the connection counts as there. If this turns false by itself, close it and dial again."""
        return self._online

    def connect(self, now_ns: int) -> list[bytes]:
        """A connection is there: what to send first. Nothing of an earlier one is left."""
        if self._online:
            self._lose(now_ns)
        self._online, self._heard_ns = True, now_ns
        return self.due(now_ns)

    def heard(self, now_ns: int) -> None:
        """A ping came, or an answer to ours."""
        self._heard_ns = max(self._heard_ns, now_ns)

    def due(self, now_ns: int) -> list[bytes]:
        """Commands to send now. A connection that was silent for too long counts as lost from here on."""
        if self._online and now_ns - self._heard_ns > self._silence_ns:
            self.counts["silences"] += 1
            self.acts += 1
            self._lose(now_ns)
        if not self._online:
            return []
        commands = self._conversation.commands(now_ns)
        self.acts += self._conversation.has_acted
        self._follow_up(now_ns)
        return commands

    def lost(self, now_ns: int) -> list[FeedEvent]:
        """The connection is gone: every book is unknown."""
        if self._online:
            self._lose(now_ns)
        return self.take_events()

    def take_events(self) -> list[FeedEvent]:
        """Events that no frame brought, such as silence; `receive` gives them too."""
        events, self._events = self._events, []
        return events

    # -- the markets

    @property
    def tickers(self) -> tuple[str, ...]:
        """The markets of the feed."""
        return tuple(self._tickers)

    @property
    def known_books(self) -> int:
        """How many of their books are known."""
        return int(self.books.known(np.fromiter(self._tickers.values(), np.int64)).sum())

    def add(self, tickers: Iterable[str]) -> None:
        """Have these markets too; the commands come with `due`."""
        added = [ticker for ticker in dict.fromkeys(tickers) if ticker not in self._tickers]
        if "" in added:
            raise UsageError("a ticker is empty")
        if len(self._tickers) + len(added) > MARKETS_MOST:
            raise UsageError(
                f"{len(self._tickers) + len(added)} markets on one connection; the exchange takes {MARKETS_MOST}",
                remedy="Spread them with plan_connections",
            )
        for ticker in added:
            market = self._tickers[ticker] = self.names.enter(ticker)
            self._want(market, is_ours=ticker not in self._conversation.parting)
            if self._books_of is not None:
                self.books.open(market)
            for one in self._naming():
                if one.add(ticker) and one.has_books:
                    self._conversation.resync.lose([ticker], self._heard_ns)

    def drop(self, tickers: Iterable[str]) -> None:
        """Have these markets no longer. Their frames that are still on the way are ignored."""
        dropped = tuple(dict.fromkeys(tickers))
        for ticker in dropped:
            if ticker not in self._tickers:
                raise UnknownName("ticker of this feed", ticker, list(self._tickers))
        for ticker in dropped:
            market = self._tickers.pop(ticker)
            self._want(market, is_ours=False)
            self.books.close(market)
            for one in self._naming():
                one.drop(ticker)
        self._conversation.resync.drop(dropped)

    def _naming(self) -> list[Subscription]:
        return [one for one in self._conversation.subscriptions if one.names_markets]

    def _want(self, market: int, *, is_ours: bool) -> None:
        """Which frames of a market the fast path may take."""
        self.names.want(
            market,
            sum(
                bit
                for channel, bit in _CARRIES.items()
                if channel in self.settings.channels and (is_ours or channel in self.settings.all_markets)
            ),
        )

    # -- frames

    def receive(self, raw: bytes, now_ns: int) -> list[FeedEvent]:
        """What one frame says: the message if it counts, and what it made of books and subscriptions. Keeps no rows."""
        kept, events = len(self.rows), self._receive(raw, now_ns)
        self.rows.cut(kept)
        return events

    def receive_many(self, frames: Sequence[bytes], times: NDArray[np.int64]) -> list[FeedEvent]:
        """The same for many frames, received at `times` [N]: deltas, snapshots and trades become rows in `rows`.

        The events are what rows cannot say: all other messages, deltas that an own order caused, books gone stale.
        """
        if len(frames) != len(times):
            raise UsageError(f"{len(frames)} frames and {len(times)} times")
        batch, events, at = Batch(frames, times), list[FeedEvent](), 0
        self.aside = []
        while at < len(batch):
            first, at = at, self._take(batch, at, events)
            if at < len(batch) and not (self._reader.is_full and at > first):
                self.aside.append(at)
                found = self._receive(frames[at], int(times[at]))
                events += [one for one in found if not is_row(one)]
                at += 1
        return events

    def _take(self, batch: Batch, first: int, events: list[FeedEvent]) -> int:
        """Frames from `first` on by the fast path; return the first that it left."""
        if not self._online:
            return first
        takes_books = self._conversation.has_prints
        self._reader.follow(
            Followed(sid, self._tracker.last(sid), self._follows[one.channel], self._sids.get(one.channel, 0))
            for sid, one in self._conversation.by_sid.items()
            if one.state is State.LIVE and one.channel in self._follows and (takes_books or not one.has_books)
        )
        following = self._reader.read(batch, first)
        if following > first:
            self.heard(int(batch.times[following - 1]))
            self._tracker.took(self._reader.followed(), self._reader.rows)
            self._apply(self._reader.rows, self._heard_ns)
            events += self.take_events()
        return following

    def _receive(self, raw: bytes, now_ns: int) -> list[FeedEvent]:
        self.heard(now_ns)
        try:
            message = self.codec.decode(raw)
            if self._online:
                self._accept(message, now_ns)
        except WireError as problem:
            self.counts["broken frames"] += 1
            self._events.append(Broken(text=str(problem), raw=raw))
            envelope = self.codec.envelope(raw)
            if envelope is not None and envelope.seq:  # it is missing from now on, not from the next frame on
                self._is_next(envelope, now_ns, unread=1)
        if not self._online:
            self.counts["frames without a connection"] += 1
        return self.take_events()

    def _accept(self, message: StreamMessage, now_ns: int) -> None:
        """One message: control frames first, then what its subscription carries."""
        if isinstance(message, Subscribed):
            if self._conversation.confirmed(message, now_ns):
                self._tracker.forget(message.sid)
            self._events.append(message)
            return
        if isinstance(message, Acknowledged) and self._conversation.acknowledged(message, now_ns):
            self._tracker.forget(message.sid)
        if not self._is_next(message, now_ns):
            return
        if isinstance(message, CommandFailed):
            self._conversation.failed(message, now_ns)
        elif isinstance(message, Unsubscribed):
            self._conversation.unsubscribed(message, now_ns)
        elif not isinstance(message, Acknowledged | Unknown) and not self._carry(message, now_ns):
            return
        self._events.append(message)
        self._follow_up(now_ns)

    def _is_next(self, message: StreamMessage, now_ns: int, unread: int = 0) -> bool:
        """Whether a message is the next of a subscription of ours, or of none at all; marks the gap before it.

        `unread`: 1 where it is itself missing, for it cannot be read.
        """
        one = self._conversation.by_sid.get(message.sid)
        if one is None:
            if message.sid and not isinstance(message, Unknown | Acknowledged | CommandFailed | Unsubscribed):
                self.counts["frames of no subscription"] += 1
                return False
            return True
        if message.seq > _LARGEST:
            self.counts["frames that do not belong here"] += 1
            return False
        verdict = self._tracker.judge(message, now_ns)
        if verdict.order is Order.RESTART and not one.is_unfit:
            one.is_unfit = True
            self._break(one.channel, message.sid, Cause.RESTART, now_ns)
        if verdict.order in (Order.DUPLICATE, Order.RESTART):
            self.counts["duplicates"] += 1
            return False
        if missing := verdict.missing + unread:
            self.counts["gaps"] += 1
            self.counts["frames missing"] += missing
            if not one.has_books:
                self._events.append(Missed(channel=one.channel, sid=message.sid, frames=missing))
            self._break(one.channel, message.sid, Cause.GAP, now_ns)
        return True

    def _carry(self, message: StreamMessage, now_ns: int) -> bool:
        """What a subscription carries. False where it does not count."""
        one = self._conversation.by_sid.get(message.sid)
        if isinstance(message, RecorderRow | RecorderSkip | RecorderFacts) or (one and one.state is not State.LIVE):
            self.counts["frames that do not belong here"] += 1
            return False
        if isinstance(message, BookDelta | BookSnapshot | Trade | TickerMessage) and (
            one is None
            or (one.names_markets and message.ticker not in self._tickers)
            or (one.has_books and message.ticker in self._conversation.parting)
        ):
            self.counts["frames of other markets"] += 1
            return False
        if one is not None and one.has_books and not self._conversation.has_prints:
            self.counts["frames of books without their prints"] += 1
            return False
        if not isinstance(message, BookDelta | BookSnapshot | Trade):
            return True
        if isinstance(message, Trade) != (one is None or not one.has_books):
            self.counts["frames that do not belong here"] += 1
            return False
        return self._carry_rows(message, now_ns)

    def _carry_rows(self, message: BookDelta | BookSnapshot | Trade, now_ns: int) -> bool:
        market, channel = self.names.find(message.ticker), self._conversation.by_sid[message.sid].channel
        if market < 0:
            market = self.names.enter(message.ticker)
            self._want(market, is_ours=False)
        exch_ns = message.exch_ns if 0 <= message.exch_ns <= _LARGEST else 0
        where = market, now_ns, exch_ns, self._sids.get(channel, message.sid), message.seq
        early = self.books.early
        self._apply(np.array([(*where, *cells) for cells in cells_of(message)], ROW), now_ns)
        return self.books.early == early

    # -- books

    def _apply(self, rows: NDArray[np.void], now_ns: int) -> None:
        """Rows into books and buffer; books that they show to be wrong or whole."""
        hurt = self.books.apply(rows, self.rows)
        if len(resync := self._conversation.resync):
            self._settle(rows)
        if hurt:
            tickers = tuple(dict.fromkeys(self.names.tickers[market] for market in hurt))
            cause = Cause.AXIS if any(is_on_other_axis(rows, market) for market in hurt) else Cause.WRONG
            self.counts["wrong books"] += len(hurt)
            self._events.append(Stale(tickers=tickers, cause=cause, sid=int(rows[0]["sid"])))
            resync.lose([self.names.tickers[m] for m in hurt if not self.books.record(m)["known"]], now_ns)

    def _settle(self, rows: NDArray[np.void]) -> None:
        """Books whose snapshot came are not asked for any more, if it was right."""
        whole = np.unique(rows["market"][rows["kind"] == Kind.SNAPSHOT_END]).astype(np.int64)
        for market, known in zip(whole.tolist(), self.books.known(whole).tolist()):
            ticker = self.names.tickers[market]
            if known:
                self._conversation.resync.settle(ticker)
            else:
                self._conversation.resync.answered(ticker)

    def _break(self, channel: Channel, sid: int, cause: Cause, now_ns: int) -> None:
        """Frames of a subscription are missing: GAP rows, and unknown books where they are touched."""
        books, broken = self._books_of, [(channel, sid)]
        if books is None or channel not in (books.channel, self._needed) or not self._tickers:  # nothing was missed
            return
        if channel is self._needed and books.sid and cause is not Cause.LOST:
            broken.append((books.channel, books.sid))
        told = [self._sids.get(*one) for one in broken]
        why = GapCause.RECONNECT if cause is Cause.LOST else GapCause.SEQUENCE
        self.rows.append(gap_rows([(ALL, one) for one in told], now_ns, why))
        if broken[-1][0] is not books.channel:
            return
        markets = np.fromiter(self._tickers.values(), np.int64)
        known = self.books.known(markets)
        tickers = tuple(ticker for ticker, was_known in zip(self._tickers, known.tolist()) if was_known)
        self.books.forget(markets)
        if books.sid:
            self._conversation.resync.lose(list(books.joined), now_ns)
        if tickers:
            self._events.append(Stale(tickers=tickers, cause=cause, sid=told[-1]))

    def _follow_up(self, now_ns: int) -> None:
        """What the conversation left to do: subscriptions that ended, and events."""
        conversation = self._conversation
        ended, conversation.ended = conversation.ended, []
        for one in ended:
            self._tracker.forget(one.sid)
            self._break(one.channel, one.sid, Cause.DEAD, now_ns)
        for tickers, is_ours in ((conversation.parts_again, False), (conversation.parted, True)):
            for ticker in tickers:
                if ticker in self._tickers:
                    self._want(self._tickers[ticker], is_ours=is_ours)
            tickers.clear()
        self._events += conversation.events
        conversation.events.clear()

    def _lose(self, now_ns: int) -> None:
        self._online = False
        for one in self._conversation.subscriptions:
            if one.sid:
                self._break(one.channel, one.sid, Cause.LOST, now_ns)
        self._conversation.lose()
        self._tracker.forget()
