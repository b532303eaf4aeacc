"""RLlib's PPO with our parts: the configuration, and what a checkpoint holds beside RLlib's own state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.tune.registry import register_env

from kalshi_ray.errors import ConfigError
from kalshi_ray.policy.network import module_spec
from kalshi_ray.train.algorithms import ALGORITHMS
from kalshi_ray.train.learner import MarketLearner
from kalshi_ray.train.runner import MARKET, MarketRunner
from kalshi_ray.train.settings import Hyperparameters, TrainSettings
from kalshi_ray.train.sources import EnvSource, MaskedVectorEnv, Spaces

ENV_NAME = "kalshi-market-rows"
REMOTE_ROWS = "remote_rows"


class MarketPPO(PPO):
    """PPO whose checkpoints hold the rows of remote runners too (RLlib keeps those of the local one)."""

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """RLlib's state, and the rows by worker index."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        remote = self.env_runner_group.num_remote_workers() > 0 and self.config.env_runner_cls is MarketRunner
        if remote and self._check_component(REMOTE_ROWS, components, not_components):
            state[REMOTE_ROWS] = dict(self.env_runner_group.foreach_env_runner(_rows_of, local_env_runner=False))
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state; rows of a worker that no longer exists are left out."""
        super().set_state(state)
        saved = state.get(REMOTE_ROWS)
        if saved:
            self.env_runner_group.foreach_env_runner(lambda runner: _give_rows(runner, saved), local_env_runner=False)


def _rows_of(runner: MarketRunner) -> tuple[int, dict[str, Any]]:
    return int(runner.worker_index), runner.market_state()


def _give_rows(runner: MarketRunner, saved: dict[int, dict[str, Any]]) -> None:
    if runner.worker_index in saved:
        runner.set_state({MARKET: saved[runner.worker_index]})


def build_config(settings: TrainSettings, source: EnvSource, spaces: Spaces) -> PPOConfig:
    """RLlib's configuration of a run, by its algorithm."""
    settings.resolved()
    return BUILDERS[settings.algorithm](settings, source, spaces)


def _ppo(settings: TrainSettings, source: EnvSource, spaces: Spaces) -> PPOConfig:
    """PPO; a2c is PPO with one gradient a batch, and its numbers say so already."""
    numbers = settings.resolved()
    register_env(ENV_NAME, _stock_rows)
    config = PPOConfig(algo_class=MarketPPO)
    config.environment(
        ENV_NAME,
        observation_space=spaces.observation,
        action_space=spaces.action,
        env_config={
            "source": source,
            # Remote learners slice what they get.
            "episodes": settings.learner == "stock" or settings.learners > 0,
            "ramp_steps": int(numbers.cost_ramp * settings.steps),
            "total_steps": settings.steps,
        },
        disable_env_checking=True,
    )
    config.env_runners(
        env_runner_cls=MarketRunner if settings.runner == "fast" else None,
        num_env_runners=settings.runners,
        num_envs_per_env_runner=numbers.rows,
        gym_env_vectorize_mode="vector_entry_point",
        sample_timeout_s=600.0,  # a busy machine is no dead runner
    )
    config.rl_module(rl_module_spec=module_spec(settings.network_in_force(), seed=settings.seed))
    _set_learning(config, settings, numbers)
    if settings.learner == "fast":
        config.training(learner_class=MarketLearner)
    config.learners(
        num_learners=settings.learners,
        num_gpus_per_learner=1 if on_accelerator(settings) else 0,
        num_cpus_per_learner=1 if settings.learners else "auto",
    )
    config.fault_tolerance(restart_failed_env_runners=True)
    config.debugging(seed=settings.seed, log_level="ERROR", log_sys_usage=False)
    return config


def _set_learning(config: PPOConfig, settings: TrainSettings, numbers: Hyperparameters) -> None:
    share = max(1, settings.learners)  # RLlib counts by learner
    config.training(
        lr=_schedule(numbers.learning_rate, numbers.learning_rate_end, settings.steps),
        entropy_coeff=_schedule(numbers.entropy, numbers.entropy_end, settings.steps),
        train_batch_size_per_learner=numbers.batch // share,
        minibatch_size=numbers.minibatch // share,
        num_epochs=numbers.epochs,
        gamma=numbers.discount,
        lambda_=numbers.gae_lambda,
        clip_param=numbers.clip,
        vf_loss_coeff=numbers.value_coeff,
        vf_clip_param=float("inf"),
        grad_clip=numbers.grad_clip or None,
        use_kl_loss=False,
        learner_config_dict={
            "matmul": settings.matmul,
            "threads": settings.threads,
            "split": settings.split_towers,
            "tau_s": numbers.tau_s,
            "plain_advantage": ALGORITHMS[settings.algorithm].plain_advantage,
        },
    )


BUILDERS: Mapping[str, Callable[[TrainSettings, EnvSource, Spaces], PPOConfig]] = {"ppo": _ppo, "a2c": _ppo}


def on_accelerator(settings: TrainSettings) -> bool:
    """Whether the learner computes on a GPU. ConfigError where one is wanted and there is none."""
    if settings.device == "cpu":
        return False
    here = torch.cuda.is_available()
    offered = here if settings.learners == 0 else ray.cluster_resources().get("GPU", 0) >= settings.learners
    if settings.device == "cuda" and not offered:
        where = "torch sees none in this process" if settings.learners == 0 else "this Ray offers too few"
        raise ConfigError(
            f"train.device = cuda, but there is no GPU for the learner: {where}",
            remedy="Set train.device = cpu or auto",
        )
    return bool(offered)


def _schedule(start: float, end: float, steps: int) -> Any:
    """RLlib's form of a line from `start` to `end`; a number where nothing changes."""
    return start if start == end else [[0, start], [steps, end]]


def _stock_rows(context: Any) -> MaskedVectorEnv:
    """The rows for RLlib's own runner, which asks through its registry and seeds them with its first reset."""
    source: EnvSource = context["source"]
    return MaskedVectorEnv(source.make(int(context["num_envs"]), 0))
