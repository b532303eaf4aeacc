"""An env runner that asks the module once per step for all rows and writes straight into `[T, B]` columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from traceback import extract_tb
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED, NUM_ENV_STEPS_SAMPLED_LIFETIME, SAMPLE_TIMER, WEIGHTS_SEQ_NO

from kalshi_ray.errors import DataError, KalshiRayError
from kalshi_ray.policy.inference import best_legal, draw_legal
from kalshi_ray.policy.towers import MASKED
from kalshi_ray.train.diagnostics import Diagnostics
from kalshi_ray.train.rollout import Rollout, to_episodes
from kalshi_ray.train.sources import EnvSource, MaskedVectorEnv, RowsEnv, Spaces

MARKET = "market"
"""Key of our own metrics and of our own part of the runner's state."""

PLAYING = "playing"
"""Key in it: rows that have an episode; none of them where the sampler has run out and all is played."""

TALLIES = "tallies"
"""Key in it: what every runner has counted since the last result, a list of `Tally`."""


def runner_seed(seed: int, worker_index: int, *, evaluation: bool, restarted: bool = False) -> int:
    """A seed of its own for every runner, and for one that took the place of a dead one."""
    key = [seed, worker_index, int(evaluation), *([1] if restarted else [])]
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@dataclass(frozen=True)
class Failure:
    """What a remote runner answers where its code failed: it raises as soon as the driver looks into it."""

    words: str

    def __getitem__(self, index: int) -> Any:
        raise DataError(self.words, remedy="Resume from the last checkpoint once the cause is gone")


