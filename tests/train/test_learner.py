"""The losses against their definitions, and the minibatch loop."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from kalshi_ray.policy.network import MarketModule, masked_space, module_spec
from kalshi_ray.policy.shapes import NETWORKS, NetworkSettings
from kalshi_ray.train.learner import Losses, Tower, run_epochs

N, F, A = 64, 6, 4


def module(network: NetworkSettings | None = None) -> MarketModule:
    spec = module_spec(network or NetworkSettings(hidden=(16,), policy_gain=1.0), seed=2)
    spec.observation_space = masked_space(gym.spaces.Box(-1.0, 1.0, (F,), np.float32), A)
    spec.action_space = gym.spaces.Discrete(A)
    made = spec.build()
    assert isinstance(made, MarketModule)
    return made


def columns(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    illegal = torch.rand((N, A), generator=draw) < 0.4
    illegal[:, 0] = False
    legal = (~illegal).float()
    return {
        "observation": torch.randn((N, F), generator=draw),
        "illegal": illegal,
        "action": torch.multinomial(legal, 1, generator=draw),
        "logp": -torch.rand(N, generator=draw) - 0.5,
        "advantage": torch.randn(N, generator=draw),
    }


def test_the_policy_loss_is_the_clipped_surrogate_less_the_entropy_over_legal_actions() -> None:
    made, given = module(), columns()
    loss, seen = Losses(made, entropy=0.03, clip=0.2, value_coeff=0.5).policy(**given)
    logits = made.policy_logits(given["observation"]).detach().double()
    gains, entropies = [], []
    for i in range(N):
        legal = [a for a in range(A) if not given["illegal"][i, a]]
        chances = torch.softmax(logits[i, legal], 0)
        entropies.append(-(chances * chances.log()).sum())
        ratio = chances[legal.index(int(given["action"][i, 0]))] / given["logp"][i].double().exp()
        advantage = given["advantage"][i].double()
        gains.append(torch.minimum(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)))
    entropy = torch.stack(entropies).mean()
    assert float(seen["entropy"]) == pytest.approx(float(entropy), abs=1e-5)
    assert float(loss) == pytest.approx(float(-torch.stack(gains).mean() - 0.03 * entropy), abs=1e-5)


def test_no_gradient_reaches_a_network_through_illegal_actions() -> None:
    made, given = module(), columns()
    given["illegal"][:, 1] = True
    given["action"] = torch.zeros_like(given["action"])
    loss, _ = Losses(made, entropy=0.1, clip=0.2, value_coeff=0.5).policy(**given)
    loss.backward()
    last = made.policy[-1]
    assert last.bias.grad[1] == 0.0 and torch.isfinite(last.weight.grad).all()


@pytest.mark.parametrize("name", ["small", "shared"])
def test_the_joint_loss_is_the_sum_of_both(name: str) -> None:
    made, given = module(NETWORKS[name]), columns()
    losses = Losses(made, entropy=0.01, clip=0.2, value_coeff=0.5)
    target = torch.arange(N, dtype=torch.float32)
    joint, _ = losses.towers(**given, target=target)
    apart = losses.policy(**given)[0] + losses.value(given["observation"], target)[0]
    assert float(joint) == pytest.approx(float(apart), rel=1e-6)


def test_every_step_is_used_once_an_epoch_and_a_short_rest_is_left_out() -> None:
    met: list[torch.Tensor] = []
    weight = torch.nn.Parameter(torch.zeros(1))

    def loss(index: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        met.append(index)
        return (weight * index.mean()).sum(), {"mean": index.mean()}

    tower = Tower(
        name="policy",
        parameters=[weight],
        optimizer=torch.optim.SGD([weight], lr=0.0),
        loss=loss,
        columns=(torch.arange(50, dtype=torch.float32),),
        generator=torch.Generator().manual_seed(0),
    )
    seen = run_epochs(tower, 3, 16, 0.5)
    assert [len(index) for index in met] == [16] * 9
    assert all(len(set(torch.cat(met[at : at + 3]).tolist())) == 48 for at in (0, 3, 6))
    assert set(seen) == {"mean", "policy_grad_norm"}


def test_a_learning_step_lowers_the_loss() -> None:
    made, given = module(), columns()
    losses = Losses(made, entropy=0.0, clip=10.0, value_coeff=0.5)
    parameters = list(made.policy.parameters())
    before = float(losses.policy(**given)[0])
    tower = Tower(
        name="policy",
        parameters=parameters,
        optimizer=torch.optim.Adam(parameters, lr=1e-3),
        loss=losses.policy,
        columns=tuple(given.values()),
        generator=torch.Generator().manual_seed(0),
    )
    run_epochs(tower, 5, 32, None)
    assert float(losses.policy(**given)[0]) < before
