"""The documents' command lines train, and what excludes each other is refused before Ray starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from kalshi_ray.cli.app import run
from kalshi_ray.data.store import open_store
from kalshi_ray.env.samplers import SAMPLERS
from kalshi_ray.train.folder import RESULT, SETTINGS
from tests.train.sessions import small_session

# What makes a run small enough for a test: the rest of each line is the documents' own.
SMALL = [
    "--train.rows=16", "--train.batch=256", "--train.minibatch=64", "--train.epochs=1", "--train.episode=40",
    "--selection.min_quarters=1", "--split.validation=0", "--split.train=0.5", "--split.test=0.5",
]  # fmt: skip
STEPS = 512


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the sessions of the documents, a few minutes long, and room for runs."""
    base = tmp_path_factory.mktemp("places")
    store = open_store(str(base / "store"))
    for number, name in enumerate(("6", "7", "8", "9", "10", "25", "32")):
        small_session(store, name, seed=number, markets=8)
    return base


def train(places: Path, *line: str, small: bool = True) -> int:
    at = ["--store", str(places / "store"), "--runs", str(places / "runs")]
    return run(["train", *line, *at, *(SMALL if small else [])])


def settings_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / SETTINGS).read_bytes())
    return found


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RESULT).read_bytes())
    return found


@pytest.fixture(scope="module")
def phase_1(places: Path, shared_ray: None) -> Path:
    """K-07: every market once, as no number of steps is given."""
    line = "--session 32 --curriculum --algorithm ppo --cash-start 10000 --min-episode-length 50 --save-freq 10000"
    line += " --portfolio-log-freq 100 --m10-console-freq 500"
    assert train(places, *line.split(), "--model-save-path", str(places / "phase1")) == 0
    return places / "phase1"


@pytest.mark.ray
def test_phase_one_plays_every_market_once_and_says_all_it_was_told(phase_1: Path) -> None:
    told, result = settings_of(phase_1), result_of(phase_1)
    settings = told["settings"]
    assert settings["sampler"] == "each-once" and settings["algorithm"] == "ppo"
    assert (settings["save_freq"], settings["portfolio_log_freq"], settings["console_freq"]) == (10_000, 100, 500)
    assert told["source"]["env"]["bankroll_cents"] == 10_000
    assert result["status"] == "finished" and result["steps"] == settings["steps"]


LINES = {
    "K-01": f"--session 9 --algorithm ppo --total-timesteps {STEPS}",
    "K-02": f"--session 9 --algorithm a2c --total-timesteps {STEPS} --cash-start 5000",
    "K-03": f"--sessions 6,7,8,9 --algorithm ppo --total-timesteps {STEPS}",
    "K-08": f"--session 25 --algorithm ppo --from-model-checkpoint {{model}} --total-timesteps {STEPS}"
    " --cash-start 10000 --save-freq 25000",
    "K-09": f"--session 10 --from-model-checkpoint {{model}} --total-timesteps {STEPS} --cash-start 10000",
    "K-11": f"--session 7 --from-model-checkpoint {{model}}/bundle --total-timesteps {STEPS}",
    "K-12": f"--session 9 --total-timesteps {STEPS} --log-level DEBUG",
    "K-13": f"--session 9 --total-timesteps {STEPS} --device cpu",
    "L-16": f"--session 32 --curriculum --total-timesteps {STEPS}",
}


