"""PPO's losses on one minibatch, with their gradients written out. N steps, F features, A actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kalshi_ray.policy.towers import MASKED
from kalshi_ray.train.passes import Passes

Seen = Callable[[], dict[str, torch.Tensor]]
"""Figures of a minibatch, worked out only where somebody looks."""


@dataclass(frozen=True)
class Surrogate:
    """The clipped surrogate and the entropy over the legal actions, and where they pull the logits."""

    gain: torch.Tensor  # [N]
    entropy: torch.Tensor  # [N]
    ratio: torch.Tensor  # [N] probability of the action over the one it was drawn with
    change: torch.Tensor  # [N] logarithm of it
    pull: torch.Tensor  # [N, A] d loss / d logits

    @classmethod
    def of(
        cls,
        logits: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
        clip: float,
        weight: float,
    ) -> Surrogate:
        """From `logits` and `illegal` [N, A], `action` [N, 1], `logp` and `advantage` [N]; `weight` of the entropy H.

            loss = -mean of (gain + weight * H), gain = min(advantage * ratio, advantage * clipped ratio)
            d loss / d logits = (p * (weight * (log p + H) - g) + g at the action) / N
            g = -advantage * ratio, or 0 where the clipped ratio is the lesser gain

        p comes from a softmax of its own: exp(-1e9) of what is masked takes ten times as long as another exp.
        """
        count = len(logits)
        legal = torch.add(logits, illegal, alpha=MASKED)  # a fifth of the time of masked_fill
        every = torch.log_softmax(legal, -1)
        chance = torch.softmax(legal, -1)
        change = every.gather(1, action)[:, 0] - logp
        ratio = change.exp()
        plain, clipped = advantage * ratio, advantage * ratio.clamp(1.0 - clip, 1.0 + clip)
        entropy = torch.linalg.vecdot(chance, every).neg_()
        g = (plain <= clipped) * plain * (-1.0 / count)
        pull = torch.add((entropy * (weight / count) - g)[:, None], every, alpha=weight / count).mul_(chance)
        return cls(torch.minimum(plain, clipped), entropy, ratio, change, pull.scatter_add_(1, action, g[:, None]))

    def seen(self, clip: float) -> dict[str, torch.Tensor]:
        """Loss without entropy, entropy, and how far the policy has moved."""
        return {
            "policy_loss": -self.gain.mean(),
            "entropy": self.entropy.mean(),
            "mean_kl_loss": (self.ratio - 1.0 - self.change).mean(),
            "clip_fraction": ((self.ratio - 1.0).abs() > clip).float().mean(),
        }


@dataclass(frozen=True)
class Squared:
    """The mean of the squared errors of values, and where it pulls them."""

    error: torch.Tensor  # [N]
    pull: torch.Tensor  # [N, 1] d (coeff * mean of error squared) / d values

    @classmethod
    def of(cls, values: torch.Tensor, target: torch.Tensor, coeff: float) -> Squared:
        """From `values` [N, 1] and `target` [N]."""
        error = values[:, 0] - target
        return cls(error, error[:, None] * (2.0 * coeff / len(error)))

    def seen(self) -> dict[str, torch.Tensor]:
        """The loss before its coefficient."""
        return {"vf_loss": self.error.square().mean()}


@dataclass(frozen=True)
class Losses:
    """PPO's clipped loss with entropy over the legal actions, and the value loss: each goes forth and back once."""

    entropy: float
    clip: float
    value_coeff: float

    def policy(
        self,
        passes: Passes,
        observation: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> Seen:
        """Gradient of the policy tower's loss."""
        (logits,) = passes.forth(observation)
        found = Surrogate.of(logits, illegal, action, logp, advantage, self.clip, self.entropy)
        passes.back(found.pull)
        return lambda: found.seen(self.clip)

    def value(self, passes: Passes, observation: torch.Tensor, target: torch.Tensor) -> Seen:
        """Gradient of the value tower's loss."""
        (values,) = passes.forth(observation)
        found = Squared.of(values, target, self.value_coeff)
        passes.back(found.pull)
        return found.seen

    def towers(
        self,
        passes: Passes,
        observation: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
        target: torch.Tensor,
    ) -> Seen:
        """Gradient of the sum of both, with one pass through what the towers share."""
        logits, values = passes.forth(observation)
        first = Surrogate.of(logits, illegal, action, logp, advantage, self.clip, self.entropy)
        second = Squared.of(values, target, self.value_coeff)
        passes.back(first.pull, second.pull)
        return lambda: first.seen(self.clip) | second.seen()
