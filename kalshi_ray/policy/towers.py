"""The networks: a policy tower and a value tower as plain torch modules, described by a settings record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Literal

import msgspec
import torch
from torch import nn

from kalshi_ray.errors import ConfigError, UnknownName

MASKED = -1.0e9
"""Logit of an action that risk would refuse: its probability is exactly zero in float32."""


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of the two towers. `shared`: one body with two heads instead of two towers."""

    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["relu", "tanh"] = "relu"
    shared: bool = False
    dropout: float = 0.0
    policy_gain: float = 0.01  # scale of the last policy layer at the start: small, so that all actions are tried

    def __post_init__(self) -> None:
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ConfigError(f"network.hidden must be one or more positive widths, got {list(self.hidden)}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"network.dropout must be in [0, 1), got {self.dropout}")


NETWORKS: Mapping[str, NetworkSettings] = {
    "documents": NetworkSettings(hidden=(256, 256, 128)),
    "small": NetworkSettings(hidden=(64, 64)),
    "shared": NetworkSettings(hidden=(256, 256, 128), shared=True),
    "dropout": NetworkSettings(hidden=(256, 256, 128), dropout=0.1),
}


def network_settings(name: str) -> NetworkSettings:
    """A network preset by name; raises UnknownName."""
    if name not in NETWORKS:
        raise UnknownName("network", name, sorted(NETWORKS))
    return NETWORKS[name]


def layer_sizes(network: NetworkSettings, inputs: int, outputs: int) -> list[int]:
    """Widths from input to output of the path that decides."""
    return [inputs, *network.hidden, outputs]


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
        layers += [_linear(before, after, gain), nn.ReLU() if network.activation == "relu" else nn.Tanh()]
        if network.dropout:
            layers.append(nn.Dropout(network.dropout))
    return layers


def _linear(before: int, after: int, gain: float) -> nn.Linear:
    layer = nn.Linear(before, after)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
