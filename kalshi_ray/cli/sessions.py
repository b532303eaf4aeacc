"""`kalshi-ray sessions`: recorded, imported and generated order books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from kalshi_ray.cli import importing, keeping, reading
from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, minute, print_manifest, progress_bar, say, show, size, table
from kalshi_ray.cli.unfinished import place_note

if TYPE_CHECKING:
    from kalshi_ray.data.store import SessionStore, SessionSummary

SYNTH_ALIASES = {
    f"--{name}": f"synth.{name}"
    for name in ("regime", "markets", "strikes", "hours", "waves", "updates", "seed", "grid")
}

app = typer.Typer(help="Recorded, imported and generated order books.", no_args_is_help=True)
reading.add_to(app)
importing.add_to(app)
keeping.add_to(app)


@app.command("list", cls=settings_command())
def list_sessions(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List every session of the store, finished or not.

    Below the table stands how each unfinished one can go on.

    Example: kalshi-ray sessions list --store store
    """
    opened = _store(ctx, config)
    found = [_with_place(one) for one in opened.list()]
    if as_json:
        emit_json({"store": opened.url, "sessions": found})
        return
    if not found:
        say(f"no sessions in {opened.url}. Next: kalshi-ray sessions synth, or kalshi-ray sessions import")
        return
    numbers = ("markets", "updates", "size", "of it raw")
    columns = ("session", "state", "source", *numbers[:2], "from (UTC)", "to (UTC)", "depth", "sizes", *numbers[2:])
    show(table(f"Sessions in {opened.url}", columns, map(_row, found), right=numbers))
    say(*(escape(f"{one.id}: {one.problem}") for one in found if one.problem))


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


def _store(ctx: typer.Context, config: Path | None) -> SessionStore:
    from kalshi_ray.data.store import open_store

    return open_store(settings_of(ctx, config).places.store)


def _with_place(found: SessionSummary) -> SessionSummary:
    """The same, where its note says too where the rest of an unfinished session is."""
    where = place_note(found)
    return msgspec.structs.replace(found, problem=f"{found.problem}. {where}") if where else found


def _row(found: SessionSummary) -> tuple[object, ...]:
    sizes = size(found.bytes), size(found.raw_bytes) if found.raw_bytes else None
    manifest = found.manifest
    if manifest is None:
        return found.id, found.state, "", None, found.rows, "", "", "", "", *sizes
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
        *sizes,
    )
