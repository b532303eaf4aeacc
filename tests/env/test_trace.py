"""A trace shows what the kernel did, in figures that can be added up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_ray.core.tape import ViewPack
from kalshi_ray.env.settings import EnvSettings
from kalshi_ray.env.trace import TraceStep, clock, trace_lines, trace_market
from kalshi_ray.errors import NothingToDo, UnknownName, UsageError
from kalshi_ray.policy.baselines import JoinBest, Random
from tests.env.play import NO_BUDGET, Play
from tests.env.random_tapes import random_tape
from tests.tapes import Rows, book, change, gap, pack_of, settle, taken, trade

QUIET = book(0, {45: 100}, {48: 100})
TICKS: Rows = [one for step in range(1, 20) for one in change(step * 0.3, "bid", 30, 1)]


def settings(**rules: object) -> EnvSettings:
    return EnvSettings(**(NO_BUDGET | {"start": "whole"} | rules))  # type: ignore[arg-type]


def traced(pack: ViewPack, actions: list[int], **rules: object) -> list[TraceStep]:
    return list(trace_market(pack, "M0", actions, settings(**rules)))


def test_a_taken_and_sold_position_can_be_followed_by_hand() -> None:
    """10 bought at 48 and sold at 45: the fees are .07 x 10 x P (1 - P), rounded up to a hundredth of a cent."""
    buy, sell, hold = 2, 7, 0
    pack = pack_of(QUIET, TICKS, settle(9, 100))
    steps = traced(pack, [buy, hold, hold, sell, *[hold] * 40])
    first = steps[0]
    assert (first.meaning, first.sent[0].kind, first.sent[0].cents, first.sent[0].terms) == (
        "BUY_YES 10 take", "create", 48, "IOC",
    )  # fmt: skip
    assert [(level.cents, level.contracts) for level in first.bids + first.asks] == [(45, 100), (48, 100)]
    assert first.cash_dollars == first.equity_dollars == 100
    [bought] = first.fills
    fee = 0.07 * 10 * 0.48 * 0.52
    assert (bought.cents, bought.contracts, bought.maker, bought.position) == (48, 10, False, 10)
    assert fee <= bought.fee_dollars < fee + 0.0001
    assert bought.cash_dollars == pytest.approx(100 - 4.80 - bought.fee_dollars, abs=1e-9)
    second = steps[1]
    assert second.position == 10
    assert second.asks[0].contracts == 90
    assert second.equity_dollars == pytest.approx(second.cash_dollars + 10 * 0.45, abs=1e-9)
    assert first.reward == pytest.approx(second.equity_dollars - 100, abs=1e-6)
    assert steps[3].meaning == "SELL_YES 10 take"
    assert steps[3].sent[0].terms == "IOC reduce-only"
    assert steps[4].position == 0
    assert steps[-1].ended == "settled"


def test_a_resting_order_shows_its_queue_as_believed_and_as_the_exchange_has_it() -> None:
    """100 ahead; a print of 70 that has happened but is not received yet: the exchange knows 30, we believe 100."""
    pack = pack_of(QUIET, taken(1.3, "sells", 45, 70, late=400), change(1.28, "bid", 30, 1), TICKS)
    steps = traced(pack, [2, *[0] * 30], action_space="sized21-join")
    assert steps[0].sent[0].terms.startswith("post-only until 2026-01-05")
    known = [(step.orders[0].ahead, step.orders[0].ahead_at_exchange) for step in steps if step.orders]
    assert known[0] == (100, 100)
    assert (100, 30) in known
    assert known[-1] == (30, 30)
    assert [p.contracts for step in steps for p in step.prints] == [70]


def test_amending_and_cancelling_are_shown() -> None:
    pack = pack_of(QUIET, TICKS)
    join = traced(pack, [2, 0, 1, 0, 0], action_space="sized21-join")
    assert [(s.kind, s.contracts) for step in join for s in step.sent] == [("create", 10), ("amend", 5)]
    both = traced(pack, [2, 0, 1, 0, 0], action_space="generic[10;take,join]")
    assert [(s.kind, s.cents) for step in both for s in step.sent] == [("create", 45), ("cancel", None)]


def test_a_refused_action_is_said_to_be_refused() -> None:
    steps = traced(pack_of(QUIET, TICKS), [6, 0])
    assert [step.refused for step in steps] == [True, False]
    assert "refused" in "\n".join(trace_lines(steps[0]))
    assert 6 not in steps[0].legal


@pytest.mark.parametrize("seed", range(6))
def test_a_trace_is_the_episode_that_the_environment_plays(seed: int) -> None:
    pack = pack_of(random_tape(seed, result=100))
    rules = {"action_space": ["sized21", "sized21-join"][seed % 2], "latency_spread": 0.3}
    steps = list(trace_market(pack, "M0", Random(trade_probability=0.5), settings(**rules), seed=seed))
    play = Play(pack, seed=seed, **rules)
    for step in steps:
        assert step.at == clock(int(play.trader["now_ns"]))
        assert (step.cash_dollars, step.position) == (play.cash / 1e6, play.position)
        assert step.equity_dollars == int(play.trader["equity"]) / 1e6
        assert step.legal == np.flatnonzero(play.mask).tolist()
        assert step.action is not None
        play.step(step.action)
        assert step.reward == play.rewards[-1]
    assert play.over == steps[-1].ended == "settled"
    assert len(play.fills) == sum(len(step.fills) for step in steps) > 0


def test_a_quoting_policy_is_traced_by_what_it_wants() -> None:
    pack = pack_of(QUIET, TICKS, trade(5.5, "sells", 45, 150), change(8, "bid", 30, 1))
    steps = list(trace_market(pack, "M0", JoinBest(), settings()))
    assert steps[0].action is None
    assert steps[0].meaning.startswith("wants bid")
    assert {s.side for s in steps[0].sent} == {"bid", "ask"}
    assert any(fill.maker for step in steps for fill in step.fills)


def test_the_lines_spell_out_the_sum_of_equity() -> None:
    pack = pack_of(QUIET, TICKS, settle(9, 100))
    texts = ["\n".join(trace_lines(step)) for step in traced(pack, [2, 0, 0, 0, *[0] * 30])]
    assert "bids      100 at 45¢" in texts[0]
    assert "sends     create bid order 1: 10 at 48¢, IOC" in texts[0]
    assert "decides   BUY_YES 10 take (id 2)" in texts[0]
    assert "fill      order 1 bought YES 10 at 48¢ as taker at" in texts[0]
    assert "+10 YES at 45¢ = 99.52" in texts[1]
    assert "settled" in texts[-1]
    short = ["\n".join(trace_lines(step)) for step in traced(pack, [12, 0, 0, 0])]
    assert "10 NO at 52¢" in short[1]


def test_a_trace_can_begin_anywhere_and_stop_after_some_steps() -> None:
    pack = pack_of(random_tape(3))
    whole = list(trace_market(pack, "M0", [0] * 1_000, settings()))
    part = list(trace_market(pack, "M0", [0] * 1_000, settings(), start=60, steps=4))
    assert len(part) == 4
    assert part[0].at > whole[0].at
    assert len(list(trace_market(pack, "M0", [0, 0], settings()))) == 2


def test_what_cannot_be_traced_is_refused() -> None:
    pack = pack_of(random_tape(3, moments=20))
    with pytest.raises(UnknownName, match="M0"):
        next(trace_market(pack, "M7", [0], settings()))
    with pytest.raises(UsageError, match="is not an update of M0"):
        next(trace_market(pack, "M0", [0], settings(), start=10**6))
    with pytest.raises(NothingToDo, match="decision"):
        next(trace_market(pack_of(gap(0), change(1, "bid", 4, 1)), "M0", [0], settings()))
