"""What the core tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def plain_run() -> Iterator[subprocess.Popen[str]]:
    """The scenario without compiled kernels, in a process of its own."""
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "-m", "tests.core.scenario"]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="session", autouse=True)
def _plain_run_begins_first(request: pytest.FixtureRequest) -> None:
    """It takes as long as a third of the core tests: where a core is free it runs beside them."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    if alone and any("plain_run" in item.fixturenames for item in request.session.items):  # type: ignore[attr-defined]
        request.getfixturevalue("plain_run")
