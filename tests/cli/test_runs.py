"""`kalshi-ray runs` from its command line, and what a training shows while it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kalshi_ray.cli.app import run
from kalshi_ray.cli.run_view import _View, run_view
from kalshi_ray.train.progress import LINE_STEPS
from tests.train.run_folders import write_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "first", ended="finished", validated=[1.0, 0.5], alerts=1)
    write_run(root / "second", ended="stopped", seed=7)
    return root


@pytest.fixture
def answer(root: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(*words: str, code: int = 0) -> tuple[str, str]:
        assert run(["runs", *words, "--runs", str(root)]) == code
        out, err = capsys.readouterr()
        return out, err

    return ask


def test_list_shows_every_run_and_is_json_on_request(answer: Any) -> None:
    out, _ = answer("list")
    assert "first" in out and "finished" in out and "stopped" in out and "Next: kalshi-ray runs show second" in out
    found = json.loads(answer("list", "--json")[0])["found"]
    assert [(one["name"], one["best_validation"]) for one in found] == [("first", 1.0), ("second", None)]


def test_show_prints_figures_with_units_alerts_and_actions_and_draws_the_page(answer: Any, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "run.html"
    out, _ = answer("show", "first", "--html", str(page))
    for words in ("first: finished", "decisions/s, learning included", "reward-trend", "at random, %", "constant"):
        assert words in out
    assert page.read_text().startswith("<!doctype html>")
    said = json.loads(answer("show", "first", "--json")[0])
    assert said["summary"]["status"] == "finished" and len(said["actions"]) == 21 and len(said["alerts"]) == 1
    assert said["last"]["steps"] == 6 * LINE_STEPS and said["health"]["features"]


def test_compare_names_the_settings_that_differ(answer: Any, tmp_path: Path) -> None:
    out, _ = answer("compare", "first", "second", "--html", str(tmp_path / "both.html"))
    assert "train.seed" in out and "train.preset" not in out and "hold_share" in out
    assert (tmp_path / "both.html").is_file()
    said = json.loads(answer("compare", "first", "second", "--json")[0])
    assert said["settings"] == {"train.seed": {"first": "0", "second": "7"}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "fist"), "no run named 'fist'. Did you mean first? Known: second, first"),
        (("compare", "first", "third"), "no run named 'third'. Known: second, first"),
        (("compare", "first"), "has nothing to be compared with. Name two runs or more"),
    ],
)
def test_wrong_names_are_one_line_and_exit_with_2(answer: Any, words: tuple[str, ...], said: str) -> None:
    out, err = answer(*words, code=2)
    assert out == "" and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_without_a_terminal_a_line_comes_every_so_many_steps_and_none_by_default(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for every, expected in ((0, 0), (2_500, 5)):
        with run_view(root / "first", console_freq=every) as report:
            report("pack", 3, 4)
            for done in range(1_000, 10_001, 1_000):
                report("train", done, 10_000)
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == expected
    assert err.splitlines()[0].startswith("step 1,000 of 10,000: ") and "steps/s" in err and "random" in err


def test_the_live_view_shows_the_figures_and_alerts_of_the_folder(root: Path) -> None:
    view = _View(root / "first")
    view.report("pack", 1, 4)
    view.report("train", 12_288, 12_288)
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(view.render())
    shown = captured.get()
    for words in ("12288/12288", "2,048 steps/s", "explained variance", "of random", "reward-trend at step 0: fell"):
        assert words in shown
    empty = _View(root / "nothing-yet")
    empty.report("train", 0, 100)
    with console.capture() as captured:
        console.print(empty.render())
    assert "0/100" in captured.get()
