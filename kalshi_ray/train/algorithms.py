"""The algorithms by name, and what each decides about the numbers of a run.

Another one joins with a line here and a line in `train/algorithm.py`, where BUILDERS makes RLlib's configuration of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from kalshi_ray.errors import ConfigError

if TYPE_CHECKING:
    from kalshi_ray.train.settings import Hyperparameters

Chosen = Mapping[str, Any]
"""Numbers that the caller gave, beside those of the preset."""

STEPS_OF_A2C = 8
"""Steps of each row between two updates of a2c, where no batch is given: it takes one gradient from each."""


@dataclass(frozen=True)
class Algorithm:
    """What makes one algorithm differ from another, apart from the preset."""

    words: str
    resolve: Callable[[Hyperparameters, Chosen], Hyperparameters]  # the numbers in force, given those of the preset
    plain_advantage: bool = False  # the advantage as it is, instead of with mean 0 and deviation 1


def _as_chosen(numbers: Hyperparameters, chosen: Chosen) -> Hyperparameters:
    return msgspec.structs.replace(numbers, **chosen)


def _one_gradient(numbers: Hyperparameters, chosen: Chosen) -> Hyperparameters:
    """One pass over a batch that is its own minibatch: the ratio is 1 throughout, and there is nothing to clip."""
    numbers = msgspec.structs.replace(numbers, batch=STEPS_OF_A2C * chosen.get("rows", numbers.rows))
    numbers = msgspec.structs.replace(numbers, **chosen)
    own = {"minibatch": numbers.batch, "epochs": 1, "clip": math.inf}
    against = [f"train.{name} = {chosen[name]}" for name, value in own.items() if chosen.get(name, value) != value]
    if against:
        raise ConfigError(
            f"a2c takes one gradient from each batch, without a clip: it cannot have {' and '.join(against)}",
            remedy="Leave them out and choose train.batch, or train with ppo (train.algorithm)",
        )
    return msgspec.structs.replace(numbers, **own)


ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm("clipped updates over several passes of each batch", _as_chosen),
    "a2c": Algorithm("one update from each batch", _one_gradient, plain_advantage=True),
}
