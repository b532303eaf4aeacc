"""Exact numbers: the exchange's text to pips, lots, ppm and nanoseconds, and back. Never through binary floats."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, DecimalException, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import cache, lru_cache

from kalshi_ray.core.units import CENT, DOLLAR, MILLISECOND, SECOND
from kalshi_ray.errors import WireError

# A number that does not fit the unit exactly is an error, not a rounding.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_LARGEST = 2**62
_LONGEST = 20  # digits before the point: more would cost time before it is refused
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PPM = 1_000_000
NO_TIME = "0001-01-01T00:00:00Z"  # the exchange's way to write no time

# What requests may hold: 2 to 4 decimals in a price, none to 2 in a count.
_PRICE = re.compile(r"[0-9]{1,12}\.[0-9]{2,4}")
_COUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")


def pips_of_dollars(price: Decimal, what: str = "price") -> int:
    """Dollars to pips of $0.0001, 0 to $1."""
    return _bounded(scaled(price, 4, what), what)


def pips_of_cents(price: Decimal, what: str = "price") -> int:
    """Cents to pips, 0 to $1."""
    return _bounded(scaled(price, 2, what), what)


def lots_of(count: Decimal, what: str = "count") -> int:
    """Contracts to lots of 0.01 contract, signed."""
    return scaled(count, 2, what)


def micros_of(dollars: Decimal, what: str = "money") -> int:
    """Dollars to micros of $0.000001, signed."""
    return scaled(dollars, 6, what)


def pips_of_text(text: str, what: str = "price") -> int:
    """The price of a request to pips: text of 2 to 4 decimals, 0 to $1."""
    if not _PRICE.fullmatch(text):
        raise WireError(f"{what} {text[:40]!r} is not a price with 2 to 4 decimals such as 0.5600")
    whole, _, rest = text.partition(".")
    return _bounded(int(whole) * DOLLAR + int(rest.ljust(4, "0")), what)


def lots_of_text(text: str, what: str = "count") -> int:
    """The count of a request to lots: text of at most 2 decimals, not negative."""
    if not _COUNT.fullmatch(text):
        raise WireError(f"{what} {text[:40]!r} is not a count with at most 2 decimals such as 10.00")
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


def ppm_of(factor: Decimal, what: str = "factor") -> int:
    """A factor to parts per million."""
    return scaled(factor, 6, what)


def factor_of_ppm(ppm: int) -> Decimal:
    """Parts per million to a factor in plain decimals."""
    whole, rest = divmod(ppm, PPM)
    return Decimal(f"{whole}.{rest:06d}".rstrip("0").rstrip("."))


def scaled(number: Decimal, digits: int, what: str) -> int:
    """`number` times ten to the power of `digits`, which must be whole. WireError if it is not."""
    if number.adjusted() > _LONGEST:
        raise WireError(f"{what} {number} is out of range")
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
    return f"{_second_text(time // SECOND)}.{time % SECOND // 1000:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """2026-10-02T06:31:29: frames of one second share it. WireError where the calendar has no such year."""
    try:
        return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]
    except OverflowError as error:
        raise WireError(f"{second} s since 1970 are in no year from 1 to 9999") from error


def time_or_none(text: str | None) -> int:
    """As `time_of`; 0 where no time is said."""
    return 0 if not text or text == NO_TIME else time_of(text)


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


def micros_text(money: int) -> str:
    """Micros as dollars with six decimals: 17500 is "0.017500"."""
    return f"{'-' if money < 0 else ''}{abs(money) // 1_000_000}.{abs(money) % 1_000_000:06d}"


def money_text(money: int) -> str:
    """Micros as dollars with four decimals, six where it needs them."""
    text = micros_text(money)
    return text[:-2] if text.endswith("00") else text


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
