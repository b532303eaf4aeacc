"""A line beside the simulator in memory, on which everything can go wrong, and what its rows must say whatever does.

Every input has a time of its own, so that a row is known to come from one frame. `watch` sees the frames before
anything happens to them: that is the truth.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kalshi_ray.collect import inputs
from kalshi_ray.collect.block import Block
from kalshi_ray.collect.line import sid_of
from kalshi_ray.collect.rebuild import Rebuilding
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CENT, CONTRACT, MILLISECOND, SECOND, Side
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.sign import Secret, signer_of
from kalshi_ray.exchange.simulator.faults import FaultPlan, Faults, FaultyLine
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.replay import Pace, Replay, Timed
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Subscribed, Trade
from tests.exchange.keys import ed25519_key, pem_of
from tests.exchange.pair import START, Pair
from tests.exchange.simulator.serving import ED_ID, A, B, make_surface

SIGNER = signer_of(ED_ID, Secret(pem_of(ed25519_key()), "a test"))
NUMBER, NUMBERS = 7, {A: 3, B: 70}  # of the line and of its markets in the session
EVERY = FeedSettings(channels=(Channel.BOOK, Channel.TRADE, Channel.TICKER))
BOOK_SID, TRADE_SID = (sid_of(NUMBER, channel) for channel in (Channel.BOOK, Channel.TRADE))
Book = dict[tuple[int, int], int]  # lots by (side, price)


class Sent(NamedTuple):
    """A frame of a book or a trade as it left the exchange, and the book after it."""

    message: BookDelta | BookSnapshot | Trade
    book: Book


class Watch(Faults):
    """Faults whose frames are seen before and after."""

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__(plan)
        self.sent: dict[tuple[int, int, int], Sent] = {}  # by dial, sid and number
        self.dials = 0

    def line(self) -> WatchedLine:
        super().line()
        self.dials += 1
        return WatchedLine(self, self.dials)


class WatchedLine(FaultyLine):
    """The way of the frames of one connection, and the books that they make where they leave."""

    def __init__(self, watch: Watch, dial: int) -> None:
        super().__init__(watch.plan, random.Random(f"{watch.plan.seed} {dial}"))
        self.watch, self.dial = watch, dial
        self.books: dict[int, dict[str, Book]] = defaultdict(dict)  # by sid and ticker
        self._codec = Codec(use_yes_price=True)

    def pass_on(self, frames: list[bytes]) -> list[bytes]:
        for raw in frames:
            message = self._codec.decode(raw)
            if isinstance(message, BookDelta | BookSnapshot | Trade):
                self._note(message)
        return super().pass_on(frames)

    def _note(self, message: BookDelta | BookSnapshot | Trade) -> None:
        book: Book = {}
        if not isinstance(message, Trade):
            book = self.books[message.sid][message.ticker] = changed(self.books[message.sid], message)
        self.watch.sent[self.dial, message.sid, message.seq] = Sent(message, book)


def changed(books: Mapping[str, Book], message: BookDelta | BookSnapshot) -> Book:
    """The book of a market after a message, by dictionaries."""
    if isinstance(message, BookSnapshot):
        sides = ((0, message.bids), (1, message.asks))
        return {(side, price): size for side, levels in sides for price, size in levels}
    book, key = dict(books[message.ticker]), (int(message.side), message.price)
    book[key] = book.get(key, 0) + message.change
    return {key: size for key, size in book.items() if size}


class Arrival(NamedTuple):
    """A frame that came to the line."""

    dial: int
    message: Any  # of the exchange
    joined: tuple[str, ...]


class Course(Pair):
    """A line of books beside the simulator; `blocks` are what it gave."""

    def __init__(
        self, plan: FaultPlan, flow: Sequence[Timed], *, block_ns: int = 50 * MILLISECOND, mute: float = 0.0
    ) -> None:
        """`mute`: the chance that a command is never heard of again."""
        self.watch = Watch(plan)
        self.mute, self.chance = mute, random.Random(plan.seed)
        self.turns: list[int] = []  # when the exchange had its turn
        super().__init__(make_surface(START, faults=self.watch, replay=Replay(flow, Pace(0, START, 1))), SIGNER)
        self.line = BookLine(NUMBER, EVERY, raw=True, block_ns=block_ns)
        self.blocks: list[Block] = []
        self.arrivals: dict[int, Arrival] = {}  # by receive time
        self._codec = Codec(use_yes_price=True)
        self.is_silent = False
        self.line.join(NUMBERS, self.tick())
        self.connect()

    def send(self, commands: Iterable[bytes]) -> None:
        super().send([command for command in commands if self.chance.random() >= self.mute])

    def tick(self) -> int:
        """The next moment."""
        self.now_ns += 1
        return self.now_ns

    def connect(self) -> None:
        """Dial, and begin to talk."""
        self.dial()
        self.send(self.line.connect(self.tick()))
        self.exchange_frames()

    def lose(self) -> None:
        """The connection is gone; dial anew."""
        assert self.session is not None
        self.blocks += self.line.lost(self.tick())
        self.surface.stream.close(self.session)
        self.dial()
        self.send(self.line.connect(self.tick()))

    def exchange_frames(self) -> None:
        """Frames to the line and commands to the exchange, until neither has more."""
        assert self.session is not None
        while not self.is_silent:
            frames = self.receive()
            if self.session.is_cut or not self.line.is_online:
                self.lose()
                continue
            for raw in frames:
                now = self.tick()
                self.arrivals[now] = Arrival(self.watch.dials, self._codec.decode(raw), self.line.tickers)
                self.blocks += self.line.receive(raw, now)
            self.line.heard(self.tick())
            commands = self.tend()
            self.send(commands)
            if not commands and not self.session.has_frames:
                return

    def tend(self) -> list[bytes]:
        """What is due, and the blocks that came of it."""
        commands = list(self.line.due(self.tick()))
        self.blocks += self.line.take_events()
        return commands

    def wait(self, seconds: float) -> None:
        """Time passes on both sides."""
        self.now_ns += round(seconds * SECOND)
        self.turns.append(self.now_ns)
        self.surface.turn(self.now_ns)
        self.exchange_frames()

    def be_silent(self, seconds: float) -> None:
        """Nothing arrives for so long, not even a ping; what was sent meanwhile is lost if the line gives up."""
        self.is_silent = True
        for _ in range(round(10 * seconds)):
            self.wait(0.1)
            self.tend()
        self.is_silent = False
        self.exchange_frames()

    def finish(self) -> None:
        """The recording ends."""
        self.blocks += self.line.finish(self.tick())

    @property
    def rows(self) -> np.ndarray[Any, Any]:
        """All rows, ROW records."""
        return np.concatenate([block.rows for block in self.blocks])

    def is_true(self) -> bool:
        """Whether the books that left the exchange are the exchange's: a check of the test itself."""
        assert self.session is not None
        for subscription in self.session.subscriptions.values():
            if subscription.channel is not Channel.BOOK:
                continue
            line = self.session._line
            assert isinstance(line, WatchedLine)
            for ticker in subscription.tickers or {}:
                snapshot = self.surface.exchange.snapshot(ticker)
                assert snapshot is not None
                if line.books[subscription.sid].get(ticker) not in (None, changed({}, snapshot)):
                    return False
        return True


