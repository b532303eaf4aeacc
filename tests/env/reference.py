"""A tape read by a dictionary: what is public at a moment, for comparison with the books of the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kalshi_ray.core.tape import Kind, Status
from tests.tapes import Rows


@dataclass
class Public:
    """What everybody knows: lots by side and price, and the terms of the market."""

    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    known: bool = False
    in_snapshot: bool = False
    status: int = int(Status.ACTIVE)
    fees: tuple[int, int] | None = None

    def see(self, row: dict[str, int]) -> None:
        """Apply one row."""
        kind = Kind(row["kind"])
        if kind == Kind.SNAPSHOT_LEVEL:
            if not self.in_snapshot:
                self.sides, self.known, self.in_snapshot = ({}, {}), False, True
            self.sides[row["side"]][row["price"]] = row["size"]
        elif kind == Kind.SNAPSHOT_END:
            if not self.in_snapshot:
                self.sides = ({}, {})
            self.known, self.in_snapshot = True, False
        elif kind == Kind.DELTA and self.known:
            side = self.sides[row["side"]]
            side[row["price"]] = side.get(row["price"], 0) + row["size"]
            if not side[row["price"]]:
                del side[row["price"]]
        elif kind == Kind.GAP:
            self.known, self.in_snapshot = False, False
        elif kind == Kind.STATUS:
            self.status = row["size"]
        elif kind == Kind.FEE:
            self.fees = (row["size"], row["price"])


def public_at(rows: Rows, ns: int) -> Public:
    """What had been received by that time."""
    public = Public()
    for row in sorted(rows, key=lambda one: one["recv_ns"]):
        if row["recv_ns"] <= ns:
            public.see(row)
    return public


def recorded_sides(book: Any) -> tuple[dict[int, int], dict[int, int]]:
    """The recorded sizes of a kernel's book, by side and price."""
    prices = np.asarray(book["prices"])
    found = []
    for side in (0, 1):
        sizes = np.asarray(book["recorded"][side])[: int(book["levels"])]
        found.append({int(prices[tick]): int(sizes[tick]) for tick in np.flatnonzero(sizes)})
    return found[0], found[1]
