"""`kalshi-ray collect`: order books of the exchange, recorded into a session until somebody says stop."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, Duration, only_errors, settings_command, settings_of
from kalshi_ray.cli.output import note

ALIASES = {
    "--tickers": "universe.tickers",
    "--series": "universe.series",
    "--events": "universe.events",
    "--discover": "universe.discover",
    "--categories": "universe.categories",
    "--min-volume": "universe.min_volume",
    "--limit": "universe.limit",
    "--shards": "collect.shards",
    "--environment": "exchange.environment",
    "--ready-file": "exchange.ready_file",
    "--metrics-port": "collect.metrics_port",
}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    sections = ("universe", "collect", "exchange", "ray")
    app.command("collect", cls=settings_command(*sections, aliases=ALIASES, flags=("--discover",)))(collect)


def collect(
    ctx: typer.Context,
    session: Annotated[
        str, typer.Argument(metavar="[SESSION]", help="Name of the session; one that was interrupted goes on.")
    ] = "",
    duration: Duration = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Record order books, prints and life cycles of markets into a session, with nothing lost that is not marked.

    Markets are named by --tickers, --series or --events, or found by --discover.

    Run again after a crash it goes on where it was, with the gap recorded.

    Ctrl-C, SIGTERM or --duration finish the session; a second Ctrl-C before it is finished leaves it as a crash would.

    Example: kalshi-ray collect monday --series KXHIGHNY --duration 8h

    Example: kalshi-ray collect --discover --limit 500 --categories Politics,Economics --shards 2
    """
    settings = settings_of(ctx, config)
    from kalshi_ray.cli.collect_view import reporting
    from kalshi_ray.collect.collector.run import Plan, run
    from kalshi_ray.data.store import open_store

    name = session or datetime.now(UTC).strftime("live-%Y%m%d-%H%M%S")
    plan = Plan(
        session=name,
        universe=settings.universe,
        collect=settings.collect,
        exchange=settings.exchange,
        duration_s=duration or 0.0,
    )
    store = open_store(settings.places.store)
    with (
        _ray(settings.ray, settings.collect.shards),
        reporting(
            as_json=as_json,
            report_s=settings.collect.report_s,
            drawing=lambda: only_errors(ctx),  # warnings would tear the picture, and the picture says it too
        ) as tell,
    ):
        ended = run(plan, store, tell, stays_deaf=True)
    note(f"{ended.why}. Next: kalshi-ray sessions validate {name}")


def _ray(settings: object, shards: int) -> contextlib.AbstractContextManager[None]:
    """A Ray for the shards, where there are any."""
    if not shards:
        return contextlib.nullcontext()
    from kalshi_ray.train.ray_session import RaySettings, ray_session

    assert isinstance(settings, RaySettings)
    return ray_session(settings)
