"""A bundle: weights, a manifest that says all they depend on, and a probe they must reproduce.

<bundle>/weights.safetensors    the path that decides, layer by layer: layers.0.weight [out, in], layers.0.bias …
         probe.npz              observation [N, F], mask [N, A] -> logits [N, A], action [N]
         manifest.sha256        of manifest.json, as `sha256sum -c` reads it
         manifest.json          written last: hashes of weights and probe, fingerprints, settings, metrics
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from kalshi_ray.data.files import PARTIAL, Files, disk_error, open_files
from kalshi_ray.errors import ContractError, DataError, UnknownName
from kalshi_ray.policy.inference import Network, NetworkPolicy
from kalshi_ray.registry.manifest import (
    Contract,
    Layout,
    Manifest,
    actions_here,
    contract_of,
    decode_manifest,
    difference,
    is_other_format,
    observation_here,
)
from kalshi_ray.registry.probe import Probe, read_probe, replay

WEIGHTS, PROBE, SEAL, MANIFEST = "weights.safetensors", "probe.npz", "manifest.sha256", "manifest.json"
FILES = (WEIGHTS, PROBE, SEAL, MANIFEST)  # in the order of writing: what has no manifest is not there
COPY_AGAIN = "Copy it again from where it came"

Contents = Mapping[str, bytes]  # the bytes of a bundle by file name


@dataclass(frozen=True)
class Bundle:
    """A verified bundle."""

    manifest: Manifest
    network: Network
    probe: Probe
    location: str
    digest: str  # sha256 of manifest.json, which holds the hashes of the rest: equal digests, equal bundles

    @property
    def policy(self) -> NetworkPolicy:
        """A policy of its own that decides as the manifest says."""
        return NetworkPolicy(self.manifest.id, self.network, decide=self.manifest.decide)

    def require(self, here: Contract) -> None:
        """Raise ContractError, naming both fingerprints and what differs, unless it was trained for exactly this."""
        wanted = self.manifest.contract
        _require_fit("action space", wanted.action_space, here.action_space, self.manifest.id)
        _require_fit("observation", wanted.observation, here.observation, self.manifest.id)


def save_bundle(
    path: Path | str,
    *,
    manifest: Manifest,
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    probe_observation: NDArray[np.float32],
    probe_mask: NDArray[np.bool_],
) -> Bundle:
    """Write a bundle into a folder that does not exist yet, whole or not at all, and load it again.

    `layers` are (weight [out, in], bias [out]); the answers of the probe are computed here.
    """
    folder = Path(path)
    if folder.exists():
        raise DataError(f"{folder} is already there", remedy="A bundle is never changed: choose another place")
    contents = sealed(manifest, layers, probe_observation, probe_mask)
    aside = folder.with_name(folder.name + PARTIAL)
    try:
        shutil.rmtree(aside, ignore_errors=True)  # what a process that died left there
        write_contents(open_files(str(aside)), contents)
        aside.rename(folder)
    except OSError as error:
        raise disk_error(str(folder), error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return load_bundle(folder)


def sealed(
    manifest: Manifest,
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    probe_observation: NDArray[np.float32],
    probe_mask: NDArray[np.bool_],
) -> Contents:
    """The files of a bundle with their hashes."""
    network = Network.pack(layers, activation=manifest.activation)
    tensors = {
        f"layers.{index}.{kind}": np.ascontiguousarray(array, np.float32)
        for index, layer in enumerate(layers)
        for kind, array in zip(("weight", "bias"), layer)
    }
    probe = Probe.of(network, probe_observation, probe_mask, decide=manifest.decide)
    files = {WEIGHTS: safetensors.numpy.save(tensors), PROBE: probe.encoded()}
    described = {name: {"bytes": len(raw), "sha256": sha256_of(raw)} for name, raw in files.items()}
    manifest = msgspec.structs.replace(manifest, files=described, sizes=[int(size) for size in network.sizes])
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    return {**files, SEAL: seal_of(raw), MANIFEST: raw}


def load_bundle(path: Path | str) -> Bundle:
    """Read a bundle from a folder or URL, verify its bytes and fingerprints, and replay its probe.

    Raises UnknownName where nothing is there, DataError for damage and ContractError for a misfit.
    """
    return verified(read_contents(open_files(str(path)), str(path)), str(path))


def read_contents(files: Files, location: str) -> Contents:
    """The bytes of a bundle. UnknownName where there is none; a file that is missing is left out."""
    try:
        contents = {MANIFEST: files.read(MANIFEST)}
    except OSError as error:
        if files.exists(MANIFEST):
            raise DataError(f"{files.path(MANIFEST)} cannot be read: {error}") from error
        raise UnknownName("bundle", location, [f"a folder with {MANIFEST}"]) from error
    for name in (SEAL, WEIGHTS, PROBE):
        if files.exists(name):
            contents[name] = files.read(name)
    return contents


def write_contents(files: Files, contents: Contents) -> None:
    """Write the files of a bundle, its manifest last."""
    for name in FILES:
        files.write(name, contents[name])


def verified(contents: Contents, location: str) -> Bundle:
    """The bundle in these bytes, once its hashes, fingerprints, network and probe have been checked."""
    raw = contents[MANIFEST]
    _require_seal(contents, location)
    manifest = decode_manifest(raw, location)
    if set(manifest.files) != {WEIGHTS, PROBE}:
        raise DataError(f"bundle {manifest.id} lists {sorted(manifest.files)}, expected {WEIGHTS} and {PROBE}")
    for name, said in manifest.files.items():
        _require_bytes(contents, name, said, manifest.id)
    network = _network(manifest, contents[WEIGHTS])
    probe = read_probe(contents[PROBE], network, manifest.id)
    bundle = Bundle(manifest, network, probe, location, sha256_of(raw))
    bundle.require(contract_of(manifest.contract.action_space.name, manifest.contract.observation.name))
    replay(probe, network, decide=manifest.decide, bundle=manifest.id)
    return bundle


def seal_of(manifest: bytes) -> bytes:
    """The content of manifest.sha256."""
    return f"{sha256_of(manifest)}  {MANIFEST}\n".encode()


def sha256_of(raw: bytes) -> str:
    """The hash that everything here goes by."""
    return hashlib.sha256(raw).hexdigest()


def _require_seal(contents: Contents, location: str) -> None:
    raw, seal = contents[MANIFEST], contents.get(SEAL)
    if seal == seal_of(raw):
        return
    if seal is None:
        if is_other_format(raw):
            decode_manifest(raw, location)
        raise DataError(f"{location} lacks {SEAL}", remedy=COPY_AGAIN)
    stated = seal[:64].decode("ascii", "replace")
    if len(seal) != len(seal_of(raw)) or stated == sha256_of(raw):
        raise DataError(f"{location}/{SEAL} is not what was saved", remedy=COPY_AGAIN)
    raise DataError(
        f"{location}/{MANIFEST} is not what was saved: sha256 {sha256_of(raw)[:12]}, {SEAL} says {stated[:12]!r}"
        f"{_what_changed(raw, location)}",
        remedy=COPY_AGAIN,
    )


def _what_changed(raw: bytes, location: str) -> str:
    """As much as can be seen of what was altered in a manifest."""
    try:
        said = decode_manifest(raw, location)
        here = contract_of(said.contract.action_space.name, said.contract.observation.name)
    except (DataError, ContractError, UnknownName) as error:
        return f"; {error}"
    found = [
        f"; {kind} {wanted.name}: {difference(wanted, there)}"
        for kind, wanted, there in (
            ("action space", said.contract.action_space, here.action_space),
            ("observation", said.contract.observation, here.observation),
        )
        if not wanted.fits(there)
    ]
    return "".join(found)


def _require_bytes(contents: Contents, name: str, said: Mapping[str, Any], bundle: str) -> None:
    raw = contents.get(name)
    if raw is None:
        raise DataError(f"bundle {bundle} lacks {name}", remedy=COPY_AGAIN)
    if len(raw) != said.get("bytes") or sha256_of(raw) != said.get("sha256"):
        raise DataError(
            f"{name} of bundle {bundle} is not what was saved: {len(raw)} bytes with sha256 {sha256_of(raw)[:12]}, "
            f"expected {said.get('bytes')} with {str(said.get('sha256'))[:12]}",
            remedy=COPY_AGAIN,
        )


def _require_fit(kind: str, wanted: Layout, found: Layout, bundle: str) -> None:
    if wanted.fits(found):
        return
    raise ContractError(
        f"bundle {bundle} was trained for {kind} {wanted.name} with fingerprint {wanted.fingerprint}, "
        f"here is {found.name} with fingerprint {found.fingerprint}: {difference(wanted, found)}",
        remedy="Use the settings it was trained with, or train again",
    )


def _network(manifest: Manifest, raw: bytes) -> Network:
    sizes, contract = manifest.sizes, manifest.contract
    ends = (contract.observation.size, contract.action_space.size)
    if len(sizes) < 2 or (sizes[0], sizes[-1]) != ends:
        raise ContractError(
            f"the network of bundle {manifest.id} has widths {sizes}, its contract maps {ends[0]} features "
            f"to {ends[1]} actions"
        )
    try:
        tensors = safetensors.numpy.load(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{WEIGHTS} of bundle {manifest.id} cannot be read: {error}") from error
    layers = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight, bias = (tensors.pop(f"layers.{index}.{kind}", None) for kind in ("weight", "bias"))
        if weight is None or bias is None or weight.shape != (outputs, inputs) or bias.shape != (outputs,):
            raise ContractError(
                f"layer {index} of bundle {manifest.id} is not {inputs} -> {outputs} as its manifest says"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise DataError(f"layer {index} of bundle {manifest.id} holds weights that are not finite")
        layers.append((weight, bias))
    if tensors:
        raise ContractError(f"{WEIGHTS} of bundle {manifest.id} holds more than its layers: {', '.join(tensors)}")
    return Network.pack(layers, activation=manifest.activation)


__all__ = [
    "FILES",
    "MANIFEST",
    "PROBE",
    "SEAL",
    "WEIGHTS",
    "Bundle",
    "Contents",
    "Contract",
    "Layout",
    "Manifest",
    "actions_here",
    "contract_of",
    "load_bundle",
    "observation_here",
    "read_contents",
    "save_bundle",
    "sealed",
    "sha256_of",
    "verified",
    "write_contents",
]
