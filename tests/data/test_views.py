"""Packs hold exactly the rows of their session, parted by market, with grids, fees and sizes as recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import (
    ASK_SIDE,
    BY_TRADE,
    LAG_UNKNOWN,
    OFF_BOOK,
    TAKER_BOUGHT,
    TAKER_SOLD,
    GapCause,
    Kind,
    ViewPack,
)
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.market_table import fee_rates
from kalshi_ray.data.schema import FLAG_BLOCK, UPDATES
from kalshi_ray.data.views import build_pack_from_tables, subset_pack
from kalshi_ray.errors import DataError, NothingToDo, SessionDamaged, UnknownName
from tests import tapes
from tests.data.pack_tables import (
    ASK,
    BID,
    CENTS,
    MS,
    T0,
    TAPERED,
    delta,
    end,
    level,
    manifest,
    markets_table,
    pack_of,
    quoted_session,
    row,
    trade,
    updates_table,
)
from tests.examples import some_of


def rows_of(pack: ViewPack, view: int = 0) -> np.ndarray:
    found = pack.views[view]
    return pack.updates[found["start"] : found["stop"]]


def price_of(pack: ViewPack, view: int, update: np.void) -> int:
    return int(pack.axes[pack.views[view]["axis"], update["tick"]])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 40),
        st.sampled_from([Kind.SNAPSHOT_LEVEL, Kind.SNAPSHOT_END, Kind.DELTA, Kind.GAP]),
        st.integers(0, 1),
        st.integers(1, 99),
        st.integers(0, 5_000).filter(lambda size: size != GapCause.RECORDER),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=some_of(60), deadline=None, derandomize=True)
@given(ROWS, st.integers(1, 7))
def test_each_view_is_the_rows_of_its_market_in_order_of_arrival(drawn: list[tuple[Any, ...]], batch: int) -> None:
    at = 0
    rows = []
    for market, pause, kind, side, cents, size in drawn:
        at += pause
        rows.append(row(kind, at, market=market, side=side, price=cents * 100, size=size))
    pack = build_pack_from_tables(
        markets_table(4), iter(updates_table(rows).to_batches(max_chunksize=batch)), manifest()
    )
    for view, ticker in enumerate(pack.tickers):
        own = [r for r in rows if r["market"] == int(ticker[1:])]
        found = rows_of(pack, view)
        assert [r["recv_ns"] for r in own] == found["recv_ns"].tolist()
        assert [r["kind"] for r in own] == found["kind"].tolist()
        assert [r["size"] for r in own] == found["size"].tolist()
        priced = [i for i, r in enumerate(own) if r["kind"] in (Kind.SNAPSHOT_LEVEL, Kind.DELTA)]
        assert [own[i]["price"] for i in priced] == [price_of(pack, view, found[i]) for i in priced]
        assert [own[i]["side"] for i in priced] == [int(found[i]["flags"] & ASK_SIDE) for i in priced]
        venue = found["recv_ns"] // 1000 * 1000 - found["lag_us"].astype(np.int64) * 1000
        assert (np.diff(venue) >= 0).all()
    assert set(pack.tickers) == {f"M{m}" for m in {r["market"] for r in rows}}


def test_a_view_ends_with_its_recording_and_not_in_a_gap_that_says_so() -> None:
    """What is held at the end is valued at the last book; where frames are missing, it is unknown."""
    gaps = [row(Kind.GAP, 1, market=0, sid=1, size=4), row(Kind.GAP, 2, market=-1, sid=1, size=4)]
    pack = pack_of([end(0, market=0, sid=1), *gaps, row(Kind.GAP, 3, market=1, sid=1, size=4)])
    assert rows_of(pack, 0)["kind"].tolist() == [Kind.SNAPSHOT_END]
    assert rows_of(pack, 1)["kind"].tolist() == [Kind.GAP], "nothing else is there"
    pack = pack_of([end(0, market=0, sid=1), row(Kind.GAP, 1, market=0, sid=1, size=GapCause.SEQUENCE), gaps[1]])
    assert rows_of(pack, 0)["size"].tolist() == [0, GapCause.SEQUENCE]


def test_nothing_of_others_concerns_a_market_that_is_recorded_no_longer_until_it_is_again() -> None:
    signal = {"market": -1, "sid": 1, "price": 0, "size": 5}
    rows = [
        end(0, market=0, sid=1),
        row(Kind.GAP, 1, market=0, sid=1, size=4),
        row(Kind.GAP, 2, market=-1, sid=1, size=3),
        row(Kind.SIGNAL, 3, **signal),
        end(4, market=0, sid=1),
        row(Kind.SIGNAL, 5, **signal),
    ]
    pack = pack_of(rows)
    expected = [Kind.SNAPSHOT_END, Kind.GAP, Kind.SNAPSHOT_END, Kind.SIGNAL]
    assert rows_of(pack, 0)["kind"].tolist() == expected


def test_a_market_without_updates_has_no_view() -> None:
    pack = pack_of([end(0, market=1)], markets_table(3))
    assert pack.tickers == ("M1",)
    assert pack.views["market"].tolist() == [1]


def test_a_gap_of_every_market_goes_into_every_view_of_its_subscription() -> None:
    rows = [end(0, market=0, sid=1), end(0, market=1, sid=2), row(Kind.GAP, 1, market=-1, sid=1, size=1)]
    pack = pack_of([*rows, end(2, market=0, sid=1), end(2, market=1, sid=2)])
    assert rows_of(pack, 0)["kind"].tolist() == [Kind.SNAPSHOT_END, Kind.GAP, Kind.SNAPSHOT_END]
    assert rows_of(pack, 1)["kind"].tolist() == [Kind.SNAPSHOT_END] * 2


def test_a_gap_of_an_unknown_subscription_goes_into_every_view() -> None:
    rows = [end(0, market=0, sid=1), end(0, market=1, sid=2), row(Kind.GAP, 1, market=-1, sid=0, size=2)]
    pack = pack_of([*rows, end(2, market=0, sid=1), end(2, market=1, sid=2)])
    assert [rows_of(pack, view)["size"].tolist() for view in (0, 1)] == [[0, 2, 0], [0, 2, 0]]


def test_a_choice_of_tickers_gives_the_same_rows_as_the_whole_session() -> None:
    rows = quoted_session(1, markets=4)
    whole, part = pack_of(rows), pack_of(rows, tickers=["M2", "M1"])
    assert part.tickers == ("M1", "M2")
    for view, ticker in enumerate(part.tickers):
        assert rows_of(part, view).tobytes() == rows_of(whole, whole.tickers.index(ticker)).tobytes()


def test_an_unknown_ticker_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match="NOPE"):
        pack_of([end(0)], tickers=["NOPE"])


def test_a_session_without_updates_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDo):
        build_pack_from_tables(markets_table(2), UPDATES.empty_table(), manifest())


def test_an_update_costs_at_most_24_bytes() -> None:
    rows = quoted_session(3, markets=3, changes=4_000)
    pack = pack_of(rows)
    assert pack.nbytes <= 24 * len(rows) + pack.axes.nbytes + pack.grids.nbytes + pack.views.nbytes


def test_every_array_is_read_only_from_birth() -> None:
    pack = pack_of(quoted_session(1))
    assert not any(array.flags.writeable for array in vars(pack).values() if isinstance(array, np.ndarray))


# Times


def test_lag_is_receive_less_exchange_time_in_whole_microseconds() -> None:
    pack = pack_of([end(0, recv_ns=T0 + 1_999, exch_ns=T0 - 5_000)])
    assert rows_of(pack)["lag_us"].tolist() == [6]


def test_an_unknown_exchange_time_stays_unknown_and_does_not_order_others() -> None:
    rows = [end(0, exch_ns=0), delta(1, BID, 100, 5), delta(2, BID, 100, 5, exch_ns=0)]
    assert rows_of(pack_of(rows))["lag_us"].tolist() == [LAG_UNKNOWN, 20_000, LAG_UNKNOWN]


def test_a_late_row_is_given_the_latest_exchange_time_before_it() -> None:
    rows = [end(0), delta(100, BID, 100, 5), delta(101, BID, 100, 5, exch_ns=T0 + 30 * MS)]
    assert rows_of(pack_of(rows))["lag_us"].tolist() == [20_000, 20_000, 21_000]


def test_an_exchange_time_hours_before_receipt_is_cut_to_what_a_row_holds() -> None:
    rows = [end(0, exch_ns=T0 - 10_000_000 * MS), delta(1, BID, 100, 5)]
    assert rows_of(pack_of(rows))["lag_us"].tolist() == [2**31 - 1, 20_000]


def test_time_running_backwards_is_refused_with_market_and_row() -> None:
    with pytest.raises(SessionDamaged, match=r"M0, update 1: .*backwards"):
        pack_of([end(5), delta(4, BID, 100, 5)])


def test_an_exchange_time_far_in_the_future_is_refused() -> None:
    with pytest.raises(SessionDamaged, match="35 minutes after"):
        pack_of([end(0, exch_ns=T0 + 10_000_000 * MS)])


# Grids


def test_a_book_level_off_the_grid_is_refused_with_market_and_row() -> None:
    with pytest.raises(SessionDamaged, match=r"M1, update 2: .*5050 pips"):
        pack_of([end(0), end(0, market=1), delta(1, BID, 5_050, 5, market=1)])


def test_a_damaged_market_that_was_not_chosen_does_no_harm() -> None:
    rows = [end(0), end(0, market=1), delta(1, BID, 5_050, 5, market=1)]
    assert pack_of(rows, tickers=["M0"]).tickers == ("M0",)


def test_off_grid_and_block_prints_are_kept_off_the_book() -> None:
    rows = [end(0), trade(1, BID, 5_050, 5), trade(2, ASK, 5_000, 5, flags=FLAG_BLOCK), trade(3, BID, 5_000, 5)]
    found = rows_of(pack_of(rows))[1:]
    assert found["tick"].tolist() == [-1, 49, 49]
    assert found["flags"].tolist() == [OFF_BOOK | TAKER_BOUGHT, OFF_BOOK | TAKER_SOLD, TAKER_BOUGHT]


def test_the_axis_is_the_union_of_all_grids_and_each_grid_says_which_prices_are_valid() -> None:
    ranges = [[r["start"], r["end"], r["step"]] for r in TAPERED]
    rows = [end(0), end(0, market=1), row(Kind.GRID, 1, size=0), delta(2, BID, 50, 7)]
    pack = pack_of(rows, manifest=manifest(grids=[ranges]))
    first, second = pack.views
    assert (first["levels"], second["levels"]) == (279, 99)
    assert pack.grids[first["grid"]].sum() == 99
    change = rows_of(pack)[1]
    assert pack.grids[pack.values[change["size"]]].sum() == 279
    assert price_of(pack, 0, rows_of(pack)[2]) == 50
    assert pack.axes[second["axis"], 98] == 9_900 and pack.axes[second["axis"], 99] == DOLLAR


def test_markets_of_equal_grids_share_an_axis() -> None:
    pack = pack_of([end(0, market=m) for m in range(3)], markets_table(3, price_ranges=[CENTS, TAPERED, CENTS]))
    assert pack.views["axis"].tolist() == [0, 1, 0]
    assert pack.axes.shape == (2, 279)


def test_a_change_to_a_grid_the_manifest_does_not_know_is_refused() -> None:
    with pytest.raises(SessionDamaged, match="M0 changes to price grid 3"):
        pack_of([end(0), row(Kind.GRID, 1, size=3)])


# What does not fit a row


def test_fee_schedule_and_signal_rows_point_at_their_values() -> None:
    rows = [
        end(0),
        row(Kind.SCHEDULE, 1, size=T0 + 5),
        row(Kind.FEE, 2, size=35_000, price=8_750),
        row(Kind.SIGNAL, 3, market=-1, sid=0, price=1, size=-2_500_000),
        row(Kind.SETTLEMENT, 4, price=10_000),
    ]
    pack = pack_of(rows, manifest=manifest(signals=["a", "b"]))
    schedule, fee, signal, settlement = rows_of(pack)[1:]
    assert pack.values[schedule["size"]] == T0 + 5
    assert pack.values[fee["size"] : fee["size"] + 2].tolist() == [35_000, 8_750]
    assert (signal["tick"], pack.values[signal["size"]]) == (1, -2_500_000)
    assert settlement["size"] == 10_000


@pytest.mark.parametrize("size", [2**31, 2**31 - 1, 5 * 2**31 + 17, -(2**31), -(2**33) - 1])
def test_a_change_beyond_32_bits_becomes_rows_of_the_same_time_with_the_same_total(size: int) -> None:
    rows = [end(0), delta(1, BID, 5_000, 7), delta(2, BID, 5_000, size), delta(3, BID, 5_000, 9)]
    found = rows_of(pack_of(rows))
    split = found[found["recv_ns"] == T0 + 2 * MS]
    assert split["size"].astype(np.int64).sum() == size
    assert len(split) == -(-abs(size) // (2**31 - 1))
    assert found["recv_ns"].tolist() == sorted(found["recv_ns"].tolist())


def test_a_level_beyond_32_bits_is_completed_by_deltas_after_the_end_of_its_snapshot() -> None:
    size = 2**33 + 5
    rows = [level(0, BID, 5_000, size), end(0, market=1), level(0, ASK, 6_000, 3), end(1), delta(2, BID, 5_000, -1)]
    found = rows_of(pack_of(rows))
    assert found["kind"].tolist() == [1, 1, 2, 3, 3, 3, 3, 3]
    assert found["size"].astype(np.int64)[[0, 3, 4, 5, 6]].sum() == size
    assert found["recv_ns"].tolist() == sorted(found["recv_ns"].tolist())


# Bad rows


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(Kind.DELTA, 1, market=7, side=0, price=100, size=1), "market 7 is not one of the 1"),
        (row(Kind.DELTA, 1) | {"kind": 12}, "kind 12 is unknown"),
        (delta(1, 2, 100, 1), "side 2"),
        (level(1, BID, 100, -5), "size -5 lots"),
        (trade(1, BID, 100, 0), "size 0 lots"),
        (row(Kind.STATUS, 1, size=9), "STATUS row"),
        (row(Kind.SETTLEMENT, 1, price=10_001), "SETTLEMENT row"),
        (row(Kind.DELTA, 1, market=-1, side=0, price=100, size=1), "DELTA row without a market"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_what_came(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(SessionDamaged, match=words):
        pack_of([end(0), bad], markets_table(1))


def test_a_missing_column_and_an_empty_cell_are_refused() -> None:
    table = updates_table([end(0)])
    with pytest.raises(SessionDamaged, match="no column 'size'"):
        build_pack_from_tables(markets_table(1), table.drop_columns(["size"]), manifest())
    hollow = table.set_column(1, "recv_ns", pa.array([None], pa.int64()))
    with pytest.raises(SessionDamaged, match="'recv_ns' has 1 empty"):
        build_pack_from_tables(markets_table(1), hollow, manifest())


def test_a_ticker_that_stands_twice_is_refused() -> None:
    with pytest.raises(SessionDamaged, match="'A' stands more than once"):
        pack_of([end(0)], markets_table(2, ticker=["A", "A"]))


# Fees


@pytest.mark.parametrize(
    ("kind", "multiplier", "rates"),
    [
        ("quadratic", 1.0, (70_000, 0)),
        ("quadratic", 0.5, (35_000, 0)),
        ("quadratic_with_maker_fees", 1.0, (70_000, 17_500)),
        ("quadratic_with_combo_maker_fees", 0.5, (35_000, 17_500)),
        ("", 1.0, (70_000, 17_500)),
        ("something new", 1.0, (70_000, 17_500)),
        ("quadratic_with_maker_fees", 0.0, (0, 0)),
    ],
)
def test_fee_rates_follow_type_and_multiplier_and_the_unknown_is_dear(
    kind: str, multiplier: float, rates: tuple[int, int]
) -> None:
    assert fee_rates(kind, multiplier, "M0") == rates


def test_a_flat_fee_is_refused_rather_than_guessed() -> None:
    with pytest.raises(DataError, match="M0: fee type 'flat'"):
        pack_of([end(0)], markets_table(1, fee_type=["flat"]))


# Marks (the search itself: test_views_marking.py)


def test_marks_are_written_into_the_rows_of_the_pack() -> None:
    rows = [level(0, ASK, 5_000, 100), end(0), delta(1, ASK, 5_000, -30), trade(1, BID, 5_000, 10)]
    found = rows_of(pack_of(rows))
    assert found["size"].tolist() == [100, 0, -10, -20, 10]
    assert (found["flags"] & BY_TRADE).tolist() == [0, 0, BY_TRADE, 0, 0]


# Choice and siblings


def test_a_subset_shares_the_large_arrays() -> None:
    pack = pack_of(quoted_session(1, markets=4))
    part = subset_pack(pack, np.array([2, 0]))
    assert part.tickers == ("M2", "M0") and part.updates is pack.updates
    with pytest.raises(NothingToDo):
        subset_pack(pack, np.array([], np.int64))


def sibling_reference(rows: list[dict[str, Any]], markets: list[int]) -> list[tuple[int, ...]]:
    """Best prices of one event replayed in order of arrival with dictionaries."""
    books: dict[int, tuple[dict[int, int], dict[int, int]]] = {m: ({}, {}) for m in markets}
    best = dict.fromkeys(markets, (0, DOLLAR))
    found = []
    for r in rows:
        m = r["market"]
        if m not in books:
            continue
        if r["kind"] in (Kind.SNAPSHOT_LEVEL, Kind.DELTA):
            side = books[m][r["side"]]
            side[r["price"]] = side.get(r["price"], 0) + r["size"]
            if side[r["price"]] == 0:
                del side[r["price"]]
        if r["kind"] in (Kind.SNAPSHOT_END, Kind.DELTA):
            now = (max(books[m][0], default=0), min(books[m][1], default=DOLLAR))
            if now != best[m]:
                change = (now[0] - best[m][0], now[1] - best[m][1])
                best[m] = now
                sums = (sum(b for b, _ in best.values()), sum(a for _, a in best.values()))
                found.append((r["recv_ns"], m, *change, *sums))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_siblings_are_the_changes_of_best_prices_of_the_event_with_their_sums(seed: int) -> None:
    rows = quoted_session(seed, markets=5, changes=300)
    rows = [r | {"recv_ns": r["recv_ns"] + i} for i, r in enumerate(rows)]  # no ties: order of arrival is order of time
    table = markets_table(5, event=["A", "B", "A", "B", "B"])
    pack = pack_of(rows, table, siblings=True)
    for event, markets in ((0, [0, 2]), (1, [1, 3, 4])):
        found = pack.siblings[pack.sibling_start[event] : pack.sibling_start[event + 1]]
        assert [tuple(map(int, f)) for f in found] == sibling_reference(rows, markets)


def test_siblings_of_a_chosen_market_see_the_whole_event() -> None:
    rows = quoted_session(2, markets=4)
    table = markets_table(4, event=["A", "B", "A", "B"])
    whole, part = pack_of(rows, table, siblings=True), pack_of(rows, table, tickers=["M3"], siblings=True)
    event = whole.events.index("B")
    wanted = whole.siblings[whole.sibling_start[event] : whole.sibling_start[event + 1]]
    own = part.views[0]["event"]
    assert part.tickers == ("M3",) and part.events[own] == "B"
    assert part.siblings[part.sibling_start[own] : part.sibling_start[own + 1]].tobytes() == wanted.tobytes()


def test_a_gap_of_everybody_is_nothing_to_a_market_that_has_not_begun_or_is_settled() -> None:
    first = tapes.book(0, bids={40: 10}) + tapes.settle(2, 100)
    second = tapes.book(5, bids={40: 10}, market=1) + tapes.change(9, "bid", 40, 1, market=1)
    gaps = [row for t in (1, 3, 7) for row in tapes.gap(t, market=-1)]
    pack = tapes.pack_of(first, second, gaps, markets=tapes.markets_of(2))
    kinds = [pack.updates["kind"][view["start"] : view["stop"]].tolist() for view in pack.views]
    level, end, delta, gap, settled = 1, 2, 3, 5, 10
    assert kinds == [[level, end, gap, settled], [level, end, gap, delta]]
    assert len(pack.updates) == 8
