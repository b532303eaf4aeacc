"""A runner over generated markets, without Ray, and rows that remember or spoil what passes through them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import synthesize
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.train.algorithm import build_config
from kalshi_ray.train.runner import MARKET, TALLIES, MarketRunner
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import Described, MarketSource, Spaces
from kalshi_ray.train.tally import Tally

ROWS, STEPS = 12, 60
SETTINGS = TrainSettings(rows=ROWS, batch=ROWS * STEPS, minibatch=ROWS * STEPS, steps=1_000_000, cost_ramp=0.0)
ENV = EnvSettings(observation="obs-x", position_limit=50, start="random", max_decisions=25, bankroll_cents=2_000)


@cache
def pack() -> ViewPack:
    """A dozen generated markets."""
    store = open_store(mkdtemp())
    synthesize(store, "small", SynthSettings(regime="planted", markets=12, waves=2, hours=0.05, seed=3))
    return build_pack(store.open("small"))


class Rows(MarketVectorEnv):
    """Market rows that keep every command, log fills, and put `spoil` where it says."""

    spoil: Spoil | None = None
    steps = -1

    def step_into(self, actions: NDArray[np.int64], batch: Any) -> None:
        super().step_into(actions, batch)
        self.steps += 1
        ended = batch.terminated | batch.truncated
        traders = self.rows
        for row in np.flatnonzero((traders["command_count"] > 0) & ~ended):
            self.commands.append((int(actions[row]), traders["commands"][row, 0].copy()))
        if self.spoil is not None:
            self.spoil.put(self, batch, ended)

    @property
    def commands(self) -> list[tuple[int, Any]]:
        return self.__dict__.setdefault("_commands", [])


@dataclass
class Spoil:
    """A value put into one column of one row at the first step from `step` on; remembers in which market."""

    column: str  # observation, final_observation or reward
    row: int
    step: int  # of the environment, from 0
    feature: int
    value: float
    ticker: str = ""

    def put(self, rows: Rows, batch: Any, ended: NDArray[np.bool_]) -> None:
        over = self.column == "final_observation"
        if self.ticker or rows.steps < self.step or (over and not ended[self.row]):
            return
        self.step = rows.steps
        view = rows.rows["view_index"][self.row]
        if ended[self.row] and self.column != "observation":  # the row is in its next market already
            records = rows._kept_episodes[-1]
            view = records[records["row"] == self.row]["view_index"][-1]
        self.ticker = rows.pack.tickers[view]
        if self.column == "reward":
            batch.reward[self.row] = self.value
        else:
            getattr(batch, self.column)[self.row, self.feature] = self.value


@dataclass(frozen=True)
class RowsSource:
    """Makes `Rows` of the generated markets."""

    settings: EnvSettings = ENV
    spoil: Spoil | None = None

    def make(self, rows: int, seed: int) -> Rows:
        made = Rows(pack(), self.settings, num_envs=rows, seed=seed, log_fills=True)
        made.spoil = self.spoil
        return made

    def describe(self) -> Described:
        return MarketSource(pack=pack(), settings=self.settings, views=(0,)).describe()


def runner_of(source: RowsSource | None = None, settings: TrainSettings = SETTINGS) -> MarketRunner:
    """A runner in this process."""
    chosen = source or RowsSource()
    spaces = Spaces.of(chosen.make(1, 0))
    return MarketRunner(config=build_config(settings, chosen, spaces), worker_index=0, num_workers=0)


def tally_of(runner: MarketRunner) -> Tally:
    """What the runner counted since the last call, as its metrics carry it."""
    found = runner.get_metrics()[MARKET][TALLIES].items
    assert len(found) == 1
    tally: Tally = found[0]
    return tally
