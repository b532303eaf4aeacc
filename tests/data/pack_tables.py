"""Small sessions as tables, written row by row, for the tests of views, selection and analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.data.schema import MARKETS, UPDATES, Manifest
from kalshi_ray.data.views import build_pack_from_tables

CENTS = [{"start": 0, "end": 10_000, "step": 100}]
TAPERED = [
    {"start": 0, "end": 1_000, "step": 10},
    {"start": 1_000, "end": 9_000, "step": 100},
    {"start": 9_000, "end": 10_000, "step": 10},
]
T0 = 1_700_000_000_000_000_000  # ns
MS = 1_000_000
S = 1_000_000_000
BID, ASK = 0, 1


def row(kind: Kind, at_ms: float = 0.0, **columns: int) -> dict[str, Any]:
    """One update: received `at_ms` after T0, on the exchange 20 ms earlier unless `exch_ns` says otherwise."""
    recv = T0 + round(at_ms * MS)
    plain = {"market": 0, "recv_ns": recv, "exch_ns": recv - 20 * MS, "sid": 1, "seq": 0, "kind": int(kind)}
    return plain | {"side": -1, "price": 0, "size": 0, "taker": -1, "flags": 0} | columns


def level(at_ms: float, side: int, price: int, size: int, **more: int) -> dict[str, Any]:
    return row(Kind.SNAPSHOT_LEVEL, at_ms, side=side, price=price, size=size, **more)


def end(at_ms: float, **more: int) -> dict[str, Any]:
    return row(Kind.SNAPSHOT_END, at_ms, **more)


def delta(at_ms: float, side: int, price: int, size: int, **more: int) -> dict[str, Any]:
    return row(Kind.DELTA, at_ms, side=side, price=price, size=size, **more)


def trade(at_ms: float, taker: int, price: int, size: int, **more: int) -> dict[str, Any]:
    return row(Kind.TRADE, at_ms, taker=taker, price=price, size=size, **more)


def updates_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=UPDATES)


def markets_table(count: int = 1, **columns: Any) -> pa.Table:
    """`count` markets M0, M1 … of one event E0, active, cent grid; a column given as a list replaces its default."""
    plain: dict[str, Any] = {
        "ticker": [f"M{i}" for i in range(count)],
        "event": ["E0"] * count,
        "series": ["SER"] * count,
        "category": ["Weather"] * count,
        "price_ranges": [CENTS] * count,
        "fee_type": ["quadratic"] * count,
        "fee_multiplier": [1.0] * count,
        "open_ns": [0] * count,
        "close_ns": [0] * count,
        "status": [1] * count,
    }
    return pa.table(plain | columns, schema=MARKETS)


def manifest(**fields: Any) -> Manifest:
    return Manifest(**({"id": "test", "source": "synthetic"} | fields))


def pack_of(rows: list[dict[str, Any]], markets: pa.Table | None = None, **options: Any) -> ViewPack:
    """A pack of the rows; `manifest` may be given among the options."""
    count = 1 + max([r["market"] for r in rows], default=0)
    about = options.pop("manifest", manifest())
    table = markets_table(count) if markets is None else markets
    return build_pack_from_tables(table, updates_table(rows), about, **options)


def quoted_session(
    seed: int, *, markets: int = 4, changes: int = 400, step_ms: float = 500.0, trades: bool = True
) -> list[dict[str, Any]]:
    """A live session by a seed: each market starts with a snapshot, then quotes walk, with prints at the touch."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    bids, asks = rng.integers(20, 40, markets) * 100, rng.integers(45, 70, markets) * 100
    for market in range(markets):
        rows += [level(0, BID, int(bids[market]), 10_000, market=market)]
        rows += [level(0, ASK, int(asks[market]), 10_000, market=market), end(0, market=market)]
    at = earliest = 1_000.0
    for _ in range(changes):
        at = max(at + float(rng.exponential(step_ms)), earliest)
        market = int(rng.integers(markets))
        side = int(rng.integers(2))
        quotes = (bids, asks)[side]
        move = int(rng.choice([-100, 100]))
        moved = int(quotes[market]) + move
        fits = 100 <= moved <= 9_900 and (moved < asks[market] if side == BID else moved > bids[market])
        if trades and rng.random() < 0.3:
            price, lots = int(quotes[market]), int(rng.integers(1, 50)) * 100
            rows.append(trade(at, ASK if side == BID else BID, price, lots, market=market))
            earliest = at + 0.01
            rows += [delta(at, side, price, -lots, market=market), delta(earliest, side, price, lots, market=market)]
        elif fits:
            rows.append(delta(at, side, int(quotes[market]), -10_000, market=market))
            rows.append(delta(at, side, moved, 10_000, market=market))
            quotes[market] = moved
    return rows
