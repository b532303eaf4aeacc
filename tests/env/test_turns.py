"""Each order plays what it says, whatever the lengths of the episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.env.turns import DONE, Balanced, Drawn, Growing, InTurn, Turns

WEIGHTS = np.array([1.0, 5.0, 0.0, 4.0])
MAKERS: dict[str, Callable[[], Turns]] = {
    "in turn": lambda: InTurn(np.array([2, 0, 1]), once=False),
    "once": lambda: InTurn(np.array([2, 0, 1]), once=True),
    "drawn": lambda: Drawn(WEIGHTS),
    "growing": lambda: Growing(np.ones(40), np.arange(40.0)),
    "balanced": lambda: Balanced(np.ones(6), np.array([0.0, 0, 0, 1, 1, 2])),
}


def taken(turns: Turns, count: int, seed: int = 0) -> list[int]:
    random = np.random.default_rng(seed)
    return [turns.next(random) for _ in range(count)]


def test_in_turn_goes_round_and_once_ends() -> None:
    assert taken(MAKERS["in turn"](), 7) == [2, 0, 1, 2, 0, 1, 2]
    assert taken(MAKERS["once"](), 5) == [2, 0, 1, DONE, DONE]


def test_draws_follow_the_weights_and_a_weight_of_zero_is_never_drawn() -> None:
    counts = np.bincount(taken(Drawn(WEIGHTS), 20_000), minlength=4)
    assert counts[2] == 0
    assert counts / 20_000 == pytest.approx(WEIGHTS / WEIGHTS.sum(), abs=0.015)


@given(st.integers(1, 200), st.floats(0.0, 1.0))
def test_the_eligible_are_the_easiest_and_their_share_grows_from_a_quarter_to_all(count: int, share: float) -> None:
    difficulty = np.random.default_rng(count).permutation(count).astype(float)
    turns = Growing(np.ones(count), difficulty)
    first = turns.eligible
    assert first == max(1, -(-count // 4))
    turns.set_progress(share)
    assert first <= turns.eligible <= count and (share < 0.7 or turns.eligible == count)
    drawn = difficulty[taken(turns, 50)]
    assert drawn.max() < turns.eligible


def test_halfway_to_the_end_of_the_growth_five_eighths_take_part_by_their_weights() -> None:
    turns = Growing(np.arange(1.0, 9.0), np.arange(8.0)[::-1])
    turns.set_progress(0.35)
    assert turns.eligible == 5
    counts = np.bincount(taken(turns, 20_000), minlength=8)
    expected = np.array([0, 0, 0, 4, 5, 6, 7, 8])
    assert counts / 20_000 == pytest.approx(expected / expected.sum(), abs=0.015)


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_balanced_gives_every_class_the_same_number_of_steps(seed: int, rows: int) -> None:
    """Classes of one, three and twelve markets, whose episodes differ in length by a factor of up to fifty."""
    random = np.random.default_rng(seed)
    classes = np.repeat([0.0, 1.0, 2.0], [1, 3, 12])
    lengths = random.integers(10, 500, len(classes))
    turns = Balanced(np.ones(len(classes)), classes)
    steps = np.zeros(3)
    running = [turns.next(random) for _ in range(rows)]
    for _ in range(600):
        row = int(random.integers(rows))
        ended = running[row]
        turns.ended(ended, int(lengths[ended]))
        steps[int(classes[ended])] += lengths[ended]
        running[row] = turns.next(random)
    # What still runs is all that may differ, by an episode or two for each row.
    assert steps.max() - steps.min() <= 2 * (rows + 1) * lengths.max()


def test_balanced_draws_within_a_class_by_weight() -> None:
    turns = Balanced(np.array([1.0, 3.0, 8.0]), np.array([4.0, 4.0, 9.0]))
    random, counts = np.random.default_rng(1), np.zeros(3)
    for _ in range(8_000):
        position = turns.next(random)
        turns.ended(position, 100)
        counts[position] += 1
    assert counts / 8_000 == pytest.approx([0.125, 0.375, 0.5], abs=0.02)


@pytest.mark.parametrize("name", list(MAKERS))
def test_turns_go_on_exactly_from_their_state(name: str) -> None:
    one, two = MAKERS[name](), MAKERS[name]()
    one.set_progress(0.4)
    for position in taken(one, 2):
        one.ended(position, 17 + position)
    two.set_state(one.get_state())
    course: list[Any] = []
    for turns in (one, two):
        random, seen = np.random.default_rng(5), []
        for _ in range(30):
            position = turns.next(random)
            seen.append(position)
            if position != DONE:
                turns.ended(position, 3 + position)
        course.append(seen)
    assert course[0] == course[1]
