"""Steps of the environment: many rows, one row, many markets, and the start of an episode."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, Measured, amount
from bench.machine import on_one_core, timed
from bench.playing import record_game, record_single_game
from bench.sessions import CALIBRATED, pack_of, pack_of_size
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings

AIM = 1.5e6  # steps/s of the vector environment
# Defaults in force, with a bankroll that random play does not lose at once: a ruined row has nothing to do.
TAKING = EnvSettings(action_space="sized21", start="random", max_decisions=2_000, bankroll_cents=10_000_000)
RESTING = EnvSettings(action_space="sized21-join", start="random", max_decisions=2_000, bankroll_cents=10_000_000)
MARKETS = (1, 10, 100, 1_000)
UPDATES = 2_000_000  # of every session in the comparison of their numbers of markets
STARTS = 1_000


def _vector(settings: EnvSettings) -> Measured:
    game = record_game(pack_of(CALIBRATED), settings)
    [spent] = timed(game.work)
    rate = spent.rate(game.steps)
    return Measured(rate.ours, note=f"aim {amount(AIM)}; {rate.note}; {game.note}")


def vector_env() -> Measured:
    """Steps a second with orders that take."""
    return _vector(TAKING)


def vector_env_resting() -> Measured:
    """Steps a second with orders that rest in the queue."""
    return _vector(RESTING)


def single_env() -> Measured:
    """Steps a second of plain Gymnasium, resets included."""
    game = record_single_game(pack_of(CALIBRATED), TAKING)
    [spent] = timed(game.work)
    rate = spent.rate(game.steps)
    return Measured(rate.ours, note=f"{rate.note}; {game.fills:,} fills in {game.steps:,} steps")


def markets_at_equal_updates() -> Measured:
    """The slowest time per step over the fastest, by number of markets."""
    games = [record_game(pack_of_size(markets, UPDATES), TAKING, steps=800) for markets in MARKETS]
    spent = timed(*(game.work for game in games), passes=9)
    ns = [1e9 * taken.median / game.steps for taken, game in zip(spent, games)]
    packs = [game.env.pack for game in games]
    each = (
        f"{markets:,}: {step:.0f} ({len(pack.updates) / pack.views['steps'].sum():.2f} updates a step)"
        for markets, step, pack in zip(MARKETS, ns, packs)
    )
    return Measured(max(ns), min(ns), note="; ".join(each))


class Fixed:
    """A sampler that gives one episode again and again."""

    def __init__(self) -> None:
        self.episode = (0, -1)

    def set_progress(self, share: float) -> None:
        pass

    def next(self, row: int) -> tuple[int, int]:
        """The episode."""
        del row
        return self.episode

    def get_state(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def set_state(self, state: dict[str, int]) -> None:
        """Nothing."""


def random_starts(pack: ViewPack, count: int, seed: int = 0) -> NDArray[np.int64]:
    """View and row of the tape, drawn evenly over all updates of the views that can be played; [count, 2]."""
    chance = np.random.default_rng(seed)
    playable = np.flatnonzero(pack.views["steps"] > 0)
    rows = (pack.views["stop"] - pack.views["start"])[playable]
    views = playable[chance.choice(len(playable), count, p=rows / rows.sum())]
    return np.stack([views, chance.integers(pack.views["start"][views], pack.views["stop"][views])], axis=1)


@cache
def starts() -> NDArray[np.float64]:
    """Milliseconds of STARTS episode starts, each the median of several; first observation and mask included."""
    pack = pack_of(CALIBRATED)
    sampler = Fixed()
    env = MarketVectorEnv(pack, TAKING, num_envs=1, sampler=sampler)
    batch = env.new_batch()
    episodes = [(int(view), int(row)) for view, row in random_starts(pack, STARTS)]

    def work() -> Iterator[bool]:
        env.reset_into(batch)
        yield False
        for episode in episodes:
            sampler.episode = episode
            env.reset_into(batch)
            yield True

    [spent] = timed(work)
    return spent.chunks * 1e3


def episode_start() -> Measured:
    """The median over all starts."""
    found = starts()
    return Measured(
        float(np.median(found)), note=f"best {amount(float(found.min()))}, mean {amount(float(found.mean()))}"
    )


def episode_start_p99() -> Measured:
    """The start that only one in a hundred is slower than."""
    found = starts()
    return Measured(float(np.quantile(found, 0.99)), note=f"slowest of {STARTS:,}: {amount(float(found.max()))}")


FIGURES = [
    Figure(
        name="vector env, obs54 + mask + matching, 64 rows",
        unit="steps/s",
        measure=on_one_core(vector_env),
        floor=800_000,
    ),
    Figure(name="vector env, resting orders, 64 rows", unit="steps/s", measure=on_one_core(vector_env_resting)),
    Figure(name="MarketEnv, plain Gymnasium", unit="steps/s", measure=on_one_core(single_env), floor=100_000),
    Figure(
        name="1, 10, 100, 1,000 markets: slowest time a step",
        unit="ns",
        measure=on_one_core(markets_at_equal_updates),
        peer="fastest of them",
        ratio_ceiling=1.6,
    ),
    Figure(name="start of an episode anywhere, median", unit="ms", measure=on_one_core(episode_start), ceiling=1.0),
    Figure(name="start of an episode anywhere, p99", unit="ms", measure=on_one_core(episode_start_p99), ceiling=1.0),
]
