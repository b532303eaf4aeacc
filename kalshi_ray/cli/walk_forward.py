"""`kalshi-ray walk-forward`: train on the past, judge on what follows, again and again; one report over all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, only_errors, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, progress_bar, say, show, table
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.train.walk_forward import FoldResult, WalkForward, Window

SECTIONS = ("selection", "causal", "env", "train", "evaluation", "ray")
ALIASES = {
    "--total-timesteps": "train.steps",
    "--preset": "train.preset",
    "--baselines": "evaluation.baselines",
}
COLUMNS = ("fold", "trained on", "events", "markets", "left out", "judged on", "markets", "policy", "fills", "net")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("walk-forward", cls=settings_command(*SECTIONS, aliases=ALIASES))(walk_forward)


def walk_forward(
    ctx: typer.Context,
    session: Annotated[str, typer.Option("--session", help="Session of the store, with several events.")],
    folds: Annotated[int, typer.Option("--folds", help="Into how many the later events are cut.")] = 5,
    min_events: Annotated[
        int, typer.Option("--min-events", help="Events that are over before the first fold begins.")
    ] = 5,
    purge_s: Annotated[
        float, typer.Option("--purge-s", help="Shortest pause between a training event and its fold, s.")
    ] = 0.0,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each fold, seeds from train.seed on.")] = 3,
    run: Annotated[str | None, typer.Option("--run", help="Name of the folder of runs; by default the time.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for report.html, .json, trades.csv and folds.json.")
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train on the events before each fold, judge on the fold's own, and report over all folds, beside the baselines.

    Example: kalshi-ray walk-forward --session highny --config jobs/highny.toml --folds 6 --min-events 4
    """
    settings = settings_of(ctx, config)
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least one training is needed")
    from kalshi_ray.cli.evaluate import print_report  # from here on what takes long to import
    from kalshi_ray.train import walk_forward as forward

    window = forward.Window(folds=folds, min_events=min_events, purge_s=purge_s)
    name = run or f"{datetime.now(UTC):%Y%m%dT%H%M%S}-walk-forward"
    runs = Path(settings.places.runs) / name
    only_errors(ctx)  # an alert of every one of many trainings would bury the table
    found = _walked(settings, session, window, seeds, runs)
    paths = forward.write(found, report or Path(settings.places.reports) / name)
    if as_json:
        emit_json({"folds": found.folds, "policies": found.evaluation.report.policies})
        return
    data = found.evaluation.report.data
    say(f"markets: {data.selection}", *(f"  note: {flag}" for flag in data.flags), "")
    show(table("Fold by fold", COLUMNS, [cells(one) for one in found.folds], right=("fills", "net")))
    print_report(found.evaluation.report)
    say(f"runs {runs}", f"wrote {', '.join(map(str, paths))}")


def _walked(settings: Settings, session: str, window: Window, seeds: int, runs: Path) -> WalkForward:
    """Train and judge, with seeds from `train.seed` on."""
    from kalshi_ray.data.store import open_store
    from kalshi_ray.train.ray_session import ray_session
    from kalshi_ray.train.walk_forward import walk_forward

    opened, first = open_store(settings.places.store).open(session), settings.train.seed
    with progress_bar() as progress, ray_session(settings.ray):
        return walk_forward(
            opened,
            window,
            settings.train,
            settings.evaluation,
            env=settings.env,
            selection=settings.selection,
            causal=settings.causal,
            seeds=range(first, first + seeds),
            runs=runs,
            progress=progress,
        )


def cells(one: FoldResult) -> tuple[object, ...]:
    """A line of the table of folds."""
    return (
        one.fold,
        one.trained_on,
        one.training_events,
        one.training_markets,
        one.purged_events,
        one.judged_on,
        one.markets,
        one.policy,
        f"{one.fills:,}",
        f"{'−' if one.net_dollars < 0 else ''}${abs(one.net_dollars):,.2f}",
    )
