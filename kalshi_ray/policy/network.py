"""The RLlib module around the towers, with the action mask inside.

Two ways in. RLlib's stock parts hand over `{"obs": {"observation": [B, F], "action_mask": [B, A]}}` and get masked
logits. Our own runner and learner call `policy_logits` and `state_values` on bare tensors.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import msgspec
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from kalshi_ray.policy.towers import MASKED, NetworkSettings, build_towers

OBSERVATION = "observation"
ACTION_MASK = "action_mask"


def masked_space(observation: gym.spaces.Box, actions: int) -> gym.spaces.Dict:
    """The observation space that RLlib sees: the Box and the mask beside it."""
    return gym.spaces.Dict({OBSERVATION: observation, ACTION_MASK: gym.spaces.MultiBinary(actions)})


def module_spec(network: NetworkSettings, *, seed: int) -> RLModuleSpec:
    """What RLlib needs to build the module on every runner and learner, with the same first weights everywhere."""
    return RLModuleSpec(
        module_class=MarketModule, model_config={"network": msgspec.to_builtins(network), "seed": seed}
    )


class MarketModule(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):  # type: ignore[misc]  # RLlib is untyped
    """Policy and value towers; runners keep the policy only."""

    policy: nn.Sequential
    value: nn.Sequential
    body: nn.Sequential | None

    def setup(self) -> None:
        """Build the towers from `model_config` (called by RLlib's constructor)."""
        self.network = msgspec.convert(self.model_config["network"], NetworkSettings)
        space = self.observation_space
        box = space[OBSERVATION] if isinstance(space, gym.spaces.Dict) else space
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

    def both(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, A] and values [B] with one pass through a shared body."""
        hidden = observation if self.body is None else self.body(observation)
        return self.policy(hidden), self.value(hidden).squeeze(-1)

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
