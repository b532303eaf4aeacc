"""The trader machine on a feed and a timer, as live trading drives it, beside the environment on the same tape."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.book import book_size, clear_book, load_axis, load_grid
from kalshi_ray.core.features import FACTS
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.observe import arrange, measure
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.trader import (
    NEVER,
    decided,
    due_time,
    is_decidable,
    is_notice,
    see_notice,
    see_update,
    start_trader,
    trader_dtype,
    wake,
)
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.env.random_tapes import random_tape
from tests.tapes import pack_of

Decision = tuple[int, bytes]
WHOLE = EnvSettings(start="whole")


class LiveRow:
    """One market between a socket and a clock: `receive` for every update, `fire` when the timer ends."""

    def __init__(self, pack: ViewPack, settings: EnvSettings) -> None:
        self.rules, self.layout = as_rows(settings.rules())[0], settings.layout
        self.trader = as_rows(np.zeros(1, trader_dtype(book_size(pack.max_levels))))[0]
        self.facts = np.zeros(1, FACTS)
        self.pack, self.decisions = pack, list[Decision]()
        view = as_rows(pack.views)[0]
        start_trader(self.trader, view, self.rules["bankroll"], pack.updates["recv_ns"][0])
        load_axis(self.trader["book"], pack.axes, view["axis"], view["levels"])
        load_grid(self.trader["book"], pack.grids, view["grid"])
        clear_book(self.trader["book"])

    def receive(self, update: Any) -> None:
        """An update: the timer may have ended before it."""
        while due_time(self.trader, self.rules) < update["recv_ns"]:
            self.fire()
        see_update(self.trader, update)
        if is_notice(update):
            see_notice(self.trader, update, self.pack.values, self.pack.grids)

    def fire(self) -> None:
        """The timer has ended: observe and hold, or wait for another change."""
        if not is_decidable(self.trader):
            self.trader["changed_ns"] = NEVER
            return
        wake(self.trader, due_time(self.trader, self.rules))
        measure(self.trader, self.rules, as_rows(self.facts)[0])
        layout, seen = self.layout, np.zeros((1, self.layout.size), np.float32)
        arrange(self.facts.view(np.float32), layout.index, layout.low, layout.high, 0, seen)
        self.decisions.append((int(self.trader["now_ns"]), seen.tobytes()))
        decided(self.trader, True)


def live(pack: ViewPack) -> list[Decision]:
    """Times and observations of a live row that holds."""
    row = LiveRow(pack, WHOLE)
    for update in as_rows(pack.updates):
        if row.trader["settled"]:
            break
        row.receive(update)
    return row.decisions


def replayed(pack: ViewPack) -> list[Decision]:
    """The same from the environment."""
    env = MarketVectorEnv(pack, WHOLE, num_envs=1)
    batch, found = env.new_batch(), list[Decision]()
    env.reset_into(batch)
    while not batch.terminated[0] and not batch.truncated[0]:
        found.append((int(env.rows["now_ns"][0]), batch.observation[0].tobytes()))
        env.step_into(np.zeros(1, np.int64), batch)
    return found


@given(seed=st.integers(0, 10_000))
def test_live_and_environment_decide_at_the_same_times_on_the_same_observations(seed: int) -> None:
    """Equal to the nanosecond and to the bit."""
    pack = pack_of(random_tape(seed, mean_s=0.08))
    assert live(pack) == replayed(pack)


def test_there_is_something_to_compare() -> None:
    assert len(replayed(pack_of(random_tape(1, mean_s=0.08)))) > 20
