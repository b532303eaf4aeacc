"""Decisions of a network: alone or among many, greedy or drawn by key."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_ray.errors import ContractError
from kalshi_ray.policy.inference import Network, NetworkPolicy, best_legal, draw_legal
from kalshi_ray.policy.protocol import PolicyState, check_policy
from kalshi_ray.policy.shapes import NetworkSettings
from kalshi_ray.policy.towers import build_towers, linear_layers

FEATURES, ACTIONS = 54, 21


def towers(activation: Literal["relu", "tanh"] = "relu") -> tuple[torch.nn.Sequential, Network]:
    settings = NetworkSettings(hidden=(48, 33), activation=activation, policy_gain=1.0)
    policy = build_towers(settings, inputs=FEATURES, actions=ACTIONS, seed=4)["policy"]
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear_layers([policy])]
    return policy, Network.pack(layers, activation=activation)


def states(rows: int, *, seed: int = 0) -> PolicyState:
    draw = np.random.default_rng(seed)
    mask = draw.random((rows, ACTIONS)) < 0.4
    mask[:, 0] = True
    return PolicyState(
        observation=draw.normal(size=(rows, FEATURES)).astype(np.float32),
        mask=mask,
        rows=np.zeros(rows, [("view", "i4")]),
        decision=draw.integers(0, 1000, rows),
        market=draw.integers(0, 2**63, rows).astype(np.uint64),
        action_space="sized21",
        observation_spec="obs54",
    )


def part(state: PolicyState, chosen: NDArray[Any]) -> PolicyState:
    return PolicyState(
        observation=np.ascontiguousarray(state.observation[chosen]),
        mask=state.mask[chosen],
        rows=state.rows[chosen],
        decision=state.decision[chosen],
        market=state.market[chosen],
        action_space=state.action_space,
        observation_spec=state.observation_spec,
    )


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_logits_of_a_row_are_the_same_bits_in_any_company(rows: int, seed: int) -> None:
    network, state = towers()[1], states(rows, seed=seed)
    together = network.logits(state.observation)
    alone = np.concatenate([network.logits(state.observation[i : i + 1]) for i in range(rows)])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_logits_are_those_of_the_torch_towers(activation: Literal["relu", "tanh"]) -> None:
    policy, network = towers(activation)
    seen = states(37).observation
    with torch.inference_mode():
        expected = policy(torch.from_numpy(seen)).numpy()
    assert np.abs(network.logits(seen) - expected).max() < 1e-5


@pytest.mark.parametrize("decide", ["greedy", "sampled"])
def test_a_network_policy_keeps_the_policy_contract(decide: Literal["greedy", "sampled"]) -> None:
    check_policy(NetworkPolicy("net", towers()[1], decide=decide), [states(9, seed=s) for s in range(4)])


def test_draws_depend_on_seed_market_and_decision_not_on_the_batch() -> None:
    policy, state = NetworkPolicy("net", towers()[1], decide="sampled"), states(50)
    policy.reset(state.market, 11)
    together = policy.act(state)
    order = np.random.default_rng(1).permutation(50)
    assert (policy.act(part(state, order)) == together[order]).all()
    policy.reset(state.market, 12)
    assert (policy.act(state) != together).any()


def test_draws_follow_the_probabilities() -> None:
    logits = np.tile(np.array([[0.0, 1.0, 2.0, 9.0]], np.float32), (20_000, 1))
    mask = np.tile(np.array([[True, True, True, False]]), (20_000, 1))
    uniform = (np.arange(20_000) + 0.5) / 20_000
    actions, logp = np.empty(20_000, np.int64), np.empty(20_000, np.float32)
    draw_legal(logits, mask, uniform, actions, logp)
    chances = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    assert np.abs(np.bincount(actions, minlength=4)[:3] / 20_000 - chances).max() < 1e-3
    assert np.allclose(logp, np.log(chances)[actions], atol=1e-6)


@given(st.integers(0, 2**31))
def test_an_illegal_action_is_never_chosen(seed: int) -> None:
    draw = np.random.default_rng(seed)
    logits = (draw.normal(size=(30, ACTIONS)) * 50).astype(np.float32)
    mask = states(30, seed=seed).mask
    actions, logp = np.empty(30, np.int64), np.empty(30, np.float32)
    edges = np.where(draw.random(30) < 0.3, np.nextafter(1.0, 0.0), draw.random(30))
    draw_legal(logits, mask, edges, actions, logp)
    assert mask[np.arange(30), actions].all() and np.isfinite(logp).all()
    best_legal(logits, mask, actions)
    assert (actions == np.where(mask, logits, -np.inf).argmax(1)).all()


def test_observations_of_another_width_are_refused() -> None:
    with pytest.raises(ContractError, match=r"shape \(3, 52\)"):
        towers()[1].logits(np.zeros((3, 52), np.float32))


def test_layers_that_do_not_join_are_refused() -> None:
    zeros = [(np.zeros((5, 4), np.float32), np.zeros(5, np.float32)), (np.zeros((2, 6), np.float32), np.zeros(2))]
    with pytest.raises(ContractError, match="5 outputs meet 6 inputs"):
        Network.pack(zeros, activation="relu")


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 65])
def test_any_number_of_rows_is_decided(rows: int) -> None:
    network, state = towers()[1], states(max(rows, 1))
    seen = state.observation[:rows]
    expected = [network.logits(one[None])[0] for one in seen]
    assert network.logits(seen).tobytes() == b"".join(one.tobytes() for one in expected)


def test_sums_are_added_input_by_input_in_float32() -> None:
    """The order is part of the meaning: stored probes and other builds of the kernel must give the same bits."""
    draw = np.random.default_rng(3)
    weight, bias = draw.normal(size=(5, 19)).astype(np.float32), draw.normal(size=5).astype(np.float32)
    seen = draw.normal(size=(3, 19)).astype(np.float32)
    expected = np.tile(bias, (3, 1))
    for i in range(19):
        expected = expected + seen[:, i : i + 1] * weight[:, i]
    assert Network.pack([(weight, bias)], activation="relu").logits(seen).tobytes() == expected.tobytes()
