"""Where each model fits: every bundle against every action space and observation layout known here.

By fingerprint, entry and probe; never by date or name. What is damaged is listed with what is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np

from kalshi_ray.core.actions import ACTION_SPACES, action_space
from kalshi_ray.core.features import OBSERVATIONS
from kalshi_ray.errors import KalshiRayError
from kalshi_ray.policy.inference import Network, best_legal
from kalshi_ray.registry.bundle import Bundle
from kalshi_ray.registry.manifest import Layout, actions_here, difference, observation_here
from kalshi_ray.registry.models import Registry
from kalshi_ray.registry.verdicts import GATES, Verdict, rank

Kind = Literal["action space", "observation"]


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's layout against one that is known here."""

    kind: Kind
    name: str
    fits: bool
    differs: str = ""  # the number of entries, and the first that is another


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle does with the ids of its action space."""

    ids: int
    decoded: int  # ids that mean here, each by itself, what the manifest says
    reached: int  # ids that come out of the network where it is made to prefer them
    offered: int  # ids that are legal somewhere in the probe
    used: tuple[int, ...]  # ids that the probe's answers hold
    rows: int  # of the probe

    @property
    def is_whole(self) -> bool:
        """Whether no id is lost on the way from the network to an order."""
        return self.ids == self.decoded == self.reached


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the registry, looked at from all sides."""

    id: str
    aliases: list[str]
    problem: str = ""  # why it cannot be loaded
    action_space: str = ""
    observation: str = ""
    fits: tuple[Fit, ...] = ()
    reach: Reach | None = None
    versions: tuple[str, ...] = ()  # of packages that are not here as they were there
    verdict: str = ""  # the highest gate that a report opened
    validation_net: float | None = None  # dollars a market, as training measured it
    markets: int = 0  # trained on


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """Which model the evidence speaks for."""

    primary: str = ""
    because: str
    alternative: str = ""  # sound, and trained on the most markets of the others


class Compatibility(msgspec.Struct, frozen=True, kw_only=True):
    """The table of `kalshi-ray models check`."""

    models: list[Checked]
    advice: Advice

    @property
    def damaged(self) -> list[Checked]:
        """Models that cannot be handed out."""
        return [model for model in self.models if model.problem]


def check_models(registry: Registry, ids: list[str] | None = None) -> Compatibility:
    """Load every model, or those of `ids`, and hold it against every known layout."""
    aliases = registry.aliases()
    found, verdicts = [], {}
    for model in ids or registry.ids():
        names = sorted(alias for alias, target in aliases.items() if target == model)
        try:
            bundle = registry.load(model)
            verdicts[model] = registry.verdicts(model)
            found.append(_checked(bundle, names, verdicts[model]))
        except KalshiRayError as error:
            found.append(Checked(id=model, aliases=names, problem=str(error)))
    found += [
        Checked(id=model, aliases=[alias], problem="is named by an alias and no longer registered")
        for alias, model in sorted(aliases.items())
        if not ids and not registry.has(model)
    ]
    return Compatibility(models=found, advice=advise(found, verdicts))


def fits_of(bundle: Bundle) -> tuple[Fit, ...]:
    """Its action space and observation against all of here; its own come too where they are built on demand."""
    contract = bundle.manifest.contract
    spaces = dict.fromkeys([*ACTION_SPACES, contract.action_space.name])
    return (
        *(_fit("action space", contract.action_space, actions_here(name)) for name in spaces),
        *(_fit("observation", contract.observation, observation_here(name)) for name in OBSERVATIONS),
    )


def reach_of(bundle: Bundle) -> Reach:
    """Which ids decode, which the network can choose when it is made to, and which the probe offers and uses."""
    layout, probe = bundle.manifest.contract.action_space, bundle.probe
    spec = action_space(layout.name)
    decoded = sum(spec.describe(action) == meaning for action, meaning in enumerate(layout.table))
    return Reach(
        ids=layout.size,
        decoded=decoded,
        reached=len(_forced_ids(bundle)),
        offered=int(probe.mask.any(axis=0).sum()),
        used=tuple(np.unique(probe.action).tolist()),
        rows=len(probe.action),
    )


def advise(models: list[Checked], verdicts: dict[str, list[Verdict]]) -> Advice:
    """The model with the best evidence: highest gate, then lower end of net, then validation. Never by name or date."""
    sound = [model for model in models if not model.problem]
    if not sound:
        return Advice(because="no model can be loaded")
    weights = {model.id: (*rank(verdicts[model.id]), _or_least(model.validation_net)) for model in sound}
    best = max(sound, key=lambda model: weights[model.id])
    level, _, validation = weights[best.id]
    others = [model for model in sound if model is not best]
    alternative = max(others, key=lambda model: model.markets).id if others else ""
    if level >= 0:
        because = f"its {GATES[level]} gate is open"
    elif validation > float("-inf"):
        because = f"no gate is open; its validation earned most, ${validation:,.2f} a market"
    else:
        return Advice(because="no model has an open gate or a validation: evaluate, then promote with the report")
    return Advice(primary=best.id, because=because, alternative=alternative)


def _or_least(value: float | None) -> float:
    return float("-inf") if value is None else value


def _checked(bundle: Bundle, names: list[str], verdicts: list[Verdict]) -> Checked:
    manifest = bundle.manifest
    return Checked(
        id=manifest.id,
        aliases=names,
        action_space=manifest.contract.action_space.name,
        observation=manifest.contract.observation.name,
        fits=fits_of(bundle),
        reach=reach_of(bundle),
        versions=tuple(manifest.other_versions()),
        verdict=next((gate for gate in reversed(GATES) if any(one.highest == gate for one in verdicts)), ""),
        validation_net=manifest.metrics.get("validation_net"),
        markets=sum(int(session.get("markets", 0)) for session in manifest.sessions),
    )


def _fit(kind: Kind, wanted: Layout, here: Layout) -> Fit:
    fits = wanted.fits(here)
    return Fit(kind=kind, name=here.name, fits=fits, differs="" if fits else difference(wanted, here))


def _forced_ids(bundle: Bundle) -> set[int]:
    """Ids that come out when the last bias prefers each in turn and everything is legal."""
    network = bundle.network
    seen, count = bundle.probe.observation[:1], network.actions
    found, answer = set(), np.empty(1, np.int64)
    for action in range(count):
        biases = network.biases.copy()
        biases[len(biases) - count + action] = np.float32(1e30)
        forced: Network = replace(network, biases=biases)
        best_legal(forced.logits(seen), np.ones((1, count), bool), answer)
        if int(answer[0]) == action:
            found.add(action)
    return found
