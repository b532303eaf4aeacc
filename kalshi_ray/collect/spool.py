"""What was recorded and is not in the store yet: files on the local disk that survive a crash at any moment.

<folder>/segment-00000.rows        journal: head, rows by line, facts, at its end a seal (see `journal`)
         segment-00000.jsonl.zst   raw lines: one zstd frame a block
         spool.lock                who writes it

Written is safe from a crash of the process, synced from one of the machine. A segment is sealed up to a watermark;
what is later is carried to the next one, which is on the disk before the seal is: at every moment either the segment
is unsealed, and a next one holds nothing of its own, or both are whole.

Nothing that was appended is held in memory: only, for each block that is not behind the watermark, where it lies, and
the facts. A sealed segment that is read takes about 150 bytes a row while it is sorted, 50 after, and its raw lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.block import Block
from kalshi_ray.collect.disk import Disk, is_litter
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.journal import HEADER_BYTES, LAST_OF_LINE, BlockKind, Content, header_of
from kalshi_ray.collect.repair import Found, Repair, find_segments, read_last, seal_of
from kalshi_ray.collect.segment import (
    Head,
    Opened,
    Segment,
    begin_segment,
    late_rows,
    raw_file,
    raw_number,
    read_segment,
    rows_file,
)
from kalshi_ray.collect.told import Told
from kalshi_ray.collect.watermark import Lines
from kalshi_ray.data.recording import ROW
from kalshi_ray.errors import DataError, UsageError


class Spool:
    """The spool of one session; `open` makes or repairs it. For one thread, but for `segment` and `drop`.

    StoreFull where the disk has no room: nothing of the call is in the spool then, and the same call may succeed later.
    A DataError from `append` or `note` means that the caller broke a promise of `Block`; nothing was written either.
    """

    def __init__(self, disk: Disk, head: Head) -> None:
        self._disk = disk
        self._identity = head.identity
        self._next: Opened | None = None  # the segment after this one, until the seal of this one is synced
        self._has_moved = False  # a line came further without rows, and nobody wrote it yet
        self._is_torn = False  # behind the mark there may be half a block
        self._is_suspect = False  # a sync failed: what it was about has to be written again
        self._is_removed = False
        self._waiting: dict[int, tuple[int, int]] = {}  # rows and bytes by sealed segment
        numbers = find_segments(disk, head.identity)
        if numbers:
            found = read_last(disk, numbers)
        else:
            segment = begin_segment(disk, head, [])
            found = Found(segment=segment, facts=head.facts, lines=head.lines, told=Told(head.told))
        self.is_taken_up = bool(numbers)  # it was there already
        self.repaired: Repair | None = found.repair  # what was cut when it was opened
        self._segment, self._facts, self._lines, self._told = found.segment, found.facts, found.lines, found.told
        self._tickers = {market.ticker for market in found.facts.markets}
        for number in numbers[:-1]:
            if number < found.segment.number:
                self._keep_waiting(number)

    @classmethod
    def open(cls, folder: Path, head: Head, *, disk: Disk | None = None) -> Spool:
        """The spool in a folder: a new one that begins with `head`, or the one that is there, repaired.

        SessionBusy while another process has it, UsageError if it is that of another session, SessionDamaged where it
        lost what had been synced.
        """
        disk = disk or Disk(folder)
        disk.claim()
        try:
            with disk.saying(""):
                return cls(disk, head)
        except (DataError, UsageError):
            disk.close()
            raise

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._disk.folder

    @property
    def number(self) -> int:
        """The segment that is being written."""
        return self._segment.number

    @property
    def facts(self) -> Facts:
        """Everything that was noted."""
        return self._facts

    @property
    def told(self) -> NDArray[Any]:
        """What all rows of the session said last of each market: at most one ROW for a market and a kind."""
        return self._told.rows()

    @property
    def last_ns(self) -> int:
        """No row and no line is later; 0 if there is none."""
        return self._lines.last_ns

    @property
    def next_line(self) -> int:
        """No line had this number or a greater one."""
        return self._lines.next_line

    @property
    def open_lines(self) -> dict[int, int]:
        """The lines that are not over, each with the time before which it brings nothing more."""
        return dict(self._lines.floors)

    @property
    def rows(self) -> int:
        """Rows of the segment that is being written."""
        return self._segment.rows

    @property
    def ready_rows(self) -> int:
        """About how many of them are before the watermark; never too many."""
        return self._segment.rows - self._segment.rows_not_before(self._lines.watermark)

    @property
    def raw_bytes(self) -> int:
        """Bytes of raw lines in the segment that is being written."""
        return self._segment.mark.raw

    @property
    def waiting(self) -> dict[int, tuple[int, int]]:
        """Rows and bytes of each sealed segment."""
        return dict(self._waiting)

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return self._segment.mark.rows + self._segment.mark.raw + sum(size for _, size in self.waiting.values())

    @property
    def is_synced(self) -> bool:
        """Whether everything would survive the machine."""
        return self._segment.synced == self._segment.mark and self._next is None and not self._has_moved

    def append(self, blocks: Sequence[Block]) -> None:
        """Write blocks, all or none."""
        self._settle()
        lines, contents, moved = self._lines.copy(), [], False
        for block in blocks:
            is_known = block.line in lines.floors
            lines.take(block, len(self._facts.markets))
            if is_known and not (len(block.rows) or block.raw or block.frames or block.is_last):
                moved = True  # says only that there is nothing: written with others of its kind at the next sync
                continue
            contents.append(_content(block, lines))
        positions = self._write(contents)
        for content, position in zip(contents, positions):
            if content.payload:
                last_ns = int(np.frombuffer(content.payload[-ROW.itemsize :], ROW)["recv_ns"][0])
                self._segment.add(content.line, last_ns, position, len(content.payload) // ROW.itemsize)
        for block in blocks:
            self._told.take(block.rows)
        self._lines = lines
        self._has_moved |= moved

    def note(self, facts: Facts) -> None:
        """Write what rows that follow may refer to."""
        self._settle()
        for market in facts.markets:
            if market.ticker in self._tickers:
                raise DataError(f"market {market.ticker} was noted before", remedy="A market keeps its number")
        tickers = {market.ticker for market in facts.markets}
        if len(tickers) != len(facts.markets):
            raise DataError("a market was noted twice at once", remedy="A market keeps its number")
        self._write([Content(kind=BlockKind.FACTS, payload=facts.encode())])
        self._tickers |= tickers
        self._facts += facts

    def sync(self) -> None:
        """Return when everything that was appended would survive the machine."""
        self._settle()
        try:
            if self._has_moved:
                floors = np.array(list(self._lines.floors.items()), np.int64)
                self._write([Content(kind=BlockKind.FLOORS, payload=floors.tobytes())])
                self._has_moved = False
        finally:  # a disk without room for a block can still sync
            self._sync_files()

    def seal(self) -> None:
        """End the segment at the watermark and go on with the next, which takes over what is later."""
        if self._next is not None:
            self._settle()
            return
        self._sync_files()  # how far lines came without rows stands in the head of the next one
        until_ns = self._lines.watermark
        carried = late_rows(self._late_pieces(until_ns), until_ns)
        sealed = self._segment.rows - sum(len(rows) for _, rows in carried)
        following = self._begin(self.number + 1, self._sealed_lines(until_ns), self._facts, carried)
        self._write([Content(kind=BlockKind.SEAL, until_ns=until_ns, tally=sealed)])
        self._next, self._has_moved = following, False
        self._settle()

    def sealed(self) -> list[int]:
        """Numbers of the sealed segments, oldest first."""
        return list(self._waiting)

    def segment(self, number: int) -> Segment:
        """A sealed segment, read and checked. SessionDamaged names the place of what is wrong."""
        self._check_sealed(number)
        name = rows_file(number)
        with self._disk.saying(name):
            rows, raw = self._disk.read(name), self._disk.read(raw_file(number))
        return read_segment(number, rows, raw, self._disk.path(name))

    def drop(self, number: int) -> None:
        """Remove the oldest sealed segment, which is in the store."""
        self._check_sealed(number)
        if number != min(self._waiting):
            raise UsageError(f"segment {number} cannot be dropped before segment {min(self._waiting)}")
        with self._disk.saying(rows_file(number)):
            # The journal first, and for certain: without it, its raw lines are litter.
            self._disk.remove(rows_file(number))
            self._disk.sync_names()
            self._disk.remove(raw_file(number))
        self._waiting.pop(number)

    def close(self) -> None:
        """Write what lines said last, and give the folder back."""
        try:
            self.sync()
        finally:
            self._disk.close()

    def remove(self) -> None:
        """Remove the spool, which is in the store as a whole. Once more, and there is nothing."""
        if self._is_removed:
            return
        with self._disk.saying(""):
            # Each journal before its raw lines, and for certain: without it, they are litter. The last one goes last,
            # and before it its raw lines if there are none: as long as anything is left, it is still known as a spool.
            last = [rows_file(self.number), raw_file(self.number)]
            for number in self._waiting:
                self._disk.remove(rows_file(number))
            self._disk.sync_names()
            for name in self._disk.names():
                if name not in last and (raw_number(name) is not None or is_litter(name)):
                    self._disk.remove(name)
            if not self._segment.mark.raw:
                self._disk.remove(raw_file(self.number))
            self._disk.remove(rows_file(self.number))
            self._disk.sync_names()
            self._disk.remove(raw_file(self.number))
            self._disk.leave()
        self._is_removed = True

    def _check_sealed(self, number: int) -> None:
        if number not in self._waiting:
            raise UsageError(f"{self.folder} has no sealed segment {number}, only {list(self._waiting)}")

    def _write(self, contents: Sequence[Content]) -> list[int]:
        """Blocks at the end of the segment, all or none. Returns where each payload begins."""
        if not contents:
            return []
        segment, rows, raw, positions = self._segment, [], [], []
        mark = segment.mark
        for content in contents:
            header, after = header_of(content, mark, segment.synced.rows)
            positions.append(mark.rows + HEADER_BYTES)
            rows += [header, content.payload]
            raw.append(content.raw)
            mark = after
        with self._disk.saying(rows_file(segment.number)):
            self._tidy()
            self._is_torn = True
            try:
                # Raw lines first: a block that is whole has its raw lines.
                if mark.raw > segment.mark.raw:
                    self._disk.write(raw_file(segment.number), segment.mark.raw, raw)
                self._disk.write(rows_file(segment.number), segment.mark.rows, rows)
            except OSError:
                with contextlib.suppress(OSError):  # the first error is the one to report; the next write tries again
                    self._tidy()
                raise
            segment.mark, self._is_torn = mark, False
        return positions

    def _tidy(self) -> None:
        """Cut off what a failed write left."""
        if self._is_torn:
            self._disk.truncate(rows_file(self.number), self._segment.mark.rows)
            self._disk.truncate(raw_file(self.number), self._segment.mark.raw)
            self._is_torn = False

    def _sync_files(self) -> None:
        segment = self._segment
        rows, raw, start, stop = rows_file(segment.number), raw_file(segment.number), segment.synced, segment.mark
        if start == stop:
            return
        with self._disk.saying(rows):
            self._tidy()
            if self._is_suspect:
                self._disk.rewrite(raw, start.raw, stop.raw)
                self._disk.rewrite(rows, start.rows, stop.rows)
            self._is_suspect = True
            if stop.raw > start.raw:
                self._disk.sync(raw)
            self._disk.sync(rows)
            self._is_suspect = False
        segment.synced = stop

    def _settle(self) -> None:
        """Once the seal is on the disk, go on with the next segment."""
        if self._next is None:
            return
        self._sync_files()
        before, self._segment, self._next = self._segment, self._next, None
        self._disk.let_go(rows_file(before.number))
        self._disk.let_go(raw_file(before.number))
        seal = self._keep_waiting(before.number)
        self._lines = self._sealed_lines(seal)

    def _keep_waiting(self, number: int) -> int:
        """A segment is sealed. Returns up to which time."""
        with self._disk.saying(rows_file(number)):
            seal = seal_of(self._disk, number)
            size = self._disk.size(rows_file(number)) + self._disk.size(raw_file(number))
            self._disk.let_go(rows_file(number))
        if seal is None:
            raise DataError(f"{self._disk.path(rows_file(number))} lost its seal")
        self._waiting[number] = (seal.tally, size)
        return seal.until_ns

    def _sealed_lines(self, until_ns: int) -> Lines:
        lines = self._lines.copy()
        lines.sealed_ns = until_ns
        return lines

    def _late_pieces(self, until_ns: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows of blocks that are not wholly before `until_ns`, as they were appended."""
        self._segment.rows_not_before(until_ns)
        name = rows_file(self.number)
        for line, _, position, rows in self._segment.late:
            with self._disk.saying(name):
                content = self._disk.read_at(name, position, rows * ROW.itemsize)
            yield line, np.frombuffer(content, ROW)

    def _begin(self, number: int, lines: Lines, facts: Facts, carried: Sequence[tuple[int, NDArray[Any]]]) -> Opened:
        head = Head(
            identity=self._identity,
            number=number,
            sealed_ns=lines.sealed_ns,
            last_ns=lines.last_ns,
            next_line=lines.next_line,
            floors=lines.floors,
            facts=facts,
            told=self._told.encode(),
            carried=sum(len(rows) for _, rows in carried),
        )
        return begin_segment(self._disk, head, carried)


def _content(block: Block, lines: Lines) -> Content:
    """A block of a line as the journal has it; `lines` have taken it already."""
    return Content(
        kind=BlockKind.ROWS,
        payload=block.rows.tobytes(),
        raw=block.raw,
        flags=LAST_OF_LINE if block.is_last else 0,
        line=block.line,
        tally=block.frames,
        raw_lines=block.raw_lines,
        until_ns=lines.floors.get(block.line, lines.last_ns),
    )
