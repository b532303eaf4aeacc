"""A server on loopback that answers as a test says: it can refuse, be silent, hang up, or answer nonsense."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import h11

from kalshi_ray.exchange.client import ExchangeClient
from kalshi_ray.exchange.settings import Address, ExchangeSettings
from kalshi_ray.exchange.sign import Signer

BASE = "/trade-api/v2"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0].removeprefix(BASE)


@dataclass(frozen=True)
class Says:
    """An answer. `hang_up`: close without one; `silent`: never answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    silent: bool = False


Handler = Callable[[Asked], Says]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """A server while the block runs; the address of its REST interface."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _talk(handler, reader, writer)
        except (ConnectionError, h11.RemoteProtocolError):
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{BASE}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def in_a_thread(handler: Handler) -> Iterator[str]:
    """The same for code that has an event loop of its own."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[str] = []

    async def whole() -> None:
        async with served(handler) as rest:
            found.append(rest)
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(whole(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


async def _talk(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = h11.Connection(h11.SERVER)
    while True:
        asked = await _read(connection, reader)
        if asked is None:
            return
        says = handler(asked)
        if says.silent:
            await asyncio.Event().wait()
        if says.hang_up:
            return
        headers = [("content-length", str(len(says.body))), *says.headers.items()]
        writer.write(connection.send(h11.Response(status_code=says.status, headers=headers)) or b"")
        writer.write(connection.send(h11.Data(data=says.body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        connection.start_next_cycle()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Asked | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode().lower(): value.decode() for name, value in head.headers}
            return Asked(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


def settings(**changes: object) -> ExchangeSettings:
    """Settings of a client that asks again soon. Where silence is part of a test, it says how long that is borne."""
    quick = {"timeout_s": 10.0, "backoff_s": 0.001, "most_backoff_s": 0.01, "lookup_s": 10.0, "attempts": 3}
    return ExchangeSettings(**{**quick, **changes})  # type: ignore[arg-type]


def talked(
    handler: Handler,
    work: Callable[[ExchangeClient], Awaitable[object]],
    *,
    signer: Signer | None = None,
    **changes: object,
) -> object:
    """What `work` returns with a client of that server."""

    async def whole() -> object:
        async with served(handler) as rest:
            address = Address(environment="local", rest=rest, stream="ws://127.0.0.1:1/trade-api/ws/v2")
            async with ExchangeClient(address, signer, settings(**changes), random.Random(1)) as client:
                return await work(client)

    return asyncio.run(asyncio.wait_for(whole(), 30))
