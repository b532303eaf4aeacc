"""Records for the kernels: one trader, one venue, one order, a tape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import apply_to_book, load_axis, load_grid
from kalshi_ray.core.jit import as_rows, read_only
from kalshi_ray.core.rules import PPM, RULES
from kalshi_ray.core.tape import ASK_SIDE, LAG_UNKNOWN, UPDATE, VIEW, Kind, Status
from kalshi_ray.core.trader import start_trader, trader_dtype
from kalshi_ray.core.units import CENT_GRID, DECI_CENT_GRID, MILLISECOND, SECOND
from kalshi_ray.core.venue import start_venue, venue_dtype

BID, ASK = 0, 1
T0 = 1_700_000_000 * SECOND
BANKROLL = 100_000_000  # micros
GRIDS = {99: CENT_GRID, 999: DECI_CENT_GRID}
NO_VALUES = read_only(np.zeros(1, np.int64))


def one(dtype: np.dtype[Any]) -> Any:
    """A record of zeros that kernels can write."""
    return as_rows(np.zeros(1, dtype))[0]


def copied(record: Any) -> Any:
    """Another record with the same content."""
    array = np.zeros(1, record.dtype)
    array[0] = record
    return array[0]


def rules_of(**changes: int) -> Any:
    """RULES with the defaults of the market rules."""
    rules = np.zeros(1, RULES)
    plain = {
        "bankroll": BANKROLL,
        "position_limit": 50_000,
        "fee_precision": 100,
        "decision_ns": 250 * MILLISECOND,
        "burst_ns": 5 * MILLISECOND,
        "lifetime_ns": 30 * SECOND,
        "budget_interval_ns": SECOND,
        "budget_burst": 4,
        "feed_ns": 50 * MILLISECOND,
        "entry_ns": 100 * MILLISECOND,
        "response_ns": 100 * MILLISECOND,
        "cost_share_ppm": PPM,
        "mask_opposite_buy": 1,
    }
    for name, value in (plain | changes).items():
        rules[name] = value
    return as_rows(rules)[0]


def load_prices(book: Any, levels: int) -> None:
    """Axis and grid of the market: cents for 99 levels, tenths of a cent for 999."""
    load_axis(book, read_only(GRIDS[levels].prices[None, :].copy()), 0, levels)
    load_grid(book, read_only(np.ones((1, levels), np.uint8)), 0)


def update_of(
    kind: Kind,
    at_ms: float = 0.0,
    *,
    side: int = BID,
    tick: int = 0,
    size: int = 0,
    flags: int = 0,
    lag_us: int = LAG_UNKNOWN,
) -> Any:
    """One row of the tape, received `at_ms` after T0."""
    row = np.zeros(1, UPDATE)
    row["recv_ns"] = T0 + round(at_ms * MILLISECOND)
    row["lag_us"], row["kind"], row["tick"], row["size"] = lag_us, kind, tick, size
    row["flags"] = flags | (ASK_SIDE if side == ASK else 0)
    return as_rows(row)[0]


def tape_of(rows: list[Any]) -> NDArray[Any]:
    """Rows as a locked array, as a pack holds them."""
    return as_rows(read_only(np.array(rows, UPDATE)))


def whole_book(bids: dict[int, int], asks: dict[int, int], at_ms: float = 0.0) -> list[Any]:
    """A snapshot: sizes in lots by tick."""
    rows = [update_of(Kind.SNAPSHOT_LEVEL, at_ms, side=BID, tick=t, size=s) for t, s in bids.items()]
    rows += [update_of(Kind.SNAPSHOT_LEVEL, at_ms, side=ASK, tick=t, size=s) for t, s in asks.items()]
    return [*rows, update_of(Kind.SNAPSHOT_END, at_ms)]


def trader_of(
    bids: dict[int, int] | None = None,
    asks: dict[int, int] | None = None,
    *,
    levels: int = 99,
    bankroll: int = BANKROLL,
    now: int = T0,
    taker_ppm: int = 70_000,
    maker_ppm: int = 17_500,
) -> Any:
    """A trader of an active market that shows this book; without any book it is unknown."""
    trader, view = one(trader_dtype(levels)), one(VIEW)
    view["levels"], view["status"] = levels, Status.ACTIVE
    view["taker_ppm"], view["maker_ppm"] = taker_ppm, maker_ppm
    start_trader(trader, view, bankroll, now)
    load_prices(trader["book"], levels)
    if bids is not None or asks is not None:
        for update in tape_of(whole_book(bids or {}, asks or {})):
            apply_to_book(trader["book"], update)
    return trader


def venue_of(trader: Any, rows: int) -> Any:
    """The exchange as that trader knows it, before the first of `rows` rows of a tape."""
    venue = one(venue_dtype(trader["book"]["prices"].shape[0]))
    start_venue(venue, trader, 0, rows)
    return venue
