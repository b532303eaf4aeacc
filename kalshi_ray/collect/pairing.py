"""A session and its spool: found together again after a crash, and refused where they do not belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from kalshi_ray.collect.disk import Disk
from kalshi_ray.collect.facts import Facts, market_rows
from kalshi_ray.collect.segment import Head, Identity, rows_number
from kalshi_ray.collect.spool import Spool
from kalshi_ray.collect.told import Told
from kalshi_ray.data.manifest import read_manifest
from kalshi_ray.data.owner import Owner, is_this_machine
from kalshi_ray.data.pieces import DRAFT, part_name
from kalshi_ray.data.recording import rows_of
from kalshi_ray.data.schema import UPDATES, Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.data.writer import SessionWriter
from kalshi_ray.errors import DataError, SessionDamaged, UsageError

SPOOL = "spool"  # key in the origin of a session that is being collected


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rest of an unfinished session lies, and how far the store has it."""

    host: str = ""  # empty: it has none
    machine: str = ""  # tells machines of one name apart; empty unknown
    folder: str = ""
    until_ns: int = 0  # rows before this time are in the store
    next_line: int = 1

    @property
    def is_here(self) -> bool:
        """Whether a spool lies there, on this machine."""
        return self.is_on_this_machine and holds_spool(Path(self.folder))

    @property
    def is_on_this_machine(self) -> bool:
        """Whether it lies on this machine, or did before somebody removed it."""
        return is_this_machine(self.host, self.machine)


def place_of(manifest: Manifest) -> Place:
    """Where the spool of a session lies."""
    try:
        return msgspec.convert(manifest.origin.get(SPOOL, {}), Place)
    except msgspec.ValidationError as error:
        raise SessionDamaged(f"the draft of session {manifest.id!r} names no spool: {error}") from error


def place_in_draft(store: SessionStore, session_id: str) -> Place:
    """Where the spool lies of a session that is not finished, or whose writer died before it had removed it."""
    if DRAFT not in store.backend.sizes(session_id):
        return Place()
    return place_of(read_manifest(store.backend, session_id, DRAFT))


def put_place(folder: Path, until_ns: int, next_line: int) -> dict[str, Any]:
    """What the origin of a session says of its spool."""
    here = Owner.this()
    place = Place(host=here.host, machine=here.machine, folder=str(folder), until_ns=until_ns, next_line=next_line)
    return {SPOOL: msgspec.to_builtins(place)}


def holds_spool(folder: Path) -> bool:
    """Whether there is a spool in a folder."""
    return folder.is_dir() and any(rows_number(one.name) is not None for one in folder.iterdir())


def identity_of(store: SessionStore, manifest: Manifest) -> Identity:
    """What the spool of a session says of itself."""
    where = str(store.local.resolve()) if store.local else store.url
    return Identity(session=manifest.id, store=where, created=manifest.created)


def open_spool(store: SessionStore, writer: SessionWriter, folder: Path, disk: Disk | None) -> Spool:
    """The spool of a session that is being written: taken up, or begun where the store ends."""
    manifest, place = writer.manifest, place_of(writer.manifest)
    if manifest.source != "collect":
        raise UsageError(
            f"session {writer.id!r} is of source {manifest.source!r}, expected 'collect'", remedy="Choose another name"
        )
    if writer.parts and not place.host:
        raise UsageError(
            f"session {writer.id!r} is unfinished and was not being recorded: it may be a copy that was cut short",
            remedy="Recover it or delete it, or choose another name",
        )
    stored = facts_of(writer.market_table, manifest)
    told = b"" if holds_spool(folder) else _told(store, writer).encode()
    head = Head(
        identity=identity_of(store, manifest),
        number=writer.parts,
        sealed_ns=place.until_ns,
        last_ns=place.until_ns,
        next_line=place.next_line,
        facts=stored,
        told=told,
    )
    spool = Spool.open(folder, head, disk=disk)
    try:
        if not spool.is_taken_up and place.is_here and Path(place.folder) != folder:
            raise UsageError(
                f"rows of session {writer.id!r} wait in {place.folder}, not in {folder}",
                remedy="Give that folder as the spool",
            )
        _check_agreement(spool, writer.parts, stored)
        lost = [_loss(place)] if place.host and not spool.is_taken_up else []
        origin = manifest.origin | put_place(folder, place.until_ns, place.next_line)
        writer.describe(origin=origin, unknowns=[*manifest.unknowns, *lost])
    except (DataError, UsageError):
        if spool.is_taken_up:
            spool.close()
        else:
            spool.remove()
        raise
    return spool


def facts_of(markets: pa.Table, manifest: Manifest) -> Facts:
    """The facts that the store has."""
    return Facts(
        markets=market_rows(markets),
        grids=tuple(tuple((start, end, step) for start, end, step in grid) for grid in manifest.grids),
        signals=tuple(manifest.signals),
    )


def _told(store: SessionStore, writer: SessionWriter) -> Told:
    """What the rows in the store said last of each market."""
    parts = (store.backend.read_table(writer.id, part_name(number), UPDATES) for number in range(writer.parts))
    return Told.of(rows_of(table) for table in parts)


def _check_agreement(spool: Spool, parts: int, stored: Facts) -> None:
    """SessionDamaged unless the spool goes on where the store ends, with the same facts."""
    oldest = min(spool.sealed(), default=spool.number)
    if not oldest <= parts <= spool.number:
        raise SessionDamaged(
            f"{spool.folder} holds the segments {oldest} to {spool.number}, and the store has {parts} parts",
            remedy="One of them is a copy from another time: restore the one that fits",
        )
    for name in ("markets", "grids", "signals"):
        theirs, ours = getattr(stored, name), getattr(spool.facts, name)
        if ours[: len(theirs)] != theirs:
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(ours))
            raise SessionDamaged(
                f"{spool.folder} and the store differ in {name} from number {at} on",
                remedy="One of them is a copy from another time: restore the one that fits",
            )


def _loss(place: Place) -> str:
    return f"the spool {place.folder} of {place.host} was not there when the session was resumed: its rows are lost"
