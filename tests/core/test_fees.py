"""Fees are those of protocol.md section 7, exact to the micro, and their bound holds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.fees import (
    CLEARED_PRECISION,
    COMBO_MAKER_PPM,
    DIRECT_PRECISION,
    MAKER_PPM,
    TAKER_PPM,
    charge_fee,
    model_fee,
    worst_fee,
)
from kalshi_ray.core.units import CONTRACT, DOLLAR, MICROS_PER_DOLLAR
from kalshi_ray.core.venue import VENUE_ORDER
from tests.core.records import one
from tests.examples import some_of
from tests.reference.fees import OrderFees
from tests.reference.fees import model_fee as exact_fee

RATES = st.sampled_from([0, 8_750, MAKER_PPM, COMBO_MAKER_PPM, TAKER_PPM])
PRICES = st.integers(1, DOLLAR - 1)
CENTS = st.integers(1, 99).map(lambda cents: cents * 100)
LOTS = st.one_of(st.integers(1, 300), st.integers(1, 100).map(lambda n: n * CONTRACT), st.integers(1, 10**9))
PRECISIONS = st.sampled_from([DIRECT_PRECISION, CLEARED_PRECISION])


def dollars(micros: int) -> Fraction:
    return Fraction(int(micros), MICROS_PER_DOLLAR)


def bought(order: Any, lots: int, price: int, rate: int, precision: int) -> int:
    return int(charge_fee(order, lots, price, -lots * price, rate, precision))


@pytest.mark.parametrize(
    ("contracts", "cents", "rate", "precision", "micros"),
    [
        (1, 52, TAKER_PPM, DIRECT_PRECISION, 17_500),
        (1, 52, TAKER_PPM, CLEARED_PRECISION, 20_000),
        (1, 99, TAKER_PPM, DIRECT_PRECISION, 700),
        (100, 25, TAKER_PPM, CLEARED_PRECISION, 1_320_000),
        (100, 50, MAKER_PPM, CLEARED_PRECISION, 440_000),
        (100, 50, TAKER_PPM // 2, CLEARED_PRECISION, 880_000),
        (100, 50, 0, CLEARED_PRECISION, 0),
    ],
)
def test_the_documented_examples(contracts: int, cents: int, rate: int, precision: int, micros: int) -> None:
    assert bought(one(VENUE_ORDER), contracts * CONTRACT, cents * 100, rate, precision) == micros


def test_the_recorded_purchase_moves_the_balance_by_53_75_cents() -> None:
    fee = bought(one(VENUE_ORDER), CONTRACT, 5_200, TAKER_PPM, DIRECT_PRECISION)
    assert -CONTRACT * 5_200 - fee == -537_500


@given(LOTS, PRICES, RATES)
def test_the_fee_before_rounding_is_the_exact_one_rounded_up_to_a_micro(lots: int, price: int, rate: int) -> None:
    """Up to ten million contracts, without overflow."""
    exact = exact_fee(Fraction(lots, CONTRACT), Fraction(price, DOLLAR), Fraction(rate, 1_000_000))
    assert dollars(model_fee(lots, price, rate)) == exact


@given(LOTS, PRICES)
def test_a_maker_never_pays_more_than_a_taker(lots: int, price: int) -> None:
    assert model_fee(lots, price, MAKER_PPM) <= model_fee(lots, price, TAKER_PPM)


@given(LOTS, PRICES, RATES)
def test_yes_and_no_pay_the_same(lots: int, price: int, rate: int) -> None:
    assert model_fee(lots, price, rate) == model_fee(lots, DOLLAR - price, rate)


FILLS = st.lists(st.tuples(LOTS, PRICES, RATES, st.booleans()), min_size=1, max_size=12)


@given(FILLS, PRECISIONS)
def test_each_fill_of_an_order_pays_what_the_fractions_say(
    fills: list[tuple[int, int, int, bool]], precision: int
) -> None:
    order, reference = one(VENUE_ORDER), OrderFees(dollars(precision))
    for lots, price, rate, selling in fills:
        revenue = lots * price if selling else -lots * price
        fee = int(charge_fee(order, lots, price, revenue, rate, precision))
        expected = reference.charge(
            Fraction(lots, CONTRACT), Fraction(price, DOLLAR), dollars(revenue), Fraction(rate, 1_000_000)
        )
        assert dollars(fee) == expected
        assert dollars(order["fee_held"]) == reference.held
        assert fee >= 0
        assert (revenue - fee) % precision == 0, "the balance moves by whole units of the precision"


@given(st.lists(st.tuples(LOTS, CENTS, RATES), min_size=1, max_size=30))
def test_over_all_fills_an_order_pays_the_exact_fees_and_less_than_one_unit_more(
    fills: list[tuple[int, int, int]],
) -> None:
    order, paid, exact = one(VENUE_ORDER), 0, 0
    for lots, price, rate in fills:
        paid += bought(order, lots, price, rate, DIRECT_PRECISION)
        exact += int(model_fee(lots, price, rate))
    assert 0 <= paid - exact < DIRECT_PRECISION
    assert paid - exact == order["fee_held"]


@st.composite
def splits(draw: st.DrawFn, *, whole: bool) -> tuple[int, int, list[tuple[int, int]]]:
    """(lots, limit, fills) of a purchase: any number of fills at the limit or below it."""
    unit = CONTRACT if whole else 1
    sizes = [n * unit for n in draw(st.lists(st.integers(1, 40), min_size=1, max_size=40))]
    limit = draw(PRICES if whole else CENTS)
    prices = [draw(st.one_of(st.just(limit), st.integers(1, limit))) for _ in sizes]
    return sum(sizes), limit, list(zip(sizes, prices))


def check_bound(lots: int, limit: int, fills: list[tuple[int, int]], rate: int, precision: int) -> None:
    order, paid = one(VENUE_ORDER), 0
    for size, price in fills:
        paid += size * price + bought(order, size, price, rate, precision)
    assert paid <= lots * limit + int(worst_fee(lots, limit, rate, precision))


@settings(max_examples=some_of(150))
@given(splits(whole=True), RATES, PRECISIONS)
def test_price_and_worst_fee_bound_what_an_order_costs_however_it_is_filled(
    split: tuple[int, int, list[tuple[int, int]]], rate: int, precision: int
) -> None:
    """Whole contracts at any price, for both kinds of members."""
    check_bound(*split, rate, precision)


@settings(max_examples=some_of(150))
@given(splits(whole=False), RATES)
def test_the_bound_holds_for_parts_of_contracts_with_a_limit_in_cents(
    split: tuple[int, int, list[tuple[int, int]]], rate: int
) -> None:
    check_bound(*split, rate, DIRECT_PRECISION)


@given(splits(whole=True), RATES, PRECISIONS)
def test_a_sale_never_brings_less_than_the_limit_less_the_worst_fee(
    split: tuple[int, int, list[tuple[int, int]]], rate: int, precision: int
) -> None:
    lots, limit, fills = split
    order, brought = one(VENUE_ORDER), 0
    for size, price in fills:
        better = DOLLAR - price  # the mirror image: sold at its limit or above
        brought += size * better - int(charge_fee(order, size, better, size * better, rate, precision))
    assert brought >= lots * (DOLLAR - limit) - int(worst_fee(lots, DOLLAR - limit, rate, precision))


def test_the_bound_counts_a_micro_of_rounding_for_every_lot() -> None:
    """2,000 fills of one lot at 25c: each rounds 131.25 micros up to 132."""
    check_bound(2_000, 2_500, [(1, 2_500)] * 2_000, TAKER_PPM // 4, DIRECT_PRECISION)
    check_bound(2_000, 2_500, [(1, 2_500)] * 2_000, TAKER_PPM, DIRECT_PRECISION)


def test_the_bound_counts_parts_of_a_cent_that_a_cleared_account_cannot_get_back() -> None:
    """40 fills of one contract at half a cent: each pays a whole cent."""
    fills = [(CONTRACT, 50)] * 40
    order = one(VENUE_ORDER)
    paid = sum(size * price + bought(order, size, price, TAKER_PPM, CLEARED_PRECISION) for size, price in fills)
    assert paid == 40 * 10_000
    check_bound(40 * CONTRACT, 50, fills, TAKER_PPM, CLEARED_PRECISION)
