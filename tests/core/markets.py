"""Random tapes and commands around one small book, for both the kernels and the plain exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kalshi_ray.core.jit import read_only
from kalshi_ray.core.matching import accept_command, advance_venue
from kalshi_ray.core.orders import COMMAND, MAX_MESSAGES, CommandKind, OrderEvent, TimeInForce
from kalshi_ray.core.tape import BY_TRADE, LAG_UNKNOWN, OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind
from kalshi_ray.core.units import MICROSECOND, MILLISECOND
from kalshi_ray.core.venue import MAX_TAKEN
from tests.core.records import ASK, BID, T0, one, rules_of, tape_of, trader_of, update_of, venue_of
from tests.reference.book import Book
from tests.reference.matching import Answer, Command, Exchange, Row

FEED, ENTRY, RESPONSE = 50 * MILLISECOND, 3 * MILLISECOND, 2 * MILLISECOND
LEVELS = 99
BIDS = {46: 40, 47: 30, 48: 20, 49: 10}
ASKS = {51: 10, 52: 20, 53: 30, 54: 40}
KINDS = {
    "level": Kind.SNAPSHOT_LEVEL,
    "end": Kind.SNAPSHOT_END,
    "delta": Kind.DELTA,
    "print": Kind.TRADE,
    "gap": Kind.GAP,
    "status": Kind.STATUS,
    "fee": Kind.FEE,
    "settlement": Kind.SETTLEMENT,
    "other": Kind.SCHEDULE,
}
TAKERS = {None: 0, BID: TAKER_BOUGHT, ASK: TAKER_SOLD}


@dataclass(frozen=True)
class Market:
    """A tape twice: rows for the plain exchange, updates and values for the kernels."""

    rows: list[Row]
    updates: Any
    values: Any


def market_of(rows: list[Row], *, unknown_lag: bool = False) -> Market:
    """The same rows as a tape. Received 20 ms after they happened, or without an exchange time of their own."""
    values, updates = [0], []
    for row in rows:
        delay = FEED if unknown_lag else 20 * MILLISECOND
        size = row.size
        if row.kind == "fee":
            size = len(values)
            values += list(row.rates)
        flags = TAKERS[row.taker] if row.kind == "print" else 0
        flags |= (BY_TRADE if row.by_trade else 0) | (OFF_BOOK if row.off_book else 0)
        lag = LAG_UNKNOWN if unknown_lag else delay // MICROSECOND
        at_ms = (row.at + delay - T0) / MILLISECOND
        updates.append(
            update_of(KINDS[row.kind], at_ms, side=row.side, tick=row.tick, size=size, flags=flags, lag_us=lag)
        )
    return Market(
        rows, tape_of(updates or [update_of(Kind.SCHEDULE)])[: len(rows)], read_only(np.array(values, np.int64))
    )


class Pair:
    """The same exchange twice: the kernels and the plain model, driven by the same calls."""

    def __init__(
        self,
        market: Market,
        *,
        model: int = 0,
        precision: int = 100,
        bids: dict[int, int] | None = None,
        asks: dict[int, int] | None = None,
    ) -> None:
        bids, asks = BIDS if bids is None else bids, ASKS if asks is None else asks
        self.market = market
        self.trader = trader_of(bids, asks)
        self.venue = venue_of(self.trader, len(market.rows))
        self.rules = rules_of(
            fill_model=model, fee_precision=precision, feed_ns=FEED, entry_ns=ENTRY, response_ns=RESPONSE
        )
        book = Book(LEVELS)
        for side, levels in ((BID, bids), (ASK, asks)):
            for tick, size in levels.items():
                book.snapshot_level(side, tick, size)
        book.snapshot_end()
        prices = self.trader["book"]["prices"].tolist()
        self.plain = Exchange(
            book, prices, market.rows, model=model, entry=ENTRY, response=RESPONSE, feed=FEED, precision=precision,
            taker_ppm=70_000, maker_ppm=17_500,
        )  # fmt: skip
        self.answers: list[Answer] = []
        self.taken: list[tuple[int, ...]] = []

    def send(self, command: Command, now: int) -> None:
        accept_command(self.venue, self.rules, self._record(command), now)
        self.plain.send(command, now)

    def advance(self, until: int) -> None:
        advance_venue(self.venue, self.rules, self.market.updates, self.market.values, until)
        self.plain.advance(until)
        self._drain()

    def check_same(self) -> None:
        """The same answers in the same order, the same orders, the same book."""
        assert self.answers == self.plain.answers
        assert self.taken == self.plain.taken
        venue, plain = self.venue, self.plain
        assert (venue["cursor"], venue["position"], venue["status"]) == (plain.next_row, plain.position, plain.status)
        assert venue["live"] == len(plain.resting)
        for slot in range(4):
            order, expected = venue["orders"][slot], plain.resting.get(slot)
            assert (order["pending"] != 0) == (slot in plain.travelling)
            assert (order["live"] != 0) == (expected is not None)
            if expected is not None:
                found = [int(order[name]) for name in ("id", "tick", "size", "filled", "queue", "owed", "expires_ns")]
                wanted = [expected.id, expected.tick, expected.size, expected.filled, expected.ahead]
                assert found == [*wanted, expected.unprinted, expected.expires]
        for side in (BID, ASK):
            assert venue["book"]["best"][side] == plain.book.best(side)
            assert venue["book"]["total"][side] == sum(plain.book.shown(side).values())

    def filled(self, order_id: int) -> int:
        """Lots of an order that the kernels filled."""
        return sum(answer.size for answer in self.answers if answer.event == "fill" and answer.id == order_id)

    def _record(self, command: Command) -> Any:
        record = one(COMMAND)
        record["kind"] = CommandKind[command.kind.upper()]
        record["time_in_force"] = TimeInForce.GTC if command.rests else TimeInForce.IOC
        for name in ("slot", "id", "side", "tick", "size", "post_only", "reduce_only"):
            record[name] = getattr(command, name)
        record["expires_ns"] = command.expires
        record["price"] = 100 * (command.tick + 1)
        return record

    def _drain(self) -> None:
        """Take over what the kernels answered and took."""
        venue = self.venue
        for at in range(venue["message_count"]):
            message = venue["messages"][(venue["message_start"] + at) % MAX_MESSAGES]
            names = ("slot", "id", "venue_ns", "visible_ns", "after_row", "price", "size", "fee", "maker", "reason")
            self.answers.append(Answer(OrderEvent(message["event"]).name.lower(), *(int(message[n]) for n in names)))
        for at in range(venue["taken_count"]):
            taken = venue["taken"][(venue["taken_start"] + at) % MAX_TAKEN]
            self.taken.append(tuple(int(taken[n]) for n in ("before_row", "visible_ns", "lots", "tick", "side")))
        venue["message_start"] = (venue["message_start"] + venue["message_count"]) % MAX_MESSAGES
        venue["taken_start"] = (venue["taken_start"] + venue["taken_count"]) % MAX_TAKEN
        venue["message_count"] = venue["taken_count"] = 0


# ms since the row before, what, side, tick, lots, detail.
RawRow = tuple[int, str, int, int, int, int]
_WHATS = ["more", "more", "more", "cancel", "cancel", "hit", "hit", "hit", "print", "cross", "snapshot", "odd"]


def raw_rows(seed: int, count: int = 200) -> list[RawRow]:
    """What `rows_of` makes a tape of, by a seed."""
    chance = np.random.default_rng(seed)
    return [
        (
            int(chance.choice([0, 0, 1, 2, 5])),
            str(chance.choice(_WHATS)),
            int(chance.integers(2)),
            int(chance.integers(46, 55)),
            int(chance.integers(1, 41)),
            int(chance.integers(10)),
        )
        for _ in range(count)
    ]


def rows_of(raw: list[RawRow], *, odd: bool = True) -> list[Row]:
    """A tape that a recorder could have seen: no level below zero but by accident, prints and decreases in any order.

    `odd` admits gaps, pauses, fee changes, damage, settlement.
    """
    book, at, rows = _start_book(), T0, []
    for pause, what, side, tick, size, choice in raw:
        at = max(at + pause * MILLISECOND, rows[-1].at if rows else at)
        for row in _rows_of_one(book, at, what, side, tick, size, choice, odd):
            _follow(book, row)
            rows.append(row)
    return rows


def _start_book() -> Book:
    book = Book(LEVELS)
    book.recorded = (dict(BIDS), dict(ASKS))
    book.known = True
    return book


def _follow(book: Book, row: Row) -> None:
    if row.kind in ("delta", "level"):
        {"delta": book.delta, "level": book.snapshot_level}[row.kind](row.side, row.tick, row.size)
    elif row.kind in ("end", "gap"):
        {"end": book.snapshot_end, "gap": book.gap}[row.kind]()


def _rows_of_one(book: Book, at: int, what: str, side: int, tick: int, size: int, choice: int, odd: bool) -> list[Row]:
    held = book.recorded[side].get(tick, 0)
    mostly_own_side = tick <= 50 if side == BID else tick >= 50
    if what == "more" and mostly_own_side:
        return [Row(at, "delta", side, tick, size)]
    if what == "cancel" and held:
        return [Row(at, "delta", side, tick, -min(size, held))]
    if what == "hit" and held:
        lots = min(size, held)
        hit = Row(at, "print", tick=tick, size=lots, taker=None if choice == 0 else 1 - side)
        drop = Row(at, "delta", side, tick, -lots, by_trade=True)
        return [hit, drop] if choice % 2 else [drop, hit]
    if what == "print":
        return [Row(at, "print", tick=tick, size=size, taker=(None, BID, ASK)[choice % 3], off_book=choice == 9)]
    if what == "cross" and choice < 5:
        return [Row(at, "delta", side, tick, size)]
    if what == "snapshot":
        return _snapshot(at, tick, size)
    if what == "odd" and odd:
        return _odd_rows(at, side, tick, choice)
    return []


def _snapshot(at: int, tick: int, size: int) -> list[Row]:
    levels = [Row(at, "level", BID, t, size) for t in range(44, min(tick, 50))]
    return [*levels, *(Row(at, "level", ASK, t, size) for t in range(max(tick, 50), 56)), Row(at, "end")]


def _odd_rows(at: int, side: int, tick: int, choice: int) -> list[Row]:
    rarely = tick == 46  # the market stands still from there
    return {
        0: [Row(at, "gap")],
        1: [Row(at, "gap"), *_snapshot(at, tick, 12)],
        2: [Row(at, "status", size=2)] + [Row(at + MILLISECOND, "status", size=1)] * (not rarely),
        3: [Row(at, "status", size=2), Row(at, "status", size=1)],
        4: [Row(at, "status", size=1)],
        5: [Row(at, "fee", rates=(35_000, 8_750))],
        6: [Row(at, "delta", side, tick, -1_000), *_snapshot(at + MILLISECOND, tick, 12)],  # damage
        7: [Row(at, "settlement", size=10_000)] * rarely,
        8: [Row(at, "other")],
        9: [Row(at, "level", side, tick, 9), Row(at, "delta", side, tick, 4), Row(at, "print", tick=tick, size=3)],
    }[choice]


# One decision: ms since the last, what to do, slot, tick, lots, ms until expiry (0: never), detail.
RawCommand = tuple[int, str, int, int, int, int, int]


def raw_commands(seed: int, count: int = 70) -> list[RawCommand]:
    """What `play` sends, by a seed."""
    chance = np.random.default_rng(seed + 1)
    return [
        (
            int(chance.integers(13)),
            str(chance.choice(["create", "amend", "amend", "cancel"])),
            int(chance.integers(4)),
            int(chance.integers(46, 55)),
            int(chance.integers(1, 61)),
            int(chance.choice([0, 0, 15, 40])),
            int(chance.integers(4)),
        )
        for _ in range(count)
    ]


def play(pair: Pair, raw: list[RawCommand], *, until: int = 0) -> None:
    """Send what is possible at each decision, advance both exchanges, and go on to the end of the tape."""
    now, next_id = T0, 1
    for pause, what, slot, tick, lots, life, detail in raw:
        now += pause * MILLISECOND
        pair.advance(now)
        plain = pair.plain
        if slot in plain.travelling:
            continue
        expires = now + life * MILLISECOND if life else 0
        if slot in plain.resting:
            order = plain.resting[slot]
            if what == "cancel":
                pair.send(Command("cancel", slot, order.id), now)
            else:
                # Half of the amendments stay at their price.
                where = order.tick if detail % 2 else tick
                size = max(1, order.filled + lots // 2 - detail * 2)
                pair.send(Command("amend", slot, order.id, order.side, where, size, expires), now)
        elif what == "create":
            rests = slot < 2
            if rests and detail:  # mostly where it does not cross
                tick = min(tick, 49) if slot == BID else max(tick, 51)
            command = Command(
                "create", slot, next_id, slot % 2, tick, lots, expires if rests else 0, rests, rests,
                not rests and detail == 3,
            )  # fmt: skip
            pair.send(command, now)
            next_id += 1
    pair.advance(max(now, until) + 200 * MILLISECOND)
