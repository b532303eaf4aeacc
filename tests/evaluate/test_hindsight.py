"""The book after the fact: best prices at any time, and where the mid went after a fill."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kalshi_ray.core.tape import GapCause, Kind, Status, ViewPack
from kalshi_ray.core.units import CONTRACT, DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.data.schema import MARKETS, UPDATES, Manifest
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.env.records import FILL
from kalshi_ray.evaluate.hindsight import best_prices
from kalshi_ray.evaluate.markouts import markouts_of, mids_around

BID, ASK = Side.BID, Side.ASK
LEVELS = [(BID, 4_900, 10), (BID, 4_800, 20), (ASK, 5_100, 10), (ASK, 5_200, 20)]


def tape(later: list[tuple[float, Kind, int, int, int]]) -> ViewPack:
    """One market whose snapshot shows LEVELS (contracts) at second 0; then (second, kind, side, price, size) rows."""
    rows = [(0.0, Kind.SNAPSHOT_LEVEL, side, price, size * CONTRACT) for side, price, size in LEVELS]
    rows += [(0.0, Kind.SNAPSHOT_END, -1, 0, 0), *later]
    columns = {name: [0] * len(rows) for name in UPDATES.names}
    columns["exch_ns"] = [SECOND * 1000 + int(row[0] * SECOND) for row in rows]
    columns["recv_ns"] = [at + 50 * MILLISECOND for at in columns["exch_ns"]]
    for index, name in enumerate(("kind", "side", "price", "size"), 1):
        columns[name] = [int(row[index]) for row in rows]
    columns["taker"] = [-1] * len(rows)
    words = {"ticker": "M", "event": "E", "series": "S", "category": "", "fee_type": "quadratic"}
    numbers = {"fee_multiplier": 1.0, "open_ns": 0, "close_ns": 0, "status": int(Status.ACTIVE)}
    market = {**words, **numbers, "price_ranges": [{"start": 0, "end": DOLLAR, "step": 100}]}
    manifest = Manifest(id="t", source="synthetic")
    return build_pack_from_tables(
        pa.Table.from_pylist([market], schema=MARKETS), pa.table(columns, schema=UPDATES), manifest
    )


def asked(*seconds: float) -> np.ndarray:
    """Times after the snapshot, in microseconds."""
    return (SECOND * 1000 + np.array(seconds) * SECOND).astype(np.int64) // 1000


def test_best_prices_are_those_after_all_rows_of_that_time() -> None:
    pack = tape([(2.0, Kind.DELTA, BID, 5_000, 300), (4.0, Kind.DELTA, BID, 5_000, -300)])
    times = asked(0.0, 1.9, 2.0, 3.9, 4.0, 9.0)
    bid, ask = best_prices(pack, 0, fills=np.zeros(0, FILL), query_us=times, feed_us=0)
    assert bid.tolist() == [4_900, 4_900, 5_000, 5_000, 4_900, 4_900]
    assert ask.tolist() == [5_100] * 6


def test_what_we_took_is_not_shown_again() -> None:
    fills = np.zeros(1, FILL)
    fills["venue_ns"], fills["side"], fills["price"], fills["size"] = SECOND * 1001, +1, 5_100, 10 * CONTRACT
    _, ask = best_prices(tape([]), 0, fills=fills, query_us=asked(0.5, 1.0, 2.0), feed_us=0)
    assert ask.tolist() == [5_100, 5_200, 5_200]


def test_an_unknown_book_has_no_best_prices() -> None:
    pack = tape([(2.0, Kind.GAP, -1, 0, GapCause.SEQUENCE)])
    bid, ask = best_prices(pack, 0, fills=np.zeros(0, FILL), query_us=asked(1.0, 3.0), feed_us=0)
    assert bid.tolist() == [4_900, -1] and ask.tolist() == [5_100, -1]


def test_markouts_weigh_the_move_of_the_mid_by_size() -> None:
    pack = tape([(2.0, Kind.DELTA, BID, 5_000, 300)])
    fills = np.zeros(2, FILL)
    fills["venue_ns"], fills["side"] = SECOND * 1000 + np.array([1, 1]) * SECOND, [+1, -1]
    fills["price"], fills["size"], fills["maker"] = [4_900, 5_100], [100, 300], 1
    mids, spreads = mids_around(pack, 0, fills, seconds=(0.5, 5.0), feed_us=0)
    assert spreads.tolist() == [200, 200]
    assert mids.tolist() == [[10_000, 10_000, 10_100]] * 2
    soon, later = markouts_of(fills, mids, (0.5, 5.0))
    assert soon.maker_cents == 1.0 and soon.taker_cents is None
    assert later.maker_cents == (100 * 1.5 + 300 * 0.5) / 400
    assert (later.maker_fills, later.taker_fills) == (2, 0)
