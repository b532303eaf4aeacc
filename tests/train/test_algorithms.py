"""The algorithms by name; a2c is ppo with one unclipped gradient a batch, and that is the textbook's A2C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.policy.network import MarketModule
from kalshi_ray.policy.towers import MASKED
from kalshi_ray.registry import load_bundle
from kalshi_ray.train.adam import FlatAdam
from kalshi_ray.train.algorithm import BUILDERS, build_config, on_accelerator
from kalshi_ray.train.algorithms import ALGORITHMS, STEPS_OF_A2C
from kalshi_ray.train.batch import TrainBatch, build_batch
from kalshi_ray.train.losses import Losses
from kalshi_ray.train.passes import passes_of
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import Spaces
from tests.train.minibatch import columns, module
from tests.train.runs import run
from tests.train.toy import ToySource


def test_every_algorithm_can_be_built() -> None:
    assert set(ALGORITHMS) == set(BUILDERS) == {"ppo", "a2c"}


def test_an_unknown_algorithm_lists_what_exists() -> None:
    with pytest.raises(UnknownName, match=r"no algorithm named 'sac'. Known: ppo, a2c"):
        TrainSettings(algorithm="sac").resolved()


@pytest.mark.parametrize("preset", ["fast", "documents"])
def test_a2c_takes_one_gradient_from_each_batch(preset: str) -> None:
    numbers = TrainSettings(algorithm="a2c", preset=preset).resolved()
    assert numbers.minibatch == numbers.batch == STEPS_OF_A2C * numbers.rows
    assert (numbers.epochs, numbers.clip) == (1, float("inf"))
    assert TrainSettings(algorithm="a2c", rows=32, batch=640, minibatch=640, epochs=1).resolved().batch == 640


@pytest.mark.parametrize(
    "against", [{"epochs": 4}, {"minibatch": 256}, {"clip": 0.2}, {"epochs": 2, "minibatch": 64}], ids=str
)
def test_a2c_refuses_what_it_cannot_have(against: dict[str, Any]) -> None:
    named = " and ".join(
        f"train.{name} = {against[name]}" for name in ("minibatch", "epochs", "clip") if name in against
    )
    with pytest.raises(ConfigError, match=f"it cannot have {named}"):
        TrainSettings(algorithm="a2c", **against).resolved()


def textbook(made: MarketModule, batch: TrainBatch, *, entropy: float, value: float) -> torch.Tensor:
    """A2C as textbooks have it: log-likelihood times advantage, entropy over what is legal, squared value error."""
    every = torch.log_softmax(made.policy_logits(batch.observation).masked_fill(batch.illegal, MASKED), -1)
    likelihood = every.gather(1, batch.action)[:, 0]
    spread = -(every.exp() * every).sum(-1).mean()
    error = (made.state_values(batch.observation) - batch.target).square().mean()
    return -(likelihood * batch.advantage).mean() - entropy * spread + value * error


def test_at_ratio_one_the_gradient_is_that_of_the_textbook() -> None:
    made, given = module(), columns()
    with torch.no_grad():
        logits = made.policy_logits(given["observation"]).masked_fill(given["illegal"], MASKED)
        given["logp"] = torch.log_softmax(logits, -1).gather(1, given["action"])[:, 0]
    FlatAdam(made.policy.parameters())
    losses = Losses(entropy=0.02, clip=float("inf"), value_coeff=0.5)
    losses.policy(passes_of(made, "policy", len(given["action"])), **given)
    batch = TrainBatch(**given, target=torch.zeros(len(given["action"])), explained_variance=0.0)
    theirs = textbook(made, batch, entropy=0.02, value=0.0)
    for weights, two in zip(made.policy.parameters(), torch.autograd.grad(theirs, list(made.policy.parameters()))):
        torch.testing.assert_close(weights.grad, two, rtol=1e-4, atol=1e-7)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("split", [True, False])
def test_an_update_of_a2c_gives_the_weights_of_the_textbooks_update(split: bool) -> None:
    settings = TrainSettings(
        algorithm="a2c", rows=32, steps=10_000, split_towers=split, grad_clip=0.0, cost_ramp=0.0, matmul="highest"
    )
    numbers = settings.resolved()
    source = ToySource(length=100)
    algorithm = build_config(settings, source, Spaces.of(source.make(1, 0))).build_algo()
    try:
        episodes = algorithm.env_runner.sample()
        learner = algorithm.learner_group._learner
        ours = learner.module[DEFAULT_MODULE_ID].unwrapped()
        theirs = MarketModule(
            observation_space=ours.observation_space, action_space=ours.action_space, model_config=ours.model_config
        )
        theirs.load_state_dict(ours.state_dict())
        batch = build_batch(
            episodes,
            theirs.state_values,
            discount=numbers.discount,
            tau_s=numbers.tau_s,
            gae_lambda=numbers.gae_lambda,
            plain=True,
        )
        optimizer = torch.optim.Adam(theirs.parameters(), lr=numbers.learning_rate, eps=1e-5)
        textbook(theirs, batch, entropy=numbers.entropy, value=numbers.value_coeff).backward()
        optimizer.step()
        algorithm.learner_group.update(
            episodes=episodes,
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0},
            num_epochs=algorithm.config.num_epochs,
            minibatch_size=algorithm.config.minibatch_size,
        )
        for (name, one), two in zip(ours.named_parameters(), theirs.parameters()):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=2e-6, msg=name)
    finally:
        algorithm.stop()


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_a2c_trains_by_its_name_alone(tmp_path: Path) -> None:
    """As the documents call it: 5,000 steps, nothing else set."""
    result = run(
        tmp_path / "r", **dict.fromkeys(("rows", "batch", "minibatch", "epochs")), algorithm="a2c", steps=5_000
    )
    assert result.steps == 6_144 and load_bundle(result.bundle).manifest.algorithm == "a2c"


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_a_learner_in_a_process_of_its_own_learns_the_same(tmp_path: Path) -> None:
    """What it gets are episodes, in another order: the same up to that."""
    here = run(tmp_path / "here", algorithm="a2c", rows=32, batch=2_048, minibatch=None, epochs=None)
    there = run(tmp_path / "there", algorithm="a2c", rows=32, batch=2_048, minibatch=None, epochs=None, learners=1)
    one, two = (load_bundle(result.bundle).network.weights for result in (here, there))
    assert np.abs(one - two).max() < 1e-4 and there.steps == here.steps


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("shared_ray")
def test_two_learners_are_rllibs_own_and_share_the_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="our learner is one process"):
        run(tmp_path / "r", learners=2)
    result = run(tmp_path / "r", learners=2, learner="stock", tau_s=0.0, cost_ramp=0.0, batches=1)
    assert result.steps >= 2_048


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_an_accelerator_that_is_not_there_is_refused_and_the_cpu_always_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for learners in (0, 1):
        with pytest.raises(ConfigError, match=r"train.device = cuda, but there is no GPU for the learner"):
            on_accelerator(TrainSettings(device="cuda", learners=learners))
    assert not on_accelerator(TrainSettings(device="cpu")) and not on_accelerator(TrainSettings())
