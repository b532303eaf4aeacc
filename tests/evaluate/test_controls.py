"""Negative controls lose what skill wins, and say so where they mean nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from kalshi_ray.core.actions import ACTION_SPACES, action_space
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.evaluate.contest import Contestant, Markets, every_market
from kalshi_ray.evaluate.controls import OtherMarket, SignFlipped, mirrored_ids
from kalshi_ray.evaluate.rehearsal import record_states
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.evaluate.run import evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.policy.baselines import Hold, JoinBest, Random, TakeImbalance
from kalshi_ray.policy.inference import Network, NetworkPolicy
from kalshi_ray.policy.protocol import Policy, PolicyState, check_policy
from kalshi_ray.policy.trends import Momentum
from tests.evaluate.sessions import small_session
from tests.policy.states import make_state, make_states

ENV = EnvSettings(position_limit=50)
SETTINGS = EvaluationSettings(resamples=50, curve_points=50)


def judged(policy: Policy, regime: str = "planted", *, env: EnvSettings = ENV, **changes: Any) -> EvaluationReport:
    pack, truth = small_session(regime, markets=20, hours=0.1)
    markets = changes.pop("markets", every_market(pack))
    settings = msgspec.structs.replace(SETTINGS, **changes)
    return evaluate([Contestant(policy)], pack, markets, env_settings=env, settings=settings, truth=truth).report


def edges(report: EvaluationReport) -> list[float]:
    return [policy.figures.edge.per_market.mean for policy in report.policies if policy.figures.edge is not None]


def network(seed: int = 0) -> NetworkPolicy:
    draw = np.random.default_rng(seed)
    layers = [(draw.normal(size=(21, 54)).astype(np.float32), np.zeros(21, np.float32))]
    return NetworkPolicy("net", Network.pack(layers, activation="relu"))


def test_what_a_planted_signal_earns_is_lost_by_both_controls() -> None:
    report = judged(TakeImbalance(0.5, 50))
    assert [(one.name, one.role) for one in report.policies] == [
        ("take-imbalance", "judged"),
        ("take-imbalance, other market's observations", "control"),
        ("take-imbalance, sign flipped", "control"),
    ]
    own, other, flipped = edges(report)
    assert own > 0 > other > flipped
    assert flipped < -own
    assert all(one.figures.counts.orders_sent > 50 for one in report.policies)


@pytest.mark.parametrize(
    "policy", [TakeImbalance(0.3, 50), Momentum(window_s=10.0), network()], ids=lambda one: one.name
)
def test_on_null_nobody_wins(policy: Policy) -> None:
    found = edges(judged(policy, "null"))
    assert len(found) == 3 and max(found) < 0


def test_a_policy_that_quotes_is_not_flipped_and_one_that_holds_gets_no_controls() -> None:
    quoting = judged(JoinBest())
    assert [bool(one.not_measurable) for one in quoting.policies] == [False, False, True]
    assert "no order" in quoting.policies[2].not_measurable
    assert len(judged(Hold()).policies) == 1
    assert len(judged(TakeImbalance(), controls=False).policies) == 1


def test_a_space_without_mirrored_orders_is_not_flipped() -> None:
    report = judged(Random(), env=msgspec.structs.replace(ENV, action_space="priced7"))
    assert report.policies[2].not_measurable == "priced7 has orders without a mirror image"


def test_one_market_has_no_other_one_to_look_at() -> None:
    pack, _ = small_session("planted", markets=20, hours=0.1)
    alone = Markets(np.array([3], np.int32), np.full(1, -1))
    assert judged(TakeImbalance(0.3, 50), markets=alone).policies[1].not_measurable.startswith("one market")
    assert judged(TakeImbalance(0.3, 50), shard_markets=1).policies[1].not_measurable.startswith("one market")
    assert len(pack.tickers) == 20


def test_one_row_at_a_time_is_two_for_a_control_that_needs_another() -> None:
    own, other, _ = judged(TakeImbalance(0.5, 50), rows=1).policies
    assert other.figures.counts.orders_sent > own.figures.counts.orders_sent / 4


class Spy:
    """Buys where it sees a number above zero, and remembers what it was shown."""

    name = "spy"
    needs = "actions"

    def __init__(self) -> None:
        self.shown: list[PolicyState] = []

    def reset(self, views: NDArray[np.uint64], seed: int) -> None:
        del views, seed

    def act(self, state: PolicyState) -> NDArray[np.int64]:
        self.shown.append(state)
        return np.argmax(state.mask, axis=1)


def other_of(state: PolicyState, events: list[int]) -> PolicyState:
    """What a policy is shown by the control, when the rows' markets belong to `events`."""
    spy = Spy()
    playing = state.market[state.market != 0]
    OtherMarket(spy, playing, np.array(events, np.int32)).act(state)  # type: ignore[arg-type]
    return spy.shown[0]


