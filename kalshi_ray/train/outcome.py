"""The bundle of a run: the weights of its best checkpoint by validation, else of its last."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import DataError
from kalshi_ray.policy.inference import Network, best_legal
from kalshi_ray.registry.bundle import Manifest, save_bundle
from kalshi_ray.train.checkpoints import list_checkpoints, ranked, scores_of, steps_of
from kalshi_ray.train.folder import PARTIAL, PROGRESS, VALIDATION, RunFolder, remove
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import EnvSource
from kalshi_ray.train.versions import packages
from kalshi_ray.train.weights import deciding_layers, read_weights

PROBE_ROWS, PROBE_STEPS = 64, 40
JUDGED = ("net_per_market", "markets", "events", "trades", "fills", "hold_share", "win_rate")


def write_bundle(settings: TrainSettings, source: EnvSource, folder: RunFolder, *, reason: str) -> Path:
    """Write the bundle of a run that has a checkpoint, in place of an earlier one, with a probe from fresh rows."""
    chosen = _chosen(folder)
    described = source.describe()
    layers = deciding_layers(read_weights(chosen))
    network = settings.network_in_force()
    observation, mask = _probe(source, Network.pack(layers, activation=network.activation), settings.seed)
    digest = sha256(b"".join(array.tobytes() for layer in layers for array in layer)).hexdigest()
    partial = folder.bundle.with_name(folder.bundle.name + PARTIAL)
    try:
        remove(partial)
        save_bundle(
            partial,
            manifest=Manifest(
                id=f"{folder.path.name}-{digest[:8]}",
                run=folder.path.name,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                reason=reason,
                algorithm=settings.algorithm,
                decide=settings.decide,
                activation=network.activation,
                sizes=[],
                network=msgspec.to_builtins(network),
                contract=described.contract,
                training=settings.describe(),
                env=described.env,
                reward=described.reward,
                fill_model=described.fill_model,
                sessions=described.sessions,
                packages=packages(),
                metrics=metrics_at(folder, steps_of(chosen)),
            ),
            layers=layers,
            probe_observation=observation,
            probe_mask=mask,
        )
        remove(folder.bundle)
        partial.rename(folder.bundle)
    except OSError as error:
        raise DataError(
            f"cannot write {folder.bundle}: {error}", remedy="The checkpoints are whole: resume this run to write it"
        ) from error
    return folder.bundle


def metrics_at(folder: RunFolder, steps: int) -> dict[str, float]:
    """What the run said of these weights: its line of progress, and their own validation where there was one."""
    at = [line for line in folder.lines(PROGRESS) if line.get("steps", 0) <= steps]
    found = {name: float(value) for name, value in (at[-1] if at else {}).items() if not name.startswith("validation_")}
    for line in folder.lines(VALIDATION):
        if line["steps"] == steps:
            found |= {f"validation_{name}": float(line[name]) for name in JUDGED if line.get(name) is not None}
    return found | {"steps": float(steps)}


def _chosen(folder: RunFolder) -> Path:
    found = list_checkpoints(folder.checkpoints)
    return [*ranked(found, scores_of(folder)), *reversed(found)][0]


def _probe(source: EnvSource, network: Network, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Observations and masks that the network meets by itself: some from every part of a short walk."""
    rows: Any = source.make(PROBE_ROWS, seed + 1)
    batch = rows.new_batch()
    rows.reset_into(batch)
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
