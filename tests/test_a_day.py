"""The day of docs/collecting.md, line by line as it stands there: from a simulated exchange to a report."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from kalshi_ray.collect.rebuild import compare_with_raw
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.exchange.warm import warm_feed
from tests.test_docs import ROOT

PAGE = ROOT / "docs" / "collecting.md"
DAY = re.compile(r"<!-- a day -->\n```bash\n(?P<lines>.*?)```", re.DOTALL)
MOST_S = 400.0  # on a busy machine
STAGES = ("collect", "sessions validate", "sessions analyze", "train", "evaluate")


def lines() -> str:
    """The commands of the day."""
    [found] = DAY.findall(PAGE.read_text(encoding="utf-8"))
    return str(found)


def begin(folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Run the day in a folder, each command as it stands, up to the first that fails."""
    (folder / "jobs").symlink_to(ROOT / "jobs")
    (folder / "bin").mkdir()
    program = folder / "bin" / "kalshi-ray"
    start = f"exec {shlex.quote(sys.executable)} -c 'from kalshi_ray.cli import main; main()' \"$@\""
    program.write_text(f"#!/bin/sh\n{start}\n")
    program.chmod(0o755)
    with (folder / "told.txt").open("w") as told:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", lines()],
            cwd=folder,
            env={**os.environ, **variables, "PATH": f"{program.parent}:{os.environ['PATH']}"},
            stdout=told,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@dataclass
class Day:
    """A day that was begun."""

    folder: Path
    store: SessionStore
    process: subprocess.Popen[str]

    def told(self) -> str:
        """What it printed, once it is over."""
        code = self.process.wait(MOST_S)
        told = (self.folder / "told.txt").read_text()
        assert code == 0, told[-5_000:]
        return told


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Day]]:
    """A day on each kind of store, both at once: most of it is waiting."""
    warm_feed()  # or the exchange would be over before a collector of a busy machine had compiled its own
    begun, environment = {}, pytest.MonkeyPatch()
    for name in [name for name in os.environ if name == "DATABASE_URL" or name.startswith("KALSHI_RAY_")]:
        environment.delenv(name)
    folder = tmp_path_factory.mktemp("folder")
    begun["folder"] = Day(folder, open_store(str(folder / "store")), begin(folder))
    with contextlib.suppress(ImportError):
        from tests.data.postgres import fresh_url

        folder, url = tmp_path_factory.mktemp("postgres"), fresh_url()
        begun["postgres"] = Day(folder, open_store(url), begin(folder, DATABASE_URL=url))
    environment.undo()
    yield begun
    for day in begun.values():
        with contextlib.suppress(ProcessLookupError):  # what a day left running would be of its group
            os.killpg(day.process.pid, signal.SIGKILL)
        day.process.wait()


def check_store(store: SessionStore) -> None:
    session = store.open("monday")
    manifest = session.manifest
    assert (manifest.source, manifest.environment, manifest.markets) == ("collect", "simulated", 24)
    assert manifest.kinds["DELTA"] > 5_000 and manifest.kinds["TRADE"] > 10
    assert manifest.kinds["SETTLEMENT"] == 24
    assert compare_with_raw(session) is None


def check_work(folder: Path, told: str) -> None:
    assert "updates checked" in told and "suitable markets      24" in told
    assert (folder / "runs" / "first" / "bundle").is_dir()
    assert not list(folder.glob("**/spool/*"))
    report = msgspec.json.decode((folder / "reports" / "first" / "report.json").read_bytes())
    [judged] = [policy for policy in report["policies"] if policy["role"] == "judged"]
    assert report["data"]["session"] == "monday" and report["data"]["markets"] == 12
    assert judged["by_model"][0]["counts"]["decisions"] > 200
    assert (folder / "reports" / "first" / "report.html").is_file()


def test_the_day_is_one_command_a_stage() -> None:
    commands = re.findall(r"^kalshi-ray (.*)$", lines(), re.MULTILINE)
    for stage in STAGES:
        assert sum(command.startswith(stage) for command in commands) == 1, stage


@pytest.mark.ray
@pytest.mark.parametrize("kind", ["folder", "postgres"])
def test_a_day_from_the_exchange_to_a_report(kind: str, days: dict[str, Day]) -> None:
    if kind not in days:
        pytest.skip("needs a PostgreSQL that the tests can start")
    day = days[kind]
    told = day.told()
    check_store(day.store)
    check_work(day.folder, told)
    assert (day.folder / "store").exists() is (kind == "folder")
