"""Versions of what a run depends on: which are here, and which cannot work together."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import requires, version

from packaging.requirements import Requirement

from kalshi_ray.errors import ConfigError, ContractError

PACKAGES = ("ray", "torch", "numpy", "numba", "gymnasium", "safetensors")
# A checkpoint holds objects of these; it is read by the same version up to this many numbers.
BINDING = {"ray": 2, "torch": 1}


def packages() -> dict[str, str]:
    """Versions that a run depends on."""
    return {name: version(name) for name in ("kalshi-ray", *PACKAGES)}


def require_versions(found: Mapping[str, str] | None = None) -> None:
    """ConfigError naming found and needed version, where one that is installed is not one that we ask for."""
    here = packages() if found is None else found
    for text in requires("kalshi-ray") or []:
        needed = Requirement(text)
        if needed.name in PACKAGES and not needed.specifier.contains(here[needed.name], prereleases=True):
            raise ConfigError(
                f"{needed.name} {here[needed.name]} is installed, kalshi-ray needs {needed.name}{needed.specifier}",
                remedy=f"pip install '{needed.name}{needed.specifier}'",
            )


def require_alike(saved: Mapping[str, str], checkpoint: str) -> None:
    """ContractError if a checkpoint was written by a Ray or torch that this one does not read."""
    here = packages()
    for name, numbers in BINDING.items():
        was, now = saved.get(name, "unknown"), here[name]
        if was.split(".")[:numbers] != now.split(".")[:numbers]:
            needed = ".".join(was.split(".")[:numbers])
            raise ContractError(
                f"{checkpoint} was written with {name} {was}, installed is {name} {now}",
                remedy=f"Install {name} {needed}, or take its weights alone (--from-model-checkpoint)",
            )
