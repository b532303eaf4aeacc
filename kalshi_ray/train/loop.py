"""The loop of one run: update, judge, keep, and see whether to stop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import ray
from numpy.typing import NDArray
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from kalshi_ray import telemetry
from kalshi_ray.errors import DataError, KalshiRayError
from kalshi_ray.policy.inference import Network
from kalshi_ray.train.alerts import Watch
from kalshi_ray.train.checkpoints import About, drop_stale, save_checkpoint, scores_of
from kalshi_ray.train.folder import ALERTS, PROGRESS, VALIDATION, RunFolder
from kalshi_ray.train.progress import Progress
from kalshi_ray.train.runner import MARKET, PLAYING
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.stops import Stops
from kalshi_ray.train.validation import Judge, Pending, Verdict
from kalshi_ray.train.weights import deciding_layers, weights_of

PATIENCE_S = 60.0
"""How long iterations may sample nothing, while dead env runners come back."""

EXPLORATION = 2.0
"""What the weight of the entropy is multiplied by while an alert of `train.explore_on` stands."""

Status = Literal["finished", "stopped"]
Report = telemetry.Progress


@dataclass(frozen=True)
class Ending:
    """How the loop ended."""

    status: Status
    why: str  # empty where all steps were made; every market was played where a sampler gives each once
    steps: int  # over the whole life of the run
    seconds: float  # likewise


class Loop:
    """One run under way. `about` is what its next checkpoints belong to, or what it was resumed from."""

    def __init__(
        self,
        settings: TrainSettings,
        folder: RunFolder,
        algorithm: Any,
        about: About,
        *,
        judge: Judge | None,
        stops: Stops,
        report: Report | None,
    ) -> None:
        self.settings, self.folder, self.algorithm, self.about = settings, folder, algorithm, about
        self.judge, self.stops, self.report = judge, stops, report
        self.steps = self.began_at = about.steps
        self.progress = Progress.of(folder, settings)
        self.scores = scores_of(folder)
        self.verdict: tuple[int, Verdict] | None = None  # of the last iteration alone
        self.pending: tuple[int, Pending] | None = None
        self._told = {name: value for name, value in self.progress.last.items() if name.startswith("validation_")}
        self._restarts = self.progress.last.get("restarts", 0.0)
        self._clock = time.perf_counter() - self.progress.last.get("seconds", 0.0)
        self._empty_since: float | None = None
        self._watch = Watch()
        for line in folder.lines(PROGRESS):  # what stood when the run was left stands again
            self._watch.see(line)
        self._alarm = ""  # why an alert ends the run
        self._explore()
        self._played_out = False  # by a sampler that plays each market once

    def iterate(self) -> Ending:
        """Update until there is a reason to stop. Every checkpoint is whole when this returns or raises."""
        if self.about.judged and self.steps not in self.scores:  # it was under way when the run ended
            self._begin_judging(weights_of(self.algorithm))
        ending = self._ending()
        while ending is None:
            self._update()
            ending = self._ending()
            self._keep(ending)
        self._take_verdict()
        self.progress.close()
        return Ending(*ending, self.steps, self.seconds)

    @property
    def seconds(self) -> float:
        """Of the whole life of the run."""
        return time.perf_counter() - self._clock

    def _update(self) -> None:
        """One iteration: sample, learn, and write down what came of it."""
        result = one_iteration(self.algorithm)
        sampled = int(result.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        self._played_out = result.get(ENV_RUNNER_RESULTS, {}).get(MARKET, {}).get(PLAYING) == 0
        self.verdict = None
        if sampled <= self.steps:
            self._wait_for_runners()
            return
        self._empty_since = None
        self.about = msgspec.structs.replace(self.about, steps=sampled, judged=self._crosses(sampled, "eval_freq"))
        self._save_due, self.steps = self._crosses(sampled, "save_freq"), sampled
        self._take_verdict()
        restarts = self._restarts + self.algorithm.env_runner_group.num_remote_worker_restarts()
        if restarts > self.progress.last.get("restarts", 0.0):
            telemetry.warning("train.runner.replaced", restarts=int(restarts), steps=self.steps)
        line = self.progress.add(result, seconds=self.seconds, extra={**self._told, "restarts": float(restarts)})
        self._heed(line)
        if self.report is not None:
            self.report("train", min(self.steps, self.settings.steps), self.settings.steps)

    def _wait_for_runners(self) -> None:
        """Give runners that died a second more. DataError where none has come back."""
        now = time.perf_counter()
        self._empty_since = now if self._empty_since is None else self._empty_since
        if now - self._empty_since > PATIENCE_S:
            raise DataError(
                f"nothing was sampled for {PATIENCE_S:.0f} s at step {self.steps:,}: no env runner lives",
                remedy="They may lack memory: take fewer rows or runners, and resume",
            )
        time.sleep(1.0)

    def _heed(self, line: Mapping[str, float]) -> None:
        """Show and keep the alerts that a line raises, and act on those that are to be acted on."""
        for alert in self._watch.see(line):
            self.folder.append(ALERTS, msgspec.to_builtins(alert))
            telemetry.warning(f"train.alert.{alert.name}", steps=alert.steps, value=alert.value, words=alert.words)
            if alert.name in self.settings.stop_on and not self._alarm:
                self._alarm = f"alert {alert.name} at step {alert.steps:,}: {alert.words}"
        self._explore()

    def _explore(self) -> None:
        """Double the weight of the entropy while an alert of `explore_on` stands."""
        wanted = self._watch.standing.intersection(self.settings.explore_on)
        factor = EXPLORATION if wanted else 1.0
        if self.settings.explore_on:
            self._told["exploration"] = factor
            self.algorithm.learner_group.foreach_learner(_set_exploration, factor=factor)

    def _crosses(self, sampled: int, name: str) -> bool:
        """Whether this iteration went past a multiple of a frequency: the same after a resume."""
        every = int(getattr(self.settings, name))
        return bool(every) and sampled // every > self.steps // every

    def _ending(self) -> tuple[Status, str] | None:
        if self.steps >= self.settings.steps:
            return "finished", ""
        if self._played_out:
            return "finished", "every market was played"
        if self.stops.why:
            return "stopped", self.stops.why
        if self.verdict is not None:
            fall = self._fall(*self.verdict)
            if fall:
                return "stopped", fall
        return ("stopped", self._alarm) if self._alarm else None

    def _fall(self, steps: int, verdict: Verdict) -> str:
        """Why validation has fallen too far; empty where it has not, or was never above zero."""
        at = max(self.scores, key=lambda step: self.scores[step])
        best, now = self.scores[at], verdict.net_per_market
        if not self.settings.early_stop or best <= 0.0 or now >= best * (1.0 - self.settings.early_stop):
            return ""
        return (
            f"validation fell to ${now:,.4f} a market at step {steps:,}, more than {self.settings.early_stop:.0%} "
            f"below the best of ${best:,.4f} at step {at:,}"
        )

    def _keep(self, ending: tuple[Status, str] | None) -> None:
        """Save where it is time to, and have these weights judged."""
        if self._empty_since is not None or self.steps == self.began_at:
            return
        judging = self.judge is not None and not self.stops.why and (ending is not None or self.about.judged)
        if ending is None and not self._save_due and not judging:
            return
        weights = weights_of(self.algorithm)
        require_finite(weights)
        save_checkpoint(self.folder.checkpoints, self.algorithm, weights, self.about)
        self._drop_stale()
        if judging:
            self._begin_judging(weights)

    def _drop_stale(self) -> None:
        settings = self.settings
        drop_stale(self.folder.checkpoints, self.scores, keep=settings.keep, keep_best=settings.keep_best)

    def _begin_judging(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        if self.judge is None:
            return
        network = Network.pack(deciding_layers(weights), activation=self.settings.network_in_force().activation)
        spare = int(ray.cluster_resources().get("CPU", 1)) - max(1, self.settings.runners)
        pending = self.judge.begin(network, decide=self.settings.decide, tasks=max(1, spare))
        self.pending = self.steps, pending

    def _take_verdict(self) -> None:
        """Wait for the validation under way, if there is one, and write it down."""
        if self.pending is None:
            return
        steps, pending = self.pending
        verdict, self.pending = pending.verdict(), None
        best = verdict.net_per_market >= max(self.scores.values(), default=-np.inf)
        line = {"steps": steps, "seconds": round(self.seconds, 3), **msgspec.to_builtins(verdict), "best": bool(best)}
        self.folder.append(VALIDATION, line)
        self.scores[steps] = verdict.net_per_market
        self.verdict = steps, verdict
        self._told |= {"validation_net": verdict.net_per_market, "validation_hold": verdict.hold_share}
        self._drop_stale()
        telemetry.event("train.validation", **line)


def _set_exploration(learner: Any, *, factor: float) -> None:
    learner.exploration = factor


def one_iteration(algorithm: Any) -> Any:
    """One iteration of RLlib. What a worker raised is raised as what it is; a dead learner is a DataError."""
    try:
        return algorithm.train()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KalshiRayError):
            raise error.cause from error
        raise
    except ray.exceptions.RayActorError as error:
        raise DataError(f"a learner's process died: {error}", remedy="Resume from the last checkpoint") from error


def require_finite(weights: Mapping[str, NDArray[np.float32]]) -> None:
    """DataError naming tower and layer of the first weight that is not a number, before a checkpoint holds it."""
    for name, array in weights.items():
        if not np.isfinite(array).all():
            tower, layer, kind = name.split(".")
            raise DataError(
                f"training diverged: the {kind} of layer {layer} in the {tower} tower is not finite",
                remedy="Lower the learning rate; the checkpoints before it are whole",
            )
