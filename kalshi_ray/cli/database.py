"""`kalshi-ray database`: the PostgreSQL that sessions are kept in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, say
from kalshi_ray.config import without_password
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.data.catalog.backend import PostgresBackend
    from kalshi_ray.data.catalog.status import DatabaseStatus

app = typer.Typer(help="The PostgreSQL that sessions are kept in: how it stands, and its schema.", no_args_is_help=True)

SCHEMES = ("postgresql://", "postgres://")


@app.command("status", cls=settings_command())
def status(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """How the database stands: server, schema version, rights, sessions and space. Changes nothing.

    Example: kalshi-ray database status --store postgresql://recorder@localhost/kalshi
    """
    from kalshi_ray.data.catalog.status import read_status

    found = read_status(_backend(ctx, config))
    if as_json:
        emit_json(found)
        return
    rights = "may read and write" if found.can_write else "may read" if found.can_read else "may not read"
    say(
        f"{found.url}: PostgreSQL {found.server}",
        f"role {found.role} {rights} schema {found.schema}",
        _stands(found),
    )
    if found.version is not None and found.can_read:
        say(f"{found.sessions:,} sessions, {found.updates:,} updates, {found.bytes / 1e6:,.1f} MB on disk")


@app.command("migrate", cls=settings_command())
def migrate(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Bring the schema of the database to the version that this program speaks; an empty one is set up.

    Writers wait meanwhile; of two migrations at once one waits. Back the database up first.

    Example: kalshi-ray database migrate --store postgresql://recorder@localhost/kalshi
    """
    from kalshi_ray.data.catalog.status import migrate_database, read_status

    backend = _backend(ctx, config)
    applied = migrate_database(backend)
    found = read_status(backend)
    if as_json:
        emit_json({"status": found, "applied": [{"version": step.version, "what": step.what} for step in applied]})
        return
    for step in applied:
        say(f"step {step.version}: {step.what}")
    say(_stands(found))


def _backend(ctx: typer.Context, config: Path | None) -> PostgresBackend:
    url = settings_of(ctx, config).places.store
    if not url.startswith(SCHEMES):
        raise UsageError(
            f"the store {without_password(url)!r} is no database", remedy="Give --store postgresql://… or DATABASE_URL"
        )
    from kalshi_ray.data.catalog import open_backend

    return open_backend(url)


def _stands(found: DatabaseStatus) -> str:
    """One line on the version, and what to do about it."""
    version = f"schema version {found.version}"
    return {
        "empty": "nothing of ours in it yet: the first write sets it up, or kalshi-ray database migrate",
        "ready": f"{version}, which this program speaks",
        "older": f"{version}, this program speaks {found.speaks}. Next: kalshi-ray database migrate",
        "newer": f"{version}, this program speaks {found.speaks}. Upgrade kalshi-ray",
        "foreign": f"tables that are not ours: {', '.join(found.foreign)}. Name another schema: ?schema=kalshi_ray",
    }[found.state]
