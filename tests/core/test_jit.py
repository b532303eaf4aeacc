"""Compiled kernels: where they are cached, when they are compiled anew, and how plain runs read records."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numba.core import config, types

from kalshi_ray.core import jit
from kalshi_ray.core.jit import COMPILED, FieldsFirst, as_rows, cache_folder, kernel, read_only, sources_digest

INNER = np.dtype([("size", np.int64), ("flags", np.uint8)], align=True)
OUTER = np.dtype([("dtype_number", np.int32), ("item", INNER), ("slots", INNER, 2)], align=True)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of one kernel module, taken for this one."""
    module = tmp_path / "package" / "core" / "jit.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    monkeypatch.setattr(jit, "__file__", str(module))
    return module


def test_an_edit_of_any_source_gives_another_digest(sources: Path) -> None:
    before = sources_digest.__wrapped__()
    assert sources_digest.__wrapped__() == before
    sources.write_text("x = 2\n")
    edited = sources_digest.__wrapped__()
    (sources.parent / "another.py").write_text("")
    assert len({before, edited, sources_digest.__wrapped__()}) == 3


def test_the_cache_is_where_numba_is_told_and_named_by_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_folder.__wrapped__() == tmp_path / "chosen" / "kernels" / sources_digest()


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder.__wrapped__().is_relative_to(tmp_path / "home")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "file")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "system"))
    assert cache_folder.__wrapped__().is_relative_to(tmp_path / "system" / f"kalshi_ray-{os.getuid()}")


def test_without_a_writable_folder_the_error_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match=r"no folder for compiled kernels is writable.*set NUMBA_CACHE_DIR"):
        cache_folder.__wrapped__()


def test_a_kernel_leaves_the_cache_setting_as_it_was() -> None:
    before = config.CACHE_DIR
    doubled = kernel(_double)
    assert before == config.CACHE_DIR
    assert hasattr(doubled, "py_func") == COMPILED
    assert doubled(21) == 42


def _double(x: int) -> int:
    return x * 2


def test_a_callee_is_compiled_alike_for_every_width_and_constant() -> None:
    seen = {jit._widened(kind) for kind in (types.int8, types.uint8, types.int32, types.int64, types.literal(3))}
    assert seen == {types.int64}
    assert jit._widened(types.uint64) == types.uint64
    assert jit._widened(types.float64) == types.float64
    assert jit._widened(types.boolean) == types.boolean
    found = jit._compile_alike(lambda *arguments: arguments, (types.int8,), {"slot": types.int32})
    assert found == ([types.int64], {"slot": types.int64})


def test_fields_win_over_the_attributes_of_numpys_scalars() -> None:
    """`size` and `flags` are attributes of every numpy scalar."""
    array = np.zeros(2, OUTER)
    array["item"]["size"], array["slots"]["size"] = 7, 9
    record = array.view(np.dtype((FieldsFirst, OUTER)))[1]
    assert record.item.size == 7
    assert record.slots[1].size == 9
    assert record.dtype.names == OUTER.names
    record.item.size = 8
    record.slots[0].flags = 3
    assert (array["item"]["size"][1], array["slots"]["flags"][1, 0]) == (8, 3)


def test_rows_are_views_of_the_same_memory() -> None:
    records, numbers = np.zeros(2, OUTER), np.zeros(2)
    assert np.shares_memory(as_rows(records), records)
    assert as_rows(numbers) is numbers
    if not COMPILED:
        assert as_rows(records)[0].item.flags == 0


def test_a_locked_array_cannot_be_written() -> None:
    array = np.zeros(3)
    assert read_only(array) is array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
