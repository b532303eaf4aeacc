"""What orders become of actions: reducing, netting, replacing, expiring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.actions import Intent
from tests.env.play import Play
from tests.env.random_tapes import random_tape
from tests.tapes import Rows, book, change, pack_of, trade

QUIET = book(0, {45: 100}, {48: 100})
TICKS: Rows = [one for step in range(1, 80) for one in change(step * 0.3, "bid", 30, 1)]
END = change(30, "bid", 30, 1)


def test_a_fill_during_a_cancel_never_opens_a_position_by_sell() -> None:
    """A resting sell fills while the cancel that makes room for a taking sell of the same contracts is on its way."""
    both = "generic[10;take,join]"
    hit = trade(1.9, "buys", 48, 100)
    play = Play(pack_of(QUIET, TICKS, hit, END), action_space=both, mask_opposite_buy=False)
    play.act("BUY_YES", 10, "TAKE")
    play.until(0.9)
    assert play.position == 10
    play.act("SELL_YES", 10, "JOIN")
    play.until(1.85)
    assert play.working(1)
    # Decided at 1.855, the cancel arrives at 1.955.
    play.act("SELL_YES", 10, "TAKE")
    while not play.over:
        play.step(play.id_of("SELL_YES", 10, "TAKE") if play.legal("SELL_YES", 10, "TAKE") else 0)
        assert play.position >= 0
    assert play.position == 0
    assert [fill[1] for fill in play.fills] == ["bought", "sold"]


def test_a_fill_during_an_amendment_never_sells_more_than_is_held() -> None:
    """Selling 10 at 48; while the order is moved to 47 it fills in part at 48: at 47 only the rest is for sale."""
    better = change(1.9, "ask", 47, 30)
    hit = trade(2.15, "buys", 48, 96) + trade(4.0, "buys", 47, 50)
    play = Play(pack_of(QUIET, TICKS, better, hit, END), action_space="generic[10;take,join]")
    play.act("BUY_YES", 10, "TAKE")
    play.until(0.9)
    play.act("SELL_YES", 10, "JOIN")
    play.until(2.1)
    play.act("SELL_YES", 10, "JOIN")
    play.finish()
    assert [fill[2:4] for fill in play.fills if fill[1] == "sold"] == [(48, 6), (47, 4)]
    assert play.position == 0


@given(
    seed=st.integers(0, 10_000), space=st.sampled_from(["sized21", "sized21-join", "generic[5,40;take,inside,join]"])
)
def test_a_sell_never_opens_a_position(seed: int, space: str) -> None:
    """Over random play, no fill of an order sent by SELL_YES leaves a short position; NO likewise."""
    play = Play(
        pack_of(random_tape(seed, moments=80)), action_space=space, latency_spread=0.9, mask_opposite_buy=False,
        entry_ms=200, response_ms=300,
    )  # fmt: skip
    chance = np.random.default_rng(seed)
    reducing: set[int] = set()
    while not play.over:
        action = int(np.argmax(chance.random(play.mask.shape) * play.mask))
        intent = Intent(int(play.env.actions.table[action]["intent"]))
        if intent in (Intent.SELL_YES, Intent.SELL_NO):
            reducing.add(int(play.trader["next_id"]))
        else:
            # A resting sell that becomes a buy by amendment is a buy from then on.
            side = 0 if intent == Intent.BUY_YES else 1
            reducing -= {int(play.order(side)["id"])} if intent != Intent.HOLD else set()
            reducing -= {int(play.trader["next_id"])} if intent != Intent.HOLD else set()
        play.step(action)
    for fill in play.raw_fills:
        if int(fill["order_id"]) in reducing:
            assert int(fill["position"]) * int(fill["side"]) <= 0


def test_a_sell_sells_at_most_what_is_held() -> None:
    play = Play(pack_of(QUIET, TICKS, END))
    play.act("BUY_YES", 10)
    play.until(0.9)
    assert play.legal("SELL_YES", 10)
    assert not play.legal("SELL_YES", 20)
    play.act("SELL_YES", 5)
    play.until(1.8)
    play.act("SELL_YES", 5)
    play.until(2.5)
    assert play.position == 0
    assert not play.legal("SELL_YES", 5)


def test_a_sell_of_more_than_is_held_is_the_same_order_as_a_smaller_id_and_masked() -> None:
    """Held 7 (bought in two parts of a walk): SELL 5 and SELL 10 differ, SELL 20 is SELL 10 again."""
    thin = book(0, {45: 100}, {48: 7})
    play = Play(pack_of(thin, TICKS, END))
    play.act("BUY_YES", 10)
    play.until(0.9)
    assert play.position == 7
    legal = [play.legal("SELL_YES", size) for size in (5, 10, 20, 50, 100)]
    assert legal == [True, True, False, False, False]
    play.act("SELL_YES", 10)
    play.until(1.8)
    assert play.position == 0


@given(seed=st.integers(0, 10_000), held=st.sampled_from([10, 20, 50]), sold=st.sampled_from([5, 10]))
def test_buying_no_equals_selling_yes_where_both_are_allowed(seed: int, held: int, sold: int) -> None:
    cash = []
    for intent in ("SELL_YES", "BUY_NO"):
        play = Play(pack_of(book(0, {45: 100}, {48: 100}), _late(seed)), mask_opposite_buy=False)
        play.act("BUY_YES", held)
        play.until(2.5)
        path = [play.cash]
        if play.legal("SELL_YES", sold) and play.legal("BUY_NO", sold):
            play.act(intent, sold)
        while not play.over:
            path.append(play.cash)
            play.step(0)
        cash.append((path, play.position, int(play.episode["equity_end"])))
    assert cash[0] == cash[1]


def _late(seed: int) -> Rows:
    """Changes from the second second on, which keep the touch where it is."""
    chance = np.random.default_rng(seed)
    rows: Rows = []
    for step in range(20):
        rows += change(2 + step * 0.2, "bid", int(chance.integers(30, 46)), float(chance.integers(1, 9)))
    return rows


def test_with_the_other_side_held_a_buy_is_masked_unless_allowed() -> None:
    for masked in (True, False):
        play = Play(pack_of(QUIET, TICKS, END), mask_opposite_buy=masked)
        play.act("BUY_YES", 10)
        play.until(0.9)
        assert play.legal("BUY_NO", 5) is not masked
        assert play.legal("BUY_YES", 5)


def test_a_no_bought_against_a_yes_held_redeems_a_dollar() -> None:
    """Bought 10 YES at 48, then 20 NO at 55: ten pairs pay $10, ten NO stay at $5.50."""
    play = Play(pack_of(QUIET, TICKS, END), mask_opposite_buy=False)
    play.act("BUY_YES", 10)
    play.until(0.9)
    play.act("BUY_NO", 20)
    play.until(1.8)
    account = play.trader["account"]
    assert play.position == -10
    assert int(account["cash"]) + int(account["fees"]) == 100_000_000 - 4_800_000 - 20 * 550_000 + 10 * 1_000_000
    assert int(account["cost"]) == 10 * 550_000


def test_hold_keeps_a_resting_order_until_its_lifetime_ends() -> None:
    """Sent at 0.055 with 5 s: the exchange takes whole seconds, so that it ends at 5."""
    play = Play(pack_of(QUIET, TICKS, END), action_space="sized21-join", order_lifetime_s=5)
    play.act("BUY_YES", 10)
    play.until(4.8)
    assert play.working(0)
    assert play.feature("open_buy") == 1
    play.until(5.4)
    assert not play.working(0)
    assert play.feature("open_buy") == 0


def test_a_taking_buy_first_cancels_the_resting_one_of_its_side() -> None:
    play = Play(pack_of(QUIET, TICKS, END), action_space="generic[10;take,join]")
    play.act("BUY_YES", 10, "JOIN")
    play.until(0.9)
    play.act("BUY_YES", 10, "TAKE")
    play.until(1.6)
    assert not play.working(0)
    assert play.position == 0
    play.act("BUY_YES", 10, "TAKE")
    play.until(2.2)
    assert play.position == 10


def test_quotes_rest_on_both_sides_at_once() -> None:
    play = Play(pack_of(QUIET, TICKS, END))
    play.quote(bid=(46, 10), ask=(47, 10))
    play.quote(bid=(46, 10), ask=(47, 10))
    play.quote(bid=(46, 10), ask=(47, 10))
    assert play.working(0)
    assert play.working(1)
    assert int(play.trader["sent"]) == 2


@pytest.mark.parametrize("bad", [(46.5, 10), (0, 10), (100, 10)])
def test_a_quote_off_the_grid_is_refused_and_counted(bad: tuple[float, float]) -> None:
    play = Play(pack_of(QUIET, TICKS, END))
    play.quote(bid=bad)
    assert play.trader["refused"] == 1
    assert play.trader["sent"] == 0


def test_a_masked_action_sends_nothing_is_counted_and_is_no_hold() -> None:
    play = Play(pack_of(QUIET, TICKS, END))
    before = int(play.trader["holds"])
    masked = int(np.argmin(play.mask))
    play.step(masked)
    assert (int(play.trader["refused"]), int(play.trader["sent"])) == (1, 0)
    assert int(play.trader["holds"]) == before


def test_hold_is_masked_when_repeated_too_often_and_something_else_is_legal() -> None:
    play = Play(pack_of(QUIET, TICKS, END), mask_repeated_hold=3)
    for _ in range(3):
        assert play.mask[0]
        play.step(0)
    assert not play.mask[0]
    play.step(0)
    assert play.trader["refused"] == 1
    play.act("BUY_YES", 5)
    assert play.mask[0]
