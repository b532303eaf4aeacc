"""A bundle: weights, a manifest that says all they depend on, and a probe they must reproduce.

<bundle>/weights.safetensors    the path that decides, layer by layer: layers.0.weight [out, in], layers.0.bias …
         probe.npz              observation [N, F], mask [N, A] -> logits [N, A], action [N]
         manifest.json          written last: hashes of the other two, fingerprints, data, settings, metrics
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from kalshi_ray.core.actions import action_space as find_action_space
from kalshi_ray.core.features import observation as find_observation
from kalshi_ray.data.files import Files, open_files
from kalshi_ray.errors import ContractError, DataError, UnknownName
from kalshi_ray.policy.inference import Network, NetworkPolicy, best_legal, draw_legal
from kalshi_ray.policy.protocol import keyed_uniform

FORMAT = 1
WEIGHTS, PROBE, MANIFEST = "weights.safetensors", "probe.npz", "manifest.json"
TOLERANCE = 1e-5  # of a probe logit; an action must be equal where its margin is larger

Decide = Literal["greedy", "sampled"]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """An action space or an observation: its name, its fingerprint, and the meaning of every entry."""

    name: str
    size: int
    fingerprint: str
    table: list[dict[str, Any]] = []


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a network needs from the place it runs in."""

    action_space: Layout
    observation: Layout


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a bundle says of itself."""

    format: int = FORMAT
    id: str
    run: str
    created: str  # ISO 8601, UTC
    reason: str = ""
    algorithm: str
    decide: Decide
    activation: Literal["relu", "tanh"]
    sizes: list[int]  # widths from input to output
    network: dict[str, Any]
    contract: Contract
    training: dict[str, Any]  # every setting in force
    env: dict[str, Any]  # environment settings in force
    reward: str
    fill_model: str
    sessions: list[dict[str, Any]]  # id and checksum of the data, and which part of it
    packages: dict[str, str]
    metrics: dict[str, float]
    files: dict[str, dict[str, Any]] = {}  # name: bytes, sha256


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    manifest: Manifest
    network: Network
    location: str

    @property
    def policy(self) -> NetworkPolicy:
        """A policy of its own that decides as the manifest says."""
        return NetworkPolicy(self.manifest.id, self.network, decide=self.manifest.decide)

    def require(self, here: Contract) -> None:
        """Raise ContractError, naming both fingerprints and what differs, unless it was trained for exactly this."""
        wanted = self.manifest.contract
        _require_equal("action space", wanted.action_space, here.action_space, self.manifest.id)
        _require_equal("observation", wanted.observation, here.observation, self.manifest.id)


def save_bundle(
    path: Path | str,
    *,
    manifest: Manifest,
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    probe_observation: NDArray[np.float32],
    probe_mask: NDArray[np.bool_],
) -> Bundle:
    """Write a bundle into a folder that does not exist yet, and load it again.

    `layers` are (weight [out, in], bias [out]); the answers of the probe are computed here.
    """
    folder = Path(path)
    if folder.exists():
        raise DataError(f"{folder} is already there", remedy="A bundle is never changed: choose another place")
    network = Network.pack(layers, activation=manifest.activation)
    tensors = {
        f"layers.{index}.{kind}": np.ascontiguousarray(array, np.float32)
        for index, layer in enumerate(layers)
        for kind, array in zip(("weight", "bias"), layer)
    }
    logits = network.logits(probe_observation)
    probe = io.BytesIO()
    np.savez(
        probe,
        observation=probe_observation,
        mask=probe_mask,
        logits=logits,
        action=_probe_actions(logits, probe_mask, manifest.decide),
    )
    files = {WEIGHTS: safetensors.numpy.save(tensors), PROBE: probe.getvalue()}
    described = {name: {"bytes": len(raw), "sha256": _sha256(raw)} for name, raw in files.items()}
    manifest = msgspec.structs.replace(manifest, files=described, sizes=[int(size) for size in network.sizes])
    files[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    _write(open_files(str(folder)), files)
    return load_bundle(folder)


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle from a folder or URL, verify its bytes and fingerprints, and replay its probe.

    Raises UnknownName where nothing is there, DataError for damage and ContractError for a misfit.
    """
    files = open_files(str(path))
    if not files.exists(MANIFEST):
        raise UnknownName("bundle", str(path), [f"a folder with {MANIFEST}"])
    manifest = _read_manifest(files, str(path))
    content = {}
    for name, said in manifest.files.items():
        content[name] = _read_verified(files, name, said, manifest.id)
    network = _network(manifest, content[WEIGHTS])
    bundle = Bundle(manifest, network, str(path))
    bundle.require(contract_of(manifest.contract.action_space.name, manifest.contract.observation.name))
    _replay(bundle, content[PROBE])
    return bundle


def contract_of(action_space: str, observation: str) -> Contract:
    """What this installation means by two names. Raises UnknownName."""
    actions, seen = find_action_space(action_space), find_observation(observation)
    return Contract(
        action_space=_layout(actions.name, actions.fingerprint, [actions.describe(a) for a in range(actions.size)]),
        observation=_layout(seen.name, seen.fingerprint, [asdict(feature) for feature in seen.features]),
    )


