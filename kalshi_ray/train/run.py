"""One training run: from settings and a source of rows to checkpoints, progress and a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import ray
from numpy.typing import NDArray

from kalshi_ray import telemetry
from kalshi_ray.errors import ConfigError, DataError, Stopped, UsageError
from kalshi_ray.train.algorithm import build_config, on_accelerator
from kalshi_ray.train.checkpoints import (
    About,
    find_checkpoint,
    list_checkpoints,
    require_same,
    restore_checkpoint,
)
from kalshi_ray.train.folder import PROGRESS, RESULT, SETTINGS, VALIDATION, RunFolder, owns, require_unused
from kalshi_ray.train.holding import held
from kalshi_ray.train.loop import Loop, Report
from kalshi_ray.train.outcome import write_bundle
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import EnvSource, Spaces
from kalshi_ray.train.stops import Stops
from kalshi_ray.train.validation import Judge
from kalshi_ray.train.versions import packages, require_versions
from kalshi_ray.train.weights import find_weights, put_weights

FEW_EVENTS = 10
"""Below this the best checkpoint is chosen by luck as much as by skill."""


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind."""

    run: str
    run_dir: Path
    bundle: Path
    checkpoint: Path  # the newest
    steps: int  # over the whole life of the run
    seconds: float  # of this training, without start and end
    steps_per_s: float
    metrics: dict[str, float]  # the last line of progress
    status: str  # finished, or stopped: by a signal, by validation, by an alert
    why: str  # it stopped
    exit_code: int  # 0; 130 after Ctrl-C, 143 after SIGTERM


def train(
    settings: TrainSettings,
    source: EnvSource,
    *,
    run_dir: Path,
    validation: Judge | None = None,
    resume_from: Path | None = None,
    weights_from: Path | None = None,
    progress: Report | None = None,
    reason: str = "",
) -> TrainResult:
    """Train until `settings.steps`. Needs a running Ray (`ray_session`).

    `run_dir` must not hold a run, nor be written by another process (RunBusy); its name is the run's id. `resume_from`
    is a run's folder or one of its checkpoints: optimiser, counters, generators and rows go on from there, in the same
    folder if `run_dir` is that run's own.
    `weights_from` is a bundle, a run or a checkpoint: its weights alone, everything else begins afresh.
    The first Ctrl-C or SIGTERM lets the update end and returns; before the first update, or the second time, it raises
    Stopped.
    """
    if resume_from is not None and weights_from is not None:
        raise UsageError(
            f"cannot both resume {resume_from} and take weights from {weights_from}",
            remedy="Resume to go on exactly, or take weights to begin afresh with them",
        )
    with Stops() as stops, held(run_dir):
        run = Run.prepare(settings, source, run_dir, validation, resume_from, weights_from)
        try:
            return run.carried_out(stops, progress, reason)
        except BaseException as error:
            run.note_failure(error)
            raise


