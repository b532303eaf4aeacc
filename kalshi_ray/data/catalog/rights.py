"""What a role may do to our tables: asked before it writes, so that nothing is left half done for want of a right."""

from __future__ import annotations

from typing import NamedTuple

from kalshi_ray.data.catalog.link import Link
from kalshi_ray.data.catalog.urls import Place
from kalshi_ray.errors import DataError


class Rights(NamedTuple):
    """What the server says of us."""

    role: str
    owner: str  # of the tables
    reads: bool
    writes: bool


async def rights_of(link: Link, place: Place) -> Rights:
    """What we may do to tables that are there. Who writes makes partitions: that takes the role that owns them."""
    row = await link.row(
        "SELECT current_user::text AS role, min(pg_get_userbyid(c.relowner)::text) AS owner,"
        " coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false)"
        " AS reads,"
        " coalesce(bool_and(has_schema_privilege(n.oid, 'CREATE') AND pg_has_role(c.relowner, 'USAGE')), false)"
        " AS writes"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relname IN ('sessions', 'pieces', 'markets', 'updates', 'truth')",
        place.schema,
    )
    assert row is not None  # an aggregate has one row
    return Rights(row["role"], row["owner"] or "", row["reads"], row["writes"])


async def may_set_up(link: Link, place: Place) -> bool:
    """Whether we may make our tables where there are none."""
    may = await link.value(
        "SELECT coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),"
        " has_database_privilege(current_database(), 'CREATE'))",
        place.schema,
    )
    return bool(may)


async def check_may_write(link: Link, place: Place) -> None:
    """DataError unless we may; asked once for a connection."""
    if link.may_write:
        return
    found = await rights_of(link, place)
    if not found.writes:
        raise DataError(
            f"{place}: role {found.role!r} has not the right to write: its tables belong to role {found.owner!r}."
            f" It needs to be that role or a member of it, with CREATE on schema {place.schema!r}",
            remedy="See docs/postgres.md, Rights",
        )
    link.may_write = True
