"""A stream of books and trades in memory, and the way from it to a feed, on which everything can go wrong.

It writes its frames by hand, so that it shares nothing with the code under test but the reading of commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np

from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_events import FeedEvent
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
    read_command,
)
from kalshi_ray.wire.messages import CommandFailed

START = 1_791_000_000 * SECOND
Levels = dict[int, int]
Sides = tuple[Levels, Levels]  # bids, asks: lots by price in pips on the YES axis


class Life(msgspec.Struct):
    """One subscription from its confirmation to its end; what each of its numbers made true."""

    channel: Channel
    sid: int
    tickers: dict[str, None]
    seq: int = 0
    changes: list[tuple[str, Sides] | None] = []  # by number: the book of a market after that frame
    seen: int = 0  # the largest number that reached the feed
    books: dict[str, Sides] = {}  # as of `seen`
    birth: int = 0


class Frame(NamedTuple):
    """A frame on its way, and which number of which life it is."""

    raw: bytes
    life: Life | None = None
    seq: int = 0


class LittleExchange:
    """True books, and the frames that speak of them."""

    def __init__(
        self, tickers: Iterable[str], seed: int, *, use_yes_price: bool = True, reuses_sids: bool = False
    ) -> None:
        self.chance = Random(seed)
        self.use_yes_price = use_yes_price
        self.books: dict[str, Sides] = {ticker: self._book() for ticker in tickers}
        self._tickers = list(self.books)
        self._reuses_sids = reuses_sids
        self.out: list[Frame] = []
        self.commands: list[Any] = []
        self.refusals: list[CommandFailed | None] = []  # for the next commands: an error, or no answer at all
        self._births = 0
        self.connect()

    def connect(self) -> None:
        """A fresh connection: no subscription, numbers from 1."""
        self.lives: dict[int, Life] = {}
        self.out = []
        self._last_sid = 0

    # -- what happens

    def change(self) -> None:
        """One level of one book changes."""
        ticker = self.chance.choice(self._tickers)
        side = self.chance.randrange(2)
        levels = self.books[ticker][side]
        if levels and self.chance.random() < 0.5:
            price = self.chance.choice(list(levels))
            change = -self.chance.choice([levels[price], max(1, levels[price] // 2)])
        else:
            price, change = self._price(side), self.chance.randrange(1, 5000)
        levels[price] = levels.get(price, 0) + change
        if not levels[price]:
            del levels[price]
        word, shown = ("no", self._no(price)) if side else ("yes", price)
        body = (
            f'"market_ticker":"{ticker}","market_id":"u","side":"{word}","price_dollars":"{_dollars(shown)}",'
            f'"delta_fp":"{_count(change)}","ts":"2026-10-02T06:31:29.957081Z","ts_ms":1790922689957'
        )
        self._publish(Channel.BOOK, "orderbook_delta", ticker, body)

    def trade(self) -> None:
        """A public print."""
        ticker = self.chance.choice(self._tickers)
        what = '"yes_price_dollars":"0.4700","count_fp":"1.00","taker_book_side":"ask","ts_ms":5'
        body = f'"market_ticker":"{ticker}",{what}'
        self._publish(Channel.TRADE, "trade", ticker, body)

    def kill(self, channel: Channel, code: int, *, names_sid: bool = True) -> None:
        """A subscription ends with an error."""
        for life in [one for one in self.lives.values() if one.channel is channel]:
            del self.lives[life.sid]
            body = f'"msg":{{"code":{code},"msg":"Subscription buffer overflow"}}'
            if names_sid:
                life.seq += 1
                self.out.append(self._numbered(life, None, f'"type":"error","sid":{life.sid},"seq":{life.seq},{body}'))
            else:
                self._say(f'"type":"error",{body}')

    def command(self, raw: bytes) -> None:
        """What a client sent."""
        command = read_command(raw)
        self.commands.append(command)
        assert not isinstance(command, CommandFailed), command
        if self.refusals:
            refusal = self.refusals.pop(0)
            if refusal is not None:
                self._say(f'"type":"error","id":{command.id},"msg":{{"code":{refusal.code},"msg":"{refusal.text}"}}')
            return
        if isinstance(command, ListSubscriptions):
            listed = ",".join(f'{{"channel":"{one.channel.value}","sid":{one.sid}}}' for one in self.lives.values())
            self._say(f'"type":"ok","id":{command.id},"msg":[{listed}]')
        elif isinstance(command, Subscribe):
            self._subscribe(command)
        elif isinstance(command, UpdateSubscription):
            self._update(command)
        elif isinstance(command, Unsubscribe):
            life = self.lives.pop(command.sids[0], None)
            if life is None:
                self._say(f'"type":"error","id":{command.id},"msg":{{"code":7,"msg":"Unknown subscription ID"}}')
                return
            life.seq += 1
            head = f'"type":"unsubscribed","id":{command.id},"sid":{life.sid},"seq":{life.seq}'
            self.out.append(self._numbered(life, None, head))

    # -- answers

    def _subscribe(self, command: Subscribe) -> None:
        for channel in command.channels:
            life = next((one for one in self.lives.values() if one.channel is channel), None)
            if channel is Channel.BOOK:
                assert command.use_yes_price is self.use_yes_price, "the price axis is always said"
            if life is None:
                used = set(self.lives) if self._reuses_sids else set(range(self._last_sid + 1))
                sid = next(n for n in range(1, 10**6) if n not in used)
                self._last_sid = max(sid, self._last_sid)
                self._births += 1
                life = self.lives[sid] = Life(channel, sid, {}, birth=self._births)
            self._say(f'"type":"subscribed","id":{command.id},"msg":{{"channel":"{channel.value}","sid":{life.sid}}}')
            self._add(life, command.tickers)

    def _update(self, command: UpdateSubscription) -> None:
        life = self.lives.get(command.sid)
        if life is None:
            self._say(f'"type":"error","id":{command.id},"msg":{{"code":7,"msg":"Unknown subscription ID"}}')
            return
        if command.action is Action.SNAPSHOT:
            for ticker in command.tickers:
                if ticker in life.tickers and ticker in self.books:
                    self._snapshot(life, ticker, command.id)
            return
        before = dict(life.tickers)
        if command.action is Action.DELETE:
            for ticker in command.tickers:
                life.tickers.pop(ticker, None)
        else:
            life.tickers |= dict.fromkeys(command.tickers)
        life.seq += 1
        names = ",".join(f'"{ticker}"' for ticker in life.tickers)
        head = f'"type":"ok","id":{command.id},"sid":{life.sid},"seq":{life.seq},"msg":{{"market_tickers":[{names}]}}'
        self.out.append(self._numbered(life, None, head))
        self._snapshots(life, [ticker for ticker in life.tickers if ticker not in before])

    def _add(self, life: Life, tickers: Iterable[str]) -> None:
        joined = [ticker for ticker in tickers if ticker not in life.tickers]
        life.tickers |= dict.fromkeys(joined)
        self._snapshots(life, joined)

    def _snapshots(self, life: Life, tickers: Iterable[str]) -> None:
        if life.channel is Channel.BOOK:
            for ticker in tickers:
                if ticker in self.books:
                    self._snapshot(life, ticker, 0)

    def _snapshot(self, life: Life, ticker: str, id: int) -> None:
        sides = {"yes_dollars_fp": sorted(self.books[ticker][0].items()), "no_dollars_fp": []}
        sides["no_dollars_fp"] = [
            (self._no(p), size) for p, size in sorted(self.books[ticker][1].items(), reverse=True)
        ]
        text = "".join(
            f',"{key}":[{",".join(f"""["{_dollars(price)}","{_count(size)}"]""" for price, size in levels)}]'
            for key, levels in sides.items()
            if levels
        )
        life.seq += 1
        asked = f',"id":{id}' if id else ""
        head = f'"type":"orderbook_snapshot","sid":{life.sid},"seq":{life.seq}{asked}'
        self.out.append(self._numbered(life, ticker, f'{head},"msg":{{"market_ticker":"{ticker}"{text}}}'))

    def _publish(self, channel: Channel, kind: str, ticker: str, body: str) -> None:
        for life in self.lives.values():
            if life.channel is channel and (ticker in life.tickers or not life.tickers):
                life.seq += 1
                text = f'"type":"{kind}","sid":{life.sid},"seq":{life.seq},"msg":{{{body}}}'
                self.out.append(self._numbered(life, ticker if channel is Channel.BOOK else None, text))

    def _numbered(self, life: Life, ticker: str | None, text: str) -> Frame:
        bids, asks = self.books.get(ticker or "", ({}, {}))
        life.changes.append((ticker, (dict(bids), dict(asks))) if ticker else None)
        return Frame(f"{{{text}}}".encode(), life, life.seq)

    def _say(self, text: str) -> None:
        self.out.append(Frame(f"{{{text}}}".encode()))

    def _no(self, price: int) -> int:
        return price if self.use_yes_price else DOLLAR - price

    def _book(self) -> Sides:
        sides: Sides = ({}, {})
        for side in range(2):
            for _ in range(self.chance.randrange(4)):
                sides[side][self._price(side)] = self.chance.randrange(1, 5000)
        return sides

    def _price(self, side: int) -> int:
        """Bids below half a dollar, asks above: never crossed. Mostly whole cents, seldom finer."""
        price = self.chance.randrange(40, 50) * 100 + self.chance.choice([0] * 30 + [10, 11])
        return price if side == Side.BID else DOLLAR - price


class Faults(NamedTuple):
    """Chances by frame."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    kill: float = 0.0
    disconnect: float = 0.0
    mute: float = 0.0  # a command is not answered
    refuse: float = 0.0  # a command is answered with "too many requests"


