"""Books of many markets are what books of dictionaries are, whatever rows come."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.errors import UnknownName
from kalshi_ray.exchange.books import Books, RowBuffer
from kalshi_ray.wire.fast import Names
from kalshi_ray.wire.rows import ROW
from tests.examples import some_of
from tests.reference.book import Book

Step = tuple[int, Kind, int, int, int]  # market, kind, side, price, size
FINEST = DOLLAR - 1  # levels of the reference book: tick = price - 1
TICKERS = [f"KXA-26-T{number}" for number in range(5)]


def books_of(tickers: list[str] = TICKERS) -> Books:
    names = Names()
    books = Books(names)
    for ticker in tickers:
        books.open(names.enter(ticker))
    return books


def rows_of(steps: list[Step]) -> Any:
    rows = np.zeros(len(steps), ROW)
    for row, (market, kind, side, price, size) in zip(rows, steps):
        row["market"], row["kind"], row["side"], row["price"], row["size"] = market, kind, side, price, size
        row["sid"], row["taker"] = 3, -1
    return rows


class Reference:
    """Dictionary books with the rule that a wrong book is unknown."""

    def __init__(self, count: int) -> None:
        self.books = [Book(FINEST) for _ in range(count)]
        self.spoiled = [False] * count
        self.is_row = True  # whether a tape can hold the last step

    def apply(self, step: Step) -> bool:
        """Whether the step showed the book to be wrong."""
        market, kind, side, price, size = step
        book = self.books[market]
        is_price = 0 < price < DOLLAR
        self.is_row = kind == Kind.SNAPSHOT_END or (is_price and (size > 0 or kind == Kind.DELTA))
        if kind == Kind.SNAPSHOT_LEVEL:
            if is_price and size > 0:
                book.snapshot_level(side, price - 1, size)
            else:
                self.spoiled[market] = True
            return False
        if kind == Kind.SNAPSHOT_END:
            book.snapshot_end()
            is_wrong, self.spoiled[market] = self.spoiled[market] or book.is_crossed(), False
        elif not book.known:
            return False
        else:
            self.is_row = is_price and book.delta(side, price - 1, size)
            is_wrong = not self.is_row or book.is_crossed()
        book.known = book.known and not is_wrong
        return is_wrong

    def levels(self, market: int, side: int) -> dict[int, int]:
        return {tick + 1: size for tick, size in self.books[market].shown(side).items()}


def random_steps(chance: Random, count: int, prices: list[int]) -> list[Step]:
    """Mostly changes that fit, now and then one that does not, and snapshots; bids low and asks high, mostly."""
    steps: list[Step] = []
    for _ in range(count):
        market, side = chance.randrange(len(TICKERS)), chance.randrange(2)
        half = [p for p in prices if (p < 5000) == (side == Side.BID)] if chance.random() < 0.97 else prices
        price, size = chance.choice(half or prices), chance.choice([0, 5, 10, 10**10])
        if chance.random() < 0.15:
            for level_side in (Side.BID, Side.ASK):
                for level in chance.sample(prices, min(3, len(prices))):
                    if (level < 5000) == (level_side == Side.BID) or chance.random() < 0.02:
                        steps.append((market, Kind.SNAPSHOT_LEVEL, level_side, level, chance.choice([5, 10, 500])))
            steps.append((market, Kind.SNAPSHOT_END, -1, 0, 0))
        else:
            steps.append((market, Kind.DELTA, side, price, chance.choice([size, size, -size, -5])))
    return steps


PRICES = {
    "cents": [100, 4700, 4800, 5200, 5300, 9900],
    "tenths": [100, 4700, 4710, 4800, 5290, 5300, 9990],
    "all": [1, 100, 4700, 4711, 4800, 5290, 5300, 5301, 9999],
    "no prices": [0, 100, 4700, 4711, 5300, 10_000],
}


@pytest.mark.parametrize("prices", list(PRICES.values()), ids=list(PRICES))
@given(seed=st.integers(0, 10**9))
@settings(max_examples=some_of(60))
def test_books_do_what_dictionaries_do(seed: int, prices: list[int]) -> None:
    chance = Random(seed)
    books, reference, buffer = books_of(), Reference(len(TICKERS)), RowBuffer(1)
    steps = random_steps(chance, 60, prices)
    while steps:
        batch, steps = steps[: (cut := chance.randrange(1, 40))], steps[cut:]
        expected = [(step, step[0]) for step in batch if reference.apply(step)]
        assert books.apply(rows_of(batch), buffer) == [market for _, market in expected]
        for market, ticker in enumerate(TICKERS):
            view, other = books[ticker], reference.books[market]
            assert view.known == other.known
            if view.known:
                assert dict(view.bids) == reference.levels(market, Side.BID)
                assert dict(view.asks) == reference.levels(market, Side.ASK)
                assert view.best_bid == max(reference.levels(market, Side.BID), default=None)
                assert view.best_ask == min(reference.levels(market, Side.ASK), default=None)
                assert list(view.bids) == sorted(view.bids, reverse=True) and list(view.asks) == sorted(view.asks)


@pytest.mark.parametrize("prices", [PRICES["all"], PRICES["no prices"]], ids=["all", "no prices"])
@given(seed=st.integers(0, 10**9))
@settings(max_examples=30)
def test_rows_that_a_book_can_hold_are_kept_in_order_and_where_one_turns_wrong_there_is_a_gap(
    seed: int, prices: list[int]
) -> None:
    steps = random_steps(Random(seed), 40, prices)
    books, reference, buffer = books_of(), Reference(len(TICKERS)), RowBuffer(1)
    expected = []
    for step in steps:
        is_wrong = reference.apply(step)
        if reference.is_row:
            expected.append((step[0], step[1], step[4]))
        if is_wrong:
            expected.append((step[0], Kind.GAP, 1))
    books.apply(rows_of(steps), buffer)
    assert [(row["market"], row["kind"], row["size"]) for row in buffer.rows] == expected
    buffer.clear()
    assert len(buffer) == len(buffer.rows) == 0


def test_a_book_is_unknown_from_a_gap_to_its_snapshot() -> None:
    books, buffer = books_of(), RowBuffer()
    books.apply(rows_of([(m, Kind.SNAPSHOT_END, -1, 0, 0) for m in range(3)]), buffer)
    assert books.known(np.arange(5)).tolist() == [True, True, True, False, False]
    books.forget([0, 2])
    assert books.known(np.arange(5)).tolist() == [False, True, False, False, False]
    books.apply(rows_of([(m, Kind.DELTA, 0, 4700, 5) for m in range(3)]), buffer)
    assert books.early == 2
    assert books["KXA-26-T1"].bids == ((4700, 5),)
    assert books["KXA-26-T1"].size_at(Side.BID, 4700) == 5 and books["KXA-26-T1"].size_at(Side.ASK, 4700) == 0
    assert books["KXA-26-T0"].bids == ()


def test_a_market_that_comes_back_begins_with_an_empty_unknown_book() -> None:
    names = Names()
    books, buffer = Books(names), RowBuffer()
    market = names.enter("A")
    books.open(market)
    books.apply(rows_of([(0, Kind.SNAPSHOT_LEVEL, 0, 4711, 5), (0, Kind.SNAPSHOT_END, -1, 0, 0)]), buffer)
    assert len(books) == 1 and list(books) == ["A"] and "A" in books
    books.close(market)
    books.close(market)
    assert len(books) == 0 and "A" not in books
    assert books.apply(rows_of([(0, Kind.DELTA, 0, 4700, -5)]), buffer) == [], "no book, nothing to be wrong"
    books.open(market)
    books.open(market)
    assert (books["A"].known, books["A"].bids, books["A"].best_ask) == (False, (), None)
    assert repr(books["A"]) == "BookView(known=False, best_bid=None, best_ask=None)"
    with pytest.raises(UnknownName, match="no book of a market named 'B'"):
        books["B"]


def test_a_thousand_books_grow_and_move_without_touching_each_other() -> None:
    books, buffer = books_of([f"T{n}" for n in range(1000)]), RowBuffer(1)
    books.apply(rows_of([(m, Kind.SNAPSHOT_END, -1, 0, 0) for m in range(1000)]), buffer)
    prices = [100 + m % 7 * (1, 10, 100)[m % 3] for m in range(1000)]
    books.apply(rows_of([(m, Kind.DELTA, 0, price, m + 1) for m, price in enumerate(prices)]), buffer)
    assert [books[f"T{m}"].bids for m in range(1000)] == [((price, m + 1),) for m, price in enumerate(prices)]
