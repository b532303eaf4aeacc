"""Whatever stops a process, and whenever: what was there stays loadable, and nothing half-written shows."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.report import to_json
from kalshi_ray.registry import Registry, load_bundle, open_registry
from kalshi_ray.registry.archive import export_model
from kalshi_ray.registry.compatibility import check_models
from tests.registry.bundles import save
from tests.registry.dying import WORKS, Nursery, counting, importing, nursery, registering, saving, stopping
from tests.registry.reports import judged

ENOUGH = 60  # steps of any of the works


@pytest.fixture(scope="module")
def children() -> Iterator[Nursery]:
    """Children that die where they are told to."""
    with nursery() as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A registry with two models and a champion, and what the works need."""
    registry = open_registry(str(tmp_path / "registry"))
    for seed, name in enumerate(("zero", "one", "two", "three")):
        save(tmp_path / name, seed=seed, id=name)
    for name in ("zero", "one"):
        registry.register(tmp_path / name, alias="champion", reason="r")
    other = open_registry(str(tmp_path / "other"))
    other.register(tmp_path / "two")
    export_model(other, "two", tmp_path / "two.tar")
    (tmp_path / "report.json").write_bytes(to_json(judged()))
    return tmp_path


def require_sound(place: Path) -> None:
    """Every model loads, the champion is one of them, and the next writer is not held up."""
    registry = open_registry(str(place / "registry"))
    assert [model.problem for model in check_models(registry).damaged if model.id != "zero"] == []
    assert registry.load("champion").manifest.id in ("zero", "one")
    for move in registry.history():
        assert move.model in ("zero", "one", "three")
    counting(registry, place)


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_a_process_killed_between_any_two_steps_leaves_a_sound_registry(
    place: Path, children: Nursery, work: Callable[[Registry, Path], None]
) -> None:
    ended = False
    for at in range(ENOUGH):
        ended = children.finishes(work, place, dies_at=at)
        require_sound(place)
        if ended:
            break
    assert ended and at > 1, "the work is done in the end, and it had steps"


@pytest.mark.parametrize("work", [importing, registering], ids=lambda work: work.__name__)
def test_a_full_disk_leaves_nothing_visible(place: Path, work: Callable[[Registry, Path], None]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    registry = open_registry(str(place / "registry"))
    refused = 0
    for at in range(ENOUGH):
        before = registry.ids()
        try:
            with stopping(at, full):
                work(registry, place)
        except DataError as error:
            assert "no space left" in str(error)
            refused += 1
            if work is importing:
                assert registry.ids() == before == ["one", "zero"]
        else:
            break
        require_sound(place)
    assert refused > 5
    assert {"one", "zero"} < set(registry.ids())


def test_a_bundle_whose_writer_died_is_no_bundle_and_in_nobodys_way(tmp_path: Path, children: Nursery) -> None:
    for at in range(ENOUGH):
        if children.finishes(saving, tmp_path, dies_at=at):
            break
        if (tmp_path / "b").exists():  # it died after the rename
            break
    assert at > 4
    assert load_bundle(tmp_path / "b").manifest.id == "run-a"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
