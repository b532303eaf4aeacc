"""The loop of a run: what it keeps, when it stops, and that going on is the same as never having stopped."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.errors import ConfigError, ContractError, DataError, NothingToDo, Stopped, UsageError
from kalshi_ray.policy.inference import Network
from kalshi_ray.registry import load_bundle
from kalshi_ray.train.checkpoints import list_checkpoints, steps_of
from kalshi_ray.train.progress import read_progress
from kalshi_ray.train.run import TrainResult
from kalshi_ray.train.weights import deciding_layers
from tests.train.runs import BATCH, Verdicts, run, same, tensors
from tests.train.toy import ToyRows, ToySource

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("shared_ray")]


def ended(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    return found


def kept(folder: Path) -> list[int]:
    """Batches at which there is a checkpoint."""
    return [steps_of(path) // BATCH for path in list_checkpoints(folder / "checkpoints")]


def verdicts(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "validation.jsonl").read_bytes().splitlines()]


def lines(folder: Path) -> list[dict[str, float]]:
    """Progress without what depends on the clock."""
    return [
        {name: value for name, value in line.items() if "second" not in name and "per_s" not in name}
        for line in read_progress(folder / "progress.jsonl")
    ]


def test_the_best_checkpoint_by_validation_becomes_the_bundle(tmp_path: Path) -> None:
    judge = Verdicts([1.0, 3.0, 2.0])
    result = run(tmp_path / "r", batches=3, eval_freq=BATCH, keep=1, keep_best=2, validation=judge)
    assert kept(result.run_dir) == [2, 3]
    assert [(line["steps"] // BATCH, line["best"]) for line in verdicts(result.run_dir)] == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    bundle = load_bundle(result.bundle)
    assert (bundle.network.weights == judge.shown[1].weights).all()
    assert bundle.manifest.metrics["steps"] == 2 * BATCH
    assert bundle.manifest.metrics["validation_net_per_market"] == 3.0
    assert bundle.manifest.metrics["validation_events"] == 30.0


def test_a_verdict_stands_in_the_progress_of_the_iteration_after_its_weights(tmp_path: Path) -> None:
    result = run(tmp_path / "r", batches=4, eval_freq=2 * BATCH, validation=Verdicts([5.0, 7.0]))
    told = [line.get("validation_net") for line in read_progress(result.run_dir / "progress.jsonl")]
    assert told == [None, None, 5.0, 5.0]
    assert [line["net_per_market"] for line in verdicts(result.run_dir)] == [5.0, 7.0]


def test_the_last_weights_are_always_validated(tmp_path: Path) -> None:
    result = run(tmp_path / "r", batches=3, eval_freq=100 * BATCH, validation=Verdicts([2.0]))
    assert [line["steps"] for line in verdicts(result.run_dir)] == [3 * BATCH]


def test_validation_that_is_off_judges_nothing(tmp_path: Path) -> None:
    result = run(tmp_path / "r", eval_freq=0, validation=Verdicts([]))
    assert not (result.run_dir / "validation.jsonl").exists()


def test_checkpoints_kept_are_the_newest_and_the_best(tmp_path: Path) -> None:
    judge = Verdicts([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    result = run(tmp_path / "r", batches=6, eval_freq=BATCH, keep=1, keep_best=3, validation=judge)
    assert kept(result.run_dir) == [1, 3, 5, 6]
    assert (load_bundle(result.bundle).network.weights == judge.shown[0].weights).all()


@pytest.mark.parametrize(
    ("scores", "made"),
    [
        ([1.0, 2.0, 1.3, 9.0, 9.0, 9.0], 4),
        ([1.0, 2.0, 1.5, 2.0, 2.0, 2.0], 6),
        ([-1.0, -9.0, -9.0, -9.0, -9.0, -9.0], 6),
    ],
    ids=["falls", "falls-less", "never-above-zero"],
)
def test_a_fall_of_validation_ends_the_run_by_option(tmp_path: Path, scores: list[float], made: int) -> None:
    """It is heard at the end of the iteration that follows, and the last weights are judged all the same."""
    judge = Verdicts(scores)
    result = run(tmp_path / "r", batches=6, eval_freq=BATCH, early_stop=0.3, validation=judge)
    assert result.steps == made * BATCH and result.exit_code == 0
    assert len(verdicts(result.run_dir)) == made
    if made < 6:
        assert result.status == ended(result.run_dir)["status"] == "stopped"
        assert result.why == (
            "validation fell to $1.3000 a market at step 6,144, more than 30% below the best of $2.0000 at step 4,096"
        )


def test_an_alert_ends_the_run_where_it_is_told_to(tmp_path: Path) -> None:
    judge = Verdicts([2.0, 1.0, 9.0, 9.0, 9.0])
    result = run(tmp_path / "r", batches=6, eval_freq=BATCH, stop_on=("validation-drop",), validation=judge)
    assert (result.status, result.steps, result.exit_code) == ("stopped", 3 * BATCH, 0)
    assert result.why.startswith("alert validation-drop at step 6,144: $1.0000 a validation market, 50% below the best")
    kept = [json.loads(line) for line in (result.run_dir / "alerts.jsonl").read_bytes().splitlines()]
    assert [(one["name"], one["steps"], one["value"]) for one in kept] == [("validation-drop", 3 * BATCH, 0.5)]


def test_the_weight_of_the_entropy_is_doubled_while_an_alert_stands(tmp_path: Path) -> None:
    """It shows in the weights from the next update on, in the lines, and after a resume."""
    told = {"batches": 5, "eval_freq": BATCH, "save_freq": BATCH, "keep": 9, "entropy": 0.5, "entropy_end": 0.5}
    scores = [2.0, 1.0, 2.0, 2.0, 2.0]
    plain = run(tmp_path / "plain", **told, validation=Verdicts(scores))
    result = run(tmp_path / "r", **told, explore_on=("validation-drop",), validation=Verdicts(scores))
    factors = [line["exploration"] for line in read_progress(result.run_dir / "progress.jsonl")]
    assert factors == [1.0, 1.0, 1.0, 2.0, 1.0]  # raised by the third line, over with the fourth
    one, two = (list_checkpoints(r.run_dir / "checkpoints") for r in (plain, result))
    equal = [
        tensors(a)["policy.0.weight"].tobytes() == tensors(b)["policy.0.weight"].tobytes() for a, b in zip(one, two)
    ]
    assert equal == [True, True, True, False, False]
    again = run(
        tmp_path / "again", **told, explore_on=("validation-drop",), resume_from=two[2], validation=Verdicts(scores[2:])
    )
    assert same(again, result) and lines(again.run_dir) == lines(result.run_dir)


def test_nothing_to_validate_on_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    class Empty(Verdicts):
        def describe(self) -> dict[str, object]:
            raise NothingToDo("no market to validate on")

    with pytest.raises(NothingToDo):
        run(tmp_path / "r", validation=Empty([]))
    assert not (tmp_path / "r").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run of five updates that nothing interrupted, with all its checkpoints and three verdicts."""
    return run(tmp_path_factory.mktemp("whole") / "r", **WHOLE, validation=Verdicts([1.0, 3.0, 2.0]))


