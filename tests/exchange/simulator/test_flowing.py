"""What a tape, the exchange's own stream and an operator may say, beside books and prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.errors import ConfigError, DataError, LedgerBroken
from kalshi_ray.exchange.simulator.settings import MarketTerms, SimulatorSettings, rates_of
from kalshi_ray.wire.messages import MarketChange, RecorderRow, Trade
from kalshi_ray.wire.trading import GroupCreated, GroupRequest, Refused
from tests.exchange.simulator.scenes import ASK, BID, T0, TICKER, Scene


def tell(scene: Scene, change: str, **facts: object) -> None:
    scene.exchange.apply_flow(MarketChange(ticker=TICKER, change=change, **facts), scene.clock)  # type: ignore[arg-type]
    scene.hear()


def test_the_life_of_a_market_can_come_as_the_exchange_says_it() -> None:
    scene = Scene()
    tell(scene, "deactivated", status=Status.INACTIVE)
    assert scene.market.status is Status.INACTIVE
    tell(scene, "activated", status=Status.ACTIVE)
    tell(scene, "close_date_updated", close_ns=T0 + 9 * SECOND)
    assert scene.exchange.next_due_ns == T0 + 9 * SECOND
    tell(scene, "determined", status=Status.DETERMINED, result="yes", value=10_000)
    assert (scene.market.status, scene.market.result) == (Status.FINALIZED, "yes")
    tell(scene, "settled", status=Status.FINALIZED, value=10_000)
    tell(scene, "close_date_updated", close_ns=T0 + 10 * SECOND)  # too late to matter
    words = [change.change for change in scene.public(MarketChange)]
    assert words == ["created", "deactivated", "activated", "close_date_updated", "determined", "settled"]


def test_a_close_taken_back_leaves_nothing_due() -> None:
    scene = Scene(close_ns=T0 + 3 * SECOND)
    scene.row(Kind.SCHEDULE, 0)
    scene.wait(4)
    assert scene.market.status is Status.ACTIVE
    assert scene.exchange.next_due_ns is None


@pytest.mark.parametrize("status", [Status.DETERMINED, Status.FINALIZED])
def test_a_state_behind_the_close_only_closes_as_long_as_no_result_is_named(status: Status) -> None:
    scene = Scene()
    scene.row(Kind.STATUS, status)
    assert (scene.market.status, scene.market.is_settled) == (Status.CLOSED, False)
    scene.row(Kind.SETTLEMENT, price=0)
    assert scene.market.is_settled


def test_a_gap_without_a_ticker_is_one_of_every_market() -> None:
    scene = Scene()
    other = scene.exchange.open_market(MarketTerms(ticker="OTHER"))
    scene.exchange.apply_flow(RecorderRow(ticker="", kind=Kind.GAP, size=1), scene.clock)
    assert not scene.market.trades_now and not other.trades_now


def test_signals_say_nothing_to_an_exchange_and_grids_come_as_messages() -> None:
    scene = Scene()
    scene.row(Kind.SIGNAL, 5)
    with pytest.raises(DataError, match="ranges"):
        scene.row(Kind.GRID, 0)
    with pytest.raises(DataError, match="between 0 and 10000"):
        scene.row(Kind.SETTLEMENT, price=10_001)


@pytest.mark.parametrize(("cents", "taker"), [(52, BID), (53, BID), (47, ASK), (48, ASK), (51, BID)])
def test_an_unsigned_print_is_told_with_the_side_it_stands_on(cents: int, taker: Side) -> None:
    scene = Scene()
    scene.flow({47: 5}, {52: 5})
    scene.print(Side.NONE, cents, 1)
    assert scene.public(Trade)[-1].taker is taker


def test_a_resumption_waits_for_a_book_that_is_known() -> None:
    scene = Scene()
    scene.exchange.pause_trading(scene.clock)
    scene.gap()
    scene.exchange.resume_trading(scene.clock)
    assert scene.refusal(0, BID, 40, 1)[1] == "trading_is_paused"


def test_groups_that_cannot_be_are_refused() -> None:
    scene = Scene(settings=SimulatorSettings(max_groups=1))
    exchange, account, other = scene.exchange, scene.accounts[0], scene.accounts[1]
    for request in (GroupRequest(limit=0), GroupRequest(limit=100, subaccount=64)):
        assert isinstance(exchange.create_group(account, request, T0), Refused)
    made = exchange.create_group(account, GroupRequest(limit=100, exchange_index=2), T0)
    assert isinstance(made, GroupCreated)
    assert isinstance(exchange.create_group(account, GroupRequest(limit=100), T0), Refused)
    assert isinstance(exchange.limit_group(account, made.group, 0, T0), Refused)
    assert isinstance(exchange.reset_group(other, made.group, T0), Refused)
    assert scene.refusal(0, BID, 40, 1, group=made.group)[:2] == (404, "not_found")  # of another shard
    assert exchange.trigger_group(account, made.group, T0) is None
    found = exchange.group(account, made.group)
    assert not isinstance(found, Refused) and not found.is_auto_cancel_enabled
    assert isinstance(exchange.group(other, made.group), Refused)


def _lose_a_lot(scene: Scene) -> None:
    scene.market.book.ladders[0].levels[4_000].lots -= 1


def _show_nothing(scene: Scene) -> None:
    scene.market.book.display.shown[0][4_000] = 0


def _cross(scene: Scene) -> None:
    scene.market.book.display.best[1] = 3_000


def _free_collateral(scene: Scene) -> None:
    scene.accounts[0].subaccount(0).locked -= 1


def _weigh_twice(scene: Scene) -> None:
    scene.exchange.clearing.engage(next(iter(scene.accounts[0].orders.working.values())))


def _overfill(scene: Scene) -> None:
    next(iter(scene.accounts[1].orders.by_id.values())).filled += 1


def _lose_a_fee(scene: Scene) -> None:
    scene.market.fees -= 1


def _lose_a_contract(scene: Scene) -> None:
    scene.accounts[0].subaccount(0).holding(TICKER).position += 1


@pytest.mark.parametrize(
    "damage",
    [_lose_a_lot, _show_nothing, _cross, _free_collateral, _weigh_twice, _overfill, _lose_a_fee, _lose_a_contract],
)
def test_an_audit_finds_every_kind_of_damage(damage: Callable[[Scene], None]) -> None:
    scene = Scene()
    scene.place(0, BID, 40, 5)
    scene.place(1, ASK, 40, 2)
    scene.exchange.audit()
    damage(scene)
    with pytest.raises(LedgerBroken):
        scene.exchange.audit()


def test_settings_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: SimulatorSettings(max_orders=0),
        lambda: rates_of("flat", 1_000_000),
        lambda: Scene(dollars=-1),
        lambda: Scene().exchange.transfer(Scene().accounts[0], 0, 64, 1),
    ):
        with pytest.raises(ConfigError):
            make()
