"""An episode can start at any keyframe: the state there is the state of a replay from the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kalshi_ray.core.book import apply_to_book, book_dtype, book_size, load_axis, load_book
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import KEYFRAME, LEVEL, Kind, ViewPack
from kalshi_ray.data.keyframes import BYTES_PER_ROW, SPACING
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import ViewSampler
from kalshi_ray.env.settings import EnvSettings
from tests.data.book_states import State, reference_states
from tests.data.pack_tables import (
    ASK,
    BID,
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
)


def stored_state(pack: ViewPack, frame: np.void) -> State:
    levels = pack.levels[frame["level_start"] : frame["level_stop"]]
    return {
        "known": int(frame["known"]),
        "in_snapshot": int(frame["in_snapshot"]),
        "book": {(int(x["side"]), int(x["tick"])): int(x["size"]) for x in levels},
        "grid": int(frame["grid"]),
        "status": int(frame["status"]),
        "close_ns": int(frame["close_ns"]),
        "fees": (int(frame["taker_ppm"]), int(frame["maker_ppm"])),
    }


def eventful_session(seed: int, updates: int, markets: int = 2) -> list[dict[str, Any]]:
    """Random deltas with snapshots, gaps, pauses, fee, grid and schedule changes between them."""
    rng = np.random.default_rng(seed)
    books: list[dict[tuple[int, int], int]] = [{} for _ in range(markets)]
    rows: list[dict[str, Any]] = []
    at = 0.0
    for _ in range(updates):
        at += float(rng.exponential(30))
        m, draw = int(rng.integers(markets)), rng.random()
        if draw < 0.002 or not books[m]:
            books[m] = {(s, (10 if s == BID else 60) * 100 + 100 * i): 50_000 for s in (BID, ASK) for i in range(30)}
            rows += [level(at, s, p, size, market=m) for (s, p), size in books[m].items()] + [end(at, market=m)]
        elif draw < 0.003:
            rows.append(row(Kind.GAP, at, market=m, size=1))
        elif draw < 0.007:
            kind = [Kind.STATUS, Kind.SCHEDULE, Kind.FEE, Kind.GRID][int(rng.integers(4))]
            size = {Kind.STATUS: int(rng.integers(1, 3)), Kind.GRID: int(rng.integers(2))}.get(kind, int(at))
            rows.append(row(kind, at, market=m, size=size, price=7))
        else:
            key = list(books[m])[int(rng.integers(len(books[m])))]
            change = int(rng.integers(-5_000, 5_001))
            change = -books[m][key] if rng.random() < 0.02 else max(change, -books[m][key])
            books[m][key] += change
            rows.append(delta(at, key[0], key[1], change, market=m))
    return rows


GRIDS = [[[r["start"], r["end"], r["step"]] for r in ranges] for ranges in (TAPERED, [TAPERED[1]])]


@pytest.fixture(scope="module", params=[0, 1])
def eventful(request: pytest.FixtureRequest) -> ViewPack:
    return pack_of(eventful_session(request.param, 14_000), manifest=manifest(grids=GRIDS))


def test_every_keyframe_is_the_state_of_a_replay_from_the_start(eventful: ViewPack) -> None:
    stored = 0
    for view, found in enumerate(eventful.views):
        states = reference_states(eventful, view)
        for frame in eventful.keyframes[found["key_start"] : found["key_stop"]]:
            assert stored_state(eventful, frame) == states[frame["at"] - found["start"]]
            stored += 1
    assert stored == len(eventful.keyframes) >= 6


def test_a_replay_from_any_keyframe_reaches_the_book_of_a_replay_from_the_start(eventful: ViewPack) -> None:
    for view, found in enumerate(eventful.views):
        states = reference_states(eventful, view)
        levels = int(found["levels"])
        for frame in eventful.keyframes[found["key_start"] : found["key_stop"]]:
            book = as_rows(np.zeros(1, book_dtype(book_size(levels))))
            load_axis(book[0], eventful.axes, int(found["axis"]), levels)
            stored, rows = as_rows(eventful.levels), as_rows(eventful.updates)
            span = (int(frame["level_start"]), int(frame["level_stop"]), int(frame["known"]), 0)
            load_book(book[0], stored, *span)
            for at in range(int(frame["at"]), int(found["stop"])):
                apply_to_book(book[0], rows[at])
            lots = book["recorded"][0]
            final = {(s, t): int(lots[s, t]) for s in (0, 1) for t in np.flatnonzero(lots[s]).tolist()}
            assert final == states[-1]["book"] and int(book["known"][0]) == states[-1]["known"]


def test_a_view_has_a_keyframe_before_its_first_row_and_then_about_every_spacing(eventful: ViewPack) -> None:
    for found in eventful.views:
        at = eventful.keyframes[found["key_start"] : found["key_stop"]]["at"]
        assert at[0] == found["start"]
        steps = np.diff(np.append(at, found["stop"]))
        assert (steps[:-1] >= SPACING).all() and (steps <= SPACING + 100).all()


@pytest.mark.parametrize("levels", [5, 45, 2_000])
def test_keyframes_cost_at_most_three_bytes_per_row_however_deep_the_book(levels: int) -> None:
    fine = [{"start": 0, "end": 10_000, "step": 1}]
    rows = [level(0, s, (1 if s == BID else 5_001) + i, 9, market=0) for s in (BID, ASK) for i in range(levels)]
    rows += [end(0), *(delta(1 + i, BID, 1, 1) for i in range(30_000))]
    pack = pack_of(rows, markets_table(1, price_ranges=[fine]))
    later = pack.keyframes[1:]
    stored = int((later["level_stop"] - later["level_start"]).sum())
    assert len(later) >= (1 if levels > 1_000 else 10)
    assert KEYFRAME.itemsize * len(later) + LEVEL.itemsize * stored <= BYTES_PER_ROW * len(rows)


# Decision points


def decisions(pack: ViewPack) -> list[int]:
    found: list[int] = pack.views["steps"].tolist()
    return found


TWO_SIDED = [level(0, BID, 4_000, 100), level(0, ASK, 5_000, 100), end(0)]


@pytest.mark.parametrize(
    ("times_ms", "wanted"),
    [
        ([], 0),  # the snapshot itself falls due after the last row
        ([6], 1),
        ([4, 300, 400], 2),
        ([6, 7, 8, 400], 2),
        ([6, 100, 200, 300, 400, 500, 600, 900], 4),
    ],
)
def test_decisions_fall_due_5_ms_after_a_change_and_250_ms_after_each_other(times_ms: list[int], wanted: int) -> None:
    rows = [*TWO_SIDED, *(delta(t, BID, 4_000, 1) for t in times_ms)]
    assert decisions(pack_of(rows)) == [wanted]


@pytest.mark.parametrize(
    "closed",
    [
        row(Kind.GAP, 500, size=1),
        row(Kind.STATUS, 500, size=2),
        delta(500, BID, 5_000, 7),
        delta(500, BID, 5_100, 7),
    ],
    ids=["unknown", "not active", "locked", "crossed"],
)
def test_no_decision_while_the_book_is_unknown_locked_or_crossed_or_the_market_not_active(
    closed: dict[str, Any],
) -> None:
    rows = [*TWO_SIDED, delta(300, BID, 4_000, 1), closed]
    rows += [delta(1_000 + 300 * i, BID, 3_000, 1) for i in range(5)]
    assert decisions(pack_of(rows)) == [2]


def test_prints_acks_and_unchanged_time_do_not_trigger() -> None:
    rows = [*TWO_SIDED, row(Kind.TRADE, 1_000, price=5_000, size=3, taker=BID), row(Kind.SIGNAL, 9_000, size=1)]
    assert decisions(pack_of(rows)) == [1]


def decision_reference(pack: ViewPack, view: int) -> int:
    """The timer walked in steps of a tenth of a millisecond."""
    found = pack.views[view]
    states = reference_states(pack, view)
    rows = pack.updates[found["start"] : found["stop"]]
    waiting, last, made, at = 0, 0, 0, 0

    def is_open(state: State) -> bool:
        bids, asks = ([t for s, t in state["book"] if s == side] for side in (0, 1))
        crossed = bids and asks and max(bids) >= min(asks)
        return bool(state["known"] and state["status"] == 1 and not crossed)

    for now in range(T0, int(rows[-1]["recv_ns"]) + 1, MS // 10):
        while at < len(rows) and rows[at]["recv_ns"] <= now:
            changed = rows[at]["kind"] in (Kind.SNAPSHOT_END, Kind.DELTA) and states[at + 1]["known"]
            reopened = rows[at]["kind"] == Kind.STATUS and rows[at]["size"] == 1
            at += 1
            if (changed or reopened) and not waiting:
                waiting = int(rows[at - 1]["recv_ns"])
        if waiting and now >= max(waiting + 5 * MS, last + 250 * MS):
            waiting = 0
            if is_open(states[at]):
                made, last = made + 1, now
    return made


@pytest.mark.parametrize("seed", range(3))
def test_decision_points_agree_with_a_timer_walked_step_by_step(seed: int) -> None:
    rows = [r | {"recv_ns": r["recv_ns"] // MS * MS} for r in quoted_session(seed, markets=1, changes=60, step_ms=120)]
    pack = pack_of(rows)
    assert decisions(pack) == [decision_reference(pack, 0)]


@pytest.mark.parametrize("seed", range(3))
def test_decision_points_are_those_of_the_environment(seed: int) -> None:
    rows = quoted_session(seed, markets=3, changes=200, step_ms=150)
    rows.insert(len(rows) * 2 // 3, row(Kind.SETTLEMENT, (rows[len(rows) * 2 // 3]["recv_ns"] - T0) / MS, price=10_000))
    pack = pack_of(rows)
    views = np.arange(3, dtype=np.int32)
    sampler = ViewSampler(pack, views, order="each-once", seed=0)
    env = MarketVectorEnv(pack, EnvSettings(start="whole"), num_envs=1, seed=0, sampler=sampler)
    batch = env.new_batch()
    env.reset_into(batch)
    steps: dict[int, int] = {}
    while len(steps) < 3:
        env.step_into(np.zeros(1, np.int64), batch)
        steps |= {int(e["view_index"]): int(e["steps"]) for e in env.take_episodes()}
    assert [steps[view] for view in range(3)] == decisions(pack)
