"""Walk-forward: nobody is judged on what it could have seen, and everything judged is judged once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import run, start, synthesize
from kalshi_ray.data.views import build_pack_from_tables
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, NothingToDo
from kalshi_ray.evaluate.rehearsal import record_states
from kalshi_ray.evaluate.report import from_json
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import Hold, Random
from kalshi_ray.policy.protocol import check_policy, market_key
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.walk_forward import ByFold, Window, cut_folds, walk_forward, write

WAVES, MARKETS = 8, 16


@cache
def waves() -> ViewPack:
    """Eight waves of two events each; the waves do not overlap, the events of a wave do."""
    state = start(SynthSettings(regime="planted", markets=MARKETS, waves=WAVES, hours=0.03, seed=3))
    updates, _ = zip(*run(state), strict=True)
    return build_pack_from_tables(state.table, pa.concat_tables(updates), Manifest(id="waves", source="synthetic"))


EVERY = np.arange(MARKETS, dtype=np.int32)


@given(folds=st.integers(1, 4), least=st.integers(1, 6), purge_s=st.sampled_from([0.0, 30.0, 200.0]))
def test_training_events_are_over_before_their_fold_begins(folds: int, least: int, purge_s: float) -> None:
    pack = waves()
    received, event_of = pack.updates["recv_ns"], pack.views["event"]
    cut = cut_folds(pack, Window(folds=folds, min_events=least, purge_s=purge_s), trainable=EVERY, judgeable=EVERY)
    assert [fold.number for fold in cut] == list(range(1, folds + 1))
    for fold in cut:
        begins = min(received[pack.views["start"][view]] for view in fold.markets)
        ends = max(received[pack.views["stop"][view] - 1] for view in fold.views)
        assert ends < begins - purge_s * 1e9
        assert len(fold.training) >= least
        assert set(event_of[list(fold.views)]) == set(fold.training)
        assert set(event_of[fold.markets]) == set(fold.judged)
        assert set(fold.training).isdisjoint(fold.judged)


@given(folds=st.integers(2, 6), least=st.integers(1, 6))
def test_the_window_expands_and_every_later_event_is_judged_once(folds: int, least: int) -> None:
    cut = cut_folds(waves(), Window(folds=folds, min_events=least), trainable=EVERY, judgeable=EVERY)
    for before, after in pairwise(cut):
        assert set(before.training) <= set(after.training)
    judged = [event for fold in cut for event in fold.judged]
    assert len(judged) == len(set(judged)) == MARKETS - 2 * -(-least // 2)  # whole waves of two come first


def test_an_event_that_lives_across_the_beginning_of_a_fold_trains_nobody_and_is_counted() -> None:
    cut = cut_folds(waves(), Window(folds=MARKETS - 2, min_events=1), trainable=EVERY, judgeable=EVERY)
    first, second = cut[:2]  # one event each, of one wave: the first lives while the second begins
    assert set(first.judged).isdisjoint(second.training)
    assert second.purged == 1 and first.purged == 0


def test_too_few_events_are_refused_with_what_there_is() -> None:
    with pytest.raises(NothingToDo, match=r"16 events, of which 2 can be judged after 14 are over: fewer than 3 folds"):
        cut_folds(waves(), Window(folds=3, min_events=14), trainable=EVERY, judgeable=EVERY)
    with pytest.raises(NothingToDo, match="no market of the 6 events before fold 1 is suitable"):
        cut_folds(waves(), Window(folds=2, min_events=5), trainable=EVERY[-2:], judgeable=EVERY)


@pytest.mark.parametrize("changes", [{"folds": 0}, {"min_events": 0}, {"purge_s": -1.0}])
def test_a_window_without_sense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Window(**changes)  # type: ignore[arg-type]


def test_each_market_is_played_by_the_policy_of_its_fold() -> None:
    pack = waves()
    states = record_states(pack, EnvSettings(position_limit=50.0), steps=120, rows=16)
    keys = [market_key(ticker) for ticker in pack.tickers]
    joined = ByFold("joined", [Hold(), Random(0.5)], {key: at % 2 for at, key in enumerate(keys)}, "greedy")
    check_policy(joined, states)
    alone = Random(0.5)
    for policy in (joined, alone):
        policy.reset(np.array(keys, np.uint64), 0)
    traded = 0
    for state in states:
        answer, expected = joined.act(state), alone.act(state)
        held = np.array([keys.index(int(key)) % 2 == 0 for key in state.market])
        assert (answer[held] == 0).all()
        np.testing.assert_array_equal(answer[~held], expected[~held])
        traded += int((answer[~held] != 0).sum())
        idle = replace(state, market=np.zeros_like(state.market))  # rows that have run out of markets
        assert (joined.act(idle) == 0).all()
    assert traded > 20


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_one_report_covers_all_folds_and_seeds_and_their_parts_add_up(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    synthesize(store, "waves", SynthSettings(regime="planted", markets=MARKETS, waves=WAVES, hours=0.03, seed=3))
    settings = TrainSettings(steps=1_024, batch=1_024, rows=16, minibatch=512, epochs=1, episode=50, decide="sampled")
    judging = EvaluationSettings(baselines=("hold",), resamples=100, curve_points=50)
    found = walk_forward(
        store.open("waves"),
        Window(folds=2, min_events=8),
        settings,
        judging,
        env=EnvSettings(position_limit=50.0),
        selection=SuitabilitySettings(min_quarters=1, min_decisions=20),
        causal=CausalSettings(),
        seeds=(0, 1),
        runs=tmp_path / "runs",
    )
    names = ["walk-forward s0", "walk-forward s1"]
    judged = {policy.name: policy for policy in found.evaluation.report.policies if policy.role == "judged"}
    assert [(one.fold, one.policy) for one in found.folds] == [(k, name) for k in (1, 2) for name in names]
    for name in names:
        own = [one for one in found.folds if one.policy == name]
        figures = judged[name].figures
        assert sum(one.markets for one in own) == figures.counts.markets == found.evaluation.report.data.markets
        assert sum(one.fills for one in own) == figures.counts.fills > 0
        assert sum(one.net_dollars for one in own) == pytest.approx(figures.money.net)
    assert "2 folds" in found.evaluation.report.data.selection
    paths = write(found, tmp_path / "report")
    assert from_json(paths[0].read_bytes()).data.markets == found.evaluation.report.data.markets
    assert len(msgspec.json.decode(paths[-1].read_bytes())) == 4
    bundles = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/bundle"))
    assert bundles == ["fold-1-s0", "fold-1-s1", "fold-2-s0", "fold-2-s1"]
