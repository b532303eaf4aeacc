"""Columns of recorded CSV and Parquet files as integers: tickers, times, prices, sizes. Exact, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND
from kalshi_ray.data.importing.options import TimeUnit, zone_named
from kalshi_ray.errors import DataError, NothingToDo, UnknownName

PIPS_IN = {"pips": 1, "cents": CENT, "dollars": DOLLAR}
_NS_IN = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_NOISE = 1e-3  # of a unit: what binary floats add to a price or size; more is another number
_HOUR = 3600 * SECOND


def read_files(paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The named columns of several files, one below the other. CSV cells stay text, so that no digit is lost."""
    tables = [_read_file(path, list(dict.fromkeys(columns))) for path in paths]
    if not tables:
        raise NothingToDo("no file to import")
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the files do not have the same columns: {error}") from error
    if not table.num_rows:
        raise NothingToDo(f"{', '.join(paths[:3])} hold no rows")
    return table


def _read_file(path: str, columns: list[str]) -> pa.Table:
    try:
        if path.endswith((".parquet", ".pq")):
            found = pq.read_schema(path).names
            _check_names(path, columns, found)
            return pq.read_table(path, columns=columns, partitioning=None)
        with pacsv.open_csv(path) as reader:
            found = reader.schema.names
        _check_names(path, columns, found)
        convert = pacsv.ConvertOptions(include_columns=columns, column_types={name: pa.string() for name in columns})
        return pacsv.read_csv(path, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read {path}: {error}", remedy="Expected CSV with a header, or Parquet") from error


def _check_names(path: str, columns: list[str], found: list[str]) -> None:
    for name in columns:
        if name not in found:
            raise UnknownName(f"column in {path}", name, found)


def codes_of(table: pa.Table, column: str) -> tuple[NDArray[np.int32], list[str]]:
    """Texts as codes in order of first appearance, and the texts by code."""
    texts = _combined(table, column)
    if texts.null_count:
        raise DataError(f"column {column!r} has {texts.null_count} empty cells, expected a ticker in every row")
    encoded = pc.cast(texts, pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int32), encoded.dictionary.to_pylist()


def times_of(table: pa.Table, column: str, unit: TimeUnit, zone: str) -> NDArray[np.int64]:
    """Nanoseconds since the epoch, [N]."""
    cells = _combined(table, column)
    if cells.null_count:
        raise DataError(f"column {column!r} has {cells.null_count} empty cells, expected a time in every row")
    if pa.types.is_timestamp(cells.type):
        return _from_timestamps(cells, column, zone)
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    if unit == "iso" or (unit == "auto" and is_text):
        return _from_text(cells, column, zone)
    if unit == "auto":
        raise DataError(f"column {column!r} holds numbers of unknown unit", remedy="Say s, ms, us or ns")
    return integers_of(table, column, _NS_IN[unit], what="a time")


def _from_timestamps(cells: pa.Array, column: str, zone: str) -> NDArray[np.int64]:
    """A timestamp column: with a zone it is UTC inside, without one it is local time."""
    is_local = cells.type.tz is None
    ns: NDArray[np.int64] = pc.cast(pc.cast(cells, pa.timestamp("ns", cells.type.tz)), pa.int64()).to_numpy()
    return from_local(ns, zone, column) if is_local else ns


def _from_text(cells: pa.Array, column: str, zone: str) -> NDArray[np.int64]:
    first = cells[0].as_py()
    is_local = not first.endswith("Z") and "+" not in first and first[10:].count("-") == 0
    kind = pa.timestamp("ns") if is_local else pa.timestamp("ns", "UTC")
    try:
        ns: NDArray[np.int64] = pc.cast(pc.cast(cells, kind), pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise DataError(f"column {column!r}: {error}", remedy="Expected ISO 8601 times of one form") from error
    return from_local(ns, zone, column) if is_local else ns


def from_local(local: NDArray[np.int64], zone: str, column: str) -> NDArray[np.int64]:
    """Local nanoseconds to nanoseconds since the epoch. An hour that happened twice is taken as the first."""
    if not zone:
        raise DataError(
            f"the times in {column!r} name no zone", remedy="Say in which zone they were written, such as US/Pacific"
        )
    rules = zone_named(zone)
    hours, place = np.unique(local // _HOUR, return_inverse=True)
    offsets = np.empty(len(hours), np.int64)
    for row, hour in enumerate(hours.tolist()):
        offset = datetime.fromtimestamp(hour * 3600, UTC).replace(tzinfo=rules).utcoffset()
        assert offset is not None  # a ZoneInfo always knows
        offsets[row] = round(offset.total_seconds()) * SECOND
    return local - offsets[place]


def prices_of(table: pa.Table, column: str, unit: str) -> NDArray[np.int64]:
    """Pips, [N]; 0 where there is no price (empty, NaN or 0)."""
    return integers_of(table, column, PIPS_IN[unit], what="a price", empty=0)


def sizes_of(table: pa.Table, column: str) -> NDArray[np.int64]:
    """Lots, [N]; 0 where the cell is empty."""
    return integers_of(table, column, CONTRACT, what="a size", empty=0)


def integers_of(table: pa.Table, column: str, scale: int, *, what: str, empty: int | None = None) -> NDArray[np.int64]:
    """Cells times `scale`, which must be whole but for the noise of binary floats. Empty cells become `empty`."""
    cells = _combined(table, column)
    if cells.null_count and empty is None:
        raise DataError(f"column {column!r} has {cells.null_count} empty cells, expected {what} in every row")
    if pa.types.is_integer(cells.type):
        whole: NDArray[np.int64] = pc.cast(pc.fill_null(cells, empty or 0), pa.int64()).to_numpy()
        return whole * scale
    if pa.types.is_floating(cells.type):
        return _from_floats(cells, column, scale, what, empty)
    return _from_digits(cells, column, scale, what, empty)


def _from_floats(cells: pa.Array, column: str, scale: int, what: str, empty: int | None) -> NDArray[np.int64]:
    numbers = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    if empty is None and missing.any():
        raise DataError(f"column {column!r} has {missing.sum()} empty cells, expected {what} in every row")
    filled = np.where(missing, 0.0, numbers)
    base = np.floor(filled)
    part = (filled - base) * scale  # of one unit; the difference is exact
    whole = np.rint(part)
    # The noise of a binary float is a few of its last digits, which are larger the larger the number.
    off = np.abs(part - whole) > np.maximum(_NOISE, 4 * np.spacing(np.abs(filled)) * scale)
    if off.any():
        _refuse(column, int(np.flatnonzero(off)[0]), numbers, scale, what)
    return np.where(missing, empty or 0, base.astype(np.int64) * scale + whole.astype(np.int64))


def _from_digits(cells: pa.Array, column: str, scale: int, what: str, empty: int | None) -> NDArray[np.int64]:
    """Decimal text or decimal cells."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        stripped = pc.utf8_trim_whitespace(cells)
        cells = pc.if_else(
            pc.is_in(stripped, pa.array(["", "nan", "NaN", "null", "None"], stripped.type)), None, stripped
        )
        if cells.null_count and empty is None:
            raise DataError(f"column {column!r} has {cells.null_count} empty cells, expected {what} in every row")
    try:
        if scale == 1:
            exact = pc.cast(cells, pa.decimal128(38, 12))
        else:  # 27 digits and the 10 of a scale are what a product may have
            exact = pc.multiply(pc.cast(cells, pa.decimal128(27, 12)), pa.scalar(scale, pa.decimal128(10, 0)))
        whole: NDArray[np.int64] = pc.fill_null(pc.cast(exact, pa.int64()), empty or 0).to_numpy()
    except pa.ArrowException as error:
        raise DataError(f"column {column!r} holds what is not {what} in whole units: {error}") from error
    return whole


def _refuse(column: str, row: int, numbers: NDArray[Any], scale: int, what: str) -> None:
    raise DataError(
        f"column {column!r}, row {row}: {numbers[row]!r} is not {what} in whole units of 1/{scale}",
        remedy="Check the unit of the column",
    )


def _combined(table: pa.Table, column: str) -> pa.Array:
    cells = table[column].combine_chunks()
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
