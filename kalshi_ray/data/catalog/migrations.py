"""The schema of the database: numbered steps, applied one after the other under a lock, each whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.urls import SCHEMA, Place
from kalshi_ray.errors import DataError, StoreOutdated

MARK = "kalshi_ray"  # what the comment on our version table begins with: another program's is not taken for ours
OURS = ("schema_version", "sessions", "pieces", "markets", "updates", "truth", "kinds", "recordings")


@dataclass(frozen=True)
class Step:
    """One step: what it brings, and the SQL for it, in which {schema} stands for the schema's name."""

    version: int
    what: str
    sql: str


def _step(version: int, what: str) -> Step:
    name = f"steps/{version:04d}.sql"
    return Step(version, what, files("kalshi_ray.data.catalog").joinpath(name).read_text(encoding="utf-8"))


STEPS: tuple[Step, ...] = (_step(1, "sessions, their pieces, and rows as tables"),)


@dataclass(frozen=True)
class Found:
    """What stands in the schema of a database."""

    version: int | None  # None: nothing of ours
    has_schema: bool
    foreign: tuple[str, ...] = ()  # tables of somebody else where ours would be


async def look(link: Link, place: Place) -> Found:
    """What is there. Needs no rights where nothing of ours is."""
    held = await link.rows(
        "SELECT n.nspname AS schema, c.relname AS name, obj_description(c.oid, 'pg_class') AS comment"
        " FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ANY($2::text[])"
        " WHERE n.nspname = $1",
        place.schema,
        list(OURS),
    )
    comments = {row["name"]: row["comment"] or "" for row in held if row["name"]}
    if comments.get("schema_version", "").startswith(MARK):
        version = await link.value(f"SELECT max(version) FROM {quoted(place)}.schema_version")
        return Found(version=version or 0, has_schema=True)
    return Found(version=None, has_schema=bool(held), foreign=tuple(sorted(comments)))


async def migrate(link: Link, place: Place, steps: Sequence[Step] = STEPS) -> list[Step]:
    """Apply the steps that are missing; of two at once one waits. DataError where the tables are not ours."""
    applied = []
    for step in steps:
        async with link.transaction():
            await link.run("SET LOCAL lock_timeout = 0")
            await link.run("SELECT pg_advisory_xact_lock($1)", lock_of(place), is_long=True)
            found = await look(link, place)
            if found.foreign:
                raise foreign_tables(place, found.foreign)
            if found.version is not None and found.version > steps[-1].version:
                check_version(place, found.version, steps)
            if found.version is not None and found.version >= step.version:
                continue
            if not found.has_schema:
                await link.run(f"CREATE SCHEMA {quoted(place)}")
            await link.script(step.sql.replace("{schema}", quoted(place)), is_long=True)
            await link.run(
                f"INSERT INTO {quoted(place)}.schema_version (version, what) VALUES ($1, $2)", step.version, step.what
            )
        applied.append(step)
    return applied


async def is_ready(link: Link, place: Place, steps: Sequence[Step]) -> bool:
    """Whether the database is set up; StoreOutdated if it is in another version, DataError if for somebody else."""
    if link.is_checked:
        return True
    found = await look(link, place)
    if found.foreign:
        raise foreign_tables(place, found.foreign)
    if found.version is None:
        return False
    check_version(place, found.version, steps)
    link.is_checked = True
    return True


async def make_ready(link: Link, place: Place, steps: Sequence[Step]) -> None:
    """Set up a database in which there is nothing of ours yet."""
    if not await is_ready(link, place, steps):
        await migrate(link, place, steps)


def check_version(place: Place, version: int, steps: Sequence[Step]) -> None:
    """StoreOutdated unless the database speaks our version; says which of the two has to be brought up."""
    newest = steps[-1].version
    if version == newest:
        return
    remedy = f"kalshi-ray database migrate --store '{place}'" if version < newest else "Upgrade kalshi-ray"
    raise StoreOutdated(f"{place} holds schema version {version}, this program speaks {newest}", remedy=remedy)


def foreign_tables(place: Place, names: Sequence[str]) -> DataError:
    """The error for tables which another program made, and which are never touched."""
    return DataError(
        f"schema {place.schema!r} of {place} holds tables that are not ours: {', '.join(names)}. Nothing was changed",
        remedy="Name a schema for the sessions alone: ?schema=" + (SCHEMA if place.schema != SCHEMA else "…"),
    )


def quoted(place: Place) -> str:
    """The schema's name in SQL."""
    return f'"{place.schema}"'


def lock_of(place: Place) -> int:
    """The advisory lock of a schema: migrations hold it alone, writes hold it together."""
    return int.from_bytes(hashlib.sha256(f"{MARK} {place.schema}".encode()).digest()[:8], "big", signed=True)
