"""A segment of a spool: its files, how it begins, and its rows in the order of the session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.disk import Disk
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.journal import (
    CARRIED,
    HEADER_BYTES,
    LAST_OF_LINE,
    START,
    BlockKind,
    Content,
    Entry,
    Mark,
    Reader,
    header_of,
)
from kalshi_ray.collect.watermark import Lines
from kalshi_ray.data.files import PARTIAL
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import SessionDamaged

T = TypeVar("T")

VERSION = 1
COLUMNS = tuple((name, str(ROW[name])) for name in ROW.names or ())
RESTORE = (
    "Restore the file from a copy; to give up what is not in the store, move the spool away and recover the session"
)

_ROWS = re.compile(r"segment-(\d{5,})\.rows")
_RAW = re.compile(r"segment-(\d{5,})\.jsonl\.zst")


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which session a spool belongs to."""

    session: str
    store: str
    created: str = ""  # of the session, so that a later one of the same name is told apart

    def __str__(self) -> str:
        return f"session {self.session!r} in {self.store}" + (f", begun {self.created}" if self.created else "")


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first block of a segment: all that has to be known of earlier ones."""

    identity: Identity
    number: int
    version: int = VERSION
    columns: tuple[tuple[str, str], ...] = COLUMNS
    sealed_ns: int = 0  # rows of earlier segments are before it, none of this one is
    last_ns: int = 0
    next_line: int = 1
    floors: dict[int, int] = {}  # open lines
    facts: Facts = Facts()
    told: bytes = b""  # what rows so far said last of each market, those that follow included: told.Told
    carried: int = 0  # rows of earlier segments that were too late for them; they follow the head

    @property
    def lines(self) -> Lines:
        """The lines as they stood."""
        return Lines(floors=self.floors, next_line=self.next_line, sealed_ns=self.sealed_ns, last_ns=self.last_ns)


class Late(NamedTuple):
    """Where a block lies whose rows may be at or after the watermark."""

    line: int
    last_ns: int
    position: int  # of its rows in the journal
    rows: int


@dataclass(kw_only=True)
class Opened:
    """A segment that is written to."""

    number: int
    mark: Mark = START  # where it ends
    synced: Mark = START  # up to where it would survive the machine
    rows: int = 0
    late: list[Late] = field(default_factory=list)

    def add(self, line: int, last_ns: int, position: int, rows: int) -> None:
        """Rows of one line stand at `position`."""
        self.rows += rows
        self.late.append(Late(line, last_ns, position, rows))

    def rows_not_before(self, watermark: int) -> int:
        """Rows of blocks that are not wholly before the watermark; the others are forgotten."""
        self.late = [one for one in self.late if one.last_ns >= watermark]
        return sum(one.rows for one in self.late)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What becomes one part of the session."""

    number: int
    rows: NDArray[Any]  # [N] ROW, by time, at the same time by line, in a line as they came
    raw: bytes  # a zstd file of raw lines; empty if there are none
    raw_lines: int
    facts: Facts  # everything known up to its end
    until_ns: int  # its rows are before it, all later ones are not
    next_line: int  # no line up to its end had this number or a greater one

    @property
    def span_ns(self) -> int:
        """The time from its first row to its last."""
        return int(self.rows["recv_ns"][-1] - self.rows["recv_ns"][0]) if len(self.rows) else 0


def rows_file(number: int) -> str:
    """The journal of a segment."""
    return f"segment-{number:05d}.rows"


def raw_file(number: int) -> str:
    """The raw lines of a segment."""
    return f"segment-{number:05d}.jsonl.zst"


def rows_number(name: str) -> int | None:
    """The number of the segment whose journal has this name."""
    found = _ROWS.fullmatch(name)
    return int(found[1]) if found else None


def raw_number(name: str) -> int | None:
    """The number of the segment whose raw lines have this name."""
    found = _RAW.fullmatch(name)
    return int(found[1]) if found else None


def rows_in(entry: Entry) -> NDArray[Any]:
    """The rows of a block."""
    return np.frombuffer(entry.payload, ROW)


def identity_in(entry: Entry, where: str) -> Identity:
    """Whose segment it is, as its first block says; nothing else of that is read. SessionDamaged as `head_in`."""
    return _first_of(entry, where, _Whose).identity


def head_in(entry: Entry, where: str) -> Head:
    """What the first block of a segment says. SessionDamaged if it is none, or of another version."""
    head = _first_of(entry, where, Head)
    if head.columns != COLUMNS:
        remedy = "Finish the session with the version that wrote it"
        raise SessionDamaged(f"{where} has rows of {head.columns}, this program reads {COLUMNS}", remedy=remedy)
    return head


