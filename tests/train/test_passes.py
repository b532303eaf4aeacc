"""Networks forth and back: what is written out is what autograd finds, and each network gets the way that fits it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.errors import ContractError
from kalshi_ray.policy.network import MarketModule
from kalshi_ray.policy.shapes import NetworkSettings
from kalshi_ray.train.losses import Losses
from kalshi_ray.train.passes import Part, Passes, Recorded, WrittenOut, passes_of
from tests.train.minibatch import N, columns, module

PARTS: dict[Part, list[str]] = {"policy": ["policy"], "value": ["value"], "towers": ["policy", "value"]}


def built(seed: int = 0, **shape: Any) -> MarketModule:
    """In float64, biases drawn too, each weight with a place for its gradient in which something stands already."""
    made = module(NetworkSettings(**{"hidden": (16, 9), "policy_gain": 1.0} | shape)).double()
    draw = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        with torch.no_grad():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
        parameter.grad = torch.full_like(parameter, 7.0)
    return made


def minibatch(part: Part, seed: int) -> list[torch.Tensor]:
    """What the loss of `part` reads, in float64."""
    given = {k: v.double() if v.is_floating_point() else v for k, v in columns(seed).items()}
    target = torch.randn(N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if part == "value":
        return [given["observation"], target]
    return [*given.values(), *([target] if part == "towers" else [])]


def gradients(made: MarketModule, part: Part, passes: Passes, seed: int, losses: Losses) -> dict[str, torch.Tensor]:
    getattr(losses, part)(passes, *minibatch(part, seed))
    return {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("part", get_args(Part))
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**31), hidden=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    clip=st.sampled_from([0.05, 0.2, float("inf")]), entropy=st.floats(0.0, 0.3), coeff=st.floats(0.0, 1.0),
)  # fmt: skip
def test_gradients_written_out_are_those_of_autograd(
    part: Part, seed: int, hidden: list[int], clip: float, entropy: float, coeff: float
) -> None:
    """Twice with one set of places, as in the minibatch loop; weights of the other tower are left alone."""
    made, losses = built(seed, hidden=tuple(hidden)), Losses(entropy, clip, coeff)
    written = passes_of(made, part, N)
    recorded = Recorded([getattr(made, name) for name in PARTS[part]], body=None)
    assert isinstance(written, WrittenOut)
    for at in (seed, seed + 1):
        expected = gradients(made, part, recorded, at, losses)
        for name, found in gradients(made, part, written, at, losses).items():
            torch.testing.assert_close(found, expected[name], rtol=1e-10, atol=1e-13, msg=name)
            assert (found == 7.0).all() == (name.split(".")[0] not in PARTS[part])


def test_both_ways_say_what_the_module_says() -> None:
    made, seen = built(), minibatch("towers", 1)[0]
    for passes in (passes_of(made, "towers", N), Recorded([made.policy, made.value], body=None)):
        logits, values = passes.forth(seen)
        torch.testing.assert_close(logits, made.policy_logits(seen))
        torch.testing.assert_close(values[:, 0], made.state_values(seen))


def test_a_shared_body_gets_the_gradients_of_both_towers() -> None:
    made, losses = built(shared=True), Losses(0.02, 0.2, 0.5)
    both = gradients(made, "towers", passes_of(made, "towers", N), 5, losses)
    observation, *rest, target = minibatch("towers", 5)
    losses.policy(Recorded([made.policy], body=made.body), observation, *rest)
    alone = [p.grad.clone() for p in made.body.parameters()]
    losses.value(Recorded([made.value], body=made.body), observation, target)
    for (name, p), one in zip(made.body.named_parameters(), alone):
        torch.testing.assert_close(both[f"body.{name}"], one + p.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("shape", [{"shared": True}, {"dropout": 0.1}, {"activation": "tanh"}])
def test_whatever_is_no_plain_tower_goes_by_autograd(shape: dict[str, Any]) -> None:
    made = built(**shape)
    assert isinstance(passes_of(made, "towers", N), Recorded)
    found = gradients(made, "towers", passes_of(made, "towers", N), 0, Losses(0.01, 0.2, 0.5))
    assert not any((gradient == 7.0).all() for gradient in found.values())


def test_an_accelerator_goes_by_autograd() -> None:
    assert isinstance(passes_of(built().to("meta"), "towers", N), Recorded)


def test_weights_without_a_place_for_their_gradient_are_refused() -> None:
    made = built()
    made.policy[0].weight.grad = None
    with pytest.raises(ContractError, match="no place for its gradient"):
        passes_of(made, "policy", N)
