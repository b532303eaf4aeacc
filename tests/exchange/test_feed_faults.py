"""Whatever goes wrong on the line, a book that is known is the exchange's book, and every book becomes known again."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_events import Broken, Stale
from kalshi_ray.exchange.feed_settings import FeedSettings
from tests.examples import some_of
from tests.exchange.little_exchange import Faults, Line, LittleExchange

FEW = [f"KXA-26-T{number}" for number in range(8)]
MANY = [f"KXMANY-26NOV20-T{number}.5" for number in range(1000)]
SEEDS = st.integers(0, 10**9)


def line_of(
    seed: int,
    tickers: list[str],
    faults: Faults,
    *,
    batch: int,
    use_yes_price: bool = True,
    reuses_sids: bool = False,
    **more: Any,
) -> Line:
    exchange = LittleExchange(tickers, seed, use_yes_price=use_yes_price, reuses_sids=reuses_sids)
    feed = Feed(FeedSettings(use_yes_price=use_yes_price, tickers_per_command=400, **more), tickers)
    return Line(exchange, feed, seed, faults, batch=batch)


def random_faults(seed: int) -> Faults:
    """Some kinds of faults, seldom or often."""
    chance = Random(seed)

    def some(most: float) -> float:
        return chance.choice([0.0, 0.2, 1.0]) * most

    return Faults(
        drop=some(0.03),
        duplicate=some(0.03),
        reorder=some(0.03),
        kill=some(0.02),
        disconnect=some(0.01),
        mute=some(0.2),
        refuse=some(0.2),
    )


def run(line: Line, steps: int, *, per_step: int, comes_and_goes: float = 0.0) -> None:
    chance = Random(steps)
    for _ in range(steps):
        if chance.random() < comes_and_goes:
            absent = [ticker for ticker in line.exchange.books if ticker not in line.feed.tickers]
            line.feed.add(chance.sample(absent, min(2, len(absent))))
            line.feed.drop(chance.sample(line.feed.tickers, chance.randrange(len(line.feed.tickers) + 1)))
        for _ in range(chance.randrange(per_step)):
            line.exchange.trade() if chance.random() < 0.1 else line.exchange.change()
        line.step(chance.choice([0.01, 0.05, 0.3, 1.0]))
    line.settle()
    line.check(line.feed.tickers)
    assert not any(isinstance(event, Broken) for event in line.events)


@pytest.mark.parametrize("batch", [1, 7], ids=["frame by frame", "in batches"])
@given(seed=SEEDS, use_yes_price=st.booleans())
@settings(max_examples=some_of(100))
def test_known_books_are_true_under_any_plan_of_faults(seed: int, use_yes_price: bool, batch: int) -> None:
    line = line_of(seed, FEW, random_faults(seed), batch=batch, use_yes_price=use_yes_price)
    run(line, 60, per_step=8)
    assert line.checks > 8


@given(seed=SEEDS)
@settings(max_examples=some_of(60))
def test_markets_come_and_go_under_any_plan_of_faults(seed: int) -> None:
    line = line_of(seed, FEW, random_faults(seed), batch=Random(seed).choice([1, 7]))
    run(line, 60, per_step=8, comes_and_goes=0.2)


@given(seed=SEEDS)
@settings(max_examples=some_of(60))
def test_books_that_need_trades_are_true_and_become_known_again(seed: int) -> None:
    line = line_of(seed, FEW, random_faults(seed), batch=Random(seed).choice([1, 7]), books_need_trades=True)
    run(line, 60, per_step=8, comes_and_goes=0.1)


@given(seed=SEEDS)
@settings(max_examples=some_of(40))
def test_a_sid_that_is_used_again_starts_anew(seed: int) -> None:
    faults = random_faults(seed)._replace(reorder=0.0, duplicate=0.0, kill=0.05)
    run(line_of(seed, FEW, faults, batch=1, reuses_sids=True), 60, per_step=8)


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 300), marks=pytest.mark.slow)], ids=["30", "300"])
def test_a_thousand_markets_on_one_connection_are_consistent_after_any_plan(seeds: range) -> None:
    for seed in seeds:
        faults = random_faults(seed)
        line = line_of(seed, MANY, faults._replace(drop=faults.drop / 20, reorder=faults.reorder / 20), batch=200)
        run(line, 6, per_step=300)
        assert line.checks > 500
        if not faults.drop and not faults.reorder:
            assert line.feed.counts["gaps"] == 0


@given(seed=SEEDS)
@settings(max_examples=30)
def test_rows_tell_the_same_frame_by_frame_and_in_batches(seed: int) -> None:
    """The same frames at the same times: the same rows, and the same events but for those that are rows."""
    lines = [line_of(seed, FEW, Faults(drop=0.02, reorder=0.02, duplicate=0.02), batch=1) for _ in range(2)]
    one, other = lines
    chance = Random(seed)
    for _ in range(40):
        for line in lines:
            line.exchange.change()
        frames = [line.exchange.out for line in lines]
        assert [f.raw for f in frames[0]] == [f.raw for f in frames[1]]
        now = one.now = other.now = one.now + chance.randrange(10**9)
        sent = [frame.raw for frame in frames[0] if chance.random() > 0.05]
        for line in lines:
            line.exchange.out = []
        rows: list[object] = []
        for raw in sent:
            one.events += one.feed._receive(raw, now)
        rows = one.feed.rows.rows.tolist()
        other.events += other.feed.receive_many(sent, np.full(len(sent), now))
        assert rows == other.feed.rows.rows.tolist()
        assert [e for e in one.events if isinstance(e, Stale)] == [e for e in other.events if isinstance(e, Stale)]
        for line in lines:
            line._send(line.feed.due(now))
