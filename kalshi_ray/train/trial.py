"""A trial: one session cut once into markets to train on and markets to judge on, for trainings that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings, select
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.view_store import put_pack
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.evaluate.contest import Contestant, Markets, with_decisions
from kalshi_ray.evaluate.edge import Truth
from kalshi_ray.evaluate.job import choose_markets, truth_of
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.shards import Queue, Shard
from kalshi_ray.policy.inference import NetworkPolicy
from kalshi_ray.policy.protocol import Policy, PolicyState, decide, market_key
from kalshi_ray.registry.bundle import load_bundle
from kalshi_ray.train.curricula import ratings_of
from kalshi_ray.train.run import train
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.sources import EnvSource, MarketSource

HOLD_ID = 0


@dataclass(frozen=True)
class Trial:
    """Markets to train on and markets that no training of this trial sees. Training needs a running Ray."""

    session: Session
    pack: ViewPack
    views: tuple[int, ...]  # of the pack, to train on
    markets: Markets  # to judge on
    truth: Truth | None

    @classmethod
    def of(
        cls,
        session: Session,
        *,
        env: EnvSettings,
        selection: SuitabilitySettings,
        causal: CausalSettings,
        split: SplitSettings,
        part: str = "test",
    ) -> Trial:
        """Train on the suitable markets of the training part, judge on another one, chosen causally."""
        siblings = any(name.startswith("sibling_") for name in env.layout.names)
        pack = build_pack(session, siblings=siblings)
        suitable = select(pack, selection, markets=session.markets()).views
        views = np.intersect1d(split_views(pack, split).train, suitable)
        if not len(views):
            raise NothingToDo(
                f"no market in the training part of {session.id} is suitable",
                remedy="Loosen the filter (selection.…) or the split (split.…); `kalshi-ray sessions analyze` says why",
            )
        settings = msgspec.convert({"part": part}, EvaluationSettings)
        markets = choose_markets(session, pack, settings, selection=selection, causal=causal, split=split)
        return cls(session, pack, tuple(int(view) for view in views), markets, truth_of(session))

    def source(self, settings: TrainSettings, env: EnvSettings) -> MarketSource:
        """Rows over the markets to train on."""
        return MarketSource(
            pack=put_pack(self.pack),
            settings=settings.training_env(env),
            views=self.views,
            sampler=settings.sampler,
            ratings=ratings_of(settings.sampler, self.pack, np.array(self.views)),
        )

    def train(
        self, settings: TrainSettings, source: EnvSource, folder: Path, *, name: str
    ) -> tuple[NetworkPolicy, dict[str, float]]:
        """Train in `folder`; the policy under a name of its own, and the last line of progress."""
        result = train(settings, source, run_dir=folder)
        bundle = load_bundle(result.bundle)
        return NetworkPolicy(name, bundle.network, decide=bundle.manifest.decide), result.metrics

    def judge(self, entered: Sequence[Contestant], settings: EvaluationSettings, *, env: EnvSettings) -> Evaluation:
        """Judge at full cost, on whole markets."""
        return evaluate(entered, self.pack, self.markets, env_settings=env, settings=settings, truth=self.truth)

    def holding(self, policy: Policy, *, env: EnvSettings, seed: int = 0) -> float:
        """Share of HOLD among the decisions at which anything else was legal, over the markets to judge on."""
        return hold_share(policy, self.pack, self.markets, env=env, seed=seed)


def hold_share(
    policy: Policy, pack: ViewPack, markets: Markets, *, env: EnvSettings, seed: int = 0, rows: int = 64
) -> float:
    """Share of HOLD among the decisions at which anything else was legal; every market as it is judged, at full cost.

    1 where no decision had a choice. For policies that answer with actions.
    """
    whole = msgspec.structs.replace(env, start="whole", max_decisions=0)
    markets = with_decisions(pack, markets)
    queue = Queue(pack, Shard(0, markets.views, markets.starts))
    played = MarketVectorEnv(pack, whole, num_envs=min(rows, len(markets.views)), seed=seed, sampler=queue)
    batch, decision = played.new_batch(), np.zeros(played.num_envs, np.int64)
    keys = np.array([market_key(ticker) for ticker in pack.tickers], np.uint64)
    policy.reset(keys[markets.views], seed)
    played.reset_into(batch)
    choices = holds = 0
    while (playing := played.playing).any():
        state = PolicyState(
            batch.observation, batch.mask, played.rows, decision, keys[played.rows["view_index"]],
            env.action_space, env.observation,
        )  # fmt: skip
        answer = decide(policy, state)
        free = playing & (batch.mask.sum(axis=1) > 1)
        choices, holds = choices + int(free.sum()), holds + int((free & (answer == HOLD_ID)).sum())
        played.step_into(answer, batch)
        decision = np.where(batch.terminated | batch.truncated, 0, decision + 1)
    return holds / choices if choices else 1.0
