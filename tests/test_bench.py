"""The table of the benchmarks judges by its bounds."""

from __future__ import annotations

import pytest

from bench.__main__ import line, measured
from bench.figures import Figure, Measured, amount, in_turns


def figure(**bounds: float) -> Figure:
    return Figure(name="steps", unit="1/s", measure=lambda: Measured(100.0, 50.0), **bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ({}, "shown"),
        ({"floor": 100.0}, "pass"),
        ({"floor": 101.0}, "FAIL"),
        ({"ceiling": 99.0}, "FAIL"),
        ({"floor": 1.0, "ratio_floor": 2.0}, "pass"),
        ({"floor": 1.0, "ratio_floor": 2.1}, "FAIL"),
        ({"ratio_ceiling": 1.9}, "FAIL"),
    ],
)
def test_a_figure_passes_only_when_every_bound_is_kept(bounds: dict[str, float], verdict: str) -> None:
    assert figure(**bounds).verdict(Measured(100.0, 50.0)) == verdict


def test_a_ratio_bound_without_a_peer_fails() -> None:
    assert figure(ratio_floor=1.0).verdict(Measured(100.0)) == "FAIL"


def test_a_broken_benchmark_is_a_failure_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Measured:
        raise ValueError("no peer")

    broken = Figure(name="broken", unit="s", measure=fail, ceiling=1.0)
    assert line(broken, *measured(broken))[-1] == "FAIL ValueError: no peer"


def test_medians_are_taken_in_turns() -> None:
    taken: list[str] = []

    def side(name: str) -> float:
        taken.append(name)
        return float(len(taken))

    assert in_turns([lambda: side("a"), lambda: side("b")], repeats=3) == [3.0, 4.0]
    assert taken == ["a", "b"] * 3


@pytest.mark.parametrize(("value", "shown"), [(1_520_000, "1.52 M"), (830_000, "830 k"), (0.42, "0.42"), (24, "24")])
def test_amounts_are_short(value: float, shown: str) -> None:
    assert amount(value) == shown
