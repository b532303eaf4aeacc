"""A stream of order-book frames in memory, and what ours and pykalshi make of the very same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import numpy as np

from bench.figures import Absent
from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.wire.commands import Channel

MARKETS = 1_000
FRAMES = 131_072
BATCH = 512  # frames that a busy connection has read ahead
START = 1_791_000_000 * SECOND
TICKERS = tuple(f"KXMLBGAME-26OCT072200MILSD-T{number}" for number in range(MARKETS))
LEVELS = range(40, 50)  # cents of the bids; asks stand at a dollar less


@cache
def frames() -> tuple[list[bytes], list[bytes]]:
    """A snapshot of each market and then deltas of all in random order, numbered; levels never below zero."""
    chance = Random(1)
    ladder = ",".join(f'["0.{cents}00","500.00"]' for cents in LEVELS).encode()
    snapshots = [
        b'{"type":"orderbook_snapshot","sid":1,"seq":%d,"sending_ts_ms":1791427634120,"msg":{"market_ticker":"%s",'
        b'"market_id":"01a1151c-3ee0-7da4-8536-052eaa47d84d","yes_dollars_fp":[%s],"no_dollars_fp":[%s]}}'
        % (seq + 1, ticker.encode(), ladder, ladder)
        for seq, ticker in enumerate(TICKERS)
    ]
    held: dict[tuple[int, bytes, int], int] = {}
    deltas = []
    for seq in range(MARKETS, MARKETS + FRAMES):
        level = chance.randrange(MARKETS), chance.choice((b"yes", b"no")), chance.choice(LEVELS)
        there = held.get(level, 50_000)
        change = -there if chance.random() < 0.1 else chance.randrange(-min(there, 20_000), 20_000)
        held[level] = there + change
        deltas.append(
            b'{"type":"orderbook_delta","sid":1,"seq":%d,"sending_ts_ms":1791427634120,"msg":{"market_ticker":"%s",'
            b'"market_id":"01a1151c-3ee0-7da4-8536-052eaa47d84d","price_dollars":"0.%d00","delta_fp":"%s","side":"%s",'
            b'"ts":"2026-10-02T06:31:29.957081Z","ts_ms":1791427634117}}'
            % (seq + 1, TICKERS[level[0]].encode(), level[2], f"{change / 100:.2f}".encode(), level[1])
        )
    return snapshots, deltas


def connected() -> Feed:
    """A feed whose books are known."""
    feed = Feed(FeedSettings(channels=(Channel.BOOK,), use_yes_price=False), TICKERS)
    feed.connect(START)
    feed.receive(b'{"type":"subscribed","id":1,"msg":{"channel":"orderbook_delta","sid":1}}', START)
    feed.receive_many(frames()[0], np.full(MARKETS, START))
    return feed


def in_batches(feeds: list[Feed]) -> Iterator[bool]:
    """Frames as they come from a busy connection: joined, read, judged by number, applied, and written as rows."""
    _, deltas = frames()
    feed = connected()
    times = np.full(BATCH, START)
    feed.rows.clear()
    yield False
    for at in range(0, FRAMES, BATCH):
        feed.receive_many(deltas[at : at + BATCH], times)
        feed.rows.clear()
        yield True
    feeds.append(feed)


def one_by_one(feeds: list[Feed], count: int) -> Iterator[bool]:
    """The same as typed messages, frame by frame."""
    _, deltas = frames()
    feed = connected()
    yield False
    for at in range(0, count, 64):
        for raw in deltas[at : at + 64]:
            feed.receive(raw, START)
        yield True
    feeds.append(feed)


class Theirs:
    """pykalshi as its documentation shows it: its parser and one of its order books for each market, nothing else."""

    def __init__(self) -> None:
        try:
            import pykalshi
            from pykalshi.feed import _parse_message
            from pykalshi.orderbook import OrderbookManager
        except ImportError as problem:
            raise Absent("pykalshi is not installed: pip install -c constraints.txt -e '.[bench]'") from problem
        self.version = pykalshi.__version__
        self._parse, self._book = _parse_message, OrderbookManager

    def passing(self, ends: list[dict[str, tuple[str | None, str | None]]], count: int) -> Iterator[bool]:
        """The first `count` deltas; best prices of all books at the end."""
        snapshots, deltas = frames()
        books = {ticker: self._book(ticker) for ticker in TICKERS}
        for raw in snapshots:
            _, _, message, _ = self._parse(raw)
            books[message.market_ticker].apply_snapshot(message.yes_dollars, message.no_dollars)
        yield False
        for at in range(0, count, 64):
            for raw in deltas[at : at + 64]:
                _, _, message, _ = self._parse(raw)
                books[message.market_ticker].apply_delta(message.side, message.price_dollars, message.delta_fp)
            yield True
        ends.append({ticker: (book.best_bid, book.best_ask) for ticker, book in books.items()})
