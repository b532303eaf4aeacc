"""Health of the observation by feature: range, mean, deviation, share cut at its bounds, and whether it ever moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.train.lines import HEAVILY_CLIPPED
from kalshi_ray.train.tally import FEATURE_SUMS, Tally

WINDOW = 200_000
"""Steps over which a feature that never changes counts as constant, and over which cut values are counted."""


class Health:
    """Follows every feature over the last `WINDOW` steps, kept in two halves of which the older is dropped."""

    def __init__(self, features: Sequence[dict[str, Any]]) -> None:
        self._features = features
        self._halves = [_Half(len(features)), _Half(len(features))]

    def add(self, tally: Tally) -> None:
        """Add the observations of one iteration."""
        older, newer = self._halves
        if newer.observed >= WINDOW // 2:
            older, newer = newer, _Half(len(self._features))
            self._halves = [older, newer]
        newer.add(tally)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """[F] features with one value over the window; none before a tenth of it was seen."""
        whole = self._whole()
        if whole.observed < WINDOW // 10:
            return np.zeros(len(self._features), np.bool_)
        return np.asarray(whole.sums["least"] == whole.sums["largest"])

    @property
    def clipped(self) -> NDArray[np.float64]:
        """[F] share of the raw values that lay beyond the range, over the window."""
        whole = self._whole()
        return np.asarray(whole.sums["cut"] / max(whole.looked, 1))

    def counts(self) -> dict[str, float]:
        """The two figures of a progress line."""
        heavily = self.clipped > HEAVILY_CLIPPED
        return {"constant_features": float(self.constant.sum()), "clipped_features": float(heavily.sum())}

    def table(self, tally: Tally) -> dict[str, Any]:
        """What `health.json` holds: the iteration's figures by feature, and what the window says."""
        found, count = tally.features, max(tally.observed, 1)
        mean = found["total"] / count
        moves = found["least"] < found["largest"]
        deviation = np.where(moves, np.sqrt(np.maximum(found["square"] / count - mean * mean, 0.0)), 0.0)
        constant, clipped = self.constant, self.clipped
        rows = [
            {
                "name": feature["name"],
                "unit": feature["unit"],
                "low": feature["low"],
                "high": feature["high"],
                "min": _number(found["least"][f]),
                "max": _number(found["largest"][f]),
                "mean": _number(mean[f]),
                "deviation": _number(deviation[f]),
                "clipped": _number(clipped[f]),
                "constant": bool(constant[f]),
            }
            for f, feature in enumerate(self._features)
        ]
        whole = self._whole()
        return {"observations": tally.observed, "window": whole.observed, "looked": whole.looked, "features": rows}

    def _whole(self) -> _Half:
        whole = _Half(len(self._features))
        for half in self._halves:
            whole.join(half)
        return whole


class _Half:
    def __init__(self, features: int) -> None:
        self.sums = np.zeros(features, FEATURE_SUMS)
        self.sums["least"], self.sums["largest"] = np.inf, -np.inf
        self.observed = self.looked = 0

    def add(self, tally: Tally) -> None:
        self._join(tally.features, tally.observed, tally.looked)

    def join(self, other: _Half) -> None:
        self._join(other.sums, other.observed, other.looked)

    def _join(self, found: NDArray[np.void], observed: int, looked: int) -> None:
        self.sums["least"] = np.minimum(self.sums["least"], found["least"])
        self.sums["largest"] = np.maximum(self.sums["largest"], found["largest"])
        self.sums["cut"] += found["cut"]
        self.observed += observed
        self.looked += looked


def _number(value: float) -> float:
    """A few digits; 0 where nothing was seen."""
    return float(f"{value:.6g}") if np.isfinite(value) else 0.0
