"""Works on a registry, and a nursery whose children die in the middle of one.

Run as a program it is the nursery: a process of one thread, which does one work in a child for each line that it reads.
A process of more threads cannot be forked safely: its child has their locks, and not the threads that give them back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalshi_ray.data import files as files_module
from kalshi_ray.data.files import Files
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.registry import Registry, TestUse, open_registry
from kalshi_ray.registry.archive import import_model
from kalshi_ray.registry.bundle import WEIGHTS
from kalshi_ray.registry.promotion import PromotionSettings, promote
from tests.registry.bundles import save

ROOT = Path(__file__).parents[2]
DIED = 9
# Threads of libraries that nobody here needs: of BLAS, and of the allocator behind Arrow.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


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


def saving(registry: Registry, place: Path) -> None:
    save(place / "b")


WORKS = [importing, registering, promoting, rolling_back, mending, counting, removing]


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


class Nursery:
    """The process that has the children, seen from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def finishes(self, work: Callable[[Registry, Path], None], place: Path, *, dies_at: int) -> bool:
        """Do `work` in a child that is gone, without any clean-up, before step `dies_at`; whether it came to its end.

        A work that is refused has come to its end as well: an earlier child did it.
        """
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None and told is not None
        asked.write(json.dumps([work.__name__, dies_at, str(place)]) + "\n")
        asked.flush()
        code = int(told.readline())
        assert code in (0, DIED), f"{work.__name__} ended with {code} at step {dies_at}"
        return code == 0


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, which is killed at the end with whatever child it still has."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.registry.dying"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        start_new_session=True,
    ) as process:
        try:
            yield Nursery(process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _child(name: str, at: int, place: Path) -> None:
    """Never returns."""
    code = 1
    try:
        with stopping(at, lambda: os._exit(DIED)):
            globals()[name](open_registry(str(place / "registry")), place)
        code = 0
    except KalshiRayError:
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "b")  # kernels are loaded once, and not by each child
    for line in sys.stdin:
        threads = len(os.listdir("/proc/self/task"))
        assert threads == 1, f"{threads} threads cannot be forked safely"
        child = os.fork()
        if not child:
            _child(*json.loads(line)[:2], Path(json.loads(line)[2]))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"{code}\n".encode())  # a line at once, however standard output is buffered


if __name__ == "__main__":
    _main()
