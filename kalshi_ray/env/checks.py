"""The contract of the environment as checks that anyone can run on a session: what a trainer may rely on."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.utils.env_checker import check_env as gymnasium_check
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import DOLLAR, MICROS_PER_CENT
from kalshi_ray.env.market_env import Batch, MarketVectorEnv
from kalshi_ray.env.settings import PER_MICRO, EnvSettings
from kalshi_ray.env.single import MarketEnv
from kalshi_ray.errors import ContractError, NothingToDo, UsageError
from kalshi_ray.telemetry import Progress

ROWS = 4
SHORT = 50  # decisions of the episodes that are played to see ends
TRIED = 25  # decisions at which every id is tried
STARTS = 200
SLOWEST_START_S, SLOWEST_RESET_S = 1e-3, 0.1
LEARNED = 2_048  # steps of the training with another library

Clock = Callable[[], float]  # seconds, as `time.perf_counter` counts them


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One property of the contract, and whether it held."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    detail: str


def check_env(
    pack: ViewPack,
    settings: EnvSettings,
    *,
    steps: int = 2_000,
    seed: int = 0,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> list[Check]:
    """Run every check with random legal actions on the views of `pack`. A failure is a line, never an exception.

    NothingToDo where no market has a decision point: there is no environment to check.
    `clock` is what starts of episodes are timed with; without one they are not.
    """
    bench = Bench(pack, settings, steps, seed, clock)
    made: list[Check] = []
    chosen = {name: check for name, check in CHECKS.items() if clock or check is not _starts}
    for done, (name, check) in enumerate(chosen.items()):
        if progress:
            progress("check", done, len(chosen))
        try:
            made.append(Check(name=name, state="ok", detail=check(bench)))
        except Skipped as reason:
            made.append(Check(name=name, state="skipped", detail=str(reason)))
        except NothingToDo:
            raise
        except (ContractError, UsageError, AssertionError, ValueError) as problem:
            made.append(Check(name=name, state="failed", detail=f"{type(problem).__name__}: {problem}"))
    return made


class Skipped(Exception):  # not an error
    """A check that cannot be run here."""


class Bench:
    """What the checks share: fresh environments over the same views, and legal actions."""

    def __init__(self, pack: ViewPack, settings: EnvSettings, steps: int, seed: int, clock: Clock | None) -> None:
        self.pack, self.settings, self.steps, self.seed, self.clock = pack, settings, steps, seed, clock
        most = min(SHORT, settings.max_decisions or SHORT)
        self.short = msgspec.structs.replace(settings, max_decisions=most)

    def rows(self, *, seed: int | None = None, settings: EnvSettings | None = None) -> MarketVectorEnv:
        """A vector environment of a few rows, with the given settings or those that are checked."""
        chosen = self.seed if seed is None else seed
        return MarketVectorEnv(self.pack, settings or self.settings, num_envs=ROWS, seed=chosen, log_fills=True)

    def one(self) -> MarketEnv:
        """A plain environment of one row."""
        return MarketEnv(self.pack, self.settings, seed=self.seed)

    def play(self, env: MarketVectorEnv, steps: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
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
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gymnasium_check(bench.one(), skip_render_check=True)
    complaints = [str(one.message) for one in said if "gym" in str(one.filename)]
    _require(not complaints, "; ".join(complaints))
    return "gymnasium.utils.env_checker has nothing to say"


def _observations(bench: Bench) -> str:
    env = bench.rows()
    low, high = bench.settings.layout.low, bench.settings.layout.high
    for _, batch in bench.play(env, bench.steps):
        _require(bool(np.isfinite(batch.observation).all()), "an observation is not finite")
        within = (batch.observation >= low).all() and (batch.observation <= high).all()
        _require(bool(within), "a feature is out of its range")
        _require(bool(np.isfinite(batch.reward).all()), "a reward is not finite")
        _require(bool(batch.mask.any(axis=1).all()), "no action is legal in some row")
        _require(bool((batch.elapsed >= 0).all()), "a step took negative time")
        faults = env.rows["fault"]
        _require(not faults.any(), f"an answer of the exchange fits no order: fault {int(faults.max())}")
    return f"{bench.steps * ROWS:,} observations finite and within their bounds, always something legal, no fault"


def _masks(bench: Bench) -> str:
    """Every id at several decisions, the rows put back after each: refused exactly where the mask says so."""
    env = bench.rows()
    every = max(1, bench.steps // TRIED)
    tried = 0
    for step, (_, batch) in enumerate(bench.play(env, bench.steps)):
        if step % every:
            continue
        kept, mask = env.get_state(), batch.mask.copy()
        outcome = env.new_batch()
        for action in range(1, bench.settings.actions.size):
            before = env.rows["refused"].copy()
            env.step_into(np.full(ROWS, action), outcome)
            lives = ~(outcome.terminated | outcome.truncated) & env.playing
            refused = env.rows["refused"] > before
            wrong = np.flatnonzero(lives & (refused == mask[:, action]))
            fault = "is legal and was refused" if mask[wrong, action].any() else "is masked and was taken"
            _require(len(wrong) == 0, f"id {action} {fault} at step {step} of rows {wrong.tolist()}")
            tried += int(lives.sum())
            env.set_state(kept)
        env.take_fills(), env.take_episodes()
    return f"{tried:,} trials: what is unmasked is taken, what is masked is refused and counted"


def _money(bench: Bench) -> str:
    """An account kept from the fills alone, as a signed position of YES, beside the ledger of every row."""
    env = bench.rows(settings=bench.short)
    bankroll = int(bench.settings.rules()["bankroll"][0])
    books = [_Account(bankroll) for _ in range(ROWS)]
    fills = episodes = 0
    for _ in bench.play(env, bench.steps):
        for fill in env.take_fills():
            books[fill["row"]].fill(fill)
            fills += 1
        for episode in env.take_episodes():
            row, episodes = int(episode["row"]), episodes + 1
            told, kept = int(episode["cash_end"]), books[row].at_the_end(episode, bench.pack)
            _require(told == kept, f"an episode ended with {told} micros, its fills make {kept}")
            books[row] = _Account(bankroll)
        for row, trader in enumerate(env.rows):
            books[row].compare(trader)
    _require(episodes > 0, f"no episode ended within {bench.steps:,} steps")
    return f"cash, position and equity of {fills:,} fills in {episodes:,} episodes, to the micro at every step"


class _Account:
    """Cash, with a dollar set aside for every YES sold short."""

    def __init__(self, cash: int) -> None:
        self.cash, self.position = cash, 0

    def _aside(self) -> int:
        return max(0, -self.position) * DOLLAR

    def fill(self, fill: Any) -> None:
        bound, side, size = self._aside(), int(fill["side"]), int(fill["size"])
        self.position += side * size
        self.cash += bound - self._aside() - side * int(fill["price"]) * size - int(fill["fee"])

    def compare(self, trader: Any) -> None:
        mark = int(trader["mark_bid"] if self.position >= 0 else trader["mark_ask"])
        kept = (self.cash, self.position, self.cash + self._aside() + self.position * mark)
        told = (int(trader["account"]["cash"]), int(trader["account"]["position"]), int(trader["equity"]))
        _require(kept == told, f"cash, position, equity are {told}, the fills make {kept}")

    def at_the_end(self, episode: Any, pack: ViewPack) -> int:
        """Cash at the end of an episode; settled by the view's result, whole cents are paid."""
        if not episode["terminated"]:
            return self.cash
        view = pack.views[int(episode["view_index"])]
        rows = pack.updates[view["start"] : view["stop"]]
        value = int(rows["size"][rows["kind"] == Kind.SETTLEMENT][0])
        return self.cash + (self._aside() + self.position * value) // MICROS_PER_CENT * MICROS_PER_CENT


