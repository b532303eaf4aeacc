"""The folder of a run has one writer at a time, and a writer that dies gives it back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from kalshi_ray import telemetry
from kalshi_ray.cli.app import run
from kalshi_ray.data.owner import Owner
from kalshi_ray.errors import ConfigError, DataError, RunBusy
from kalshi_ray.train.holding import LOCK, held, holder_of, require_free
from kalshi_ray.train.phases import set_aside
from kalshi_ray.train.run import train
from kalshi_ray.train.runs import RunRecord
from kalshi_ray.train.settings import TrainSettings
from tests.train.toy import ToySource

HOLDER = """
import sys
from pathlib import Path
from kalshi_ray.train.holding import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the folder until it is told to go on, at most for a minute."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.communicate(timeout=60)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_another_process_holds_is_refused_by_its_name_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with other_process(folder) as process:
        before = contents(folder)
        for attempt in (
            lambda: train(TrainSettings(), ToySource(), run_dir=folder),
            lambda: train(TrainSettings(), ToySource(), run_dir=folder, resume_from=folder),
            lambda: require_free(folder),
            lambda: set_aside(folder),
        ):
            with pytest.raises(RunBusy) as refused:
                attempt()
            said = str(refused.value)
            assert (
                f"run folder {folder} is being written by process {process.pid} on {socket.gethostname()} since 20"
                in said
            )
        assert contents(folder) == before and list(before) == [LOCK]
        assert RunRecord("r", folder, now=0.0).status == "running"
    assert not folder.exists(), "nothing came into it"


def test_at_the_command_line_it_is_one_line_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "r"
    with held(folder):
        line = ["train", "--session", "nowhere", "--run", "r", "--runs", str(tmp_path / "runs")]
        for more in ([], ["--resume-from", str(folder)]):
            assert run([*line, *more]) == 1
            error = capsys.readouterr().err
            assert f"is being written by process {os.getpid()} on " in error and error.count("\n") == 1


def test_a_folder_whose_holder_was_killed_is_taken_over_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure()
    with other_process(tmp_path / "r") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    folder = tmp_path / "r"
    left = holder_of(folder)
    assert left is not None and left.pid == process.pid and left.is_dead
    assert RunRecord("r", folder, now=0.0).status == "killed"
    require_free(folder)
    with held(folder):
        now = holder_of(folder)
        assert now is not None and now.pid == os.getpid()
    said = capsys.readouterr().err
    assert "train.folder.taken_over" in said and f"process {process.pid} on" in said
    assert contents(folder) == {}


def test_a_run_that_is_refused_leaves_no_lock_and_no_folder(tmp_path: Path) -> None:
    """Whoever comes next finds what was there before."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds a run already"), held(tmp_path / "full"):
        from kalshi_ray.train.folder import require_unused

        require_unused(tmp_path / "full")
    assert contents(tmp_path / "full") == {"notes.txt": b"mine"}
    with pytest.raises(ValueError), held(tmp_path / "deep" / "r"):
        raise ValueError
    assert not (tmp_path / "deep" / "r").exists()


def test_of_many_who_want_a_folder_at_once_one_has_it(tmp_path: Path) -> None:
    """Also while holders come and go, and remove the folder behind them."""
    folder, start = tmp_path / "r", threading.Barrier(8)
    inside, most, had, refused = 0, 0, 0, 0
    count = threading.Lock()

    def want() -> None:
        nonlocal inside, most, had, refused
        start.wait()
        for _ in range(50):
            try:
                with held(folder):
                    with count:
                        inside, had = inside + 1, had + 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
            except RunBusy:
                with count:
                    refused += 1

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and had + refused == 400 and had > 0 and refused > 0
    assert not folder.exists() or contents(folder) == {}


def test_a_process_of_another_machine_cannot_be_asked_and_is_not_taken_for_dead(tmp_path: Path) -> None:
    """There the times of its files say whether it runs; the lock itself is the kernel's."""
    (tmp_path / LOCK).write_bytes(msgspec.json.encode(Owner(host="elsewhere", pid=1, birth=1)))
    require_free(tmp_path)
    assert RunRecord("r", tmp_path, now=0.0).status == "running"
    assert RunRecord("r", tmp_path, now=1e12).status == "killed"


@pytest.mark.parametrize("name", ["file", "file/r", "nowhere", "nowhere/r"])
def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(DataError, match="cannot write"), held(tmp_path / name):
        pass


def test_a_folder_that_goes_while_it_is_asked_for_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mkdir` finds it and then looks whether it is a folder: in between its last owner may have removed it."""
    folder = tmp_path / "r"
    folder.mkdir()
    is_dir = Path.is_dir

    def looks_too_late(path: Path) -> bool:
        if path == folder:
            folder.rmdir()
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", looks_too_late)
    with held(folder):
        assert holder_of(folder) is not None
