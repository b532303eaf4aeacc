"""Training finds what is there, on markets it never saw, and nothing where nothing is.

At full cost, with fees, masks, latency and greedy decisions. `-m slow` runs all seeds; one seed runs by default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.data.selection import CausalSettings, SuitabilitySettings
from kalshi_ray.data.splits import SplitSettings
from kalshi_ray.data.store import open_store
from kalshi_ray.data.synthetic import SynthSettings
from kalshi_ray.data.synthetic.session import synthesize
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.contest import Contestant
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import JoinBest
from kalshi_ray.policy.oracle import Oracle
from kalshi_ray.policy.protocol import Policy
from kalshi_ray.train.settings import TrainSettings
from kalshi_ray.train.trial import Trial

TAKING = EnvSettings(position_limit=50.0)
JOINING = EnvSettings(position_limit=50.0, action_space="sized21-join")
ONE_SIZE = EnvSettings(position_limit=50.0, action_space="generic[50;join]")


@dataclass(frozen=True)
class Lesson:
    """One session: train with preset `fast`, judge on the half that lives later."""

    trial: Trial
    folder: Path

    def learnt(self, env: EnvSettings, seed: int, steps: int) -> Policy:
        """The policy that one training leaves."""
        settings = TrainSettings(steps=steps, seed=seed, eval_freq=0, save_freq=steps)
        folder = self.folder / f"{env.action_space}-{seed}-{steps}"
        return self.trial.train(settings, self.trial.source(settings, env), folder, name=f"s{seed}")[0]

    def figures(self, policy: Policy, env: EnvSettings) -> Figures:
        """Its figures under the fill model with the lowest net."""
        judging = EvaluationSettings(baselines=(), match_random=False, resamples=100, curve_points=50)
        return self.trial.judge([Contestant(policy, "baseline")], judging, env=env).report.policies[0].figures

    def edge(self, policy: Policy, env: EnvSettings) -> float:
        """Dollars of true fill edge a market."""
        found = self.figures(policy, env).edge
        assert found is not None
        return found.per_market.mean


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory, shared_ray: None) -> Callable[..., Lesson]:
    """Makes lessons."""
    store, made = open_store(str(tmp_path_factory.mktemp("store"))), dict[str, Lesson]()

    def make(regime: str, **synth: Any) -> Lesson:
        name = "-".join([regime, *map(str, synth.values())]).replace(".", "p")
        if name not in made:
            synthesize(
                store,
                name,
                SynthSettings(regime=regime, markets=192, hours=0.5, waves=4, seed=5, **synth),  # type: ignore[arg-type]
            )
            trial = Trial.of(
                store.open(name),
                env=TAKING,
                selection=SuitabilitySettings(),
                causal=CausalSettings(),
                split=SplitSettings(train=0.5, validation=0.0, test=0.5),
            )
            made[name] = Lesson(trial, tmp_path_factory.mktemp(name))
        return made[name]

    return make


@pytest.mark.ray
def test_the_planted_signal_is_found_within_400_000_steps(lesson: Callable[..., Lesson]) -> None:
    """By one of three seeds, tried in turn: a seed is another run on another kind of processor, whose sums end in other
    bits. Of sixty runs on three kinds one ended below the bar.
    """
    planted = lesson("planted")
    oracle = planted.edge(Oracle.of(planted.trial.session.manifest.origin), TAKING)
    assert oracle > 30.0
    assert any(planted.edge(planted.learnt(TAKING, seed, steps=400_000), TAKING) >= 0.6 * oracle for seed in (1, 2, 3))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("seed", range(5))
def test_planted_reaches_60_percent_of_the_oracle_in_every_seed(lesson: Callable[..., Lesson], seed: int) -> None:
    planted = lesson("planted")
    oracle = planted.edge(Oracle.of(planted.trial.session.manifest.origin), TAKING)
    share = planted.edge(planted.learnt(TAKING, seed, steps=1_000_000), TAKING) / oracle
    assert share >= 0.6, f"{share:.0%} of the oracle's edge"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    ("env", "steps", "bar"),
    [(JOINING, 2_000_000, 0.35), (ONE_SIZE, 1_000_000, 0.75)],
    ids=["sized21-join", "one-size"],
)
def test_making_pays_where_uninformed_takers_are_many(
    lesson: Callable[..., Lesson], env: EnvSettings, steps: int, bar: float
) -> None:
    """The median of three seeds, which scatter, as a share of what join-best earns with ten contracts a side."""
    maker = lesson("planted-maker", uninformed=0.7)
    reference = maker.edge(JoinBest(), env)
    assert reference > 4.0
    shares = sorted(maker.edge(maker.learnt(env, seed, steps), env) / reference for seed in range(3))
    assert shares[1] >= bar and shares[0] > 0.0, f"{shares} of join-best's edge"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_to_be_had_the_policy_holds(lesson: Callable[..., Lesson], seed: int) -> None:
    nothing = lesson("null")
    policy = nothing.learnt(TAKING, seed, steps=1_000_000)
    assert nothing.trial.holding(policy, env=TAKING) >= 0.95
    assert nothing.edge(policy, TAKING) > -0.05
