"""What a run trains, validates and tests on: decided from the recordings alone, before Ray is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import ray
from numpy.typing import NDArray

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.joined import first_views, join_packs
from kalshi_ray.data.selection import CausalSettings, Selection, SuitabilitySettings, select, select_causal
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import PARTS, Split, SplitSettings, split_views
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, NothingToDo
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.telemetry import Progress
from kalshi_ray.train.curricula import ratings_of, steps_of_all
from kalshi_ray.train.overlap import require_apart, require_apart_from
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import MarketSource, Recorded
from kalshi_ray.train.validation import Validation


@dataclass
class Shared:
    """A pack on its way into the object store. Once it is there, nothing of it stays in this process."""

    pack: ViewPack | ray.ObjectRef[ViewPack]

    def put(self) -> ray.ObjectRef[ViewPack]:
        """The reference; the first call copies the pack. Needs a running Ray."""
        if isinstance(self.pack, ViewPack):
            self.pack = put_pack(self.pack)
        return self.pack


@dataclass(frozen=True)
class Judged:
    """Markets to validate on, and from where on each may be traded."""

    shared: Shared
    views: NDArray[np.int32]  # [N]
    starts: NDArray[np.int64]  # [N]
    words: str


@dataclass(frozen=True)
class Markets:
    """The markets of one part by name, as they are printed. A ticker of two sessions stands there twice."""

    part: str
    events: tuple[str, ...]
    tickers: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything a run needs to know before it starts. `settings.steps` is in force."""

    settings: TrainSettings
    env: EnvSettings  # of evaluation: at full cost
    shared: Shared
    sessions: tuple[Recorded, ...]
    split: Split
    selection: Selection
    views: NDArray[np.int32]  # to train on
    ratings: tuple[float, ...] | None
    judged: Judged | None
    markets: tuple[Markets, ...]  # train, validation, test

    def source(self) -> MarketSource:
        """Rows over the markets to train on. Needs a running Ray."""
        return MarketSource(
            pack=self.shared.put(),
            settings=self.settings.training_env(self.env),
            views=tuple(int(view) for view in self.views),
            sampler=self.settings.sampler,
            ratings=self.ratings,
            sessions=self.sessions,
        )

    def validation(self) -> Validation | None:
        """Where the run is validated, if it is. Needs a running Ray."""
        judged = self.judged
        if judged is None:
            return None
        return Validation(
            pack=judged.shared.put(),
            views=judged.views,
            starts=judged.starts,
            env=self.env,
            evaluation=EvaluationSettings(),
            words=judged.words,
        )


