"""`kalshi-ray models`: registered bundles, where they fit, and the aliases that name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kalshi_ray.cli import model_tables as tables
from kalshi_ray.cli.options import AsJson, ConfigFile, settings_command, settings_of
from kalshi_ray.cli.output import counted, emit_json, note, say, show
from kalshi_ray.errors import DataError, UsageError

if TYPE_CHECKING:
    from kalshi_ray.cli.settings import Settings
    from kalshi_ray.registry.models import Registry

app = typer.Typer(help="Registered bundles, where they fit, and the aliases that name them.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An id or an alias.")]
AliasName = Annotated[str, typer.Option("--alias", help="The name to move.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history of the alias.")]


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
    show(tables.models_table(registry.url, found))


@app.command("show", cls=settings_command())
def display(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An id, an alias, or the folder of a bundle.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle, replay its probe, and print all it says of itself and what evaluations said of it.

    Example: kalshi-ray models show champion
    """
    registry = _registry(ctx, config)
    bundle, found = registry.load(model), registry.find(model)
    verdicts = registry.verdicts(found) if found else []
    moves = [move for move in registry.history() if found and found in (move.model, move.previous)]
    versions = bundle.manifest.other_versions()
    if as_json:
        place = {"location": bundle.location, "digest": bundle.digest, "other_versions": versions}
        emit_json({**place, "manifest": bundle.manifest, "verdicts": verdicts, "history": moves})
        return
    show(tables.facts_table(bundle.manifest))
    if verdicts:
        show(tables.verdicts_table(verdicts))
    for move in moves:
        forced = ", forced" if move.forced else ""
        say(f"{move.at[:16]} {move.alias}: {move.previous or 'nothing'} → {move.model}{forced}: {move.reason}")
    if versions:
        note(f"note: trained with {'; '.join(versions)}. Loading needs none of them to be equal")
    say(f"verified in {bundle.location}: bytes, fingerprints and probe agree")


