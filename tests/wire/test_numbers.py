"""Text to integers, exactly or not at all."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import DOLLAR, SECOND
from kalshi_ray.errors import WireError
from kalshi_ray.wire.numbers import (
    cents_of,
    count_text,
    dollars_text,
    lots_of,
    pips_of_cents,
    pips_of_dollars,
    ppm_of,
    scaled,
    time_of,
    time_text,
)
from tests.examples import some_of


@settings(derandomize=True, max_examples=some_of(300))
@given(st.integers(0, DOLLAR))
def test_every_price_survives_its_text(price: int) -> None:
    assert pips_of_dollars(Decimal(dollars_text(price))) == price


@settings(derandomize=True, max_examples=some_of(300))
@given(st.integers(-(2**60), 2**60))
def test_every_size_survives_its_text(size: int) -> None:
    assert lots_of(Decimal(count_text(size))) == size


@pytest.mark.parametrize(
    ("text", "pips"), [("0.47", 4700), ("0.4700", 4700), ("0.470000", 4700), ("1", 10_000), ("4.7E-1", 4700), ("0", 0)]
)
def test_trailing_zeros_and_exponents_say_nothing(text: str, pips: int) -> None:
    assert pips_of_dollars(Decimal(text)) == pips


@pytest.mark.parametrize(
    "text", ["0.47001", "0.4700000000000000000000000000000001", "1.0001", "-0.01", "NaN", "Infinity"]
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="price"):
        pips_of_dollars(Decimal(text))


@pytest.mark.parametrize("text", ["0.001", "1e30", "sNaN", "-Infinity", "1e999999999"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="count"):
        lots_of(Decimal(text))


def test_cents_are_a_hundred_pips() -> None:
    assert pips_of_cents(Decimal("47")) == 4700
    assert pips_of_cents(Decimal("47.5")) == 4750
    assert cents_of(4700) == 47
    with pytest.raises(WireError, match=r"0.4710 has no form in whole cents"):
        cents_of(4710)


def test_factors_are_exact() -> None:
    assert ppm_of(Decimal("0.5")) == 500_000
    with pytest.raises(WireError):
        ppm_of(Decimal("0.0000001"))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-06-11T06:31:29.957081Z", 1_781_159_489_957_081_000),
        ("2026-06-11T06:29:47.42784Z", 1_781_159_387_427_840_000),
        ("2025-09-17T14:12:21-04:00", 1_758_132_741_000_000_000),
        ("2026-06-11T06:31:29.957081123+00:00", 1_781_159_489_957_081_123),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_times_keep_every_digit(text: str, time: int) -> None:
    assert time_of(text) == time


@pytest.mark.parametrize(
    "text", ["2026-06-11T06:31:29", "yesterday", "", "2026-06-11T06:31:29.Z", "2026-06-11T06:31:29.1234567890Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="time"):
        time_of(text)


def test_time_text_is_what_the_exchange_sends() -> None:
    assert time_text(1_781_159_489_957_081_000) == "2026-06-11T06:31:29.957081Z"


@pytest.mark.parametrize("second", [-62_135_596_801, 253_402_300_800, -(10**30), 10**30])
def test_a_time_outside_the_calendar_has_no_text(second: int) -> None:
    with pytest.raises(WireError, match="in no year"):
        time_text(second * SECOND)
    assert time_of(time_text(-62_135_596_800 * SECOND)) == -62_135_596_800 * SECOND
    assert time_of(time_text(253_402_300_799 * SECOND)) == 253_402_300_799 * SECOND


@pytest.mark.parametrize("text", ["1e999999", "-1e999999", "1e21", "Infinity", "NaN", "sNaN"])
def test_a_number_beyond_all_measure_is_refused_at_once(text: str) -> None:
    with pytest.raises(WireError):
        scaled(Decimal(text), 4, "price")


@settings(derandomize=True, max_examples=some_of(300))
@given(
    st.text(max_size=30)
    | st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:.]{0,20}([+-][0-9:]{0,8}|Z)?", fullmatch=True)
)
def test_any_text_is_a_time_or_one_clear_error(text: str) -> None:
    with suppress(WireError):
        assert isinstance(time_of(text), int)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-10-02T06:31:29+24:00"]
)
def test_the_ends_of_the_calendar_break_nothing(text: str) -> None:
    with suppress(WireError):
        assert isinstance(time_of(text), int)
