"""Measures of a market agree with a plain replay, and quarters, patterns and endings say what happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.data.measures import (
    OPEN,
    PATH,
    REGIMES,
    make_survey,
    measure_one,
    measure_pack,
    spans_of,
)
from kalshi_ray.data.replay import make_replay, tape_of
from tests.data.book_states import State, best_prices, reference_states
from tests.data.pack_tables import ASK, BID, MS, T0, S, delta, end, level, markets_table, pack_of, row, trade


def state_of(state: State, bid: int, ask: int) -> int:
    if not state["known"]:
        return 0
    if state["status"] != 1:
        return 1
    return 2 if bid > 0 and ask < 10_000 and bid >= ask else OPEN


def reference_measures(pack: ViewPack, view: int) -> dict[str, Any]:
    found = pack.views[view]
    rows = pack.updates[found["start"] : found["stop"]]
    states = reference_states(pack, view)
    sums: dict[str, Any] = {"seconds": np.zeros(4), "regime_s": np.zeros(5), "quote_changes": 0}
    sums |= dict.fromkeys(("two_sided_s", "bid_only_s", "ask_only_s", "spread_sum", "mid_sum"), 0.0)
    sums |= dict.fromkeys(("touch_sum", "depth_sum"), 0.0)
    bid, ask = 0, 10_000
    for i, update in enumerate(rows):
        state = states[i + 1]
        if state["known"]:
            now = best_prices(pack, view, state)
            sums["quote_changes"] += now != (bid, ask)
            bid, ask = now
        if i + 1 == len(rows):
            break
        seconds = (int(rows[i + 1]["recv_ns"]) - int(update["recv_ns"])) * 1e-9
        standing = state_of(state, bid, ask)
        sums["seconds"][standing] += seconds
        if standing != OPEN:
            continue
        axis = pack.axes[found["axis"]].tolist()
        book = state["book"]
        sums["depth_sum"] += sum(book.values()) * seconds
        if bid > 0 and ask < 10_000:
            touch = (book[(BID, axis.index(bid))] + book[(ASK, axis.index(ask))]) / 2
            sums["two_sided_s"] += seconds
            sums["spread_sum"] += (ask - bid) * seconds
            sums["mid_sum"] += (ask + bid) / 2 * seconds
            sums["touch_sum"] += touch * seconds
            sums["regime_s"][sum(ask - bid >= 100 * cents for cents in REGIMES)] += seconds
        elif bid > 0 or ask < 10_000:
            sums["bid_only_s" if bid > 0 else "ask_only_s"] += seconds
    return sums


def busy_session(seed: int) -> list[dict[str, Any]]:
    """Small books that are replaced, lose a side, cross, pause and go unknown."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    at = 0.0
    for market in range(2):
        book: dict[tuple[int, int], int] = {}
        for _ in range(150):
            at += float(rng.exponential(2_000))
            draw = rng.random()
            if draw < 0.1:
                count = int(rng.integers(0, 5))
                book = {(int(rng.integers(2)), int(rng.integers(30, 70)) * 100): 500 for _ in range(count)}
                rows += [level(at, side, price, size, market=market) for (side, price), size in book.items()]
                rows.append(end(at, market=market))
            elif draw < 0.15:
                rows.append(row(Kind.GAP, at, market=market, size=1))
            elif draw < 0.2:
                rows.append(row(Kind.STATUS, at, market=market, size=int(rng.integers(1, 3))))
            else:
                side = int(rng.integers(2))
                key = (side, int(rng.integers(20, 55) if side == BID else rng.integers(45, 80)) * 100)
                gone = [k for k in book if rng.random() < 0.5]
                change = -book[gone[0]] if gone else int(rng.integers(1, 900))
                key = gone[0] if gone else key
                book = {k: v for k, v in (book | {key: book.get(key, 0) + change}).items() if v}
                rows.append(delta(at, *key, change, market=market))
        at = 0.0
    return sorted(rows, key=lambda r: int(r["recv_ns"]))


@pytest.mark.parametrize("seed", range(6))
def test_times_and_sums_agree_with_a_plain_replay(seed: int) -> None:
    pack = pack_of(busy_session(seed))
    for view, found in enumerate(measure_pack(pack)):
        assert not found["damaged"]
        for name, wanted in reference_measures(pack, view).items():
            assert found[name] == pytest.approx(wanted, rel=1e-9, abs=1e-9), name


def test_the_plain_replays_saw_every_state() -> None:
    found = np.concatenate([measure_pack(pack_of(busy_session(seed))) for seed in range(6)])
    assert (found["seconds"].sum(axis=0) > 0).all()
    assert all(found[name].sum() > 0 for name in ("two_sided_s", "bid_only_s", "ask_only_s", "quote_changes"))


