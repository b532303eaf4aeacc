"""The life of a market, pauses, gaps, groups and expiries."""

from __future__ import annotations

import pytest

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError, DataError, UnknownName
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings
from kalshi_ray.wire.messages import BookDelta, MarketChange, Trade
from kalshi_ray.wire.trading import GroupCreated, GroupMessage, GroupRequest, OrderMessage, Placed, Reduced, Refused
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene


def changes(scene: Scene) -> list[str]:
    return [change.change for change in scene.public(MarketChange)]


def test_a_market_opens_and_closes_by_its_times() -> None:
    scene = Scene(open_ns=T0 + SECOND, close_ns=T0 + 3 * SECOND)
    assert scene.refusal(0, BID, 40, 1)[:2] == (409, "market_inactive")
    scene.wait(1)
    placed = scene.place(0, BID, 40, 1)
    scene.flow({39: 4})
    scene.wait(2)
    assert scene.refusal(0, BID, 40, 1)[:2] == (409, "market_closed")
    answer = scene.cancel(0, placed)
    assert isinstance(answer, Refused) and answer.code == "market_closed"
    assert scene.reasons(0) == ["", "CloseCancel"]
    assert scene.book() == ({}, {})


def test_the_close_can_move_either_way() -> None:
    scene = Scene(close_ns=T0 + 3 * SECOND)
    scene.row(Kind.SCHEDULE, T0 + 5 * SECOND)
    scene.wait(4)
    assert scene.market.status is Status.ACTIVE
    scene.row(Kind.SCHEDULE, T0 + 4 * SECOND)
    assert scene.market.status is Status.CLOSED
    assert changes(scene) == ["created", "close_date_updated", "close_date_updated"]


def test_a_pause_keeps_orders_and_its_end_cancels_them() -> None:
    scene = Scene()
    kept = scene.place(0, BID, 40, 1)
    scene.place(0, BID, 41, 1, cancel_on_pause=True)
    scene.exchange.set_status(TICKER, Status.INACTIVE, scene.clock)
    scene.hear()
    assert scene.book() == ({40: 1}, {})
    assert scene.refusal(0, BID, 40, 1)[:2] == (409, "trading_is_paused")
    assert scene.amend(0, kept, BID, 40, 2).code == "trading_is_paused"
    other = scene.exchange.orders(scene.accounts[0])[0]
    assert (other.price, other.remaining) == (4_100, 0)
    scene.exchange.set_status(TICKER, Status.ACTIVE, scene.clock)
    scene.hear()
    assert scene.book() == ({}, {})
    assert scene.reasons(0) == ["", "", "HaltCancel", "HaltCancel"]
    assert changes(scene) == ["created", "deactivated", "activated"]


def test_a_cancel_passes_in_a_pause() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 40, 1)
    scene.row(Kind.STATUS, Status.INACTIVE)
    assert isinstance(scene.cancel(0, placed), Reduced)


def test_when_trading_is_paused_orders_wait_and_then_meet_the_flow() -> None:
    scene = Scene()
    kept = scene.place(0, BID, 40, 1)
    scene.place(0, BID, 39, 1, cancel_on_pause=True)
    scene.exchange.pause_trading(scene.clock)
    scene.print(ASK, 30, 5)
    scene.change(ASK, 38, 3)
    assert scene.fills(0) == []
    assert scene.book() == ({40: 1}, {})
    assert scene.refusal(0, BID, 40, 1)[:2] == (409, "trading_is_paused")
    scene.exchange.resume_trading(scene.clock)
    scene.hear()
    assert scene.fills(0) == [(40, 1, False)]
    assert scene.book() == ({}, {38: 2})
    assert isinstance(scene.cancel(0, kept), Refused)


def test_when_the_exchange_is_paused_nothing_is_taken() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 40, 1)
    scene.exchange.pause_exchange(scene.clock)
    assert isinstance(scene.cancel(0, placed), Refused)
    assert isinstance(scene.exchange.cancel_all(scene.accounts[0], None, scene.clock), Refused)
    assert not scene.exchange.status().exchange_active


