"""Programs that train on the same markets, each able to make one update at a time, so that they can take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import torch

from bench.sessions import pack_of
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.env.single import MarketEnv
from kalshi_ray.policy.inference import Network
from kalshi_ray.policy.shapes import network_settings
from kalshi_ray.train.algorithm import build_config
from kalshi_ray.train.ray_session import RaySettings, ray_session
from kalshi_ray.train.settings import Hyperparameters, TrainSettings
from kalshi_ray.train.sources import MarketSource, Spaces

PLANTED = SynthSettings(regime="planted", markets=96, seed=1)
ENV = EnvSettings(position_limit=50)
FOREVER = 10**9  # steps: schedules stand still while a contest lasts


class Contestant(Protocol):
    """One program in a contest."""

    def turn(self) -> int:
        """One update; how many steps of the environment it took."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(frozen=True)
class Entry:
    """How a program is made, and the numerics that hold in this process while it is its turn."""

    make: Callable[[], Contestant]
    threads: int = 1
    matmul: str = "medium"


def rates(entries: Mapping[str, Entry], *, repeats: int) -> dict[str, float]:
    """Steps a second of every entry: the median over updates, taken in turns after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in entries}
    with ExitStack() as stack, kept_numerics():
        playing = {}
        for name, entry in entries.items():
            with_numerics(threads=entry.threads, matmul=entry.matmul)
            playing[name] = entry.make()
            stack.callback(playing[name].close)
        for repeat in range(repeats + 1):
            for name, entry in entries.items():
                with_numerics(threads=entry.threads, matmul=entry.matmul)
                began = time.perf_counter()
                steps = playing[name].turn()
                if repeat:
                    taken[name].append(steps / (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in taken.items()}


def with_numerics(*, threads: int = 1, matmul: str = "medium") -> None:
    """Threads and precision are the process's own: each program gets its own back before its turn."""
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(matmul)


@contextmanager
def kept_numerics() -> Iterator[None]:
    """Threads and precision of the process as they were, afterwards."""
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)


def source_of(settings: TrainSettings, pack: Any = None) -> MarketSource:
    """The planted markets as a training run sees them."""
    views = tuple(range(len(pack_of(PLANTED).views)))
    return MarketSource(pack or pack_of(PLANTED), settings.training_env(ENV), views)


class Ours:
    """One iteration of RLlib's algorithm with the parts that the settings name."""

    def __init__(self, settings: TrainSettings, source: MarketSource | None = None) -> None:
        self.settings, self._stack = settings, ExitStack()
        self._stack.enter_context(ray_session(RaySettings(address="local")))
        source = source or source_of(settings, put_pack(pack_of(PLANTED)))
        self.algorithm = build_config(settings, source, Spaces.of(source.make(1, 0))).build_algo()
        self._stack.callback(self.algorithm.stop)
        self.steps = 0

    def turn(self) -> int:
        """One iteration."""
        before = self.steps
        self.steps = int(self.algorithm.train()["num_env_steps_sampled_lifetime"])
        return self.steps - before

    def network(self) -> Network:
        """The policy as it stands."""
        found: Network = self.algorithm.env_runner.module.network_of_decisions()
        return found

    def close(self) -> None:
        """Stop the algorithm, and Ray if it was started here."""
        self._stack.close()


class StableBaselines:
    """SB3's PPO over single environments in one process; it knows no mask."""

    def __init__(self, numbers: Hyperparameters, *, envs: int) -> None:
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv

        settings = msgspec.structs.replace(ENV, start="random", max_decisions=2_000, reward_unit=numbers.reward_unit)
        pack = pack_of(PLANTED)
        makers = [lambda seed=seed: MarketEnv(pack, settings, seed=seed) for seed in range(envs)]
        self._steps = numbers.batch
        self._model = PPO("MlpPolicy", DummyVecEnv(makers), **sb3_options(numbers, envs=envs), seed=0)

    def turn(self) -> int:
        """One rollout and its epochs."""
        self._model.learn(self._steps, reset_num_timesteps=False)
        return self._steps

    def close(self) -> None:
        """Nothing is open."""


def sb3_options(numbers: Hyperparameters, *, envs: int) -> dict[str, Any]:
    """Our hyperparameters under the names of Stable-Baselines3."""
    widths = list(network_settings(numbers.network).hidden)
    return {
        "n_steps": numbers.batch // envs,
        "batch_size": numbers.minibatch,
        "n_epochs": numbers.epochs,
        "learning_rate": numbers.learning_rate,
        "gamma": numbers.discount,
        "gae_lambda": numbers.gae_lambda,
        "clip_range": numbers.clip,
        "ent_coef": numbers.entropy,
        "vf_coef": numbers.value_coeff,
        "max_grad_norm": numbers.grad_clip,
        "policy_kwargs": {"net_arch": {"pi": widths, "vf": widths}, "activation_fn": torch.nn.ReLU},
        "device": "cpu",
    }
