"""Going on after a stop: from the shell to the first new iteration of a resumed run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.contestants import ENV, PLANTED
from bench.figures import Figure, Measured
from bench.sessions import folder, session_of, store
from kalshi_ray.train.settings import TrainSettings

COMMAND = str(Path(sys.executable).with_name("kalshi-ray"))
BATCH = TrainSettings().resolved().batch
REPEATS = 3
PATIENCE_S = 300.0


def command(runs: Path) -> list[str]:
    """One iteration of `kalshi-ray train` with the preset `fast`."""
    options = {
        "--session": session_of(PLANTED).manifest.id,
        "--run": "resumed",
        "--store": store().url,
        "--runs": str(runs),
        "--total-timesteps": str(BATCH),
        "--eval-freq": "0",
        "--selection.min_quarters": "1",
        "--env.position_limit": str(ENV.position_limit),
        "--ray.address": "local",
    }
    return [COMMAND, "train", *(word for option in options.items() for word in option)]


def seconds_to_a_line(line: list[str], progress: Path) -> float:
    """Run a command to its end; the seconds until `progress` had one line more than before."""
    before = progress.read_bytes().count(b"\n") if progress.exists() else 0
    began, seen = time.perf_counter(), 0.0
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        while running.poll() is None and time.perf_counter() - began < PATIENCE_S:
            if not seen and progress.exists() and progress.read_bytes().count(b"\n") > before:
                seen = time.perf_counter() - began
            time.sleep(0.02)
        running.kill()
        assert running.stdout is not None
        said = running.stdout.read()
    if not seen or running.returncode:
        raise RuntimeError(f"{' '.join(line[:4])} … ended with {running.returncode}: {said.strip()[-600:]}")
    return seen


def resume() -> Measured:
    """The median of a few goings-on, one after another."""
    runs = Path(folder())
    run, line = runs / "resumed", command(runs)
    first = seconds_to_a_line(line, run / "progress.jsonl")
    again = [*line, "--resume-from", str(run)]
    taken = [seconds_to_a_line(again, run / "progress.jsonl") for _ in range(REPEATS)]
    return Measured(statistics.median(taken), note=f"best {min(taken):.1f}; a first start {first:.1f}")


FIGURES = [Figure(name="resume, to the first new iteration", unit="s", measure=resume, ceiling=15.0)]
