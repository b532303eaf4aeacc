"""Numbers of reports as people write them, and tables of such text."""

from __future__ import annotations

import msgspec

from kalshi_ray.evaluate.intervals import Interval

NOT_MEASURABLE = "not measurable"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A title, column names and rows of text; every column but the first holds numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def dollars(value: float | None) -> str:
    """Money with its sign first: -$1.25."""
    if value is None:
        return "-"
    sign = "-" if round(value, 2) < 0 else ""
    return f"{sign}${abs(value):,.2f}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None else f"{value:.1%}"


def cents(value: float | None) -> str:
    """Cents with two digits."""
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}¢"  # adding zero drops the sign of a negative zero


def span(interval: Interval | None) -> str:
    """The two ends of an interval in dollars, or why there are none."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"none ({interval.events} events)"
    return f"{dollars(interval.low)} to {dollars(interval.high)}" + (" (weak)" if interval.is_weak else "")


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use."""
    if seconds is None:
        return "-"
    for limit, unit, size in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"
