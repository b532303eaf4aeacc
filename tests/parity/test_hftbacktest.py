"""Equal resting orders on equal streams: our pessimistic model beside hftbacktest's risk-averse queue, partial fills.

Each order joins the touch of a generated stream, alone on it, and rests until it is filled or cancelled at a fixed
time; entry and response take 100 ms on both sides. Fills are compared one by one: lots, and time at the exchange.

Where they differ, the cause is one of these. A plain model of both has a switch for each; without any it must give our
fills, with all of them hftbacktest's, and the causes of a difference are the fewest switches that make it.

| cause              | hftbacktest                                                   | here                            |
|--------------------|---------------------------------------------------------------|---------------------------------|
| WHOLE_BY_PRINT     | a print through our price fills the whole order               | fills the lots of the print     |
| WHOLE_BY_FAR_SIDE  | a best price of the other side that moves to or through our   | fills what it shows, less       |
|                    | price fills the whole order, whatever stands before us        | the queue, and takes it away    |
| PRINT_AFTER_CHANGE | a decrease by trade that comes before its print clips the     | the print that is still owed is |
|                    | queue, and the print then shortens it again                   | in front as well: counted once  |

Equal by construction: the latencies, the queue on arrival, and that an order never arrives at the very nanosecond of an
update. Fills of one nanosecond count as one, since hftbacktest's answers to them arrive together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from bench.replays import LATENCY_MS, Ours
from bench.streams import LOCAL, Stream, streams_of
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.matching import accept_command, advance_venue
from kalshi_ray.core.orders import COMMAND, CommandKind, OrderEvent, TimeInForce
from kalshi_ray.core.tape import ASK_SIDE, BY_TRADE, TAKER_BOUGHT, Kind, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, MICROSECOND, MILLISECOND, SECOND, Side
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.views import build_pack_from_tables
from tests.tapes import Rows, at, book, change, pack_of, taken, trade

hftbacktest = pytest.importorskip("hftbacktest", reason="comes with the extra `bench`")

Fills = list[tuple[int, int]]  # lots, and when at the exchange, ns
BID, ASK = int(Side.BID), int(Side.ASK)
LATENCY = LATENCY_MS * MILLISECOND
ORDERS_EACH = 12  # of a stream
# How the orders on the generated stream end.
COUNTS = {
    "equal, filled": 15,
    "equal, not filled": 12,
    "PRINT_AFTER_CHANGE": 7,
    "WHOLE_BY_PRINT": 5,
    "WHOLE_BY_PRINT, PRINT_AFTER_CHANGE": 3,
}


class Cause(Flag):
    """What hftbacktest does and we do not."""

    WHOLE_BY_PRINT = auto()
    WHOLE_BY_FAR_SIDE = auto()
    PRINT_AFTER_CHANGE = auto()


def names(causes: Cause | None) -> str:
    """The causes in words."""
    return "unexplained" if causes is None else ", ".join(str(one.name) for one in Cause if one & causes)


NONE, ALL = Cause(0), Cause.WHOLE_BY_PRINT | Cause.WHOLE_BY_FAR_SIDE | Cause.PRINT_AFTER_CHANGE


@dataclass(frozen=True)
class Order:
    """A post-only order, and when it and its cancel are sent."""

    side: int
    tick: int
    size: int  # lots
    sent_ns: int
    cancelled_ns: int


def exchange_times(stream: Stream) -> np.ndarray[Any, np.dtype[np.int64]]:
    """When each update happened, ns."""
    rows = stream.updates
    times: np.ndarray[Any, np.dtype[np.int64]] = (rows["recv_ns"] // MICROSECOND - rows["lag_us"]) * MICROSECOND
    return times


def merged(fills: Fills) -> Fills:
    """Fills of one nanosecond as one."""
    found: dict[int, int] = {}
    for lots, now in fills:
        found[now] = found.get(now, 0) + lots
    return [(lots, now) for now, lots in found.items()]


class Model:
    """One resting order on a stream, in plain Python, with the causes as switches."""

    def __init__(self, stream: Stream, order: Order, causes: Cause) -> None:
        self.order, self.causes = order, causes
        self.better = 1 if order.side == BID else -1
        self.sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.taken: dict[int, int] = {}
        self.left, self.queue, self.owed = order.size, -1, 0
        self.fills: Fills = []
        for update, now in zip(stream.updates, exchange_times(stream).tolist(), strict=True):
            if now > order.sent_ns + LATENCY and self.queue < 0:
                self.queue = self.sizes[order.side].get(order.tick, 0)
            if now > order.cancelled_ns + LATENCY or not self.left:
                break
            self._meet(update, now)
        self.fills = merged(self.fills)

    def _fill(self, lots: int, now: int) -> int:
        lots = min(lots, self.left)
        if lots > 0:
            self.left -= lots
            self.fills.append((lots, now))
        return max(0, lots)

    def _meet(self, update: Any, now: int) -> None:
        kind, side, tick, lots = int(update["kind"]), int(update["flags"]) & ASK_SIDE, int(update["tick"]), 0
        if kind == Kind.TRADE:
            if self.queue >= 0 and bool(update["flags"] & TAKER_BOUGHT) == (self.order.side == ASK):
                self._print(tick, int(update["size"]), now)
        elif kind != Kind.SNAPSHOT_END:
            far_before = self._best_far()
            before = self.sizes[side].get(tick, 0)
            lots = int(update["size"]) + (before if kind == Kind.DELTA else 0)
            self.sizes[side][tick] = lots
            if self.queue >= 0:
                self._change(side, tick, before, lots, bool(update["flags"] & BY_TRADE))
                self._far_side(far_before, lots > before, now)

    def _print(self, tick: int, lots: int, now: int) -> None:
        if tick == self.order.tick:
            ahead = min(self.queue, lots)
            self.queue -= ahead
            self.owed -= lots
            self._fill(lots - ahead, now)
        elif (self.order.tick - tick) * self.better > 0:
            self._fill(self.left if self.causes & Cause.WHOLE_BY_PRINT else lots, now)

    def _change(self, side: int, tick: int, before: int, after: int, by_trade: bool) -> None:
        if side == self.order.side:
            if tick == self.order.tick and (after < before or self.causes & Cause.PRINT_AFTER_CHANGE):
                self.owed += before - after if by_trade else 0
                owed = 0 if self.causes & Cause.PRINT_AFTER_CHANGE else max(0, self.owed)
                self.queue = min(self.queue, after + owed)
        elif after < before and tick in self.taken:
            self.taken[tick] = max(0, self.taken[tick] - (before - after))

    def _shown_far(self) -> list[int]:
        """Ticks of the other side that still show something, the best first."""
        levels = self.sizes[1 - self.order.side].items()
        return sorted((t for t, lots in levels if lots > self.taken.get(t, 0)), key=lambda t: t * self.better)

    def _best_far(self) -> int | None:
        return next(iter(self._shown_far()), None)

    def _far_side(self, before: int | None, grown: bool, now: int) -> None:
        reached = [t for t in self._shown_far() if (self.order.tick - t) * self.better >= 0]
        if not reached or not grown:
            return
        if self.causes & Cause.WHOLE_BY_FAR_SIDE:
            if before is None or (before - reached[0]) * self.better > 0:
                self._fill(self.left, now)
            return
        for tick in reached:
            shown = self.sizes[1 - self.order.side][tick] - self.taken.get(tick, 0)
            filled = self._fill(shown - self.queue, now)
            self.taken[tick] = self.taken.get(tick, 0) + filled


def our_fills(pack: ViewPack, stream: Stream, order: Order) -> Fills:
    """What our exchange does with the order."""
    replay = Ours(pack, trader=False)
    replay.start(stream)  # an order of its own rests where nobody trades; ours replaces it
    venue, rules = replay._venue[0], replay._rules[0]
    venue["orders"]["live"] = 0
    venue["orders"]["pending"] = 0
    venue["live"], venue["message_count"] = 0, 0
    command = np.zeros(1, COMMAND)
    command["kind"], command["time_in_force"], command["post_only"] = CommandKind.CREATE, TimeInForce.GTC, 1
    command["slot"], command["side"], command["tick"] = order.side, order.side, order.tick
    command["size"], command["id"] = order.size, 7
    advance_venue(venue, rules, stream.updates, pack.values, order.sent_ns)
    accept_command(venue, rules, as_rows(command)[0], order.sent_ns)
    advance_venue(venue, rules, stream.updates, pack.values, order.cancelled_ns)
    command["kind"] = CommandKind.CANCEL
    accept_command(venue, rules, as_rows(command)[0], order.cancelled_ns)
    advance_venue(venue, rules, stream.updates, pack.values, order.cancelled_ns + 2 * LATENCY)
    first = int(venue["message_start"])
    told = venue["messages"][first : first + int(venue["message_count"])]
    assert told["event"][0] == OrderEvent.ACK and told["event"][-1] == OrderEvent.DONE, (order, told["event"])
    found = told[told["event"] == OrderEvent.FILL]
    assert (found["maker"] == 1).all()
    return merged([(int(one["size"]), int(one["venue_ns"])) for one in found])


def their_fills(pack: ViewPack, stream: Stream, order: Order) -> Fills:
    """What hftbacktest does with it."""
    events = stream.events.copy()
    events["ev"] &= ~np.uint64(LOCAL)  # nothing to wait for but answers
    prices = pack.axes[pack.views["axis"][stream.view]]
    asset = (
        hftbacktest.BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(LATENCY, LATENCY)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .flat_per_trade_fee_model(0.0, 0.0)
        .tick_size(CENT / DOLLAR)
        .lot_size(1.0)
        .roi_lb(0.0)
        .roi_ub(1.0)
    )
    peer = hftbacktest.ROIVectorMarketDepthBacktest([asset])
    peer.elapse(0)
    assert peer.elapse(order.sent_ns - peer.current_timestamp) == 0
    submit = peer.submit_buy_order if order.side == BID else peer.submit_sell_order
    price = float(prices[order.tick]) / DOLLAR
    assert submit(0, 1, price, float(order.size), hftbacktest.GTX, hftbacktest.LIMIT, False) == 0
    fills: Fills = []
    left = order.size
    while peer.current_timestamp < order.cancelled_ns + 2 * LATENCY:
        cancelling = peer.current_timestamp >= order.cancelled_ns
        until = order.cancelled_ns + 2 * LATENCY if cancelling else order.cancelled_ns
        code = peer.wait_next_feed(True, until - peer.current_timestamp)
        assert code in (0, 3), f"hftbacktest stopped with code {code}"
        one = peer.orders(0).get(1)
        now_left = round(one.leaves_qty)
        if now_left < left:
            fills.append((left - now_left, int(one.exch_timestamp)))
            left = now_left
        if not left:
            break
        if code == 0 and not cancelling:
            assert peer.cancel(0, 1, False) == 0
    assert one.status in (hftbacktest.FILLED, hftbacktest.CANCELED), (order, one.status)
    peer.close()
    return merged(fills)


def causes_of(stream: Stream, order: Order, ours: Fills, theirs: Fills) -> Cause | None:
    """The fewest switches that turn our fills into theirs; None where the model does not explain both."""
    if Model(stream, order, NONE).fills != ours or Model(stream, order, ALL).fills != theirs:
        return None
    for count in range(len(Cause) + 1):
        for chosen in combinations(Cause, count):
            causes = NONE
            for one in chosen:
                causes |= one
            if Model(stream, order, causes).fills == theirs:
                return causes
    return None


@cache
def market() -> ViewPack:
    """Four planted markets whose takers are uninformed: much trading at the touch."""
    state = start(SynthSettings(regime="planted-maker", markets=4, strikes=1, waves=1, updates=12_000, seed=3))
    batches = [batch for rows, _ in run(state) for batch in rows.to_batches()]
    return build_pack_from_tables(state.table, batches, Manifest(id="parity", source="synthetic"))


def touches(stream: Stream) -> Iterator[Order]:
    """Orders that join the touch, one after another, by turns of side and of size."""
    times = exchange_times(stream)
    sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
    first, last = int(times[0]) + 10 * SECOND, int(times[-1]) - 10 * SECOND
    each = (last - first) // ORDERS_EACH
    row = 0
    for number in range(ORDERS_EACH):
        sent = first + number * each + MICROSECOND // 2
        while times[row] <= sent + LATENCY:
            update = stream.updates[row]
            side, tick = int(update["flags"]) & ASK_SIDE, int(update["tick"])
            if update["kind"] == Kind.SNAPSHOT_LEVEL:
                sizes[side][tick] = int(update["size"])
            elif update["kind"] == Kind.DELTA:
                sizes[side][tick] = sizes[side].get(tick, 0) + int(update["size"])
            row += 1
        side = number % 2
        standing = [tick for tick, lots in sizes[side].items() if lots]
        if standing:
            touch = max(standing) if side == BID else min(standing)
            size = (1, 20, 300)[number % 3] * CONTRACT
            yield Order(side, touch, size, sent, sent + each * 3 // 4 // MICROSECOND * MICROSECOND)


def test_equal_orders_on_a_generated_stream_fill_equally_or_for_a_listed_cause() -> None:
    """Every order is explained by the model, and the orders without a cause have the very same fills."""
    pack = market()
    counts: dict[str, int] = {}
    unexplained = []
    for stream in streams_of(pack, 4, changes=0):
        for order in touches(stream):
            ours, theirs = our_fills(pack, stream, order), their_fills(pack, stream, order)
            causes = causes_of(stream, order, ours, theirs)
            if causes is None or (causes == NONE) != (ours == theirs):
                unexplained.append((pack.tickers[stream.view], order, ours, theirs))
            kind = f"equal, {'filled' if ours else 'not filled'}" if ours == theirs else names(causes)
            counts[kind] = counts.get(kind, 0) + 1
    assert not unexplained, (counts, unexplained)
    assert counts == COUNTS


# A bid of 50 at 45 behind 100: what happens, our contracts, theirs, and why.
CASES: dict[str, tuple[Rows, float, float, Cause]] = {
    "a print beyond the queue": (trade(8, "sells", 45, 130) + change(8, "bid", 45, -100), 30, 30, NONE),
    "a print of the queue and no more": (taken(8, "sells", 45, 100), 0, 0, NONE),
    "a cancel, then a print": (change(8, "bid", 45, -60) + trade(9, "sells", 45, 60), 20, 20, NONE),
    "the touch leaves without a print": (change(8, "bid", 45, -100), 0, 0, NONE),
    "a print through the price": (trade(8, "sells", 44, 10), 10, 50, Cause.WHOLE_BY_PRINT),
    "the other side at the price": (change(8, "ask", 45, 120), 20, 50, Cause.WHOLE_BY_FAR_SIDE),
    "the change before its print": (
        change(8, "bid", 45, -60) + trade(8, "sells", 45, 60),
        0,
        20,
        Cause.PRINT_AFTER_CHANGE,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_alone(case: str) -> None:
    """One thing happens to a resting bid: both fills are known, and so is the cause of their difference."""
    rows, here, there, cause = CASES[case]
    pack = pack_of(book(0, bids={45: 100, 44: 100}, asks={48: 100}), rows, change(30, "ask", 60, 1))
    stream = streams_of(pack, 1, changes=0)[0]
    tick = int(np.flatnonzero(pack.axes[pack.views["axis"][0]] == 45 * CENT)[0])
    order = Order(BID, tick, 50 * CONTRACT, at(6) + MICROSECOND // 2, at(20))
    ours, theirs = our_fills(pack, stream, order), their_fills(pack, stream, order)
    assert [sum(lots for lots, _ in fills) / CONTRACT for fills in (ours, theirs)] == [here, there]
    assert causes_of(stream, order, ours, theirs) == cause
