"""What a training run is told: a preset, and what is to differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kalshi_ray.env.samplers import SamplerName
from kalshi_ray.env.settings import EnvSettings, RewardUnit
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.policy.shapes import NETWORKS, NetworkSettings, network_settings

Part = Literal["fast", "stock"]


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All numbers of a run. The defaults are the preset `fast`."""

    network: str = "small"
    rows: int = 256
    batch: int = 16_384
    minibatch: int = 2_048
    epochs: int = 4
    learning_rate: float = 1e-3
    learning_rate_end: float = 0.0
    entropy: float = 0.01
    entropy_end: float = 0.0
    clip: float = 0.2
    value_coeff: float = 0.5
    grad_clip: float = 0.5
    discount: float = 0.99
    tau_s: float = 1_800.0
    gae_lambda: float = 0.8
    cost_ramp: float = 0.7
    reward_unit: RewardUnit = "spread"


PRESETS: Mapping[str, Hyperparameters] = {
    "fast": Hyperparameters(),
    "documents": Hyperparameters(
        network="documents",
        rows=16,
        batch=4_096,
        minibatch=256,
        epochs=10,
        learning_rate=1e-4,
        learning_rate_end=1e-4,
        entropy=0.05,
        entropy_end=0.05,
        tau_s=0.0,
        gae_lambda=0.95,
        cost_ramp=0.0,
        reward_unit="dollars",
    ),
}


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run. A field that is none is as the preset says."""

    preset: str = "fast"  # fast | documents
    steps: int = 1_500_000  # decisions to train on, over all rows
    seed: int = 0
    runners: int = 0  # env runners as processes of their own; 0: one inside this process
    sampler: SamplerName = "random"  # which market a row takes next
    episode: int = 2_000  # decisions of a training episode, where env.max_decisions says nothing
    decide: Literal["greedy", "sampled"] = "greedy"  # how the bundle decides
    save_freq: int = 500_000  # a checkpoint every so many steps
    keep: int = 2  # checkpoints kept, the newest
    runner: Part = "fast"  # stock: RLlib's own env runner
    learner: Part = "fast"  # stock: RLlib's own learner
    matmul: Literal["highest", "high", "medium"] = "medium"  # torch's float32 matmul precision in the learner
    split_towers: bool = True  # update policy and value tower in two threads, each with its own gradient clip
    threads: int = 1  # torch threads of the learner, for each tower when split
    network: str | None = None  # documents | small | shared | dropout
    rows: int | None = None  # rows stepped together by one runner
    batch: int | None = None  # steps between two updates
    minibatch: int | None = None
    epochs: int | None = None  # passes over a batch
    learning_rate: float | None = None
    learning_rate_end: float | None = None  # reached at the last step, linearly
    entropy: float | None = None  # weight of the entropy over the legal actions
    entropy_end: float | None = None  # reached at the last step, linearly
    clip: float | None = None  # how far a probability ratio counts
    value_coeff: float | None = None
    grad_clip: float | None = None  # largest norm of a gradient; 0: none
    discount: float | None = None  # per step; used where tau_s is 0
    tau_s: float | None = None  # seconds in which a reward loses 63 % of its worth; 0: discount per step
    gae_lambda: float | None = None
    cost_ramp: float | None = (
        None  # share of the run in which spread and fees rise from nothing to full; 0: full at once
    )
    reward_unit: RewardUnit | None = None  # cents | dollars | scaled | spread

    def resolved(self) -> Hyperparameters:
        """Every number in force. Raises UnknownName and ConfigError."""
        if self.preset not in PRESETS:
            raise UnknownName("training preset", self.preset, sorted(PRESETS))
        chosen = {
            name: value for name in Hyperparameters.__struct_fields__ if (value := getattr(self, name)) is not None
        }
        numbers = msgspec.structs.replace(PRESETS[self.preset], **chosen)
        _check(self, numbers)
        return numbers

    def network_in_force(self) -> NetworkSettings:
        """The network of this run."""
        return network_settings(self.resolved().network)

    def training_env(self, env: EnvSettings) -> EnvSettings:
        """The environment as training sees it: starts anywhere, bounded episodes, the preset's reward unit."""
        return msgspec.structs.replace(
            env,
            start="random",
            max_decisions=env.max_decisions or self.episode,
            reward_unit=self.resolved().reward_unit,
        )

    def describe(self) -> dict[str, Any]:
        """Every setting in force, for the run's folder and the bundle."""
        own = {n: getattr(self, n) for n in self.__struct_fields__ if n not in Hyperparameters.__struct_fields__}
        return {**own, **msgspec.to_builtins(self.resolved())}


def _check(settings: TrainSettings, numbers: Hyperparameters) -> None:
    positive = {"steps": settings.steps, "save_freq": settings.save_freq, "keep": settings.keep} | {
        name: getattr(numbers, name) for name in ("rows", "batch", "minibatch", "epochs", "learning_rate", "clip")
    }
    wrong = [f"train.{name} = {value}" for name, value in positive.items() if value <= 0]
    shares = {name: getattr(numbers, name) for name in ("discount", "gae_lambda", "cost_ramp")}
    wrong += [f"train.{name} = {value}" for name, value in shares.items() if not 0.0 <= value <= 1.0]
    if wrong:
        raise ConfigError(f"out of range: {', '.join(wrong)}", remedy="Counts are positive, shares between 0 and 1")
    if numbers.network not in NETWORKS:
        raise UnknownName("network", numbers.network, sorted(NETWORKS))
    runners = max(1, settings.runners)
    if numbers.batch % (numbers.rows * runners) or numbers.minibatch > numbers.batch:
        raise ConfigError(
            f"train.batch = {numbers.batch} is not a multiple of rows x runners = {numbers.rows} x {runners}"
            f" or smaller than train.minibatch = {numbers.minibatch}",
            remedy="Choose a batch that all rows fill with whole steps",
        )
    if settings.split_towers and settings.learner == "fast" and NETWORKS[numbers.network].shared:
        raise ConfigError(
            f"train.split_towers and network {numbers.network!r}, which shares layers, exclude each other"
        )
    if numbers.tau_s > 0.0 and "stock" in (settings.runner, settings.learner):
        raise ConfigError(
            f"train.tau_s = {numbers.tau_s}: RLlib's own runner and learner discount per step only",
            remedy="Set train.tau_s = 0 and choose train.discount",
        )
    if numbers.cost_ramp > 0.0 and settings.runner == "stock":
        raise ConfigError(
            f"train.cost_ramp = {numbers.cost_ramp}: RLlib's own runner knows no cost ramp",
            remedy="Set train.cost_ramp = 0",
        )
