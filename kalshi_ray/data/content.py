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
    the updates its name, its type and the sha256 of its values, little-endian, in order of the rows. A column is one
    stream of bytes, so parts may be cut anywhere. Truth and received frames do not count.
    """

    def __init__(self, markets: pa.Table, manifest: Manifest) -> None:
        self.rows = 0
        check_whole(markets, MARKETS, "the market table")
        self._head = [
            "kalshi_ray session",
            f"markets {_json([markets[name].to_pylist() for name in MARKETS.names])}",
            f"grids {_json(manifest.grids)}",
            f"signals {_json(manifest.signals)}",
        ]
        self._columns = [hashlib.sha256() for _ in UPDATES]

    def add(self, updates: pa.Table) -> None:
        """The next rows, schema UPDATES."""
        check_whole(updates, UPDATES, "the updates")
        for field, hashed in zip(UPDATES, self._columns):
            for chunk in updates[field.name].chunks:
                hashed.update(chunk.to_numpy(zero_copy_only=True).data)
        self.rows += updates.num_rows

    def hexdigest(self) -> str:
        """The hash of all that was added so far."""
        columns = [f"{field.name} {field.type} {one.hexdigest()}" for field, one in zip(UPDATES, self._columns)]
        return hashlib.sha256("\n".join([*self._head, f"rows {self.rows}", *columns, ""]).encode()).hexdigest()


def check_whole(table: pa.Table, schema: pa.Schema, what: str) -> None:
    """DataError where a value is missing: each column has a value of its own for what is not known."""
    for field in schema:
        if table[field.name].null_count:
            raise DataError(f"{what} has no value in column {field.name}", remedy="Give the value that means unknown")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
