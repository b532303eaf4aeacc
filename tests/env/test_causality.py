"""What was not public at a time is unreadable at that time, and what did not happen changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_ray.core.features import MARKET, TEMPORAL, TEMPORAL_MORE
from kalshi_ray.core.tape import Kind
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.env.play import Episodes, Play
from tests.env.random_tapes import random_tape
from tests.examples import some_of
from tests.tapes import T0, Rows, book, change, fee, pack_of, schedule, settle, trade

SPACES = ["sized21", "sized21-join", "generic[5,40;take,inside,join,improve]"]


def played(rows: Rows, seed: int, until: int, **rules: object) -> list[tuple[int, bytes, bytes, float, int]]:
    """(time, observation, mask, reward so far, fills known) at each decision up to `until`, ns; actions by step."""
    play = Play(pack_of(rows), mask_opposite_buy=False, observation="obs-x", **rules)
    seen, chance = [], np.random.default_rng(seed)
    while not play.over and int(play.trader["now_ns"]) <= until:
        seen.append(
            (
                int(play.trader["now_ns"]),
                play.batch.observation.tobytes(),
                play.batch.mask.tobytes(),
                play.rewards[-1] if play.rewards else 0.0,
                len(play.fills),
            )
        )
        play.step(int(np.argmax(chance.random(play.mask.shape) * play.mask)))
    return seen


@given(
    seed=st.integers(0, 100_000),
    cut=st.integers(20, 80),
    space=st.sampled_from(SPACES),
    model=st.sampled_from(["pessimistic", "optimistic"]),
    spread=st.sampled_from([0.0, 0.4]),
    slow=st.booleans(),
)
@settings(max_examples=some_of(60))
def test_rewriting_every_row_after_a_time_changes_nothing_before_it(
    seed: int, cut: int, space: str, model: str, spread: float, slow: bool
) -> None:
    """Two tapes with one beginning, and other rows, results and fees afterwards: one course up to there.

    After a time means received after it. Where the feed is slower than the answers of the exchange it means happened
    after it: an answer waits for the rows that were there before it, so that only its delay can tell of them.
    """
    slowest = 700.0 if slow else 59.0
    one = random_tape(seed, moments=100, result=100, slowest_ms=slowest)
    two = random_tape(seed, moments=100, result=0, slowest_ms=slowest, other_seed=seed + 1, other_from=cut)
    shared = next(at for at, (a, b) in enumerate(zip(one, two)) if a != b)
    clock = "exch_ns" if slow else "recv_ns"
    until = min(one[shared][clock], two[shared][clock]) - 1
    rules = {"action_space": space, "fill_model": model, "latency_spread": spread}
    assert played(one, seed, until, **rules) == played(two, seed, until, **rules)


def test_what_becomes_known_later_is_not_in_the_row_before() -> None:
    """A result, a moved close and other fees after the fact: the same observations until they are received."""
    quiet = book(0, {45: 100}, {48: 100}) + [one for step in range(1, 20) for one in change(step * 0.3, "bid", 44, 1)]
    later = schedule(4, 900) + fee(4, 0, 0) + settle(8, 100)
    until = T0 + 4_049_000_000
    assert played(quiet + change(9, "bid", 44, 1), 1, until) == played(
        sorted(quiet + later, key=lambda one: one["recv_ns"]), 1, until
    )


@given(seed=st.integers(0, 100_000))
def test_a_far_off_own_order_changes_no_observation_outside_the_order_and_portfolio_blocks(seed: int) -> None:
    """Orders beyond every price of the tape: market and temporal features, marks and decision times stay."""
    rows = random_tape(seed, moments=80)
    prices = [one["price"] for one in rows if one["kind"] in (Kind.SNAPSHOT_LEVEL, Kind.DELTA, Kind.TRADE)]
    low, high = min(prices) / 100 - 1, max(prices) / 100 + 1
    assume(low >= 1 and high <= 99)
    public = {feature.name for feature in (*MARKET, *TEMPORAL, *TEMPORAL_MORE)}
    courses, pack = [], pack_of(rows)
    for bid, ask in ((None, None), ((low, 30.0), (high, 30.0))):
        play = Play(pack, observation="obs-x", order_lifetime_s=600)
        columns = [index for index, name in enumerate(play.env.layout.names) if name in public]
        course: list[tuple[int, bytes]] = []
        while not play.over:
            course.append((int(play.trader["now_ns"]), play.batch.observation[0][columns].tobytes()))
            play.quote(bid=bid, ask=ask)
        assert bid is None or int(play.episode["orders_sent"]) >= 2
        assert int(play.episode["fills"]) == 0
        courses.append(course)
    assert courses[0] == courses[1]


def test_an_own_order_that_is_filled_in_another_row_changes_nothing_here() -> None:
    """Two rows in one market: what one takes is not missing in the other's book."""
    pack = pack_of(random_tape(11, moments=150, interrupts=0.0))
    courses = []
    for busy in (False, True):
        twice = Episodes((0, -1), (0, -1))
        env = MarketVectorEnv(pack, EnvSettings(start="whole"), num_envs=2, sampler=twice, log_fills=True)
        batch, chance = env.new_batch(), np.random.default_rng(1)
        env.reset_into(batch)
        course = []
        while not batch.truncated[0]:
            course.append((batch.observation[0].tobytes(), batch.mask[0].tobytes(), float(batch.reward[0])))
            legal = np.argmax(chance.random(batch.mask.shape) * batch.mask, axis=1)
            env.step_into(np.array([0, legal[1] if busy else 0]), batch)
        courses.append(course)
        assert busy == (len(env.take_fills()) > 0)
    assert courses[0] == courses[1]


