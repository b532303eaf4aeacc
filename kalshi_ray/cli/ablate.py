"""`kalshi-ray ablate`: one recipe and its variants, trained with several seeds and judged side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, only_errors, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, progress_bar, say, show, table
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.train.ablations import Ablation

SECTIONS = ("selection", "causal", "split", "env", "train", "ray")
ALIASES = {"--total-timesteps": "train.steps", "--preset": "train.preset"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("ablate", cls=settings_command(*SECTIONS, aliases=ALIASES))(ablate)


def ablate(
    ctx: typer.Context,
    session: Annotated[str, typer.Option("--session", help="Session of the store; one with a truth says most.")],
    variants: Annotated[
        str, typer.Option("--variants", help="Names with commas; `list` shows them, by default all but the slowest.")
    ] = "",
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each variant, seeds from train.seed on.")] = 3,
    out: Annotated[Path, typer.Option("--out", help="Folder for ablations.json and ablations.md.")] = Path(
        "reports/ablations"
    ),
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Train a recipe and its variants, judge all of them honestly, and show what each change is worth.

    Policies are thrown away: some of these variants learn from a lie.
    Example: kalshi-ray ablate --session planted --config jobs/ablations.toml --seeds 3
    """
    settings = settings_of(ctx, config)
    from kalshi_ray.train import ablations  # from here on what takes long to import

    if variants == "list":
        show(table("Variants", ("variant", "what changes"), [(v.name, v.words) for v in ablations.VARIANTS.values()]))
        return
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least one training is needed")
    chosen = [name for name in variants.split(",") if name] or list(ablations.DEFAULT)
    ablations.variants_of(chosen)  # before anything starts
    only_errors(ctx)  # an alert of every one of many trainings would bury the table
    found = _compared(settings, session, chosen, seeds)
    paths = ablations.write(found, out)
    if as_json:
        emit_json(found)
        return
    print_ablation(found)
    say(f"wrote {', '.join(map(str, paths))}")


def _compared(settings: Settings, session: str, names: list[str], seeds: int) -> Ablation:
    """Train and judge, with seeds from `train.seed` on."""
    from kalshi_ray.data.store import open_store
    from kalshi_ray.train.ablations import ablate, variants_of
    from kalshi_ray.train.ray_session import ray_session
    from kalshi_ray.train.trial import Trial

    opened, first = open_store(settings.places.store).open(session), settings.train.seed
    with progress_bar() as progress, ray_session(settings.ray):
        trial = Trial.of(
            opened, env=settings.env, selection=settings.selection, causal=settings.causal, split=settings.split
        )
        return ablate(
            trial,
            variants_of(names),
            recipe=settings.train,
            env=settings.env,
            seeds=range(first, first + seeds),
            progress=progress,
        )


def print_ablation(found: Ablation) -> None:
    """The table, and what its figures are."""
    from kalshi_ray.train.ablations import COLUMNS, cells, note_of

    title = f"{found.session}, {found.steps:,} steps, {len(found.seeds)} seeds, {found.markets:,} unseen markets"
    show(table(title, COLUMNS, [cells(line) for line in found.lines], right=COLUMNS[1:]))
    say(f"[dim]{note_of(found)}[/dim]")
