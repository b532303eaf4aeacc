"""The command line: how long it takes to say anything, and the whole quickstart with nothing cached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.figures import Figure, Measured
from bench.machine import called

COMMAND = str(Path(sys.executable).with_name("kalshi-ray"))


def help_start() -> Measured:
    """Seconds from the shell to the end of --help."""
    spent = called(lambda: subprocess.run([COMMAND, "--help"], capture_output=True, check=True))
    return Measured(spent.median, note=f"best {spent.best:.2f}")


@dataclass(frozen=True)
class Run:
    """One quickstart."""

    seconds: float  # from the shell to its end
    steps: int  # of training
    told: dict[str, Any]  # its --json


@cache
def quickstart() -> Run:
    """Run it in a fresh folder, with no compiled kernel and no session."""
    with tempfile.TemporaryDirectory(prefix="kalshi-ray-quickstart-") as folder:
        environ = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/kernels"}
        line = [COMMAND, "quickstart", "--folder", f"{folder}/quickstart", "--json"]
        began = time.perf_counter()
        done = subprocess.run(line, capture_output=True, text=True, env=environ, cwd=folder, check=False)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"quickstart ended with {done.returncode}: {done.stderr.strip()[-600:]}")
        [progress] = Path(folder).glob("quickstart/runs/*/progress.jsonl")
        last = json.loads(progress.read_text(encoding="utf-8").splitlines()[-1])
        return Run(seconds, int(last["steps"]), json.loads(done.stdout))


def quickstart_seconds() -> Measured:
    """From the shell to the last line, compilation included."""
    run = quickstart()
    parts = ", ".join(f"{name} {took:.1f}" for name, took in run.told["seconds"].items())
    return Measured(run.seconds, note=parts)


def quickstart_steps() -> Measured:
    """Training steps of that run."""
    run = quickstart()
    return Measured(run.steps, note=f"{run.steps / run.told['seconds']['train']:,.0f}/s, compilation included")


def quickstart_share() -> Measured:
    """The trained policy's share of the oracle's edge: full cost, markets it never saw."""
    edges = {policy["role"]: policy["figures"]["edge"] for policy in quickstart().told["policies"]}
    mine, best = (edges[role]["per_market"]["mean"] for role in ("judged", "oracle"))
    return Measured(edges["judged"]["share_of_oracle"], note=f"${mine:.2f} a market, the oracle ${best:.2f}")


FIGURES = [
    Figure(name="kalshi-ray --help", unit="s", measure=help_start, ceiling=0.5),
    Figure(name="quickstart, nothing cached", unit="s", measure=quickstart_seconds, ceiling=150.0, long=True),
    Figure(name="quickstart, training steps", unit="steps", measure=quickstart_steps, floor=1e6, long=True),
    Figure(name="quickstart, share of the oracle's edge", unit="", measure=quickstart_share, floor=0.4, long=True),
]
