"""From rollouts or episodes to the tensors that the loss reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from kalshi_ray.errors import DataError
from kalshi_ray.policy.network import ACTION_MASK, OBSERVATION
from kalshi_ray.train.advantage import advantages, discounts, following_values
from kalshi_ray.train.rollout import ELAPSED, Rollout

Values = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TrainBatch:
    """N steps, shuffled nowhere yet. `advantage` is normalised over the batch unless it was to stay plain."""

    observation: torch.Tensor  # [N, F]
    illegal: torch.Tensor  # [N, A] bool: the mask of the decision, inverted
    action: torch.Tensor  # [N, 1]
    logp: torch.Tensor  # [N]
    advantage: torch.Tensor  # [N]
    target: torch.Tensor  # [N] what the value tower should have said
    explained_variance: float  # of the targets by the values at sampling time

    def __len__(self) -> int:
        return len(self.observation)

    def on(self, device: torch.device) -> TrainBatch:
        """The same on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "explained_variance"}
        return replace(self, **moved)

    @property
    def policy_columns(self) -> tuple[torch.Tensor, ...]:
        """What the policy loss reads."""
        return self.observation, self.illegal, self.action, self.logp, self.advantage

    @property
    def value_columns(self) -> tuple[torch.Tensor, ...]:
        """What the value loss reads."""
        return self.observation, self.target

    @property
    def all_columns(self) -> tuple[torch.Tensor, ...]:
        """What the joint loss reads."""
        return *self.policy_columns, self.target


def build_batch(
    items: Sequence[Any], values: Values, *, discount: float, tau_s: float, gae_lambda: float, plain: bool = False
) -> TrainBatch:
    """Estimate advantages of what the runners handed over and lay all steps side by side.

    `plain`: leave the advantages as they are, instead of giving them mean 0 and deviation 1.
    """
    rollouts = [item if isinstance(item, Rollout) else rollout_of_episode(item) for item in items]
    if not any(len(rollout) for rollout in rollouts):
        raise DataError("the learner got nothing to learn from: no runner returned a step")
    parts = []
    for rollout, (value, after) in zip(rollouts, _values(rollouts, values)):
        estimate = np.empty(rollout.reward.shape, np.float32)
        cut = rollout.terminated | rollout.truncated
        factor = discounts(rollout.elapsed, per_step=discount, tau_s=tau_s)
        # In time, a reward arrives at the end of its step: cutting a step in two must not move it.
        reward = rollout.reward * factor if tau_s > 0.0 else rollout.reward
        advantages(reward, value, after, cut, factor, gae_lambda, estimate)
        parts.append((rollout, estimate, value))
    estimate = np.concatenate([rollout.played(found) for rollout, found, _ in parts])
    value = np.concatenate([rollout.played(found) for rollout, _, found in parts])
    if not np.isfinite(estimate).all():
        raise DataError("an advantage is not finite", remedy="A reward, an observation or a weight is not finite")
    target = estimate + value
    spread = float(target.var())
    scaled = estimate if plain else (estimate - estimate.mean()) / (estimate.std() + np.float32(1e-8))
    return TrainBatch(
        observation=_joined([r.played(r.observation[:-1]) for r in rollouts]),
        illegal=~_joined([r.played(r.mask[:-1]) for r in rollouts]),
        action=_joined([r.played(r.action)[:, None] for r in rollouts]),
        logp=torch.from_numpy(np.concatenate([r.played(r.logp) for r in rollouts])),
        advantage=torch.from_numpy(scaled),
        target=torch.from_numpy(target),
        explained_variance=1.0 - float(estimate.var()) / spread if spread > 0.0 else 0.0,
    )


def rollout_of_episode(episode: Any) -> Rollout:
    """An episode chunk as a rollout of one row; where it was cut without an end, the last value bootstraps."""
    seen = episode.get_observations()
    observation = np.asarray(seen[OBSERVATION], np.float32)[:, None]
    mask = np.asarray(seen[ACTION_MASK]).astype(bool)[:, None]
    length = len(observation) - 1
    flags = np.zeros((2, length, 1), np.bool_)
    flags[0, -1], flags[1, -1] = episode.is_terminated, episode.is_truncated
    ended = episode.is_terminated or episode.is_truncated
    ends = np.array([[length - 1, 0]] if ended else np.empty((0, 2)), np.int64)

    def column(steps: Any, kind: Any) -> NDArray[Any]:
        return np.ascontiguousarray(np.asarray(steps, kind)[:, None])

    timed = ELAPSED in episode.extra_model_outputs
    return Rollout(
        observation=observation,
        mask=mask,
        action=column(episode.get_actions(), np.int64),
        logp=column(episode.get_extra_model_outputs(Columns.ACTION_LOGP), np.float32),
        reward=column(episode.get_rewards(), np.float32),
        # RLlib's own runner does not know it; settings refuse a discount in time there.
        elapsed=column(episode.get_extra_model_outputs(ELAPSED) if timed else np.ones(length), np.float32),
        terminated=flags[0],
        truncated=flags[1],
        ends=ends,
        last_observation=observation[-1][: len(ends)],
        last_mask=mask[-1][: len(ends)],
    )


def _values(rollouts: list[Rollout], values: Values) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(value of each step's observation, value after the step), [T, B] each, with one pass over all observations."""
    features = rollouts[0].observation.shape[-1]
    seen = [r.observation.reshape(-1, features) for r in rollouts] + [r.last_observation for r in rollouts]
    with torch.inference_mode():
        every = values(_joined(seen)).numpy()
    starts = np.cumsum([0, *(len(block) for block in seen)])
    found = []
    for k, rollout in enumerate(rollouts):
        own = every[starts[k] : starts[k + 1]].reshape(rollout.observation.shape[:2])
        j = k + len(rollouts)
        last = every[starts[j] : starts[j + 1]]
        found.append((own[:-1], following_values(own, rollout.terminated, rollout.ends, last)))
    return found


def _joined(parts: list[NDArray[Any]]) -> torch.Tensor:
    """Blocks [..., K] as one tensor [N, K]; copied only if there are several. The loss never writes into it."""
    blocks = [np.ascontiguousarray(part).reshape(-1, part.shape[-1]) for part in parts]
    joined = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    return torch.from_numpy(joined if joined.flags.writeable else joined.copy())
