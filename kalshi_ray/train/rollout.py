"""What a runner hands over: `[T, B]` columns of one fragment, or RLlib episodes cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from kalshi_ray.policy.network import ACTION_MASK, OBSERVATION

K = TypeVar("K", bound=np.generic)

ELAPSED = "elapsed"
COLUMNS = ("observation", "mask", "action", "logp", "reward", "elapsed", "terminated", "truncated", "logits")


@dataclass(frozen=True)
class Rollout:
    """T steps of B rows, with same-step reset: row `t + 1` of an ended episode is the first of the next one.

    The last observations of ended episodes stand apart: `ends` [N, 2] says (t, b), `last_*` hold them.
    """

    observation: NDArray[np.float32]  # [T + 1, B, F]
    mask: NDArray[np.bool_]  # [T + 1, B, A] the mask the action was drawn under
    action: NDArray[np.int64]  # [T, B]
    logp: NDArray[np.float32]  # [T, B]
    reward: NDArray[np.float32]  # [T, B]
    elapsed: NDArray[np.float32]  # [T, B] seconds covered by the step
    terminated: NDArray[np.bool_]  # [T, B]
    truncated: NDArray[np.bool_]  # [T, B]
    ends: NDArray[np.int64]  # [N, 2]
    last_observation: NDArray[np.float32]  # [N, F]
    last_mask: NDArray[np.bool_]  # [N, A]
    logits: NDArray[np.float32] | None = None  # [T, B, A] masked; only where episodes are asked for

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """[T, B] steps that were played. A row whose sampler has run out stands still: no time passes in it."""
        return (self.elapsed > 0.0) | self.terminated | self.truncated

    def played(self, column: NDArray[K]) -> NDArray[K]:
        """A column [T, B, …] as [N, …], without the steps in which a row stood still; copied only if there are any."""
        return column.reshape(-1, *column.shape[2:]) if len(self) == self.action.size else column[self.alive]

    def without_still_rows(self) -> Rollout:
        """The same without the rows that stood still all the time: they would only take room."""
        moved = self.alive.any(axis=0)
        if moved.all():
            return self
        ends = self.ends.copy()
        ends[:, 1] = (np.cumsum(moved) - 1)[ends[:, 1]]
        kept = {name: column[:, moved] for name in COLUMNS if (column := getattr(self, name)) is not None}
        return replace(self, ends=ends, **kept)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return int(self.alive.sum())

    def env_steps(self) -> int:
        """Steps of the environment (RLlib asks for this name)."""
        return len(self)

    def agent_steps(self) -> int:
        """The same: one agent a row (RLlib asks for this name)."""
        return len(self)


def to_episodes(
    rollout: Rollout, observation_space: gym.spaces.Dict, action_space: gym.Space[Any]
) -> list[SingleAgentEpisode]:
    """The same steps as episode chunks, for RLlib's own learner and for remote ones, which slice them."""
    found = []
    for row in range(rollout.action.shape[1]):
        for start, stop, end in _pieces(rollout, row):
            found.append(_chunk(rollout, row, start, stop, end, observation_space, action_space))
    return found


def _pieces(rollout: Rollout, row: int) -> Iterator[tuple[int, int, int]]:
    """(first step, one past the last, index into `ends` or -1) of the episodes of one row."""
    start = 0
    for index in np.flatnonzero(rollout.ends[:, 1] == row):
        stop = int(rollout.ends[index, 0]) + 1
        yield start, stop, int(index)
        start = stop
    if start < rollout.action.shape[0] and rollout.alive[start, row]:  # a row that stands still goes on so
        yield start, rollout.action.shape[0], -1


def _chunk(
    rollout: Rollout, row: int, start: int, stop: int, end: int, space: gym.spaces.Dict, action_space: gym.Space[Any]
) -> SingleAgentEpisode:
    observation = rollout.observation[start : stop + 1, row].copy()
    mask = rollout.mask[start : stop + 1, row].astype(np.int8)
    if end >= 0:
        observation[-1] = rollout.last_observation[end]
        mask[-1] = rollout.last_mask[end]
    length = stop - start
    extra = {Columns.ACTION_LOGP: rollout.logp, ELAPSED: rollout.elapsed}
    if rollout.logits is not None:
        extra[Columns.ACTION_DIST_INPUTS] = rollout.logits
    episode = SingleAgentEpisode(
        observations=InfiniteLookbackBuffer({OBSERVATION: observation, ACTION_MASK: mask}, 0, space),
        infos=InfiniteLookbackBuffer([{}] * (length + 1), 0),
        actions=InfiniteLookbackBuffer(rollout.action[start:stop, row].copy(), 0, action_space),
        rewards=InfiniteLookbackBuffer(rollout.reward[start:stop, row].copy(), 0),
        extra_model_outputs={k: InfiniteLookbackBuffer(v[start:stop, row].copy(), 0) for k, v in extra.items()},
        terminated=bool(rollout.terminated[stop - 1, row]),
        truncated=bool(rollout.truncated[stop - 1, row]),
        observation_space=space,
        action_space=action_space,
        t_started=0,
        len_lookback_buffer=0,
    )
    episode.t = length  # the constructor counts lists only
    return episode
