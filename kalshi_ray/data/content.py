"""What a session is, as one hash: the same in every store and for every division into parts."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

from kalshi_ray.data.schema import MARKETS, UPDATES, Manifest
from kalshi_ray.errors import DataError


class Content:
    """The hash of a session's content, fed part by part in order.

    sha256 of a text of lines: the market table, grids and signals as JSON; the number of rows; and for each column of
    the updates its name, its type and the sha256 of its values, little-endian, in order of the rows. Truth and received
    frames do not count.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._columns = _Columns(UPDATES)

    def add(self, updates: pa.Table) -> None:
        """The next rows, schema UPDATES."""
        check_whole(updates, UPDATES, "the updates")
        self._columns.add(updates)
        self.rows += updates.num_rows

    def hexdigest(self, markets: pa.Table, manifest: Manifest) -> str:
        """The hash of all that was added so far, with the market table, grids and signals as they are now."""
        check_whole(markets, MARKETS, "the market table")
        head = [
            "kalshi_ray session",
            f"markets {_json([markets[name].to_pylist() for name in MARKETS.names])}",
            f"grids {_json(manifest.grids)}",
            f"signals {_json(manifest.signals)}",
        ]
        return _digest([*head, f"rows {self.rows}", *self._columns.lines()])


class _Columns:
    """A hash for each column: one stream of bytes, wherever the tables are cut."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._hashed = [hashlib.sha256() for _ in schema]

    def add(self, table: pa.Table) -> None:
        for field, hashed in zip(self._schema, self._hashed):
            for chunk in table[field.name].chunks:
                hashed.update(chunk.to_numpy(zero_copy_only=True).data)

    def lines(self) -> list[str]:
        return [f"{field.name} {field.type} {one.hexdigest()}" for field, one in zip(self._schema, self._hashed)]


def table_digest(table: pa.Table, schema: pa.Schema) -> str:
    """The hash of a table of numbers, the same in every store."""
    columns = _Columns(schema)
    columns.add(table)
    return _digest([f"rows {table.num_rows}", *columns.lines()])


def check_whole(table: pa.Table, schema: pa.Schema, what: str) -> None:
    """DataError where a value is missing: each column has a value of its own for what is not known."""
    for field in schema:
        if table[field.name].null_count:
            raise DataError(f"{what} has no value in column {field.name}", remedy="Give the value that means unknown")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join([*lines, ""]).encode()).hexdigest()