def _layout(name: str, fingerprint: str, table: list[dict[str, Any]]) -> Layout:
    return Layout(name=name, size=len(table), fingerprint=fingerprint, table=table)


def _require_equal(kind: str, wanted: Layout, found: Layout, bundle: str) -> None:
    if wanted.fingerprint == found.fingerprint:
        return
    raise ContractError(
        f"bundle {bundle} was trained for {kind} {wanted.name} with fingerprint {wanted.fingerprint}, "
        f"here is {found.name} with fingerprint {found.fingerprint}: {_difference(wanted, found)}",
        remedy="Use the settings it was trained with, or train again",
    )


def _difference(wanted: Layout, found: Layout) -> str:
    if wanted.size != found.size:
        return f"{wanted.size} entries against {found.size}"
    for index, (one, two) in enumerate(zip(wanted.table, found.table)):
        for key in one.keys() | two.keys():
            if one.get(key) != two.get(key):
                return f"entry {index}: {key} is {one.get(key)!r} in the bundle and {two.get(key)!r} here"
    return "the entries are described alike"


def _read_manifest(files: Files, location: str) -> Manifest:
    raw = files.read(MANIFEST)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise DataError(f"{location}/{MANIFEST} is no manifest of a bundle: {error}") from error
    if manifest.format != FORMAT:
        raise ContractError(f"bundle {manifest.id} has format {manifest.format}, this version reads {FORMAT}")
    if set(manifest.files) != {WEIGHTS, PROBE}:
        raise DataError(f"bundle {manifest.id} lists {sorted(manifest.files)}, expected {WEIGHTS} and {PROBE}")
    return manifest


def _read_verified(files: Files, name: str, said: Mapping[str, Any], bundle: str) -> bytes:
    try:
        raw = files.read(name)
    except FileNotFoundError as error:
        raise DataError(f"bundle {bundle} lacks {name}", remedy="Copy it again from where it came") from error
    if len(raw) != said.get("bytes") or _sha256(raw) != said.get("sha256"):
        raise DataError(
            f"{name} of bundle {bundle} is not what was saved: {len(raw)} bytes with sha256 {_sha256(raw)[:12]}, "
            f"expected {said.get('bytes')} with {str(said.get('sha256'))[:12]}",
            remedy="Copy it again from where it came",
        )
    return raw


def _network(manifest: Manifest, raw: bytes) -> Network:
    try:
        tensors = safetensors.numpy.load(raw)
    except SafetensorError as error:
        raise DataError(f"{WEIGHTS} of bundle {manifest.id} cannot be read: {error}") from error
    layers = []
    for index, (inputs, outputs) in enumerate(zip(manifest.sizes, manifest.sizes[1:])):
        weight, bias = (tensors.get(f"layers.{index}.{kind}") for kind in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != (outputs, inputs) or bias.shape != (outputs,):
            raise ContractError(
                f"layer {index} of bundle {manifest.id} is not {inputs} -> {outputs} as its manifest says"
            )
        layers.append((weight, bias))
    contract = manifest.contract
    if (manifest.sizes[0], manifest.sizes[-1]) != (contract.observation.size, contract.action_space.size):
        raise ContractError(
            f"the network of bundle {manifest.id} maps {manifest.sizes[0]} features to {manifest.sizes[-1]} actions, "
            f"its contract says {contract.observation.size} to {contract.action_space.size}"
        )
    return Network.pack(layers, activation=manifest.activation)


def _replay(bundle: Bundle, raw: bytes) -> None:
    name = bundle.manifest.id
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as probe:
            seen, mask, logits, action = (probe[key] for key in ("observation", "mask", "logits", "action"))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{PROBE} of bundle {name} cannot be read: {error}") from error
    found = bundle.network.logits(seen)
    apart = float(np.abs(found - logits).max(initial=0.0))
    if not apart <= TOLERANCE:
        raise ContractError(f"bundle {name} does not reproduce its probe: a logit is off by {apart:.2g}")
    legal = np.sort(np.where(mask, logits, -np.inf), axis=1)
    clear = legal[:, -1] - legal[:, -2] > TOLERANCE if bundle.manifest.decide == "greedy" else np.ones(len(mask), bool)
    differs = np.flatnonzero(clear & (_probe_actions(found, mask, bundle.manifest.decide) != action))
    if len(differs):
        raise ContractError(f"bundle {name} decides otherwise on {len(differs)} of {len(mask)} rows of its probe")


def _probe_actions(logits: NDArray[np.float32], mask: NDArray[np.bool_], decide: Decide) -> NDArray[np.int64]:
    actions = np.empty(len(logits), np.int64)
    if decide == "greedy":
        best_legal(logits, mask, actions)
    else:
        keys = np.arange(len(logits))
        uniform = keyed_uniform(0, keys.astype(np.uint64), keys)
        draw_legal(logits, mask, uniform, actions, np.empty(len(logits), np.float32))
    return actions


def _write(files: Files, content: Mapping[str, bytes]) -> None:
    for name, raw in content.items():
        files.write(name, raw)


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
