"""Sessions on disk: what is written is what is read, by one writer at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from kalshi_ray.data import parquet, pieces
from kalshi_ray.data.compact import compact_session
from kalshi_ray.data.files import Files
from kalshi_ray.data.folder import FolderBackend
from kalshi_ray.data.schema import UPDATES
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import (
    DataError,
    NothingToDo,
    SessionBusy,
    SessionUnfinished,
    UnknownName,
    UsageError,
)
from tests.data.samples import delta, draft, market_table, random_updates, truth_table, updates, write_session


def stores(tmp_path: Path) -> list[SessionStore]:
    """One store of every kind that needs no network."""
    memory = fs.FileSystem.from_uri("mock:///")[0]
    memory.create_dir("lake")
    return [
        open_store(str(tmp_path / "plain")),
        open_store(f"file://{tmp_path}/url"),
        SessionStore(FolderBackend(Files(memory, "lake"), "mock://lake")),
        SessionStore(FolderBackend(Files(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "sub"))),
    ]


def test_a_session_reads_back_as_written_on_any_filesystem(tmp_path: Path) -> None:
    table, markets = random_updates(5_000, markets=3, seed=1), market_table("A", "B", "C")
    for store in stores(tmp_path):
        with store.writer("one", manifest=draft(environment="demo")) as writer:
            writer.add_markets(markets)
            writer.append(table.slice(0, 1_234))
            writer.append(table.slice(1_234))
            writer.add_truth(truth_table(10))
            writer.add_truth(truth_table(5))
            manifest = writer.commit()
        session = store.open("one")
        assert session.manifest == manifest
        assert session.markets().equals(markets)
        assert session.updates().equals(table)
        assert session.truth().num_rows == 15
        session.verify_checksums()
        assert [summary.state for summary in store.list()] == ["finished"]


def test_rows_are_rolled_into_files_of_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_ray.data.writer.ROW_GROUP", 1_000)
    table = random_updates(2_500, markets=1, seed=2)
    store = open_store(str(tmp_path))
    manifest = write_session(store, "s", table, market_table("A"))
    rows = [entry.rows for name, entry in manifest.files.items() if name.startswith("updates/")]
    assert rows == [1_000, 1_000, 500]
    session = store.open("s")
    assert session.updates().equals(table)
    assert pa.Table.from_batches(session.update_batches()).equals(table)


def test_counts_and_times_come_from_the_rows(tmp_path: Path) -> None:
    table = random_updates(100, markets=2, seed=3)
    manifest = write_session(open_store(str(tmp_path)), "s", table, market_table("A", "B"))
    kinds = table["kind"].to_pylist()
    assert manifest.kinds == {"DELTA": kinds.count(3), "TRADE": kinds.count(4)}
    assert (manifest.updates, manifest.markets) == (100, 2)
    times = table["recv_ns"].to_pylist()
    assert (manifest.first_ns, manifest.last_ns) == (min(times), max(times))


def test_the_manifest_hashes_every_file(tmp_path: Path) -> None:
    manifest = write_session(open_store(str(tmp_path)), "s", random_updates(10, markets=1, seed=4), market_table("A"))
    for name, entry in manifest.files.items():
        content = (tmp_path / "sessions" / "s" / name).read_bytes()
        assert (entry.sha256, entry.bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_equal_rows_give_an_equal_checksum_whatever_the_name(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_session(store, name, random_updates(100, markets=1, seed=seed), market_table("A"))
    a, b, c = (store.open(name).checksum for name in "abc")
    assert a == b != c


def test_columns_and_markets_can_be_chosen(tmp_path: Path) -> None:
    rows = updates(delta(0, 100, 5), delta(0, 100, 6, market=1), {"kind": 5, "market": -1, "size": 1})
    store = open_store(str(tmp_path))
    write_session(store, "s", rows, market_table("A", "B"))
    session = store.open("s")
    assert session.updates(columns=["size", "kind"], markets=["B"]).to_pylist() == [
        {"size": 6, "kind": 3},
        {"size": 1, "kind": 5},
    ]
    assert session.updates(markets=["A"])["market"].to_pylist() == [0, -1]
    with pytest.raises(UnknownName, match=r"'C'.*Known: A, B"):
        session.updates(markets=["C"])
    with pytest.raises(UnknownName, match=r"'sise'"):
        session.updates(columns=["sise"])


def test_a_session_without_updates_is_a_session(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    manifest = write_session(store, "s", UPDATES.empty_table(), market_table("A"))
    assert manifest.updates == 0
    assert store.open("s").updates(columns=["kind"]).num_rows == 0


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        with pytest.raises(SessionBusy, match=r"being written by process \d+"):
            store.writer("s", manifest=draft())
        with pytest.raises(SessionBusy):
            store.recover("s")
        with pytest.raises(SessionBusy):
            store.delete("s", expected_rows=0)
        assert store.list()[0].state == "writing"
        writer.add_markets(market_table("A"))
        writer.commit()
    with pytest.raises(UsageError, match=r"exists"):
        store.writer("s", manifest=draft())
    assert store.open("s").manifest.markets == 1


def test_leaving_without_commit_keeps_the_rows_for_recovery(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    table = random_updates(100, markets=1, seed=7)
    with pytest.raises(RuntimeError, match=r"stop"), store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.append(table)
        raise RuntimeError("stop")
    with pytest.raises(SessionUnfinished, match=r"never finished; 100 updates are in the store. Finish it with"):
        store.open("s")
    with pytest.raises(SessionUnfinished):
        store.writer("s", manifest=draft())
    manifest = store.recover("s")
    assert manifest.updates == 100
    assert store.open("s").updates().equals(table)
    assert store.recover("s") == manifest


def test_discarding_leaves_no_trace(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.discard()
    assert store.list() == []
    with pytest.raises(UsageError, match=r"closed"):
        writer.commit()


def test_deletion_needs_the_number_of_rows(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_session(store, "s", random_updates(100, markets=1, seed=8), market_table("A"))
    with pytest.raises(UsageError, match=r"holds 100 updates, not 99"):
        store.delete("s", expected_rows=99)
    assert store.open("s").updates().num_rows == 100
    store.delete("s", expected_rows=100)
    assert store.list() == []
    with pytest.raises(UnknownName, match=r"Known: none"):
        store.delete("s", expected_rows=0)


def test_unknown_sessions_name_the_known_ones(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with pytest.raises(UnknownName, match=r"Known: none"):
        store.open("x")
    write_session(store, "s", random_updates(1, markets=1, seed=9), market_table("A"))
    with pytest.raises(UnknownName, match=r"'x'. Known: s"):
        store.open("x")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b"])
def test_session_names_are_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"no session name"):
        open_store(str(tmp_path)).writer(name, manifest=draft())


def test_updates_must_fit_schema_and_market_table(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        with pytest.raises(DataError, match=r"the market table has 0 rows"):
            writer.append(updates(delta(0, 100, 1)))
        writer.add_markets(market_table("A"))
        with pytest.raises(DataError, match=r"markets 0..1"):
            writer.append(updates(delta(0, 100, 1), delta(0, 100, 1, market=1)))
        with pytest.raises(DataError, match=r"size is double, not int64"):
            writer.append(updates(delta(0, 100, 1)).set_column(8, "size", pa.array([1.5])))
        with pytest.raises(DataError, match=r"twice"):
            writer.add_markets(market_table("A"))
        writer.discard()


def test_markets_may_join_while_writing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.append(updates(delta(0, 100, 1)))
        writer.add_markets(market_table("B"))
        writer.append(updates(delta(0, 100, 1, market=1)))
        writer.commit()
    assert store.open("s").tickers() == ["A", "B"]


def test_raw_frames_are_kept_as_they_came(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    frames = pa.compress(b'{"type":"x"}\n' * 100, codec="zstd", asbytes=True)
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.put_raw(0, b"torn")
        writer.put_raw(0, frames)
        manifest = writer.commit()
    assert manifest.raw_bytes == len(frames)
    session = store.open("s")
    assert [session.raw_part(name) for name in session.raw_parts] == [frames]


def test_truth_is_only_there_where_it_was_written(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    write_session(store, "s", random_updates(1, markets=1, seed=9), market_table("A"))
    with pytest.raises(NothingToDo, match=r"no recorded truth"):
        store.open("s").truth()


@pytest.mark.parametrize("url", ["", "nonsense://x"])
def test_a_store_that_cannot_be_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError):
        open_store(url)


def test_a_password_in_a_url_is_never_shown() -> None:
    with pytest.raises(UsageError) as refused:
        open_store("nonsense://user:geheim@host/folder")
    assert "geheim" not in str(refused.value) and "user:***@host" in str(refused.value)
    memory = fs.FileSystem.from_uri("mock:///")[0]
    assert FolderBackend(Files(memory, "lake"), "s3://key:geheim@lake/x").url == "s3://key:***@lake/x"


def test_encoding_is_small(tmp_path: Path) -> None:
    """At most 12 bytes a row on random rows, which pack worse than real ones."""
    table = random_updates(200_000, markets=500, seed=10)
    assert parquet.encode_table(table, UPDATES).size / table.num_rows <= 12


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UsageError, match=r"notes.txt' is a file. Give a folder"):
        open_store(str(tmp_path / "notes.txt"))


def test_a_store_that_cannot_be_made_is_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"cannot write /dev/null/x/sessions/s/.*Check the path"):
        open_store("/dev/null/x").writer("s", manifest=draft())


def test_a_name_that_is_nearly_right_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "sessions" / "KXHIGHNY-25DEC14").mkdir(parents=True)
    with pytest.raises(UnknownName, match=r"Did you mean KXHIGHNY-25DEC14\? Known: KXHIGHNY-25DEC14"):
        open_store(str(tmp_path)).open("kxhighny-25dec4")


def test_a_session_of_many_parts_lists_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for a part among thousands, for each of thousands, took minutes."""
    store, table = open_store(str(tmp_path)), random_updates(40, markets=1, seed=1)
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        for number in range(40):
            writer.write_part(number, table.slice(number, 1))
        writer.commit()
    asked: list[int] = []
    listing = pieces.parts_among

    def counted(names: Iterable[str]) -> list[str]:
        asked.append(1)
        return listing(names)

    monkeypatch.setattr("kalshi_ray.data.session.parts_among", counted)
    assert verify_session(store, "s").is_whole
    compact_session(store, "s", part_rows=20)
    assert len(asked) <= 5
