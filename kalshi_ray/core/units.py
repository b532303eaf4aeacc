"""Units, sides and the price grid. Everything inside is an integer.

    price  pip    $0.0001       a cent is 100 pips, a dollar 10,000
    size   lot    0.01 contract a contract is 100 lots
    money  micro  $0.000001     pip x lot = micro, exactly
    time   ns     nanoseconds since the epoch

Every price is a YES price: a NO bid at p is a YES ask at $1 - p.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import DataError

DOLLAR = 10_000  # pips
CENT = 100  # pips
CONTRACT = 100  # lots
MICROS_PER_CENT = 10_000
MICROS_PER_DOLLAR = 1_000_000
SECOND = 1_000_000_000  # ns
MILLISECOND = 1_000_000  # ns
MICROSECOND = 1_000  # ns


class Side(IntEnum):
    """A side of the book on the YES axis. A taker is named by the side it trades for: BID buys YES."""

    NONE = -1
    BID = 0
    ASK = 1


@dataclass(frozen=True)
class PriceGrid:
    """The prices an exchange accepts in one market, built from its `price_ranges`.

    `ranges` are (start, end, step) in pips, half open but for the last. Zero and one dollar are not prices.
    """

    ranges: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not self.ranges:
            raise DataError("a price grid needs at least one range (start, end, step)")
        for start, end, step in self.ranges:
            if not (0 <= start < end <= DOLLAR and step > 0 and (end - start) % step == 0):
                raise DataError(f"bad price range start={start} end={end} step={step}, in pips of $0.0001")
        if not len(self.prices):
            raise DataError(f"a price grid needs a price between zero and one dollar, {self.ranges} has none")

    @property
    def prices(self) -> NDArray[np.int32]:
        """All valid prices in pips, ascending; shape [L]. The tick of a price is its index here."""
        found: set[int] = set()
        for start, end, step in self.ranges:
            found.update(range(start, end + 1, step))
        return np.array(sorted(found - {0, DOLLAR}), np.int32)


CENT_GRID = PriceGrid(((0, DOLLAR, CENT),))
DECI_CENT_GRID = PriceGrid(((0, DOLLAR, 10),))
TAPERED_GRID = PriceGrid(((0, 1_000, 10), (1_000, 9_000, CENT), (9_000, DOLLAR, 10)))
FINEST_GRID = PriceGrid(((0, DOLLAR, 1),))


def axis_of(grids: Iterable[PriceGrid]) -> NDArray[np.int32]:
    """The union of several grids, ascending, in pips; shape [L]: one axis for a market whose grid changes."""
    return np.unique(np.concatenate([grid.prices for grid in grids])).astype(np.int32)
