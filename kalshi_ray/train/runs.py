"""Runs on disk, read while they go on, after they ended, and after they were killed in the middle of a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from kalshi_ray.errors import DataError, UnknownName
from kalshi_ray.train.folder import ALERTS, BUNDLE, PROGRESS, RESULT, SETTINGS, VALIDATION, RunFolder
from kalshi_ray.train.holding import holder_of
from kalshi_ray.train.lines import ACTIONS, HEALTH, PORTFOLIO
from kalshi_ray.train.settings import TrainSettings

Status = Literal["finished", "stopped", "failed", "running", "killed"]
TAIL = 1 << 16  # bytes: the newest line of a file lies in them
SILENT_S = 120.0  # a run that wrote nothing for so long, and for ten times its usual pause, does not run any more


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a list."""

    name: str
    status: Status
    why: str
    steps: int
    of_steps: int  # 0 where its settings cannot be read
    steps_per_s: float
    seconds: float
    best_validation: float | None  # $ a market
    algorithm: str
    preset: str
    sessions: list[str]
    created: str
    has_bundle: bool
    alerts: int


@dataclass(frozen=True)
class RunRecord:
    """One run. `now` is the time at which it is read, s."""

    name: str
    path: Path
    now: float

    @property
    def folder(self) -> RunFolder:
        """Its files."""
        return RunFolder(self.path)

    @cached_property
    def about(self) -> dict[str, Any]:
        """settings.json; empty where it is not there or damaged."""
        return self._read(SETTINGS)

    @cached_property
    def result(self) -> dict[str, Any]:
        """result.json; empty while the run goes on, and where it was killed."""
        return self._read(RESULT)

    @cached_property
    def health(self) -> dict[str, Any]:
        """The newest table of features; empty where there is none."""
        return self._read(HEALTH)

    @cached_property
    def progress(self) -> list[dict[str, float]]:
        """All lines of progress."""
        return self.folder.lines(PROGRESS)

    @cached_property
    def validation(self) -> list[dict[str, Any]]:
        """All validations."""
        return self.folder.lines(VALIDATION)

    @cached_property
    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, in the order in which they were raised."""
        return self.folder.lines(ALERTS)

    @cached_property
    def actions(self) -> list[dict[str, Any]]:
        """Counts by action id and bin."""
        return self.folder.lines(ACTIONS)

    @cached_property
    def portfolio(self) -> list[dict[str, Any]]:
        """Accounts of all rows, where the run kept them."""
        return self.folder.lines(PORTFOLIO)

    @cached_property
    def last(self) -> dict[str, float]:
        """The newest line of progress; empty where there is none."""
        return last_line(self.path / PROGRESS)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the training in force."""
        found: dict[str, Any] = self.about.get("settings", {})
        return found

    @property
    def source(self) -> dict[str, Any]:
        """What it was trained on."""
        found: dict[str, Any] = self.about.get("source", {})
        return found

    @property
    def status(self) -> Status:
        """How it ended; without a result, whether it still writes."""
        said = self.result.get("status")
        if said in ("finished", "stopped", "failed"):
            return said  # type: ignore[no-any-return]  # one of the words
        holder = holder_of(self.path)
        if holder is not None and holder.is_here:
            return "killed" if holder.is_dead else "running"
        usual = self.last.get("seconds", 0.0) / max(self.last.get("iteration", 1.0), 1.0)
        return "running" if self.now - self._touched() < max(SILENT_S, 10.0 * usual) else "killed"

    def _touched(self) -> float:
        """When it last wrote."""
        names = (SETTINGS, PROGRESS, VALIDATION, HEALTH)
        times = [os.stat(self.path / name).st_mtime for name in names if (self.path / name).is_file()]
        return max(times, default=0.0)

    def summary(self) -> RunSummary:
        """The run in one line."""
        scores = [line["net_per_market"] for line in self.validation]
        sessions = [str(session.get("id", "?")) for session in self.source.get("sessions", [])]
        return RunSummary(
            name=self.name,
            status=self.status,
            why=str(self.result.get("why") or ""),
            steps=int(self.last.get("steps", 0)),
            of_steps=int(self.settings.get("steps", 0)),
            steps_per_s=float(self.last.get("steps_per_s", 0.0)),
            seconds=float(self.last.get("seconds", 0.0)),
            best_validation=max(scores, default=None),
            algorithm=str(self.settings.get("algorithm", "?")),
            preset=str(self.settings.get("preset", "?")),
            sessions=sessions,
            created=str(self.about.get("created", "")),
            has_bundle=(self.path / BUNDLE).is_dir(),
            alerts=len(self.alerts),
        )

    def differing(self) -> dict[str, tuple[Any, Any]]:
        """Settings that are not as their preset and the defaults say: (in force, default)."""
        try:
            usual = TrainSettings(algorithm=self.settings["algorithm"], preset=self.settings["preset"]).describe()
        except (KeyError, UnknownName):  # of another version
            return {}
        plain = msgspec.json.decode(msgspec.json.encode(usual))  # as settings.json has it
        return {k: (v, plain[k]) for k, v in self.settings.items() if k in plain and v != plain[k]}

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return self.folder.read(name)
        except DataError:  # written by hand, or by a disk that was full: the rest of the run can still be read
            return {}


def last_line(path: Path) -> dict[str, Any]:
    """The newest whole line of a file of lines; empty where there is none."""
    if not path.is_file():
        return {}
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL))
        found = stream.read().splitlines()
    for raw in reversed(found):
        try:
            return msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError:  # cut short, or the end of a longer one
            continue
    return {}


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / SETTINGS).is_file() or (folder / PROGRESS).is_file()


def find_runs(root: Path, now: float) -> list[RunRecord]:
    """All runs below a folder, the newest last; phases of one training are runs of their own."""
    found = [RunRecord(path.relative_to(root).as_posix(), path, now) for path in sorted(_folders(root))]
    return sorted(found, key=lambda run: (str(run.about.get("created", "")), run.name))


def _folders(root: Path) -> Iterator[Path]:
    for folder in root.iterdir() if root.is_dir() else ():
        if not folder.is_dir() or folder.is_symlink():
            continue
        if is_run(folder):
            yield folder
        else:
            yield from (inner for inner in folder.iterdir() if inner.is_dir() and is_run(inner))


def open_run(root: Path, name: str, now: float) -> RunRecord:
    """A run by name, or by the path of its folder. UnknownName with the known ones."""
    for known_as, folder in ((name, root / name), (Path(name).resolve().name, Path(name))):
        if is_run(folder):
            return RunRecord(folder.name if Path(known_as).is_absolute() else known_as, folder, now)
    raise UnknownName("run", name, [run.name for run in reversed(find_runs(root, now))])
