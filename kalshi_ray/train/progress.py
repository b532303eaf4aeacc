"""What is kept of every iteration: one flat line of numbers, each always there and never NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from kalshi_ray.core.units import CONTRACT, MICROS_PER_DOLLAR
from kalshi_ray.errors import DataError
from kalshi_ray.train.runner import MARKET

# Name here: key of the learner's metrics.
LEARNER = {
    "policy_loss": "policy_loss",
    "value_loss": "vf_loss",
    "entropy": "entropy",
    "kl": "mean_kl_loss",
    "clip_fraction": "clip_fraction",
    "explained_variance": "vf_explained_var",
    "policy_grad_norm": "policy_grad_norm",
    "value_grad_norm": "value_grad_norm",
    "towers_grad_norm": "towers_grad_norm",
    "entropy_weight": "curr_entropy_coeff",
}
# The same for every optimizer of a run: the first that is there.
RATES = ("policy_learning_rate", "towers_learning_rate", "default_optimizer_learning_rate")
# Name here: (field of the sums over episodes, what one of its units is worth), given as mean per episode.
EPISODE = {
    "episode_return": ("reward_sum", 1.0),  # in the reward's unit
    "episode_steps": ("steps", 1.0),
    "episode_fills": ("fills", 1.0),
    "episode_maker_fills": ("maker_fills", 1.0),
    "episode_contracts": ("traded", 1.0 / CONTRACT),
    "episode_orders": ("orders_sent", 1.0),
    "episode_refused": ("refused", 1.0),
    "episode_fees": ("fees", 1.0 / MICROS_PER_DOLLAR),  # dollars
    "episode_spread": ("spread_cost", 1.0 / MICROS_PER_DOLLAR),
    "episode_refund": ("refund", 1.0 / MICROS_PER_DOLLAR),
    "episode_drawdown": ("max_drawdown", 1.0 / MICROS_PER_DOLLAR),
    "episode_settled": ("terminated", 1.0),
}


UNITS = {  # of figures that are no plain numbers or shares
    "seconds": "s",
    "reward_per_1000": "of the reward's unit, in 1,000 decisions",
    "hold_share": "of the decisions with a choice",
    "cost_share": "of spread and fees that is charged",
    "episode_return": "of the reward's unit",
    "episode_contracts": "contracts",
    **dict.fromkeys(("episode_fees", "episode_spread", "episode_refund", "episode_drawdown"), "$"),
}


class Progress:
    """Turns RLlib's results into lines of `progress.jsonl`. What an iteration did not measure keeps its last value."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last: dict[str, float] = {}

    def add(
        self, result: Mapping[str, Any], *, seconds: float, extra: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Append one iteration; `seconds` since the run began, `extra` are numbers that RLlib does not know."""
        steps = float(result[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        line = {"steps": steps, "iteration": float(result["training_iteration"]), "seconds": round(seconds, 3)}
        line |= _runner_numbers(result.get(ENV_RUNNER_RESULTS, {}), self.last)
        learner = result.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})
        for name, key in LEARNER.items():
            if key in learner:
                line[name] = _finite(learner[key], self.last.get(name, 0.0))
        for key in RATES:
            if key in learner:
                line.setdefault("learning_rate", float(learner[key]))
        line |= extra or {}
        self.last = line
        try:
            with self._path.open("ab") as stream:
                stream.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise DataError(f"cannot write {self._path}: {error}") from error
        return line


def read_progress(path: Path) -> list[dict[str, float]]:
    """All lines of a run; one cut short by a crash is left out."""
    lines = []
    for raw in path.read_bytes().splitlines():
        try:
            lines.append(msgspec.json.decode(raw, type=dict[str, float]))
        except msgspec.DecodeError:
            continue
    return lines


def _runner_numbers(found: Mapping[str, Any], last: Mapping[str, float]) -> dict[str, float]:
    market = found.get(MARKET)
    if market is None:  # RLlib's own runner counts episodes only
        return {"episode_return": _finite(found.get(EPISODE_RETURN_MEAN), last.get("episode_return", 0.0))}
    steps = max(float(market["steps"]), 1.0)
    line = {
        "reward_per_1000": round(1_000.0 * float(market["reward"]) / steps, 6),
        "hold_share": round(float(market["holds"]) / max(float(market["free"]), 1.0), 6),
        "cost_share": round(float(market["cost_share"]), 6),
        "episodes": float(market["episodes"]),
    }
    episodes = float(market["episodes"])
    for name, (key, worth) in EPISODE.items():
        known = episodes > 0.0
        line[name] = round(float(market["episode"][key]) * worth / episodes, 6) if known else last.get(name, 0.0)
    return line


def _finite(value: Any, otherwise: float) -> float:
    number = float(value) if value is not None else math.nan
    return number if math.isfinite(number) else otherwise