TAU = 1_800.0  # s


def discounted(play: Play, action_of: dict[float, int]) -> float:
    """The return in units of time: every reward at the end of its step, discounted by exp(-t / tau)."""
    total, began = 0.0, play.now
    while not play.over:
        play.step(action_of.get(round(play.now, 6), 0))
        ended = int(play.trader["now_ns"]) if not play.over else int(play.episode["ended_ns"])
        total += math.exp(-((ended - T0) / 1e9 - began) / TAU) * play.rewards[-1]
    return total


@given(waits=st.lists(st.integers(1, 400), min_size=3, max_size=15), seed=st.integers(0, 1_000))
def test_decisions_at_which_nothing_changed_leave_time_discounted_returns_unchanged(
    waits: list[int], seed: int
) -> None:
    """A level far from the touch grows between the moves of the touch: more decisions, no other return."""
    chance = np.random.default_rng(seed)
    moves = book(0, {40: 500}, {60: 500})
    extra: Rows = []
    t = 0.0
    for cents, wait in enumerate(waits, 41):
        # Up to the second decision the fill of the first one is on its way: something does change there.
        quiet = [t + step for step in range(1, wait) if t > 0 and chance.random() < 0.1]
        extra += [one for at in quiet for one in change(at, "bid", 5, 1)]
        t += wait
        moves += change(t, "bid", cents, 10)
    moves += trade(t + 5, "buys", 60, 1)
    plain, more = Play(pack_of(moves)), Play(pack_of(moves, extra))
    bought = {round(plain.now, 6): plain.id_of("BUY_YES", 50)}
    one, two = discounted(plain, bought), discounted(more, bought)
    assert plain.position == more.position == 50
    assert int(more.episode["steps"]) == int(plain.episode["steps"]) + len(extra)
    assert one == pytest.approx(two, rel=1e-6)


def test_returns_discounted_by_step_do_change_with_decisions_at_which_nothing_changed() -> None:
    """Why time is the better clock: the property above is not trivial."""
    quiet: Rows = [one for step in range(1, 100) for one in change(step, "bid", 5, 1)]
    tape = book(0, {40: 500}, {60: 500}) + change(120, "bid", 50, 10) + trade(130, "buys", 60, 1)
    returns = []
    for rows in (tape, tape + quiet):
        play = Play(pack_of(rows))
        play.act("BUY_YES", 50)
        play.finish()
        rewards: NDArray[np.float64] = np.array(play.rewards)
        returns.append(float((0.99 ** np.arange(len(rewards)) * rewards).sum()))
    assert returns[0] != pytest.approx(returns[1], rel=0.05)
