"""What a crash leaves of a spool whose session is finished: the next command removes it, and nothing else."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from kalshi_ray.collect.block import Block
from kalshi_ray.collect.disk import LOCK, Disk
from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.keeper import Keeper
from kalshi_ray.collect.pairing import Place, identity_of
from kalshi_ray.collect.recovery import recover_session
from kalshi_ray.collect.remainder import delete_session, remainder_of
from kalshi_ray.collect.remnants import clear_remnants
from kalshi_ray.collect.segment import Head, raw_file, rows_file
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.collect.spool import Spool
from kalshi_ray.data.files import Files
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.pieces import DRAFT
from kalshi_ray.data.pieces import LOCK as SESSION_LOCK
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import DataError, SessionBusy, UsageError
from tests.collect.judging import check, rows_in
from tests.collect.process import Collecting, store_in
from tests.collect.spooling import MARKETS, block_at
from tests.collect.venue import Venue, flow_of
from tests.data.stores import FaultyBackend, Killed, bury

SETTINGS = CollectSettings(raw=True)
MANY = 100  # more steps than an end has


class Steps:
    """Counts what changes the disk; from step number `last` on nothing is done, for the process is dead."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def next(self) -> None:
        self.count += 1
        if self.count > self.last:
            raise Killed


class SteppedFiles(Files):
    def __init__(self, files: Files, steps: Steps) -> None:
        super().__init__(files.filesystem, files.base)
        self.steps = steps

    def read(self, name: str) -> bytes:
        self.steps.next()
        return super().read(name)

    def remove(self, name: str) -> None:
        self.steps.next()
        super().remove(name)


