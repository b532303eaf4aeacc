"""All sections of the settings file. Each settings record lives beside the code it sets.

A command loads the sections it uses and no other: importing all of them would bring in torch and Ray.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

if TYPE_CHECKING:
    from kalshi_ray.collect.settings import CollectSettings, UniverseSettings
    from kalshi_ray.data.importing.options import ImportOptions
    from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings
    from kalshi_ray.data.splits import SplitSettings
    from kalshi_ray.data.synthetic.settings import SynthSettings
    from kalshi_ray.env.settings import EnvSettings
    from kalshi_ray.evaluate.settings import EvaluationSettings
    from kalshi_ray.exchange.settings import ExchangeSettings
    from kalshi_ray.exchange.simulator.settings import SimulatorSettings
    from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
    from kalshi_ray.registry.promotion import PromotionSettings
    from kalshi_ray.train.ray_session import RaySettings
    from kalshi_ray.train.settings import TrainSettings


class Places(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where things live: folders, or URLs that pyarrow.fs opens, such as s3://bucket/sessions."""

    FOREIGN: ClassVar[Mapping[str, str]] = {"store": "DATABASE_URL"}

    store: str = "store"  # sessions; also postgresql://…, and from DATABASE_URL where it is named nowhere else
    runs: str = "runs"  # training runs: settings, progress, checkpoints and bundle; a folder
    registry: str = "registry"  # registered bundles
    reports: str = "reports"  # reports in HTML and JSON; a folder


class AnalysisOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an analysis looks at; which markets are suitable is said by `selection`."""

    edge: bool = False  # costs against moves, markouts, maker results, sums over events
    top: int = 20  # markets in each ranking
    horizons_s: tuple[float, ...] = (1.0, 10.0, 60.0, 300.0, 1_800.0)  # of moves
    markouts_s: tuple[float, ...] = (1.0, 5.0, 30.0, 60.0, 300.0)  # after prints


class Settings(Protocol):
    """What a command reads; only the sections it named are there."""

    places: Places
    synth: SynthSettings
    importing: ImportOptions
    analysis: AnalysisOptions
    selection: SuitabilitySettings
    causal: CausalSettings
    split: SplitSettings
    env: EnvSettings
    train: TrainSettings
    ray: RaySettings
    evaluation: EvaluationSettings
    promotion: PromotionSettings
    exchange: ExchangeSettings
    simulator: SimulatorSettings
    stream: StreamSettings
    universe: UniverseSettings
    collect: CollectSettings


# Where each section's type is; the names are those of `Settings`.
SECTIONS: Mapping[str, str] = {
    "places": "kalshi_ray.cli.settings:Places",
    "synth": "kalshi_ray.data.synthetic.settings:SynthSettings",
    "importing": "kalshi_ray.data.importing.options:ImportOptions",
    "analysis": "kalshi_ray.cli.settings:AnalysisOptions",
    "selection": "kalshi_ray.data.selection:SuitabilitySettings",
    "causal": "kalshi_ray.data.selection:CausalSettings",
    "split": "kalshi_ray.data.splits:SplitSettings",
    "env": "kalshi_ray.env.settings:EnvSettings",
    "train": "kalshi_ray.train.settings:TrainSettings",
    "ray": "kalshi_ray.train.ray_session:RaySettings",
    "evaluation": "kalshi_ray.evaluate.settings:EvaluationSettings",
    "promotion": "kalshi_ray.registry.promotion:PromotionSettings",
    "exchange": "kalshi_ray.exchange.settings:ExchangeSettings",
    "simulator": "kalshi_ray.exchange.simulator.settings:SimulatorSettings",
    "stream": "kalshi_ray.exchange.simulator.stream_settings:StreamSettings",
    "universe": "kalshi_ray.collect.settings:UniverseSettings",
    "collect": "kalshi_ray.collect.settings:CollectSettings",
}


def settings_type(sections: Sequence[str]) -> type[msgspec.Struct]:
    """A record of these sections, all at their defaults."""
    fields: list[Any] = [(name, kind, kind()) for name in sections for kind in [section_type(name)]]
    return msgspec.defstruct("Settings", fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


def section_type(name: str) -> type[msgspec.Struct]:
    """The settings record of one section."""
    module, _, attribute = SECTIONS[name].partition(":")
    kind: type[msgspec.Struct] = getattr(importlib.import_module(module), attribute)
    return kind
