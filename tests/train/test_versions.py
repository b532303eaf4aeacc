"""Versions that cannot work together are named, with what is needed."""

from __future__ import annotations

import re

import pytest

from kalshi_ray.errors import ConfigError, ContractError
from kalshi_ray.train.versions import packages, require_alike, require_versions


def test_what_is_installed_is_enough() -> None:
    require_versions()
    require_alike(packages(), "checkpoint step-1")


@pytest.mark.parametrize(("name", "version"), [("ray", "2.9.3"), ("torch", "1.13.1"), ("gymnasium", "0.29.1")])
def test_a_version_that_is_too_old_is_named_beside_the_one_needed(name: str, version: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} {version} is installed, kalshi-ray needs {name}>="):
        require_versions(packages() | {name: version})


@pytest.mark.parametrize(("name", "version"), [("ray", "2.44.1"), ("ray", "3.60.0"), ("torch", "1.13.0")])
def test_a_checkpoint_of_another_ray_or_torch_is_refused_with_both(name: str, version: str) -> None:
    here = packages()[name]
    said = re.escape(f"step-1 was written with {name} {version}, installed is {name} {here}")
    with pytest.raises(ContractError, match=said):
        require_alike(packages() | {name: version}, "step-1")


def test_a_patch_of_the_same_version_reads_it() -> None:
    here = packages()["ray"]
    require_alike(packages() | {"ray": f"{here.rpartition('.')[0]}.99"}, "step-1")