def plan_training(
    sessions: Sequence[Session],
    settings: TrainSettings,
    *,
    env: EnvSettings,
    selection: SuitabilitySettings,
    split: SplitSettings,
    causal: CausalSettings | None = None,
    validate_on: Sequence[Session] = (),
    allow_overlap: bool = False,
    until_played: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Divide the sessions, choose the suitable markets of the training part, and how they are played.

    The sessions are divided before anything is selected, so that an evaluation with the same split never meets a market
    or a time that training has seen. Suitability is judged in each session by itself. `validate_on` are whole sessions
    that take the place of the validation part. With `until_played`, the number of steps is what it takes to play every
    market once. Raises NothingToDo, UsageError and ConfigError.
    """
    settings.resolved()
    packs = [_packed(session, env, progress) for session in sessions]
    suitable = _suitable(packs, sessions, selection, progress)
    recorded, pack = Recorded.of(packs), join_packs(packs)
    del packs  # the joined pack has all of it
    parts = split_views(pack, split)
    views = np.intersect1d(parts.train, suitable.views).astype(np.int32)
    _require_some(views, parts, pack)
    if not allow_overlap:
        require_apart(pack, views, parts)
    shared = Shared(pack)
    judged = _judged(shared, parts, views, settings, env, causal, validate_on, allow_overlap, progress)
    if until_played:
        settings = msgspec.structs.replace(settings, steps=steps_of_all(pack, views, settings.training_env(env)))
        settings.resolved()
    return Plan(
        settings=settings,
        env=env,
        shared=shared,
        sessions=recorded,
        split=parts,
        selection=suitable,
        views=views,
        ratings=ratings_of(settings.sampler, pack, views, suitable.measures, quarters_of=selection.quarters_of),
        judged=judged,
        markets=_named(pack, views, judged, parts),
    )


def _require_some(views: NDArray[np.int32], parts: Split, pack: ViewPack) -> None:
    if not len(views):
        raise NothingToDo(
            f"none of the {len(parts.train)} markets in the training part of {pack.session} is suitable",
            remedy="Loosen the filter (selection.…) or the split (split.…); `kalshi-ray sessions analyze` says why",
        )


def _packed(session: Session, env: EnvSettings, progress: Progress | None) -> ViewPack:
    siblings = any(name.startswith("sibling_") for name in env.layout.names)
    return build_pack(session, siblings=siblings, progress=progress)


def _suitable(
    packs: Sequence[ViewPack], sessions: Sequence[Session], selection: SuitabilitySettings, progress: Progress | None
) -> Selection:
    """The selections of all sessions, with views as the joined pack counts them."""
    found = [
        select(pack, selection, markets=session.markets(), progress=progress)
        for pack, session in zip(packs, sessions, strict=True)
    ]
    moved = [one.views + first for one, first in zip(found, first_views(packs), strict=True)]
    return Selection(
        np.concatenate(moved).astype(np.int32),
        [rejected for one in found for rejected in one.rejected],
        np.concatenate([one.measures for one in found]),
    )


def _judged(
    shared: Shared,
    parts: Split,
    trained: NDArray[np.int32],
    settings: TrainSettings,
    env: EnvSettings,
    causal: CausalSettings | None,
    validate_on: Sequence[Session],
    allow_overlap: bool,
    progress: Progress | None,
) -> Judged | None:
    """The validation part, or the sessions in its place, as far as their first minutes say that they can be traded."""
    pack = shared.pack
    assert isinstance(pack, ViewPack)
    if not settings.eval_freq or not (len(parts.validation) or validate_on):
        if validate_on or settings.early_stop or "validation-drop" in (*settings.stop_on, *settings.explore_on):
            raise ConfigError(
                f"the run is to heed its validation, but there is none: train.eval_freq = {settings.eval_freq}, "
                f"{len(parts.validation)} markets to validate on",
                remedy="Give it a share (split.validation) or sessions (--validation-session), and train.eval_freq",
            )
        return None
    views, words = parts.validation, f"the validation part of {pack.session}"
    if validate_on:
        other = join_packs([_packed(session, env, progress) for session in validate_on])
        if not allow_overlap:
            require_apart_from(other, pack, trained)
        pack, shared = other, Shared(other)
        views, words = np.arange(len(pack.views), dtype=np.int32), pack.session
    first = select_causal(pack, causal or CausalSettings())
    kept = np.isin(first.views, views)
    if not kept.any():
        raise NothingToDo(
            f"none of the {len(views)} markets in {words} can be traded by its first minutes",
            remedy="Ask less of them (causal.…), give another share (split.…), or set train.eval_freq to 0",
        )
    words += f", traded from {(causal or CausalSettings()).updates} updates on; {kept.sum()} of {len(views)} markets"
    return Judged(shared, first.views[kept], first.starts[kept], words)


def _named(pack: ViewPack, trained: NDArray[np.int32], judged: Judged | None, parts: Split) -> tuple[Markets, ...]:
    none = np.zeros(0, np.int32)
    held = pack if judged is None else judged.shared.pack
    assert isinstance(held, ViewPack)
    chosen = ((pack, trained), (held, none if judged is None else judged.views), (pack, parts.test))
    return tuple(
        Markets(
            part,
            tuple(dict.fromkeys(one.events[event] for event in one.views["event"][views])),
            tuple(one.tickers[view] for view in views),
        )
        for part, (one, views) in zip(PARTS, chosen, strict=True)
    )
