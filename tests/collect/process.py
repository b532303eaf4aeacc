"""`kalshi-ray collect` as a process of its own, read line by line, and ended in any way."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from tests.collect.venue import PATIENCE_S, Venue

PROGRAM = "from kalshi_ray.cli import main; main()"
QUICK = {
    "collect.report_s": 0.1,
    "collect.block_s": 0.02,
    "collect.queue_positions_s": 0,
    "exchange.backoff_s": 0.02,
    "exchange.most_backoff_s": 0.2,
    "exchange.attempts": 12,
}

Line = dict[str, Any]


class Place(Protocol):
    """Where a collector finds its exchange, and may put its files."""

    @property
    def folder(self) -> Path:
        """For all files."""

    @property
    def ready_file(self) -> Path:
        """Where the simulator says where it is."""

    @property
    def tickers(self) -> Sequence[str]:
        """All its markets."""


class Ending(NamedTuple):
    """How a process ended."""

    code: int
    said: str  # on standard error


class Collecting:
    """A collector of all markets of a venue into a store. Leaving the block kills it."""

    def __init__(self, venue: Place, store: str, session: str = "s", **settings: object) -> None:
        """`settings`: names with two underscores for the dot, and options of the command."""
        given = {"universe.tickers": ",".join(venue.tickers), "places.store": store, **QUICK}
        given |= {"exchange.ready_file": venue.ready_file, "collect.spool": venue.folder / "spool"}
        given |= {name.replace("__", "."): value for name, value in settings.items()}
        options = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        command = [sys.executable, "-c", PROGRAM, "collect", session, "--json", *options]
        self.lines: list[Line] = []
        self._read: queue.Queue[Line | None] = queue.Queue()
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=venue.folder, text=True
        )
        self._said: list[str] = []
        self._threads = [threading.Thread(target=self._hear), threading.Thread(target=self._overhear)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()

    def until(self, fits: Callable[[Line], bool]) -> Line:
        """The first line from now on that fits."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            line = self._read.get(timeout=max(0.1, ends - time.monotonic()))
            assert line is not None, f"it ended: {self.wait()}"
            self.lines.append(line)
            if fits(line):
                return line

    def until_known(self, count: int) -> Line:
        """Until so many books are known."""
        return self.until(lambda line: line["markets"]["known"] == count)

    def until_quiet(self, venue: Venue) -> Line:
        """Until the flow is over and everything that it caused has come."""

        def is_quiet(line: Line) -> bool:
            is_settled = line["markets"]["known"] == len(venue.tickers) and not line["pending_bytes"]
            return venue.has_come(line["frames"], is_settled=is_settled)

        return self.until(is_quiet)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it at once, at whatever it is doing."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> Ending:
        """How it ended; all its lines are read then."""
        code = self._process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        while not self._read.empty():
            if line := self._read.get():
                self.lines.append(line)
        return Ending(code, "".join(self._said))

    def stop(self, number: signal.Signals = signal.SIGINT) -> Ending:
        """Ask it to end, and wait until it has."""
        self.send(number)
        return self.wait()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._read.put(json.loads(line))
        self._read.put(None)

    def _overhear(self) -> None:
        assert self._process.stderr is not None
        self._said += self._process.stderr


def store_in(folder: Path) -> str:
    """The address of a store in a folder."""
    return str(folder / "store")
