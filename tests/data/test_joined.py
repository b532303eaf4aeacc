"""Joined sessions play exactly as each of them alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.joined import first_views, join_packs
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.views import subset_pack
from kalshi_ray.env.market_env import MarketVectorEnv
from kalshi_ray.env.samplers import Chosen
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo, UsageError
from tests import tapes
from tests.data.pack_tables import TAPERED
from tests.env.random_tapes import random_tape
from tests.examples import few

HOUR_S = 3_600.0
OBSERVED = "obs-x"  # every feature there is, siblings included


def session(
    name: str, seed: int, *, markets: int = 3, later_s: float = 0.0, tapered: int = 0, siblings: bool = False
) -> ViewPack:
    """Random lawful tapes; the first `tapered` markets have a finer grid and change to cents on the way."""
    rows = []
    for market in range(markets):
        own = random_tape(seed * 10 + market, market=market, moments=60)
        if market < tapered:
            own += tapes.regrid(200.0, 0, market=market) + tapes.schedule(201.0, 400.0, market=market)
            own += tapes.book(202.0, {40: 5}, {45: 7}, market=market) + tapes.change(203.0, "bid", 41, 2, market=market)
        rows += own
    for one in rows:
        for clock in ("recv_ns", "exch_ns"):
            one[clock] += round(later_s * 1e9)
    cents = [{"start": a, "end": b, "step": c} for a, b, c in tapes.CENTS]
    ranges = [TAPERED if market < tapered else cents for market in range(markets)]
    events = ["E0", "E0", *(f"{name}-{market}" for market in range(2, markets))]
    table = tapes.markets_of(markets, event=events[:markets], price_ranges=ranges)
    pack = tapes.pack_of(rows, markets=table, siblings=siblings, id=name, grids=[[[0, 10_000, 100]]])
    return replace(pack, checksum=f"of-{name}")


def played(pack: ViewPack, view: int, seed: int, start: int = -1) -> dict[str, Any]:
    """A whole episode by drawn actions: everything that a policy sees and everything that money does."""
    first = int(pack.views[view]["start"])
    env = MarketVectorEnv(
        pack,
        EnvSettings(start="whole", budget_per_s=1_000.0, budget_burst=1_000, position_limit=50.0, observation=OBSERVED),
        num_envs=1,
        seed=seed,
        sampler=Chosen((view, first + start if start >= 0 else -1)),
        log_fills=True,
    )
    batch, random = env.new_batch(), np.random.default_rng(seed)
    env.reset_into(batch)
    seen, legal, rewards = [batch.observation.copy()], [batch.mask.copy()], []
    while env.playing[0]:
        env.step_into(np.array([random.choice(np.flatnonzero(batch.mask[0]))]), batch)
        last = batch.terminated[0] | batch.truncated[0]
        seen.append((batch.final_observation if last else batch.observation).copy())
        legal.append((batch.final_mask if last else batch.mask).copy())
        rewards.append((float(batch.reward[0]), float(batch.elapsed[0])))
    fills, episodes = env.take_fills(), env.take_episodes()
    fills["view_index"] = episodes["view_index"] = 0
    return {
        "seen": np.concatenate(seen).tobytes(),
        "legal": np.concatenate(legal).tobytes(),
        "rewards": rewards,
        "fills": fills.tolist(),
        "episodes": episodes.tolist(),
    }


@settings(max_examples=few(12, many=40))
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.0, HOUR_S]), st.integers(0, 2), st.data())
def test_a_view_of_the_joined_pack_plays_as_in_its_own_pack(
    seed: int, siblings: bool, later_s: float, tapered: int, data: st.DataObject
) -> None:
    packs = [
        session("a", seed, siblings=siblings),
        session("b", seed + 1, markets=4, later_s=later_s, tapered=tapered, siblings=siblings),
        session("c", seed + 2, markets=2, tapered=1, siblings=siblings),
    ]
    joined, firsts = join_packs(packs), first_views(packs)
    which = data.draw(st.integers(0, 2))
    view = data.draw(st.integers(0, len(packs[which].views) - 1))
    own = packs[which].views[view]
    start = data.draw(st.sampled_from([-1, int(own["stop"] - own["start"]) // 2]))
    alone = played(packs[which], view, seed, start)
    assert played(joined, int(firsts[which]) + view, seed, start) == alone
    assert alone["fills"] and len(alone["rewards"]) > 10


def test_an_event_of_two_sessions_is_one_event_and_a_market_of_both_stays_two_views() -> None:
    packs = [session("a", 1), session("b", 2, later_s=HOUR_S)]
    joined = join_packs(packs)
    assert joined.session == "a+b" and joined.checksum not in ("of-a", "of-b", "")
    assert joined.tickers == ("M0", "M1", "M2") * 2
    assert joined.events == ("E0", "a-2", "b-2")
    assert joined.views["event"].tolist() == [0, 0, 1, 0, 0, 2]
    assert len(set(joined.views["market"].tolist())) == 6


def test_a_split_of_joined_sessions_never_parts_an_event_of_both() -> None:
    joined = join_packs([session("a", 1), session("b", 2, later_s=HOUR_S), session("c", 3, later_s=2 * HOUR_S)])
    parts = split_views(joined, SplitSettings(by="event", train=0.5, validation=0.0, test=0.5, seed=4))
    events = [set(joined.views["event"][part].tolist()) for part in (parts.train, parts.test)]
    assert events[0].isdisjoint(events[1]) and len(parts.train) + len(parts.test) == 9


def test_equal_price_axes_are_kept_once() -> None:
    packs = [session("a", 1, tapered=1), session("b", 2, tapered=1), session("c", 3)]
    joined = join_packs(packs)
    assert len(joined.axes) == 2 and len(joined.grids) == len(packs[0].grids)
    assert joined.max_levels == packs[0].max_levels > packs[2].max_levels


@pytest.mark.parametrize(
    ("field", "other", "expected"),
    [("depth", "best", "best"), ("sizes", "assumed", "assumed"), ("has_trades", False, False)],
)
def test_what_one_session_lacks_the_joined_one_lacks(field: str, other: Any, expected: Any) -> None:
    packs = [session("a", 1), replace(session("b", 2), **{field: other})]
    assert getattr(join_packs(packs), field) == expected
    assert getattr(join_packs(packs[:1]), field) == getattr(packs[0], field)


def test_the_same_session_twice_is_refused_by_name_and_by_content() -> None:
    one = session("a", 1)
    with pytest.raises(UsageError, match="'a' is the same recording as 'a'"):
        join_packs([one, session("b", 2), one])
    with pytest.raises(UsageError, match="'copy' is the same recording as 'a'"):
        join_packs([one, replace(one, session="copy")])


def test_sessions_of_different_signals_or_with_siblings_in_one_only_are_refused() -> None:
    with pytest.raises(UsageError, match="carries the signals odds, 'b' carries polls"):
        join_packs([replace(session("a", 1), signals=("odds",)), replace(session("b", 2), signals=("polls",))])
    with pytest.raises(UsageError, match="siblings are known in one of 'a' and 'b' only"):
        join_packs([session("a", 1, siblings=True), session("b", 2)])
    with pytest.raises(NothingToDo, match="no session"):
        join_packs([])


def test_a_part_of_a_pack_joins_like_a_whole_one() -> None:
    whole = session("a", 5, siblings=True)
    part = subset_pack(whole, np.array([1]))
    joined = join_packs([part, session("b", 6, siblings=True)])
    assert played(joined, 0, 7) == played(whole, 1, 7)
    assert played(joined, 2, 7) == played(session("b", 6, siblings=True), 1, 7)
