"""Figures are pure functions of a ledger, and say what their names promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import CONTRACT, MICROS_PER_DOLLAR, SECOND
from kalshi_ray.evaluate.account import DAY
from kalshi_ray.evaluate.ledger import Ledger, parts_of, trades_of
from kalshi_ray.evaluate.metrics import Figures, days_covered, is_trade, measure
from kalshi_ray.evaluate.settings import EvaluationSettings
from tests.evaluate.standin import BANKROLL, START, fill, ledger, random_ledger
from tests.examples import some_of

SETTINGS = EvaluationSettings(resamples=50)
SEEDS = st.integers(0, 10_000)


def figures(made: Ledger) -> Figures:
    return measure(made, SETTINGS)


def reorder(made: Ledger, order: list[int]) -> Ledger:
    """The same ledger with its markets in another order."""
    rank = np.argsort(order)
    owner = rank[made.fill_market].astype(np.int32)
    fills = np.argsort(owner, kind="stable")
    return replace(
        made,
        tickers=tuple(made.tickers[market] for market in order),
        events=made.events[order],
        episodes=made.episodes[order],
        fills=made.fills[fills],
        fill_market=owner[fills],
        twice_mids=made.twice_mids[fills],
    )


@settings(max_examples=some_of(40))
@given(SEEDS, st.permutations(range(5)), st.booleans())
def test_the_order_of_markets_changes_no_total(seed: int, order: list[int], settled: bool) -> None:
    made = random_ledger(seed, markets=5, count=60, settled=settled)
    one, two = figures(made), figures(reorder(made, order))
    assert (one.counts, one.money, one.capital) == (two.counts, two.money, two.capital)
    for name in one.rates.__struct_fields__:
        assert getattr(one.rates, name) == pytest.approx(getattr(two.rates, name))


@settings(max_examples=some_of(40))
@given(SEEDS)
def test_net_is_gross_less_spread_fees_and_closing(seed: int) -> None:
    money = figures(random_ledger(seed)).money
    assert money.net == pytest.approx(money.gross_to_mid - money.spread - money.fees - money.closing, abs=1e-9)
    assert money.marked == pytest.approx(money.settled + money.unsettled, abs=1e-9)


@settings(max_examples=some_of(40))
@given(SEEDS, st.booleans())
def test_shares_lie_between_zero_and_one(seed: int, settled: bool) -> None:
    rates = figures(random_ledger(seed, settled=settled)).rates
    names = ("win_rate", "payoff_break_even", "episode_win_rate", "fill_rate", "maker_share", "hold_share")
    values = [getattr(rates, name) for name in names]
    assert all(value is None or 0.0 <= value <= 1.0 for value in values)


@settings(max_examples=some_of(40))
@given(SEEDS)
def test_drawdown_is_never_negative_and_no_smaller_than_the_final_loss(seed: int) -> None:
    found = figures(random_ledger(seed))
    assert found.capital.drawdown_dollars >= max(0.0, -found.money.net)


def test_a_tie_loses_and_only_a_positive_net_wins() -> None:
    trips = [(5_000, 5_100), (5_000, 5_000), (5_000, 4_900)]
    fills = [
        fill(market, second, side, price, CONTRACT)
        for market, trip in enumerate(trips)
        for second, side, price in zip((1, 2), (+1, -1), trip, strict=True)
    ]
    rates = figures(ledger(3, fills)).rates
    assert (rates.win_rate, rates.episode_win_rate, rates.payoff_break_even) == (1 / 3, 1 / 3, pytest.approx(1 / 3))


def test_episodes_without_a_fill_do_not_count_for_the_episode_win_rate() -> None:
    made = ledger(4, [fill(1, 1, +1, 4_000, CONTRACT)], end_price=10_000, settled=True)
    found = figures(made)
    assert found.rates.episode_win_rate == 1.0
    assert (found.counts.markets, found.counts.markets_traded, found.counts.trades) == (4, 1, 1)


def test_break_even_rate_is_entry_price_and_fees_over_a_dollar() -> None:
    fills = [fill(0, 1, +1, 6_000, CONTRACT, fee=20_000), fill(1, 1, -1, 6_000, CONTRACT, fee=10_000)]
    rates = figures(ledger(2, fills, end_price=10_000, settled=True)).rates
    assert rates.break_even_rate == pytest.approx((0.62 + 0.41) / 2)


def test_without_a_trade_nothing_is_made_up() -> None:
    found = figures(ledger(3, []))
    assert found.counts.trades == 0
    assert (found.rates.win_rate, found.rates.fill_rate, found.rates.maker_share) == (None, None, None)
    assert (found.capital.return_on_peak, found.capital.drawdown_on_peak) == (None, None)
    assert found.money.net_cents is None


def test_an_open_position_is_no_trade_and_counts_as_closed_down_the_ladder() -> None:
    made = ledger(1, [fill(0, 1, +1, 4_000, CONTRACT)], end_price=5_000)
    made.episodes["ladder_value"] = 450_000
    found = figures(made)
    assert (found.counts.trades, found.counts.open_positions) == (0, 1)
    assert (found.money.marked, found.money.net, found.money.closing) == (0.1, 0.05, pytest.approx(0.05))


def test_at_an_unknown_book_both_the_last_mark_and_zero_are_said_and_zero_counts() -> None:
    made = ledger(1, [fill(0, 1, +1, 4_000, CONTRACT)], end_price=5_000)
    made.episodes["ladder_value"], made.episodes["book_known"] = 0, 0
    found = figures(made)
    assert (found.money.net, found.money.net_at_last_mark) == (-0.4, 0.1)
    assert found.counts.unknown_books == 1


def test_spread_is_paid_against_the_mid_just_before_the_fill() -> None:
    fills = [
        fill(0, 1, +1, 5_100, CONTRACT, twice_mid=10_000),  # takes: pays a cent
        fill(0, 2, -1, 5_200, CONTRACT, twice_mid=10_200, maker=1),  # makes: earns a cent
        fill(0, 3, +1, 5_000, CONTRACT),  # no mid: counts at its own price
    ]
    money = figures(ledger(1, fills)).money
    assert (money.spread, money.spread_cents) == (0.0, 0.0)
    assert figures(ledger(1, fills[:1])).money.spread_cents == 1.0


def test_capital_is_the_bankrolls_and_the_most_that_was_at_risk_at_once() -> None:
    made = ledger(2, [fill(0, 1, +1, 4_000, CONTRACT)], end_price=6_000, settled=True)
    capital = figures(made).capital
    assert capital.allocated_dollars == 2 * BANKROLL / MICROS_PER_DOLLAR
    assert (capital.peak_dollars, capital.return_on_peak) == (0.4, pytest.approx(0.5))
    assert capital.return_on_allocated == pytest.approx(0.2 / 200)
    assert capital.turnover == pytest.approx(0.4 / 200)


def test_sharpe_says_how_many_days_are_missing() -> None:
    capital = figures(random_ledger(1)).capital
    assert capital.sharpe is None and "30 days needed, 1 recorded" in capital.sharpe_remark


def test_sharpe_is_computed_from_thirty_days_on() -> None:
    made = random_ledger(1, seconds=29 * 86_400)
    midnight = START // DAY * DAY
    curve = np.random.default_rng(1).normal(0, 1e6, 30).cumsum().astype(np.int64)
    capital = figures(replace(made, curve_ns=midnight + np.arange(30) * DAY + SECOND, curve=curve)).capital
    assert capital.sharpe is not None and "sqrt(365)" in capital.sharpe_remark


def test_trades_are_those_that_ended() -> None:
    made = random_ledger(3, settled=False)
    trades = trades_of(made, parts_of(made))
    assert is_trade(trades).sum() == figures(made).counts.trades
    assert (~is_trade(trades)).sum() == figures(made).counts.open_positions


def test_days_are_counted_once_however_many_markets_run() -> None:
    start = np.array([0, 10, 5 * DAY])
    assert days_covered(start, start + np.array([DAY, 1, 1])) == 3
