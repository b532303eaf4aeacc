"""What is looked at between two decisions is what a plain reader would have written down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.env.market_env import Batch
from kalshi_ray.env.records import FILL, joined
from kalshi_ray.env.samplers import DONE
from kalshi_ray.evaluate.shards import rows_for, shards_of
from kalshi_ray.evaluate.watch import Curve, count_answers
from tests.evaluate.sessions import small_session
from tests.examples import some_of

TIMES = np.array([0, 10, 20, 30])
ROW = np.dtype([("now_ns", np.int64), ("equity", np.int64)])


@settings(max_examples=some_of(60))
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-50, 50)), min_size=1, max_size=20))
def test_the_curve_holds_the_last_equity_seen_by_each_time(seen: list[tuple[int, int]]) -> None:
    curve, batch = Curve(TIMES, 3, 2), Batch.empty(2, 1, 1)
    rows, current = np.zeros(2, ROW), np.array([DONE, 1])
    for now, gain in sorted(seen):
        rows["now_ns"], rows["equity"] = now, 1_000 + gain
        assert curve.follow(rows, current, 1_000, batch) == 0
    expected = [next((gain for now, gain in sorted(seen, reverse=True) if now <= time), 0) for time in TIMES[:-1]]
    assert curve.total(np.array([0, 1, 2], np.int32)).tolist() == [*expected, sorted(seen)[-1][1]]


def test_a_row_whose_episode_ended_is_counted_and_not_noted() -> None:
    curve, batch = Curve(TIMES, 1, 1), Batch.empty(1, 1, 1)
    batch.truncated[:] = True
    assert curve.follow(np.ones(1, ROW), np.array([0]), 0, batch) == 1
    assert not curve.total(np.array([0], np.int32)).any()


def test_answers_are_counted_for_rows_that_play() -> None:
    counts = np.zeros(4, np.int64)
    count_answers(np.array([1, 3, 3, 0]), np.array([0, 5, DONE, 2]), counts)
    assert counts.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("most", [1, 3, 64])
def test_rows_are_never_more_than_the_longest_market_leaves_work_for(most: int) -> None:
    pack, _ = small_session()
    shard = shards_of(np.arange(10, dtype=np.int32), np.full(10, -1), 10)[0]
    steps, rows = pack.views["steps"].astype(int), rows_for(pack, shard, most)
    assert 1 <= rows <= min(most, 10)
    assert rows == most or (rows - 1) * steps.max() < steps.sum()


def test_joined_records_are_all_of_them_in_order() -> None:
    chunks = [np.zeros(n, FILL) for n in (2, 0, 3)]
    for at, chunk in enumerate(chunks):
        chunk["size"] = at + np.arange(len(chunk))
    assert joined(chunks, FILL)["size"].tolist() == [0, 1, 2, 3, 4]
    assert len(joined([], FILL)) == 0
