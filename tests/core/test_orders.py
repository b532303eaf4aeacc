"""The life cycle of an order is the table, and an answer that is not in it is a fault."""

from __future__ import annotations

import itertools

import pytest

from kalshi_ray.core.orders import LIFE_CYCLE, MESSAGE, NO_STATE, SLOTS, OrderEvent, OrderState
from kalshi_ray.core.trader import hear
from tests.core.records import copied, one, rules_of, trader_of

NEXT = {
    ("FREE", "SEND"): "SENT",
    ("SENT", "ACK"): "WORKING",
    ("SENT", "REFUSE"): "FREE",
    ("SENT", "FILL"): "SENT",
    ("SENT", "DONE"): "FREE",
    ("WORKING", "AMEND"): "AMENDING",
    ("WORKING", "CANCEL"): "CANCELLING",
    ("WORKING", "FILL"): "WORKING",
    ("WORKING", "DONE"): "FREE",
    ("AMENDING", "ACK"): "WORKING",
    ("AMENDING", "REFUSE"): "WORKING",
    ("AMENDING", "FILL"): "AMENDING",
    ("AMENDING", "DONE"): "FREE",
    ("CANCELLING", "FILL"): "CANCELLING",
    ("CANCELLING", "DONE"): "FREE",
}
PAIRS = list(itertools.product(OrderState, OrderEvent))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.name}-{e.name}" for s, e in PAIRS])
def test_the_table_holds_these_pairs_and_no_other(state: OrderState, event: OrderEvent) -> None:
    following = NEXT.get((state.name, event.name))
    assert LIFE_CYCLE[state, event] == (NO_STATE if following is None else OrderState[following])


def test_the_table_cannot_be_written() -> None:
    assert not LIFE_CYCLE.flags.writeable
    assert LIFE_CYCLE.shape == (len(OrderState), len(OrderEvent))


@pytest.mark.parametrize("slot", range(SLOTS))
def test_an_answer_moves_the_order_by_the_table_or_is_a_fault(slot: int) -> None:
    fresh, rules = trader_of({40: 100}, {50: 100}), rules_of()
    for state, event in PAIRS:
        if event < OrderEvent.ACK:
            continue
        trader, message = copied(fresh), one(MESSAGE)
        order = trader["orders"][slot]
        order["state"], order["side"], order["id"], order["size"], order["tick"] = state, slot % 2, 7, 500, 40
        message["slot"], message["event"], message["id"], message["price"], message["size"] = slot, event, 7, 4_100, 100
        hear(trader, rules, message)
        following = NEXT.get((state.name, event.name))
        if following is None:
            assert trader["fault"] == 1 + 16 * state + event
            assert trader["orders"][slot]["state"] == state
            assert trader["account"]["position"] == 0
        else:
            assert trader["fault"] == 0
            assert trader["orders"][slot]["state"] == OrderState[following]


def test_an_answer_to_another_order_is_a_fault() -> None:
    trader, message = trader_of({40: 100}, {50: 100}), one(MESSAGE)
    trader["orders"][0]["state"], trader["orders"][0]["id"] = OrderState.WORKING, 7
    message["event"], message["id"], message["size"] = OrderEvent.FILL, 6, 100
    hear(trader, rules_of(), message)
    assert trader["fault"] == 1 + 16 * OrderState.WORKING + OrderEvent.FILL
    assert trader["account"]["position"] == 0