def test_a_gap_of_the_tape_is_a_pause_that_no_order_survives() -> None:
    scene = Scene()
    scene.flow({47: 5}, {52: 5})
    scene.place(0, BID, 40, 1)
    scene.gap()
    assert scene.exchange.market(TICKER).status == "inactive"  # type: ignore[union-attr]
    assert scene.book() == ({47: 5}, {52: 5})  # as it was last known
    assert scene.refusal(0, BID, 40, 1)[1] == "trading_is_paused"
    scene.change(BID, 47, 5)
    scene.flow({46: 2}, {52: 5})
    assert scene.book() == ({46: 2}, {52: 5})
    scene.place(0, BID, 40, 1)
    assert changes(scene) == ["created", "deactivated", "activated"]


def test_a_level_below_zero_is_a_gap() -> None:
    scene = Scene()
    scene.flow({47: 5})
    scene.change(BID, 47, -6)
    assert scene.refusal(0, BID, 40, 1)[1] == "trading_is_paused"


def test_payout_follows_determination_after_the_timer() -> None:
    scene = Scene(settlement_timer_s=60)
    scene.place(0, BID, 40, 1)
    scene.place(1, ASK, 40, 1)
    scene.row(Kind.SETTLEMENT, price=10_000)
    assert scene.market.status is Status.DETERMINED
    scene.wait(59)
    assert scene.exchange.settlements(scene.accounts[0]) == []
    scene.wait(1)
    assert scene.market.status is Status.FINALIZED
    assert len(scene.exchange.settlements(scene.accounts[0])) == 1
    assert changes(scene) == ["created", "determined", "settled"]


def test_a_disputed_result_waits_for_another() -> None:
    scene = Scene(settlement_timer_s=60)
    scene.place(0, BID, 40, 1)
    scene.place(1, ASK, 40, 1)
    scene.exchange.settle_at(TICKER, 10_000, scene.clock)
    scene.exchange.set_status(TICKER, Status.DISPUTED, scene.clock)
    scene.wait(61)
    assert not scene.market.is_settled
    scene.exchange.settle_at(TICKER, 0, scene.clock)
    scene.wait(60)
    assert scene.market.is_settled
    assert scene.exchange.settlements(scene.accounts[0])[0].revenue == 0


def test_a_grid_change_keeps_resting_orders() -> None:
    scene = Scene()
    placed = scene.place(0, BID, 47, 5)
    scene.exchange.apply_flow(MarketChange(ticker=TICKER, change="price_level_structure_updated",
                                           ranges=((0, 10_000, 500),)), scene.clock)  # fmt: skip
    scene.hear()
    assert scene.book() == ({47: 5}, {})
    assert scene.refusal(0, BID, 47, 5)[1] == "invalid_price"
    assert scene.amend(0, placed, BID, 47, 4).remaining == 400
    scene.place(0, BID, 45, 5)


def test_a_step_that_cannot_be_is_an_error_that_names_both_states() -> None:
    scene = Scene()
    scene.row(Kind.STATUS, Status.CLOSED)
    with pytest.raises(DataError, match="closed cannot become active"):
        scene.row(Kind.STATUS, Status.ACTIVE)


def test_flow_after_the_close_changes_nothing() -> None:
    scene = Scene()
    scene.row(Kind.STATUS, Status.CLOSED)
    told = len(scene.public(Trade)) + len(scene.public(BookDelta))
    scene.flow({47: 5})
    scene.change(BID, 47, 5)
    scene.print(ASK, 47, 5)
    assert len(scene.public(Trade)) + len(scene.public(BookDelta)) == told


def test_an_order_expires_at_its_second() -> None:
    scene = Scene()
    scene.place(0, BID, 40, 1, expires_ns=T0 + 2 * SECOND)
    moved = scene.place(0, BID, 41, 1, expires_ns=T0 + 2 * SECOND)
    scene.amend(0, moved, BID, 41, 1, expires_ns=T0 + 4 * SECOND)
    scene.clock = T0 + 2 * SECOND
    scene.print(ASK, 30, 9)  # at the same moment the expiry goes first
    assert scene.fills(0) == [(41, 1, False)]
    (expired,) = [m for m in scene.private(0, OrderMessage) if m.reason == "ExpiryCancel"]
    assert (expired.order.price, expired.order.updated_ns) == (4_000, T0 + 2 * SECOND)