def _rewards(bench: Bench) -> str:
    if bench.settings.reward != "pure":
        raise Skipped(f"the reward is {bench.settings.reward}, which adds shaping terms")
    env = bench.rows(settings=bench.short)
    for _ in bench.play(env, bench.steps):
        pass
    episodes = env.take_episodes()
    gained = (episodes["equity_end"] - episodes["equity_start"]) * PER_MICRO[bench.settings.reward_unit]
    worst = float(np.abs(gained - episodes["reward_sum"]).max())
    _require(worst < 1e-4 * max(1.0, float(np.abs(gained).max())), f"rewards miss the change of equity by {worst:.2g}")
    return f"rewards of {len(episodes):,} episodes sum to their change of equity"


def _range(bench: Bench) -> str:
    wrong = bench.settings.actions.size
    env, single = bench.rows(), bench.one()
    single.reset(seed=bench.seed)
    env.reset_into(env.new_batch())
    for act in (lambda: env.step_into(np.full(ROWS, wrong), env.new_batch()), lambda: single.step(wrong)):
        try:
            act()
        except UsageError as problem:
            _require(str(wrong) in str(problem), f"the refusal does not name the id: {problem}")
        else:
            raise ContractError(f"id {wrong} is out of range and was taken")
    return f"id {wrong} raises and is named"


