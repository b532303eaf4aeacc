"""A network forth and back on minibatches: written out for plain towers, by autograd for every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import nn

from kalshi_ray.errors import ContractError
from kalshi_ray.policy.network import MarketModule
from kalshi_ray.policy.towers import linear_layers

Part = Literal["policy", "value", "towers"]


class Passes(Protocol):
    """First `forth`, then `back` for the same minibatch."""

    def forth(self, observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What each tower says of [N, F]: [N, out] each, valid until the next call."""

    def back(self, *pulls: torch.Tensor) -> None:
        """From the gradients of what was said to those of the weights, which replace what stood in their `grad`."""


def passes_of(module: MarketModule, part: Part, rows: int) -> Passes:
    """The fastest that fits: written out on the CPU for separate towers of ReLU without dropout, else by autograd."""
    towers = [module.policy, module.value] if part == "towers" else [getattr(module, part)]
    shape, device = module.network, next(module.parameters()).device
    plain = not shape.shared and not shape.dropout and shape.activation == "relu"
    if plain and device.type == "cpu":
        return WrittenOut(towers, rows)
    return Recorded(towers, body=module.body)


class Recorded:
    """Any towers, with or without a shared body, by autograd."""

    def __init__(self, towers: Sequence[nn.Module], *, body: nn.Module | None) -> None:
        self._towers, self._body = towers, body
        parts = [*towers, *([body] if body is not None else [])]
        self._parameters = [parameter for part in parts for parameter in part.parameters()]

    def forth(self, observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Recorded on the way."""
        hidden = observation if self._body is None else self._body(observation)
        self._said = [tower(hidden) for tower in self._towers]
        return tuple(said.detach() for said in self._said)

    def back(self, *pulls: torch.Tensor) -> None:
        """Along the record."""
        found = torch.autograd.grad(self._said, self._parameters, pulls)
        for parameter, gradient in zip(self._parameters, found):
            _place(parameter).copy_(gradient)


class WrittenOut:
    """Towers of linear layers with ReLU between them, on minibatches of one size: every result has its place.

    forth   h_0 = observation   h_k = relu(h_(k-1) W_k' + b_k), the last one without relu
    back    dW_k = g_k' h_(k-1)   db_k = column sums of g_k   g_(k-1) = g_k W_k where h_(k-1) > 0, else 0
    """

    def __init__(self, towers: Sequence[nn.Module], rows: int) -> None:
        self._towers = [[_Layer.of(layer, rows) for layer in linear_layers([tower])] for tower in towers]

    def forth(self, observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keeps what every layer says."""
        self._observation = observation
        return tuple(self._said(tower) for tower in self._towers)

    def back(self, *pulls: torch.Tensor) -> None:
        """What the hidden layers said is gone afterwards: its gradient takes its place."""
        for tower, pull in zip(self._towers, pulls):
            self._pulled(tower, pull)

    def _said(self, tower: list[_Layer]) -> torch.Tensor:
        h = self._observation
        for layer in tower:
            h = torch.addmm(layer.bias, h, layer.weight.t(), out=layer.said)
            if layer is not tower[-1]:
                h.relu_()
        return h

    def _pulled(self, tower: list[_Layer], g: torch.Tensor) -> None:
        for k in range(len(tower) - 1, -1, -1):
            layer, h = tower[k], tower[k - 1].said if k else self._observation
            torch.mm(g.t(), h, out=layer.weight_grad)
            torch.sum(g, 0, out=layer.bias_grad)
            if k:
                pull = torch.mm(g, layer.weight, out=layer.pull)
                g = torch.ops.aten.threshold_backward.grad_input(pull, h, 0, grad_input=h)


@dataclass(frozen=True, slots=True)
class _Layer:
    weight: torch.Tensor  # [out, in]
    bias: torch.Tensor  # [out]
    weight_grad: torch.Tensor
    bias_grad: torch.Tensor
    said: torch.Tensor  # [N, out]
    pull: torch.Tensor  # [N, in] on what the layer read, before the ReLU below lets it through

    @classmethod
    def of(cls, layer: nn.Linear, rows: int) -> _Layer:
        weight, bias = layer.weight.detach(), layer.bias.detach()
        said, pull = (weight.new_empty((rows, width)) for width in (layer.out_features, layer.in_features))
        return cls(weight, bias, _place(layer.weight), _place(layer.bias), said, pull)


def _place(parameter: torch.Tensor) -> torch.Tensor:
    if parameter.grad is None:
        raise ContractError("a weight has no place for its gradient: build its optimizer first")
    return parameter.grad
