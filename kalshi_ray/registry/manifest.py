"""The manifest of a bundle: everything it says of itself, and the contract that its network was trained for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import msgspec

from kalshi_ray import __version__
from kalshi_ray.core.actions import action_space as find_action_space
from kalshi_ray.core.features import observation as find_observation
from kalshi_ray.errors import ContractError, DataError

FORMAT = 2  # 1 had no hash of the manifest itself
PACKAGE = "kalshi-ray"  # its version in `Manifest.packages` is that of the writer

_FIRST = ("name", "intent")  # what an entry is called is told before what it means

Decide = Literal["greedy", "sampled"]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """An action space or an observation: its name, its fingerprint, and the meaning of every entry."""

    name: str
    size: int
    fingerprint: str
    table: list[dict[str, Any]] = []

    def fits(self, other: Layout) -> bool:
        """Whether every entry means the same, by hash and by word; names are free."""
        return self.fingerprint == other.fingerprint and self.table == other.table


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

    def other_versions(self) -> list[str]:
        """Packages that are not here as they were there. None is needed to load: only to train on."""
        found = []
        for name, was in self.packages.items():
            here = installed(name)
            if here != was:
                found.append(f"{name} {was}, here {here or 'none'}")
        return found


class _Head(msgspec.Struct, frozen=True):
    """What a manifest of any format says."""

    format: int
    id: str = "?"
    packages: dict[str, str] = {}


def tickers_of(sessions: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Markets that these entries of `Manifest.sessions` name."""
    return frozenset(
        str(ticker)
        for session in sessions
        for key, held in session.items()
        if key.endswith("tickers") and isinstance(held, list)
        for ticker in held
    )


def contract_of(action_space: str, observation: str) -> Contract:
    """What this installation means by two names. Raises UnknownName."""
    return Contract(action_space=actions_here(action_space), observation=observation_here(observation))


def actions_here(name: str) -> Layout:
    """The action space of that name as it is here. Raises UnknownName."""
    spec = find_action_space(name)
    return _layout(spec.name, spec.fingerprint, [spec.describe(action) for action in range(spec.size)])


def observation_here(name: str) -> Layout:
    """The observation layout of that name as it is here. Raises UnknownName."""
    spec = find_observation(name)
    return _layout(spec.name, spec.fingerprint, [asdict(feature) for feature in spec.features])


def difference(wanted: Layout, found: Layout) -> str:
    """What differs between a bundle's layout and one of here: the number of entries, and the first that is another."""
    counts = f"{wanted.size} entries in the bundle and {found.size} here" if wanted.size != found.size else ""
    for index, (one, two) in enumerate(zip(wanted.table, found.table)):
        for key in sorted(one.keys() | two.keys(), key=lambda key: (key not in _FIRST, key)):
            if one.get(key) != two.get(key):
                first = f"entry {index}: {key} is {one.get(key)!r} in the bundle and {two.get(key)!r} here"
                return f"{counts}; {first}" if counts else first
    return counts or "the entries are described alike, so a rule behind them has changed"


def decode_manifest(raw: bytes, location: str) -> Manifest:
    """The manifest in these bytes. ContractError for another format, DataError for anything else."""
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.format != FORMAT:
            raise _other_format(head)
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{location}/manifest.json is no manifest of a bundle: {error}") from error


def is_other_format(raw: bytes) -> bool:
    """Whether these bytes are a manifest of a format that this version does not read."""
    try:
        return msgspec.json.decode(raw, type=_Head).format != FORMAT
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def installed(package: str) -> str:
    """The version of a package in this installation; nothing where there is none."""
    if package == PACKAGE:
        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _other_format(head: _Head) -> ContractError:
    writer = head.packages.get(PACKAGE, "")
    newer = head.format > FORMAT
    return ContractError(
        f"bundle {head.id} has format {head.format}{f', written by {PACKAGE} {writer}' if writer else ''}; "
        f"{PACKAGE} {__version__} reads format {FORMAT}",
        remedy=f"{'Update to' if newer else 'Load it with'} the version that wrote it, or train again",
    )


def _layout(name: str, fingerprint: str, table: list[dict[str, Any]]) -> Layout:
    return Layout(name=name, size=len(table), fingerprint=fingerprint, table=table)