@pytest.mark.ray
@pytest.mark.parametrize("name", list(LINES))
def test_the_documents_lines_train(places: Path, phase_1: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = LINES[name].format(model=phase_1).split()
    ppo_alone = ("--train.minibatch", "--train.epochs")  # a2c takes one gradient a batch
    small = [one for one in SMALL if name != "K-02" or not one.startswith(ppo_alone)]
    assert train(places, *line, "--run", name, *small, small=False) == 0, capsys.readouterr().err
    folder = places / "runs" / name
    told, result = settings_of(folder), result_of(folder)
    assert result["steps"] == STEPS and result["status"] == "finished"
    ids = [one["id"] for one in told["source"]["sessions"]]
    assert ids == (["6", "7", "8", "9"] if name == "K-03" else [line[line.index("--session") + 1]])
    assert told["settings"]["algorithm"] == ("a2c" if name == "K-02" else "ppo")
    assert told["settings"]["sampler"] == ("easy-to-hard" if name == "L-16" else "random")
    assert told["weights_from"] == (
        line[line.index("--from-model-checkpoint") + 1] if "{model}" in LINES[name] else None
    )
    printed = capsys.readouterr().out
    assert "train: " in printed and "test: " in printed and "bundle" in printed


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_k_10_resumes_by_so_many_further_steps(places: Path) -> None:
    begun = places / "runs" / "begun"
    assert train(places, "--session", "6", "--total-timesteps", "256", "--run", "begun") == 0
    line = ["--session", "6", "--resume-from", str(begun), "--total-timesteps", str(STEPS)]
    assert train(places, *line, "--run", "K-10") == 0
    told, result = settings_of(places / "runs" / "K-10"), result_of(places / "runs" / "K-10")
    assert told["settings"]["steps"] == result["steps"] == 256 + STEPS and told["resumed_at_steps"] == 256


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_phases_follow_each_other_from_weight_to_weight_and_what_is_done_is_not_done_again(
    places: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "phases.toml"
    settings = "[train]\nrows = 16\nbatch = 256\nminibatch = 64\nepochs = 1\nepisode = 40\n"
    settings += "[selection]\nmin_quarters = 1\n[split]\nvalidation = 0.0\ntrain = 0.5\ntest = 0.5\n"
    first = '[[phases]]\nname = "one"\nsessions = ["32"]\ncurriculum = true\nsteps = 256\n'
    second = '[[phases]]\nname = "two"\nsessions = ["25", "10"]\nsteps = 512\n'
    second += 'settings = { "train.learning_rate" = 5e-5 }\n'
    path.write_text(settings + first)
    line = ["--phases", str(path), "--model-save-path", str(tmp_path / "runs")]
    assert train(places, *line, small=False) == 0
    first_result = (tmp_path / "runs" / "one" / RESULT).read_bytes()
    path.write_text(settings + first + second)
    (tmp_path / "runs" / "two").mkdir()
    (tmp_path / "runs" / "two" / SETTINGS).write_text("{}")  # died before its first checkpoint
    assert train(places, *line, small=False) == 0
    assert "phase one: done before" in capsys.readouterr().out
    assert (tmp_path / "runs" / "one" / RESULT).read_bytes() == first_result
    assert (tmp_path / "runs" / "two.died-1" / SETTINGS).exists()
    told = settings_of(tmp_path / "runs" / "two")
    assert told["weights_from"] == str(tmp_path / "runs" / "one")
    assert told["settings"]["learning_rate"] == 5e-5 and told["settings"]["steps"] == 512
    assert settings_of(tmp_path / "runs" / "one")["settings"]["sampler"] == "easy-to-hard"


REFUSED = [
    ("", "no session to train on. Give --session NAME"),
    ("--session 9 --sessions 6,7", "--session 9 and --sessions 6,7 exclude each other"),
    ("--session 9 --run a --model-save-path b", "--run a and --model-save-path b exclude each other"),
    (
        "--session 9 --resume-from a --from-model-checkpoint b",
        "--resume-from a and --from-model-checkpoint b exclude each other",
    ),
    ("--phases p.toml --session 9", "--phases p.toml and --session 9 exclude each other"),
    ("--phases p.toml --curriculum", "--phases p.toml and --curriculum exclude each other"),
    ("--session 9 --algorithm sac", "no algorithm named 'sac'. Known: "),
    ("--session 9 --preset slow", "no training preset named 'slow'. Known: documents, fast"),
    ("--session 9 --sampler hard", "train.sampler is one of " + ", ".join(SAMPLERS)),
    ("--session 9 --total-timesteps 0", "train.steps = 0"),
    ("--session 9 --total-timesteps -5", "train.steps = -5"),
    ("--session 9 --save-freq 0", "train.save_freq = 0"),
    ("--session 9 --curriculum --sampler cycle", "--curriculum chooses the sampler, and so does train.sampler"),
    ("--session nine", "no session in"),
    ("--session 9 --session 9", "session '9' is the same recording as '9'"),
    ("--session 9 --device tpu", "train.device is one of auto, cpu, cuda"),
    ("--session 9 --validation-session 9", "events (SYNPLANTED"),
]


@pytest.mark.parametrize(("line", "said"), REFUSED, ids=[line or "nothing" for line, _ in REFUSED])
def test_what_cannot_be_is_one_line_before_ray_starts(
    places: Path, line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*given: Any, **named: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # the one that the tests share does not count
    monkeypatch.setattr(ray, "init", started)
    assert train(places, *line.split()) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and error.startswith("error: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no [[phases]]"),
        ('[[phases]]\nname = "a"\nsessions = ["9"]\n', "phase a has no steps"),
        ('[[phases]]\nname = "a"\nsessions = ["9"]\nsteps = -1\n', "phase a has -1 steps"),
        ('[[phases]]\nname = "a"\nsessions = []\nsteps = 5\n', "phase a names no session"),
        ('[[phases]]\nname = "../a"\nsessions = ["9"]\nsteps = 5\n', "is no folder name"),
        ('[[phases]]\nname = "a"\nsesions = ["9"]\n', "sesions"),
        ('[[phases]]\nname = "a"\nsessions = ["9"]\nsteps = 5\n' * 2, "calls several phases a"),
        ('[[phases]]\nname = "a"\nsessions = ["9"]\nsteps = 5\nsettings = { "train.lr" = 1 }\n', "train.lr"),
        ("[[phases", "is not TOML"),
    ],
)
def test_a_wrong_file_of_phases_is_one_line(
    places: Path, tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    assert train(places, "--phases", str(path), small=False) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_the_job_takes_the_same_options(places: Path) -> None:
    job = Path(__file__).parents[2] / "jobs" / "train.py"
    line = ["--sessions", "6,7", "--store", str(places / "store"), "--total-timesteps", "0"]
    done = subprocess.run([sys.executable, str(job), *line], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2 and "train.steps = 0" in done.stderr
