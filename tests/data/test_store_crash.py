"""Whatever call of a store is the last one before a crash, or fails for a moment: rows stand once, nothing is half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest

from kalshi_ray.data.compact import compact_session
from kalshi_ray.data.copying import copy_session
from kalshi_ray.data.pieces import MANIFEST, part_name
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import DataError, SessionUnfinished, StoreDown, UnknownName, UsageError
from tests.data.samples import draft, market_table, random_updates, truth_table
from tests.data.stores import FaultyBackend, Killed, bury, emptied_store, store_of_kind

When = Literal["before", "after"]
WHEN: tuple[When, ...] = ("before", "after")
PARTS = [
    random_updates(20, markets=1, seed=1),
    random_updates(0, markets=1, seed=2),
    random_updates(30, markets=2, seed=3),
]
ROWS = pa.concat_tables(PARTS)
MANY = 400  # more calls than anything here makes


@pytest.fixture(params=["folder", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    emptied_store(request.param, Path("/nonexistent"))  # skips what cannot be had
    return str(request.param)


def faulty(store: SessionStore, at: int, fault: BaseException, when: When) -> tuple[SessionStore, FaultyBackend]:
    backend = FaultyBackend(store.backend, at, fault, when=when)
    return SessionStore(backend), backend


def record(store: SessionStore, once: Callable[[Callable[[], object]], object] = lambda call: call()) -> None:
    """Write the session as a collector does: begin or go on, raw and markets before their part, then finish."""

    def begun() -> object:
        with suppress(UnknownName):
            return store.resume("s")
        return store.writer("s", manifest=draft())

    with suppress(UnknownName):
        if store.summary("s").state == "finished":
            return
    writer = once(begun)
    once(lambda: writer.describe(signals=["wind"]))
    for number, table in enumerate(PARTS):
        once(lambda n=number: writer.put_raw(n, b"%d" % n))
        joined = market_table("A", "B").slice(writer.market_rows, (1, 1, 2)[number] - writer.market_rows)
        if joined.num_rows:
            once(lambda rows=joined: writer.add_markets(rows))
        once(lambda n=number, rows=table: writer.write_part(n, rows))
    once(lambda: writer.add_truth(truth_table(3)))
    once(writer.commit)


def check_recorded(store: SessionStore) -> None:
    """Every row once, every checksum right, and nothing else."""
    session = store.open("s")
    assert session.updates().equals(ROWS)
    assert session.tickers() == ["A", "B"] and session.manifest.signals == ["wind"]
    assert [session.raw_part(name) for name in session.raw_parts] == [b"0", b"1", b"2"]
    assert session.truth().num_rows == 3
    check = verify_session(store, "s")
    assert check.is_whole and not check.notes


def every_crash(when: When, act: Callable[[int, Killed, When], FaultyBackend]) -> Iterator[int]:
    """Kill at the first call, the second …, until none is left; gives the number of each."""
    for at in range(MANY):
        backend = act(at, Killed(), when)
        if not backend.happened:
            assert at >= 8
            return
        yield at
    raise AssertionError("it never ends")


@pytest.mark.parametrize("when", WHEN)
def test_a_recording_that_is_killed_at_any_call_is_resumed_and_rows_stand_once(
    kind: str, when: When, tmp_path: Path
) -> None:
    store = emptied_store(kind, tmp_path)

    def act(at: int, fault: Killed, when: When) -> FaultyBackend:
        nonlocal store
        store = emptied_store(kind, tmp_path / str(at))
        broken, backend = faulty(store, at, fault, when)
        with suppress(Killed):
            record(broken)
        return backend

    for at in every_crash(when, act):
        with suppress(DataError, UsageError):
            bury(store, "s")
        with suppress(UnknownName, SessionUnfinished):
            assert store.open("s").updates().equals(ROWS), at
        record(store)
        for lock in ("session.draft.json", "writer.lock"):  # killed after the manifest: the session is whole
            if lock in store.backend.sizes("s"):
                store.recover("s")
        check_recorded(store)


KILLED = """
import signal, sys
from tests.data import test_store_crash as crash
store = crash.open_store(sys.argv[1])
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))  # nobody handles it: the process is gone, as by kill -9
while True:
    crash.record(store)
    store.delete("s", expected_rows=crash.ROWS.num_rows)
