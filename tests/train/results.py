"""Results as RLlib hands them over after an iteration."""

from __future__ import annotations

from typing import Any

from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from kalshi_ray.train.progress import LEARNER
from kalshi_ray.train.runner import MARKET, TALLIES
from kalshi_ray.train.tally import Tally


def result_of(tallies: list[Tally], steps: int, iteration: int = 1) -> dict[str, Any]:
    """One iteration in which runners counted `tallies`."""
    learnt = dict.fromkeys(LEARNER.values(), 0.1 + 1e-05 * iteration)
    return {
        NUM_ENV_STEPS_SAMPLED_LIFETIME: steps,
        "training_iteration": iteration,
        ENV_RUNNER_RESULTS: {MARKET: {TALLIES: tallies}},
        LEARNER_RESULTS: {DEFAULT_MODULE_ID: learnt | {"policy_learning_rate": 1e-4}},
    }
