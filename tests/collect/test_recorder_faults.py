"""Whatever goes wrong: known books are true, every loss is a gap, nothing stands twice, and raw lines suffice."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.exchange.simulator.faults import FaultPlan
from tests.collect.course import NUMBERS, Course, check, check_prints, flow_of
from tests.collect.plans import mixed_plan

UPDATES = 300


def plan_of(seed: int) -> FaultPlan:
    return mixed_plan(seed, gap=0.02, duplicate=0.03, reorder=0.03, drop=0.02, slow_consumer=0.006, disconnect=0.006)


def run(seed: int) -> Counter[str]:
    """One plan to its end: markets come and go, the line falls silent, everything ends well."""
    chance, happens = random.Random(seed), Counter[str]()
    course = Course(plan_of(seed), flow_of(seed, UPDATES), block_ns=chance.choice((0, 20, 100)) * MILLISECOND)
    for _ in range(UPDATES):
        course.wait(0.01)
        assert course.is_true()
        luck = chance.random()
        if luck < 0.01:
            ticker = chance.choice(list(NUMBERS))
            if ticker in course.line.tickers:
                course.line.leave([ticker], course.tick())
            else:
                course.line.join({ticker: NUMBERS[ticker]}, course.tick())
        elif luck < 0.013:
            course.be_silent(28.0)
            happens["silences"] += 1
    course.line.join(NUMBERS, course.tick())
    for _ in range(80 if seed % 4 == 0 else 0):  # nothing happens, but pings are answered
        course.wait(0.5)
    for _ in range(600):
        if course.line.known_books == len(NUMBERS):
            break
        course.wait(0.1)
    else:
        raise AssertionError("a book stays unknown")
    course.finish()
    return check(course) + happens


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "seeds", [range(200), pytest.param(range(200, 1_000), marks=pytest.mark.slow)], ids=["200", "1000"]
)
def test_a_recording_is_true_and_whole_under_any_plan_of_faults(seeds: range) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        seen += run(seed)
    assert seen["known rows"] > 60 * len(seeds) and seen["GAP"] > 2 * len(seeds) and seen["silences"]


def test_a_book_is_not_known_before_its_prints_come_whatever_commands_are_lost() -> None:
    prints = 0
    for seed in range(12):
        chance, course = random.Random(seed), Course(FaultPlan(seed=seed), flow_of(seed, 300, SECOND // 5), mute=0.3)
        for _ in range(300):
            course.wait(0.2)
            ticker = chance.choice(list(NUMBERS))
            if chance.random() > 0.05:
                continue
            if ticker in course.line.tickers:
                course.line.leave([ticker], course.tick())
            else:
                course.line.join({ticker: NUMBERS[ticker]}, course.tick())
        course.finish()
        check(course)
        prints += check_prints(course)
    assert prints > 100


def test_on_a_healthy_line_every_change_and_every_print_stands_once_and_there_is_no_gap() -> None:
    course = Course(FaultPlan(), flow_of(1, UPDATES))
    for _ in range(UPDATES):
        course.wait(0.01)
    course.finish()
    seen = check(course)
    assert seen["GAP"] == 0 and seen["stretches"] == len(NUMBERS)
    assert seen["TRADE"] > 30 and seen["DELTA"] > 150
