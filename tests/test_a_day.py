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
MOST_S = 400.0  # that a day takes on a busy machine
SLOWER = (5, 10)  # how many times as long the exchange of another day takes where a day was not recorded
SHARE = 0.6  # of what happened on the exchange, for a day to count as recorded
STAGES = ("collect", "sessions validate", "sessions analyze", "train", "evaluate")


def lines(slower: int = 1) -> str:
    """The commands of the day, of an exchange that takes so many times as long."""
    [found] = DAY.findall(PAGE.read_text(encoding="utf-8"))
    for word, paced in (("--speed 20", f"--speed {20 // slower}"), ("--duration 18", f"--duration {18 * slower}")):
        assert found.count(word) == 1
        found = found.replace(word, paced)
    return str(found)


def begin(folder: Path, slower: int, **variables: str) -> subprocess.Popen[str]:
    """Run the day in a folder, each command as it stands, up to the first that fails."""
    (folder / "jobs").symlink_to(ROOT / "jobs")
    (folder / "bin").mkdir()
    program = folder / "bin" / "kalshi-ray"
    start = f"exec {shlex.quote(sys.executable)} -c 'from kalshi_ray.cli import main; main()' \"$@\""
    program.write_text(f"#!/bin/sh\n{start}\n")
    program.chmod(0o755)
    with (folder / "told.txt").open("w") as told:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", lines(slower)],
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

    def was_late(self) -> bool:
        """Whether much of the exchange was over before anybody recorded it, once the day is: so it is on a machine
        that takes many seconds to start a program."""
        self.process.wait(MOST_S)
        return self._changes("monday") < SHARE * self._changes("flow")

    def _changes(self, name: str) -> int:
        is_there = name in self.store.ids() and self.store.summary(name).state == "finished"
        return self.store.open(name).manifest.kinds.get("DELTA", 0) if is_there else 0

    def told(self) -> str:
        """What it printed, once it is over."""
        code = self.process.wait(MOST_S)
        told = (self.folder / "told.txt").read_text()
        assert code == 0, told[-5_000:]
        return told


class Days:
    """A day on each kind of store, both at once: most of it is waiting. Leaving the block ends what still runs."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        warm_feed()  # which would take a part of each day
        self._factory = factory
        self._begun: list[Day] = []
        self._first = {"folder": self._begin("folder", 1)}
        with contextlib.suppress(ImportError):
            self._first["postgres"] = self._begin("postgres", 1)

    def day(self, kind: str) -> Day:
        """A day that is over and was recorded; of a slower exchange where the machine needs it."""
        if kind not in self._first:
            pytest.skip("needs a PostgreSQL that the tests can start")
        day = self._first[kind]
        for slower in SLOWER:
            if not day.was_late():
                break
            day = self._begin(kind, slower)
        return day

    def end(self) -> None:
        """End what still runs."""
        for day in self._begun:
            with contextlib.suppress(ProcessLookupError):  # what a day left running would be of its group
                os.killpg(day.process.pid, signal.SIGKILL)
            day.process.wait()

    def _begin(self, kind: str, slower: int) -> Day:
        folder, environment = self._factory.mktemp(kind), pytest.MonkeyPatch()
        url, variables = str(folder / "store"), dict[str, str]()
        if kind == "postgres":
            from tests.data.postgres import fresh_url

            url = variables["DATABASE_URL"] = fresh_url()
        for name in [name for name in os.environ if name == "DATABASE_URL" or name.startswith("KALSHI_RAY_")]:
            environment.delenv(name)
        day = Day(folder, open_store(url), begin(folder, slower, **variables))
        environment.undo()
        self._begun.append(day)
        return day


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    made = Days(tmp_path_factory)
    yield made
    made.end()


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
@pytest.mark.timeout(len(SLOWER) * MOST_S + MOST_S)
@pytest.mark.parametrize("kind", ["folder", "postgres"])
def test_a_day_from_the_exchange_to_a_report(kind: str, days: Days) -> None:
    day = days.day(kind)
    told = day.told()
    check_store(day.store)
    check_work(day.folder, told)
    assert (day.folder / "store").exists() is (kind == "folder")
