"""sb3-contrib's MaskablePPO on our rows: the masks, the cost ramp and the schedules of a preset, as far as it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from bench.contestants import sb3_options
from bench.quality import network_of
from kalshi_ray.policy.inference import Network
from kalshi_ray.train.settings import Hyperparameters
from kalshi_ray.train.sources import MarketSource

SECONDS_A_STEP = 1.0  # of planted markets, nearly: a discount in time as a discount a step


class RowsVecEnv(VecEnv):
    """Our rows stepped by one kernel, in SB3's shape: kinder to it than one environment after another."""

    def __init__(self, source: MarketSource, rows: int, seed: int) -> None:
        self.rows = source.make(rows, seed)
        self.batch = self.rows.new_batch()
        self.actions = np.zeros(rows, np.int64)
        space: gym.Space[Any] = self.rows.single_observation_space
        super().__init__(rows, space, self.rows.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """First observations."""
        self.rows.reset_into(self.batch)
        return self.batch.observation.copy()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions."""
        self.actions = np.asarray(actions, np.int64)

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """One step; ended rows show their last observation in `infos`."""
        batch = self.batch
        self.rows.step_into(self.actions, batch)
        ended = batch.terminated | batch.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(ended):
            last = batch.final_observation[row].copy()
            infos[row] = {"terminal_observation": last, "TimeLimit.truncated": bool(batch.truncated[row])}
        if ended.any():
            self.rows.take_episodes()
        return batch.observation.copy(), batch.reward.copy(), ended, infos

    def env_method(self, name: str, *_: Any, indices: Any = None, **__: Any) -> list[Any]:
        """MaskablePPO asks for `action_masks`."""
        return list(self.batch.mask)

    def has_attr(self, name: str) -> bool:
        """The masks are there."""
        return name == "action_masks"

    def get_attr(self, name: str, indices: Any = None) -> list[Any]:
        """Asked for by wrappers only."""
        return [None] * self.num_envs

    def set_attr(self, name: str, value: Any, indices: Any = None) -> None:
        """Nothing to set."""

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """It is not."""
        return [False] * self.num_envs

    def close(self) -> None:
        """Let go of the rows."""
        self.rows.close()


class Ramp(BaseCallback):
    """Before every rollout: the cost share and the weight of the entropy; after it a look, which may end it all."""

    def __init__(self, numbers: Hyperparameters, steps: int, look: Callable[[int, Network], bool]) -> None:
        super().__init__()
        self.numbers, self.steps, self.look, self.over = numbers, steps, look, False

    def _on_rollout_start(self) -> None:
        done = self.num_timesteps / self.steps
        numbers, rows = self.numbers, self.training_env.rows
        rows.set_cost_share(min(1.0, done / numbers.cost_ramp) if numbers.cost_ramp else 1.0)
        self.model.ent_coef = numbers.entropy + (numbers.entropy_end - numbers.entropy) * done
        policy = self.model.policy
        if self.num_timesteps:
            self.over = self.look(self.num_timesteps, network_of([policy.mlp_extractor.policy_net, policy.action_net]))

    def _on_step(self) -> bool:
        return not self.over


def learn(
    source: MarketSource, numbers: Hyperparameters, *, steps: int, seed: int, look: Callable[[int, Network], bool]
) -> None:
    """Train until `look` says that it is over, or to the last step. `look` comes after every update."""
    discount = float(np.exp(-SECONDS_A_STEP / numbers.tau_s)) if numbers.tau_s else numbers.discount
    first, last = numbers.learning_rate, numbers.learning_rate_end
    options = sb3_options(numbers, envs=numbers.rows) | {
        "gamma": discount,
        "learning_rate": lambda left: last + (first - last) * left,
    }
    env = RowsVecEnv(source, numbers.rows, seed)
    model = MaskablePPO("MlpPolicy", env, **options, seed=seed)
    with torch.no_grad():
        model.policy.action_net.bias.zero_()
    model.learn(steps, callback=Ramp(numbers, steps, look))
    env.close()
