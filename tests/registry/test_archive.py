"""A model travels as one file, and nothing becomes visible that does not belong."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.errors import ContractError, DataError, KalshiRayError, UnknownName, UsageError
from kalshi_ray.evaluate.report import to_json
from kalshi_ray.registry import Registry, open_registry
from kalshi_ray.registry.archive import HISTORY, SUMS, export_model, import_model
from kalshi_ray.registry.bundle import FILES, sha256_of
from kalshi_ray.registry.promotion import PromotionSettings, promote
from tests.examples import some_of
from tests.registry.bundles import NOW, answers_of, edit, save
from tests.registry.reports import judged


@pytest.fixture
def origin(tmp_path: Path) -> Registry:
    """With one model that has a verdict and an alias."""
    made = open_registry(str(tmp_path / "origin"), now=lambda: NOW)
    save(tmp_path / "one", id="one")
    made.register(tmp_path / "one")
    made.move("challenger", "one", reason="looks good")
    return made


@pytest.fixture
def target(tmp_path: Path) -> Registry:
    return open_registry(str(tmp_path / "target"), now=lambda: NOW)


def visible(registry: Registry) -> tuple[list[str], dict[str, str]]:
    return registry.ids(), registry.aliases()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_model_arrives_elsewhere_as_it_left(origin: Registry, target: Registry, tmp_path: Path, kind: str) -> None:
    left = export_model(origin, "challenger", tmp_path / f"one.{kind}")
    arrived = import_model(target, tmp_path / f"one.{kind}")
    assert (arrived.digest, answers_of(target.load("one"))) == (left.digest, answers_of(left))
    assert visible(target) == (["one"], {}), "aliases are the registry's own"
    assert (tmp_path / "target" / "models" / "one" / HISTORY).read_text().count("looks good") == 1


def test_verdicts_travel_and_are_marked(origin: Registry, target: Registry, tmp_path: Path) -> None:
    report = to_json(judged())
    promote(origin, "one", alias="champion", reason="r", report=report, settings=PromotionSettings())
    export_model(origin, "one", tmp_path / "one.tar")
    for _ in range(2):  # again is no second verdict
        import_model(target, tmp_path / "one.tar")
    [before], [after] = origin.verdicts("one"), target.verdicts("one")
    assert (before.imported, after.imported) == (False, True)
    assert after.report == before.report and after.gates == before.gates


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_the_same_model_is_the_same_bytes(origin: Registry, tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    for path in (first, second):
        export_model(origin, "one", path)
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(UsageError, match="already there"):
        export_model(origin, "one", first)
    with pytest.raises(UsageError, match="neither"):
        export_model(origin, "one", tmp_path / "one.rar")


def test_a_folder_can_be_imported_and_what_is_not_there_is_named(target: Registry, tmp_path: Path) -> None:
    save(tmp_path / "one", id="one")
    assert import_model(target, tmp_path / "one").manifest.id == "one"
    with pytest.raises(UnknownName, match="file or folder"):
        import_model(target, tmp_path / "two.tar")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model as a file of each kind."""
    folder = tmp_path_factory.mktemp("exported")
    save(folder / "one", id="one")
    origin = open_registry(str(folder / "origin"))
    origin.register(folder / "one", alias="challenger", reason="looks good")
    (folder / "aliases.jsonl").write_bytes((folder / "origin" / "aliases.jsonl").read_bytes())
    paths = {kind: folder / f"one.{kind}" for kind in ("tar", "zip")}
    for path in paths.values():
        export_model(origin, "one", path)
    return paths


@settings(max_examples=some_of(60))
@given(kind=st.sampled_from(["tar", "zip"]), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing_of_the_model(
    exported: dict[str, Path], kind: str, where: float, mask: int
) -> None:
    path = exported[kind]
    raw = path.read_bytes()
    at = int(len(raw) * where)
    damaged, url = path.with_name("damaged"), f"fsspec+memory://{path}/{where}/{mask}"
    damaged.write_bytes(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :])
    target = open_registry(url)
    try:
        import_model(target, damaged)
    except KalshiRayError:
        assert target.ids() == []
    else:
        assert target.load("one").digest == open_registry(str(path.parent / "origin")).load("one").digest
        kept = target.folder("one").read(HISTORY)
        assert kept == path.with_name("aliases.jsonl").read_bytes(), "padding, or a time that nobody reads"