WHOLE: dict[str, Any] = {"batches": 5, "save_freq": BATCH, "eval_freq": 2 * BATCH, "keep": 9}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_resumed_elsewhere_is_the_run_that_was_never_interrupted(
    tmp_path: Path, whole: TrainResult, at: int
) -> None:
    """Lines, checkpoints, verdicts and weights; the verdict that was under way at step 2 is asked for again."""
    rest = [3.0, 2.0] if at > 2 else [1.0, 3.0, 2.0]
    checkpoint = whole.run_dir / "checkpoints" / f"step-{at * BATCH:012d}"
    resumed = run(tmp_path / "r", **WHOLE, resume_from=checkpoint, validation=Verdicts(rest))
    assert same(whole, resumed)
    assert lines(resumed.run_dir) == lines(whole.run_dir)
    assert kept(resumed.run_dir) == kept(whole.run_dir)
    told = [[(line["steps"], line["net_per_market"]) for line in verdicts(r.run_dir)] for r in (whole, resumed)]
    assert told[0] == told[1]
    said = json.loads((resumed.run_dir / "settings.json").read_bytes())
    assert said["resumed_from"] == str(checkpoint) and said["resumed_at_steps"] == at * BATCH


def interrupt(number: signal.Signals, *, at: int, times: int = 1) -> Callable[[str, int, int], None]:
    """A report of progress that sends this process a signal after `at` updates."""

    def report(label: str, done: int, total: int) -> None:
        if done >= at * BATCH:
            for _ in range(times):
                os.kill(os.getpid(), number)

    return report


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_checkpoint_and_bundle_and_goes_on_in_its_own_folder(
    tmp_path: Path, whole: TrainResult, number: signal.Signals, code: int
) -> None:
    before = signal.getsignal(number)
    settings = WHOLE | {"save_freq": 100 * BATCH}
    stopped = run(tmp_path / "r", **settings, progress=interrupt(number, at=3), validation=Verdicts([1.0]))
    assert (stopped.status, stopped.exit_code, stopped.steps) == ("stopped", code, 3 * BATCH)
    assert ended(stopped.run_dir)["status"] == "stopped" and kept(stopped.run_dir) == [2, 3]
    assert load_bundle(stopped.bundle).manifest.metrics["steps"] == 2 * BATCH  # the one that was validated
    rest = run(tmp_path / "r", **settings, resume_from=stopped.run_dir, validation=Verdicts([3.0, 2.0]))
    assert same(whole, rest) and lines(rest.run_dir) == lines(whole.run_dir)
    assert ended(rest.run_dir) | {"seconds": 0} == {
        "status": "finished", "why": "", "steps": 5 * BATCH, "seconds": 0, "bundle": str(rest.bundle),
        "checkpoint": str(rest.checkpoint),
    }  # fmt: skip
    assert signal.getsignal(number) is before


