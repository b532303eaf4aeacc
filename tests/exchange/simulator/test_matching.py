"""Price, then time; flow and accounts in one book; what an order may and may not do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import Side
from kalshi_ray.exchange.simulator.settings import SimulatorSettings
from kalshi_ray.wire.messages import Trade
from kalshi_ray.wire.trading import (
    Cancel,
    FillMessage,
    OrderRequest,
    OrderStatus,
    Placed,
    Reduced,
    Refused,
    SelfTrade,
    TimeInForce,
)
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def test_the_shown_book_is_the_flow_and_the_orders() -> None:
    scene = Scene()
    scene.flow({47: 10}, {52: 10})
    scene.place(0, BID, 47, 5)
    scene.place(1, BID, 48, 3)
    scene.place(0, ASK, 52, 4)
    assert scene.book() == ({48: 3, 47: 15}, {52: 14})


def test_what_was_taken_of_the_flow_stays_taken_until_the_flow_takes_it_away() -> None:
    scene = Scene()
    scene.flow({47: 10}, {52: 10})
    scene.place(0, BID, 52, 4, time_in_force=IOC)
    assert scene.book()[1] == {52: 6}
    scene.change(ASK, 52, -4, by_trade=True)  # the decrease that a recorded buyer made counts against ours
    assert scene.book()[1] == {52: 6}
    scene.change(ASK, 52, -1)
    assert scene.book()[1] == {52: 5}


def test_a_better_price_goes_first_then_an_earlier_time() -> None:
    scene = Scene(accounts=4)
    scene.place(0, ASK, 55, 5)
    scene.place(1, ASK, 54, 5)
    scene.place(2, ASK, 54, 5)
    taken = scene.place(3, BID, 56, 12)
    assert [scene.fills(who) for who in (1, 2, 0)] == [[(54, 5, False)], [(54, 5, False)], [(55, 2, False)]]
    assert scene.fills(3) == [(54, 5, True), (54, 5, True), (55, 2, True)]
    assert taken.average_price == 541_667  # micros a contract: (10 x 54 + 2 x 55) / 12
    assert (taken.filled, taken.remaining) == (1_200, 0)


def test_flow_that_stood_there_first_is_taken_first_and_later_flow_last() -> None:
    scene = Scene()
    scene.flow(asks={52: 10})
    scene.place(0, ASK, 52, 5)
    scene.change(ASK, 52, 10)
    scene.place(1, BID, 52, 12, time_in_force=IOC)
    assert scene.fills(0) == [(52, 2, False)]
    scene.place(1, BID, 52, 4, time_in_force=IOC)
    assert scene.fills(0)[1:] == [(52, 3, False)]
    assert scene.book()[1] == {52: 9}


@given(
    prices=st.lists(st.integers(50, 60), min_size=1, max_size=8),
    sizes=st.lists(st.integers(1, 9), min_size=8, max_size=8),
    limit=st.integers(49, 61),
    wanted=st.integers(1, 60),
)
def test_an_incoming_order_meets_the_others_in_order_of_price_and_time(
    prices: list[int], sizes: list[int], limit: int, wanted: int
) -> None:
    scene = Scene(accounts=2)
    for price, size in zip(prices, sizes):
        scene.place(0, ASK, price, size)
    left, expected = wanted, []
    for price, size in sorted(zip(prices, sizes), key=lambda one: one[0]):  # stable: by price, then as they came
        if price <= limit and left:
            expected.append((price, float(min(size, left)), True))
            left -= min(size, left)
    answer = scene.place(1, BID, limit, wanted)
    assert scene.fills(1) == expected
    assert answer.remaining == 100 * left


def test_both_parties_trade_at_one_yes_price_and_hear_of_one_trade() -> None:
    """An IOC bid at 99 fills at 52 against the NO bid at 48 (recorded of the exchange)."""
    scene = Scene()
    scene.place(0, ASK, 52, 5)
    scene.place(1, BID, 99, 5, time_in_force=IOC)
    (trade,) = scene.public(Trade)
    assert (trade.price, trade.size, trade.taker) == (5_200, 500, Side.BID)
    assert scene.position(0) == -5
    assert scene.position(1) == 5


# -- the flow against orders


def test_a_print_at_the_price_eats_the_flow_in_front_then_orders_in_order_of_time() -> None:
    scene = Scene()
    scene.flow({47: 10})
    first = scene.place(0, BID, 47, 5)
    second = scene.place(1, BID, 47, 5)
    assert (scene.ahead(0, first), scene.ahead(1, second)) == (10, 15)
    scene.print(ASK, 47, 8)
    assert scene.fills(0) == []
    scene.print(ASK, 47, 9)
    assert scene.fills(0) == [(47, 5, False)]
    assert scene.fills(1) == [(47, 2, False)]


def test_a_print_through_a_price_fills_orders_first_and_leaves_the_flow_the_rest() -> None:
    scene = Scene()
    scene.flow({47: 10, 46: 10})
    scene.place(0, BID, 48, 3)
    scene.print(ASK, 46, 8)
    assert scene.fills(0) == [(48, 3, False)]
    assert [(t.price, t.size) for t in scene.public(Trade)] == [(4_800, 300), (4_600, 500)]


def test_flow_that_would_cross_an_order_fills_it_and_only_the_rest_shows() -> None:
    scene = Scene()
    scene.place(0, BID, 50, 5)
    scene.change(ASK, 49, 8)
    assert scene.fills(0) == [(50, 5, False)]
    assert scene.book() == ({}, {49: 3})


def test_flow_that_an_order_does_not_yet_meet_is_hidden_until_it_may_show() -> None:
    """Behind ten lots of the flow the order waits (as in the environment); a crossed book is never shown."""
    scene = Scene()
    scene.flow({50: 10}, {53: 5})
    waiting = scene.place(0, BID, 50, 5)
    scene.change(ASK, 50, 6)
    assert scene.fills(0) == []
    assert scene.book()[1] == {53: 5}
    scene.cancel(0, waiting)
    assert scene.book() == ({}, {53: 5, 50: 6})  # of flow that meets flow the newer shows


def test_blocks_and_prints_off_the_grid_hit_nobody() -> None:
    scene = Scene()
    scene.place(0, BID, 50, 5)
    scene.print(ASK, 40, 8, block=True)
    assert scene.fills(0) == []
    assert [(t.price, t.is_block) for t in scene.public(Trade)] == [(4_000, True)]


@pytest.mark.parametrize(("model", "ahead"), [("pessimistic", 10), ("fitted", 10), ("optimistic", 4)])
def test_a_cancel_in_the_flow_moves_a_place_by_the_fill_model(model: str, ahead: int) -> None:
    scene = Scene(settings=SimulatorSettings(fill_model=model))  # type: ignore[arg-type]
    scene.flow({47: 10})
    order = scene.place(0, BID, 47, 5)
    scene.change(BID, 47, 90)
    scene.change(BID, 47, -6)
    assert scene.ahead(0, order) == ahead


# -- what an order asks for


def test_post_only_is_refused_where_it_would_trade() -> None:
    scene = Scene()
    scene.place(0, ASK, 52, 5)
    assert scene.refusal(1, BID, 52, 5, post_only=True) == (400, "invalid_order", "post only cross")
    assert scene.place(1, BID, 51, 5, post_only=True).remaining == 500


def test_what_an_immediate_order_cannot_take_is_cancelled() -> None:
    scene = Scene()
    scene.place(0, ASK, 52, 5)
    answer = scene.place(1, BID, 52, 8, time_in_force=IOC)
    assert (answer.filled, answer.remaining) == (500, 0)
    (order,) = scene.exchange.orders(scene.accounts[1])
    assert (order.status, order.filled, order.remaining) == (OrderStatus.CANCELED, 500, 0)


def test_fill_or_kill_takes_all_or_leaves_nothing_but_a_used_id() -> None:
    scene = Scene()
    scene.place(0, ASK, 52, 5)
    scene.flow(asks={53: 2})
    code = "fill_or_kill_insufficient_resting_volume"
    assert scene.refusal(1, BID, 53, 8, time_in_force=FOK, client_order_id="k") == (409, code, "")
    assert scene.exchange.orders(scene.accounts[1]) == []
    assert scene.refusal(1, BID, 53, 7, client_order_id="k")[1] == "order_already_exists"
    assert scene.place(1, BID, 53, 7, time_in_force=FOK).filled == 700


def test_reduce_only_stops_at_a_flat_position() -> None:
    scene = Scene()
    scene.flow({50: 20}, {51: 4})
    scene.place(0, BID, 51, 4, time_in_force=IOC)
    answer = scene.place(0, ASK, 50, 9, time_in_force=IOC, reduce_only=True)
    assert answer.filled == 400
    assert scene.position(0) == 0
    assert scene.reasons(0)[-1] == "ReduceOnlyCancel"
    assert scene.place(0, ASK, 50, 9, time_in_force=IOC, reduce_only=True).filled == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ticker": "NONE"}, (404, "not_found")),
        ({"exchange_index": 3}, (404, "not_found")),
        ({"size": 0}, (400, "invalid_order_size")),
        ({"price": 5_150}, (400, "invalid_price")),
        ({"price": 0}, (400, "invalid_price")),
        ({"price": 10_000}, (400, "invalid_price")),
        ({"reduce_only": True}, (400, "invalid_order")),
        ({"time_in_force": IOC, "post_only": True}, (400, "invalid_order")),
        ({"time_in_force": IOC, "expires_ns": T0 * 2}, (400, "invalid_order")),
        ({"expires_ns": T0 - 1}, (400, "invalid_order")),
        ({"subaccount": 64}, (400, "bad_request")),
        ({"group": "none"}, (404, "not_found")),
        ({"size": 10**9}, (400, "insufficient_balance")),
    ],
)
def test_a_bad_order_is_refused_in_the_exchange_s_words_and_changes_nothing(
    changes: dict[str, object], expected: tuple[int, str]
) -> None:
    scene = Scene()
    scene.flow({47: 10}, {52: 10})
    said = len(scene.said)
    assert scene.refusal(0, BID, 50, 5, client_order_id="once", **changes)[:2] == expected
    assert len(scene.said) == said
    assert scene.exchange.balance(scene.accounts[0]).cash == 1_000_000_000
    assert isinstance(scene.ask_for(0, BID, 50, 5, client_order_id="once"), Placed)  # a refusal uses no id


def test_a_client_order_id_is_used_for_good() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 40, 1, client_order_id="a")
    scene.cancel(0, placed)
    assert scene.refusal(0, BID, 40, 1, client_order_id="a")[:2] == (409, "order_already_exists")
    scene.place(1, BID, 40, 1, client_order_id="a")  # of another account


def test_an_account_has_a_largest_number_of_working_orders() -> None:
    scene = Scene(settings=SimulatorSettings(max_orders=2))
    first = scene.place(0, BID, 40, 1)
    scene.place(0, BID, 40, 1)
    assert scene.refusal(0, BID, 40, 1)[:2] == (400, "invalid_order")
    scene.cancel(0, first)
    scene.place(0, BID, 40, 1)


# -- own orders


def test_an_incoming_order_ends_at_the_first_own_order() -> None:
    """What it took before stands; the resting order stays (recorded of the exchange)."""
    scene = Scene()
    scene.place(1, ASK, 51, 2)
    scene.place(0, ASK, 52, 5)
    answer = scene.place(0, BID, 53, 9)
    assert (answer.filled, answer.remaining) == (200, 0)
    assert scene.book() == ({}, {52: 5})
    assert scene.reasons(0)[-1] == "SelfTradeCancel"


def test_with_maker_prevention_own_resting_orders_give_way() -> None:
    scene = Scene()
    scene.place(0, ASK, 52, 5)
    scene.place(1, ASK, 53, 5)
    answer = scene.place(0, BID, 53, 9, self_trade=SelfTrade.MAKER)
    assert (answer.filled, answer.remaining) == (500, 400)
    assert scene.book() == ({53: 4}, {})
    assert "SelfTradeCancel" in scene.reasons(0)


def test_fill_or_kill_that_meets_an_own_order_behaves_like_an_immediate_one() -> None:
    scene = Scene()
    scene.place(1, ASK, 51, 2)
    scene.place(0, ASK, 52, 5)
    answer = scene.place(0, BID, 52, 4, time_in_force=FOK)
    assert (answer.filled, answer.remaining) == (200, 0)


# -- amend, decrease, cancel


def test_less_keeps_the_place_and_more_loses_it() -> None:
    scene = Scene()
    first, second = scene.place(0, BID, 47, 9), scene.place(1, BID, 47, 9)
    assert scene.ahead(1, second) == 9
    scene.amend(0, first, BID, 47, 6)
    scene.decrease(0, first, by=100)
    assert (scene.ahead(0, first), scene.ahead(1, second)) == (0, 5)
    assert scene.amend(0, first, BID, 47, 5, expires_ns=T0 + 10**10).remaining is None  # nothing of it changed
    assert scene.ahead(0, first) == 0
    scene.amend(0, first, BID, 47, 6)
    assert (scene.ahead(0, first), scene.ahead(1, second)) == (9, 0)
    assert scene.reasons(0) == ["", "Amend", "Decrease", "Amend", "Amend"]


def test_an_amendment_that_crosses_trades_first() -> None:
    scene = Scene()
    scene.place(1, ASK, 52, 3)
    placed = scene.place(0, BID, 47, 5)
    answer = scene.amend(0, placed, BID, 52, 5)
    assert (answer.filled, answer.remaining, answer.average_price) == (300, 200, 520_000)
    assert scene.book() == ({52: 2}, {})


def test_the_size_of_an_amendment_counts_what_is_filled() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 50, 5)
    scene.print(ASK, 50, 3)
    assert scene.amend(0, placed, BID, 50, 4).remaining == 100
    assert scene.amend(0, placed, BID, 50, 3).remaining == 0
    assert scene.exchange.order(scene.accounts[0], placed.order_id).status is OrderStatus.CANCELED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"side": ASK}, (400, "order_side_mismatch")),
        ({"ticker": "OTHER"}, (400, "order_ticker_mismatch")),
        ({"client_order_id": "wrong"}, (400, "order_id_and_client_order_id_mismatch")),
        ({"updated_client_order_id": "taken"}, (409, "order_already_exists")),
        ({"order_id": "none"}, (404, "not_found")),
        ({"price": 4_750}, (400, "invalid_price")),
        ({"size": 0}, (400, "invalid_order_size")),
        ({"price": 5_200}, (400, "invalid_order")),  # post only cross
        ({"size": 10**9}, (400, "insufficient_balance")),
        ({"expires_ns": T0 - 1}, (400, "invalid_order")),
        ({"subaccount": 1}, (404, "not_found")),
    ],
)
def test_a_bad_amendment_is_refused_and_the_order_stays(more: dict[str, object], expected: tuple[int, str]) -> None:
    scene = Scene()
    scene.flow({47: 3}, {52: 3})
    scene.place(0, BID, 46, 1, client_order_id="taken")
    placed = scene.place(0, BID, 47, 5, post_only=True)
    before = scene.exchange.order(scene.accounts[0], placed.order_id), scene.ahead(0, placed)
    answer = scene.amend(0, placed, **({"side": BID, "cents": 47, "contracts": 9} | more))  # type: ignore[arg-type]
    assert isinstance(answer, Refused)
    assert (answer.status, answer.code) == expected
    assert (scene.exchange.order(scene.accounts[0], placed.order_id), scene.ahead(0, placed)) == before


def test_an_order_can_be_renamed_and_both_names_stay_used() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 47, 5, client_order_id="a")
    assert scene.amend(0, placed, BID, 47, 5, client_order_id="a", updated_client_order_id="b").client_order_id == "b"
    for name in ("a", "b"):
        assert scene.refusal(0, BID, 47, 5, client_order_id=name)[1] == "order_already_exists"


@pytest.mark.parametrize(
    ("asked", "remaining"), [({"by": 200}, 300), ({"to": 200}, 200), ({"by": 900}, 0), ({"to": 0}, 0)]
)
def test_decrease_names_what_goes_or_what_stays(asked: dict[str, int], remaining: int) -> None:
    scene = Scene()
    placed = scene.place(0, BID, 47, 5)
    answer = scene.decrease(0, placed, **asked)
    assert isinstance(answer, Reduced)
    assert answer.remaining == remaining
    assert sum(scene.book()[0].values()) * 100 == remaining


@pytest.mark.parametrize("asked", [{}, {"by": 1, "to": 1}, {"by": 0}, {"to": 600}, {"to": -1}])
def test_a_decrease_without_sense_is_refused(asked: dict[str, int]) -> None:
    scene = Scene()
    placed = scene.place(0, BID, 47, 5)
    assert isinstance(scene.decrease(0, placed, **asked), Refused)
    assert scene.book()[0] == {47: 5}


def test_cancelling_twice_or_what_is_not_ours_finds_nothing() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 47, 5)
    for answer in (scene.cancel(1, placed), scene.cancel(0, placed, ticker="X"), scene.cancel(0, placed, subaccount=2)):
        assert isinstance(answer, Refused) and (answer.status, answer.code) == (404, "not_found")
    answer = scene.cancel(0, placed)
    assert isinstance(answer, Reduced) and answer.reduced_by == 500
    assert isinstance(scene.cancel(0, placed), Refused)


def test_a_batch_answers_item_by_item() -> None:
    scene = Scene()

    def request(name: str, price: int) -> OrderRequest:
        return OrderRequest(ticker=TICKER, client_order_id=name, side=BID, size=100, price=price)

    one, bad, two = scene.exchange.place_batch(
        scene.accounts[0], [request("a", 4_000), request("b", 4_001), request("c", 4_100)], scene.clock
    )
    assert isinstance(one, Placed) and isinstance(two, Placed)
    assert isinstance(bad, Refused) and (bad.status, bad.code) == (0, "invalid_price")
    cancels = [Cancel(order_id=o, ticker=TICKER) for o in (one.order_id, "none", two.order_id)]
    answers = scene.exchange.cancel_batch(scene.accounts[0], cancels, scene.clock)
    assert [isinstance(answer, Reduced) for answer in answers] == [True, False, True]
    assert scene.book() == ({}, {})


@given(count=st.integers(1, 100), taken=st.integers(1, 110), skipped=st.sets(st.integers(0, 99), max_size=5))
def test_a_long_queue_is_met_in_order_of_time(count: int, taken: int, skipped: set[int]) -> None:
    """However many stand there, and with cancels between them."""
    scene = Scene(accounts=2, dollars=10_000)
    placed = [scene.place(0, ASK, 52, 1) for _ in range(count)]
    for at in sorted(skipped & set(range(count))):
        scene.cancel(0, placed[at])
    expected = [one.order_id for at, one in enumerate(placed) if at not in skipped][:taken]
    scene.place(1, BID, 52, taken, time_in_force=IOC)
    assert [fill.order_id for fill in scene.private(0, FillMessage)] == expected


@pytest.mark.parametrize("count", [3, 40, 70])
def test_a_print_that_reaches_only_the_queue_leaves_all_orders(count: int) -> None:
    scene = Scene(dollars=10_000)
    scene.flow({47: 10})
    placed = [scene.place(0, BID, 47, 1) for _ in range(count)]
    scene.print(ASK, 47, 4)
    assert [scene.ahead(0, one) for one in placed] == [6 + at for at in range(count)]
    scene.print(ASK, 47, 8)
    assert scene.fills(0) == [(47, 1, False)] * 2
