"""When a row decides: the timer rule, and the times at which nothing may be decided."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from tests.env.play import Play
from tests.env.random_tapes import random_tape
from tests.tapes import T0, Rows, book, change, gap, pack_of, settle, status, trade

QUIET = book(0, {45: 100}, {48: 100})


def decisions(*parts: Rows, **settings: float) -> list[float]:
    """Times of all decisions of a tape, in ms of receive time after its first row."""
    play = Play(pack_of(*parts), **settings)
    times = []
    while not play.over:
        times.append(round((play.now - 0.05) * 1e3, 3))
        play.step(0)
    return times


def test_a_lone_change_is_decided_after_the_burst_wait() -> None:
    assert decisions(QUIET, change(1, "bid", 44, 10), change(5, "bid", 44, 10), trade(9, "buys", 48, 1)) == [
        5.0,
        1005.0,
        5005.0,
    ]


def test_changes_within_the_interval_wait_for_its_end() -> None:
    """First 5 ms after the change, then 250 ms after the last decision, however many changes come."""
    burst = [one for step in range(10) for one in change(1 + step * 0.02, "bid", 44, 1)]
    assert decisions(QUIET, burst, trade(9, "buys", 48, 1)) == [5.0, 1005.0, 1255.0]


def test_prints_and_answers_of_our_own_do_not_wake_a_row() -> None:
    play = Play(pack_of(QUIET, trade(1, "buys", 48, 1), change(5, "bid", 44, 1), trade(9, "buys", 48, 1)))
    play.act("BUY_YES", 10)
    assert play.now == pytest.approx(5.055)
    assert play.position == 10


@given(seed=st.integers(0, 10_000))
def test_no_dead_quote_stays_undecided_longer_than_the_interval(seed: int) -> None:
    """Where the book can be decided on 250 ms after a change, there was a decision since."""
    rows = random_tape(seed, mean_s=0.08)
    play = Play(pack_of(rows))
    times = []
    while not play.over:
        times.append(int(play.trader["now_ns"]))
        play.step(0)
    decided = np.array(times)
    paused = [one["recv_ns"] for one in rows if one["kind"] in (Kind.GAP, Kind.STATUS)]
    last = max(one["recv_ns"] for one in rows)
    for one in rows:
        due = one["recv_ns"] + 250_000_000
        disturbed = any(one["recv_ns"] - 800_000_000 <= at <= due for at in paused)
        if one["kind"] == Kind.DELTA and due <= last and not disturbed:
            assert ((decided > one["recv_ns"]) & (decided <= due)).any()


def test_nothing_is_decided_in_a_gap_and_the_next_snapshot_wakes_the_row() -> None:
    known = book(6, {40: 10}, {50: 10})
    times = decisions(QUIET, gap(1), change(2, "bid", 44, 1), change(3, "bid", 44, 1), known, trade(9, "buys", 48, 1))
    assert times == [5.0, 6005.0]


def test_a_gap_between_a_change_and_its_decision_takes_the_decision_away() -> None:
    assert decisions(QUIET, change(1, "bid", 44, 1), gap(1.004), book(2, {1: 1}), trade(9, "buys", 48, 1)) == [
        5.0,
        2005.0,
    ]


@pytest.mark.parametrize("crossing", [48, 49])
def test_nothing_is_decided_while_the_book_is_locked_or_crossed(crossing: int) -> None:
    cleared = change(4, "bid", crossing, -5)
    times = decisions(QUIET, change(1, "bid", crossing, 5), change(2, "bid", 44, 1), cleared, trade(9, "buys", 48, 1))
    assert times == [5.0, 4005.0]


def test_nothing_is_decided_while_the_market_is_paused_and_its_return_wakes_the_row() -> None:
    pause = status(1, Status.INACTIVE) + change(2, "bid", 44, 1) + status(3, Status.ACTIVE)
    assert decisions(QUIET, pause, trade(9, "buys", 48, 1)) == [5.0, 3005.0]


def test_the_tape_ends_before_a_decision_that_would_be_due_after_it() -> None:
    assert decisions(QUIET, change(1, "bid", 44, 1)) == [5.0]
    assert decisions(QUIET, change(1, "bid", 44, 1), settle(1.003, 100)) == [5.0]


def test_the_command_budget_leaves_only_hold_when_it_is_empty() -> None:
    """A burst of two and one a second: a bucket of two tokens that fills by one a second, and nothing else stops it."""
    ticks = [one for step in range(1, 60) for one in change(step * 0.3, "bid", 44, 1)]
    play = Play(pack_of(QUIET, ticks), budget_per_s=1.0, budget_burst=2)
    tokens, before, sent = 2.0, play.now, 0
    while not play.over:
        tokens, before = min(2.0, tokens + play.now - before), play.now
        free = tokens > 1 - 1e-6
        assert play.legal("BUY_YES", 5) == free
        assert free or play.mask.tolist() == [True] + [False] * 20
        play.step(play.id_of("BUY_YES", 5) if free else 0)
        tokens, sent = tokens - free, sent + free
    assert int(play.episode["orders_sent"]) == sent > 10
    assert int(play.episode["refused"]) == 0


def test_the_seconds_of_the_steps_add_up_to_the_episode() -> None:
    play = Play(pack_of(random_tape(3, result=100)))
    began, total = play.now, 0.0
    while not play.over:
        play.step(0)
        total += float(play.batch.elapsed[0])
    ended = (int(play.episode["ended_ns"]) - T0) / 1e9
    assert total == pytest.approx(ended - began, rel=1e-5)
