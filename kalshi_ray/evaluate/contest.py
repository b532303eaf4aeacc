"""Who is judged, on which markets, and under which fill models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.actions import Pricing
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.evaluate.report import Role
from kalshi_ray.policy.protocol import Policy


@dataclass(frozen=True)
class Contestant:
    """A policy and what it stands for."""

    policy: Policy
    role: Role = "judged"
    family: str = ""  # bundles of one recipe, their seeds apart
    seed: int | None = None  # of the training
    trained_on: int = 0  # judged events that it was trained on
    home: bool = False  # it was trained on a part of this session
    of: str = ""  # of a control: the judged policy whose edge it must lose


@dataclass(frozen=True)
class Markets:
    """What to judge on: views of a pack, where each may begin, and how they were chosen."""

    views: NDArray[np.int32]  # [N]
    starts: NDArray[np.int64]  # [N] first row of the tape; -1: the view's own
    selection: str = "every market"
    dropped: int = 0  # markets that the selection left out
    filtered: NDArray[np.bool_] | None = None  # [N] which the training filter would have dropped
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # category, series: by view of the pack


def every_market(pack: ViewPack) -> Markets:
    """All views from their start, for sessions in which nothing has to be selected."""
    views = np.arange(len(pack.views), dtype=np.int32)
    return Markets(views, np.full(len(views), -1, np.int64))


def with_decisions(pack: ViewPack, markets: Markets) -> Markets:
    """The markets that have a decision point; NothingToDo when none has."""
    alive = pack.views["steps"][markets.views] > 0
    if not alive.any():
        raise NothingToDo(
            f"none of the {len(alive)} chosen markets of {pack.session} has a decision point",
            remedy="`kalshi-ray sessions analyze` shows why each market was left out",
        )
    return replace(
        markets,
        views=markets.views[alive],
        starts=markets.starts[alive],
        dropped=markets.dropped + int((~alive).sum()),
        filtered=None if markets.filtered is None else markets.filtered[alive],
    )


def can_rest(policy: Policy, env: EnvSettings) -> bool:
    """Whether the policy's orders may wait in a queue, where fill models differ."""
    pricing = env.actions.table["pricing"]
    return policy.needs == "quotes" or bool(((pricing != Pricing.TAKE) & (pricing != Pricing.NONE)).any())


def not_measurable(policy: Policy, pack: ViewPack, env: EnvSettings) -> str:
    """Why the data cannot judge the policy; empty where it can."""
    if pack.depth == "best" and can_rest(policy, env):
        return "depth: best: without sizes, depth and prints no resting order can be judged"
    return ""
