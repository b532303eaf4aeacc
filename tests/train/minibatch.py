"""A small module and the columns of one minibatch for the tests of losses and learner."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch

from kalshi_ray.policy.network import MarketModule, masked_space, module_spec
from kalshi_ray.policy.shapes import NetworkSettings

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