def flow_of(seed: int, updates: int, every_ns: int = 10 * MILLISECOND) -> list[Timed]:
    """Lawful changes of both books and some prints."""
    chance, there, found = random.Random(seed), dict[tuple[str, int, int], int](), list[Timed]()
    for number in range(updates):
        ticker, side = chance.choice((A, B)), chance.randrange(2)
        price = (chance.randrange(28, 45) if side == 0 else chance.randrange(52, 72)) * CENT
        if chance.random() < 0.2:
            print_ = Trade(ticker=ticker, price=price, size=chance.randrange(1, 900), taker=Side(1 - side))
            found.append((number * every_ns, print_))
            continue
        before = there.get((ticker, side, price), 0)
        change = -before if before > 20 * CONTRACT else chance.randrange(1, 30) * CONTRACT
        there[ticker, side, price] = before + change
        found.append((number * every_ns, FlowDelta(ticker=ticker, side=Side(side), price=price, change=change)))
    return found


# -- what must hold


class Stretch(NamedTuple):
    """From a snapshot to the next doubt a market's book is known."""

    ticker: str
    dial: int
    sid: int  # of the exchange
    first: int  # number of the snapshot
    begins_ns: int
    ends_ns: int
    rows: list[Any]  # of the market after the snapshot


def check(course: Course) -> Counter[str]:
    """Assert all that rows and raw lines of a course must hold; return what there was of it."""
    rows = course.rows
    assert (np.diff(rows["recv_ns"]) >= 0).all()
    assert set(np.unique(rows["sid"]).tolist()) <= {BOOK_SID, TRADE_SID}
    stretches = known_stretches(course, rows)
    for stretch in stretches:
        check_stretch(course, stretch)
    check_rebuilt(course.blocks, rows)
    kinds = {Kind(kind).name: count for kind, count in zip(*map(list, np.unique(rows["kind"], return_counts=True)))}
    return Counter(kinds | {"stretches": len(stretches), "known rows": sum(len(one.rows) for one in stretches)})