def test_each_row_is_shown_another_market_of_another_event_where_there_is_one() -> None:
    state = make_state(1, rows=6)
    state.market[:] = [11, 12, 13, 14, 15, 16]
    shown = other_of(state, [1, 1, 2, 2, 1, 1])
    assert shown.market.tolist() == [13, 13, 15, 15, 13, 13]
    assert (shown.observation[0] == state.observation[2]).all()
    assert (shown.rows["best_bid"] == state.rows["best_bid"][[2, 2, 4, 4, 2, 2]]).all()
    assert other_of(state, [1] * 6).market.tolist() == [12, 13, 14, 15, 16, 11]


def test_mask_account_and_orders_stay_those_of_the_own_market() -> None:
    state = make_state(2, rows=4)
    state.market[:] = [1, 2, 3, 4]
    shown = other_of(state, [1, 2, 3, 4])
    assert (shown.mask == state.mask).all()
    assert (shown.rows["account"] == state.rows["account"]).all()
    assert (shown.rows["orders"] == state.rows["orders"]).all()


def test_a_row_that_plays_nothing_is_never_looked_at_and_the_last_one_holds() -> None:
    state = make_state(3, rows=4)
    state.market[:] = [1, 0, 3, 0]
    assert other_of(state, [1, 2]).market[[0, 2]].tolist() == [3, 1]
    state.market[:] = [1, 0, 0, 0]
    alone = OtherMarket(Random(), np.array([1], np.uint64), np.array([1], np.int32))
    assert alone.act(state).tolist() == [0] * 4


def test_the_other_market_decides_what_a_network_does() -> None:
    """With every action legal, a row's answer is what its partner's observation asks for."""
    state, policy = make_state(4, rows=8), network()
    state.mask[:], state.market[:] = True, np.arange(1, 9)
    own = policy.act(state)
    found = OtherMarket(policy, state.market, np.arange(8, dtype=np.int32)).act(state)
    assert (found == np.roll(own, -1)).all() and (found != own).any()


@pytest.mark.parametrize("space", ["sized21", "sized21-join", "intent5", "sized21-small"])
def test_a_mirror_image_is_the_same_order_on_the_other_outcome(space: str) -> None:
    table, mirror = action_space(space).table, mirrored_ids(space)
    assert (mirror[mirror] == np.arange(len(table))).all()
    assert mirror[0] == 0 and (mirror[1:] != np.arange(1, len(table))).all()
    assert (table["size"][mirror] == table["size"]).all() and (table["pricing"][mirror] == table["pricing"]).all()


@pytest.mark.parametrize("space", ACTION_SPACES)
@pytest.mark.parametrize("policy", [Random(), TakeImbalance(0.0, 100), Momentum(window_s=0.5, threshold=0.5)])
def test_controls_keep_the_policy_contract(space: str, policy: Policy) -> None:
    states = make_states(3, space=space)
    check_policy(OtherMarket(policy, np.unique(states[0].market), np.arange(8, dtype=np.int32)), states)
    if (mirrored_ids(space) >= 0).all():
        check_policy(SignFlipped(policy, space), states)


def test_controls_keep_the_contract_in_the_real_environment() -> None:
    pack, _ = small_session()
    states = record_states(pack, ENV, steps=40)
    keys = np.unique(states[0].market)
    check_policy(OtherMarket(JoinBest(), keys, np.arange(len(keys), dtype=np.int32)), states)
    check_policy(SignFlipped(TakeImbalance(0.2, 50), "sized21"), states)
