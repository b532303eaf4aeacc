"""Time to quality: seconds of training until the greedy policy has 60 % of the oracle's edge on unseen markets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import msgspec

from bench.contestants import ENV, Ours, kept_numerics, with_numerics
from bench.figures import Figure, Measured
from bench.quality import Exam
from kalshi_ray.policy.inference import Network
from kalshi_ray.train.ray_session import RaySettings, ray_session
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource

ENOUGH = 0.6
SEEDS = tuple(range(1, 13))  # steps to get there scatter threefold between seeds, whoever trains
SLOW_SEEDS = SEEDS[:3]  # of who takes minutes
STEPS = 1_000_000  # that the ramp and the schedules are laid out for
LOOK_EVERY = 16_384  # steps
PATIENCE = 8.0  # times our own seconds, and at least a minute: then a peer has not got there
LEAST_S = 60.0
FAST = TrainSettings(preset="fast", steps=STEPS)
DOCUMENTS = TrainSettings(preset="documents", steps=STEPS)


@dataclass
class Stopwatch:
    """Seconds of training alone: looks do not count."""

    exam: Exam
    limit_s: float = float("inf")
    spent: float = 0.0
    steps: int = 0
    best: float = float("-inf")
    reached: bool = False
    _began: float = field(default_factory=time.perf_counter)
    _due: int = LOOK_EVERY

    def __call__(self, steps: int, network: Network) -> bool:
        """Look at a network after `steps`; whether training is over."""
        self.spent += time.perf_counter() - self._began
        self.steps = steps
        if steps >= self._due:
            self._due = steps + LOOK_EVERY
            share = self.exam.share(network)
            self.best, self.reached = max(self.best, share), share >= ENOUGH
        self._began = time.perf_counter()
        return self.reached or self.spent >= self.limit_s

    @property
    def words(self) -> str:
        """How it ended."""
        where = f"{self.spent:.1f} s, {self.steps:,} steps"
        return where if self.reached else f"not within {where} (best {self.best:.0%})"


@cache
def exam() -> Exam:
    """One for all."""
    return Exam.of()


def source(settings: TrainSettings) -> MarketSource:
    """Rows over the training half."""
    return MarketSource(exam().pack, settings.training_env(ENV), tuple(map(int, exam().train)))


def ours(seed: int) -> Stopwatch:
    """Our preset `fast`, two threads."""
    settings = msgspec.structs.replace(FAST, seed=seed)
    with_numerics()
    program = Ours(settings, source(settings))
    watch = Stopwatch(exam())
    try:
        while watch.steps < STEPS:
            program.turn()
            if watch(program.steps, program.network()):
                break
    finally:
        program.close()
    return watch


def maskable(settings: TrainSettings, seed: int, limit_s: float) -> Stopwatch:
    """MaskablePPO with the same numbers and one thread: with two its small steps wait for each other where others work.

    A second thread gives it at most half as much again (`PPO, documents, beside SB3` shows both).
    """
    from bench.maskable import learn

    with_numerics()
    rows = source(settings)
    watch = Stopwatch(exam(), limit_s)
    learn(rows, settings.resolved(), steps=STEPS, seed=seed, look=watch)
    return watch


@cache
def races() -> tuple[list[Stopwatch], list[Stopwatch], list[Stopwatch]]:
    """Ours, MaskablePPO with the preset `fast`, MaskablePPO with the documents' numbers; the seeds in turns."""
    exam()
    found: tuple[list[Stopwatch], list[Stopwatch], list[Stopwatch]] = ([], [], [])
    with ray_session(RaySettings(address="local")), kept_numerics():
        for seed in SEEDS:
            found[0].append(ours(seed))
            limit = max(LEAST_S, PATIENCE * found[0][-1].spent)
            found[1].append(maskable(FAST, seed, limit))
            if seed in SLOW_SEEDS:
                found[2].append(maskable(DOCUMENTS, seed, limit))
    return found


def beside(which: int) -> Callable[[], Measured]:
    """Our median seconds beside those of one of the others; who never got there counts with the time it had."""

    def measure() -> Measured:
        found = races()
        mine, theirs = (statistics.median(watch.spent for watch in found[at]) for at in (0, which))
        missed = sum(not watch.reached for watch in found[0])
        if missed:
            raise AssertionError(f"{missed} of {len(SEEDS)} seeds of ours: {', '.join(w.words for w in found[0])}")
        return Measured(mine, theirs, f"theirs: {'; '.join(w.words for w in found[which])}")

    return measure


FIGURES = [
    Figure(
        name="time to 60 % of the oracle's edge, preset fast",
        unit="s",
        measure=beside(1),
        peer="MaskablePPO, same preset",
        ratio_ceiling=0.5,
        long=True,
    ),
    Figure(
        name="time to 60 % of the oracle's edge, documents",
        unit="s",
        measure=beside(2),
        peer="MaskablePPO, documents' numbers",
        ratio_ceiling=0.25,
        long=True,
    ),
]
