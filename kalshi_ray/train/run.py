"""One training run: from settings and a source of rows to checkpoints, progress and a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import ray
from numpy.typing import NDArray

from kalshi_ray.errors import ConfigError, DataError, KalshiRayError
from kalshi_ray.policy.inference import best_legal
from kalshi_ray.registry.bundle import Manifest, save_bundle
from kalshi_ray.train.algorithm import build_config
from kalshi_ray.train.checkpoints import About, find_checkpoint, restore_checkpoint, save_checkpoint
from kalshi_ray.train.progress import Progress
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import EnvSource, Spaces
from kalshi_ray.train.validation import Judge

Report = Callable[[str, int, int], None]
PACKAGES = ("ray", "torch", "numpy", "numba", "gymnasium", "safetensors")
PROBE_ROWS, PROBE_STEPS = 64, 40


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind."""

    run: str
    run_dir: Path
    bundle: Path
    checkpoint: Path
    steps: int  # over the whole life of the run
    seconds: float  # of training, without start and end
    steps_per_s: float
    metrics: dict[str, float]  # the last line of progress


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

    `run_dir` must not hold a run; its name is the run's id. `resume_from` is a run's folder or one of its
    checkpoints: optimiser, counters, generators and rows go on from there.
    """
    del validation, weights_from
    if resume_from:
        find_checkpoint(resume_from)  # before anything is written
    run = Run.prepare(settings, source, run_dir)
    algorithm = build_config(settings, source, run.spaces).build_algo()
    try:
        steps = restore_checkpoint(resume_from, algorithm, run.about(0)) if resume_from else 0
        if steps >= settings.steps:
            raise ConfigError(f"the checkpoint has {steps} steps already, train.steps = {settings.steps}")
        trained = run.iterate(algorithm, steps, progress)
        bundle = run.write_bundle(algorithm.env_runner.module, reason)
    finally:
        algorithm.stop()
    return TrainResult(run=run_dir.name, run_dir=run_dir, bundle=bundle, metrics=run.progress.last, **trained)


def require_unused(run_dir: Path) -> None:
    """ConfigError if the folder holds anything."""
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise ConfigError(f"{run_dir} holds a run already", remedy="Choose another run folder")


@dataclass(frozen=True)
class Run:
    """A run on disk: settings.json, progress.jsonl, checkpoints/ and, at the end, bundle/."""

    settings: TrainSettings
    source: EnvSource
    folder: Path
    spaces: Spaces
    progress: Progress

    @classmethod
    def prepare(cls, settings: TrainSettings, source: EnvSource, folder: Path) -> Run:
        """Check everything that can be checked and make the folder."""
        settings.resolved()
        _check_runners(settings)
        require_unused(folder)
        rows = source.make(1, settings.seed)
        spaces = Spaces.of(rows)
        rows.reset_into(rows.new_batch())  # compiles the step here, before every runner would do it for itself
        rows.close()
        about = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": settings.describe(),
            "source": msgspec.to_builtins(source.describe()),
            "packages": packages(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "settings.json").write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=2))
        except OSError as error:
            raise DataError(f"cannot write {folder}: {error}", remedy="Choose another run folder") from error
        return cls(settings, source, folder, spaces, Progress(folder / "progress.jsonl"))

    def about(self, steps: int) -> About:
        """What a checkpoint of this run belongs to."""
        contract = self.source.describe().contract
        return About(
            run=self.folder.name,
            steps=steps,
            network=self.settings.network_in_force(),
            action_space=contract.action_space.fingerprint,
            observation=contract.observation.fingerprint,
            learner=self.settings.learner,
            split_towers=self.settings.split_towers,
        )

    def iterate(self, algorithm: Any, steps: int, report: Report | None) -> dict[str, Any]:
        """Update until the last step, with a checkpoint every `save_freq` steps and at the end."""
        settings = self.settings
        began, started_at = time.perf_counter(), steps
        due = steps + settings.save_freq
        while steps < settings.steps:
            line = self.progress.add(_one_iteration(algorithm), seconds=time.perf_counter() - began)
            if int(line["steps"]) <= steps:
                raise DataError(f"an iteration sampled nothing at step {steps}", remedy="Every env runner has failed")
            steps = int(line["steps"])
            if report is not None:
                report("train", min(steps, settings.steps), settings.steps)
            if steps >= due and steps < settings.steps:
                self._save(algorithm, steps)
                due = steps + settings.save_freq
        seconds = time.perf_counter() - began
        return {
            "checkpoint": self._save(algorithm, steps),
            "steps": steps,
            "seconds": seconds,
            "steps_per_s": (steps - started_at) / seconds,
        }

    def _save(self, algorithm: Any, steps: int) -> Path:
        return save_checkpoint(self.folder / "checkpoints", algorithm, self.about(steps), keep=self.settings.keep)

    def write_bundle(self, module: Any, reason: str) -> Path:
        """The bundle of a module, with a probe from fresh rows."""
        described = self.source.describe()
        layers = module.deciding_layers()
        observation, mask = _probe(self.source, module, self.settings.seed)
        network = self.settings.network_in_force()
        digest = np.concatenate([array.ravel() for layer in layers for array in layer]).tobytes()
        path = self.folder / "bundle"
        save_bundle(
            path,
            manifest=Manifest(
                id=f"{self.folder.name}-{_short_hash(digest)}",
                run=self.folder.name,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                reason=reason,
                algorithm="ppo",
                decide=self.settings.decide,
                activation=network.activation,
                sizes=[],
                network=msgspec.to_builtins(network),
                contract=described.contract,
                training=self.settings.describe(),
                env=described.env,
                reward=described.reward,
                fill_model=described.fill_model,
                sessions=described.sessions,
                packages=packages(),
                metrics=self.progress.last,
            ),
            layers=layers,
            probe_observation=observation,
            probe_mask=mask,
        )
        return path


def packages() -> dict[str, str]:
    """Versions that a run depends on."""
    return {name: version(name) for name in ("kalshi-ray", *PACKAGES)}


def _one_iteration(algorithm: Any) -> Any:
    try:
        return algorithm.train()
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, KalshiRayError):
            raise error.cause from error
        raise


def _probe(source: EnvSource, module: Any, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Observations and masks that the network meets by itself: some from every part of a short walk."""
    rows = source.make(PROBE_ROWS, seed + 1)
    batch = rows.new_batch()
    rows.reset_into(batch)
    network = module.network_of_decisions()
    actions = np.zeros(PROBE_ROWS, np.int64)
    seen, masks = [batch.observation[:8].copy()], [batch.mask[:8].copy()]
    for step in range(1, PROBE_STEPS):
        best_legal(network.logits(batch.observation), batch.mask, actions)
        rows.step_into(actions, batch)
        if step % 5 == 0:
            part = slice(step % PROBE_ROWS, step % PROBE_ROWS + 8)
            seen.append(batch.observation[part].copy())
            masks.append(batch.mask[part].copy())
    rows.close()
    return np.concatenate(seen), np.concatenate(masks)


def _check_runners(settings: TrainSettings) -> None:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if settings.runners > cpus:
        raise ConfigError(
            f"train.runners = {settings.runners}, but this Ray has {cpus} CPUs: they would wait for ever",
            remedy="Use fewer runners, or start Ray with more (ray.cpus)",
        )


def _short_hash(raw: bytes) -> str:
    return sha256(raw).hexdigest()[:8]
