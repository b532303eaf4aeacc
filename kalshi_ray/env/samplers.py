"""Which view a row plays next, and where it starts. Chance comes from a seeded generator that is part of the state.

| sampler | next market |
|---|---|
| `cycle` | one after the other, again and again |
| `random` | drawn by decision points, so that markets are seen by the steps they hold |
| `volume` | drawn by contracts traded |
| `activity` | drawn by updates an hour |
| `balanced` | from the class of markets that had the fewest steps |
| `easy-to-hard` | as `random`, at first among the easiest quarter, then among more, from 70 % of the run on among all |
| `each-once` | every market once, those with most decision points first; then nothing is left |
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.turns import DONE, Balanced, Drawn, Growing, InTurn, Turns
from kalshi_ray.errors import ConfigError, NothingToDo, UnknownName

__all__ = ["DONE", "RATED", "SAMPLERS", "Chosen", "Listener", "Sampler", "SamplerName", "ViewSampler"]

SamplerName = Literal["cycle", "random", "volume", "activity", "balanced", "easy-to-hard", "each-once"]
SAMPLERS: tuple[str, ...] = get_args(SamplerName)
RATED = ("volume", "activity", "balanced", "easy-to-hard")  # those that need a rating of each view


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


@runtime_checkable
class Listener(Protocol):
    """A sampler that wants to hear how long episodes were."""

    def ended(self, view: int, steps: int) -> None:
        """An episode of this view took so many steps."""


class ViewSampler:
    """The built-in orders. With `anywhere` an episode starts at a random update, else at the first.

    `ratings` has a number for each of `views`: the weight (`volume`, `activity`), the class (`balanced`) or the
    difficulty (`easy-to-hard`); the other orders need none.
    """

    def __init__(
        self,
        pack: ViewPack,
        views: NDArray[np.int32],
        *,
        order: str,
        seed: int,
        anywhere: bool = False,
        ratings: NDArray[np.float64] | None = None,
    ) -> None:
        if order not in SAMPLERS:
            raise UnknownName("sampler", order, list(SAMPLERS))
        steps = pack.views["steps"][views].astype(np.float64)
        if not len(views) or steps.sum() == 0:
            raise NothingToDo(
                f"none of the {len(views)} chosen markets of {pack.session} has a decision point",
                remedy="`kalshi-ray sessions analyze` shows why each market was left out",
            )
        alive = steps > 0
        self._views = views[alive]
        self._turns = _turns(order, steps[alive], _checked(order, ratings, len(views), alive))
        self._position = {int(view): at for at, view in enumerate(self._views)}
        self._bounds = np.stack([pack.views["start"], pack.views["stop"]], axis=1)
        self._anywhere = anywhere
        self._random = np.random.default_rng(seed)

    def next(self, row: int) -> tuple[int, int]:
        """The next episode; rows share one order."""
        del row
        position = self._turns.next(self._random)
        if position == DONE:
            return DONE, -1
        view = int(self._views[position])
        if not self._anywhere:
            return view, -1
        start, stop = self._bounds[view]
        return view, int(self._random.integers(start, stop))

    def set_progress(self, share: float) -> None:
        """How much of the run is done, 0 to 1: `easy-to-hard` goes by it."""
        self._turns.set_progress(share)

    def ended(self, view: int, steps: int) -> None:
        """An episode of this view took so many steps: `balanced` counts them."""
        self._turns.ended(self._position[view], steps)

    def get_state(self) -> dict[str, Any]:
        """Generator and place in the order."""
        return {"random": self._random.bit_generator.state, "turns": self._turns.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called."""
        self._random.bit_generator.state = state["random"]
        self._turns.set_state(state["turns"])


def _checked(
    order: str, ratings: NDArray[np.float64] | None, views: int, alive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The ratings of the views that can be played; none where the order needs none."""
    if order not in RATED:
        return np.zeros(0)
    if ratings is None or ratings.shape != (views,) or not np.isfinite(ratings).all():
        raise ConfigError(f"sampler {order!r} needs a finite rating of each of the {views} markets")
    return np.asarray(ratings, np.float64)[alive]


def _turns(order: str, steps: NDArray[np.float64], ratings: NDArray[np.float64]) -> Turns:
    if order == "random":
        return Drawn(steps)
    if order == "balanced":
        return Balanced(steps, ratings)
    if order == "easy-to-hard":
        return Growing(steps, ratings)
    if order == "cycle":
        return InTurn(np.arange(len(steps)), once=False)
    if order == "each-once":
        return InTurn(np.argsort(-steps, kind="stable"), once=True)
    if ratings.min() < 0.0 or ratings.sum() == 0.0:
        raise NothingToDo(
            f"sampler {order!r}: none of the {len(steps)} markets has any {order}", remedy="Choose another sampler"
        )
    return Drawn(ratings)


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
