"""Bundles that cannot be loaded where they do not belong, and aliases that move with history."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from kalshi_ray.errors import ContractError, DataError, UnknownName, UsageError
from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.registry import Bundle, Contract, Manifest, contract_of, load_bundle, open_registry, save_bundle
from kalshi_ray.registry.bundle import MANIFEST, PROBE, WEIGHTS

WIDTHS = (54, 16, 21)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def manifest(**changes: Any) -> Manifest:
    given: dict[str, Any] = {
        "id": "run-a", "run": "run", "created": NOW.isoformat(), "algorithm": "ppo", "decide": "greedy",
        "activation": "relu", "sizes": [], "network": {"hidden": [16]}, "contract": contract_of("sized21", "obs54"),
        "training": {"seed": 0}, "env": {"action_space": "sized21"}, "reward": "pure", "fill_model": "pessimistic",
        "sessions": [{"id": "s", "checksum": "0"}], "packages": {"numpy": np.__version__}, "metrics": {"steps": 1.0},
    }  # fmt: skip
    return Manifest(**(given | changes))


def save(path: Path, *, seed: int = 0, **changes: Any) -> Bundle:
    draw = np.random.default_rng(seed)
    layers = [
        (draw.normal(size=(after, before)).astype(np.float32), draw.normal(size=after).astype(np.float32))
        for before, after in pairwise(WIDTHS)
    ]
    mask = draw.random((40, 21)) < 0.5
    mask[:, 0] = True
    seen = draw.normal(size=(40, 54)).astype(np.float32)
    return save_bundle(path, manifest=manifest(**changes), layers=layers, probe_observation=seen, probe_mask=mask)


def edit(path: Path, change: Any) -> None:
    """Rewrite the manifest with `change` applied to its JSON."""
    said = json.loads((path / MANIFEST).read_bytes())
    change(said)
    (path / MANIFEST).write_text(json.dumps(said))


@pytest.mark.parametrize("decide", ["greedy", "sampled"])
def test_a_loaded_bundle_decides_as_the_saved_one(tmp_path: Path, decide: Literal["greedy", "sampled"]) -> None:
    saved = save(tmp_path / "b", decide=decide)
    loaded = load_bundle(tmp_path / "b")
    draw = np.random.default_rng(9)
    state = PolicyState(
        observation=draw.normal(size=(100, 54)).astype(np.float32),
        mask=np.ones((100, 21), bool),
        rows=np.zeros(100, [("view", "i4")]),
        decision=np.arange(100),
        market=np.arange(100).astype(np.uint64),
        action_space="sized21",
        observation_spec="obs54",
    )
    answers = []
    for bundle in (saved, loaded):
        policy = bundle.policy
        policy.reset(state.market, 3)
        answers.append(policy.act(state))
    assert (answers[0] == answers[1]).all()
    assert len(set(answers[0].tolist())) > 3
    assert loaded.manifest == saved.manifest


@pytest.mark.parametrize("name", [WEIGHTS, PROBE])
@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_one_changed_byte_is_refused(tmp_path: Path, name: str, where: float) -> None:
    save(tmp_path / "b")
    raw = bytearray((tmp_path / "b" / name).read_bytes())
    raw[int(len(raw) * where)] ^= 1
    (tmp_path / "b" / name).write_bytes(bytes(raw))
    with pytest.raises(DataError, match="is not what was saved"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("name", [WEIGHTS, PROBE])
def test_a_missing_or_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    save(tmp_path / "b")
    file = tmp_path / "b" / name
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(DataError, match="50 bytes"):
        load_bundle(tmp_path / "b")
    file.unlink()
    with pytest.raises(DataError, match=f"lacks {name}"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"id": 3}'])
def test_a_foreign_manifest_is_refused(tmp_path: Path, raw: bytes) -> None:
    save(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).write_bytes(raw)
    with pytest.raises(DataError, match="no manifest of a bundle"):
        load_bundle(tmp_path / "b")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no bundle named"):
        load_bundle(tmp_path)


def changed_action(said: dict[str, Any]) -> None:
    said["contract"]["action_space"]["table"][3]["contracts"] = 25.0
    said["contract"]["action_space"]["fingerprint"] = "f" * 16


def changed_feature(said: dict[str, Any]) -> None:
    said["contract"]["observation"]["table"][7]["name"] = "no_middle"
    said["contract"]["observation"]["fingerprint"] = "e" * 16


@pytest.mark.parametrize(
    ("change", "kind", "difference"),
    [
        (changed_action, "action_space", "entry 3: contracts is 25.0 in the bundle and 20.0 here"),
        (changed_feature, "observation", "entry 7: name is 'no_middle' in the bundle and 'no_mid' here"),
    ],
)
def test_another_layout_is_refused_with_both_fingerprints_and_what_differs(
    tmp_path: Path, change: Any, kind: str, difference: str
) -> None:
    save(tmp_path / "b")
    edit(tmp_path / "b", change)
    with pytest.raises(ContractError) as caught:
        load_bundle(tmp_path / "b")
    here = getattr(contract_of("sized21", "obs54"), kind).fingerprint
    there = {"action_space": "f" * 16, "observation": "e" * 16}[kind]
    assert here in str(caught.value) and there in str(caught.value) and difference in str(caught.value)


@pytest.mark.parametrize(("actions", "seen"), [("sized21-join", "obs54"), ("sized21", "obs52"), ("intent5", "obs54")])
def test_a_bundle_is_refused_by_an_environment_of_another_contract(tmp_path: Path, actions: str, seen: str) -> None:
    bundle = save(tmp_path / "b")
    bundle.require(contract_of("sized21", "obs54"))
    with pytest.raises(ContractError, match="fingerprint"):
        bundle.require(contract_of(actions, seen))


def test_an_action_space_unknown_here_is_named(tmp_path: Path) -> None:
    save(tmp_path / "b")
    edit(tmp_path / "b", lambda said: said["contract"]["action_space"].update(name="sized99"))
    with pytest.raises(UnknownName, match="sized99"):
        load_bundle(tmp_path / "b")


def test_weights_that_do_not_reproduce_the_probe_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "b")
    save(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / WEIGHTS, tmp_path / "b" / WEIGHTS)
    theirs = json.loads((tmp_path / "other" / MANIFEST).read_bytes())["files"][WEIGHTS]
    edit(tmp_path / "b", lambda said: said["files"].update({WEIGHTS: theirs}))
    with pytest.raises(ContractError, match="does not reproduce its probe"):
        load_bundle(tmp_path / "b")


def test_a_network_of_another_shape_than_its_manifest_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "b")
    edit(tmp_path / "b", lambda said: said.update(sizes=[54, 17, 21]))
    with pytest.raises(ContractError, match=r"layer 0 .* is not 54 -> 17"):
        load_bundle(tmp_path / "b")


def test_a_bundle_is_never_overwritten(tmp_path: Path) -> None:
    save(tmp_path / "b")
    with pytest.raises(DataError, match="already there"):
        save(tmp_path / "b")


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


@pytest.mark.parametrize("form", ["folder", "url"])
def test_an_alias_an_id_and_a_path_resolve_to_the_same_model(tmp_path: Path, form: str) -> None:
    url = str(tmp_path / "registry") if form == "folder" else (tmp_path / "registry").as_uri()
    registry = open_registry(url)
    save(tmp_path / "b", id="model-1")
    registry.register(tmp_path / "b", alias="champion", reason="only one")
    for spec in ("champion", "model-1", str(tmp_path / "b")):
        assert registry.load(spec).manifest.id == "model-1"
    with pytest.raises(UnknownName, match="Known: champion, model-1"):
        registry.resolve("challenger")


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


def test_a_manifest_says_everything_in_plain_json(tmp_path: Path) -> None:
    save(tmp_path / "b")
    said = json.loads((tmp_path / "b" / MANIFEST).read_bytes())
    assert msgspec.convert(said["contract"], Contract) == contract_of("sized21", "obs54")
    assert set(said) == set(Manifest.__struct_fields__)
