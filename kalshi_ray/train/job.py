"""Training on one session: select, split, share the views, train. What `kalshi-ray train` and `jobs/train.py` call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from kalshi_ray.data.selection import Selection, SuitabilitySettings, select
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import Split, SplitSettings, split_views
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.run import TrainResult, train
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource


@dataclass(frozen=True)
class Trained:
    """What came out of a training job, and which markets it saw."""

    result: TrainResult
    split: Split
    selection: Selection
    trained_on: int  # markets: those of the training part that are suitable


def train_on_session(
    session: Session,
    settings: TrainSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    split: SplitSettings,
    run_dir: Path,
    progress: Progress | None = None,
    resume_from: Path | None = None,
    reason: str = "",
) -> Trained:
    """Train on the suitable markets of the training part of a session. Needs a running Ray (`ray_session`).

    The session is divided before anything is selected, so that an evaluation with the same split never meets a
    market or a time that training has seen.
    """
    settings.resolved()
    pack = build_pack(session, siblings=_wants_siblings(env.layout.names), progress=progress)
    parts = split_views(pack, split)
    suitable = select(pack, selection, markets=session.markets(), progress=progress)
    views = np.intersect1d(parts.train, suitable.views)
    if not len(views):
        raise NothingToDo(
            f"none of the {len(parts.train)} markets in the training part of {session.id} is suitable",
            remedy="Loosen the filter (selection.…) or the split (split.…); `kalshi-ray sessions analyze` says why",
        )
    source = MarketSource(
        pack=put_pack(pack),
        settings=settings.training_env(env),
        views=tuple(int(view) for view in views),
        sampler=settings.sampler,
    )
    result = train(settings, source, run_dir=run_dir, progress=progress, resume_from=resume_from, reason=reason)
    return Trained(result, parts, suitable, len(views))


def name_run(settings: TrainSettings, *, at: datetime | None = None) -> str:
    """A name for a run: time, preset and seed."""
    moment = at or datetime.now(UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{settings.preset}-s{settings.seed}"


def _wants_siblings(features: Sequence[str]) -> bool:
    return any(name.startswith("sibling_") for name in features)
