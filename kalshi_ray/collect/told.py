"""The last row of each kind that says how a market is: what a collector has to know to go on with a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.recording import ROW

KINDS = (Kind.STATUS, Kind.SCHEDULE, Kind.GRID, Kind.FEE, Kind.SETTLEMENT)


class Told:
    """At most one row for each market and kind, in the order in which they came."""

    def __init__(self, rows: bytes = b"") -> None:
        self._last: dict[tuple[int, int], bytes] = {}
        self.take(np.frombuffer(rows, ROW))

    def take(self, rows: NDArray[Any]) -> None:
        """Learn from rows, in their order."""
        chosen = rows[of_markets(rows)]
        for row, market, kind in zip(chosen, chosen["market"].tolist(), chosen["kind"].tolist()):
            self._last.pop((market, kind), None)
            self._last[market, kind] = row.tobytes()

    def encode(self) -> bytes:
        """The rows as they lie in memory."""
        return b"".join(self._last.values())

    def rows(self) -> NDArray[Any]:
        """The rows, ROW records."""
        return np.frombuffer(self.encode(), ROW)

    @classmethod
    def of(cls, runs: Iterable[NDArray[Any]]) -> Told:
        """From the rows of a session."""
        told = cls()
        for rows in runs:
            told.take(rows)
        return told


def of_markets(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows say how a market is."""
    kinds = rows["kind"]
    late = kinds >= Kind.STATUS  # most blocks have none
    if not late.any():
        return np.zeros(len(rows), np.bool_)
    found: NDArray[np.bool_] = np.isin(kinds, KINDS) & (rows["market"] >= 0)
    return found
