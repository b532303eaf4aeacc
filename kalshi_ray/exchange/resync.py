"""Which books are unknown, and when to ask for them: soon, not too often, and not for ever in vain."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from kalshi_ray.exchange.feed_settings import FeedSettings, nanoseconds


class _Request(msgspec.Struct):
    """`at_ns` is when to ask (again), `tries` how often that was in vain."""

    at_ns: int
    tries: int = 0


class _Asked(msgspec.Struct):
    """When a book was asked for last, and how long to wait before the next time."""

    at_ns: int
    wait_ns: int


class Resync:
    """The unknown books of one subscription.

    A book is asked for at once when it becomes unknown, but not sooner after the last time than a pause which doubles
    while requests follow closely upon each other, and again when no snapshot comes.
    """

    def __init__(self, settings: FeedSettings) -> None:
        self._answer = nanoseconds(settings.answer_s)
        self._first_wait = nanoseconds(settings.retry_s)
        self._most_wait = nanoseconds(settings.most_retry_s)
        self._unknown: dict[str, _Request] = {}
        self._asked: dict[str, _Asked] = {}
        self._next_ns: int | None = None  # no later than the first request

    def __len__(self) -> int:
        return len(self._unknown)

    def __contains__(self, ticker: str) -> bool:
        return ticker in self._unknown

    def expect(self, tickers: Iterable[str], now_ns: int) -> None:
        """Snapshots are on their way unasked."""
        for ticker in tickers:
            if ticker not in self._unknown:
                self._plan(ticker, _Request(now_ns + self._answer))

    def lose(self, tickers: Iterable[str], now_ns: int) -> None:
        """These books became unknown, or what was on its way to them may be gone."""
        for ticker in tickers:
            asked, waiting = self._asked.get(ticker), self._unknown.get(ticker)
            at_ns = now_ns if asked is None else max(now_ns, asked.at_ns + asked.wait_ns)
            self._plan(ticker, _Request(at_ns, waiting.tries if waiting else 0))

    def settle(self, ticker: str) -> None:
        """The book is known."""
        self._unknown.pop(ticker, None)

    def drop(self, tickers: Iterable[str]) -> None:
        """These markets are not ours any more."""
        for ticker in tickers:
            self._unknown.pop(ticker, None)
            self._asked.pop(ticker, None)

    def clear(self) -> None:
        """The subscription is gone."""
        self._unknown.clear()
        self._next_ns = None

    def due(self, now_ns: int, most: int) -> tuple[str, ...]:
        """Books to ask for now."""
        if self._next_ns is None or now_ns < self._next_ns:
            return ()
        chosen = tuple(islice((t for t, one in self._unknown.items() if one.at_ns <= now_ns), most))
        if len(chosen) < most:
            self._next_ns = min((one.at_ns for one in self._unknown.values() if one.at_ns > now_ns), default=None)
        return chosen

    def ask(self, tickers: Iterable[str], now_ns: int) -> None:
        """They were asked for."""
        for ticker in tickers:
            before = self._asked.get(ticker)
            wait = self._first_wait
            if before is not None and now_ns - before.at_ns < 4 * before.wait_ns + self._answer:
                wait = min(2 * before.wait_ns, self._most_wait)
            self._asked[ticker] = _Asked(now_ns, wait)
            tries = self._unknown[ticker].tries + 1
            self._plan(ticker, _Request(now_ns + max(wait, self._answer), tries))

    def answered(self, ticker: str) -> None:
        """A snapshot came, even if it was wrong."""
        if ticker in self._unknown:
            self._unknown[ticker].tries = 0

    def in_vain(self, tickers: Iterable[str], attempts: int) -> tuple[str, ...]:
        """Those that were asked for this often without an answer."""
        return tuple(t for t in tickers if self._unknown[t].tries == attempts)

    def stuck(self, tickers: Iterable[str], attempts: int) -> tuple[str, ...]:
        """Those that were asked for so often without an answer once more: asking in another way may help."""
        return tuple(t for t in tickers if self._unknown[t].tries and self._unknown[t].tries % attempts == 0)

    def is_hopeless(self, attempts: int) -> bool:
        """Whether every unknown book was asked for this often, or more, without an answer."""
        return all(one.tries >= attempts for one in self._unknown.values())

    def _plan(self, ticker: str, request: _Request) -> None:
        self._unknown[ticker] = request
        self._next_ns = request.at_ns if self._next_ns is None else min(self._next_ns, request.at_ns)
