"""`kalshi-ray evaluate`: policies side by side on markets that training has not seen."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import note, progress_bar, say, show, table
from kalshi_ray.config import toml_text
from kalshi_ray.errors import GateClosed

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.env.settings import EnvSettings
    from kalshi_ray.evaluate.report import EvaluationReport
    from kalshi_ray.evaluate.run import Evaluation
    from kalshi_ray.registry.bundle import Bundle
    from kalshi_ray.telemetry import Progress

SECTIONS = ("evaluation", "env", "selection", "causal", "split", "ray")
ALIASES = {
    "--baselines": "evaluation.baselines",
    "--part": "evaluation.part",
    "--fill-models": "evaluation.fill_models",
    "--workers": "evaluation.workers",
    "--seed": "evaluation.seed",
    "--cash-start": "env.bankroll_cents",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate", cls=settings_command(*SECTIONS, aliases=ALIASES))(evaluate)


def evaluate(
    ctx: typer.Context,
    session: Annotated[str, typer.Option("--session", help="Session of the store to judge on.")],
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy", "--model-path", help="A bundle, id or alias; a baseline; module:Class. May be given again."
        ),
    ] = [],  # noqa: B006 # typer wants a list and copies it
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for report.html, .json and trades.csv.")
    ] = None,
    require_gates: Annotated[
        bool, typer.Option("--require-gates", help="Exit with 3 unless every gate is open.")
    ] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge policies beside baselines and, on planted sessions, the oracle, at full cost on whole markets.

    Example: kalshi-ray evaluate --session demo --policy runs/first/bundle --policy take-imbalance
    """
    settings = settings_of(ctx, config)
    from kalshi_ray.evaluate.job import write_report  # from here on what takes long to import
    from kalshi_ray.evaluate.report import to_json

    with progress_bar() as progress:
        found = _judged(settings, session, policy, progress)
    folder = report or Path(settings.places.reports) / f"{session}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    paths = write_report(found, folder)
    if as_json:
        sys.stdout.write(to_json(found.report).decode() + "\n")
    else:
        data = found.report.data
        say(f"markets: {data.selection}", *(f"  note: {flag}" for flag in data.flags), "")
        print_report(found.report)
        say(f"wrote {', '.join(map(str, paths))}")
    if require_gates and not found.report.gates_open:
        raise GateClosed("a gate is closed", remedy=f"{folder}/report.html says which, and why")


def _judged(settings: Settings, session: str, policies: list[str], progress: Progress) -> Evaluation:
    from kalshi_ray.data.store import open_store
    from kalshi_ray.evaluate.job import evaluate_on_session
    from kalshi_ray.registry.models import open_registry
    from kalshi_ray.train.ray_session import ray_session

    registry = open_registry(settings.places.registry)

    def resolve(spec: str) -> Bundle:
        bundle = registry.load(spec)
        for line in differences(bundle, settings.env):
            note(line)
        return bundle

    with ray_session(settings.ray) if settings.evaluation.workers > 1 else nullcontext():
        return evaluate_on_session(
            open_store(settings.places.store).open(session),
            policies,
            settings.evaluation,
            env=settings.env,
            selection=settings.selection,
            causal=settings.causal,
            split=settings.split,
            bundles=resolve,
            progress=progress,
        )


def print_report(report: EvaluationReport, titles: Iterable[str] | None = None) -> None:
    """The tables of a report; with `titles` those whose title begins with one of them."""
    from kalshi_ray.evaluate.tables import tables_of

    for one in tables_of(report):
        if titles is None or one.title.startswith(tuple(titles)):
            show(table(one.title, one.columns, one.rows, right=one.columns[1:]))
            say(*([f"[dim]{one.note}[/dim]"] if one.note else []), "")


def differences(bundle: Bundle, env: EnvSettings) -> list[str]:
    """What a bundle was trained with and is not judged with, one line for each setting."""
    here: dict[str, Any] = msgspec.to_builtins(env)
    irrelevant = {"start", "max_decisions", "reward", "reward_unit"}  # of training episodes alone
    return [
        f"{bundle.manifest.id} was trained with env.{name} = {toml_text(was)}, here it is {toml_text(here[name])}"
        for name, was in bundle.manifest.env.items()
        if name in here and name not in irrelevant and was != here[name]
    ]
