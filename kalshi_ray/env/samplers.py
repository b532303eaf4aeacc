"""Which view a row plays next, and where it starts. Chance comes from a seeded generator that is part of the state."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.errors import NothingToDo, UnknownName

SamplerName = Literal["cycle", "random", "each-once"]
DONE = -1


class Sampler(Protocol):
    """Chooses episodes. `next` returns (view, first row of the tape or -1 for its start); view -1: nothing is left."""

    def next(self, row: int) -> tuple[int, int]:
        """The next episode of a row."""
        ...

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1: curricula go by it."""

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on exactly here."""
        ...

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called."""
        ...


class ViewSampler:
    """The built-in orders.

    `cycle` goes through the views again and again; `random` draws a view by its number of decisions, so that training
    sees markets by the steps they hold; `each-once` plays every view once and stops. With `anywhere` an episode starts
    at a random update, else at the first.
    """

    def __init__(
        self, pack: ViewPack, views: NDArray[np.int32], *, order: str, seed: int, anywhere: bool = False
    ) -> None:
        if order not in ("cycle", "random", "each-once"):
            raise UnknownName("sampler", order, ["cycle", "random", "each-once"])
        steps = pack.views["steps"][views].astype(np.float64)
        if not len(views) or steps.sum() == 0:
            raise NothingToDo(
                f"none of the {len(views)} chosen markets of {pack.session} has a decision point",
                remedy="`kalshi-ray sessions analyze` shows why each market was left out",
            )
        self._views = views[steps > 0]
        self._weights = np.cumsum(steps[steps > 0]) / steps.sum()
        self._bounds = np.stack([pack.views["start"], pack.views["stop"]], axis=1)
        self._order, self._anywhere = order, anywhere
        self._random = np.random.default_rng(seed)
        self._played = 0

    def next(self, row: int) -> tuple[int, int]:
        """The next episode; rows share one order."""
        if self._order == "random":
            drawn = int(np.searchsorted(self._weights, self._random.random()))
            view = int(self._views[min(drawn, len(self._views) - 1)])
        elif self._order == "each-once" and self._played >= len(self._views):
            return DONE, -1
        else:
            view = int(self._views[self._played % len(self._views)])
        self._played += 1
        if not self._anywhere:
            return view, -1
        start, stop = self._bounds[view]
        return view, int(self._random.integers(start, stop))

    def set_progress(self, share: float) -> None:
        """These orders are the same from beginning to end."""

    def get_state(self) -> dict[str, Any]:
        """Generator and place in the order."""
        return {"random": self._random.bit_generator.state, "played": self._played}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called."""
        self._random.bit_generator.state = state["random"]
        self._played = state["played"]


class Chosen:
    """Hands out one chosen episode, then nothing: a row that has ended stands still."""

    def __init__(self, episode: tuple[int, int] = (DONE, -1)) -> None:
        self.episode = episode

    def next(self, row: int) -> tuple[int, int]:
        """The chosen episode, once."""
        chosen, self.episode = self.episode, (DONE, -1)
        return chosen

    def set_progress(self, share: float) -> None:
        """One episode knows no progress."""

    def get_state(self) -> dict[str, Any]:
        """What is still to be handed out."""
        return {"episode": self.episode}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        view, start = state["episode"]
        self.episode = (view, start)
