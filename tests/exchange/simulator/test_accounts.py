"""Cash, collateral, netting, fees and payouts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import MICROS_PER_DOLLAR, Side
from kalshi_ray.errors import ConfigError, LedgerBroken
from kalshi_ray.exchange.simulator.settings import SimulatorSettings
from kalshi_ray.wire.trading import FillMessage, Refused, TimeInForce
from tests.exchange.simulator.scenes import ASK, BID, TICKER, Scene
from tests.reference.fees import OrderFees

IOC = TimeInForce.IOC
DOLLARS = MICROS_PER_DOLLAR


def free(scene: Scene, who: int) -> int:
    return scene.exchange.balance(scene.accounts[who]).cash


@pytest.mark.parametrize(("side", "cents", "each"), [(BID, 40, 40), (ASK, 40, 60), (BID, 99, 99), (ASK, 1, 99)])
def test_an_order_locks_its_price_and_worst_fee(side: Side, cents: int, each: int) -> None:
    scene = Scene(dollars=1_000)
    placed = scene.place(0, side, cents, 10)
    locked = 1_000 * DOLLARS - free(scene, 0)
    assert 0 <= locked - 10 * each * 10_000 <= 0.08 * 10 * DOLLARS
    scene.cancel(0, placed)
    assert free(scene, 0) == 1_000 * DOLLARS


def test_an_order_that_closes_a_position_locks_nothing() -> None:
    scene = Scene(dollars=10)
    scene.flow({50: 100}, {51: 18})
    scene.place(0, BID, 51, 18, time_in_force=IOC)
    before = free(scene, 0)
    scene.place(0, ASK, 60, 18)
    assert free(scene, 0) == before
    # Selling it brings 18 x 60 cents: enough for the 40 that each further contract locks, but not for thirty of them.
    scene.place(0, ASK, 60, 20)
    assert scene.refusal(0, ASK, 60, 10)[1] == "insufficient_balance"


def test_buying_no_against_yes_closes_it_and_frees_a_dollar() -> None:
    scene = Scene(dollars=10)
    scene.flow({40: 100}, {50: 10})
    scene.place(0, BID, 50, 10, time_in_force=IOC)
    scene.place(0, ASK, 40, 10, time_in_force=IOC)
    holding = scene.accounts[0].subaccount(0).holding(TICKER)
    assert (holding.position, holding.cost, holding.realized) == (0, 0, -1 * DOLLARS)
    assert free(scene, 0) == 9 * DOLLARS - holding.fees


def test_an_order_beyond_the_cash_is_refused() -> None:
    scene = Scene(dollars=10)
    assert scene.refusal(0, BID, 50, 20)[1] == "insufficient_balance"  # the fee is not there
    scene.place(0, BID, 50, 19)
    assert scene.refusal(0, BID, 50, 1)[1] == "insufficient_balance"


@given(
    prices=st.lists(st.integers(1, 99), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 3_000), min_size=6, max_size=6),
    member=st.sampled_from(["direct", "cleared"]),
)
def test_fees_are_those_of_the_schedule_with_one_accumulator_an_order(
    prices: list[int], sizes: list[int], member: str
) -> None:
    """One order that fills in several steps, against the plain model."""
    precision = Fraction(100 if member == "direct" else 10_000, DOLLARS)
    scene = Scene(dollars=100_000, settings=SimulatorSettings(member=member))  # type: ignore[arg-type]
    for price, size in zip(prices, sizes):
        scene.place(1, ASK, price, size / 100)
    steps = sorted(zip(prices, sizes), key=lambda one: one[0])
    scene.place(0, BID, 99, sum(size for _, size in steps) / 100)
    plain, expected = OrderFees(precision), []
    for price, size in steps:
        revenue = Fraction(-price * 100 * size, DOLLARS)
        fee = plain.charge(Fraction(size, 100), Fraction(price, 100), revenue, Fraction(7, 100))
        expected.append(int(fee * DOLLARS))
    assert [fill.fee for fill in scene.private(0, FillMessage)] == expected


def test_a_recorded_fee() -> None:
    """1 at $0.52 as a taker cost a direct member $0.0175, a cleared account 2 cents."""
    for member, fee in (("direct", 17_500), ("cleared", 20_000)):
        scene = Scene(settings=SimulatorSettings(member=member))  # type: ignore[arg-type]
        scene.flow(asks={52: 1})
        answer = scene.place(0, BID, 52, 1, time_in_force=IOC)
        assert answer.average_fee == fee


@pytest.mark.parametrize(("value", "result"), [(10_000, "yes"), (0, "no"), (3_333, "scalar")])
def test_settlement_pays_the_net_position(value: int, result: str) -> None:
    scene = Scene()
    scene.place(0, BID, 40, 3)
    scene.place(1, ASK, 40, 3)
    cash = [free(scene, who) for who in (0, 1)]
    scene.exchange.settle_at(TICKER, value, scene.clock)
    scene.hear()
    yes, no = 300 * value // 10_000 * 10_000, 300 * (10_000 - value) // 10_000 * 10_000  # floored to a cent
    assert [free(scene, who) - before for who, before in zip((0, 1), cash)] == [yes, no]
    (paid,) = scene.exchange.settlements(scene.accounts[0])
    assert (paid.result, paid.yes_size, paid.no_size, paid.yes_cost, paid.revenue) == (result, 300, 0, 1_200_000, yes)
    assert scene.exchange.positions(scene.accounts[0]) == []
    assert scene.exchange.positions(scene.accounts[0], settled=True)[0].position == 0


def test_subaccounts_are_kept_apart() -> None:
    scene = Scene(dollars=100)
    account = scene.accounts[0]
    assert scene.refusal(0, BID, 50, 1, subaccount=5)[1] == "insufficient_balance"
    scene.exchange.transfer(account, 0, 5, 30 * DOLLARS)
    placed = scene.place(0, BID, 50, 10, subaccount=5)
    scene.place(1, ASK, 50, 4)
    assert (scene.position(0), scene.position(0, 5)) == (0, 4)
    assert scene.exchange.balance(account, 0).cash == 70 * DOLLARS
    assert scene.exchange.cancel_all(account, 0, scene.clock) == 0
    assert isinstance(scene.cancel(0, placed), Refused)
    assert scene.exchange.cancel_all(account, 5, scene.clock) == 1
    with pytest.raises(ConfigError):
        scene.exchange.transfer(account, 0, 1, 71 * DOLLARS)


def test_an_audit_finds_a_micro_that_is_missing() -> None:
    scene = Scene()
    scene.accounts[0].subaccount(0).cash += 1
    with pytest.raises(LedgerBroken, match="paid in"):
        scene.exchange.audit()
