"""Tables as plain text cells, and how figures are worded: units, times, and `not measurable` with its reason."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

NOT_MEASURABLE = "not measurable"


class ReportTable(msgspec.Struct, frozen=True, kw_only=True):
    """A title, column names with units, rows of text; `right` names the columns of numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    right: list[str]
    caption: str = ""


def span_text(seconds: float) -> str:
    """A length of time for people: 250 ms, 10 s, 5 min, 2.5 h."""
    if seconds < 1.0:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60.0:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3_600.0 else f"{seconds / 3_600:.3g} h"


def missing(why: dict[str, str], name: str) -> str:
    """Why a figure is not there."""
    return f"{NOT_MEASURABLE}: {why.get(name, 'no data')}"


def number_text(value: float | None, digits: int | None = None) -> str:
    """A figure with so many digits after the point, or three that count; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if digits is not None else f"{value:,.3g}"


def lots_text(contracts: float) -> str:
    """A size in a ladder; nothing for none."""
    return f"{contracts:,.2f}" if contracts else ""


def plain_text(value: float | str) -> str:
    """A figure or a name."""
    return value if isinstance(value, str) else f"{value:,.6g}"


def utc_text(ns: int, *, fine: bool = False) -> str:
    """A time to the minute, or with `fine` to the microsecond; a dash for an unknown one."""
    if not ns:
        return "–"
    whole = datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{whole}.{ns // 1_000 % 1_000_000:06d}" if fine else whole[:-3]
