"""The keeper: from blocks to a session, whatever of disk and store is away for a while."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from kalshi_ray.collect.block import DESK, SIDS, Block
from kalshi_ray.collect.disk import LOCK, Disk
from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.inputs import GivenUp, Interrupted, pack, read_inputs
from kalshi_ray.collect.keeper import AWAY, Keeper
from kalshi_ray.collect.recovery import recover, recover_session
from kalshi_ray.collect.segment import raw_file, rows_file
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.recording import ALL, ROW, rows_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import DataError, NothingToDo, SessionBusy, SessionDamaged, StoreDown, StoreFull, UsageError
from tests.collect.crash_disk import CrashDisk, Medium
from tests.collect.spooling import MARKETS, block_at, lines_of
from tests.data.limits import files_of_at_most
from tests.data.stores import FaultyBackend, bury, store_of_kind

MANIFEST = Manifest(id="s", source="collect", clock="receive", environment="demo")


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return store_of_kind("memory", tmp_path)


def keeper_of(
    store: SessionStore, disk: CrashDisk | None = None, name: str = "s", manifest: Manifest = MANIFEST, **settings: Any
) -> Keeper:
    disk = disk or CrashDisk(Medium(), random.Random(0))
    settings = {"part_rows": 1000, "raw": False} | settings
    return Keeper(store, name, disk.folder, manifest, CollectSettings(**settings), disk=disk)


def started(store: SessionStore, disk: CrashDisk | None = None, **settings: Any) -> Keeper:
    keeper = keeper_of(store, disk, **settings)
    keeper.start()
    keeper.note(Facts(markets=MARKETS.markets[len(keeper.facts.markets) :]))
    return keeper


def killed(store: SessionStore, keeper: Keeper) -> CrashDisk:
    """The disk for the next life: the process of the keeper is dead."""
    bury(store, keeper.id)
    disk = keeper._disk
    assert isinstance(disk, CrashDisk)
    return CrashDisk(disk.medium, random.Random(0))


def rows_in(session: Session) -> Any:
    return rows_of(session.updates())


def test_segments_become_parts_and_the_spool_goes(store: SessionStore) -> None:
    keeper = started(store)
    for number in range(3):
        keeper.append([block_at([10 * number + 1, 10 * number + 2], 2 * number, 1)])
        keeper.spool.seal()
    assert keeper.state.segments == 3 and keeper.state.parts == 0
    assert keeper.drain() and keeper.state.segments == 2 and keeper.state.parts == 1
    manifest = keeper.finish()
    session = store.open("s")
    assert session.manifest == manifest == keeper.manifest
    assert rows_in(session)["seq"].tolist() == [*range(6)]  # the line ends with the session
    assert len(session.parts) == 4 and [lines_of(session.raw_part(raw)) for raw in session.raw_parts] == [
        ["0", "1"],
        ["2", "3"],
        ["4", "5"],
    ]
    assert verify_session(store, "s").is_whole
    assert session.tickers() == [market.ticker for market in MARKETS.markets]
    assert "spool" not in manifest.origin and manifest.unknowns == [] and manifest.environment == "demo"
    assert isinstance(keeper._disk, CrashDisk) and keeper._disk.names() == []
    keeper.close()
    assert keeper.finish() == manifest


def test_a_session_without_any_row_is_a_session(store: SessionStore) -> None:
    keeper = keeper_of(store)
    assert keeper.start() is False
    assert keeper.finish().updates == 0
    assert store.open("s").markets().num_rows == 0


def test_markets_without_rows_are_in_the_session(store: SessionStore) -> None:
    keeper = started(store)
    keeper.append([block_at([10], 0, 1, is_last=True)])
    keeper.spool.seal()
    keeper.note(Facts(markets=(MarketRow(ticker="late"),), grids=(((0, 10000, 100),),), signals=("wind",)))
    manifest = keeper.finish()
    assert store.open("s").tickers()[-1] == "late"
    assert manifest.grids == [[[0, 10000, 100]]] and manifest.signals == ["wind"]


def test_what_is_described_reaches_the_manifest_and_adds_to_origin_and_unknowns(store: SessionStore) -> None:
    first = msgspec.structs.replace(MANIFEST, origin={"made": "by"}, unknowns=["much"])
    keeper = keeper_of(store, manifest=first)
    keeper.start()
    keeper.describe(use_yes_price=True, origin={"shards": 2}, unknowns=["more", "much"])
    with pytest.raises(UsageError, match="not described by updates"):
        keeper.describe(updates=3)
    manifest = keeper.finish()
    assert manifest.use_yes_price is True and manifest.origin == {"made": "by", "shards": 2}
    assert manifest.unknowns == ["much", "more"]


# --- resuming ----------------------------------------------------------------------------------------------------


def test_a_resumed_session_has_a_gap_where_the_recorder_was_away(store: SessionStore) -> None:
    keeper = started(store, raw=True)
    keeper.append([block_at([], 0, DESK, until_ns=10), block_at([10, 20], 0, 1), block_at([15], 2, 2, until_ns=30)])
    assert keeper.last_ns == 30
    again = keeper_of(store, killed(store, keeper), raw=True)
    assert again.start() is True
    assert again.facts == MARKETS and again.next_line == 3 and again.last_ns == 31
    again.append([block_at([40], 3, 3)])
    with pytest.raises(DataError, match="line 1 is over"):
        again.append([block_at([50], 4, 1)])
    again.append([block_at([41], 4, 3, is_last=True)])
    manifest = again.finish()
    rows = rows_in(store.open("s"))
    gaps = rows[rows["kind"] == Kind.GAP]
    assert gaps["recv_ns"].tolist() == [20, 30, 31]  # each line up to where it was known, then all markets
    assert gaps["sid"].tolist() == [1 * SIDS + 1, 2 * SIDS + 1, 0]
    assert (gaps["market"] == ALL).all() and (gaps["size"] == GapCause.RECORDER).all()
    assert rows["recv_ns"].tolist() == [10, 15, 20, 20, 30, 31, 40, 41]
    assert manifest.unknowns == [AWAY]
    session = store.open("s")
    notes = [one for name in session.raw_parts for one in notes_in(session.raw_part(name))]
    assert [(one.recv_ns, one.line, type(one.content)) for one in notes] == [
        (20, 1, GivenUp),
        (30, 2, GivenUp),
        (31, DESK, Interrupted),
    ]


def notes_in(raw: bytes) -> list[Any]:
    lines = [line for line in lines_of(raw) if line.startswith("{")]  # our blocks have mere numbers as raw lines
    return list(read_inputs(pack([f"{line}\n".encode() for line in lines]), "here"))


def test_a_session_of_which_nothing_was_recorded_is_resumed_without_a_gap(store: SessionStore) -> None:
    keeper = started(store)
    again = keeper_of(store, killed(store, keeper))
    assert again.start() is True
    assert again.finish().updates == 0


def test_a_session_that_was_closed_is_resumed_too(store: SessionStore) -> None:
    keeper = started(store)
    keeper.append([block_at([10], 0, 1)])
    keeper.close()
    assert isinstance(keeper._disk, CrashDisk)
    again = keeper_of(store, CrashDisk(keeper._disk.medium, random.Random(0)))
    assert again.start() is True
    assert rows_in(store_of(again))["seq"].tolist() == [0, 0, 0]


def store_of(keeper: Keeper) -> Session:
    keeper.finish()
    return keeper._store.open(keeper.id)


def test_a_finished_session_and_one_of_another_source_are_refused(store: SessionStore) -> None:
    keeper_started = started(store)
    keeper_started.finish()
    with pytest.raises(UsageError, match=r"session 's' is finished.*[Cc]hoose another name"):
        keeper_of(store).start()
    writer = store.writer("other", manifest=Manifest(id="other", source="import"))
    writer.close()
    with pytest.raises(UsageError, match=r"session 'other' is of source 'import', expected 'collect'"):
        keeper_of(store, name="other").start()
    assert store.summary("other").state == "unfinished"
    with pytest.raises(UsageError, match="expected 'collect'"):
        keeper_of(store, name="fresh", manifest=Manifest(id="fresh", source="import")).start()
    assert "fresh" not in store.ids()


def test_a_second_keeper_of_a_session_is_refused(store: SessionStore) -> None:
    started(store)
    with pytest.raises(SessionBusy, match="is being written by process"):
        keeper_of(store).start()


def test_a_keeper_that_did_not_start_says_so(store: SessionStore) -> None:
    keeper = keeper_of(store)
    with pytest.raises(UsageError, match="has not started"):
        keeper.append([])
    keeper.close()


def test_the_spool_of_another_session_is_refused_and_nothing_is_begun(store: SessionStore) -> None:
    keeper = started(store)
    keeper.append([block_at([10], 0, 1)])
    with pytest.raises(UsageError, match=r"is the spool of session 's' in mock://lake.*, not of session 't'"):
        keeper_of(store, killed(store, keeper), name="t").start()
    assert store.ids() == ["s"]
    assert keeper_of(store, killed(store, keeper)).start() is True


def test_a_spool_and_a_store_from_different_times_are_refused(store: SessionStore) -> None:
    keeper = started(store)
    disk = keeper._disk
    assert isinstance(disk, CrashDisk)
    for number in range(3):
        keeper.append([block_at([10 * number], number, 1)])
        keeper.spool.seal()
        if number == 0:
            early = {name: bytes(inode.now) for name, inode in disk.medium.names.items()}
    assert keeper.drain() and keeper.drain()
    last = killed(store, keeper)
    copy = CrashDisk(Medium(), random.Random(0))
    for name, content in early.items():
        copy.write(name, 0, [content])
    with pytest.raises(SessionDamaged, match=r"holds the segments 0 to 1, and the store has 2 parts"):
        keeper_of(store, copy).start()
    with_other_facts = started(store, last)
    assert with_other_facts.state.parts == 2
    with_other_facts.close()


def test_facts_that_differ_from_those_of_the_store_are_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    settings = CollectSettings(raw=False)
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, settings)
    keeper.start()
    keeper.note(Facts(markets=(MarketRow(ticker="A"), MarketRow(ticker="B"))))
    keeper.append([block_at([10], 0, 1)])
    keeper.spool.seal()
    keeper.drain()
    created = keeper.manifest.created
    keeper.close()
    other = open_store(str(tmp_path / "other"))
    manifest = msgspec.structs.replace(MANIFEST, created=created)
    twin = Keeper(other, "s", tmp_path / "spool2", manifest, settings)
    twin.start()
    twin.note(Facts(markets=(MarketRow(ticker="A"), MarketRow(ticker="C"))))
    twin.append([block_at([10], 0, 1)])
    twin.spool.seal()
    twin.drain()
    twin.close()
    (tmp_path / "other").rename(tmp_path / "away")
    (tmp_path / "store").rename(tmp_path / "other")
    with pytest.raises(SessionDamaged, match="differ in markets from number 1 on"):
        Keeper(open_store(str(tmp_path / "other")), "s", tmp_path / "spool2", manifest, settings).start()
    assert (tmp_path / "spool2" / rows_file(1)).exists()


def test_a_spool_that_lies_elsewhere_is_asked_for_and_one_that_is_lost_is_told(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    settings = CollectSettings(raw=False)
    keeper = Keeper(store, "s", tmp_path / "here", MANIFEST, settings)
    keeper.start()
    keeper.note(MARKETS)
    status = block_at([10, 20, 30], 0, 1)
    status.rows["kind"][0] = Kind.STATUS
    keeper.append([status, block_at([], 0, 2, until_ns=25)])
    keeper.spool.seal()
    keeper.drain()
    keeper.close()
    with pytest.raises(UsageError, match=r"rows of session 's' wait in .*here, not in .*there"):
        Keeper(store, "s", tmp_path / "there", MANIFEST, settings).start()
    assert not (tmp_path / "there").exists()
    (tmp_path / "here").rename(tmp_path / "lost")
    again = Keeper(store, "s", tmp_path / "there", MANIFEST, settings)
    assert again.start() is True
    assert again.facts == MARKETS and again.next_line == 3 and again.last_ns == 26
    assert [rows["seq"].tolist() for rows in again.told_rows()] == [[0]]
    again.append([block_at([40], 9, 3, is_last=True)])
    manifest = again.finish()
    rows = rows_in(store.open("s"))
    assert rows["recv_ns"].tolist() == [10, 20, 26, 40] and rows["kind"][2] == Kind.GAP
    assert "was not there when the session was resumed: its rows are lost" in manifest.unknowns[0]
    assert not (tmp_path / "there").exists() and verify_session(store, "s").is_whole


# --- without a collector -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False])
def test_a_crashed_session_is_finished_from_its_spool(tmp_path: Path, raw: bool) -> None:
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=raw))
    keeper.start()
    keeper.note(MARKETS)
    blocks = [block_at([10, 20], 0, 1), block_at([], 0, DESK, until_ns=20)]
    keeper.append(blocks if raw else [without_raw(block) for block in blocks])
    dead = msgspec.json.encode(msgspec.structs.replace(Owner.this(), birth=1))
    with pytest.raises(SessionBusy):
        recover(store, "s", tmp_path / "spool")
    bury(store, "s")
    with pytest.raises(SessionBusy, match=r"the spool .* is being written"):
        recover(store, "s", tmp_path / "spool")
    (tmp_path / "spool" / LOCK).write_bytes(dead)
    manifest = recover(store, "s", tmp_path / "spool")
    rows = rows_in(store.open("s"))
    assert rows["recv_ns"].tolist() == [10, 20] and rows["kind"].tolist() == [Kind.DELTA, Kind.DELTA]
    assert manifest.unknowns == ["the recorder stopped before its end"] and "spool" not in manifest.origin
    assert len(store.open("s").raw_parts) == int(raw)
    assert not (tmp_path / "spool").exists()
    with pytest.raises(NothingToDo, match="holds no spool"):
        recover(store, "s", tmp_path / "spool")


def test_recovering_finds_the_spool_by_itself(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    def crashed(name: str) -> None:
        manifest = msgspec.structs.replace(MANIFEST, id=name)
        keeper = Keeper(store, name, tmp_path / name, manifest, CollectSettings(raw=False))
        keeper.start()
        keeper.note(MARKETS)
        for number in range(2):
            keeper.append([without_raw(block_at([10 + number], number, number + 1, is_last=True))])
            keeper.spool.seal()
        keeper.drain()
        keeper.close()

    crashed("a")
    assert recover_session(store, "a").updates == 2
    assert recover_session(store, "a").updates == 2  # it is finished
    crashed("b")
    (tmp_path / "b").rename(tmp_path / "away")
    with pytest.raises(UsageError, match=r"rows of session 'b' wait in .*b on .*, and that is not here. Recover it"):
        recover_session(store, "b")
    assert recover_session(store, "b", without_spool=True).updates == 1


def without_raw(block: Block) -> Block:
    return Block(line=block.line, rows=block.rows, until_ns=block.until_ns, is_last=block.is_last)


def test_the_spool_of_a_finished_session_goes_if_nothing_is_in_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([block_at([10], 0, 1, is_last=True)])
    keeper.spool.seal()
    keeper.spool.close()
    keeper.drain()
    kept = {one.name: one.read_bytes() for one in (tmp_path / "spool").iterdir()}
    keeper.finish()
    (tmp_path / "spool").mkdir()
    for name, content in kept.items():
        (tmp_path / "spool" / name).write_bytes(content)
    assert recover(store, "s", tmp_path / "spool") == keeper.manifest
    assert not (tmp_path / "spool").exists()


def test_the_spool_of_a_finished_session_stays_if_rows_are_in_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([block_at([10], 0, 1, is_last=True)])
    keeper.spool.seal()
    keeper.drain()
    keeper.append([block_at([20], 1, 2)])
    keeper.close()
    store.recover("s")
    with pytest.raises(DataError, match="holds 1 rows that are not in it"):
        recover(store, "s", tmp_path / "spool")
    assert (tmp_path / "spool" / rows_file(1)).exists() and not (tmp_path / "spool" / LOCK).exists()


# --- the clock ---------------------------------------------------------------------------------------------------


def synced(keeper: Keeper) -> bool:
    return keeper.spool.is_synced


def test_what_is_appended_is_synced_before_it_is_older_than_flush_s(store: SessionStore) -> None:
    keeper = started(store, flush_s=0.5)
    now = 1_000 * SECOND
    keeper.tick(now)
    for step in range(1, 100):
        keeper.append([block_at([step], step, 1)])
        at = now + step * SECOND // 10
        keeper.tick(at)
        assert at - keeper.state.synced_ns <= 0.4 * SECOND
    assert not synced(keeper)
    keeper.tick(at + SECOND // 2)
    assert synced(keeper)


def test_a_clock_that_goes_back_syncs_at_once(store: SessionStore) -> None:
    keeper = started(store)
    keeper.tick(1_000 * SECOND)
    keeper.append([block_at([1], 0, 1)])
    keeper.tick(10 * SECOND)
    assert synced(keeper) and keeper.state.synced_ns == 10 * SECOND


def test_a_segment_is_sealed_when_it_is_large_enough_or_old_enough(store: SessionStore) -> None:
    keeper = started(store, part_rows=1000, part_s=600)
    now = 1_000 * SECOND
    keeper.tick(now)
    keeper.append([block_at(range(999), 0, 1), block_at([1000], 999, 1, until_ns=1001)])
    keeper.tick(now + SECOND)
    assert keeper.state.segments == 1
    keeper.tick(now + 1000 * SECOND)
    assert keeper.state.segments == 1  # nothing came since
    keeper.append([block_at([2000], 0, 1)])
    keeper.tick(now + 1001 * SECOND)
    assert keeper.state.segments == 1  # what came may not be all of that time
    keeper.append([block_at([], 0, 1, until_ns=2001)])
    keeper.tick(now + 1002 * SECOND)
    assert keeper.state.segments == 2


def test_a_line_that_says_nothing_makes_no_empty_parts(store: SessionStore) -> None:
    keeper = started(store, part_rows=1000, part_s=1)
    keeper.append([block_at([], 0, 1, until_ns=5), block_at(range(10, 3000), 0, 2)])
    for second in range(1000, 1010):
        keeper.tick(second * SECOND)
    assert keeper.state.segments == 0
    keeper.append([Block(line=1, rows=np.empty(0, ROW), is_last=True), block_at([3000], 0, 2, until_ns=3001)])
    keeper.tick(1010 * SECOND)
    assert keeper.state.segments == 1


# --- the store ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [StoreDown("the store is away"), StoreFull("the store is full")])
def test_a_store_that_fails_at_any_call_gets_every_row_once(tmp_path: Path, when: Any, fault: DataError) -> None:
    at, reached = 0, True
    while reached:
        inner = store_of_kind("memory", tmp_path)
        keeper = started(inner, raw=True)
        backend = FaultyBackend(inner.backend, at, fault, when=when)
        keeper._writer._backend = backend
        fed = 0
        keeper.tick(7 * SECOND)
        for _ in range(3):
            keeper.append([block_at([fed, fed + 1], fed, 1)])
            fed += 2
            keeper.spool.seal()
            drained(keeper)
        keeper.append([block_at([fed], fed, 1, is_last=True)])
        try:
            keeper.finish()
        except (StoreDown, StoreFull):
            keeper.finish()
        session = inner.open("s")
        assert rows_in(session)["seq"].tolist() == list(range(7)), at
        assert [line for raw in session.raw_parts for line in lines_of(session.raw_part(raw))] == list("0123456")
        assert verify_session(inner, "s").is_whole
        at, reached = at + 1, backend.happened
    assert at > 20


def drained(keeper: Keeper) -> str:
    try:
        while keeper.drain():
            pass
    except (StoreDown, StoreFull) as problem:
        return str(problem)
    return ""


def test_a_damaged_segment_is_named_and_stays(store: SessionStore) -> None:
    keeper = started(store)
    keeper.append([block_at([10], 0, 1, is_last=True)])
    keeper.spool.seal()
    disk = keeper._disk
    assert isinstance(disk, CrashDisk)
    disk.medium.names[raw_file(0)].now[3] ^= 1
    with pytest.raises(SessionDamaged, match=r"segment-00000.rows is damaged at byte .*raw lines"):
        keeper.drain()
    assert keeper.state.segments == 1


def test_a_draft_that_names_no_spool_is_damage(store: SessionStore) -> None:
    odd = msgspec.structs.replace(MANIFEST, origin={"spool": {"until_ns": "late"}})
    store.writer("s", manifest=odd).close()
    with pytest.raises(SessionDamaged, match="the draft of session 's' names no spool"):
        keeper_of(store).start()


def test_only_a_line_that_had_stopped_before_the_others_ends_in_a_gap(store: SessionStore) -> None:
    keeper = started(store)
    keeper.append([block_at([10], 0, 1), block_at([20, 3 * SECOND], 1, 2)])
    keeper.finish()
    rows = rows_in(store.open("s"))
    gaps = rows[rows["kind"] == Kind.GAP]
    assert (gaps["recv_ns"].tolist(), gaps["sid"].tolist()) == ([10], [1 * SIDS + 1])


def test_a_limit_to_the_size_of_files_begins_the_next_segment(tmp_path: Path) -> None:
    store = store_of_kind("memory", tmp_path)
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    with files_of_at_most(20_000):
        for number in range(50):
            times = range(100 * number + 1, 100 * number + 101)
            keeper.append([without_raw(block_at(times, 100 * number, until_ns=100 * number + 101))])
        assert len(keeper.spool.waiting) >= 10
        with pytest.raises(StoreFull, match="the size to which files are limited"):
            keeper.append([without_raw(block_at(range(10_000, 11_000), 5_000))])
    keeper.finish()
    assert rows_in(store.open("s"))["seq"].tolist() == list(range(5_000))


def test_a_store_whose_disk_is_gone_for_a_while_is_waited_for_and_nothing_is_written_in_its_place(
    tmp_path: Path,
) -> None:
    store, place = open_store(str(tmp_path / "disk" / "store")), tmp_path / "disk"
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([without_raw(block_at([1, 2], 0, until_ns=3))])
    keeper.spool.seal()
    place.rename(tmp_path / "unplugged")
    place.mkdir()
    with pytest.raises(StoreDown, match=r"sessions/s is not there any more. Bring its disk back"):
        keeper.drain()
    assert not list(place.iterdir())
    place.rmdir()
    (tmp_path / "unplugged").rename(place)
    assert keeper.drain()
    keeper.finish()
    assert rows_in(store.open("s"))["seq"].tolist() == [0, 1]


# --- two threads, and folders of several names ------------------------------------------------------------------


class SlowDisk(Disk):
    """A disk whose next sync takes until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.syncs, self.goes_on = threading.Event(), threading.Event()
        self.is_slow = False

    def sync(self, name: str) -> None:
        if self.is_slow:
            self.is_slow = False
            self.syncs.set()
            assert self.goes_on.wait(30.0)
        super().sync(name)


