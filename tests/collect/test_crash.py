"""Crashes at any moment, of the process and of the machine, and stores and disks that fail: every row stands once."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.recording import ALL, ROW, rows_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import DataError, StoreDown, StoreFull
from tests.collect.crash_disk import CrashDisk, Killed, Medium
from tests.collect.spooling import lines_of, raw_of, rows_at
from tests.data.stores import CHANGES, bury, store_of_kind

PLANS = 300
ROOT = Path(__file__).resolve().parents[2]


class ShakyBackend:
    """A backend that is down or full at times, before or after it did its work, and dies with its process."""

    def __init__(self, inner: object, chance: random.Random) -> None:
        self.inner, self.chance = inner, chance
        self.trouble = 0.0
        self.fuel: int | None = None

    def __getattr__(self, name: str) -> object:
        member = getattr(self.inner, name)
        if name not in CHANGES:
            return member

        def call(*args: object, **named: object) -> object:
            comes_before = self.chance.random() < 0.5
            if self.fuel is not None:
                self.fuel -= 1
                if self.fuel <= 0 and comes_before:
                    raise Killed
            fails = self.chance.random() < self.trouble
            if fails and comes_before:
                raise self.chance.choice([StoreDown("away"), StoreFull("full")])
            result = member(*args, **named)
            if self.fuel is not None and self.fuel <= 0:
                raise Killed
            if fails:
                raise StoreDown("away, and nobody knows what was done")
            return result

        return call


@dataclass
class Life:
    """What one collector did: its blocks in order, and how many of them must be there in the end."""

    blocks: list[Block] = field(default_factory=list)
    accepted: int = 0  # these survive the process
    synced: int = 0  # these survive the machine


@dataclass
class World:
    """The exchange's side of a plan: lines with their times, and rows with numbers of their own."""

    chance: random.Random
    row: int = 0
    markets: int = 0
    lines: dict[int, int] = field(default_factory=dict)  # time by open line
    next_line: int = 1
    now: int = 0

    def block(self) -> Block:
        """The next block of some line."""
        chance = self.chance
        is_known = bool(self.lines) and (chance.random() > 0.1 or len(self.lines) > 5)
        if not is_known:
            self.lines[self.next_line] = self.now
            self.next_line += 1
        # A line opens with a block, or the watermark goes past it.
        line = chance.choice(list(self.lines)) if is_known else self.next_line - 1
        at, times = self.lines[line], []
        for _ in range(chance.choice([0, 1, 1, 2, 5])):
            at += chance.choice([0, 0, 1, 3])
            times.append(at)
        self.lines[line] = at + chance.choice([0, 1])
        self.now = max(self.now, self.lines[line])
        numbers = range(self.row, self.row + len(times))
        rows = rows_at(times, self.row, line)
        rows["market"] = np.array([chance.randrange(-1, self.markets) for _ in numbers], np.int32)
        self.row += len(times)
        is_last = chance.random() < 0.05 and line != DESK
        block = Block(
            line=line,
            rows=rows,
            raw=raw_of([str(number) for number in numbers]) if times else b"",
            raw_lines=len(times),
            frames=len(times),
            until_ns=self.lines[line],
            is_last=is_last,
        )
        if is_last:
            del self.lines[line]
        return block


