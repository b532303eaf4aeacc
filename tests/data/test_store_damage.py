"""What a store says of crashes, full disks and files that are not what they claim."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from kalshi_ray.data.files import Files
from kalshi_ray.data.folder import FolderBackend
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.pieces import LOCK
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import DataError, NothingToDo, SessionBusy, SessionDamaged, SessionUnfinished
from tests.data.samples import draft, market_table, random_updates, write_session

KILLED_WRITER = """
import os, signal, sys
from kalshi_ray.data.store import open_store
from tests.data.samples import draft, market_table, random_updates
writer = open_store(sys.argv[1]).writer("s", manifest=draft(environment="demo"))
writer.add_markets(market_table("A"))
for seed in (1, 2):
    writer.append(random_updates(1000, markets=1, seed=seed))
    writer.flush()
writer.append(random_updates(1000, markets=1, seed=3))
with open(sys.argv[1] + "/sessions/s/updates/part-00002.parquet.partial", "wb") as torn:
    torn.write(b"PAR1 half a file")
os.kill(os.getpid(), signal.SIGKILL)
"""


class FullDisk(Files):
    """A disk that takes so many bytes and no more."""

    room = 0

    def _write_local(self, name: str, content: bytes | memoryview) -> None:
        super()._write_local(name, bytes(content)[: self.room])
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


def store_of(tmp_path: Path) -> SessionStore:
    store = open_store(str(tmp_path))
    write_session(store, "s", random_updates(5_000, markets=1, seed=1), market_table("A"))
    return store


def part(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "s" / "updates" / "part-00000.parquet"


def test_a_killed_writer_loses_only_what_was_not_yet_written(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    store = open_store(str(tmp_path))
    summary = store.list()[0]
    assert (summary.state, summary.rows) == ("unfinished", 2_000)
    assert "died while writing" in summary.problem
    with pytest.raises(SessionUnfinished, match=r"died while writing session 's'; 2,000 updates are in the store"):
        store.open("s")
    with pytest.raises(SessionUnfinished, match=r"Recover it or delete it"):
        store.writer("s", manifest=draft())
    manifest = store.recover("s")
    session = store.open("s")
    expected = pa.concat_tables([random_updates(1000, markets=1, seed=seed) for seed in (1, 2)])
    assert session.updates().equals(expected)
    assert (manifest.updates, manifest.environment) == (2_000, "demo")
    assert any("stopped before its end" in line for line in manifest.unknowns)
    session.verify_checksums()
    left = {path.name for path in (tmp_path / "sessions" / "s").rglob("*") if path.is_file()}
    assert left == {"session.json", "markets.parquet", "part-00000.parquet", "part-00001.parquet"}


def test_an_unfinished_session_can_be_deleted_by_its_counted_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.append(random_updates(10, markets=1, seed=1))
    store.delete("s", expected_rows=10)
    assert store.ids() == []


def test_the_lock_of_another_machine_is_never_broken(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()):
        pass
    lock = tmp_path / "sessions" / "s" / LOCK
    lock.write_bytes(msgspec.json.encode(Owner(host="elsewhere", pid=1, birth=0)))
    with pytest.raises(SessionBusy, match=r"process 1 on elsewhere.*gone for certain: kalshi-ray sessions unlock"):
        store.recover("s")
    lock.write_bytes(b"")
    with pytest.raises(SessionBusy, match=r"unknown machine"):
        store.recover("s")


def test_a_later_process_with_the_same_number_does_not_keep_the_lock(tmp_path: Path) -> None:
    assert msgspec.structs.replace(Owner.this(), birth=1).is_dead
    assert not Owner.this().is_dead


@pytest.mark.parametrize("room", [0, 100, 2_000, 10_000])
def test_a_full_disk_leaves_nothing_that_claims_to_be_whole(tmp_path: Path, room: int) -> None:
    disk = FullDisk(fs.LocalFileSystem(), str(tmp_path))
    disk.room = room
    store = SessionStore(FolderBackend(disk))

    def write() -> None:
        with store.writer("s", manifest=draft()) as writer:
            writer.add_markets(market_table("A"))
            for seed in range(10):
                writer.append(random_updates(1_000, markets=1, seed=seed))
                writer.flush()
            writer.commit()

    with pytest.raises(DataError, match=r"no space left while writing"):
        write()
    assert not list(tmp_path.rglob("*.partial"))
    for summary in store.list():
        assert summary.state == "unfinished"
        disk.room = 1 << 30
        if room == 2_000:  # the lock and the draft fit, the market table did not
            with pytest.raises(NothingToDo, match=r"nothing to recover"):
                store.recover("s")
            store.delete("s", expected_rows=0)
            continue
        assert store.recover("s").updates == summary.rows
        store.open("s").verify_checksums()


def test_a_truncated_file_is_named_with_both_sizes(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    size = part(tmp_path).stat().st_size
    os.truncate(part(tmp_path), size - 10)
    with pytest.raises(SessionDamaged, match=f"part-00000.parquet has {size - 10:,} bytes, the manifest says {size:,}"):
        store.open("s")
    assert store.list()[0].state == "damaged"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    part(tmp_path).unlink()
    with pytest.raises(SessionDamaged, match=r"part-00000.parquet is missing"):
        store.open("s")


def test_a_changed_byte_is_found_by_checksum_and_on_reading(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    content = bytearray(part(tmp_path).read_bytes())
    content[len(content) // 2] ^= 0xFF
    part(tmp_path).write_bytes(content)
    session = store.open("s")
    with pytest.raises(SessionDamaged, match=r"checksum of .*part-00000.parquet is .*the manifest says"):
        session.verify_checksums()
    with pytest.raises(SessionDamaged, match=r"part-00000.parquet cannot be read"):
        session.updates()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1]}, "missing market int32.*unexpected a int64"),
        ({name: [0] for name in UPDATES.names}, "market is int64, not int32"),
    ],
)
def test_a_foreign_parquet_is_told_apart_by_its_columns(
    tmp_path: Path, columns: dict[str, list[int]], message: str
) -> None:
    store = store_of(tmp_path)
    pq.write_table(pa.table(columns), part(tmp_path))
    disguise(tmp_path)
    with pytest.raises(SessionDamaged, match=f"is not a table of this session: .*{message}"):
        store.open("s").updates()


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    part(tmp_path).write_bytes(b"not parquet at all")
    disguise(tmp_path)
    with pytest.raises(SessionDamaged, match=r"part-00000.parquet is not a whole Parquet file"):
        store.open("s").updates()


def test_a_file_with_other_rows_than_the_manifest_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    other = open_store(str(tmp_path / "other"))
    write_session(other, "s", random_updates(10, markets=1, seed=1), market_table("A"))
    part(tmp_path).write_bytes(part(tmp_path / "other").read_bytes())
    disguise(tmp_path)
    with pytest.raises(SessionDamaged, match=r"holds 10 rows, the manifest says 5,000"):
        store.open("s").updates()


def test_a_session_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    manifest = tmp_path / "sessions" / "s" / "session.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    with pytest.raises(SessionDamaged, match=r"schema version 1, this version reads 2. Import, generate or record"):
        store.open("s")


def test_a_session_of_another_schema_version_is_listed_counted_and_can_be_deleted(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    manifest = tmp_path / "sessions" / "s" / "session.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    summary = store.summary("s")
    assert (summary.state, summary.rows) == ("damaged", 5_000)
    assert not verify_session(store, "s").is_whole
    store.delete("s", expected_rows=5_000)
    assert store.ids() == []


def test_a_full_disk_keeps_nobody_from_deleting_but_a_living_writer_does(tmp_path: Path) -> None:
    store_of(tmp_path)
    disk = FullDisk(fs.LocalFileSystem(), str(tmp_path))
    store = SessionStore(FolderBackend(disk))
    disk.room = 5_000
    writer = store.writer("t", manifest=draft())
    disk.room = 0
    with pytest.raises(SessionBusy):
        store.delete("t", expected_rows=0)
    store.delete("s", expected_rows=5_000)
    assert store.ids() == ["t"]
    writer.close()


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"schema_version": 2}', b"half a {", b""])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    store = store_of(tmp_path)
    (tmp_path / "sessions" / "s" / "session.json").write_bytes(content)
    with pytest.raises(SessionDamaged, match=r"is not a session manifest"):
        store.open("s")


def test_a_copied_session_keeps_its_name(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (tmp_path / "sessions" / "s").rename(tmp_path / "sessions" / "t")
    with pytest.raises(SessionDamaged, match=r"is the manifest of 's', not of 't'"):
        store.open("t")


def test_recovery_refuses_a_hole_in_the_row_of_parts(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        for seed in range(2):
            writer.append(random_updates(10, markets=1, seed=seed))
            writer.flush()
    part(tmp_path).unlink()
    with pytest.raises(SessionDamaged, match=r"unbroken row of parts"):
        store.recover("s")
    with pytest.raises(SessionDamaged, match=r"unbroken row of parts"):
        store.recover("s")


def disguise(tmp_path: Path) -> None:
    """Make the manifest agree with the size of the part, so that the content has to speak."""
    path = tmp_path / "sessions" / "s" / "session.json"
    manifest = msgspec.json.decode(path.read_bytes())
    manifest["files"]["updates/part-00000.parquet"]["bytes"] = part(tmp_path).stat().st_size
    path.write_bytes(msgspec.json.encode(manifest))
