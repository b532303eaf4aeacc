"""From blocks to a finished session: a spool on the local disk, drained into a store whenever that can be reached.

Segment N of the spool becomes part N and raw part N of the session. A part that is stored already is not stored again,
so that a crash between any two steps, and a store that comes and goes, neither lose a row nor double one.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.disk import Disk
from kalshi_ray.collect.endings import given_up, interrupted
from kalshi_ray.collect.facts import Facts
from kalshi_ray.collect.pairing import SPOOL, open_spool, put_place
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.collect.spool import Spool
from kalshi_ray.core.units import SECOND
from kalshi_ray.data.packing import pack_segment
from kalshi_ray.data.recording import ROW, table_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.writer import DESCRIBED, SessionWriter
from kalshi_ray.errors import DataError, StoreFull, UnknownName, UsageError

AWAY = "the recorder was away for a while; each time is a GAP row of every market"
TOGETHER = SECOND  # lines that were last heard of within this time ended together
MOST_RAW = 512 << 20  # bytes of raw lines in a segment, which are read into memory at once


class KeeperState(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper has done in this life, and what waits."""

    frames: int  # appended
    spooled_bytes: int  # not in the store yet, those of earlier lives too
    segments: int  # sealed and not in the store yet
    parts: int  # of the session, in the store
    stored_rows: int  # of them
    stored_bytes: int  # of them, raw parts too
    synced_ns: int  # what was appended before would survive the machine


