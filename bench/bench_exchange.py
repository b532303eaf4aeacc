"""The exchange: the feed from bytes to books beside pykalshi on the same bytes, and the simulator's core."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bench.feeds import BATCH, FRAMES, MARKETS, Theirs, in_batches, one_by_one
from bench.figures import Figure, Measured
from bench.machine import on_one_core, timed
from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.messages import BookDelta, BookSnapshot
from kalshi_ray.wire.trading import Cancel, OrderRequest, Placed, Reduced

THEIR_FRAMES = 8_192
START = 1_791_000_000 * SECOND
TICKER = "KXBENCH-26-T1"
Ends = list[dict[str, tuple[str | None, str | None]]]


def feed_in_batches() -> Measured:
    """Bytes to typed rows, sequence check, book and row buffer."""
    theirs, feeds, ends = Theirs(), list[Feed](), Ends()
    mine, peer = timed(lambda: in_batches(feeds), lambda: theirs.passing(ends, THEIR_FRAMES), passes=5)
    _assert_whole(feeds)
    note = f"{mine.rates(FRAMES)}; peer {peer.rates(THEIR_FRAMES)}; {MARKETS:,} markets, batches of {BATCH}"
    return Measured(FRAMES / mine.median, THEIR_FRAMES / peer.median, f"{note}, pykalshi {theirs.version}")


def feed_one_by_one() -> Measured:
    """The same as typed messages, for those who take them one at a time."""
    theirs, feeds, ends = Theirs(), list[Feed](), Ends()
    mine, peer = timed(lambda: one_by_one(feeds, THEIR_FRAMES), lambda: theirs.passing(ends, THEIR_FRAMES), passes=5)
    _assert_alike(feeds[0], ends[0])
    return Measured(THEIR_FRAMES / mine.median, THEIR_FRAMES / peer.median, mine.rates(THEIR_FRAMES))


def _assert_whole(feeds: list[Feed]) -> None:
    if any(sum(feed.counts.values()) or not feed.books[ticker].known for feed in feeds for ticker in feed.tickers):
        raise AssertionError(f"frames were lost: {[feed.counts for feed in feeds]}")


def _assert_alike(feed: Feed, theirs: dict[str, tuple[str | None, str | None]]) -> None:
    """Both end with the same best prices."""
    for ticker, (bid, ask) in theirs.items():
        view = feed.books[ticker]
        if (view.best_bid, view.best_ask) != (_pips(bid), _pips(ask)):
            raise AssertionError(f"{ticker} ends as {view} here, with {bid} and {ask} there")


def _pips(dollars: str | None) -> int | None:
    return None if dollars is None else int(Decimal(dollars) * DOLLAR)


def _open() -> Exchange:
    exchange = Exchange(seed=1)
    exchange.open_market(MarketTerms(ticker=TICKER, event="KXBENCH-26", series="KXBENCH"))
    exchange.advance(START)
    levels = tuple((100 * cents, 10_000) for cents in range(49, 39, -1))
    asks = tuple((DOLLAR - price, size) for price, size in levels)
    exchange.apply_flow(BookSnapshot(ticker=TICKER, bids=levels, asks=asks), START)
    exchange.drain()
    return exchange


def _orders(count: int, chunk: int) -> Iterator[bool]:
    """An order that rests, and its cancel: two commands with two answers, and all that is published of them."""
    exchange = _open()
    account = exchange.create_account(1_000_000)
    yield False
    now = START
    for at in range(count):
        now += 1_000
        asked = OrderRequest(ticker=TICKER, client_order_id=str(at), side=Side.BID, size=100, price=4_500)
        placed = exchange.place(account, asked, now)
        assert isinstance(placed, Placed)
        taken = exchange.cancel(account, Cancel(order_id=placed.order_id, ticker=TICKER), now)
        assert isinstance(taken, Reduced)
        exchange.drain()
        if at % chunk == chunk - 1:
            yield True
    exchange.audit()


def order_round_trips() -> Measured:
    """Orders placed and cancelled in the simulator's core."""
    count = 4_096
    (mine,) = timed(lambda: _orders(count, 64), passes=5)
    return mine.rate(count)


def _flow(count: int, chunk: int) -> Iterator[bool]:
    """Flow into the simulator, and the frames that it publishes."""
    exchange, codec = _open(), Codec(use_yes_price=True)
    yield False
    written = 0
    for at in range(count):
        change = 100 if at % 2 == 0 else -100
        exchange.apply_flow(BookDelta(ticker=TICKER, side=Side.BID, price=4_500, change=change), START + at)
        for happening in exchange.drain():
            written += len(codec.encode(happening.value)) > 0
        if at % chunk == chunk - 1:
            yield True
    if written < count:
        raise AssertionError(f"{count} updates, {written} frames")


def replayed_frames() -> Measured:
    """Updates of a replay to frames of one subscription."""
    count = 16_384
    (mine,) = timed(lambda: _flow(count, 256), passes=5)
    return mine.rate(count)


FIGURES = [
    Figure(
        name="feed, bytes to books and rows",
        unit="deltas/s",
        measure=on_one_core(feed_in_batches),
        peer="pykalshi",
        floor=400e3,
        ratio_floor=3.0,
    ),
    Figure(
        name="feed, typed messages one by one", unit="deltas/s", measure=on_one_core(feed_one_by_one), peer="pykalshi"
    ),
    Figure(
        name="simulator, orders placed and cancelled", unit="1/s", measure=on_one_core(order_round_trips), floor=5e3
    ),
    Figure(name="simulator, flow to frames", unit="frames/s", measure=on_one_core(replayed_frames), floor=50e3),
]
