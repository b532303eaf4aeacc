"""A whole report from made-up ledgers, without an environment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kalshi_ray.core.actions import action_space
from kalshi_ray.core.tape import KEYFRAME, LEVEL, SIBLING, UPDATE, VIEW, ViewPack
from kalshi_ray.core.units import SECOND
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.compose import compose_report
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.edge import Truth, truth_from
from kalshi_ray.evaluate.ledger import Ledger
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import Hold, JoinBest, Random, TakeImbalance
from tests.evaluate.standin import START, random_ledger

SETTINGS = EvaluationSettings(markouts_s=(1.0, 60.0))


def bare_pack(markets: int, *, depth: str = "full") -> ViewPack:
    """Views of two updates each, an hour apart; every market its own event."""
    updates, views = np.zeros(2 * markets, UPDATE), np.zeros(markets, VIEW)
    updates["recv_ns"] = START + np.tile([0, 3_600 * SECOND], markets)
    views["market"] = views["event"] = np.arange(markets)
    views["start"], views["stop"], views["steps"] = 2 * np.arange(markets), 2 * np.arange(markets) + 2, 10
    return ViewPack(
        session="made-up",
        checksum="0" * 64,
        tickers=tuple(f"M{market}" for market in range(markets)),
        events=tuple(f"EVENT-{market:02}" for market in range(markets)),
        updates=updates,
        views=views,
        keyframes=np.zeros(0, KEYFRAME),
        levels=np.zeros(0, LEVEL),
        axes=np.zeros((1, 99), np.int32),
        grids=np.zeros((1, 99), np.uint8),
        values=np.zeros(0, np.int64),
        siblings=np.zeros(0, SIBLING),
        sibling_start=np.zeros(markets + 1, np.int64),
        depth=depth,
        sizes="assumed" if depth == "best" else "observed",
    )


def grown(seed: int, *, markets: int, policy: str, fill_model: str = "pessimistic", acts: bool = True) -> Ledger:
    """A random ledger with a wandering curve, markouts and action counts."""
    source, made = np.random.default_rng(seed), random_ledger(seed, markets=markets, count=20 * markets, settled=True)
    curve = source.normal(0, 1e6, 500).cumsum().astype(np.int64)
    curve[-1] = made.pnl.sum()
    actions = np.zeros(action_space("sized21").size if acts else 0, np.int64)
    actions[:1], actions[1:] = 10_000, source.integers(0, 100, max(len(actions) - 1, 0))
    made.states[...] = source.integers(0, 50, made.states.shape)
    mids = 2 * made.fills["price"][:, None] + source.integers(-300, 300, (len(made.fills), 3))
    return replace(
        made,
        policy=policy,
        fill_model=fill_model,
        twice_mids=mids.astype(np.int32),
        curve_ns=np.linspace(START, START + 3_600 * SECOND, 500).astype(np.int64),
        curve=curve,
        actions=actions,
    )


def some_truth(markets: int) -> Truth:
    """One row of truth by market, before every fill."""
    return truth_from(np.arange(markets, dtype=np.int32), np.full(markets, START), np.full(markets, 0.5))


def make_report(
    seed: int = 0, *, markets: int = 24, depth: str = "full", synthetic: bool = True, judged: bool = True
) -> EvaluationReport:
    """A judged policy, an oracle and three baselines."""
    contestants = [
        Contestant(TakeImbalance(name="ppo-<7>"), "judged" if judged else "baseline"),
        Contestant(TakeImbalance(name="oracle"), "oracle"),
        Contestant(Hold(), "baseline"),
        Contestant(Random(0.02), "baseline"),
        Contestant(JoinBest(), "baseline"),
    ]
    ledgers = {
        index: [grown(seed + index, markets=markets, policy=one.policy.name)]
        for index, one in enumerate(contestants[:4])
    }
    ledgers[2] = [replace(random_ledger(0, markets=markets, count=0), twice_mids=np.zeros((0, 3), np.int32))]
    barred = {4: "depth: best: made up"} if depth == "best" else {}
    if not barred:
        ledgers[4] = [
            grown(seed + 4, markets=markets, policy="join-best", fill_model=model, acts=False)
            for model in ("pessimistic", "fitted", "optimistic")
        ]
    views = np.arange(markets, dtype=np.int32)
    chosen = Markets(views, np.full(markets, -1), "made up for a test", dropped=3, filtered=views % 3 == 0)
    return compose_report(
        contestants,
        ledgers,
        barred,
        bare_pack(markets, depth=depth),
        chosen,
        env_settings=EnvSettings(),
        settings=SETTINGS,
        truth=some_truth(markets) if synthetic else None,
    )