class SteppedDisk(Disk):
    """A folder whose process dies between two steps."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        super().__init__(folder)
        self.steps = steps

    def remove(self, name: str) -> None:
        self.steps.next()
        super().remove(name)

    def sync_names(self) -> None:
        self.steps.next()
        super().sync_names()

    def leave(self) -> None:
        self.steps.next()
        super().leave()

    def _files(self) -> Files:
        return SteppedFiles(super()._files(), self.steps)


def manifest_of(name: str) -> Manifest:
    return Manifest(id=name, source="collect", clock="receive", environment="demo")


def begun(store: SessionStore, root: Path, name: str = "s", disk: Disk | None = None) -> Keeper:
    """A keeper with a part in the store, and two rows in the spool."""
    keeper = Keeper(store, name, root / name, manifest_of(name), SETTINGS, disk=disk)
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([block_at([10], 0, 1)])
    keeper.spool.seal()
    keeper.drain()
    keeper.append([block_at([20], 1, 1, is_last=True)])
    return keeper


def bury_spool(folder: Path) -> None:
    """The process that had it is dead."""
    dead = msgspec.json.encode(msgspec.structs.replace(Owner.this(), birth=1))
    for lock in folder.glob(f"{LOCK}*") if folder.is_dir() else ():
        lock.write_bytes(dead)


def died(folder: Path, *, disk: int = MANY, store: int = MANY) -> tuple[SessionStore, Path, int]:
    """A session whose process died after so many steps of its end, on the disk or in the store; steps it had done."""
    real, root = open_store(str(folder / "store")), folder / "store" / "spool"
    steps = Steps(MANY * MANY)
    keeper = begun(real, root, disk=SteppedDisk(root / "s", steps))
    backend = FaultyBackend(real.backend, store, Killed(), when="before")
    keeper._writer._backend = backend
    steps.count, steps.last = 0, disk
    with suppress(Killed):
        keeper.finish()
    bury(real, "s")
    bury_spool(root / "s")
    return real, root, steps.count if store == MANY else backend.calls


def finishes(folder: Path, where: str) -> list[tuple[SessionStore, Path]]:
    """Sessions that died at each step of their end, after the manifest."""
    steps = died(folder / "whole", **{where: MANY - 1})[2]
    found = []
    for last in reversed(range(steps)):
        store, root, _ = died(folder / f"{where} {last}", **{where: last})
        if store.summary("s").state != "finished":
            break
        found.append((store, root))
    assert len(found) >= 3
    return found


def ended(folder: Path) -> tuple[SessionStore, Path]:
    """A session whose process died when it was finished, before anything of its spool was removed."""
    store, root = open_store(str(folder / "store")), folder / "store" / "spool"
    keeper = begun(store, root)

    def die() -> None:
        raise Killed

    keeper.spool.remove = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        keeper.finish()
    bury(store, "s")
    bury_spool(root / "s")
    return store, root


def check_cleared(store: SessionStore, root: Path) -> None:
    assert list(root.iterdir()) == []
    assert store.open("s").updates()["seq"].to_pylist() == [0, 1]
    check = verify_session(store, "s")
    assert check.is_whole and not check.notes, check


@pytest.mark.parametrize("where", ["disk", "store"])
@pytest.mark.parametrize("way", ["collect", "recover"])
def test_whatever_the_last_step_was_the_next_command_clears_up(tmp_path: Path, way: str, where: str) -> None:
    for store, root in finishes(tmp_path, where):
        if way == "recover":
            assert recover_session(store, "s").updates == 2
        else:
            clear_remnants(store, root)
            with pytest.raises(UsageError, match="is finished"):
                Keeper(store, "s", root / "s", manifest_of("s"), SETTINGS).start()
            store.recover("s")  # for a death after the spool was gone
        check_cleared(store, root)


def test_the_next_collector_clears_up_whatever_it_records(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    with (
        Venue(tmp_path, flow_of(1, 20, every_ns=1_000_000)) as venue,
        Collecting(venue, store_in(tmp_path), "another", collect__spool=root) as collecting,
    ):
        collecting.until_known(len(venue.tickers))
        assert [one.name for one in root.iterdir()] == ["another"]
        assert collecting.stop().code == 0
    check_cleared(store, root)


def test_a_session_that_is_deleted_takes_what_is_left_of_its_spool_with_it(tmp_path: Path) -> None:
    for store, root in finishes(tmp_path, "disk"):
        delete_session(store, "s", expected_rows=2)
        assert list(root.iterdir()) == [] and store.ids() == []


def test_a_deletion_that_died_at_any_step_is_made_good_by_the_next(tmp_path: Path) -> None:
    for last in range(MANY):
        store, root = open_store(str(tmp_path / f"{last}" / "store")), tmp_path / f"{last}" / "spool"
        begun(store, root).close()
        steps, head = Steps(MANY * MANY), Head(identity=identity_of(store, draft_of(store)), number=0)
        dying = Spool.open(root / "s", head, disk=SteppedDisk(root / "s", steps))
        steps.count, steps.last = 0, last
        with suppress(Killed):
            store.delete("s", expected_rows=0, first=dying.remove)
        bury_spool(root / "s")
        if "s" in store.ids():
            bury(store, "s")
            left = remainder_of(store, "s")
            delete_session(store, "s", expected_rows=left.rows if left else 0)
        assert list(root.iterdir()) == [] and store.ids() == []
        if steps.count <= last:
            return
    raise AssertionError("it never ends")


def draft_of(store: SessionStore) -> Manifest:
    manifest = store.summary("s").manifest
    assert manifest is not None
    return manifest


def test_verify_says_what_clears_up(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    (note,) = verify_session(store, "s").notes
    assert "kalshi-ray sessions recover s" in note and DRAFT in note
    assert (root / "s" / rows_file(2)).exists()


def test_the_draft_of_a_finished_session_tells_of_its_spool_and_the_manifest_does_not(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    assert b'"spool"' in store.backend.read("s", DRAFT)
    assert "spool" not in store.open("s").manifest.origin
    recover_session(store, "s")
    check_cleared(store, root)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_a_collector_that_is_killed_while_it_ends_loses_nothing_and_leaves_nothing(tmp_path: Path, seed: int) -> None:
    chance, store, root = random.Random(seed), open_store(store_in(tmp_path)), tmp_path / "spool"
    for number in range(8):
        folder, name = tmp_path / f"{number}", f"s{number}"
        folder.mkdir()
        with Venue(folder, flow_of(seed, 400, every_ns=4_000_000)) as venue:
            quick = {"collect__spool": root, "collect__part_s": 0.3, "collect__part_rows": 1_000}
            with Collecting(venue, store_in(tmp_path), name, **quick) as collecting:
                collecting.until_quiet(venue)
                collecting.send(signal.SIGINT)
                time.sleep(chance.choice((chance.uniform(0.0, 0.1), chance.uniform(0.0, 0.5))))
                collecting.kill()
            recover_session(store, name)
            check(store.open(name), venue)
        assert len(rows_in(store.open(name))) >= collecting.lines[-1]["rows"]
        found = verify_session(store, name)
        assert found.is_whole and not found.notes, found
        assert list(root.iterdir()) == []


# --- what stays --------------------------------------------------------------------------------------------------


def finished_with(root: Path, store: SessionStore, blocks: Sequence[Block] = (), facts: Facts | None = None) -> Path:
    """A session that was finished without its spool, which holds something more."""
    keeper = Keeper(store, "s", root / "s", manifest_of("s"), SETTINGS)
    keeper.start()
    keeper.note(MARKETS)
    keeper.append([block_at([10], 0, 1, is_last=True)])
    keeper.spool.seal()
    keeper.drain()
    keeper.append(blocks)
    if facts is not None:
        keeper.note(facts)
    keeper.close()
    store.recover("s")
    return root / "s"


def test_what_is_not_in_the_session_stays(tmp_path: Path) -> None:
    line = block_at([20], 1, 2)
    lines = Block(line=2, rows=line.rows[:0], raw=line.raw, raw_lines=1, until_ns=20)
    late = Facts(markets=(MarketRow(ticker="LATE"),))
    for number, (blocks, facts) in enumerate([([line], None), ([lines], None), ([], late)]):
        store = open_store(str(tmp_path / str(number)))
        root = tmp_path / str(number) / "spool"
        folder = finished_with(root, store, blocks, facts)
        before = sorted(one.name for one in folder.iterdir())
        assert clear_remnants(store, root) == []
        assert sorted(one.name for one in folder.iterdir()) == before, number


def test_the_spool_of_an_unfinished_session_stays(tmp_path: Path) -> None:
    store, root = open_store(str(tmp_path / "store")), tmp_path / "store" / "spool"
    keeper = begun(store, root)
    assert clear_remnants(store, root) == []  # it lives
    keeper.close()
    assert clear_remnants(store, root) == []
    assert recover_session(store, "s").updates == 2


def test_the_spool_of_a_later_session_of_the_same_name_stays(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    kept = tmp_path / "kept"
    (root / "s").rename(kept)
    recover_session(store, "s")
    store.delete("s", expected_rows=2)
    with store.writer("s", manifest=msgspec.structs.replace(manifest_of("s"), created="2001-01-01")) as writer:
        writer.add_markets(MARKETS.table())
        writer.commit()
    kept.rename(root / "s")
    assert clear_remnants(store, root) == [] and (root / "s" / rows_file(2)).exists()


def test_the_spool_of_another_store_and_what_is_no_spool_stay(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    other = open_store(str(tmp_path / "other"))
    for name in ("s", "mine"):
        with other.writer(name, manifest=manifest_of(name)) as writer:
            writer.add_markets(MARKETS.table())
            writer.commit()
    (root / "mine").mkdir()
    (root / "mine" / "notes.txt").write_text("of mine")
    (root / "s" / "notes.txt").write_text("of mine")
    (root / "a file").write_text("of mine")
    assert clear_remnants(other, root) == []
    assert clear_remnants(other, tmp_path / "nowhere") == []
    assert (root / "s" / rows_file(2)).exists() and (root / "mine" / "notes.txt").exists()
    assert clear_remnants(store, root) == [root / "s"]
    assert [one.name for one in (root / "s").iterdir()] == ["notes.txt"]
    os.symlink(root / "mine", root / "link")
    assert clear_remnants(store, root) == []


def test_a_spool_stays_where_its_session_cannot_be_deleted_now(tmp_path: Path) -> None:
    store, root = open_store(str(tmp_path / "store")), tmp_path / "store" / "spool"
    begun(store, root).close()
    elsewhere = msgspec.structs.replace(Owner.this(), host="elsewhere", machine="another")
    store.backend.create("s", SESSION_LOCK, msgspec.json.encode(elsewhere))
    with pytest.raises(SessionBusy, match="elsewhere"):
        delete_session(store, "s", expected_rows=2)
    store.unlock("s", host="elsewhere")
    assert recover_session(store, "s").updates == 2


def test_a_spool_on_another_machine_of_the_same_name_is_not_taken_for_gone(tmp_path: Path) -> None:
    here = Place(host=Owner.this().host, machine=Owner.this().machine, folder=str(tmp_path))
    assert here.is_on_this_machine and not msgspec.structs.replace(here, machine="another").is_on_this_machine


def test_a_spool_that_lives_stays_though_its_session_is_finished(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    (root / "s" / LOCK).write_bytes(msgspec.json.encode(Owner.this()))
    assert clear_remnants(store, root) == []
    with pytest.raises(DataError, match="is being written by"):
        recover_session(store, "s")
    assert (root / "s" / rows_file(2)).exists()


# --- sessions that never were ------------------------------------------------------------------------------------


def test_a_spool_that_was_begun_for_a_session_that_is_gone_is_not_in_the_way_of_the_next(tmp_path: Path) -> None:
    store, root = open_store(str(tmp_path / "store")), tmp_path / "store" / "spool"
    keeper = Keeper(store, "s", root / "s", manifest_of("s"), SETTINGS)
    keeper.start()
    keeper._writer.discard()  # and then it died
    bury_spool(root / "s")
    first = msgspec.structs.replace(manifest_of("s"), created="2001-01-01")
    assert clear_remnants(store, root) == [root / "s"]
    again = Keeper(store, "s", root / "s", first, SETTINGS)
    assert again.start() is False
    again.close()


def test_a_spool_with_a_row_of_a_session_that_is_gone_stays(tmp_path: Path) -> None:
    store, root = open_store(str(tmp_path / "store")), tmp_path / "store" / "spool"
    keeper = begun(store, root)
    keeper._writer.discard()
    bury_spool(root / "s")
    assert clear_remnants(store, root) == []
    assert (root / "s" / rows_file(1)).exists() and (root / "s" / raw_file(1)).exists()


def test_a_remnant_that_cannot_be_read_is_left_and_the_others_go(tmp_path: Path) -> None:
    store, root = ended(tmp_path)
    (root / "a").mkdir()
    (root / "a" / rows_file(0)).write_bytes(random.Random(0).randbytes(50))
    assert clear_remnants(store, root) == [root / "s"]
    assert (root / "a" / rows_file(0)).exists()
