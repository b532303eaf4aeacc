"""One counter per subscription, and what a jump of it means."""

from __future__ import annotations

import pytest

from kalshi_ray.wire.sequence import Order, SequenceTracker


@pytest.mark.parametrize(
    ("numbers", "orders"),
    [
        ([1, 2, 3], [Order.NEXT] * 3),
        ([1, 4, 5], [Order.NEXT, Order.GAP, Order.NEXT]),
        ([7, 8], [Order.GAP, Order.NEXT]),
        ([1, 2, 2, 1, 3], [Order.NEXT, Order.NEXT, Order.DUPLICATE, Order.DUPLICATE, Order.NEXT]),
        ([0, 1, 0, 2], [Order.UNNUMBERED, Order.NEXT, Order.UNNUMBERED, Order.NEXT]),
    ],
)
def test_each_number_is_judged_by_the_last(numbers: list[int], orders: list[Order]) -> None:
    tracker = SequenceTracker()
    assert [tracker.receive(1, number).order for number in numbers] == orders


def test_a_gap_says_how_many_frames_are_missing() -> None:
    tracker = SequenceTracker()
    tracker.receive(1, 6)
    verdict = tracker.receive(1, 1830)
    assert (verdict.expected, verdict.received, verdict.missing) == (7, 1830, 1823)
    assert tracker.receive(1, 1831).missing == 0


def test_subscriptions_count_apart() -> None:
    tracker = SequenceTracker()
    assert {tracker.receive(sid, 1).order for sid in (1, 2, 3)} == {Order.NEXT}


def test_number_one_of_a_book_again_is_another_connection() -> None:
    tracker = SequenceTracker()
    tracker.receive(1, 1)
    tracker.receive(1, 2)
    assert tracker.receive(1, 1, opens_book=True).order is Order.RESTART
    assert tracker.receive(1, 2).order is Order.NEXT


def test_forgotten_counters_begin_again() -> None:
    tracker = SequenceTracker()
    for sid in (1, 2):
        tracker.receive(sid, 5)
    tracker.forget(1)
    assert tracker.receive(1, 1).order is Order.NEXT
    assert tracker.receive(2, 6).order is Order.NEXT
    tracker.forget()
    assert tracker.receive(2, 1).order is Order.NEXT


def test_a_smaller_number_after_a_new_subscription_is_another_counter() -> None:
    tracker = SequenceTracker()
    tracker.accept(1, 100)
    tracker.resubscribed(1)
    assert tracker.receive(1, 3).order is Order.RESTART
    assert tracker.receive(1, 2).order is Order.DUPLICATE


def test_a_repeated_subscription_need_not_restart_the_counter() -> None:
    tracker = SequenceTracker()
    tracker.accept(1, 100)
    tracker.resubscribed(1)
    assert tracker.receive(1, 101).order is Order.NEXT
    assert tracker.receive(1, 100).order is Order.DUPLICATE


def test_a_known_gap_is_not_judged_again() -> None:
    tracker = SequenceTracker()
    tracker.accept(1, 100)
    assert tracker.receive(1, 101).order is Order.NEXT
    tracker.excuse(1)
    assert tracker.receive(1, 500).order is Order.NEXT
    assert tracker.receive(1, 502).order is Order.GAP
