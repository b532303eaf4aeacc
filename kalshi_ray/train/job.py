"""Training on sessions: plan, share the views, train. What `kalshi-ray train` and `jobs/train.py` call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kalshi_ray.data.selection import CausalSettings, Selection, SuitabilitySettings
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import Split, SplitSettings
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.plan import Markets, Plan, plan_training
from kalshi_ray.train.run import TrainResult, train
from kalshi_ray.train.settings import TrainSettings


@dataclass(frozen=True)
class Trained:
    """What came out of a training job, and which markets it saw."""

    result: TrainResult
    split: Split
    selection: Selection
    trained_on: int  # markets: those of the training part that are suitable
    markets: tuple[Markets, ...]  # by part
    steps: int  # that were to be made


def train_on_sessions(
    sessions: Sequence[Session],
    settings: TrainSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    split: SplitSettings,
    run_dir: Path,
    causal: CausalSettings | None = None,
    validate_on: Sequence[Session] = (),
    allow_overlap: bool = False,
    until_played: bool = False,
    progress: Progress | None = None,
    resume_from: Path | None = None,
    weights_from: Path | None = None,
    reason: str = "",
) -> Trained:
    """Train on the suitable markets of the training part of sessions: see `plan_training`. Needs a running Ray."""
    plan = plan_training(
        sessions,
        settings,
        env=env,
        selection=selection,
        split=split,
        causal=causal,
        validate_on=validate_on,
        allow_overlap=allow_overlap,
        until_played=until_played,
        progress=progress,
    )
    return train_on_plan(
        plan, run_dir=run_dir, progress=progress, resume_from=resume_from, weights_from=weights_from, reason=reason
    )


def train_on_plan(
    plan: Plan,
    *,
    run_dir: Path,
    progress: Progress | None = None,
    resume_from: Path | None = None,
    weights_from: Path | None = None,
    reason: str = "",
) -> Trained:
    """Do what was planned. Needs a running Ray (`ray_session`)."""
    result = train(
        plan.settings,
        plan.source(),
        run_dir=run_dir,
        validation=plan.validation(),
        progress=progress,
        resume_from=resume_from,
        weights_from=weights_from,
        reason=reason,
    )
    return Trained(result, plan.split, plan.selection, len(plan.views), plan.markets, plan.settings.steps)


def name_run(settings: TrainSettings, *, at: datetime | None = None) -> str:
    """A name for a run: time, preset and seed."""
    moment = at or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{settings.preset}-s{settings.seed}"
