"""Two replays of one stream with one resting bid: ours, and hftbacktest's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from bench.streams import LOCAL, Stream
from kalshi_ray.core.book import book_size, clear_book, load_axis, load_grid
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.matching import accept_command, advance_venue
from kalshi_ray.core.orders import COMMAND, CommandKind, TimeInForce
from kalshi_ray.core.tape import Status, ViewPack
from kalshi_ray.core.trader import see_update, start_trader, trader_dtype
from kalshi_ray.core.units import CONTRACT, DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.core.venue import start_venue, venue_dtype
from kalshi_ray.env.settings import EnvSettings

LATENCY_MS = 100  # of an order, and of its answer
SENT_AFTER = 5 * SECOND  # from the start of a stream
SIZE = 10 * CONTRACT
CHUNK = 4_000  # updates
ACTIVE = int(Status.ACTIVE)


class Replay(Protocol):
    """One side of the comparison, working through one stream at a time."""

    def start(self, stream: Stream) -> None:
        """Replay the beginning and send the order."""

    def run_to(self, until: int) -> None:
        """Replay up to a time, ns."""

    def finish(self, stream: Stream) -> tuple[int, int] | None:
        """Check that the order still rests; the trader's best bid and ask in pips, where it has a book."""


def passing(replay: Replay, streams: list[Stream], seen: list[tuple[int, int] | None]) -> Iterator[bool]:
    """One pass over all streams. Chunks are equal for every replay; `seen` receives the best prices at the ends."""
    seen.clear()
    for stream in streams:
        replay.start(stream)
        yield False
        for until in chunk_ends(stream):
            replay.run_to(until)
            yield True
        seen.append(replay.finish(stream))
        yield False


def chunk_ends(stream: Stream) -> list[int]:
    """Times up to which a chunk runs, ns; the last one is past the end."""
    times = stream.updates["recv_ns"]
    later = np.flatnonzero(times > times[0] + SENT_AFTER)[CHUNK::CHUNK]
    return [*times[later].tolist(), int(times[-1]) + 1]


@kernel
def _begin(trader, venue, rules, view, axes, grids, updates, values, command):  # type: ignore[no-untyped-def]
    """Start with an empty, unknown book, replay both sides for a while, and put the order on its way."""
    start_trader(trader, view, rules.bankroll, updates[0].recv_ns)
    trader.status = ACTIVE
    load_axis(trader.book, axes, view.axis, view.levels)
    load_grid(trader.book, grids, view.grid)
    clear_book(trader.book)
    trader.book.known = 0
    trader.book.in_snapshot = 0
    start_venue(venue, trader, 0, len(updates))
    now = updates[0].recv_ns + SENT_AFTER
    cursor = _both_to(trader, venue, rules, updates, values, 0, now)
    accept_command(venue, rules, command, now)
    return cursor


@kernel
def _venue_to(venue, rules, updates, values, until):  # type: ignore[no-untyped-def]
    """The exchange alone: book, order and queue."""
    advance_venue(venue, rules, updates, values, until)


@kernel
def _both_to(trader, venue, rules, updates, values, cursor, until):  # type: ignore[no-untyped-def]
    """The exchange, then the trader: nothing is decided before `until`, so that each runs through its rows at once."""
    advance_venue(venue, rules, updates, values, until)
    while cursor < len(updates):
        update = updates[cursor]
        if update.recv_ns > until:
            break
        see_update(trader, update)
        cursor += 1
    return cursor


