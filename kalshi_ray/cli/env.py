"""`kalshi-ray env`: what the environment is, whether it keeps its contract, and one market step by step."""

from __future__ import annotations

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, say, show, table

app = typer.Typer(help="The environment: its tables, its checks, one market step by step.", no_args_is_help=True)


@app.command("describe", cls=settings_command("env"))
def describe(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the tables of actions, features, rewards and fills with units and formulas.

    Example: kalshi-ray env describe --env.action_space priced7 --env.observation obs-x
    """
    from kalshi_ray.cli.describe import everything

    settings = settings_of(ctx, config).env
    tables = everything(settings.action_space, settings.observation)
    if as_json:
        emit_json({one.name: one.records() for one in tables})
        return
    for one in tables:
        show(table(one.title, one.columns, one.rows))
        say("")
