"""The market table of a session as the view builder needs it: price axes, ticks, fee rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.fees import COMBO_MAKER_PPM, MAKER_PPM, TAKER_PPM
from kalshi_ray.core.jit import read_only
from kalshi_ray.core.units import DOLLAR, PriceGrid, axis_of
from kalshi_ray.data.schema import MARKETS
from kalshi_ray.errors import DataError, SessionDamaged, UnknownName

# An unknown type is charged as the dearest common one (market-rules.md section 0).
_MAKER_PPM = {
    "quadratic": 0,
    "quadratic_with_maker_fees": MAKER_PPM,
    "quadratic_with_combo_maker_fees": COMBO_MAKER_PPM,
    "": MAKER_PPM,
}


@dataclass(frozen=True)
class MarketTable:
    """What was known of each market at its first update; lists and arrays by row of the table, [M]."""

    tickers: list[str]
    events: list[str]
    grids: list[PriceGrid]
    status: NDArray[np.int32]
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    fee_types: list[str]
    fee_multipliers: list[float]

    def row_of(self, ticker: str) -> int:
        """The row of a ticker, or UnknownName."""
        try:
            return self.tickers.index(ticker)
        except ValueError:
            raise UnknownName("market", ticker, self.tickers) from None


def read_market_table(markets: pa.Table) -> MarketTable:
    """The table, checked. SessionDamaged on a missing column, an empty cell, a doubled ticker or a bad grid."""
    for field in MARKETS:
        if field.name not in markets.schema.names:
            raise SessionDamaged(f"markets have no column {field.name!r}, expected {', '.join(MARKETS.names)}")
        if markets[field.name].null_count:
            raise SessionDamaged(f"markets: column {field.name!r} has empty cells, expected none")
    tickers = markets["ticker"].to_pylist()
    if len(set(tickers)) < len(tickers):
        doubled = next(ticker for ticker in tickers if tickers.count(ticker) > 1)
        raise SessionDamaged(f"market {doubled!r} stands more than once in the market table")
    return MarketTable(
        tickers=tickers,
        events=markets["event"].to_pylist(),
        grids=[_grid(ticker, ranges) for ticker, ranges in zip(tickers, markets["price_ranges"].to_pylist())],
        status=markets["status"].to_numpy().astype(np.int32),
        open_ns=markets["open_ns"].to_numpy(),
        close_ns=markets["close_ns"].to_numpy(),
        fee_types=markets["fee_type"].to_pylist(),
        fee_multipliers=markets["fee_multiplier"].to_pylist(),
    )


def _grid(ticker: str, ranges: list[dict[str, int]]) -> PriceGrid:
    try:
        return PriceGrid(tuple((r["start"], r["end"], r["step"]) for r in ranges))
    except DataError as error:
        raise SessionDamaged(f"{ticker}: {error}") from error


def fee_rates(fee_type: str, multiplier: float, ticker: str) -> tuple[int, int]:
    """Taker and maker rate in parts per million; an unknown type is charged with maker fees. DataError for `flat`."""
    if fee_type == "flat":
        raise DataError(
            f"{ticker}: fee type 'flat' has no published formula",
            remedy="Leave the market out, or correct fee_type if you know what the exchange charges",
        )
    if not 0.0 <= multiplier <= 1_000.0:
        raise SessionDamaged(f"{ticker}: fee multiplier {multiplier}, expected 0 to 1000")
    maker = _MAKER_PPM.get(fee_type, MAKER_PPM)
    return round(TAKER_PPM * multiplier), round(maker * multiplier)


@dataclass(frozen=True)
class Axes:
    """The price axes of a session: X axes of at most L prices, G pairs of an axis and a grid valid on it.

    An axis is the union of all grids a market has in the session; markets with equal unions share one.
    """

    axes: NDArray[np.int32]  # [X, L] pips, padded with one dollar
    levels: NDArray[np.int32]  # [X] prices on the axis
    grids: NDArray[np.uint8]  # [G, L] 1 where the price is valid on the grid
    ticks: NDArray[np.int16]  # [X, DOLLAR + 1] tick of a price, -1 off the axis
    axis: NDArray[np.int32]  # [M] axis of each market
    grid: NDArray[np.int32]  # [M] row of `grids` at the start of each market
    regrid: NDArray[np.int32]  # [X, N] row of `grids` for entry n of the manifest's grids; -1 never used there


def build_axes(
    grids: list[PriceGrid], later: list[list[list[int]]], changes: Iterable[tuple[int, int]], used: NDArray[np.bool_]
) -> Axes:
    """Axes of the markets whose first grids are `grids`; `changes` are (market, entry of `later`) of all GRID rows."""
    change_grids = [PriceGrid(tuple((a, b, c) for a, b, c in ranges)) for ranges in later]
    own: list[list[PriceGrid]] = [[grid] for grid in grids]
    for market, entry in changes:
        if change_grids[entry] not in own[market]:
            own[market].append(change_grids[entry])
    axis_rows: dict[bytes, int] = {}
    by_grids: dict[tuple[PriceGrid, ...], int] = {}
    prices: list[NDArray[np.int32]] = []
    pairs: dict[tuple[int, bytes], int] = {}
    axis = np.zeros(len(grids), np.int32)
    grid = np.zeros(len(grids), np.int32)
    for market in np.flatnonzero(used).tolist():
        key = tuple(own[market])
        if key not in by_grids:
            union = axis_of(own[market])
            by_grids[key] = axis_rows.setdefault(union.tobytes(), len(axis_rows))
            if len(prices) < len(axis_rows):
                prices.append(union)
        axis[market] = by_grids[key]
        grid[market] = pairs.setdefault((int(axis[market]), _packed(grids[market])), len(pairs))
    regrid = np.full((len(prices), max(len(later), 1)), -1, np.int32)
    for market, entry in changes:
        if used[market]:
            pair = (int(axis[market]), _packed(change_grids[entry]))
            regrid[axis[market], entry] = pairs.setdefault(pair, len(pairs))
    return _arrays(prices, pairs, axis, grid, regrid)


@cache
def _packed(grid: PriceGrid) -> bytes:
    return grid.prices.tobytes()


def _arrays(
    prices: list[NDArray[np.int32]],
    pairs: dict[tuple[int, bytes], int],
    axis: NDArray[np.int32],
    grid: NDArray[np.int32],
    regrid: NDArray[np.int32],
) -> Axes:
    longest = max(len(p) for p in prices)
    axes = np.full((len(prices), longest), DOLLAR, np.int32)
    ticks = np.full((len(prices), DOLLAR + 1), -1, np.int16)
    for row, found in enumerate(prices):
        axes[row, : len(found)] = found
        ticks[row, found] = np.arange(len(found), dtype=np.int16)
    valid = np.zeros((len(pairs), longest), np.uint8)
    for (row, packed), place in pairs.items():
        valid[place, : len(prices[row])] = np.isin(prices[row], np.frombuffer(packed, np.int32))
    levels = np.array([len(p) for p in prices], np.int32)
    return Axes(read_only(axes), levels, valid, read_only(ticks), axis, grid, read_only(regrid))
