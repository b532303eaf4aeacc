"""Sampling alone: what an env runner hands to the learner, one in this process and two of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample

from bench.contestants import FOREVER, Ours, kept_numerics
from bench.figures import Figure, Measured, amount, in_turns
from kalshi_ray.train.ray_session import RaySettings, ray_session
from kalshi_ray.train.settings import TrainSettings

FAST = TrainSettings(preset="fast", steps=FOREVER, seed=1)  # 256 rows, 64-64
REPEATS = 9
BATCHES = 4  # of one measurement


def sampling(ours: Ours) -> Callable[[], float]:
    """A measurement of steps a second as RLlib's training step takes them: all runners at once, metrics included."""

    def measure() -> float:
        began, steps = time.perf_counter(), 0
        for _ in range(BATCHES):
            found, _ = synchronous_parallel_sample(
                worker_set=ours.algorithm.env_runner_group,
                max_agent_steps=ours.settings.resolved().batch,
                concat=False,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
            steps += sum(len(rollout) for handed in found for rollout in handed)
        return steps / (time.perf_counter() - began)

    measure()
    return measure


def with_runners(runners: int) -> Measured:
    """Steps a second with the preset's network; the documents' network in the note."""
    settings = msgspec.structs.replace(FAST, runners=runners)
    # Both programs keep their runners: Ray must offer a CPU for each, though only one pair works at a time.
    with ray_session(RaySettings(address="local", cpus=max(1, 2 * runners))), kept_numerics():
        both = [Ours(msgspec.structs.replace(settings, network=network)) for network in ("small", "documents")]
        try:
            small, wide = in_turns([sampling(ours) for ours in both], repeats=REPEATS)
        finally:
            for ours in both:
                ours.close()
    rows = settings.resolved().rows
    return Measured(small, note=f"{rows} rows a runner, 64-64; {amount(wide)} with 256-256-128")


def in_process() -> Measured:
    """One runner inside this process."""
    return with_runners(0)


def remote() -> Measured:
    """Two runners as processes, their batches brought here."""
    return with_runners(2)


FIGURES = [
    Figure(name="sampling, one env runner in process", unit="steps/s", measure=in_process, floor=200_000),
    Figure(name="sampling, two remote env runners", unit="steps/s", measure=remote, floor=300_000),
]
