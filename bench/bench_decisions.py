"""Deciding without learning: a large evaluation, a bundle from disk, one decision."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.contestants import ENV
from bench.figures import Figure, Measured, amount
from bench.sessions import folder, pack_of
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.evaluate.contest import Contestant, every_market
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.inference import Network, NetworkPolicy
from kalshi_ray.policy.protocol import PolicyState
from kalshi_ray.policy.shapes import network_settings
from kalshi_ray.policy.towers import build_towers, linear_layers
from kalshi_ray.train.ray_session import RaySettings, ray_session

THOUSAND = SynthSettings(regime="planted", markets=1_000, hours=0.5, seed=1)
WORKERS = 2
REPEATS = 3
LOADS = 5


def network(shape: str) -> Network:
    """First weights of a network, with which a policy holds most of the time, as a trained one does."""
    settings = msgspec.structs.replace(network_settings(shape), policy_gain=0.5)
    policy = build_towers(settings, inputs=ENV.layout.size, actions=ENV.actions.size, seed=1)["policy"]
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy().copy()) for layer in linear_layers([policy])]
    layers[-1][1][0] += 0.6
    return Network.pack(layers, activation=settings.activation)


def judged(pack: ViewPack, workers: int) -> Evaluation:
    """One policy on every market, whole views."""
    settings = EvaluationSettings(part="all", select="none", workers=workers, resamples=200)
    policy = NetworkPolicy("net", network("small"))
    return evaluate([Contestant(policy)], pack, every_market(pack), env_settings=ENV, settings=settings)


def evaluation() -> Measured:
    """Decisions a second of `evaluate` on two workers, report included; fills are those of a serial run."""
    pack, small = pack_of(THOUSAND), pack_of(SynthSettings(regime="planted", markets=24, hours=0.1, seed=1))
    spent: dict[int, list[float]] = {1: [], WORKERS: []}
    found: dict[int, tuple[NDArray[np.void], ...]] = {}
    with ray_session(RaySettings(address="local", cpus=WORKERS)):
        for workers in spent:
            judged(small, workers)  # processes and kernels are there before the clock runs
        for _ in range(REPEATS):
            for workers, seconds in spent.items():
                began = time.perf_counter()
                done = judged(pack, workers)
                seconds.append(time.perf_counter() - began)
                found[workers] = tuple(part for one in done.ledgers for part in (one.episodes, one.fills))
    if not all(map(np.array_equal, found[1], found[WORKERS])):
        raise AssertionError(f"{WORKERS} workers and one give different episodes or fills")
    episodes = done.ledgers[0].episodes
    decisions = int(episodes["steps"].sum())
    alone, together = (decisions / statistics.median(spent[workers]) for workers in (1, WORKERS))
    fills = int(episodes["fills"].sum())
    note = f"{len(episodes):,} episodes, {decisions:,} decisions, {fills:,} fills, equal to the serial run"
    return Measured(together, note=f"{note} with {amount(alone)}")


@cache
def bundle() -> Path:
    """A bundle of the documents' network, from a short training."""
    from bench.bench_ppo import DOCUMENTS
    from bench.contestants import source_of
    from kalshi_ray.train.run import train

    with ray_session(RaySettings(address="local")):
        return train(
            msgspec.structs.replace(DOCUMENTS, steps=4_096, epochs=1),
            source_of(DOCUMENTS),
            run_dir=Path(folder()) / "bundled",
        ).bundle


LOAD = """
import sys, time
import numpy, safetensors.numpy, kalshi_ray.env.market_env
from kalshi_ray.registry.bundle import load_bundle
from numba.core.registry import cpu_target
cpu_target.target_context.refresh()  # numba imports most of itself, and scipy, at the first call of a kernel
cpu_target.typing_context.refresh()
began = time.perf_counter()
load_bundle(sys.argv[1])
print(time.perf_counter() - began)
"""


def loading() -> Measured:
    """A fresh process, imports done (numba's deferred ones too): until bytes, fingerprints and probe are verified."""
    path = bundle()
    size = sum(file.stat().st_size for file in path.iterdir())
    taken = []
    for _ in range(LOADS + 1):
        done = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True)
        taken.append(1e3 * float(done.stdout))
    return Measured(statistics.median(taken[1:]), note=f"256-256-128, {size / 1e6:.1f} MB, best {min(taken):.0f}")


def deciding() -> Measured:
    """One row in, one action out, in process."""
    pack = pack_of(SynthSettings(regime="planted", markets=24, hours=0.1, seed=1))
    from kalshi_ray.evaluate.rehearsal import record_states

    states = record_states(pack, ENV, steps=64, rows=1)
    medians = {
        shape: 1e6 * _one_decision(NetworkPolicy(shape, network(shape)), states) for shape in ("documents", "small")
    }
    return Measured(medians["documents"], note=f"256-256-128; 64-64: {amount(medians['small'])}")


def _one_decision(policy: NetworkPolicy, states: list[PolicyState]) -> float:
    policy.reset(np.unique(states[0].market), 0)
    taken = []
    for state in states * 40:
        began = time.perf_counter()
        policy.act(state)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


FIGURES = [
    Figure(name="evaluation, 1,000 market-episodes", unit="decisions/s", measure=evaluation, floor=300_000),
    Figure(name="bundle, loaded and verified", unit="ms", measure=loading, ceiling=150.0),
    Figure(name="one decision in process", unit="µs", measure=deciding, ceiling=50.0),
]
