"""Rows of wide tables as PostgreSQL's binary COPY and back, without Python per row.

All columns have a fixed width and are never empty, so a row of the binary format is a record of constant size: its
number of columns, then for each its length and its big-endian value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.data.parquet import check_columns
from kalshi_ray.errors import DataError, SessionDamaged

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
END = b"\xff\xff"
BLOCK = 1 << 20  # rows that are sorted together by market, so that one market's lie together on the disk
_CHUNK = 1 << 15  # rows sent at a time
_MOST_ROWS = 2**31 - 1  # ordinals are of 32 bits

# Arrow's type to the one that the server keeps; it has none of one byte.
_WIRE = {pa.int8(): ">i2", pa.int32(): ">i4", pa.int64(): ">i8", pa.float64(): ">f8"}
KEYS = ("session", "part", "ordinal")  # columns of ours beside those of the schema

Arrays = dict[str, NDArray[Any]]


def wire_dtype(kinds: dict[str, str]) -> np.dtype[Any]:
    """One row of the binary format: columns by name, each with its length before it."""
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    for name, kind in kinds.items():
        fields += [(f"length of {name}", ">i4"), (name, kind)]
    return np.dtype(fields)


def wire_kinds(schema: pa.Schema, names: Iterable[str]) -> dict[str, str]:
    """Columns of a table as the server sends them."""
    return {name: ">i4" if name in KEYS else _WIRE[schema.field(name).type] for name in names}


class Outgoing:
    """Tables on their way out: counted and hashed in their order, sent sorted by market in blocks."""

    def __init__(self, schema: pa.Schema, tables: Iterable[pa.Table], *, session: int, part: int) -> None:
        self.rows = 0
        self._schema = schema
        self._tables = tables
        self._keys = {"session": session, "part": part}
        self._packed = np.dtype([(field.name, field.type.to_pandas_dtype()) for field in schema]).newbyteorder("<")
        self._hash = hashlib.sha256()
        self._wire = wire_dtype(wire_kinds(schema, self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns as they are sent."""
        return (*KEYS, *self._schema.names)

    @property
    def size(self) -> int:
        """Bytes of the rows in their canonical form."""
        return self.rows * self._packed.itemsize

    @property
    def sha256(self) -> str:
        """Hash of the rows in their canonical form: columns packed, little-endian, in order."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """The bytes of a binary COPY. DataError where a table does not fit the schema."""
        yield HEADER
        for table in self._tables:
            check_columns(table, self._schema)
            for start in range(0, table.num_rows, BLOCK):
                yield from self._block(arrays_of(table.slice(start, BLOCK)))
        yield END

    def _block(self, arrays: Arrays) -> Iterator[bytes]:
        count = len(next(iter(arrays.values())))
        if self.rows + count > _MOST_ROWS:
            raise DataError(f"a part of {self.rows + count:,} rows", remedy=f"Write at most {_MOST_ROWS:,} at a time")
        for start in range(0, count, _CHUNK):
            packed = np.empty(min(_CHUNK, count - start), self._packed)
            for name, values in arrays.items():
                packed[name] = values[start : start + _CHUNK]
            self._hash.update(packed.data)
        order = order_by(arrays["market"])
        for start in range(0, count, _CHUNK):
            chosen = order[start : start + _CHUNK]
            rows = np.empty(len(chosen), self._wire)
            rows["columns"] = len(self.columns)
            for name in self.columns:
                rows[f"length of {name}"] = self._wire[name].itemsize
            for name, value in self._keys.items():
                rows[name] = value
            rows["ordinal"] = chosen + self.rows
            for name, values in arrays.items():
                rows[name] = values[chosen]
            yield rows.tobytes()
        self.rows += count


class Incoming:
    """Rows on their way in. Bytes may be cut anywhere; `table` puts the rows in their order."""

    def __init__(self, schema: pa.Schema, names: Sequence[str], where: str) -> None:
        self._schema = schema
        self._names = tuple(names)
        self._where = where
        self._columns = tuple(dict.fromkeys(("ordinal", *names)))
        self._wire = wire_dtype(wire_kinds(schema, self._columns))
        self._rest = b""
        self._has_header = self._is_over = False
        self._taken: list[Arrays] = []

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns to ask for."""
        return self._columns

    def take(self, data: bytes) -> None:
        """The next bytes."""
        data = self._rest + data
        if not self._has_header:
            if len(data) < len(HEADER):
                self._rest = data
                return
            data = data[len(HEADER) :]
            self._has_header = True
        count = len(data) // self._wire.itemsize
        self._rest = data[count * self._wire.itemsize :]
        self._is_over = self._rest == END
        if count:
            self._decode(np.frombuffer(data, self._wire, count))

    def table(self, rows: int, *, is_whole: bool) -> pa.Table:
        """What came, in order. SessionDamaged unless it is what can stand in a piece of `rows` rows."""
        if not self._is_over:
            raise SessionDamaged(f"{self._where}: the server sent what is no binary COPY", remedy="Report this")
        columns = {name: self._joined(name) for name in self._columns}
        ordinal = columns["ordinal"]
        if not _is_rising(ordinal):
            order = np.argsort(ordinal, kind="stable")
            columns = {name: values[order] for name, values in columns.items()}
            ordinal = columns["ordinal"]
        came = len(ordinal)
        if not _is_rising(ordinal) or (came and (ordinal[0] < 0 or ordinal[-1] >= rows)) or (is_whole and came != rows):
            raise SessionDamaged(
                f"{self._where} has {came:,} rows, of which some are not its own or stand twice; {rows:,} were written",
                remedy="Somebody changed the tables by hand: restore them from a backup",
            )
        schema = pa.schema([self._schema.field(name) for name in self._names])
        arrays = [pa.array(columns[name], type=self._schema.field(name).type) for name in self._names]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _decode(self, rows: NDArray[np.void]) -> None:
        if (rows["columns"] != len(self._columns)).any():
            raise SessionDamaged(f"{self._where}: a row has an empty column", remedy="Restore it from a backup")
        self._taken.append({name: self._native(name, rows[name]) for name in self._columns})

    def _native(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        if name == "ordinal":
            return values.astype(np.int32)
        kind = np.dtype(self._schema.field(name).type.to_pandas_dtype())
        result = values.astype(kind)
        if kind.itemsize < values.dtype.itemsize and (result != values).any():
            raise SessionDamaged(f"{self._where}: column {name} has a value that does not fit", remedy="Restore it")
        return result

    def _joined(self, name: str) -> NDArray[Any]:
        if not self._taken:
            return np.empty(0, np.int32 if name == "ordinal" else self._schema.field(name).type.to_pandas_dtype())
        return np.concatenate([one[name] for one in self._taken])


def packed_sha256(table: pa.Table, schema: pa.Schema) -> str:
    """The hash that `Outgoing` gives the same rows."""
    going = Outgoing(schema, [table], session=0, part=0)
    for _ in going.chunks():
        pass
    return going.sha256


def arrays_of(table: pa.Table) -> Arrays:
    """The columns of a table. DataError where a value is missing."""
    arrays = {}
    for name in table.schema.names:
        column = table[name]
        if column.null_count:
            raise DataError(f"column {name} has {column.null_count:,} empty cells", remedy="Give the value for unknown")
        arrays[name] = column.to_numpy()
    return arrays


def order_by(markets: NDArray[Any]) -> NDArray[np.int64]:
    """The order that puts rows of a market together and keeps theirs. Small numbers are sorted by their digits."""
    if len(markets) and markets.min() >= -1 and markets.max() < 2**15:
        markets = markets.astype(np.int16)
    return np.argsort(markets, kind="stable")


def _is_rising(values: NDArray[Any]) -> bool:
    return bool((values[1:] > values[:-1]).all())