class Plan:
    """Lives of collectors of one session, until one of them finishes it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.medium = Medium()
        self.store = store_of_kind("memory", folder)
        self.lives: list[Life] = []
        self.markets = 0  # noted for certain
        self.row = 0
        self.deaths = 0

    def play(self) -> None:
        for number in range(20):
            try:
                if self.live(is_final=number >= 5):
                    return
            except Killed:
                self.deaths += 1
                bury(self.store, "s")
                if self.chance.random() < 0.5:
                    self.medium.cut_power(self.chance)
                    for life in self.lives:
                        life.accepted = life.synced
            if "s" in self.store.ids() and self.store.summary("s").state == "finished":
                return
        raise AssertionError("never finished")

    def live(self, *, is_final: bool) -> bool:
        chance = self.chance
        disk = CrashDisk(self.medium, chance)
        backend = ShakyBackend(self.store.backend, chance)
        if not is_final:
            if chance.random() < 0.7:
                disk.fuel = int(2 ** chance.uniform(0, 7))
            else:
                backend.fuel = int(2 ** chance.uniform(0, 5))
        manifest = Manifest(id="s", source="collect")
        keeper = Keeper(
            SessionStore(backend),
            "s",
            disk.folder,
            manifest,
            CollectSettings(raw=False),
            disk=disk,  # type: ignore[arg-type]
        )
        self.insist(disk, backend, keeper.start)
        assert len(keeper.facts.markets) >= self.markets
        for life in self.lives:  # an opened spool is synced
            life.synced = life.accepted
        life = Life()
        self.lives.append(life)
        now = max(keeper.last_ns, 100)
        world = World(chance, self.row, len(keeper.facts.markets), {DESK: now}, keeper.next_line, now)
        keeper.append([Block(line=DESK, rows=np.empty(0, ROW), until_ns=now)])
        try:
            for _ in range(chance.randint(0, 60)):
                self.step(keeper, disk, backend, world, life)
            self.insist(disk, backend, keeper.finish)
        finally:
            self.row = world.row
        return True

    def step(self, keeper: Keeper, disk: CrashDisk, backend: ShakyBackend, world: World, life: Life) -> None:
        chance = self.chance
        disk.is_full, backend.trouble = chance.random() < 0.05, chance.choice([0.0, 0.0, 0.3])
        disk.cannot_sync = chance.random() < 0.02
        deed = chance.random()
        if deed < 0.5:
            blocks = [world.block() for _ in range(chance.choice([1, 1, 3]))]
            life.blocks += blocks
            self.insist(disk, backend, lambda: keeper.append(blocks))
            life.accepted = len(life.blocks)
        elif deed < 0.6:
            facts = Facts(markets=(MarketRow(ticker=f"M{world.markets}"),), signals=(f"signal {world.markets}",))
            self.insist(disk, backend, lambda: keeper.note(facts))
            world.markets += 1
        elif deed < 0.75:
            self.insist(disk, backend, keeper.spool.sync)
            life.synced, self.markets = len(life.blocks), world.markets
        elif deed < 0.85:
            self.insist(disk, backend, keeper.spool.seal)
            life.synced, self.markets = len(life.blocks), world.markets
        else:
            self.insist(disk, backend, keeper.drain)

    def insist(self, disk: CrashDisk, backend: ShakyBackend, work: Callable[[], object]) -> None:
        """As a collector does: again, until disk and store have room."""
        while True:
            try:
                work()
                return
            except DataError as problem:
                assert disk.is_full or disk.cannot_sync or backend.trouble, problem
                disk.is_full, disk.cannot_sync, backend.trouble = False, False, 0.0


def check(plan: Plan) -> None:
    session = plan.store.open("s")
    assert verify_session(plan.store, "s").is_whole
    rows = rows_of(session.updates())
    gaps = rows["kind"] == Kind.GAP
    own = rows[~gaps]
    raw = [int(line) for name in session.raw_parts for line in lines_of(session.raw_part(name))]
    times = {int(row["seq"]): int(row["recv_ns"]) for row in own}
    assert len(times) == len(own), "a row stands twice"
    found, order, ends = set(times), [], []
    for life in plan.lives:
        kept = [block for block in life.blocks if len(block.rows) and int(block.rows["seq"][0]) in found]
        blocks = [block for block in life.blocks if len(block.rows)]
        assert kept == blocks[: len(kept)], "not a prefix of what was appended"
        assert len(kept) >= len([block for block in life.blocks[: life.accepted] if len(block.rows)]), "a row is lost"
        order += [(int(row["recv_ns"]), block.line, int(row["seq"])) for block in kept for row in block.rows]
        if kept:
            times_of_life = [int(block.rows["recv_ns"][at]) for block in kept for at in (0, -1)]
            ends.append((min(times_of_life), max(times_of_life)))
    assert own["seq"].tolist() == [number for _, _, number in sorted(order)]
    assert sorted(raw) == sorted(found) and raw == sorted(raw)
    assert (np.diff(rows["recv_ns"]) >= 0).all()
    everybody = rows["recv_ns"][gaps & (rows["sid"] == 0) & (rows["market"] == ALL)].tolist()
    for (_, before), (after, _) in itertools.pairwise(ends):
        assert any(before < at <= after for at in everybody), "no gap between two lives"
    assert session.markets().num_rows >= plan.markets
    assert len(session.manifest.signals) == session.markets().num_rows
    assert plan.medium.names == {} or plan.deaths


@pytest.mark.parametrize("start", range(0, PLANS, 50))
def test_whatever_fails_and_dies_every_row_stands_once_and_in_order(start: int, tmp_path: Path) -> None:
    deaths = 0
    for seed in range(start, start + 50):
        plan = Plan(seed, tmp_path)
        plan.play()
        try:
            check(plan)
        except AssertionError as error:
            raise AssertionError(f"plan {seed}: {error}") from error
        deaths += plan.deaths
    assert deaths > 100


# --- a real process ----------------------------------------------------------------------------------------------

# One process imports everything and forks a collector for each line that it reads.
NURSERY = """
import os, sys
from pathlib import Path
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import open_store
from tests.collect.spooling import MARKETS, block_at