class Keeper:
    """Keeps one session. `start` first, `finish` or `close` last.

    Threads may call it at once: what writes the spool is done one after the other, and draining goes on beside it; the
    end waits for both. `append` holds nothing; `drain` takes up to 210
    bytes a row of its segment, and its raw lines: 210 MB for a million rows, and less than 550 MB of raw lines.
    """

    def __init__(
        self,
        store: SessionStore,
        session_id: str,
        spool_folder: Path,
        manifest: Manifest,
        settings: CollectSettings,
        *,
        disk: Disk | None = None,
    ) -> None:
        """`manifest` is what a new session is told to be; `disk` stands for the folder in tests of crashes."""
        self.id = session_id
        self._store, self._manifest, self._settings = store, manifest, settings
        self._folder = spool_folder.expanduser().absolute()
        self._disk = disk
        self._spool_or_none: Spool | None = None
        self._writer_or_none: SessionWriter | None = None
        # One at a time writes the spool, and one speaks with the store. Who needs both takes them in this order.
        self._writing, self._storing = threading.Lock(), threading.Lock()
        self._described: dict[str, Any] = {}  # of the manifest, not told yet
        self._is_told = False  # all that the manifest needs is in the store
        self.own_blocks: list[Block] = []  # that it wrote itself: gaps where the recorder was away
        self._committed: Manifest | None = None
        self._frames = 0
        self._now_ns, self._synced_ns, self._begun_ns = 0, 0, 0  # as `tick` was told

    @property
    def spool(self) -> Spool:
        """The spool. UsageError before `start`."""
        if self._spool_or_none is None:
            raise UsageError(f"the keeper of session {self.id!r} has not started", remedy="Call start first")
        return self._spool_or_none

    @property
    def folder(self) -> Path:
        """Where the spool is."""
        return self._folder

    @property
    def store_url(self) -> str:
        """The store, without a password."""
        return self._store.url

    @property
    def facts(self) -> Facts:
        """All that the rows of the session refer to, of earlier lives too."""
        return self.spool.facts

    @property
    def last_ns(self) -> int:
        """Nothing recorded is later. Times of a resumed session go on from here, whatever the clock says."""
        return self.spool.last_ns

    @property
    def next_line(self) -> int:
        """The number of the next line."""
        return self.spool.next_line

    def told_rows(self) -> list[NDArray[Any]]:
        """What the session's rows said last of each market, as `Register.of_session` takes it."""
        return [self.spool.told]

    @property
    def manifest(self) -> Manifest:
        """What the session is known to be so far."""
        return self._committed or self._writer.manifest

    @property
    def state(self) -> KeeperState:
        """Counts for people and metrics."""
        return KeeperState(
            frames=self._frames,
            spooled_bytes=self.spool.bytes,
            segments=len(self.spool.waiting),
            parts=self._writer.parts,
            stored_rows=self._writer.rows,
            stored_bytes=self._writer.stored_bytes,
            synced_ns=self._synced_ns,
        )

    def start(self) -> bool:
        """Begin the session, or go on with it: True if it was there, and its end up to now is a gap.

        UsageError if it is finished, was not collected, or its spool is elsewhere or is that of another session;
        SessionBusy while another process has it.
        """
        is_resumed = self.take_up()
        if is_resumed and self.last_ns:
            unknowns = self._writer.manifest.unknowns
            self._writer.describe(unknowns=[*unknowns, AWAY] if AWAY not in unknowns else unknowns)
            self._end_lines(self.last_ns + 1)
            self._write([interrupted(self.last_ns + 1, raw=self._settings.raw)])
            self.spool.sync()
        return is_resumed

    def take_up(self) -> bool:
        """Open session and spool, as `start` does, but record nothing. True if the session was there."""
        try:
            writer, is_resumed = self._store.resume(self.id), True
        except UnknownName:
            writer, is_resumed = self._store.writer(self.id, manifest=self._manifest), False
        try:
            self._spool_or_none = open_spool(self._store, writer, self._folder, self._disk)
        except (DataError, UsageError):
            if is_resumed:
                writer.close()
            else:
                writer.discard()
            raise
        self._writer_or_none = writer
        return is_resumed

    def append(self, blocks: Sequence[Block]) -> None:
        """Write blocks to the spool, all or none. StoreFull: no room on the disk; the same call may succeed later."""
        with self._writing:
            try:
                self.spool.append(blocks)
            except StoreFull as problem:
                if not (isinstance(problem.__cause__, OSError) and problem.__cause__.errno == errno.EFBIG):
                    raise
                self.spool.seal()  # files are limited in size: the next segment has others
                self._begun_ns = self._now_ns
                self.spool.append(blocks)
            self._frames += sum(block.frames for block in blocks)

    def note(self, facts: Facts) -> None:
        """Write facts to the spool, before the first row that refers to them."""
        with self._writing:
            self.spool.note(facts)

    def describe(self, **fields: Any) -> None:
        """Set fields of the manifest; the store is told with the next part.

        `origin` and `unknowns` are added to what is known, the rest replaces it.
        """
        if unknown := sorted(fields.keys() - DESCRIBED):
            raise UsageError(f"a session is not described by {', '.join(unknown)}")
        self._described |= fields

    def tick(self, now_ns: int) -> None:
        """Sync and seal if that is due. Call every 100 ms or so; what waits is synced too early, not too late."""
        with self._writing:
            self._tick(now_ns)

    def drain(self) -> bool:
        """Bring the oldest sealed segment into the store; False if there is none.

        StoreDown, StoreFull: it stays sealed, and the same call may succeed later.
        """
        with self._storing:
            sealed = self.spool.sealed()
            if not sealed:
                return False
            self._store_segment(sealed[0])
            return True

    def finish(self) -> Manifest:
        """Seal, drain, and commit, which removes the spool. After StoreDown or StoreFull the same call goes on.

        A line that is still open ends with the session; in a gap only where the others went on without it.
        """
        with self._writing:
            if self._committed is None:
                self._committed = self._finish()
            return self._committed

    def discard(self) -> None:
        """Remove session and spool, as if it had never begun. UsageError for a session that an earlier life began."""
        with self._writing, self._storing:
            self._writer.discard()
            self.spool.remove()
            self._spool_or_none = self._writer_or_none = None

    def close(self) -> None:
        """Give spool and session back, whatever is there: they can be resumed. After `finish` nothing is left to do."""
        with self._writing, self._storing:
            spool, writer = self._spool_or_none, self._writer_or_none
            if self._committed is not None:
                return
            try:
                if spool is not None:
                    spool.close()
            finally:
                if writer is not None:
                    writer.close()

    @property
    def _writer(self) -> SessionWriter:
        if self._writer_or_none is None:
            raise UsageError(f"the keeper of session {self.id!r} has not started", remedy="Call start first")
        return self._writer_or_none

    def _finish(self) -> Manifest:
        self._end_lines(self.last_ns - TOGETHER)
        rest = [Block(line=line, rows=np.empty(0, ROW), is_last=True) for line in self.spool.open_lines]
        self.spool.append(rest)
        self.spool.sync()
        if self.spool.rows or self.spool.raw_bytes:
            self.spool.seal()
        while self.drain():
            pass
        with self._storing:
            if not self._is_told:  # not again: a commit that failed may have given the lock back
                self._tell(self.facts, {})
                self._is_told = True
            origin = {key: value for key, value in self._writer.manifest.origin.items() if key != SPOOL}
            return self._writer.commit(origin=origin, settle=self.spool.remove)

    def _tick(self, now_ns: int) -> None:
        spool, period_ns = self.spool, max(now_ns - self._now_ns, 0)
        self._now_ns = now_ns
        self._begun_ns = self._begun_ns or now_ns
        if spool.is_synced:
            self._synced_ns = now_ns
        elif _is_due(now_ns, self._synced_ns, self._settings.flush_s, period_ns):
            spool.sync()
            self._synced_ns = now_ns
        ready = spool.ready_rows
        is_old = _is_due(now_ns, self._begun_ns, self._settings.part_s, 0) and ready > 0
        if ready >= self._settings.part_rows or is_old or spool.raw_bytes >= MOST_RAW:
            spool.seal()
            self._begun_ns = now_ns

    def _end_lines(self, before_ns: int) -> None:
        """Nobody says how the lines went on that were last heard of before then: their books are unknown from there."""
        late = [(line, at) for line, at in self.spool.open_lines.items() if line != DESK and at < before_ns]
        self._write([given_up(line, at_ns, raw=self._settings.raw) for line, at_ns in late])

    def _write(self, blocks: Sequence[Block]) -> None:
        """Blocks of the keeper's own."""
        self.spool.append(blocks)
        self.own_blocks += blocks

    def _store_segment(self, number: int) -> None:
        """One segment into the store, then out of the spool. Every step may be repeated."""
        if number >= self._writer.parts:
            segment = self.spool.segment(number)
            if segment.raw:
                raw = pack_segment(segment.raw, segment.span_ns, f"segment {number} of {self.spool.folder}")
                self._writer.put_raw(number, raw)
            self._tell(segment.facts, put_place(self._folder, segment.until_ns, segment.next_line))
            self._writer.write_part(number, table_of(segment.rows))
        self.spool.drop(number)

    def _tell(self, facts: Facts, origin: dict[str, Any]) -> None:
        """Bring what is known of the session into the store; `origin` is added to what it is made of."""
        writer, described = self._writer, dict(self._described)
        if len(facts.markets) > writer.market_rows or not writer.market_rows:
            writer.add_markets(facts.table(writer.market_rows))
        known = writer.manifest
        unknowns = [one for one in described.pop("unknowns", []) if one not in known.unknowns]
        writer.describe(
            **described
            | {
                "grids": facts.grids,
                "signals": facts.signals,
                "unknowns": [*known.unknowns, *unknowns],
                "origin": known.origin | described.get("origin", {}) | origin,
            }
        )


def _is_due(now_ns: int, since_ns: int, after_s: float, period_ns: int) -> bool:
    """Whether it would be too late at the next tick. A clock that went back makes it due, too."""
    return not 0 <= now_ns - since_ns < after_s * SECOND - period_ns
