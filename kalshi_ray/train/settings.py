"""What a training run is told: a preset, and what is to differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kalshi_ray.env.samplers import SamplerName
from kalshi_ray.env.settings import EnvSettings, RewardUnit
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.policy.shapes import NETWORKS, NetworkSettings, network_settings
from kalshi_ray.train.algorithms import ALGORITHMS

Part = Literal["fast", "stock"]
ALERTS = ("hold-90", "hold-95", "over-trading", "reward-trend", "validation-drop", "one-action")


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All numbers of a run. The defaults are the preset `fast`."""

    network: str = "small"
    rows: int = 256
    batch: int = 16_384
    minibatch: int = 2_048
    epochs: int = 4
    learning_rate: float = 2e-3
    learning_rate_end: float = 0.0
    entropy: float = 0.01
    entropy_end: float = 0.0
    clip: float = 0.2
    value_coeff: float = 0.5
    grad_clip: float = 0.5
    discount: float = 0.99
    tau_s: float = 300.0
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

    # ppo | a2c.
    algorithm: str = "ppo"
    # fast | documents.
    preset: str = "fast"
    # Decisions to train on, over all rows.
    steps: int = 1_500_000
    # Of everything that is drawn: first weights, markets, actions, shuffles.
    seed: int = 0
    # Env runners as processes of their own; 0: one inside this process.
    runners: int = 0
    # Which market a row takes next; easy-to-hard is a curriculum, each-once ends when every market was played.
    sampler: SamplerName = "random"
    # Decisions of a training episode, where env.max_decisions says nothing; each-once plays markets whole.
    episode: int = 2_000
    # How the bundle decides.
    decide: Literal["greedy", "sampled"] = "greedy"
    # A checkpoint every so many steps, at most one an update.
    save_freq: int = 100_000
    # Checkpoints kept, the newest.
    keep: int = 2
    # Checkpoints kept beside them: the best by validation.
    keep_best: int = 5
    # Steps between two validations, each with a checkpoint of its own; 0: none.
    eval_freq: int = 200_000
    # Stop when validation falls by more than this share below its best; 0: never.
    early_stop: float = 0.0
    # Alerts that end the run, by name; every alert is shown and kept.
    stop_on: tuple[str, ...] = ()
    # Alerts that double the weight of the entropy while they stand, by name.
    explore_on: tuple[str, ...] = ()
    # Steps between two lines on the console where there is no terminal; 0: none.
    console_freq: int = 0
    # Steps between two lines of portfolio.jsonl, the accounts of all rows; 0: none.
    portfolio_log_freq: int = 0
    # Where the learner computes: auto takes an accelerator that Ray offers.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Learners as processes of their own, for clusters; 0: one inside this process.
    learners: int = 0
    # Env runner: ours, or RLlib's own.
    runner: Part = "fast"
    # Learner: ours, or RLlib's own.
    learner: Part = "fast"
    # Precision of torch's float32 matrix products in the learner.
    matmul: Literal["highest", "high", "medium"] = "medium"
    # Update policy and value tower in two threads, each with its own gradient clip.
    split_towers: bool = True
    # Torch threads of the learner; of each tower when they are split.
    threads: int = 1
    # documents | small | shared | dropout.
    network: str | None = None
    # Rows stepped together by one runner.
    rows: int | None = None
    # Steps between two updates.
    batch: int | None = None
    # Steps of one gradient.
    minibatch: int | None = None
    # Passes over a batch.
    epochs: int | None = None
    # Learning rate of Adam at the start.
    learning_rate: float | None = None
    # Learning rate at the last step, reached linearly.
    learning_rate_end: float | None = None
    # Weight of the entropy over the legal actions.
    entropy: float | None = None
    # Weight of the entropy at the last step, reached linearly.
    entropy_end: float | None = None
    # How far from 1 a probability ratio counts.
    clip: float | None = None
    # Weight of the value loss.
    value_coeff: float | None = None
    # Largest norm of a gradient; 0: none.
    grad_clip: float | None = None
    # Discount per step, where tau_s is 0.
    discount: float | None = None
    # Seconds in which a reward loses 63 % of its worth; 0: discount per step.
    tau_s: float | None = None
    # Lambda of generalised advantage estimation, per step.
    gae_lambda: float | None = None
    # Share of the run in which spread and fees rise from nothing to their full size; 0: full at once.
    cost_ramp: float | None = None
    # cents | dollars | scaled | spread.
    reward_unit: RewardUnit | None = None

    def resolved(self) -> Hyperparameters:
        """Every number in force. Raises UnknownName and ConfigError."""
        if self.preset not in PRESETS:
            raise UnknownName("training preset", self.preset, sorted(PRESETS))
        if self.algorithm not in ALGORITHMS:
            raise UnknownName("algorithm", self.algorithm, list(ALGORITHMS))
        chosen = {
            name: value for name in Hyperparameters.__struct_fields__ if (value := getattr(self, name)) is not None
        }
        numbers = ALGORITHMS[self.algorithm].resolve(PRESETS[self.preset], chosen)
        _check_ranges(self, numbers)
        _check_names(self, numbers)
        _check_fit(self, numbers)
        return numbers

    def network_in_force(self) -> NetworkSettings:
        """The network of this run."""
        return network_settings(self.resolved().network)

    def training_env(self, env: EnvSettings) -> EnvSettings:
        """The environment as training sees it: starts anywhere, bounded episodes, the preset's reward unit.

        Where each market is played once, it is played whole.
        """
        once = self.sampler == "each-once"
        return msgspec.structs.replace(
            env,
            start="whole" if once else "random",
            max_decisions=env.max_decisions or (0 if once else self.episode),
            reward_unit=self.resolved().reward_unit,
        )

    def describe(self) -> dict[str, Any]:
        """Every setting in force, for the run's folder and the bundle."""
        own = {n: getattr(self, n) for n in self.__struct_fields__ if n not in Hyperparameters.__struct_fields__}
        return {**own, **msgspec.to_builtins(self.resolved())}


