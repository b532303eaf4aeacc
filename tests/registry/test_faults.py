"""Whatever stops a process, and whenever: what was there stays loadable, and nothing half-written shows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalshi_ray.data import files as files_module
from kalshi_ray.data.files import Files
from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.report import to_json
from kalshi_ray.registry import Registry, TestUse, load_bundle, open_registry
from kalshi_ray.registry.archive import export_model, import_model
from kalshi_ray.registry.bundle import WEIGHTS
from kalshi_ray.registry.compatibility import check_models
from kalshi_ray.registry.promotion import PromotionSettings, promote
from tests.registry.bundles import save
from tests.registry.reports import judged

ENOUGH = 60  # steps of any of the works below


def importing(registry: Registry, place: Path) -> None:
    import_model(registry, place / "two.tar")


def registering(registry: Registry, place: Path) -> None:
    registry.register(place / "three", alias="challenger", reason="r")


def promoting(registry: Registry, place: Path) -> None:
    promote(
        registry,
        "one",
        alias="champion",
        reason="again",
        report=(place / "report.json").read_bytes(),
        settings=PromotionSettings(),
    )


def rolling_back(registry: Registry, place: Path) -> None:
    registry.rollback("champion", reason="r")


def mending(registry: Registry, place: Path) -> None:
    (place / "registry" / "models" / "zero" / WEIGHTS).write_bytes(b"")
    registry.register(place / "zero")


def counting(registry: Registry, place: Path) -> None:
    registry.count_test_use(TestUse(session="s", checksum="c", tickers="t", policies=("one",)))


def removing(registry: Registry, place: Path) -> None:
    registry.move("champion", "one", reason="r")
    registry.remove("zero")


WORKS = [importing, registering, promoting, rolling_back, mending, counting, removing]


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


@contextmanager
def stopping(at: int, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` before step `at`, where opening for writing, syncing, renaming and deleting are steps."""
    patch, left = pytest.MonkeyPatch(), [at]

    def counted(original: Callable[..., object], is_step: Callable[..., bool]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            if is_step(*given, **named):
                if left[0] == 0:
                    stop()
                left[0] -= 1
            return original(*given, **named)

        return call

    always = lambda *_, **__: True  # noqa: E731 # one word for both
    writes = lambda *given, **_: len(given) > 1 and "w" in str(given[1])  # noqa: E731
    patch.setattr(files_module, "open", counted(open, writes), raising=False)
    patch.setattr(files_module.os, "replace", counted(os.replace, always))
    patch.setattr(files_module.os, "fsync", counted(os.fsync, always))
    patch.setattr(Path, "rename", counted(Path.rename, always))
    for name in ("remove", "remove_folder"):
        patch.setattr(Files, name, counted(getattr(Files, name), always))
    try:
        yield
    finally:
        patch.undo()


def in_a_process_that_dies(at: int, work: Callable[[Registry, Path], None], place: Path) -> bool:
    """Do `work` in a process that is gone, without any clean-up, before step `at`; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            with stopping(at, lambda: os._exit(9)):
                work(open_registry(str(place / "registry")), place)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


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
    place: Path, work: Callable[[Registry, Path], None]
) -> None:
    ended = False
    for at in range(ENOUGH):
        ended = in_a_process_that_dies(at, work, place)
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


def test_a_bundle_whose_writer_died_is_no_bundle_and_in_nobodys_way(tmp_path: Path) -> None:
    for at in range(ENOUGH):
        child = os.fork()
        if child == 0:
            try:
                with stopping(at, lambda: os._exit(9)):
                    save(tmp_path / "b")
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        if (tmp_path / "b").exists():  # it died after the rename
            break
    assert at > 4
    assert load_bundle(tmp_path / "b").manifest.id == "run-a"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