@pytest.mark.parametrize("end", ["finish", "close", "discard"])
def test_the_end_waits_for_a_sync_that_another_thread_is_still_at(tmp_path: Path, end: str) -> None:
    store, disk = open_store(str(tmp_path / "store")), SlowDisk(tmp_path / "spool")
    keeper = Keeper(store, "s", disk.folder, MANIFEST, CollectSettings(raw=False, part_rows=1000), disk=disk)
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([without_raw(block_at(range(1, 2001), 0, 1, until_ns=2001))])
    disk.is_slow = True
    with ThreadPoolExecutor(2) as pool:
        ticking = pool.submit(keeper.tick, 1_000 * SECOND)  # it syncs, and seals
        assert disk.syncs.wait(30.0)
        ending = pool.submit(getattr(keeper, end))
        assert not wait([ending], 0.2).done
        disk.goes_on.set()
        ticking.result(30.0)
        ending.result(30.0)
    if end == "close":
        assert recover_session(store, "s").updates == 2000
    if end != "discard":
        assert rows_in(store.open("s"))["seq"].tolist() == list(range(2000))
    assert not (tmp_path / "spool").exists()


def test_closing_waits_for_a_part_that_another_thread_is_still_storing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([without_raw(block_at([1, 2], 0, 1, is_last=True))])
    keeper.spool.seal()
    stores, goes_on, write = threading.Event(), threading.Event(), keeper._writer.write_part

    def slowly(number: int, table: pa.Table) -> None:
        stores.set()
        assert goes_on.wait(30.0)
        write(number, table)

    keeper._writer.write_part = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        draining = pool.submit(keeper.drain)
        assert stores.wait(30.0)
        closing = pool.submit(keeper.close)
        assert not wait([closing], 0.2).done
        assert store.owner("s") is not None  # the lock is not given back while something is written
        goes_on.set()
        assert draining.result(30.0)
        closing.result(30.0)
    assert store.summary("s").rows == 2


