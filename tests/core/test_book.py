"""The book of arrays does what a book of dictionaries does, whatever comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.book import (
    apply_to_book,
    book_dtype,
    book_size,
    change_level,
    clear_book,
    consume,
    copy_book,
    is_crossed,
    is_two_sided,
    load_book,
    next_level,
    shown,
)
from kalshi_ray.core.jit import as_rows, read_only
from kalshi_ray.core.tape import LEVEL, Kind
from tests.core.records import ASK, BID, load_prices, one, update_of
from tests.examples import some_of
from tests.reference.book import Book

LEVELS = 99
SEEDS = st.integers(0, 10**6)
WHATS = {"more": 0.4, "less": 0.3, "consume": 0.2, "snapshot": 0.06, "gap": 0.02, "level": 0.02}
Step = tuple[str, int, int, int]  # what, side, tick, lots


def random_steps(seed: int, count: int = 60) -> list[Step]:
    """From a known empty book: mostly changes, some of what we take, now and then a snapshot, a gap, damage.

    Few ticks and few sizes, so that levels empty and refill often.
    """
    chance, followed = np.random.default_rng(seed), Book(LEVELS)
    steps: list[Step] = []
    while len(steps) < count:
        side, tick = int(chance.integers(2)), int(chance.choice([0, 48, 49, 50, 51, 98]))
        lots = int(chance.choice([0, 5, 10, 10, 20]))
        what = str(chance.choice(list(WHATS), p=list(WHATS.values())))
        if what == "snapshot" or (not followed.known and chance.random() < 0.5):
            levels = [("level", int(chance.integers(2)), int(chance.integers(47, 53)), lots) for _ in range(4)]
            made = [*levels, ("end", 0, 0, 0)]
        elif what == "less":
            held = followed.recorded[side].get(tick, 0)
            made = [("delta", side, tick, -lots if chance.random() < 0.03 else -min(lots, held))]
        else:
            made = [({"more": "delta"}.get(what, what), side, tick, lots)]
        for step in made:
            apply_to_reference(followed, step)
        steps += made
    return steps


def apply_to_reference(reference: Book, step: Step) -> bool | int:
    name, side, tick, size = step
    if name == "end":
        return reference.snapshot_end()
    if name == "gap":
        return reference.gap()
    if name == "consume":
        # We take from a book that we know; a snapshot on its way has none to take from.
        return 0 if reference.in_snapshot else reference.consume(side, tick, size)
    return (reference.snapshot_level if name == "level" else reference.delta)(side, tick, size)


KINDS = {"level": Kind.SNAPSHOT_LEVEL, "end": Kind.SNAPSHOT_END, "delta": Kind.DELTA, "gap": Kind.GAP}


def empty_book(levels: int = LEVELS) -> Any:
    book = one(book_dtype(levels))
    load_prices(book, levels)
    clear_book(book)
    return book


def play(steps: list[Step], levels: int = LEVELS, *, compare: bool = True) -> tuple[Any, Book]:
    """The same steps on both books; they agree after each, or, where something else is asked, after the last."""
    book, reference = empty_book(levels), Book(levels)
    for step in steps:
        name, side, tick, size = step
        if name == "consume":
            taken = 0 if reference.in_snapshot else int(consume(book, side, tick, size))
            assert taken == apply_to_reference(reference, step)
        else:
            changed = apply_to_book(book, update_of(KINDS[name], side=side, tick=tick, size=size))
            assert bool(changed) == apply_to_reference(reference, step)
        if compare:
            check_same(book, reference)
    check_same(book, reference)
    return book, reference


def check_same(book: Any, reference: Book) -> None:
    for side in (BID, ASK):
        visible = {}
        for tick in np.flatnonzero(np.asarray(book["recorded"][side])).tolist():
            assert book["consumed"][side][tick] >= 0
            assert shown(book, side, tick) >= 0
            if shown(book, side, tick):
                visible[tick] = int(shown(book, side, tick))
        assert visible == reference.shown(side)
        assert book["best"][side] == reference.best(side)
        assert book["count"][side] == len(visible)
        assert book["total"][side] == sum(visible.values())
    assert (book["known"] != 0, book["in_snapshot"] != 0) == (reference.known, reference.in_snapshot)
    assert book["damaged"] == reference.damaged
    assert bool(is_two_sided(book)) == reference.is_two_sided()
    assert bool(is_crossed(book)) == reference.is_crossed()
    recorded, consumed = np.asarray(book["recorded"]), np.asarray(book["consumed"])
    assert book["hidden"] == np.count_nonzero((recorded > 0) & (recorded == consumed))


@settings(max_examples=some_of(60))
@given(SEEDS)
def test_a_book_equals_a_book_of_dictionaries_after_every_update(seed: int) -> None:
    play(random_steps(seed))


@settings(max_examples=20)
@given(SEEDS)
def test_a_book_of_tenths_of_a_cent_does_the_same(seed: int) -> None:
    play([(name, side, tick * 10, size) for name, side, tick, size in random_steps(seed)], 999)


@settings(max_examples=30)
@given(SEEDS, st.integers(0, 1), st.integers(0, LEVELS - 1))
def test_the_next_level_is_the_nearest_shown_one_behind(seed: int, side: int, tick: int) -> None:
    book, reference = play(random_steps(seed), compare=False)
    assert next_level(book, side, tick) == reference.behind(side, tick)


@settings(max_examples=some_of(60))
@given(SEEDS)
def test_a_copy_is_equal_and_apart(seed: int) -> None:
    book, reference = play(random_steps(seed), compare=False)
    other = one(book_dtype(LEVELS))
    copy_book(book, other)
    check_same(other, reference)
    assert np.array_equal(book["prices"], other["prices"]) and np.array_equal(book["valid"], other["valid"])
    assert book["levels"] == other["levels"]
    clear_book(other)
    check_same(book, reference)


@settings(max_examples=some_of(60))
@given(SEEDS, st.integers(0, 1), st.integers(0, 1))
def test_a_book_loaded_from_its_levels_shows_what_was_recorded(seed: int, known: int, in_snapshot: int) -> None:
    _, reference = play(random_steps(seed), compare=False)
    levels = [(s, t, side) for side in (BID, ASK) for t, s in reference.recorded[side].items() if s > 0]
    stored = as_rows(read_only(np.array([(0, 0, 0), *levels], LEVEL)))
    book = empty_book()
    book["damaged"] = 3
    load_book(book, stored, 1, len(stored), known, in_snapshot)
    expected = Book(LEVELS)
    for size, tick, side in levels:
        expected.recorded[side][tick] = size
    expected.known, expected.in_snapshot = bool(known), bool(in_snapshot)
    check_same(book, expected)


def test_a_recorded_decrease_counts_against_what_we_took_first() -> None:
    book = empty_book()
    change_level(book, BID, 50, 100)
    assert consume(book, BID, 50, 30) == 30
    change_level(book, BID, 50, -20)
    assert (shown(book, BID, 50), book["consumed"][BID][50]) == (70, 10)
    change_level(book, BID, 50, -30)
    assert (shown(book, BID, 50), book["consumed"][BID][50]) == (50, 0)


def test_an_increase_leaves_what_we_took_taken() -> None:
    book = empty_book()
    change_level(book, ASK, 50, 100)
    assert consume(book, ASK, 50, 100) == 100
    assert book["best"][ASK] == LEVELS
    change_level(book, ASK, 50, 7)
    assert (shown(book, ASK, 50), book["best"][ASK]) == (7, 50)


def test_an_emptied_level_forgets_what_we_took() -> None:
    book = empty_book()
    change_level(book, ASK, 50, 100)
    consume(book, ASK, 50, 100)
    change_level(book, ASK, 50, -100)
    change_level(book, ASK, 50, 40)
    assert shown(book, ASK, 50) == 40


def test_a_snapshot_forgets_what_we_took() -> None:
    book, _ = play(
        [("level", 0, 50, 100), ("end", 0, 0, 0), ("consume", 0, 50, 60), ("level", 0, 50, 90), ("end", 0, 0, 0)]
    )
    assert shown(book, BID, 50) == 90


def test_two_snapshots_in_a_row_leave_the_second() -> None:
    book, _ = play([("level", 0, 50, 9), ("end", 0, 0, 0), ("level", 0, 47, 5), ("end", 0, 0, 0)])
    assert (book["best"][BID], book["total"][BID]) == (47, 5)


def test_a_level_below_zero_makes_the_book_unknown_until_the_next_snapshot() -> None:
    book, _ = play([("level", 0, 50, 9), ("end", 0, 0, 0), ("delta", 0, 50, -10)])
    assert (book["known"], book["damaged"]) == (0, 1)
    assert not apply_to_book(book, update_of(Kind.DELTA, tick=50, size=5))
    assert apply_to_book(book, update_of(Kind.SNAPSHOT_END))
    assert (book["known"], book["total"][BID]) == (1, 0)


def test_prints_and_other_rows_leave_the_book_alone() -> None:
    book, reference = play([("level", 0, 50, 9), ("end", 0, 0, 0)])
    for kind in Kind:
        if kind > Kind.DELTA and kind != Kind.GAP:
            assert not apply_to_book(book, update_of(kind, tick=50, size=5))
            check_same(book, reference)


@pytest.mark.parametrize(
    ("levels", "size"), [(1, 99), (99, 99), (100, 999), (279, 999), (1_000, 9_999), (9_999, 9_999)]
)
def test_a_book_is_the_smallest_that_holds_the_axis(levels: int, size: int) -> None:
    assert book_size(levels) == size


def test_a_recording_stays_crossed_whatever_we_took_of_it() -> None:
    """A bid above an ask that we took hides nothing: the recording cannot be decided on there."""
    book = one(book_dtype(LEVELS))
    load_prices(book, LEVELS)
    clear_book(book)
    book["known"] = 1
    change_level(book, ASK, 50, 100)
    consume(book, ASK, 50, 100)
    assert not is_crossed(book) and int(book["hidden"]) == 1
    change_level(book, BID, 55, 100)
    assert not is_two_sided(book) and is_crossed(book)
    change_level(book, ASK, 50, -100)
    assert not is_crossed(book) and int(book["hidden"]) == 0
