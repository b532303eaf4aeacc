"""The losses against their definitions, and the gradient written out against that of autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.policy.shapes import NETWORKS
from kalshi_ray.policy.towers import MASKED
from kalshi_ray.train.losses import Losses, Surrogate
from tests.train.minibatch import A, N, columns, module


def test_the_policy_loss_is_the_clipped_surrogate_less_the_entropy_over_legal_actions() -> None:
    made, given = module(), columns()
    loss, seen = Losses(made, entropy=0.03, clip=0.2, value_coeff=0.5).policy(**given)
    logits = made.policy_logits(given["observation"]).detach().double()
    gains, entropies = [], []
    for i in range(N):
        legal = [a for a in range(A) if not given["illegal"][i, a]]
        chances = torch.softmax(logits[i, legal], 0)
        entropies.append(-(chances * chances.log()).sum())
        ratio = chances[legal.index(int(given["action"][i, 0]))] / given["logp"][i].double().exp()
        advantage = given["advantage"][i].double()
        gains.append(torch.minimum(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)))
    entropy = torch.stack(entropies).mean()
    assert float(seen()["entropy"]) == pytest.approx(float(entropy), abs=1e-5)
    assert float(loss.detach()) == pytest.approx(float(-torch.stack(gains).mean() - 0.03 * entropy), abs=1e-5)


def test_no_gradient_reaches_a_network_through_illegal_actions() -> None:
    made, given = module(), columns()
    given["illegal"][:, 1] = True
    given["action"] = torch.zeros_like(given["action"])
    loss, _ = Losses(made, entropy=0.1, clip=0.2, value_coeff=0.5).policy(**given)
    loss.backward()
    last = made.policy[-1]
    assert last.bias.grad[1] == 0.0 and torch.isfinite(last.weight.grad).all()


@pytest.mark.parametrize("name", ["small", "shared"])
def test_the_joint_loss_is_the_sum_of_both(name: str) -> None:
    made, given = module(NETWORKS[name]), columns()
    losses = Losses(made, entropy=0.01, clip=0.2, value_coeff=0.5)
    target = torch.arange(N, dtype=torch.float32)
    joint, _ = losses.towers(**given, target=target)
    apart = losses.policy(**given)[0] + losses.value(given["observation"], target)[0]
    assert float(joint) == pytest.approx(float(apart), rel=1e-6)


def rest(given: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What the surrogate takes beside the logits."""
    return [given[name] for name in ("illegal", "action", "logp", "advantage")]


def by_autograd(logits: torch.Tensor, given: dict[str, torch.Tensor], clip: float, weight: float) -> torch.Tensor:
    """The definition, left to torch."""
    every = torch.log_softmax(logits.masked_fill(given["illegal"], MASKED), -1)
    ratio = (every.gather(1, given["action"])[:, 0] - given["logp"]).exp()
    gain = torch.minimum(given["advantage"] * ratio, given["advantage"] * ratio.clamp(1 - clip, 1 + clip)).mean()
    return -gain + weight * (every.exp() * every).sum(-1).mean()


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), clip=st.floats(0.05, 0.5), weight=st.floats(0.0, 0.5), width=st.floats(0.1, 8.0))
def test_the_gradient_of_the_surrogate_is_that_of_autograd(seed: int, clip: float, weight: float, width: float) -> None:
    """In float64, with ratios on both sides of the clip, rows with one legal action, and nearly certain policies."""
    given = {k: v.double() if v.is_floating_point() else v for k, v in columns(seed).items()}
    given["illegal"][0, 1:] = True
    given["action"][0] = 0
    logits = width * torch.randn((N, A), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    one, two = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, *_ = Surrogate.apply(one, *rest(given), clip, weight)
    plain = by_autograd(two, given, clip, weight)
    (3.0 * loss).backward()
    (3.0 * plain).backward()
    assert float(loss) == pytest.approx(float(plain), rel=1e-12, abs=1e-12)
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-12)


def test_an_action_that_is_illegal_everywhere_has_no_entropy_and_no_pull() -> None:
    given = columns()
    given["illegal"][:] = True
    given["illegal"][:, 2] = False
    given["action"][:] = 2
    logits = torch.randn(N, A, requires_grad=True)
    loss, entropy, ratio, change = Surrogate.apply(logits, *rest(given), 0.2, 0.1)
    loss.backward()
    assert float(entropy) == 0.0 and (logits.grad == 0.0).all()
    assert torch.equal(change, -given["logp"]) and torch.equal(ratio, change.exp())
