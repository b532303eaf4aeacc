"""Validation: the figure that evaluation gives, whatever the tasks, while training goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.data.store import open_store
from kalshi_ray.data.views import build_pack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import ContractError, NothingToDo
from kalshi_ray.evaluate.contest import Contestant, Markets
from kalshi_ray.evaluate.run import evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.inference import Network, NetworkPolicy
from kalshi_ray.train.validation import Validation
from tests.train.sessions import small_session

ENV = EnvSettings(position_limit=50.0, start="random", max_decisions=7)
EVALUATION = EvaluationSettings(shard_markets=3, rows=2, resamples=50)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ViewPack:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    return build_pack(small_session(store, "small", seed=3))


@pytest.fixture(scope="module")
def validation(pack: ViewPack) -> Validation:
    views = np.arange(2, 10, dtype=np.int32)
    return Validation(pack, views, np.full(8, -1, np.int64), ENV, EVALUATION, "eight markets")


@pytest.fixture(scope="module")
def network() -> Network:
    """One that trades: large weights, nothing learnt."""
    draws = np.random.default_rng(0)
    widths = [(32, ENV.layout.size), (ENV.actions.size, 32)]
    layers = [(draws.normal(size=w).astype(np.float32), np.zeros(w[0], np.float32)) for w in widths]
    return Network.pack(layers, activation="relu")


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_a_verdict_is_what_evaluation_says_whatever_the_number_of_tasks(
    validation: Validation, pack: ViewPack, network: Network
) -> None:
    """Whole views at full cost, though training starts anywhere and is bounded. More tasks than CPUs do not wait."""
    pending = [validation.begin(network, decide="greedy", tasks=tasks) for tasks in (1, 3)]
    one, several = (task.verdict() for task in pending)
    assert one == several
    chosen = Markets(validation.views, validation.starts)
    settings = msgspec.structs.replace(EVALUATION, baselines=(), fill_models="pessimistic")
    report = evaluate(
        [Contestant(NetworkPolicy("n", network))], pack, chosen, env_settings=ENV, settings=settings
    ).report
    figures = report.policies[0].by_model[0]
    assert (
        one.net_per_market == pytest.approx(figures.money.net / 8, abs=1e-12) and one.fills == figures.counts.fills > 0
    )
    assert (one.markets, one.events, one.trades) == (8, figures.counts.events, figures.counts.trades)
    assert (one.hold_share, one.win_rate) == (figures.rates.hold_share, figures.rates.win_rate)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_what_fails_in_a_task_is_raised_as_what_it_is(validation: Validation) -> None:
    narrow = Network.pack([(np.zeros((21, 5), np.float32), np.zeros(21, np.float32))], activation="relu")
    with pytest.raises(ContractError, match=r"the network takes \[B, 5\]"):
        validation.begin(narrow, decide="greedy", tasks=2).verdict()


def test_markets_are_described_in_words_and_numbers(validation: Validation) -> None:
    assert validation.describe() == {"words": "eight markets", "markets": 8, "events": 8}


def test_no_market_at_all_says_what_to_do(validation: Validation, tmp_path: Path) -> None:
    none = replace(validation, views=np.zeros(0, np.int32), starts=np.zeros(0, np.int64), words="the validation part")
    with pytest.raises(NothingToDo, match=r"no market to validate on: the validation part.*train\.eval_freq = 0"):
        none.describe()
