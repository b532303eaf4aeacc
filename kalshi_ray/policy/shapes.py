"""Shapes of networks by name. Knows no torch, so that settings load without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from kalshi_ray.errors import ConfigError, UnknownName


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
