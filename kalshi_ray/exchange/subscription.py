"""One subscription: its life as a table, and which markets it should have, has, and is to lose."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice

from kalshi_ray.exchange.feed_settings import TICKERS_NEEDED, FeedSettings, nanoseconds
from kalshi_ray.wire.commands import Channel


class State(Enum):
    """Where a subscription stands."""

    IDLE = auto()  # not asked for
    ASKED = auto()  # asked for and not answered
    LIVE = auto()  # answers on its sid
    LEAVING = auto()  # asked to end
    REFUSED = auto()  # for good, until the next connection


class Word(Enum):
    """What happens to a subscription."""

    ASK = auto()  # we subscribe
    CONFIRM = auto()  # the exchange confirms, however late
    DEFER = auto()  # no answer in time, or one that asks for patience
    REFUSE = auto()  # the exchange says no
    LEAVE = auto()  # we unsubscribe
    END = auto()  # unsubscribed, or ended by the exchange
    LOSE = auto()  # the connection is gone


# An absent pair cannot happen.
NEXT: dict[tuple[State, Word], State] = {
    (State.IDLE, Word.ASK): State.ASKED,
    (State.IDLE, Word.CONFIRM): State.LIVE,
    (State.ASKED, Word.CONFIRM): State.LIVE,
    (State.LIVE, Word.CONFIRM): State.LIVE,
    (State.ASKED, Word.DEFER): State.IDLE,
    (State.LEAVING, Word.DEFER): State.IDLE,
    (State.ASKED, Word.REFUSE): State.REFUSED,
    (State.LIVE, Word.LEAVE): State.LEAVING,
    (State.ASKED, Word.END): State.IDLE,
    (State.LIVE, Word.END): State.IDLE,
    (State.LEAVING, Word.END): State.IDLE,
    **{(state, Word.LOSE): State.IDLE for state in State},
}


class Subscription:
    """A channel on this connection. Markets move `to_join` -> `joined` -> `to_leave`; commands are the feed's."""

    def __init__(self, channel: Channel, settings: FeedSettings) -> None:
        self.channel = channel
        self.names_markets = settings.names_markets(channel)
        self.state = State.IDLE
        self.sid = 0
        self.since_ns = 0  # LIVE: when it was confirmed
        self.is_unfit = False  # LIVE: the exchange gives no snapshots on it, and it must be made anew
        self.not_before_ns = 0  # of the next command
        self.asked: tuple[str, ...] = ()  # markets of the last subscribe command
        self.wanted: dict[str, None] = {}
        self.to_join: dict[str, None] = {}
        self.joined: dict[str, None] = {}
        self.to_leave: dict[str, None] = {}
        self._first_wait = nanoseconds(settings.retry_s)
        self._most_wait = nanoseconds(settings.most_retry_s)
        self._wait = self._first_wait

    @property
    def can_ask(self) -> bool:
        """Whether there is something to subscribe to."""
        return bool(self.wanted) or not self.names_markets

    @property
    def should_leave(self) -> bool:
        """Whether its last market was dropped: without any it would mean all."""
        return self.names_markets and not self.wanted

    @property
    def has_books(self) -> bool:
        """Whether its frames are books."""
        return self.channel in TICKERS_NEEDED

    def turn(self, word: Word) -> None:
        """The next state. Outside LIVE no market is joined."""
        following = NEXT.get((self.state, word))
        if following is None:
            raise RuntimeError(f"a subscription to {self.channel.value} that is {self.state.name} cannot {word.name}")
        self.state = following
        if following is State.IDLE:
            self.sid, self.is_unfit = 0, False
            self.to_join, self.joined, self.to_leave = dict(self.wanted), {}, {}

    def hold_back(self, now_ns: int) -> None:
        """Wait before the next command, longer each time that follows closely on the last."""
        if now_ns > self.not_before_ns + self._most_wait:
            self._wait = self._first_wait
        self.not_before_ns = now_ns + self._wait
        self._wait = min(2 * self._wait, self._most_wait)

    def add(self, ticker: str) -> bool:
        """Have this market. True where it was still joined, so that no snapshot comes by itself."""
        self.wanted[ticker] = None
        if ticker in self.to_leave:
            del self.to_leave[ticker]
            self.joined[ticker] = None
            return True
        if ticker not in self.joined:
            self.to_join[ticker] = None
        return False

    def drop(self, ticker: str) -> None:
        """Have it no longer."""
        self.wanted.pop(ticker, None)
        self.to_join.pop(ticker, None)
        if ticker in self.joined:
            del self.joined[ticker]
            self.to_leave[ticker] = None

    def join(self, most: int) -> tuple[str, ...]:
        """Some markets that are to be joined; from now on they are."""
        return _moved(self.to_join, self.joined, most)

    def joins_late(self, tickers: Iterable[str]) -> None:
        """These were joined by a command whose answer was given up."""
        for ticker in tickers:
            if ticker in self.to_join:
                del self.to_join[ticker]
                self.joined[ticker] = None

    def leave(self, most: int) -> tuple[str, ...]:
        """Some markets that are to be left; from now on they are."""
        return _moved(self.to_leave, {}, most)

    def again(self, tickers: Iterable[str]) -> None:
        """These were not joined after all, as far as they are still wanted."""
        for ticker in tickers:
            if ticker in self.wanted:
                self.joined.pop(ticker, None)
                self.to_join[ticker] = None


def _moved(source: dict[str, None], target: dict[str, None], most: int) -> tuple[str, ...]:
    tickers = tuple(islice(source, most))
    for ticker in tickers:
        del source[ticker]
        target[ticker] = None
    return tickers
