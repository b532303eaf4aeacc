"""The towers and the RLlib module around them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.policy.network import ACTION_MASK, OBSERVATION, MarketModule, masked_space, module_spec
from kalshi_ray.policy.shapes import NETWORKS, NetworkSettings, network_settings
from kalshi_ray.policy.towers import build_towers

FEATURES, ACTIONS = 54, 21


def module(name: str = "small", *, seed: int = 0, inference_only: bool = False) -> MarketModule:
    spec = module_spec(NETWORKS[name], seed=seed)
    spec.observation_space = masked_space(gym.spaces.Box(-1.0, 1.0, (FEATURES,), np.float32), ACTIONS)
    spec.action_space = gym.spaces.Discrete(ACTIONS)
    spec.inference_only = inference_only
    made = spec.build()
    assert isinstance(made, MarketModule)
    return made


def observed(rows: int = 8) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand((rows, ACTIONS), generator=generator) < 0.5
    mask[:, 0] = True
    return {OBSERVATION: torch.randn((rows, FEATURES), generator=generator), ACTION_MASK: mask.to(torch.int8)}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_masked_action_has_no_probability(name: str) -> None:
    seen = observed()
    logits = module(name).forward_exploration({"obs": seen})["action_dist_inputs"]
    chances = torch.softmax(logits, -1)
    assert (chances[seen[ACTION_MASK] == 0] == 0.0).all()
    assert torch.allclose(chances.sum(-1), torch.ones(len(chances)))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_first_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    first = module(name, seed=7).state_dict()
    torch.manual_seed(2)
    again, other = module(name, seed=7).state_dict(), module(name, seed=8).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_building_towers_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_towers(NetworkSettings(), inputs=4, actions=2, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_fresh_policy_tries_all_legal_actions_alike() -> None:
    logits = module("documents").policy_logits(observed()[OBSERVATION])
    assert logits.abs().max() < 0.2


def test_a_runner_carries_no_value_tower() -> None:
    names = set(module("documents", inference_only=True).state_dict())
    assert names and not any(name.startswith("value") for name in names)


def test_the_document_network_has_the_documented_widths() -> None:
    layers = module("documents").deciding_layers()
    assert [weight.shape for weight, _ in layers] == [(256, FEATURES), (256, 256), (128, 256), (ACTIONS, 128)]


def test_the_bare_path_and_the_stock_path_agree() -> None:
    made, seen = module("shared"), observed()
    masked = made.forward_inference({"obs": seen})["action_dist_inputs"]
    legal = seen[ACTION_MASK] == 1
    assert torch.equal(masked[legal], made.policy_logits(seen[OBSERVATION])[legal])
    assert torch.equal(made.state_values(seen[OBSERVATION]), made.compute_values({"obs": seen}))


def test_an_unknown_network_lists_what_exists() -> None:
    with pytest.raises(UnknownName, match="documents, dropout, shared, small"):
        network_settings("huge")


@pytest.mark.parametrize("wrong", [{"hidden": ()}, {"hidden": (8, 0)}, {"dropout": 1.0}])
def test_impossible_networks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        NetworkSettings(**wrong)
