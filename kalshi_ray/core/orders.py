"""Orders as the trader knows them, commands to the exchange, messages back, and the life cycle as a table.

A row has four order slots, named by side and kind: one resting order a side, one immediate order a side. A slot with
an unacknowledged command is busy: nothing more is sent for it until the exchange has answered.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

SLOTS = 4  # K: resting bid, resting ask, immediate bid, immediate ask
MAX_COMMANDS = 3  # that one decision can send
MAX_MESSAGES = 128  # that can wait between the exchange and one row
MAX_WALK = 32  # levels that one order may take


class OrderState(IntEnum):
    """Where an order stands, as far as the trader knows."""

    FREE = 0
    SENT = 1
    WORKING = 2
    AMENDING = 3
    CANCELLING = 4


class OrderEvent(IntEnum):
    """What can happen to an order. The first three are ours, the others the exchange's."""

    SEND = 0
    AMEND = 1
    CANCEL = 2
    ACK = 3  # the order works, or the amendment stands
    REFUSE = 4  # the order was rejected, or the amendment was and the order works as before
    FILL = 5
    DONE = 6  # complete, cancelled or expired: nothing will follow


class TimeInForce(IntEnum):
    """How long an order may rest."""

    IOC = 0  # takes what it can on arrival; the rest is cancelled
    GTC = 1  # rests until filled, cancelled or expired


class Refusal(IntEnum):
    """Why risk or the exchange said no."""

    NONE = 0
    MARKET_STATE = 1  # book unknown, locked or crossed, market not active
    SIDE_MISSING = 2  # no price to join or to take
    NO_ROOM_IN_SPREAD = 3  # improving would cross
    SIDE_BUSY = 4  # a command of that slot is unacknowledged
    NOTHING_HELD = 5  # a SELL without a position left to reduce
    OTHER_SIDE_HELD = 6  # a BUY of the other side is the same order as a SELL
    SAME_AS_SMALLER = 7  # a smaller id gives the same order
    POSITION_LIMIT = 8
    CASH = 9
    BUDGET = 10  # commands per second
    REPEATED_HOLD = 11
    WOULD_CROSS = 12  # a post-only order on arrival
    NOTHING_TO_DO = 13  # the wanted order works already


_NEXT: dict[tuple[OrderState, OrderEvent], OrderState] = {
    (OrderState.FREE, OrderEvent.SEND): OrderState.SENT,
    (OrderState.SENT, OrderEvent.ACK): OrderState.WORKING,
    (OrderState.SENT, OrderEvent.REFUSE): OrderState.FREE,
    (OrderState.SENT, OrderEvent.FILL): OrderState.SENT,
    (OrderState.SENT, OrderEvent.DONE): OrderState.FREE,
    (OrderState.WORKING, OrderEvent.AMEND): OrderState.AMENDING,
    (OrderState.WORKING, OrderEvent.CANCEL): OrderState.CANCELLING,
    (OrderState.WORKING, OrderEvent.FILL): OrderState.WORKING,
    (OrderState.WORKING, OrderEvent.DONE): OrderState.FREE,
    (OrderState.AMENDING, OrderEvent.ACK): OrderState.WORKING,
    (OrderState.AMENDING, OrderEvent.REFUSE): OrderState.WORKING,
    (OrderState.AMENDING, OrderEvent.FILL): OrderState.AMENDING,
    (OrderState.AMENDING, OrderEvent.DONE): OrderState.FREE,
    (OrderState.CANCELLING, OrderEvent.FILL): OrderState.CANCELLING,
    (OrderState.CANCELLING, OrderEvent.DONE): OrderState.FREE,
}

NO_STATE = -1


def _life_cycle() -> NDArray[np.int8]:
    table = np.full((len(OrderState), len(OrderEvent)), NO_STATE, np.int8)
    for (state, event), following in _NEXT.items():
        table[state, event] = following
    table.setflags(write=False)
    return table


LIFE_CYCLE = _life_cycle()  # [states, events]: the state that follows, or NO_STATE where it cannot happen

# What the trader knows of one order.
ORDER = np.dtype(
    [
        ("id", np.int64),  # counts up within the row: the deterministic part of the client order id
        ("state", np.int8),
        ("side", np.int8),
        ("reduce_only", np.int8),
        ("tick", np.int32),
        ("price", np.int32),  # pips
        ("size", np.int64),  # lots in all, filled ones included
        ("filled", np.int64),
        ("sent_ns", np.int64),
        ("expires_ns", np.int64),  # 0: never
        ("amended_tick", np.int32),  # wanted by an unacknowledged amendment
        ("amended_price", np.int32),
        ("amended_size", np.int64),
        ("amended_expires_ns", np.int64),
        ("amended_ns", np.int64),  # when it was decided, and on which best prices
        ("amended_bid", np.int32),
        ("amended_ask", np.int32),
        ("queue", np.int64),  # lots we believe in front of us, by the public book and prints alone
        ("bid_at_send", np.int32),  # best prices in pips when it was decided: what the spread cost is measured by
        ("ask_at_send", np.int32),
    ],
    align=True,
)


class CommandKind(IntEnum):
    """What we may tell the exchange."""

    CREATE = 1
    AMEND = 2  # price or size; a smaller size at the same price keeps its place in the queue
    CANCEL = 3


# What the trader sends. `size` counts filled lots too, so that a fill on the way cannot enlarge the order.
COMMAND = np.dtype(
    [
        ("kind", np.int8),
        ("slot", np.int8),
        ("side", np.int8),
        ("time_in_force", np.int8),
        ("post_only", np.int8),
        ("reduce_only", np.int8),
        ("tick", np.int32),
        ("price", np.int32),
        ("size", np.int64),
        ("id", np.int64),
        ("expires_ns", np.int64),
    ],
    align=True,
)

# What the exchange answers: an OrderEvent from ACK on.
MESSAGE = np.dtype(
    [
        ("event", np.int8),
        ("slot", np.int8),
        ("maker", np.int8),
        ("reason", np.int8),  # Refusal, for REFUSE
        ("price", np.int32),  # FILL: pips
        ("size", np.int64),  # FILL: lots
        ("fee", np.int64),  # FILL: micros
        ("id", np.int64),
        ("venue_ns", np.int64),  # when it happened
        ("visible_ns", np.int64),  # when the trader may know
        ("after_row", np.int64),  # and not before it has seen the tape up to here
    ],
    align=True,
)

# What a quoting policy wants standing in the market: both sides at once, without an action table.
QUOTE = np.dtype(
    [
        ("bid_price", np.int32),  # pips
        ("ask_price", np.int32),
        ("bid_size", np.int64),  # lots; 0: no order on that side
        ("ask_size", np.int64),
        ("bid_takes", np.int8),  # 1: immediate-or-cancel instead of post-only
        ("ask_takes", np.int8),
    ],
    align=True,
)
