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

HERE = Path(__file__)
INNER = np.dtype([("size", np.int64), ("flags", np.uint8)], align=True)
OUTER = np.dtype([("dtype_number", np.int32), ("item", INNER), ("slots", INNER, 2)], align=True)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The core of a package that is taken for this one: `a` imports `b`, and `b` imports `c`."""
    core = tmp_path / "package" / "core"
    core.mkdir(parents=True)
    (core / "jit.py").write_text("x = 1\n")
    (core / "a.py").write_text("def f():\n    from kalshi_ray.core.b import (\n        x,\n    )\n    return x\n")
    (core / "b.py").write_text("from kalshi_ray.core import c, jit\nfrom kalshi_ray.errors import DataError\n")
    (core / "c.py").write_text("import numpy\n")
    (core / "d.py").write_text("from kalshi_ray.core.a import f\n")
    (core.parent / "errors.py").write_text("")
    monkeypatch.setattr(jit, "__file__", str(core / "jit.py"))
    monkeypatch.setattr(jit, "_imported", jit._imported.__wrapped__)
    return core


@pytest.mark.parametrize("name", ["a", "b", "c", "jit"])
def test_an_edit_of_a_source_or_of_what_it_imports_in_the_end_gives_another_digest(sources: Path, name: str) -> None:
    before = sources_digest.__wrapped__(sources / "a.py")
    assert sources_digest.__wrapped__(sources / "a.py") == before
    with (sources / f"{name}.py").open("a") as stream:
        stream.write("y = 2\n")
    assert sources_digest.__wrapped__(sources / "a.py") != before


@pytest.mark.parametrize("name", ["d", "../errors"])
def test_an_edit_of_what_a_source_does_not_import_recompiles_nothing(sources: Path, name: str) -> None:
    before = sources_digest.__wrapped__(sources / "a.py")
    (sources / f"{name}.py").write_text("y = 2\n")
    assert sources_digest.__wrapped__(sources / "a.py") == before


def test_every_module_whose_kernels_another_one_calls_is_among_its_sources() -> None:
    package = Path(jit.__file__).parent.parent
    assert {package / "core" / f"{name}.py" for name in ("actions", "matching", "units")} <= _reached(
        package / "env" / "kernel.py"
    )


def _reached(source: Path) -> set[Path]:
    found, waiting = set(), [source]
    while waiting:
        if (path := waiting.pop()) not in found:
            found.add(path)
            waiting.extend(jit._imported(path))
    return found


def test_the_cache_is_where_numba_is_told_and_named_by_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_folder.__wrapped__(HERE) == tmp_path / "chosen" / "kernels" / sources_digest(HERE)


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder.__wrapped__(HERE).is_relative_to(tmp_path / "home")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "file")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "system"))
    assert cache_folder.__wrapped__(HERE).is_relative_to(tmp_path / "system" / f"kalshi_ray-{os.getuid()}")


def test_without_a_writable_folder_the_error_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match=r"no folder for compiled kernels is writable.*set NUMBA_CACHE_DIR"):
        cache_folder.__wrapped__(HERE)


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