def _check_ranges(settings: TrainSettings, numbers: Hyperparameters) -> None:
    own = {name: getattr(settings, name) for name in ("steps", "episode", "save_freq", "keep", "threads")}
    counts = ("rows", "batch", "minibatch", "epochs", "learning_rate", "clip")
    positive = own | {name: getattr(numbers, name) for name in counts}
    wrong = [f"train.{name} = {value}" for name, value in positive.items() if not value > 0]
    names = ("runners", "learners", "eval_freq", "keep_best", "console_freq", "portfolio_log_freq")
    others = ("learning_rate_end", "entropy", "entropy_end", "value_coeff", "grad_clip", "tau_s")
    least = {n: getattr(settings, n) for n in names} | {n: getattr(numbers, n) for n in others}
    wrong += [f"train.{name} = {value}" for name, value in least.items() if not value >= 0]
    shares = {name: getattr(numbers, name) for name in ("discount", "gae_lambda", "cost_ramp")}
    shares["early_stop"] = settings.early_stop
    wrong += [f"train.{name} = {value}" for name, value in shares.items() if not 0.0 <= value <= 1.0]
    if wrong:
        raise ConfigError(
            f"out of range: {', '.join(wrong)}",
            remedy="Counts of steps and rows are positive, shares between 0 and 1, nothing is negative",
        )


def _check_names(settings: TrainSettings, numbers: Hyperparameters) -> None:
    if numbers.network not in NETWORKS:
        raise UnknownName("network", numbers.network, sorted(NETWORKS))
    for name in (*settings.stop_on, *settings.explore_on):
        if name not in ALERTS:
            raise UnknownName("alert", name, list(ALERTS))
    if settings.eval_freq and settings.keep_best == 0:
        raise ConfigError(
            "train.keep_best = 0 with validation: the bundle comes from the best checkpoint, which must be kept",
            remedy="Keep one at least, or train without validation (train.eval_freq = 0)",
        )
    if settings.eval_freq == 0:
        needing = ["train.early_stop"] if settings.early_stop else []
        needing += [f"train.{n}" for n in ("stop_on", "explore_on") if "validation-drop" in getattr(settings, n)]
        if needing:
            raise ConfigError(
                f"{' and '.join(needing)} without validation (train.eval_freq = 0)",
                remedy="Set train.eval_freq, or leave the other out",
            )
    if settings.explore_on and (settings.learner == "stock" or numbers.entropy == numbers.entropy_end == 0.0):
        raise ConfigError(
            "train.explore_on doubles the weight of the entropy in our own learner, and there must be a weight: "
            f"train.learner = {settings.learner}, train.entropy = {numbers.entropy}",
            remedy="Use train.learner = fast and an entropy above 0, or leave train.explore_on out",
        )


def _check_fit(settings: TrainSettings, numbers: Hyperparameters) -> None:
    if settings.sampler == "each-once" and (settings.runners > 1 or "stock" in (settings.runner, settings.learner)):
        raise ConfigError(
            "train.sampler = each-once gives every market once in one order and then ends: that takes one env runner, "
            f"ours, and our learner; train.runners = {settings.runners}, train.runner = {settings.runner}, "
            f"train.learner = {settings.learner}",
            remedy="Set train.runners to 0 or 1 and both to fast, or choose another sampler",
        )
    runners = max(1, settings.runners)
    if numbers.batch % (numbers.rows * runners) or numbers.minibatch > numbers.batch:
        raise ConfigError(
            f"train.batch = {numbers.batch} is not a multiple of rows x runners = {numbers.rows} x {runners}"
            f" or smaller than train.minibatch = {numbers.minibatch}",
            remedy="Choose a batch that all rows fill with whole steps",
        )
    if settings.learner == "stock" and ALGORITHMS[settings.algorithm].plain_advantage:
        raise ConfigError(
            f"train.algorithm = {settings.algorithm} with train.learner = stock: RLlib's own learner knows ppo only",
            remedy="Set train.learner = fast",
        )
    if settings.learners > 1 and settings.learner == "fast":
        raise ConfigError(
            f"train.learners = {settings.learners}: our learner is one process",
            remedy="Set train.learners to 0 or 1, or share the batch among RLlib's own (train.learner = stock)",
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
