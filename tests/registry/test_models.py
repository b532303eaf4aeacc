"""A registry hands out the model that was asked for, whole, or says why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.errors import ContractError, DataError, UnknownName, UsageError
from kalshi_ray.registry import Alias, Registry, open_registry
from kalshi_ray.registry.aliases import named_now, pile
from kalshi_ray.registry.bundle import FILES, MANIFEST, WEIGHTS
from tests.registry.bundles import NOW, save

PLACES: dict[str, Callable[[Path], str]] = {
    "folder": str,
    "file": Path.as_uri,
    "memory": lambda path: f"fsspec+memory://{path}",
}


def with_models(path: Path, *names: str) -> Registry:
    """A registry of these models."""
    registry = open_registry(str(path / "registry"), now=lambda: NOW)
    for seed, name in enumerate(names):
        save(path / name, seed=seed, id=name)
        registry.register(path / name)
    return registry


def test_an_alias_moves_with_history_and_the_last_move_counts(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"), now=lambda: NOW)
    for seed, name in enumerate(("one", "two")):
        save(tmp_path / name, seed=seed, id=name)
        assert registry.register(tmp_path / name) == name
    registry.move("champion", "one", reason="first")
    registry.move("challenger", "two", reason="looks good")
    registry.move("champion", "two", reason="better edge")
    assert registry.aliases() == {"champion": "two", "challenger": "two"}
    moves = [(move.model, move.previous, move.reason) for move in registry.history("champion")]
    assert moves == [("one", "", "first"), ("two", "one", "better edge")]
    assert [(model.id, model.aliases) for model in registry.models()] == [
        ("one", []),
        ("two", ["challenger", "champion"]),
    ]


@pytest.mark.parametrize("form", PLACES)
def test_an_alias_an_id_and_a_path_resolve_to_the_same_model(tmp_path: Path, form: str) -> None:
    registry = open_registry(PLACES[form](tmp_path / "registry"))
    save(tmp_path / "b", id="model-1")
    registry.register(tmp_path / "b", alias="champion", reason="only one")
    for spec in ("champion", "model-1", str(tmp_path / "b")):
        assert registry.load(spec).manifest.id == "model-1"
    with pytest.raises(UnknownName, match="Known: champion, model-1"):
        registry.load("challenger")


def test_registering_twice_is_one_model_and_another_of_the_same_id_is_refused(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    save(tmp_path / "b")
    save(tmp_path / "c", seed=5)
    assert registry.register(tmp_path / "b") == registry.register(tmp_path / "b")
    with pytest.raises(DataError, match="another model is registered as run-a"):
        registry.register(tmp_path / "c")


def test_a_damaged_bundle_is_not_registered(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    save(tmp_path / "b")
    (tmp_path / "b" / WEIGHTS).write_bytes(b"")
    with pytest.raises(DataError):
        registry.register(tmp_path / "b", alias="champion")
    assert registry.ids() == [] and registry.aliases() == {}


def test_an_alias_needs_a_known_model_and_a_reason(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    save(tmp_path / "b")
    registry.register(tmp_path / "b")
    with pytest.raises(UsageError, match="needs a reason"):
        registry.move("champion", "run-a", reason=" ")
    with pytest.raises(UnknownName):
        registry.move("champion", "run-z", reason="why not")
    with pytest.raises(UsageError, match="is not a name"):
        registry.move("../champion", "run-a", reason="why not")


@pytest.mark.parametrize("form", PLACES)
def test_every_kind_of_place_holds_a_registry(tmp_path: Path, form: str) -> None:
    url = PLACES[form](tmp_path / "registry")
    for seed, name in enumerate(("one", "two")):
        save(tmp_path / name, seed=seed, id=name)
        open_registry(url).register(tmp_path / name, alias="champion", reason="why not")
    registry = open_registry(url)
    assert registry.rollback("champion", reason="worse").move.model == "one"
    assert open_registry(url).load("champion").manifest.id == "one"
    registry.remove("two")
    assert open_registry(url).ids() == ["one"]


def test_rolling_back_twice_goes_two_models_back_and_keeps_every_move(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two", "three")
    for name in ("one", "two", "three"):
        registry.move("champion", name, reason="better")
    assert registry.rollback("champion", reason="worse").move.previous == "three"
    assert registry.aliases() == {"champion": "two"}
    registry.rollback("champion", reason="worse still")
    assert registry.aliases() == {"champion": "one"}
    with pytest.raises(UsageError, match="no earlier model"):
        registry.rollback("champion", reason="at the end")
    moves = [(move.model, move.back, move.reason) for move in registry.history()]
    assert moves[3:] == [("two", True, "worse"), ("one", True, "worse still")]
    registry.move("champion", "three", reason="mended")
    assert registry.rollback("champion", reason="worse after all").move.model == "one"


def test_a_rollback_passes_over_what_is_damaged_or_gone_and_says_so(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two", "three", "four")
    for name in ("one", "two", "three", "four"):
        registry.move("champion", name, reason="better")
    registry.remove("two")
    (tmp_path / "registry" / "models" / "three" / WEIGHTS).write_bytes(b"")
    done = registry.rollback("champion", reason="worse")
    assert done.move.model == "one"
    assert [line.split(":")[0] for line in done.passed_over] == ["three", "two"]
    assert "no longer registered" in done.passed_over[1]


def test_a_rollback_without_a_way_back_moves_nothing(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one")
    with pytest.raises(UnknownName, match="alias"):
        registry.rollback("champion", reason="worse")
    registry.move("champion", "one", reason="first")
    with pytest.raises(UsageError, match="needs a reason"):
        registry.rollback("champion", reason="")
    with pytest.raises(UsageError, match="It stays at one"):
        registry.rollback("champion", reason="worse")
    assert len(registry.history()) == 1


@given(steps=st.lists(st.one_of(st.sampled_from("abc"), st.none()), max_size=12))
def test_a_rollback_always_undoes_the_last_move_that_stands(steps: list[str | None]) -> None:
    """Against a plain list: a letter is a move to that model, None a rollback."""
    moves: list[Alias] = []
    held: list[str] = []
    for step in steps:
        if step is not None:
            if held[-1:] != [step]:
                held.append(step)
        elif len(held) > 1:
            held.pop()
        else:
            continue
        moves.append(Alias(alias="x", model=held[-1], reason="r", at="", back=step is None))
    assert pile(moves, "x") == held
    assert named_now(moves) == ({"x": held[-1]} if held else {})


def test_folders_that_were_exchanged_are_not_handed_out(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two")
    models = tmp_path / "registry" / "models"
    (models / "one").rename(models / "aside")
    (models / "two").rename(models / "one")
    with pytest.raises(ContractError, match="holds the bundle two"):
        registry.load("one")
    with pytest.raises(ContractError):
        registry.move("champion", "one", reason="why not")


@pytest.mark.parametrize("name", FILES)
def test_registering_a_bundle_again_mends_its_damaged_copy(tmp_path: Path, name: str) -> None:
    registry = with_models(tmp_path, "one")
    (tmp_path / "registry" / "models" / "one" / name).write_bytes(b"")
    with pytest.raises(DataError):
        registry.load("one")
    registry.register(tmp_path / "one")
    assert registry.load("one").manifest.id == "one"


def test_a_model_without_its_manifest_is_listed_as_damaged(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two")
    (tmp_path / "registry" / "models" / "one" / MANIFEST).unlink()
    damaged, sound = registry.models()
    assert "lacks manifest.json" in damaged.problem and not sound.problem
    with pytest.raises(DataError, match=r"lacks manifest\.json"):
        registry.load("one")


def test_a_model_is_removed_by_id_alone_and_only_while_nothing_names_it(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two")
    registry.move("champion", "one", reason="first")
    with pytest.raises(UsageError, match="one is called champion"):
        registry.remove("one")
    with pytest.raises(UnknownName):
        registry.remove("champion")
    with pytest.raises(UnknownName):
        registry.remove("../models/two")
    registry.remove("two")
    assert registry.ids() == ["one"]


PROMOTING = """
import sys
from kalshi_ray.registry import open_registry
registry = open_registry(sys.argv[1])
for number in range(5):
    registry.move("champion", sys.argv[2], reason=f"{sys.argv[2]} {number}")
"""


def test_processes_that_promote_at_once_make_one_history(tmp_path: Path) -> None:
    registry = with_models(tmp_path, "one", "two")
    command = [sys.executable, "-c", PROMOTING, registry.url]
    running = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [process.wait() for process in running] == [0, 0]
    moves = registry.history()
    assert sorted(move.reason for move in moves) == sorted(f"{name} {n}" for name in ("one", "two") for n in range(5))
    assert [move.previous for move in moves] == ["", *(move.model for move in moves[:-1])]