def test_a_second_signal_stops_at_once_and_loses_only_what_no_checkpoint_holds(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="in the middle of an update") as raised:
        run(tmp_path / "r", batches=4, save_freq=BATCH, progress=interrupt(signal.SIGINT, at=2, times=2))
    assert raised.value.exit_code == 130
    assert ended(tmp_path / "r")["status"] == "stopped" and kept(tmp_path / "r") == [1]


def test_a_signal_before_the_first_update_trains_nothing(tmp_path: Path) -> None:
    heard: list[int] = []

    class Early(ToySource):
        def make(self, rows: int, seed: int) -> ToyRows:
            if not heard:
                heard.append(signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return ToySource.make(self, rows, seed)

    with pytest.raises(Stopped, match="before the first update") as raised:
        run(tmp_path / "r", source=Early(length=100))
    assert raised.value.exit_code == 143 and not (tmp_path / "r" / "bundle").exists()


def test_going_on_in_place_from_an_older_checkpoint_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "r", batches=2, save_freq=BATCH)
    with pytest.raises(ConfigError, match="has checkpoints after step-000000002048"):
        run(tmp_path / "r", batches=4, resume_from=list_checkpoints(result.run_dir / "checkpoints")[0])
    assert kept(result.run_dir) == [1, 2] and result.bundle.exists()


