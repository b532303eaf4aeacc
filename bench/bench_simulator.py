"""The simulator's surface over loopback: orders through HTTP, and the frames of a replay through a WebSocket."""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from websockets.sync.client import connect

from bench.figures import Figure, Measured
from kalshi_ray.core.units import CENT, CONTRACT, Side
from kalshi_ray.exchange.sign import Secret, signer_of
from kalshi_ray.exchange.sim_server import SimulatorServer
from kalshi_ray.exchange.simulator.auth import Auth, make_key
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.replay import Pace, Replay
from kalshi_ray.exchange.simulator.rest_api import ROOT
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.exchange.simulator.stream import PATH
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire import bodies
from kalshi_ray.wire.trading import OrderRequest

TICKER, KEY_ID = "KXBENCH-26-T1", "bench"
ORDERS = ROOT + "/portfolio/events/orders"
TRIPS, FRAMES = 500, 100_000  # a trip is an order placed and cancelled; the write budget of an account bounds them


def over_http() -> Measured:
    """Signed requests one after another on one connection: an order that rests, and its cancel."""
    with _serving() as (server, pem), _process(_trade, server.port, pem) as seconds:
        return Measured(TRIPS / seconds, note=f"{2 * TRIPS} requests, Ed25519, one connection, client beside it")


def replay_feed() -> Measured:
    """A replay as fast as it goes, to a reader that takes every byte and looks at none."""
    deltas = [
        FlowDelta(ticker=TICKER, side=Side.BID, price=cents * CENT, change=change * CONTRACT)
        for cents in range(1, 41)
        for change in (1, -1)
    ]
    changes = [(at, deltas[at % len(deltas)]) for at in range(FRAMES)]
    with _serving() as (server, pem):

        def replay() -> None:
            server.surface.replay = Replay(changes, Pace(0, time.time_ns(), 1))
            server.pump()

        with _process(_listen, server.port, pem, server=server, once_ready=replay) as seconds:
            return Measured(FRAMES / seconds, note=f"{FRAMES:,} frames, one market, reader beside it")


@contextmanager
def _serving() -> Iterator[tuple[SimulatorServer, bytes]]:
    """A simulator in a thread, and the key of its account."""
    exchange, auth = Exchange(seed=1), Auth()
    key, pem = make_key("ed25519")
    auth.add(KEY_ID, key, exchange.create_account(1_000_000))
    exchange.open_market(MarketTerms(ticker=TICKER, event="KXBENCH-26", series="KXBENCH"))
    exchange.advance(time.time_ns())
    server, ready, stop = SimulatorServer(Surface(exchange, auth)), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield server, pem
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def _process(work, port, pem, *, server=None, once_ready=None):  # type: ignore[no-untyped-def] # a context of floats
    """Run a client in a process of its own; the seconds that it took."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(port, pem, there), daemon=True)
    process.start()
    try:
        here.recv()  # it is ready
        if once_ready:
            server._loop.call_soon_threadsafe(once_ready)
        yield here.recv()
    finally:
        process.join(30)


def _trade(port: int, pem: bytes, pipe: Connection) -> None:
    signer, line = signer_of(KEY_ID, Secret(pem, "a benchmark")), http.client.HTTPConnection("127.0.0.1", port)
    pipe.send("ready")
    began = time.perf_counter()
    for number in range(TRIPS):
        order = OrderRequest(ticker=TICKER, client_order_id=str(number), side=Side.BID, size=CONTRACT, price=40 * CENT)
        line.request("POST", ORDERS, bodies.write_order_request(order), signer.headers("POST", ORDERS, time.time_ns()))
        answer = line.getresponse()
        placed = json.loads(answer.read())
        assert answer.status == 201, placed
        path = f"{ORDERS}/{placed['order_id']}"
        line.request("DELETE", f"{path}?market_ticker={TICKER}", headers=signer.headers("DELETE", path, time.time_ns()))
        answer = line.getresponse()
        answer.read()
        assert answer.status == 200
    pipe.send(time.perf_counter() - began)


def _listen(port: int, pem: bytes, pipe: Connection) -> None:
    headers = signer_of(KEY_ID, Secret(pem, "a benchmark")).headers("GET", PATH, time.time_ns())
    with connect(f"ws://127.0.0.1:{port}{PATH}", additional_headers=headers, compression=None) as line:
        params = {"channels": ["orderbook_delta"], "market_tickers": [TICKER], "use_yes_price": True}
        line.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
        line.recv(), line.recv()
        pipe.send("ready")
        began, last = 0.0, f'"seq":{FRAMES + 1},'.encode()
        tail = b""
        while last not in tail:
            chunk = line.socket.recv(1 << 20)
            began = began or time.perf_counter()
            tail = tail[-400:] + chunk
        pipe.send(time.perf_counter() - began)


FIGURES = [
    Figure(name="simulator over HTTP, orders placed and cancelled", unit="1/s", measure=over_http, floor=500),
    Figure(name="simulator, replay through a WebSocket", unit="frames/s", measure=replay_feed, floor=50e3),
]
