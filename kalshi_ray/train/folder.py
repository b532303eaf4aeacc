"""The folder of a run: what lies where, written so that a crash at any moment leaves whole files and whole lines.

<run>/settings.json      settings in force, data, packages, and what the run went on from
      progress.jsonl     one line an iteration       validation.jsonl  one line a validation
      alerts.jsonl       one line an alert           portfolio.jsonl   accounts of all rows, by option
      checkpoints/       step-000000000000/ …        bundle/           the outcome
      tensorboard/       curves                      result.json       how it ended; absent while it runs, or if killed
      writer.lock        who writes it (`holding`)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kalshi_ray.errors import ConfigError, DataError
from kalshi_ray.train.holding import LOCK

SETTINGS, RESULT = "settings.json", "result.json"
PROGRESS, VALIDATION, ALERTS = "progress.jsonl", "validation.jsonl", "alerts.jsonl"
CHECKPOINTS, BUNDLE = "checkpoints", "bundle"
PARTIAL = ".partial"
"""What ends in this is being written, or was when its writer died."""


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / CHECKPOINTS

    @property
    def bundle(self) -> Path:
        """Where the bundle lies, once there is one."""
        return self.path / BUNDLE

    def make(self) -> None:
        """Make the folder, and remove what a killed run left unfinished in it. DataError if the disk refuses."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            for unfinished in (*self.path.glob(f"*{PARTIAL}"), *self.checkpoints.glob(f"*{PARTIAL}")):
                remove(unfinished)
            (self.path / RESULT).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error}", remedy="Choose another run folder") from error

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file, aside and then renamed."""
        target = self.path / name
        replace_file(target, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def read(self, name: str) -> dict[str, Any]:
        """One JSON file; empty where it is not there. DataError if it cannot be read."""
        target = self.path / name
        if not target.is_file():
            return {}
        try:
            return msgspec.json.decode(target.read_bytes(), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise DataError(f"{target} cannot be read: {error}") from error

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Add one line to a file of lines."""
        target = self.path / name
        try:
            with target.open("ab") as stream:
                stream.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise DataError(f"cannot write {target}: {error}") from error

    def lines(self, name: str) -> list[dict[str, Any]]:
        """All whole lines; one that a crash cut short is left out."""
        target = self.path / name
        found = []
        for raw in target.read_bytes().splitlines() if target.is_file() else []:
            try:
                found.append(msgspec.json.decode(raw, type=dict[str, Any]))
            except msgspec.DecodeError:
                continue
        return found

    def cut(self, steps: int, names: str = "*.jsonl") -> None:
        """Drop every line beyond `steps`: what comes after that point is going to happen again."""
        for path in sorted(self.path.glob(names)):
            kept = [line for line in self.lines(path.name) if line.get("steps", 0) <= steps]
            replace_file(path, b"".join(msgspec.json.encode(line) + b"\n" for line in kept))

    def take_over(self, other: RunFolder, checkpoints: list[Path]) -> None:
        """Begin as a copy of another run: its lines, and `checkpoints` of it (linked where the disk can)."""
        try:
            for path in other.path.glob("*.jsonl"):
                shutil.copyfile(path, self.path / path.name)
            for checkpoint in checkpoints:
                partial = self.checkpoints / (checkpoint.name + PARTIAL)
                shutil.copytree(checkpoint, partial, copy_function=_link)
                partial.rename(self.checkpoints / checkpoint.name)
        except OSError as error:
            raise DataError(f"cannot copy {other.path} to {self.path}: {error}") from error


def require_unused(run_dir: Path, resume_from: Path | None = None) -> None:
    """ConfigError if the folder holds anything, unless it is the folder of the run that is resumed."""
    if not run_dir.exists() or owns(run_dir, resume_from):
        return
    if not run_dir.is_dir() or any(path.name != LOCK for path in run_dir.iterdir()):
        raise ConfigError(f"{run_dir} holds a run already", remedy="Choose another run folder, or resume that run")


def owns(run_dir: Path, resume_from: Path | None) -> bool:
    """Whether a run or checkpoint to resume from is this folder, or lies in it."""
    if resume_from is None or not resume_from.exists():
        return False
    return run_dir.resolve() in (resume_from.resolve(), *resume_from.resolve().parents)


def replace_file(target: Path, content: bytes) -> None:
    """Write a file aside, push it to the disk and rename it. DataError if the disk refuses."""
    partial = target.with_name(target.name + PARTIAL)
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"cannot write {target}: {error}") from error


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