@pytest.mark.parametrize("kind", ["bundle", "checkpoint", "run"])
def test_transfer_takes_the_weights_and_begins_everything_else_afresh(
    tmp_path: Path, whole: TrainResult, kind: str
) -> None:
    """A learning rate of next to nothing shows which weights it began with. A run gives its best, not its last."""
    sources = {"bundle": whole.bundle, "run": whole.run_dir, "checkpoint": whole.checkpoint}
    moved = run(tmp_path / "r", weights_from=sources[kind], learning_rate=1e-30, seed=9)
    best = whole.run_dir / "checkpoints" / f"step-{4 * BATCH:012d}"
    begun = tensors(whole.checkpoint if kind == "checkpoint" else best)
    found = tensors(moved.checkpoint)
    towers = ("policy",) if kind == "bundle" else ("policy", "value")  # a bundle holds what decides, no more
    for name, array in begun.items():
        assert np.allclose(array, found[name], atol=1e-12) == name.startswith(towers), name
    assert moved.steps == 2 * BATCH and lines(moved.run_dir)[0]["iteration"] == 1.0


def test_weights_of_another_network_are_refused_with_both(tmp_path: Path, whole: TrainResult) -> None:
    for place, message in ((whole.bundle, r"\[54, 64, 64, 21\].*this run has \[54, 256, 256, 128, 21\]"),
                           (whole.run_dir, "has network NetworkSettings.*this run has")):  # fmt: skip
        with pytest.raises(ContractError, match=message):
            run(tmp_path / "r", weights_from=place, network="documents")
    with pytest.raises(UsageError, match="cannot both resume"):
        run(tmp_path / "r", weights_from=whole.bundle, resume_from=whole.run_dir)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "a2c", "minibatch": None, "epochs": None}, "has algorithm ppo, this run has a2c"),
        ({"rows": 64}, "has rows 32, this run has 64"),
        ({"source": ToySource(length=101)}, "stands in other markets or another environment"),
    ],
)
def test_a_run_is_not_resumed_as_another(
    tmp_path: Path, whole: TrainResult, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        run(tmp_path / "r", batches=9, resume_from=whole.run_dir, **changes)


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path: Path, whole: TrainResult) -> None:
    result = run(tmp_path / "r")
    state = result.checkpoint / "env_runner" / "state.pkl"
    raw = bytearray(state.read_bytes())
    raw[len(raw) // 2] ^= 1
    state.write_bytes(raw)
    with pytest.raises(DataError, match=r"is not what was written: .* Resume from another one"):
        run(tmp_path / "s", batches=4, resume_from=result.checkpoint)
    assert ended(tmp_path / "s")["status"] == "failed"


def test_a_disk_that_refuses_a_checkpoint_leaves_the_older_ones_whole(tmp_path: Path) -> None:
    """The limit of file sizes stands for a full disk: the operating system refuses in the middle of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(label: str, done: int, total: int) -> None:
        if done >= 2 * BATCH:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(DataError, match=r"cannot write checkpoint.*Older checkpoints are kept"):
            run(tmp_path / "r", batches=3, save_freq=BATCH, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(tmp_path / "r") == [1] and not list(tmp_path.rglob("*.partial"))
    assert ended(tmp_path / "r")["status"] == "failed" and "cannot write" in ended(tmp_path / "r")["why"]
    assert run(tmp_path / "r", batches=3, save_freq=BATCH, resume_from=tmp_path / "r").status == "finished"


def test_a_run_that_diverges_fails_by_name_and_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    healthy = run(tmp_path / "r", batches=2, save_freq=BATCH)
    with pytest.raises(DataError, match=r"diverged: the \w+ of layer \d in the policy tower is not finite"):
        run(tmp_path / "r", batches=6, save_freq=BATCH, resume_from=healthy.run_dir, learning_rate=1e38)
    assert ended(tmp_path / "r")["status"] == "failed"
    newest = list_checkpoints(tmp_path / "r" / "checkpoints")[-1]  # the optimizer keeps its rate for one more update
    assert ended(tmp_path / "r")["checkpoint"] == str(newest)
    assert all(np.isfinite(array).all() for array in tensors(newest).values())


def test_the_network_of_a_checkpoint_decides_as_its_bundle(whole: TrainResult) -> None:
    best = whole.run_dir / "checkpoints" / f"step-{4 * BATCH:012d}"
    network = Network.pack(deciding_layers(tensors(best)), activation="relu")
    assert (network.weights == load_bundle(whole.bundle).network.weights).all()
