"""The book after the fact: best prices at any time, and what closing at the end would bring."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kalshi_ray.core.tape import GapCause, Kind, Status, ViewPack
from kalshi_ray.core.units import CONTRACT, DOLLAR, MILLISECOND, SECOND, Side
from kalshi_ray.data.schema import MARKETS, UPDATES, Manifest
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.evaluate.hindsight import Hindsight, look_back
from tests.evaluate.standin import FILL

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


def at_end(pack: ViewPack, position: int, fills: list[tuple[float, int, int, int]] | None = None) -> Hindsight:
    """The end of the view for `position` contracts after taking fills (second, side, price, contracts)."""
    records = np.zeros(len(fills or []), FILL)
    for record, (second, side, price, size) in zip(records, fills or [], strict=True):
        record["venue_ns"] = SECOND * 1000 + int(second * SECOND)
        record["side"], record["price"], record["size"] = side, price, size * CONTRACT
    nothing = np.zeros(0, np.int64)
    return look_back(pack, 0, fills=records, query_us=nothing, position=position * CONTRACT, feed_us=0)


def fee(*levels: tuple[int, int]) -> int:
    """Taker fee of one order over (price, contracts), rounded up to a direct member's precision in all."""
    exact = sum(0.07 * size * price / DOLLAR * (1 - price / DOLLAR) * 1_000_000 for price, size in levels)
    return int(np.ceil(exact / 100 - 1e-9) * 100)


def test_best_prices_are_those_after_all_rows_of_that_time() -> None:
    pack = tape([(2.0, Kind.DELTA, BID, 5_000, 300), (4.0, Kind.DELTA, BID, 5_000, -300)])
    asked = (SECOND * 1000 + np.array([0.0, 1.9, 2.0, 3.9, 4.0, 9.0]) * SECOND).astype(np.int64) // 1000
    seen = look_back(pack, 0, fills=np.zeros(0, FILL), query_us=asked, position=0, feed_us=0)
    assert seen.bid.tolist() == [4_900, 4_900, 5_000, 5_000, 4_900, 4_900]
    assert seen.ask.tolist() == [5_100] * 6


def test_what_we_took_is_not_shown_again() -> None:
    pack = tape([])
    fills = np.zeros(1, FILL)
    fills["venue_ns"], fills["side"], fills["price"], fills["size"] = SECOND * 1001, +1, 5_100, 10 * CONTRACT
    asked = (SECOND * 1000 + np.array([0.5, 1.0, 2.0]) * SECOND).astype(np.int64) // 1000
    seen = look_back(pack, 0, fills=fills, query_us=asked, position=0, feed_us=0)
    assert seen.ask.tolist() == [5_100, 5_200, 5_200]


def test_a_long_position_is_sold_down_the_bids_with_taker_fee() -> None:
    value = at_end(tape([]), 15).close_value
    assert value == CONTRACT * (10 * 4_900 + 5 * 4_800) - fee((4_900, 10), (4_800, 5))


def test_a_short_position_is_bought_back_up_the_asks_with_taker_fee() -> None:
    value = at_end(tape([]), -15).close_value
    assert value == -CONTRACT * (10 * 5_100 + 5 * 5_200) - fee((5_100, 10), (5_200, 5))


def test_what_finds_no_size_is_worth_nothing() -> None:
    assert at_end(tape([]), 40).close_value == at_end(tape([]), 30).close_value
    assert at_end(tape([]), -40).close_value == at_end(tape([]), -30).close_value - 10 * CONTRACT * DOLLAR


def test_closing_does_not_find_the_size_that_we_took_before() -> None:
    sold = at_end(tape([]), 5, [(1.0, -1, 4_900, 10)])
    assert sold.close_value == CONTRACT * 5 * 4_800 - fee((4_800, 5))


def test_after_a_gap_there_is_no_book_to_close_against() -> None:
    seen = at_end(tape([(2.0, Kind.GAP, -1, 0, GapCause.SEQUENCE)]), 15)
    assert not seen.known and seen.close_value == 0
