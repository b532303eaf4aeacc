"""The documents say what is: generated tables are current, named files and commands exist, and marked commands run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import typer

from kalshi_ray.cli.app import app, run

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# How many ids each letter of the requirements has.
REQUIREMENTS = {
    "A": 16, "B": 18, "C": 7, "D": 15, "E": 16, "F": 11, "G": 15, "H": 21, "I": 21, "J": 10, "K": 17, "L": 27,
    "M": 27, "N": 19, "O": 11, "P": 19, "Q": 9, "R": 11, "S": 6, "T": 5, "U": 11, "X": 44, "Y": 9,
}  # fmt: skip
PARTS = ("recording", "learning", "trading", "serving", "cluster")
REQUIREMENT = re.compile(r"^- (?P<id>[A-Y]-\d\d) · (?P<state>done|part|later|none) · (?P<text>\S.*)$")

CODE = re.compile(r"`([^`\n]+)`")
RUNS = re.compile(r"<!-- runs(?P<mark>-ray)? -->\n```bash\n(?P<lines>.*?)```", re.DOTALL)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_generated_tables_are_current(page: Path) -> None:
    text = read(page)
    assert generator().regenerated(text) == text, "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_linked_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(page)):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_files_exist(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        found = re.match(
            r"(?:kalshi_ray|tests|docs|bench|jobs|notebooks)/[\w./*-]*|Makefile|pyproject\.toml|constraints\.txt", code
        )
        if found:
            name = found.group().rstrip(".")
            assert list(ROOT.glob(name)), f"{name} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_named_commands_and_options_exist(page: Path) -> None:
    lines = [code for code in CODE.findall(prose(page)) if code.startswith("kalshi-ray ")]
    lines += re.findall(r"^kalshi-ray .*$", read(page).replace("\\\n", " "), re.MULTILINE)
    for line in lines:
        words = shlex.split(line.split(" > ")[0], comments=True)[1:]
        command = named(words, line)
        known = {name for parameter in getattr(command, "params", []) for name in parameter.opts}
        known |= set(getattr(command, "aliases", {})) | {"--debug", "--log-level", "--log-json", "--help", "--version"}
        for word in words:
            if word.startswith("--") and "." not in word.partition("=")[0]:
                assert word.partition("=")[0] in known, f"{line}: no option {word}"


@cache
def tree() -> object:
    return typer.main.get_command(app)


def named(words: list[str], line: str) -> object:
    """The command that a line names."""
    node = tree()
    for word in words:
        children = getattr(node, "commands", None)
        if children is None or word.startswith("-"):
            break
        assert word in children, f"{line}: no command {word}"
        node = children[word]
    return node


def runnable(page: Path, *, with_ray: bool) -> list[str]:
    """The lines of a page that are marked to run, with Ray or without, in order; comments stripped, continued lines
    joined."""
    found = [m.group("lines") for m in RUNS.finditer(read(page)) if bool(m.group("mark")) == with_ray]
    return [line for lines in found for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def run_lines(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, with_ray: bool) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KALSHI_RAY_RAY__ADDRESS", "local")
    for line in runnable(page, with_ray=with_ray):
        words = shlex.split(line, comments=True)
        assert words[0] == "kalshi-ray", line
        assert run(words[1:]) == 0, line


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The folder of a page where its lines without Ray have run: those with Ray build on them."""

    @cache
    def folder_of(page: Path) -> Path:
        folder = tmp_path_factory.mktemp(page.stem)
        (folder / "jobs").symlink_to(ROOT / "jobs")
        with pytest.MonkeyPatch.context() as monkeypatch:
            run_lines(page, folder, monkeypatch, with_ray=False)
        return folder

    return folder_of


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page, with_ray=False)], ids=lambda p: p.name)
def test_commands_marked_to_run_do_run(page: Path, begun: Callable[[Path], Path]) -> None:
    assert begun(page).is_dir()


@pytest.mark.ray
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page, with_ray=True)], ids=lambda p: p.name)
def test_commands_marked_to_run_with_ray_do_run(
    page: Path, begun: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_lines(page, begun(page), monkeypatch, with_ray=True)


def requirement_lines() -> list[re.Match[str]]:
    found = [
        REQUIREMENT.match(line) for line in read(ROOT / "docs" / "requirements.md").splitlines() if line[:2] == "- "
    ]
    assert all(found), "every line is: - ID · done|part|later|none · text"
    return [match for match in found if match]


def test_every_requirement_has_exactly_one_line() -> None:
    expected = [f"{letter}-{number:02}" for letter, count in REQUIREMENTS.items() for number in range(1, count + 1)]
    assert [match["id"] for match in requirement_lines()] == expected


def test_a_requirement_that_is_met_names_where() -> None:
    for match in requirement_lines():
        if match["state"] in ("done", "part"):
            assert CODE.search(match["text"]), match.group()


def test_a_requirement_that_is_open_names_the_part_that_brings_it() -> None:
    for match in requirement_lines():
        if match["state"] in ("part", "later"):
            assert any(part in match["text"] for part in PARTS), match.group()


def test_architecture_stays_at_two_pages() -> None:
    assert len(read(ROOT / "docs" / "architecture.md").splitlines()) <= 120


def test_every_decision_takes_five_lines() -> None:
    for choice in read(ROOT / "docs" / "decisions.md").split("\n## ")[1:]:
        title, *lines = choice.strip().splitlines()
        assert len([line for line in lines if line.strip()]) == 5, title
