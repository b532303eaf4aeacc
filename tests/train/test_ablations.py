"""Ablations: the table says what was trained, claims only what a lie claims, and keeps no policy."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kalshi_ray.cli.app import run
from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings
from kalshi_ray.data.session import Session
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import synthesize
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ConfigError, UnknownName
from kalshi_ray.evaluate.contest import Contestant
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import Hold, Random
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.train.ablations import DEFAULT, VARIANTS, Ablation, ablate, to_markdown, variants_of, write
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.trial import Trial

ENV = EnvSettings(position_limit=50.0)
TINY = TrainSettings(steps=2_048, batch=1_024, rows=16, minibatch=512, epochs=1, episode=50, decide="sampled")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    synthesize(store, "small", SynthSettings(regime="planted", markets=12, waves=2, hours=0.05, seed=3))
    return store.open("small")


@pytest.fixture(scope="module")
def trial(session: Session) -> Trial:
    return Trial.of(
        session,
        env=ENV,
        selection=SuitabilitySettings(min_quarters=1, min_decisions=20),
        causal=CausalSettings(),
        split=SplitSettings(train=0.5, validation=0.0, test=0.5),
    )


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_is_a_training_that_can_be_built(name: str) -> None:
    variant = VARIANTS[name]
    msgspec.structs.replace(TrainSettings(steps=600_000), **variant.train).resolved()
    msgspec.structs.replace(ENV, **variant.env).rules()
    assert not (variant.claims and "a lie" not in variant.words)


def test_unknown_variants_and_an_empty_comparison_are_refused(trial: Trial) -> None:
    with pytest.raises(UnknownName, match=r"no-ramps.*no-ramp"):
        variants_of(["recipe", "no-ramps"])
    with pytest.raises(ConfigError, match="at least one"):
        ablate(trial, [], recipe=TINY, env=ENV, seeds=[0])


def test_a_trial_never_judges_what_it_trains_on(trial: Trial) -> None:
    event_of, received = trial.pack.views["event"], trial.pack.updates["recv_ns"]
    assert set(event_of[list(trial.views)]).isdisjoint(event_of[trial.markets.views])
    ends = max(received[trial.pack.views["stop"][view] - 1] for view in trial.views)
    assert ends < min(received[trial.pack.views["start"][view]] for view in trial.markets.views)


def test_the_hold_share_counts_decisions_with_a_choice(trial: Trial, session: Session) -> None:
    assert trial.holding(Hold(), env=ENV) == 1.0
    assert 0.0 < trial.holding(Random(0.5), env=ENV) < 0.6
    oracle = Oracle.of(session.manifest.origin)
    share = trial.holding(oracle, env=ENV)
    judging = EvaluationSettings(baselines=(), resamples=50, curve_points=50)
    report = trial.judge([Contestant(oracle, "baseline")], judging, env=ENV).report.policies[0]
    assert 0.9 < share <= report.figures.rates.hold_share + 1e-9  # what has no choice is HOLD too


@pytest.fixture(scope="module")
def found(trial: Trial, shared_ray: None) -> Ablation:
    chosen = variants_of(["recipe", "no-mask", "no-fees", "mid-prices", "optimistic-fills"])
    return ablate(trial, chosen, recipe=TINY, env=ENV, seeds=(0, 1))


@pytest.mark.ray
def test_each_variant_is_trained_with_each_seed_and_judged_at_full_cost(found: Ablation) -> None:
    assert [line.variant for line in found.lines] == ["recipe", "no-mask", "no-fees", "mid-prices", "optimistic-fills"]
    assert [(one.variant, one.seed) for one in found.outcomes[:4]] == [
        ("recipe", 0), ("recipe", 1), ("no-mask", 0), ("no-mask", 1),
    ]  # fmt: skip
    assert found.reference == "oracle"  # and no control of a trained policy
    assert found.reference_edge is not None and found.reference_edge > 0.0
    for one in found.outcomes:
        assert one.trades > 0 and one.edge < 0.0  # hardly trained: random trading loses
        if one.share is not None:
            assert one.share * found.reference_edge == pytest.approx(one.edge, rel=1e-6) or one.variant.endswith(
                "fills"
            )


@pytest.mark.ray
def test_a_lie_claims_more_than_it_is_worth_and_the_honest_claim_nothing(found: Ablation) -> None:
    lines = {line.variant: line for line in found.lines}
    assert lines["recipe"].claimed is None and lines["no-mask"].claimed is None
    for name in ("no-fees", "mid-prices"):
        claimed = lines[name].claimed
        assert claimed is not None and claimed > lines[name].edge
    optimistic = lines["optimistic-fills"]
    assert optimistic.claimed is not None and optimistic.claimed >= optimistic.edge
    assert lines["no-mask"].refused_in_training > 0.01 > lines["recipe"].refused_in_training


@pytest.mark.ray
def test_the_table_is_written_and_nothing_else(found: Ablation, tmp_path: Path) -> None:
    paths = write(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ablations.json", "ablations.md"]
    assert msgspec.json.decode(paths[0].read_bytes(), type=Ablation).lines == found.lines
    text = to_markdown(found)
    assert text.count("\n| ") == 1 + len(found.lines) + 1
    assert all(line.words in text for line in found.lines)


def test_the_command_lists_its_variants(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ablate", "--session", "any", "--variants", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in VARIANTS) and set(DEFAULT) < set(VARIANTS)
