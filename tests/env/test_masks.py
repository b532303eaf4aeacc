"""The mask is the whole truth: what it allows is sent, what it forbids is refused and counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.actions import ACTION_SPACES, Intent, Pricing
from kalshi_ray.core.orders import OrderState
from tests.env.play import Play
from tests.env.random_tapes import random_tape
from tests.tapes import Rows, book, change, fee, pack_of

QUIET = book(0, {45: 100}, {48: 100})
TICKS: Rows = [one for step in range(1, 40) for one in change(step * 0.3, "bid", 30, 1)]
SPACES = [*ACTION_SPACES, "generic[1,40;take,inside,join,improve]"]


def sent_by(play: Play, action: int) -> int:
    """Commands that an action sends from here; the row is put back."""
    state = play.env.get_state()
    play.env.step_into(np.array([action]), play.batch)
    trader = play.trader
    refused = int(trader["refused"])
    commands = int(trader["command_count"])
    play.env.set_state(state)
    before = int(play.trader["refused"])
    return -1 if refused > before else commands


@given(seed=st.integers(0, 100_000), space=st.sampled_from(SPACES), opposite=st.booleans())
def test_every_unmasked_action_is_accepted_and_every_masked_one_refused(seed: int, space: str, opposite: bool) -> None:
    """At every decision of a random course each id is tried: an allowed one sends a command or keeps what works."""
    play = Play(
        pack_of(random_tape(seed, moments=30)), action_space=space, mask_opposite_buy=opposite, budget_per_s=2.0,
        budget_burst=3, bankroll_cents=2_000, position_limit=60,
    )  # fmt: skip
    chance = np.random.default_rng(seed)
    while not play.over:
        mask, observation = play.mask.copy(), play.batch.observation.copy()
        for action in range(1, len(mask)):
            sent = sent_by(play, action)
            assert (sent >= 0) == mask[action], play.env.actions.describe(action)
            resting = play.env.actions.table[action]["pricing"] != Pricing.TAKE
            works = any(int(play.order(side)["state"]) == OrderState.WORKING for side in (0, 1))
            assert sent != 0 or (resting and works), play.env.actions.describe(action)
        play.batch.mask[0], play.batch.observation[:] = mask, observation
        play.step(int(np.argmax(chance.random(mask.shape) * mask)))


@given(seed=st.integers(0, 100_000), space=st.sampled_from(SPACES))
def test_what_the_mask_allows_the_exchange_can_pay_for(seed: int, space: str) -> None:
    """Cash never falls below zero or below what working orders may cost; positions stay within their limit."""
    play = Play(
        pack_of(random_tape(seed, moments=80)), action_space=space, bankroll_cents=1_500, position_limit=25,
        mask_opposite_buy=False,
    )  # fmt: skip
    chance = np.random.default_rng(seed)
    while not play.over:
        play.step(int(np.argmax(chance.random(play.mask.shape) * play.mask)))
        working = play.feature("exposure") * 15_000_000 - int(play.trader["account"]["cost"])
        assert play.cash >= max(0, working - 10)
        assert abs(play.position) <= 25


def test_free_cash_decides_which_sizes_are_legal() -> None:
    """$10 at 48 cents: 20 contracts cost $9.60 and a fee of 35 cents, 50 are too many."""
    play = Play(pack_of(QUIET, TICKS), bankroll_cents=1_000)
    assert [play.legal("BUY_YES", size) for size in (5, 10, 20, 50, 100)] == [True, True, True, False, False]
    play.act("BUY_YES", 10)
    play.until(0.9)
    assert [play.legal("BUY_YES", size) for size in (5, 10, 20)] == [True, True, False]


def test_collateral_of_a_working_order_is_not_free() -> None:
    """$10: a bid for 10 at 45 rests, so that NO at 52 can be joined for 5 more but not for 20 without cancelling."""
    play = Play(pack_of(QUIET, TICKS), bankroll_cents=1_000, action_space="sized21-join")
    play.act("BUY_YES", 10)
    play.until(0.9)
    assert play.working(0)
    assert play.legal("BUY_NO", 10)
    play.act("BUY_NO", 5)
    play.until(1.8)
    assert play.working(0)
    assert play.working(1)


def test_the_position_limit_masks_what_would_exceed_it() -> None:
    play = Play(pack_of(QUIET, TICKS), position_limit=25)
    assert [play.legal("BUY_YES", size) for size in (5, 10, 20, 50)] == [True, True, True, False]
    play.act("BUY_YES", 20)
    play.until(0.9)
    assert [play.legal("BUY_YES", size) for size in (5, 10)] == [True, False]


def test_a_missing_side_masks_what_needs_it() -> None:
    """No ask: nothing to buy YES from; NO can be bought from the bids."""
    play = Play(pack_of(book(0, {45: 100}), TICKS))
    assert not any(play.legal("BUY_YES", size) for size in (5, 10, 20, 50, 100))
    assert play.legal("BUY_NO", 5)
    joins = Play(pack_of(book(0, {45: 100}), TICKS), action_space="sized21-join")
    assert joins.legal("BUY_YES", 5)
    assert not joins.legal("BUY_NO", 5)


def test_there_is_no_room_to_improve_a_spread_of_one_tick() -> None:
    tight = book(0, {47: 100}, {48: 100})
    improving = Play(pack_of(tight, TICKS), action_space="sized21-improve")
    assert improving.mask.tolist() == [True] + [False] * 20
    inside = Play(pack_of(tight, TICKS), action_space="priced7")
    assert not inside.legal("BUY_YES", 1, "INSIDE")
    assert inside.legal("BUY_YES", 1, "TAKE")
    assert inside.legal("BUY_YES", 1, "JOIN")


def test_selling_what_is_not_held_is_masked() -> None:
    play = Play(pack_of(QUIET, TICKS))
    for index, action in enumerate(play.env.actions.table):
        if Intent(int(action["intent"])) in (Intent.SELL_YES, Intent.SELL_NO):
            assert not play.mask[index]


def test_a_higher_fee_masks_what_it_makes_too_dear() -> None:
    """20 at 48 with $10: at 7 % legal, at 20 % the fee of $1 is too much."""
    play = Play(pack_of(QUIET, TICKS, fee(2, 200_000, 0)), bankroll_cents=1_000)
    assert play.legal("BUY_YES", 20)
    play.until(2.5)
    assert play.legal("BUY_YES", 10)
    assert not play.legal("BUY_YES", 20)


@pytest.mark.parametrize("space", SPACES)
def test_hold_is_always_legal_without_the_option(space: str) -> None:
    play = Play(pack_of(random_tape(5, moments=60)), action_space=space)
    while not play.over:
        assert play.mask[0]
        play.step(int(play.mask.sum() > 1 and np.flatnonzero(play.mask)[1]))
