"""Phases: runs that follow each other, each beginning with the weights of the one before; one TOML file.

[[phases]]
name = "one"                # its run folder
sessions = ["32"]
curriculum = true           # with steps: from easy to hard; without: every market once
steps = 500_000

[[phases]]
name = "two"
sessions = ["32", "25", "10"]
steps = 2_000_000
settings = { "train.learning_rate" = 5e-5 }   # that differ from those of the file
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from kalshi_ray.config import toml_text
from kalshi_ray.errors import ConfigError
from kalshi_ray.train.checkpoints import list_checkpoints
from kalshi_ray.train.folder import CHECKPOINTS, RESULT, RunFolder
from kalshi_ray.train.holding import require_free
from kalshi_ray.train.stops import NAMES

SECTION = "phases"
State = Literal["absent", "begun", "unfinished", "done"]


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of several."""

    name: str
    sessions: tuple[str, ...]
    steps: int | None = None
    curriculum: bool = False
    validation_sessions: tuple[str, ...] = ()
    settings: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"name {self.name!r} is no folder name: letters, digits, dash and underscore")
        if not self.sessions:
            raise ValueError(f"phase {self.name} names no session")
        if self.steps is not None and self.steps <= 0:
            raise ValueError(f"phase {self.name} has {self.steps} steps, expected more than 0")
        if self.steps is None and not self.curriculum:
            raise ValueError(
                f"phase {self.name} has no steps: give them, or curriculum = true to play each market once"
            )

    @property
    def options(self) -> list[tuple[str, str]]:
        """Its own settings as (dotted key, text)."""
        given = [(key, one if isinstance(one, str) else toml_text(one)) for key, one in self.settings.items()]
        return given + ([] if self.steps is None else [("train.steps", str(self.steps))])


def read_phases(path: Path) -> tuple[Phase, ...]:
    """The phases of a file, which may hold settings beside them. ConfigError says what is wrong with which."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get(SECTION, [])
    except OSError as problem:
        raise ConfigError(f"cannot read the phases in {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} is not TOML: {problem}") from problem
    try:
        phases = msgspec.convert(tables, tuple[Phase, ...])
    except msgspec.ValidationError as problem:
        raise ConfigError(f"{path}: {problem}", remedy="See jobs/phases.toml") from problem
    names = [phase.name for phase in phases]
    if not names or len(set(names)) < len(names):
        said = f"calls several phases {', '.join(names)}" if names else "holds no [[phases]]"
        raise ConfigError(f"{path} {said}", remedy="Every phase has a name of its own: see jobs/phases.toml")
    return phases


def state_of(folder: Path) -> State:
    """How far the run of a phase is: done, unfinished with a checkpoint to go on from, only begun, or absent."""
    run = RunFolder(folder)
    result = run.read(RESULT)
    by_signal = result.get("why") in {f"stopped by {name}" for name in NAMES.values()}
    if result.get("status") == "finished" or (result.get("status") == "stopped" and not by_signal):
        return "done"
    if list_checkpoints(folder / CHECKPOINTS):
        return "unfinished"
    return "begun" if folder.is_dir() and any(folder.iterdir()) else "absent"


def set_aside(folder: Path) -> Path:
    """Move the folder of a run that died before its first checkpoint out of the way; nothing of it is lost.

    RunBusy if it lives.
    """
    require_free(folder)
    number = 1
    while (moved := folder.with_name(f"{folder.name}.died-{number}")).exists():
        number += 1
    return folder.rename(moved)
