"""Parts of a split share no event and no time, and what lives across a cut is left out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.splits import PARTS, Split, SplitSettings, split_views
from kalshi_ray.errors import ConfigError, NothingToDo
from tests.data.pack_tables import BID, delta, end, markets_table, pack_of


def pack_with(spans: list[tuple[int, float, float]]) -> ViewPack:
    """One market per (event, first second, last second)."""
    rows = []
    for market, (_, first, last) in enumerate(spans):
        rows += [end(first * 1e3, market=market), delta(last * 1e3, BID, 100, 1, market=market)]
    rows.sort(key=lambda r: int(r["recv_ns"]))
    return pack_of(rows, markets_table(len(spans), event=[f"E{event}" for event, _, _ in spans]))


def members(split: Split) -> dict[str, list[int]]:
    return {name: getattr(split, name).tolist() for name in (*PARTS, "purged")}


DAYS = [(day, 100.0 * day, 100.0 * day + 90.0) for day in range(10) for _ in range(3)]


def test_events_in_a_row_are_divided_in_order_of_time() -> None:
    split = split_views(pack_with(DAYS), SplitSettings())
    assert members(split) == {
        "train": list(range(18)),
        "validation": list(range(18, 24)),
        "test": list(range(24, 30)),
        "purged": [],
    }


def test_the_table_tells_events_markets_and_time_of_each_part() -> None:
    pack = pack_with(DAYS)
    lines = split_views(pack, SplitSettings()).parts
    assert [(p.part, p.events, p.markets) for p in lines] == [
        ("train", 6, 18),
        ("validation", 2, 6),
        ("test", 2, 6),
        ("purged", 0, 0),
    ]
    assert lines[0].last_ns < lines[1].first_ns <= lines[1].last_ns < lines[2].first_ns


def test_events_that_live_across_a_cut_are_purged() -> None:
    overlapping = [(day, 100.0 * day, 100.0 * day + 150.0) for day in range(10)]
    split = split_views(pack_with(overlapping), SplitSettings())
    assert len(split.purged) == 2
    times = [(p.first_ns, p.last_ns) for p in split.parts[:3]]
    assert times[0][1] < times[1][0] and times[1][1] < times[2][0]


SPANS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200), st.integers(1, 60)), min_size=3, max_size=20).map(
    lambda drawn: [(event, float(first), float(first + length)) for event, first, length in drawn]
)


@given(SPANS, st.sampled_from(["event", "time", "both"]), st.integers(0, 3), st.sampled_from([0.0, 20.0]))
def test_parts_are_disjoint_in_what_was_asked_for(spans: list[Any], by: Any, seed: int, purge: float) -> None:
    pack = pack_with(spans)
    try:
        split = split_views(pack, SplitSettings(by=by, seed=seed, purge_s=purge))
    except NothingToDo:
        assume(False)
    found = members(split)
    assert sorted(view for part in found.values() for view in part) == list(range(len(spans)))
    parts = [found[name] for name in PARTS]
    if by in ("event", "both"):
        events = [{spans[v][0] for v in part} for part in parts]
        assert not (events[0] & events[1] or events[0] & events[2] or events[1] & events[2])
    if by in ("time", "both"):
        for earlier, later in pairwise(parts):
            assert max(spans[v][2] for v in earlier) + purge < min(spans[v][1] for v in later) + 1e-6


def test_a_draw_of_events_depends_on_the_seed_alone_and_keeps_the_shares() -> None:
    pack = pack_with(DAYS)
    one, again, other = (members(split_views(pack, SplitSettings(by="event", seed=s))) for s in (1, 1, 2))
    assert one == again != other
    assert [len(one[name]) for name in PARTS] == [18, 6, 6]


def test_a_part_that_nobody_wants_may_be_empty() -> None:
    split = split_views(pack_with(DAYS), SplitSettings(train=0.5, validation=0.0, test=0.5))
    assert [len(getattr(split, name)) for name in PARTS] == [15, 0, 15]


def test_some_views_of_a_pack_can_be_split() -> None:
    split = split_views(pack_with(DAYS), SplitSettings(by="event"), np.arange(0, 30, 3))
    assert sorted(v for part in members(split).values() for v in part) == list(range(0, 30, 3))


@pytest.mark.parametrize(
    ("spans", "by", "words"),
    [
        ([(0, 0.0, 9.0)], "both", "1 events split by 'both'.*Record more"),
        ([(0, 0.0, 9.0), (1, 0.0, 9.0)], "event", "2 events split by 'event'.*Record more"),
        ([(day, 0.0, 99.0) for day in range(8)], "both", "overlap: split by='event'"),
        ([(0, day * 9.0, 99.0) for day in range(8)], "time", "8 markets split by 'time'.*overlap"),
    ],
)
def test_a_part_that_would_be_empty_is_refused_with_advice(spans: list[Any], by: Any, words: str) -> None:
    with pytest.raises(NothingToDo, match=words):
        split_views(pack_with(spans), SplitSettings(by=by))


@pytest.mark.parametrize("shares", [{"train": 0.9}, {"train": 1.2, "validation": -0.4}, {"purge_s": -1.0}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SplitSettings(**shares)
