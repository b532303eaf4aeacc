"""Markets to lines: events together, lines evenly filled, nothing twice, no number again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.assignment import Assignment
from kalshi_ray.errors import UnknownName

MARKETS = st.dictionaries(
    st.integers(0, 60).map("T{}".format), st.integers(0, 8).map("E{}".format), min_size=1, max_size=40
)


@given(
    st.lists(st.tuples(MARKETS, st.booleans(), st.integers(0, 3)), max_size=6), st.integers(1, 4), st.integers(1, 15)
)
def test_every_market_is_on_one_line_and_no_line_is_too_full(
    steps: list[tuple[dict[str, str], bool, int]], shards: int, per_line: int
) -> None:
    assignment = Assignment(shards, per_line, first_line=7)
    there: dict[str, str] = {}
    numbers: set[int] = set()
    for markets, dies, shard in steps:
        if dies:
            over, homeless = assignment.lost(shard % shards)
            assert all(number in numbers for number in over)
            assert {t: e for t, e in there.items() if t not in assignment} == homeless
            assignment.place(homeless)
        placed = assignment.place({t: e for t, e in markets.items() if there.setdefault(t, e) == e})
        there = {t: e for t, e in there.items() if t in assignment}
        assert all(number >= 7 for number in placed)
        before = max(numbers, default=0)
        numbers |= set(assignment.lines)
        assert all(number in assignment.lines or number <= before for number in numbers)
    on_lines = [ticker for line in assignment.lines.values() for ticker in line.markets]
    assert sorted(on_lines) == sorted(there) and all(ticker in assignment for ticker in on_lines)
    assert all(len(line.markets) <= per_line for line in assignment.lines.values())


def test_an_event_stays_together_and_shards_get_their_share() -> None:
    assignment = Assignment(4, 1_000, first_line=1)
    placed = assignment.place({f"E{event}-T{strike}": f"E{event}" for event in range(100) for strike in range(10)})
    assert sorted(map(len, placed.values())) == [250] * 4
    for tickers in placed.values():
        assert all(f"{ticker.partition('-')[0]}-T{strike}" in tickers for ticker in tickers for strike in range(10))


def test_a_market_that_joins_goes_to_its_event() -> None:
    assignment = Assignment(2, 10, first_line=1)
    (first,) = assignment.place({"A-1": "A"})
    assignment.place({"B-1": "B", "C-1": "C"})
    assert list(assignment.place({"A-2": "A"})) == [first]


def test_a_market_that_is_not_recorded_cannot_leave() -> None:
    with pytest.raises(UnknownName):
        Assignment(1, 10, first_line=1).leave(["X"])


def test_an_event_whose_markets_have_all_left_is_forgotten() -> None:
    assignment = Assignment(1, 10, first_line=1)
    assignment.place({"A-1": "A", "A-2": "A", "B-1": "B"})
    assignment.leave(["A-1", "B-1"])
    assert list(assignment._events) == ["A"]
    assignment.leave(["A-2"])
    assert not assignment._events and not list(assignment)
