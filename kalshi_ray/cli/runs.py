"""`kalshi-ray runs`: training runs on disk, while they go on and afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, say, show, table, written
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.train.run_tables import RunTable
    from kalshi_ray.train.runs import RunRecord, RunSummary

app = typer.Typer(help="Training runs: how they stand, their curves, and what differs.", no_args_is_help=True)

Page = Annotated[Path | None, typer.Option("--html", help="Draw all curves into this one file.")]


@app.command("list", cls=settings_command())
def list_runs(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List every run, the newest last: how it stands, how far it is, and its best validation.

    Example: kalshi-ray runs list --runs runs
    """
    from kalshi_ray.train.runs import find_runs

    root = _root(ctx, config)
    found = [run.summary() for run in find_runs(root, time.time())]
    if as_json:
        emit_json({"runs": str(root), "found": found})
        return
    if not found:
        say(f"no runs in {root}. Next: kalshi-ray train --session SESSION")
        return
    columns = ("run", "status", "steps", "steps/s", "best validation, $", "alerts", "preset", "sessions", "begun")
    show(table(f"Runs in {root}", columns, map(_row, found), right=columns[2:6]))
    say(f"Next: kalshi-ray runs show {found[-1].name}")


@app.command("show", cls=settings_command())
def display(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or the path of its folder.")],
    html: Page = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """How a run stands: settings, last figures, alerts, actions beside random play, health of the observation.

    Example: kalshi-ray runs show 20261120T110000-fast-s0 --html reports/run.html
    """
    from kalshi_ray.train.run_page import run_page
    from kalshi_ray.train.run_tables import tables_of
    from kalshi_ray.train.runs import open_run

    found = open_run(_root(ctx, config), run, time.time())
    if html is not None:
        written(html, run_page(found))
    if as_json:
        emit_json(_as_json(found))
        return
    summary = found.summary()
    of = f" of {summary.of_steps:,}" if summary.of_steps else ""
    say(
        f"{summary.name}: {summary.status}{': ' if summary.why else ''}{summary.why}",
        f"{summary.steps:,}{of} steps in {summary.seconds:,.0f} s; {summary.algorithm}, preset {summary.preset}, on "
        f"{', '.join(summary.sessions) or 'unknown sessions'}; begun {summary.created}",
        "",
    )
    for one in tables_of(found):
        _show(one)
    if html is not None:
        say(f"curves in {html}")
    elif found.progress:
        say(f"Next: kalshi-ray runs show {run} --html {summary.name.replace('/', '-')}.html")


@app.command("compare", cls=settings_command())
def compare(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs, or paths of their folders.")],
    html: Page = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Several runs side by side: the settings in which they differ, and their figures.

    Example: kalshi-ray runs compare first second --html reports/both.html
    """
    from kalshi_ray.train.run_page import comparison_page
    from kalshi_ray.train.run_tables import comparison
    from kalshi_ray.train.runs import open_run

    if len(runs) < 2:
        raise UsageError(f"one run, {runs[0]}, has nothing to be compared with", remedy="Name two runs or more")
    root, now = _root(ctx, config), time.time()
    found = [open_run(root, run, now) for run in runs]
    if html is not None:
        written(html, comparison_page(found))
    settings, figures = comparison(found)
    if as_json:
        emit_json({"settings": _by_name(settings), "figures": _by_name(figures)})
        return
    if not settings.rows:
        say("the settings of these runs are the same", "")
    for one in (settings, figures):
        if one.rows:
            _show(one)
    if html is not None:
        say(f"curves in {html}")


def _root(ctx: typer.Context, config: Path | None) -> Path:
    return Path(settings_of(ctx, config).places.runs)


def _row(run: RunSummary) -> tuple[object, ...]:
    of = f"{run.steps:,} of {run.of_steps:,}" if run.of_steps and run.steps < run.of_steps else f"{run.steps:,}"
    speed = run.steps_per_s if run.steps_per_s else None
    shown = f"{run.algorithm} {run.preset}"
    begun = run.created[:16].replace("T", " ")
    sessions = ", ".join(run.sessions)
    return run.name, run.status, of, speed, run.best_validation, run.alerts or None, shown, sessions, begun


def _show(one: RunTable) -> None:
    show(table(one.title, one.columns, one.rows, right=one.right))
    say(*([one.note] if one.note else []), "")


def _as_json(run: RunRecord) -> dict[str, Any]:
    from kalshi_ray.train.run_tables import action_table

    actions = action_table(run)
    return {
        "summary": run.summary(),
        "differing": {name: {"value": value, "default": usual} for name, (value, usual) in run.differing().items()},
        "last": run.last,
        "validation": run.validation,
        "alerts": run.alerts,
        "actions": [dict(zip(actions.columns, row, strict=True)) for row in actions.rows],
        "health": run.health,
        "result": run.result,
    }


def _by_name(one: RunTable) -> dict[str, dict[str, object]]:
    return {str(row[0]): dict(zip(one.columns[1:], row[1:], strict=True)) for row in one.rows}
