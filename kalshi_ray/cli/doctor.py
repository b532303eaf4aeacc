"""`kalshi-ray doctor`: whether everything that is needed is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, only_errors, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, say

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.ops.doctor import Check

COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    aliases = {"--environment": "exchange.environment", "--ready-file": "exchange.ready_file"}
    app.command("doctor", cls=settings_command("exchange", "ray", aliases=aliases))(doctor)


def doctor(
    ctx: typer.Context,
    start_ray: bool = typer.Option(False, "--start-ray", help="Start Ray as training does, and stop it."),
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Look at versions, clock, key, exchange, store, disk and Ray: a line each, and what to do. Exit 1 if one fails.

    Example: kalshi-ray doctor --environment demo
    """
    only_errors(ctx)  # a warning about a key is a line of its own here
    found = _checks(settings_of(ctx, config), start_ray=start_ray)
    failed = [check for check in found if check.state == "FAIL"]
    if as_json:
        emit_json({"ok": not failed, "checks": found})
    else:
        width = max(len(check.name) for check in found)
        say(*(_line(check, width) for check in found))
    if failed:
        raise typer.Exit(1)


def _checks(settings: Settings, *, start_ray: bool) -> list[Check]:
    from kalshi_ray.ops import doctor as here
    from kalshi_ray.ops import doctor_services as services

    places = settings.places
    is_database = places.store.startswith(("postgresql://", "postgres://"))
    looks: dict[str, Callable[[], Check | Iterable[Check]]] = {
        "python": here.python,
        "machine": here.machine,
        "packages": here.packages,
        "kernels": here.kernels,
        "store": lambda: services.database(places.store) if is_database else here.store(places.store),
        "disk": lambda: here.disk({"store": places.store, "runs": places.runs, "registry": places.registry}),
        "exchange": lambda: services.exchange(settings.exchange),
        "ray": lambda: services.ray(settings.ray.address, settings.ray.store_mib),
    }
    if start_ray:
        looks["ray starts"] = lambda: services.ray_starts(settings.ray)
    return [check for name, look in looks.items() for check in here.checked(name, look)]


def _line(check: Check, width: int) -> str:
    from rich.markup import escape

    remedy = f". {check.remedy}" if check.remedy and check.state != "ok" else ""
    state = f"[{COLOURS[check.state]}]{check.state:<4}[/]"
    return f"{state}  {check.name:<{width}}  {escape(check.found.rstrip('.') + remedy)}"
