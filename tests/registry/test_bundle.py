"""Bundles that cannot be loaded where they do not belong, and that one changed byte stops."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray import __version__
from kalshi_ray.errors import ContractError, DataError, KalshiRayError, UnknownName
from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.registry import Contract, Manifest, contract_of, load_bundle
from kalshi_ray.registry.bundle import FILES, MANIFEST, PROBE, SEAL, WEIGHTS, seal_of
from kalshi_ray.registry.manifest import FORMAT
from tests.examples import some_of
from tests.registry.bundles import answers_of, edit, save

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests may damage as long as they repair it."""
    path = tmp_path_factory.mktemp("bundle") / "b"
    save(path)
    return path


@settings(max_examples=some_of(150))
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_any_changed_byte_of_any_file_is_refused(whole: Path, name: str, where: float, mask: int) -> None:
    raw = (whole / name).read_bytes()
    at = int(len(raw) * where)
    (whole / name).write_bytes(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :])
    try:
        with pytest.raises(DataError, match="is not what was saved"):
            load_bundle(whole)
    finally:
        (whole / name).write_bytes(raw)
    assert load_bundle(whole).manifest.id == "run-a"


@settings(max_examples=some_of(60))
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), added=st.binary(max_size=3))
def test_any_lost_or_added_end_of_any_file_is_refused(whole: Path, name: str, where: float, added: bytes) -> None:
    raw = (whole / name).read_bytes()
    (whole / name).write_bytes(raw + added if added else raw[: int(len(raw) * where)])
    try:
        with pytest.raises(DataError, match="is not what was saved"):
            load_bundle(whole)
    finally:
        (whole / name).write_bytes(raw)


@settings(max_examples=some_of(60))
@given(
    name=st.sampled_from((WEIGHTS, PROBE, MANIFEST)), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255)
)
def test_a_changed_byte_with_all_hashes_made_to_fit_is_refused_in_words_or_changes_no_decision(
    whole: Path, name: str, where: float, mask: int
) -> None:
    """What a hash cannot show, such as a forger's work, is left to fingerprints, shapes and probe."""
    held = {file: (whole / file).read_bytes() for file in FILES}
    raw = held[name]
    at = int(len(raw) * where)
    changed = {**held, name: raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]}
    if name != MANIFEST:
        said = json.loads(held[MANIFEST])
        said["files"][name]["sha256"] = hashlib.sha256(changed[name]).hexdigest()
        changed[MANIFEST] = json.dumps(said).encode()
    changed[SEAL] = seal_of(changed[MANIFEST])
    before = load_bundle(whole)
    try:
        for file, content in changed.items():
            (whole / file).write_bytes(content)
        after = load_bundle(whole)
    except KalshiRayError:
        return
    finally:
        for file, content in held.items():
            (whole / file).write_bytes(content)
    assert np.abs(after.network.logits(before.probe.observation) - before.probe.logits).max() <= 1e-5


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


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"id": 3}', b"\xff", b'{"format": 2}'])
def test_a_foreign_manifest_is_refused(tmp_path: Path, raw: bytes) -> None:
    save(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).write_bytes(raw)
    (tmp_path / "b" / SEAL).write_bytes(seal_of(raw))
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


def test_a_manifest_says_everything_in_plain_json(tmp_path: Path) -> None:
    save(tmp_path / "b")
    said = json.loads((tmp_path / "b" / MANIFEST).read_bytes())
    assert msgspec.convert(said["contract"], Contract) == contract_of("sized21", "obs54")
    assert set(said) == set(Manifest.__struct_fields__)


def renamed_feature(said: dict[str, Any]) -> None:
    said["contract"]["observation"]["table"][7]["name"] = "no_middle"


def resized_action(said: dict[str, Any]) -> None:
    said["contract"]["action_space"]["table"][3]["contracts"] = 25.0


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (renamed_feature, "entry 7: name is 'no_middle' in the bundle and 'no_mid' here"),
        (resized_action, "entry 3: contracts is 25.0 in the bundle and 20.0 here"),
    ],
)
def test_one_altered_name_or_size_is_refused_with_what_differs(
    tmp_path: Path, change: Any, difference: str, seal: bool
) -> None:
    """Also where the fingerprint was left as it was, and where the manifest was sealed anew."""
    save(tmp_path / "b")
    edit(tmp_path / "b", change, seal=seal)
    with pytest.raises(ContractError if seal else DataError, match=re.escape(difference)):
        load_bundle(tmp_path / "b")


def test_a_lost_seal_is_named(tmp_path: Path) -> None:
    save(tmp_path / "b")
    (tmp_path / "b" / SEAL).unlink()
    with pytest.raises(DataError, match=f"lacks {SEAL}"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize(("number", "remedy"), [(FORMAT - 1, "Load it with"), (FORMAT + 1, "Update to")])
@pytest.mark.parametrize("sealed", [False, True])
def test_another_format_says_who_reads_it(tmp_path: Path, number: int, remedy: str, sealed: bool) -> None:
    save(tmp_path / "b", packages={"kalshi-ray": "9.8.7"})
    edit(tmp_path / "b", lambda said: said.update(format=number))
    if not sealed:
        (tmp_path / "b" / SEAL).unlink()  # formats before the seal had none
    with pytest.raises(ContractError) as caught:
        load_bundle(tmp_path / "b")
    for word in (f"format {number}", "kalshi-ray 9.8.7", f"kalshi-ray {__version__} reads format {FORMAT}", remedy):
        assert word in str(caught.value)


def test_other_versions_are_told_and_stop_nothing(tmp_path: Path) -> None:
    save(tmp_path / "b", packages={"torch": "1.0", "numpy": np.__version__, "no-such-package": "3"})
    first, second = load_bundle(tmp_path / "b").manifest.other_versions()
    assert first.startswith("torch 1.0, here ") and second == "no-such-package 3, here none"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mask", lambda mask: mask & False, "no legal action"),
        ("mask", lambda mask: mask.astype(np.int8), "mask is int8"),
        ("observation", lambda seen: seen[:, :-1], "expected float32"),
        ("logits", lambda logits: logits * np.nan, "not finite"),
        ("action", lambda action: action[:-1], "action is int64"),
    ],
)
def test_a_probe_that_proves_nothing_is_refused(tmp_path: Path, name: str, value: Any, words: str) -> None:
    save(tmp_path / "b")
    path = tmp_path / "b" / PROBE
    with np.load(path) as held:
        probe = dict(held)
    probe[name] = value(probe[name])
    np.savez(path, **probe)
    raw = path.read_bytes()
    said = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    edit(tmp_path / "b", lambda manifest: manifest["files"].update({PROBE: said}))
    with pytest.raises(DataError, match=words):
        load_bundle(tmp_path / "b")


def test_a_probe_without_rows_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        save(tmp_path / "b", rows=0)


LOADING = """
import sys
sys.modules["torch"] = sys.modules["ray"] = None  # neither is needed
from kalshi_ray.registry import load_bundle
bundle = load_bundle(sys.argv[1])
from tests.registry.bundles import answers_of
print(answers_of(bundle))
"""


@pytest.mark.parametrize("decide", ["greedy", "sampled"])
def test_another_process_without_torch_and_ray_decides_the_same(tmp_path: Path, decide: str) -> None:
    saved = save(tmp_path / "b", decide=decide)
    for _ in range(2):  # and a restarted one
        done = subprocess.run(
            [sys.executable, "-c", LOADING, tmp_path / "b"], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.strip() == answers_of(saved)


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="already there"):
        save(tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        save(tmp_path / "file" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "file"]
