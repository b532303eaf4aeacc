"""Fills are those of the rules: the kernels equal a slow exchange of plain lists, and resting orders do fill."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import MAX_MESSAGES, MAX_WALK
from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.core.venue import MAX_TAKEN
from tests.core.markets import ASKS, BIDS, ENTRY, Market, Pair, market_of, play, raw_commands, raw_rows, rows_of
from tests.core.records import ASK, BID, T0
from tests.examples import some_of
from tests.reference.matching import MARKET_STATE, WOULD_CROSS, Command, Row

MODELS = st.sampled_from(list(FillModel))
SEEDS = st.integers(0, 10**6)


@settings(max_examples=some_of(200))
@given(SEEDS, MODELS, st.sampled_from([100, 10_000]), st.booleans())
def test_the_exchange_equals_the_slow_one_on_random_tapes_and_commands(
    seed: int, model: int, precision: int, unknown_lag: bool
) -> None:
    """Same answers (time, price, size, maker, fee, reason), same orders and queues, same book."""
    rows = rows_of(raw_rows(seed))
    pair = Pair(market_of(rows, unknown_lag=unknown_lag), model=model, precision=precision)
    play(pair, raw_commands(seed), until=rows[-1].at)
    pair.check_same()


# -- resting orders


def resting(side: int, tick: int, lots: int, *, order_id: int = 1, expires: int = 0) -> Command:
    return Command("create", side, order_id, side, tick, lots, expires)


def immediate(side: int, tick: int, lots: int, *, order_id: int = 1, reduce_only: bool = False) -> Command:
    return Command("create", 2 + side, order_id, side, tick, lots, 0, False, False, reduce_only)


def after(ms: float) -> int:
    return T0 + round(ms * MILLISECOND)


def pair_of(rows: list[Row], *, model: int = FillModel.PESSIMISTIC) -> Pair:
    return Pair(market_of(rows), model=model)


def sold(ms: float, tick: int, lots: int) -> Row:
    """A print: a taker sold YES."""
    return Row(after(ms), "print", tick=tick, size=lots, taker=ASK)


def finish(pair: Pair, *commands: Command) -> Pair:
    for command in commands:
        pair.send(command, T0)
    pair.advance(after(1_000))
    pair.check_same()
    return pair


def test_a_resting_order_fills_in_queue_order_and_partially() -> None:
    """20 lots stand in front at tick 48: prints of 15, 15 and 40 give nothing, 10 and the last 15 of 25."""
    pair = finish(pair_of([sold(10, 48, 15), sold(20, 48, 15), sold(30, 48, 40)]), resting(BID, 48, 25))
    fills = [(a.at, a.size, a.price, a.maker) for a in pair.answers if a.event == "fill"]
    assert fills == [(after(20), 10, 4_900, 1), (after(30), 15, 4_900, 1)]
    assert [a.event for a in pair.answers] == ["ack", "fill", "fill", "done"]


def test_an_order_at_a_new_best_price_has_nobody_in_front() -> None:
    assert finish(pair_of([sold(10, 50, 7)]), resting(BID, 50, 25)).filled(1) == 7


def test_a_print_through_our_price_fills_us_first() -> None:
    """Whatever stands in front at our own price: a print below our bid met us before."""
    pair = finish(pair_of([sold(10, 47, 12)]), resting(BID, 48, 25))
    assert [(a.size, a.price) for a in pair.answers if a.event == "fill"] == [(12, 4_900)]


def test_an_ask_fills_as_a_bid_does_in_the_mirror() -> None:
    rows = [Row(after(t), "print", tick=k, size=n, taker=BID) for t, k, n in ((10, 52, 15), (20, 52, 15), (30, 53, 40))]
    pair = finish(pair_of(rows), resting(ASK, 52, 25))
    assert [(a.at, a.size, a.price) for a in pair.answers if a.event == "fill"] == [
        (after(20), 10, 5_300),
        (after(30), 15, 5_300),
    ]


@pytest.mark.parametrize(
    "row",
    [
        Row(after(10), "print", tick=48, size=99, taker=BID),  # met asks
        Row(after(10), "print", tick=47, size=99, taker=ASK, off_book=True),
        Row(after(10), "print", tick=-1, size=99, taker=ASK, off_book=True),
        Row(after(10), "delta", BID, 48, -20),
        Row(after(10), "delta", BID, 48, -20, by_trade=True),
        Row(after(10), "delta", ASK, 49, 99),  # the touch, not our price
        Row(after(10), "status", size=2),
    ],
)
def test_touch_and_cancel_and_prints_of_others_fill_nothing(row: Row) -> None:
    for model in FillModel:
        assert finish(pair_of([row], model=model), resting(BID, 48, 25)).filled(1) == 0


def test_the_far_side_at_our_price_fills_what_it_shows_after_the_queue() -> None:
    """An ask of 35 at our bid: 20 in front of us at our price, 15 for us, and they are taken out of the book."""
    pair = finish(pair_of([Row(after(10), "delta", ASK, 48, 35)]), resting(BID, 48, 25))
    assert [(a.size, a.price, a.maker) for a in pair.answers if a.event == "fill"] == [(15, 4_900, 1)]
    assert pair.taken == [(1, after(60), 15, 48, ASK)]


def test_the_far_side_through_our_price_fills_us_at_our_price() -> None:
    pair = finish(pair_of([Row(after(10), "delta", ASK, 46, 99)]), resting(BID, 48, 25))
    assert [(a.size, a.price) for a in pair.answers if a.event == "fill"] == [(25, 4_900)]


@settings(max_examples=some_of(120))
@given(SEEDS, st.integers(0, 1), st.integers(46, 54), st.integers(1, 80), MODELS)
def test_an_order_never_fills_more_than_was_printed_and_shown(
    seed: int, side: int, tick: int, lots: int, model: int
) -> None:
    rows = rows_of(raw_rows(seed, 60))
    pair = pair_of(rows, model=model)
    pair.send(resting(side, tick, lots), T0)
    pair.advance(after(1_000))
    printed = sum(r.size for r in rows if r.kind == "print" and (r.tick <= tick if side == BID else r.tick >= tick))
    shown = sum(r.size for r in rows if r.kind in ("delta", "level") and r.side != side and r.size > 0)
    assert pair.filled(1) <= min(lots, printed + shown)


@settings(max_examples=some_of(120))
@given(SEEDS, st.integers(0, 1), st.integers(46, 54), st.integers(1, 80), st.sampled_from([0, 10, 40]))
def test_pessimistic_fills_are_among_the_fitted_and_those_among_the_optimistic(
    seed: int, side: int, tick: int, lots: int, life: int
) -> None:
    """Cumulatively, at every moment, for the same order."""
    rows = rows_of(raw_rows(seed, 60))
    market = market_of(rows)
    pairs = [Pair(market, model=model) for model in FillModel]
    for pair in pairs:
        pair.send(resting(side, tick, lots, expires=after(life) if life else 0), T0)
    for at in sorted({row.at for row in rows} | {after(ENTRY / MILLISECOND)}):
        for pair in pairs:
            pair.advance(at)
        pessimistic, fitted, optimistic = (pair.filled(1) for pair in pairs)
        assert pessimistic <= fitted <= optimistic


def test_a_cancel_moves_our_place_by_the_fill_model() -> None:
    """60 shown at tick 48, 30 of them in front of us; 20 cancel, then 35 print."""
    rows = [Row(after(10), "delta", BID, 48, 40), Row(after(20), "delta", BID, 48, -20), sold(30, 48, 35)]
    filled = {model.name: finish(pair_of(rows, model=model), resting(BID, 48, 25)).filled(1) for model in FillModel}
    # 20 in front at joining: none, 20 x (20/60)^3 = 0 whole lots, and all 20 of the cancels were in front.
    assert filled == {"PESSIMISTIC": 15, "FITTED": 15, "OPTIMISTIC": 25}


def test_no_more_stands_in_front_than_is_displayed() -> None:
    rows = [Row(after(10), "delta", BID, 48, -15), sold(20, 48, 8)]
    assert finish(pair_of(rows), resting(BID, 48, 25)).filled(1) == 3


# -- trades and deltas in either order


# What happens at our level at one moment: a trade (its print and its decrease), a cancel, an addition.
STEPS = st.lists(st.tuples(st.sampled_from(["trade", "trade", "cancel", "more"]), st.integers(1, 25)), max_size=12)


def tapes_of(steps: list[tuple[str, int]], *, apart: bool) -> tuple[list[Row], list[Row]]:
    """The same steps with each print before its decrease, and after it; `apart`: the next step comes in between."""
    first: list[Row] = []
    second: list[Row] = []
    late: tuple[list[Row], list[Row]] = ([], [])
    held = BIDS[48]
    for number, (what, size) in enumerate(steps):
        at = after(10 + number // 2)
        lots = size if what == "more" else min(size, held)
        if lots == 0:
            continue
        held += lots if what == "more" else -lots
        change = Row(at, "delta", BID, 48, lots if what == "more" else -lots, by_trade=what == "trade")
        if what == "trade":
            hit = Row(at, "print", tick=48, size=lots, taker=ASK)
            now, then = ([hit], [change]), ([change], [hit])
        else:
            now, then = ([change], []), ([change], [])
        for tape, (early, later), waiting in zip((first, second), (now, then), late):
            tape += [*early, *waiting] if apart else [*waiting, *early, *later]
            waiting[:] = later if apart else []
    for tape, waiting in zip((first, second), late):
        tape += waiting
    return [replace(r, at=after(10)) for r in first], [replace(r, at=after(10)) for r in second]


@settings(max_examples=some_of(80))
@given(STEPS, MODELS)
def test_print_and_decrease_in_either_order_give_the_same_queue_and_fills(
    steps: list[tuple[str, int]], model: int
) -> None:
    check_same_queue(steps, model, apart=False)


@settings(max_examples=some_of(150))
@given(STEPS)
def test_other_rows_between_a_print_and_its_decrease_change_nothing(steps: list[tuple[str, int]]) -> None:
    """For the pessimistic model, which looks at nothing but prints and what is displayed."""
    check_same_queue(steps, FillModel.PESSIMISTIC, apart=True)


def check_same_queue(steps: list[tuple[str, int]], model: int, *, apart: bool) -> None:
    results = []
    for rows in tapes_of(steps, apart=apart):
        pair = finish(pair_of(rows, model=model), resting(BID, 48, 30))
        results.append((int(pair.venue["orders"][BID]["queue"]), pair.filled(1)))
    assert results[0] == results[1]


def test_a_cancel_between_a_decrease_and_its_print_counts_the_print_as_still_in_front() -> None:
    """20 in front: 8 trade (the decrease comes first), 12 cancel, 5 more join behind us, then the print of the 8."""
    drop = Row(after(10), "delta", BID, 48, -8, by_trade=True)
    rows = [drop, Row(after(10), "delta", BID, 48, -12), Row(after(10), "delta", BID, 48, 5), sold(10, 48, 8)]
    assert finish(pair_of(rows), resting(BID, 48, 25)).filled(1) == 0
    assert finish(pair_of([*rows, sold(11, 48, 3)]), resting(BID, 48, 25)).filled(1) == 3


def test_a_decrease_of_our_level_never_fills_even_where_the_far_side_waits() -> None:
    """15 asked at our bid, 20 in front of us; 10 of them cancel. The next row that adds anything fills 5."""
    rows = [Row(after(10), "delta", ASK, 48, 15), Row(after(20), "delta", BID, 48, -10)]
    assert finish(pair_of(rows), resting(BID, 48, 25)).filled(1) == 0
    assert finish(pair_of([*rows, Row(after(30), "delta", BID, 40, 1)]), resting(BID, 48, 25)).filled(1) == 5


def test_a_snapshot_between_a_decrease_and_its_print_does_not_count_it_twice() -> None:
    """20 in front; 8 of them trade: the decrease, a snapshot that shows 12, then the print."""
    drop = Row(after(10), "delta", BID, 48, -8, by_trade=True)
    snapshot = [Row(after(10), "level", BID, 48, 12), Row(after(10), "level", ASK, 51, 10), Row(after(10), "end")]
    pair = finish(pair_of([drop, *snapshot, sold(10, 48, 8)]), resting(BID, 48, 25))
    assert pair.venue["orders"][BID]["queue"] == 12


# -- taking


def test_taking_walks_the_shown_ladder_up_to_the_limit_and_leaves_nothing() -> None:
    pair = finish(pair_of([]), immediate(BID, 52, 99))
    assert [(a.size, a.price, a.maker) for a in pair.answers if a.event == "fill"] == [(10, 5_200, 0), (20, 5_300, 0)]
    assert pair.answers[-1].event == "done"
    assert pair.venue["live"] == 0
    assert [taken[2:] for taken in pair.taken] == [(10, 51, ASK), (20, 52, ASK)]


def test_what_we_took_is_not_there_a_second_time() -> None:
    pair = finish(pair_of([]), immediate(BID, 51, 8))
    pair.send(immediate(BID, 51, 8, order_id=2), after(1_000))
    pair.advance(after(2_000))
    pair.check_same()
    assert (pair.filled(1), pair.filled(2)) == (8, 2)


def test_a_miss_leaves_nothing() -> None:
    """The ask moved away before the order arrived."""
    pair = finish(pair_of([Row(after(2), "delta", ASK, 51, -10)]), immediate(BID, 51, 8))
    assert [a.event for a in pair.answers] == ["done"]


def test_reduce_only_stops_at_a_flat_position() -> None:
    pair = finish(pair_of([]), immediate(BID, 51, 6))
    pair.send(immediate(ASK, 46, 40, order_id=2, reduce_only=True), after(1_000))
    pair.advance(after(2_000))
    pair.check_same()
    assert (pair.filled(2), int(pair.venue["position"])) == (6, 0)


def test_reduce_only_without_a_position_does_nothing() -> None:
    assert finish(pair_of([]), immediate(ASK, 46, 40, reduce_only=True)).filled(1) == 0


def test_a_walk_takes_no_more_levels_than_a_message_queue_can_hold() -> None:
    asks = dict.fromkeys(range(51, 96), 1)
    pair = Pair(market_of([]), asks=asks)
    pair.send(immediate(BID, 98, 99), T0)
    pair.advance(after(100))
    assert pair.filled(1) == MAX_WALK


# -- arrival, post-only, amendments, ends


@settings(max_examples=some_of(120))
@given(SEEDS, st.integers(0, 1), st.integers(46, 54), st.booleans(), st.integers(0, 20))
def test_an_order_decided_at_t_meets_only_what_happens_after_its_arrival(
    seed: int, side: int, tick: int, rests: bool, decided: int
) -> None:
    """Rewriting everything that happens up to the arrival leaves the fills of a resting order alone but for the queue;
    nothing is filled before, and a taker meets the book of all updates up to it."""
    rows = rows_of(raw_rows(seed, 60))
    pair = pair_of(rows)
    now = after(decided)
    pair.advance(now)
    pair.send(resting(side, tick, 9) if rests else immediate(side, tick, 9), now)
    pair.advance(after(1_000))
    fills = [a for a in pair.answers if a.event == "fill"]
    if rests:
        assert all(a.at > now + ENTRY for a in fills)
        return
    assert all(a.at == now + ENTRY for a in fills)
    assert {a.after_row for a in fills} <= {sum(row.at <= now + ENTRY for row in rows)}


def test_a_print_at_the_moment_of_arrival_is_missed_and_one_after_it_is_met() -> None:
    at_arrival = sold(ENTRY / MILLISECOND, 47, 5)
    just_after = sold(ENTRY / MILLISECOND + 0.001, 47, 6)
    assert finish(pair_of([at_arrival]), resting(BID, 48, 25)).filled(1) == 0
    assert finish(pair_of([at_arrival, just_after]), resting(BID, 48, 25)).filled(1) == 6


def test_an_update_received_late_counts_when_it_happened() -> None:
    """The ask was gone before we arrived, though we heard of it long after."""
    rows = [Row(after(1), "delta", ASK, 51, -10)]
    assert market_of(rows).updates["recv_ns"][0] > after(ENTRY / MILLISECOND)
    assert finish(pair_of(rows), immediate(BID, 51, 8)).filled(1) == 0


@pytest.mark.parametrize(("side", "tick"), [(BID, 51), (BID, 60), (ASK, 49), (ASK, 40)])
def test_a_post_only_order_that_would_cross_is_refused(side: int, tick: int) -> None:
    pair = finish(pair_of([]), resting(side, tick, 5))
    assert [(a.event, a.reason) for a in pair.answers] == [("refuse", WOULD_CROSS)]


@pytest.mark.parametrize("side", [BID, ASK])
def test_nothing_crosses_an_empty_side(side: int) -> None:
    pair = Pair(market_of([]), bids={}, asks={})
    pair.send(resting(side, 50, 5), T0)
    pair.advance(after(1_000))
    assert [a.event for a in pair.answers] == ["ack"]


@pytest.mark.parametrize(
    "rows",
    [
        [Row(after(1), "gap")],
        [Row(after(1), "status", size=2)],
        [Row(after(1), "status", size=3)],
        [Row(after(1), "delta", BID, 48, -1_000)],
    ],
)
def test_an_order_that_arrives_in_a_pause_or_at_an_unknown_book_is_refused(rows: list[Row]) -> None:
    for command in (resting(BID, 48, 5), immediate(BID, 51, 5)):
        pair = finish(pair_of(rows), command)
        assert [(a.event, a.reason) for a in pair.answers] == [("refuse", MARKET_STATE)]


def amended(size: int, *, tick: int = 48, rows: list[Row] | None = None) -> Pair:
    """An order of 20 at tick 48 with 20 in front, 4 more behind it; amended at 100 ms."""
    pair = pair_of([Row(after(10), "delta", BID, 48, 4), *(rows or [])])
    pair.send(resting(BID, 48, 20), T0)
    pair.advance(after(100))
    pair.send(Command("amend", BID, 1, BID, tick, size), after(100))
    pair.advance(after(1_000))
    pair.check_same()
    return pair


def test_a_smaller_size_at_the_same_price_keeps_the_place() -> None:
    assert amended(8).venue["orders"][BID]["queue"] == 20


def test_a_larger_size_goes_to_the_back() -> None:
    assert amended(21).venue["orders"][BID]["queue"] == 24


def test_another_price_goes_to_the_back_of_the_other_level() -> None:
    assert amended(20, tick=47).venue["orders"][BID]["queue"] == BIDS[47]


def test_an_amendment_that_would_cross_is_refused_and_the_order_works_as_before() -> None:
    pair = amended(20, tick=51)
    assert [(a.event, a.reason) for a in pair.answers] == [("ack", 0), ("refuse", WOULD_CROSS)]
    assert pair.venue["orders"][BID]["tick"] == 48


def test_an_amendment_in_a_pause_is_refused() -> None:
    pair = amended(20, tick=49, rows=[Row(after(101), "status", size=2)])
    assert [(a.event, a.reason) for a in pair.answers] == [("ack", 0), ("refuse", MARKET_STATE)]


def test_an_amendment_to_what_is_filled_already_ends_the_order() -> None:
    pair = amended(5, rows=[sold(50, 47, 5)])
    assert [a.event for a in pair.answers] == ["ack", "fill", "done"]


def test_a_fill_on_the_way_cannot_enlarge_an_amended_order() -> None:
    """The size of an amendment counts filled lots: 15 in all, of which 5 filled while it travelled."""
    pair = amended(15, rows=[sold(101, 47, 5), sold(200, 40, 99)])
    assert pair.filled(1) == 15


def test_an_order_ends_by_its_expiry() -> None:
    pair = finish(pair_of([sold(50, 47, 5), sold(50.001, 47, 5)]), resting(BID, 48, 25, expires=after(50)))
    assert [(a.event, a.at) for a in pair.answers] == [("ack", after(3)), ("done", after(50))]


def test_a_cancel_that_comes_too_late_finds_nothing() -> None:
    pair = pair_of([sold(101, 40, 99)])
    pair.send(resting(BID, 48, 25), T0)
    pair.advance(after(100))
    pair.send(Command("cancel", BID, 1), after(100))
    pair.advance(after(200))
    pair.send(Command("cancel", BID, 1), after(200))
    pair.advance(after(1_000))
    pair.check_same()
    assert [a.event for a in pair.answers] == ["ack", "fill", "done"]


@pytest.mark.parametrize(
    ("row", "survives"),
    [
        (Row(after(50), "gap"), False),
        (Row(after(50), "status", size=2), True),  # a pause keeps orders
        (Row(after(50), "status", size=1), True),
        (Row(after(50), "status", size=3), False),
        (Row(after(50), "settlement"), False),
        (Row(after(50), "delta", BID, 48, -1_000), False),  # a damaged book is unknown
        (Row(after(50), "other"), True),
    ],
)
def test_what_ends_resting_orders(row: Row, survives: bool) -> None:
    pair = finish(pair_of([row]), resting(BID, 48, 5), resting(ASK, 53, 5, order_id=2))
    assert (pair.venue["live"] == 2) == survives
    assert [a.event for a in pair.answers] == ["ack", "ack"] + ([] if survives else ["done", "done"])


@pytest.mark.parametrize(
    "row",
    [
        Row(after(60), "print", tick=46, size=99, taker=ASK),
        Row(after(60), "delta", ASK, 46, 99),
    ],
)
def test_a_paused_market_fills_nothing(row: Row) -> None:
    """Orders wait in it, and the tape may say what it likes."""
    for model in FillModel:
        pair = finish(pair_of([Row(after(50), "status", size=2), row], model=model), resting(BID, 48, 5))
        assert pair.filled(1) == 0 and pair.venue["live"] == 1


def test_reactivation_ends_resting_orders() -> None:
    pair = finish(pair_of([Row(after(50), "status", size=2), Row(after(60), "status", size=1)]), resting(BID, 48, 5))
    assert [(a.event, a.at) for a in pair.answers] == [("ack", after(3)), ("done", after(60))]


def test_a_changed_fee_is_charged_from_then_on() -> None:
    rows = [sold(10, 47, 100), Row(after(20), "fee", rates=(70_000, 0)), sold(30, 47, 100)]
    pair = finish(pair_of(rows), resting(BID, 49, 200))
    assert [a.fee for a in pair.answers if a.event == "fill"] == [4_400, 0]


# -- the queue of answers


def crowd(prints: int) -> tuple[Pair, Market]:
    """That many prints of one lot through a resting bid, none of them heard."""
    market = market_of([sold(10 + n, 40, 1) for n in range(prints)])
    pair = Pair(market)
    pair.send(resting(BID, 48, 5_000), T0)
    return pair, market


def test_fills_at_one_price_merge_while_many_answers_wait() -> None:
    pair, _ = crowd(200)
    pair.advance(after(1_000))
    fills = [a for a in pair.answers if a.event == "fill"]
    assert sum(a.size for a in fills) == 200
    assert len(pair.answers) == MAX_MESSAGES // 4
    assert sum(a.fee for a in fills) == sum(a.fee for a in pair.plain.answers)


def test_orders_do_not_fill_while_there_is_no_room_for_their_answers() -> None:
    """Fills on both sides in turn cannot merge; the queue of answers never overflows."""
    rows = []
    for n in range(100):
        rows += [sold(10 + n, 40, 1), Row(after(10 + n), "print", tick=60, size=1, taker=BID)]
    pair = Pair(market_of(rows))
    pair.send(resting(BID, 48, 5_000), T0)
    pair.send(resting(ASK, 53, 5_000, order_id=2), T0)
    pair.advance(after(1_000))
    assert MAX_MESSAGES // 4 < len(pair.answers) < MAX_MESSAGES
    assert pair.filled(1) + pair.filled(2) < 200


def test_the_far_side_fills_nothing_while_too_much_of_what_we_took_is_unseen() -> None:
    """One lot after the other is offered at our price and taken; the trader never looks."""
    pair = Pair(market_of([Row(after(10 + n), "delta", ASK, 50, 1) for n in range(100)]))
    pair.send(resting(BID, 50, 5_000), T0)
    pair.advance(after(1_000))
    assert len(pair.taken) == pair.filled(1) == MAX_TAKEN - 2 * MAX_WALK


def test_without_room_for_an_answer_nothing_is_taken_either() -> None:
    rows = []
    for n in range(100):
        rows += [sold(10 + n, 40, 1), Row(after(10 + n), "print", tick=60, size=1, taker=BID)]
    pair = Pair(market_of([*rows, Row(after(200), "delta", ASK, 50, 9)]))
    pair.send(resting(BID, 50, 5_000), T0)
    pair.send(resting(ASK, 53, 5_000, order_id=2), T0)
    pair.advance(after(1_000))
    assert pair.taken == []
    assert pair.venue["book"]["best"][ASK] == 50


def test_the_start_books_of_these_tests_do_not_cross() -> None:
    assert max(BIDS) < min(ASKS)
