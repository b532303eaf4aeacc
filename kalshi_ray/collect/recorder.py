"""Books and prints of some markets on one connection, recorded: frames to rows of a session, nothing lost unsaid.

line = BookLine(7, FeedSettings(), raw=True, block_ns=100_000_000)
line.join({"KXA-26-T1": 0}, clock())                  # numbers of the markets in the session
stream = Stream(address, signer, settings, [line], chance, clock=clock)     # gives its blocks
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect import inputs
from kalshi_ray.collect.line import Line, sid_of
from kalshi_ray.core.tape import GapCause
from kalshi_ray.errors import UsageError
from kalshi_ray.exchange.feed_events import FeedEvent
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.rows import ALL, gap_rows

_NO_NUMBER = -2
RECORDED = (Channel.TRADE, Channel.BOOK, Channel.TICKER)


def recording_settings(settings: FeedSettings) -> FeedSettings:
    """The settings as a recorder needs them: a missing print is a gap, and tickers, which have no rows, pass unread."""
    chosen = tuple(channel for channel in RECORDED if channel in settings.channels)
    if Channel.BOOK not in chosen or len(chosen) < len(settings.channels) or settings.all_markets:
        named = ", ".join(channel.value for channel in settings.channels)
        raise UsageError(
            f"a line of books records orderbook_delta, and trade and ticker of its markets if wanted, got {named}"
        )
    return msgspec.structs.replace(
        settings,
        channels=chosen,
        unread=tuple(channel for channel in chosen if channel is Channel.TICKER),
        books_need_trades=Channel.TRADE in chosen,
    )


class BookLine(Line):
    """A line of books. `number` is its own in the session; blocks are due every `block_ns`."""

    def __init__(self, number: int, feed_settings: FeedSettings, *, raw: bool, block_ns: int) -> None:
        super().__init__(number, recording_settings(feed_settings), raw=raw, block_ns=block_ns)
        self._numbers = np.full(64, _NO_NUMBER, np.int32)  # by market of the feed; the last one is for all
        self._numbers[-1] = ALL

    @property
    def tickers(self) -> tuple[str, ...]:
        """The markets of the line."""
        return self._feed.tickers

    @property
    def known_books(self) -> int:
        """How many of their books are known."""
        return self._feed.known_books

    def join(self, numbers: Mapping[str, int], now_ns: int) -> None:
        """Have these markets too, ticker to number in the session. The commands come with `due`."""
        self._judge()
        names = self._feed.names
        for ticker, number in numbers.items():
            before = self._number_of(names.find(ticker))
            if number < 0 or before not in (_NO_NUMBER, number):
                raise UsageError(f"{ticker} has the number {before if before >= 0 else number}, not {number}")
        self._turn(now_ns, inputs.Joined(markets=dict(numbers)))
        self._feed.add(numbers)
        for ticker, number in numbers.items():
            self._place(names.find(ticker), number)

    def leave(self, tickers: Iterable[str], now_ns: int) -> None:
        """Have these markets no longer: what was known of them ends here."""
        left = list(dict.fromkeys(tickers))
        self._judge()
        self._feed.drop(left)
        now_ns = self._turn(now_ns, inputs.Left(tickers=left))
        sid, names = sid_of(self.number, Channel.BOOK), self._feed.names
        places = [(self._number_of(names.find(ticker)), sid) for ticker in left]
        self._append(gap_rows(places, now_ns, GapCause.RECORDER))

    def _read(self, frames: Sequence[bytes], times: NDArray[np.int64]) -> list[int]:
        self._gather(self._feed.receive_many(frames, times))
        return self._feed.aside

    def _gather(self, events: Iterable[FeedEvent]) -> None:
        super()._gather(events)
        rows = self._feed.rows
        if len(rows):
            self._append(self._numbered(rows.rows))
            rows.clear()

    def _numbered(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of the feed with the markets of the session."""
        numbered = rows.copy()
        numbered["market"] = self._numbers[rows["market"]]
        if (numbered["market"] == _NO_NUMBER).any():
            raise RuntimeError("a row of a market that never joined the line")
        return numbered

    def _number_of(self, market: int) -> int:
        return int(self._numbers[market]) if 0 <= market < len(self._numbers) - 1 else _NO_NUMBER

    def _place(self, market: int, number: int) -> None:
        while market >= len(self._numbers) - 1:
            grown = np.full(2 * len(self._numbers), _NO_NUMBER, np.int32)
            grown[: len(self._numbers) - 1] = self._numbers[:-1]
            grown[-1] = ALL
            self._numbers = grown
        self._numbers[market] = number
