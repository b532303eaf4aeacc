"""What each setting of the numerics and each exchangeable part costs in time, and that none of them costs learning."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np

from bench.bench_quality import exam
from bench.contestants import ENV, FOREVER, Entry, Ours, kept_numerics, rates, with_numerics
from bench.figures import Figure, Measured
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.policy.inference import Network, best_legal
from kalshi_ray.train.ray_session import RaySettings, ray_session
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource

SEEDS = (1, 2, 3)
STEPS = 196_608  # 12 updates
REPEATS = 5
WALK = 1_000  # decisions a row in the judgement
# No cost ramp and no discount in time: RLlib's own parts know neither. Costs are refunded throughout instead.
PLAIN = TrainSettings(preset="fast", steps=STEPS, cost_ramp=0.0, tau_s=0.0, discount=0.9994)
ONE = msgspec.structs.replace(PLAIN, split_towers=False)
VARIANTS: Mapping[str, TrainSettings] = {
    "split towers": PLAIN,
    "one after the other": ONE,
    "one, two threads": msgspec.structs.replace(ONE, threads=2),
    "split, matmul high": msgspec.structs.replace(PLAIN, matmul="high"),
    "split, matmul highest": msgspec.structs.replace(PLAIN, matmul="highest"),
    "stock learner": msgspec.structs.replace(ONE, learner="stock"),
    "stock runner": msgspec.structs.replace(PLAIN, runner="stock"),
    "stock runner and learner": msgspec.structs.replace(ONE, runner="stock", learner="stock"),
}


@dataclass(frozen=True)
class Refunded(MarketSource):
    """Rows whose spread and fees are refunded whatever a runner asks for: they learn within a few updates."""

    def make(self, rows: int, seed: int) -> MarketVectorEnv:
        """Rows as ever, with a cost share that stays at nothing."""
        made = super().make(rows, seed)
        made.set_cost_share(0.0)
        made.set_cost_share = _ignored  # type: ignore[method-assign]
        return made


def _ignored(share: float) -> None:
    del share


def source(settings: TrainSettings) -> Refunded:
    """Refunded rows over the training half."""
    return Refunded(exam().pack, settings.training_env(ENV), tuple(map(int, exam().train)))


def greedy_return(network: Network) -> float:
    """Reward in 1,000 decisions of the greedy policy, on rows of markets that no training saw."""
    rows = Refunded(exam().pack, PLAIN.training_env(ENV), tuple(map(int, exam().judged))).make(64, 99)
    batch, actions, total = rows.new_batch(), np.zeros(64, np.int64), 0.0
    rows.reset_into(batch)
    for _ in range(WALK):
        best_legal(network.logits(batch.observation), batch.mask, actions)
        rows.step_into(actions, batch)
        total += float(batch.reward.sum(dtype=np.float64))
    rows.close()
    return 1_000.0 * total / (64 * WALK)


def numerics(settings: TrainSettings) -> dict[str, Any]:
    """What must hold in this process while the variant trains; RLlib's own learner has no setting for precision."""
    stock = settings.learner == "stock"
    return {"threads": settings.threads, "matmul": "highest" if stock else settings.matmul}


@cache
def returns(variant: str) -> tuple[float, ...]:
    """The greedy return of every seed."""
    found = []
    for seed in SEEDS:
        settings = msgspec.structs.replace(VARIANTS[variant], seed=seed)
        with_numerics(**numerics(settings))
        program = Ours(settings, source(settings))
        try:
            while program.steps < STEPS:
                program.turn()
            found.append(greedy_return(program.network()))
        finally:
            program.close()
    return tuple(found)


@cache
def speeds() -> Mapping[str, float]:
    """Steps a second of all variants, in turns."""
    endless = {name: msgspec.structs.replace(settings, steps=FOREVER) for name, settings in VARIANTS.items()}
    entries = {
        name: Entry(lambda settings=settings: Ours(settings, source(settings)), **numerics(settings))
        for name, settings in endless.items()
    }
    with ray_session(RaySettings(address="local")):
        return rates(entries, repeats=REPEATS)


def learning(variant: str) -> Callable[[], Measured]:
    """The median return beside that of split towers, with every seed and the speed in the note."""

    def measure() -> Measured:
        with ray_session(RaySettings(address="local")), kept_numerics():
            ours, peer = returns(variant), returns("split towers")
        speed = speeds()
        every = ", ".join(f"{one:.1f}" for one in ours)
        note = f"seeds {every}; {speed[variant] / 1e3:.1f} k steps/s, {speed[variant] / speed['split towers']:.2f} ×"
        return Measured(statistics.median(ours), statistics.median(peer), note)

    return measure


FIGURES = [
    Figure(
        name=f"return with {name}",
        unit="in 1,000",
        measure=learning(name),
        peer="split towers",
        ratio_floor=0.85,
        ratio_ceiling=1.18,
        long=True,
    )
    for name in VARIANTS
]
