"""The registry: bundles by id, and aliases that move with history and reason.

<registry>/models/<id>/…       a bundle; verdicts.jsonl beside it
           aliases.jsonl       one line for every move of an alias, the last one counts
           uses.jsonl          one line for every use of a test set
           registry.lock       who writes just now
           arriving/<id>/…     a model that is being copied in; what a dead process left there is dropped
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from kalshi_ray.data.files import Files, disk_error, open_files
from kalshi_ray.errors import ContractError, DataError, KalshiRayError, UnknownName, UsageError
from kalshi_ray.registry.aliases import ALIASES, NAME, Alias, check_name, check_reason, named_now, pile
from kalshi_ray.registry.bundle import (
    FILES,
    MANIFEST,
    SEAL,
    Bundle,
    Contents,
    Manifest,
    read_contents,
    verified,
    write_contents,
)
from kalshi_ray.registry.lines import Lines
from kalshi_ray.registry.locks import only_writer
from kalshi_ray.registry.manifest import decode_manifest
from kalshi_ray.registry.uses import USES, TestSet, TestUse, checked, count_before, sets_of
from kalshi_ray.registry.verdicts import VERDICTS, Verdict

MODELS, ARRIVING = "models", "arriving"


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `Registry.models`."""

    id: str
    aliases: list[str]
    manifest: Manifest | None = None
    verdicts: list[Verdict] = []
    problem: str = ""  # why it cannot be read


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """A way back that was gone."""

    move: Alias
    passed_over: list[str]  # models in between that are gone or damaged, with what is wrong


