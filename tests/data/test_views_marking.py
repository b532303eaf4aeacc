"""Prints find the decreases they caused, whichever came first, and no lot is marked twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import BY_TRADE, Kind
from kalshi_ray.data.schema import FLAG_BLOCK
from tests.data.pack_tables import ASK, BID, MS, T0, delta, end, level, pack_of, trade
from tests.examples import some_of

EXCH = T0 - 20 * MS


def marked(rows: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    """(size, whether marked) of every delta of the only view, in order."""
    updates = pack_of(rows).updates
    return [(int(u["size"]), bool(u["flags"] & BY_TRADE)) for u in updates if u["kind"] == Kind.DELTA]


def test_a_decrease_is_marked_whether_its_print_comes_before_or_after() -> None:
    before = [trade(1, BID, 5_000, 10), delta(1.2, ASK, 5_000, -10, exch_ns=T0 - 19 * MS)]
    after = [delta(1, ASK, 5_000, -10), trade(1.2, BID, 5_000, 10, exch_ns=T0 - 19 * MS)]
    assert marked(before) == marked(after) == [(-10, True)]


@pytest.mark.parametrize(
    "other",
    [
        delta(1, ASK, 5_100, -10),
        delta(1, BID, 5_000, -10),
        delta(1, ASK, 5_000, 10),
        delta(1, ASK, 5_000, -10, exch_ns=EXCH),
    ],
    ids=["another price", "the taker's own side", "an increase", "another exchange time"],
)
def test_what_a_print_did_not_cause_is_a_cancel(other: dict[str, Any]) -> None:
    assert marked([other, trade(1.1, BID, 5_000, 10, exch_ns=T0 - 19 * MS)]) == [(other["size"], False)]


def test_a_print_whose_taker_is_unknown_may_have_hit_either_side() -> None:
    for side in (BID, ASK):
        assert marked([delta(1, side, 5_000, -10), trade(1, -1, 5_000, 10)]) == [(-10, True)]


def test_a_decrease_larger_than_the_print_is_split_and_keeps_its_total() -> None:
    rows = [level(0, ASK, 5_000, 99), end(0), delta(1, ASK, 5_000, -30), trade(1, BID, 5_000, 10)]
    assert marked(rows) == [(-10, True), (-20, False)]
    times = pack_of(rows).updates[2:4]
    assert times["recv_ns"].tolist() == [T0 + MS] * 2 and times["lag_us"].tolist() == [20_000] * 2


def test_a_print_larger_than_the_decrease_marks_all_of_it_and_goes_on_to_the_next() -> None:
    rows = [delta(1, ASK, 5_000, -6), delta(1, ASK, 5_000, -7), trade(1, BID, 5_000, 10)]
    assert marked(rows) == [(-6, True), (-4, True), (-3, False)]


def test_equal_sizes_are_matched_first() -> None:
    rows = [delta(1, ASK, 5_000, -5), delta(1, ASK, 5_000, -10), trade(1, BID, 5_000, 10)]
    assert marked(rows) == [(-5, False), (-10, True)]


def test_two_prints_never_mark_the_same_lots() -> None:
    rows = [delta(1, ASK, 5_000, -12), trade(1, BID, 5_000, 10), trade(1, BID, 5_000, 10)]
    assert marked(rows) == [(-12, True)]
    rows[0]["size"] = -25
    assert marked(rows) == [(-20, True), (-5, False)]


def test_block_prints_mark_nothing() -> None:
    assert marked([delta(1, ASK, 5_000, -10), trade(1, BID, 5_000, 10, flags=FLAG_BLOCK)]) == [(-10, False)]


def test_times_of_different_resolution_match_within_the_millisecond() -> None:
    fine = delta(1, ASK, 5_000, -10, exch_ns=EXCH + 400_000)
    assert marked([fine, trade(1, BID, 5_000, 10, exch_ns=EXCH)]) == [(-10, True)]
    exact = delta(1, ASK, 5_000, -4, exch_ns=EXCH)
    assert marked([fine, exact, trade(1, BID, 5_000, 4, exch_ns=EXCH)]) == [(-10, False), (-4, True)]


@pytest.mark.parametrize(("print_exch", "delta_exch"), [(0, 0), (0, EXCH), (EXCH, 0)])
def test_without_exchange_times_a_match_needs_the_same_receive_millisecond(print_exch: int, delta_exch: int) -> None:
    same = [trade(1.0, BID, 5_000, 10, exch_ns=print_exch), delta(1.9, ASK, 5_000, -10, exch_ns=delta_exch)]
    later = [trade(1.0, BID, 5_000, 10, exch_ns=print_exch), delta(2.0, ASK, 5_000, -10, exch_ns=delta_exch)]
    assert marked(same) == [(-10, True)]
    assert marked(later) == [(-10, False)]


def test_marks_use_the_exchange_time_as_sent_not_as_ordered() -> None:
    """The late print is moved behind the delta of 5 ms, yet belongs to the one of 1 ms."""
    early, late = T0 - 19 * MS, T0 - 15 * MS
    rows = [
        delta(1, ASK, 5_000, -10, exch_ns=early),
        delta(5, ASK, 5_000, -10, exch_ns=late),
        trade(6, BID, 5_000, 10, exch_ns=early),
    ]
    assert marked(rows) == [(-10, True), (-10, False)]


@pytest.mark.parametrize("away_ms", [200, 4_000])
def test_a_print_that_arrives_seconds_late_still_finds_its_decrease(away_ms: int) -> None:
    rows = [delta(1, ASK, 5_000, -10), *(delta(1 + i, BID, 100, 1) for i in range(1, 50))]
    assert marked([*rows, trade(1 + away_ms, BID, 5_000, 10, exch_ns=T0 - 19 * MS)])[0] == (-10, True)


def reference(rows: list[dict[str, Any]]) -> list[int]:
    """Lots of each row that were prints, by trying every print with every decrease in four rounds."""
    printed = [0] * len(rows)

    def match(t: dict[str, Any], d: dict[str, Any], whole_ms: bool) -> bool:
        sides = {BID: [ASK], ASK: [BID], -1: [BID, ASK]}[t["taker"]]
        if d["kind"] != Kind.DELTA or d["size"] >= 0 or d["price"] != t["price"] or d["side"] not in sides:
            return False
        if not t["exch_ns"] or not d["exch_ns"]:
            return bool(t["recv_ns"] // MS == d["recv_ns"] // MS)
        unit = MS if whole_ms else 1_000
        return bool(t["exch_ns"] // unit == d["exch_ns"] // unit)

    for whole_ms in (False, True):
        for equal in (True, False):
            for i, t in enumerate(rows):
                for j, d in enumerate(rows):
                    if t["kind"] == Kind.TRADE and match(t, d, whole_ms):
                        wanted, offered = t["size"] - printed[i], -d["size"] - printed[j]
                        if equal and (wanted != offered or printed[j]):
                            continue
                        taken = min(wanted, offered)
                        printed[i] += taken
                        printed[j] += taken
    return printed


DRAWN = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from([0, 1, 1, 2, 3, 5]),
        st.sampled_from([0, 400]),
        st.sampled_from([BID, ASK, -1]),
        st.sampled_from([5_000, 5_000, 5_100]),
        st.integers(1, 6),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=some_of(150), deadline=None, derandomize=True)
@given(DRAWN)
def test_marks_agree_with_a_search_of_everything(drawn: list[tuple[Any, ...]]) -> None:
    rows, at = [], 0.0
    for is_trade, pause, exch_ms, exch_us, side, price, size, blind in drawn:
        at += pause * 0.4
        exch = 0 if blind == 0 else EXCH + exch_ms * MS + exch_us * 1_000
        if is_trade:
            rows.append(trade(at, side, price, size, exch_ns=exch))
        else:
            rows.append(delta(at, max(side, 0), price, -size, exch_ns=exch))
    wanted = []
    for r, printed in zip(rows, reference(rows)):
        if r["kind"] == Kind.DELTA:
            wanted += [(-printed, True)] if printed else []
            wanted += [(r["size"] + printed, False)] if printed < -r["size"] else []
    assert marked(rows) == wanted
    assert sum(u["size"] for u in pack_of(rows).updates) == sum(r["size"] for r in rows)


def test_marks_are_the_same_for_every_market_of_a_session() -> None:
    rows = [delta(1, ASK, 5_000, -30), trade(1, BID, 5_000, 10)]
    pack = pack_of([r | {"market": m} for m in range(3) for r in rows])
    views = [pack.updates[v["start"] : v["stop"]].tobytes() for v in pack.views]
    assert len(set(views)) == 1 and np.diff(pack.views["start"]).tolist() == [3, 3]
