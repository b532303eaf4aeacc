"""Small tapes written by hand: prices in cents, sizes in contracts, times in seconds of the exchange's clock.

    pack = pack_of(
        book(0, bids={45: 100}, asks={48: 100}),
        change(2, "ask", 48, -60),
        trade(2, "buys", 48, 60),
        settle(9, 100),
    )

A row is received 50 ms after it happened, unless `late` (in ms) says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from kalshi_ray.core.tape import GapCause, Kind, Status, ViewPack
from kalshi_ray.core.units import CENT, CONTRACT, MILLISECOND, SECOND
from kalshi_ray.data.schema import FLAG_BLOCK, MARKETS, UPDATES, Manifest
from kalshi_ray.data.views import build_pack_from_tables

T0 = 1_767_625_200 * SECOND  # a whole second, and a whole day less nine hours
LATE_MS = 50.0

Row = dict[str, Any]
Rows = list[Row]

CENTS = [(0, 10_000, 100)]
TENTHS = [(0, 10_000, 10)]


def at(seconds: float) -> int:
    """Nanoseconds of a time of the tape."""
    return T0 + round(seconds * 1e9)


def row(kind: Kind, t: float, *, late: float = LATE_MS, market: int = 0, **columns: int) -> Row:
    """One update that happened at `t` and was received `late` ms after it."""
    plain = {"market": market, "recv_ns": at(t) + round(late * MILLISECOND), "exch_ns": at(t), "sid": 1, "seq": 0}
    return plain | {"kind": int(kind), "side": -1, "price": 0, "size": 0, "taker": -1, "flags": 0} | columns


def _lots(contracts: float) -> int:
    return round(contracts * CONTRACT)


def _side(name: str) -> int:
    return {"bid": 0, "ask": 1}[name]


def book(
    t: float, bids: Mapping[float, float] | None = None, asks: Mapping[float, float] | None = None, **more: Any
) -> Rows:
    """A whole snapshot: contracts by price."""
    levels = [
        row(Kind.SNAPSHOT_LEVEL, t, side=side, price=round(cents * CENT), size=_lots(contracts), **more)
        for side, found in ((0, bids or {}), (1, asks or {}))
        for cents, contracts in found.items()
    ]
    return [*levels, row(Kind.SNAPSHOT_END, t, **more)]


def change(t: float, side: str, cents: float, contracts: float, **more: Any) -> Rows:
    """A level grows or, with a negative number, shrinks."""
    return [row(Kind.DELTA, t, side=_side(side), price=round(cents * CENT), size=_lots(contracts), **more)]


def trade(t: float, taker: str, cents: float, contracts: float, *, block: bool = False, **more: Any) -> Rows:
    """A print; the taker "buys" or "sells" YES, or is "unknown"."""
    side = {"buys": 0, "sells": 1, "unknown": -1}[taker]
    flags = FLAG_BLOCK if block else 0
    return [row(Kind.TRADE, t, taker=side, price=round(cents * CENT), size=_lots(contracts), flags=flags, **more)]


def taken(t: float, taker: str, cents: float, contracts: float, **more: Any) -> Rows:
    """A print and the decrease of the level that it hit."""
    hit = "ask" if taker == "buys" else "bid"
    return trade(t, taker, cents, contracts, **more) + change(t, hit, cents, -contracts, **more)


def gap(t: float, **more: Any) -> Rows:
    """From here on the book is unknown."""
    return [row(Kind.GAP, t, size=int(GapCause.SEQUENCE), **more)]


def status(t: float, now: Status, **more: Any) -> Rows:
    """The market pauses, goes on, closes."""
    return [row(Kind.STATUS, t, size=int(now), **more)]


def settle(t: float, cents: float, **more: Any) -> Rows:
    """The venue's result: what a YES pays."""
    return [row(Kind.SETTLEMENT, t, price=round(cents * CENT), **more)]


def schedule(t: float, close: float, **more: Any) -> Rows:
    """The scheduled close moves."""
    return [row(Kind.SCHEDULE, t, size=at(close), **more)]


def regrid(t: float, grid: int, **more: Any) -> Rows:
    """The price grid changes to one of the manifest's."""
    return [row(Kind.GRID, t, size=grid, **more)]


def fee(t: float, taker_ppm: int, maker_ppm: int, **more: Any) -> Rows:
    """The fee rates change."""
    return [row(Kind.FEE, t, size=taker_ppm, price=maker_ppm, **more)]


def markets_of(count: int, **columns: Any) -> pa.Table:
    """Markets M0, M1 … of one event, active, in cents, with maker fees; a column given replaces its default."""
    ranges = [[{"start": a, "end": b, "step": c} for a, b, c in CENTS]] * count
    plain: dict[str, Any] = {
        "ticker": [f"M{index}" for index in range(count)],
        "event": ["E0"] * count,
        "series": ["S0"] * count,
        "category": ["Test"] * count,
        "price_ranges": ranges,
        "fee_type": ["quadratic_with_maker_fees"] * count,
        "fee_multiplier": [1.0] * count,
        "open_ns": [0] * count,
        "close_ns": [0] * count,
        "status": [int(Status.ACTIVE)] * count,
    }
    return pa.table(plain | columns, schema=MARKETS)


def pack_of(*parts: Iterable[Row], markets: pa.Table | None = None, siblings: bool = False, **about: Any) -> ViewPack:
    """Views of the rows in order of receipt; `about` are fields of the manifest."""
    rows = sorted((one for part in parts for one in part), key=lambda one: one["recv_ns"])
    count = 1 + max(one["market"] for one in rows)
    manifest = Manifest(**({"id": "tape", "source": "synthetic"} | about))
    updates = pa.Table.from_pylist(rows, schema=UPDATES)
    return build_pack_from_tables(markets or markets_of(count), updates, manifest, siblings=siblings)


def mirrored(rows: Iterable[Row]) -> Rows:
    """The same tape with YES and NO swapped."""
    swapped = []
    for one in rows:
        twin = dict(one)
        if one["kind"] in (Kind.SNAPSHOT_LEVEL, Kind.DELTA, Kind.TRADE, Kind.SETTLEMENT):
            twin["price"] = 10_000 - one["price"]
        for name in ("side", "taker"):
            twin[name] = 1 - one[name] if one[name] >= 0 else -1
        swapped.append(twin)
    return swapped
