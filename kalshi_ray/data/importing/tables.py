"""Columns of recorded CSV and Parquet files as integers: tickers, prices, sizes. Exact, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR
from kalshi_ray.errors import DataError, NothingToDo, UnknownName

PIPS_IN = {"pips": 1, "cents": CENT, "dollars": DOLLAR}
_NOISE = 1e-3  # of a unit: what binary floats add to a price or size; more is another number
_FILES = b"kalshi_ray.files"  # in the schema's metadata: the files of a table and where each begins


def read_files(paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The named columns of several files, one below the other. CSV cells stay text, so that no digit is lost."""
    tables = [_read_file(path, list(dict.fromkeys(columns))).replace_schema_metadata() for path in paths]
    if not tables:
        raise NothingToDo("no file to import")
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the files do not have the same columns: {error}") from error
    if not table.num_rows:
        raise NothingToDo(f"no rows in {', '.join(paths[:3])}")
    files = [(path, part.num_rows) for path, part in zip(paths, tables)]
    return table.replace_schema_metadata({_FILES: msgspec.json.encode(files)})


def refusal(table: pa.Table, column: str, row: int, expected: str, *, remedy: str = "") -> DataError:
    """The error for one cell: its file and line (CSV) or row from 0 (Parquet), its column and what stands there."""
    cell = table[column][row].as_py()
    place = f"row {row}"
    for path, rows in msgspec.json.decode((table.schema.metadata or {}).get(_FILES, b"[]"), type=list[tuple[str, int]]):
        if row < rows:
            place = f"{path}, " + (f"row {row}" if path.endswith((".parquet", ".pq")) else f"line {row + 2}")
            break
        row -= rows
    return DataError(f"{place}: column {column!r} holds {cell!r}, expected {expected}", remedy=remedy)


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
        why = str(error).rstrip(". ")
        raise DataError(f"cannot read {path}: {why}", remedy="Expected CSV with a header, or Parquet") from error


def _check_names(path: str, columns: list[str], found: list[str]) -> None:
    for name in columns:
        if name not in found:
            raise UnknownName(f"column in {path}", name, found)


def codes_of(table: pa.Table, column: str) -> tuple[NDArray[np.int32], list[str]]:
    """Texts as codes in order of first appearance, and the texts by code."""
    texts = combined(table, column)
    if texts.null_count:
        raise refusal(table, column, first_null(texts), "a ticker in every row")
    encoded = pc.cast(texts, pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int32), encoded.dictionary.to_pylist()


def prices_of(table: pa.Table, column: str, unit: str) -> NDArray[np.int64]:
    """Pips, [N]; 0 where there is no price (empty, NaN or 0)."""
    return integers_of(table, column, PIPS_IN[unit], what="a price", empty=0)


def sizes_of(table: pa.Table, column: str) -> NDArray[np.int64]:
    """Lots, [N]; 0 where the cell is empty."""
    return integers_of(table, column, CONTRACT, what="a size", empty=0)


def integers_of(table: pa.Table, column: str, scale: int, *, what: str, empty: int | None = None) -> NDArray[np.int64]:
    """Cells times `scale`, which must be whole but for the noise of binary floats. Empty cells become `empty`."""
    cells = combined(table, column)
    if pa.types.is_integer(cells.type):
        missing = pc.is_null(cells).to_numpy(zero_copy_only=False)
        whole: NDArray[np.int64] = pc.cast(pc.fill_null(cells, empty or 0), pa.int64()).to_numpy() * scale
        wrong = np.zeros(len(whole), bool)
    elif pa.types.is_floating(cells.type):
        whole, wrong, missing = _from_floats(cells, scale, empty or 0)
    else:
        whole, wrong, missing = _from_digits(cells, scale, empty or 0)
    if empty is None and missing.any():
        raise refusal(table, column, int(np.flatnonzero(missing)[0]), f"{what} in every row")
    if wrong.any():
        finest = f"1/{scale}" if scale > 1 else "1"
        remedy = "Check the unit of the column, and that it is the right one"
        raise refusal(table, column, int(np.flatnonzero(wrong)[0]), f"{what} in multiples of {finest}", remedy=remedy)
    return whole


Cells = tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]  # values, which are wrong, which are empty


def _from_floats(cells: pa.Array, scale: int, empty: int) -> Cells:
    numbers = pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    endless = np.isinf(numbers)
    filled = np.where(missing | endless, 0.0, numbers)
    base = np.floor(filled)
    part = (filled - base) * scale  # of one unit; the difference is exact
    whole = np.rint(part)
    # The noise of a binary float is a few of its last digits, which are larger the larger the number.
    off = np.abs(part - whole) > np.maximum(_NOISE, 4 * np.spacing(np.abs(filled)) * scale)
    found = base.astype(np.int64) * scale + whole.astype(np.int64)
    return np.where(missing, empty, found), off | endless, missing


def _from_digits(cells: pa.Array, scale: int, empty: int) -> Cells:
    """Decimal text or decimal cells."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        stripped = pc.utf8_trim_whitespace(cells)
        cells = pc.if_else(
            pc.is_in(stripped, pa.array(["", "nan", "NaN", "null", "None"], stripped.type)), None, stripped
        )
    missing = pc.is_null(cells).to_numpy(zero_copy_only=False)
    try:
        if scale == 1:
            exact = pc.cast(cells, pa.decimal128(38, 12))
        else:  # 27 digits and the 10 of a scale are what a product may have
            exact = pc.multiply(pc.cast(cells, pa.decimal128(27, 12)), pa.scalar(scale, pa.decimal128(10, 0)))
        return pc.fill_null(pc.cast(exact, pa.int64()), empty).to_numpy(), np.zeros(len(cells), bool), missing
    except pa.ArrowException:  # says neither where nor what: look
        wrong = [cell is not None and not _is_whole(cell, scale) for cell in cells.to_pylist()]
        if not any(wrong):
            raise
        return np.zeros(len(cells), np.int64), np.array(wrong, bool), missing


def _is_whole(cell: object, scale: int) -> bool:
    try:
        number = Decimal(str(cell)) * scale
        return number.is_finite() and number == number.to_integral_value() and abs(number) < 1 << 63
    except InvalidOperation:
        return False


def first_null(cells: pa.Array) -> int:
    """Place of the first empty cell."""
    return int(np.flatnonzero(pc.is_null(cells).to_numpy(zero_copy_only=False))[0])


def combined(table: pa.Table, column: str) -> pa.Array:
    """The cells of a column as one array, dictionaries decoded."""
    cells = table[column].combine_chunks()
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
