"""Taking, consuming and resting: what an order gets out of a recorded book."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import QUOTE
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.env.play import NO_BUDGET, Episodes, Play
from tests.env.random_tapes import random_tape
from tests.env.reference import Public
from tests.examples import some_of
from tests.tapes import Rows, book, change, gap, pack_of, settle, status, taken, trade

MODELS = ["pessimistic", "fitted", "optimistic"]
QUIET = book(0, {45: 100}, {48: 100})
TICKS: Rows = [one for step in range(1, 40) for one in change(step * 0.3, "bid", 30, 1)]
END = change(30, "bid", 30, 1)


# -- taking


def test_taking_pays_the_seen_touch_and_leaves_nothing_of_a_miss() -> None:
    """20 wanted, 7 shown at 48, more at 49: an IOC at the seen touch gets 7 and the rest is gone."""
    play = Play(pack_of(book(0, {45: 100}, {48: 7, 49: 100}), TICKS, END))
    play.act("BUY_YES", 20)
    play.until(2)
    assert play.fills == [(0.155, "bought", 48.0, 7.0, False)]
    assert all(int(play.order(slot)["state"]) == 0 for slot in range(4))


def test_taking_gets_the_better_price_that_came_meanwhile() -> None:
    play = Play(pack_of(QUIET, change(0.1, "ask", 46, 4), TICKS, END))
    play.act("BUY_YES", 10)
    play.until(2)
    assert [fill[2:4] for fill in play.fills] == [(46.0, 4.0), (48.0, 6.0)]


def test_what_we_took_stays_taken() -> None:
    """30 shown at 48, none elsewhere: 20, then 10 are bought; after that the side is empty for us, nothing is left."""
    play = Play(pack_of(book(0, {45: 100}, {48: 30}), TICKS, END))
    play.act("BUY_YES", 20)
    play.until(0.9)
    assert play.shown(1, 48) == 10
    play.act("BUY_YES", 20)
    play.until(1.8)
    assert play.position == 30
    assert play.shown(1, 48) == 0
    assert play.feature("ask_missing") == 1
    assert not play.legal("BUY_YES", 5)


def test_a_recorded_decrease_counts_against_what_we_took_first() -> None:
    """Of 30 we took 20; the record loses 25, which our 20 are part of: 5 are left of 5 recorded."""
    play = Play(pack_of(book(0, {45: 100}, {48: 30}), change(2, "ask", 48, -25), TICKS, END))
    play.act("BUY_YES", 20)
    play.until(1.8)
    assert play.shown(1, 48) == 10
    play.until(2.4)
    assert play.shown(1, 48) == 5


def test_an_emptied_level_forgets_what_we_took() -> None:
    empties = change(2, "ask", 48, -30) + change(3, "ask", 48, 30)
    play = Play(pack_of(book(0, {45: 100}, {48: 30}), empties, TICKS, END))
    play.act("BUY_YES", 20)
    play.until(2.5)
    assert play.shown(1, 48) == 0
    play.until(3.5)
    assert play.shown(1, 48) == 30


def test_a_snapshot_forgets_what_we_took() -> None:
    play = Play(pack_of(book(0, {45: 100}, {48: 30}), book(2, {45: 100}, {48: 30}), TICKS, END))
    play.act("BUY_YES", 20)
    play.until(1.8)
    assert play.shown(1, 48) == 10
    play.until(2.4)
    assert play.shown(1, 48) == 30


def test_what_we_took_is_seen_to_be_gone_only_when_the_feed_shows_it() -> None:
    """The feed is 400 ms late: taken at 0.505, still shown to the decision of 0.705, gone from 0.905 on."""
    late: Rows = [one for step in range(12) for one in change(step * 0.3, "bid", 30, 1, late=400)]
    play = Play(pack_of(book(0, {45: 100}, {48: 100}, late=400), late), feed_ms=400)
    play.act("BUY_YES", 20)
    seen = []
    for _ in range(3):
        seen.append((round(play.now, 3), play.shown(1, 48)))
        play.step(0)
    assert seen == [(0.705, 100), (1.005, 80), (1.305, 80)]


@given(seed=st.integers(0, 10_000))
def test_the_book_that_is_seen_is_the_recorded_one_less_what_was_taken(seed: int) -> None:
    """At every decision both books agree wherever the exchange is not ahead of the feed."""
    play = Play(pack_of(random_tape(seed)), mask_opposite_buy=False, bankroll_cents=1_000_000)
    chance = np.random.default_rng(seed)
    compared = 0
    while not play.over:
        venue, trader = play.venue, play.trader
        if int(venue["cursor"]) == int(play.env._progress["cursor"][0]) and int(venue["taken_count"]) == 0:
            compared += 1
            for name in ("recorded", "consumed", "best", "count", "total"):
                assert np.array_equal(venue["book"][name], trader["book"][name]), name
        assert (np.asarray(trader["book"]["recorded"]) >= np.asarray(trader["book"]["consumed"])).all()
        play.step(int(np.argmax(chance.random(play.mask.shape) * play.mask)))
    assert compared > 5


# -- resting


def resting(*parts: Rows, model: str = "pessimistic", size: float = 10, **rules: object) -> Play:
    """A bid joined at 45 behind 100, at rest from 0.155 on; then the parts."""
    play = Play(
        pack_of(book(0, {45: 100, 44: 50}, {48: 100}), *parts, TICKS, END),
        action_space="sized21-join", fill_model=model, **rules,
    )  # fmt: skip
    play.act("BUY_YES", size)
    return play


def test_a_resting_order_fills_after_the_queue_in_parts_and_never_more_than_was_printed() -> None:
    """100 stand before 10 of ours: prints of 60, 44 and 3 leave 0, 4 and 3 for us."""
    prints = taken(1, "sells", 45, 60) + taken(2, "sells", 45, 40) + trade(3, "sells", 45, 4) + trade(4, "sells", 45, 3)
    play = resting(prints)
    play.finish()
    assert play.fills == [(3.0, "bought", 45.0, 4.0, True), (4.0, "bought", 45.0, 3.0, True)]


def test_prints_of_buyers_at_our_price_do_not_fill_a_bid() -> None:
    play = resting(trade(1, "buys", 45, 500))
    play.finish()
    assert play.fills == []


def test_a_print_whose_taker_is_unknown_fills_like_one_of_the_right_side() -> None:
    play = resting(trade(1, "unknown", 45, 104))
    play.finish()
    assert play.fills == [(1.0, "bought", 45.0, 4.0, True)]


def test_a_block_trade_never_moves_a_queue() -> None:
    play = resting(trade(1, "sells", 45, 500, block=True), trade(2, "sells", 45, 100))
    play.finish()
    assert play.fills == []


def test_a_print_through_our_price_fills_us_first() -> None:
    play = resting(trade(1, "sells", 44, 6), trade(2, "sells", 44, 50))
    play.finish()
    assert play.fills == [(1.0, "bought", 45.0, 6.0, True), (2.0, "bought", 45.0, 4.0, True)]


@pytest.mark.parametrize("model", MODELS)
def test_a_cancel_alone_never_fills_and_moves_the_queue_by_the_model(model: str) -> None:
    """100 ahead, 60 cancelled, then a print of 45: pessimistic 40 ahead by the shown size, as all models here."""
    play = resting(change(1, "bid", 45, -60), model=model)
    play.until(2)
    assert play.fills == []
    assert int(play.venue["orders"][0]["queue"]) == 40 * 100


def test_lots_that_join_behind_us_keep_the_models_apart() -> None:
    """100 ahead, 100 behind, 80 cancelled: all behind us, a third of a power of the share, all ahead of us."""
    parts = change(1, "bid", 45, 100) + change(2, "bid", 45, -80)
    queues = []
    for model in MODELS:
        play = resting(parts, model=model)
        play.until(3)
        queues.append(int(play.venue["orders"][0]["queue"]) / 100)
    assert queues == [100, 100 - 80 * 0.5**3, 20]


@pytest.mark.parametrize("first", ["print", "delta"])
def test_a_print_and_its_decrease_count_once_in_either_order(first: str) -> None:
    """100 ahead; 70 are sold to the queue: 30 are left ahead, whichever row comes first."""
    rows = taken(1, "sells", 45, 70)
    play = resting(rows if first == "print" else rows[::-1])
    play.until(2)
    assert int(play.venue["orders"][0]["queue"]) == 30 * 100
    assert play.fills == []


def test_the_other_side_at_our_price_fills_us_up_to_its_size() -> None:
    """The queue at 45 has gone and an ask of 6 shows there: 6 of our 10, and they are gone from the book."""
    play = resting(change(1, "bid", 45, -100), change(1, "ask", 45, 6))
    play.until(2)
    assert play.fills == [(1.0, "bought", 45.0, 6.0, True)]
    assert play.shown(1, 45) == 0


def test_the_other_side_at_our_price_serves_the_queue_first() -> None:
    """An ask of 105 locks the bid of 100 that stands before us: 5 are left for us."""
    play = resting(change(1, "ask", 45, 105))
    play.finish()
    assert play.fills == [(1.0, "bought", 45.0, 5.0, True)]


def test_the_other_side_falling_to_our_price_from_above_is_no_fill_before_it_touches_it() -> None:
    play = resting(change(1, "ask", 46, 500))
    play.finish()
    assert play.fills == []


def test_an_improving_order_stands_alone_and_fills_first() -> None:
    play = Play(pack_of(QUIET, trade(1, "sells", 45, 3), TICKS, END), action_space="sized21-improve")
    play.act("BUY_YES", 10)
    play.finish()
    assert play.fills == [(1.0, "bought", 46.0, 3.0, True)]


def test_a_post_only_order_that_would_cross_on_arrival_is_refused() -> None:
    play = Play(pack_of(QUIET, change(0.1, "ask", 46, 5), TICKS, END), action_space="sized21-improve")
    play.act("BUY_YES", 10)
    play.until(2)
    assert play.trader["rejected"] == 1
    assert play.fills == []


def test_a_smaller_size_at_the_same_price_keeps_its_place_and_a_larger_one_goes_to_the_back() -> None:
    """50 more joined behind us: after shrinking 100 stand ahead, after growing 150."""
    for size, ahead in ((5, 100), (20, 150)):
        play = resting(change(0.5, "bid", 45, 50))
        play.until(0.9)
        play.act("BUY_YES", size)
        play.until(1.8)
        order = play.venue["orders"][0]
        assert (int(order["size"]) / 100, int(order["queue"]) / 100) == (size, ahead)


def test_resting_orders_do_not_survive_a_gap() -> None:
    """While the book is unknown nothing fills, and afterwards the order is gone."""
    lost = gap(1) + trade(1.5, "sells", 40, 500) + book(2, {45: 100}, {48: 100}) + trade(3, "sells", 40, 500)
    play = resting(lost)
    play.finish()
    assert play.fills == []
    assert not play.working(0)


def test_a_reactivation_cancels_resting_orders_and_a_pause_keeps_them() -> None:
    pause, back = status(1, Status.INACTIVE), status(2, Status.ACTIVE)
    play = resting(pause, back)
    play.until(1.9)
    assert int(play.venue["orders"][0]["live"]) == (0 if play.now > 2 else 1)
    play.until(2.5)
    assert int(play.venue["orders"][0]["live"]) == 0
    assert not play.working(0)


def test_a_fill_cannot_happen_after_the_order_expired() -> None:
    play = resting(trade(5.0, "sells", 44, 500), order_lifetime_s=5)
    play.finish()
    assert play.fills == []


def test_own_orders_never_meet() -> None:
    """A resting ask of ours at 48 is not what our taking bid buys."""
    play = Play(pack_of(book(0, {45: 100}, {48: 10}), TICKS, END))
    for _ in range(3):
        play.quote(ask=(47, 10))
    play.quote(bid=(48, 20), ask=None, takes=True)
    for _ in range(3):
        play.quote()
    play.finish()
    assert sum(fill[3] for fill in play.fills) <= 10
    assert all(fill[1] == "bought" for fill in play.fills)


def exchange_book(rows: Rows, ns: int) -> tuple[dict[int, int], dict[int, int]]:
    """Lots by side and price after everything that had happened by that time, whenever it was received."""
    public = Public()
    for one in rows:
        if one["exch_ns"] <= ns:
            public.see(one)
    return public.sides


@given(
    seed=st.integers(0, 100_000),
    space=st.sampled_from(["sized21", "sized21-join", "generic[5,40;take,inside,join,improve]"]),
    model=st.sampled_from(MODELS),
)
def test_every_fill_has_its_cause_on_the_tape(seed: int, space: str, model: str) -> None:
    """A taker gets no more than stood at a price on arrival; a maker no more than was printed or shown at his price."""
    rows = random_tape(seed, moments=80, slowest_ms=400)
    play = Play(pack_of(rows), action_space=space, fill_model=model, latency_spread=0.5, mask_opposite_buy=False)
    chance = np.random.default_rng(seed)
    while not play.over:
        play.step(int(np.argmax(chance.random(play.mask.shape) * play.mask)))
    lots: dict[tuple[int, int, int, int], int] = {}
    for fill in play.raw_fills:
        key = (int(fill["venue_ns"]), int(fill["maker"]), int(fill["side"]), int(fill["price"]))
        lots[key] = lots.get(key, 0) + int(fill["size"])
    for (at, maker, side, price), size in lots.items():
        standing = exchange_book(rows, at)[1 if side > 0 else 0]
        if not maker:
            assert size <= standing.get(price, 0)
            continue
        printed = sum(
            one["size"]
            for one in rows
            if one["kind"] == Kind.TRADE
            and one["exch_ns"] == at
            and (price - one["price"]) * side >= 0
            and one["taker"] != (0 if side > 0 else 1)
        )
        shown = sum(lots for level, lots in standing.items() if (price - level) * side >= 0)
        assert size <= printed + shown


# -- the three models


def play_quotes(seed: int, model: str, price_shift: int) -> dict[int, list[tuple[int, int]]]:
    """Fixed quotes at fixed times whatever is filled: (price, lots) filled by order id."""
    rules = EnvSettings(
        start="whole", fill_model=model, bankroll_cents=10_000_000, position_limit=50_000, order_lifetime_s=600,
        response_ms=0, **NO_BUDGET,
    )  # fmt: skip
    pack = pack_of(random_tape(seed, moments=150, interrupts=0.0))
    env = MarketVectorEnv(pack, rules, num_envs=1, sampler=Episodes((0, -1)), log_fills=True)
    batch = env.new_batch()
    env.reset_into(batch)
    # One order a side at the first decision, at the touch; never touched again.
    quotes = np.zeros(1, QUOTE)
    bid, ask = int(env.rows["best_bid"][0]), int(env.rows["best_ask"][0])
    quotes["bid_price"], quotes["bid_size"] = bid - 100 * price_shift, 40_000
    quotes["ask_price"], quotes["ask_size"] = ask + 100 * price_shift, 40_000
    env.step_quotes_into(quotes, batch)
    while not (batch.terminated[0] or batch.truncated[0]):
        env.step_into(np.zeros(1, np.int64), batch)
    filled: dict[int, list[tuple[int, int]]] = {}
    for fill in env.take_fills():
        filled.setdefault(int(fill["order_id"]), []).append((int(fill["venue_ns"]), int(fill["size"])))
    return filled


@given(seed=st.integers(0, 100_000), shift=st.integers(0, 1))
@settings(max_examples=some_of(40))
def test_a_more_hopeful_model_never_fills_less_of_the_same_order_at_any_time(seed: int, shift: int) -> None:
    """fills(pessimistic) within fills(fitted) within fills(optimistic), for each order and up to each time."""
    results = [play_quotes(seed, model, shift) for model in MODELS]
    times = sorted({at for result in results for fills in result.values() for at, _ in fills})
    for order in {order for result in results for order in result}:
        for at in times:
            done = [sum(size for when, size in result.get(order, []) if when <= at) for result in results]
            assert done == sorted(done)


def test_the_nested_models_fill_something() -> None:
    """The property above is not empty."""
    totals = [0, 0, 0]
    for seed in range(20):
        for index, model in enumerate(MODELS):
            totals[index] += sum(size for fills in play_quotes(seed, model, 0).values() for _, size in fills)
    assert 0 < totals[0] < totals[2]
    assert totals[0] <= totals[1] <= totals[2]


@pytest.mark.parametrize("space", ["sized21", "sized21-join"])
def test_a_settlement_ends_resting_orders_without_a_fill(space: str) -> None:
    play = Play(pack_of(QUIET, settle(5, 100)), action_space=space)
    play.act("BUY_YES", 10)
    play.finish()
    assert play.over == "settled"
    assert sum(fill[3] for fill in play.fills) == (10 if space == "sized21" else 0)
