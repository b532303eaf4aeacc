"""Intervals by event: none under 10 events, weak under 20, bootstrapped from 20."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kalshi_ray.evaluate.intervals import by_event, standard_error

VALUES = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(0.3, 1.0, 60))


def test_under_ten_events_there_is_no_interval_but_what_would_be_needed() -> None:
    found = by_event(np.arange(9.0), np.arange(9, dtype=np.int32))
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.mean == 4.0 and found.is_weak
    assert "10 needed" in found.remark and found.events_needed is not None


@pytest.mark.parametrize(("events", "method", "weak"), [(10, "t", True), (19, "t", True), (20, "bootstrap", False)])
def test_method_and_weakness_follow_the_number_of_events(events: int, method: str, weak: bool) -> None:
    found = by_event(np.random.default_rng(1).normal(size=events), np.arange(events, dtype=np.int32))
    assert (found.method, found.is_weak) == (method, weak)


def test_the_t_interval_is_the_textbook_one_for_single_market_events() -> None:
    values = np.random.default_rng(2).normal(size=15)
    found = by_event(values, np.arange(15, dtype=np.int32))
    low, high = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    assert np.allclose([found.low, found.high], [low, high])


@settings(max_examples=20)
@given(VALUES)
def test_copies_of_a_market_within_its_event_add_no_certainty(values: np.ndarray) -> None:
    events = np.arange(len(values), dtype=np.int32)
    once, thrice = by_event(values, events), by_event(np.repeat(values, 3), np.repeat(events, 3))
    assert np.isclose(once.standard_error, thrice.standard_error)
    assert np.allclose([once.mean, once.low, once.high], [thrice.mean, thrice.low, thrice.high])


@settings(max_examples=20)
@given(VALUES, st.integers(0, 99))
def test_order_of_markets_changes_nothing_that_matters(values: np.ndarray, seed: int) -> None:
    events = np.arange(len(values), dtype=np.int32) // 2
    order = np.random.default_rng(seed).permutation(len(values))
    one, two = by_event(values, events), by_event(values[order], events[order])
    assert np.allclose([one.mean, one.low, one.high], [two.mean, two.low, two.high])


def test_the_same_seed_gives_the_same_bytes() -> None:
    values, events = np.random.default_rng(3).normal(size=50), np.arange(50, dtype=np.int32)
    assert by_event(values, events, seed=7) == by_event(values, events, seed=7)
    assert by_event(values, events, seed=7).low != by_event(values, events, seed=8).low


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    source, events = np.random.default_rng(4), np.arange(40, dtype=np.int32)
    found = [by_event(source.normal(size=40), events, resamples=400, seed=run) for run in range(300)]
    assert 0.90 < np.mean([one.low <= 0.0 <= one.high for one in found]) < 0.98


def test_detectable_edge_shows_in_four_of_five_samples() -> None:
    source, events = np.random.default_rng(5), np.arange(15, dtype=np.int32)
    detectable = np.mean([by_event(source.normal(size=15), events).detectable for _ in range(50)])
    found = [by_event(source.normal(detectable, 1.0, 15), events) for _ in range(400)]
    assert 0.75 < np.mean([one.low > 0 for one in found]) < 0.88


def test_the_largest_event_is_named_by_its_share() -> None:
    found = by_event(np.array([1.0, 1.0, -6.0]), np.array([0, 0, 1], np.int32))
    assert found.largest_event_share == 0.75


def test_no_market_gives_an_empty_interval() -> None:
    assert by_event(np.zeros(0), np.zeros(0, np.int32)).events == 0


def test_standard_error_needs_no_equal_events() -> None:
    assert standard_error(np.array([2.0, 4.0]), np.array([1.0, 2.0])) == 0.0
