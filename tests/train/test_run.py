"""Whole runs on a stand-in for the market rows: reproducible, resumable, and made of exchangeable parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.errors import ConfigError, ContractError, UnknownName
from kalshi_ray.policy.inference import Network, best_legal
from kalshi_ray.registry import load_bundle
from kalshi_ray.train.algorithm import build_config
from kalshi_ray.train.checkpoints import list_checkpoints
from kalshi_ray.train.progress import read_progress
from kalshi_ray.train.run import TrainResult, train
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import Spaces
from tests.train.runs import BATCH, SMALL, run, same, tensors
from tests.train.toy import ToySource, oracle

pytestmark = pytest.mark.usefixtures("shared_ray")

STOCK: dict[str, Any] = {"tau_s": 0.0, "cost_ramp": 0.0}


@pytest.mark.ray
@pytest.mark.parametrize("split", [True, False])
def test_the_same_seed_gives_the_same_weights_to_the_byte(tmp_path: Path, split: bool) -> None:
    one, two = (run(tmp_path / name, seed=3, split_towers=split) for name in "ab")
    assert same(one, two)
    assert not same(one, run(tmp_path / "c", seed=4, split_towers=split))


@pytest.mark.ray
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", batches=4, save_freq=2 * BATCH)
    middle = list_checkpoints(whole.run_dir / "checkpoints")[0]
    assert middle.name == f"step-{2 * BATCH:012d}"
    rest = run(tmp_path / "rest", batches=4, resume_from=middle)
    assert rest.steps == whole.steps == 4 * BATCH
    assert same(whole, rest)


@pytest.mark.ray
def test_a_run_leaves_settings_progress_the_newest_checkpoints_and_a_bundle(tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    settings = TrainSettings(**SMALL | {"steps": 4 * BATCH, "save_freq": BATCH, "keep": 2})
    result = train(
        settings, ToySource(length=100), run_dir=tmp_path / "r", progress=lambda *line: reported.append(line)
    )
    assert [path.name for path in list_checkpoints(result.run_dir / "checkpoints")] == [
        f"step-{3 * BATCH:012d}",
        f"step-{4 * BATCH:012d}",
    ]
    assert reported[-1] == ("train", 4 * BATCH, 4 * BATCH)
    lines = read_progress(result.run_dir / "progress.jsonl")
    assert [line["steps"] for line in lines] == [BATCH * i for i in range(1, 5)]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    assert set(lines[0]) == set(lines[-1]) >= {"reward_per_1000", "hold_share", "episode_return", "kl", "cost_share"}
    said = json.loads((result.run_dir / "settings.json").read_bytes())
    assert said["settings"]["gae_lambda"] == 0.8 and said["settings"]["seed"] == 0 and said["packages"]["ray"]
    assert load_bundle(result.bundle).manifest.metrics["steps"] == 4 * BATCH


@pytest.mark.ray
def test_the_cost_share_rises_to_one_over_the_ramp(tmp_path: Path) -> None:
    result = run(tmp_path / "r", batches=4, cost_ramp=0.5)
    shares = [line["cost_share"] for line in read_progress(result.run_dir / "progress.jsonl")]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 1.0])


@pytest.mark.ray
@pytest.mark.parametrize(
    "parts",
    [
        {"learner": "stock", **STOCK},
        {"runner": "stock", **STOCK},
        {"runner": "stock", "learner": "stock", **STOCK},
        {"network": "shared", "split_towers": False},
        {"network": "dropout"},
    ],
    ids=["stock-learner", "stock-runner", "stock", "shared", "dropout"],
)
def test_parts_can_be_exchanged(tmp_path: Path, parts: dict[str, Any]) -> None:
    result = run(tmp_path / "r", **parts)
    assert result.steps >= 2 * BATCH
    assert load_bundle(result.bundle).network.sizes[0] == 54


@pytest.mark.ray
def test_remote_runners_draw_apart_and_go_on_from_saved_rows(tmp_path: Path) -> None:
    settings, source = TrainSettings(**SMALL | {"steps": 4 * BATCH, "runners": 2}), ToySource(length=100)
    algorithm = build_config(settings, source, Spaces.of(source.make(1, 0))).build_algo()
    try:
        assert algorithm.train()["num_env_steps_sampled_lifetime"] == BATCH
        saved = algorithm.save_to_path(str(tmp_path))
        rows = remote_rows(algorithm)
        assert not np.intersect1d(rows[1]["random"], rows[2]["random"]).size
        algorithm.train()
        assert (remote_rows(algorithm)[1] != rows[1]).any()
        algorithm.restore_from_path(saved)
        assert all((remote_rows(algorithm)[worker] == rows[worker]).all() for worker in (1, 2))
    finally:
        algorithm.stop()


def remote_rows(algorithm: Any) -> dict[int, Any]:
    return {worker: saved["env"]["rows"] for worker, saved in algorithm.get_state()["remote_rows"].items()}


@pytest.mark.ray
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"network": "documents"}, ContractError, "has network"),
        ({"split_towers": False}, ContractError, "has split_towers True"),
        ({"steps": BATCH}, ConfigError, "has 2048 steps already"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    tmp_path: Path, trained: TrainResult, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path / "r", resume_from=trained.run_dir, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(tmp_path_factory.mktemp("trained") / "r", batches=1)


@pytest.mark.ray
def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path, trained: TrainResult) -> None:
    with pytest.raises(ConfigError, match="holds a run already"):
        run(trained.run_dir)
    with pytest.raises(UnknownName, match="no checkpoint named"):
        run(tmp_path / "r", resume_from=tmp_path)
    assert not (tmp_path / "r").exists()


@pytest.mark.ray
def test_more_runners_than_cores_are_refused_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"runners = 4, but this Ray has 2 CPUs"):
        run(tmp_path / "r", runners=4)


@pytest.mark.ray
def test_a_bundle_decides_as_the_module_it_came_from(trained: TrainResult) -> None:
    bundle = load_bundle(trained.bundle)
    found = tensors(trained.bundle)
    layers = [(found[f"layers.{i}.weight"], found[f"layers.{i}.bias"]) for i in range(3)]
    seen = np.random.default_rng(0).normal(size=(50, 54)).astype(np.float32)
    assert (bundle.network.logits(seen) == Network.pack(layers, activation="relu").logits(seen)).all()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_fast_preset_learns_the_toy_at_full_cost(tmp_path: Path, seed: int) -> None:
    """At least 40 % of the oracle's edge on rows it never met, within two million steps."""
    result = train(TrainSettings(steps=2_000_000, seed=seed), ToySource(), run_dir=tmp_path / "r")
    network = load_bundle(result.bundle).network
    assert edge(network) > 0.4 * edge(None)


def edge(network: Network | None) -> float:
    """Mean true edge of an episode on fresh rows: of the greedy network, or of the oracle."""
    rows = ToySource().make(256, 999)
    batch = rows.new_batch()
    rows.reset_into(batch)
    rows.rows["step"] = 0
    actions = np.zeros(256, np.int64)
    for _ in range(2_000):
        if network is None:
            actions = oracle(rows.rows, batch.mask)
        else:
            best_legal(network.logits(batch.observation), batch.mask, actions)
        rows.step_into(actions, batch)
    return float(rows.take_episodes()["edge"].mean())
