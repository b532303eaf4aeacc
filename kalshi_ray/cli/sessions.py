"""`kalshi-ray sessions`: recorded, imported and generated order books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli import importing, reading
from kalshi_ray.cli.options import AsJson, ConfigFile, SessionId, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, minute, print_manifest, progress_bar, say, show, table
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.data.store import SessionStore, SessionSummary

SYNTH_ALIASES = {
    f"--{name}": f"synth.{name}"
    for name in ("regime", "markets", "strikes", "hours", "waves", "updates", "seed", "grid")
}

app = typer.Typer(help="Recorded, imported and generated order books.", no_args_is_help=True)
reading.add_to(app)
importing.add_to(app)


@app.command("list", cls=settings_command())
def list_sessions(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List every session of the store, finished or not.

    Example: kalshi-ray sessions list --store store
    """
    opened = _store(ctx, config)
    found = opened.list()
    if as_json:
        emit_json({"store": opened.url, "sessions": found})
        return
    if not found:
        say(f"no sessions in {opened.url}. Next: kalshi-ray sessions synth, or kalshi-ray sessions import")
        return
    columns = ("session", "state", "source", "markets", "updates", "from", "to", "depth", "sizes", "MB", "note")
    show(table(f"Sessions in {opened.url}", columns, map(_row, found), right=("markets", "updates", "MB")))


@app.command("synth", cls=settings_command("synth", aliases=SYNTH_ALIASES))
def synth(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Name of the session to write.")],
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="FOLDER", help="Print its statistics beside recorded ones.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Generate a session: null, planted, planted-maker or calibrated. The same settings give the same bytes.

    Example: kalshi-ray sessions synth demo --regime planted --markets 64 --hours 1 --seed 7

    Example: kalshi-ray sessions synth like-recorded --markets 192 --compare recorded/
    """
    from kalshi_ray.data.store import open_store
    from kalshi_ray.data.synthetic.session import synthesize

    settings = settings_of(ctx, config)
    recorded = _recorded(compare)
    opened = open_store(settings.places.store)
    with progress_bar() as progress:
        manifest = synthesize(opened, session, settings.synth, progress)
    if compare is None:
        print_manifest(manifest, as_json=as_json)
        return
    from kalshi_ray.data.synthetic.statistics import compare_statistics, comparison_table

    rows = compare_statistics(opened.open(session), recorded)
    if as_json:
        emit_json({"session": session, "statistics": rows})
    else:
        typer.echo(comparison_table(rows), nl=False)


def _recorded(folder: Path | None) -> Path:
    """The folder to compare with, refused before anything is generated."""
    if folder is not None:
        from kalshi_ray.data.synthetic.statistics import recorded_statistics

        recorded_statistics(folder)
    return folder or Path()


@app.command("delete", cls=settings_command())
def delete(
    ctx: typer.Context,
    session: SessionId,
    rows: Annotated[int | None, typer.Option("--rows", help="Updates that the session holds, as a safeguard.")] = None,
    config: ConfigFile = None,
) -> None:
    """Delete a session for good. The number of its updates must be given, so that nothing is deleted by mistake.

    Example: kalshi-ray sessions delete demo --rows 120000
    """
    opened = _store(ctx, config)
    if rows is None:
        counted = opened.summary(session).rows
        raise UsageError(f"session {session!r} holds {counted:,} updates", remedy=f"Delete it with --rows {counted}")
    opened.delete(session, expected_rows=rows)
    say(f"deleted {session} with {rows:,} updates")


@app.command("recover", cls=settings_command())
def recover(ctx: typer.Context, session: SessionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Finish a session whose writer died: every whole file is kept.

    Example: kalshi-ray sessions recover live-0412
    """
    manifest = _store(ctx, config).recover(session)
    if as_json:
        emit_json(manifest)
        return
    say(f"{session} is finished: {manifest.updates:,} updates of {manifest.markets:,} markets are whole")


def _store(ctx: typer.Context, config: Path | None) -> SessionStore:
    from kalshi_ray.data.store import open_store

    return open_store(settings_of(ctx, config).places.store)


def _row(found: SessionSummary) -> tuple[object, ...]:
    manifest = found.manifest
    if manifest is None:
        return found.id, found.state, "", None, found.rows, "", "", "", "", found.bytes / 1e6, found.problem
    first, last = minute(manifest.first_ns), minute(manifest.last_ns)
    return (
        found.id,
        found.state,
        manifest.source,
        manifest.markets,
        found.rows,
        first,
        last,
        manifest.depth,
        manifest.sizes,
        found.bytes / 1e6,
        found.problem,
    )
