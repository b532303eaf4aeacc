"""`kalshi-ray sessions analyze | validate | view | export`: what a session is, for people and for other programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, SessionId, settings_command, settings_of
from kalshi_ray.cli.output import counted, emit_json, make_folder_of, note, progress_bar, say, show, table, written
from kalshi_ray.errors import SessionDamaged, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.data.analysis import ReportTable
    from kalshi_ray.data.session import Session

ExportForm = Literal["csv", "parquet", "jsonl-frames"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_NS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1_000  # that can be written
Html = Annotated[Path | None, typer.Option("--html", help="Write the report as one HTML file here.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands in the group of sessions."""
    aliases = {
        "--edge": "analysis.edge",
        "--top": "analysis.top",
        "--min-episode-length": "selection.min_decisions",
        "--max-spread": "selection.max_spread_cents",
    }
    app.command("analyze", cls=settings_command("analysis", "selection", aliases=aliases, flags=("--edge",)))(analyze)
    app.command("validate", cls=settings_command())(validate)
    app.command("view", cls=settings_command())(view)
    app.command("export", cls=settings_command())(export)


def analyze(
    ctx: typer.Context,
    session: SessionId,
    html: Html = None,
    every: Annotated[bool, typer.Option("--all", help="Every market, not only the busiest.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Quality, spread, depth, activity and suitability of every market; with --edge what can be earned at all.

    Example: kalshi-ray sessions analyze demo --edge --html reports/demo.html
    """
    from kalshi_ray.data.analysis import AnalysisSettings, analyze_session, report_html, report_tables

    settings = settings_of(ctx, config)
    wanted = settings.analysis
    asked = AnalysisSettings(
        edge=wanted.edge,
        top=wanted.top,
        horizons_s=wanted.horizons_s,
        markouts_s=wanted.markouts_s,
        suitability=settings.selection,
    )
    with progress_bar() as progress:
        report = analyze_session(_open(settings, session), asked, progress)
    if html is not None:
        written(html, report_html(report))
    if as_json:
        emit_json(report)
        return
    print_tables(report_tables(report, all_markets=every))
    if html is not None:
        say(f"wrote {html}")


def validate(ctx: typer.Context, session: SessionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check files, counts, clocks, sequence, books and prints; name row and market of what is wrong. Exit 1 on errors.

    Example: kalshi-ray sessions validate demo
    """
    from kalshi_ray.collect.status import span_text
    from kalshi_ray.data.validate import validate_session

    with progress_bar() as progress:
        report = validate_session(_open(settings_of(ctx, config), session), progress)
    if as_json:
        emit_json(report.to_dict())
    else:
        rows = [
            (
                f.severity,
                f.name,
                f.count,
                f.message,
                "; ".join(dict.fromkeys(f"{e.ticker or 'all markets'} row {e.row:,}" for e in f.examples)),
            )
            for f in report.findings
        ]
        if rows:
            show(table(f"Findings in {session}", ("", "check", "count", "what", "where first"), rows, right=("count",)))
        findings = f"{counted(len(rows), 'kind')} of findings, see above" if rows else "nothing is wrong with them"
        causes = ", ".join(f"{counted(rows, 'row')} by {cause}" for cause, rows in report.gaps.items())
        unknown = f"; books unknown for {span_text(report.unknown_s)}, summed over markets" if report.unknown_s else ""
        say(f"gaps: {causes or 'none'}{unknown}")
        if report.lag_ms:
            say("receipt after the exchange: " + ", ".join(f"{name} {ms:,} ms" for name, ms in report.lag_ms.items()))
        say(f"{report.updates:,} updates checked; {findings}")
    if not report.is_valid:
        names = ", ".join(f.name for f in report.findings if f.severity == "error")
        raise SessionDamaged(f"session {session} has errors: {names}", remedy="The table above says where")


def view(
    ctx: typer.Context,
    session: SessionId,
    market: Annotated[str | None, typer.Option("--market", help="Ticker; the busiest one if not given.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="A time, ISO 8601 (UTC if no zone) or nanoseconds; its end if not given.")
    ] = None,
    levels: Annotated[int, typer.Option("--levels", min=1, help="Levels of each side, and prints.")] = 10,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one market at one moment: the ladder, the last prints, and the path of its price.

    Example: kalshi-ray sessions view demo --market SYNTH-0000-0 --at 2026-01-05T15:20:00
    """
    from kalshi_ray.data.analysis import busiest_market, view_session, view_tables

    moment = _moment(at)
    opened = _open(settings_of(ctx, config), session)
    if market is None:
        market = busiest_market(opened)
        note(f"the busiest market; `kalshi-ray sessions analyze {session} --all` lists every one for --market")
    shown = view_session(opened, market, moment, rows=levels)
    if as_json:
        emit_json(shown)
        return
    print_tables(view_tables(shown))


def export(
    ctx: typer.Context,
    session: SessionId,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    form: Annotated[
        ExportForm, typer.Option("--format", help="What to write; jsonl-frames can be imported again.")
    ] = "csv",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a session to one file for other programs: CSV, Parquet, or frames in the exchange's own form.

    Example: kalshi-ray sessions export demo demo.csv --format csv
    """
    from kalshi_ray.data.export import export_session

    if str(path) == "-":
        raise UsageError("an export is a file, not standard output", remedy="Name one that does not exist yet")
    make_folder_of(path)
    with progress_bar() as progress:
        rows = export_session(_open(settings_of(ctx, config), session), str(path), format=form, progress=progress)
    if as_json:
        emit_json({"session": session, "file": path, "format": form, "rows": rows})
        return
    say(f"wrote {path}: {rows:,} updates")


def print_tables(tables: Iterable[ReportTable]) -> None:
    """Print report tables one after the other, each with its caption."""
    for one in tables:
        show(table(one.title, one.columns, one.rows, right=one.right))
        say(*([f"[dim]{one.caption}[/dim]"] if one.caption else []), "")


def _open(settings: Settings, session: str) -> Session:
    from kalshi_ray.data.store import open_store

    return open_store(settings.places.store).open(session)


def _moment(text: str | None) -> int | None:
    """Nanoseconds since the epoch of a time given in words or digits; in words it is UTC unless it names a zone."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) > len("20260105"):  # which is a day
        if int(text) > LATEST_NS:
            raise UsageError(f"--at {text} is no time in nanoseconds", remedy="Write 2026-01-05T15:20:00")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at {text} is no time", remedy="Write 2026-01-05T15:20:00, or nanoseconds") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000
