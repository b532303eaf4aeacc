"""Exact numbers: the exchange's text to pips, lots, ppm and nanoseconds, and back. Never through binary floats."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import cache

from kalshi_ray.core.units import CENT, DOLLAR, MILLISECOND, SECOND
from kalshi_ray.errors import WireError

# A number that does not fit the unit exactly is an error, not a rounding.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_LARGEST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PPM = 1_000_000


def pips_of_dollars(price: Decimal, what: str = "price") -> int:
    """Dollars to pips of $0.0001, 0 to $1."""
    return _bounded(scaled(price, 4, what), what)


def pips_of_cents(price: Decimal, what: str = "price") -> int:
    """Cents to pips, 0 to $1."""
    return _bounded(scaled(price, 2, what), what)


def lots_of(count: Decimal, what: str = "count") -> int:
    """Contracts to lots of 0.01 contract, signed."""
    return scaled(count, 2, what)


def ppm_of(factor: Decimal, what: str = "factor") -> int:
    """A factor to parts per million."""
    return scaled(factor, 6, what)


def scaled(number: Decimal, digits: int, what: str) -> int:
    """`number` times ten to the power of `digits`, which must be whole. WireError if it is not."""
    try:
        result = int(_EXACT.to_integral_exact(_EXACT.scaleb(number, digits)))
    except (DecimalException, ValueError, OverflowError) as error:
        raise WireError(f"{what} {number} has more than {digits} decimals or is no number") from error
    if not -_LARGEST <= result <= _LARGEST:
        raise WireError(f"{what} {number} is out of range")
    return result


def time_of(text: str) -> int:
    """RFC 3339 text with a zone to nanoseconds since the epoch, every digit kept."""
    head, dot, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + tail[len(digits) :] if dot else text)
    except ValueError as error:
        raise WireError(f"{text!r} is not a time such as 2026-10-02T06:31:29.957081Z") from error
    if moment.tzinfo is None:
        raise WireError(f"the time {text!r} names no zone")
    if len(digits) > 9 or (dot and not digits):
        raise WireError(f"the time {text!r} is not in whole nanoseconds")
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int((digits or "0").ljust(9, "0"))


def time_text(time: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 text in UTC, in microseconds as the exchange sends it."""
    moment = _EPOCH + timedelta(seconds=time // SECOND)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % SECOND // 1000:06d}Z"


def milliseconds(time: int) -> int:
    """Milliseconds since the epoch to nanoseconds."""
    return time * MILLISECOND


@cache
def dollars_text(price: int) -> str:
    """Pips as dollars with four decimals: 4700 is "0.4700"."""
    return f"{price // DOLLAR}.{price % DOLLAR:04d}"


def count_text(size: int) -> str:
    """Lots as contracts with two decimals: -5447 is "-54.47"."""
    return f"{'-' if size < 0 else ''}{abs(size) // 100}.{abs(size) % 100:02d}"


def cents_of(price: int) -> int:
    """Pips as whole cents. WireError where the price has a fraction of a cent."""
    if price % CENT:
        raise WireError(f"price {dollars_text(price)} has no form in whole cents")
    return price // CENT


Parser = Callable[[Decimal, str], int]


def _bounded(price: int, what: str) -> int:
    if not 0 <= price <= DOLLAR:
        raise WireError(f"{what} {price} pips is not between 0 and $1 ({DOLLAR} pips)")
    return price
