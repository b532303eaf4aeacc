"""`kalshi-ray sessions import`: recordings made elsewhere, with what has to be told about their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray import config as config_file
from kalshi_ray.cli.options import AsJson, ConfigFile, foreign_options, settings_command, settings_of
from kalshi_ray.cli.output import print_manifest, progress_bar
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.data.importing import ImportSource

SOURCES = ("frames", "quotes", "trades", "books")
ALIASES = {
    "--results-time": "importing.results_time",
    "--gap-threshold": "importing.gap_threshold_s",
    "--assumed-size": "importing.assumed_size",
}

Files = list[Path] | None


def add_to(app: typer.Typer) -> None:
    """Register the command in the group of sessions."""
    extra = {"allow_extra_args": True}  # what the shell made of a pattern without quotes is told by the command
    made = settings_command("importing", aliases=ALIASES, foreign=SOURCES)
    app.command("import", cls=made, context_settings=extra)(import_)


def import_(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Name of the session to write.")],
    frames: Annotated[
        Files, typer.Option("--frames", help="WebSocket frames as JSON lines; may be given again.")
    ] = None,
    quotes: Annotated[Files, typer.Option("--quotes", help="Best quotes, CSV or Parquet; may be given again.")] = None,
    trades: Annotated[Files, typer.Option("--trades", help="Prints, CSV, Parquet or JSON; may be given again.")] = None,
    books: Annotated[Files, typer.Option("--books", help="Full books as JSON lines; may be given again.")] = None,
    results: Annotated[Files, typer.Option("--results", help="Results: ticker and yes, no or dollars.")] = None,
    markets: Annotated[Files, typer.Option("--markets", help="Market lists as the exchange sends them.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a session of recorded files, and say what the recording cannot know.

    Columns, units and zones of a form are options of its name: --quotes.bid best_yes_bid --quotes.time_zone US/Pacific.

    Example: kalshi-ray sessions import highny --quotes 'bbo*.parquet' --quotes.no_bid best_no_bid --results results.csv
    """
    from kalshi_ray.data.importing import import_session
    from kalshi_ray.data.store import open_store

    if unquoted := ctx.args:
        files = ", ".join(unquoted[:3]) + (" …" if len(unquoted) > 3 else "")
        raise UsageError(
            f"{files} {'follows' if len(unquoted) == 1 else 'follow'} without an option",
            remedy="Put a pattern in quotes, so that the shell leaves it alone (--quotes 'logs/*.parquet'), "
            "or repeat the option for each file",
        )
    settings = settings_of(ctx, config)
    given = {"frames": frames, "quotes": quotes, "trades": trades, "books": books}
    sources = [_source(ctx, form, paths) for form, paths in given.items() if paths]
    for form in SOURCES:
        if foreign_options(ctx, form) and not given[form]:
            raise UsageError(f"--{form}.… is given without files", remedy=f"Name them with --{form} FILE")
    if not sources:
        raise UsageError("nothing to import", remedy="Give --frames, --quotes, --trades or --books with files")
    options = config_file.replaced(settings.importing, results=_expanded(results), markets=_expanded(markets))
    with progress_bar() as progress:
        manifest = import_session(open_store(settings.places.store), session, sources, options, progress=progress)
    print_manifest(manifest, as_json=as_json)


def _source(ctx: typer.Context, form: str, paths: Sequence[Path]) -> ImportSource:
    from kalshi_ray.data import importing

    kinds: dict[str, Any] = {
        "frames": importing.FrameFiles,
        "quotes": importing.QuoteFiles,
        "trades": importing.TradeFiles,
        "books": importing.BookFiles,
    }
    given = [("paths", config_file.toml_text(_expanded(paths))), *foreign_options(ctx, form)]
    section = msgspec.defstruct("Forms", [(form, kinds[form])])  # so that errors name --quotes.unit, not --unit
    options = [(f"{form}.{key}", text) for key, text in given]
    source: ImportSource = getattr(config_file.load(section, environ={}, options=options).value, form)
    return source


def _expanded(paths: Sequence[Path] | None) -> tuple[str, ...]:
    """Files by name or by pattern, in order of their names."""
    found: list[str] = []
    for path in paths or ():
        if path.is_dir():
            raise UsageError(f"{path} is a folder", remedy=f"Give its files, such as '{path}/*.parquet'")
        matches = [path] if path.exists() else sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise UsageError(
                f"no file {path}", remedy="Check the name; patterns such as 'quotes/*.parquet' are taken too"
            )
        found += map(str, matches)
    return tuple(found)
