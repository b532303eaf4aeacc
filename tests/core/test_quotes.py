"""Desired orders for both sides pass the same risk as actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.orders import QUOTE, CommandKind, OrderState, TimeInForce
from kalshi_ray.core.quotes import decide_quote, tick_of
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.trader import see_update, wake
from kalshi_ray.core.units import SECOND
from tests.core.records import ASK, BID, GRIDS, T0, copied, one, rules_of, trader_of, update_of
from tests.core.test_risk import Account, working
from tests.examples import few


def quote_of(**fields: int) -> Any:
    quote = one(QUOTE)
    for name, value in fields.items():
        quote[name] = value
    return quote


BOTH = {"bid_price": 4_800, "bid_size": 700, "ask_price": 5_400, "ask_size": 500}


def quoted(trader: Any, rules: Any | None = None, **fields: int) -> tuple[list[Any], bool]:
    """Commands of one decision, and whether nothing was wanted or sent."""
    nothing = decide_quote(trader, rules_of() if rules is None else rules, quote_of(**fields))
    return [trader["commands"][at] for at in range(trader["command_count"])], bool(nothing)


def awake(**more: int) -> Any:
    trader = trader_of({48: 10_000}, {52: 10_000}, **more)
    wake(trader, T0)
    return trader


@pytest.mark.parametrize("levels", [99, 999])
@given(price=st.integers(-50, 10_100))
def test_a_price_is_found_on_the_axis_or_nowhere(levels: int, price: int) -> None:
    prices = GRIDS[levels].prices.tolist()
    book = trader_of({}, {}, levels=levels)["book"]
    assert tick_of(book, price) == (prices.index(price) if price in prices else -1)


def test_both_sides_rest_at_once() -> None:
    trader = awake()
    (bid, ask), nothing = quoted(trader, **BOTH)
    assert not nothing
    assert [(c["kind"], c["slot"], c["side"], c["price"], c["size"]) for c in (bid, ask)] == [
        (CommandKind.CREATE, BID, BID, 4_800, 700),
        (CommandKind.CREATE, ASK, ASK, 5_400, 500),
    ]
    assert all(c["post_only"] == 1 and c["time_in_force"] == TimeInForce.GTC for c in (bid, ask))
    assert trader["refused"] == 0
    assert trader["peak_exposure"] > 700 * 4_800 + 500 * 4_600


def test_a_side_that_takes_is_immediate() -> None:
    commands, _ = quoted(awake(), bid_price=5_300, bid_size=700, bid_takes=1)
    assert [(c["slot"], c["time_in_force"], c["post_only"]) for c in commands] == [(2, TimeInForce.IOC, 0)]


def test_no_size_withdraws_the_resting_order() -> None:
    for side in (BID, ASK):
        commands, nothing = quoted(working(side, 50, 700))
        assert not nothing
        assert [(c["kind"], c["slot"]) for c in commands] == [(CommandKind.CANCEL, side)]


def test_nothing_wanted_and_nothing_working_sends_nothing() -> None:
    trader = awake()
    assert quoted(trader) == ([], True)
    assert trader["refused"] == 0


def test_a_withdrawal_without_budget_is_counted() -> None:
    trader = working(BID, 48, 700)
    trader["budget_ns"] = T0 + 100 * SECOND
    assert quoted(trader) == ([], True)
    assert trader["refused"] == 1


def test_the_order_that_works_already_is_kept() -> None:
    trader = working(BID, 47, 700)
    assert quoted(trader, bid_price=4_800, bid_size=700) == ([], True)
    assert trader["refused"] == 0


@pytest.mark.parametrize("price", [0, 4_850, 10_000, -100])
def test_a_price_off_the_grid_is_refused_and_counted(price: int) -> None:
    trader = awake()
    assert quoted(trader, bid_price=price, bid_size=700) == ([], True)
    assert trader["refused"] == 1


def test_a_price_that_the_grid_no_longer_has_is_refused() -> None:
    trader = awake()
    trader["book"]["valid"][47] = 0
    assert quoted(trader, bid_price=4_800, bid_size=700) == ([], True)
    assert trader["refused"] == 1


def test_nothing_is_placed_where_no_decision_may_be_taken_but_withdrawals_go() -> None:
    trader = working(ASK, 55, 700)
    see_update(trader, update_of(Kind.GAP))
    commands, _ = quoted(trader, bid_price=4_800, bid_size=700)
    assert [(c["kind"], c["slot"]) for c in commands] == [(CommandKind.CANCEL, ASK)]
    assert trader["refused"] == 1


def test_too_much_for_the_limit_is_refused_and_a_busy_side_just_waits() -> None:
    trader = awake()
    quoted(trader, rules_of(position_limit=600), **BOTH)
    assert (trader["refused"], trader["command_count"]) == (1, 1)
    waiting = working(BID, 40, 100, state=OrderState.SENT)
    assert quoted(waiting, bid_price=4_800, bid_size=700) == ([], True)
    assert waiting["refused"] == 0


class QuotingAccount(Account):
    """Random quotes, crossing ones too."""

    def _decide(self) -> None:
        quote = one(QUOTE)
        middle = int(self.chance.integers(30, 70)) * 100
        for name in ("bid_price", "ask_price"):
            quote[name] = middle + 100 * int(self.chance.integers(-3, 4))
        for name in ("bid_size", "ask_size"):
            quote[name] = int(self.chance.integers(0, 30)) * 100
        quote["bid_takes"], quote["ask_takes"] = self.chance.random(2) < 0.3
        decide_quote(self.trader, self.rules, quote)
        for at in range(self.trader["command_count"]):
            self.sent += 1
            self.exchange.accept(copied(self.trader["commands"][at]), selling=False)


@settings(max_examples=few(12, many=100))
@given(seed=st.integers(0, 10**6))
def test_limits_and_cash_hold_for_quotes_whatever_the_exchange_does(seed: int) -> None:
    account = QuotingAccount(seed, "sized21")
    for _ in range(60):
        account.step()
    assert account.sent > 5


def test_wanted_orders_that_would_meet_are_sent_one_after_the_other() -> None:
    """A bid above our own working ask: the ask goes first, and is not placed anew meanwhile."""
    trader = working(ASK, 50, 700)
    commands, _ = quoted(trader, bid_price=5_200, bid_size=100, ask_price=5_500, ask_size=100)
    assert [(c["kind"], c["slot"]) for c in commands] == [(CommandKind.CANCEL, ASK)]


def test_quotes_are_records_of_prices_and_sizes() -> None:
    assert set(QUOTE.names or ()) == {"bid_price", "ask_price", "bid_size", "ask_size", "bid_takes", "ask_takes"}
    assert np.zeros(1, QUOTE)["bid_size"][0] == 0
