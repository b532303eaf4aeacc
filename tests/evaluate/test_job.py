"""Judging on a session: from the store to the files of the report."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings, split_views
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ContractError, NothingToDo, UnknownName, UsageError
from kalshi_ray.evaluate.job import choose_markets, contestants_of, evaluate_on_session, write_report
from kalshi_ray.evaluate.report import from_json
from kalshi_ray.evaluate.run import Evaluation
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.registry import Bundle, Manifest, contract_of, save_bundle

ENV = EnvSettings(position_limit=50)
SPLIT = SplitSettings(train=0.5, validation=0.0, test=0.5)
CAUSAL = CausalSettings(updates=5)
SELECTION = SuitabilitySettings(min_decisions=1, min_quarters=1)
SETTINGS = EvaluationSettings(resamples=50, curve_points=50)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    synthesize(store, "small", SynthSettings(regime="planted", markets=8, waves=2, hours=0.05, seed=3))
    return store.open("small")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    draw, rows = np.random.default_rng(1), np.ones((4, 21), np.bool_)
    manifest = Manifest(
        id="run-a", run="run", created="", algorithm="ppo", decide="greedy", activation="relu", sizes=[], network={},
        contract=contract_of("sized21", "obs54"), training={}, env={}, reward="pure", fill_model="pessimistic",
        sessions=[], packages={}, metrics={},
    )  # fmt: skip
    layers = [(draw.normal(size=(21, 54)).astype(np.float32), np.zeros(21, np.float32))]
    seen = draw.normal(size=(4, 54)).astype(np.float32)
    folder = tmp_path_factory.mktemp("bundles") / "b"
    return save_bundle(folder, manifest=manifest, layers=layers, probe_observation=seen, probe_mask=rows)


def judge(
    session: Session, *policies: str, env: EnvSettings = ENV, bundle: Bundle | None = None, **changes: Any
) -> Evaluation:
    return evaluate_on_session(
        session,
        policies,
        SETTINGS,
        env=env,
        selection=SELECTION,
        causal=CAUSAL,
        split=SPLIT,
        bundles=None if bundle is None else (lambda spec: bundle),
    )


def test_a_bundle_is_judged_on_the_test_part_beside_baselines_and_oracle(
    session: Session, bundle: Bundle, tmp_path: Path
) -> None:
    found = judge(session, "champion", bundle=bundle)
    assert [(policy.name, policy.role) for policy in found.report.policies] == [
        ("run-a", "judged"),
        ("oracle", "oracle"),
        *((name, "baseline") for name in SETTINGS.baselines),
        ("run-a, other market's observations", "control"),
        ("run-a, sign flipped", "control"),
    ]
    parts = split_views(build_pack(session), SPLIT)
    assert set(found.ledgers[0].tickers) <= {build_pack(session).tickers[view] for view in parts.test}
    assert found.report.policies[1].figures.edge.share_of_oracle == pytest.approx(1.0)
    assert found.report.policies[0].decides == "actions, greedy"
    paths = write_report(found, tmp_path / "out")
    assert [path.name for path in paths] == ["report.json", "report.html", "trades.csv"]
    assert from_json(paths[0].read_bytes()) == found.report
    trades = sum(policy.figures.counts.trades for policy in found.report.policies[:4])
    assert len(paths[2].read_text().splitlines()) > trades


def test_a_bundle_for_another_action_space_is_refused_with_both_fingerprints(session: Session, bundle: Bundle) -> None:
    there, here = contract_of("sized21", "obs54"), contract_of("intent5", "obs54")
    with pytest.raises(ContractError) as refused:
        judge(session, "champion", bundle=bundle, env=EnvSettings(action_space="intent5"))
    assert there.action_space.fingerprint in str(refused.value)
    assert here.action_space.fingerprint in str(refused.value)


@pytest.mark.parametrize(
    ("policies", "error", "complaint"),
    [
        (["champion"], UsageError, "needs a registry"),
        (["no.such.module:Policy"], UsageError, "no module"),
        (["random", "random?trade_probability=0.5"], UsageError, "2 policies are called 'random'.*random\\?name=r2"),
    ],
)
def test_what_cannot_be_judged_says_why(
    session: Session, policies: list[str], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        contestants_of(session, policies, SETTINGS, env=ENV)


def test_an_unknown_baseline_is_refused_with_the_known_ones(session: Session) -> None:
    settings = msgspec.structs.replace(SETTINGS, baselines=("hodl",))
    with pytest.raises(UnknownName, match=r"hodl.*join-best"):
        contestants_of(session, [], settings, env=ENV)


def test_the_oracle_can_be_left_out_and_is_unknown_elsewhere(session: Session) -> None:
    roles = [one.role for one in contestants_of(session, [], SETTINGS, env=ENV)]
    assert roles.count("oracle") == 1
    without = msgspec.structs.replace(SETTINGS, oracle=False)
    recorded = without_origin(session)
    for other, settings in ((session, without), (recorded, SETTINGS)):
        assert "oracle" not in [one.role for one in contestants_of(other, [], settings, env=ENV)]


def without_origin(session: Session) -> Session:
    """The same session, as if it had been recorded."""
    recorded = copy(session)
    recorded.manifest = msgspec.structs.replace(session.manifest, origin={})
    return recorded


@pytest.mark.parametrize("part", ["train", "test", "all"])
def test_markets_are_of_the_part_and_begin_where_the_causal_choice_says(session: Session, part: str) -> None:
    pack = build_pack(session)
    settings = msgspec.structs.replace(SETTINGS, part=part)
    chosen = choose_markets(session, pack, settings, selection=SELECTION, causal=CAUSAL, split=SPLIT)
    wanted = set(range(len(pack.views))) if part == "all" else set(getattr(split_views(pack, SPLIT), part).tolist())
    assert set(chosen.views.tolist()) <= wanted and len(chosen.views) + chosen.dropped == len(wanted)
    assert (chosen.starts > pack.views["start"][chosen.views]).all()
    assert part in chosen.selection or part == "all"


def test_no_market_that_may_be_traded_is_an_error_that_says_what_to_change(session: Session) -> None:
    pack = build_pack(session)
    with pytest.raises(NothingToDo, match="Ask for fewer updates"):
        choose_markets(session, pack, SETTINGS, selection=SELECTION, causal=CausalSettings(updates=10**9), split=SPLIT)


def test_an_empty_part_says_which_share_is_missing(session: Session) -> None:
    pack = build_pack(session)
    split = SplitSettings(train=0.5, validation=0.0, test=0.5)
    settings = msgspec.structs.replace(SETTINGS, part="validation")
    with pytest.raises(NothingToDo, match=r"the validation part .* is empty. Give it a share .split.validation"):
        choose_markets(session, pack, settings, selection=SELECTION, causal=CAUSAL, split=split)
