"""The market table as rows of the database and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from kalshi_ray.data.content import check_whole
from kalshi_ray.data.parquet import check_columns
from kalshi_ray.data.schema import MARKETS
from kalshi_ray.errors import DataError, SessionDamaged

COLUMNS = tuple(MARKETS.names)
_TEXTS = tuple(field.name for field in MARKETS if field.type == pa.string())


class MarketRows:
    """A market table on its way out: records, their number, and the hash of them."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self.records: list[tuple[Any, ...]] = []
        for table in tables:
            check_columns(table, MARKETS)
            check_whole(table, MARKETS, "the market table")
            _check_texts(table)
            self.records += zip(*(_cells(table, name) for name in COLUMNS))
        content = packed(self.records)
        self.bytes = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()


def packed(records: Iterable[tuple[Any, ...]]) -> bytes:
    """The canonical form that the hash is of: one JSON array a line."""
    return msgspec.json.Encoder().encode_lines(records)


def market_table(
    rows: Sequence[Mapping[str, Any]], expected: int, columns: Sequence[str] | None, where: str
) -> pa.Table:
    """The market table of rows in order of their numbers. SessionDamaged where one is missing."""
    if [row["market"] for row in rows] != list(range(expected)):
        raise SessionDamaged(
            f"{where} has {len(rows):,} rows, of which {expected:,} were written",
            remedy="Somebody changed the tables by hand: restore them from a backup",
        )
    names = COLUMNS if columns is None else tuple(columns)
    arrays = [_array(name, [row[name] for row in rows]) for name in names]
    return pa.Table.from_arrays(arrays, schema=pa.schema([MARKETS.field(name) for name in names]))


def _cells(table: pa.Table, name: str) -> list[Any]:
    cells: list[Any] = table[name].to_pylist()
    return [msgspec.json.encode(cell).decode() for cell in cells] if name == "price_ranges" else cells


def _array(name: str, cells: list[Any]) -> pa.Array:
    values = [msgspec.json.decode(cell) for cell in cells] if name == "price_ranges" else cells
    return pa.array(values, type=MARKETS.field(name).type)


def _check_texts(table: pa.Table) -> None:
    for name in _TEXTS:
        for text in table[name].to_pylist():
            if "\0" in text:
                raise DataError(f"column {name} has {text!r}", remedy="PostgreSQL holds no NUL in a text")
