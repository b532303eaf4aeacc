"""Raw parts packed: the same lines in fewer bytes, whatever happens on the way."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from kalshi_ray.core.units import SECOND
from kalshi_ray.data import packing
from kalshi_ray.data.compact import compact_session
from kalshi_ray.data.copying import copy_session
from kalshi_ray.data.packing import LEVEL, UNHURRIED, groups_of, pack_segment, plain_lines, raw_digest
from kalshi_ray.data.pieces import MANIFEST, number_of, raw_name
from kalshi_ray.data.schema import FileEntry, Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.verify import verify_session
from kalshi_ray.errors import SessionBusy, SessionDamaged, StoreDown
from tests.data.samples import draft, market_table, random_updates
from tests.data.stores import FaultyBackend, Killed, bury, store_of_kind

UPDATES = random_updates(30, markets=1, seed=1)
LINES = [
    b"".join(b'{"recv_ns":%d,"frame":{"n":%d}}\n' % (n, n * n) for n in range(p * 90, p * 90 + 90)) for p in range(9)
]
WHOLE = b"".join(LINES)


def as_recorded(lines: bytes) -> bytes:
    """Raw lines as a recorder writes them: a zstd frame for every few."""
    codec = pa.Codec("zstd", compression_level=1)
    return b"".join(codec.compress(lines[at : at + 400], asbytes=True) for at in range(0, len(lines), 400))


def recorded(store: SessionStore, name: str = "s") -> Session:
    """A session with nine raw parts, of which one is empty."""
    with store.writer(name, manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.write_part(0, UPDATES)
        for number, lines in enumerate(LINES):
            writer.put_raw(number + (number > 4), as_recorded(lines))
        writer.put_raw(5, b"")
        writer.commit()
    return store.open(name)


def lines_of(session: Session) -> bytes:
    return b"".join(stretch for name in session.raw_parts for stretch in plain_lines(session.raw_part(name), name))


def test_a_segment_that_came_slowly_has_the_same_lines_in_fewer_bytes() -> None:
    content = as_recorded(WHOLE)
    packed = pack_segment(content, 600 * SECOND, "segment 0")
    assert b"".join(plain_lines(packed, "")) == WHOLE and len(packed) < 0.4 * len(content)


def test_a_segment_that_came_fast_is_left_as_it_is() -> None:
    content = as_recorded(WHOLE)
    bound_ns = -(-len(content) * SECOND // UNHURRIED)
    assert pack_segment(content, bound_ns - 1, "") is content and pack_segment(content, bound_ns, "") is not content
    assert pack_segment(content, 0, "") is content


def test_a_segment_that_is_large_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_recorded(WHOLE)
    monkeypatch.setattr(packing, "PACKED", len(content) - 1)
    assert pack_segment(content, 600 * SECOND, "") is content


def test_a_segment_whose_lines_are_no_zstd_is_refused_by_name() -> None:
    with pytest.raises(SessionDamaged, match=r"segment 7 of /spool cannot be decompressed"):
        pack_segment(b"frames", 600 * SECOND, "segment 7 of /spool")


@pytest.fixture(params=["folder", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    return store_of_kind(request.param, tmp_path)


def test_packed_raw_parts_hold_the_same_lines_in_fewer_bytes(store: SessionStore) -> None:
    session = recorded(store)
    size = session.manifest.files[raw_name(0)].bytes
    digest = raw_digest(session)
    done = compact_session(store, "s", packed=3 * size)
    packed = store.open("s")
    assert (done.raw_parts_before, done.raw_parts) == (10, len(packed.raw_parts)) and 1 < done.raw_parts < 10
    assert (done.raw_bytes_before, done.raw_bytes) == (session.manifest.raw_bytes, packed.manifest.raw_bytes)
    assert done.raw_bytes < 0.7 * done.raw_bytes_before
    assert lines_of(packed) == WHOLE and raw_digest(packed) == digest
    assert packed.checksum == session.checksum and done.content == session.checksum
    assert {packed.manifest.files[name].level for name in packed.raw_parts} == {LEVEL}
    check = verify_session(store, "s")
    assert check.is_whole and not check.notes


def test_what_is_packed_is_not_packed_again(store: SessionStore) -> None:
    recorded(store)
    compact_session(store, "s")
    before = store.open("s").manifest
    done = compact_session(store, "s")
    assert store.open("s").manifest == before and done.raw_bytes == done.raw_bytes_before


def test_a_raw_part_that_was_damaged_is_named_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    session = recorded(store)
    wrong = bytearray(session.raw_part(raw_name(3)))
    wrong[20] ^= 0xFF
    store.backend.write("s", raw_name(3), bytes(wrong))
    with pytest.raises(SessionDamaged, match=r"raw/part-00003.jsonl.zst of session 's' is damaged"):
        compact_session(store, "s", packed=1)
    left = store.open("s")
    assert set(left.raw_parts) >= {raw_name(number) for number in range(4)}
    assert left.raw_part(raw_name(3)) == bytes(wrong)
    assert [check.name for check in verify_session(store, "s").pieces if check.problem] == [raw_name(3)]


def test_a_raw_part_that_is_no_zstd_is_refused_by_name(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    with store.writer("s", manifest=draft()) as writer:
        writer.add_markets(market_table("A"))
        writer.put_raw(0, b"frames")
        writer.commit()
    with pytest.raises(SessionDamaged, match=r"part-00000.jsonl.zst of session 's' cannot be decompressed"):
        compact_session(store, "s")
    assert store.open("s").raw_part(raw_name(0)) == b"frames"


def test_what_a_store_gives_back_otherwise_than_it_was_stored_replaces_nothing(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    recorded(store)

    class Forgetful(FaultyBackend):
        def write(self, session_id: str, name: str, content: bytes) -> None:
            store.backend.write(session_id, name, content if name == MANIFEST else content[:-1])

    forgetful = SessionStore(Forgetful(store.backend, 10**6, Killed(), when="before"))
    with pytest.raises(SessionDamaged):
        compact_session(forgetful, "s")
    check = verify_session(store, "s")
    assert check.is_whole and not check.notes and lines_of(store.open("s")) == WHOLE


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [Killed(), StoreDown("away")])
def test_a_packing_that_ends_at_any_call_leaves_all_lines_and_goes_on(
    when: str, fault: BaseException, tmp_path: Path
) -> None:
    done_before = set()
    for at in range(200):
        store = store_of_kind("memory", tmp_path)
        size = recorded(store).manifest.files[raw_name(0)].bytes
        backend = FaultyBackend(store.backend, at, fault, when="before" if when == "before" else "after")
        with suppress(Killed, StoreDown):
            compact_session(SessionStore(backend), "s", packed=3 * size)
        session = store.open("s")
        assert lines_of(session) == WHOLE, at
        assert verify_session(store, "s").is_whole
        bury(store, "s")
        packed = sum(entry.level > 0 for entry in session.manifest.files.values())
        done_before.add(packed)
        kept = {name: entry for name, entry in session.manifest.files.items() if entry.level}
        compact_session(store, "s", packed=3 * size)
        session = store.open("s")
        check = verify_session(store, "s")
        assert check.is_whole and not check.notes and lines_of(session) == WHOLE
        assert kept.items() <= session.manifest.files.items(), "what was packed is not packed again"
        if not backend.happened:
            assert done_before >= {0, 1, 2, 3}
            return
    raise AssertionError("it never ends")


def test_a_packing_whose_lock_was_taken_changes_nothing_more(tmp_path: Path) -> None:
    store = store_of_kind("folder", tmp_path)
    recorded(store)

    class Taken(FaultyBackend):
        def write(self, session_id: str, name: str, content: bytes) -> None:
            store.backend.write(session_id, name, content)
            bury(store, session_id)

    taken = SessionStore(Taken(store.backend, 10**6, Killed(), when="before"))
    with pytest.raises(SessionBusy, match=r"was taken from this process"):
        compact_session(taken, "s")
    assert len(store.open("s").raw_parts) == 10 and lines_of(store.open("s")) == WHOLE


@pytest.mark.parametrize("seed", range(50))
def test_each_group_has_a_free_number_behind_it_once_those_behind_are_packed(seed: int) -> None:
    chance = random.Random(seed)
    names = [raw_name(number) for number in sorted(chance.sample(range(40), chance.randrange(1, 20)))]
    entries = {n: FileEntry(0, chance.randrange(100), "", level=chance.choice((0, 0, LEVEL))) for n in names}
    manifest = Manifest(id="s", source="collect", files=entries)
    groups = groups_of(manifest, names, 150)
    assert [name for group in groups for name in group] == names[: sum(map(len, groups))]
    assert all(sum(entries[name].bytes for name in group) <= 150 for group in groups)
    behind = names[sum(map(len, groups)) :]
    assert all(entries[name].level == LEVEL for name in behind)
    for group in reversed(groups):
        made = number_of(group[-1]) + 1
        assert not behind or made < number_of(behind[0])
        behind = [raw_name(made), *behind]


def test_a_copy_of_a_packed_session_is_known_to_be_packed(store: SessionStore, tmp_path: Path) -> None:
    target = store_of_kind("folder", tmp_path / "target")
    recorded(store)
    compact_session(store, "s")
    session = store.open("s")
    copy_session(session, target)
    assert target.open("s").manifest.files[session.raw_parts[0]] == session.manifest.files[session.raw_parts[0]]


def test_a_copy_goes_on_though_the_frames_of_its_source_were_packed_in_between(tmp_path: Path) -> None:
    source, target = store_of_kind("folder", tmp_path / "a"), store_of_kind("folder", tmp_path / "b")
    broken = SessionStore(FaultyBackend(target.backend, 18, StoreDown("away"), when="before"))
    with pytest.raises(StoreDown):
        copy_session(recorded(source), broken)
    stored = target.backend.sizes("s")
    assert raw_name(0) in stored and raw_name(9) not in stored
    compact_session(source, "s")
    session = source.open("s")
    copied = copy_session(session, target)
    assert copied.content == session.checksum
    assert target.open("s").raw_parts == session.raw_parts and lines_of(target.open("s")) == WHOLE


def test_a_copy_that_was_packed_has_the_same_frames(tmp_path: Path) -> None:
    source, target = store_of_kind("folder", tmp_path / "a"), store_of_kind("folder", tmp_path / "b")
    session = recorded(source)
    copy_session(session, target)
    compact_session(source, "s")
    again = copy_session(source.open("s"), target)
    assert again.was_there and not again.lacks
    other = target.open("s").manifest
    files = {name: entry for name, entry in other.files.items() if name != raw_name(2)}
    target.backend.write("s", MANIFEST, msgspec.json.encode(msgspec.structs.replace(other, files=files)))
    assert copy_session(source.open("s"), target).lacks == ["received frames"]
