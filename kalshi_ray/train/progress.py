"""What is kept of every iteration: one flat line of numbers, each always there and never NaN, and tables beside it.

    progress.jsonl    the line                       tensorboard/      the same figures as curves
    actions.jsonl     counts by action id and bin    health.json       the observation by feature, the newest
    portfolio.jsonl   accounts of all rows, by option

A line is written every `LINE_STEPS` steps at most: iterations that are smaller than that are counted together, so that
a million steps take less than 5 MB whatever the batch is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

from kalshi_ray.errors import DataError
from kalshi_ray.train.figures import EPISODE, action_line, episode_figures, figures, portfolio_line
from kalshi_ray.train.folder import PARTIAL, PROGRESS, SETTINGS, RunFolder
from kalshi_ray.train.health import Health
from kalshi_ray.train.lines import ACTIONS, HEALTH, PORTFOLIO, TENSORBOARD, UNITS
from kalshi_ray.train.runner import MARKET, TALLIES
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.tally import Tally, joined
from kalshi_ray.train.tensorboard import Curves

__all__ = ["UNITS", "Progress", "read_progress"]

LINE_STEPS = 2_048

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


class Progress:
    """Turns RLlib's results into lines. What an iteration did not measure keeps its last value."""

    def __init__(self, path: Path, *, features: Sequence[dict[str, Any]] = (), portfolio_every: int = 0) -> None:
        self._folder, self._name = RunFolder(path.parent), path.name
        self._health = Health(features) if features else None
        self._portfolio_every, self._portfolio_at = portfolio_every, 0
        self._curves = Curves(path.parent / TENSORBOARD)
        self._pending: Tally | None = None
        self._written: tuple[float, float] | None = None  # steps and seconds of the last line
        self.last: dict[str, float] = {}

    @classmethod
    def of(cls, folder: RunFolder, settings: TrainSettings) -> Progress:
        """The progress of a run, which goes on where its folder stands. Its settings.json must be there."""
        source = folder.read(SETTINGS).get("source", {})
        made = cls(
            folder.path / PROGRESS,
            features=source.get("contract", {}).get("observation", {}).get("table", ()),
            portfolio_every=settings.portfolio_log_freq,
        )
        before = folder.lines(PROGRESS)
        made.last = before[-1] if before else {}
        return made

    def add(
        self, result: Mapping[str, Any], *, seconds: float, extra: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Add one iteration and return its line: `seconds` since the run began, `extra` what RLlib does not know.

        Raises the DataError that a remote runner met.
        """
        steps = float(result[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        if self._written is None:
            self._written = (self.last.get("steps", 0.0), self.last.get("seconds", 0.0))
        found = result.get(ENV_RUNNER_RESULTS, {})
        tally = self._counted(found)
        line = {"steps": steps, "iteration": float(result["training_iteration"]), "seconds": round(seconds, 3)}
        due = steps - self._written[0] >= LINE_STEPS or not self.last
        kept = {name: value for name, value in self.last.items() if name not in line}
        if tally is None and found:  # RLlib's own runner counts episodes only
            mean = _finite(found.get(EPISODE_RETURN_MEAN), kept.get("episode_return", 0.0))
            measured = self._speed(line) | {"episode_return": mean}
        elif due and tally is not None:
            measured = self._speed(line) | self._measured(tally)
        else:
            measured = {}
        self.last = line | kept | measured | self._learnt(result) | dict(extra or {})
        if due:
            self._write(tally)
        return self.last

    def close(self) -> None:
        """Write what is still pending and close the curves."""
        if self._pending is not None and self._written is not None:
            self.last |= self._speed(self.last) | self._measured(self._pending)
            self._write(self._pending)
        self._curves.close()

    def _counted(self, found: Mapping[str, Any]) -> Tally | None:
        """Everything counted since the last line."""
        tallies = found.get(MARKET, {}).get(TALLIES)
        if tallies is None:
            return self._pending
        tally = joined(tallies if isinstance(tallies, list) else [tallies])  # RLlib unpacks a list of one
        if tally.failures:
            raise tally.failures[0]
        if self._health is not None:
            self._health.add(tally)
        if self._pending is None:
            self._pending = tally
        else:
            self._pending.add(tally)
        return self._pending

    def _measured(self, tally: Tally) -> dict[str, float]:
        choices = self.last.get("choices", 0.0) + float(tally.sums["choices"][0])
        line = {"choices": choices} | figures(tally) | dict.fromkeys(EPISODE, 0.0)
        line |= {name: self.last[name] for name in EPISODE if name in self.last}
        if self._health is not None:
            line |= self._health.counts()
        return line | episode_figures(tally)

    def _speed(self, line: Mapping[str, float]) -> dict[str, float]:
        assert self._written is not None
        steps, seconds = self._written
        return {"steps_per_s": round((line["steps"] - steps) / max(line["seconds"] - seconds, 1e-3), 1)}

    def _learnt(self, result: Mapping[str, Any]) -> dict[str, float]:
        learner = result.get(LEARNER_RESULTS, {}).get(DEFAULT_MODULE_ID, {})
        line = {
            name: _finite(learner[key], self.last.get(name, 0.0)) for name, key in LEARNER.items() if key in learner
        }
        for key in RATES:
            if key in learner:
                line.setdefault("learning_rate", float(learner[key]))
        return line

    def _write(self, tally: Tally | None) -> None:
        line, steps = self.last, int(self.last["steps"])
        self._folder.append(self._name, line)
        try:
            self._curves.add(line)
        except OSError as error:
            raise DataError(f"cannot write {self._folder.path / TENSORBOARD}: {error}") from error
        self._written, self._pending = (line["steps"], line["seconds"]), None
        if tally is None:
            return
        self._folder.append(ACTIONS, {"steps": steps, **action_line(tally)})
        if self._health is not None:
            self._write_health({"steps": steps, **self._health.table(tally)})
        if self._portfolio_every and tally.accounts and steps // self._portfolio_every > self._portfolio_at:
            self._portfolio_at = steps // self._portfolio_every
            self._folder.append(PORTFOLIO, {"steps": steps, **portfolio_line(tally)})

    def _write_health(self, table: dict[str, Any]) -> None:
        """The newest table, aside and renamed; not pushed to the disk, as the next one comes soon."""
        target = self._folder.path / HEALTH
        partial = target.with_name(target.name + PARTIAL)
        try:
            partial.write_bytes(msgspec.json.encode(table))
            partial.replace(target)
        except OSError as error:
            raise DataError(f"cannot write {target}: {error}") from error


def read_progress(path: Path) -> list[dict[str, float]]:
    """All lines of a run; one cut short by a crash is left out."""
    lines = []
    for raw in path.read_bytes().splitlines():
        try:
            lines.append(msgspec.json.decode(raw, type=dict[str, float]))
        except msgspec.DecodeError:
            continue
    return lines


def _finite(value: Any, otherwise: float) -> float:
    number = float(value) if value is not None else math.nan
    return number if math.isfinite(number) else otherwise