def test_counts_are_those_of_the_rows() -> None:
    rows = [level(0, BID, 4_000, 10), end(0), delta(1, BID, 4_000, 5), trade(2, BID, 5_000, 7), trade(3, 1, 5_050, 8)]
    found = measure_pack(pack_of([*rows, row(Kind.GAP, 4, size=1)]))[0]
    names = ("updates", "snapshots", "deltas", "trades", "off_book", "traded", "gaps")
    assert [int(found[name]) for name in names] == [6, 1, 1, 2, 1, 15, 1]


def test_decisions_are_counted_in_the_quarter_of_the_session_and_of_the_event() -> None:
    early = [level(0, BID, 4_000, 10), end(0), *(delta(1_000.0 * t, BID, 4_000, 1) for t in range(1, 21))]
    late = [end(0, market=1), delta(80_000.0, BID, 4_000, 1, market=1)]
    rows = sorted([*early, *late], key=lambda r: int(r["recv_ns"]))
    pack = pack_of(rows, markets_table(2, event=["A", "B"]))
    found = measure_pack(pack)
    assert found["decisions"][0].tolist() == [20, 0, 0, 0]
    assert found["event_decisions"][0].tolist() == [5, 5, 5, 5]
    assert found["event_ns"].tolist() == [20 * S, 80 * S] and found["session_ns"].tolist() == [80 * S] * 2
    assert found["decisions"].sum(axis=1).tolist() == pack.views["steps"].tolist()


def test_damaged_levels_are_counted() -> None:
    rows = [level(0, BID, 4_000, 10), end(0), delta(1, BID, 4_000, -11)]
    assert measure_pack(pack_of(rows))["damaged"].tolist() == [1]


def path_of(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    pack = pack_of(rows)
    survey = make_survey(len(rows) + 1, len(rows))
    measure = np.zeros(1, measure_pack(pack).dtype)
    measure_one(tape_of(pack), make_replay(pack.max_levels), 0, spans_of(pack), as_rows(measure)[0], survey)
    return np.asarray(survey.path)[: survey.used[0]], np.asarray(survey.prints)[: survey.used[1]]


def test_a_path_has_one_row_per_burst_as_the_book_stood_after_it_and_is_closed_at_the_end() -> None:
    rows = [level(0, BID, 4_000, 10), level(0, ASK, 5_000, 10), end(0), delta(10, BID, 4_000, 3)]
    rows += [delta(20, BID, 4_100, 3), delta(24, BID, 4_200, 3), delta(25, BID, 4_300, 3)]
    rows += [row(Kind.GAP, 30, size=1), row(Kind.SIGNAL, 50, size=1)]
    path, _ = path_of(rows)
    assert path.dtype == PATH
    assert [(int(p["recv_ns"] - T0) // MS, int(p["bid"]), int(p["state"])) for p in path] == [
        (0, 4_000, OPEN),
        (20, 4_200, OPEN),
        (25, 4_300, OPEN),
        (30, 4_300, 0),
        (50, 4_300, 0),
    ]


def test_a_change_of_fees_is_a_row_of_the_path() -> None:
    rows = [level(0, BID, 4_000, 10), end(0), row(Kind.FEE, 10, size=35_000, price=0), end(20)]
    assert path_of(rows)[0]["taker_ppm"].tolist()[:2] == [70_000, 35_000]


def test_prints_off_the_book_are_not_marked() -> None:
    rows = [end(0), trade(1, BID, 5_000, 7), trade(2, ASK, 5_050, 7), trade(3, -1, 5_000, 9)]
    rows.append(trade(4, ASK, 100, 2, flags=1))
    _, prints = path_of(rows)
    assert [(int(p["price"]), int(p["size"]), int(p["taker"])) for p in prints] == [(5_000, 7, 0), (5_000, 9, -1)]


def test_activity_is_counted_by_hour_and_by_tenth_of_the_session() -> None:
    hour = 3_600_000.0
    start = T0 // (24 * 3_600 * S) * (24 * 3_600 * S)
    rows = [level(0, BID, 4_000, 10), end(0), delta(1.2 * hour, BID, 4_100, 1), delta(2 * hour, BID, 4_200, 1)]
    rows = [r | {"recv_ns": r["recv_ns"] - T0 + start, "exch_ns": 0} for r in rows]
    pack, survey = pack_of(rows), make_survey(0, 0)
    found = np.zeros(1, measure_pack(pack).dtype)
    measure_one(tape_of(pack), make_replay(pack.max_levels), 0, spans_of(pack), as_rows(found)[0], survey)
    hours, phases = np.asarray(survey.hours), np.asarray(survey.phases)
    assert hours["updates"][:4].tolist() == [2, 1, 1, 0]
    assert phases["updates"].tolist() == [2, 0, 0, 0, 0, 0, 1, 0, 0, 1]
    assert hours["decisions"].sum() == phases["decisions"].sum() == found["decisions"].sum() == 2
