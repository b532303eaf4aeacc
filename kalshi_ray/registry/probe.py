"""The probe of a bundle: observations and masks, and the answers that its network must give to them.

probe.npz    observation [N, F], mask [N, A] -> logits [N, A], action [N]
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.errors import ContractError, DataError
from kalshi_ray.policy.inference import Network, best_legal, draw_legal
from kalshi_ray.policy.protocol import keyed_uniform
from kalshi_ray.registry.manifest import Decide

TOLERANCE = 1e-5  # of a logit; an action must be equal where its margin is larger
MOST_BYTES = 64 * 2**20  # of a probe unpacked

_KINDS = {"observation": np.float32, "mask": np.bool_, "logits": np.float32, "action": np.int64}


@dataclass(frozen=True)
class Probe:
    """Inputs and the answers to them."""

    observation: NDArray[np.float32]  # [N, F]
    mask: NDArray[np.bool_]  # [N, A]
    logits: NDArray[np.float32]  # [N, A]
    action: NDArray[np.int64]  # [N]

    @classmethod
    def of(
        cls, network: Network, observation: NDArray[np.float32], mask: NDArray[np.bool_], *, decide: Decide
    ) -> Probe:
        """The answers of `network`."""
        logits = network.logits(observation)
        return cls(observation, mask, logits, answers(logits, mask, decide))

    def encoded(self) -> bytes:
        """The bytes of probe.npz."""
        stream = io.BytesIO()
        np.savez(stream, observation=self.observation, mask=self.mask, logits=self.logits, action=self.action)
        return stream.getvalue()


def read_probe(raw: bytes, network: Network, bundle: str) -> Probe:
    """The probe in these bytes, in the shapes that `network` needs. DataError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > MOST_BYTES:
            raise ValueError(f"{unpacked:,} bytes unpacked, at most {MOST_BYTES:,}")
        with np.load(io.BytesIO(raw), allow_pickle=False) as held:
            found = {name: held[name] for name in _KINDS}
        _check_shapes(found, network)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"probe.npz of bundle {bundle} cannot be read: {error}") from error
    return Probe(**found)


def replay(probe: Probe, network: Network, *, decide: Decide, bundle: str) -> None:
    """Raise ContractError unless `network` answers as it did when the bundle was made."""
    found = network.logits(probe.observation)
    apart = float(np.abs(found - probe.logits).max())
    if not apart <= TOLERANCE:
        raise ContractError(f"bundle {bundle} does not reproduce its probe: a logit is off by {apart:.2g}")
    clear = clear_rows(probe) if decide == "greedy" else np.ones(len(probe.mask), bool)
    differs = np.flatnonzero(clear & (answers(found, probe.mask, decide) != probe.action))
    if len(differs):
        raise ContractError(f"bundle {bundle} decides otherwise on {len(differs)} of {len(probe.mask)} probe rows")


def clear_rows(probe: Probe) -> NDArray[np.bool_]:
    """Rows whose best legal action leads by more than rounding, [N]."""
    legal = np.where(probe.mask, probe.logits, -np.inf)
    best = np.partition(legal, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] > best[:, 0] + TOLERANCE)


def answers(logits: NDArray[np.float32], mask: NDArray[np.bool_], decide: Decide) -> NDArray[np.int64]:
    """The action of every row, [N]: the best legal one, or one drawn by a key of the row's number."""
    actions = np.empty(len(logits), np.int64)
    if decide == "greedy":
        best_legal(logits, mask, actions)
    else:
        keys = np.arange(len(logits))
        uniform = keyed_uniform(0, keys.astype(np.uint64), keys)
        draw_legal(logits, mask, uniform, actions, np.empty(len(logits), np.float32))
    return actions


def _check_shapes(found: dict[str, NDArray[Any]], network: Network) -> None:
    rows = len(found["observation"])
    widths = {"observation": (network.inputs,), "mask": (network.actions,), "logits": (network.actions,), "action": ()}
    for name, kind in _KINDS.items():
        held, expected = found[name], (rows, *widths[name])
        if held.dtype != kind or held.shape != expected:
            raise ValueError(f"{name} is {held.dtype} {held.shape}, expected {np.dtype(kind)} {expected}")
    if not rows:
        raise ValueError("it has no rows")
    if not found["mask"].any(axis=1).all():
        raise ValueError("a row has no legal action")
    for name in ("observation", "logits"):
        if not np.isfinite(found[name]).all():
            raise ValueError(f"{name} holds a number that is not finite")
