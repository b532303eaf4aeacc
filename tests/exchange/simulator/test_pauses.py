"""A market that is not active: nothing trades in it, whatever the tape says; cancels pass, and orders wait or go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.simulator.settings import SimulatorSettings
from kalshi_ray.wire.messages import BookDelta, MarketChange, Trade
from kalshi_ray.wire.trading import FillMessage, GroupCreated, GroupRequest, OrderMessage, Reduced, Refused, TimeInForce
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene

Stop = Callable[[Scene], None]


def deactivate(scene: Scene) -> None:
    scene.row(Kind.STATUS, Status.INACTIVE)


def pause_trading(scene: Scene) -> None:
    scene.exchange.pause_trading(scene.clock)
    scene.hear()


def pause_exchange(scene: Scene) -> None:
    scene.exchange.pause_exchange(scene.clock)
    scene.hear()


def resume(scene: Scene) -> None:
    scene.exchange.resume_trading(scene.clock)
    scene.hear()


def activate(scene: Scene) -> None:
    scene.row(Kind.STATUS, Status.ACTIVE)


STOPS = [deactivate, pause_trading, pause_exchange]


@pytest.mark.parametrize("stop", STOPS)
def test_the_flow_of_a_pause_fills_nothing_and_prints_nothing(stop: Stop) -> None:
    """Prints through an order, levels of the other side that reach it, and whole books that do."""
    scene = Scene()
    scene.flow({39: 5}, {45: 5})
    scene.place(0, BID, 40, 2)
    stop(scene)
    scene.print(ASK, 30, 9)
    scene.print(ASK, 40, 9, block=True)
    scene.change(ASK, 38, 3)
    scene.flow({39: 5}, {38: 7})
    assert scene.fills(0) == [] and scene.public(Trade) == []
    assert scene.position(0) == 0
    assert scene.book() == ({40: 2, 39: 5}, {}), "flow that would have met an order is not shown beside it"


@pytest.mark.parametrize("stop", STOPS)
def test_a_pause_takes_no_order_and_no_change_of_one(stop: Stop) -> None:
    scene = Scene()
    scene.flow({39: 5}, {45: 5})
    placed = scene.place(0, BID, 40, 2)
    stop(scene)
    for more in ({}, {"time_in_force": TimeInForce.IOC}, {"post_only": True}):
        assert scene.refusal(1, ASK, 40, 1, **more)[:2] == (409, "trading_is_paused")
    for answer in (
        scene.amend(0, placed, BID, 41, 2),
        scene.amend(0, placed, BID, 40, 1),
        scene.amend(0, placed, BID, 40, 2, expires_ns=T0 + SECOND),
        scene.decrease(0, placed, by=100),
    ):
        assert isinstance(answer, Refused) and answer.code == "trading_is_paused"
    assert scene.book() == ({40: 2, 39: 5}, {45: 5})


def test_cancels_pass_in_a_pause_one_by_one_and_all_at_once() -> None:
    for stop in (deactivate, pause_trading):
        scene = Scene()
        placed = [scene.place(0, BID, cents, 2) for cents in (40, 41, 42)]
        stop(scene)
        assert isinstance(scene.cancel(0, placed[0]), Reduced)
        assert scene.exchange.cancel_all(scene.accounts[0], None, scene.clock) == 2
        scene.hear()
        assert scene.accounts[0].subaccount(0).locked == 0


@pytest.mark.parametrize("stop", STOPS)
def test_an_order_expires_in_a_pause_at_its_second(stop: Stop) -> None:
    scene = Scene()
    scene.place(0, BID, 40, 2, expires_ns=T0 + 2 * SECOND)
    stop(scene)
    scene.wait(3)
    (_, expired) = scene.private(0, OrderMessage)
    assert (expired.reason, expired.order.updated_ns) == ("ExpiryCancel", T0 + 2 * SECOND)
    assert scene.book() == ({}, {}) and scene.accounts[0].subaccount(0).locked == 0


def test_the_stream_says_pause_and_reactivation_and_then_what_they_did() -> None:
    """Deactivated, the orders that asked for it; activated, all others; each with its change of the book."""
    scene = Scene()
    scene.place(0, BID, 40, 2)
    scene.place(0, BID, 41, 2, cancel_on_pause=True)
    scene.said.clear()
    deactivate(scene)
    activate(scene)
    told = []
    for happening in scene.said:
        value = happening.value
        if isinstance(value, MarketChange):
            told.append((value.change, value.status))
        elif isinstance(value, OrderMessage):
            told.append((value.reason, value.order.price))
        elif isinstance(value, BookDelta):
            told.append(("book", value.price))
    assert told == [
        ("deactivated", Status.INACTIVE), ("HaltCancel", 4_100), ("book", 4_100),
        ("activated", Status.ACTIVE), ("HaltCancel", 4_000), ("book", 4_000),
    ]  # fmt: skip


def test_trading_that_goes_on_elsewhere_does_not_wake_a_market_that_is_paused_itself() -> None:
    scene = Scene()
    scene.place(0, BID, 40, 2)
    deactivate(scene)
    pause_trading(scene)
    scene.change(ASK, 38, 3)
    resume(scene)
    assert scene.fills(0) == [] and scene.book() == ({40: 2}, {})
    activate(scene)
    assert scene.book() == ({}, {38: 3}), "reactivation cancels what rested; what the flow had placed appears"
    scene.place(0, BID, 38, 1)
    assert scene.fills(0) == [(38, 1, True)]


@pytest.mark.parametrize("model", ["pessimistic", "fitted", "optimistic"])
def test_what_was_printed_in_a_pause_stands_in_front_of_nobody_afterwards(model: str) -> None:
    """Ten contracts stand in front; the tape trades them away while nothing trades: they have left, that is all."""
    scene = Scene(settings=SimulatorSettings(fill_model=model))  # type: ignore[arg-type]
    scene.flow({40: 10})
    placed = scene.place(0, BID, 40, 2)
    pause_trading(scene)
    scene.print(ASK, 40, 10)
    scene.change(BID, 40, -10, by_trade=True)
    resume(scene)
    assert scene.ahead(0, placed) == 0
    scene.change(BID, 40, 10)
    assert scene.ahead(0, placed) == 0
    scene.print(ASK, 40, 2)
    assert scene.fills(0) == [(40, 2, False)]


@given(
    steps=st.lists(st.tuples(st.sampled_from(["bid", "ask", "print", "book"]), st.integers(1, 98), st.integers(1, 20))),
    model=st.sampled_from(list(FillModel)),
)  # fmt: skip
def test_no_flow_whatever_touches_the_money_of_a_paused_market(
    steps: list[tuple[str, int, int]], model: FillModel
) -> None:
    scene = Scene(settings=SimulatorSettings(fill_model=model.name.lower()))  # type: ignore[arg-type]
    scene.place(0, BID, 40, 5)
    scene.place(1, ASK, 60, 5)
    deactivate(scene)
    held = [(account.subaccount(0).cash, account.subaccount(0).locked) for account in scene.accounts]
    for what, cents, contracts in steps:
        if what == "print":
            scene.print(ASK if cents < 50 else BID, cents, contracts)
        elif what == "book":
            scene.flow({cents: contracts}, {cents + 1: contracts})
        else:
            scene.change(BID if what == "bid" else ASK, cents, contracts)
    assert [(account.subaccount(0).cash, account.subaccount(0).locked) for account in scene.accounts] == held
    assert not scene.private(0, FillMessage) and not scene.public(Trade)


@pytest.mark.parametrize("value", [0, 3_333, 10_000])
def test_a_paused_market_that_settles_gives_back_what_rested_and_pays_what_is_held(value: int) -> None:
    scene = Scene(dollars=100)
    scene.place(0, BID, 40, 10)
    scene.place(1, ASK, 40, 10)
    scene.place(0, BID, 39, 20)
    scene.place(1, ASK, 70, 20)
    deactivate(scene)
    scene.row(Kind.SETTLEMENT, price=value)
    assert scene.reasons(0)[-1] == scene.reasons(1)[-1] == "CloseCancel"
    assert [account.subaccount(0).locked for account in scene.accounts] == [0, 0]
    cash = sum(account.subaccount(0).cash for account in scene.accounts)
    assert cash + scene.market.fees == scene.exchange.deposits
    assert scene.market.open_interest == 0


def test_when_the_exchange_stands_still_groups_do_too() -> None:
    """It takes no change of state at all; orders of a group could else be cancelled through it."""
    scene = Scene()
    exchange, account = scene.exchange, scene.accounts[0]
    made = exchange.create_group(account, GroupRequest(limit=500), scene.clock)
    assert isinstance(made, GroupCreated)
    scene.place(0, BID, 40, 1, group=made.group)
    pause_exchange(scene)
    for answer in (
        exchange.create_group(account, GroupRequest(limit=500), scene.clock),
        exchange.limit_group(account, made.group, 100, scene.clock),
        exchange.reset_group(account, made.group, scene.clock),
        exchange.trigger_group(account, made.group, scene.clock),
        exchange.delete_group(account, made.group, scene.clock),
    ):
        assert isinstance(answer, Refused) and answer.code == "trading_is_paused"
    assert scene.book() == ({40: 1}, {})
    resume(scene)
    assert exchange.trigger_group(account, made.group, scene.clock) is None
    scene.hear()
    assert scene.book() == ({}, {})


@pytest.mark.parametrize("status", [Status.DETERMINED, Status.AMENDED, Status.FINALIZED])
def test_a_result_cannot_be_stepped_into_without_its_value(status: Status) -> None:
    """Else positions would never be paid."""
    scene = Scene(settlement_timer_s=60)
    scene.exchange.settle_at(TICKER, 10_000, scene.clock)
    scene.exchange.set_status(TICKER, Status.DISPUTED, scene.clock)
    with pytest.raises(DataError, match="by its result alone"):
        scene.exchange.set_status(TICKER, status, scene.clock)
