"""Gates open on enough good evidence alone, and say why they stay closed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kalshi_ray.evaluate.gates import Control, Evidence, Gate, judge, keeps_edge, pessimistic
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.metrics import Figures, measure
from kalshi_ray.evaluate.settings import EvaluationSettings
from tests.evaluate.standin import fill, ledger

FULL = Evidence(depth="full", band_complete=True)
SETTINGS = EvaluationSettings(resamples=200)


def good(markets: int = 25, **changes: dict[str, Any]) -> Figures:
    """Every market bought at 40¢ and settled at a dollar, with a Sharpe ratio; then fields replaced by group."""
    fills = [fill(market, 1, +1, 4_000, 100 + market) for market in range(markets)]
    found = measure(ledger(markets, fills, end_price=10_000, settled=True), SETTINGS)
    changes = {"capital": {"sharpe": 2.0}, **changes}
    for group, fields in changes.items():
        found = msgspec.structs.replace(found, **{group: msgspec.structs.replace(getattr(found, group), **fields)})
    return found


def control(mean: float, low: float | None = None) -> Control:
    return Control(name="sign-flipped", gross_per_market=Interval(mean=mean, low=low, high=None, events=25))


LOSING = (control(-1.0, -2.0),)


def verdicts(
    figures: Figures,
    evidence: Evidence = FULL,
    baselines: dict[str, float] | None = None,
    controls: tuple[Control, ...] = LOSING,
) -> tuple[Gate, Gate]:
    return judge([figures], {"hold": 0.0} if baselines is None else baselines, evidence, controls)


def test_good_figures_on_good_data_open_both_gates() -> None:
    assert [gate.is_open for gate in verdicts(good())] == [True, True]


@pytest.mark.parametrize(
    ("figures", "evidence", "reason"),
    [
        (good(), Evidence(depth="best", band_complete=True), "best-quote data alone opens no gate"),
        (good(), Evidence(depth="full", band_complete=False), "all three fill models are needed"),
        (good(), Evidence(depth="full", band_complete=True, trained_on=2), "2 of the judged events were trained on"),
        (good(19), FULL, "weak: t interval over 19 events"),
        (good(9), FULL, "9 events: no interval"),
        (good(counts={"trades": 0}), FULL, "no trade"),
        (good(capital={"return_on_peak": -0.01}), FULL, "return on peak capital is -1 %, expected above 0 %"),
        (good(capital={"return_on_peak": None}), FULL, "return on peak capital: not computable"),
        (good(capital={"drawdown_on_peak": 0.2}), FULL, "drawdown on peak capital is 20 %, expected below 20 %"),
        (good(rates={"win_rate": 0.45}), FULL, "win rate per trade is 45 %, expected above 45 %"),
        (good(net_per_market={"low": -0.01}), FULL, "interval of net a market is -\\$0.01, expected above \\$0.00"),
    ],
)
def test_the_viable_gate_says_why_it_is_closed(figures: Figures, evidence: Evidence, reason: str) -> None:
    viable, production = verdicts(figures, evidence)
    assert not viable.is_open and not production.is_open
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError("; ".join(viable.reasons))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"capital": {"sharpe": 1.0}}, "Sharpe is 1, expected above 1"),
        ({"capital": {"sharpe": None, "sharpe_remark": "not computable: why"}}, "Sharpe: not computable: why"),
        ({"rates": {"win_rate": 0.52}}, "expected above 52 %"),
        ({"capital": {"sharpe": 2.0, "drawdown_on_peak": 0.15}}, "expected below 15 %"),
        ({"rates": {"episode_win_rate": 0.69}}, "profitable share of markets traded is 69 %, expected at least 70 %"),
    ],
)
def test_the_production_gate_asks_for_more_than_the_viable_one(changes: dict[str, Any], reason: str) -> None:
    viable, production = verdicts(good(**changes))
    assert viable.is_open and [reason in said for said in production.reasons] == [True]


def test_a_policy_must_beat_every_baseline_and_there_must_be_one() -> None:
    figures = good()
    _, beaten = verdicts(figures, baselines={"hold": 0.0, "join-best": figures.money.net})
    _, alone = verdicts(figures, baselines={})
    assert "is not above join-best" in beaten.reasons[0]
    assert alone.reasons == ["no baseline ran"]


def test_a_control_that_keeps_the_edge_closes_production_alone() -> None:
    figures = good()
    own = figures.gross_per_market.mean
    viable, production = verdicts(figures, controls=(control(own), control(-own)))
    assert viable.is_open and "sign-flipped still earns to mid" in production.reasons[0]
    _, unasked = verdicts(figures, controls=())
    assert unasked.reasons == ["no negative control ran"]


@pytest.mark.parametrize(
    ("mean", "low", "own", "kept"),
    [(-1.0, -2.0, 10.0, False), (4.9, -1.0, 10.0, False), (5.0, -1.0, 10.0, True), (1.0, 0.1, 10.0, True)]
    + [(0.0, None, 10.0, False), (4.0, None, 10.0, False), (6.0, None, 10.0, True), (1.0, -3.0, -5.0, True)],
)
def test_an_edge_is_lost_below_half_of_it_unless_what_is_left_is_sure(
    mean: float, low: float | None, own: float, kept: bool
) -> None:
    assert keeps_edge(control(mean, low).gross_per_market, own) is kept


def test_the_pessimistic_edge_is_the_lowest_net_of_the_fill_models() -> None:
    low = good(money={"net": -1.0})
    low = msgspec.structs.replace(low, fill_model="optimistic")
    assert pessimistic([good(), low]).fill_model == "optimistic"
    assert judge([good(), low], {}, FULL)[0].fill_model == "optimistic"
