"""Legal random play, chosen beforehand: an environment is deterministic, so that a recorded game can be timed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.orders import OrderState
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.env.single import MarketEnv

ACTING = 0.3  # share of decisions that want something else than HOLD, where it is legal: about 0.2 of all


def chosen(mask: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.int64]:
    """HOLD, or with a chance of ACTING another legal id, drawn evenly; [B]."""
    drawn = chance.random(mask.shape) * mask
    drawn[:, 0] = 0.0
    other = np.argmax(drawn, axis=1)
    return np.where(chance.random(len(mask)) < ACTING, other, 0).astype(np.int64)


@dataclass(frozen=True)
class Game:
    """A stretch of play on one environment, from a stored state on."""

    env: MarketVectorEnv
    state: dict[str, Any]
    actions: NDArray[np.int64]  # [T, B]
    chunk: int  # steps
    fills: int
    resting: float  # working orders a row, mean over the steps
    episodes: int

    @property
    def steps(self) -> int:
        """Decisions in all."""
        return int(self.actions.size)

    @property
    def note(self) -> str:
        """What was played."""
        acting = np.count_nonzero(self.actions) / self.actions.size
        return (
            f"{acting:.0%} of {self.steps:,} steps act, {self.fills:,} fills, {self.resting:.2f} orders resting a row, "
            f"{self.episodes} episodes ended"
        )

    def work(self) -> Iterator[bool]:
        """One pass: every chunk is `chunk` steps of all rows."""
        env, batch = self.env, self.env.new_batch()
        env.set_state(self.state)
        yield False
        for start in range(0, len(self.actions), self.chunk):
            for actions in self.actions[start : start + self.chunk]:
                env.step_into(actions, batch)
            yield True


def record_game(
    pack: ViewPack, settings: EnvSettings, *, rows: int = 64, steps: int = 1_600, chunk: int = 4, seed: int = 0
) -> Game:
    """Play `steps` steps of `rows` rows, after as many as spread them over their episodes."""
    env = MarketVectorEnv(pack, settings, num_envs=rows, seed=seed)
    chance = np.random.default_rng(seed)
    batch = env.new_batch()
    env.reset_into(batch)
    for _ in range(200):
        env.step_into(chosen(batch.mask, chance), batch)
    state = env.get_state()
    env.take_episodes()
    before, resting = int(env.rows["fills"].sum()), 0
    actions = np.empty((steps, rows), np.int64)
    for at in range(steps):
        actions[at] = chosen(batch.mask, chance)
        env.step_into(actions[at], batch)
        resting += int(np.count_nonzero(env.rows["orders"]["state"][:, :2] == OrderState.WORKING))
    ended = env.take_episodes()
    fills = int(env.rows["fills"].sum()) + int(ended["fills"].sum()) - before
    return Game(env, state, actions, chunk, fills, resting / actions.size, len(ended))


@dataclass(frozen=True)
class SingleGame:
    """The same on the plain Gymnasium environment of one row; `None` among the actions is a reset."""

    env: MarketEnv
    state: dict[str, Any]
    actions: list[np.int64 | None]
    chunk: int  # steps
    fills: int

    @property
    def steps(self) -> int:
        """Decisions in all."""
        return sum(action is not None for action in self.actions)

    def work(self) -> Iterator[bool]:
        """One pass: every chunk is `chunk` steps."""
        env = self.env
        env.set_state(self.state)
        yield False
        for start in range(0, len(self.actions), self.chunk):
            for action in self.actions[start : start + self.chunk]:
                if action is None:
                    env.reset()
                else:
                    env.step(action)
            yield True


def record_single_game(
    pack: ViewPack, settings: EnvSettings, *, steps: int = 20_000, chunk: int = 40, seed: int = 0
) -> SingleGame:
    """Play `steps` steps of one row, with the resets that they need."""
    env = MarketEnv(pack, settings, seed=seed)
    chance = np.random.default_rng(seed)
    _, told = env.reset()
    state = env.get_state()
    actions: list[np.int64 | None] = []
    while len(actions) < steps:
        actions.append(chosen(told["action_mask"][None], chance)[0])
        _, _, terminated, truncated, told = env.step(actions[-1])
        if terminated or truncated:
            actions.append(None)
            _, told = env.reset()
    fills = int(env.row["fills"]) + int(env.take_episodes()["fills"].sum())
    return SingleGame(env, state, actions, chunk, fills)
