"""Trades follow from fills, and their sum is the change of equity to the micro."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import CONTRACT, DOLLAR
from kalshi_ray.errors import DataError
from kalshi_ray.evaluate.ledger import Ending, parts_of, reconcile, trades_of
from tests.evaluate.standin import fill, ledger, random_ledger
from tests.examples import some_of

SEEDS = st.integers(0, 10_000)


@settings(max_examples=some_of(60))
@given(SEEDS, st.booleans(), st.integers(0, 60))
def test_trades_sum_to_the_change_of_equity(seed: int, settled: bool, count: int) -> None:
    book = random_ledger(seed, count=count, settled=settled)
    trades = trades_of(book, parts_of(book))
    by_market = np.zeros(len(book.tickers), np.int64)
    np.add.at(by_market, trades["market"], trades["pnl"])
    assert (by_market == book.pnl).all()
    reconcile(book)


@settings(max_examples=some_of(60))
@given(SEEDS)
def test_parts_keep_every_lot_and_every_micro_of_fee(seed: int) -> None:
    book = random_ledger(seed)
    parts = parts_of(book)
    for name in ("size", "fee"):
        kept = np.bincount(parts["fill"], weights=parts[name], minlength=len(book.fills))
        assert (kept == book.fills[name]).all()


@settings(max_examples=some_of(60))
@given(SEEDS)
def test_a_position_never_changes_sign_within_a_trade(seed: int) -> None:
    book = random_ledger(seed)
    parts = parts_of(book)
    for trade in np.unique(parts["trade"]):
        held = parts["after"][parts["trade"] == trade]
        assert (held[:-1] != 0).all()
        assert len(np.unique(np.sign(held[held != 0]))) <= 1


@settings(max_examples=some_of(60))
@given(SEEDS)
def test_capital_in_use_bounds_the_loss_that_is_still_possible(seed: int) -> None:
    """Whatever the next price, a trade loses no more than it tied up."""
    book = random_ledger(seed, markets=1)
    parts = parts_of(book)
    for index, part in enumerate(parts):
        if part["after"] == 0:
            assert part["capital"] == 0
            continue
        own = parts[: index + 1][parts["trade"][: index + 1] == part["trade"]]
        flow = int((-own["side"].astype(np.int64) * own["price"] * own["size"] - own["fee"]).sum())
        worst = min(flow + int(part["after"]) * price for price in (0, DOLLAR))
        assert part["capital"] == max(0, -worst)


def test_a_round_trip_is_one_trade_that_pays_the_move_less_fees() -> None:
    fills = [fill(0, 1, +1, 5_000, CONTRACT, fee=20_000), fill(0, 2, -1, 5_500, CONTRACT, fee=10_000)]
    (trade,) = trades_of(book := ledger(1, fills), parts_of(book))
    assert (trade["ending"], trade["lots"], trade["stake"]) == (Ending.FLAT, CONTRACT, 500_000)
    assert trade["pnl"] == 50_000 - 30_000


def test_a_fill_through_zero_closes_one_trade_and_opens_the_next() -> None:
    fills = [fill(0, 1, +1, 4_000, 100), fill(0, 2, -1, 6_000, 300, fee=3)]
    first, second = trades_of(book := ledger(1, fills, end_price=DOLLAR, settled=True), parts_of(book))
    assert (first["ending"], first["fees"], first["pnl"]) == (Ending.FLAT, 1, 200_000 - 1)
    assert (second["side"], second["lots"], second["stake"]) == (-1, 200, 200 * 4_000)
    assert (second["ending"], second["pnl"]) == (Ending.SETTLED, -200 * 4_000 - 2)


def test_what_is_open_at_the_end_is_listed_but_is_no_trade() -> None:
    (trade,) = trades_of(book := ledger(1, [fill(0, 1, +1, 4_000, 100)], end_price=4_500), parts_of(book))
    assert (trade["ending"], trade["pnl"], trade["closed_ns"]) == (Ending.OPEN, 50_000, book.end_ns[0])


@pytest.mark.parametrize(("side", "lost"), [(+1, 400_000), (-1, 600_000)])
def test_an_unknown_book_leaves_an_open_position_worth_nothing(side: int, lost: int) -> None:
    book = ledger(1, [fill(0, 1, side, 4_000, 100)], end_price=4_500)
    book.episodes["ladder_value"], book.episodes["book_known"] = 0, 0
    (trade,) = trades_of(book, parts_of(book))
    assert book.pnl.tolist() == [side * 50_000] and trade["pnl"] == side * 50_000
    assert book.closed_pnl.tolist() == [-lost] and trade["closed_pnl"] == -lost
    assert book.stranded.all()


def test_no_fills_means_no_trades() -> None:
    book = ledger(2, [])
    assert len(trades_of(book, parts_of(book))) == 0
    reconcile(book)


def test_money_from_nowhere_is_refused_by_name() -> None:
    book = ledger(2, [fill(1, 1, +1, 4_000, 100)])
    book.episodes["equity_end"][1] += DOLLAR * 100
    with pytest.raises(DataError, match="M1"):
        reconcile(book)


def test_fees_missing_from_an_episode_are_refused() -> None:
    book = ledger(1, [fill(0, 1, +1, 4_000, 100, fee=7)])
    book.episodes["fees"][0] = 0
    with pytest.raises(DataError, match="fees 7 and 0"):
        reconcile(book)
