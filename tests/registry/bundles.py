"""Bundles of random networks, and what happens to them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.registry import Bundle, Manifest, contract_of, save_bundle
from kalshi_ray.registry.bundle import MANIFEST, SEAL, seal_of

HIDDEN = 16
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRAINED_ON = {"id": "s", "checksum": "0" * 64, "markets": 2, "tickers": ["A-1", "A-2"]}


def manifest(*, actions: str = "sized21", seen: str = "obs54", **changes: Any) -> Manifest:
    """What a bundle says of itself."""
    given: dict[str, Any] = {
        "id": "run-a", "run": "run", "created": NOW.isoformat(), "algorithm": "ppo", "decide": "greedy",
        "activation": "relu", "sizes": [], "network": {"hidden": [HIDDEN]}, "contract": contract_of(actions, seen),
        "training": {"seed": 0}, "env": {"action_space": actions}, "reward": "pure", "fill_model": "pessimistic",
        "sessions": [TRAINED_ON], "packages": {"numpy": np.__version__}, "metrics": {"steps": 1.0},
    }  # fmt: skip
    return Manifest(**(given | changes))


def save(path: Path, *, seed: int = 0, rows: int = 40, hidden: tuple[int, ...] = (HIDDEN,), **changes: Any) -> Bundle:
    """A bundle of random weights that depend on `seed`, with a probe whose masks let most actions pass somewhere."""
    said = manifest(**changes)
    widths = (said.contract.observation.size, *hidden, said.contract.action_space.size)
    draw = np.random.default_rng(seed)
    layers = [
        (draw.normal(size=(after, before)).astype(np.float32), draw.normal(size=after).astype(np.float32))
        for before, after in pairwise(widths)
    ]
    mask = draw.random((rows, widths[-1])) < 0.5
    mask[:, 0] = True
    seen = draw.normal(size=(rows, widths[0])).astype(np.float32)
    return save_bundle(path, manifest=said, layers=layers, probe_observation=seen, probe_mask=mask)


def edit(path: Path, change: Any, *, seal: bool = True) -> None:
    """Rewrite the manifest with `change` applied to its JSON; with `seal` its hash too, as a forger would."""
    said = json.loads((path / MANIFEST).read_bytes())
    change(said)
    raw = json.dumps(said).encode()
    (path / MANIFEST).write_bytes(raw)
    if seal:
        (path / SEAL).write_bytes(seal_of(raw))


def answers_of(bundle: Bundle) -> str:
    """The logits of the probe to the bit and the actions of the bundle's policy, as text."""
    probe, count = bundle.probe, len(bundle.probe.mask)
    state = PolicyState(
        observation=probe.observation,
        mask=probe.mask,
        rows=np.zeros(count, [("view", "i4")]),
        decision=np.arange(count),
        market=np.arange(count).astype(np.uint64),
        action_space=bundle.manifest.contract.action_space.name,
        observation_spec=bundle.manifest.contract.observation.name,
    )
    policy = bundle.policy
    policy.reset(state.market, 3)
    return bundle.network.logits(probe.observation).tobytes().hex()[:200] + str(policy.act(state).tolist())
