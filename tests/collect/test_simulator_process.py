"""The process of the exchange is killed and begun again: recording goes on, gaps are marked, books are right."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.ports import free_port
from kalshi_ray.collect.rebuild import compare_with_raw
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.data.store import open_store
from kalshi_ray.data.validate import validate_session
from kalshi_ray.data.verify import verify_session
from tests.collect.judging import Book, check_no_row_twice, check_views, course_of, rows_in
from tests.collect.process import PROGRAM, Collecting, Line, store_in
from tests.collect.venue import PATIENCE_S

FLOW = {"markets": 4, "waves": 1, "hours": 0.2, "regime": "calibrated"}
SPEED = 10
Change = tuple[int, int, int]  # side, price, lots


class SimulatorProcess:
    """`kalshi-ray simulate` of one session on one port, as often as it is started."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.ready_file = folder, folder / "ready.json"
        synth = [f"--synth.{name}={value}" for name, value in {**FLOW, "seed": seed}.items()]
        self._run("sessions", "synth", "flow", *synth).wait(PATIENCE_S)
        session = open_store(store_in(folder)).open("flow")
        self.tickers: list[str] = session.tickers()
        rows = rows_in(session)
        self.truths = {ticker: Truth(rows[rows["market"] == at]) for at, ticker in enumerate(self.tickers)}
        self._port = free_port()
        self._process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Serve, from the beginning of the session, with accounts of another life."""
        where = (f"--port={self._port}", f"--ready-file={self.ready_file}", "--accounts=1")
        self._process = self._run("simulate", "--session=flow", f"--speed={SPEED}", *where)
        return self._process

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM, *words, f"--places.store={store_in(self.folder)}"]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Truth:
    """All changes of one market in the session that is played, and the book before the first and after each."""

    def __init__(self, rows: np.ndarray) -> None:
        self.changes: list[Change] = []
        self.books: list[Book] = [{}]
        told: Book = {}
        for row in rows:
            key, lots = (int(row["side"]), int(row["price"])), int(row["size"])
            if row["kind"] == Kind.DELTA:
                self._change(key, lots)
            elif row["kind"] == Kind.SNAPSHOT_LEVEL:
                told[key] = lots
            elif row["kind"] == Kind.SNAPSHOT_END:
                before = self.books[-1]
                for key in sorted(told | before):  # as the simulator does
                    self._change(key, told.get(key, 0) - before.get(key, 0))
                told = {}

    def _change(self, key: tuple[int, int], lots: int) -> None:
        if lots:
            book = self.books[-1] | {key: self.books[-1].get(key, 0) + lots}
            self.books.append({at: left for at, left in book.items() if left})
            self.changes.append((*key, lots))

    def has(self, book: Book, changes: list[Change]) -> bool:
        """Whether a stretch of recorded changes, from that book on, is part of it."""
        count = len(changes)
        firsts = range(len(self.changes) - count + 1)
        return any(self.books[at] == book and self.changes[at : at + count] == changes for at in firsts)


def is_whole(line: Line) -> bool:
    """Whether every connection is there, and every open market has its book."""
    markets = line["markets"]
    return bool(line["connections_up"] == line["connections"] and markets["known"] and not markets["unknown"])


def killed(folder: Path, seed: int, kills: int) -> None:
    chance, exchange = random.Random(seed), SimulatorProcess(folder, seed)
    try:
        ends = time.monotonic() + PATIENCE_S
        while not exchange.ready_file.exists():
            assert time.monotonic() < ends
            time.sleep(0.05)
        some = {"exchange__tickers_per_connection": chance.choice((1, 1_000)), "collect__part_s": 2.0}
        with Collecting(exchange, store_in(folder), collect__part_rows=1_000, **some) as collecting:
            collecting.until(is_whole)
            for _ in range(kills):
                time.sleep(chance.uniform(0.0, 3.0))
                exchange.kill()
                collecting.until(lambda line: line["connections_up"] == 0)
                time.sleep(chance.choice((0.0, 2.0)))
                exchange.start()
                collecting.until(is_whole)
            time.sleep(1.0)
            ending = collecting.stop()
    finally:
        exchange.kill()
    assert ending.code == 0, ending.said
    check(folder, exchange, kills, collecting.lines[-1])


def check(folder: Path, exchange: SimulatorProcess, kills: int, final: Line) -> None:
    """What is recorded is what was played, again and again from its beginning, with a gap wherever that broke off."""
    store = open_store(store_in(folder))
    session = store.open("s")
    report, difference = validate_session(session), compare_with_raw(session)
    assert report.is_valid and difference is None, (report.findings, difference)
    assert verify_session(store, "s").is_whole
    rows = rows_in(session)
    assert final["final"] and final["rows"] == len(rows)
    check_no_row_twice(rows)
    courses = {ticker: course_of(rows, market) for market, ticker in enumerate(session.tickers())}
    check_views(session, courses)
    for ticker, course in courses.items():
        assert len(course.stretches) > kills
        for stretch in course.stretches:
            changes = [change[1:] for change in stretch.deltas]
            assert exchange.truths[ticker].has(stretch.book, changes), f"{ticker} from {stretch.begins_ns}"
    gaps = rows["size"][rows["kind"] == Kind.GAP]
    assert (gaps == GapCause.RECONNECT).sum() >= kills
    assert sum(len(stretch.deltas) for course in courses.values() for stretch in course.stretches) > 50


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_recording_goes_on_however_often_the_process_of_the_exchange_is_killed(tmp_path: Path, seed: int) -> None:
    killed(tmp_path, seed, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_exchange_that_dies_while_the_first_connections_are_made_is_waited_for(tmp_path: Path) -> None:
    exchange = SimulatorProcess(tmp_path, 1)
    try:
        while not exchange.ready_file.exists():
            time.sleep(0.05)
        with Collecting(exchange, store_in(tmp_path), exchange__attempts=2) as collecting:
            collecting.until(lambda line: line["connections_up"] >= 1)
            exchange.kill()
            time.sleep(3.0)
            exchange.start()
            collecting.until(is_whole)
            assert json.loads(exchange.ready_file.read_bytes())["session"] == "flow"
            assert collecting.stop().code == 0
    finally:
        exchange.kill()
