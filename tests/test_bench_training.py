"""The contests of the training benchmarks, tiny: everyone plays by the same rules, and time is taken of all alike."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from bench.byhand import HandWritten
from bench.contestants import Entry, StableBaselines, rates, sb3_options
from bench.quality import Exam
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.policy.inference import Network
from kalshi_ray.train.batch import build_batch
from kalshi_ray.train.losses import Losses
from kalshi_ray.train.passes import Recorded
from kalshi_ray.train.rollout import Rollout
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource

TINY = TrainSettings(preset="documents", network="small", rows=8, batch=256, minibatch=64, epochs=2, split_towers=False)
SESSION = SynthSettings(regime="planted", markets=12, hours=0.1, waves=2, seed=1)


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam.of(SESSION, judged=4)


@pytest.fixture(scope="module")
def source(exam: Exam) -> MarketSource:
    return MarketSource(exam.pack, TINY.training_env(EnvSettings(position_limit=50)), tuple(map(int, exam.train)))


class Counting:
    """A contestant that notes its turns and the numerics it finds."""

    def __init__(self, name: str, played: list[str]) -> None:
        self.name, self.played = name, played

    def turn(self) -> int:
        self.played.append(f"{self.name} {torch.get_num_threads()} {torch.get_float32_matmul_precision()}")
        return 100

    def close(self) -> None:
        self.played.append(f"{self.name} closed")


def test_contestants_take_turns_with_their_own_numerics_and_the_process_gets_its_own_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    played: list[str] = []
    entries = {
        "a": Entry(lambda: Counting("a", played), threads=1, matmul="highest"),
        "b": Entry(lambda: Counting("b", played), threads=2, matmul="medium"),
    }
    found = rates(entries, repeats=2)
    assert played == ["a 1 highest", "b 2 medium"] * 3 + ["b closed", "a closed"]
    assert all(rate > 0 for rate in found.values())
    assert before == (torch.get_num_threads(), torch.get_float32_matmul_precision())


@pytest.mark.parametrize("split", [False, True])
def test_the_loop_by_hand_learns_from_legal_actions(source: MarketSource, split: bool) -> None:
    loop = HandWritten(source, TINY.resolved(), split=split)
    before = [weight.detach().clone() for weight in loop.policy.parameters()]
    try:
        assert [loop.turn() for _ in range(2)] == [256, 256]
    finally:
        loop.close()
    steps = len(loop.action)
    assert np.take_along_axis(loop.mask[:steps], loop.action[..., None], 2).all()
    assert not any(torch.equal(one, two) for one, two in zip(before, loop.policy.parameters()))


def test_the_loop_by_hand_learns_from_our_columns_with_our_loss(source: MarketSource) -> None:
    """Both sides of the contest do the same work: equal columns, ends of episodes included, and equal loss."""
    loop = HandWritten(source, TINY.resolved(), split=False)
    ends, last = loop.sample()
    assert ends, "no episode ended"
    columns, numbers = loop.columns(ends, last), loop.numbers
    rollout = Rollout(
        loop.observation, loop.mask, loop.action, loop.logp, loop.reward, loop.elapsed, loop.terminated, loop.truncated,
        np.array(ends), np.stack(last), np.ones((len(last), 21), np.bool_),
    )  # fmt: skip
    batch = build_batch(
        [rollout],
        lambda seen: loop.value(seen)[:, 0],
        discount=numbers.discount,
        tau_s=0.0,
        gae_lambda=numbers.gae_lambda,
    )
    for mine, ours in zip(columns, batch.all_columns):
        torch.testing.assert_close(mine, ours, rtol=1e-4, atol=1e-4)
    loop.joint_loss(*columns).backward()
    weights = loop.groups[0][0]
    theirs = [weight.grad.clone() for weight in weights]
    losses = Losses(numbers.entropy, numbers.clip, numbers.value_coeff)
    losses.towers(Recorded([loop.policy, loop.value], body=None), *columns)
    for weight, mine in zip(weights, theirs):
        torch.testing.assert_close(mine, weight.grad, rtol=1e-4, atol=1e-6)


def test_stable_baselines_gets_our_numbers() -> None:
    pytest.importorskip("stable_baselines3", reason="needs the extra `bench`")
    numbers = msgspec.structs.replace(TINY.resolved(), rows=4)
    assert sb3_options(numbers, envs=4)["n_steps"] * 4 == numbers.batch
    peer = StableBaselines(numbers, envs=4)
    assert peer.turn() == 256


def test_the_oracle_has_all_of_its_edge_and_holding_none(exam: Exam) -> None:
    sizes = [(np.zeros((21, 54), np.float32), np.eye(1, 21, dtype=np.float32)[0])]
    assert exam.share(Network.pack(sizes, activation="relu")) == 0.0
    assert not set(exam.train.tolist()) & set(exam.judged.tolist())
    assert isinstance(exam.pack, ViewPack)


def test_maskable_ppo_plays_our_rows_with_their_masks_and_the_ramp(source: MarketSource) -> None:
    pytest.importorskip("sb3_contrib", reason="needs the extra `bench`")
    from bench.maskable import learn

    looks: list[tuple[int, int]] = []

    def look(steps: int, network: Network) -> bool:
        looks.append((steps, network.actions))
        return len(looks) == 2

    learn(source, msgspec.structs.replace(TINY.resolved(), cost_ramp=0.5), steps=10_000, seed=0, look=look)
    assert looks == [(256, 21), (512, 21)]
