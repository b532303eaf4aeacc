"""The folder of a run: a crash at any moment leaves whole files and whole lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.errors import ConfigError, DataError
from kalshi_ray.train.folder import PROGRESS, RESULT, RunFolder, owns, require_unused


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "r")
    made.make()
    return made


@given(cut=st.integers(0, 60))
def test_a_line_that_a_crash_cut_short_is_left_out_and_the_rest_stays(tmp_path_factory, cut: int) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("r"))
    for steps in (1, 2, 3):
        folder.append(PROGRESS, {"steps": steps})
    path = folder.path / PROGRESS
    raw = path.read_bytes()[: min(cut, 39)]
    path.write_bytes(raw)
    whole = raw.count(b"}")
    assert [line["steps"] for line in folder.lines(PROGRESS)] == [1, 2, 3][:whole]
    folder.cut(10)
    assert path.read_bytes() == b"".join(b'{"steps":%d}\n' % steps for steps in range(1, whole + 1))


def test_what_comes_after_a_point_is_dropped_from_every_file_of_lines(folder: RunFolder) -> None:
    for name in (PROGRESS, "validation.jsonl", "alerts.jsonl"):
        for steps in (10, 20, 30):
            folder.append(name, {"steps": steps})
    folder.cut(20)
    assert all([line["steps"] for line in folder.lines(path.name)] == [10, 20] for path in folder.path.glob("*.jsonl"))


def test_the_next_start_removes_what_a_killed_run_left_unfinished(folder: RunFolder) -> None:
    (folder.checkpoints / "step-000000000005.partial").mkdir()
    (folder.checkpoints / "step-000000000005.partial" / "half").write_bytes(b"x")
    (folder.path / "bundle.partial").mkdir()
    (folder.path / "settings.json.partial").write_bytes(b"{")
    folder.write(RESULT, {"status": "failed"})
    folder.make()
    assert sorted(path.name for path in folder.path.rglob("*")) == ["checkpoints"]


def test_a_file_is_replaced_whole(folder: RunFolder) -> None:
    folder.write(RESULT, {"status": "failed"})
    folder.write(RESULT, {"status": "finished"})
    assert json.loads((folder.path / RESULT).read_bytes()) == {"status": "finished"} == folder.read(RESULT)
    (folder.path / RESULT).write_bytes(b"{")
    with pytest.raises(DataError, match=r"result.json cannot be read"):
        folder.read(RESULT)


def test_a_folder_that_holds_anything_is_refused_unless_it_is_the_run_to_go_on_with(folder: RunFolder) -> None:
    require_unused(folder.path.parent / "nothing")
    inside = folder.checkpoints / "step-000000000001"
    inside.mkdir()
    for other in (None, folder.path.parent / "nothing"):
        with pytest.raises(ConfigError, match="holds a run already"):
            require_unused(folder.path, other)
    for own in (folder.path, inside):
        require_unused(folder.path, own)
        assert owns(folder.path, own)
    assert not owns(inside, folder.path)


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write"):
        RunFolder(tmp_path / "file" / "r").make()
