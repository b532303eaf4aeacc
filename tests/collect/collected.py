"""A collector in memory: its desk, lines of books, keeper and store, beside the simulator, on a clock of the test.

collector = Collector(surface, store)
collector.open(1, A); collector.open(2, B)
collector.wait(5); manifest = collector.finish()
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.life import LifeLine, life_settings
from kalshi_ray.collect.line import Line
from kalshi_ray.collect.market_facts import market_facts
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.collect.register import Register
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.simulator.stream_session import Session as Connection
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.listing import Event, Market, Series
from tests.collect.course import SIGNER
from tests.exchange.pair import START, Pair

NAME = "recorded"
FEED = FeedSettings(channels=(Channel.BOOK, Channel.TRADE))
BLOCK_NS = 50 * MILLISECOND
# Parts of a second, so that a session has several.
SETTINGS = CollectSettings(part_s=1.0, flush_s=0.1)


class Collector:
    """One life of a collector of one session."""

    def __init__(self, surface: Surface, folder: Path, *, now_ns: int = START, raw: bool = True) -> None:
        self.surface, self.folder, self.raw = surface, folder, raw
        self.store: SessionStore = open_store(str(folder / "store"))
        manifest = Manifest(id=NAME, source="collect", environment="simulated", clock="receive", use_yes_price=True)
        self.keeper = Keeper(self.store, NAME, folder / "spool", manifest, SETTINGS)
        self.is_resumed = self.keeper.start()
        self.now_ns = max(now_ns, self.keeper.last_ns + 1)
        self.register = Register.of_session(self.keeper.facts, self.keeper.told_rows())
        self.next_line = self.keeper.next_line
        self.desk = LifeLine(DESK, life_settings(combos=False), self.register, raw=raw, block_ns=BLOCK_NS)
        self.lines: dict[int, Line] = {DESK: self.desk}
        self.blocks: list[Block] = []
        self.kept_rows = 0  # handed to the keeper in this life
        self._connections: dict[int, Connection] = {}
        self._dial(DESK)

    # -- lines and markets

    def open(self, *tickers: str) -> int:
        """A line of its own for some markets; its number."""
        number, self.next_line = self.next_line, self.next_line + 1
        line = self.lines[number] = BookLine(number, FEED, raw=self.raw, block_ns=BLOCK_NS)
        line.join(self.enter(*tickers), self.tick())
        self._dial(number)
        return number

    def enter(self, *tickers: str) -> dict[str, int]:
        """Numbers of markets, as REST describes them."""
        return {ticker: self.desk.enter(market_facts(*self.describe(ticker)), self.tick()) for ticker in tickers}

    def describe(self, ticker: str) -> tuple[Market, Event, Series]:
        """A market, its event and its series as REST lists them."""
        market = bodies.read_market(self._ask(requests.get_market(ticker)))
        event = bodies.read_event(self._ask(requests.get_event(market.event)))
        return market, event, bodies.read_series(self._ask(requests.get_series(event.series)))

    def refresh(self, *tickers: str) -> int:
        """Compare markets with REST; how many rows that made."""
        asked = self.tick()
        return sum(self.desk.listed(self.describe(ticker)[0], self.tick(), asked) for ticker in tickers)

    def line(self, number: int) -> BookLine:
        """A line of books."""
        line = self.lines[number]
        assert isinstance(line, BookLine)
        return line

    # -- time

    def tick(self) -> int:
        """The next moment."""
        self.now_ns += 1
        return self.now_ns

    def wait(self, seconds: float) -> None:
        """Time passes in steps of 50 ms."""
        for _ in range(round(seconds * 20)):
            self.now_ns += BLOCK_NS
            self.surface.turn(self.now_ns)
            self.exchange_frames()
            self.keep()

    def exchange_frames(self) -> None:
        """Frames to the lines and commands to the exchange, until none has more."""
        busy = True
        while busy:
            busy = False
            for number, line in self.lines.items():
                connection = self._connections.get(number)
                if connection is None:
                    line.due(self.tick())
                    self.blocks += line.take_events()
                    continue
                frames = connection.send_due(self.now_ns)
                if connection.is_cut or not line.is_online:
                    self.cut(number)
                    self._dial(number)
                    busy = True
                    continue
                for raw in frames:
                    self.blocks += line.receive(raw, self.tick())
                line.heard(self.tick())
                commands = line.due(self.tick())
                self.blocks += line.take_events()
                for command in commands:
                    self.surface.receive(connection, command, self.now_ns)
                busy = busy or bool(frames or commands)

    def cut(self, number: int) -> None:
        """The connection of a line breaks."""
        connection = self._connections.pop(number)
        self.blocks += self.lines[number].lost(self.tick())
        self.surface.stream.close(connection)

    def dial(self, number: int) -> None:
        """Dial it anew."""
        self._dial(number)

    # -- what is kept

    def keep(self) -> None:
        """Blocks to the keeper, and what is sealed to the store."""
        if facts := self.register.take_facts():
            self.keeper.note(facts)
        blocks, self.blocks = self.blocks, []
        self.keeper.append(blocks)
        self.kept_rows += sum(len(block.rows) for block in blocks)
        self.keeper.tick(self.now_ns)
        while self.keeper.drain():
            pass

    def put(self, blocks: Iterable[Block]) -> None:
        """Blocks that somebody wrote for a line."""
        self.blocks += blocks

    def kill(self) -> None:
        """End as a process does that is killed: no line says anything."""
        for connection in self._connections.values():
            self.surface.stream.close(connection)
        self.keeper.close()

    def finish(self) -> Session:
        """End as it should; the session."""
        for line in self.lines.values():
            self.blocks += line.finish(self.tick())
        self.keep()
        self.keeper.finish()
        return self.store.open(NAME)

    def _dial(self, number: int) -> None:
        pair = Pair(self.surface, SIGNER, self.now_ns)
        pair.dial()
        assert pair.session is not None
        self._connections[number] = pair.session
        for command in self.lines[number].connect(self.tick()):
            self.surface.receive(pair.session, command, self.now_ns)
        self.exchange_frames()

    def _ask(self, request: requests.Request) -> bytes:
        reply = Pair(self.surface, SIGNER, self.now_ns).ask(request)
        assert reply is not None and reply.status == 200, reply
        return reply.body


def seconds(count: float) -> int:
    """A time that much after the start."""
    return START + round(count * SECOND)


def times_of(rows: np.ndarray, kind: int, market: int) -> list[int]:
    """When rows of a kind came."""
    return [int(t) for t in rows["recv_ns"][(rows["kind"] == kind) & (rows["market"] == market)]]
