"""`kalshi-ray models`: registered bundles and the aliases that name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import emit_json, say, show, table

if TYPE_CHECKING:
    from kalshi_ray.registry.bundle import Manifest
    from kalshi_ray.registry.models import ModelSummary, Registry

app = typer.Typer(help="Registered bundles and the aliases that name them.", no_args_is_help=True)


@app.command("list", cls=settings_command())
def list_models(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List every registered model, the newest first.

    Example: kalshi-ray models list --registry registry
    """
    registry = _registry(ctx, config)
    found = sorted(registry.models(), key=lambda m: m.manifest.created if m.manifest else "", reverse=True)
    if as_json:
        emit_json({"registry": registry.url, "models": found})
        return
    if not found:
        say(f"no models in {registry.url}. Next: kalshi-ray train, then kalshi-ray models register BUNDLE")
        return
    columns = ("model", "aliases", "created", "algorithm", "actions", "observation", "trained on", "steps", "note")
    show(table(f"Models in {registry.url}", columns, map(_row, found), right=("steps",)))


@app.command("show", cls=settings_command())
def display(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An id, an alias, or the folder of a bundle.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle, replay its probe, and print all it says of itself.

    Example: kalshi-ray models show champion
    """
    bundle = _registry(ctx, config).load(model)
    if as_json:
        emit_json({"location": bundle.location, "manifest": bundle.manifest})
        return
    show(table(f"Model {bundle.manifest.id}", ("what", "value"), _facts(bundle.manifest)))
    say(f"verified in {bundle.location}: bytes, fingerprints and probe agree")


@app.command("register", cls=settings_command())
def register(
    ctx: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle, such as runs/RUN/bundle.")],
    alias: Annotated[str | None, typer.Option("--alias", help="A name that is to mean this model from now on.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the history of the alias.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle and copy it into the registry.

    Example: kalshi-ray models register runs/first/bundle --alias challenger --reason "wider selection"
    """
    registry = _registry(ctx, config)
    model = registry.register(bundle, alias=alias, reason=reason)
    if as_json:
        emit_json({"registry": registry.url, "model": model, "alias": alias})
        return
    named = f", named {alias}" if alias else ""
    say(f"registered {model}{named}. Next: kalshi-ray models show {alias or model}")


def _registry(ctx: typer.Context, config: Path | None) -> Registry:
    from kalshi_ray.registry.models import open_registry

    return open_registry(settings_of(ctx, config).places.registry)


def _row(found: ModelSummary) -> tuple[object, ...]:
    manifest, aliases = found.manifest, ", ".join(found.aliases)
    if manifest is None:
        return found.id, aliases, "", "", "", "", "", None, found.problem
    return (
        found.id,
        aliases,
        manifest.created[:16].replace("T", " "),
        manifest.algorithm,
        manifest.contract.action_space.name,
        manifest.contract.observation.name,
        _sessions(manifest),
        int(manifest.metrics.get("steps", 0)),
        manifest.reason,
    )


def _sessions(manifest: Manifest) -> str:
    return ", ".join(str(session.get("id", "?")) for session in manifest.sessions)


def _facts(manifest: Manifest) -> list[tuple[object, ...]]:
    contract = manifest.contract
    return [
        ("run", manifest.run),
        ("created", manifest.created),
        ("reason", manifest.reason),
        ("algorithm", f"{manifest.algorithm}, decides {manifest.decide}"),
        ("network", " → ".join(map(str, manifest.sizes)) + f", {manifest.activation}"),
        ("action space", f"{contract.action_space.name}, fingerprint {contract.action_space.fingerprint}"),
        ("observation", f"{contract.observation.name}, fingerprint {contract.observation.fingerprint}"),
        ("reward", manifest.reward),
        ("fill model", manifest.fill_model),
        ("trained on", _sessions(manifest)),
        *((f"metrics.{name}", value) for name, value in manifest.metrics.items()),
        *((f"training.{name}", str(value)) for name, value in manifest.training.items()),
        *((f"env.{name}", str(value)) for name, value in manifest.env.items()),
        *((f"version of {name}", value) for name, value in manifest.packages.items()),
    ]
