"""Times of recorded columns and lines as nanoseconds since the epoch: units, zones, the hours that clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kalshi_ray.core.units import SECOND
from kalshi_ray.data.importing.options import TimeUnit, zone_named
from kalshi_ray.data.importing.tables import combined, first_null, integers_of, refusal
from kalshi_ray.errors import ConfigError, DataError

_NS_IN = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_HOUR = 3600 * SECOND


def times_of(table: pa.Table, column: str, unit: TimeUnit, zone: str, *, form: str) -> NDArray[np.int64]:
    """Nanoseconds since the epoch, [N]. `form` names the settings that can say unit and zone; "": none can."""
    cells = combined(table, column)
    if cells.null_count:
        raise refusal(table, column, first_null(cells), "a time in every row")
    if pa.types.is_timestamp(cells.type):
        return _from_timestamps(cells, column, zone, form)
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    if unit == "iso" or (unit == "auto" and is_text):
        return _from_text(table, column, cells, zone, form)
    if unit == "auto":
        raise ConfigError(
            f"column {column!r} holds numbers such as {cells[0].as_py()}, of unknown unit",
            remedy=f"Set {form}.time_unit to s, ms, us or ns" if form else "Write ISO 8601 times",
        )
    return integers_of(table, column, _NS_IN[unit], what="a time")


def _from_timestamps(cells: pa.Array, column: str, zone: str, form: str) -> NDArray[np.int64]:
    """A timestamp column: with a zone it is UTC inside, without one it is local time."""
    is_local = cells.type.tz is None
    ns: NDArray[np.int64] = pc.cast(pc.cast(cells, pa.timestamp("ns", cells.type.tz)), pa.int64()).to_numpy()
    return from_local(ns, zone, f"column {column!r}", form) if is_local else ns


def _from_text(table: pa.Table, column: str, cells: pa.Array, zone: str, form: str) -> NDArray[np.int64]:
    first = cells[0].as_py()
    is_local = names_no_zone(first)
    kind = pa.timestamp("ns") if is_local else pa.timestamp("ns", "UTC")
    try:
        ns: NDArray[np.int64] = pc.cast(pc.cast(cells, kind), pa.int64()).to_numpy()
    except pa.ArrowException as error:
        row = next((row for row, cell in enumerate(cells) if not _can_be(cell, kind)), 0)
        raise refusal(
            table, column, row, "an ISO 8601 time of the same form as the others, such as 2026-01-05T15:20:00Z"
        ) from error
    return from_local(ns, zone, f"column {column!r}", form) if is_local else ns


def _can_be(cell: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        cell.cast(kind)
    except pa.ArrowException:
        return False
    return True


def names_no_zone(text: str) -> bool:
    """Whether ISO 8601 text ends without Z and without an offset."""
    return not text.endswith(("Z", "z")) and "+" not in text and "-" not in text[10:]


def from_local(local: NDArray[np.int64], zone: str, what: str, form: str) -> NDArray[np.int64]:
    """Local nanoseconds to nanoseconds since the epoch.

    An hour that happened twice is taken as the first; a time that a change of clocks skipped is an error: the zone is
    another.
    """
    if not zone:
        remedy = f"Set {form}.time_zone to the one they were written in, such as America/New_York or UTC"
        raise ConfigError(f"the times of {what} name no zone", remedy=remedy if form else "Write them with one")
    rules = zone_named(zone)
    hours, place = np.unique(local // _HOUR, return_inverse=True)
    offsets = np.empty(len(hours), np.int64)
    for row, hour in enumerate(hours.tolist()):
        wall = datetime.fromtimestamp(hour * 3600, UTC).replace(tzinfo=rules)
        offset, later = wall.utcoffset(), wall.replace(fold=1).utcoffset()
        assert offset is not None and later is not None  # a ZoneInfo always knows
        if later > offset:
            raise DataError(
                f"{what} holds times from {wall:%Y-%m-%d %H:%M} on, which clocks in {zone} skipped",
                remedy="They were written in another zone",
            )
        offsets[row] = offset // timedelta(seconds=1) * SECOND
    return local - offsets[place]
