"""Training: our PPO beside that of Stable-Baselines3 on the same markets, network, batch, minibatch and epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.figures import Figure, Measured
from bench.sessions import folder, pack_of, session_of
from kalshi_ray.data.selection import SuitabilitySettings
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.env.single import MarketEnv
from kalshi_ray.policy.shapes import network_settings
from kalshi_ray.train.job import train_on_session
from kalshi_ray.train.ray_session import RaySettings, ray_session
from kalshi_ray.train.settings import TrainSettings

PLANTED = SynthSettings(regime="planted", markets=96, seed=1)
FAST = TrainSettings(preset="fast", steps=500_000, seed=1)
PEER_ENVS = 8
ENV = EnvSettings(position_limit=50, start="random", max_decisions=2_000)


def ours() -> Measured:
    """Steps a second of `kalshi-ray train`, without its start, beside SB3 with the same work for its learner."""
    with ray_session(RaySettings(address="local")):
        trained = train_on_session(
            session_of(PLANTED),
            FAST,
            env=ENV,
            selection=SuitabilitySettings(min_quarters=1),
            split=SplitSettings(by="event", train=0.9, validation=0.0, test=0.1),
            run_dir=Path(folder()) / "run",
        )
    peer, note = stable_baselines()
    return Measured(trained.result.steps_per_s, peer, f"{trained.result.steps:,} steps; {note}")


def stable_baselines() -> tuple[float, str]:
    """Steps a second of SB3's PPO on MarketEnv, one batch after another; it knows no mask."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    numbers = FAST.resolved()
    pack, settings = pack_of(PLANTED), msgspec.structs.replace(ENV, reward_unit=numbers.reward_unit)

    def making(seed: int) -> Callable[[], MarketEnv]:
        return lambda: MarketEnv(pack, settings, seed=seed)

    widths = list(network_settings(numbers.network).hidden)
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([making(seed) for seed in range(PEER_ENVS)]),
        n_steps=numbers.batch // PEER_ENVS,
        batch_size=numbers.minibatch,
        n_epochs=numbers.epochs,
        learning_rate=numbers.learning_rate,
        policy_kwargs={"net_arch": {"pi": widths, "vf": widths}},
        device="cpu",
        seed=0,
    )
    model.learn(numbers.batch)
    began = time.perf_counter()
    model.learn(2 * numbers.batch, reset_num_timesteps=False)
    spent = time.perf_counter() - began
    return 2 * numbers.batch / spent, f"SB3 with {PEER_ENVS} environments, batches of {numbers.batch:,}"


FIGURES = [Figure(name="PPO training", unit="steps/s", measure=ours, peer="Stable-Baselines3 PPO", long=True)]