def begin_segment(disk: Disk, head: Head, carried: Sequence[tuple[int, NDArray[Any]]]) -> Opened:
    """Make a segment, whole or not at all, in place of one that was begun in vain."""
    segment, buffers = Opened(number=head.number), []
    contents = [Content(kind=BlockKind.HEAD, payload=msgspec.json.encode(head))]
    contents += [_carried(line, rows) for line, rows in carried]
    for content in contents:
        header, after = header_of(content, segment.mark, 0)
        if content.kind == BlockKind.ROWS:
            rows = len(content.payload) // ROW.itemsize
            segment.add(content.line, content.until_ns, segment.mark.rows + HEADER_BYTES, rows)
        buffers += [header, content.payload]
        segment.mark = after
    segment.synced = segment.mark
    name, raw = rows_file(head.number), raw_file(head.number)
    with disk.saying(name):
        disk.truncate(name + PARTIAL, 0)
        disk.write(name + PARTIAL, 0, buffers)
        disk.sync(name + PARTIAL)
        disk.truncate(raw, 0)
        disk.sync(raw)
        disk.rename(name + PARTIAL, name)
        disk.sync_names()
    return segment


def go_on(lines: Lines, entry: Entry) -> None:
    """What a block says of the lines, as it did when it was written."""
    header = entry.header
    if header.kind == BlockKind.FLOORS:
        for line, until_ns in np.frombuffer(entry.payload, np.int64).reshape(-1, 2).tolist():
            lines.move(line, until_ns)
    elif header.kind == BlockKind.ROWS and not header.flags & CARRIED:
        lines.move(header.line, header.until_ns)
        if header.flags & LAST_OF_LINE:
            del lines.floors[header.line]


def read_segment(number: int, rows: bytes, raw: bytes, where: str) -> Segment:
    """A sealed segment. SessionDamaged names the file and the place of what is wrong."""
    reader, pieces, raw_lines, seal = Reader(rows, raw), [], 0, None
    entries = iter(reader)
    first = next(entries, None)
    if first is None:
        raise damaged(reader, where)
    head = head_in(first, where)
    facts, lines = head.facts, head.lines
    for entry in entries:
        go_on(lines, entry)
        raw_lines += entry.header.raw_lines
        if entry.header.kind == BlockKind.ROWS and entry.header.length:
            pieces.append((entry.header.line, rows_in(entry)))
        elif entry.header.kind == BlockKind.FACTS:
            facts += Facts.decode(entry.payload)
        elif entry.header.kind == BlockKind.SEAL:
            seal = entry.header
    if reader.problem or seal is None or seal.stop != reader.mark.rows:
        raise damaged(reader, where)
    ordered = in_order(pieces, seal.until_ns)
    if len(ordered) != seal.tally:
        raise SessionDamaged(f"{where} holds {len(ordered):,} rows, its seal says {seal.tally:,}", remedy=RESTORE)
    return Segment(
        number=number,
        rows=ordered,
        raw=raw[: reader.mark.raw],  # what follows is left of a write that failed
        raw_lines=raw_lines,
        facts=facts,
        until_ns=seal.until_ns,
        next_line=lines.next_line,
    )


def in_order(pieces: Sequence[tuple[int, NDArray[Any]]], until_ns: int) -> NDArray[Any]:
    """The rows before `until_ns`: by time, at the same time by line, in a line as they came."""
    by_line = [rows for _, rows in sorted(pieces, key=lambda piece: piece[0])]
    together = np.concatenate(by_line) if by_line else np.empty(0, ROW)
    times = np.ascontiguousarray(together["recv_ns"])
    order = np.argsort(times, kind="stable")
    return together[order[: int(np.count_nonzero(times < until_ns))]]


def late_rows(pieces: Iterable[tuple[int, NDArray[Any]]], until_ns: int) -> list[tuple[int, NDArray[Any]]]:
    """The rows of each line at or after `until_ns`, in one piece a line; pieces as they came."""
    found: dict[int, list[NDArray[Any]]] = {}
    for line, rows in pieces:
        late = rows[np.searchsorted(rows["recv_ns"], until_ns) :]
        if len(late):
            found.setdefault(line, []).append(late)
    return [(line, np.concatenate(parts)) for line, parts in sorted(found.items())]


def damaged(reader: Reader, where: str) -> SessionDamaged:
    """The error that names the place where reading ended."""
    problem = reader.problem or "no seal"
    return SessionDamaged(f"{where} is damaged at byte {reader.mark.rows:,}: {problem}", remedy=RESTORE)


def _carried(line: int, rows: NDArray[Any]) -> Content:
    last_ns = int(rows["recv_ns"][-1])
    return Content(kind=BlockKind.ROWS, payload=rows.tobytes(), flags=CARRIED, line=line, until_ns=last_ns)


def _first_of(entry: Entry, where: str, kind: type[T]) -> T:
    if entry.header.kind != BlockKind.HEAD:
        raise SessionDamaged(f"{where} begins with a block of kind {entry.header.kind}", remedy=RESTORE)
    try:
        version = msgspec.json.decode(entry.payload, type=_Version).version
        if version != VERSION:
            remedy = "Finish the session with the version that wrote it"
            raise SessionDamaged(f"{where} has version {version}, this program reads {VERSION}", remedy=remedy)
        return msgspec.json.decode(entry.payload, type=kind)
    except msgspec.MsgspecError as error:
        raise SessionDamaged(f"{where} has no head: {error}", remedy=RESTORE) from error


class _Version(msgspec.Struct):
    version: int


class _Whose(msgspec.Struct):
    identity: Identity
