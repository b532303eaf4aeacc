"""Stress changes one thing at a time, and fees to the micro."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from kalshi_ray.core.tape import UPDATE, Kind
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import UsageError
from kalshi_ray.evaluate.contest import Contestant, every_market
from kalshi_ray.evaluate.ledger import reconcile
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import EvaluationSettings
from kalshi_ray.evaluate.stress import SCENARIOS, Scenario, stress, with_fees
from kalshi_ray.policy.baselines import Hold, JoinBest, TakeImbalance
from tests.evaluate.sessions import small_session

ENV = EnvSettings(position_limit=50)
SETTINGS = EvaluationSettings(resamples=20, curve_points=20, controls=False)


def judged(factor: float) -> Evaluation:
    """Taking, under fees times `factor`."""
    pack, _ = small_session()
    pack = with_fees(pack, factor)
    return evaluate([Contestant(TakeImbalance())], pack, every_market(pack), env_settings=ENV, settings=SETTINGS)


def test_fees_are_multiplied_to_the_micro_on_the_same_fills() -> None:
    one, two = judged(1.0).ledgers[0], judged(2.0).ledgers[0]
    same = ["venue_ns", "side", "price", "size"]
    assert len(one.fills) > 10 and (one.fills[same] == two.fills[same]).all()
    # Both are rounded up to the member's $0.0001, and what was rounded comes back over the fills of an order.
    assert np.abs(two.fills["fee"] - 2 * one.fills["fee"]).max() <= 200
    exact = np.array([_fee(int(size), int(price), 140_000) for size, price in two.fills[["size", "price"]].tolist()])
    assert (np.abs(two.fills["fee"] - exact) <= 100).all() and (two.fills["fee"] >= exact - 100).all()
    reconcile(two)
    assert one.pnl.sum() - two.pnl.sum() == two.fills["fee"].sum() - one.fills["fee"].sum()


def _fee(size: int, price: int, ppm: int) -> int:
    """Rounded up to the micro, as the exchange says it."""
    return -(-size * price * (10_000 - price) * ppm // (10_000 * 1_000_000))


def test_a_factor_of_one_changes_nothing_and_no_fee_is_free() -> None:
    pack, _ = small_session()
    assert (with_fees(pack, 1.0).views == pack.views).all()
    assert judged(0.0).ledgers[0].fills["fee"].sum() == 0
    with pytest.raises(UsageError, match="fees times -1"):
        with_fees(pack, -1)


def test_fees_that_change_on_the_tape_are_multiplied_once_and_nothing_else_is() -> None:
    pack, _ = small_session()
    rows = np.zeros(3, UPDATE)
    rows["kind"], rows["size"] = [Kind.FEE, Kind.SCHEDULE, Kind.FEE], [1, 0, 1]
    made = replace(pack, updates=np.concatenate([rows, pack.updates]), values=np.array([777, 70_000, 17_500, 5]))
    assert with_fees(made, 1.5).values.tolist() == [777, 105_000, 26_250, 5]
    assert (with_fees(made, 1.5).keyframes["taker_ppm"] == 1.5 * pack.keyframes["taker_ppm"]).all()
    assert with_fees(made, 1.5).updates is made.updates


def test_every_scenario_changes_one_thing() -> None:
    plain = msgspec.to_builtins(ENV)
    for one in SCENARIOS:
        changed = {name for name, value in msgspec.to_builtins(one.environment(ENV)).items() if value != plain[name]}
        families = {name.partition("_")[0] for name in changed}
        assert families in (set(), {"bankroll"}, {"position"}, {"feed", "entry", "response"})
        assert (not changed) == (one.fees != 1.0)
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)


def test_judged_policies_alone_are_stressed_and_the_change_is_against_the_same_fill_model() -> None:
    pack, truth = small_session()
    entered = [Contestant(TakeImbalance()), Contestant(JoinBest()), Contestant(Hold(), "baseline")]
    found = evaluate(entered, pack, every_market(pack), env_settings=ENV, settings=SETTINGS, truth=truth).report
    scenarios = (
        Scenario("same"),
        Scenario("small", limit=0.25),
        Scenario("dear", fees=2.0),
        Scenario("far", latency=5),
    )
    report = stress(
        found, entered, pack, every_market(pack), env=ENV, settings=SETTINGS, truth=truth, scenarios=scenarios
    )
    taking, joining, hold = report.policies
    assert hold.stress == ()
    for one in (taking, joining):
        assert [at.scenario for at in one.stress] == ["same", "small", "dear", "far"]
        assert one.stress[0].change == 0.0 and {at.fill_model for at in one.stress} == {"pessimistic"}
        base = next(at for at in one.by_model if at.fill_model == "pessimistic")
        assert all(at.net - at.change == pytest.approx(base.money.net) for at in one.stress)
    assert taking.stress[1].contracts < taking.figures.counts.contracts
    assert taking.stress[2].fees == pytest.approx(2 * taking.figures.money.fees, rel=0.01)
