"""The networks: a policy tower and a value tower as plain torch modules."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import nn

from kalshi_ray.policy.shapes import NetworkSettings

MASKED = -1.0e9
"""Logit of an action that risk would refuse: its probability is exactly zero in float32."""


def build_towers(network: NetworkSettings, *, inputs: int, actions: int, seed: int) -> dict[str, nn.Sequential]:
    """The parts by name: `policy` and `value`, and `body` when they share it.

    The first weights depend on `seed` alone, not on what else was drawn from torch's own generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if network.shared:
            body = _hidden_layers(network, inputs)
            return {
                "body": nn.Sequential(*body),
                "policy": nn.Sequential(_linear(network.hidden[-1], actions, network.policy_gain)),
                "value": nn.Sequential(_linear(network.hidden[-1], 1, 1.0)),
            }
        policy = [*_hidden_layers(network, inputs), _linear(network.hidden[-1], actions, network.policy_gain)]
        value = [*_hidden_layers(network, inputs), _linear(network.hidden[-1], 1, 1.0)]
        return {"policy": nn.Sequential(*policy), "value": nn.Sequential(*value)}


def linear_layers(parts: Iterable[nn.Module]) -> list[nn.Linear]:
    """The linear layers of `parts`, from input to output."""
    return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]


def _hidden_layers(network: NetworkSettings, inputs: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    widths = [inputs, *network.hidden]
    gain = nn.init.calculate_gain(network.activation)
    for before, after in pairwise(widths):
        # In place: nothing reads what a linear layer gave before the activation, not even its gradient.
        layers += [_linear(before, after, gain), nn.ReLU(inplace=True) if network.activation == "relu" else nn.Tanh()]
        if network.dropout:
            layers.append(nn.Dropout(network.dropout))
    return layers


def _linear(before: int, after: int, gain: float) -> nn.Linear:
    layer = nn.Linear(before, after)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