def sums_of(files: dict[str, bytes]) -> bytes:
    return "".join(f"{sha256_of(raw)}  {name}\n" for name, raw in files.items()).encode()


def packed(path: Path, members: dict[str, bytes], *, kind: str, link: str = "") -> Path:
    """An archive of these members; `link` is a symbolic link's name in it."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as made:
            for name, raw in members.items():
                made.writestr(name, raw)
            if link:
                entry = zipfile.ZipInfo(link)
                entry.external_attr = 0o120777 << 16
                made.writestr(entry, "/etc/passwd")
        return path
    with tarfile.open(path, "w") as made_tar:
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            made_tar.addfile(member, io.BytesIO(raw))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            made_tar.addfile(member)
    return path


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    "name",
    ["../one/manifest.json", "/one/manifest.json", "one/../../manifest.json", "one\\manifest.json", "manifest.json",
     "one/extra.txt", "one/deeper/manifest.json"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(target: Registry, tmp_path: Path, kind: str, name: str) -> None:
    path = packed(tmp_path / f"bad.{kind}", {"one/weights.safetensors": b"", name: b"{}"}, kind=kind)
    with pytest.raises(DataError, match="is refused"):
        import_model(target, path)
    assert visible(target) == ([], {}) and not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_links_are_refused(target: Registry, tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path / f"bad.{kind}", {}, kind=kind, link="one/manifest.json")
    with pytest.raises(DataError, match="is no plain file"):
        import_model(target, path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_what_is_too_big_is_refused_before_it_is_read(
    target: Registry, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_ray.registry.archive.MOST_BYTES", 1000)
    path = packed(tmp_path / f"big.{kind}", {"one/manifest.json": bytes(1001)}, kind=kind)
    with pytest.raises(DataError, match="has 1,001 bytes, at most 1,000"):
        import_model(target, path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_two_models_or_another_name_in_one_file_are_refused(target: Registry, tmp_path: Path, kind: str) -> None:
    save(tmp_path / "one", id="one")
    files = {name: (tmp_path / "one" / name).read_bytes() for name in FILES}
    two = {f"{folder}/{name}": raw for folder in ("one", "two") for name, raw in files.items()}
    with pytest.raises(DataError, match="holds 2 models"):
        import_model(target, packed(tmp_path / f"a.{kind}", two, kind=kind))
    other = {f"two/{name}": raw for name, raw in (files | {SUMS: sums_of(files)}).items()}
    with pytest.raises(ContractError, match="calls itself two and holds the bundle one"):
        import_model(target, packed(tmp_path / f"b.{kind}", other, kind=kind))
    assert target.ids() == []


def test_another_model_under_the_same_id_is_refused(origin: Registry, target: Registry, tmp_path: Path) -> None:
    save(tmp_path / "other", seed=5, id="one")
    target.register(tmp_path / "other")
    export_model(origin, "one", tmp_path / "one.tar")
    with pytest.raises(DataError, match="another model is registered as one"):
        import_model(target, tmp_path / "one.tar")


def test_a_forged_contract_is_refused(target: Registry, tmp_path: Path) -> None:
    save(tmp_path / "one", id="one")
    edit(tmp_path / "one", lambda said: said["contract"]["action_space"]["table"][3].update(contracts=25.0))
    with pytest.raises(ContractError, match="entry 3"):
        import_model(target, tmp_path / "one")
    assert target.ids() == []


class Trap:
    """Whoever unpickles it fails the test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"data": json.dumps({"policy_class": "…"}).encode(), "policy.pth": pickle.dumps(Trap())}, "Stable-Baselines3"),
        ({"archive/data.pkl": pickle.dumps(Trap())}, "pickled by Python or torch"),
    ],
)
def test_foreign_models_are_recognised_and_never_opened(
    target: Registry, tmp_path: Path, members: dict[str, bytes], words: str
) -> None:
    path = packed(tmp_path / "session32_final.zip", members, kind="zip")
    with pytest.raises(ContractError, match=f"{words}.*train again|{words}.*Train again"):
        import_model(target, path)


@pytest.mark.parametrize("raw", [b"", b"PK", b"nothing at all", bytes(10_240)])
def test_what_is_no_archive_is_refused(target: Registry, tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(raw)
    with pytest.raises(DataError):
        import_model(target, tmp_path / "x.tar")