class Line:
    """A feed on the line to an exchange: time passes, frames arrive, some of them wrongly."""

    def __init__(self, exchange: LittleExchange, feed: Feed, seed: int, faults: Faults, *, batch: int = 1) -> None:
        self.exchange, self.feed, self.faults, self.batch = exchange, feed, faults, batch
        self.chance = Random(seed)
        self.now = START
        self.held: list[tuple[int, Frame]] = []  # (frames that overtake it, the frame)
        self.waiting: list[Frame] = []
        self.events: list[FeedEvent] = []
        self.checks = 0
        self.life: Life | None = None  # of the last book frames
        self._send(feed.connect(self.now))

    def step(self, seconds: float) -> None:
        """Time passes: frames of the exchange arrive, and commands leave."""
        self.now += round(seconds * SECOND)
        if self.chance.random() < self.faults.disconnect:
            self.reconnect()
        if self.chance.random() < self.faults.kill:
            self.exchange.kill(self.chance.choice([Channel.BOOK, Channel.TRADE]), self.chance.choice([25, 10]))
        self._travel()
        self.feed.heard(self.now)
        self._send(self.feed.due(self.now))
        self.events += self.feed.take_events()

    def reconnect(self) -> None:
        """The connection breaks, and with it all that was on the way."""
        self.events += self.feed.lost(self.now)
        assert not any(self.feed.books[ticker].known for ticker in self.feed.tickers)
        self.exchange.connect()
        self.held, self.waiting = [], []
        self._send(self.feed.connect(self.now))

    def settle(self, *, limit_s: int = 300) -> None:
        """No more faults: until every book is known, which must happen."""
        self.faults = Faults()
        for _ in range(2 * limit_s):
            self.step(0.5)
            if self.chance.random() < 0.5:
                self.exchange.change()
            if not self.exchange.out and not self.held and self.is_true():
                return
        wrong = [ticker for ticker in self.feed.tickers if not self.is_true([ticker])]
        raise AssertionError(f"still unknown or wrong after {limit_s} s: {wrong[:5]}")

    def is_true(self, tickers: Iterable[str] | None = None) -> bool:
        """Whether books are known and what the exchange has."""
        if (
            tickers is None
            and not self.feed.books.known(
                np.array([self.feed.names.find(t) for t in self.feed.tickers], np.int64)
            ).all()
        ):
            return False
        views = ((t, self.feed.books[t]) for t in (self.feed.tickers if tickers is None else tickers))
        return all(v.known and (dict(v.bids), dict(v.asks)) == self.exchange.books[t] for t, v in views)

    def _send(self, commands: list[bytes]) -> None:
        for raw in commands:
            if self.chance.random() < self.faults.mute:
                self.exchange.refusals.append(None)
            elif self.chance.random() < self.faults.refuse:
                self.exchange.refusals.append(CommandFailed(code=27, text="Too many requests"))
            self.exchange.command(raw)

    def _travel(self) -> None:
        """Frames on their way: some are lost, some come twice, some are overtaken."""
        frames, self.exchange.out = self.exchange.out, []
        for frame in frames:
            luck = self.chance.random()
            if luck < self.faults.drop:
                continue
            self.held = [(left - 1, one) for left, one in self.held]
            self.waiting += [one for left, one in self.held if left <= 0]
            self.held = [(left, one) for left, one in self.held if left > 0]
            if luck < self.faults.drop + self.faults.reorder:
                self.held.append((self.chance.randrange(1, 6), frame))
                continue
            self.waiting.append(frame)
            if luck < self.faults.drop + self.faults.reorder + self.faults.duplicate:
                self.held.append((self.chance.randrange(1, 6), frame))
                self.waiting.append(frame)
            if len(self.waiting) >= self.batch:
                self._deliver()
        if not frames and self.held:
            self.waiting += [one for _, one in self.held]
            self.held = []
        if not self.faults.drop or len(self.waiting) >= self.batch:
            self._deliver()

    def _deliver(self) -> None:
        frames, self.waiting = self.waiting, []
        if self.batch == 1:
            for frame in frames:
                self.events += self.feed.receive(frame.raw, self.now)
        else:
            times = np.full(len(frames), self.now)
            self.events += self.feed.receive_many([frame.raw for frame in frames], times)
        self.check({ticker for frame in frames if (ticker := self._seen(frame))})

    def check(self, tickers: Iterable[str]) -> None:
        """A book that is known is the true one as of the last number that came."""
        for ticker in tickers:
            if ticker in self.feed.books and (view := self.feed.books[ticker]).known:
                assert self.life is not None
                assert (dict(view.bids), dict(view.asks)) == self.life.books[ticker], ticker
                self.checks += 1

    def _seen(self, frame: Frame) -> str:
        """Note the number that came; the market whose book it changed."""
        life = frame.life
        if life is None or life.channel is not Channel.BOOK:
            return ""
        if self.life is None or life.birth > self.life.birth:
            self.life = life
        touched = ""
        for change in life.changes[life.seen : frame.seq]:
            if change is not None:
                touched = change[0]
                life.books[touched] = change[1]
        life.seen = max(life.seen, frame.seq)
        return touched


@cache
def _dollars(price: int) -> str:
    return f"{price // DOLLAR}.{price % DOLLAR:04d}"


@cache
def _count(size: int) -> str:
    return f"{'-' if size < 0 else ''}{abs(size) // 100}.{abs(size) % 100:02d}"
