"""A client of ours and the simulator in memory: the same bytes as over sockets, without any, on a clock of the test.

pair = Pair(surface, signer)
answer = pair.ask(requests.get_balance())    # Reply, or None where it was lost
pair.feed(feed); pair.wait(0.1)              # frames to the feed, its commands to the exchange
"""

from __future__ import annotations

from collections.abc import Iterable

from kalshi_ray.core.units import SECOND
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_events import FeedEvent
from kalshi_ray.exchange.rest import Reply
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.exchange.simulator.rest_api import ROOT
from kalshi_ray.exchange.simulator.rest_api_call import Delivery
from kalshi_ray.exchange.simulator.stream import PATH
from kalshi_ray.exchange.simulator.stream_session import Session
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Refused

START = 1_791_000_000 * SECOND


class Pair:
    """One client beside one simulator. `frames` and `events` keep what came."""

    def __init__(self, surface: Surface, signer: Signer, now_ns: int = START) -> None:
        self.surface, self.signer, self.now_ns = surface, signer, now_ns
        self.session: Session | None = None
        self.client: Feed | None = None
        self.frames: list[bytes] = []
        self.events: list[FeedEvent] = []
        self.dials = 0

    # -- REST

    def ask(self, request: Request) -> Reply | None:
        """Send a request as our client does; None where no answer comes."""
        target = ROOT + request.target
        headers = self.signer.headers(request.method, ROOT + request.path, self.now_ns)
        lower = {name.lower(): word for name, word in headers.items()}
        response = self.surface.handle(request.method, target, lower, request.body, self.now_ns)
        if response.delivery is not Delivery.SENT:
            return None
        return Reply(status=response.status, body=response.body)

    # -- the stream

    def dial(self) -> None:
        """Open the stream with a fresh signature."""
        headers = self.signer.headers("GET", PATH, self.now_ns)
        opened = self.surface.open({name.lower(): word for name, word in headers.items()}, self.now_ns)
        assert not isinstance(opened, Refused), opened
        self.session = opened
        self.dials += 1

    def attach(self, feed: Feed) -> None:
        """Let a feed talk over a fresh connection."""
        self.client = feed
        self.dial()
        self.send(feed.connect(self.now_ns))
        self.exchange_frames()

    def send(self, commands: Iterable[bytes]) -> None:
        """Commands of the client."""
        for command in commands:
            assert self.session is not None
            self.surface.receive(self.session, command, self.now_ns)

    def receive(self) -> list[bytes]:
        """The frames that wait for the client."""
        assert self.session is not None
        frames = self.session.send_due(self.now_ns)
        self.frames += frames
        return frames

    def exchange_frames(self) -> None:
        """Frames to the feed and commands to the exchange, until neither has more; a broken line is dialled anew."""
        assert self.client is not None and self.session is not None
        while True:
            frames = self.receive()
            if self.session.is_cut:
                self.events += self.client.lost(self.now_ns)
                self.surface.stream.close(self.session)
                self.dial()
                self.send(self.client.connect(self.now_ns))
                continue
            for frame in frames:
                self.events += self.client.receive(frame, self.now_ns)
            self.client.heard(self.now_ns)
            commands = self.client.due(self.now_ns)
            self.events += self.client.take_events()
            self.send(commands)
            if not commands and not self.session.has_frames:
                return

    def wait(self, seconds: float) -> None:
        """Time passes on both sides."""
        self.now_ns += round(seconds * SECOND)
        self.surface.turn(self.now_ns)
        if self.client is not None:
            self.exchange_frames()