class MarketRunner(SingleAgentEnvRunner):
    """Steps the rows of one source. Hands over one `Rollout`, or episodes where `env_config["episodes"]` says so."""

    env: MaskedVectorEnv | None

    def make_env(self) -> None:
        """Build the rows (called by RLlib's constructor before the module exists)."""
        if self.worker_index:
            torch.set_num_threads(1)  # one core a worker: the parallelism is between workers
        if self.env is not None:
            self.env.close()
        options = self.config.env_config
        seed = runner_seed(
            int(self.config.seed or 0),
            int(self.worker_index or 0),
            evaluation=self.config.in_evaluation,
            restarted=bool(self.worker_index) and ray.get_runtime_context().was_current_actor_reconstructed,
        )
        source: EnvSource = options["source"]
        self.num_envs = int(self.config.num_envs_per_env_runner)
        self.env = MaskedVectorEnv(source.make(self.num_envs, seed))
        self._rng = np.random.Generator(np.random.SFC64([seed, 1]))
        self._as_episodes = bool(options["episodes"])
        self._total_steps = int(options["total_steps"])
        self._ramp_steps = 0 if self.config.in_evaluation else int(options["ramp_steps"])
        self._batch = self.rows.new_batch()
        self._needs_initial_reset = True
        features = [str(feature["name"]) for feature in source.describe().contract.observation.table]
        self._diagnostics = Diagnostics(self.rows, features)

    @property
    def rows(self) -> RowsEnv:
        """The rows this runner steps."""
        assert self.env is not None
        return self.env.rows

    @property
    def cost_share(self) -> float:
        """The share of spread and fees charged now: rises to 1 over the ramp, judged by the steps of the whole run."""
        if self._ramp_steps <= 0:
            return 1.0
        return min(1.0, float(self.num_env_steps_sampled_lifetime) / self._ramp_steps)

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """RLlib's way to call a remote runner. A process that dies is replaced; code that fails would fail again."""
        try:
            return func(self, *args, **kwargs)
        except Exception as error:
            at = extract_tb(error.__traceback__)[-1]
            said = str(error) if isinstance(error, KalshiRayError) else f"{type(error).__name__}: {error}"
            return Failure(f"env runner {self.worker_index} failed in {at.name} ({at.filename}:{at.lineno}): {said}")

    def assert_healthy(self) -> None:
        """RLlib asks this of a restarted runner."""
        assert self.env is not None and self.module is not None

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Any]:
        """Steps by number, by finished episodes, or one fragment of the training batch."""
        explore = bool(self.config.explore) if explore is None else explore
        self.metrics.log_value(WEIGHTS_SEQ_NO, self._weights_seq_no, window=1)
        with self.metrics.log_time(SAMPLE_TIMER):
            self.rows.set_cost_share(self.cost_share)
            self.rows.set_progress(min(1.0, self.num_env_steps_sampled_lifetime / self._total_steps))
            if self._needs_initial_reset or force_reset or num_episodes is not None:
                self.rows.reset_into(self._batch)
                self._needs_initial_reset = False
            if num_episodes is not None:
                return self._whole_episodes(num_episodes, explore, random_actions)
            if num_timesteps is None:
                steps = self.config.get_rollout_fragment_length(self.worker_index)
            else:
                steps = -(-num_timesteps // self.num_envs)
            return self._handed_over(self._roll(int(steps), explore, random_actions))

    def _whole_episodes(self, count: int, explore: bool, random_actions: bool) -> list[Any]:
        items: list[Any] = []
        ended = 0
        while ended < count:
            rollout = self._roll(64, explore, random_actions)
            ended += len(rollout.ends)
            items += self._handed_over(rollout)
        self._needs_initial_reset = True
        return items

    def _handed_over(self, rollout: Rollout) -> list[Any]:
        if not self._as_episodes:
            return [rollout.without_still_rows()]
        spaces = Spaces.of(self.rows)
        return list(to_episodes(rollout, spaces.observation, spaces.action))

    def _roll(self, steps: int, explore: bool, random_actions: bool) -> Rollout:
        """`steps` decisions of every row."""
        rollout = self._columns(steps)
        rollout.observation[0], rollout.mask[0] = self._batch.observation, self._batch.mask
        ends: list[NDArray[np.int64]] = []
        last: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = []
        self._diagnostics.begin(steps)
        with torch.inference_mode():
            for t in range(steps):
                self._decide(rollout, t, explore, random_actions)
                batch = replace(
                    self._batch,
                    observation=rollout.observation[t + 1],
                    mask=rollout.mask[t + 1],
                    reward=rollout.reward[t],
                    terminated=rollout.terminated[t],
                    truncated=rollout.truncated[t],
                    elapsed=rollout.elapsed[t],
                )
                self.rows.step_into(rollout.action[t], batch)
                self._diagnostics.after(t)
                ended = np.flatnonzero(rollout.terminated[t] | rollout.truncated[t])
                if len(ended):
                    ends.append(np.stack([np.full(len(ended), t), ended], axis=1))
                    last.append((batch.final_observation[ended], batch.final_mask[ended]))
        if ends:
            rollout = replace(
                rollout,
                ends=np.concatenate(ends),
                last_observation=np.concatenate([seen for seen, _ in last]),
                last_mask=np.concatenate([legal for _, legal in last]),
            )
        self._count(rollout)
        self._batch.observation[:], self._batch.mask[:] = rollout.observation[steps], rollout.mask[steps]
        return rollout

    def _columns(self, steps: int) -> Rollout:
        rows, features = self._batch.observation.shape
        actions = self._batch.mask.shape[1]
        return Rollout(
            observation=np.empty((steps + 1, rows, features), np.float32),
            mask=np.empty((steps + 1, rows, actions), np.bool_),
            action=np.empty((steps, rows), np.int64),
            logp=np.empty((steps, rows), np.float32),
            reward=np.empty((steps, rows), np.float32),
            elapsed=np.empty((steps, rows), np.float32),
            terminated=np.empty((steps, rows), np.bool_),
            truncated=np.empty((steps, rows), np.bool_),
            ends=np.empty((0, 2), np.int64),
            last_observation=np.empty((0, features), np.float32),
            last_mask=np.empty((0, actions), np.bool_),
            logits=np.empty((steps, rows, actions), np.float32) if self._as_episodes else None,
        )

    def _decide(self, rollout: Rollout, t: int, explore: bool, random_actions: bool) -> None:
        mask = rollout.mask[t]
        if random_actions:
            logits = np.zeros(mask.shape, np.float32)
        else:
            logits = self.module.policy_logits(torch.from_numpy(rollout.observation[t])).numpy()
        if explore or random_actions:
            draw_legal(logits, mask, self._rng.random(len(mask)), rollout.action[t], rollout.logp[t])
        else:
            best_legal(logits, mask, rollout.action[t])
            rollout.logp[t] = 0.0
        if rollout.logits is not None:
            np.copyto(rollout.logits[t], np.where(mask, logits, np.float32(MASKED)))

    def _count(self, rollout: Rollout) -> None:
        before, episodes = int(self.num_env_steps_sampled_lifetime), self.rows.take_episodes()
        self._increase_sampled_metrics(len(rollout), len(rollout.ends))
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=len(rollout))
        if not self.rows.playing.any():
            # RLlib asks for fragments until it has counted a batch; here no more steps will come.
            self.metrics.log_value(NUM_ENV_STEPS_SAMPLED, self.config.total_train_batch_size, reduce="sum")
        for record in episodes:
            self._log_episode_metrics(int(record["steps"]), float(record["reward_sum"]), 0.0)
        try:
            self._diagnostics.finish(rollout, episodes, steps=before)
        except DataError as failure:
            if not self.worker_index:
                raise
            # RLlib would restart a remote runner that fails, again and again, and drop what it says: the driver gets
            # the failure with the metrics and raises it, and a fragment that nobody will learn from.
            self._diagnostics.tally.failures.append(failure)
            for values in (rollout.observation, rollout.last_observation, rollout.reward, rollout.logp, rollout.logits):
                if values is not None:
                    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def get_metrics(self) -> Any:
        """Metrics since the last call; our own are one `Tally` a runner, which the driver turns into figures."""
        self.metrics.log_value((MARKET, PLAYING), int(self.rows.playing.sum()), reduce="min", window=1)
        self.metrics.log_value((MARKET, TALLIES), self._diagnostics.take(self.cost_share), reduce="item_series")
        return self.metrics.reduce()

    def market_state(self) -> dict[str, Any]:
        """Rows, cursors, generators and the standing observations."""
        return {
            "env": self.rows.get_state(),
            "draws": self._rng.bit_generator.state,
            "observation": self._batch.observation.copy(),
            "mask": self._batch.mask.copy(),
            "reset": self._needs_initial_reset,
            "steps": self.num_env_steps_sampled_lifetime,
        }

    def restore_market(self, state: dict[str, Any]) -> None:
        """Go on from a `market_state`."""
        self.rows.set_state(state["env"])
        self._rng.bit_generator.state = state["draws"]
        self._batch.observation[:], self._batch.mask[:] = state["observation"], state["mask"]
        self._needs_initial_reset = state["reset"]
        self.num_env_steps_sampled_lifetime = state["steps"]

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """RLlib's state and our own rows."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self.env is not None and self._check_component(MARKET, components, not_components):
            state[MARKET] = self.market_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Weights, counters and, if they are there, the rows."""
        super().set_state(state)
        if MARKET in state and self.env is not None:
            self.restore_market(state[MARKET])
        elif NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = int(state[NUM_ENV_STEPS_SAMPLED_LIFETIME])
