"""The contract of the environment as checks that anyone can run on a session: what a trainer may rely on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env as gymnasium_check
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import PER_MICRO, EnvSettings
from kalshi_ray.env.single import MarketEnv
from kalshi_ray.errors import ContractError, UsageError
from kalshi_ray.telemetry import Progress

ROWS = 4


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One property of the contract, and whether it held."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    detail: str


def check_env(
    pack: ViewPack, settings: EnvSettings, *, steps: int = 2_000, seed: int = 0, progress: Progress | None = None
) -> list[Check]:
    """Run every check with random legal actions on the views of `pack`. A failure is a line, never an exception."""
    bench = Bench(pack, settings, steps, seed)
    made: list[Check] = []
    for done, (name, check) in enumerate(CHECKS.items()):
        if progress:
            progress("check", done, len(CHECKS))
        try:
            made.append(Check(name=name, state="ok", detail=check(bench)))
        except Skipped as reason:
            made.append(Check(name=name, state="skipped", detail=str(reason)))
        except (ContractError, UsageError, AssertionError, ValueError) as problem:
            made.append(Check(name=name, state="failed", detail=f"{type(problem).__name__}: {problem}"))
    return made


class Skipped(Exception):  # not an error
    """A check that cannot be run here."""


class Bench:
    """What the checks share: fresh environments over the same views, and legal actions."""

    def __init__(self, pack: ViewPack, settings: EnvSettings, steps: int, seed: int) -> None:
        self.pack, self.settings, self.steps, self.seed = pack, settings, steps, seed

    def rows(self, *, seed: int | None = None) -> MarketVectorEnv:
        """A vector environment of a few rows."""
        return MarketVectorEnv(self.pack, self.settings, num_envs=ROWS, seed=self.seed if seed is None else seed)

    def one(self) -> MarketEnv:
        """A plain environment of one row."""
        return MarketEnv(self.pack, self.settings, seed=self.seed)

    def play(self, env: MarketVectorEnv, steps: int) -> Iterator[tuple[NDArray[np.int64], object]]:
        """Legal random actions and the batch after each of them."""
        chance = np.random.default_rng(self.seed)
        batch = env.new_batch()
        env.reset_into(batch)
        for _ in range(steps):
            actions = legal_actions(batch.mask, chance)
            env.step_into(actions, batch)
            yield actions, batch


def legal_actions(mask: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.int64]:
    """One legal id for each row, [B], drawn evenly."""
    return np.asarray(np.argmax(chance.random(mask.shape) * mask, axis=1), np.int64)


def _spaces(bench: Bench) -> str:
    env, layout, spec = bench.rows(), bench.settings.layout, bench.settings.actions
    box, discrete = env.single_observation_space, env.single_action_space
    _require(box.shape == (layout.size,), f"observation has shape {box.shape}, the layout {layout.size} features")
    _require(box.dtype == np.float32, f"observation is {box.dtype}, expected float32")
    _require(discrete == Discrete(spec.size), f"actions are {discrete}, the action space has {spec.size}")
    return f"{layout.size} features of {layout.name}, {spec.size} actions of {spec.name}"


def _gymnasium(bench: Bench) -> str:
    gymnasium_check(bench.one(), skip_render_check=True)
    return "gymnasium.utils.env_checker has nothing to say"


def _observations(bench: Bench) -> str:
    env = bench.rows()
    low, high = bench.settings.layout.low, bench.settings.layout.high
    count = 0
    batch = env.new_batch()
    env.reset_into(batch)
    chance = np.random.default_rng(bench.seed)
    for _ in range(bench.steps):
        env.step_into(legal_actions(batch.mask, chance), batch)
        _require(bool(np.isfinite(batch.observation).all()), "an observation is not finite")
        _require(
            bool((batch.observation >= low).all() and (batch.observation <= high).all()), "a feature is out of range"
        )
        _require(bool(np.isfinite(batch.reward).all()), "a reward is not finite")
        _require(bool(batch.mask.any(axis=1).all()), "no action is legal in some row")
        _require(bool((batch.elapsed >= 0).all()), "a step took negative time")
        count += ROWS
    return f"{count:,} observations finite and within their bounds, always something legal"


def _money(bench: Bench) -> str:
    env = bench.rows()
    for _ in bench.play(env, bench.steps):
        pass
    episodes = env.take_episodes()
    if not len(episodes):
        raise Skipped(f"no episode ended within {bench.steps:,} steps")
    if bench.settings.reward != "pure":
        raise Skipped(f"the reward is {bench.settings.reward}, which adds shaping terms")
    gained = (episodes["equity_end"] - episodes["equity_start"]) * PER_MICRO[bench.settings.reward_unit]
    worst = float(np.abs(gained - episodes["reward_sum"]).max())
    _require(worst < 1e-4 * max(1.0, float(np.abs(gained).max())), f"rewards miss the change of equity by {worst:.2g}")
    return f"rewards of {len(episodes):,} episodes sum to their change of equity"


def _refusals(bench: Bench) -> str:
    env = bench.rows()
    for actions, _ in bench.play(env, 1):
        wrong = np.full_like(actions, bench.settings.actions.size)
    try:
        env.step_into(wrong, env.new_batch())
    except UsageError as problem:
        _require(str(int(wrong[0])) in str(problem), f"the refusal does not name the id: {problem}")
    else:
        raise ContractError(f"id {int(wrong[0])} is out of range and was taken")
    return _masked_is_refused(bench)


def _masked_is_refused(bench: Bench) -> str:
    env, batch = bench.rows(), bench.rows().new_batch()
    env.reset_into(batch)
    for _ in range(bench.steps):
        before = env.rows["refused"].copy(), env.rows["sent"].copy()
        masked = np.argmin(batch.mask, axis=1).astype(np.int64)
        tried = ~batch.mask[np.arange(ROWS), masked]
        env.step_into(np.where(tried, masked, 0), batch)
        alive = tried & ~(batch.terminated | batch.truncated)
        if alive.any():
            _require(bool((env.rows["refused"] > before[0])[alive].all()), "a masked action was not counted as refused")
            _require(bool((env.rows["sent"] == before[1])[alive].all()), "a masked action sent an order")
            return "out of range raises; masked is counted and sends nothing"
    raise Skipped("every action was legal all the time")


def _determinism(bench: Bench) -> str:
    runs = [[batch.observation.tobytes() for _, batch in bench.play(bench.rows(), 200)] for _ in range(2)]  # type: ignore[attr-defined]
    _require(runs[0] == runs[1], "the same seed and actions gave two courses")
    return "the same seed and actions give the same bytes"


def _continuation(bench: Bench) -> str:
    env, other = bench.rows(), bench.rows(seed=bench.seed + 1)
    chance, batch, copy = np.random.default_rng(bench.seed), env.new_batch(), env.new_batch()
    env.reset_into(batch)
    other.reset_into(copy)
    for _ in range(100):
        env.step_into(legal_actions(batch.mask, chance), batch)
    other.set_state(env.get_state())
    for _ in range(100):
        actions = legal_actions(batch.mask, chance)
        env.step_into(actions, batch)
        other.step_into(actions, copy)
        _require(batch.observation.tobytes() == copy.observation.tobytes(), "a restored environment went another way")
    return "a restored state goes on byte for byte"


def _next_step_reset(bench: Bench) -> str:
    env, chance = bench.rows(), np.random.default_rng(bench.seed)
    _, found = env.reset(seed=bench.seed)
    ended = np.zeros(ROWS, np.bool_)
    for _ in range(bench.steps):
        before = ended
        _, reward, terminated, truncated, found = env.step(legal_actions(found["action_mask"], chance))
        ended = terminated | truncated
        _require(bool((reward[before] == 0).all() and not ended[before].any()), "a reset step had a reward or an end")
        if before.any():
            return "after an end the next step resets, without reward"
    raise Skipped(f"no episode ended within {bench.steps:,} steps")


def _stable_baselines(bench: Bench) -> str:
    if importlib.util.find_spec("stable_baselines3") is None:
        raise Skipped("stable-baselines3 is not installed (it comes with the extra `bench`)")
    from stable_baselines3 import PPO

    PPO("MlpPolicy", bench.one(), n_steps=128, batch_size=64, n_epochs=1, seed=bench.seed).learn(256)
    return "stable-baselines3 trained on it for 256 steps"


def _require(held: bool, message: str) -> None:
    if not held:
        raise ContractError(message)


CHECKS: dict[str, Callable[[Bench], str]] = {
    "spaces": _spaces,
    "gymnasium": _gymnasium,
    "observations and masks": _observations,
    "money": _money,
    "refusals": _refusals,
    "determinism": _determinism,
    "continuation": _continuation,
    "vector reset": _next_step_reset,
    "stable-baselines3": _stable_baselines,
}
