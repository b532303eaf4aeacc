"""One ledger: it equals a ledger of plain integers, and money moves by price and fee alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.portfolio import (
    ACCOUNT,
    apply_fill,
    apply_refund,
    closing_part,
    equity,
    position_value,
    settle,
)
from kalshi_ray.core.units import CONTRACT, DOLLAR
from tests.core.records import ASK, BID, one
from tests.examples import some_of
from tests.reference.portfolio import Ledger

START = 100_000_000
FILLS = st.lists(
    st.tuples(st.sampled_from([BID, ASK]), st.integers(1, DOLLAR - 1), st.integers(1, 5_000), st.integers(0, 90_000)),
    max_size=25,
)


def account_of(cash: int = START) -> Any:
    account = one(ACCOUNT)
    account["cash"] = cash
    return account


def bought(contracts: int, cents: float, side: int = BID) -> Any:
    """An account that bought YES (or, on ASK, sold YES) at a YES price in cents, without fee."""
    account = account_of()
    apply_fill(account, side, round(cents * 100), contracts * CONTRACT, 0)
    return account


def check_same(account: Any, ledger: Ledger) -> None:
    assert account["cash"] == ledger.cash
    assert account["position"] == ledger.position
    assert account["cost"] == ledger.cost
    assert account["realized"] == ledger.realized
    assert account["fees"] == ledger.fees
    assert account["refund"] == ledger.refund
    assert account["cash"] == START - account["cost"] + account["realized"] - account["fees"] + account["refund"]


@settings(max_examples=some_of(150))
@given(FILLS, st.integers(0, DOLLAR), st.integers(0, DOLLAR), st.one_of(st.none(), st.integers(0, DOLLAR)))
def test_the_ledger_equals_one_of_plain_integers_after_every_fill(
    fills: list[tuple[int, int, int, int]], bid: int, ask: int, result: int | None
) -> None:
    """The identity cash = start - cost + realized - fees + refund holds throughout."""
    account, ledger = account_of(), Ledger(START)
    for side, price, lots, fee in fills:
        held = -ledger.position if side == BID else ledger.position
        assert closing_part(account, side, lots) == min(lots, max(0, held))
        apply_fill(account, side, price, lots, fee)
        if side == BID:
            ledger.buy_yes(price, lots, fee)
        else:
            ledger.sell_yes(price, lots, fee)
        if fee % 3 == 0:
            apply_refund(account, fee // 3)
            ledger.refund_cost(fee // 3)
        check_same(account, ledger)
        assert position_value(account["position"], bid, ask) == ledger.value(bid, ask)
        assert equity(account, bid, ask) == ledger.cash + ledger.value(bid, ask)
    assert ledger.is_balanced()
    if result is not None:
        settle(account, result)
        ledger.settle(result)
        check_same(account, ledger)
        assert account["position"] == account["cost"] == 0


@settings(max_examples=some_of(60))
@given(FILLS, st.integers(0, DOLLAR))
def test_yes_and_no_swapped_give_the_same_cash(fills: list[tuple[int, int, int, int]], result: int) -> None:
    """Sides swapped, each price taken from a dollar, the other result: the mirror market."""
    account, mirror = account_of(), account_of()
    for side, price, lots, fee in fills:
        apply_fill(account, side, price, lots, fee)
        apply_fill(mirror, 1 - side, DOLLAR - price, lots, fee)
        for name in ("cash", "cost", "realized", "fees"):
            assert account[name] == mirror[name]
        assert account["position"] == -mirror["position"]
        assert equity(account, 4_000, 5_500) == equity(mirror, DOLLAR - 5_500, DOLLAR - 4_000)
    settle(account, result)
    settle(mirror, DOLLAR - result)
    assert account["cash"] == mirror["cash"]


@given(FILLS, st.integers(1, DOLLAR - 1))
def test_money_moves_only_by_price_and_fee(fills: list[tuple[int, int, int, int]], price: int) -> None:
    """Fills at the mark change equity by their fee and nothing else."""
    account = account_of()
    for side, _, lots, fee in fills:
        before = equity(account, price, price)
        apply_fill(account, side, price, lots, fee)
        assert equity(account, price, price) == before - fee


@pytest.mark.parametrize(
    ("trade", "bid", "ask", "value", "gain"),
    [
        pytest.param((10, 50, BID), 6_250, 9_999, 6_250_000, 1_250_000, id="I-10 long 10 YES, cost 50c, price 62.5c"),
        pytest.param((5, 50, ASK), 1, 4_250, 2_875_000, 375_000, id="I-11 5 NO, cost 50c, price 42.5c"),
        pytest.param((100, 50, BID), 5_500, 6_500, 55_000_000, 5_000_000, id="I-12 long, bid 55c, cost 50c"),
        pytest.param((100, 65, ASK), 6_000, 6_500, 35_000_000, 0, id="I-13 short, NO bid 35c, cost 35c"),
    ],
)
def test_the_check_values_of_the_documents(
    trade: tuple[int, int, int], bid: int, ask: int, value: int, gain: int
) -> None:
    account = bought(*trade)
    assert position_value(account["position"], bid, ask) == value
    assert value - account["cost"] == gain
    assert equity(account, bid, ask) - START == gain


def test_marking_at_the_mid_would_have_said_ten_dollars() -> None:
    """I-14: 100 contracts at 50c under a bid of 55c and an ask of 65c. We mark at the bid."""
    account = bought(100, 50)
    mid = (5_500 + 6_500) // 2
    assert position_value(account["position"], mid, mid) - account["cost"] == 10_000_000
    assert position_value(account["position"], 5_500, 6_500) - account["cost"] == 5_000_000


def test_opening_by_selling_costs_the_spread_and_creates_no_money() -> None:
    """10 contracts at 40/50: selling YES that is not held buys NO at 60c, and is marked at 50c."""
    account = bought(10, 40, ASK)
    assert account["cash"] == START - 6_000_000
    assert equity(account, 4_000, 5_000) - START == -1_000_000


def test_closing_by_buying_the_other_side_redeems_a_dollar_for_the_pair() -> None:
    """10 contracts at 40/50: long at 50c, closed by NO at 60c: the spread is lost, not a dollar."""
    account = bought(10, 50)
    apply_fill(account, ASK, 4_000, 10 * CONTRACT, 0)
    assert account["cash"] - START == -1_000_000
    assert (account["position"], account["cost"], account["realized"]) == (0, 0, -1_000_000)


@given(st.integers(1, DOLLAR - 1), st.integers(1, 5_000), st.integers(1, 5_000))
def test_buying_no_equals_selling_yes(price: int, held: int, lots: int) -> None:
    ours, theirs = Ledger(START), Ledger(START)
    ours.buy_yes(5_000, held)
    theirs.buy_yes(5_000, held)
    ours.sell_yes(price, lots)
    theirs.buy_no(DOLLAR - price, lots)
    assert vars(ours) == vars(theirs)
    account = account_of()
    apply_fill(account, BID, 5_000, held, 0)
    apply_fill(account, ASK, price, lots, 0)
    check_same(account, ours)


@pytest.mark.parametrize(
    ("side", "lots", "result", "payout", "remainder"),
    [
        (BID, 1_000, DOLLAR, 10_000_000, 0),
        (BID, 1_000, 0, 0, 0),
        (ASK, 1_000, DOLLAR, 0, 0),
        (ASK, 1_000, 0, 10_000_000, 0),
        (BID, 1_000, 3_333, 3_330_000, 3_000),
        (ASK, 1_000, 3_333, 6_660_000, 7_000),
        (BID, 1, 9_999, 0, 9_999),
    ],
)
def test_settlement_pays_exactly_and_a_part_of_a_cent_is_a_fee(
    side: int, lots: int, result: int, payout: int, remainder: int
) -> None:
    account = account_of()
    apply_fill(account, side, 5_000, lots, 0)
    cash = int(account["cash"])
    settle(account, result)
    assert account["cash"] - cash == payout
    assert account["fees"] == remainder
    assert account["realized"] == payout + remainder - lots * 5_000


def test_part_closes_keep_the_average_cost_and_rounding_stays_open() -> None:
    account = account_of()
    apply_fill(account, BID, 3_333, 1, 0)
    apply_fill(account, BID, 3_334, 2, 0)
    apply_fill(account, ASK, 5_000, 1, 0)
    assert account["cost"] == 10_001 - 3_333
    apply_fill(account, ASK, 5_000, 2, 0)
    assert (account["cost"], account["realized"]) == (0, 3 * 5_000 - 10_001)