class Ours:
    """Our kernels, over the streams of one pack."""

    def __init__(self, pack: ViewPack, *, trader: bool) -> None:
        self._pack, self._with_trader = pack, trader
        self._trader = as_rows(np.zeros(1, trader_dtype(book_size(pack.max_levels))))
        self._venue = as_rows(np.zeros(1, venue_dtype(book_size(pack.max_levels))))
        self._rules = as_rows(EnvSettings(entry_ms=LATENCY_MS, response_ms=LATENCY_MS).rules())
        self._views = as_rows(pack.views)
        self._cursor = 0

    def start(self, stream: Stream) -> None:
        """Replay the beginning and send the order."""
        command = np.zeros(1, COMMAND)
        command["kind"], command["time_in_force"], command["post_only"] = CommandKind.CREATE, TimeInForce.GTC, 1
        command["side"], command["tick"], command["size"], command["id"] = Side.BID, stream.order_tick, SIZE, 1
        self._cursor = _begin(
            self._trader[0], self._venue[0], self._rules[0], self._views[stream.view], self._pack.axes,
            self._pack.grids, stream.updates, self._pack.values, as_rows(command)[0],
        )  # fmt: skip
        self._updates = stream.updates

    def run_to(self, until: int) -> None:
        """Replay up to a time, ns."""
        venue, rules, values = self._venue[0], self._rules[0], self._pack.values
        if self._with_trader:
            self._cursor = _both_to(self._trader[0], venue, rules, self._updates, values, self._cursor, until)
        else:
            _venue_to(venue, rules, self._updates, values, until)

    def finish(self, stream: Stream) -> tuple[int, int] | None:
        """The order must rest unfilled; the trader's best prices."""
        venue, book = self._venue[0], self._trader[0]["book"]
        left = len(stream.updates) - int(venue["cursor"])
        if left or venue["position"] or not venue["orders"]["live"][Side.BID]:
            raise AssertionError(
                f"our replay of {self._pack.tickers[stream.view]}: {left} rows left, or the order gone"
            )
        if not self._with_trader:
            return None
        bid, ask = (int(tick) for tick in book["best"])
        return (
            int(book["prices"][bid]) if bid >= 0 else 0,
            int(book["prices"][ask]) if ask < book["levels"] else DOLLAR,
        )


class Theirs:
    """hftbacktest: its fastest book, constant order latency, partial fills, the risk-averse queue."""

    def __init__(self, pack: ViewPack, *, trader: bool) -> None:
        import hftbacktest

        self._module: Any = hftbacktest
        self._pack, self._with_trader = pack, trader
        self._events: dict[int, Any] = {}

    def start(self, stream: Stream) -> None:
        """Replay the beginning and send the order."""
        prices = self._pack.axes[self._pack.views["axis"][stream.view]]
        tick = math.gcd(*prices.tolist()) / DOLLAR
        asset = (
            self._module.BacktestAsset()
            .data([self._events_of(stream)])
            .linear_asset(1.0)
            .constant_order_latency(LATENCY_MS * MILLISECOND, LATENCY_MS * MILLISECOND)
            .risk_adverse_queue_model()
            .partial_fill_exchange()
            .flat_per_trade_fee_model(0.0, 0.0)
            .tick_size(tick)
            .lot_size(1.0)
            .roi_lb(0.0)
            .roi_ub(1.0)
        )
        self._run: Any = self._module.ROIVectorMarketDepthBacktest([asset])
        first = int(stream.updates["recv_ns"][0])
        self._run.elapse(0)
        self.run_to(first + SENT_AFTER)
        price = float(prices[stream.order_tick]) / DOLLAR
        sent = self._run.submit_buy_order(0, 1, price, float(SIZE), self._module.GTC, self._module.LIMIT, False)
        if sent != 0:
            raise AssertionError(f"hftbacktest refused the order with code {sent}")

    def _events_of(self, stream: Stream) -> Any:
        """Without the trader's side only the exchange sees the events."""
        if stream.view not in self._events:
            events = stream.events.copy()
            if not self._with_trader:
                events["ev"] &= ~np.uint64(LOCAL)
            self._events[stream.view] = events
        return self._events[stream.view]

    def run_to(self, until: int) -> None:
        """Replay up to a time, ns."""
        code = self._run.elapse(max(0, until - self._run.current_timestamp))
        if code not in (0, 1):
            raise AssertionError(f"hftbacktest stopped with code {code}")

    def finish(self, stream: Stream) -> tuple[int, int] | None:
        """The order must rest unfilled; the trader's best prices."""
        run = self._run
        position, order = run.position(0), run.orders(0).get(1)
        if position or order is None or order.status != self._module.NEW:
            raise AssertionError(f"hftbacktest's replay of {self._pack.tickers[stream.view]} lost or filled the order")
        depth = run.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        pips = round(depth.tick_size * DOLLAR)
        run.close()
        if not self._with_trader:
            return None
        return (bid * pips if bid > 0 else 0, ask * pips if ask * pips < DOLLAR else DOLLAR)
