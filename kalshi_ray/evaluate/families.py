"""Bundles of one recipe that differ in their seed: the median and the worst of them say more than the best."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence

import msgspec

from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.registry.bundle import Manifest


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One seed of a family, under its lowest fill model."""

    name: str
    seed: int | None
    net: float  # dollars
    net_per_market: float
    return_on_peak: float | None
    win_rate: float | None
    share_of_oracle: float | None


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The judged bundles of one recipe; best first."""

    name: str
    members: tuple[Member, ...]
    median_net_per_market: float
    worst: str  # the member with the lowest net


def family_of(manifest: Manifest) -> tuple[str, int | None]:
    """The name of a bundle's recipe, the same for every seed, and its seed; from its manifest."""
    same = ("algorithm", "training", "env", "contract", "decide", "activation", "sizes", "reward", "fill_model")
    plain = {name: msgspec.to_builtins(getattr(manifest, name)) for name in same}
    plain["training"] = {name: value for name, value in plain["training"].items() if name != "seed"}
    plain["data"] = sorted((str(one.get("checksum")), one.get("tickers", ())) for one in manifest.sessions)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
    seed = manifest.training.get("seed")
    return f"{manifest.algorithm}-{digest}", seed if isinstance(seed, int) else None


def families_of(judged: Sequence[tuple[str, str, int | None, Figures]]) -> tuple[Family, ...]:
    """Families of two members and more, from (family, name, seed, figures) of the judged bundles."""
    by_name: dict[str, list[Member]] = {}
    for family, name, seed, figures in judged:
        if family:
            by_name.setdefault(family, []).append(_member(name, seed, figures))
    return tuple(
        Family(
            name=name,
            members=tuple(sorted(members, key=lambda one: -one.net)),
            median_net_per_market=statistics.median(one.net_per_market for one in members),
            worst=min(members, key=lambda one: one.net).name,
        )
        for name, members in by_name.items()
        if len(members) > 1
    )


def _member(name: str, seed: int | None, figures: Figures) -> Member:
    return Member(
        name=name,
        seed=seed,
        net=figures.money.net,
        net_per_market=figures.net_per_market.mean,
        return_on_peak=figures.capital.return_on_peak,
        win_rate=figures.rates.win_rate,
        share_of_oracle=figures.edge.share_of_oracle if figures.edge else None,
    )