"""


@pytest.mark.parametrize("seed", range(12))
def test_a_recording_that_is_killed_at_any_moment_is_resumed_and_rows_stand_once(tmp_path: Path, seed: int) -> None:
    root = Path(__file__).resolve().parents[2]
    delay = str(0.002 + 0.1 * random.Random(seed).random())
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), delay], cwd=root, check=False)
    assert killed.returncode == -signal.SIGALRM
    store = open_store(str(tmp_path))
    with suppress(UnknownName):
        if "deleted in part" in store.summary("s").problem:
            store.delete("s", expected_rows=store.count("s").rows)
    record(store)
    store.recover("s")
    check_recorded(store)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not any("partial" in name or "lock" in name or "draft" in name for name in files)


@pytest.mark.parametrize("when", WHEN)
def test_a_recording_goes_on_when_any_call_fails_for_a_moment(kind: str, when: When, tmp_path: Path) -> None:
    for at in range(MANY):
        store = emptied_store(kind, tmp_path / str(at))
        broken, backend = faulty(store, at, StoreDown("away"), when)

        def patiently(call: Callable[[], object]) -> object:
            try:
                return call()
            except StoreDown:
                return call()

        patiently(lambda broken=broken: record(broken, patiently))
        check_recorded(store)
        if not backend.happened:
            return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("when", WHEN)
def test_a_recovery_that_is_killed_at_any_call_can_be_repeated(kind: str, when: When, tmp_path: Path) -> None:
    store = emptied_store(kind, tmp_path)

    def act(at: int, fault: Killed, when: When) -> FaultyBackend:
        nonlocal store
        store = emptied_store(kind, tmp_path / str(at))
        with store.writer("s", manifest=draft()) as writer:
            writer.add_markets(market_table("A", "B"))
            writer.write_part(0, ROWS)
        broken, backend = faulty(store, at, fault, when)
        with suppress(Killed):
            broken.recover("s")
        return backend

    for at in every_crash(when, act):
        bury(store, "s")
        assert store.recover("s").updates == ROWS.num_rows, at
        check = verify_session(store, "s")
        assert check.is_whole and not check.notes
        notes = store.open("s").manifest.unknowns
        assert len(notes) == 1


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("is_finished", [True, False])
def test_a_deletion_that_is_killed_at_any_call_never_leaves_what_looks_whole(
    kind: str, when: When, is_finished: bool, tmp_path: Path
) -> None:
    store = emptied_store(kind, tmp_path)

    def act(at: int, fault: Killed, when: When) -> FaultyBackend:
        nonlocal store
        store = emptied_store(kind, tmp_path / str(at))
        writer = store.writer("s", manifest=draft())
        writer.add_markets(market_table("A", "B"))
        writer.write_part(0, PARTS[0])
        writer.write_part(1, PARTS[2])
        if is_finished:
            writer.commit()
        writer.close()
        broken, backend = faulty(store, at, fault, when)
        with suppress(Killed):
            broken.delete("s", expected_rows=50)
        return backend

    for _at in every_crash(when, act):
        if "s" not in store.ids():
            continue
        bury(store, "s")
        with suppress(SessionUnfinished):
            assert store.open("s").updates().num_rows == 50
        if store.summary("s").rows < 50:
            with pytest.raises(DataError):
                store.recover("s")
        store.delete("s", expected_rows=store.count("s").rows)
        assert store.ids() == []


def test_a_deletion_that_stops_between_pieces_leaves_nothing_to_recover(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    record(store)
    store.backend.remove("s", "session.draft.json")
    store.backend.remove("s", MANIFEST)
    store.backend.remove("s", part_name(2))
    assert store.summary("s").state == "unfinished"
    assert "nothing can be recovered" in store.summary("s").problem
    for attempt in (store.recover, store.resume):
        with pytest.raises(DataError):
            attempt("s")


@pytest.mark.parametrize("when", WHEN)
def test_a_compaction_that_is_killed_at_any_call_leaves_the_session_whole(
    kind: str, when: When, tmp_path: Path
) -> None:
    store, table = emptied_store(kind, tmp_path), random_updates(100, markets=1, seed=1)
    content, frames = "", bytes(pa.compress(b"a line\n" * 50, codec="zstd", asbytes=True))

    def act(at: int, fault: Killed, when: When) -> FaultyBackend:
        nonlocal store, content
        store = emptied_store(kind, tmp_path / str(at))
        with store.writer("s", manifest=draft()) as writer:
            writer.add_markets(market_table("A"))
            writer.put_raw(0, frames)
            for number in range(4):
                writer.write_part(number, table.slice(number * 25, 25))
            content = writer.commit().content
        broken, backend = faulty(store, at, fault, when)
        with suppress(Killed):
            compact_session(broken, "s", part_rows=50)
        return backend

    for _at in every_crash(when, act):
        session = store.open("s")
        assert session.updates().equals(table) and len(session.parts) in (2, 4)
        assert verify_session(store, "s").is_whole
        bury(store, "s")
        done = compact_session(store, "s", part_rows=50)
        assert (done.content, done.parts, done.updates) == (content, 2, 100)
        check = verify_session(store, "s")
        assert check.is_whole and not check.notes and check.content == content


def test_a_compaction_that_the_store_refuses_leaves_no_part_of_it(kind: str, tmp_path: Path) -> None:
    table = random_updates(100, markets=1, seed=1)
    for at in range(MANY):
        store = emptied_store(kind, tmp_path / str(at))
        with store.writer("s", manifest=draft()) as writer:
            writer.add_markets(market_table("A"))
            for number in range(4):
                writer.write_part(number, table.slice(number * 25, 25))
            writer.commit()
        broken, backend = faulty(store, at, StoreDown("away"), "before")
        with suppress(StoreDown):
            compact_session(broken, "s", part_rows=50)
        check = verify_session(store, "s")
        assert check.is_whole and store.open("s").updates().equals(table)
        if not backend.happened:
            return
        if len(store.open("s").parts) == 4 and backend.names[at] != "write":
            assert not check.notes  # the manifest was not touched: nothing of the attempt is left
    raise AssertionError("it never ends")


@pytest.mark.parametrize("when", WHEN)
def test_a_copy_that_is_killed_at_any_call_goes_on(kind: str, when: When, tmp_path: Path) -> None:
    source = store_of_kind("folder", tmp_path / "source")
    record(source)
    session = source.open("s")
    target = emptied_store(kind, tmp_path)

    def act(at: int, fault: Killed, when: When) -> FaultyBackend:
        nonlocal target
        target = emptied_store(kind, tmp_path / str(at))
        broken, backend = faulty(target, at, fault, when)
        with suppress(Killed):
            copy_session(session, broken)
        return backend

    for _at in every_crash(when, act):
        with suppress(DataError, UsageError):
            bury(target, "s")
        copied = copy_session(session, target)
        assert copied.content == session.checksum
        if "writer.lock" in target.backend.sizes("s"):
            target.recover("s")
        check_recorded(target)


def test_a_copy_goes_on_though_its_source_was_cut_anew_in_between(tmp_path: Path) -> None:
    source, target = store_of_kind("folder", tmp_path / "a"), store_of_kind("folder", tmp_path / "b")
    table = random_updates(100, markets=1, seed=1)
    with source.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        for number in range(10):
            writer.write_part(number, table.slice(number * 10, 10))
        writer.commit()
    broken, _ = faulty(target, 16, StoreDown("away"), "before")
    with pytest.raises(StoreDown):
        copy_session(source.open("s"), broken)
    stored = target.summary("s").rows
    assert 0 < stored < 100
    compact_session(source, "s", part_rows=40)
    copied = copy_session(source.open("s"), target)
    assert (copied.resumed_at, copied.updates) == (stored, 100)
    assert target.open("s").updates().equals(table)


def test_what_a_crash_leaves_of_a_write_is_tidied(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    record(store)
    folder = tmp_path / "store" / "sessions" / "s"
    for name in ("writer.lock.1f", "updates/part-00007.parquet.partial"):
        (folder / name).write_bytes(b"half")
    store.recover("s")
    assert not list(folder.rglob("*.partial")) and not list(folder.glob("writer.lock*"))
    check_recorded(store)
