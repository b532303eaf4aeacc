"""Where episodes start and end, what rows share, and state that goes on byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import OrderEvent, OrderState
from kalshi_ray.core.tape import Status
from kalshi_ray.env.market_env import Batch, MarketVectorEnv, require_no_fault
from kalshi_ray.env.records import EPISODE
from kalshi_ray.env.samplers import DONE, ViewSampler
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, DataError, NothingToDo, UnknownName, UsageError
from tests.env.play import Play
from tests.env.random_tapes import random_tape
from tests.env.reference import public_at, recorded_sides
from tests.examples import few
from tests.tapes import (
    Rows,
    at,
    book,
    change,
    fee,
    gap,
    markets_of,
    pack_of,
    regrid,
    schedule,
    settle,
    status,
    trade,
)

QUIET = book(0, {45: 100}, {48: 100})


def three_markets(*, result: float | None = None) -> Rows:
    return [one for market in range(3) for one in random_tape(market, market=market, moments=60, result=result)]


def env_of(rows: Rows, *, num_envs: int = 4, seed: int = 0, **rules: Any) -> MarketVectorEnv:
    return MarketVectorEnv(pack_of(rows), EnvSettings(**rules), num_envs=num_envs, seed=seed, log_fills=True)


def legal(mask: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    return np.argmax(chance.random(mask.shape) * mask, axis=1).astype(np.int64)


def bytes_of(batch: Batch) -> list[bytes]:
    return [getattr(batch, name).tobytes() for name in batch.__dataclass_fields__]


# -- ends


def test_an_episode_ends_after_its_longest_number_of_decisions_marked_like_any_other_step() -> None:
    play = Play(pack_of(random_tape(1)), max_decisions=7)
    play.act("BUY_YES", 5)
    play.finish()
    assert play.over == "tape ended"
    assert int(play.episode["steps"]) == 7
    assert sum(play.rewards) == pytest.approx((int(play.episode["equity_end"]) - 100_000_000) * 1e-6, abs=1e-5)


def test_the_last_observation_of_an_ended_episode_is_kept_and_the_next_one_begins_in_the_same_step() -> None:
    env = env_of(random_tape(2, moments=20), num_envs=1, start="whole")
    batch = env.new_batch()
    env.reset_into(batch)
    first = batch.observation.copy()
    while not batch.truncated[0]:
        last = batch.observation.copy()
        env.step_into(np.zeros(1, np.int64), batch)
    assert np.array_equal(batch.observation, first)
    assert not np.array_equal(batch.final_observation, last)
    assert int(env.take_episodes()["steps"][0]) > 5


def test_the_gymnasium_form_resets_in_the_step_after_an_end() -> None:
    """NEXT_STEP: the last observation first; then a step that ignores its action and has no reward."""
    env = env_of(random_tape(2, moments=20), num_envs=2, start="whole")
    first, found = env.reset(seed=3)
    chance = np.random.default_rng(0)
    for _ in range(200):
        seen, _, _, truncated, found = env.step(legal(found["action_mask"], chance))
        if truncated.any():
            break
    assert truncated.all()
    ended = seen.copy()
    seen, reward, terminated, truncated, found = env.step(np.full(2, 20))
    assert np.array_equal(seen, first)
    assert not np.array_equal(seen, ended)
    assert not (reward.any() or terminated.any() or truncated.any() or found["elapsed"].any())
    assert np.array_equal(found["action_mask"], env.action_masks())


# -- starts


@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 0.95))
def test_an_episode_that_starts_anywhere_sees_the_book_of_the_whole_tape(seed: int, share: float) -> None:
    """At every decision the book, status and fees are those of all rows received so far, by a plain reading."""
    rows = random_tape(seed, moments=100, interrupts=0.05)
    pack = pack_of(rows)
    play = Play(pack, start=int(share * (len(pack.updates) - 1)))
    while not play.over:
        public = public_at(rows, int(play.trader["now_ns"]))
        assert public.known
        assert recorded_sides(play.trader["book"]) == public.sides
        assert int(play.trader["status"]) == public.status
        fees = (int(play.trader["taker_ppm"]), int(play.trader["maker_ppm"]))
        assert fees == (public.fees or (int(pack.views["taker_ppm"][0]), int(pack.views["maker_ppm"][0])))
        play.step(0)


def test_a_start_is_never_before_the_row_it_was_asked_for() -> None:
    pack = pack_of(random_tape(4))
    for start in range(0, len(pack.updates), 7):
        play = Play(pack, start=start)
        asked = int(pack.updates["recv_ns"][start])
        assert int(play.trader["now_ns"]) > asked or int(play.trader["started_ns"]) == int(pack.updates["recv_ns"][0])


def test_a_start_after_the_last_decision_falls_back_to_the_whole_view() -> None:
    pack = pack_of(random_tape(4))
    play = Play(pack, start=len(pack.updates) - 1)
    assert int(play.trader["started_ns"]) == int(pack.updates["recv_ns"][0])


def test_random_starts_cover_every_market_by_its_decisions_and_differ_between_rows() -> None:
    env = env_of(three_markets(), num_envs=64, start="random", seed=5)
    batch = env.new_batch()
    env.reset_into(batch)
    assert set(env.rows["view_index"].tolist()) == {0, 1, 2}
    assert len(set(env.rows["now_ns"].tolist())) > 30


# -- samplers


def test_each_once_plays_every_market_once_and_stops() -> None:
    pack = pack_of(three_markets())
    sampler = ViewSampler(pack, np.arange(3, dtype=np.int32), order="each-once", seed=0)
    env = MarketVectorEnv(pack, EnvSettings(start="whole"), num_envs=2, sampler=sampler)
    batch = env.new_batch()
    env.reset_into(batch)
    for _ in range(2_000):
        env.step_into(np.zeros(2, np.int64), batch)
        if not env.playing.any():
            break
    assert not env.playing.any()
    assert sorted(env.take_episodes()["view_index"].tolist()) == [0, 1, 2]
    env.step_into(np.zeros(2, np.int64), batch)
    assert not (batch.terminated | batch.truncated).any()
    assert len(env.take_episodes()) == 0


@pytest.mark.parametrize("order", ["cycle", "random", "each-once"])
def test_a_sampler_goes_on_from_its_state(order: str) -> None:
    pack = pack_of(three_markets())
    views = np.arange(3, dtype=np.int32)
    one = ViewSampler(pack, views, order=order, seed=9, anywhere=True)
    [one.next(0) for _ in range(2)]
    two = ViewSampler(pack, views, order=order, seed=0, anywhere=True)
    two.set_state(one.get_state())
    following = [[sampler.next(0) for _ in range(6)] for sampler in (one, two)]
    assert following[0] == following[1]
    assert (following[0][-1] == (DONE, -1)) == (order == "each-once")


def test_views_without_a_decision_are_never_chosen_and_nothing_but_such_views_is_refused() -> None:
    """Market 1 is paused from its first row on."""
    rows = random_tape(0, moments=30) + status(0, Status.INACTIVE, market=1) + book(1, {4: 1}, {9: 1}, market=1)
    pack = pack_of(rows)
    assert pack.views["steps"].tolist()[1] == 0
    sampler = ViewSampler(pack, np.arange(2, dtype=np.int32), order="cycle", seed=0)
    assert [sampler.next(0)[0] for _ in range(4)] == [0] * 4
    with pytest.raises(NothingToDo, match="decision point"):
        ViewSampler(pack, np.array([1], np.int32), order="cycle", seed=0)
    with pytest.raises(UnknownName, match="each-once"):
        ViewSampler(pack, np.array([0], np.int32), order="twice", seed=0)


def test_a_market_in_which_nothing_can_be_decided_is_refused_instead_of_standing_still() -> None:
    """Market 1 has a decision 5 ms after its only snapshot, but none by a burst wait of two seconds."""
    rows = random_tape(0, moments=60) + book(0, {4: 1}, {9: 1}, market=1)
    rows += trade(1, "buys", 9, 1, market=1)
    env = env_of(rows, num_envs=1, start="whole", burst_ms=2_000)
    batch = env.new_batch()
    env.reset_into(batch)
    with pytest.raises(NothingToDo, match="M1 has no decision point"):
        for _ in range(500):
            env.step_into(np.zeros(1, np.int64), batch)


# -- state


@given(seed=st.integers(0, 1_000), steps=st.integers(0, 80))
@settings(max_examples=few(15, many=60))
def test_a_restored_environment_goes_on_byte_for_byte(seed: int, steps: int) -> None:
    """Into another object with another past: observations, masks, rewards, fills and episodes."""
    rules = {"latency_spread": 0.5, "action_space": "sized21-join", "max_decisions": 30, "budget_per_s": 5.0}
    rows = three_markets(result=100)
    one, two = env_of(rows, seed=seed, **rules), env_of(rows, seed=seed + 1, **rules)
    chance = np.random.default_rng(seed)
    batch, other = one.new_batch(), two.new_batch()
    one.reset_into(batch)
    two.reset_into(other)
    for _ in range(steps):
        one.step_into(legal(batch.mask, chance), batch)
        two.step_into(legal(other.mask, chance), other)
    for env in (one, two):
        env.take_fills(), env.take_episodes()
    two.set_state(one.get_state())
    for _ in range(60):
        actions = legal(batch.mask, chance)
        one.step_into(actions, batch)
        two.step_into(actions, other)
        assert bytes_of(batch)[:5] == bytes_of(other)[:5]
    for ours, theirs in ((one.take_fills(), two.take_fills()), (one.take_episodes(), two.take_episodes())):
        assert ours.tolist() == theirs.tolist()


def test_the_gymnasium_form_goes_on_from_a_state_between_an_end_and_its_reset() -> None:
    """The first observation of the next episode is part of the state, and so are the legal actions."""
    rows = three_markets()
    one, two = env_of(rows, num_envs=2, max_decisions=9), env_of(rows, num_envs=2, max_decisions=9)
    one.reset(seed=1)
    two.reset(seed=2)
    truncated = np.zeros(2, np.bool_)
    while not truncated.any():
        _, _, _, truncated, _ = one.step(np.zeros(2, np.int64))
    two.set_state(one.get_state())
    assert np.array_equal(one.action_masks(), two.action_masks())
    for _ in range(5):
        ours, theirs = one.step(np.zeros(2, np.int64)), two.step(np.zeros(2, np.int64))
        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[4]["action_mask"], theirs[4]["action_mask"])


def test_a_state_of_other_settings_is_refused() -> None:
    rows = random_tape(2, moments=20)
    with pytest.raises(UsageError, match="other settings"):
        env_of(rows, num_envs=2).set_state(env_of(rows, num_envs=3).get_state())


def test_equal_seeds_give_equal_courses_and_other_seeds_others() -> None:
    courses = []
    for seed in (4, 4, 5):
        env = env_of(three_markets(), seed=seed, latency_spread=0.5)
        chance, batch = np.random.default_rng(1), env.new_batch()
        env.reset_into(batch)
        course = []
        for _ in range(100):
            env.step_into(legal(batch.mask, chance), batch)
            course.append(bytes_of(batch))
        courses.append(course)
    assert courses[0] == courses[1] != courses[2]


# -- odd sessions


def test_a_session_of_one_market_and_one_snapshot_has_one_decision_if_the_tape_goes_on_after_it() -> None:
    play = Play(pack_of(QUIET, trade(1, "buys", 48, 1)))
    play.step(0)
    assert play.over == "tape ended"


def test_a_session_of_one_update_has_no_decision_and_says_so() -> None:
    with pytest.raises(NothingToDo, match="decision point"):
        env_of(change(0, "bid", 45, 1))
    with pytest.raises(NothingToDo, match="decision point"):
        env_of(book(0))


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_an_empty_side_is_known_to_be_empty(side: str) -> None:
    levels = {45: 100.0}
    one_sided = book(0, levels) if side == "ask" else book(0, None, levels)
    play = Play(pack_of(one_sided, trade(9, "buys", 45, 1)))
    assert play.feature(f"{side}_missing") == 1
    assert play.feature("yes_ask" if side == "ask" else "yes_bid") == (1 if side == "ask" else 0)


def test_an_empty_book_is_known_and_allows_nothing_but_hold() -> None:
    play = Play(pack_of(book(0), trade(9, "buys", 45, 1)))
    assert play.feature("bid_missing") == play.feature("ask_missing") == 1
    assert play.mask.tolist() == [True] + [False] * 20


def test_a_gap_at_the_start_is_waited_out() -> None:
    play = Play(pack_of(gap(0), change(1, "bid", 45, 1), book(3, {45: 1}, {48: 1}), trade(9, "buys", 48, 1)))
    assert play.now == pytest.approx(3.055)


def test_two_snapshots_in_a_row_leave_the_second() -> None:
    play = Play(pack_of(QUIET, book(0.001, {30: 7}, {40: 9}), trade(9, "buys", 48, 1)))
    assert (play.feature("yes_bid"), play.feature("yes_ask")) == pytest.approx((0.30, 0.40))
    assert play.shown(0, 45) == 0


# -- notices


def test_a_changed_grid_decides_which_prices_are_legal() -> None:
    """From cents to nickels: a touch at 43 can then neither be joined nor quoted, and improving means 45."""
    rows = book(0, {43: 100}, {50: 100}) + regrid(2, 0) + change(3, "bid", 30, 1) + change(4, "bid", 30, 1)
    rows += change(9, "bid", 30, 1)
    play = Play(pack_of(rows, grids=[[[0, 10_000, 500]]]), action_space="generic[10;take,join,improve]")
    assert play.legal("BUY_YES", 10, "JOIN")
    play.until(3)
    assert not play.legal("BUY_YES", 10, "JOIN")
    assert play.legal("BUY_YES", 10, "TAKE")
    play.act("BUY_YES", 10, "IMPROVE")
    assert int(play.order(0)["price"]) == 4_500
    play.quote(bid=(44, 10))
    assert int(play.trader["refused"]) == 1


def test_a_moved_close_is_seen_from_its_receipt_on() -> None:
    rows = QUIET + schedule(2, 1_000) + change(3, "bid", 30, 1) + change(9, "bid", 30, 1)
    play = Play(pack_of(rows, markets=markets_of(1, close_ns=[at(5_000)])), observation="obs-x")
    assert play.feature("time_to_close") == pytest.approx(np.log10(1 + 5_000 - 0.055) / 7, rel=1e-6)
    play.until(3)
    assert play.feature("time_to_close") == pytest.approx(np.log10(1 + 1_000 - 3.055) / 7, rel=1e-6)


def test_a_changed_fee_is_charged_from_its_exchange_time_on() -> None:
    """The first order arrives before the change, the second after it."""
    rows = QUIET + change(1, "bid", 30, 1) + fee(1.1, 0, 0) + change(9, "bid", 30, 1)
    play = Play(pack_of(rows))
    play.act("BUY_YES", 10)
    play.act("BUY_YES", 10)
    play.finish()
    assert [int(fill["fee"]) > 0 for fill in play.raw_fills] == [True, False]


def test_a_closed_market_is_over_for_orders_until_its_settlement() -> None:
    rows = QUIET + status(1, Status.CLOSED) + change(2, "bid", 30, 1) + settle(9, 100)
    play = Play(pack_of(rows))
    play.act("BUY_YES", 10)
    assert play.over == "settled"
    assert int(play.episode["equity_end"]) > 100_000_000


# -- settings


@pytest.mark.parametrize(
    "bad",
    [
        {"decision_ms": 0}, {"burst_ms": -1}, {"latency_spread": 1.0}, {"order_lifetime_s": 0.5}, {"bankroll_cents": 0},
        {"budget_burst": 0}, {"position_limit": -1}, {"max_decisions": -1},
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        EnvSettings(**bad)


def test_unknown_names_of_actions_and_observations_are_refused_with_the_known_ones() -> None:
    pack = pack_of(random_tape(1, moments=10))
    with pytest.raises(UnknownName, match="sized21"):
        MarketVectorEnv(pack, EnvSettings(action_space="sized22"), num_envs=1)
    with pytest.raises(UnknownName, match="obs54"):
        MarketVectorEnv(pack, EnvSettings(observation="obs55"), num_envs=1)
    with pytest.raises(UsageError, match="at least one row"):
        MarketVectorEnv(pack, num_envs=0)


@pytest.mark.parametrize("wrong", [np.array([21, 0]), np.array([-1, 0]), np.array([0]), np.array([0.0, 0.0])])
def test_actions_of_another_range_shape_or_type_are_refused(wrong: np.ndarray) -> None:
    env = env_of(random_tape(1, moments=10), num_envs=2)
    batch = env.new_batch()
    env.reset_into(batch)
    with pytest.raises(UsageError, match="action"):
        env.step_into(wrong, batch)


def test_an_answer_that_no_order_could_get_ends_loudly() -> None:
    """Both names of the life cycle are in the message."""
    ended = np.zeros(2, EPISODE)
    require_no_fault(ended)
    ended["fault"][1] = 1 + 16 * OrderState.FREE + OrderEvent.FILL
    with pytest.raises(DataError, match="was FREE was answered FILL"):
        require_no_fault(ended)
