"""The RLlib module around the towers, with the action mask inside.

Two ways in. RLlib's stock parts hand over `{"obs": {"observation": [B, F], "action_mask": [B, A]}}` and get masked
logits. Our own runner and learner call `policy_logits` and `state_values` on bare tensors.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from kalshi_ray.policy.inference import Network
from kalshi_ray.policy.shapes import NetworkSettings
from kalshi_ray.policy.towers import MASKED, build_towers, linear_layers

OBSERVATION = "observation"
ACTION_MASK = "action_mask"


def masked_space(observation: gym.spaces.Box, actions: int) -> gym.spaces.Dict:
    """The observation space that RLlib sees: the Box and the mask beside it."""
    return gym.spaces.Dict({OBSERVATION: observation, ACTION_MASK: gym.spaces.MultiBinary(actions)})


def module_spec(network: NetworkSettings, *, seed: int) -> RLModuleSpec:
    """What RLlib needs to build the module on every runner and learner, with the same first weights everywhere."""
    return RLModuleSpec(module_class=MarketModule, model_config={"network": msgspec.to_builtins(network), "seed": seed})


class MarketModule(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):
    """Policy and value towers; runners keep the policy only."""

    policy: nn.Sequential
    value: nn.Sequential
    body: nn.Sequential | None

    def setup(self) -> None:
        """Build the towers from `model_config` (called by RLlib's constructor)."""
        self.network = msgspec.convert(self.model_config["network"], NetworkSettings)
        space: Any = self.observation_space
        box: Any = space[OBSERVATION] if isinstance(space, gym.spaces.Dict) else space
        parts = build_towers(
            self.network,
            inputs=int(box.shape[0]),
            actions=int(self.action_space.n),
            seed=int(self.model_config["seed"]),
        )
        self.body = parts.get("body")
        self.policy, self.value = parts["policy"], parts["value"]

    def get_non_inference_attributes(self) -> list[str]:
        """What an env runner does not need."""
        return ["value"]

    def policy_logits(self, observation: torch.Tensor) -> torch.Tensor:
        """Logits before the mask, [B, A], of observations [B, F]."""
        hidden = observation if self.body is None else self.body(observation)
        logits: torch.Tensor = self.policy(hidden)
        return logits

    def state_values(self, observation: torch.Tensor) -> torch.Tensor:
        """Values [B] of observations [B, F]."""
        hidden = observation if self.body is None else self.body(observation)
        values: torch.Tensor = self.value(hidden)
        return values.squeeze(-1)

    def network_of_decisions(self) -> Network:
        """The path that decides, as a bundle holds it."""
        return Network.pack(self.deciding_layers(), activation=self.network.activation)

    def deciding_layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """(weight [out, in], bias [out]) of each layer between observation and logits."""
        parts = [part for part in (self.body, self.policy) if part is not None]
        return [
            (layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy())
            for layer in linear_layers(parts)
        ]

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        observation, mask = _split(batch[Columns.OBS])
        logits = self.policy_logits(observation)
        if mask is not None:
            logits = logits.masked_fill(mask == 0, MASKED)
        return {Columns.ACTION_DIST_INPUTS: logits}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Values [B]: what RLlib's own learner and connectors ask for."""
        del embeddings  # the towers are small: nothing is kept between the two passes
        return self.state_values(_split(batch[Columns.OBS])[0])


def _split(observed: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    if isinstance(observed, dict):
        return observed[OBSERVATION], observed[ACTION_MASK]
    return observed, None
