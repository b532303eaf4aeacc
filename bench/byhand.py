"""PPO as one would write it for one task: no library, no counters, no checkpoints. The practical limit of our loop.

The same environment, masks, networks, loss, clip rule and numerics as ours: fused Adam, both towers apart where two
threads share the work, a gradient clip for each optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from torch import Tensor

from kalshi_ray.env.market_env import Batch
from kalshi_ray.policy.shapes import network_settings
from kalshi_ray.policy.towers import build_towers
from kalshi_ray.train.settings import Hyperparameters
from kalshi_ray.train.sources import MarketSource

Loss = Callable[..., Tensor]
FORBIDDEN = -1e9


class HandWritten:
    """One update a turn."""

    def __init__(self, source: MarketSource, numbers: Hyperparameters, *, split: bool, seed: int = 0) -> None:
        self.numbers, self.rows = numbers, source.make(numbers.rows, seed)
        self.draws, self.order = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        features, actions = self.rows.single_observation_space.shape[0], int(self.rows.single_action_space.n)
        towers = build_towers(network_settings(numbers.network), inputs=features, actions=actions, seed=seed)
        self.policy, self.value = towers["policy"], towers["value"]
        pi, vf = list(self.policy.parameters()), list(self.value.parameters())
        groups = [pi, vf] if split else [pi + vf]
        self.groups = [(g, torch.optim.Adam(g, lr=numbers.learning_rate, eps=1e-5, fused=True)) for g in groups]
        self.pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) if split else None
        steps, count = numbers.batch // numbers.rows, numbers.rows
        self.observation = np.zeros((steps + 1, count, features), np.float32)
        self.mask = np.zeros((steps + 1, count, actions), np.bool_)
        self.action = np.zeros((steps, count), np.int64)
        self.logp, self.reward, self.elapsed = (np.zeros((steps, count), np.float32) for _ in range(3))
        self.terminated, self.truncated = (np.zeros((steps, count), np.bool_) for _ in range(2))
        self.last = Batch.empty(count, features, actions)
        self.rows.reset_into(self.last)
        self.observation[-1], self.mask[-1] = self.last.observation, self.last.mask

    def close(self) -> None:
        """Stop the second thread."""
        if self.pool is not None:
            self.pool.shutdown()

    def turn(self) -> int:
        """Sample one batch, and learn from it for all epochs."""
        ends, last = self.sample()
        columns = self.columns(ends, last)
        observation, illegal, action, logp, advantage, target = columns
        if self.pool is None:
            self.epochs(*self.groups[0], self.joint_loss, columns)
        else:
            waiting = self.pool.submit(self.epochs, *self.groups[1], self.value_loss, (observation, target))
            self.epochs(*self.groups[0], self.policy_loss, (observation, illegal, action, logp, advantage))
            waiting.result()
        return len(observation)

    def sample(self) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
        """Fill the columns; where episodes ended, and their last observations."""
        ends: list[tuple[int, int]] = []
        last: list[np.ndarray] = []
        self.observation[0], self.mask[0] = self.observation[-1], self.mask[-1]
        with torch.inference_mode():
            for t in range(len(self.action)):
                self.act(t)
                batch = Batch(
                    self.observation[t + 1], self.mask[t + 1], self.reward[t], self.terminated[t], self.truncated[t],
                    self.last.final_observation, self.last.final_mask, self.elapsed[t],
                )  # fmt: skip
                self.rows.step_into(self.action[t], batch)
                for row in np.flatnonzero(self.terminated[t] | self.truncated[t]):
                    ends.append((t, int(row)))
                    last.append(batch.final_observation[row].copy())
        self.rows.take_episodes()
        return ends, last

    def act(self, t: int) -> None:
        """Gumbel-max: cheaper than a Categorical object."""
        logits = self.policy(torch.from_numpy(self.observation[t]))
        every = torch.log_softmax(logits.masked_fill(~torch.from_numpy(self.mask[t]), FORBIDDEN), -1)
        noise = torch.from_numpy(self.draws.standard_exponential(every.shape, np.float32)).log_()
        chosen = (every - noise).argmax(-1)
        self.action[t] = chosen.numpy()
        self.logp[t] = every.gather(1, chosen[:, None])[:, 0].numpy()

    def columns(self, ends: list[tuple[int, int]], last: list[np.ndarray]) -> tuple[Tensor, ...]:
        """Observation, illegal, action, logp, advantage and target as tensors of N steps."""
        features = self.observation.shape[-1]
        with torch.inference_mode():
            seen = torch.from_numpy(self.observation.reshape(-1, features))
            value = self.value(seen)[:, 0].numpy().reshape(len(self.observation), -1)
            after = value[1:].copy()
            if ends:
                found = self.value(torch.from_numpy(np.stack(last)))[:, 0].numpy()
                after[tuple(np.array(ends).T)] = found
        after[self.terminated] = 0.0
        cut = self.terminated | self.truncated
        advantage = estimate(self.reward, value[:-1], after, cut, self.numbers.discount, self.numbers.gae_lambda)
        target = advantage + value[:-1]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        flat = (self.observation[:-1], ~self.mask[:-1], self.action[..., None])
        steps = [torch.from_numpy(x.reshape(-1, x.shape[-1])) for x in flat]
        return *steps, *(torch.from_numpy(np.array(x.ravel())) for x in (self.logp, advantage, target))

    def epochs(
        self, parameters: list[Tensor], optimizer: torch.optim.Optimizer, loss: Loss, columns: Sequence[Tensor]
    ) -> None:
        """Shuffle, cut, step."""
        count, size = len(columns[0]), self.numbers.minibatch
        for _ in range(self.numbers.epochs):
            order = torch.randperm(count, generator=self.order)
            shuffled = [column[order] for column in columns]
            for at in range(0, count, size):
                optimizer.zero_grad(set_to_none=True)
                loss(*(column[at : at + size] for column in shuffled)).backward()
                torch.nn.utils.clip_grad_norm_(parameters, self.numbers.grad_clip)
                optimizer.step()

    def policy_loss(self, seen: Tensor, illegal: Tensor, action: Tensor, logp: Tensor, advantage: Tensor) -> Tensor:
        """Clipped surrogate and entropy."""
        every = torch.log_softmax(self.policy(seen).masked_fill(illegal, FORBIDDEN), -1)
        ratio = torch.exp(every.gather(1, action)[:, 0] - logp)
        clip = self.numbers.clip
        gain = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip)).mean()
        entropy = -(every.exp() * every).sum(-1).mean()
        return -gain - self.numbers.entropy * entropy

    def value_loss(self, seen: Tensor, target: Tensor) -> Tensor:
        """Squared error."""
        return self.numbers.value_coeff * torch.nn.functional.mse_loss(self.value(seen)[:, 0], target)

    def joint_loss(self, *columns: Tensor) -> Tensor:
        """Both."""
        return self.policy_loss(*columns[:-1]) + self.value_loss(columns[0], columns[-1])


@njit
def estimate(reward, value, after, cut, discount, lam):  # type: ignore[no-untyped-def]
    """Generalised advantages, [T, B]."""
    out = np.empty_like(reward)
    for b in range(reward.shape[1]):
        run = 0.0
        for t in range(reward.shape[0] - 1, -1, -1):
            run = reward[t, b] + discount * after[t, b] - value[t, b] + (0.0 if cut[t, b] else discount * lam * run)
            out[t, b] = run
    return out
