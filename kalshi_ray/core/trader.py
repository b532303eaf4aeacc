"""The trader machine of one row: updates in, observation out, action in, commands out.

    see_update       apply one row of the tape to what the trader knows
    due_time         when it must decide next, by the timer rule
    wake             it is time: marks, history
    decide           an action becomes commands (core.risk says whether it may)
    hear             an answer of the exchange

The environment feeds it from a view and `core.matching`; live trading feeds it from the socket. Only the source of the
answers differs.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import math
from functools import cache

import numpy as np

from kalshi_ray.core.book import apply_to_book, book_dtype, is_crossed, load_grid, shown
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import (
    COMMAND,
    LIFE_CYCLE,
    MAX_COMMANDS,
    NO_STATE,
    ORDER,
    SLOTS,
    OrderEvent,
    OrderState,
)
from kalshi_ray.core.portfolio import ACCOUNT, apply_fill, apply_refund, closing_part, equity
from kalshi_ray.core.rules import PPM
from kalshi_ray.core.tape import OFF_BOOK, TAKER_BOUGHT, Kind, Status
from kalshi_ray.core.units import DOLLAR, Side

HISTORY = 10  # decisions that temporal features look back on
SIGNALS = 4  # external values a row can observe
NEVER = 2**62  # ns

BID = int(Side.BID)
DELTA, GAP, TRADE, STATUS, SCHEDULE, GRID, FEE, SETTLEMENT, SIGNAL = (
    int(Kind.DELTA),
    int(Kind.GAP),
    int(Kind.TRADE),
    int(Kind.STATUS),
    int(Kind.SCHEDULE),
    int(Kind.GRID),
    int(Kind.FEE),
    int(Kind.SETTLEMENT),
    int(Kind.SIGNAL),
)
ACTIVE = int(Status.ACTIVE)
ACK, REFUSE, FILL, DONE = int(OrderEvent.ACK), int(OrderEvent.REFUSE), int(OrderEvent.FILL), int(OrderEvent.DONE)
FREE, AMENDING = int(OrderState.FREE), int(OrderState.AMENDING)


@cache
def trader_dtype(levels: int) -> np.dtype[np.void]:
    """The TRADER record for books of L = `levels` prices."""
    fields = [
        # the market
        ("view_index", np.int32),
        ("status", np.int32),
        ("taker_ppm", np.int32),
        ("maker_ppm", np.int32),
        ("open_ns", np.int64),
        ("close_ns", np.int64),  # scheduled, as known now; 0 unknown
        ("settled", np.int8),
        ("settlement", np.int32),  # pips per YES
        ("signals", np.float32, SIGNALS),
        ("book", book_dtype(levels)),
        # the clock
        ("now_ns", np.int64),
        ("started_ns", np.int64),
        ("changed_ns", np.int64),  # first change nobody has decided on; NEVER: none
        ("decided_ns", np.int64),  # last decision
        ("decisions", np.int64),
        # money
        ("account", ACCOUNT),
        ("mark_bid", np.int32),  # pips; 0 where a known book has no bid
        ("mark_ask", np.int32),  # pips; a dollar where a known book has no ask
        ("equity", np.int64),
        ("peak_equity", np.int64),
        ("drawdown", np.int64),  # deepest fall of equity so far
        ("peak_exposure", np.int64),  # most capital in use: cost of the position and collateral of orders
        ("opened_ns", np.int64),  # when the position last left zero
        # orders
        ("orders", ORDER, SLOTS),
        ("commands", COMMAND, MAX_COMMANDS),
        ("command_count", np.int32),
        ("next_id", np.int64),
        ("budget_ns", np.int64),  # time at which the command budget is full again
        ("commanded_ns", np.int64),  # last command; 0 none yet
        ("holds_in_row", np.int32),
        # what the policy reads at a decision
        ("best_bid", np.int32),  # pips; -1 missing
        ("best_ask", np.int32),  # pips; -1 missing
        ("bid_size", np.int64),  # lots at the touch
        ("ask_size", np.int64),
        ("history_mid", np.int32, HISTORY),  # half pips: bid + ask; the newest entry stands first
        ("history_updates", np.int32, HISTORY),  # book changes between decisions
        ("history_activity", np.float64, HISTORY),  # tanh of their number / 20
        ("history_ns", np.int64, HISTORY),
        ("history_spread", np.int32, HISTORY),  # pips
        ("history_count", np.int32),
        ("updates_since", np.int32),  # book changes since the last decision
        # the event's other markets
        ("sibling_cursor", np.int64),
        ("sibling_bid_sum", np.int64),
        ("sibling_ask_sum", np.int64),
        ("sibling_bid_move", np.int32),
        ("sibling_ask_move", np.int32),
        # counters of the episode
        ("sent", np.int64),  # orders
        ("filled_orders", np.int64),
        ("fills", np.int64),
        ("maker_fills", np.int64),
        ("traded", np.int64),  # lots
        ("stake", np.int64),  # micros paid to open
        ("refused", np.int64),  # masked actions that came anyway
        ("rejected", np.int64),  # by the exchange
        ("holds", np.int64),
        ("spread_cost", np.int64),  # micros paid to the other side of the spread by taking
        ("clipped", np.int64),  # features cut at their bounds
        ("fault", np.int32),  # an answer that the life cycle does not know: 1 + 16 x state + event
    ]
    return np.dtype(fields, align=True)


@kernel
def start_trader(trader, view, bankroll, now):
    """Begin an episode with an empty ledger and no memory. The book is set apart (`load_book`)."""
    trader.status = view.status
    trader.taker_ppm = view.taker_ppm
    trader.maker_ppm = view.maker_ppm
    trader.open_ns = view.open_ns
    trader.close_ns = view.close_ns
    trader.settled = 0
    trader.settlement = 0
    for index in range(SIGNALS):
        trader.signals[index] = 0.0
    trader.now_ns = now
    trader.started_ns = now
    trader.changed_ns = NEVER
    trader.decided_ns = -NEVER
    trader.decisions = 0
    account = trader.account
    account.cash = bankroll
    account.position = 0
    account.cost = 0
    account.realized = 0
    account.fees = 0
    account.refund = 0
    trader.mark_bid = 0
    trader.mark_ask = DOLLAR
    trader.best_bid = -1
    trader.best_ask = -1
    trader.bid_size = 0
    trader.ask_size = 0
    trader.equity = bankroll
    trader.peak_equity = bankroll
    trader.drawdown = 0
    trader.peak_exposure = 0
    trader.opened_ns = 0
    for slot in range(SLOTS):
        trader.orders[slot].state = FREE
        trader.orders[slot].filled = 0
        trader.orders[slot].size = 0
    trader.command_count = 0
    trader.next_id = 1
    trader.budget_ns = -NEVER
    trader.commanded_ns = 0
    trader.holds_in_row = 0
    trader.history_count = 0
    trader.updates_since = 0
    _clear_counters(trader)


@kernel
def _clear_counters(trader):
    trader.sent = 0
    trader.filled_orders = 0
    trader.fills = 0
    trader.maker_fills = 0
    trader.traded = 0
    trader.stake = 0
    trader.refused = 0
    trader.rejected = 0
    trader.holds = 0
    trader.spread_cost = 0
    trader.clipped = 0
    trader.fault = 0


@kernel
def see_update(trader, update):
    """Apply one row of the tape. A change of the public book starts the timer; trades do not.

    Rows that refer to `values` are for `see_notice`: `is_notice` tells.
    """
    kind = update.kind
    if kind < TRADE:
        if apply_to_book(trader.book, update):
            trader.updates_since += 1
            if trader.changed_ns == NEVER:
                trader.changed_ns = update.recv_ns
        elif kind == DELTA and not trader.book.known and not trader.book.in_snapshot:
            trader.history_count = 0
    elif kind == TRADE:
        _see_print(trader, update)
    elif kind == GAP:
        apply_to_book(trader.book, update)
        trader.history_count = 0
    elif kind == STATUS:
        trader.status = update.size
        if update.size == ACTIVE and trader.changed_ns == NEVER:
            trader.changed_ns = update.recv_ns
    elif kind == SETTLEMENT:
        trader.settled = 1
        trader.settlement = update.size


@kernel
def is_notice(update):
    """Whether a row refers to `values`: schedule, grid, fee or signal."""
    return update.kind > STATUS and update.kind != SETTLEMENT


@kernel
def see_notice(trader, update, values, grids):
    """Apply a row that refers to `values`."""
    kind = update.kind
    if kind == SCHEDULE:
        trader.close_ns = values[update.size]
    elif kind == GRID:
        load_grid(trader.book, grids, values[update.size])
    elif kind == FEE:
        trader.taker_ppm = values[update.size]
        trader.maker_ppm = values[update.size + 1]
    elif kind == SIGNAL and update.tick < SIGNALS:
        trader.signals[update.tick] = np.float32(values[update.size] / 1_000_000)


@kernel
def _see_print(trader, update):
    """Move what we believe of our place in the queue; nothing else reads prints."""
    if update.flags & OFF_BOOK:
        return
    for side in range(2):
        order = trader.orders[side]
        # Bids are hit by takers who sell, asks by those who buy.
        if order.state != FREE and order.tick == update.tick and not update.flags & (TAKER_BOUGHT << side):
            order.queue = max(0, order.queue - update.size)


@kernel
def due_time(trader, rules):
    """When the row must decide: the first undecided change + the burst wait, an interval after the last decision."""
    if trader.changed_ns == NEVER:
        return NEVER
    return max(trader.changed_ns + rules.burst_ns, trader.decided_ns + rules.decision_ns)


@kernel
def is_decidable(trader):
    """Whether a decision may be taken: the market active, the book known and neither locked nor crossed."""
    return trader.status == ACTIVE and trader.book.known != 0 and not is_crossed(trader.book)


@kernel
def mark(trader):
    """Value the position: at the best bid or ask, a missing side of a known book being worth the worst.

    Only an unknown or crossed book keeps its last touch and mark.
    """
    book = trader.book
    if book.known and not is_crossed(book):
        trader.best_bid, trader.mark_bid, trader.bid_size = -1, 0, 0
        trader.best_ask, trader.mark_ask, trader.ask_size = -1, DOLLAR, 0
        if book.best[0] >= 0:
            trader.best_bid = trader.mark_bid = book.prices[book.best[0]]
            trader.bid_size = shown(book, 0, book.best[0])
        if book.best[1] < book.levels:
            trader.best_ask = trader.mark_ask = book.prices[book.best[1]]
            trader.ask_size = shown(book, 1, book.best[1])
    note_equity(trader, equity(trader.account, trader.mark_bid, trader.mark_ask))


@kernel
def note_equity(trader, value):
    """Set the equity, its peak and its deepest fall."""
    trader.equity = value
    trader.peak_equity = max(trader.peak_equity, value)
    trader.drawdown = max(trader.drawdown, trader.peak_equity - value)


@kernel
def wake(trader, now):
    """It is time to decide: set the clock, the touch and the mark, and push one entry of history."""
    trader.now_ns = now
    mark(trader)
    _remember(trader)
    trader.updates_since = 0
    trader.changed_ns = NEVER


@kernel
def _remember(trader):
    """Push one entry of history; the newest stands first."""
    for at in range(HISTORY - 1, 0, -1):
        trader.history_mid[at] = trader.history_mid[at - 1]
        trader.history_spread[at] = trader.history_spread[at - 1]
        trader.history_updates[at] = trader.history_updates[at - 1]
        trader.history_activity[at] = trader.history_activity[at - 1]
        trader.history_ns[at] = trader.history_ns[at - 1]
    trader.history_mid[0] = trader.mark_bid + trader.mark_ask
    trader.history_spread[0] = trader.mark_ask - trader.mark_bid
    trader.history_updates[0] = trader.updates_since
    trader.history_activity[0] = math.tanh(trader.updates_since / 20)
    trader.history_ns[0] = trader.now_ns
    trader.history_count = min(trader.history_count + 1, HISTORY)


@kernel
def decided(trader, was_hold):
    """Close a decision: the interval to the next one starts now."""
    trader.decided_ns = trader.now_ns
    trader.decisions += 1
    if was_hold:
        trader.holds += 1
        trader.holds_in_row += 1
    else:
        trader.holds_in_row = 0


@kernel
def hear(trader, rules, message):
    """Apply one answer of the exchange to the order and the ledger; an impossible one sets `fault`."""
    order = trader.orders[message.slot]
    following = LIFE_CYCLE[order.state, message.event]
    if following == NO_STATE or message.id != order.id:
        trader.fault = 1 + 16 * order.state + message.event
        return
    if message.event == FILL:
        _hear_fill(trader, rules, order, message)
    elif message.event == ACK and order.state == AMENDING:
        requeued = order.amended_tick != order.tick or order.amended_size > order.size
        order.tick = order.amended_tick
        order.price = order.amended_price
        order.size = order.amended_size
        order.expires_ns = order.amended_expires_ns
        order.sent_ns = order.amended_ns
        order.bid_at_send = order.amended_bid
        order.ask_at_send = order.amended_ask
        if requeued:
            order.queue = shown(trader.book, order.side, order.tick)
    elif message.event == ACK:
        order.queue = shown(trader.book, order.side, order.tick)
    elif message.event == REFUSE:
        trader.rejected += 1
    order.state = following


@kernel
def _hear_fill(trader, rules, order, message):
    account = trader.account
    opening = message.size - closing_part(account, order.side, message.size)
    paid = message.price if order.side == BID else DOLLAR - message.price
    was_flat = account.position == 0
    apply_fill(account, order.side, message.price, message.size, message.fee)
    if order.filled == 0:
        trader.filled_orders += 1
    order.filled += message.size
    trader.fills += 1
    trader.traded += message.size
    trader.stake += opening * paid
    if was_flat or (opening > 0 and opening == abs(account.position)):
        trader.opened_ns = message.venue_ns
    spread = 0
    if message.maker:
        trader.maker_fills += 1
    else:
        spread = _spread_cost(order, message.price) * opening
        trader.spread_cost += spread
    if rules.cost_share_ppm < PPM:
        apply_refund(account, (spread + message.fee) * (PPM - rules.cost_share_ppm) // PPM)


@kernel
def _spread_cost(order, price):
    """Pips by which an opening fill at `price` is marked down at once by the book of its decision; 0 if one-sided."""
    # Without an own side there was no spread: refunding the whole price would make a free ticket of it.
    if order.side == BID:
        return max(0, price - order.bid_at_send) if order.bid_at_send > 0 else 0
    return max(0, order.ask_at_send - price) if order.ask_at_send < DOLLAR else 0
