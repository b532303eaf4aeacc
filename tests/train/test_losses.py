"""The losses against their definitions, and the gradients written out against those of autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.policy.towers import MASKED
from kalshi_ray.train.losses import Squared, Surrogate
from tests.train.minibatch import A, N, columns


def rest(given: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """What the surrogate takes beside the logits."""
    return [given[name] for name in ("illegal", "action", "logp", "advantage")]


def drawn(seed: int, width: float = 1.0) -> torch.Tensor:
    """Logits in float64."""
    return width * torch.randn((N, A), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_float64(seed: int) -> dict[str, torch.Tensor]:
    """A minibatch whose first step had one legal action."""
    given = {k: v.double() if v.is_floating_point() else v for k, v in columns(seed).items()}
    given["illegal"][0, 1:] = True
    given["action"][0] = 0
    return given


def by_autograd(logits: torch.Tensor, given: dict[str, torch.Tensor], clip: float, weight: float) -> torch.Tensor:
    """The definition, left to torch."""
    every = torch.log_softmax(logits.masked_fill(given["illegal"], MASKED), -1)
    ratio = (every.gather(1, given["action"])[:, 0] - given["logp"]).exp()
    gain = torch.minimum(given["advantage"] * ratio, given["advantage"] * ratio.clamp(1 - clip, 1 + clip)).mean()
    return -gain + weight * (every.exp() * every).sum(-1).mean()


def test_the_policy_loss_is_the_clipped_surrogate_and_the_entropy_that_of_the_legal_actions() -> None:
    given, logits = in_float64(0), drawn(0)
    seen = Surrogate.of(logits, *rest(given), clip=0.2, weight=0.03).seen(0.2)
    gains, entropies = [], []
    for i in range(N):
        legal = [a for a in range(A) if not given["illegal"][i, a]]
        chances = torch.softmax(logits[i, legal], 0)
        entropies.append(-(chances * chances.log()).sum())
        ratio = chances[legal.index(int(given["action"][i, 0]))] / given["logp"][i].exp()
        advantage = given["advantage"][i]
        gains.append(torch.minimum(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)))
    assert float(seen["entropy"]) == pytest.approx(float(torch.stack(entropies).mean()), rel=1e-12)
    assert float(seen["policy_loss"]) == pytest.approx(float(-torch.stack(gains).mean()), rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), clip=st.floats(0.05, 0.5), weight=st.floats(0.0, 0.5), width=st.floats(0.1, 8.0))
def test_the_gradient_of_the_surrogate_is_that_of_autograd(seed: int, clip: float, weight: float, width: float) -> None:
    """In float64, with ratios on both sides of the clip, rows with one legal action, and nearly certain policies."""
    given, logits = in_float64(seed), drawn(seed, width).requires_grad_()
    found = Surrogate.of(logits.detach(), *rest(given), clip, weight)
    plain = by_autograd(logits, given, clip, weight)
    plain.backward()
    seen, loss = found.seen(clip), float(plain.detach())
    assert float(seen["policy_loss"] - weight * seen["entropy"]) == pytest.approx(loss, rel=1e-12, abs=1e-12)
    torch.testing.assert_close(found.pull, logits.grad, rtol=1e-10, atol=1e-13)


def test_no_clip_at_all_leaves_the_plain_policy_gradient() -> None:
    """As a2c asks for it."""
    given, logits = in_float64(3), drawn(3).requires_grad_()
    by_autograd(logits, given, float("inf"), 0.01).backward()
    found = Surrogate.of(logits.detach(), *rest(given), float("inf"), 0.01)
    torch.testing.assert_close(found.pull, logits.grad, rtol=1e-10, atol=1e-13)


def test_no_gradient_reaches_a_network_through_illegal_actions() -> None:
    given = columns()
    found = Surrogate.of(drawn(1).float(), *rest(given), 0.2, 0.1)
    assert (found.pull[given["illegal"]] == 0.0).all() and torch.isfinite(found.pull).all()


def test_an_action_that_is_illegal_everywhere_has_no_entropy_and_no_pull() -> None:
    given = columns()
    given["illegal"][:] = True
    given["illegal"][:, 2] = False
    given["action"][:] = 2
    found = Surrogate.of(drawn(2).float(), *rest(given), 0.2, 0.1)
    assert (found.entropy == 0.0).all() and (found.pull == 0.0).all()
    assert torch.equal(found.change, -given["logp"]) and torch.equal(found.ratio, found.change.exp())


@given(seed=st.integers(0, 2**31), coeff=st.floats(0.0, 2.0))
def test_the_gradient_of_the_value_loss_is_that_of_autograd(seed: int, coeff: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn((N, 1), generator=draw, dtype=torch.float64).requires_grad_()
    target = torch.randn(N, generator=draw, dtype=torch.float64)
    loss = torch.nn.functional.mse_loss(values[:, 0], target)
    (coeff * loss).backward()
    found = Squared.of(values.detach(), target, coeff)
    assert float(found.seen()["vf_loss"]) == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(found.pull, values.grad, rtol=1e-10, atol=1e-14)
