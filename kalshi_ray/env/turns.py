"""Whose turn it is: the orders in which views are played, behind `samplers.ViewSampler`.

A turn is a position among the chosen views. Chance is handed in; what a turn remembers is its state.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

DONE = -1
FIRST_SHARE = 0.25  # of the markets, the easiest: where `easy-to-hard` begins
ALL_AT = 0.7  # of the run: from here on every market takes part


class Turns(Protocol):
    """One order. `next` gives a position among the views, or DONE."""

    def next(self, random: np.random.Generator) -> int:
        """Whose turn it is now."""
        ...

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1."""

    def ended(self, position: int, steps: int) -> None:
        """An episode of this view took so many steps."""

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on exactly here."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called."""


class InTurn:
    """One after the other in a given order; again and again, or once."""

    def __init__(self, order: NDArray[np.intp], *, once: bool) -> None:
        self._order, self._once, self._played = order, once, 0

    def next(self, random: np.random.Generator) -> int:
        """The next one; DONE after the last one of a single round."""
        del random
        if self._once and self._played >= len(self._order):
            return DONE
        self._played += 1
        return int(self._order[(self._played - 1) % len(self._order)])

    def set_progress(self, share: float) -> None:
        """The order is the same from beginning to end."""

    def ended(self, position: int, steps: int) -> None:
        """The order does not depend on what was played."""

    def get_state(self) -> dict[str, Any]:
        """How many turns there were."""
        return {"played": self._played}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._played = state["played"]


class Drawn:
    """Drawn by weight, each turn anew; a weight of zero is never drawn."""

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self._reached = np.cumsum(weights) / weights.sum()

    def next(self, random: np.random.Generator) -> int:
        """A draw."""
        return drawn(self._reached, random)

    def set_progress(self, share: float) -> None:
        """The weights are the same from beginning to end."""

    def ended(self, position: int, steps: int) -> None:
        """The weights do not depend on what was played."""

    def get_state(self) -> dict[str, Any]:
        """Nothing but the generator changes."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing but the generator changes."""


class Growing:
    """Easiest first: among those that take part, drawn by weight; their share grows with the run."""

    def __init__(self, weights: NDArray[np.float64], difficulty: NDArray[np.float64]) -> None:
        self._order = np.argsort(difficulty, kind="stable")
        self._summed = np.cumsum(weights[self._order])
        self._share = 0.0

    @property
    def eligible(self) -> int:
        """How many take part now: a quarter at the start, all from seven tenths of the run on."""
        share = FIRST_SHARE + (1.0 - FIRST_SHARE) * min(1.0, self._share / ALL_AT)
        return max(1, int(np.ceil(share * len(self._order) - 1e-9)))

    def next(self, random: np.random.Generator) -> int:
        """A draw among those that take part."""
        count = self.eligible
        return int(self._order[drawn(self._summed[:count] / self._summed[count - 1], random)])

    def set_progress(self, share: float) -> None:
        """More take part."""
        self._share = share

    def ended(self, position: int, steps: int) -> None:
        """What takes part depends on the run alone."""

    def get_state(self) -> dict[str, Any]:
        """How far the run is."""
        return {"share": self._share}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._share = state["share"]


class Balanced:
    """The class that had the fewest steps is next, so that all get equally many; within it, drawn by weight.

    Steps are counted when an episode has ended; one that runs counts as the mean of its class so far.
    """

    def __init__(self, weights: NDArray[np.float64], classes: NDArray[np.float64]) -> None:
        self._names, self._class_of = np.unique(classes, return_inverse=True)
        self._members = [np.flatnonzero(self._class_of == one) for one in range(len(self._names))]
        self._reached = [np.cumsum(weights[own]) / weights[own].sum() for own in self._members]
        self._given = np.zeros(len(self._names))
        self._ended = np.zeros(len(self._names))
        self._running = np.zeros(len(self._names))
        self._guess = np.array([weights[own].mean() for own in self._members])

    def next(self, random: np.random.Generator) -> int:
        """A draw from the class that lags behind."""
        mean = (self._given + self._guess) / (self._ended + 1.0)
        lagging = int(np.argmin(self._given + self._running * mean))
        self._running[lagging] += 1.0
        return int(self._members[lagging][drawn(self._reached[lagging], random)])

    def set_progress(self, share: float) -> None:
        """Classes are equal from beginning to end."""

    def ended(self, position: int, steps: int) -> None:
        """Book the steps with the view's class."""
        own = self._class_of[position]
        self._running[own] -= 1.0
        self._ended[own] += 1.0
        self._given[own] += steps

    def get_state(self) -> dict[str, Any]:
        """Steps, ended and running episodes of each class."""
        return {name: getattr(self, f"_{name}").tolist() for name in ("given", "ended", "running")}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name in ("given", "ended", "running"):
            getattr(self, f"_{name}")[:] = state[name]


def drawn(reached: NDArray[np.float64], random: np.random.Generator) -> int:
    """A position by cumulative shares: `reached[-1]` is one. Where a share is zero it is never drawn."""
    return min(int(np.searchsorted(reached, random.random(), side="right")), len(reached) - 1)
