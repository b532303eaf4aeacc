"""Fill edge joins fills with the true probability after all rows of their timestamp."""

from __future__ import annotations

import numpy as np
import pytest

from kalshi_ray.core.units import CONTRACT
from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.edge import edge_by_market, fill_edges, true_price, truth_from
from tests.evaluate.standin import START, fill, ledger

MARKETS = np.array([5, 6], np.int32)


def truth_at(*rows: tuple[int, int, float]):
    market, at, p = zip(*rows, strict=True)
    return truth_from(np.array(market, np.int32), START + np.array(at, np.int64), np.array(p))


def test_the_last_row_of_a_timestamp_counts() -> None:
    truth = truth_at((5, 0, 0.4), (5, 1000, 0.5), (5, 1000, 0.6), (5, 9000, 0.9))
    asked = START + np.array([0, 999, 1000, 8999, 9000])
    assert true_price(truth, 5, asked).tolist() == [4_000, 4_000, 6_000, 6_000, 9_000]


def test_times_are_compared_by_the_microsecond_as_the_tape_keeps_them() -> None:
    truth = truth_at((5, 0, 0.4), (5, 1999, 0.5))
    assert true_price(truth, 5, np.array([START + 1000])).tolist() == [5_000]


def test_edge_is_side_times_value_less_price_times_size_less_fee() -> None:
    book = ledger(2, [fill(0, 1, +1, 4_000, CONTRACT, fee=7), fill(1, 1, -1, 4_000, 3 * CONTRACT, fee=5)])
    edges = fill_edges(book, truth_at((5, 0, 0.45), (6, 0, 0.45)), MARKETS)
    assert np.allclose(edges, [500 * CONTRACT - 7, -3 * 500 * CONTRACT - 5])
    assert np.allclose(edge_by_market(book, edges), edges)


def test_a_market_without_fills_has_no_edge_but_counts() -> None:
    book = ledger(2, [fill(0, 1, +1, 4_000, CONTRACT)])
    edges = fill_edges(book, truth_at((5, 0, 0.4)), MARKETS)
    assert edge_by_market(book, edges).tolist() == [0.0, 0.0]


def test_a_fill_before_the_first_truth_is_an_error() -> None:
    book = ledger(1, [fill(0, 1, +1, 4_000, CONTRACT)])
    with pytest.raises(DataError, match="no row for market 5"):
        fill_edges(book, truth_at((5, 2_000_000_000, 0.4)), MARKETS[:1])
    with pytest.raises(DataError, match="no row for market 5"):
        fill_edges(book, truth_at((4, 0, 0.4)), MARKETS[:1])
