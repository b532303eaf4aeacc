"""A simulator on a socket of loopback, in a thread of its own, with a quiet market and two accounts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kalshi_ray.core.units import CENT, CONTRACT
from kalshi_ray.exchange.sim_server import SimulatorServer
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.messages import BookSnapshot
from tests.exchange.keys import ed25519_key, pem_of, rsa_key
from tests.exchange.simulator.foreign import Foreigner

A, B = "KXA-26-T1", "KXA-26-T2"
RSA_ID, ED_ID = "11111111-aaaa-4000-8000-000000000001", "11111111-aaaa-4000-8000-000000000002"


class Served(NamedTuple):
    """Where it serves, and who may sign."""

    server: SimulatorServer
    rest: str
    stream: str
    first: Foreigner
    second: Foreigner


def make_surface(now_ns: int, **parts: object) -> Surface:
    """Two markets with flow, 46/48 in A, and an account for each kind of key."""
    exchange, auth = Exchange(seed=3), Auth()
    for key_id, key in ((RSA_ID, rsa_key()), (ED_ID, ed25519_key())):
        auth.add(key_id, key.public_key(), exchange.create_account(1_000))
    exchange.advance(now_ns)
    for ticker in (A, B):
        exchange.open_market(MarketTerms(ticker=ticker, event="KXA-26", series="KXA"))
    levels = [((46 * CENT, 12 * CONTRACT), (45 * CENT, 3 * CONTRACT)), ((48 * CENT, 5 * CONTRACT),)]
    exchange.apply_flow(BookSnapshot(ticker=A, bids=levels[0], asks=levels[1]), now_ns)
    exchange.apply_flow(BookSnapshot(ticker=B, bids=(), asks=()), now_ns)
    exchange.drain()
    return Surface(exchange, auth, **parts)  # type: ignore[arg-type]


def foreigners() -> tuple[Foreigner, Foreigner]:
    """Holders of the RSA and the Ed25519 key."""
    return Foreigner(RSA_ID, pem_of(rsa_key())), Foreigner(ED_ID, pem_of(ed25519_key()))


@contextmanager
def serving(surface: Surface) -> Iterator[Served]:
    """Serve while the block runs."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    server = SimulatorServer(surface)

    async def whole() -> None:
        await server.start()
        ready.set()
        await done.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(whole(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield Served(server, server.rest, server.stream, *foreigners())
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        assert not thread.is_alive()
        loop.close()