def test_a_store_that_is_reached_by_another_name_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "disk with a space").mkdir()
    (tmp_path / "link").symlink_to("disk with a space")
    keeper = Keeper(
        open_store(str(tmp_path / "link" / "store")), "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False)
    )
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([without_raw(block_at([10], 0, 1, is_last=True))])
    keeper.close()
    store = open_store(str(tmp_path / "disk with a space" / ".." / "disk with a space" / "store"))
    assert recover_session(store, "s").updates == 1


def test_a_copy_that_was_cut_short_is_not_recorded_into(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    keeper = Keeper(store, "s", tmp_path / "spool", MANIFEST, CollectSettings(raw=False))
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([without_raw(block_at([10], 0, 1, is_last=True))])
    draft = msgspec.structs.replace(keeper.finish(), id="copy", files={}, updates=0)
    with store.writer("copy", manifest=draft) as writer:
        writer.add_markets(store.open("s").markets())
        writer.write_part(0, store.open("s").updates())
    with pytest.raises(UsageError, match=r"'copy' .* was not being recorded.* Recover it or delete it"):
        Keeper(store, "copy", tmp_path / "spool", MANIFEST, CollectSettings(raw=False)).start()
    assert not (tmp_path / "spool").exists() and store.summary("copy").state == "unfinished"
