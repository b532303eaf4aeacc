"""What a sampler goes by, market by market, and how many steps it takes to play every market once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data import ratings
from kalshi_ray.data.measures import measure_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import RATED, SamplerName, ViewSampler
from kalshi_ray.env.settings import EnvSettings

ROWS = 256


def ratings_of(
    sampler: SamplerName,
    pack: ViewPack,
    views: NDArray[np.integer],
    measures: NDArray[np.void] | None = None,
    *,
    quarters_of: str = "auto",
) -> tuple[float, ...] | None:
    """A number for each of `views`, from the MEASURES of all views of the pack; None where the sampler needs none.

    For a pack of several sessions give the measures that were taken in each of them: quarters are those of a session.
    """
    if sampler not in RATED:
        return None
    measures = measure_pack(pack) if measures is None else measures
    if sampler == "volume":
        found = ratings.volumes(pack, views, measures)
    elif sampler == "activity":
        found = ratings.activities(views, measures)
    elif sampler == "balanced":
        found = ratings.classes(views, measures, quarters_of)
    else:
        found = ratings.difficulties(views, measures)
    return tuple(float(one) for one in found)


def steps_of_all(pack: ViewPack, views: NDArray[np.int32], env: EnvSettings) -> int:
    """Decisions when every market is played once under these settings, counted by playing them without an order."""
    rows = min(ROWS, len(views))
    sampler = ViewSampler(pack, views, order="each-once", seed=0, anywhere=False)
    played = MarketVectorEnv(pack, env, num_envs=rows, sampler=sampler)
    batch, hold = played.new_batch(), np.zeros(rows, np.int64)
    played.reset_into(batch)
    total = 0
    while (playing := played.playing).any():
        total += int(playing.sum())
        played.step_into(hold, batch)
        played.take_episodes()
    return total
