"""What holds for every store of sessions: files in a folder, files of another filesystem, rows in a database."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.copying import copy_session
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.pieces import LOCK, MANIFEST, MARKETS_FILE, TRUTH_FILE, part_name, raw_name
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import (
    DataError,
    NothingToDo,
    SessionBusy,
    SessionDamaged,
    SessionUnfinished,
    UnknownName,
    UsageError,
)
from tests.data.samples import draft, market_table, random_updates, truth_table
from tests.data.stores import KINDS, bury, fresh_id, store_of_kind

# The store of a test is used by all of its examples, each with a session of its own.
examples = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    return store_of_kind(request.param, tmp_path)


def written(
    store: SessionStore, table: pa.Table, cuts: list[int], markets: pa.Table, name: str = "", **more: object
) -> Session:
    """A finished session of these rows in parts that end at `cuts`."""
    name = name or fresh_id()
    with store.writer(name, manifest=draft(**more)) as writer:
        writer.add_markets(markets)
        for number, (first, end) in enumerate(pairwise([0, *cuts, table.num_rows])):
            writer.write_part(number, table.slice(first, end - first))
        writer.commit()
    return store.open(name)


@st.composite
def tables(draw: st.DrawFn, markets: int = 3) -> pa.Table:
    """Updates of any values that their columns can hold."""
    rows = draw(st.integers(0, 12))
    columns = {}
    for field in UPDATES:
        limits = np.iinfo(field.type.to_pandas_dtype())
        values = st.integers(int(limits.min), int(limits.max))
        if field.name == "market":
            values = st.integers(-1, markets - 1)
        if field.name == "kind":
            values = st.sampled_from([int(kind) for kind in Kind])
        columns[field.name] = draw(st.lists(values, min_size=rows, max_size=rows))
    return pa.table(columns, schema=UPDATES)


def cuts_of(table: pa.Table) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, table.num_rows), max_size=4).map(sorted)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ranges = st.fixed_dictionaries({name: st.integers(-(2**31), 2**31 - 1) for name in ("start", "end", "step")})
market_rows = st.fixed_dictionaries(
    {
        "ticker": texts,
        "event": texts,
        "series": texts,
        "category": texts,
        "price_ranges": st.lists(ranges, max_size=3),
        "fee_type": texts,
        "fee_multiplier": st.floats(allow_nan=False),
        "open_ns": st.integers(-(2**63), 2**63 - 1),
        "close_ns": st.integers(-(2**63), 2**63 - 1),
        "status": st.integers(-128, 127),
    }
)


@given(data=st.data())
@examples
def test_any_rows_in_any_parts_read_back_in_any_columns_and_markets(store: SessionStore, data: st.DataObject) -> None:
    table = data.draw(tables())
    session = written(store, table, data.draw(cuts_of(table)), market_table("A", "B", "C"))
    assert session.updates().equals(table)
    columns = data.draw(st.lists(st.sampled_from(UPDATES.names), unique=True, min_size=1))
    chosen = data.draw(st.lists(st.sampled_from("ABC"), unique=True))
    wanted = [-1, *("ABC".index(ticker) for ticker in chosen)]
    model = [{name: row[name] for name in columns} for row in table.to_pylist() if row["market"] in wanted]
    assert session.updates(columns, chosen).to_pylist() == model
    assert session.updates(columns).equals(table.select(columns))
    batches = list(session.update_batches(columns))
    assert pa.Table.from_batches(batches, table.select(columns).schema).equals(table.select(columns))
    assert session.manifest.updates == table.num_rows
    session.verify_checksums()


@given(data=st.data())
@examples
def test_content_is_the_same_in_every_store_and_for_every_division(store: SessionStore, data: st.DataObject) -> None:
    table, markets = data.draw(tables()), market_table("A", "B", "C")
    first = written(store, table, data.draw(cuts_of(table)), markets)
    again = written(store, table, data.draw(cuts_of(table)), markets, created="2020-01-01", environment="demo")
    here = written(store_of_kind("memory", Path()), table, [], markets)
    assert first.checksum == again.checksum == here.checksum != ""
    other_grid = written(store, table, [], markets, grids=[[[0, 10_000, 100]]])
    other_signal = written(store, table, [], markets, signals=["x"])
    other_markets = written(store, table, [], market_table("A", "B", "D"))
    assert len({first.checksum, other_grid.checksum, other_signal.checksum, other_markets.checksum}) == 4


@given(data=st.data())
@examples
def test_content_tells_any_two_rows_apart(store: SessionStore, data: st.DataObject) -> None:
    table = data.draw(tables().filter(lambda table: table.num_rows > 0))
    column, row = data.draw(st.sampled_from(UPDATES.names)), data.draw(st.integers(0, table.num_rows - 1))
    values = table[column].to_pylist()
    values[row] ^= 1 if column != "kind" else 0
    if column == "kind":
        values[row] = 1 + values[row] % 3
    if column == "market":
        values[row] = (table[column][row].as_py() + 2) % 3
    at = UPDATES.get_field_index(column)
    changed = table.set_column(at, UPDATES.field(at), pa.array(values, UPDATES.field(at).type))
    markets = market_table("A", "B", "C")
    assert written(store, table, [], markets).checksum != written(store, changed, [], markets).checksum


@given(rows=st.lists(market_rows, max_size=5, unique_by=lambda row: row["ticker"]), cut=st.integers(0, 5))
@examples
def test_any_market_table_reads_back_however_markets_joined(
    store: SessionStore, rows: list[dict[str, object]], cut: int
) -> None:
    table, name = pa.Table.from_pylist(rows, schema=MARKETS), fresh_id()
    with store.writer(name, manifest=draft()) as writer:
        writer.add_markets(table.slice(0, cut))
        writer.add_markets(table.slice(cut))
        assert writer.market_rows == len(rows)
        writer.commit()
    assert store.open(name).markets().equals(table)


def test_truth_reads_back(store: SessionStore) -> None:
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.add_truth(truth_table(10))
        writer.add_truth(truth_table(5))
        manifest = writer.commit()
    assert manifest.has_truth
    assert store.open("s").truth().equals(pa.concat_tables([truth_table(10), truth_table(5)]))


def test_received_frames_are_kept_byte_for_byte_and_the_last_word_counts(store: SessionStore) -> None:
    frames = [bytes(range(256)) * 3, b"", b"\0"]
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.put_raw(1, b"half")
        for number, content in enumerate(frames):
            writer.put_raw(number, content)
        manifest = writer.commit()
    session = store.open("s")
    assert [session.raw_part(name) for name in session.raw_parts] == frames
    assert [manifest.files[raw_name(n)].sha256 for n in range(3)] == [hashlib.sha256(f).hexdigest() for f in frames]
    assert (manifest.raw_bytes, store.summary("s").raw_bytes) == (769, 769)


def test_a_part_is_stored_once_and_in_its_turn(store: SessionStore) -> None:
    first, second = random_updates(10, markets=1, seed=1), random_updates(20, markets=1, seed=2)
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        with pytest.raises(UsageError, match=r"part 1 .* is early: 0 are stored"):
            writer.write_part(1, first)
        writer.write_part(0, first)
        writer.write_part(0, second)
        writer.write_part(1, second)
        assert (writer.parts, writer.rows) == (2, 30)
        writer.append(first)
        with pytest.raises(UsageError, match=r"10 rows wait before part 2. Call flush"):
            writer.write_part(2, first)
        writer.commit()
    assert store.open("s").updates().equals(pa.concat_tables([first, second, first]))


def test_a_session_is_resumed_where_it_stands(store: SessionStore) -> None:
    rows = [random_updates(10, markets=1, seed=seed) for seed in range(3)]
    with pytest.raises(UnknownName):
        store.resume("s")
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.write_part(0, rows[0])
        writer.put_raw(0, b"x")
        writer.describe(signals=["wind"], unknowns=["why"], origin={"collect": {"shards": 4}})
        with pytest.raises(SessionBusy):
            store.resume("s")
    assert store.summary("s").state == "unfinished"
    with store.resume("s") as writer:
        assert (writer.parts, writer.rows, writer.market_rows, writer.raw_parts) == (1, 10, 1, {raw_name(0)})
        assert writer.manifest.signals == ["wind"]
        writer.add_markets(market_table("B"))
        writer.write_part(0, rows[2])
        writer.write_part(1, rows[1])
        with pytest.raises(UsageError, match=r"begun by an earlier writer"):
            writer.discard()
        manifest = writer.commit()
    assert manifest.origin == {"collect": {"shards": 4}}
    assert store.open("s").updates().equals(pa.concat_tables(rows[:2]))
    assert store.open("s").tickers() == ["A", "B"]
    with pytest.raises(UsageError, match=r"finished"):
        store.resume("s")


def test_a_writer_is_told_what_the_session_is_and_not_what_is_computed(store: SessionStore) -> None:
    with store.writer("s", manifest=draft()) as writer:
        for wrong in ({"updates": 5}, {"id": "t"}, {"content": "x"}, {"colour": "red"}):
            with pytest.raises(UsageError, match=f"not described by {next(iter(wrong))}"):
                writer.describe(**wrong)
        with pytest.raises(UsageError, match=r"Expected `bool`"):
            writer.describe(has_trades="perhaps")
        writer.describe(has_trades=False)
        found = store.summary("s").manifest
        assert found is not None and not found.has_trades
        writer.discard()


def test_of_two_writers_the_second_is_refused_and_a_dead_one_is_replaced(store: SessionStore) -> None:
    writer = store.writer("s", manifest=draft())
    writer.add_markets(market_table("A"))
    for attempt in (lambda: store.writer("s", manifest=draft()), lambda: store.resume("s"), lambda: store.recover("s")):
        with pytest.raises(SessionBusy, match=r"being written by process \d+"):
            attempt()
    with pytest.raises(SessionBusy):
        store.delete("s", expected_rows=0)
    bury(store, "s")
    second = store.resume("s")
    for late in (lambda: writer.write_part(0, random_updates(1, markets=1, seed=1)), writer.commit, writer.discard):
        with pytest.raises(SessionBusy, match=r"was taken from this process: process \d+ on .* has it now"):
            late()
    writer.close()
    second.write_part(0, random_updates(2, markets=1, seed=2))
    assert second.commit().updates == 2
    assert store.summary("s").state == "finished"


def test_the_lock_of_another_machine_goes_only_by_its_name(store: SessionStore) -> None:
    store.writer("s", manifest=draft()).close()
    with pytest.raises(NothingToDo, match=r"nobody writes"):
        store.unlock("s", host="elsewhere")
    gone = Owner(host="elsewhere", pid=7, birth=5, since="2026-01-05T15:00")
    store.backend.create("s", LOCK, msgspec.json.encode(gone))
    with pytest.raises(SessionBusy, match=r"process 7 on elsewhere since 2026-01.*unlock s --host 'elsewhere'"):
        store.resume("s")
    with pytest.raises(UsageError, match=r"not on 'here'"):
        store.unlock("s", host="here")
    assert store.unlock("s", host="elsewhere") == gone
    writer = store.resume("s")
    with pytest.raises(SessionBusy, match=r"which lives"):
        store.unlock("s", host=Owner.this().host)
    writer.close()


def test_a_listing_reads_no_rows_and_counts_them_all(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written(store, random_updates(10, markets=1, seed=1), [5], market_table("A"), "done")
    with store.writer("left", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.append(random_updates(7, markets=1, seed=2))
    writing = store.writer("now", manifest=draft())
    monkeypatch.setattr(type(store.backend), "read_table", None)
    monkeypatch.setattr(type(store.backend), "checksum", None)
    listed = [(one.id, one.state, one.rows) for one in store.list()]
    assert listed == [("done", "finished", 10), ("left", "unfinished", 7), ("now", "writing", 0)]
    writing.close()


def test_a_deletion_needs_the_counted_rows(store: SessionStore) -> None:
    session = written(store, random_updates(10, markets=1, seed=1), [5], market_table("A"))
    held = store.count(session.id)
    assert (held.rows, held.parts, held.kinds, held.unreadable) == (10, 2, session.manifest.kinds, [])
    assert held.bytes == store.summary(session.id).bytes
    with pytest.raises(UsageError, match=r"holds 10 updates, not 0: nothing was deleted"):
        store.delete(session.id, expected_rows=0)
    assert verify_session(store, session.id).is_whole
    assert store.delete(session.id, expected_rows=10) == held
    assert store.ids() == []


DAMAGES = ["row", "lost row", "markets", "truth", "raw", "missing part", "missing raw", "missing markets", "manifest"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_of_every_piece_is_found(store: SessionStore, damage: str) -> None:
    table, backend = random_updates(10, markets=1, seed=1), store.backend
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.write_part(0, table.slice(0, 5))
        writer.write_part(1, table.slice(5))
        writer.put_raw(0, b"frames")
        writer.add_truth(truth_table(4))
        manifest = writer.commit()
    assert verify_session(store, "s").is_whole
    other = random_updates(10, markets=1, seed=2)
    if damage == "row":
        backend.write_table("s", part_name(1), [other.slice(5)], UPDATES)
    elif damage == "lost row":
        backend.write_table("s", part_name(1), [table.slice(6)], UPDATES)
    elif damage == "markets":
        backend.write_table("s", MARKETS_FILE, [market_table("B")], MARKETS)
    elif damage == "truth":
        backend.write_table("s", TRUTH_FILE, [truth_table(4).slice(1), truth_table(1)], TRUTH)
    elif damage == "raw":
        backend.write("s", raw_name(0), b"Frames")
    elif damage == "manifest":
        wrong = msgspec.structs.replace(manifest, kinds={"DELTA": 10}, last_ns=1)
        backend.write("s", MANIFEST, msgspec.json.encode(wrong))
    else:
        names = {"missing part": part_name(0), "missing raw": raw_name(0), "missing markets": MARKETS_FILE}
        backend.remove("s", names[damage])
    check = verify_session(store, "s")
    assert not check.is_whole and check.state == "damaged"


def test_pieces_that_no_manifest_names_are_noted_and_do_no_harm(store: SessionStore) -> None:
    session = written(store, random_updates(10, markets=1, seed=1), [], market_table("A"))
    store.backend.write_table(session.id, part_name(7), [random_updates(3, markets=1, seed=1)], UPDATES)
    check = verify_session(store, session.id)
    assert check.is_whole and [note.split()[0] for note in check.notes] == [part_name(7)]
    assert store.open(session.id).updates().num_rows == 10


def test_a_copy_is_equal_and_is_made_once(store: SessionStore, tmp_path: Path) -> None:
    source = store_of_kind("folder", tmp_path / "from")
    table = random_updates(100, markets=2, seed=1)
    with source.writer("s", manifest=draft(signals=["x"], grids=[[[0, 10_000, 100]]], unknowns=["this"])) as writer:
        writer.add_markets(market_table("A", "B"))
        writer.write_part(0, table.slice(0, 30))
        writer.write_part(1, table.slice(30, 0))
        writer.write_part(2, table.slice(30))
        writer.put_raw(0, b"frames")
        writer.put_raw(3, b"more")
        writer.add_truth(truth_table(4))
        writer.commit()
    session = source.open("s")
    there = copy_session(session, store, "t")
    assert (there.was_there, there.updates, there.content) == (False, 100, session.checksum)
    copy = store.open("t")
    assert copy.updates().equals(table) and copy.truth().equals(truth_table(4)) and copy.markets().num_rows == 2
    assert [copy.raw_part(name) for name in copy.raw_parts] == [b"frames", b"more"]
    same = msgspec.structs.replace(copy.manifest, id="s", files=session.manifest.files)
    assert same == session.manifest
    assert copy_session(session, store, "t").was_there
    back = copy_session(copy, source, "back")
    assert back.content == session.checksum and verify_session(source, "back").is_whole
    written(store, table.slice(1), [], market_table("A", "B"), "other")
    with pytest.raises(UsageError, match=r"has another session 'other'"):
        copy_session(session, store, "other")
    store.writer("begun", manifest=draft()).close()
    with pytest.raises(UsageError, match=r"is unfinished and no copy of this one"):
        copy_session(session, store, "begun")


def test_a_copy_of_a_changed_source_is_refused_at_the_end(store: SessionStore, tmp_path: Path) -> None:
    source = store_of_kind("memory", tmp_path)
    session = written(source, random_updates(10, markets=1, seed=1), [], market_table("A"))
    source.backend.write_table(session.id, part_name(0), [random_updates(10, markets=1, seed=2)], UPDATES)
    with pytest.raises(SessionDamaged, match=r"has content .*, expected .*no true copy|not a true copy"):
        copy_session(session, store, "t")
    with pytest.raises(SessionUnfinished):
        store.open("t")


def test_rows_without_a_value_are_refused(store: SessionStore) -> None:
    table = random_updates(2, markets=1, seed=1)
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        at = UPDATES.get_field_index("size")
        with pytest.raises(DataError, match=r"no value in column size"):
            writer.write_part(0, table.set_column(at, UPDATES.field(at), pa.array([1, None], pa.int64())))
        writer.discard()


def test_a_session_that_could_not_be_begun_is_begun_again(store: SessionStore) -> None:
    """Killed after the lock and before the draft: nothing of it is there."""
    store.backend.create("s", LOCK, msgspec.json.encode(msgspec.structs.replace(Owner.this(), birth=1)))
    with pytest.raises(UnknownName):
        store.resume("s")
    store.writer("s", manifest=draft()).discard()
    assert store.ids() == []


def test_a_list_while_sessions_come_and_go_never_calls_one_damaged(store: SessionStore) -> None:
    """What is deleted, or finished, between two looks at it is looked at again."""
    over = threading.Event()
    seen: set[tuple[str, str]] = set()

    def look() -> None:
        while not over.is_set():
            seen.update((one.state, one.problem) for one in store.list())

    written(store, random_updates(5, markets=1, seed=1), [], market_table("A"), "stays")
    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            for seed in range(12):
                written(store, random_updates(20, markets=1, seed=seed), [10], market_table("A"), f"s{seed % 2}")
                store.delete(f"s{seed % 2}", expected_rows=20)
        finally:
            over.set()
        for one in looking:
            one.result(20)
    assert {state for state, _ in seen} <= {"finished", "writing", "unfinished"} and ("finished", "") in seen
