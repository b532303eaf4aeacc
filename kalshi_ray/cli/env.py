"""`kalshi-ray env`: what the environment is, whether it keeps its contract, and one market step by step."""

from __future__ import annotations

from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kalshi_ray.cli.options import AsJson, ConfigFile, SessionId, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, progress_bar, say, show, table
from kalshi_ray.errors import ContractError

if TYPE_CHECKING:
    from kalshi_ray.core.tape import ViewPack
    from kalshi_ray.env.trace import TraceStep

app = typer.Typer(help="The environment: its tables, its checks, one market step by step.", no_args_is_help=True)


@app.command("describe", cls=settings_command("env"))
def describe(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the tables of actions, features, rewards and fills with units and formulas.

    Example: kalshi-ray env describe --env.action_space priced7 --env.observation obs-x
    """
    from kalshi_ray.env.describe import everything

    settings = settings_of(ctx, config).env
    tables = everything(settings.action_space, settings.observation)
    if as_json:
        emit_json({one.name: one.records() for one in tables})
        return
    for one in tables:
        show(table(one.title, one.columns, one.rows))
        say("")


@app.command("check", cls=settings_command("env"))
def check(
    ctx: typer.Context,
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="A session; a small one is made if left out.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Random steps of each check.")] = 2_000,
    seed: Annotated[int, typer.Option("--seed", help="Of actions and latency.")] = 0,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the Gymnasium checker, our own contract and, if it is installed, a short SB3 training. Exit 1 on a failure.

    Example: kalshi-ray env check --env.action_space sized21-join
    """
    from kalshi_ray.data.store import open_store
    from kalshi_ray.data.views import build_pack
    from kalshi_ray.env.checks import check_env

    settings = settings_of(ctx, config)
    with progress_bar() as progress:
        pack = build_pack(open_store(settings.places.store).open(session)) if session else _small_pack(seed)
        made = check_env(pack, settings.env, steps=steps, seed=seed, clock=perf_counter, progress=progress)
    if as_json:
        emit_json({"session": pack.session, "checks": made})
    else:
        show(
            table(f"Environment on {pack.session}", ("check", "", "what"), [(c.name, c.state, c.detail) for c in made])
        )
    failed = [c.name for c in made if c.state == "failed"]
    if failed:
        raise ContractError(f"{len(failed)} checks failed: {', '.join(failed)}")


@app.command("trace", cls=settings_command("env", aliases={"--cash-start": "env.bankroll_cents"}))
def trace(
    ctx: typer.Context,
    session: SessionId,
    market: Annotated[str | None, typer.Option("--market", help="Ticker; the first one if not given.")] = None,
    policy: Annotated[str, typer.Option("--policy", help="A baseline, a bundle, or module:Class.")] = "random",
    steps: Annotated[int, typer.Option("--steps", help="Stop after so many shown steps.")] = 20,
    every: Annotated[
        bool, typer.Option("--all", help="Also the steps in which nothing was decided or filled.")
    ] = False,
    start: Annotated[int | None, typer.Option("--start", help="Update of the market to begin at; its first.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the policy's draws and of latency.")] = 0,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Play one market step by step: book, decision, mask, order, queue, print, fill, fee, cash, equity.

    Example: kalshi-ray env trace demo --policy take-imbalance --steps 5
    """
    from kalshi_ray.data.store import open_store
    from kalshi_ray.data.views import build_pack
    from kalshi_ray.env.trace import trace_lines, trace_market
    from kalshi_ray.policy.protocol import load_policy
    from kalshi_ray.registry.models import open_registry

    settings = settings_of(ctx, config)
    registry = open_registry(settings.places.registry)
    opened = open_store(settings.places.store).open(session)
    ticker = market or opened.tickers()[0]
    pack = build_pack(opened, tickers=[ticker])
    chosen = load_policy(policy, bundles=lambda spec: registry.load(spec).policy)
    taken = trace_market(pack, ticker, chosen, settings.env, seed=seed, start=start)
    shown = islice((step for step in taken if every or _speaks(step)), steps)
    if as_json:
        emit_json({"session": session, "market": ticker, "policy": policy, "steps": list(shown)})
        return
    say(f"[bold]{ticker}[/bold] of {session}, policy {policy}, {settings.env.action_space}; money in dollars")
    for step in shown:
        say("", *map(escape, trace_lines(step)))


def _small_pack(seed: int) -> ViewPack:
    """A few short markets, made in memory."""
    from kalshi_ray.data.schema import Manifest
    from kalshi_ray.data.synthetic.session import run, start
    from kalshi_ray.data.synthetic.settings import SynthSettings
    from kalshi_ray.data.views import build_pack_from_tables

    state = start(SynthSettings(regime="planted", markets=8, hours=0.05, seed=seed))
    updates = [batch for rows, _ in run(state) for batch in rows.to_batches()]
    return build_pack_from_tables(state.table, updates, Manifest(id="small", source="synthetic"))


def _speaks(step: TraceStep) -> bool:
    """Whether anything was decided, worked, filled or ended."""
    return bool(step.action or step.fills or step.orders or step.ended or step.action is None)
