"""What `kalshi-ray train` does once its options are understood: one run, or phases that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from kalshi_ray.cli.options import load_settings
from kalshi_ray.cli.output import counted, progress_bar, say, show, table
from kalshi_ray.cli.run_view import run_view
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.train.job import Trained
    from kalshi_ray.train.plan import Markets, Plan

SHOWN_TICKERS = 6


@dataclass(frozen=True)
class Request:
    """The options of one run that are no settings."""

    sessions: tuple[str, ...]
    validation_sessions: tuple[str, ...] = ()
    steps: int | None = None  # of this run; after a resume, beyond the checkpoint
    curriculum: bool = False
    allow_overlap: bool = False
    folder: Path | None = None  # of the run
    run: str | None = None  # its name in places.runs, where no folder is given
    resume_from: Path | None = None
    weights_from: Path | None = None
    reason: str = ""
    first: tuple[tuple[str, str], ...] = ()  # settings that those on the line win over


def one_run(ctx: typer.Context, config: Path | None, request: Request, *, as_json: bool) -> Trained:
    """Plan, say what is planned, train. Whatever can be refused is refused before Ray is started."""
    from kalshi_ray.data.store import open_store  # on call: help must not import what takes long
    from kalshi_ray.train.folder import require_unused
    from kalshi_ray.train.holding import require_free
    from kalshi_ray.train.job import name_run, train_on_plan
    from kalshi_ray.train.plan import plan_training
    from kalshi_ray.train.ray_session import ray_session

    settings, until_played = settings_in_force(ctx, config, request)
    run_dir = request.folder or Path(settings.places.runs) / (request.run or name_run(settings.train))
    require_free(run_dir)
    require_unused(run_dir, request.resume_from)
    store = open_store(settings.places.store)
    with progress_bar() as progress:
        plan = plan_training(
            [store.open(name) for name in request.sessions],
            settings.train,
            env=settings.env,
            selection=settings.selection,
            split=settings.split,
            causal=settings.causal,
            validate_on=[store.open(name) for name in request.validation_sessions],
            allow_overlap=request.allow_overlap,
            until_played=until_played,
            progress=progress,
        )
    if not as_json:
        print_plan(plan)
    with run_view(run_dir, console_freq=settings.train.console_freq) as progress, ray_session(settings.ray):
        return train_on_plan(
            plan,
            run_dir=run_dir,
            progress=progress,
            resume_from=request.resume_from,
            weights_from=request.weights_from,
            reason=request.reason,
        )


def settings_in_force(ctx: typer.Context, config: Path | None, request: Request) -> tuple[Any, bool]:
    """The settings of a run, and whether it ends when every market was played instead of after so many steps."""
    loaded = load_settings(ctx, config, first=request.first, others=("phases",))
    settings = loaded.value
    given = request.steps is not None or "train.steps" in loaded.sources()
    train = settings.train
    if request.curriculum:
        if "train.sampler" in loaded.sources():
            raise UsageError(
                f"--curriculum chooses the sampler, and so does train.sampler = {train.sampler}",
                remedy="Give one of them",
            )
        train = msgspec.structs.replace(train, sampler="easy-to-hard" if given else "each-once")
    if request.steps is not None:
        train = msgspec.structs.replace(train, steps=request.steps + _steps_before(request))
    train.resolved()
    return msgspec.structs.replace(settings, train=train), train.sampler == "each-once" and not given


def _steps_before(request: Request) -> int:
    """Steps of the checkpoint that the run goes on from: --total-timesteps counts from there."""
    if request.steps is None or request.steps <= 0 or request.resume_from is None:
        return 0
    from kalshi_ray.train.checkpoints import find_checkpoint

    return find_checkpoint(request.resume_from)[1].steps


def all_phases(ctx: typer.Context, path: Path, request: Request, *, as_json: bool) -> list[Trained]:
    """One run after the other, each from the weights of the one before; what is done is not done again."""
    from kalshi_ray.train.phases import read_phases, set_aside, state_of
    from kalshi_ray.train.ray_session import ray_session

    phases = read_phases(path)
    requests = [
        replace(
            request,
            sessions=phase.sessions,
            validation_sessions=phase.validation_sessions,
            curriculum=phase.curriculum,
            first=tuple(phase.options),
        )
        for phase in phases
    ]
    settings = [settings_in_force(ctx, path, one)[0] for one in requests]  # all of them, before the first one runs
    base = request.folder or Path(settings[0].places.runs) / (request.run or path.stem)
    weights, done = request.weights_from, []
    with ray_session(settings[0].ray):
        for phase, one in zip(phases, requests, strict=True):
            folder = base / phase.name
            state = state_of(folder)
            if state == "begun":
                set_aside(folder)
            if state == "done":
                _tell(as_json, f"phase {phase.name}: done before, in {folder}")
            else:
                going_on = state == "unfinished"
                _tell(as_json, f"phase {phase.name}: {'goes on' if going_on else 'begins'} in {folder}")
                one = replace(one, folder=folder, weights_from=None if going_on else weights)
                one = replace(one, resume_from=folder if going_on else None)
                done.append(one_run(ctx, path, one, as_json=as_json))
                if done[-1].result.exit_code:
                    break
            weights = folder
    return done


def _tell(silent: bool, line: str) -> None:
    if not silent:
        say(line)


def print_plan(plan: Plan) -> None:
    """What is trained, validated and tested on: counts and times of the parts, and the markets by name."""
    from kalshi_ray.cli.reading import print_tables
    from kalshi_ray.data.analysis import split_table

    print_tables([split_table(plan.split.parts)])
    for part in plan.markets:
        say(markets_line(part))
    if plan.judged is not None:
        say(f"validated on {plan.judged.words}")
    left = counted(len(plan.selection.rejected), "market")
    say(f"{left} of {counted(len(plan.sessions), 'session')} not suitable for training")
    say(f"sampler {plan.settings.sampler}, {plan.settings.steps:,} steps", "")


def markets_line(markets: Markets) -> str:
    """One line: the part, how many, and the first ones."""
    if not markets.tickers:
        return f"{markets.part}: none"
    shown = ", ".join(markets.tickers[:SHOWN_TICKERS])
    more = len(markets.tickers) - SHOWN_TICKERS
    return (
        f"{markets.part}: {counted(len(markets.tickers), 'market')} of {counted(len(markets.events), 'event')}: {shown}"
        + (f" and {more:,} more" if more > 0 else "")
    )


def print_trained(trained: Trained) -> None:
    """How the run ended, and its last figures."""
    from kalshi_ray.train.progress import UNITS

    result = trained.result
    say(
        f"trained {result.steps:,} steps on {counted(trained.trained_on, 'market')} in {result.seconds:,.0f} s, "
        f"{result.steps_per_s:,.0f} steps/s{': ' if result.why else ''}{result.why}"
    )
    shown = [(name, value, UNITS.get(name, "")) for name, value in result.metrics.items() if name != "iteration"]
    show(table("Last iteration; episodes are means", ("figure", "value", "unit"), shown, right=("value",)))
    say(f"run {result.run_dir}", f"bundle {result.bundle}")


def print_next(trained: Trained, sessions: Sequence[str], config: Path | None) -> None:
    """What to type next: how to judge it, and how to go on where the run was stopped."""
    result = trained.result
    same = f" --config {config}" if config else ""
    if len(sessions) == 1:
        say(f"Next: kalshi-ray evaluate --session {sessions[0]} --policy {result.bundle}{same}")
    else:  # the split of one session alone is another one: its test part may hold markets that were trained on
        say(
            "Next, on a session that it was not trained on: "
            f"kalshi-ray evaluate --session OTHER --evaluation.part all --policy {result.bundle}{same}"
        )
    if result.status == "stopped":
        named = " ".join(f"--session {name}" for name in sessions)
        own = f"--resume-from {result.run_dir} --model-save-path {result.run_dir} --train.steps {trained.steps}{same}"
        say(
            f"{result.why} at step {result.steps:,}", f"To go on, with the same options: kalshi-ray train {named} {own}"
        )


def as_plain(trained: Trained) -> dict[str, Any]:
    """What JSON says of a run."""
    return {
        "result": trained.result,
        "trained_on": trained.trained_on,
        "split": trained.split.parts,
        "markets": {one.part: one.tickers for one in trained.markets},
    }
