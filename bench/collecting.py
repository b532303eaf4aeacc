"""A collector as its user runs it, recording a simulated exchange of a process of its own; what it took is measured."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import psutil

from kalshi_ray.core.units import CENT, CONTRACT, SECOND, Side
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.exchange.sim_server import SimulatorServer
from kalshi_ray.exchange.simulator.auth import Auth, make_key
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.replay import Pace, Replay, Timed
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.exchange.simulator.surface import Surface

KEY_ID = "bench"
PROGRAM = (sys.executable, "-c", "from kalshi_ray.cli import main; main()")
QUIET_S = 2.0  # without another frame, and there is none on the way
AFTER_S = 20.0  # that frames may be on the way once the flow is over
MOST_S = 120.0  # that anything but the flow may take


@dataclass
class Collected:
    """What a recording of a flow took: of all its processes together, from the first frame of the flow to the last."""

    frames: int
    lost: int  # changes of the flow that are not rows of the session
    seconds: float
    cpu_s: float = 0.0
    memory: list[int] = field(default_factory=list)  # resident bytes, a reading a second
    settled: list[int] = field(default_factory=list)  # the same of the collector alone, once a part was stored
    status: dict[str, Any] = field(default_factory=dict)  # the last line
    bytes_per_update: float = 0.0  # of the parts, without raw frames

    @property
    def growth(self) -> float:
        """Memory at the end over memory after the first part: all buffers have been used once by then."""
        third = max(1, len(self.settled) // 3)
        return statistics.median(self.settled[-third:]) / statistics.median(self.settled[:third])


def collect_flow(*, markets: int, rate: int, seconds: float, shards: int = 0) -> Collected:
    """Record an even flow of `rate` changes a second over so many markets."""
    with tempfile.TemporaryDirectory(prefix="kalshi-ray-bench-") as name:
        folder = Path(name)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        arguments = (folder, markets, rate, round(rate * seconds), there)
        exchange = context.Process(target=_serve, args=arguments, daemon=True)
        exchange.start()

        def flow() -> Iterator[None]:
            here.send("go")
            while not here.poll(1.0):
                yield
            _expect(here, "over")

        try:
            _expect(here, "ready")
            found = _record(folder, markets, flow(), shards)
        finally:
            exchange.terminate()
            exchange.join(10)
        found.lost = round(rate * seconds) - found.status["rows_by"].get("delta", 0)
        return found


def collect_session(generated: SynthSettings, *, speed: int, seconds: float) -> Collected:
    """Record a generated session that `kalshi-ray simulate` replays, so many times as fast as it was."""
    with tempfile.TemporaryDirectory(prefix="kalshi-ray-bench-") as name:
        folder = Path(name)
        synthesize(open_store(str(folder / "store")), "flow", generated)
        replay = ("--session", "flow", "--speed", str(speed), "--ready-file", "simulator.json")
        exchange = subprocess.Popen([*PROGRAM, "simulate", *replay], cwd=folder, stdout=subprocess.DEVNULL)

        def flow() -> Iterator[None]:
            for _ in range(round(seconds)):
                time.sleep(1.0)
                yield

        try:
            until = time.monotonic() + MOST_S
            while not (folder / "simulator.json").exists():
                if exchange.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the simulator did not start")
                time.sleep(0.05)
            return _record(folder, generated.markets, flow())
        finally:
            exchange.terminate()
            exchange.wait(MOST_S)


def _record(folder: Path, markets: int, flow: Iterator[None], shards: int = 0) -> Collected:
    """Record all markets while `flow` goes on, which is looked at once a second."""
    given = {
        "limit": markets,
        "shards": shards,
        "collect.report_s": 0.5,
        "collect.queue_positions_s": 0,
        "ray.cpus": max(2, shards),
    }
    options = ["--discover", "--json", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]
    command = [*PROGRAM, "collect", "bench", *options]
    with open(folder / "errors", "wb") as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout is not None
            lines = _lines(process.stdout)
            for line in lines:
                if line["markets"]["known"] == markets:
                    break
            else:
                raise RuntimeError((folder / "errors").read_text())
            found = _measured(process, flow, _Last(lines))
        finally:
            process.kill()
            process.wait()
    manifest = open_store(str(folder / "store")).open("bench").manifest
    size = sum(entry.bytes for part, entry in manifest.files.items() if part.startswith("updates/"))
    found.bytes_per_update = size / manifest.updates
    return found


def _measured(process: subprocess.Popen[bytes], flow: Iterator[None], reader: _Last) -> Collected:
    before, began = _cpu(process.pid), time.perf_counter()
    memory = [_memory(process.pid) for _ in flow]
    seconds = reader.settle(AFTER_S) - began
    cpu = _cpu(process.pid) - before
    process.send_signal(signal.SIGINT)
    process.wait(MOST_S)
    status = reader.last()
    return Collected(
        frames=status["frames"],
        lost=0,
        seconds=seconds,
        cpu_s=cpu,
        memory=memory,
        settled=reader.settled,
        status=status,
    )


class _Last(threading.Thread):
    """Reads a collector's lines, so that it is never made to wait, and keeps the last."""

    def __init__(self, lines: Iterator[dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self._lines, self._last = lines, dict[str, Any]()
        self.settled: list[int] = []
        self.start()

    def run(self) -> None:
        for line in self._lines:
            self._last = line
            if line["parts"] and not line["final"]:
                self.settled.append(line["memory_bytes"])

    def settle(self, most_s: float) -> float:
        """Wait until no more frames come, or for so long; when the last one came, within a report."""
        began = since = time.perf_counter()
        frames = -1
        while time.perf_counter() - since < QUIET_S and time.perf_counter() - began < most_s:
            time.sleep(0.1)
            if self._last.get("frames", 0) > frames:
                frames, since = self._last.get("frames", 0), time.perf_counter()
        return since

    def last(self) -> dict[str, Any]:
        """The last line, once there are no more."""
        self.join(MOST_S)
        assert self._last.get("final"), self._last
        return self._last


def _lines(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in stream:
        yield json.loads(line)


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu(pid: int) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in _tree(pid))


def _memory(pid: int) -> int:
    return sum(one.memory_info().rss for one in _tree(pid))


def _expect(pipe: Connection, word: str) -> None:
    assert pipe.poll(MOST_S) and pipe.recv() == word


def _serve(folder: Path, markets: int, rate: int, changes: int, pipe: Connection) -> None:
    """The exchange: its flow begins at "go", and "over" is said once all of it was sent."""
    exchange, auth = Exchange(seed=1), Auth()
    key, pem = make_key("ed25519")
    auth.add(KEY_ID, key, exchange.create_account(1_000_000))
    tickers = [f"KXBENCH-{number // 10:03d}-T{number % 10}" for number in range(markets)]
    for ticker in tickers:
        exchange.open_market(MarketTerms(ticker=ticker, event=ticker.rpartition("-")[0], series="KXBENCH"))
    exchange.advance(time.time_ns())
    server = SimulatorServer(Surface(exchange, auth))
    (folder / "key.pem").write_bytes(pem)
    (folder / "key.pem").chmod(0o600)

    async def serve() -> None:
        await server.start()
        account = {"key_id": KEY_ID, "private_key_file": "key.pem"}
        ready = {"rest": server.rest, "ws": server.stream, "accounts": [account], "markets": tickers}
        (folder / "simulator.json").write_text(json.dumps(ready))
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        replay = server.surface.replay = Replay(_flow(tickers, rate, changes), Pace(0, time.time_ns(), 1))
        server.pump()
        while not replay.is_over:
            await asyncio.sleep(0.05)
        pipe.send("over")
        await asyncio.sleep(MOST_S)

    asyncio.run(serve())


def _flow(tickers: list[str], rate: int, changes: int) -> Iterator[Timed]:
    """Changes at even distances: bids of all markets come and go."""
    made = [
        FlowDelta(ticker=ticker, side=Side.BID, price=cents * CENT, change=sign * CONTRACT)
        for sign in (1, -1)
        for cents in range(1, 41)
        for ticker in tickers
    ]
    return ((at * SECOND // rate, made[at % len(made)]) for at in range(changes))