def say(*words):  # at once: a line that is killed half said would run into the next one
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def collect(folder, number):
    settings = CollectSettings(raw=True, part_rows=1000)
    manifest = Manifest(id="s", source="collect")
    keeper = Keeper(open_store(str(folder / "store")), "s", folder / "spool", manifest, settings)
    keeper.start()
    if not keeper.facts:
        keeper.note(MARKETS)
    line, at = keeper.next_line, keeper.last_ns + 1
    while True:
        keeper.append([block_at(range(at, at + 50), number, line)])
        at, number = at + 50, number + 50
        say("appended", number)
        if number % 500 == 0:
            keeper.spool.sync()
        if keeper.spool.ready_rows >= 1000:
            keeper.spool.seal()
            keeper.drain()

for line in sys.stdin:
    child = os.fork()
    if not child:
        say("born", os.getpid())
        collect(Path(sys.argv[1]), int(line))
    say("died", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def lives(folder: Path, chance: random.Random, count: int) -> list[tuple[int, int]]:
    """Let one collector after the other append rows and kill it; the numbers that each said it had appended."""
    first, promised = 0, []
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as nursery:
        assert nursery.stdin is not None and nursery.stdout is not None
        for _ in range(count):
            nursery.stdin.write(f"{first}\n")
            nursery.stdin.flush()
            child, last, patience = 0, first, chance.randint(1, 120)
            while (said := nursery.stdout.readline().split())[0] != "died":
                word, number = said
                child, last = (int(number), last) if word == "born" else (child, int(number))
                patience -= 1
                if patience == 0:
                    os.kill(child, signal.SIGKILL)
            assert int(said[1]) == -signal.SIGKILL
            promised.append((first, last))
            first = last + 100  # a block more may have been written than was said
    assert nursery.returncode == 0
    return promised


def test_a_real_process_that_is_killed_again_and_again_loses_nothing_it_appended(tmp_path: Path) -> None:
    promised = lives(tmp_path, random.Random(5), 25)
    settings, manifest = CollectSettings(raw=True), Manifest(id="s", source="collect")
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", manifest, settings)
    assert keeper.start() is True
    keeper.finish()
    check_numbers(store.open("s"), promised)
    assert verify_session(store, "s").is_whole
    assert not (tmp_path / "spool").exists()


def check_numbers(session: Session, promised: list[tuple[int, int]]) -> None:
    rows = rows_of(session.updates())
    found = rows["seq"][rows["kind"] != Kind.GAP].tolist()
    assert found == sorted(set(found))
    for first, last in promised:
        assert set(range(first, last)) <= set(found)
    raw = [line for name in session.raw_parts for line in lines_of(session.raw_part(name))]
    assert [int(line) for line in raw if not line.startswith("{")] == found
    notes = [json.loads(line)["note"] for line in raw if line.startswith("{")]
    assert notes.count("interrupted") >= sum(last > first for first, last in promised) - 1
