"""How often a test set was used is counted, by every process, and survives whatever stops one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.errors import DataError, UsageError
from kalshi_ray.registry import TestUse, digest_of, open_registry
from kalshi_ray.registry.uses import USES

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def use(**changes: Any) -> TestUse:
    given: dict[str, Any] = {
        "session": "highny", "checksum": "c" * 64, "tickers": digest_of(["A-1", "B-2"]), "policies": ("one",),
    }  # fmt: skip
    return TestUse(**(given | changes))


def test_a_use_says_how_often_the_set_was_used_before(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path), now=lambda: NOW)
    assert [registry.count_test_use(use()) for _ in range(3)] == [0, 1, 2]
    assert registry.count_test_use(use(session="the same under another name")) == 3
    assert registry.count_test_use(use(checksum="d" * 64)) == 0
    assert registry.count_test_use(use(tickers=digest_of(["A-1"]))) == 0


def test_the_order_of_the_markets_is_no_difference() -> None:
    assert digest_of(["B", "A", "A"]) == digest_of(["A", "B"]) != digest_of(["AB"])


def test_sets_are_listed_with_the_models_that_saw_them(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path), now=lambda: NOW)
    for policies in (("one",), ("two", "one"), ("three",)):
        registry.count_test_use(use(policies=policies))
    registry.count_test_use(use(checksum="d" * 64))
    most, other = registry.test_sets()
    assert (most.uses, most.models, most.last) == (3, ("one", "two", "three"), NOW.isoformat())
    assert other.uses == 1
    assert len(registry.test_uses()) == 4


@pytest.mark.parametrize("name", ["session", "checksum", "tickers", "policies"])
def test_a_use_of_nothing_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"without {name}"):
        open_registry(str(tmp_path)).count_test_use(use(**{name: "" if name != "policies" else ()}))


def test_an_unreadable_list_of_uses_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / USES).write_text("{\n")
    with pytest.raises(DataError, match=USES):
        open_registry(str(tmp_path)).count_test_use(use())
    assert (tmp_path / USES).read_text() == "{\n"


COUNTING = """
import sys
from kalshi_ray.registry import TestUse, open_registry
registry = open_registry(sys.argv[1])
for number in range(10):
    print(registry.count_test_use(TestUse(session="s", checksum="c", tickers="t", policies=(sys.argv[2],))))
"""


def test_processes_that_count_at_once_lose_nothing(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", COUNTING, tmp_path, name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    counts = [int(line) for process in running for line in process.communicate()[0].split()]
    assert sorted(counts) == list(range(20))
