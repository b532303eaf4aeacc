"""Capital in use, drawdown, daily P&L and Sharpe of the account above the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.evaluate.account import DAY, capital_path, daily_pnl, drawdown, peak_capital, sharpe
from kalshi_ray.evaluate.ledger import parts_of
from tests.evaluate.standin import fill, ledger, random_ledger
from tests.examples import some_of

CURVES = st.lists(st.integers(-1000, 1000), max_size=40).map(lambda values: np.array(values, np.int64))


@settings(max_examples=some_of(60))
@given(CURVES)
def test_drawdown_is_the_largest_fall_from_any_earlier_point(curve: np.ndarray) -> None:
    path = [0, *curve.tolist()]
    assert drawdown(curve) == max(path[i] - path[j] for i in range(len(path)) for j in range(i, len(path)))


@settings(max_examples=some_of(60))
@given(st.integers(0, 10_000))
def test_capital_is_never_negative_and_ends_at_zero(seed: int) -> None:
    book = random_ledger(seed)
    times, path = capital_path(parts_of(book), book.end_ns)
    assert (path >= 0).all() and path[-1] == 0
    assert (np.diff(times) >= 0).all()


def test_two_positions_at_once_need_the_sum_and_one_after_the_other_the_larger() -> None:
    together = ledger(2, [fill(0, 1, +1, 4_000, 100), fill(1, 2, -1, 4_000, 100)])
    assert peak_capital(parts_of(together), together.end_ns) == 400_000 + 600_000
    in_turn = ledger(
        2, [fill(0, 1, +1, 4_000, 100), fill(0, 2, -1, 4_000, 100), fill(1, 3, -1, 4_000, 100)], end_price=4_000
    )
    assert peak_capital(parts_of(in_turn), in_turn.end_ns) == 600_000


def test_daily_pnl_sums_to_the_net_and_splits_at_midnight() -> None:
    book = ledger(1, [fill(0, 1, +1, 4_000, 100)], end_price=4_500)
    times = np.array([10, DAY - 1, DAY, 2 * DAY + 5])
    book = replace(book, curve_ns=times, curve=np.array([1, 20_000, 30_000, 50_000]))
    assert daily_pnl(book).tolist() == [20_000, 10_000, 20_000]


def test_sharpe_needs_thirty_days_and_movement() -> None:
    days = np.tile([100, 300], 15).astype(np.int64)
    assert sharpe(days, 29) is None
    assert sharpe(np.full(30, 5, np.int64), 30) is None
    assert np.isclose(sharpe(days, 30), 200 / days.std(ddof=1) * np.sqrt(365))
