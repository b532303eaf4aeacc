"""`kalshi-ray evaluate`: policies side by side on markets that training has not seen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, note, progress_bar, say, show, table
from kalshi_ray.config import toml_text
from kalshi_ray.errors import UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.env.settings import EnvSettings
    from kalshi_ray.evaluate.report import EvaluationReport
    from kalshi_ray.evaluate.run import Evaluation
    from kalshi_ray.evaluate.wording import Table
    from kalshi_ray.registry.bundle import Bundle
    from kalshi_ray.telemetry import Progress

SECTIONS = ("evaluation", "env", "selection", "causal", "split", "ray")
ALIASES = {
    "--baselines": "evaluation.baselines",
    "--part": "evaluation.part",
    "--fill-models": "evaluation.fill_models",
    "--workers": "evaluation.workers",
    "--seed": "evaluation.seed",
    "--num-episodes": "evaluation.max_markets",
    "--gate": "evaluation.gate",
    "--stress": "evaluation.stress",
    "--allow-overlap": "evaluation.allow_overlap",
    "--cash-start": "env.bankroll_cents",
}
FLAGS = ("--stress", "--allow-overlap")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("evaluate", cls=settings_command(*SECTIONS, aliases=ALIASES, flags=FLAGS))(evaluate)


def evaluate(
    ctx: typer.Context,
    session: Annotated[
        list[str],
        typer.Option("--session", "--sessions", help="Sessions of the store to judge on; commas, or given again."),
    ],
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy", "--model-path", help="A bundle, id or alias; a baseline; module:Class. May be given again."
        ),
    ] = [],  # noqa: B006 # typer wants a list and copies it
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for report.html, .json and trades.csv.")
    ] = None,
    no_gates: Annotated[bool, typer.Option("--no-gates", help="Exit with 0 whatever the gates say.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge policies beside baselines and, on planted sessions, the oracle, at full cost on whole markets.

    Exits with 3 where a judged policy does not pass both gates (--gate viable asks for the first alone).

    Example: kalshi-ray evaluate --session demo --policy runs/first/bundle --policy take-imbalance
    """
    settings = settings_of(ctx, config)
    names = session_names(session)
    from kalshi_ray.evaluate.job import require_gate, write_reports  # from here on what takes long to import

    with progress_bar() as progress:
        found = _judged(settings, names, policy, progress)
    called = names[0] if len(names) == 1 else "sessions"
    folder = report or Path(settings.places.reports) / f"{called}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    paths = write_reports(found, folder)
    if as_json:
        _print_json([one.report for one in found])
    else:
        _print_all([one.report for one in found])
        say(f"wrote {', '.join(map(str, paths))}")
    if not no_gates:
        require_gate([one.report for one in found], settings.evaluation.gate)


def session_names(given: Sequence[str]) -> list[str]:
    """Names from options that were given again or with commas, each once. UsageError without any."""
    names = list(dict.fromkeys(name for one in given for name in one.split(",") if name))
    if not names:
        raise UsageError("no session to judge on", remedy="`kalshi-ray sessions list` shows what there is")
    return names


def _judged(settings: Settings, sessions: list[str], policies: list[str], progress: Progress) -> list[Evaluation]:
    from kalshi_ray.data.store import open_store
    from kalshi_ray.evaluate.job import evaluate_on_session
    from kalshi_ray.registry.models import open_registry
    from kalshi_ray.train.ray_session import ray_session

    registry, store = open_registry(settings.places.registry), open_store(settings.places.store)
    told: set[str] = set()

    def resolve(spec: str) -> Bundle:
        bundle = registry.load(spec)
        for line in differences(bundle, settings.env):
            if line not in told:
                note(line)
            told.add(line)
        return bundle

    opened = [store.open(name) for name in sessions]  # all of them first: a wrong name costs no hour
    with ray_session(settings.ray) if settings.evaluation.workers > 1 else nullcontext():
        return [
            evaluate_on_session(
                session,
                policies,
                settings.evaluation,
                env=settings.env,
                selection=settings.selection,
                causal=settings.causal,
                split=settings.split,
                bundles=resolve,
                registry=registry,
                progress=progress,
            )
            for session in opened
        ]


def _print_json(reports: Sequence[EvaluationReport]) -> None:
    """One report as it is, several as {session: report} with the table across them."""
    from kalshi_ray.evaluate.across import across
    from kalshi_ray.evaluate.report import to_json

    if len(reports) == 1:
        sys.stdout.write(to_json(reports[0]).decode() + "\n")
        return
    by_session = {one.data.session: msgspec.Raw(to_json(one)) for one in reports}
    emit_json({"across": across(reports), "sessions": by_session})


def _print_all(reports: Sequence[EvaluationReport]) -> None:
    from kalshi_ray.evaluate.across import across, table_of

    for report in reports:
        say(
            f"[bold]{report.data.session}[/bold]: {report.data.selection}",
            *(f"  note: {flag}" for flag in report.data.flags),
            "",
        )
        print_report(report)
    if len(reports) > 1:
        _print_table(table_of(across(reports)))


def _print_table(one: Table) -> None:
    show(table(one.title, one.columns, one.rows, right=one.columns[1:]))
    say(*([f"[dim]{one.note}[/dim]"] if one.note else []), "")


def print_report(report: EvaluationReport) -> None:
    """The tables of a report."""
    from kalshi_ray.evaluate.tables import tables_of

    for one in tables_of(report):
        _print_table(one)


def differences(bundle: Bundle, env: EnvSettings) -> list[str]:
    """What a bundle was trained with and is not judged with, one line for each setting."""
    here: dict[str, Any] = msgspec.to_builtins(env)
    irrelevant = {"start", "max_decisions", "reward", "reward_unit"}  # of training episodes alone
    return [
        f"{bundle.manifest.id} was trained with env.{name} = {toml_text(was)}, here it is {toml_text(here[name])}"
        for name, was in bundle.manifest.env.items()
        if name in here and name not in irrelevant and was != here[name]
    ]
