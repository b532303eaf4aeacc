"""What a crash left of a spool: the whole blocks are kept, half a block at the end is cut, other damage is an error."""

from __future__ import annotations

from dataclasses import dataclass

from kalshi_ray.collect.disk import Disk, is_litter
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.journal import CARRIED, HEADER_BYTES, BlockKind, Entry, Header, Reader, read_header
from kalshi_ray.collect.segment import (
    RESTORE,
    Identity,
    Opened,
    damaged,
    go_on,
    head_in,
    identity_in,
    raw_file,
    raw_number,
    rows_file,
    rows_in,
    rows_number,
)
from kalshi_ray.collect.told import Told
from kalshi_ray.collect.watermark import Lines
from kalshi_ray.errors import SessionDamaged, UsageError


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What was cut off a spool: it had not been synced when the machine or the process died."""

    segment: int
    bytes: int  # of the journal
    raw_bytes: int
    blocks: int  # of the journal whose header was whole
    problem: str


@dataclass(kw_only=True)
class Found:
    """The last segment of a spool, and what is known at its end."""

    segment: Opened
    facts: Facts
    lines: Lines
    told: Told
    is_sealed: bool = False
    carried: int = 0  # rows of earlier segments in it
    has_own: bool = False  # something was appended to it
    repair: Repair | None = None


def find_segments(disk: Disk, identity: Identity) -> list[int]:
    """Numbers of the segments, without what crashes left of others. They must be of this session and in a row."""
    names = disk.names()
    numbers = sorted(number for name in names if (number := rows_number(name)) is not None)
    litter = [name for name in names if is_litter(name) or raw_number(name) not in (None, *numbers)]
    if litter:
        disk.sync_names()  # a journal that is gone must not come back without its raw lines
    for name in litter:
        disk.remove(name)
    if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise SessionDamaged(f"{disk.folder} has the segments {numbers}, expected an unbroken row", remedy=RESTORE)
    for number in numbers:
        found = read_identity(disk, number)
        if found != identity:
            raise UsageError(
                f"{disk.folder} is the spool of {found}, not of {identity}",
                remedy="Give another folder, or finish that session first",
            )
    return numbers


def read_identity(disk: Disk, number: int) -> Identity:
    """Whose a segment is: there may be thousands, each with thousands of markets in its head."""
    name = rows_file(number)
    header = read_header(disk.read_at(name, 0, HEADER_BYTES), 0)
    content = b"" if header is None else disk.read_at(name, 0, header.stop)
    reader = Reader(content, b"")
    first = next(iter(reader), None)
    if first is None:
        raise damaged(reader, disk.path(name))
    return identity_in(first, disk.path(name))


def seal_of(disk: Disk, number: int) -> Header | None:
    """The seal at the end of a segment."""
    name = rows_file(number)
    start = disk.size(name) - HEADER_BYTES
    header = read_header(disk.read_at(name, max(start, 0), HEADER_BYTES), 0)
    if header is None or header.kind != BlockKind.SEAL or header.position != start:
        return None
    return header


def read_last(disk: Disk, numbers: list[int]) -> Found:
    """The segment to go on with; drops a next one that was begun for a seal which was never written."""
    for number in numbers[:-2]:
        if seal_of(disk, number) is None:
            raise SessionDamaged(f"{disk.path(rows_file(number))} has no seal at its end", remedy=RESTORE)
    last = _read(disk, numbers[-1])
    if len(numbers) == 1:
        return _repaired(disk, *last)
    if seal_of(disk, numbers[-2]) is not None:
        # The process may have died between writing this seal and syncing it.
        disk.sync(rows_file(numbers[-2]))
        return _repaired(disk, *last)
    if last[0].has_own:
        raise SessionDamaged(f"{disk.path(rows_file(numbers[-2]))} has no seal at its end", remedy=RESTORE)
    before = _read(disk, numbers[-2])
    # The journal first: without it, its raw lines are litter.
    disk.remove(rows_file(numbers[-1]))
    disk.sync_names()
    disk.remove(raw_file(numbers[-1]))
    return _repaired(disk, *before)


def _read(disk: Disk, number: int) -> tuple[Found, Reader]:
    """The whole blocks of a segment, and the reader that stopped behind them."""
    name = rows_file(number)
    raw = disk.read(raw_file(number)) if raw_file(number) in disk.names() else b""
    reader = Reader(disk.read(name), raw)
    entries = iter(reader)
    first = next(entries, None)
    if first is None:
        raise damaged(reader, disk.path(name))
    head = head_in(first, disk.path(name))
    found = Found(segment=Opened(number=number), facts=head.facts, lines=head.lines, told=Told(head.told))
    for entry in entries:
        _take(found, entry)
    found.lines.begin_life()
    if found.carried != head.carried:
        raise damaged(reader, disk.path(name))
    found.segment.mark = reader.mark
    return found, reader


def _take(found: Found, entry: Entry) -> None:
    header = entry.header
    go_on(found.lines, entry)
    is_carried = header.kind == BlockKind.ROWS and bool(header.flags & CARRIED)
    found.has_own |= not is_carried
    if header.kind == BlockKind.ROWS and header.length:
        rows = rows_in(entry)
        position = header.position + HEADER_BYTES
        found.segment.add(header.line, int(rows["recv_ns"][-1]), position, len(rows))
        if is_carried:
            found.carried += len(rows)
        else:
            found.told.take(rows)
    elif header.kind == BlockKind.FACTS:
        found.facts += Facts.decode(entry.payload)
    elif header.kind == BlockKind.SEAL:
        found.is_sealed = True


def _repaired(disk: Disk, found: Found, reader: Reader) -> Found:
    """Cut what does not count, and sync the rest. SessionDamaged if that had been synced already."""
    number, mark = found.segment.number, found.segment.mark
    rows, raw = rows_file(number), raw_file(number)
    if reader.has_lost() or (found.is_sealed and reader.problem):
        raise damaged(reader, disk.path(rows))
    if found.is_sealed:  # its next one was on the disk before its seal was
        raise SessionDamaged(f"{disk.path(rows_file(number + 1))} is missing", remedy=RESTORE)
    raw_left = (disk.size(raw) if raw in disk.names() else 0) - mark.raw
    if reader.problem or raw_left:
        found.repair = Repair(
            segment=number,
            bytes=disk.size(rows) - mark.rows,
            raw_bytes=raw_left,
            blocks=len(reader.left()),
            problem=reader.problem or "raw lines of no block",
        )
        disk.truncate(rows, mark.rows)
    # What a dead process wrote may not be on the disk yet, and the name of the raw lines may be lost.
    disk.truncate(raw, mark.raw)
    disk.sync(raw)
    disk.sync(rows)
    disk.sync_names()
    found.segment.synced = mark
    return found
