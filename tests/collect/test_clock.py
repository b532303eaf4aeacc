"""Receive times never fall and follow the wall clock; what it does otherwise is counted and told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.clock import JUMP_NS, LOOK_NS, Clock
from kalshi_ray.core.units import MILLISECOND, SECOND

WALL = 1_791_000_000 * SECOND


class Machine:
    """A machine whose two clocks the test moves."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 5 * SECOND, WALL

    def clock(self, last_ns: int = 0) -> Clock:
        return Clock(lambda: self.wall, lambda: self.monotonic, last_ns)

    def wait(self, ns: int, *, wall_ns: int | None = None) -> None:
        self.monotonic += ns
        self.wall += ns if wall_ns is None else wall_ns


STEPS = st.lists(
    st.tuples(
        st.integers(0, 10 * SECOND),
        st.one_of(st.none(), st.integers(-4_000 * SECOND, 4_000 * SECOND), st.integers(-2 * SECOND, 2 * SECOND)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(-100 * SECOND, 100 * SECOND))
def test_times_never_fall_and_are_never_behind_the_wall_clock_when_it_is_looked_at(
    steps: list[tuple[int, int | None]], earlier: int
) -> None:
    machine = Machine()
    clock, last = machine.clock(WALL + earlier), WALL + earlier
    for waited, wall in steps:
        machine.wait(waited, wall_ns=wall)
        time = clock()
        assert time > last or (time == last and last > WALL + earlier), "nothing at or before the earlier life"
        if waited >= LOOK_NS:
            assert time == max(time, machine.wall)
        last = time


def test_between_two_looks_time_passes_steadily_whatever_the_wall_clock_says() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wait(10 * MILLISECOND, wall_ns=90 * SECOND)
    assert clock() == WALL + 10 * MILLISECOND and clock.jumps == 0
    machine.wait(LOOK_NS)
    assert clock() == machine.wall and clock.jumps == 1


def test_a_jump_is_told_once_with_its_size_in_both_directions() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wait(SECOND)
    machine.wait(SECOND, wall_ns=31 * SECOND)
    assert clock() == WALL + 32 * SECOND
    (forward,) = clock.take_jumps()
    assert forward.size_ns == 30 * SECOND and "forward by 30.000 s" in str(forward)
    machine.wait(SECOND, wall_ns=-59 * SECOND)
    assert clock() == WALL + 33 * SECOND, "it goes on"
    (back,) = clock.take_jumps()
    assert back.size_ns == -60 * SECOND and "back by 60.000 s" in str(back)
    for _ in range(50):
        machine.wait(SECOND)
        clock()
    assert clock.jumps == 2 and clock.take_jumps() == []


def test_small_corrections_are_no_jumps_and_times_ahead_fall_back_to_the_wall_clock_slowly() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wait(SECOND, wall_ns=SECOND - 50 * MILLISECOND)
    assert clock() == WALL + SECOND
    before = clock()
    machine.wait(SECOND)
    assert SECOND * 63 // 64 <= clock() - before < SECOND
    for _ in range(5):
        machine.wait(SECOND)
        clock()
    assert clock() == machine.wall and clock.jumps == 0


def test_a_life_that_begins_before_the_end_of_the_last_one_is_a_jump() -> None:
    machine = Machine()
    late = machine.clock(last_ns=WALL + 10 * SECOND)
    assert late() == WALL + 10 * SECOND + 1 and late.jumps == 1
    assert late.take_jumps()[0].size_ns == -10 * SECOND - 1
    assert machine.clock(last_ns=WALL + JUMP_NS // 2).jumps == 0
    assert machine.clock(last_ns=WALL - SECOND)() == WALL
