"""How a database stands: version, rights and what it holds, for people to look at."""

from __future__ import annotations

from typing import Literal

import msgspec

from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.migrations import Step, look, migrate, quoted
from kalshi_ray.data.catalog.rights import may_set_up, rights_of

State = Literal["empty", "ready", "older", "newer", "foreign"]


class DatabaseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; nothing is read but the tables that say what there is."""

    url: str
    server: str  # version of PostgreSQL
    role: str  # whom the server takes us for
    schema: str
    state: State
    version: int | None  # of the schema; None: nothing of ours
    speaks: int  # the version that this program reads and writes
    can_read: bool
    can_write: bool
    sessions: int = 0
    updates: int = 0
    bytes: int = 0  # on the server's disk, indexes included
    foreign: tuple[str, ...] = ()  # tables of somebody else that stand where ours would


def read_status(backend: PostgresBackend) -> DatabaseStatus:
    """How the database of a backend stands, whatever its version."""

    async def work(link: Link) -> DatabaseStatus:
        found = await look(link, backend.place)
        row = await link.row(
            "SELECT current_setting('server_version') AS server, current_user::text AS role,"
            " current_setting('transaction_read_only')::bool AS is_read_only"
        )
        assert row is not None  # a SELECT without FROM has one row
        if found.version is None:
            can_read, can_write = True, await may_set_up(link, backend.place)
        else:
            _, _, can_read, can_write = await rights_of(link, backend.place)
        status = DatabaseStatus(
            url=backend.url,
            server=row["server"],
            role=row["role"],
            schema=backend.place.schema,
            state=_state(found.version, backend.speaks, bool(found.foreign)),
            version=found.version,
            speaks=backend.speaks,
            can_read=can_read and not found.foreign,
            can_write=can_write and not found.foreign and not row["is_read_only"],
            foreign=found.foreign,
        )
        return await _counted(link, backend, status) if found.version is not None and can_read else status

    return backend.database.call(work)


def migrate_database(backend: PostgresBackend) -> list[Step]:
    """Apply the steps that are missing and return them. DataError where the tables are somebody else's."""

    async def work(link: Link) -> list[Step]:
        return await migrate(link, backend.place, backend.steps)

    return backend.database.call(work)


def _state(version: int | None, speaks: int, is_foreign: bool) -> State:
    if is_foreign:
        return "foreign"
    if version is None:
        return "empty"
    return "ready" if version == speaks else "older" if version < speaks else "newer"


async def _counted(link: Link, backend: PostgresBackend, status: DatabaseStatus) -> DatabaseStatus:
    home = quoted(backend.place)
    row = await link.row(
        f"SELECT (SELECT count(*) FROM {home}.sessions) AS sessions,"
        f" (SELECT coalesce(sum(rows), 0) FROM {home}.pieces WHERE name LIKE 'updates/%') AS updates,"
        " (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
        "  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r') AS bytes",
        backend.place.schema,
    )
    assert row is not None  # a SELECT without FROM has one row
    counts = {name: int(row[name]) for name in ("sessions", "updates", "bytes")}
    return msgspec.structs.replace(status, **counts)