# -- order groups


def group_of(scene: Scene, contracts: int) -> str:
    made = scene.exchange.create_group(scene.accounts[0], GroupRequest(limit=100 * contracts), scene.clock)
    assert isinstance(made, GroupCreated)
    return made.group


def test_a_group_that_fills_too_much_is_cancelled_and_blocked_until_reset() -> None:
    scene = Scene()
    group = group_of(scene, 5)
    for cents in (45, 44, 43):
        scene.place(0, BID, cents, 3, group=group)
    scene.place(0, BID, 42, 3)
    scene.print(ASK, 45, 3)
    scene.print(ASK, 44, 2)
    assert len(scene.book()[0]) == 3
    scene.print(ASK, 44, 1)
    assert scene.book() == ({42: 3}, {})
    assert scene.refusal(0, BID, 45, 1, group=group)[:2] == (400, "invalid_order")
    assert scene.exchange.reset_group(scene.accounts[0], group, scene.clock) is None
    assert isinstance(scene.ask_for(0, BID, 45, 1, group=group), Placed)
    assert [m.change for m in scene.private(0, GroupMessage)] == ["created", "triggered", "reset"]


def test_the_window_of_a_group_rolls() -> None:
    scene = Scene()
    group = group_of(scene, 5)
    scene.place(0, BID, 45, 20, group=group)
    for _ in range(3):
        scene.print(ASK, 45, 5)
        scene.wait(15)
    assert scene.book() == ({45: 5}, {})
    scene.print(ASK, 45, 3)
    scene.wait(14)
    scene.print(ASK, 45, 2)
    assert scene.book() == ({}, {})


def test_a_lower_limit_triggers_a_group_at_once_and_deleting_one_cancels_its_orders() -> None:
    scene = Scene()
    account, first, second = scene.accounts[0], group_of(scene, 5), group_of(scene, 5)
    scene.place(0, BID, 45, 9, group=first)
    scene.place(0, BID, 44, 9, group=second)
    scene.print(ASK, 45, 4)
    scene.exchange.limit_group(account, first, 300, scene.clock)
    scene.hear()
    assert scene.book() == ({44: 9}, {})
    scene.exchange.delete_group(account, second, scene.clock)
    scene.hear()
    assert scene.book() == ({}, {})
    assert [group.group for group in scene.exchange.groups(account)] == [first]
    for answer in (
        scene.exchange.delete_group(account, second, scene.clock),
        scene.exchange.trigger_group(scene.accounts[1], first, scene.clock),
        scene.exchange.limit_group(account, "none", 100, scene.clock),
    ):
        assert isinstance(answer, Refused) and answer.status == 404


# -- what cannot be listed


@pytest.mark.parametrize(
    "terms",
    [
        {"ticker": ""},
        {"ticker": "M", "fee_type": "flat"},
        {"ticker": "M", "close_ns": 5, "open_ns": 6},
        {"ticker": "M", "settlement_timer_s": -1},
        {"ticker": "M", "multiplier_ppm": -1},
    ],
)
def test_terms_that_cannot_be_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        MarketTerms(**terms)  # type: ignore[arg-type]


def test_a_market_is_listed_once_and_flow_goes_to_markets_that_exist() -> None:
    scene = Scene()
    with pytest.raises(ConfigError):
        scene.exchange.open_market(MarketTerms(ticker=TICKER))
    with pytest.raises(UnknownName):
        scene.exchange.apply_flow(BookDelta(ticker="NONE", side=BID, price=100, change=1), T0)


def test_orders_that_are_over_are_forgotten_when_there_are_too_many() -> None:
    scene = Scene(settings=SimulatorSettings(kept=2))
    placed = [scene.place(0, BID, 40, 1) for _ in range(4)]
    for one in placed[:3]:
        scene.cancel(0, one)
    assert {o.order_id for o in scene.exchange.orders(scene.accounts[0])} == {o.order_id for o in placed[1:]}
