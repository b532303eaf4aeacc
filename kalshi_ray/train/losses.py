"""PPO's losses on one minibatch. N steps, F features, A actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kalshi_ray.policy.network import MarketModule
from kalshi_ray.policy.towers import MASKED

Seen = Callable[[], dict[str, torch.Tensor]]
"""Figures of a minibatch, worked out only where somebody looks."""
Loss = tuple[torch.Tensor, Seen]


class Surrogate(torch.autograd.Function):
    """The clipped surrogate and the entropy over the legal actions, with their gradient written out.

    `apply(logits [N, A], illegal [N, A], action [N, 1], logp [N], advantage [N], clip, weight)` gives the loss, the
    mean entropy, and for each step the probability ratio [N] and its logarithm [N]. The gradient goes to `logits` only:

        d loss / d logits = (p * (weight * (log p + H) - g) + g at the action) / N, g = -advantage * ratio, 0 if clipped

    Two passes over [N, A] less than autograd needs, and no exp(-1e9), which takes ten times as long as another.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
        clip: float,
        weight: float,
    ) -> tuple[torch.Tensor, ...]:
        """Loss and gradient at once."""
        count = len(logits)
        legal = logits.masked_fill(illegal, MASKED)
        every = torch.log_softmax(legal, -1)
        chance = torch.softmax(legal, -1)
        change = every.gather(1, action)[:, 0] - logp
        ratio = change.exp()
        plain, clipped = advantage * ratio, advantage * ratio.clamp(1.0 - clip, 1.0 + clip)
        entropy = torch.linalg.vecdot(chance, every).neg_()
        pull = (plain <= clipped) * plain.neg() / count
        loss = -torch.minimum(plain, clipped).mean() - weight * entropy.mean()
        gradient = every.add_(entropy[:, None]).mul_(weight / count).sub_(pull[:, None]).mul_(chance)
        ctx.save_for_backward(gradient.scatter_add_(1, action, pull[:, None]))
        mean = entropy.mean()
        ctx.mark_non_differentiable(mean, ratio, change)
        return loss, mean, ratio, change

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the loss times the outer one."""
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0], None, None, None, None, None, None


@dataclass(frozen=True)
class Losses:
    """PPO's clipped loss with entropy over the legal actions, and the value loss."""

    module: MarketModule
    entropy: float
    clip: float
    value_coeff: float

    def policy(
        self,
        observation: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> Loss:
        """Loss of the policy tower on one minibatch."""
        return self._surrogate(self.module.policy_logits(observation), illegal, action, logp, advantage)

    def value(self, observation: torch.Tensor, target: torch.Tensor) -> Loss:
        """Loss of the value tower on one minibatch."""
        return self._squared(self.module.state_values(observation), target)

    def towers(
        self,
        observation: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
        target: torch.Tensor,
    ) -> Loss:
        """Both losses with one pass through what they share."""
        logits, values = self.module.both(observation)
        first, seen = self._surrogate(logits, illegal, action, logp, advantage)
        second, more = self._squared(values, target)
        return first + second, lambda: seen() | more()

    def _surrogate(
        self,
        logits: torch.Tensor,
        illegal: torch.Tensor,
        action: torch.Tensor,
        logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> Loss:
        weight = self.entropy
        loss, entropy, ratio, change = Surrogate.apply(  # type: ignore[no-untyped-call]
            logits, illegal, action, logp, advantage, self.clip, weight
        )

        def seen() -> dict[str, torch.Tensor]:
            return {
                "policy_loss": loss.detach() + weight * entropy,
                "entropy": entropy,
                "mean_kl_loss": (ratio - 1.0 - change).mean(),
                "clip_fraction": ((ratio - 1.0).abs() > self.clip).float().mean(),
            }

        return loss, seen

    def _squared(self, values: torch.Tensor, target: torch.Tensor) -> Loss:
        error = torch.nn.functional.mse_loss(values, target)
        return self.value_coeff * error, lambda: {"vf_loss": error.detach()}
