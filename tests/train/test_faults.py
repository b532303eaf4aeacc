"""Faults: processes that die, code that fails, signals to the whole group, and kill -9 at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.errors import DataError
from kalshi_ray.registry import load_bundle
from kalshi_ray.train.algorithm import MarketPPO
from kalshi_ray.train.checkpoints import list_checkpoints, steps_of
from kalshi_ray.train.progress import read_progress
from kalshi_ray.train.ray_session import RaySettings, ray_session
from tests.train.runs import BATCH, run
from tests.train.toy import ToyRows, ToySource

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]

ONE_RUN = """
import sys
from pathlib import Path
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.train.ray_session import RaySettings, ray_session
from tests.train.runs import BATCH, run

if __name__ == "__main__":
    folder, batches, runners = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resume = folder if (folder / "checkpoints").is_dir() and any((folder / "checkpoints").glob("step-*")) else None
    if resume is None and folder.exists():
        import shutil
        shutil.rmtree(folder)
    with ray_session(RaySettings(address="local", cpus=max(1, runners), store_mib=100)):
        result = run(folder, batches=batches, save_freq=BATCH, keep=2, runners=runners, resume_from=resume,
                     progress=lambda *line: print(line[1], flush=True))
    sys.exit(result.exit_code)
"""


def pids(algorithm: MarketPPO) -> list[int]:
    """Of the remote runners that live."""
    found = algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
    return [int(pid) for pid in found]


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("victims", [1, pytest.param(2, marks=pytest.mark.slow)], ids=["one-of-two", "both"])
def test_a_killed_runner_is_replaced_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victims: int
) -> None:
    seen: list[MarketPPO] = []
    before = MarketPPO.setup

    def setup(self: MarketPPO, config: Any) -> None:
        seen.append(self)
        before(self, config)

    monkeypatch.setattr(MarketPPO, "setup", setup)
    killed: list[int] = []

    def kill(label: str, done: int, total: int) -> None:
        """Kill after two updates, and end the run with the second update after they have come back."""
        if done >= 2 * BATCH and not killed:
            killed.extend(pids(seen[0])[:victims])
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        told = [line["restarts"] for line in read_progress(tmp_path / "r" / "progress.jsonl")]
        if told[-2:] == [victims, victims]:
            os.kill(os.getpid(), signal.SIGTERM)

    result = run(tmp_path / "r", batches=10_000, runners=2, progress=kill)
    lines = read_progress(result.run_dir / "progress.jsonl")
    assert len(killed) == victims and result.status == "stopped"
    assert lines[0]["restarts"] == 0.0 and lines[-1]["restarts"] == victims
    shares = [line["cost_share"] for line in lines]
    assert shares == sorted(shares)  # the one that came back knows how far the run is


class Fails(ToySource):
    """Rows whose step fails after a while."""

    def make(self, rows: int, seed: int) -> ToyRows:
        return _FailingRows(rows, seed, self.length)


class _FailingRows(ToyRows):
    made = 0

    def step_into(self, actions: Any, batch: Any) -> None:
        self.made += 1
        if self.made > 100:
            raise IndexError("row 7 is not there")
        super().step_into(actions, batch)


class Lies(ToySource):
    """Rows whose reward is no number after a while."""

    def make(self, rows: int, seed: int) -> ToyRows:
        return _LyingRows(rows, seed, self.length)


class _LyingRows(_FailingRows):
    def step_into(self, actions: Any, batch: Any) -> None:
        self.made += 1
        ToyRows.step_into(self, actions, batch)
        if self.made > 100:
            batch.reward[3] = np.nan


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize(
    ("source", "runners", "message"),
    [
        (Fails(length=100), 2, r"env runner \d failed in step_into .*IndexError: row 7 is not there"),
        (Lies(length=100), 1, r"reward of row 3 is nan at step [\d,]+ of the run"),
    ],
)
def test_what_fails_in_a_remote_runner_ends_the_run_with_its_words(
    tmp_path: Path, source: ToySource, runners: int, message: str
) -> None:
    """Restarted it would fail again, for ever. The last good checkpoint stays."""
    with pytest.raises(DataError, match=message):
        run(tmp_path / "r", batches=20, runners=runners, save_freq=BATCH, source=source)
    said = json.loads((tmp_path / "r" / "result.json").read_bytes())
    kept = list_checkpoints(tmp_path / "r" / "checkpoints")
    assert said["status"] == "failed" and said["checkpoint"] == str(kept[-1])


@contextmanager
def started(folder: Path, *, runners: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A long run in a process and a process group of its own, which prints its steps; what is left is killed."""
    with (
        open(folder.parent / "said", "w") as said,  # no pipe: nobody reads it before the end
        subprocess.Popen(
            [sys.executable, "-c", ONE_RUN, str(folder), "10000", str(runners)],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
            cwd=ROOT,
        ) as program,
    ):
        try:
            yield program
        finally:
            if program.returncode is None:
                os.killpg(program.pid, signal.SIGKILL)


