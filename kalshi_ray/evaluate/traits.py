"""What each judged market was like: how busy, how volatile, of which category. By hindsight, for reports alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind, ViewPack
from kalshi_ray.core.units import CENT, MICROSECOND, SECOND
from kalshi_ray.env.records import FILL
from kalshi_ray.evaluate.hindsight import best_prices
from kalshi_ray.evaluate.tally import Lives, lives_of

HOUR_US = 3_600 * SECOND // MICROSECOND
SAMPLE_US = 60 * SECOND // MICROSECOND  # of the mid, for volatility
FEWEST_SAMPLES = 30  # a shorter life is sampled more often


@dataclass(frozen=True)
class Traits:
    """What N judged markets were like."""

    lives: Lives
    updates_per_hour: NDArray[np.float64]  # [N] changes of the book
    volatility: NDArray[np.float64]  # [N] cents by the root of an hour; nan: the mid was never known twice
    labels: Mapping[str, tuple[str, ...]]  # kind of label (category, series): [N]; "" unknown


def traits_of(
    pack: ViewPack,
    views: NDArray[np.int32],
    starts: NDArray[np.int64],
    labels: Mapping[str, tuple[str, ...]],
    *,
    feed_us: int,
) -> Traits:
    """Traits of `views` [N], judged from rows `starts` [N] on; `labels` are by view of the pack."""
    lives = lives_of(pack, views, starts)
    return Traits(
        lives=lives,
        updates_per_hour=np.array([_rate(pack, int(view), int(at)) for view, at in zip(views, starts, strict=True)]),
        volatility=np.array([_volatility(pack, int(view), span, feed_us) for view, span in zip(views, lives.spans)]),
        labels={kind: tuple(names[view] for view in views) for kind, names in labels.items()},
    )


def _rate(pack: ViewPack, view: int, start: int) -> float:
    record = pack.views[view]
    rows = pack.updates[max(start, int(record["start"])) : record["stop"]]
    hours = (int(rows["recv_ns"][-1]) - int(rows["recv_ns"][0])) / SECOND / 3_600
    return int((rows["kind"] <= Kind.DELTA).sum()) / hours if hours > 0 else 0.0


def _volatility(pack: ViewPack, view: int, span: np.void, feed_us: int) -> float:
    """Root of the summed squared changes of the mid by hour, from samples a minute apart."""
    first, last = int(span["first_ns"]) // MICROSECOND, int(span["last_ns"]) // MICROSECOND
    step = max(1, min(SAMPLE_US, (last - first) // FEWEST_SAMPLES))
    asked = np.arange(first, last + 1, step, dtype=np.int64)
    bid, ask = best_prices(pack, view, fills=np.zeros(0, FILL), query_us=asked, feed_us=feed_us)
    mid = np.where((bid >= 0) & (ask >= 0), (bid + ask) / 2 / CENT, np.nan)
    moves = np.diff(mid)
    moves = moves[~np.isnan(moves)]
    return math.sqrt(float((moves**2).sum()) / (len(moves) * step / HOUR_US)) if len(moves) else math.nan
