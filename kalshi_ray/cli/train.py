"""`kalshi-ray train`: PPO or A2C over parallel env runners on sessions of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command
from kalshi_ray.cli.output import emit_json, say
from kalshi_ray.cli.training import Request, all_phases, as_plain, one_run, print_next, print_trained
from kalshi_ray.errors import UsageError

SECTIONS = ("selection", "causal", "split", "env", "train", "ray")
ALIASES = {
    "--algorithm": "train.algorithm",
    "--learning-rate": "train.learning_rate",
    "--save-freq": "train.save_freq",
    "--eval-freq": "train.eval_freq",
    "--portfolio-log-freq": "train.portfolio_log_freq",
    "--m10-console-freq": "train.console_freq",
    "--device": "train.device",
    "--seed": "train.seed",
    "--preset": "train.preset",
    "--sampler": "train.sampler",
    "--runners": "train.runners",
    "--cash-start": "env.bankroll_cents",
    "--min-episode-length": "selection.min_decisions",
    "--max-spread": "selection.max_spread_cents",
}
# Options that a file of phases says for each of them.
SAID_BY_PHASES = ("session", "sessions", "validation_session", "total_timesteps", "curriculum", "resume_from", "config")

OneSession = Annotated[list[str] | None, typer.Option("--session", help="Session to train on; may repeat.")]
Sessions = Annotated[str | None, typer.Option("--sessions", help="The same as one list: 6,7,8,9.")]
Validated = Annotated[
    list[str] | None,
    typer.Option("--validation-session", help="Validate on the whole of this one, not on a part; may repeat."),
]
Steps = Annotated[
    int | None, typer.Option("--total-timesteps", help="Decisions to train on; after --resume-from, further ones.")
]
Curriculum = Annotated[
    bool, typer.Option("--curriculum", help="Easy markets first; without --total-timesteps every market once.")
]
Phases = Annotated[
    Path | None, typer.Option("--phases", help="Runs that follow each other, and settings: see jobs/phases.toml.")
]
RunName = Annotated[str | None, typer.Option("--run", help="Name of the run; by default time, preset and seed.")]
RunFolder = Annotated[Path | None, typer.Option("--model-save-path", help="Folder of the run, instead of --run.")]
ResumeFrom = Annotated[
    Path | None, typer.Option("--resume-from", help="A run or checkpoint to go on from: optimiser, counters, seeds.")
]
FromModel = Annotated[
    Path | None, typer.Option("--from-model-checkpoint", help="A bundle, run or checkpoint: its weights alone.")
]
AllowOverlap = Annotated[
    bool, typer.Option("--allow-overlap", help="Judge on events or times that are trained on: memory, not skill.")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("train", cls=settings_command(*SECTIONS, aliases=ALIASES))(train)


def train(
    ctx: typer.Context,
    session: OneSession = None,
    sessions: Sessions = None,
    validation_session: Validated = None,
    total_timesteps: Steps = None,
    curriculum: Curriculum = False,
    phases: Phases = None,
    run: RunName = None,
    model_save_path: RunFolder = None,
    resume_from: ResumeFrom = None,
    from_model_checkpoint: FromModel = None,
    allow_overlap: AllowOverlap = False,
    reason: Annotated[str, typer.Option("--reason", help="Why this run; kept in the bundle.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train on the suitable markets of the training part of sessions, and write a bundle.

    Example: kalshi-ray train --session demo --total-timesteps 1000000 --train.preset fast
    """
    _exclude(ctx, "run", "model_save_path")
    _exclude(ctx, "resume_from", "from_model_checkpoint")
    _exclude(ctx, "session", "sessions")
    request = Request(
        sessions=() if phases else _named(session, sessions),
        validation_sessions=tuple(validation_session or ()),
        steps=total_timesteps,
        curriculum=curriculum,
        allow_overlap=allow_overlap,
        folder=model_save_path,
        run=run,
        resume_from=resume_from,
        weights_from=from_model_checkpoint,
        reason=reason,
    )
    if phases:
        _exclude_all(ctx, "phases", SAID_BY_PHASES)
        raise typer.Exit(_train_phases(ctx, phases, request, as_json=as_json))
    trained = one_run(ctx, config, request, as_json=as_json)
    if as_json:
        emit_json(as_plain(trained))
    else:
        print_trained(trained)
        print_next(trained, request.sessions, config)
    raise typer.Exit(trained.result.exit_code)


def _train_phases(ctx: typer.Context, path: Path, request: Request, *, as_json: bool) -> int:
    """Train all phases that are not done yet; the exit code."""
    done = all_phases(ctx, path, request, as_json=as_json)
    if as_json:
        emit_json([as_plain(one) for one in done])
        return done[-1].result.exit_code if done else 0
    for one in done:
        print_trained(one)
    if done and done[-1].result.exit_code:
        say("To go on with the phases: the same command again")
    return done[-1].result.exit_code if done else 0


def _named(session: list[str] | None, sessions: str | None) -> tuple[str, ...]:
    """The sessions to train on, as text, from either option."""
    names = session or [name.strip() for name in (sessions or "").split(",") if name.strip()]
    if not names:
        raise UsageError(
            "no session to train on", remedy="Give --session NAME or --sessions A,B; see `kalshi-ray sessions list`"
        )
    return tuple(names)


def _exclude_all(ctx: typer.Context, name: str, others: tuple[str, ...]) -> None:
    for other in others:
        _exclude(ctx, name, other)


def _exclude(ctx: typer.Context, *names: str) -> None:
    """UsageError where more than one of the options is given."""
    given = [f"--{name.replace('_', '-')} {_text(ctx.params[name])}".rstrip() for name in names if ctx.params.get(name)]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", remedy="Give one of them")


def _text(value: Any) -> str:
    if value is True:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
