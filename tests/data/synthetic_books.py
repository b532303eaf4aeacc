"""A slow, obvious replay of synthetic sessions: books as dictionaries, one row after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start


@dataclass
class Generated:
    """A session as columns: `rows` by UPDATES, `truth` by TRUTH, and the state after the last moment."""

    settings: SynthSettings
    rows: dict[str, NDArray[Any]]
    truth: dict[str, NDArray[Any]]
    state: Any

    @property
    def shift(self) -> float:
        """By how much a signal moves the probability."""
        return (2 * self.settings.theta - 1) * self.settings.jump_cents / 100

    def truth_of(self, market: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]:
        """Exchange times, probabilities and signals of one market."""
        mine = self.truth["market"] == market
        return self.truth["exch_ns"][mine], self.truth["p"][mine], self.truth["signal"][mine]

    def of(self, market: int) -> dict[str, NDArray[Any]]:
        """Rows of one market and those that concern all."""
        mine = (self.rows["market"] == market) | (self.rows["market"] == -1)
        return {name: column[mine] for name, column in self.rows.items()}


def generated(settings: SynthSettings, batch_rows: int = 1 << 15) -> Generated:
    """Generate all of a session."""
    state = start(settings)
    batches = list(run(state, batch_rows))
    tables = [pa.concat_tables([batch[part] for batch in batches]) for part in (0, 1)]
    rows, truth = ({name: table[name].to_numpy() for name in table.column_names} for table in tables)
    return Generated(settings, rows, truth, state)


@dataclass
class Book:
    """Sizes by price, bids and asks; `known` is False before the first snapshot and after a gap."""

    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    known: bool = False
    in_snapshot: bool = False

    @property
    def bid(self) -> int:
        return max(self.sides[Side.BID], default=0)

    @property
    def ask(self) -> int:
        return min(self.sides[Side.ASK], default=DOLLAR)

    def apply(self, kind: int, side: int, price: int, size: int) -> None:
        """Apply one row; AssertionError on a level that goes negative or a delta in an unknown book."""
        if kind == Kind.GAP:
            self.known = False
        elif kind == Kind.SNAPSHOT_LEVEL:
            if not self.in_snapshot:
                self.sides = ({}, {})
            self.in_snapshot = True
            assert size > 0
            self.sides[side][price] = size
        elif kind == Kind.SNAPSHOT_END:
            if not self.in_snapshot:
                self.sides = ({}, {})
            self.known, self.in_snapshot = True, False
        elif kind == Kind.DELTA:
            assert self.known, "a delta in an unknown book"
            left = self.sides[side].get(price, 0) + size
            assert left >= 0, f"level {price} goes to {left}"
            self.sides[side][price] = left
            if left == 0:
                del self.sides[side][price]


@dataclass(frozen=True)
class Moment:
    """The rows of one market with one exchange time, and the book after them."""

    exch_ns: int
    rows: list[tuple[int, int, int, int, int]]  # kind, side, price, size, taker
    bid: int
    ask: int
    known: bool
    depth: tuple[int, int]
    levels: tuple[dict[int, int], dict[int, int]]


def moments(rows: dict[str, NDArray[Any]]) -> Iterator[Moment]:
    """Replay one market, exchange time by exchange time; asserts that no row ever crosses or locks the book."""
    book = Book()
    names = ("kind", "side", "price", "size", "taker")
    table = list(zip(*(rows[name].tolist() for name in names)))
    exch = rows["exch_ns"].tolist()
    begin = 0
    for at in range(1, len(exch) + 1):
        if at < len(exch) and exch[at] == exch[begin]:
            continue
        for kind, side, price, size, _ in table[begin:at]:
            book.apply(kind, side, price, size)
            assert book.in_snapshot or not book.known or book.bid < book.ask
        depth = (len(book.sides[0]), len(book.sides[1]))
        levels = (dict(book.sides[0]), dict(book.sides[1]))
        yield Moment(exch[begin], table[begin:at], book.bid, book.ask, book.known, depth, levels)
        begin = at
