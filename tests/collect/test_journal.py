"""The journal: what is read is a prefix of what was written, whatever happened to the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.journal import MAGIC, START, BlockKind, Content, Mark, Reader, header_of, read_header

CONTENTS = st.lists(
    st.builds(
        Content,
        kind=st.sampled_from(BlockKind),
        payload=st.binary(max_size=40),
        raw=st.binary(max_size=40),
        flags=st.integers(0, 3),
        line=st.integers(0, 2**27),
        tally=st.integers(0, 2**32 - 1),
        raw_lines=st.integers(0, 2**32 - 1),
        until_ns=st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=5,
)


def written(contents: list[Content], synced: int = 0) -> tuple[bytes, bytes, list[Mark]]:
    """Both files, and where each block ends."""
    rows, raw, marks = b"", b"", [START]
    for content in contents:
        header, after = header_of(content, marks[-1], synced)
        rows, raw = rows + header + content.payload, raw + content.raw
        marks.append(after)
    return rows, raw, marks


@given(CONTENTS)
def test_blocks_come_back_as_they_were_written(contents: list[Content]) -> None:
    rows, raw, marks = written(contents)
    reader = Reader(rows, raw)
    found = list(reader)
    assert [bytes(entry.payload) for entry in found] == [content.payload for content in contents]
    for entry, content in zip(found, contents, strict=True):
        header = entry.header
        assert (header.kind, header.flags, header.line) == (content.kind, content.flags, content.line)
        assert (header.tally, header.raw_lines, header.until_ns) == (content.tally, content.raw_lines, content.until_ns)
        assert raw[header.raw_start : header.raw_start + header.raw_length] == content.raw
    assert reader.mark == marks[-1] == Mark(len(rows), len(raw), marks[-1].chain)
    assert reader.problem == "" and reader.left() == []


SAMPLE = [
    Content(kind=BlockKind.HEAD, payload=b"head"),
    Content(kind=BlockKind.ROWS, payload=b"first rows", raw=b"first raw", line=1),
    Content(kind=BlockKind.FACTS, payload=b""),
    Content(kind=BlockKind.ROWS, payload=MAGIC * 3, raw=b"second raw", line=2),
]


def test_any_cut_leaves_the_whole_blocks_before_it() -> None:
    rows, raw, marks = written(SAMPLE)
    for length in range(len(rows)):
        reader = Reader(rows[:length], raw)
        found = len(list(reader))
        assert found == sum(mark.rows <= length for mark in marks) - 1
        assert reader.mark == marks[found]
        assert bool(reader.problem) == (length != marks[found].rows)


def test_any_cut_of_the_raw_lines_leaves_the_blocks_that_have_theirs() -> None:
    rows, raw, marks = written(SAMPLE)
    for length in range(len(raw)):
        reader = Reader(rows, raw[:length])
        found = len(list(reader))
        assert marks[found].raw <= length and marks[found + 1].raw > length
        assert reader.problem == "raw lines that are missing"


def test_any_flipped_bit_leaves_the_whole_blocks_before_it() -> None:
    rows, raw, marks = written(SAMPLE)
    for place in range(len(rows) + len(raw)):
        for bit in range(8):
            broken = bytearray(rows + raw)
            broken[place] ^= 1 << bit
            reader = Reader(bytes(broken[: len(rows)]), bytes(broken[len(rows) :]))
            found = len(list(reader))
            if place < len(rows):
                assert marks[found].rows <= place < marks[found + 1].rows
            else:
                assert marks[found].raw <= place - len(rows) < marks[found + 1].raw
            assert reader.problem


def test_a_block_of_another_place_or_of_an_earlier_writing_does_not_count() -> None:
    rows, raw, marks = written(SAMPLE)
    moved = rows[: marks[1].rows] + rows[marks[2].rows :]
    reader = Reader(moved, raw)
    assert len(list(reader)) == 1 and reader.problem == "a block of another place"
    # The same place and length, but what came before was something else.
    other, _, _ = written(
        [SAMPLE[0], Content(kind=BlockKind.ROWS, payload=b"other rows", raw=b"first raw"), *SAMPLE[2:]]
    )
    reader = Reader(rows[: marks[2].rows] + other[marks[2].rows :], raw)
    assert len(list(reader)) == 2 and reader.problem == "a block of another place"


@pytest.mark.parametrize("synced", [True, False])
def test_a_later_block_proves_that_what_is_broken_had_been_synced(synced: bool) -> None:
    first = SAMPLE[:2]
    rows, raw, marks = written(first)
    header, _ = header_of(SAMPLE[3], marks[-1], synced=marks[-1].rows if synced else 0)
    content = rows + header + SAMPLE[3].payload
    broken = content[: marks[1].rows + 5] + b"?" + content[marks[1].rows + 6 :]
    reader = Reader(broken, raw + SAMPLE[3].raw)
    assert len(list(reader)) == 1
    assert len(reader.left()) == 1
    assert reader.has_lost() is synced


@given(st.binary(max_size=200))
def test_what_is_no_journal_has_no_blocks(content: bytes) -> None:
    reader = Reader(content, b"")
    assert list(reader) == [] and reader.mark == START
    assert read_header(content, 0) is None and read_header(content, -1) is None
