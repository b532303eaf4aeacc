"""The registry: bundles by id, and aliases that move with history and reason.

<registry>/models/<id>/…       a bundle, its manifest copied last: what has none is not there
           aliases.jsonl       one line for every move of an alias, the last one counts
           uses.jsonl          one line for every use of a test set
           registry.lock       who writes just now
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from kalshi_ray.data.files import Files, open_files
from kalshi_ray.errors import DataError, UnknownName, UsageError
from kalshi_ray.registry.bundle import MANIFEST, PROBE, WEIGHTS, Bundle, Manifest, load_bundle
from kalshi_ray.registry.lines import Lines
from kalshi_ray.registry.locks import only_writer
from kalshi_ray.registry.uses import USES, TestSet, TestUse, checked, count_before, sets_of

ALIASES = "aliases.jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias: what it names from then on."""

    alias: str
    model: str
    previous: str = ""
    reason: str
    at: str  # ISO 8601, UTC
    forced: bool = False  # past a closed gate


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `Registry.models`."""

    id: str
    aliases: list[str]
    manifest: Manifest | None = None
    problem: str = ""  # why it cannot be read


class Registry:
    """Lists, adds and resolves models below one base folder."""

    def __init__(self, files: Files, url: str, *, now: Callable[[], datetime]) -> None:
        self.url = url
        self._files = files
        self._now = now
        self._moves = Lines(files, ALIASES, Alias)
        self._uses = Lines(files, USES, TestUse)

    def ids(self) -> list[str]:
        """Every model with a manifest."""
        return [name for name in self._files.folders("models") if self._files.exists(f"models/{name}/{MANIFEST}")]

    def models(self) -> list[ModelSummary]:
        """Every model and the aliases that name it now, without reading weights."""
        names = self.aliases()
        return [self._summary(model, sorted(a for a, m in names.items() if m == model)) for model in self.ids()]

    def register(self, bundle: Path | str, *, alias: str | None = None, reason: str = "", forced: bool = False) -> str:
        """Verify a bundle, copy it in, and let `alias` name it. Returns its id; the same bundle twice is one model."""
        if alias is not None:
            _check_name("alias", alias)
        loaded = load_bundle(bundle)
        model = loaded.manifest.id
        _check_name("model id", model)
        source = open_files(str(bundle))
        if model in self.ids():
            if self._files.read(f"models/{model}/{MANIFEST}") != source.read(MANIFEST):
                raise DataError(f"another model is registered as {model} in {self.url}")
        else:
            for name in (WEIGHTS, PROBE, MANIFEST):
                self._files.write(f"models/{model}/{name}", source.read(name))
        if alias is not None:
            self.move(alias, model, reason=reason or "registered", forced=forced)
        return model

    def load(self, spec: str) -> Bundle:
        """The bundle that an alias, an id or a path names, verified."""
        return load_bundle(self.resolve(spec))

    def resolve(self, spec: str) -> str:
        """The location of what an alias, an id or a path names. Raises UnknownName."""
        names = self.aliases()
        model = names.get(spec, spec)
        if _NAME.fullmatch(model) and self._files.exists(f"models/{model}/{MANIFEST}"):
            return self._location(model)
        if spec not in names and open_files(spec).exists(MANIFEST):
            return spec
        raise UnknownName("model", spec, [*sorted(names), *self.ids()])

    def aliases(self) -> dict[str, str]:
        """What each alias names now."""
        return {move.alias: move.model for move in self.history()}

    def history(self, alias: str | None = None) -> list[Alias]:
        """Every move, oldest first."""
        return [move for move in self._moves.read() if alias in (None, move.alias)]

    def move(self, alias: str, model: str, *, reason: str, forced: bool = False) -> Alias:
        """Let `alias` name `model` from now on; the reason is kept. Alias and history change in one write."""
        _check_name("alias", alias)
        if not reason.strip():
            raise UsageError(f"moving {alias} needs a reason")

        def made(moves: list[Alias]) -> Alias:
            if model not in self.ids():
                raise UnknownName("model", model, self.ids())
            before = {move.alias: move.model for move in moves}.get(alias, "")
            at = self._now().isoformat()
            return Alias(alias=alias, model=model, previous=before, reason=reason, at=at, forced=forced)

        with only_writer(self._files):
            return self._moves.add(made)

    def count_test_use(self, use: TestUse) -> int:
        """Note that models were judged on a test set; how often that set had been used before."""
        noted = checked(use, self._now().isoformat())
        with only_writer(self._files):
            before = count_before(self._uses.read(), noted)
            self._uses.add(lambda _: noted)
        return before

    def test_uses(self) -> list[TestUse]:
        """Every use of a test set, oldest first."""
        return self._uses.read()

    def test_sets(self) -> list[TestSet]:
        """Every test set with how often it was used and by which models, the most used first."""
        return sets_of(self._uses.read())

    def _summary(self, model: str, names: list[str]) -> ModelSummary:
        try:
            manifest = msgspec.json.decode(self._files.read(f"models/{model}/{MANIFEST}"), type=Manifest)
        except msgspec.DecodeError as error:
            return ModelSummary(id=model, aliases=names, problem=f"{MANIFEST}: {error}")
        return ModelSummary(id=model, aliases=names, manifest=manifest)

    def _location(self, model: str) -> str:
        if self._files.local is not None:
            return str(self._files.local / "models" / model)
        return f"{self.url.rstrip('/')}/models/{model}"


def open_registry(url: str, *, now: Callable[[], datetime] | None = None) -> Registry:
    """The registry in a folder or at any `pyarrow.fs` URL; an empty one is made by the first `register`."""
    return Registry(open_files(url), url, now=now or (lambda: datetime.now(UTC)))


def _check_name(kind: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{kind} {name!r} is not a name", remedy="Letters, digits, dot, dash and underscore")
