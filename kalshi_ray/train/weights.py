"""Weights of a network as named arrays: out of a learner, into a learner, from a checkpoint or a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from safetensors import SafetensorError

from kalshi_ray.errors import ContractError, DataError
from kalshi_ray.policy.shapes import NetworkSettings
from kalshi_ray.registry.bundle import MANIFEST, Contract, load_bundle
from kalshi_ray.train.checkpoints import WEIGHTS, About, best_checkpoint

Tensors = Mapping[str, NDArray[np.float32]]
"""By name as torch has them: `policy.0.weight` [out, in], `policy.0.bias` [out], `value.…`, `body.…`."""
Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
DECIDING = ("body", "policy")


def weights_of(algorithm: Any) -> dict[str, NDArray[np.float32]]:
    """The weights of the learner, all towers."""
    found: dict[str, NDArray[np.float32]] = next(iter(algorithm.learner_group.foreach_learner(_tensors))).get()
    return found


def put_weights(algorithm: Any, tensors: Tensors) -> None:
    """Give the learner these weights, and the runners too. Towers that are not among them stay as they are."""
    algorithm.learner_group.foreach_learner(_take, tensors=tensors)
    algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=algorithm.learner_group, inference_only=True)


def deciding_layers(tensors: Tensors) -> Layers:
    """(weight, bias) of each layer between observation and logits."""
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    order = sorted(
        (DECIDING.index(tower), int(layer), tower)
        for tower, layer in (name.split(".") for name in names)
        if tower in DECIDING
    )
    return [(tensors[f"{tower}.{layer}.weight"], tensors[f"{tower}.{layer}.bias"]) for _, layer, tower in order]


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The weights in a checkpoint's folder."""
    try:
        return safetensors.numpy.load((path / WEIGHTS).read_bytes())
    except (OSError, SafetensorError) as error:
        raise DataError(f"the weights of {path} cannot be read: {error}", remedy="Take another checkpoint") from error


def find_weights(path: Path, network: NetworkSettings, contract: Contract) -> dict[str, NDArray[np.float32]]:
    """Weights to begin with: of a bundle, of a checkpoint, or of the best checkpoint of a run.

    A bundle holds the path that decides and nothing else. ContractError where network, action space or observation
    are not those wanted, with both.
    """
    if (path / MANIFEST).is_file():
        return _of_bundle(path, network, contract)
    found, about = best_checkpoint(path)
    require_fit(found.name, about, network, contract)
    return read_weights(found)


def require_fit(name: str, about: About, network: NetworkSettings, contract: Contract) -> None:
    """ContractError unless a checkpoint belongs to this network, action space and observation."""
    pairs = {
        "network": (about.network, network),
        "action space": (about.action_space, contract.action_space.fingerprint),
        "observation": (about.observation, contract.observation.fingerprint),
    }
    for what, (was, wanted) in pairs.items():
        if was != wanted:
            raise ContractError(
                f"checkpoint {name} of run {about.run} has {what} {was}, this run has {wanted}",
                remedy="Use the settings it was trained with",
            )


def _of_bundle(path: Path, network: NetworkSettings, contract: Contract) -> dict[str, NDArray[np.float32]]:
    bundle = load_bundle(path)
    bundle.require(contract)
    manifest = bundle.manifest
    wanted = [contract.observation.size, *network.hidden, contract.action_space.size]
    if (manifest.sizes, manifest.activation) != (wanted, network.activation):
        raise ContractError(
            f"bundle {manifest.id} has network {manifest.sizes} {manifest.activation}, "
            f"this run has {wanted} {network.activation}",
            remedy="Choose the network it was trained with (train.network)",
        )
    named = _names(network, len(wanted) - 1)
    return {
        f"{name}.{kind}": array
        for name, layer in zip(named, bundle_layers(path), strict=True)
        for kind, array in zip(("weight", "bias"), layer)
    }


def bundle_layers(path: Path) -> Layers:
    """(weight, bias) of each layer of a bundle that has been verified."""
    tensors = safetensors.numpy.load((path / WEIGHTS).read_bytes())
    return [(tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in range(len(tensors) // 2)]


def _names(network: NetworkSettings, layers: int) -> Sequence[str]:
    """Names of the deciding layers: an activation stands after each hidden one, and dropout where there is some."""
    stride = 3 if network.dropout else 2
    hidden = [f"{'body' if network.shared else 'policy'}.{stride * i}" for i in range(layers - 1)]
    return [*hidden, "policy.0" if network.shared else f"policy.{stride * (layers - 1)}"]


def _tensors(learner: Any) -> dict[str, NDArray[np.float32]]:
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def _take(learner: Any, *, tensors: Tensors) -> None:
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    named = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    strange = module.load_state_dict(named, strict=False).unexpected_keys
    if strange:
        raise ContractError(f"the network of this run has no {', '.join(strange)}")
