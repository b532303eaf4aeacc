"""Checkpoints of a run: written aside, pushed to the disk and renamed, so that a name that is there is whole.

checkpoints/step-000000000000/   what RLlib writes (learner, optimizer, counters, rows of the runners)
                                 weights.safetensors   the weights alone
                                 run.json              what the checkpoint belongs to, written last
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from kalshi_ray.errors import ContractError, DataError, UnknownName
from kalshi_ray.policy.shapes import NetworkSettings
from kalshi_ray.train.folder import CHECKPOINTS, PARTIAL, VALIDATION, RunFolder, remove
from kalshi_ray.train.versions import require_alike

_NAME = re.compile(r"step-(\d{12})")
ABOUT, WEIGHTS = "run.json", "weights.safetensors"
MUST_AGREE = ("algorithm", "network", "action_space", "observation", "learner", "split_towers", "rows", "runners")


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What must agree before a checkpoint is restored."""

    run: str
    steps: int
    algorithm: str
    network: NetworkSettings
    action_space: str  # fingerprint
    observation: str  # fingerprint
    learner: str
    split_towers: bool
    rows: int  # of one runner
    runners: int
    source: str  # digest of markets and environment: the saved rows stand in the middle of them
    packages: dict[str, str]
    judged: bool = False  # a validation of these weights belongs to the run
    digest: str = ""  # of every other file of the checkpoint


def save_checkpoint(folder: Path, algorithm: Any, weights: Mapping[str, NDArray[np.float32]], about: About) -> Path:
    """Save an RLlib algorithm and its weights under `folder`. DataError if the disk refuses: nothing else changes."""
    target = folder / f"step-{about.steps:012d}"
    if (target / ABOUT).is_file():  # it was resumed from here, and nothing has happened since
        return target
    partial = folder / (target.name + PARTIAL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove(partial)
        algorithm.save_to_path(str(partial.absolute()))
        (partial / WEIGHTS).write_bytes(safetensors.numpy.save(dict(weights)))
        sealed = msgspec.structs.replace(about, digest=_digest(partial))
        (partial / ABOUT).write_bytes(msgspec.json.encode(sealed))
        _push_to_disk(partial)
        partial.rename(target)
        _push_to_disk(folder, deep=False)
    except OSError as error:
        remove(partial)
        raise DataError(f"cannot write checkpoint {target}: {error}", remedy="Older checkpoints are kept") from error
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and (path / ABOUT).is_file())


def steps_of(checkpoint: Path) -> int:
    """The steps that a checkpoint's name says."""
    named = _NAME.fullmatch(checkpoint.name)
    return int(named[1]) if named else 0


def drop_stale(folder: Path, scores: Mapping[int, float], *, keep: int, keep_best: int) -> None:
    """Remove all checkpoints but the newest `keep` and the `keep_best` with the highest scores (by steps)."""
    found = list_checkpoints(folder)
    spared = set(found[-keep:]) | set(ranked(found, scores)[:keep_best])
    for stale in found:
        if stale not in spared:
            going = stale.with_name(stale.name + PARTIAL)
            stale.rename(going)  # half removed it must not look whole
            remove(going)


def ranked(checkpoints: Iterable[Path], scores: Mapping[int, float]) -> list[Path]:
    """Those that have a score, the best first; among equals the later one."""
    known = [path for path in checkpoints if steps_of(path) in scores]
    return sorted(known, key=lambda path: (scores[steps_of(path)], path.name), reverse=True)


def scores_of(run: RunFolder) -> dict[int, float]:
    """Net P&L a market by steps, as far as a run has been validated."""
    return {int(line["steps"]): float(line["net_per_market"]) for line in run.lines(VALIDATION)}


def find_checkpoint(path: Path) -> tuple[Path, About]:
    """The checkpoint that `path` names: itself, or the newest of a run's folder."""
    for candidate in (path, *reversed(list_checkpoints(path / CHECKPOINTS)), *reversed(list_checkpoints(path))):
        if (candidate / ABOUT).is_file():
            return candidate, _read_about(candidate)
    raise UnknownName("checkpoint", str(path), ["a run's folder, or a folder step-… in its checkpoints"])


def best_checkpoint(path: Path) -> tuple[Path, About]:
    """The checkpoint that `path` names: itself, or that of a run's folder which is best by validation, else newest."""
    best = ranked(list_checkpoints(path / CHECKPOINTS), scores_of(RunFolder(path)))
    return (best[0], _read_about(best[0])) if best else find_checkpoint(path)


def require_same(name: str, saved: About, wanted: About) -> None:
    """ContractError unless a run like `wanted` can go on from a checkpoint like `saved`."""
    require_alike(saved.packages, f"checkpoint {name}")
    for what in MUST_AGREE:
        was, here = getattr(saved, what), getattr(wanted, what)
        if was != here:
            raise ContractError(
                f"checkpoint {name} of run {saved.run} has {what} {was}, this run has {here}",
                remedy="Resume with the settings it was trained with, or take its weights alone "
                "(--from-model-checkpoint)",
            )
    if saved.source != wanted.source:
        raise ContractError(
            f"checkpoint {name} of run {saved.run} stands in other markets or another environment "
            f"(digest {saved.source}, here {wanted.source})",
            remedy="Resume with the same session, split, filter and env settings, or take its weights alone "
            "(--from-model-checkpoint)",
        )


def restore_checkpoint(checkpoint: Path, algorithm: Any) -> None:
    """Go on from a checkpoint. DataError if it is not, to the byte, what was written."""
    said, found = _read_about(checkpoint).digest, _digest(checkpoint)
    if said != found:
        raise DataError(
            f"checkpoint {checkpoint} is not what was written: its files have digest {found}, expected {said}",
            remedy="Resume from another one in the same folder",
        )
    algorithm.restore_from_path(str(checkpoint.absolute()))


def _read_about(checkpoint: Path) -> About:
    try:
        return msgspec.json.decode((checkpoint / ABOUT).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{checkpoint / ABOUT} cannot be read: {error}") from error


def _digest(folder: Path) -> str:
    """Of the names and bytes of all files but run.json."""
    found = sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / ABOUT:
            raw = path.read_bytes()
            found.update(f"{path.relative_to(folder).as_posix()} {len(raw)}\n".encode() + raw)
    return found.hexdigest()[:32]


def _push_to_disk(folder: Path, *, deep: bool = True) -> None:
    """Files first, folders after them."""
    files = [path for path in folder.rglob("*") if path.is_file()] if deep else []
    folders = [path for path in folder.rglob("*") if path.is_dir()] if deep else []
    for path in (*files, *reversed(folders), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
