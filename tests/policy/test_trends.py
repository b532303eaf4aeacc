"""Rules of thumb about the price: when they enter, how long they stay, and that nothing is remembered too long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.actions import Intent, action_space
from kalshi_ray.core.orders import OrderState
from kalshi_ray.policy.memory import Memory
from kalshi_ray.policy.taking import largest_order
from kalshi_ray.policy.trends import LongshotFade, MeanReversion, Momentum
from tests.examples import some_of
from tests.policy.states import make_state
from tests.policy.tapes import state_at

TABLE = action_space("sized21")


def words(action: int) -> str:
    described = TABLE.describe(action)
    return f"{described['intent']} {described['contracts']:g}" if action else "HOLD"


def played(policy: Momentum | LongshotFade, mids: list[float], *, every: float = 1.0) -> list[str]:
    """What is done at each mid (cents), one `every` seconds, when every order fills at once."""
    policy.reset(np.zeros(0, np.uint64), 0)
    position, fills, done = 0, 0, []
    for at, mid in enumerate(mids):
        touch = int(mid - 1), int(mid + 1)
        state = state_at(at * every, *touch, position=position, decision=at, fills=fills)
        state.mask[:, TABLE.table["intent"] == (Intent.BUY_NO if position > 0 else Intent.BUY_YES)] &= position == 0
        action = int(policy.act(state)[0])
        done.append(words(action))
        if action:
            intent, size = done[-1].split()
            step = min(int(size), abs(position)) if intent.startswith("SELL") else int(size)
            position += step if intent in ("BUY_YES", "SELL_NO") else -step
            fills += 1
    return done


RISE = [50.0] * 5 + [51.0, 52.0, 53.0, 54.0, 54.0, 54.0, 54.0, 54.0, 54.0, 54.0]


def test_momentum_buys_a_rise_once_and_keeps_it() -> None:
    done = played(Momentum(window_s=2.0, threshold=2.0), RISE)
    assert done.index("BUY_YES 10") == 6
    assert done.count("HOLD") == len(RISE) - 1


def test_mean_reversion_sells_what_momentum_buys() -> None:
    assert played(MeanReversion(window_s=2.0, threshold=2.0), RISE) == [
        one.replace("BUY_YES", "BUY_NO") for one in played(Momentum(window_s=2.0, threshold=2.0), RISE)
    ]


def test_an_opposite_move_closes_and_turns_the_position() -> None:
    fall = [54.0, 52.0, 50.0, 48.0, 46.0, 44.0]
    done = played(Momentum(window_s=2.0, threshold=2.0), RISE + fall)[len(RISE) :]
    assert [one for one in done if one != "HOLD"] == ["SELL_YES 10", "BUY_NO 10"]


def test_a_time_stop_closes_and_the_same_move_does_not_enter_again() -> None:
    long_rise = [50.0] * 5 + [50.0 + at for at in range(20)]
    done = played(Momentum(window_s=2.0, threshold=2.0, hold_s=3.0), long_rise)
    first = done.index("BUY_YES 10")
    assert done[first + 3] == "SELL_YES 10"
    assert done.count("HOLD") == len(done) - 2


@given(st.lists(st.integers(30, 70), min_size=3, max_size=40), st.sampled_from([1.0, 4.0, 16.0]))
@settings(max_examples=some_of(40))
def test_a_move_is_measured_over_the_window_and_not_over_less(mids: list[int], window: float) -> None:
    """With a decision a second the kept mids are exact up to a window of sixteen seconds."""
    span = int(window)
    moves = [mids[at] - mids[at - span] if at >= span else 0 for at in range(len(mids))]
    signals = [int(np.sign(move)) * (abs(move) >= 3) for move in moves]
    expected, side = [], 0
    for at, signal in enumerate(signals):
        if signal and signal != (signals[at - 1] if at else 0):
            side = signal
        expected.append(side)
    policy = Momentum(window_s=window, threshold=3.0)
    sides = []
    for at, mid in enumerate(mids):
        action = int(policy.act(state_at(float(at), mid - 1, mid + 1, decision=at))[0])
        sides.append({"BUY_YES": 1, "BUY_NO": -1}.get(words(action).split()[0], 0))
    assert sides == expected


def test_a_missing_side_is_no_move() -> None:
    policy = Momentum(window_s=1.0, threshold=1.0)
    states = [state_at(at, 50, 0 if at == 2 else 52, decision=at) for at in range(5)]
    assert [int(policy.act(state)[0]) for state in states] == [0] * 5


def test_longshots_are_sold_once_and_held() -> None:
    assert played(LongshotFade(), [50.0, 20.0, 10.0, 10.0, 5.0, 3.0]) == ["HOLD"] * 2 + ["BUY_NO 10"] + ["HOLD"] * 3
    assert played(LongshotFade(), [90.0, 90.0, 10.0]) == ["BUY_YES 10", "HOLD", "HOLD"]


def test_an_order_on_its_way_is_waited_for() -> None:
    state = state_at(0.0, 4, 6)
    state.rows["orders"]["state"][:, 3] = OrderState.SENT
    assert LongshotFade().act(state).tolist() == [0]


def test_memory_is_by_market_and_ends_with_an_episode() -> None:
    memory = Memory(np.dtype([("count", np.int64)]))
    memory.forget(np.array([5, 3], np.uint64))
    for decision in (0, 1, 2):
        for market in (9, 3, 2**63):  # two of them were never announced
            state = state_at(0.0, 40, 60, decision=decision, market=market)
            at = memory.at(state)
            memory.records["count"][at] += market % 10
    assert [memory.records["count"][memory.at(state_at(0.0, 1, 2, market=market))][0] for market in (9, 3, 5)] == [
        27,
        9,
        0,
    ]
    assert memory.records["count"][memory.at(state_at(0.0, 1, 2, market=9, decision=0))].tolist() == [0]


def test_rows_of_the_same_market_remember_apart() -> None:
    memory = Memory(np.dtype([("count", np.int64)]))
    state = make_state(1, rows=4)
    state.market[:] = [7, 8, 7, 7]
    for step in range(3):
        state.decision[:] = step
        at = memory.at(state)
        memory.records["count"][at] += [1, 2, 3, 4]
    assert memory.records["count"][memory.at(state)].tolist() == [3, 6, 9, 12]


@pytest.mark.parametrize("space", ["sized21", "sized21-join", "intent5", "priced7"])
def test_the_largest_order_is_the_largest_that_is_legal_and_allowed(space: str) -> None:
    table = action_space(space).table
    state = make_state(4, rows=200, space=space)
    direction = np.arange(200) % 3 - 1
    for row, action in enumerate(largest_order(state, direction, 20)):
        way = np.array([0, 1, -1, -1, 1])[table["intent"].astype(int)]
        fits = state.mask[row] & (way * direction[row] > 0) & (table["size"] <= 2_000)
        assert table["size"][action] == table["size"][fits].max(initial=0)
        assert fits[action] or (not fits.any() and action == 0)
