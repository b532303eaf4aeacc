"""What a benchmark is: a figure with a floor or a ceiling, measured beside its peer in the same run.

A module `bench/bench_<part>.py` exports `FIGURES`, a list of these. `measure` is called once; it repeats inside and
returns medians, because a ratio is worth something only where both sides ran in turns on one machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "FAIL", "shown"]


class Absent(Exception):  # no fault of what is measured
    """What a figure needs is not on this machine. A figure with a bound fails, another is shown as absent."""


@dataclass(frozen=True)
class Measured:
    """One result in the unit of its figure; `peer` is the same thing done by something else, or the physical limit."""

    ours: float
    peer: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. At least one of the bounds decides whether it passes; none: it is only shown."""

    name: str
    unit: str
    measure: Callable[[], Measured]
    peer: str = ""  # what the peer is
    floor: float | None = None  # ours at least
    ceiling: float | None = None  # ours at most
    ratio_floor: float | None = None  # ours over the peer's at least
    ratio_ceiling: float | None = None
    long: bool = False  # needs training: left to `make bench-long`

    def verdict(self, result: Measured) -> Verdict:
        """Whether the result keeps every bound."""
        ratio = result.ratio
        kept = [
            *([result.ours >= self.floor] if self.floor is not None else []),
            *([result.ours <= self.ceiling] if self.ceiling is not None else []),
            *([ratio is not None and ratio >= self.ratio_floor] if self.ratio_floor is not None else []),
            *([ratio is not None and ratio <= self.ratio_ceiling] if self.ratio_ceiling is not None else []),
        ]
        if not kept:
            return "shown"
        return "pass" if all(kept) else "FAIL"

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        words = [
            *([f"≥ {amount(self.floor)}"] if self.floor is not None else []),
            *([f"≤ {amount(self.ceiling)}"] if self.ceiling is not None else []),
            *([f"≥ {self.ratio_floor:g} × peer"] if self.ratio_floor is not None else []),
            *([f"≤ {self.ratio_ceiling:g} × peer"] if self.ratio_ceiling is not None else []),
        ]
        return ", ".join(words)


def amount(value: float) -> str:
    """A number in four digits with its thousands: 1.52 M, 830 k, 0.42."""
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{sign}"
    return f"{value:.4g}"


def in_turns(sides: Sequence[Callable[[], float]], *, repeats: int = 5) -> list[float]:
    """Medians of several measurements, taken in turns so that a slow moment of the machine meets all of them."""
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for results, side in zip(taken, sides):
            results.append(side())
    return [statistics.median(results) for results in taken]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
