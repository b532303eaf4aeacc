"""One subscription: its life as a table, and which markets it should have, has, and is to lose."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    """A channel on this connection. Markets move `to_join` -> `joined` -> `to_leave`; commands are the feed's.

    Where the exchange refuses markets without saying which, fewer are named at once until it is one alone. Those wait
    in `refused` and are asked for again after the longest pause: a market that was just created may not be known yet.
    """

    def __init__(self, channel: Channel, settings: FeedSettings) -> None:
        self.channel = channel
        self.names_markets = settings.names_markets(channel)
        self.state = State.IDLE
        self.sid = 0
        self.since_ns = 0  # LIVE: when it was confirmed
        self.is_unfit = False  # LIVE: it gives no snapshots, or counts anew: it must be made anew
        self.not_before_ns = 0  # of the next command
        self.asked: tuple[str, ...] = ()  # markets of the last subscribe command
        self.wanted: dict[str, None] = {}
        self.to_join: dict[str, None] = {}
        self.joined: dict[str, None] = {}
        self.to_leave: dict[str, None] = {}
        self.refused: dict[str, int] = {}  # and when each is asked for again
        self.most = settings.tickers_per_command  # markets in the next command
        self._usual_most = settings.tickers_per_command
        self._first_wait = nanoseconds(settings.retry_s)
        self._most_wait = nanoseconds(settings.most_retry_s)
        self._wait = self._pause = self._first_wait
        self._closed_until_ns = 0  # markets were refused: none is named before

    @property
    def can_ask(self) -> bool:
        """Whether there is something to subscribe to."""
        return bool(self.to_join) or not self.names_markets

    @property
    def should_leave(self) -> bool:
        """Whether its last market was dropped: without any it would mean all."""
        return self.names_markets and not (self.joined or self.to_join)

    @property
    def has_books(self) -> bool:
        """Whether its frames are books."""
        return self.channel in TICKERS_NEEDED

    @property
    def is_narrow(self) -> bool:
        """Whether markets were refused of late: one answer is waited for before the next are named."""
        return self.most < self._usual_most

    def turn(self, word: Word) -> None:
        """The next state. Outside LIVE no market is joined."""
        following = NEXT.get((self.state, word))
        if following is None:
            raise RuntimeError(f"a subscription to {self.channel.value} that is {self.state.name} cannot {word.name}")
        self.state = following
        if following is State.IDLE:
            self.sid, self.is_unfit = 0, False
            if word is Word.LOSE:  # another connection, another chance
                self.refused, self.most, self._pause, self._closed_until_ns = {}, self._usual_most, self._first_wait, 0
            self.to_join = {ticker: None for ticker in self.wanted if ticker not in self.refused}
            self.joined, self.to_leave = {}, {}

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
        self.refused.pop(ticker, None)
        if ticker in self.joined:
            del self.joined[ticker]
            self.to_leave[ticker] = None

    def can_join(self, now_ns: int, held: Collection[str] = ()) -> bool:
        """Whether markets are to be joined now, other than those `held`."""
        return now_ns >= self._closed_until_ns and any(ticker not in held for ticker in self.to_join)

    def join(self, held: Collection[str] = ()) -> tuple[str, ...]:
        """Some markets that are to be joined, other than those `held`; from now on they are."""
        return _moved(self.to_join, self.joined, self.most, held)

    def rejoin(self, tickers: Iterable[str]) -> None:
        """Leave these and join them anew, which brings their snapshots."""
        for ticker in tickers:
            if ticker in self.joined:
                del self.joined[ticker]
                self.to_leave[ticker] = self.to_join[ticker] = None

    def accepted(self, tickers: Iterable[str]) -> None:
        """The exchange took these: as many again may be named at once, and twice as many."""
        for ticker in tickers:
            self.refused.pop(ticker, None)
        self.most, self._pause = min(2 * self.most, self._usual_most), self._first_wait

    def narrow(self, count: int) -> None:
        """Of so many named at once not all were taken: name fewer."""
        self.most = max(1, count // 2)

    def refuse(self, tickers: Iterable[str], now_ns: int) -> tuple[str, ...]:
        """The exchange does not take these for now; those of them that it never refused before.

        While it takes none, others are named later and later.
        """
        self._closed_until_ns, self._pause = now_ns + self._pause, min(2 * self._pause, self._most_wait)
        fresh = []
        for ticker in tickers:
            self.joined.pop(ticker, None)
            self.to_join.pop(ticker, None)
            if ticker in self.wanted:
                fresh += [] if ticker in self.refused else [ticker]
                self.refused[ticker] = now_ns + self._most_wait
        return tuple(fresh)

    def ask_again(self, now_ns: int) -> None:
        """Refused markets whose pause is over are to be joined again."""
        for ticker, at_ns in self.refused.items():
            if at_ns <= now_ns and ticker not in self.joined:
                self.to_join[ticker] = None

    def joins_late(self, tickers: Iterable[str]) -> None:
        """These were joined by a command whose answer was given up."""
        for ticker in tickers:
            if ticker in self.to_join:
                del self.to_join[ticker]
                self.joined[ticker] = None

    def leave(self, most: int) -> tuple[str, ...]:
        """Some markets that are to be left; from now on they are."""
        return _moved(self.to_leave, {}, most, ())

    def again(self, tickers: Iterable[str]) -> None:
        """These were not joined after all, as far as they are still wanted."""
        for ticker in tickers:
            if ticker in self.wanted:
                self.joined.pop(ticker, None)
                self.to_join[ticker] = None


def _moved(source: dict[str, None], target: dict[str, None], most: int, held: Collection[str]) -> tuple[str, ...]:
    tickers = tuple(islice((ticker for ticker in source if ticker not in held), most))
    for ticker in tickers:
        del source[ticker]
        target[ticker] = None
    return tickers
