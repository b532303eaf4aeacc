"""The format of a spool's journal: blocks in a row, each held by checksums and tied to the one before it.

A block is a header and its payload. A header is whole if its own checksum is right; the block counts if it also stands
where it says, carries the checksum of the header before it, and payload and raw bytes are whole. The first that does
not count ends the journal: what is read is always a prefix of what was written.

Beside it lies the file of raw lines: zstd frames in a row, of which a block names its stretch and checksum.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"KRB1"
#                      kind line tally until_ns position payload raw_start raw_length previous payload_crc raw_crc
#                       flags raw_lines                synced
_FIELDS = struct.Struct("<4sBBHiIIqQQQQQIII")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size


class BlockKind(IntEnum):
    """What a block of a journal is."""

    HEAD = 1  # the first of a segment: segment.Head as JSON
    ROWS = 2  # rows of one line, and its raw lines; flags below
    FLOORS = 3  # pairs of int64: line, and the time before which it brings no more rows
    FACTS = 4  # facts.Facts as JSON, to be added to those known
    SEAL = 5  # the last of a segment; `until_ns`: all rows of later segments are at or after it; `tally`: rows


LAST_OF_LINE = 1  # flag of ROWS: the line is over
CARRIED = 2  # flag of ROWS: rows of an earlier segment that were too late for it


class Header(NamedTuple):
    """What stands before a payload."""

    kind: int
    flags: int
    line: int
    tally: int  # ROWS: frames received; SEAL: rows
    raw_lines: int
    until_ns: int
    position: int  # of this header in its file
    synced: int  # bytes of the file that were on the disk for certain when this was written
    length: int  # of the payload
    raw_start: int
    raw_length: int
    previous: int  # checksum of the header before it
    payload_crc: int
    raw_crc: int
    checksum: int  # of all the above

    @property
    def stop(self) -> int:
        """Where the next block begins."""
        return self.position + HEADER_BYTES + self.length


class Mark(NamedTuple):
    """Where a journal ends: bytes of both files, and the checksum that the next header carries on."""

    rows: int = 0
    raw: int = 0
    chain: int = 0


START = Mark()


class Entry(NamedTuple):
    """A whole block as it was read."""

    header: Header
    payload: memoryview


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a block is made of."""

    kind: BlockKind
    payload: bytes = b""
    raw: bytes = b""
    flags: int = 0
    line: int = 0
    tally: int = 0
    raw_lines: int = 0
    until_ns: int = 0


def header_of(block: Content, at: Mark, synced: int) -> tuple[bytes, Mark]:
    """The header of a block that is written at `at`, and where the journal ends then."""
    fields = _FIELDS.pack(
        MAGIC,
        block.kind,
        block.flags,
        0,
        block.line,
        block.tally,
        block.raw_lines,
        block.until_ns,
        at.rows,
        synced,
        len(block.payload),
        at.raw,
        len(block.raw),
        at.chain,
        zlib.crc32(block.payload),
        zlib.crc32(block.raw),
    )
    checksum = zlib.crc32(fields)
    stop = Mark(at.rows + HEADER_BYTES + len(block.payload), at.raw + len(block.raw), checksum)
    return fields + _CHECKSUM.pack(checksum), stop


def read_header(content: bytes | memoryview, position: int) -> Header | None:
    """The header at `position`; None if there is no whole one."""
    if position < 0 or position + HEADER_BYTES > len(content):
        return None
    (checksum,) = _CHECKSUM.unpack_from(content, position + _FIELDS.size)
    with memoryview(content)[position : position + _FIELDS.size] as fields:
        if fields[:4] != MAGIC or zlib.crc32(fields) != checksum:
            return None
    _, kind, flags, _, *rest = _FIELDS.unpack_from(content, position)
    return Header._make((kind, flags, *rest, checksum))


class Reader:
    """Reads the blocks of a segment, in order, until the first that does not count."""

    def __init__(self, rows: bytes, raw: bytes) -> None:
        self.mark = START  # where what was read ends
        self.problem = ""  # what is wrong there; empty: nothing follows
        self._content, self._rows, self._raw = rows, memoryview(rows), memoryview(raw)

    def __iter__(self) -> Iterator[Entry]:
        while self.mark.rows < len(self._rows):
            header = read_header(self._rows, self.mark.rows)
            self.problem = self._fault(header)
            if header is None or self.problem:
                return
            self.mark = Mark(header.stop, self.mark.raw + header.raw_length, header.checksum)
            yield Entry(header, self._rows[header.stop - header.length : header.stop])

    def left(self) -> list[Header]:
        """Headers that are whole, behind the place where reading ended."""
        found, position = [], self.mark.rows
        while (position := self._content.find(MAGIC, position)) >= 0:
            header = read_header(self._content, position)
            if header is not None and header.position == position:
                found.append(header)
            position += 1
        return found

    def has_lost(self) -> bool:
        """Whether what does not count had been synced, as later blocks say: then no crash did it, but the disk."""
        return any(header.synced > self.mark.rows for header in self.left())

    def _fault(self, header: Header | None) -> str:
        """What keeps a block from counting; empty if it does."""
        if header is None:
            return "no whole header"
        if header.position != self.mark.rows or header.previous != self.mark.chain:
            return "a block of another place"
        if header.stop > len(self._rows):
            return "a payload that is cut off"
        if zlib.crc32(self._rows[header.stop - header.length : header.stop]) != header.payload_crc:
            return "a payload whose checksum is wrong"
        raw_stop = header.raw_start + header.raw_length
        if header.raw_start != self.mark.raw or raw_stop > len(self._raw):
            return "raw lines that are missing"
        if zlib.crc32(self._raw[header.raw_start : raw_stop]) != header.raw_crc:
            return "raw lines whose checksum is wrong"
        return ""