def wait_for(program: subprocess.Popen[str], steps: int) -> int:
    """Read what a run prints until it has made so many steps; the last number that it said."""
    assert program.stdout is not None
    said = 0
    for line in program.stdout:
        said = int(line)
        if said >= steps:
            break
    return said


@pytest.mark.parametrize(
    ("number", "code", "runners"),
    [(signal.SIGINT, 130, 2), pytest.param(signal.SIGTERM, 143, 0, marks=pytest.mark.slow)],
    ids=["ctrl-c", "sigterm"],
)
def test_a_signal_ends_a_run_in_a_process_of_its_own_with_a_bundle(
    tmp_path: Path, number: signal.Signals, code: int, runners: int
) -> None:
    """A terminal sends Ctrl-C to the whole group: the remote runners must not die of it."""
    with started(tmp_path / "r", runners=runners) as program:
        wait_for(program, 2 * BATCH)
        (os.killpg if number == signal.SIGINT else os.kill)(program.pid, number)
        program.communicate()
    err = (tmp_path / "said").read_text()
    assert program.returncode == code, err
    assert "stopping after this update" in err
    said = json.loads((tmp_path / "r" / "result.json").read_bytes())
    assert said["status"] == "stopped" and load_bundle(said["bundle"]).manifest.metrics["steps"] == said["steps"]
    assert steps_of(Path(said["checkpoint"])) == said["steps"] >= 2 * BATCH


def killed_once(folder: Path, after: int, pause: float) -> tuple[int, int]:
    """Start or resume a run, kill it -9 a moment after it has said `after` steps; (steps said, steps that are safe)."""
    with started(folder) as program:
        said = wait_for(program, after)
        time.sleep(pause)
        os.kill(program.pid, signal.SIGKILL)
        program.communicate()
    kept = list_checkpoints(folder / "checkpoints")
    return said, steps_of(kept[-1]) if kept else 0


@pytest.mark.usefixtures("shared_ray")
def test_kill_9_loses_at_most_what_no_checkpoint_holds_and_the_run_goes_on(tmp_path: Path) -> None:
    said, safe = killed_once(tmp_path / "r", 3 * BATCH, 0.0)
    assert said - BATCH <= safe and not (tmp_path / "r" / "result.json").exists()
    result = run(tmp_path / "r", batches=safe // BATCH + 2, save_freq=BATCH, keep=2, resume_from=tmp_path / "r")
    assert result.status == "finished"
    lines = [line["steps"] for line in read_progress(tmp_path / "r" / "progress.jsonl")]
    assert lines == sorted(set(lines)) and lines[-1] == safe + 2 * BATCH
    assert not list(tmp_path.rglob("*.partial"))
    assert load_bundle(tmp_path / "r" / "bundle").manifest.metrics["steps"] == lines[-1]


@pytest.mark.slow
def test_kill_9_at_random_moments_never_leaves_anything_half_written(tmp_path: Path) -> None:
    draws, safe = np.random.default_rng(0), 0
    for _ in range(6):
        said, now = killed_once(tmp_path / "r", safe + 2 * BATCH, float(draws.uniform(0.0, 0.1)))
        assert now >= said - BATCH >= safe
        safe = now
    with ray_session(RaySettings(address="local", cpus=1, store_mib=100)):
        result = run(tmp_path / "r", batches=safe // BATCH + 1, save_freq=BATCH, resume_from=tmp_path / "r")
    assert result.status == "finished"
