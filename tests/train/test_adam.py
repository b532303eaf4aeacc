"""Adam over one vector against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch

from kalshi_ray.train.adam import FlatAdam

SHAPES = [(7, 5), (7,), (3, 7), (3,), (1, 3), (1,)]
RATES = {"lr": 1e-2, "eps": 1e-5}


def weights(seed: int = 0) -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def gradients(seed: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1_000 + seed)
    return [torch.randn(shape, generator=draw) for shape in SHAPES]


def take(optimizer: torch.optim.Optimizer, steps: range, clip: float | None = None) -> list[float]:
    """Steps along drawn gradients; how long each was."""
    norms, layers = [], optimizer.param_groups[0]["params"]
    for step in steps:
        for layer, gradient in zip(layers, gradients(step)):
            layer.grad = gradient if layer.grad is None else layer.grad.copy_(gradient)
        if isinstance(optimizer, FlatAdam):
            norms.append(float(optimizer.clip(clip)))
        else:
            norms.append(float(torch.nn.utils.clip_grad_norm_(layers, float("inf") if clip is None else clip)))
        optimizer.step()
    return norms


def assert_equal(one: list[torch.nn.Parameter], two: list[torch.nn.Parameter]) -> None:
    for mine, theirs in zip(one, two):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("clip", [None, 0.5, 1e6])
def test_steps_and_norms_are_those_of_torch(clip: float | None) -> None:
    mine, theirs = weights(), weights()
    ours, torchs = FlatAdam(mine, **RATES), torch.optim.Adam(theirs, **RATES)
    assert take(ours, range(5), clip) == pytest.approx(take(torchs, range(5), clip), rel=1e-5)
    assert_equal(mine, theirs)


def test_a_rate_that_changes_counts_from_the_next_step() -> None:
    mine, theirs = weights(), weights()
    for optimizer in (FlatAdam(mine, **RATES), torch.optim.Adam(theirs, **RATES)):
        take(optimizer, range(2))
        optimizer.param_groups[0]["lr"] = 1e-3
        take(optimizer, range(2, 4))
    assert_equal(mine, theirs)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize(("first", "second"), [("flat", "torch"), ("torch", "flat"), ("flat", "flat")])
def test_a_state_goes_from_either_to_either(first: str, second: str, before: int) -> None:
    """Also one in which no step was taken, into an optimizer that took some."""
    kinds = {"flat": FlatAdam, "torch": torch.optim.Adam}
    straight = weights()
    take(torch.optim.Adam(straight, **RATES), range(before + 3))
    begun = weights()
    source = kinds[first](begun, **RATES)
    take(source, range(before))
    resumed = weights()
    target = kinds[second](resumed, **RATES)
    take(target, range(50, 52))
    target.load_state_dict(copy.deepcopy(source.state_dict()))
    with torch.no_grad():
        for to, given in zip(resumed, begun):
            to.copy_(given)
    take(target, range(before, before + 3))
    assert_equal(resumed, straight)


def test_the_state_by_layer_is_that_of_torch() -> None:
    mine, theirs = weights(), weights()
    ours, torchs = FlatAdam(mine, **RATES), torch.optim.Adam(theirs, **RATES, fused=True)
    take(ours, range(3)), take(torchs, range(3))
    one, two = ours.state_dict(), torchs.state_dict()
    assert one["param_groups"] == two["param_groups"] and one["state"].keys() == two["state"].keys()
    for layer, found in two["state"].items():
        assert one["state"][layer].keys() == found.keys()
        for name, tensor in found.items():
            torch.testing.assert_close(one["state"][layer][name], tensor, rtol=1e-6, atol=1e-8)


def test_weights_keep_their_values_and_their_names_for_them() -> None:
    given = weights()
    FlatAdam(given, **RATES)
    for mine, before in zip(given, weights()):
        assert torch.equal(mine, before) and mine.is_contiguous() and mine.data_ptr() % 64 == given[0].data_ptr() % 64


def test_zeroing_gradients_leaves_them_in_their_place() -> None:
    given = weights()
    optimizer = FlatAdam(given, **RATES)
    take(optimizer, range(1))
    before = [layer.detach().clone() for layer in given]
    optimizer.zero_grad(set_to_none=True)
    assert all(layer.grad is not None and (layer.grad == 0.0).all() for layer in given)
    given[0].grad += 1.0
    optimizer.step()
    assert not torch.equal(given[0], before[0])
