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
from tests.evaluate.sessions import small_session

ENV = EnvSettings(position_limit=50)
SMALL = EvaluationSettings(shard_markets=4, rows=3, resamples=50, curve_points=100)
EVERYONE = (
    Contestant(TakeImbalance(0.3, 50)),
    Contestant(Hold(), "baseline"),
    Contestant(Random(), "baseline"),
    Contestant(JoinBest(), "baseline"),
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


def test_the_curve_starts_at_zero_and_ends_at_the_net(judged: Evaluation) -> None:
    for ledger in judged.ledgers:
        assert ledger.curve[0] == 0 and ledger.curve[-1] == ledger.pnl.sum()


def test_taking_the_planted_signal_beats_random_and_holding(judged: Evaluation) -> None:
    taking, hold, random, *_ = judged.report.policies
    assert taking.figures.edge.per_market.mean > 0 > random.figures.edge.per_market.mean
    assert hold.figures.money.net == 0.0 and hold.figures.rates.hold_share == 1.0


def test_random_trades_as_often_as_the_judged_policy(judged: Evaluation) -> None:
    taking, _, random, *_ = (policy.figures.counts for policy in judged.report.policies)
    assert 0.4 < random.orders_sent / taking.orders_sent < 1.6
    free = run(Contestant(Random()), match_random=False).report.policies[0].figures.counts
    assert free.orders_sent > 3 * taking.orders_sent


@pytest.mark.parametrize("changes", [{"rows": 1}, {"shard_markets": 3, "rows": 2}, {"shard_markets": 64, "rows": 64}])
def test_rows_and_shards_change_nothing(judged: Evaluation, changes: dict[str, int]) -> None:
    """The policies key their draws by market, and latency is constant: how rows are batched cannot matter."""
    again = run(**changes)
    assert all(same(one, two) for one, two in zip(judged.ledgers, again.ledgers, strict=True))


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
    taking, *_, joining = run(pack=replace(pack, depth="best")).report.policies
    assert joining.not_measurable.startswith("depth: best") and joining.by_model == ()
    assert "depth: best" in taking.gates[0].reasons[0]


@pytest.mark.parametrize("space", ["sized21", "sized21-join"])
@pytest.mark.parametrize("contestant", EVERYONE, ids=lambda one: one.policy.name)
def test_every_baseline_keeps_its_contract_in_the_real_environment(contestant: Contestant, space: str) -> None:
    pack, _ = small_session()
    settings = msgspec.structs.replace(ENV, action_space=space)
    check_policy(contestant.policy, record_states(pack, settings, steps=40))


def test_the_refused_count_of_a_lawful_policy_is_zero(judged: Evaluation) -> None:
    for policy in judged.report.policies:
        if policy.decides.startswith("actions"):
            assert policy.figures.counts.refused == 0
