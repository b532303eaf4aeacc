"""Runs are read whatever state their folder is in: going on, ended, killed in the middle of a line, damaged."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.errors import UnknownName
from kalshi_ray.train.folder import PROGRESS, SETTINGS
from kalshi_ray.train.lines import ACTIONS
from kalshi_ray.train.progress import LINE_STEPS
from kalshi_ray.train.run_page import POINTS, comparison_page, run_page, thinned
from kalshi_ray.train.run_tables import action_table, bin_tables, comparison, tables_of
from kalshi_ray.train.runs import SILENT_S, RunRecord, find_runs, last_line, open_run
from tests.train.run_folders import tallies, write_run

NOW = 1_800_000_000.0  # s; all files of the runs below were written a second before


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "a", ended="finished", validated=[-1.0, 2.5, 1.5], alerts=2)
    write_run(root / "bb", preset="documents", learning_rate=2e-4)
    write_run(root / "ccc", ended="failed")
    write_run(root / "phased" / "dddd", ended="stopped")
    (root / "notes").mkdir()
    for path in root.rglob("*"):
        os.utime(path, (NOW - 1.0, NOW - 1.0))
    return root


def test_runs_are_found_with_phases_the_newest_last(root: Path) -> None:
    assert [run.name for run in find_runs(root, NOW)] == ["a", "bb", "ccc", "phased/dddd"]
    assert find_runs(root / "nowhere", NOW) == []


def test_a_run_says_how_it_ended_and_else_whether_it_still_writes(root: Path) -> None:
    status = {run.name: run.status for run in find_runs(root, NOW)}
    assert status == {"a": "finished", "bb": "running", "ccc": "failed", "phased/dddd": "stopped"}
    later = NOW + 20 * SILENT_S
    assert open_run(root, "bb", later).status == "killed" and open_run(root, "a", later).status == "finished"


def test_a_summary_holds_the_best_validation_and_the_newest_line(root: Path) -> None:
    summary = open_run(root, "a", NOW).summary()
    assert (summary.best_validation, summary.alerts, summary.preset) == (2.5, 2, "fast")
    assert summary.steps == summary.of_steps == 6 * LINE_STEPS and summary.steps_per_s == LINE_STEPS
    assert summary.sessions == ["small"] and not summary.has_bundle


def test_a_run_is_opened_by_name_or_folder_and_an_unknown_one_lists_what_there_is(root: Path) -> None:
    assert open_run(root, "phased/dddd", NOW).status == "stopped"
    assert open_run(root / "elsewhere", str(root / "a"), NOW).name == "a"
    with pytest.raises(UnknownName, match=r"no run named 'aa'.*Known: phased/dddd, ccc, bb, a"):
        open_run(root, "aa", NOW)


def test_settings_that_differ_from_the_preset_are_named_and_those_of_the_preset_are_not(root: Path) -> None:
    assert set(open_run(root, "a", NOW).differing()) == {"steps"}
    found = open_run(root, "bb", NOW).differing()
    assert found["learning_rate"] == (2e-4, 1e-4) and set(found) == {"steps", "learning_rate"}


def test_actions_stand_beside_random_play_and_bins_add_up(root: Path) -> None:
    run = open_run(root, "a", NOW)
    table = action_table(run)
    total = sum(tally.by_action["choices"].sum() for tally in tallies())
    chosen, random = (sum(float(row[at]) for row in table.rows) for at in (2, 3))  # type: ignore[arg-type]
    assert len(table.rows) == 21 and chosen == pytest.approx(100) == random
    assert table.rows[0][1] == "HOLD" and table.rows[7][1] == "SELL_YES 10, take"
    for one in bin_tables(run):
        assert sum(int(row[1]) for row in one.rows) == total  # type: ignore[call-overload]


def test_a_line_cut_short_a_damaged_file_and_missing_ones_leave_the_rest_readable(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r", validated=[1.0])
    for name in (PROGRESS, ACTIONS):
        raw = (folder.path / name).read_bytes()
        (folder.path / name).write_bytes(raw[:-40])
    run = RunRecord("r", folder.path, NOW)
    assert run.last["steps"] == 5 * LINE_STEPS and len(run.progress) == 5
    assert "Run r" in run_page(run) and tables_of(run)
    (folder.path / SETTINGS).write_bytes(b'{"settings": {')
    damaged = RunRecord("r", folder.path, NOW)
    assert damaged.summary().preset == "?" and damaged.differing() == {} and "Run r" in run_page(damaged)
    for path in folder.path.glob("*.json*"):
        if path.name != SETTINGS:
            path.unlink()
    bare = RunRecord("r", folder.path, NOW)
    assert bare.summary().steps == 0 and tables_of(bare) == [] and "Run r" in run_page(bare)


def test_the_newest_line_is_found_in_a_file_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b'{"steps":%d,"more":"%s"}\n' % (k, b"x" * 500) for k in range(1_000)))
    assert last_line(path)["steps"] == 999
    path.write_bytes(path.read_bytes()[:-3])
    assert last_line(path)["steps"] == 998
    path.write_bytes(b"")
    assert last_line(path) == {} == last_line(tmp_path / "none")


def test_comparison_shows_what_differs_and_warns_of_units(root: Path) -> None:
    settings, figures = comparison([open_run(root, name, NOW) for name in ("a", "bb")])
    names = {row[0]: row[1:] for row in settings.rows}
    assert names["train.preset"] == ("fast", "documents") and "train.steps" not in names
    shown = {row[0]: row[1:3] for row in figures.rows}
    assert shown["status"] == ("finished", "running") and shown["best_validation"] == (2.5, None)
    assert "different units, dollars, spread" in figures.note
    assert comparison([open_run(root, "a", NOW)] * 2)[0].rows == []


class Outside(HTMLParser):
    """Collects what a page refers to, and checks that its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "line", "path", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "path", "rect"):
            assert self.open.pop() == tag


def test_a_page_is_one_file_and_shows_every_curve_and_escapes_words(root: Path) -> None:
    run = open_run(root, "a", NOW)
    for page in (run_page(run), comparison_page([run, open_run(root, "bb", NOW)])):
        parser = Outside()
        parser.feed(page)
        assert parser.references == [] and parser.open == []
        assert page.count("<svg") >= 8 and "@media (prefers-color-scheme: dark)" in page and len(page) < 300_000
    page = run_page(run)
    assert "fell &amp; fell &lt;again&gt;" in page and "best validation $2.5000" in page
    for words in ("Holding", "Exploration", "Gradient norms", "Actions beside random play", "signal_3"):
        assert words in page


def test_long_curves_are_thinned_to_means_and_keep_their_end() -> None:
    x: list[Any] = [float(k) for k in range(10_007)]
    steps, means = thinned(x, x)
    assert len(steps) == len(means) <= POINTS and steps[-1] == x[-1]
    assert sum(means) / len(means) == pytest.approx(sum(x) / len(x), rel=0.01)
    assert thinned(x[:POINTS], x[:POINTS]) == (x[:POINTS], x[:POINTS])


def test_a_run_that_writes_seldom_is_given_longer_before_it_counts_as_killed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "r")
    line = b'{"steps":1,"iteration":2,"seconds":2000}\n'
    (folder.path / PROGRESS).write_bytes(line)
    written = os.stat(folder.path / PROGRESS).st_mtime
    assert RunRecord("r", folder.path, written + 9_000).status == "running"
    assert RunRecord("r", folder.path, written + 11_000).status == "killed"
