"""`kalshi-ray train`: PPO over parallel env runners on one session of the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, progress_bar, say, show, table
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.train.job import Trained

ALIASES = {
    "--total-timesteps": "train.steps",
    "--learning-rate": "train.learning_rate",
    "--save-freq": "train.save_freq",
    "--seed": "train.seed",
    "--preset": "train.preset",
    "--runners": "train.runners",
    "--cash-start": "env.bankroll_cents",
    "--min-episode-length": "selection.min_decisions",
    "--max-spread": "selection.max_spread_cents",
}

ALGORITHMS = ("ppo",)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train", cls=settings_command("selection", "split", "env", "train", "ray", aliases=ALIASES))(train)


def train(
    ctx: typer.Context,
    session: Annotated[str, typer.Option("--session", help="Session of the store to train on.")],
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run; time, preset and seed if not given.")
    ] = None,
    algorithm: Annotated[str, typer.Option("--algorithm", help="ppo.")] = "ppo",
    resume_from: Annotated[
        Path | None,
        typer.Option("--resume-from", help="A run or checkpoint to go on from: optimiser, counters, seeds."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why this run; kept in the bundle.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train on the suitable markets of the training part of a session, and write a bundle.

    Example: kalshi-ray train --session demo --total-timesteps 1000000 --train.preset fast
    """
    if algorithm not in ALGORITHMS:
        raise UsageError(f"no algorithm {algorithm!r}", remedy=f"Known: {', '.join(ALGORITHMS)}")
    settings = settings_of(ctx, config)
    from kalshi_ray.data.store import open_store  # from here on what takes long to import
    from kalshi_ray.train.folder import require_unused
    from kalshi_ray.train.job import name_run, train_on_session
    from kalshi_ray.train.ray_session import ray_session

    opened = open_store(settings.places.store).open(session)
    run_dir = Path(settings.places.runs) / (run or name_run(settings.train))
    require_unused(run_dir, resume_from)  # before Ray starts
    with progress_bar() as progress, ray_session(settings.ray):
        trained = train_on_session(
            opened,
            settings.train,
            env=settings.env,
            selection=settings.selection,
            split=settings.split,
            run_dir=run_dir,
            progress=progress,
            resume_from=resume_from,
            reason=reason,
        )
    if as_json:
        emit_json({"result": trained.result, "trained_on": trained.trained_on, "split": trained.split.parts})
        raise typer.Exit(trained.result.exit_code)
    print_trained(trained)
    same = f" --config {config}" if config else ""
    say(f"Next: kalshi-ray evaluate --session {session} --policy {trained.result.bundle}{same}")
    if trained.result.status == "stopped":
        say(
            f"{trained.result.why} at step {trained.result.steps:,}",
            f"To go on: kalshi-ray train --session {session} {trained.result.how_to_go_on}{same}",
        )
    raise typer.Exit(trained.result.exit_code)


def print_trained(trained: Trained) -> None:
    """The parts of the session, what was left out, and the last figures of the run."""
    from kalshi_ray.cli.reading import print_tables
    from kalshi_ray.data.analysis import split_table
    from kalshi_ray.train.progress import UNITS

    print_tables([split_table(trained.split.parts)])
    result = trained.result
    say(
        f"trained {result.steps:,} steps on {trained.trained_on:,} markets in {result.seconds:,.0f} s, "
        f"{result.steps_per_s:,.0f} steps/s; {len(trained.selection.rejected):,} markets of the session are unsuitable",
    )
    shown = [(name, value, UNITS.get(name, "")) for name, value in result.metrics.items() if name != "iteration"]
    show(table("Last iteration; episodes are means", ("figure", "value", "unit"), shown, right=("value",)))
    say(f"run {result.run_dir}", f"bundle {result.bundle}")