class Registry:
    """Lists, adds and resolves models below one base folder."""

    def __init__(self, files: Files, url: str, *, now: Callable[[], datetime]) -> None:
        self.url = url
        self._files = files
        self._now = now
        self._moves = Lines(files, ALIASES, Alias)
        self._uses = Lines(files, USES, TestUse)

    def ids(self) -> list[str]:
        """Every model, whole or not."""
        return self._files.folders(MODELS)

    def models(self) -> list[ModelSummary]:
        """Every model and the aliases that name it now, without reading weights."""
        names = self.aliases()
        return [self._summary(model, sorted(a for a, m in names.items() if m == model)) for model in self.ids()]

    def load(self, spec: str) -> Bundle:
        """The bundle that an alias, an id or a path names, verified."""
        model = self.find(spec)
        if model is not None:
            return self._verified(model)
        files = open_files(spec)
        if not files.exists(MANIFEST):
            raise UnknownName("model", spec, [*sorted(self.aliases()), *self.ids()])
        return verified(read_contents(files, spec), spec)

    def find(self, spec: str) -> str | None:
        """The id of the model that an alias or an id names; None for what may be a path. An alias wins over an id."""
        model = self.aliases().get(spec, spec)
        return model if NAME.fullmatch(model) and self.has(model) else None

    def require(self, spec: str) -> str:
        """The id of the model that an alias or an id names. Raises UnknownName."""
        model = self.find(spec)
        if model is None:
            raise UnknownName("registered model", spec, [*sorted(self.aliases()), *self.ids()])
        return model

    def has(self, model: str) -> bool:
        """Whether a model of this id is there, whole or not."""
        return model in self.ids()

    def contents(self, model: str) -> Contents:
        """The bytes of a registered bundle, unchecked."""
        return read_contents(self.folder(model), self._location(model))

    def folder(self, model: str) -> Files:
        """The files of one model."""
        return Files(self._files.filesystem, self._files.path(f"{MODELS}/{model}"))

    def now(self) -> str:
        """The time by the registry's clock, ISO 8601."""
        return self._now().isoformat()

    # Models come and go

    def register(self, bundle: Path | str, *, alias: str | None = None, reason: str = "", forced: bool = False) -> str:
        """Verify a bundle, copy it in, and let `alias` name it. Returns its id; the same bundle twice is one model."""
        if alias is not None:
            check_name("alias", alias)
        model = self.put(read_contents(open_files(str(bundle)), str(bundle)), str(bundle)).manifest.id
        if alias is not None:
            self.move(alias, model, reason=reason or "registered", forced=forced)
        return model

    def put(self, contents: Contents, location: str, *, extra: Contents | None = None, model: str = "") -> Bundle:
        """Verify the bytes of a bundle and make them a model, with `extra` files beside it, whole or not at all.

        Bytes of a model that is there already replace whatever is damaged of it. With `model`, it must have that id.
        """
        bundle = verified(contents, location)
        if model and bundle.manifest.id != model:
            raise ContractError(f"{location} calls itself {model} and holds the bundle {bundle.manifest.id}")
        model = bundle.manifest.id
        check_name("model id", model)
        with only_writer(self._files):
            if self.has(model):
                self._mend(model, contents)
            else:
                self._place(model, contents, extra or {})
        return bundle

    def going_with(self, model: str) -> dict[str, int]:
        """What `remove` would delete: bytes by file name. UsageError while an alias names it."""
        if not NAME.fullmatch(model) or not self.has(model):
            raise UnknownName("model id", model, self.ids())
        named = sorted(alias for alias, target in self.aliases().items() if target == model)
        if named:
            raise UsageError(
                f"{model} is called {' and '.join(named)}",
                remedy=f"Promote another model to {named[0]} first, or roll it back",
            )
        return self.folder(model).sizes()

    def remove(self, model: str) -> None:
        """Delete a model and its verdicts. UsageError while an alias names it."""
        with only_writer(self._files):
            self.going_with(model)
            files = self.folder(model)
            if files.exists(MANIFEST):
                files.remove(MANIFEST)
            self._files.remove_folder(f"{MODELS}/{model}")

    # Aliases

    def aliases(self) -> dict[str, str]:
        """What each alias names now."""
        return named_now(self.history())

    def history(self, alias: str | None = None) -> list[Alias]:
        """Every move, oldest first."""
        return [move for move in self._moves.read() if alias in (None, move.alias)]

    def move(self, alias: str, model: str, *, reason: str, forced: bool = False, report: str = "") -> Alias:
        """Let `alias` name `model` from now on; the reason is kept. Alias and history change in one write."""
        check_name("alias", alias)
        check_reason(f"moving {alias}", reason)
        with only_writer(self._files):
            if not NAME.fullmatch(model) or not self.has(model):
                raise UnknownName("model", model, self.ids())
            self._verified(model)  # an alias never names what cannot be loaded
            move = Alias(
                alias=alias,
                model=model,
                previous=self.aliases().get(alias, ""),
                reason=reason,
                at=self.now(),
                forced=forced,
                report=report,
            )
            self._moves.add(move)
        return move

    def rollback(self, alias: str, *, reason: str) -> Rollback:
        """Let `alias` name the model before the one it names, passing over what is gone or damaged.

        Again, and it goes further back. UsageError where there is nothing left to go back to.
        """
        check_reason(f"rolling {alias} back", reason)
        with only_writer(self._files):
            moves = self.history()
            held = pile(moves, alias)
            if not held:
                raise UnknownName("alias", alias, sorted(named_now(moves)))
            passed_over: list[str] = []
            for model in reversed(held[:-1]):
                problem = self._problem(model)
                if not problem:
                    move = Alias(alias=alias, model=model, previous=held[-1], reason=reason, at=self.now(), back=True)
                    self._moves.add(move)
                    return Rollback(move=move, passed_over=passed_over)
                passed_over.append(f"{model}: {problem}")
        why = f": {'; '.join(passed_over)}" if passed_over else ""
        raise UsageError(
            f"{alias} has no earlier model to go back to{why}",
            remedy=f"It stays at {held[-1]}; `kalshi-ray models promote` names another",
        )

    # What was found out about models

    def verdicts(self, model: str) -> list[Verdict]:
        """Every report that was brought for a model, oldest first."""
        return Lines(self.folder(model), VERDICTS, Verdict).read()

    def keep_verdicts(self, model: str, verdicts: Sequence[Verdict]) -> None:
        """Add those that are not there yet, told by the hash of their report."""
        with only_writer(self._files):
            if not self.has(model):
                raise UnknownName("model", model, self.ids())
            kept = Lines(self.folder(model), VERDICTS, Verdict)
            known = {(verdict.report, verdict.objections) for verdict in kept.read()}
            kept.add(*(verdict for verdict in verdicts if (verdict.report, verdict.objections) not in known))

    def count_test_use(self, use: TestUse) -> int:
        """Note that models were judged on a test set; how often that set had been used before."""
        noted = checked(use, self.now())
        with only_writer(self._files):
            before = count_before(self._uses.read(), noted)
            self._uses.add(noted)
        return before

    def test_uses(self) -> list[TestUse]:
        """Every use of a test set, oldest first."""
        return self._uses.read()

    def test_sets(self) -> list[TestSet]:
        """Every test set with how often it was used and by which models, the most used first."""
        return sets_of(self._uses.read())

    # Inside

    def _verified(self, model: str) -> Bundle:
        location = self._location(model)
        files = self.folder(model)
        if not files.exists(MANIFEST):
            raise DataError(f"{location} lacks {MANIFEST}", remedy="Register or import the model again")
        bundle = verified(read_contents(files, location), location)
        if bundle.manifest.id != model:
            raise ContractError(
                f"the folder {location} holds the bundle {bundle.manifest.id}",
                remedy="Folders are named by the ids of their bundles: somebody moved one",
            )
        return bundle

    def _problem(self, model: str) -> str:
        """Why a model cannot be handed out; "" where it can."""
        if not self.has(model):
            return "is no longer registered"
        try:
            self._verified(model)
        except KalshiRayError as error:
            return str(error)
        return ""

    def _mend(self, model: str, contents: Contents) -> None:
        files = self.folder(model)
        held = {name: files.read(name) for name in FILES if files.exists(name)}
        if contents[MANIFEST] != held.get(MANIFEST) and contents[SEAL] != held.get(SEAL):
            raise DataError(
                f"another model is registered as {model} in {self.url}",
                remedy="Ids name one model for ever: train under another run name",
            )
        for name in FILES:
            if held.get(name) != contents[name]:
                files.write(name, contents[name])

    def _place(self, model: str, contents: Contents, extra: Contents) -> None:
        """Write a model aside and move it to its place at once; where folders cannot be moved, its manifest last."""
        target = f"{MODELS}/{model}" if self._files.local is None else f"{ARRIVING}/{model}"
        try:
            if self._files.local is not None and self._files.folders(ARRIVING):
                self._files.remove_folder(ARRIVING)
            files = Files(self._files.filesystem, self._files.path(target))
            for name, raw in extra.items():
                files.write(name, raw)
            write_contents(files, contents)
            if self._files.local is not None:
                self._files.local.joinpath(MODELS).mkdir(parents=True, exist_ok=True)
                self._files.local.joinpath(target).rename(self._files.local / MODELS / model)
        except (DataError, OSError) as error:
            self._drop(target)
            if isinstance(error, OSError):
                raise disk_error(self._location(model), error) from error
            raise

    def _drop(self, folder: str) -> None:
        try:
            self._files.remove_folder(folder)
        except OSError:
            return  # the error that brought us here is the one to report; what is left has no manifest

    def _summary(self, model: str, names: list[str]) -> ModelSummary:
        location = self._location(model)
        try:
            manifest = decode_manifest(self.folder(model).read(MANIFEST), location)
            return ModelSummary(id=model, aliases=names, manifest=manifest, verdicts=self.verdicts(model))
        except FileNotFoundError:
            return ModelSummary(id=model, aliases=names, problem=f"{location} lacks {MANIFEST}")
        except KalshiRayError as error:
            return ModelSummary(id=model, aliases=names, problem=str(error))

    def _location(self, model: str) -> str:
        if self._files.local is not None:
            return str(self._files.local / MODELS / model)
        return f"{self.url.rstrip('/')}/{MODELS}/{model}"


def open_registry(url: str, *, now: Callable[[], datetime] | None = None) -> Registry:
    """The registry in a folder or at any `pyarrow.fs` URL; an empty one is made by the first `register`."""
    return Registry(open_files(url), url, now=now or (lambda: datetime.now(UTC)))
