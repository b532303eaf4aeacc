"""What `kalshi-ray models` prints: one function for each table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kalshi_ray.cli.output import table

if TYPE_CHECKING:
    from kalshi_ray.registry.compare import Comparison, Pair
    from kalshi_ray.registry.compatibility import Checked
    from kalshi_ray.registry.manifest import Manifest
    from kalshi_ray.registry.models import ModelSummary
    from kalshi_ray.registry.uses import TestSet
    from kalshi_ray.registry.verdicts import Verdict

SHORT = 12  # letters of a hash that people compare


def models_table(url: str, found: Sequence[ModelSummary]) -> Any:
    """One line a model."""
    columns = ("model", "aliases", "gate", "created", "algorithm", "actions", "observation", "trained on", "steps")
    return table(f"Models in {url}", (*columns, "note"), map(_summary_row, found), right=("steps",))


def facts_table(manifest: Manifest) -> Any:
    """All that a bundle says of itself."""
    contract = manifest.contract
    rows = [
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
    return table(f"Model {manifest.id}", ("what", "value"), rows)


def verdicts_table(verdicts: Iterable[Verdict]) -> Any:
    """What evaluations said of a model."""
    rows = [
        (
            verdict.at[:16].replace("T", " "),
            verdict.session,
            f"{verdict.events} events, {verdict.markets} markets",
            dollars(verdict.net_per_market),
            f"{dollars(verdict.low)} to {dollars(verdict.high)}" if verdict.low is not None else "",
            ", ".join(f"{gate.name} {'open' if gate.open else 'closed'}" for gate in verdict.gates),
            "; ".join(verdict.objections),
            verdict.uses,
            verdict.report[:SHORT] + (", imported" if verdict.imported else ""),
        )
        for verdict in verdicts
    ]
    columns = ("judged", "session", "on", "net a market", "interval", "gates", "no evidence because", "uses of the set")
    return table("Verdicts", (*columns, "report"), rows, right=("net a market", "uses of the set"))


def compared_table(comparison: Comparison, *, every: bool) -> Any:
    """Manifests side by side; only what differs unless `every`."""
    rows = [
        (row.section, row.name, *("" if value is None else value for value in row.values))
        for row in comparison.rows
        if every or row.differs
    ]
    alike = sum(not row.differs for row in comparison.rows)
    title = f"What differs; {alike} entries are alike" if not every else "Manifests, what differs first"
    return table(title, ("section", "entry", *comparison.models), rows)


def pairs_table(pairs: Sequence[Pair]) -> Any:
    """Networks against each other."""
    rows = [
        (
            f"{pair.first} | {pair.second}",
            "" if pair.weights_apart is None else f"{pair.weights_apart:.1%}",
            *(f"{share:.1%}" for share in pair.equal_actions or ()),
            *([""] * (0 if pair.equal_actions else 2)),
            pair.contract or ("" if pair.weights_apart is not None else "networks of other shapes"),
        )
        for pair in pairs
    ]
    columns = ("models", "weights apart", "equal on the first's probe", "on the second's probe", "note")
    return table("Networks", columns, rows, right=columns[1:4])


def fits_table(models: Sequence[Checked]) -> Any:
    """Where each model fits and what it does with its ids."""
    columns = ("model", "aliases", "gate", "fits actions", "fits observation", "ids", "decode", "reached")
    rows = [_fit_row(model) for model in models]
    right = ("ids", "decode", "reached", "legal in probe", "chosen in probe")
    return table("Models against every layout known here", (*columns, *right[3:], "note"), rows, right=right)


def misfits_table(models: Sequence[Checked]) -> Any:
    """What differs between the layouts that models have and those that they do not fit."""
    seen = {
        (fit.kind, own, fit.name): fit.differs
        for model in models
        for fit in model.fits
        for own in [model.action_space if fit.kind == "action space" else model.observation]
        if not fit.fits
    }
    rows = [(kind, own, name, differs) for (kind, own, name), differs in seen.items()]
    return table("What differs elsewhere", ("kind", "of models with", "does not fit", "because"), rows)


def uses_table(sets: Sequence[TestSet]) -> Any:
    """How often each test set was used."""
    rows = [
        (found.session, found.checksum[:SHORT], found.tickers[:SHORT], found.part, found.uses, len(found.models),
         found.last[:16].replace("T", " "), ", ".join(found.models))
        for found in sets
    ]  # fmt: skip
    columns = ("session", "checksum", "markets", "part", "uses", "models", "last", "which")
    return table("Uses of test sets", columns, rows, right=("uses", "models"))


def dollars(amount: float | None) -> str:
    """Dollars and cents; nothing for None."""
    return "" if amount is None else f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def _summary_row(found: ModelSummary) -> tuple[object, ...]:
    from kalshi_ray.registry.verdicts import GATES, rank

    manifest, aliases = found.manifest, ", ".join(found.aliases)
    if manifest is None:
        return found.id, aliases, "", "", "", "", "", "", None, f"damaged: {found.problem}"
    level = rank(found.verdicts)[0]
    return (
        found.id,
        aliases,
        GATES[level] if level >= 0 else ("closed" if found.verdicts else "not judged"),
        manifest.created[:16].replace("T", " "),
        manifest.algorithm,
        manifest.contract.action_space.name,
        manifest.contract.observation.name,
        _sessions(manifest),
        int(manifest.metrics.get("steps", 0)),
        manifest.reason,
    )


def _fit_row(model: Checked) -> tuple[object, ...]:
    aliases, reach = ", ".join(model.aliases), model.reach
    if model.problem or reach is None:
        return (model.id, aliases, *[""] * 8, f"damaged: {model.problem}")
    fits = {
        kind: ", ".join(fit.name for fit in model.fits if fit.fits and fit.kind == kind)
        for kind in ("action space", "observation")
    }
    lost = "" if reach.is_whole else f"{reach.ids - min(reach.decoded, reach.reached)} ids are lost"
    note = "; ".join(word for word in (lost, *model.versions) if word)
    used = f"{len(reach.used)} of {reach.ids}"
    return (
        *(model.id, aliases, model.verdict or "none", fits["action space"], fits["observation"]),
        *(reach.ids, reach.decoded, reach.reached, reach.offered, used, note),
    )


def _sessions(manifest: Manifest) -> str:
    return ", ".join(str(session.get("id", "?")) for session in manifest.sessions)