@dataclass(frozen=True)
class Run:
    """A run that has been checked, and its folder made."""

    settings: TrainSettings
    source: EnvSource
    folder: RunFolder
    spaces: Spaces
    about: About  # of a checkpoint taken now
    judge: Judge | None
    checkpoint: Path | None  # to go on from
    weights: dict[str, NDArray[np.float32]] | None  # to begin with

    @classmethod
    def prepare(
        cls,
        settings: TrainSettings,
        source: EnvSource,
        run_dir: Path,
        validation: Judge | None,
        resume_from: Path | None,
        weights_from: Path | None,
    ) -> Run:
        """Check everything that can be checked, and make the folder."""
        require_versions()
        settings.resolved()
        _check_room(settings)
        require_unused(run_dir, resume_from)
        about = _about(settings, source, run_dir.name)
        checkpoint = None
        if resume_from is not None:
            checkpoint, about = _resumed(settings, run_dir, resume_from, about)
        contract = source.describe().contract
        weights = find_weights(weights_from, settings.network_in_force(), contract) if weights_from else None
        judge = validation if settings.eval_freq else None
        described = _described(judge)
        spaces = _compiled(source, settings.seed)
        run = cls(settings, source, RunFolder(run_dir), spaces, about, judge, checkpoint, weights)
        run.make_folder(described, resume_from=resume_from, weights_from=weights_from)
        return run

    def make_folder(
        self, validation: dict[str, object] | None, *, resume_from: Path | None, weights_from: Path | None
    ) -> None:
        """settings.json, and what the run goes on from."""
        folder = self.folder
        folder.make()
        if self.checkpoint is not None:
            if not owns(folder.path, self.checkpoint):
                earlier = [one for one in list_checkpoints(self.checkpoint.parent) if one <= self.checkpoint]
                folder.take_over(RunFolder(self.checkpoint.parents[1]), earlier)
            folder.cut(self.about.steps)
            if self.about.judged:  # the verdict on these weights was heard after the checkpoint: it is asked for again
                folder.cut(self.about.steps - 1, VALIDATION)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = folder.read(SETTINGS)
        described = {
            "created": before.get("created", now),
            "settings": self.settings.describe(),
            "source": msgspec.to_builtins(self.source.describe()),
            "validation": validation,
            "packages": packages(),
            "resumed_from": None if self.checkpoint is None else str(self.checkpoint),
            "weights_from": None if weights_from is None else str(weights_from),
        }
        if resume_from is not None:
            described |= {"resumed": now, "resumed_at_steps": self.about.steps}
        folder.write(SETTINGS, described)

    def carried_out(self, stops: Stops, report: Report | None, reason: str) -> TrainResult:
        """Train, write the bundle and say how it ended."""
        algorithm = build_config(self.settings, self.source, self.spaces).build_algo()
        try:
            if self.checkpoint is not None:
                restore_checkpoint(self.checkpoint, algorithm)
            if self.weights is not None:
                put_weights(algorithm, self.weights)
            loop = Loop(self.settings, self.folder, algorithm, self.about, judge=self.judge, stops=stops, report=report)
            before = loop.seconds
            ending = loop.iterate()
        finally:
            algorithm.stop()
        checkpoints = list_checkpoints(self.folder.checkpoints)
        if not checkpoints:
            raise Stopped(f"{ending.why} before the first update: nothing was trained", exit_code=stops.exit_code)
        bundle = write_bundle(self.settings, self.source, self.folder, reason=reason)
        self._note(ending.status, ending.why, ending.steps, ending.seconds, bundle)
        seconds = ending.seconds - before
        return TrainResult(
            run=self.folder.path.name,
            run_dir=self.folder.path,
            bundle=bundle,
            checkpoint=checkpoints[-1],
            steps=ending.steps,
            seconds=seconds,
            steps_per_s=(ending.steps - loop.began_at) / seconds,
            metrics=loop.progress.last,
            status=ending.status,
            why=ending.why,
            exit_code=stops.exit_code if ending.status == "stopped" else 0,
        )

    def note_failure(self, error: BaseException) -> None:
        """Say in the folder how the run ended; the error itself goes on to the caller."""
        why = str(error) if isinstance(error, (DataError, Stopped, UsageError)) else f"{type(error).__name__}: {error}"
        last = self.folder.lines(PROGRESS)[-1:]
        steps, seconds = (int(last[0]["steps"]), float(last[0]["seconds"])) if last else (0, 0.0)
        try:
            self._note("stopped" if isinstance(error, Stopped) else "failed", why, steps, seconds, None)
        except DataError as second:  # the disk may be what failed
            telemetry.error("train.result", why=str(second))

    def _note(self, status: str, why: str, steps: int, seconds: float, bundle: Path | None) -> None:
        newest = list_checkpoints(self.folder.checkpoints)[-1:]
        self.folder.write(
            RESULT,
            {
                "status": status,
                "why": why,
                "steps": steps,
                "seconds": round(seconds, 3),
                "bundle": None if bundle is None else str(bundle),
                "checkpoint": str(newest[0]) if newest else None,
            },
        )


def _about(settings: TrainSettings, source: EnvSource, run: str) -> About:
    described = source.describe()
    raw = msgspec.json.encode([described.sessions, described.env], order="deterministic")
    return About(
        run=run,
        steps=0,
        algorithm=settings.algorithm,
        network=settings.network_in_force(),
        action_space=described.contract.action_space.fingerprint,
        observation=described.contract.observation.fingerprint,
        learner=settings.learner,
        split_towers=settings.split_towers,
        rows=settings.resolved().rows,
        runners=settings.runners,
        source=sha256(raw).hexdigest()[:12],
        packages=packages(),
    )


def _resumed(settings: TrainSettings, run_dir: Path, resume_from: Path, about: About) -> tuple[Path, About]:
    """The checkpoint to go on from, and `about` as it was there."""
    found, saved = find_checkpoint(resume_from)
    require_same(found.name, saved, about)
    own = owns(run_dir, found)
    if own and found != list_checkpoints(found.parent)[-1]:
        raise ConfigError(
            f"{run_dir} has checkpoints after {found.name}, which going on in it would write over",
            remedy="Give the resumed run a folder of its own (--run), or resume from the newest",
        )
    if saved.steps >= settings.steps and not (own and not RunFolder(run_dir).bundle.exists()):
        raise ConfigError(
            f"the checkpoint has {saved.steps} steps already, train.steps = {settings.steps}",
            remedy="train.steps counts the whole life of a run: set more",
        )
    return found, msgspec.structs.replace(about, steps=saved.steps, judged=saved.judged)


def _described(judge: Judge | None) -> dict[str, object] | None:
    """What there is to validate on, with a warning where it is little."""
    if judge is None:
        return None
    described = judge.describe()
    events: Any = described["events"]
    if events < FEW_EVENTS:
        telemetry.warning("train.validation.few", events=events, needed=FEW_EVENTS, so="the best may be best by luck")
    return described


def _compiled(source: EnvSource, seed: int) -> Spaces:
    """The spaces of the rows. Their step is compiled here, before every runner would do it for itself."""
    rows = source.make(1, seed)
    spaces = Spaces.of(rows)
    rows.reset_into(rows.new_batch())
    rows.close()
    return spaces


def _check_room(settings: TrainSettings) -> None:
    """Refuse what Ray would wait for without end."""
    on_accelerator(settings)
    cpus = int(ray.cluster_resources().get("CPU", 0))
    wanted = {"train.runners": settings.runners, "train.learners": settings.learners}
    if sum(wanted.values()) > cpus:
        said = " and ".join(f"{name} = {count}" for name, count in wanted.items() if count)
        raise ConfigError(
            f"{said}, but this Ray has {cpus} CPUs: they would wait for ever",
            remedy="Use fewer, or start Ray with more (ray.cpus)",
        )
