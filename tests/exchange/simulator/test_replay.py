"""The flow of a tape: every row reaches the exchange, at its time, and the books are those of the tape."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import SECOND, PriceGrid
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.synthetic.session import run, start
from kalshi_ray.data.synthetic.settings import SynthSettings
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.replay import Pace, Replay
from kalshi_ray.exchange.simulator.replay_tape import first_ns, ranges_of, tape_of
from kalshi_ray.exchange.simulator.settings import MarketTerms

NOW = 1_791_000_000 * SECOND


@cache
def pack(grid: str = "mixed") -> ViewPack:
    settings = SynthSettings(markets=8, waves=1, hours=0.3, seed=5, grid=grid, gaps_per_hour=4)  # type: ignore[arg-type]
    state = start(settings)
    batches = [batch for updates, _ in run(state) for batch in updates.to_batches()]
    return build_pack_from_tables(state.table, batches, Manifest(id="s", source="synthetic"))


def listed(tape: ViewPack) -> Exchange:
    exchange = Exchange(seed=1)
    exchange.advance(NOW)
    for view, ticker in zip(tape.views, tape.tickers):
        prices = tape.axes[view["axis"]][: view["levels"]]
        valid = [int(p) for p, is_valid in zip(prices, tape.grids[view["grid"]]) if is_valid]
        exchange.open_market(MarketTerms(ticker=ticker, event="E", series="S", ranges=ranges_of(valid)))
    return exchange


def test_a_tape_passes_whole_and_leaves_the_books_that_it_says() -> None:
    tape = pack()
    exchange, pace = listed(tape), Pace(first_ns(tape), NOW, 1000)
    replay = Replay(tape_of(tape, pace), pace)
    while replay.advance(exchange, NOW + 3600 * SECOND, 1_000):
        exchange.drain()
    exchange.audit()
    levels = int(np.isin(tape.updates["kind"], [Kind.SNAPSHOT_LEVEL, Kind.SIGNAL]).sum())
    off_grid = int(((tape.updates["kind"] == Kind.TRADE) & (tape.updates["tick"] < 0)).sum())
    assert replay.is_over and replay.skipped == 0 and replay.next_ns is None
    assert replay.done == len(tape.updates) - levels - off_grid
    assert all(market.book.flow.damaged == 0 for market in exchange.markets_by_ticker.values())
    prints = int((tape.updates["kind"] == Kind.TRADE).sum())
    assert sum(len(market.trades) for market in exchange.markets_by_ticker.values()) > 0.9 * prints > 0


@pytest.mark.parametrize("speed", [1, 60, 1000])
def test_updates_come_at_their_time_and_not_before(speed: int) -> None:
    tape = pack()
    exchange, pace = listed(tape), Pace(first_ns(tape), NOW, speed)
    replay = Replay(tape_of(tape, pace), pace)
    assert replay.next_ns == NOW
    times = [time for time, _ in tape_of(tape, pace)]
    assert times == sorted(times)
    for elapsed in (1, 5, 30):
        replay.advance(exchange, NOW + elapsed * SECOND // speed, 10**9)
        assert replay.done == sum(time <= times[0] + elapsed * SECOND for time in times)
        assert replay.next_ns is None or replay.next_ns > NOW + elapsed * SECOND // speed


def test_steps_move_by_count_or_by_time_of_the_tape() -> None:
    tape = pack()
    exchange, replay = listed(tape), Replay(tape_of(tape, None), None)
    assert replay.next_ns is None and not replay.advance(exchange, NOW + 3600 * SECOND, 10)
    assert replay.step(exchange, NOW, updates=25) == 25 == replay.done
    before = replay.tape_ns
    moved = replay.step(exchange, NOW, tape_ns=10 * SECOND)
    assert moved > 0 and before < replay.tape_ns <= before + 10 * SECOND
    assert exchange.now_ns == NOW


@given(st.sampled_from(["cent", "deci", "tapered", "finest"]))
def test_bands_of_a_grid_hold_just_its_prices(name: str) -> None:
    ranges = {
        "cent": ((0, 10_000, 100),),
        "deci": ((0, 10_000, 10),),
        "tapered": ((0, 1_000, 10), (1_000, 9_000, 100), (9_000, 10_000, 10)),
        "finest": ((0, 10_000, 1),),
    }[name]
    prices = [int(price) for price in PriceGrid(ranges).prices]
    assert [int(price) for price in PriceGrid(ranges_of(prices)).prices] == prices


@given(st.integers(0, 10**15), st.integers(1, 1000))
def test_times_of_a_market_are_whole_seconds_and_never_early(later: int, speed: int) -> None:
    pace = Pace(NOW - 10**6 * SECOND, NOW, speed)
    at = pace.second_at(pace.tape_ns + later)
    assert at % SECOND == 0 and 0 <= at - pace.at(pace.tape_ns + later) < SECOND
    assert pace.second_at(0) == 0
