"""From rollouts and episodes to what the loss reads."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from kalshi_ray.errors import DataError
from kalshi_ray.policy.network import masked_space
from kalshi_ray.train.batch import TrainBatch, build_batch
from kalshi_ray.train.rollout import Rollout, to_episodes

T, B, F, A = 11, 4, 5, 3


def rollout(seed: int = 0) -> Rollout:
    """Random steps with ends of both kinds."""
    draw = np.random.default_rng(seed)
    terminated, truncated = draw.random((T, B)) < 0.1, draw.random((T, B)) < 0.1
    truncated &= ~terminated
    ends = np.argwhere(terminated | truncated)
    mask = draw.random((T + 1, B, A)) < 0.5
    mask[..., 0] = True
    return Rollout(
        observation=draw.normal(size=(T + 1, B, F)).astype(np.float32),
        mask=mask,
        action=draw.integers(0, A, (T, B)),
        logp=draw.normal(size=(T, B)).astype(np.float32),
        reward=draw.normal(size=(T, B)).astype(np.float32),
        elapsed=draw.exponential(2.0, (T, B)).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        ends=ends,
        last_observation=draw.normal(size=(len(ends), F)).astype(np.float32),
        last_mask=np.ones((len(ends), A), bool),
        logits=draw.normal(size=(T, B, A)).astype(np.float32),
    )


def values(observation: torch.Tensor) -> torch.Tensor:
    return observation.sum(-1) * 0.3


def none(observation: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(observation))


def built(items: list[Rollout], *, tau_s: float = 40.0) -> TrainBatch:
    return build_batch(items, values, discount=0.9, tau_s=tau_s, gae_lambda=0.8)


@pytest.mark.parametrize("tau_s", [0.0, 40.0])
def test_episodes_and_columns_of_the_same_steps_teach_the_same(tau_s: float) -> None:
    one = rollout()
    space = masked_space(gym.spaces.Box(-np.inf, np.inf, (F,), np.float32), A)
    columns = built([one], tau_s=tau_s)
    pieces = build_batch(
        to_episodes(one, space, gym.spaces.Discrete(A)), values, discount=0.9, tau_s=tau_s, gae_lambda=0.8
    )
    # Columns run step by step over all rows, episodes row by row.
    order = np.arange(T * B).reshape(T, B).T.ravel()
    for name in ("observation", "illegal", "action", "logp", "target"):
        assert torch.allclose(getattr(columns, name)[order].float(), getattr(pieces, name).float(), atol=1e-5), name
    assert torch.allclose(columns.advantage[order], pieces.advantage, atol=1e-4)


def test_several_rollouts_are_laid_side_by_side() -> None:
    joined, first = built([rollout(0), rollout(1)]), built([rollout(0)])
    assert len(joined) == 2 * T * B
    assert torch.equal(joined.observation[: T * B], first.observation)
    assert torch.allclose(joined.target[: T * B], first.target)


def test_the_mask_of_the_loss_is_the_mask_of_the_decision() -> None:
    one = rollout()
    assert np.array_equal(built([one]).illegal.numpy(), ~one.mask[:-1].reshape(T * B, A))


def test_advantages_have_mean_zero_and_unit_spread() -> None:
    advantage = built([rollout(0), rollout(1)]).advantage
    assert abs(float(advantage.mean())) < 1e-6 and abs(float(advantage.std(correction=0)) - 1.0) < 1e-5


@pytest.mark.parametrize("extra", [1, 5])
def test_idle_decisions_leave_returns_discounted_in_time_unchanged(extra: int) -> None:
    """The first span is cut into more decisions at which nothing changed: its reward still comes at its end."""
    few = single_row([1.0, 0.5, 2.0], [10.0, 4.0, 7.0])
    many = single_row([0.0] * extra + [1.0, 0.5, 2.0], [10.0 / (extra + 1)] * (extra + 1) + [4.0, 7.0])
    first = [build_batch([r], none, discount=0.0, tau_s=60.0, gae_lambda=1.0).target[0] for r in (few, many)]
    assert float(first[0]) == pytest.approx(float(first[1]), rel=1e-5)


def single_row(reward: list[float], elapsed: list[float]) -> Rollout:
    """One row whose episode is settled at the last step."""
    steps = len(reward)
    terminated = np.zeros((steps, 1), bool)
    terminated[-1] = True
    return Rollout(
        observation=np.zeros((steps + 1, 1, F), np.float32),
        mask=np.ones((steps + 1, 1, A), bool),
        action=np.zeros((steps, 1), np.int64),
        logp=np.zeros((steps, 1), np.float32),
        reward=np.array(reward, np.float32)[:, None],
        elapsed=np.array(elapsed, np.float32)[:, None],
        terminated=terminated,
        truncated=np.zeros((steps, 1), bool),
        ends=np.array([[steps - 1, 0]]),
        last_observation=np.zeros((1, F), np.float32),
        last_mask=np.ones((1, A), bool),
    )


def idle_from(one: Rollout, step: int, row: int) -> Rollout:
    """The rollout with one row that ends at `step` - 1 and then stands still, showing whatever it shows."""
    reward, elapsed, truncated, terminated = (
        getattr(one, name).copy() for name in ("reward", "elapsed", "truncated", "terminated")
    )
    reward[step:, row] = elapsed[step:, row] = 0.0
    truncated[step:, row] = terminated[step:, row] = False
    truncated[step - 1, row], terminated[step - 1, row] = True, False
    ends = np.argwhere(terminated | truncated)
    last = one.observation[ends[:, 0] + 1, ends[:, 1]]
    return replace(
        one, reward=reward, elapsed=elapsed, truncated=truncated, terminated=terminated, ends=ends,
        last_observation=last, last_mask=np.ones((len(ends), A), bool),
    )  # fmt: skip


@pytest.mark.parametrize("step", [1, 7])
def test_a_row_that_stands_still_teaches_nothing_and_changes_nothing(step: int) -> None:
    one = idle_from(rollout(), step, 2)
    assert len(one) == T * B - (T - step) and one.env_steps() == len(one)
    batch = built([one])
    strange = replace(one, observation=one.observation.copy(), logp=one.logp.copy())
    strange.observation[step + 1 :, 2], strange.logp[step:, 2] = 99.0, 99.0
    for built_batch in (batch, built([strange])):
        assert len(built_batch) == len(one)
        for name in ("observation", "illegal", "action", "logp", "advantage", "target"):
            assert torch.equal(getattr(batch, name), getattr(built_batch, name)), name
    space = masked_space(gym.spaces.Box(-np.inf, np.inf, (F,), np.float32), A)
    episodes = to_episodes(one, space, gym.spaces.Discrete(A))
    assert sum(len(episode) for episode in episodes) == len(one)


def test_rows_that_never_moved_are_left_out_and_the_rest_teaches_the_same() -> None:
    one = rollout()
    kept = one.without_still_rows()
    assert kept is one
    still = {name: getattr(one, name).copy() for name in ("reward", "elapsed", "truncated", "terminated")}
    for column in still.values():
        column[:, 1] = 0
    ends = one.ends[one.ends[:, 1] != 1]
    rest = {
        "ends": ends,
        "last_observation": one.last_observation[: len(ends)],
        "last_mask": one.last_mask[: len(ends)],
    }
    one = replace(one, **still, **rest)
    fewer = one.without_still_rows()
    assert fewer.action.shape == (T, B - 1) and len(fewer) == len(one)
    for name in ("observation", "illegal", "action", "logp", "advantage", "target"):
        assert torch.equal(getattr(built([one]), name), getattr(built([fewer]), name)), name


def test_rows_that_all_stand_still_are_nothing_to_learn_from() -> None:
    one = rollout()
    nothing = {name: np.zeros((T, B), bool) for name in ("terminated", "truncated")}
    still = replace(one, elapsed=np.zeros((T, B), np.float32), **nothing)
    with pytest.raises(DataError, match="nothing to learn"):
        built([still])


def test_a_reward_that_is_not_finite_stops_the_update() -> None:
    broken = rollout()
    reward = broken.reward.copy()
    reward[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        built([replace(broken, reward=reward)])


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        built([])