def _determinism(bench: Bench) -> str:
    runs = [[batch.observation.tobytes() for _, batch in bench.play(bench.rows(), 200)] for _ in range(2)]
    _require(runs[0] == runs[1], "the same seed and actions gave two courses")
    return "the same seed and actions give the same bytes"


def _continuation(bench: Bench) -> str:
    env, other = bench.rows(settings=bench.short), bench.rows(settings=bench.short, seed=bench.seed + 1)
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
        for name in ("observation", "mask", "reward", "terminated", "truncated", "elapsed"):
            equal = getattr(batch, name).tobytes() == getattr(copy, name).tobytes()
            _require(equal, f"a restored environment went another way: {name}")
    return "a restored state goes on byte for byte"


def _next_step_reset(bench: Bench) -> str:
    env, chance = bench.rows(settings=bench.short), np.random.default_rng(bench.seed)
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


def _starts(bench: Bench) -> str:
    assert bench.clock is not None
    env = MarketVectorEnv(bench.pack, msgspec.structs.replace(bench.settings, start="random"), num_envs=1)
    batch, spent = env.new_batch(), []
    for _ in range(STARTS):
        began = bench.clock()
        env.reset_into(batch)
        spent.append(bench.clock() - began)
    typical, worst = float(np.median(spent)), max(spent[1:])
    _require(typical < SLOWEST_START_S, f"an episode starts in {typical * 1e3:.2f} ms, expected below 1 ms")
    _require(worst < SLOWEST_RESET_S, f"the slowest start took {worst * 1e3:.0f} ms, expected below 100 ms")
    return f"an episode starts anywhere in {typical * 1e3:.2f} ms, the slowest of {STARTS} in {worst * 1e3:.1f} ms"


def _stable_baselines(bench: Bench) -> str:
    if importlib.util.find_spec("stable_baselines3") is None:
        raise Skipped("stable-baselines3 is not installed (it comes with the extra `bench`)")
    options: dict[str, Any] = {"n_steps": 512, "batch_size": 128, "n_epochs": 1, "seed": bench.seed, "device": "cpu"}
    if importlib.util.find_spec("sb3_contrib") is None:
        from stable_baselines3 import PPO

        PPO("MlpPolicy", bench.one(), **options).learn(LEARNED)
        return f"PPO of stable-baselines3 trained on it for {LEARNED:,} steps"
    contributed = importlib.import_module("sb3_contrib")
    contributed.MaskablePPO("MlpPolicy", bench.one(), **options).learn(LEARNED)
    return f"MaskablePPO of sb3-contrib trained on it for {LEARNED:,} steps, by its masks"


def _require(held: bool, message: str) -> None:
    if not held:
        raise ContractError(message)


CHECKS: dict[str, Callable[[Bench], str]] = {
    "spaces": _spaces,
    "gymnasium": _gymnasium,
    "observations": _observations,
    "masks": _masks,
    "money": _money,
    "rewards": _rewards,
    "range": _range,
    "determinism": _determinism,
    "continuation": _continuation,
    "vector reset": _next_step_reset,
    "starts": _starts,
    "stable-baselines3": _stable_baselines,
}
