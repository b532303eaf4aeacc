"""The mask is the whole truth, and what it allows can never cost more than there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kalshi_ray.core.actions import Intent, Pricing, action_space
from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.orders import CommandKind, OrderState, Refusal, TimeInForce
from kalshi_ray.core.risk import (
    CANCEL_OTHER,
    CANCEL_OWN,
    CHANGE,
    KEEP,
    PLACE,
    budget_left,
    decide_action,
    left_of,
    plan_action,
    reserved,
    sellable,
    write_mask,
)
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.trader import hear, see_update, wake
from kalshi_ray.core.units import CONTRACT, MILLISECOND, SECOND
from tests.core.records import ASK, BID, T0, copied, rules_of, trader_of, update_of, whole_book
from tests.core.states import random_trader
from tests.core.worst_exchange import WorstExchange
from tests.examples import few, some_of
from tests.reference import risk as plain

SEEDS = st.integers(0, 10**6)
EVERYTHING = "generic[1,3,10,50,500;take,inside,join,improve]"
SPACES = [
    "sized21",
    "sized21-join",
    "sized21-improve",
    "sized21-small",
    "intent5",
    "intent5-join",
    "priced7",
    EVERYTHING,
]
NAMES = {PLACE: "place", CHANGE: "change", KEEP: "keep", CANCEL_OWN: "cancel own", CANCEL_OTHER: "cancel other"}


def mask_of(trader: Any, rules: Any, actions: Any) -> list[bool]:
    mask = np.ones((2, len(actions)), np.bool_)
    write_mask(trader, rules, actions, 1, mask)
    assert mask[0].all(), "only the row asked for is written"
    return [bool(legal) for legal in mask[1]]


def smaller_of(actions: Any, action: int) -> int:
    """Size of the action before in the same group."""
    before = actions[action - 1]
    return int(before["size"]) if before["group"] == actions[action]["group"] else 0


def random_rules(seed: int) -> Any:
    chance = np.random.default_rng(seed)
    return rules_of(
        position_limit=int(chance.choice([500, 5_000, 50_000])),
        mask_opposite_buy=int(chance.integers(2)),
        mask_repeated_hold=int(chance.choice([0, 0, 2])),
        fee_precision=int(chance.choice([100, 10_000])),
    )


def decided_on(trader: Any, rules: Any, actions: Any, action: int) -> tuple[Any, bool]:
    """A copy of the trader after the decision, and whether it was HOLD."""
    after = copied(trader)
    return after, bool(decide_action(after, rules, actions, action))


# -- mask, decision and the rules in plain words


@settings(max_examples=some_of(120))
@given(SEEDS, st.sampled_from(SPACES))
def test_an_action_is_sent_or_kept_exactly_where_the_mask_allows_it(seed: int, space: str) -> None:
    trader, rules, actions = random_trader(seed), random_rules(seed), as_rows(action_space(space).table)
    trader["holds_in_row"] = seed % 4
    mask = mask_of(trader, rules, actions)
    assert any(mask)
    for action, legal in enumerate(mask):
        after, held = decided_on(trader, rules, actions, action)
        assert held == (action == 0 and legal)
        if not legal:
            assert after["refused"] == trader["refused"] + 1
            assert after["command_count"] == 0
            after["refused"] = trader["refused"]
            after["command_count"] = trader["command_count"]
            assert after.tobytes() == trader.tobytes(), "a masked action changes nothing"
            continue
        assert after["refused"] == trader["refused"]
        assert after["command_count"] <= 1
        if action and not after["command_count"]:
            assert plan_action(trader, rules, actions[action], smaller_of(actions, action))[0] == KEEP


@settings(max_examples=some_of(120))
@given(SEEDS)
def test_a_plan_is_what_the_rules_say_one_by_one(seed: int) -> None:
    """Refusals by name, in the order of the rules; prices and capped sizes too."""
    trader, rules, actions = random_trader(seed), random_rules(seed), as_rows(action_space(EVERYTHING).table)
    if seed % 5 == 0:
        trader["book"]["valid"][::2] = 0
    budget = int(budget_left(trader, rules, trader["now_ns"]))
    for action in range(1, len(actions)):
        row, smaller = actions[action], smaller_of(actions, action)
        found = int(plan_action(trader, rules, row, smaller)[0])
        name = Refusal(found).name if found > 0 else NAMES[found]
        assert name == plain.plan_of_action(
            trader, rules, intent=Intent(int(row["intent"])).name, pricing=Pricing(int(row["pricing"])).name,
            lots=int(row["size"]), smaller=smaller, budget=budget,
        )  # fmt: skip


@settings(max_examples=some_of(80))
@given(SEEDS)
def test_what_is_held_back_is_the_worst_of_each_order(seed: int) -> None:
    trader, rules = random_trader(seed), random_rules(seed)
    for slot in range(4):
        assert left_of(as_rows(trader["orders"])[slot]) == plain.lots_left(trader["orders"][slot])
    for side in (BID, ASK):
        assert reserved(trader, rules, side) == plain.reserved(trader, rules, side)


@pytest.mark.parametrize("space", SPACES)
def test_every_action_of_every_space_becomes_the_order_it_describes(space: str) -> None:
    """From id to command, with 600 contracts of the right side held for each SELL."""
    spec, rules = action_space(space), rules_of(position_limit=10**6, mask_opposite_buy=0)
    actions = as_rows(spec.table)
    for action in range(1, spec.size):
        words = spec.describe(action)
        trader = trader_of({48: 10_000}, {52: 10_000}, bankroll=10**10)
        trader["account"]["position"] = {"SELL_YES": 60_000, "SELL_NO": -60_000}.get(str(words["intent"]), 0)
        wake(trader, T0)
        assert mask_of(trader, rules, actions)[action]
        after, held = decided_on(trader, rules, actions, action)
        command = after["commands"][0]
        side = BID if words["intent"] in ("BUY_YES", "SELL_NO") else ASK
        taking = words["pricing"] == "TAKE"
        ticks = {"TAKE": (52, 48), "INSIDE": (51, 49), "JOIN": (48, 52), "IMPROVE": (49, 51)}
        assert not held and after["command_count"] == 1
        assert (command["kind"], command["side"]) == (CommandKind.CREATE, side)
        assert command["slot"] == (2 + side if taking else side)
        assert command["tick"] == ticks[str(words["pricing"])][side]
        assert command["price"] == trader["book"]["prices"][command["tick"]]
        assert command["size"] == words["contracts"] * CONTRACT
        assert command["time_in_force"] == (TimeInForce.IOC if taking else TimeInForce.GTC)
        assert command["post_only"] == (not taking)
        assert command["reduce_only"] == (taking and str(words["intent"]).startswith("SELL"))
        assert command["expires_ns"] == (0 if taking else (T0 + 30 * SECOND) // SECOND * SECOND)
        order = after["orders"][command["slot"]]
        assert (order["state"], order["id"], after["next_id"]) == (OrderState.SENT, command["id"], command["id"] + 1)
        assert (order["bid_at_send"], order["ask_at_send"]) == (4_900, 5_300)
        assert order["queue"] == (10_000 if command["tick"] in (48, 52) and not taking else 0)
        assert after["sent"] == 1


def test_no_action_is_legal_where_no_decision_may_be_taken() -> None:
    actions = as_rows(action_space("sized21").table)
    for update in (update_of(Kind.GAP), update_of(Kind.STATUS, size=2), update_of(Kind.DELTA, tick=52, size=1)):
        trader = trader_of({48: 100}, {52: 100})
        wake(trader, T0)
        trader["holds_in_row"] = 9
        see_update(trader, update)
        rules = rules_of(mask_repeated_hold=2)
        assert mask_of(trader, rules, actions) == [True] + [False] * 20
        assert decided_on(trader, rules, actions, 0)[1]
        after, _ = decided_on(trader, rules, actions, 1)
        assert (after["refused"], after["command_count"]) == (1, 0)


def test_hold_is_masked_when_repeated_and_something_else_is_legal() -> None:
    actions, rules = as_rows(action_space("sized21").table), rules_of(mask_repeated_hold=3)
    trader = trader_of({48: 100}, {52: 100})
    wake(trader, T0)
    for holds, legal in ((2, True), (3, False)):
        trader["holds_in_row"] = holds
        assert mask_of(trader, rules, actions)[0] == legal
    trader["budget_ns"] = T0 + 100 * SECOND
    assert mask_of(trader, rules, actions)[0], "nothing else is legal without budget"


# -- SELL


def holding(lots: int, *, levels: int = 99) -> Any:
    trader = trader_of({48: 10_000}, {52: 10_000}, levels=levels)
    trader["account"]["position"] = lots
    wake(trader, T0)
    return trader


@pytest.mark.parametrize(
    ("lots", "legal"), [(0, []), (300, [5]), (500, [5]), (700, [5, 10]), (10**6, [5, 10, 20, 50, 100])]
)
def test_a_sell_that_a_smaller_id_gives_too_is_masked(lots: int, legal: list[int]) -> None:
    spec = action_space("sized21")
    for sign, intent in ((1, "SELL_YES"), (-1, "SELL_NO")):
        mask = mask_of(holding(sign * lots), rules_of(), as_rows(spec.table))
        found = [spec.describe(a)["contracts"] for a in range(21) if mask[a] and spec.describe(a)["intent"] == intent]
        assert found == legal


def test_a_sell_is_capped_to_what_is_held() -> None:
    after, _ = decided_on(holding(740), rules_of(), as_rows(action_space("sized21").table), 7)  # SELL_YES 10
    assert (after["commands"][0]["size"], after["commands"][0]["side"]) == (740, ASK)


def test_what_is_being_sold_already_cannot_be_sold_again() -> None:
    trader = holding(740)
    order = trader["orders"][2 + ASK]
    order["state"], order["size"], order["filled"] = OrderState.SENT, 500, 100
    assert sellable(trader, ASK) == 340
    assert sellable(trader, BID) == 0


def test_buying_the_other_side_while_holding_is_masked_by_option() -> None:
    spec = action_space("sized21")
    for option in (0, 1):
        mask = mask_of(holding(700), rules_of(mask_opposite_buy=option), as_rows(spec.table))
        legal = {str(spec.describe(action)["intent"]) for action in range(21) if mask[action]}
        assert ("BUY_NO" in legal) == (not option)
        assert "BUY_YES" in legal


def test_buying_no_and_selling_yes_give_the_same_order_where_both_are_allowed() -> None:
    rules, actions = rules_of(mask_opposite_buy=0), as_rows(action_space("sized21-join").table)
    selling, _ = decided_on(holding(1_000), rules, actions, 7)
    buying, _ = decided_on(holding(1_000), rules, actions, 12)
    assert selling["commands"][0].tobytes() == buying["commands"][0].tobytes()


# -- one order a side


def working(side: int, tick: int, lots: int, *, state: OrderState = OrderState.WORKING, filled: int = 0) -> Any:
    trader = trader_of({48: 10_000}, {52: 10_000})
    order = trader["orders"][side]
    order["state"], order["side"], order["id"], order["tick"] = state, side, 9, tick
    order["price"], order["size"], order["filled"] = 100 * (tick + 1), lots, filled
    wake(trader, T0)
    return trader


JOIN = as_rows(action_space("sized21-join").table)
BUY_10 = 2  # BUY_YES 10 contracts, at tick 48


@pytest.mark.parametrize(
    ("tick", "lots", "filled", "kind"),
    [(48, 1_000, 0, None), (48, 1_200, 200, None), (48, 500, 0, "AMEND"), (47, 1_200, 200, "AMEND")],
)
def test_a_wanted_order_that_works_is_kept_and_any_other_is_amended(
    tick: int, lots: int, filled: int, kind: str | None
) -> None:
    after, held = decided_on(working(BID, tick, lots, filled=filled), rules_of(), JOIN, BUY_10)
    assert not held
    assert after["command_count"] == (kind is not None)
    if kind:
        command = after["commands"][0]
        assert (command["kind"], command["tick"], command["id"]) == (CommandKind.AMEND, 48, 9)
        assert command["size"] == 1_000 + filled, "the size of an amendment counts filled lots"
        order = after["orders"][BID]
        assert (order["state"], order["amended_tick"], order["amended_price"]) == (OrderState.AMENDING, 48, 4_900)


def test_without_budget_only_hold_and_the_order_that_works_are_legal() -> None:
    trader = working(BID, 48, 1_000)
    trader["budget_ns"] = T0 + 100 * SECOND
    assert np.flatnonzero(mask_of(trader, rules_of(), JOIN)).tolist() == [0, BUY_10]


@pytest.mark.parametrize("state", [OrderState.SENT, OrderState.AMENDING, OrderState.CANCELLING])
def test_nothing_is_sent_for_a_side_whose_command_is_unanswered(state: OrderState) -> None:
    mask = mask_of(working(BID, 48, 700, state=state), rules_of(), JOIN)
    assert not any(mask[1:6])


def test_an_immediate_order_cancels_the_resting_one_first() -> None:
    actions = as_rows(action_space("sized21").table)
    after, _ = decided_on(working(BID, 48, 700), rules_of(), actions, 1)
    command = after["commands"][0]
    assert (command["kind"], command["slot"], command["id"]) == (CommandKind.CANCEL, BID, 9)
    assert after["orders"][BID]["state"] == OrderState.CANCELLING


def test_our_own_orders_never_meet() -> None:
    """An ask of ours at or below the bid that is wanted is cancelled first; one on the way there waits."""
    after, _ = decided_on(working(ASK, 48, 700), rules_of(), JOIN, BUY_10)
    assert (after["commands"][0]["kind"], after["commands"][0]["slot"]) == (CommandKind.CANCEL, ASK)
    moving = working(ASK, 60, 700, state=OrderState.AMENDING)
    moving["orders"][ASK]["amended_tick"] = 47
    assert not any(mask_of(moving, rules_of(), JOIN)[1:6])
    moving["orders"][ASK]["amended_tick"] = 55
    assert all(mask_of(moving, rules_of(), JOIN)[1:6])


def test_the_other_side_is_cancelled_where_both_together_cost_too_much() -> None:
    trader = working(ASK, 52, 5_000)
    trader["account"]["cash"] = 25_000_000  # the ask holds back 23.50 and its fee
    after, _ = decided_on(trader, rules_of(), JOIN, BUY_10)
    assert (after["commands"][0]["kind"], after["commands"][0]["slot"]) == (CommandKind.CANCEL, ASK)


# -- budget


@settings(max_examples=some_of(60))
@given(
    st.integers(1, 6),
    st.sampled_from([SECOND, 250 * MILLISECOND, 333_333_333]),
    st.lists(st.integers(0, 1_500), max_size=40),
)
def test_the_budget_is_a_bucket_of_tokens(burst: int, interval: int, pauses: list[int]) -> None:
    rules, actions = rules_of(budget_burst=burst, budget_interval_ns=interval), as_rows(action_space("sized21").table)
    trader, bucket, now = trader_of({48: 100}, {52: 100}), plain.Bucket(burst, interval), T0
    for pause in pauses:
        now += pause * MILLISECOND
        wake(trader, now)
        assert budget_left(trader, rules, now) == bucket.left(now)
        assert any(mask_of(trader, rules, actions)[1:]) == (bucket.left(now) > 0)
        decide_action(trader, rules, actions, 1)
        if trader["command_count"]:
            bucket.spend(now)
            trader["orders"][2]["state"] = OrderState.FREE
        assert trader["commanded_ns"] in (0, now) or bucket.left(now) < 1


# -- whatever the exchange does


TOO_LITTLE = 5 * CONTRACT * 4_000  # micros; who holds less may meet no price at which the smallest order is paid for


class Account:
    """A trader and the worst exchange: random legal actions over a moving book, answers heard late."""

    def __init__(self, seed: int, space: str, *, precision: int = 100) -> None:
        self.chance = np.random.default_rng(seed)
        cash = int(self.chance.choice([3_000_000, 20_000_000, 100_000_000]))
        self.rules = rules_of(
            bankroll=cash, position_limit=int(self.chance.choice([2_000, 10_000])), budget_burst=50,
            mask_opposite_buy=int(self.chance.integers(2)), fee_precision=precision,
        )  # fmt: skip
        self.spec = action_space(space)
        self.actions = as_rows(self.spec.table)
        self.trader = trader_of({48: 10_000}, {52: 10_000}, bankroll=cash)
        self.exchange = WorstExchange(seed, cash, taker_ppm=70_000, maker_ppm=17_500, precision=precision)
        self.now, self.sent = T0, 0

    def step(self) -> None:
        for _ in range(int(self.chance.integers(4))):
            self.exchange.act()
            self.check()
        for _ in range(int(self.chance.integers(len(self.exchange.answers) + 1))):
            hear(self.trader, self.rules, self.exchange.answers.pop(0))
            assert self.trader["fault"] == 0
        self.check()
        self.now += int(self.chance.integers(1, 2_000)) * MILLISECOND
        self._move_book()
        wake(self.trader, self.now)
        self._decide()
        self.check()

    def _move_book(self) -> None:
        middle = int(self.chance.integers(30, 70))
        gap = int(self.chance.integers(1, 4))
        bids = {middle - gap: 5_000} if self.chance.random() < 0.9 else {}
        for update in whole_book(bids, {middle + gap: 5_000}):
            see_update(self.trader, update)

    def _decide(self) -> None:
        mask = mask_of(self.trader, self.rules, self.actions)
        action = int(self.chance.choice(np.flatnonzero(mask)))
        decide_action(self.trader, self.rules, self.actions, action)
        selling = str(self.spec.describe(action)["intent"]).startswith("SELL")
        for at in range(self.trader["command_count"]):
            self.sent += 1
            self.exchange.accept(copied(self.trader["commands"][at]), selling=selling)

    def check(self) -> None:
        trader, exchange, limit = self.trader, self.exchange, int(self.rules["position_limit"])
        left = [int(left_of(order)) for order in as_rows(trader["orders"])]
        position = int(trader["account"]["position"])
        assert position + left[BID] + left[2 + BID] <= limit
        assert position - left[ASK] - left[2 + ASK] >= -limit
        assert abs(exchange.ledger.position) <= limit
        assert exchange.ledger.cash >= 0
        assert min(exchange.cash_if_all_fill(BID), exchange.cash_if_all_fill(ASK)) >= 0
        assert exchange.opened_by_selling == 0


@pytest.mark.parametrize("space", ["sized21", "sized21-join", EVERYTHING])
@settings(max_examples=few(12, many=100))
@given(seed=SEEDS)
@example(seed=380226)  # an account that has lost too much for any other order after three of them
def test_limits_and_cash_hold_whatever_the_exchange_does_and_a_sell_never_opens(space: str, seed: int) -> None:
    """Position and working orders within the limit; cash never below zero, not even when all orders fill at their
    limits; no SELL opens a position, though fills arrive while it is amended or cancelled."""
    account = Account(seed, space)
    for _ in range(60):
        account.step()
    assert account.sent > 5 or account.exchange.ledger.cash < TOO_LITTLE


def test_the_worst_exchange_fills_often() -> None:
    """What the property above rests on."""
    account = Account(4, EVERYTHING)
    for _ in range(100):
        account.step()
    assert account.exchange.fills > 30
    assert account.trader["fills"] > 20
