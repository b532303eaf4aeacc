"""The trader machine: when it decides, what it remembers, how it marks, what it hears."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.jit import read_only
from kalshi_ray.core.orders import MESSAGE, OrderEvent, OrderState
from kalshi_ray.core.portfolio import apply_fill
from kalshi_ray.core.rules import PPM
from kalshi_ray.core.tape import OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, VIEW, Kind, Status
from kalshi_ray.core.trader import (
    HISTORY,
    NEVER,
    decided,
    due_time,
    hear,
    is_decidable,
    is_notice,
    mark,
    see_notice,
    see_update,
    start_trader,
    wake,
)
from kalshi_ray.core.units import DOLLAR, MILLISECOND
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from tests.core.markets import ASKS, BIDS, KINDS, LEVELS, market_of, raw_rows, rows_of
from tests.core.records import ASK, BANKROLL, BID, T0, one, rules_of, trader_of, update_of
from tests.data.pack_tables import end, level, markets_table, pack_of, row
from tests.examples import few, some_of
from tests.reference.book import Book
from tests.reference.clock import decision_times
from tests.reference.matching import Row

BURST, INTERVAL = 5 * MILLISECOND, 250 * MILLISECOND
SEEDS = st.integers(0, 10**6)


def stretched(seed: int, count: int = 150) -> list[Row]:
    """A tape of some seconds, without a settlement: pauses of 0 to 250 ms."""
    rows = [r for r in rows_of(raw_rows(seed, count)) if r.kind not in ("settlement", "fee")]
    return [Row(T0 + (r.at - T0) * 50, **{n: getattr(r, n) for n in r.__dataclass_fields__ if n != "at"}) for r in rows]


def start_book() -> Book:
    book = Book(LEVELS)
    book.recorded = (dict(BIDS), dict(ASKS))
    book.known = True
    return book


def machine_times(rows: list[Row]) -> list[int]:
    """Decision times of the kernels, driven as a live loop would: by timer between the updates."""
    market, trader, rules, times = market_of(rows), trader_of(BIDS, ASKS), rules_of(), []
    for update in market.updates:
        due = due_time(trader, rules)
        if due < update["recv_ns"]:
            if is_decidable(trader):
                wake(trader, due)
                decided(trader, True)
                times.append(int(due))
            else:
                trader["changed_ns"] = NEVER
        see_update(trader, update)
    last = int(market.updates["recv_ns"][-1])
    if due_time(trader, rules) <= last and is_decidable(trader):
        times.append(int(due_time(trader, rules)))
    return times


def environment_times(rows: list[Row]) -> list[int]:
    """Decision times of the environment over the same tape, holding."""
    table = [level(-100, BID, 100 * (t + 1), s) for t, s in BIDS.items()]
    table += [level(-100, ASK, 100 * (t + 1), s) for t, s in ASKS.items()] + [end(-100)]
    for r in rows:
        at_ms = (r.at - T0) / MILLISECOND + 20
        taker = -1 if r.taker is None else r.taker
        table.append(
            row(KINDS[r.kind], at_ms, side=r.side, price=100 * (r.tick + 1), size=r.size, taker=taker)
            if r.kind in ("delta", "level", "print")
            else row(KINDS[r.kind], at_ms, size=r.size or 1)
        )
    env = MarketVectorEnv(pack_of(table, markets_table(1)), EnvSettings(start="whole"), num_envs=1)
    batch, times = env.new_batch(), []
    env.reset_into(batch)
    while not batch.truncated[0]:
        times.append(int(env.rows["now_ns"][0]))
        env.step_into(np.zeros(1, np.int64), batch)
    return times


@settings(max_examples=few(25, many=150))
@given(SEEDS)
def test_decisions_come_by_the_timer_rule(seed: int) -> None:
    rows = stretched(seed)
    received = [(r.at + 20 * MILLISECOND, r) for r in rows]
    assert machine_times(rows) == decision_times(start_book(), received, burst=BURST, interval=INTERVAL)


@settings(max_examples=few(6, many=60))
@given(SEEDS)
def test_the_environment_decides_when_the_machine_does(seed: int) -> None:
    """But for its start: there the snapshot is the first change."""
    rows = [r for r in stretched(seed) if r.kind != "delta" or r.size > -1_000]
    first = int(-100 * MILLISECOND) + T0 + BURST
    received = [(T0 - 100 * MILLISECOND, Row(0, "end")), *((r.at + 20 * MILLISECOND, r) for r in rows)]
    book = start_book()
    book.in_snapshot = True
    expected = decision_times(book, received, burst=BURST, interval=INTERVAL)
    assert expected[0] == first
    assert environment_times(rows) == expected


@settings(max_examples=some_of(40))
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 4, 90, 249, 250, 900]), st.integers(0, 1), st.integers(1, 40)), min_size=1
    )
)
def test_no_dead_quote_stays_undecided_for_longer_than_the_interval(steps: list[tuple[int, int, int]]) -> None:
    at, rows = T0, []
    for pause, side, size in steps:
        at += pause * MILLISECOND
        rows.append(Row(at, "delta", side, 49 if side == BID else 51, size))
    rows.append(Row(at + 10 * INTERVAL, "other"))
    times = machine_times(rows)
    for r in rows[:-1]:
        received = r.at + 20 * MILLISECOND
        assert min(t for t in times if t >= received) - received <= INTERVAL
    assert all(b - a >= INTERVAL for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("kind", [Kind.TRADE, Kind.SCHEDULE, Kind.FEE, Kind.GRID, Kind.SIGNAL, Kind.SNAPSHOT_LEVEL])
def test_prints_and_notices_and_half_snapshots_do_not_start_the_timer(kind: Kind) -> None:
    trader = trader_of(BIDS, ASKS)
    see_update(trader, update_of(kind, 1, tick=48, size=5))
    assert trader["changed_ns"] == NEVER
    assert due_time(trader, rules_of()) == NEVER


# -- what it knows of the market


@pytest.mark.parametrize(
    ("rows", "decidable"),
    [
        ([], True),
        ([update_of(Kind.GAP)], False),
        ([update_of(Kind.SNAPSHOT_LEVEL, tick=3, size=1)], False),
        ([update_of(Kind.GAP), update_of(Kind.SNAPSHOT_END)], True),
        ([update_of(Kind.STATUS, size=Status.INACTIVE)], False),
        ([update_of(Kind.STATUS, size=Status.CLOSED)], False),
        ([update_of(Kind.STATUS, size=Status.INACTIVE), update_of(Kind.STATUS, size=Status.ACTIVE)], True),
        ([update_of(Kind.DELTA, side=BID, tick=51, size=1)], False),  # locked
        ([update_of(Kind.DELTA, side=ASK, tick=47, size=1)], False),  # crossed
        ([update_of(Kind.DELTA, side=BID, tick=49, size=-99)], False),  # damaged
        ([update_of(Kind.DELTA, side=BID, tick=49, size=-10)], True),
    ],
)
def test_no_decision_while_unknown_locked_crossed_or_not_active(rows: list[Any], decidable: bool) -> None:
    trader = trader_of(BIDS, ASKS)
    for update in rows:
        see_update(trader, update)
    assert bool(is_decidable(trader)) == decidable


def test_reactivation_starts_the_timer() -> None:
    trader = trader_of(BIDS, ASKS)
    see_update(trader, update_of(Kind.STATUS, 1, size=Status.INACTIVE))
    assert trader["changed_ns"] == NEVER
    see_update(trader, update_of(Kind.STATUS, 2, size=Status.ACTIVE))
    see_update(trader, update_of(Kind.DELTA, 3, tick=49, size=1))
    assert trader["changed_ns"] == T0 + 2 * MILLISECOND


def test_the_first_undecided_change_counts_not_the_last() -> None:
    trader = trader_of(BIDS, ASKS)
    for ms in (3, 4, 9):
        see_update(trader, update_of(Kind.DELTA, ms, tick=49, size=1))
    assert trader["changed_ns"] == T0 + 3 * MILLISECOND
    assert trader["updates_since"] == 3


@pytest.mark.parametrize("kind", list(Kind))
def test_notices_are_the_rows_that_refer_to_values(kind: Kind) -> None:
    assert bool(is_notice(update_of(kind))) == (kind in (Kind.SCHEDULE, Kind.GRID, Kind.FEE, Kind.SIGNAL))


def test_notices_change_schedule_fees_grid_and_signals() -> None:
    trader = trader_of(BIDS, ASKS)
    values = read_only(np.array([9, T0 + 5, 35_000, 8_750, 1, -1_500_000], np.int64))
    grids = np.ones((2, LEVELS), np.uint8)
    grids[1, 1::2] = 0
    grids = read_only(grids)
    for kind, index, tick in ((Kind.SCHEDULE, 1, 0), (Kind.FEE, 2, 0), (Kind.GRID, 4, 0), (Kind.SIGNAL, 5, 2)):
        see_notice(trader, update_of(kind, size=index, tick=tick), values, grids)
    see_notice(trader, update_of(Kind.SIGNAL, size=5, tick=9), values, grids)  # one more than a row can observe
    assert trader["close_ns"] == T0 + 5
    assert (trader["taker_ppm"], trader["maker_ppm"]) == (35_000, 8_750)
    assert trader["book"]["valid"][:4].tolist() == [1, 0, 1, 0]
    assert trader["signals"].tolist() == [0.0, 0.0, -1.5, 0.0]


def test_a_settlement_is_the_venues_word() -> None:
    trader = trader_of(BIDS, ASKS)
    see_update(trader, update_of(Kind.SETTLEMENT, size=3_333))
    assert (trader["settled"], trader["settlement"]) == (1, 3_333)


# -- history


def test_history_stands_newest_first_and_holds_ten_decisions() -> None:
    trader = trader_of({48: 10}, {52: 10})
    for n in range(13):
        for _ in range(n):
            see_update(trader, update_of(Kind.DELTA, n * 300, tick=40 + n % 3, size=1))
        wake(trader, T0 + n * 300 * MILLISECOND)
        assert trader["history_count"] == min(n + 1, HISTORY)
        assert trader["updates_since"] == 0 and trader["changed_ns"] == NEVER
    assert trader["history_updates"].tolist() == list(range(12, 2, -1))
    assert trader["history_ns"].tolist() == [T0 + n * 300 * MILLISECOND for n in range(12, 2, -1)]
    assert trader["history_activity"].tolist() == [math.tanh(n / 20) for n in range(12, 2, -1)]
    assert set(trader["history_mid"].tolist()) == {4_900 + 5_300} and set(trader["history_spread"].tolist()) == {400}


@pytest.mark.parametrize("update", [update_of(Kind.GAP), update_of(Kind.DELTA, tick=49, size=-99)])
def test_history_restarts_after_a_gap_and_after_damage(update: Any) -> None:
    trader = trader_of(BIDS, ASKS)
    wake(trader, T0)
    see_update(trader, update)
    assert trader["history_count"] == 0


def test_a_snapshot_alone_does_not_restart_history() -> None:
    trader = trader_of(BIDS, ASKS)
    wake(trader, T0)
    for kind in (Kind.SNAPSHOT_LEVEL, Kind.DELTA, Kind.SNAPSHOT_END):
        see_update(trader, update_of(kind, tick=40, size=5))
    assert trader["history_count"] == 1


def test_a_decision_starts_the_interval_and_counts_holds_in_a_row() -> None:
    trader = trader_of(BIDS, ASKS)
    for n, hold in enumerate([True, True, False, True]):
        wake(trader, T0 + n)
        decided(trader, hold)
    assert (trader["decided_ns"], trader["decisions"]) == (T0 + 3, 4)
    assert (trader["holds"], trader["holds_in_row"]) == (3, 1)


# -- marks


def marked(bids: dict[int, int], asks: dict[int, int], lots: int) -> Any:
    """A trader with a position of `lots` that cost nothing, at its mark."""
    trader = trader_of(bids, asks)
    trader["account"]["position"] = lots
    wake(trader, T0)
    return trader


@pytest.mark.parametrize(
    ("bids", "asks", "lots", "value"),
    [
        ({39: 5, 20: 5}, {49: 5}, 100, 400_000),  # long at the best bid
        ({39: 5}, {49: 5}, -100, 500_000),  # short at the best ask
        ({}, {49: 5}, 100, 0),  # no bid: a long position is worth nothing
        ({39: 5}, {}, -100, 0),  # no ask: a short one neither
        ({}, {}, 0, 0),
    ],
)
def test_a_position_is_marked_at_what_closing_it_would_bring(
    bids: dict[int, int], asks: dict[int, int], lots: int, value: int
) -> None:
    trader = marked(bids, asks, lots)
    assert trader["equity"] - BANKROLL == value
    assert trader["best_bid"] == (100 * (max(bids) + 1) if bids else -1)
    assert trader["best_ask"] == (100 * (min(asks) + 1) if asks else -1)
    assert (trader["bid_size"], trader["ask_size"]) == (5 * bool(bids), 5 * bool(asks))
    assert trader["mark_bid"] == max(0, trader["best_bid"])
    assert trader["mark_ask"] == (trader["best_ask"] if asks else DOLLAR)


@pytest.mark.parametrize("update", [update_of(Kind.GAP), update_of(Kind.DELTA, side=ASK, tick=10, size=1)])
def test_an_unknown_or_crossed_book_keeps_its_last_mark_and_touch(update: Any) -> None:
    trader = marked({39: 5}, {49: 5}, 100)
    see_update(trader, update)
    apply_fill(trader["account"], BID, 4_500, 100, 7)
    mark(trader)
    assert trader["equity"] == trader["account"]["cash"] + 200 * 4_000
    assert (trader["best_bid"], trader["best_ask"], trader["bid_size"]) == (4_000, 5_000, 5)


def test_the_jump_after_a_gap_is_booked_at_the_first_known_book() -> None:
    trader = marked({39: 5}, {49: 5}, 100)
    for update in (update_of(Kind.GAP), update_of(Kind.SNAPSHOT_LEVEL, tick=9, size=1), update_of(Kind.SNAPSHOT_END)):
        see_update(trader, update)
    mark(trader)
    assert trader["equity"] == BANKROLL + 100 * 1_000


@given(st.lists(st.integers(0, 98), min_size=1, max_size=20))
def test_drawdown_is_the_deepest_fall_from_the_peak(ticks: list[int]) -> None:
    trader = trader_of({}, {})
    trader["account"]["position"] = 100
    values = [BANKROLL]
    for tick in ticks:
        for update in (update_of(Kind.SNAPSHOT_LEVEL, tick=tick, size=1), update_of(Kind.SNAPSHOT_END)):
            see_update(trader, update)
        wake(trader, T0)
        values.append(BANKROLL + 100 * 100 * (tick + 1))
        assert trader["equity"] == values[-1]
    assert trader["peak_equity"] == max(values)
    assert trader["drawdown"] == max(max(values[: n + 1]) - value for n, value in enumerate(values))


# -- answers


def told(event: OrderEvent, slot: int = 0, **fields: int) -> Any:
    message = one(MESSAGE)
    message["event"], message["slot"], message["id"] = event, slot, 1
    for name, value in fields.items():
        message[name] = value
    return message


def with_order(slot: int, state: OrderState = OrderState.WORKING, **fields: int) -> Any:
    trader = trader_of(BIDS, ASKS)
    order = trader["orders"][slot]
    plain = {"id": 1, "state": state, "side": slot % 2, "tick": 48, "price": 4_900, "size": 1_000}
    for name, value in (plain | {"bid_at_send": 5_000, "ask_at_send": 5_200} | fields).items():
        order[name] = value
    return trader


def test_a_fill_moves_the_ledger_and_the_counters() -> None:
    trader = with_order(2, OrderState.SENT)
    hear(trader, rules_of(), told(OrderEvent.FILL, 2, price=5_200, size=300, fee=111, venue_ns=77))
    hear(trader, rules_of(), told(OrderEvent.FILL, 2, price=5_300, size=200, fee=222, venue_ns=88))
    account = trader["account"]
    assert account["cash"] == BANKROLL - 300 * 5_200 - 200 * 5_300 - 333
    assert (account["position"], account["fees"]) == (500, 333)
    assert (trader["fills"], trader["filled_orders"], trader["maker_fills"], trader["traded"]) == (2, 1, 0, 500)
    assert trader["stake"] == account["cost"] == 300 * 5_200 + 200 * 5_300
    assert trader["spread_cost"] == 300 * 200 + 200 * 300  # paid over the bid on which it was decided
    assert trader["opened_ns"] == 77
    assert trader["orders"][2]["filled"] == 500


def test_a_maker_fill_pays_no_spread() -> None:
    trader = with_order(0)
    hear(trader, rules_of(), told(OrderEvent.FILL, 0, price=4_900, size=300, maker=1))
    assert (trader["maker_fills"], trader["spread_cost"]) == (1, 0)


def test_closing_pays_no_spread_and_crossing_zero_opens_anew() -> None:
    trader = with_order(3, OrderState.SENT)
    apply_fill(trader["account"], BID, 5_000, 200, 0)
    trader["opened_ns"] = 5
    hear(trader, rules_of(), told(OrderEvent.FILL, 3, price=5_000, size=150, venue_ns=66))
    assert (trader["spread_cost"], trader["opened_ns"], trader["stake"]) == (0, 5, 0)
    hear(trader, rules_of(), told(OrderEvent.FILL, 3, price=5_000, size=150, venue_ns=77))
    assert (trader["spread_cost"], trader["opened_ns"]) == (100 * 200, 77)
    assert trader["stake"] == 100 * 5_000
    assert trader["account"]["position"] == -100


@pytest.mark.parametrize(("share", "refund"), [(PPM, 0), (PPM // 4, 4_650), (0, 6_200)])
def test_the_cost_ramp_refunds_spread_and_fee_in_the_ledger(share: int, refund: int) -> None:
    trader = with_order(2, OrderState.SENT)
    hear(trader, rules_of(cost_share_ppm=share), told(OrderEvent.FILL, 2, price=5_200, size=30, fee=200))
    assert trader["account"]["refund"] == refund
    assert trader["account"]["cash"] == BANKROLL - 30 * 5_200 - 200 + refund


def test_a_fill_inside_the_seen_spread_counts_no_negative_spread() -> None:
    trader = with_order(2, OrderState.SENT, bid_at_send=5_500)
    hear(trader, rules_of(), told(OrderEvent.FILL, 2, price=5_200, size=30))
    assert trader["spread_cost"] == 0


def test_an_order_joins_behind_all_that_is_shown() -> None:
    trader = with_order(0, OrderState.SENT)
    hear(trader, rules_of(), told(OrderEvent.ACK))
    assert (trader["orders"][0]["state"], trader["orders"][0]["queue"]) == (OrderState.WORKING, BIDS[48])


@pytest.mark.parametrize(
    ("tick", "size", "queue"),
    [(48, 900, 7), (48, 1_000, 7), (48, 1_100, BIDS[48]), (47, 900, BIDS[47])],
)
def test_an_amendment_keeps_the_place_only_at_its_price_and_not_larger(tick: int, size: int, queue: int) -> None:
    trader = with_order(
        0, OrderState.AMENDING, queue=7, amended_tick=tick, amended_price=100 * (tick + 1), amended_size=size,
        amended_expires_ns=99,
    )  # fmt: skip
    hear(trader, rules_of(), told(OrderEvent.ACK))
    order = trader["orders"][0]
    assert (order["tick"], order["price"], order["size"], order["expires_ns"]) == (tick, 100 * (tick + 1), size, 99)
    assert (order["state"], order["queue"]) == (OrderState.WORKING, queue)


def test_a_refused_amendment_leaves_the_order_as_it_was() -> None:
    trader = with_order(0, OrderState.AMENDING, amended_tick=40, amended_price=4_100, amended_size=1)
    hear(trader, rules_of(), told(OrderEvent.REFUSE))
    order = trader["orders"][0]
    assert (order["state"], order["tick"], order["size"]) == (OrderState.WORKING, 48, 1_000)
    assert trader["rejected"] == 1


def test_an_order_that_is_done_frees_its_slot() -> None:
    trader = with_order(0)
    hear(trader, rules_of(), told(OrderEvent.DONE))
    assert (trader["orders"][0]["state"], trader["rejected"]) == (OrderState.FREE, 0)


def test_an_answer_to_an_order_that_is_not_there_is_a_fault() -> None:
    trader = with_order(0)
    hear(trader, rules_of(), told(OrderEvent.FILL, id=2, price=4_900, size=100))
    assert trader["fault"] == 1 + 16 * OrderState.WORKING + OrderEvent.FILL
    assert trader["account"]["cash"] == BANKROLL


def test_the_spread_is_measured_by_the_book_on_which_the_amendment_was_decided() -> None:
    trader = with_order(0, OrderState.AMENDING, amended_tick=47, amended_price=4_800, amended_size=1_000)
    order = trader["orders"][0]
    order["amended_ns"], order["amended_bid"], order["amended_ask"] = T0 + 9, 4_700, 5_100
    hear(trader, rules_of(), told(OrderEvent.ACK))
    assert (order["sent_ns"], order["bid_at_send"], order["ask_at_send"]) == (T0 + 9, 4_700, 5_100)


# -- what it believes of its place in the queue


@pytest.mark.parametrize(
    ("flags", "tick", "bid_queue", "ask_queue"),
    [
        (TAKER_SOLD, 48, 20, 50),  # sellers meet bids
        (TAKER_BOUGHT, 48, 50, 20),  # buyers meet asks
        (0, 48, 20, 20),  # unknown: either
        (0, 47, 50, 50),
        (OFF_BOOK, 48, 50, 50),
    ],
)
def test_a_print_at_our_price_moves_the_queue_of_the_side_it_met(
    flags: int, tick: int, bid_queue: int, ask_queue: int
) -> None:
    trader = with_order(0, queue=50)
    for name, value in (("state", OrderState.WORKING), ("tick", 48), ("queue", 50)):
        trader["orders"][1][name] = value
    see_update(trader, update_of(Kind.TRADE, tick=tick, size=30, flags=flags))
    assert [int(trader["orders"][side]["queue"]) for side in (BID, ASK)] == [bid_queue, ask_queue]
    see_update(trader, update_of(Kind.TRADE, tick=tick, size=30, flags=flags))
    assert min(trader["orders"]["queue"]) >= 0


def test_a_free_slot_has_no_queue_to_move() -> None:
    trader = with_order(0, OrderState.FREE, queue=50)
    see_update(trader, update_of(Kind.TRADE, tick=48, size=30))
    assert trader["orders"][0]["queue"] == 50


def test_an_episode_starts_with_an_empty_ledger_and_no_memory() -> None:
    """Nothing of the episode before is left, whatever it was."""
    fresh, used = trader_of(), trader_of(BIDS, ASKS)
    wake(used, T0)
    for name in used.dtype.names:
        if name not in ("book", "view_index") and used[name].dtype.names is None:
            used[name] = np.ones_like(used[name]) * 3
    for slot in range(4):
        used["orders"][slot]["state"] = OrderState.WORKING
    view = one(VIEW)
    view["status"], view["taker_ppm"], view["maker_ppm"] = 1, 70_000, 17_500
    start_trader(used, view, BANKROLL, T0)
    kept = {"book", "orders", "commands", "account", "view_index"}
    kept |= {name for name in used.dtype.names if name.startswith(("history_", "sibling_"))} - {"history_count"}
    for name in set(used.dtype.names) - kept:
        assert np.array_equal(used[name], fresh[name]), name
    assert used["account"].tobytes() == fresh["account"].tobytes()
    assert all(order["state"] == OrderState.FREE for order in used["orders"])
