"""Folders of runs as a training writes them, without a learner: real rows, real counts, real lines."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from kalshi_ray.train.alerts import Alert
from kalshi_ray.train.folder import ALERTS, PROGRESS, RESULT, SETTINGS, VALIDATION, RunFolder
from kalshi_ray.train.progress import LINE_STEPS, Progress
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.tally import Tally
from tests.train.results import result_of
from tests.train.sampled import RowsSource, runner_of, tally_of


@cache
def tallies() -> list[Tally]:
    """What a runner counted in a few iterations of random play."""
    runner, found = runner_of(), []
    for _ in range(6):
        runner.sample(random_actions=True)
        found.append(tally_of(runner))
    return found


def write_run(
    path: Path, *, ended: str = "", validated: list[float] | None = None, alerts: int = 0, **changes: Any
) -> RunFolder:
    """A run of six lines. `ended` is its status; a run without one goes on, or was killed."""
    folder = RunFolder(path)
    folder.make()
    settings = TrainSettings(**({"steps": 6 * LINE_STEPS} | changes))
    about = {
        "created": f"2026-11-20T11:0{len(path.name)}:00+00:00",
        "settings": settings.describe(),
        "source": msgspec.to_builtins(RowsSource().describe()),
    }
    folder.write(SETTINGS, about)
    progress = Progress.of(folder, settings)
    for k, tally in enumerate(tallies(), 1):
        progress.add(result_of([tally], k * LINE_STEPS, k), seconds=float(k), extra={"restarts": 0.0})
    progress.close()
    for k, score in enumerate(validated or [], 1):
        line = {"net_per_market": score, "markets": 5, "events": 3, "trades": 7, "fills": 9, "hold_share": 0.5}
        folder.append(VALIDATION, {"steps": k * LINE_STEPS, "seconds": k, **line, "win_rate": None, "best": True})
    for k in range(alerts):
        words = "fell & fell <again>"
        alert = Alert(name="reward-trend", level="warn", steps=k, value=-6.0, bound=-5.0, words=words)
        folder.append(ALERTS, asdict_of(alert))
    if ended:
        why = "" if ended == "finished" else f"{ended} by hand"
        folder.write(RESULT, {"status": ended, "why": why, "steps": 6 * LINE_STEPS, "seconds": 6.0})
    assert (path / PROGRESS).is_file()
    return folder


def asdict_of(alert: Alert) -> dict[str, Any]:
    return dict(msgspec.structs.asdict(alert))
