"""The command line: how long it takes to say anything, and the whole quickstart from nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import cache
from typing import Any

from bench.figures import Figure, Measured, in_turns, seconds

COMMAND = [sys.executable, "-c", "from kalshi_ray.cli import main; main()"]


def help_start() -> Measured:
    """Seconds from the shell to the end of --help."""
    [ours] = in_turns([lambda: seconds(lambda: subprocess.run([*COMMAND, "--help"], capture_output=True, check=True))])
    return Measured(ours)


@cache
def quickstart() -> dict[str, Any]:
    """One quickstart with nothing cached: no compiled kernel, no session."""
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/kernels"}
        line = [*COMMAND, "quickstart", "--folder", f"{folder}/quickstart", "--json"]
        began = time.perf_counter()
        done = subprocess.run(line, capture_output=True, check=True, env=environ)
        wall = time.perf_counter() - began
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"wall": wall}


def quickstart_seconds() -> Measured:
    """From the shell to the last line, compilation included."""
    found = quickstart()
    parts = ", ".join(f"{name} {took:.0f}" for name, took in found["seconds"].items())
    return Measured(found["wall"], note=parts)


def quickstart_share() -> Measured:
    """The trained policy's share of the oracle's edge at full cost on markets never seen."""
    judged = next(policy for policy in quickstart()["policies"] if policy["role"] == "judged")
    return Measured(judged["figures"]["edge"]["share_of_oracle"])


FIGURES = [
    Figure(name="kalshi-ray --help", unit="s", measure=help_start, ceiling=0.5),
    Figure(name="quickstart, nothing cached", unit="s", measure=quickstart_seconds, ceiling=150.0, long=True),
    Figure(name="quickstart, share of the oracle", unit="", measure=quickstart_share, floor=0.4, long=True),
]
