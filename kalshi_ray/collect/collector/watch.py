"""What a collector's parts say of themselves, put together into one status."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.collect.clock import Clock
from kalshi_ray.collect.collector.desk import Desk
from kalshi_ray.collect.collector.fleet import Fleet
from kalshi_ray.collect.collector.inlet import Taker
from kalshi_ray.collect.collector.metrics import resident_bytes
from kalshi_ray.collect.collector.shard import Taken, Tally
from kalshi_ray.collect.collector.writing import Writing
from kalshi_ray.collect.settings import CollectSettings
from kalshi_ray.collect.stages import Reason, Stage
from kalshi_ray.collect.status import Markets, Status, paced
from kalshi_ray.collect.tallies import Tallies

if TYPE_CHECKING:
    from kalshi_ray.collect.block import Block

UNKNOWN_TYPE = "unknown type "


class Watch:
    """Counts what passes by, and asks the rest when a status is wanted."""

    def __init__(
        self,
        about: Status,
        settings: CollectSettings,
        desk: Desk,
        fleet: Fleet,
        writing: Writing,
        taker: Taker,
        clock: Clock,
    ) -> None:
        """`about` says what does not change: session, store, start."""
        self._about, self._settings = about, settings
        self._desk, self._fleet, self._writing, self._taker, self._clock = desk, fleet, writing, taker, clock
        self._tallies = Tallies()
        self._shards: dict[int, Tally] = {}
        self._gone = Tally()  # of all shards that were lost, together
        self._told: Status | None = None
        self._happenings: list[str] = []
        self._last: Status | None = None  # before the lines were ended

    def wrote(self, blocks: list[Block]) -> None:
        """These blocks are in the spool."""
        self._tallies.count(blocks)

    def took(self, number: int, taken: Taken) -> None:
        """A shard said this."""
        self._shards[number] = taken.tally
        self._happenings += map(str, taken.happenings)

    def lost(self, number: int) -> None:
        """A shard is gone; what it did counts on."""
        if number in self._shards:
            lost, before = self._shards.pop(number), self._gone
            self._gone = Tally(
                counts=Counter(before.counts) + Counter(lost.counts),
                reconnects=before.reconnects + lost.reconnects,
                clock_jumps=max(before.clock_jumps, lost.clock_jumps),
            )

    def status(self) -> Status:
        """How it stands now. Rates are of the time since the status before."""
        self._told = paced(self._read(), self._told)
        return self._told

    def ending(self) -> None:
        """The lines are about to end: how their books and connections stand now is how they stood at the end."""
        self._last = self._read()

    def last_status(self) -> Status:
        """Exact totals, and rates of the whole run."""
        read, last = self._read(), self._last
        if last is not None:
            read = msgspec.structs.replace(
                read,
                markets=last.markets,
                connections=last.connections,
                connections_up=last.connections_up,
                spool_bytes=0,
            )
        return paced(msgspec.structs.replace(read, is_final=True), None)

    def totals(self) -> dict[str, int]:
        """Exact counts of this life, for the manifest."""
        return {f"frames: {name}": count for name, count in self._tallies.frames.items()} | {
            name: count for name, count in sorted(self._counts().items()) if not name.startswith("rows")
        }

    def _counts(self) -> Counter[str]:
        """Of all lines, by name."""
        found = Counter(self._desk.line.counts)
        for tally in (self._gone, *self._shards.values()):
            found.update(tally.counts)
        return found + self._desk.counts

    def _read(self) -> Status:
        keeper, tallies, counts = self._writing.keeper.state, self._tallies, self._counts()
        shards = list(self._shards.values())
        stream = self._desk.stream
        self._happenings += [str(one) for one in (*self._desk.take_happenings(), *self._desk.line.take_happenings())]
        if self._settings.shards:  # which otherwise tell the same of this machine
            self._happenings += map(str, self._clock.take_jumps())
        happened, self._happenings = tuple(self._happenings), []
        for what in happened:
            telemetry.warning("collect.happened", what=what)
        lines = sum(tally.lines for tally in shards) + (stream is not None)
        reconnects = sum(tally.reconnects for tally in (self._gone, *shards))
        reconnects += max(0, stream.ups - 1) if stream else 0
        return msgspec.structs.replace(
            self._about,
            at_ns=self._clock(),
            markets=self._markets(shards),
            frames=dict(tallies.frames),
            frame_ns=tallies.frame_ns,
            connections=lines,
            connections_up=sum(tally.up for tally in shards) + self._desk.line.is_online,
            reconnects=reconnects,
            shards=self._settings.shards,
            shards_lost=self._fleet.deaths,
            lags=tallies.lags,
            unknown_frames={n.removeprefix(UNKNOWN_TYPE): c for n, c in counts.items() if n.startswith(UNKNOWN_TYPE)},
            broken_frames=counts["broken frames"],
            clock_jumps=max(self._clock.jumps, *(tally.clock_jumps for tally in (self._gone, *shards))),
            rows=tallies.rows,
            gaps=tallies.gaps,
            signals=self._taker.taken,
            signals_refused=self._taker.refused,
            pending_bytes=sum(tally.pending_bytes for tally in shards) + self._writing.pending_bytes,
            most_pending_bytes=self._settings.most_pending_mb * 2**20,
            synced_ns=keeper.synced_ns,
            spool_bytes=keeper.spooled_bytes,
            segments=keeper.segments,
            parts=keeper.parts,
            stored_rows=keeper.stored_rows,
            stored_bytes=keeper.stored_bytes,
            disk_free_bytes=shutil.disk_usage(self._writing.keeper.folder.parent).free,
            disk_problem=self._writing.waits_disk,
            store_problem=self._writing.waits_store,
            memory_bytes=resident_bytes(),
            happenings=happened,
        )

    def _markets(self, shards: list[Tally]) -> Markets:
        stages, left = self._desk.universe.stages, self._desk.universe.left
        return Markets(
            recorded=stages[Stage.RECORDED] + stages[Stage.CLOSED],
            known=sum(tally.known_books for tally in shards),
            closed=stages[Stage.CLOSED],
            joining=stages[Stage.JOINING],
            settled=left[Reason.SETTLED],
            left=sum(left.values()) - left[Reason.SETTLED],
        )
