"""Evaluation plays whole views at full cost, and gives the same bytes however the work is divided."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.errors import NothingToDo
from kalshi_ray.evaluate.contest import Contestant, Markets, every_market
from kalshi_ray.evaluate.ledger import Ledger, parts_of, reconcile, trades_of
from kalshi_ray.evaluate.rehearsal import record_states
from kalshi_ray.evaluate.run import Evaluation, evaluate
from kalshi_ray.evaluate.settings import BAND, EvaluationSettings
from kalshi_ray.policy.baselines import Hold, JoinBest, Random, TakeImbalance
from kalshi_ray.policy.protocol import check_policy
from kalshi_ray.policy.quoting import InventoryAware
from kalshi_ray.policy.trends import LongshotFade, MeanReversion, Momentum
from tests.evaluate.sessions import small_session

ENV = EnvSettings(position_limit=50)
SMALL = EvaluationSettings(shard_markets=4, rows=3, resamples=50, curve_points=100)
EVERYONE = (
    Contestant(TakeImbalance(0.3, 50)),
    Contestant(Hold(), "baseline"),
    Contestant(Random(), "baseline"),
    Contestant(JoinBest(), "baseline"),
    Contestant(InventoryAware(), "baseline"),
    Contestant(Momentum(window_s=10.0), "baseline"),
    Contestant(MeanReversion(window_s=10.0, hold_s=20.0), "baseline"),
    Contestant(LongshotFade(45.0), "baseline"),
)


def run(
    *contestants: Contestant, pack: ViewPack | None = None, markets: Markets | None = None, **changes: object
) -> Evaluation:
    made, truth = small_session()
    pack = pack or made
    settings = msgspec.structs.replace(SMALL, **changes)
    return evaluate(
        contestants or EVERYONE, pack, markets or every_market(pack), env_settings=ENV, settings=settings, truth=truth
    )


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    return run()


def same(one: Ledger, two: Ledger) -> bool:
    """Whether two ledgers say the same; rows of the environment are no part of what happened."""
    names = [name for name in one.fills.dtype.names if name not in ("row", "episode")]
    kept = [name for name in one.episodes.dtype.names if name != "row"]
    return (
        one.tickers == two.tickers
        and all((one.fills[name] == two.fills[name]).all() for name in names)
        and all((one.episodes[name] == two.episodes[name]).all() for name in kept)
        and (one.curve == two.curve).all()
        and (one.actions == two.actions).all()
        and (one.twice_mids == two.twice_mids).all()
    )


def test_every_market_is_played_once_and_to_its_end(judged: Evaluation) -> None:
    pack, _ = small_session()
    for ledger in judged.ledgers:
        assert ledger.tickers == pack.tickers
        assert (ledger.episodes["view_index"] == np.arange(len(pack.tickers))).all()
        assert (ledger.episodes["ended_ns"] == pack.updates["recv_ns"][pack.views["stop"] - 1]).all()
        assert ledger.settled.all()


def test_fills_explain_equity_to_the_micro_under_every_fill_model(judged: Evaluation) -> None:
    for ledger in judged.ledgers:
        reconcile(ledger)
        trades = trades_of(ledger, parts_of(ledger))
        assert trades["pnl"].sum() == ledger.pnl.sum()
    assert {ledger.fill_model for ledger in judged.ledgers if ledger.policy == "join-best"} == set(BAND)
    assert {ledger.fill_model for ledger in judged.ledgers if ledger.policy == "take-imbalance"} == {"pessimistic"}
    assert len(judged.report.policies) == len(EVERYONE) + 2  # controls of the judged one


def test_the_curve_starts_at_zero_and_ends_at_the_net(judged: Evaluation) -> None:
    for ledger in judged.ledgers:
        assert ledger.curve[0] == 0 and ledger.curve[-1] == ledger.pnl.sum()


def test_taking_the_planted_signal_beats_random_and_holding(judged: Evaluation) -> None:
    taking, hold, random, *_ = judged.report.policies
    assert taking.figures.edge.per_market.mean > 0 > random.figures.edge.per_market.mean
    assert hold.figures.money.net == 0.0 and hold.figures.rates.hold_share == 1.0


@pytest.mark.parametrize("changes", [{"rows": 1}, {"shard_markets": 3, "rows": 2}, {"shard_markets": 64, "rows": 64}])
def test_rows_and_shards_change_nothing(judged: Evaluation, changes: dict[str, int]) -> None:
    """The policies key their draws by market, and latency is constant: how rows are batched cannot matter."""
    again = run(**changes)
    of_itself = [two for two in again.ledgers if "observations" not in two.policy]  # that control looks at the batch
    own = [one for one in judged.ledgers if "observations" not in one.policy]
    assert len(own) == len(judged.ledgers) - 1
    assert all(same(one, two) for one, two in zip(own, of_itself, strict=True))


@pytest.mark.ray
def test_parallel_evaluation_gives_the_bytes_of_the_serial_one(judged: Evaluation) -> None:
    parallel = run(workers=2)
    assert all(same(one, two) for one, two in zip(judged.ledgers, parallel.ledgers, strict=True))
    assert msgspec.structs.replace(parallel.report, settings=SMALL) == judged.report


def test_a_later_start_is_obeyed_and_nothing_happens_before_it() -> None:
    pack, _ = small_session()
    markets = every_market(pack)
    starts = (pack.views["start"] + pack.views["stop"]) // 2
    ledger = run(EVERYONE[2], markets=replace(markets, starts=starts)).ledgers[0]
    begin = pack.updates["recv_ns"][starts]
    assert (ledger.episodes["started_ns"] >= begin).all()
    assert (ledger.fills["decision_ns"] >= begin[ledger.fill_market]).all()
    assert len(ledger.fills)


def test_a_market_that_has_no_decision_after_its_start_is_not_judged() -> None:
    pack, _ = small_session()
    starts = pack.views["start"].copy()
    starts[2] = pack.views["stop"][2] - 1
    ledger = run(EVERYONE[0], markets=replace(every_market(pack), starts=starts)).ledgers[0]
    assert ledger.tickers == pack.tickers[:2] + pack.tickers[3:]
    assert (np.diff(ledger.fill_market) >= 0).all() and ledger.fill_market.max() < len(ledger.tickers)
    reconcile(ledger)


def test_markets_without_a_decision_point_are_left_out_and_none_is_an_error() -> None:
    pack, _ = small_session()
    views = pack.views.copy()
    views["steps"][1:] = 0
    assert run(EVERYONE[1], pack=replace(pack, views=views)).report.data.dropped_markets == len(views) - 1
    views = np.zeros_like(views)
    with pytest.raises(NothingToDo, match="decision point"):
        run(EVERYONE[1], pack=replace(pack, views=views))


def test_best_quote_data_does_not_judge_makers_and_opens_no_gate() -> None:
    pack, _ = small_session()
    found = {policy.name: policy for policy in run(pack=replace(pack, depth="best")).report.policies}
    taking = found["take-imbalance"]
    for name in ("join-best", "inventory-aware"):
        assert found[name].not_measurable.startswith("depth: best") and found[name].by_model == ()
    assert "depth: best" in taking.gates[0].reasons[0]


@pytest.mark.parametrize("space", ["sized21", "sized21-join"])
@pytest.mark.parametrize("contestant", EVERYONE, ids=lambda one: one.policy.name)
def test_every_baseline_keeps_its_contract_in_the_real_environment(contestant: Contestant, space: str) -> None:
    pack, _ = small_session()
    settings = msgspec.structs.replace(ENV, action_space=space)
    check_policy(contestant.policy, record_states(pack, settings, steps=40))


@pytest.mark.parametrize("contestant", EVERYONE[4:], ids=lambda one: one.policy.name)
def test_a_baseline_does_not_look_ahead(contestant: Contestant) -> None:
    """What comes after a decision cannot move it: shorter tapes give the first fills of longer ones."""
    pack, _ = small_session()
    views = pack.views.copy()
    views["stop"] -= (views["stop"] - views["start"]) // 3
    whole = run(contestant, pack=pack, controls=False).ledgers[0]
    cut = run(contestant, pack=replace(pack, views=views), controls=False).ledgers[0]
    ends = pack.updates["recv_ns"][views["stop"] - 1]
    before, shorter = (one.fills[one.fills["venue_ns"] < ends[one.fill_market] - 10**9] for one in (whole, cut))
    assert len(before) and (before["decision_ns"] == shorter["decision_ns"]).all()
    assert (before["price"] == shorter["price"]).all() and (before["size"] == shorter["size"]).all()


def test_the_refused_count_of_a_lawful_policy_is_zero(judged: Evaluation) -> None:
    for policy in judged.report.policies:
        if policy.decides.startswith("actions"):
            assert policy.figures.counts.refused == 0