def known_stretches(course: Course, rows: np.ndarray[Any, Any]) -> list[Stretch]:
    """Replay the rows with dictionaries; wherever a book is known it is what the exchange had after that frame."""
    tickers = {number: ticker for ticker, number in NUMBERS.items()}
    books: dict[int, Book] = {}
    known: dict[int, Stretch] = {}
    found: list[Stretch] = []
    pending: Book | None = None
    for row in rows:
        market, kind, now = int(row["market"]), Kind(int(row["kind"])), int(row["recv_ns"])
        if kind is Kind.GAP:
            whole = market == -1
            assert market in (-1, *NUMBERS.values()) and (whole or row["sid"] == BOOK_SID)
            if row["sid"] == TRADE_SID:
                gaps = rows[(rows["recv_ns"] == now) & (rows["kind"] == Kind.GAP)]
                assert not known or BOOK_SID in gaps["sid"], "prints are missing, and books go on"
                continue
            for number in list(known) if whole else [market]:
                if number in known:
                    found.append(known.pop(number)._replace(ends_ns=now))
            continue
        arrival, ticker = course.arrivals[now], tickers[market]
        assert ticker in arrival.joined, "a row of a market that has not joined"
        message = arrival.message
        assert message.ticker == ticker and message.seq == row["seq"]
        sent = course.watch.sent[arrival.dial, message.sid, message.seq]
        if kind is Kind.SNAPSHOT_LEVEL:
            pending = {} if pending is None else pending
            pending[int(row["side"]), int(row["price"])] = int(row["size"])
        elif kind is Kind.SNAPSHOT_END:
            books[market], pending = pending or {}, None
            assert books[market] == sent.book
            if market not in known:
                known[market] = Stretch(ticker, arrival.dial, message.sid, message.seq, now, 0, [])
        elif kind is Kind.DELTA and market in known:
            key = int(row["side"]), int(row["price"])
            book = books[market]
            book[key] = book.get(key, 0) + int(row["size"])
            books[market] = {key: size for key, size in book.items() if size}
            assert books[market] == sent.book
        if market in known:
            known[market].rows.append(row)
    return found + [one._replace(ends_ns=course.now_ns + 1) for one in known.values()]


def check_stretch(course: Course, stretch: Stretch) -> None:
    """Every frame of the market that the exchange sent in the stretch stands there once, and nothing else."""
    trade_sid, last_book, last_trade, first_trade = 0, 0, 0, 0
    for now, arrival in course.arrivals.items():
        message = arrival.message
        if arrival.dial != stretch.dial or now >= stretch.ends_ns:
            continue
        if isinstance(message, Subscribed) and message.channel == "trade" and now < stretch.begins_ns:
            trade_sid, first_trade, last_trade = message.sid, 0, 0
        elif message.sid == stretch.sid:
            last_book = max(last_book, message.seq)
        elif message.sid == trade_sid:
            last_trade = max(last_trade, message.seq)
            if now < stretch.begins_ns:
                first_trade = last_trade
    assert trade_sid, "a book was known before its prints came"
    due = [
        (one.message.sid, one.message.seq)
        for (dial, sid, seq), one in course.watch.sent.items()
        if dial == stretch.dial
        and one.message.ticker == stretch.ticker
        and (
            (sid == stretch.sid and stretch.first <= seq <= last_book)
            or (sid == trade_sid and first_trade < seq <= last_trade)
        )
    ]
    kinds = (Kind.DELTA, Kind.TRADE, Kind.SNAPSHOT_END)
    stand = [
        (trade_sid if row["kind"] == Kind.TRADE else stretch.sid, int(row["seq"]))
        for row in stretch.rows
        if row["kind"] in kinds
    ]
    assert sorted(due) == sorted(stand), "frames of a healthy stretch stand once"
    for row in stretch.rows:
        message = course.arrivals[int(row["recv_ns"])].message
        if row["kind"] == Kind.TRADE:
            assert (row["price"], row["size"], row["taker"]) == (message.price, message.size, message.taker)
        elif row["kind"] == Kind.DELTA:
            assert (row["side"], row["price"], row["size"]) == (message.side, message.price, message.change)


def check_prints(course: Course) -> int:
    """Where no frame is lost: every print of the exchange stands in the stretch that it falls into; how many did."""
    found = 0
    for stretch in known_stretches(course, course.rows):
        whole = [turn for turn, after in pairwise(course.turns) if after < stretch.ends_ns]
        due = Counter(
            (trade.price, trade.size)
            for trade in course.surface.exchange.markets_by_ticker[stretch.ticker].trades
            if stretch.begins_ns < trade.exch_ns <= max(whole, default=0)
        )
        stand = Counter((int(row["price"]), int(row["size"])) for row in stretch.rows if row["kind"] == Kind.TRADE)
        assert due <= stand, "a print is missing while the book counts as known"
        found += due.total()
    return found


def raw_inputs(blocks: Sequence[Block]) -> list[inputs.Input]:
    """The raw lines of blocks."""
    found = list(inputs.read_inputs(b"".join(block.raw for block in blocks), "a test"))
    assert len(found) == sum(block.raw_lines for block in blocks)
    return found


def check_rebuilt(blocks: Sequence[Block], rows: np.ndarray[Any, Any]) -> None:
    """The raw lines alone make the same rows, whatever the blocks were."""
    rebuilding = Rebuilding()
    for one in raw_inputs(blocks):
        rebuilding.add(one)
    assert rebuilding.finish().tobytes() == rows.tobytes()
    until = 0
    for block in blocks:
        if len(block.rows):
            assert block.rows["recv_ns"][0] >= until, "a row before the time that was promised"
        until = block.until_ns
