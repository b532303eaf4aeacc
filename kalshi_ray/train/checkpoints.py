"""Checkpoints of a run: written aside and renamed, so that a name that is there is whole."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from kalshi_ray.errors import ContractError, DataError, UnknownName
from kalshi_ray.policy.shapes import NetworkSettings

_NAME = re.compile(r"step-(\d{12})")
ABOUT = "run.json"  # what the checkpoint belongs to
PARTIAL = ".partial"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What must agree before a checkpoint is restored."""

    run: str
    steps: int
    network: NetworkSettings
    action_space: str  # fingerprint
    observation: str  # fingerprint
    learner: str
    split_towers: bool


def save_checkpoint(folder: Path, algorithm: Any, about: About, *, keep: int) -> Path:
    """Save an RLlib algorithm under `folder`, and drop all but the newest `keep`. DataError if the disk refuses."""
    target = folder / f"step-{about.steps:012d}"
    partial = folder / (target.name + PARTIAL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        algorithm.save_to_path(str(partial.absolute()))
        (partial / ABOUT).write_bytes(msgspec.json.encode(about))
        _remove(target)
        partial.rename(target)
    except OSError as error:
        _remove(partial)
        raise DataError(f"cannot write checkpoint {target}: {error}", remedy="Older checkpoints are kept") from error
    for stale in list_checkpoints(folder)[:-keep]:
        _remove(stale)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and (path / ABOUT).is_file())


def find_checkpoint(path: Path) -> tuple[Path, About]:
    """The checkpoint that `path` names: itself, or the newest of a run's folder."""
    for candidate in (path, *reversed(list_checkpoints(path / "checkpoints")), *reversed(list_checkpoints(path))):
        if (candidate / ABOUT).is_file():
            try:
                return candidate, msgspec.json.decode((candidate / ABOUT).read_bytes(), type=About)
            except msgspec.DecodeError as error:
                raise DataError(f"{candidate / ABOUT} cannot be read: {error}") from error
    raise UnknownName("checkpoint", str(path), ["a run's folder, or a folder step-… in its checkpoints"])


def restore_checkpoint(path: Path, algorithm: Any, about: About) -> int:
    """Go on from a checkpoint of the same network, action space and observation. Returns its steps."""
    found, saved = find_checkpoint(path)
    for name in ("network", "action_space", "observation", "learner", "split_towers"):
        was, wanted = getattr(saved, name), getattr(about, name)
        if was != wanted:
            raise ContractError(f"checkpoint {found.name} of run {saved.run} has {name} {was}, this run has {wanted}")
    algorithm.restore_from_path(str(found.absolute()))
    return saved.steps


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
