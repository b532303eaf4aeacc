"""Adam over one vector: weights, gradients and moments of all layers lie side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.optim.adam import adam

LINE = 16  # numbers between two layers' beginnings are a multiple of it: a cache line in float32


class FlatAdam(torch.optim.Adam):
    """torch's fused Adam, to the formula and to the state by layer, but a step is one pass over one vector.

    It takes the parameters over: they and their `grad` become views of its vectors, and stay so. Whoever works out a
    gradient writes it there.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, lr: float = 1e-4, eps: float = 1e-5) -> None:
        super().__init__(parameters, lr=lr, eps=eps, fused=True)
        self._layers: list[torch.nn.Parameter] = self.param_groups[0]["params"]
        size = sum(-(-layer.numel() // LINE) * LINE for layer in self._layers)
        first = self._layers[0]
        self._weights, self._gradient, self._mean, self._square = (
            torch.zeros(size, dtype=first.dtype, device=first.device) for _ in range(4)
        )
        self._steps = torch.zeros(len(self._layers), device=first.device)
        for layer, weights, gradient in zip(self._layers, self._parts(self._weights), self._parts(self._gradient)):
            weights.copy_(layer.detach())
            layer.data, layer.grad = weights, gradient
        self._share_state()

    def _parts(self, vector: torch.Tensor) -> Iterator[torch.Tensor]:
        """The layers' views of a vector."""
        at = 0
        for layer in self._layers:
            yield vector[at : at + layer.numel()].view_as(layer)
            at += -(-layer.numel() // LINE) * LINE

    def _share_state(self) -> None:
        """What torch keeps by layer, as views."""
        parts = zip(self._layers, self._steps.unbind(), self._parts(self._mean), self._parts(self._square))
        for layer, step, mean, square in parts:
            self.state[layer] = {"step": step, "exp_avg": mean, "exp_avg_sq": square}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of this or of torch's own Adam; one that took no step yet has none by layer."""
        super().load_state_dict(state_dict)
        loaded = [dict(self.state.get(layer, {})) for layer in self._layers]
        for vector in (self._mean, self._square, self._steps):
            vector.zero_()
        for found, mean, square in zip(loaded, self._parts(self._mean), self._parts(self._square)):
            if found:
                mean.copy_(found["exp_avg"])
                square.copy_(found["exp_avg_sq"])
                self._steps.copy_(found["step"])
        self._share_state()

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Zero in place, whatever was asked: the gradients are views."""
        del set_to_none
        self._gradient.zero_()

    @torch.no_grad()
    def clip(self, largest: float | None) -> torch.Tensor:
        """Shorten the gradient to `largest`; how long it was. As torch.nn.utils.clip_grad_norm_ does it."""
        norm: torch.Tensor = torch.linalg.vector_norm(self._gradient)
        if largest is not None:
            self._gradient.mul_((largest / (norm + 1e-6)).clamp_(max=1.0))
        return norm

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: the gradient is there
        """One step along the gradient."""
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        adam(
            [self._weights], [self._gradient], [self._mean], [self._square], [], [self._steps[0]],
            fused=True, amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=0.0, eps=group["eps"],
            maximize=False,
        )  # fmt: skip
        self._steps.fill_(self._steps[0])
