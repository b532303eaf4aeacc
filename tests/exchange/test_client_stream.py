"""Streams over real sockets: signed at every dial, dialled again after any loss, closed cleanly, never piling up."""

from __future__ import annotations

import asyncio
import base64
import http
import json
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from kalshi_ray.errors import AuthenticationFailed, ExchangeDown, RequestRejected
from kalshi_ray.exchange.client import Stream
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.settings import Address
from kalshi_ray.exchange.sign import SIGNATURE_HEADER, TIME_HEADER, Signer
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.commands import Channel
from kalshi_ray.wire.messages import BookSnapshot, Subscribed
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.trading import Refused
from tests.exchange.keys import ed25519_key, signer
from tests.exchange.loopback import settings

PATH = "/trade-api/ws/v2"
Handler = Callable[[ServerConnection], Awaitable[None]]


class Echo:
    """A feed that says hello, hands out what comes, and notes what happens to it."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name.encode()
        self.happened: list[str] = []
        self.waiting: list[bytes] = []
        self.is_online = False

    def connect(self, now_ns: int) -> Sequence[bytes]:
        self.happened.append("up")
        self.is_online = True
        return [b"hello " + self.name]

    def receive(self, raw: bytes, now_ns: int) -> Sequence[bytes]:
        return [] if raw == b"nothing" else [raw]

    def due(self, now_ns: int) -> Sequence[bytes]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def heard(self, now_ns: int) -> None:
        self.happened.append("heard")

    def take_events(self) -> Sequence[bytes]:
        return []

    def lost(self, now_ns: int) -> Sequence[bytes]:
        self.happened.append("lost")
        return []


def streamed(
    handler: Handler,
    work: Callable[[Stream[bytes]], Awaitable[object]],
    *,
    feeds: Sequence[Echo] = (),
    gate: Callable[[ServerConnection, Request], Response | None] | None = None,
    key: Signer | None = None,
    **changes: object,
) -> object:
    async def whole() -> object:
        async with serve(handler, "127.0.0.1", 0, process_request=gate, max_size=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            address = Address(environment="local", rest="http://127.0.0.1:1", stream=f"ws://127.0.0.1:{port}{PATH}")
            chosen = settings(**changes)
            async with Stream(address, key or signer(), chosen, feeds or [Echo()], random.Random(0)) as stream:
                return await work(stream)

    return asyncio.run(asyncio.wait_for(whole(), 30))


async def take(stream: Stream[bytes], count: int) -> list[bytes]:
    found: list[bytes] = []
    async for event in stream:
        found.append(event)
        if len(found) == count:
            break
    return found


async def greet(socket: ServerConnection) -> None:
    async for word in socket:
        assert isinstance(word, str)  # a text frame, as the exchange wants it
        await socket.send(f"you said {word}")


def test_what_a_feed_says_is_sent_and_what_comes_is_handed_out() -> None:
    assert streamed(greet, lambda stream: take(stream, 1)) == [b"you said hello echo"]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_lost_connection_is_dialled_again_with_a_fresh_signature(how: str) -> None:
    feed, seen = Echo(), []

    def gate(_: ServerConnection, request: Request) -> None:
        seen.append((request.headers[TIME_HEADER], request.headers[SIGNATURE_HEADER]))

    async def once(socket: ServerConnection) -> None:
        await socket.send(await socket.recv())
        if how == "abort":
            socket.transport.abort()  # as the exchange does: no close frame
        else:
            await socket.close(1012)

    assert streamed(once, lambda stream: take(stream, 4), feeds=[feed], gate=gate) == [b"hello echo"] * 4
    assert feed.happened[:7] == ["up", "lost"] * 3 + ["up"]
    for time_ms, signature in seen:
        ed25519_key().public_key().verify(base64.b64decode(signature), f"{time_ms}GET{PATH}".encode())
    assert len({signature for _, signature in seen}) == len(seen) >= 4


def test_a_busy_exchange_is_dialled_again_until_it_lets_us_in() -> None:
    answers = iter([503, 429, 502])

    def gate(socket: ServerConnection, request: Request) -> Response | None:
        status = next(answers, None)
        return None if status is None else socket.respond(http.HTTPStatus(status), "later")

    assert streamed(greet, lambda stream: take(stream, 1), gate=gate, attempts=4) == [b"you said hello echo"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "authentication_error", AuthenticationFailed),
        (401, "header_timestamp_expired", AuthenticationFailed),
        (403, "", AuthenticationFailed),
        (404, "not_found", RequestRejected),
    ],
)
def test_a_refused_handshake_is_one_typed_error_and_not_tried_again(
    status: int, code: str, kind: type[Exception]
) -> None:
    dialled = []

    def gate(socket: ServerConnection, request: Request) -> Response:
        dialled.append(1)
        body = write_error(Refused(status=status, code=code, message="no")).decode()
        return socket.respond(http.HTTPStatus(status), body)

    async def work(stream: Stream[bytes]) -> None:
        with pytest.raises(kind, match=code or "403|no") as refused:
            await take(stream, 1)
        assert status != 404 or "exchange.stream_url" in str(refused.value)

    streamed(greet, work, gate=gate)
    assert len(dialled) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 502])
def test_whatever_refuses_a_stream_that_was_let_in_before_may_pass(status: int) -> None:
    answers = iter([None, status, status, None])

    def gate(socket: ServerConnection, request: Request) -> Response | None:
        refusal = next(answers)
        return None if refusal is None else socket.respond(http.HTTPStatus(refusal), "no")

    async def once(socket: ServerConnection) -> None:
        await socket.send(await socket.recv())
        await socket.close(1012)

    assert streamed(once, lambda stream: take(stream, 2), gate=gate, attempts=1) == [b"hello echo"] * 2


def test_a_stream_that_insists_waits_for_an_exchange_that_is_not_there_yet() -> None:
    async def whole() -> list[bytes]:
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        address = Address(environment="local", rest="http://127.0.0.1:1", stream=f"ws://127.0.0.1:{port}{PATH}")
        async with Stream(address, signer(), settings(attempts=1), [Echo()], random.Random(0), insists=True) as stream:
            while stream.dials < 5:
                await asyncio.sleep(0.001)
            held.close()
            async with serve(greet, "127.0.0.1", port):
                return await take(stream, 1)

    assert asyncio.run(asyncio.wait_for(whole(), 30)) == [b"you said hello echo"]


def test_what_a_slow_reader_has_not_taken_of_a_lost_connection_comes_before_what_the_next_one_brings() -> None:
    feed, dials = Counting(), iter(range(100))

    async def pour(socket: ServerConnection) -> None:
        first = 1_000 * next(dials)
        await socket.recv()
        with suppress(ConnectionClosed):
            for number in range(first, first + 20):
                await socket.send(str(number).encode())
            await socket.wait_closed()

    async def work(stream: Stream[bytes]) -> list[bytes]:
        while feed.judged < 2:  # one is in the queue, one waits for room
            await asyncio.sleep(0.01)
        feed.is_online = False
        while "lost" not in feed.happened:  # the connection is given up
            await asyncio.sleep(0.01)
        return await take(stream, 12)

    found = [int(frame) for frame in streamed(pour, work, feeds=[feed], buffered_frames=1)]  # type: ignore[attr-defined]
    assert found == sorted(found) and found[:2] == [0, 1] and found[-1] >= 1_000


def test_where_nobody_listens_the_error_comes_after_all_attempts() -> None:
    async def whole() -> None:
        address = Address(environment="local", rest="http://127.0.0.1:1", stream=f"ws://127.0.0.1:9{PATH}")
        stream = Stream(address, signer(), settings(), [Echo()], random.Random(0))
        async with stream:
            with pytest.raises(ExchangeDown, match=r"no stream from 127\.0\.0\.1:9: .*kalshi-ray doctor"):
                await take(stream, 1)
        assert stream.dials == 3

    asyncio.run(whole())


def test_a_stream_without_a_key_is_refused_before_it_dials() -> None:
    address = Address(environment="local", rest="http://127.0.0.1:1", stream=f"ws://127.0.0.1:9{PATH}")
    with pytest.raises(AuthenticationFailed, match="needs a key"):
        Stream(address, None, settings(), [Echo()], random.Random(0))


def test_what_is_due_is_sent_at_once_when_woken() -> None:
    feed = Echo()

    async def work(stream: Stream[bytes]) -> list[bytes]:
        first = await take(stream, 1)
        feed.waiting = [b"more"]
        stream.wake()
        return first + await take(stream, 1)

    assert streamed(greet, work, feeds=[feed]) == [b"you said hello echo", b"you said more"]


def test_several_connections_come_out_as_one_stream() -> None:
    feeds = [Echo(f"number {at}") for at in range(5)]
    found = streamed(greet, lambda stream: take(stream, 5), feeds=feeds)
    assert sorted(found) == [f"you said hello number {at}".encode() for at in range(5)]  # type: ignore[call-overload]


def test_a_slow_reader_makes_the_exchange_wait_and_loses_nothing() -> None:
    sent = 0

    async def flood(socket: ServerConnection) -> None:
        nonlocal sent
        with suppress(ConnectionClosed):
            for at in range(20_000):
                await socket.send(f"{at} " + "x" * 2_000)
                sent = at + 1

    async def work(stream: Stream[bytes]) -> list[int]:
        first, before = await take(stream, 1), -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 20_000  # it waits for us
        return [int(frame.split(b" ")[0]) for frame in first + await take(stream, 9_999)]

    found = streamed(flood, work, buffered_frames=16)
    assert found == list(range(10_000))


def test_a_frame_beyond_the_limit_ends_the_connection_not_the_stream() -> None:
    turn = iter(range(100))

    async def huge(socket: ServerConnection) -> None:
        await socket.recv()
        with suppress(ConnectionClosed):
            if next(turn) == 0:
                await socket.send(b"x" * (64 * 2**20 + 1))
            await socket.send("fine")
            await socket.wait_closed()

    feed = Echo()
    assert streamed(huge, lambda stream: take(stream, 1), feeds=[feed]) == [b"fine"]
    assert feed.happened == ["up", "lost", "up"]


def test_a_fault_of_the_feed_ends_the_stream_with_that_fault() -> None:
    class Broken(Echo):
        def due(self, now_ns: int) -> Sequence[bytes]:
            raise RuntimeError("a fault of ours")

    async def work(stream: Stream[bytes]) -> None:
        with pytest.raises(RuntimeError, match="a fault of ours"):
            await take(stream, 5)

    async def quiet(socket: ServerConnection) -> None:
        await socket.wait_closed()

    streamed(quiet, work, feeds=[Broken()])


def test_leaving_a_stream_closes_its_connections() -> None:
    closed: list[int | None] = []

    async def watch(socket: ServerConnection) -> None:
        await socket.send("a")
        await socket.wait_closed()
        closed.append(socket.close_code)

    streamed(watch, lambda stream: take(stream, 2), feeds=[Echo(), Echo()])
    assert closed == [1000, 1000]


def test_a_feed_hears_answers_to_pings_and_may_give_a_silent_connection_up() -> None:
    feed = Echo()

    async def work(stream: Stream[bytes]) -> list[bytes]:
        first = await take(stream, 1)
        while "heard" not in feed.happened:
            await asyncio.sleep(0.01)
        feed.is_online = False
        return first + await take(stream, 1)

    # A process that is held up for longer than two pings loses its connection; another follows.
    assert streamed(greet, work, feeds=[feed], ping_s=0.3) == [b"you said hello echo"] * 2
    changes = [word for word in feed.happened if word != "heard"]
    assert changes == ["up", "lost"] * (len(changes) // 2) + ["up"] and len(changes) > 1


def test_a_feed_has_its_books_through_lost_connections() -> None:
    codec = Codec(use_yes_price=True)
    dials = iter(range(100))

    async def exchange(socket: ServerConnection) -> None:
        turn = next(dials)
        asked = json.loads(await socket.recv())
        assert asked["cmd"] == "subscribe" and asked["params"]["market_tickers"] == ["KXA"]
        await socket.send(codec.encode(Subscribed(sid=1, id=asked["id"], channel="orderbook_delta")), text=True)
        levels = ((4_000 + 100 * turn, 500),)
        book = BookSnapshot(sid=1, seq=1, ticker="KXA", bids=levels, asks=((9_000, 100),))
        await socket.send(codec.encode(book), text=True)
        if turn < 2:
            socket.transport.abort()
        await socket.wait_closed()

    feed = Feed(FeedSettings(channels=(Channel.BOOK,)), ["KXA"])

    async def work(stream: Stream[Any]) -> tuple[list[str], object]:
        names: list[str] = []
        async for event in stream:
            names.append(type(event).__name__)
            if names.count("BookSnapshot") == 3:
                break
        return names, feed.books["KXA"].bids

    names, bids = streamed(exchange, work, feeds=[feed])  # type: ignore[misc, list-item]
    assert names == ["Subscribed", "BookSnapshot", "Stale"] * 2 + ["Subscribed", "BookSnapshot"]
    assert bids == ((4_200, 500),)


def test_what_came_before_the_end_is_read_after_it_in_order() -> None:
    async def pour(socket: ServerConnection) -> None:
        await socket.recv()
        for number in range(200):
            await socket.send(str(number).encode())
        with suppress(ConnectionClosed):
            await socket.recv()

    feed = Counting()

    async def work(stream: Stream[bytes]) -> list[bytes]:
        found: list[bytes] = []
        reading = stream.__aiter__()
        found.append(await reading.__anext__())
        while feed.judged < 50:
            await asyncio.sleep(0.01)
            found.append(await reading.__anext__())
        await stream.close()
        found += [event async for event in reading]
        return found

    found = streamed(pour, work, feeds=[feed], buffered_frames=2)
    assert found == [str(number).encode() for number in range(feed.judged)]


class Counting(Echo):
    """An echo that counts what it has taken in: all of that must come out."""

    judged = 0

    def receive(self, raw: bytes, now_ns: int) -> Sequence[bytes]:
        self.judged += 1
        return [raw]
