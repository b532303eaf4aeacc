"""`kalshi-ray config`: what is in force and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray import config as config_file
from kalshi_ray.cli.defaults import LIBRARY_DEFAULTS, LibraryDefault
from kalshi_ray.cli.options import AsJson, ConfigFile, PlainCommand, load_settings, settings_command
from kalshi_ray.cli.output import emit_json, say, show, table, written
from kalshi_ray.cli.settings import SECTIONS, settings_type
from kalshi_ray.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from kalshi_ray.train.settings import Hyperparameters, TrainSettings

app = typer.Typer(help="Settings: what is in force, and where each value came from.", no_args_is_help=True)


@app.command("init", cls=PlainCommand)
def write(
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="File to write; standard output if left out.")
    ] = None,
) -> None:
    """Write a settings file with every default and what it means.

    Example: kalshi-ray config init kalshi-ray.toml
    """
    text = config_file.template(settings_type(tuple(SECTIONS)))
    if path is None:
        typer.echo(text, nl=False)
        return
    if path.exists():
        raise UsageError(f"{path} exists", remedy="Give another name, or remove it first")
    written(path, text)
    say(f"wrote {path}; use it with --config {path}")


@app.command("show", cls=settings_command(*SECTIONS))
def display(
    ctx: typer.Context,
    section: Annotated[str | None, typer.Argument(metavar="SECTION", help="Only this section, such as env.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print every setting in force and where it came from, and the library defaults that we do not use.

    Example: kalshi-ray config show env --config jobs/quickstart.toml --env.decision_ms 500
    """
    loaded = load_settings(ctx, config)
    known = list(dict.fromkeys(s.leaf.key.partition(".")[0] for s in loaded.settings))
    if section is not None and section not in known:
        raise UnknownName("section", section, known)
    chosen = [s for s in loaded.settings if section in (None, s.leaf.key.partition(".")[0])]
    if as_json:
        emit_json(
            {"settings": [_record(s) for s in chosen], "library_defaults": [d._asdict() for d in LIBRARY_DEFAULTS]}
        )
        return
    rows = [(s.leaf.key, s.text, s.source, "" if s.is_default else s.leaf.default_text, s.leaf.meaning) for s in chosen]
    show(table("Settings in force", ("setting", "value", "from", "default", "meaning"), rows))
    if section in (None, "train"):
        show(_library_table(loaded.value.train))


def _library_table(train: TrainSettings) -> object:
    numbers = train.resolved()
    columns = ("library", "its option", "its default", "the documents'", "in force", "setting")
    rows = [
        (d.library, d.option, str(d.default), str(d.documents), _in_force(numbers, d), d.setting)
        for d in LIBRARY_DEFAULTS
    ]
    return table("Library defaults that differ from the documents'", columns, rows)


def _in_force(numbers: Hyperparameters, default: LibraryDefault) -> str:
    """What this run uses: the setting's value after the preset, or what the code fixes."""
    if not default.setting:
        return str(default.documents)
    return str(getattr(numbers, default.setting.partition(".")[2]))


def _record(setting: config_file.Setting) -> dict[str, object]:
    leaf = setting.leaf
    return {
        "key": leaf.key,
        "value": setting.shown,
        "source": setting.source,
        "default": leaf.default,
        "type": leaf.kind_name,
        "variable": leaf.variable,
        "meaning": leaf.meaning,
    }
