"""Collected sessions at a terminal: made anew from raw lines; finished, or deleted, with their spool after a crash."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.schema import UPDATES, Manifest
from tests.cli.test_keeping import Terminal
from tests.collect.collected import NAME, Collector
from tests.collect.test_rebuild import surface_of
from tests.data.stores import bury
from tests.exchange.simulator.serving import A, B

Say = Callable[..., str]


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    """A collector of two markets in the middle of its work: some parts are stored, the rest is in the spool."""
    found = Collector(surface_of(1, 400), tmp_path)
    found.open(A, B)
    found.wait(2.5)
    return found


@pytest.fixture
def crashed(collector: Collector) -> Collector:
    """One whose process died."""
    collector.kill()
    return collector


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command of `sessions` on the store and give what it printed, on both streams."""

    def run_it(*words: str, code: int = 0) -> str:
        assert run(["sessions", *words, "--store", str(tmp_path / "store")]) == code
        return "".join(capsys.readouterr())

    return run_it


@pytest.fixture
def answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The same with --json, decoded."""

    def run_it(*words: str, code: int = 0) -> Any:
        assert run(["sessions", *words, "--store", str(tmp_path / "store"), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return run_it


def test_a_session_made_from_raw_lines_is_the_recorded_one(
    collector: Collector, say: Say, answer: Callable[..., Any], tmp_path: Path
) -> None:
    session = collector.finish()
    assert "equal to what was recorded" in say("copy", NAME, "--source", "raw", "--as", "again")
    assert collector.store.open("again").checksum == session.checksum
    made = answer("copy", NAME, "--source", "raw", "--to", str(tmp_path / "there"))
    assert made["is_equal"] and made["session"] == NAME and made["updates"] == session.manifest.updates
    assert "equal" in say("verify", "again", "--source", "raw")


def test_the_first_row_that_differs_from_its_raw_lines_is_named(collector: Collector, say: Say) -> None:
    session = collector.finish()
    with collector.store.writer("other", manifest=Manifest(id="other", source="collect")) as writer:
        writer.add_markets(session.markets())
        writer.describe(grids=session.manifest.grids)
        for number, name in enumerate(session.raw_parts):
            writer.put_raw(number, session.raw_part(name))
        table = session.updates()
        sizes = table.column("size").to_pylist()
        at = table.column("kind").to_pylist().index(Kind.DELTA)
        sizes[at] += 1
        column = table.schema.get_field_index("size")
        writer.write_part(0, table.set_column(column, UPDATES.field(column), [sizes]))
        writer.commit()
    assert f"not what its raw lines make: other, row {at:,}, size" in say("verify", "other", "--source", "raw", code=1)
    told = say("copy", "other", "--source", "raw", "--as", "again")
    assert "NOT what was recorded" in told and "sessions verify other --source raw" in told


def test_without_raw_lines_one_clear_line(tmp_path: Path, say: Say, answer: Callable[..., Any]) -> None:
    collector = Collector(surface_of(1, 50), tmp_path, raw=False)
    collector.open(A)
    collector.wait(0.5)
    collector.finish()
    for words in (("verify", NAME), ("copy", NAME, "--as", "again")):
        told = say(*words, "--source", "raw", code=2)
        assert told.startswith(f"error: session '{NAME}' kept no raw lines") and told.count("\n") == 1
    assert collector.store.ids() == [NAME]
    [check] = answer("verify", "--all", "--source", "raw")["sessions"]
    assert check["state"] == "no raw lines"


def test_recovering_keeps_every_row_of_the_spool_and_says_what_was_cut(
    crashed: Collector, say: Say, answer: Callable[..., Any]
) -> None:
    spool = crashed.folder / "spool"
    problem = answer("list")["sessions"][0]["problem"]
    assert f"Go on with kalshi-ray collect {NAME}" in problem and str(spool) in problem
    waiting = crashed.kept_rows - crashed.store.summary(NAME).rows
    assert waiting > 0
    journal = max(spool.glob("*.rows"))
    with journal.open("ab") as stream:
        stream.write(b"half a block")
    told = say("recover", NAME)
    assert "12 bytes of rows and 0 of raw lines" in told
    assert f"{waiting:,} rows of them came from {spool}" in told
    assert not spool.exists()
    assert crashed.store.open(NAME).manifest.updates - crashed.kept_rows in (0, 1)  # perhaps a gap at its end
    assert "equal" in say("verify", NAME, "--source", "raw")


def test_a_spool_on_another_machine_is_named_and_given_up_only_when_told(
    crashed: Collector, say: Say, answer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = crashed.store.summary(NAME).rows
    bury(crashed.store, NAME)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    told = say("recover", NAME, code=2)
    assert "/spool is on " in told and "--without-spool finishes the session with what the store has" in told
    assert answer("list")["sessions"][0]["problem"].endswith(": go on there")
    assert f"{stored:,} updates of 2 markets are whole" in say("recover", NAME, "--without-spool")


def test_a_spool_that_is_gone_is_told_of(crashed: Collector, say: Say, answer: Callable[..., Any]) -> None:
    stored = crashed.store.summary(NAME).rows
    shutil.rmtree(crashed.folder / "spool")
    assert "is gone, and with it what was not in the store" in answer("list")["sessions"][0]["problem"]
    assert "on this machine is gone. --without-spool finishes" in say("recover", NAME, code=2)
    assert f"{stored:,} updates of 2 markets" in say("recover", NAME, "--without-spool")


def test_a_spool_that_is_given_up_stays(crashed: Collector, say: Say) -> None:
    spool = crashed.folder / "spool"
    assert f"{spool} stays" in say("recover", NAME, "--without-spool")
    assert list(spool.glob("*.rows"))


def test_deleting_tells_of_the_spool_and_removes_it(
    crashed: Collector, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, stored, rows = crashed.folder / "spool", crashed.store.summary(NAME).rows, crashed.kept_rows
    told = say("delete", NAME, code=2)
    assert f"and {rows - stored:,} rows more in" in told and str(spool) in told
    assert told.endswith(f"Delete it with --rows {rows}\n")
    told = say("delete", NAME, "--rows", str(stored), code=2)
    assert f"holds {stored:,} updates and {rows - stored:,} in its spool, not {stored:,}: nothing was deleted" in told
    assert list(spool.glob("*.rows")) and crashed.store.ids() == [NAME]
    monkeypatch.setattr("kalshi_ray.cli.keeping._is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", Terminal(f"{NAME}\n"))
    assert f"deleted {NAME}" in say("delete", NAME)
    assert not spool.exists() and crashed.store.ids() == []


def test_a_session_that_is_being_collected_is_neither_recovered_nor_deleted(collector: Collector, say: Say) -> None:
    rows = collector.store.summary(NAME).rows
    assert "is being written by" in say("recover", NAME, code=1)
    assert "is being written by" in say("delete", NAME, "--rows", str(rows), code=1)
    collector.finish()
