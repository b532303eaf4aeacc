"""A PPO learner whose minibatch loop does nothing that a plain PyTorch loop would not do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import (
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_TRAINED,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
)

from kalshi_ray.errors import DataError
from kalshi_ray.policy.network import MarketModule
from kalshi_ray.train.adam import FlatAdam
from kalshi_ray.train.batch import TrainBatch, build_batch
from kalshi_ray.train.losses import Losses, Seen
from kalshi_ray.train.passes import Part, passes_of


@dataclass(frozen=True)
class Tower:
    """What one optimizer owns and how its gradient comes about."""

    name: Part
    optimizer: FlatAdam
    gradient: Callable[..., Seen]  # of the loss on a minibatch, put in its place
    columns: tuple[torch.Tensor, ...]
    generator: torch.Generator


class MarketLearner(PPOTorchLearner):
    """Reads `learner_config_dict`: matmul, threads, split, tau_s, plain_advantage; the rest is in RLlib's config.

    `exploration` multiplies the weight of the entropy: the training loop raises it while an alert stands.
    """

    exploration: float

    def build(self) -> None:
        """Set the numerics of this process and build module and optimizers."""
        options = self.config.learner_config_dict
        torch.set_float32_matmul_precision(options["matmul"])
        torch.set_num_threads(options["threads"])
        self._split = bool(options["split"])
        super().build()
        self._scheduled = 0
        self.exploration = 1.0
        seed = int(self.config.seed or 0)
        names: tuple[Part, ...] = ("policy", "value") if self._split else ("towers",)
        self._generators = {name: torch.Generator().manual_seed(seed * 4 + i) for i, name in enumerate(names)}
        self._pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) if self._split else None

    def shutdown(self) -> None:
        """Stop the second thread."""
        if self._pool is not None:
            self._pool.shutdown()
        super().shutdown()

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One Adam, or one for each tower so that two threads can own one each."""
        module = self._module[module_id]
        value = list(module.value.parameters())
        owned = {id(p) for p in value}
        groups = {"towers": list(module.parameters())}
        if self._split:
            groups = {"policy": [p for p in module.parameters() if id(p) not in owned], "value": value}
        for name, parameters in groups.items():
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                params=parameters,
                lr_or_lr_schedule=config.lr,
                optimizer=FlatAdam(parameters, eps=1e-5),
            )

    def update(
        self,
        *,
        training_data: Any = None,
        episodes: Any = None,
        timesteps: dict[str, Any] | None = None,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        _no_metrics_reduce: bool = False,
        **_: Any,
    ) -> Any:
        """`num_epochs` passes over what the runners sampled."""
        self._check_is_built()
        self.before_gradient_based_update(timesteps=timesteps or {})
        if training_data is not None:
            training_data.solve_refs()
            episodes = training_data.episodes
        self._weights_seq_no += 1
        module: MarketModule = self.module[DEFAULT_MODULE_ID].unwrapped()
        with self.metrics.log_time((ALL_MODULES, "batch_timer")):
            batch = build_batch(
                episodes,
                lambda seen: module.state_values(seen.to(self._device)).cpu(),
                discount=self.config.gamma,
                tau_s=self.config.learner_config_dict["tau_s"],
                gae_lambda=self.config.lambda_,
                plain=self.config.learner_config_dict["plain_advantage"],
            ).on(self._device)
        with self.metrics.log_time((ALL_MODULES, "minibatch_timer")):
            seen = self._train(module, batch, num_epochs, minibatch_size or len(batch))
        require_finite(module)
        seen["vf_explained_var"] = batch.explained_variance
        self._log(seen, len(batch) * num_epochs)
        self.after_gradient_based_update(timesteps=timesteps or {})
        return None if _no_metrics_reduce else self.metrics.reduce()

    def _train(self, module: MarketModule, batch: TrainBatch, epochs: int, size: int) -> dict[str, float]:
        module.train()
        entropy = self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID].get_current_value()
        losses = Losses(float(entropy) * self.exploration, self.config.clip_param, self.config.vf_loss_coeff)
        size = min(size, len(batch))
        columns = {"policy": batch.policy_columns, "value": batch.value_columns, "towers": batch.all_columns}
        towers = [
            Tower(
                name=name,
                optimizer=self.get_optimizer(DEFAULT_MODULE_ID, name),
                gradient=partial(getattr(losses, name), passes_of(module, name, size)),
                columns=columns[name],
                generator=generator,
            )
            for name, generator in self._generators.items()
        ]
        clip = self.config.grad_clip
        if self._pool is None:
            return run_epochs(towers[0], epochs, size, clip)
        # Without shared layers the two updates are independent, and torch lets go of the GIL.
        waiting = self._pool.submit(run_epochs, towers[1], epochs, size, clip)
        seen = run_epochs(towers[0], epochs, size, clip)
        return seen | waiting.result()

    def _log(self, seen: dict[str, float], trained: int) -> None:
        wrong = [name for name, value in seen.items() if not np.isfinite(value)]
        if wrong:
            raise DataError(f"training diverged: {', '.join(wrong)} not finite", remedy="Lower the learning rate")
        self.metrics.log_dict(seen, key=DEFAULT_MODULE_ID, window=1)
        for owner, steps, lifetime in (
            (DEFAULT_MODULE_ID, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME),
            (ALL_MODULES, NUM_MODULE_STEPS_TRAINED, NUM_MODULE_STEPS_TRAINED_LIFETIME),
            (ALL_MODULES, NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME),
        ):
            self.metrics.log_value((owner, steps), trained, reduce="sum")
            self.metrics.log_value((owner, lifetime), trained, reduce="lifetime_sum")

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Move the schedules on, and remember where they stand."""
        super().after_gradient_based_update(timesteps=timesteps)
        self._scheduled = int(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, the generators of the shuffles and the place in the schedules."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component("shuffles", components, not_components):
            state["shuffles"] = {name: g.get_state().numpy() for name, g in self._generators.items()}
            state["scheduled"] = self._scheduled
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with the same weights, optimizers and shuffles."""
        super().set_state(state)
        for name, drawn in state.get("shuffles", {}).items():
            self._generators[name].set_state(torch.from_numpy(np.array(drawn)))
        if "scheduled" in state:  # RLlib keeps the learning rate with the optimizer, but not the weight of the entropy
            self._scheduled = int(state["scheduled"])
            self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID].update(timestep=self._scheduled)


def require_finite(module: torch.nn.Module) -> None:
    """DataError naming tower and layer where a weight is not a number any more."""
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            tower, layer, kind = name.split(".")
            raise DataError(
                f"training diverged: the {kind} of layer {layer} in the {tower} tower is not finite after an update",
                remedy="Lower the learning rate",
            )


def run_epochs(tower: Tower, epochs: int, size: int, clip: float | None) -> dict[str, float]:
    """Shuffle, cut, step. What is seen is the mean over the last epoch; a last short minibatch is left out."""
    count = len(tower.columns[0])
    watched: list[dict[str, torch.Tensor]] = []
    for epoch in range(epochs):
        order = torch.randperm(count, generator=tower.generator).to(tower.columns[0].device)
        shuffled = [column.index_select(0, order) for column in tower.columns]
        for at in range(0, count - size + 1, size):
            seen = tower.gradient(*(column[at : at + size] for column in shuffled))
            norm = tower.optimizer.clip(clip)
            tower.optimizer.step()
            if epoch == epochs - 1:
                watched.append(seen() | {f"{tower.name}_grad_norm": norm})
    return {name: float(torch.stack([found[name] for found in watched]).mean()) for name in watched[0]}
