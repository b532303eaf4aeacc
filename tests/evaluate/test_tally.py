"""Decisions are counted once each, where the row stood and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalshi_ray.core.actions import action_space
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.trader import trader_dtype
from kalshi_ray.core.units import CENT, DOLLAR, SECOND
from kalshi_ray.evaluate import tally
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.tally import count_decisions, empty_moments, empty_states, intents_of, lives_of
from tests.evaluate.sessions import small_session
from tests.evaluate.test_run import run


@pytest.fixture(scope="module")
def ledgers() -> tuple[Ledger, ...]:
    return run().ledgers


def test_every_decision_is_counted_by_state_and_by_moment(ledgers: tuple[Ledger, ...]) -> None:
    for one in ledgers:
        steps = one.episodes["steps"].sum()
        assert one.states.sum() == steps == one.moments.sum()
        assert (one.states.sum(axis=(0, 1, 2, 3)) == one.moments.sum(axis=(0, 1, 2))).all()


def test_what_is_counted_as_nothing_is_hold(ledgers: tuple[Ledger, ...]) -> None:
    for one in ledgers:
        if len(one.actions):
            assert one.states[..., 0].sum() == one.actions[0]
            assert one.states[..., 3].sum() == 0


def test_whoever_never_trades_is_always_flat(ledgers: tuple[Ledger, ...]) -> None:
    hold = next(one for one in ledgers if one.policy == "hold")
    assert hold.states[:, :, :, (0, 2)].sum() == 0 and hold.states[..., 1:].sum() == 0


def counted(**row: int) -> tuple[np.ndarray, np.ndarray]:
    """The places where one decision of a row is counted."""
    rows = np.zeros(1, trader_dtype(99))
    for name, value in row.items():
        if name == "position":
            rows["account"]["position"] = value
        else:
            rows[name] = value
    spans = np.array([(0, 1_000 * SECOND, 0)], tally.LIFE)
    pace = np.zeros(101, np.uint8)
    pace[50] = 1
    states, moments = empty_states(), empty_moments()
    first = np.zeros(1, np.int64)
    count_decisions(as_rows(rows), first, first, first + 1, as_rows(spans), pace, states, moments)
    return np.argwhere(states)[0], np.argwhere(moments)[0]


@pytest.mark.parametrize(
    ("bid", "ask", "spread"),
    [(49, 49.5, 0), (49, 50, 1), (49, 51, 2), (45, 50, 3), (40, 50, 4), (-1, 50, 5), (50, -1, 5)],
)
def test_spread_regimes_begin_at_their_bounds(bid: float, ask: float, spread: int) -> None:
    pips = {"best_bid": int(bid * CENT) if bid > 0 else -1, "best_ask": int(ask * CENT) if ask > 0 else -1}
    assert counted(**pips)[0][1] == spread
    known = min(pips.values()) >= 0
    assert tally.spread_of(np.array([pips["best_ask"] - pips["best_bid"] if known else -1]))[0] == spread


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"mark_bid": 0, "mark_ask": 0}, (0, 0)),
        ({"mark_bid": DOLLAR, "mark_ask": DOLLAR}, (0, 9)),
        ({"mark_bid": 4_900, "mark_ask": 5_100}, (0, 5)),
        ({"bid_size": 100, "ask_size": 0}, (2, 4)),
        ({"bid_size": 0, "ask_size": 100}, (2, 0)),
        ({"bid_size": 50, "ask_size": 50}, (2, 2)),
        ({"bid_size": 0, "ask_size": 0}, (2, 2)),
        ({"position": -1}, (3, 0)),
        ({"position": 1}, (3, 2)),
    ],
)
def test_states_are_told_by_price_imbalance_and_position(row: dict[str, int], place: tuple[int, int]) -> None:
    axis, wanted = place
    assert counted(**row)[0][axis] == wanted


@pytest.mark.parametrize(
    ("second", "phase", "end", "pace"),
    [(0, 0, 0, 0), (249, 0, 0, 0), (250, 1, 0, 0), (505, 2, 0, 1), (700, 2, 1, 0), (1_000, 3, 1, 0), (2_000, 3, 1, 0)],
)
def test_moments_are_told_by_the_life_of_the_market(second: int, phase: int, end: int, pace: int) -> None:
    assert counted(now_ns=second * SECOND)[1].tolist() == [phase, end, pace, 1]


def test_kernel_and_arrays_tell_moments_alike() -> None:
    pack, _ = small_session()
    views = np.arange(len(pack.views), dtype=np.int32)
    lives = lives_of(pack, views, np.full(len(views), -1, np.int64))
    source = np.random.default_rng(0)
    market = source.integers(0, len(views), 200)
    span = lives.spans[market]
    ns = span["first_ns"] + (source.random(200) * (span["last_ns"] - span["first_ns"])).astype(np.int64)
    rows = np.zeros(1, trader_dtype(99))
    for at in range(200):
        rows["now_ns"], moments = ns[at], empty_moments()
        none = np.zeros(1, np.int64)
        count_decisions(
            as_rows(rows), market[at : at + 1], none, none, as_rows(lives.spans), lives.pace, empty_states(), moments
        )
        told = [
            place(lives, market[at : at + 1], ns[at : at + 1])[0]
            for place in (tally.phase_of, tally.end_of, tally.pace_of)
        ]
        assert np.argwhere(moments)[0].tolist() == [*told, 0]


def test_a_burst_is_many_changes_at_once_for_this_market() -> None:
    pack, _ = small_session()
    view = pack.views[0]
    updates = pack.updates.copy()
    rows = updates[view["start"] : view["stop"]]
    rows["kind"] = Kind.TRADE
    rows["recv_ns"] = rows["recv_ns"][0] + np.arange(len(rows)) * SECOND
    rows["kind"][100:106] = Kind.DELTA  # six changes in one cell of ten seconds, none elsewhere
    lives = lives_of(replace(pack, updates=updates), np.zeros(1, np.int32), np.full(1, -1, np.int64))
    assert np.flatnonzero(lives.pace).tolist() == [10]


def test_intents_are_told_on_the_yes_axis() -> None:
    spec = action_space("intent5")
    words = {spec.describe(at)["intent"]: tally.INTENTS[number] for at, number in enumerate(intents_of(spec))}
    assert words == {"HOLD": "none", "BUY_YES": "buys", "SELL_NO": "buys", "SELL_YES": "sells", "BUY_NO": "sells"}
