"""An order in the words of a person: which side it is, at which price, and how many. UsageError for what cannot be."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from kalshi_ray.errors import UsageError, WireError


def leg_of(action: str, outcome: str, price: int) -> tuple[Any, int]:
    """The side and the price on the YES scale: NO at q is the other side at one dollar less q."""
    from kalshi_ray.core.units import DOLLAR, Side

    side = Side.BID if (action == "buy") == (outcome == "yes") else Side.ASK
    return side, price if outcome == "yes" else DOLLAR - price


def count_of(text: str) -> int:
    """Lots of a number of contracts."""
    return _scaled(text, "count", 2)


def price_of(text: str) -> int:
    """Pips of a price in dollars, of which a contract costs less than one."""
    from kalshi_ray.core.units import DOLLAR

    price = _scaled(text, "price", 4)
    if price >= DOLLAR:
        raise UsageError(f"price {text} is not below $1", remedy="It is in dollars for one contract, such as 0.56")
    return price


def _scaled(text: str, what: str, digits: int) -> int:
    """A positive number with at most so many decimals, exactly."""
    from kalshi_ray.wire.numbers import scaled

    try:
        number = scaled(Decimal(text), digits, what)
    except (InvalidOperation, WireError) as problem:
        raise UsageError(f"{what} {text!r} is not a number with at most {digits} decimals") from problem
    if number <= 0:
        raise UsageError(f"{what} {text} is not above 0")
    return number
