"""Which checkpoints stay, and which one a path names."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.errors import DataError, UnknownName
from kalshi_ray.policy.shapes import NETWORKS
from kalshi_ray.train.checkpoints import (
    ABOUT,
    About,
    best_checkpoint,
    drop_stale,
    find_checkpoint,
    list_checkpoints,
    ranked,
    steps_of,
)
from kalshi_ray.train.folder import VALIDATION, RunFolder


def about(steps: int) -> About:
    return About(
        run="r", steps=steps, algorithm="ppo", network=NETWORKS["small"], action_space="a", observation="o",
        learner="fast", split_towers=True, rows=1, runners=0, source="s", packages={},
    )  # fmt: skip


def made(folder: Path, steps: list[int]) -> RunFolder:
    run = RunFolder(folder)
    run.make()
    for step in steps:
        place = run.checkpoints / f"step-{step:012d}"
        place.mkdir()
        (place / ABOUT).write_bytes(msgspec.json.encode(about(step)))
    return run


@given(
    scores=st.dictionaries(st.integers(1, 12), st.integers(-3, 3).map(float)),
    keep=st.integers(1, 5),
    keep_best=st.integers(0, 5),
)
def test_the_newest_and_the_best_stay(
    tmp_path_factory: pytest.TempPathFactory, scores: dict[int, float], keep: int, keep_best: int
) -> None:
    run = made(tmp_path_factory.mktemp("r"), list(range(1, 13)))
    drop_stale(run.checkpoints, scores, keep=keep, keep_best=keep_best)
    left = {steps_of(path) for path in list_checkpoints(run.checkpoints)}
    best = sorted(scores, key=lambda step: (scores[step], step))[::-1][:keep_best]
    assert left == set(range(13 - keep, 13)) | set(best)
    assert [steps_of(path) for path in ranked(list_checkpoints(run.checkpoints), scores)][:keep_best] == best
    assert not list(run.checkpoints.glob("*.partial"))


def test_what_is_not_whole_is_no_checkpoint(tmp_path: Path) -> None:
    run = made(tmp_path / "r", [1, 2])
    (run.checkpoints / "step-000000000003").mkdir()
    (run.checkpoints / "step-000000000004.partial").mkdir()
    assert [steps_of(path) for path in list_checkpoints(run.checkpoints)] == [1, 2]


def test_a_run_means_its_newest_checkpoint_and_for_its_weights_its_best(tmp_path: Path) -> None:
    run = made(tmp_path / "r", [1, 2, 3])
    assert best_checkpoint(run.path)[1].steps == 3
    run.append(VALIDATION, {"steps": 1, "net_per_market": -0.5})
    run.append(VALIDATION, {"steps": 2, "net_per_market": -0.1})
    assert best_checkpoint(run.path)[1].steps == 2
    assert find_checkpoint(run.path)[1].steps == find_checkpoint(run.checkpoints)[1].steps == 3
    assert find_checkpoint(run.checkpoints / "step-000000000001")[1].steps == 1


def test_a_place_without_a_checkpoint_says_what_one_looks_like(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no checkpoint named"):
        find_checkpoint(tmp_path)
    run = made(tmp_path / "r", [1])
    (run.checkpoints / "step-000000000001" / ABOUT).write_bytes(b"{")
    with pytest.raises(DataError, match=r"run.json cannot be read"):
        find_checkpoint(run.path)