@app.command("compare", cls=settings_command())
def compare_models(
    ctx: typer.Context,
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Two or more ids, aliases or folders.")],
    every: Annotated[bool, typer.Option("--all", help="Also what is alike.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Models side by side: what differs in their manifests, how far weights are apart, how alike they decide.

    Example: kalshi-ray models compare champion challenger
    """
    from kalshi_ray.registry.compare import compare

    registry = _registry(ctx, config)
    found = [registry.find(model) for model in models]
    verdicts = [registry.verdicts(model) if model else [] for model in found]
    comparison = compare([registry.load(model) for model in models], verdicts)
    if as_json:
        emit_json(comparison)
        return
    show(tables.compared_table(comparison, every=every))
    show(tables.pairs_table(comparison.pairs))


@app.command("check", cls=settings_command())
def check(
    ctx: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Ids or aliases; all if none.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Load every model and hold it against every action space and observation known here. Exit code 1 for damage.

    Example: kalshi-ray models check
    """
    from kalshi_ray.registry.compatibility import check_models

    registry = _registry(ctx, config)
    found = check_models(registry, [registry.require(model) for model in models] if models else None)
    if as_json:
        emit_json(found)
    elif not found.models:
        say(f"no models in {registry.url}. Next: kalshi-ray models register BUNDLE")
    else:
        show(tables.fits_table(found.models))
        show(tables.misfits_table(found.models))
        advice = found.advice
        other = (
            f"; as alternative {advice.alternative}, trained on the most other markets" if advice.alternative else ""
        )
        say(f"Recommended: {advice.primary or 'none'}: {advice.because}{other if advice.primary else ''}")
    lost = [model for model in found.models if model.reach is not None and not model.reach.is_whole]
    if found.damaged or lost:
        names = ", ".join(model.id for model in (*found.damaged, *lost))
        raise DataError(
            f"{counted(len(found.damaged) + len(lost), 'model')} cannot be handed out: {names}",
            remedy="Register or import them again from where they came; that mends them",
        )


@app.command("promote", cls=settings_command("promotion"))
def promote_model(
    ctx: typer.Context,
    model: Model,
    alias: AliasName = "champion",
    reason: Reason = "",
    report: Annotated[
        Path | None, typer.Option("--report", help="report.json of an evaluation of this model, or its folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Past closed gates; stored as forced.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias name a model whose gates are open in a report about it. Exit code 3 where they are closed.

    Example: kalshi-ray models promote run-1 --alias champion --reason "better edge" --report reports/x/report.json
    """
    from kalshi_ray.registry.promotion import promote

    settings = settings_of(ctx, config)
    registry = _open(settings)
    raw = _report_bytes(report) if report else None
    done = promote(registry, model, alias=alias, reason=reason, report=raw, settings=settings.promotion, force=force)
    if as_json:
        emit_json(done)
        return
    move, verdict = done.move, done.verdict
    how = "forced" if move.forced else "its gates are open"
    say(f"{alias}: {move.previous or 'nothing'} → {move.model}, {how}")
    if verdict:
        say(f"  its test set has been used {counted(verdict.uses, 'time')} so far: kalshi-ray models uses")
    say(f"Next: kalshi-ray models show {alias}; back with kalshi-ray models rollback --alias {alias} --reason …")


@app.command("rollback", cls=settings_command())
def rollback(
    ctx: typer.Context,
    alias: AliasName = "champion",
    reason: Reason = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias name the model before again; once more, and it goes further back.

    Example: kalshi-ray models rollback --alias champion --reason "loses in paper trading"
    """
    done = _registry(ctx, config).rollback(alias, reason=reason)
    if as_json:
        emit_json(done)
        return
    for line in done.passed_over:
        note(f"passed over {line}")
    say(f"{alias}: {done.move.previous} → {done.move.model}. Next: kalshi-ray models show {alias}")


@app.command("register", cls=settings_command("promotion"))
def register(
    ctx: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle, such as runs/RUN/bundle.")],
    alias: Annotated[
        str | None, typer.Option("--alias", help="A name for it, past no gate; champion needs `promote`.")
    ] = None,
    reason: Reason = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Verify a bundle and copy it into the registry.

    Example: kalshi-ray models register runs/first/bundle --alias challenger --reason "wider selection"
    """
    settings = settings_of(ctx, config)
    if alias is not None and alias in settings.promotion.production:
        raise UsageError(
            f"{alias} is reached through gates alone",
            remedy=f"Register without --alias, then kalshi-ray models promote MODEL --alias {alias} --report …",
        )
    if alias is not None and not reason.strip():
        raise UsageError(f"naming a model {alias} needs a reason", remedy="Say why (--reason); it is kept")
    registry = _open(settings)
    model = registry.register(bundle, alias=alias, reason=reason, forced=True)
    if as_json:
        emit_json({"registry": registry.url, "model": model, "alias": alias, "forced": alias is not None})
        return
    named = f", named {alias} past no gate (kept as forced)" if alias else ""
    say(f"registered {model}{named}. Next: kalshi-ray models show {alias or model}")


@app.command("export", cls=settings_command())
def export(
    ctx: typer.Context,
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write: MODEL.tar or MODEL.zip.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a model with its verdicts into one file; the same model gives the same bytes.

    Example: kalshi-ray models export champion champion.tar
    """
    from kalshi_ray.registry.archive import export_model

    bundle = export_model(_registry(ctx, config), model, file)
    if as_json:
        emit_json({"model": bundle.manifest.id, "file": str(file), "bytes": file.stat().st_size})
        return
    say(f"wrote {bundle.manifest.id} to {file}. Next, elsewhere: kalshi-ray models import {file}")


@app.command("import", cls=settings_command())
def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported model, or the folder of a bundle.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check an exported model entirely, then put it into the registry; aliases stay as they are.

    Example: kalshi-ray models import champion.tar
    """
    from kalshi_ray.registry.archive import import_model

    registry = _registry(ctx, config)
    model = import_model(registry, file).manifest.id
    if as_json:
        emit_json({"registry": registry.url, "model": model})
        return
    say(f"imported {model}: bytes, fingerprints and probe agree. Next: kalshi-ray models show {model}")


@app.command("remove", cls=settings_command())
def remove(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="ID", help="The id of a model that no alias names.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, say what would go.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete a model and its verdicts. Refused while an alias names it.

    Example: kalshi-ray models remove run-1-0a1b2c3d --yes
    """
    registry = _registry(ctx, config)
    going = registry.going_with(model)
    if yes:
        registry.remove(model)
    if as_json:
        emit_json({"registry": registry.url, "model": model, "removed": yes, "files": going})
        return
    for name, size in going.items():
        say(f"  {name}, {size:,} bytes")
    said = "removed" if yes else "would remove"
    say(f"{said} {model}: {counted(len(going), 'file')}{'' if yes else '. Nothing was done; add --yes'}")


@app.command("uses", cls=settings_command())
def uses(ctx: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List how often each test set was used, and by which models: the more, the less its interval says.

    Example: kalshi-ray models uses
    """
    registry = _registry(ctx, config)
    if as_json:
        emit_json({"registry": registry.url, "sets": registry.test_sets(), "uses": registry.test_uses()})
        return
    found = registry.test_sets()
    if not found:
        say(f"no test set was used with {registry.url}. Next: kalshi-ray evaluate --part test --policy MODEL")
        return
    show(tables.uses_table(found))


def _registry(ctx: typer.Context, config: Path | None) -> Registry:
    return _open(settings_of(ctx, config))


def _open(settings: Settings) -> Registry:
    from kalshi_ray.registry.models import open_registry

    return open_registry(settings.places.registry)


def _report_bytes(path: Path) -> bytes:
    file = path / "report.json" if path.is_dir() else path
    try:
        return file.read_bytes()
    except OSError as problem:
        raise UsageError(
            f"cannot read {file}: {problem.strerror}", remedy="Give the report.json of an evaluation"
        ) from problem
