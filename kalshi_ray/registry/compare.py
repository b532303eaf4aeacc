"""Models side by side: what differs between their manifests, how far their weights are apart, how alike they decide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import msgspec
import numpy as np

from kalshi_ray.errors import UsageError
from kalshi_ray.registry.bundle import Bundle
from kalshi_ray.registry.manifest import Manifest, difference
from kalshi_ray.registry.probe import answers
from kalshi_ray.registry.uses import digest_of
from kalshi_ray.registry.verdicts import Verdict

SECTIONS = ("contract", "sessions", "training", "env", "metrics", "gates", "made")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that manifests say, with what each says; None where it does not say it."""

    section: str  # of SECTIONS
    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether two models say something else."""
        return len(set(self.values)) > 1


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two models as networks."""

    first: str
    second: str
    contract: str = ""  # what differs between their contracts; then nothing below can be measured
    weights_apart: float | None = None  # norm of the difference over the norm of the first; None: other shapes
    equal_actions: tuple[float, float] | None = None  # share of rows of the first's probe, and of the second's


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What `kalshi-ray models compare` prints: rows that differ stand first, each part by section."""

    models: tuple[str, ...]
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]


def compare(bundles: Sequence[Bundle], verdicts: Sequence[Sequence[Verdict]]) -> Comparison:
    """At least two models, each with its verdicts."""
    if len(bundles) < 2:
        raise UsageError(f"{len(bundles)} model to compare", remedy="Name two or more")
    said = [_said(bundle.manifest, held) for bundle, held in zip(bundles, verdicts, strict=True)]
    keys = dict.fromkeys(key for one in said for key in one)
    rows = [Row(section=key[0], name=key[1], values=tuple(one.get(key) for one in said)) for key in keys]
    return Comparison(
        models=tuple(bundle.manifest.id for bundle in bundles),
        rows=tuple(sorted(rows, key=lambda row: (not row.differs, SECTIONS.index(row.section)))),
        pairs=tuple(compare_networks(one, two) for one, two in combinations(bundles, 2)),
    )


def compare_networks(one: Bundle, two: Bundle) -> Pair:
    """How far apart two networks are, in weights and in what they decide on each other's probes."""
    first, second = one.manifest, two.manifest
    for kind in ("action_space", "observation"):
        wanted, found = getattr(first.contract, kind), getattr(second.contract, kind)
        if not wanted.fits(found):
            words = difference(wanted, found).replace("in the bundle", "in the first").replace("here", "in the second")
            return Pair(first=first.id, second=second.id, contract=f"{kind.replace('_', ' ')}: {words}")
    shares = [_share_of_equal(one, two, probe.observation, probe.mask) for probe in (one.probe, two.probe)]
    return Pair(first=first.id, second=second.id, weights_apart=_apart(one, two), equal_actions=(shares[0], shares[1]))


def _apart(one: Bundle, two: Bundle) -> float | None:
    if one.network.sizes.tolist() != two.network.sizes.tolist():
        return None
    first, second = (
        np.concatenate([bundle.network.weights, bundle.network.biases]).astype(np.float64) for bundle in (one, two)
    )
    norm = float(np.linalg.norm(first))
    return float(np.linalg.norm(first - second)) / norm if norm else float(np.linalg.norm(second))


def _share_of_equal(one: Bundle, two: Bundle, seen: Any, mask: Any) -> float:
    first, second = (answers(bundle.network.logits(seen), mask, bundle.manifest.decide) for bundle in (one, two))
    return float(np.mean(first == second))


def _said(manifest: Manifest, verdicts: Sequence[Verdict]) -> dict[tuple[str, str], str]:
    """Everything a model says of itself and what was said of it, as text by section and name."""
    contract = manifest.contract
    said: dict[tuple[str, str], Any] = {
        ("contract", "action space"): f"{contract.action_space.name} {contract.action_space.fingerprint}",
        ("contract", "observation"): f"{contract.observation.name} {contract.observation.fingerprint}",
        ("contract", "network"): " → ".join(map(str, manifest.sizes)) + f" {manifest.activation}",
        ("contract", "decides"): manifest.decide,
    }
    for index, session in enumerate(manifest.sessions):
        said |= {("sessions", f"{index}.{name}"): _short(value) for name, value in session.items()}
    for section in ("training", "env", "metrics"):
        said |= {(section, name): value for name, value in getattr(manifest, section).items()}
    said["env", "reward"], said["env", "fill_model"] = manifest.reward, manifest.fill_model
    for verdict in verdicts:
        for gate in verdict.gates:
            said["gates", f"{gate.name} on {verdict.session}"] = "open" if gate.open else "closed"
        said["gates", f"net a market on {verdict.session}"] = verdict.net_per_market
        if verdict.objections:
            said["gates", f"objections on {verdict.session}"] = "; ".join(verdict.objections)
    said |= {("made", name): getattr(manifest, name) for name in ("run", "created", "reason", "algorithm")}
    said |= {("made", f"version of {name}"): value for name, value in manifest.packages.items()}
    return {key: _text(value) for key, value in said.items()}


def _short(value: Any) -> Any:
    return f"{len(value)} names, digest {digest_of(map(str, value))}" if isinstance(value, list) else value


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
