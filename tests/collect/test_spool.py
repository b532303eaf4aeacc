"""The spool: a prefix of what was appended survives anything, and segments are in the order of the session."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.disk import LOCK, Disk
from kalshi_ray.collect.facts import Facts, MarketRow
from kalshi_ray.collect.journal import START, BlockKind, Content, Entry, header_of
from kalshi_ray.collect.segment import Head, head_in, raw_file, rows_file
from kalshi_ray.collect.spool import Spool
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.owner import Owner
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import DataError, SessionBusy, SessionDamaged, StoreFull, UsageError
from tests.collect.crash_disk import CrashDisk, Killed, Medium
from tests.collect.spooling import HEAD, IDENTITY, MARKETS, block_at, lines_of, rows_at
from tests.data.limits import files_of_at_most


def opened(medium: Medium | None = None, head: Head = HEAD) -> Spool:
    disk = CrashDisk(medium or Medium(), random.Random(0))
    return Spool.open(disk.folder, head, disk=disk)


def disk_of(spool: Spool) -> CrashDisk:
    disk = spool._disk
    assert isinstance(disk, CrashDisk)
    return disk


def begun(medium: Medium | None = None) -> Spool:
    spool = opened(medium)
    spool.note(MARKETS)
    return spool


def numbers_in(spool: Spool) -> list[int]:
    """The numbers of all rows of a spool, in the order in which they would be stored; ends every line."""
    spool.append([Block(line=line, rows=np.empty(0, ROW), is_last=True) for line in spool.open_lines])
    spool.seal()
    found: list[int] = []
    for number in spool.sealed():
        found += spool.segment(number).rows["seq"].tolist()
    return found


# --- the order of rows -------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[Block | None]:
    """Blocks of a few lines in the order of their arrival; None seals. Many rows are at the same time."""
    floors = dict.fromkeys((1, 2, 3), 10)
    sealed, row, found = 10, 0, []
    for line in floors:
        found.append(block_at([], 0, line, until_ns=10))
    for _ in range(draw(st.integers(0, 25))):
        if draw(st.integers(0, 5)) == 0:
            found.append(None)
            sealed = max(sealed, min(floors.values()))
            continue
        line = draw(st.sampled_from(sorted(floors)))
        times, at = [], max(floors[line], sealed)
        for _ in range(draw(st.integers(0, 3))):
            at += draw(st.sampled_from([0, 0, 1, 2]))
            times.append(at)
        floors[line] = at + draw(st.sampled_from([0, 0, 1]))
        found.append(block_at(times, row, line, until_ns=floors[line]))
        row += len(times)
    return found


@given(histories())
def test_rows_are_by_time_then_line_then_arrival_however_segments_were_cut(history: list[Block | None]) -> None:
    spool, arrived = begun(), []
    for block in history:
        if block is None:
            spool.seal()
            continue
        spool.append([block])
        arrived += [(int(row["recv_ns"]), block.line, int(row["seq"])) for row in block.rows]
    assert numbers_in(spool) == [number for _, _, number in sorted(arrived)]
    raw = [line for number in spool.sealed() for line in lines_of(spool.segment(number).raw)]
    assert raw == [str(number) for _, _, number in sorted(arrived, key=lambda row: row[2])]
    segments = [spool.segment(number) for number in spool.sealed()]
    for segment, (rows, _) in zip(segments, spool.waiting.values(), strict=True):
        assert len(segment.rows) == rows and (segment.rows["recv_ns"] < segment.until_ns).all()
    for before, after in itertools.pairwise(segments):
        assert (after.rows["recv_ns"] >= before.until_ns).all() and before.until_ns <= after.until_ns


@given(histories())
def test_a_spool_that_is_opened_again_is_the_same(history: list[Block | None]) -> None:
    medium = Medium()
    spool = begun(medium)
    for block in history:
        spool.seal() if block is None else spool.append([block])
        spool.sync()
        again = opened(medium)
        assert again.repaired is None and again.is_taken_up
        for name in ("number", "facts", "last_ns", "next_line", "open_lines", "rows", "ready_rows", "waiting", "bytes"):
            assert getattr(again, name) == getattr(spool, name), name
        assert again.told.tobytes() == spool.told.tobytes()
        spool = again
    rows = sum(len(block.rows) for block in history if block is not None)
    assert sorted(numbers_in(spool)) == list(range(rows))


def test_what_was_told_last_of_each_market_goes_from_segment_to_segment() -> None:
    medium = Medium()
    spool = begun(medium)
    rows = rows_at(range(10, 20), 0)
    rows["market"] = [0, 1, 0, 0, 2, -1, 0, 1, 0, 0]
    rows["kind"][:] = Kind.DELTA
    rows["kind"][[0, 1, 2, 5]], rows["kind"][[3, 6]] = Kind.STATUS, Kind.GRID
    spool.append([Block(line=1, rows=rows[:5], until_ns=12), Block(line=1, rows=rows[5:])])
    told = [1, 2, 6]  # the last status of market 1 and of 0, and the last grid of 0
    assert spool.told["seq"].tolist() == told
    for _ in range(2):
        spool.seal()
        spool = opened(medium)
        assert spool.told["seq"].tolist() == told
    assert disk_of(spool) and spool.number == 2


def test_rows_at_the_watermark_wait_for_others_of_that_time() -> None:
    spool = begun()
    spool.append([block_at([10, 20], 0, 2), block_at([20], 2, 3)])
    spool.seal()
    spool.append([block_at([20], 3, 2), block_at([20], 4, 1)])
    assert numbers_in(spool) == [0, 4, 1, 3, 2]


def test_a_line_that_says_nothing_holds_the_watermark_until_it_is_closed() -> None:
    spool = begun()
    spool.append([block_at([], 0, 1, until_ns=5), block_at([10, 20], 0, 2)])
    assert spool.ready_rows == 0
    spool.seal()
    assert len(spool.segment(0).rows) == 0 and spool.rows == 2
    spool.append([Block(line=1, rows=np.empty(0, ROW), is_last=True)])
    spool.append([block_at([30], 2, 2)])
    spool.seal()
    assert spool.segment(1).rows["seq"].tolist() == [0, 1] and spool.rows == 1


def test_without_open_lines_everything_is_sealed() -> None:
    spool = begun()
    spool.append([block_at([10, 20], 0, 1, is_last=True)])
    assert spool.ready_rows == 2
    spool.seal()
    assert spool.segment(0).rows["seq"].tolist() == [0, 1] and spool.rows == 0


def test_the_desk_is_a_line_which_opens_again() -> None:
    spool = begun()
    spool.append([block_at([10], 0, DESK, is_last=True)])
    spool.append([block_at([10], 1, DESK)])
    assert numbers_in(spool) == [0, 1]


def test_blocks_that_only_say_that_there_is_nothing_are_written_together() -> None:
    medium = Medium()
    spool = begun(medium)
    spool.append([block_at([10], 0, 1), block_at([10], 1, 2)])
    spool.sync()
    before = spool.bytes
    for at in range(11, 100):
        spool.append([block_at([], 0, 1, until_ns=at), block_at([], 0, 2, until_ns=at)])
    assert spool.bytes == before and not spool.is_synced
    spool.sync()
    assert spool.bytes - before < 150 and spool.is_synced
    assert opened(medium).open_lines == {1: 99, 2: 99}


# --- promises of the caller --------------------------------------------------------------------------------------


def refused(block: Block, *before: Block) -> str:
    """Why a block is refused; that nothing of it was written is checked."""
    spool = begun()
    spool.append([block_at([10, 20], 0, 1), block_at([5], 2, 2, is_last=True), *before])
    state = (spool.bytes, spool.rows, spool.open_lines, spool.last_ns)
    with pytest.raises(DataError) as caught:
        spool.append([block_at([21], 3, 1), block])
    assert (spool.bytes, spool.rows, spool.open_lines, spool.last_ns) == state
    spool.append([block_at([21], 3, 1)])
    return str(caught.value)


def test_a_time_that_falls_along_a_line_is_refused() -> None:
    assert "line 1 brought a row of 20, after it was complete up to 21" in refused(block_at([20], 9, 1))
    assert "line 1 brought a row of 30 after one of 31" in refused(block_at([31, 30], 9, 1))
    assert "complete up to 40" in refused(block_at([39], 9, 3), block_at([10], 8, 3, until_ns=40))


def test_a_row_before_the_sealed_time_is_refused() -> None:
    spool = begun()
    spool.append([block_at([10, 20], 0, 1)])
    spool.seal()
    with pytest.raises(DataError, match="line 2 brought a row of 19, after the session was complete up to 20"):
        spool.append([block_at([19], 2, 2)])
    spool.append([block_at([20], 2, 2)])


def test_a_line_that_is_over_and_numbers_out_of_nowhere_are_refused() -> None:
    assert "line 2 is over. A line that opens has the number 3" in refused(block_at([30], 9, 2))
    assert "number -1, expected 3" in refused(block_at([30], 9, -1))
    assert "number 134217727, expected 3" in refused(block_at([30], 9, 134217727))
    medium = Medium()
    spool = begun(medium)
    spool.append([block_at([10], 0, 7), block_at([10], 1, 5)])  # numbers are given in order, blocks need not come so
    spool.sync()
    with pytest.raises(DataError, match="line 6 is over"):  # of the life before
        opened(medium).append([block_at([20], 2, 6)])


def test_markets_that_are_not_known_are_refused() -> None:
    rows = rows_at([30], 9)
    rows["market"] = 4
    assert "rows of markets 4..4, 4 are known" in refused(Block(line=1, rows=rows))
    rows["market"] = -2
    assert "rows of markets -2..-2" in refused(Block(line=1, rows=rows))


def test_rows_of_another_layout_and_raw_lines_without_bytes_are_refused() -> None:
    assert "rows of int64, expected" in refused(Block(line=1, rows=np.zeros(1, np.int64)))
    assert "0 raw bytes of 2 lines" in refused(Block(line=1, rows=np.empty(0, ROW), raw_lines=2))


def test_a_market_is_noted_once() -> None:
    spool = begun()
    with pytest.raises(DataError, match="market T1 was noted before"):
        spool.note(Facts(markets=(MarketRow(ticker="T1"),)))
    with pytest.raises(DataError, match="noted twice at once"):
        spool.note(Facts(markets=(MarketRow(ticker="X"), MarketRow(ticker="X"))))
    spool.note(Facts(markets=(MarketRow(ticker="X"),), signals=("wind",)))
    assert len(spool.facts.markets) == 5 and spool.facts.signals == ("wind",)


def test_segments_are_dropped_oldest_first() -> None:
    spool = begun()
    for at in (10, 20, 30):
        spool.append([block_at([at], at, 1)])
        spool.seal()
    with pytest.raises(UsageError, match="segment 1 cannot be dropped before segment 0"):
        spool.drop(1)
    with pytest.raises(UsageError, match="no sealed segment 3"):
        spool.segment(3)
    spool.drop(0)
    assert spool.sealed() == [1, 2] and spool.segment(1).rows["seq"].tolist() == [10]


# --- what a crash leaves -----------------------------------------------------------------------------------------

BLOCKS = [
    block_at([10, 12], 0, 1),
    block_at([11], 2, 2),
    block_at([], 0, 2, until_ns=13),
    block_at([13, 14, 15], 3, 1),
    block_at([13], 6, 2, is_last=True),
    block_at([20], 7, 3),
]
ROWS_OF = [[0, 1], [2], [], [3, 4, 5], [6], [7]]


def small(synced: int | None = None) -> tuple[Medium, list[tuple[int, int]]]:
    """A spool of BLOCKS, synced behind that many of them; and where its files end after the head, then each block."""
    medium = Medium()
    spool = opened(medium)
    ends = [tuple(spool._segment.mark[:2])]
    spool.note(MARKETS)
    spool.sync()
    ends.append(tuple(spool._segment.mark[:2]))
    for at, block in enumerate(BLOCKS):
        spool.append([block])
        if at + 1 == synced:
            spool.sync()
        ends.append(tuple(spool._segment.mark[:2]))
    return medium, ends


def copy_of(medium: Medium, name: str, content: bytes) -> Medium:
    copy = Medium()
    for one, inode in medium.names.items():
        disk = CrashDisk(copy, random.Random(0))
        disk.write(one, 0, [content if one == name else bytes(inode.now)])
        disk.sync(one)
    return copy


def expected(blocks: int) -> list[int]:
    rows = [(row["recv_ns"], block.line, row["seq"]) for block in BLOCKS[:blocks] for row in block.rows]
    return [int(number) for _, _, number in sorted(rows)]


@pytest.mark.parametrize("name", [rows_file(0), raw_file(0)])
def test_a_cut_at_any_byte_leaves_what_was_whole_before_it(name: str) -> None:
    medium, ends = small()
    content = bytes(medium.names[name].now)
    side = 0 if name == rows_file(0) else 1
    for length in range(ends[0][side], len(content)):
        spool = opened(copy_of(medium, name, content[:length]))
        whole = max(at for at, end in enumerate(ends) if end[side] <= length)
        if side == 1:  # the journal is cut to what the raw lines have
            whole = next(at for at, end in enumerate(ends) if at + 1 == len(ends) or ends[at + 1][1] > length)
        assert numbers_in(spool) == expected(max(whole - 1, 0)), length
        assert spool.segment(0).raw_lines == len(expected(max(whole - 1, 0)))


def test_a_cut_in_the_head_is_damage() -> None:
    medium, ends = small()
    content = bytes(medium.names[rows_file(0)].now)
    for length in range(ends[0][0]):
        with pytest.raises(SessionDamaged, match=r"/nowhere/segment-00000.rows is damaged at byte 0"):
            opened(copy_of(medium, rows_file(0), content[:length]))


def test_what_was_cut_is_told() -> None:
    medium, ends = small()
    content = bytes(medium.names[rows_file(0)].now)
    spool = opened(copy_of(medium, rows_file(0), content[: ends[-2][0] + 5]))
    assert spool.repaired is not None
    assert (spool.repaired.bytes, spool.repaired.raw_bytes) == (5, ends[-1][1] - ends[-2][1])
    assert spool.repaired.problem == "no whole header" and spool.repaired.blocks == 0
    assert disk_of(spool).size(rows_file(0)) == ends[-2][0] and disk_of(spool).size(raw_file(0)) == ends[-2][1]
    assert opened(disk_of(spool).medium).repaired is None


@pytest.mark.parametrize("name", [rows_file(0), raw_file(0)])
@pytest.mark.parametrize("synced", [None, 2, 4])
def test_a_flip_at_any_byte_leaves_a_prefix_or_is_damage_if_it_had_been_synced(name: str, synced: int | None) -> None:
    medium, ends = small(synced)
    content = bytes(medium.names[name].now)
    side = 0 if name == rows_file(0) else 1
    safe = ends[(synced or 0) + 1][side]  # a later block says so
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 0x10
        copy = copy_of(medium, name, bytes(broken))
        if place < safe:
            with pytest.raises(SessionDamaged, match="is damaged at byte"):
                opened(copy)
            assert copy.names[name].now == broken  # nothing was touched
            continue
        spool = opened(copy)
        whole = max(at for at, end in enumerate(ends) if end[side] <= place)
        assert spool.repaired is not None and numbers_in(spool) == expected(whole - 1), place


def sealed_pair() -> tuple[Medium, int]:
    """Two segments, of which the second has rows of its own and carried ones; and where its head and they end."""
    medium = Medium()
    spool = begun(medium)
    spool.append(BLOCKS[:4])
    spool.seal()
    stop = spool._segment.mark.rows
    assert spool.rows == 3
    spool.append(BLOCKS[4:])
    spool.sync()
    return medium, stop


def test_damage_of_a_sealed_segment_is_an_error_that_names_file_and_place() -> None:
    medium, _ = sealed_pair()
    for name in (rows_file(0), raw_file(0)):
        content = bytes(medium.names[name].now)
        for place in range(len(content)):
            broken = bytearray(content)
            broken[place] ^= 0x01
            with pytest.raises(SessionDamaged, match=r"segment-00000\.rows .*(byte|seal)") as caught:
                spool = opened(copy_of(medium, name, bytes(broken)))
                spool.segment(0)
            assert "Restore" in str(caught.value)
            with pytest.raises(SessionDamaged, match=r"segment-00000\.rows .*(byte|seal)"):
                opened(copy_of(medium, name, content[:place])).segment(0)


def test_damage_of_carried_rows_is_an_error() -> None:
    medium, stop = sealed_pair()
    name = rows_file(1)
    content = bytes(medium.names[name].now)
    for length in range(stop):
        with pytest.raises(SessionDamaged, match=r"segment-00001\.rows is damaged at byte"):
            opened(copy_of(medium, name, content[:length]))


def test_a_segment_that_is_missing_in_between_is_an_error() -> None:
    medium = Medium()
    spool = begun(medium)
    for at in (10, 20, 30):
        spool.append([block_at([at], at, 1)])
        spool.seal()
    last = medium.names.pop(rows_file(3))
    with pytest.raises(SessionDamaged, match=r"segment-00003\.rows is missing"):
        opened(medium)
    medium.names[rows_file(3)] = last
    del medium.names[rows_file(1)]
    with pytest.raises(SessionDamaged, match=r"segments \[0, 2, 3\], expected an unbroken row"):
        opened(medium)


def test_a_seal_that_is_missing_in_between_is_an_error() -> None:
    medium = Medium()
    spool = begun(medium)
    for at in (10, 20, 30):
        spool.append([block_at([at], at, 1)])
        spool.seal()
    del medium.names[rows_file(0)].now[-1:]
    with pytest.raises(SessionDamaged, match=r"segment-00000\.rows has no seal at its end"):
        opened(medium)


def test_what_begins_with_something_else_is_no_segment() -> None:
    for content in (Content(kind=BlockKind.FACTS, payload=b"{}"), Content(kind=BlockKind.HEAD, payload=b"{")):
        medium = Medium()
        opened(medium)
        header, _ = header_of(content, START, 0)
        medium.names[rows_file(0)].now[:] = header + content.payload
        with pytest.raises(SessionDamaged, match=r"segment-00000\.rows (begins with a block of kind 4|has no head)"):
            opened(medium)


def test_a_crash_at_any_change_of_sealing_and_dropping_loses_and_doubles_nothing() -> None:
    for power, seed in [(False, 0)] + [(True, seed) for seed in range(40)]:
        for fuel in range(1, 40):
            medium, chance = Medium(), random.Random(seed)
            spool = begun(medium)
            spool.append(BLOCKS[:4])
            spool.sync()
            disk_of(spool).fuel = fuel
            disk_of(spool).chance = chance
            stored: list[int] = []
            try:
                spool.seal()
                stored = spool.segment(0).rows["seq"].tolist()
                spool.drop(0)
            except Killed:
                pass
            if power:
                medium.cut_power(chance)
            again = opened(medium)
            left = numbers_in(again)
            assert left == expected(4) or stored + left == expected(4)


# --- the disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_blocks_with_the_caller_and_no_half_of_them() -> None:
    for seed in range(30):
        medium = Medium()
        spool = begun(medium)
        disk_of(spool).chance = random.Random(seed)
        spool.append(BLOCKS[:2])
        state = (spool.bytes, spool.rows, spool.open_lines)
        for _ in range(2):
            disk_of(spool).is_full = True
            with pytest.raises(StoreFull, match=r"no space left while writing .*segment-00000.rows"):
                spool.append(BLOCKS[2:])
            assert (spool.bytes, spool.rows, spool.open_lines) == state
            assert disk_of(spool).size(rows_file(0)) + disk_of(spool).size(raw_file(0)) == state[0]
            with pytest.raises(StoreFull):
                spool.seal()
            with pytest.raises(StoreFull):
                spool.note(Facts(signals=("wind",)))
        disk_of(spool).is_full = False
        if seed % 2:
            spool = opened(medium)
            assert spool.repaired is None
        spool.append(BLOCKS[2:])
        assert numbers_in(spool) == expected(len(BLOCKS)) and spool.facts.signals == ()


def test_what_a_sync_failed_for_is_written_again_before_the_next() -> None:
    medium = Medium()
    spool = begun(medium)
    spool.sync()
    spool.append(BLOCKS[:4])
    disk_of(spool).cannot_sync = True
    with pytest.raises(DataError, match=r"cannot write .*: .*input/output error"):
        spool.sync()
    with pytest.raises(DataError):
        spool.seal()
    assert not spool.is_synced
    spool.append(BLOCKS[4:])
    disk_of(spool).cannot_sync = False
    spool.sync()
    assert spool.is_synced
    medium.cut_power(random.Random(1))
    assert numbers_in(opened(medium)) == expected(len(BLOCKS))


def test_a_seal_that_could_not_be_synced_is_completed_by_the_next_call() -> None:
    medium = Medium()
    spool = begun(medium)
    spool.append(BLOCKS[:4])
    spool.sync()
    disk = disk_of(spool)
    written = disk.write

    def write(name: str, position: int, buffers: list[bytes]) -> None:
        written(name, position, buffers)
        disk.cannot_sync = name == rows_file(0)  # which is the seal

    disk.write = write  # type: ignore[method-assign,assignment]
    with pytest.raises(DataError, match="cannot write"):
        spool.seal()
    assert spool.number == 0 and not spool.is_synced
    disk.write = written  # type: ignore[method-assign]
    with pytest.raises(DataError):
        spool.append(BLOCKS[4:])
    disk.cannot_sync = False
    spool.append(BLOCKS[4:])
    assert spool.number == 1 and spool.sealed() == [0]
    assert numbers_in(spool) == expected(len(BLOCKS))


def test_a_real_disk_that_takes_half_a_block_keeps_the_whole_ones(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool", HEAD)
    spool.note(MARKETS)
    spool.append(BLOCKS[:2])
    size = (tmp_path / "spool" / rows_file(0)).stat().st_size
    with files_of_at_most(size + 100), pytest.raises(StoreFull, match="the size to which files are limited"):
        spool.append(BLOCKS[2:])
    assert (tmp_path / "spool" / rows_file(0)).stat().st_size == size
    spool.append(BLOCKS[2:])
    spool.close()
    again = Spool.open(tmp_path / "spool", HEAD)
    assert again.repaired is None and numbers_in(again) == expected(len(BLOCKS))
    again.remove()
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("has_rows", [False, True])
def test_a_removal_that_is_cut_short_is_gone_on_with_and_never_leaves_raw_lines_alone(has_rows: bool) -> None:
    for fuel in range(1, 200):
        spool = begun()
        for number in range(3):
            spool.append([block_at([10 * number + 1], number, until_ns=10 * number + 2)])
            spool.seal()
        if has_rows:
            spool.append([block_at([10**6], 900)])
        disk, is_cut = disk_of(spool), False
        disk.fuel = fuel
        try:
            spool.remove()
        except Killed:
            is_cut = True
        names, disk.fuel = disk.names(), None
        journals = [name for name in names if name.endswith(".rows")]
        assert len(names) <= has_rows or journals, names
        assert journals or names in ([], [raw_file(3)])
        if journals:
            opened(disk.medium).remove()
            assert not disk.names()
        if not is_cut:
            assert fuel > 5
            return
    raise AssertionError("it never ends")


def test_of_many_segments_all_that_was_known_is_read_from_the_last_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = begun()
    for number in range(20):
        spool.append([block_at([10 * number + 1], number, until_ns=10 * number + 2)])
        spool.seal()
    read: list[str] = []

    def counted(entry: Entry, where: str) -> Head:
        read.append(where)
        return head_in(entry, where)

    monkeypatch.setattr("kalshi_ray.collect.repair.head_in", counted)
    again = opened(disk_of(spool).medium)
    assert [Path(where).name for where in read] == [rows_file(20)] and len(again.waiting) == 20


def test_a_write_of_many_buffers_is_one_write(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    buffers = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    disk.write("f", 3, buffers)
    assert disk.read("f") == b"\0\0\0" + b"".join(buffers)
    disk.rewrite("f", 1, 100)
    disk.sync("f")
    assert disk.read("f") == b"\0\0\0" + b"".join(buffers)
    disk.close()


# --- who may have it ---------------------------------------------------------------------------------------------


def test_a_second_spool_on_a_folder_is_refused_and_a_dead_one_replaced(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path, HEAD)
    with pytest.raises(SessionBusy, match="is being written by process"):
        Spool.open(tmp_path, HEAD)
    dead = replace_owner(Owner.this(), birth=1)
    (tmp_path / LOCK).write_bytes(msgspec.json.encode(dead))
    (tmp_path / f"{LOCK}.123.partial").write_bytes(b"half a lock")
    again = Spool.open(tmp_path, HEAD)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([LOCK, rows_file(0), raw_file(0)])
    again.close()
    assert not (tmp_path / LOCK).exists()
    spool._disk._lock = b""  # of a process that is dead
    spool.close()


def replace_owner(owner: Owner, birth: int) -> Owner:
    return msgspec.structs.replace(owner, birth=birth)


def test_a_spool_on_another_machine_or_with_a_lock_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(msgspec.json.encode(Owner(host="elsewhere", pid=1, birth=1)))
    with pytest.raises(SessionBusy, match=r"process 1 on elsewhere. .*if it is gone for certain, remove .*spool.lock"):
        Spool.open(tmp_path, HEAD)
    (tmp_path / LOCK).write_bytes(b"?")
    with pytest.raises(SessionBusy, match="an unknown machine"):
        Spool.open(tmp_path, HEAD)


@pytest.mark.parametrize("field", ["session", "store", "created"])
def test_the_spool_of_another_session_is_refused(field: str) -> None:
    medium = Medium()
    begun(medium)
    other = msgspec.structs.replace(IDENTITY, **{field: "other"})
    with pytest.raises(UsageError, match=r"is the spool of session 's' in /store, begun .*, not of session"):
        opened(medium, Head(identity=other, number=0))


def test_a_spool_of_another_version_is_refused() -> None:
    for head in (replaced_head(version=2), replaced_head(columns=(("market", "int32"),))):
        medium = Medium()
        opened(medium, head)
        with pytest.raises(SessionDamaged, match=r"this program reads .* Finish the session with the version"):
            opened(medium)


def replaced_head(**fields: object) -> Head:
    return msgspec.structs.replace(HEAD, **fields)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot write .*file"):
        Spool.open(tmp_path / "file", HEAD)


def test_blocks_are_frozen_and_need_not_be_contiguous() -> None:
    spool = begun()
    rows = rows_at([10, 11, 12, 13], 0)[::2]
    spool.append([replace(block_at([10, 12], 0), rows=rows)])
    assert numbers_in(spool) == [0, 2]


def test_a_spool_that_somebody_deletes_is_missed_at_the_next_sync(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool", HEAD)
    spool.note(MARKETS)
    spool.append([block_at([1], 0)])
    spool.sync()
    (tmp_path / "spool" / rows_file(0)).unlink()
    spool.append([block_at([2], 1)])  # nobody asks for the name of a file that is open
    with pytest.raises(DataError, match=r"segment-00000.rows: .*No such file"):
        spool.sync()
