"""The exchange's side of one row: our orders against a recorded book, on exchange time.

    accept_command   a command is on its way
    advance_venue    apply the tape and our own arrivals in the order in which they reach the exchange

A resting order fills on a print at or through its price, or when the other side shows a level there; never on touch or
cancel alone. An order decided at t meets only updates with an exchange time after t + entry.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from kalshi_ray.core.book import apply_to_book, book_dtype, consume, copy_book, next_level, shown
from kalshi_ray.core.fees import charge_fee
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import MAX_MESSAGES, MAX_WALK, MESSAGE, SLOTS, CommandKind, OrderEvent, Refusal, TimeInForce
from kalshi_ray.core.rules import PPM, FillModel
from kalshi_ray.core.tape import ASK_SIDE, BY_TRADE, LAG_UNKNOWN, OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind, Status
from kalshi_ray.core.units import DOLLAR, MICROSECOND, Side

QUEUE_EXPONENT = 3  # of the fitted model, until there is data to fit it
MAX_TAKEN = 128  # own consumptions that the trader has not seen yet

BID, ASK = int(Side.BID), int(Side.ASK)
SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, TRADE, GAP, STATUS, FEE, SETTLEMENT = (
    int(Kind.SNAPSHOT_LEVEL),
    int(Kind.SNAPSHOT_END),
    int(Kind.DELTA),
    int(Kind.TRADE),
    int(Kind.GAP),
    int(Kind.STATUS),
    int(Kind.FEE),
    int(Kind.SETTLEMENT),
)
ACTIVE, INACTIVE = int(Status.ACTIVE), int(Status.INACTIVE)
CREATE, AMEND, CANCEL = int(CommandKind.CREATE), int(CommandKind.AMEND), int(CommandKind.CANCEL)
ACK, REFUSE, FILL, DONE = int(OrderEvent.ACK), int(OrderEvent.REFUSE), int(OrderEvent.FILL), int(OrderEvent.DONE)
GTC = int(TimeInForce.GTC)
WOULD_CROSS, MARKET_STATE = int(Refusal.WOULD_CROSS), int(Refusal.MARKET_STATE)
PESSIMISTIC, FITTED, OPTIMISTIC = int(FillModel.PESSIMISTIC), int(FillModel.FITTED), int(FillModel.OPTIMISTIC)
NEVER = 2**62

# One order on the exchange, and the command that is on its way to it.
VENUE_ORDER = np.dtype(
    [
        ("live", np.int8),
        ("side", np.int8),
        ("post_only", np.int8),
        ("reduce_only", np.int8),
        ("time_in_force", np.int8),
        ("pending", np.int8),  # CommandKind on its way, 0 none
        ("tick", np.int32),
        ("pending_tick", np.int32),
        ("size", np.int64),  # lots in all
        ("filled", np.int64),
        ("queue", np.int64),  # lots in front of us
        ("owed", np.int64),  # decreases by trade at our level less prints there: which of the two came first
        ("pending_size", np.int64),
        ("id", np.int64),
        ("expires_ns", np.int64),  # 0 never
        ("pending_expires_ns", np.int64),
        ("arrives_ns", np.int64),
        ("fee_held", np.int64),  # micros of rounding not paid back yet
    ],
    align=True,
)

# What we took out of the recorded book: applied to the book that the trader sees at the same place of the tape.
TAKEN = np.dtype(
    [("before_row", np.int64), ("visible_ns", np.int64), ("lots", np.int64), ("tick", np.int32), ("side", np.int32)],
    align=True,
)

@cache
def venue_dtype(levels: int) -> np.dtype[np.void]:
    """The VENUE record for books of L = `levels` prices."""
    fields = [

        ("book", book_dtype(levels)),
        ("cursor", np.int64),  # next row of the tape
        ("stop", np.int64),
        ("clock_ns", np.int64),
        ("next_own_ns", np.int64),  # earliest arrival or expiry of ours
        ("status", np.int32),
        ("taker_ppm", np.int32),
        ("maker_ppm", np.int32),
        ("position", np.int64),  # lots, as the exchange knows it: what reduce-only is measured by
        ("orders", VENUE_ORDER, SLOTS),
        ("live", np.int32),  # resting orders
        ("messages", MESSAGE, MAX_MESSAGES),
        ("message_start", np.int32),
        ("message_count", np.int32),
        ("taken", TAKEN, MAX_TAKEN),
        ("taken_start", np.int32),
        ("taken_count", np.int32),
        ("chance", np.uint64),  # state of the latency draw
    ]
    return np.dtype(fields, align=True)


@kernel
def start_venue(venue, trader, row_start, row_stop):  # type: ignore[no-untyped-def]
    """Begin an episode at row `row_start` of the tape, with the book and the terms that a fresh trader knows."""
    venue.cursor = row_start
    venue.stop = row_stop
    venue.clock_ns = -NEVER
    venue.next_own_ns = NEVER
    venue.status = trader.status
    venue.taker_ppm = trader.taker_ppm
    venue.maker_ppm = trader.maker_ppm
    venue.position = 0
    venue.live = 0
    venue.message_start = 0
    venue.message_count = 0
    venue.taken_start = 0
    venue.taken_count = 0
    for slot in range(SLOTS):
        venue.orders[slot].live = 0
        venue.orders[slot].pending = 0
    copy_book(trader.book, venue.book)


@kernel
def venue_time(update, feed_ns):  # type: ignore[no-untyped-def]
    """Exchange time of a row in ns; receive time less the feed latency where it was not recorded."""
    if update.lag_us == LAG_UNKNOWN:
        return update.recv_ns - feed_ns
    return (update.recv_ns // MICROSECOND - update.lag_us) * MICROSECOND


@kernel
def draw_latency(venue, latency, spread_ppm):  # type: ignore[no-untyped-def]
    """The latency, or one drawn evenly within its spread (splitmix64: the state is part of the row)."""
    if spread_ppm == 0:
        return latency
    venue.chance = venue.chance + np.uint64(0x9E3779B97F4A7C15)
    mixed = venue.chance
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    share = np.int64(mixed >> np.uint64(32)) * 2 * spread_ppm // 2**32 - spread_ppm
    return latency + latency * share // PPM


@kernel
def _tell(venue, rules, slot, event, reason, price, size, fee, maker):  # type: ignore[no-untyped-def]
    """Queue one answer. Fills of a resting order at one price merge while many of them wait."""
    visible = venue.clock_ns + draw_latency(venue, rules.response_ns, rules.latency_spread_ppm)
    order = venue.orders[slot]
    if venue.message_count > 0:
        last = venue.messages[(venue.message_start + venue.message_count - 1) % MAX_MESSAGES]
        visible = max(visible, last.visible_ns)
        crowded = venue.message_count >= MAX_MESSAGES // 4 and maker != 0
        if crowded and last.event == FILL and last.slot == slot and last.maker != 0 and last.price == price:
            last.size += size
            last.fee += fee
            last.visible_ns = visible
            last.after_row = venue.cursor
            return
    message = venue.messages[(venue.message_start + venue.message_count) % MAX_MESSAGES]
    venue.message_count += 1
    message.event = event
    message.slot = slot
    message.maker = maker
    message.reason = reason
    message.price = price
    message.size = size
    message.fee = fee
    message.id = order.id
    message.venue_ns = venue.clock_ns
    message.visible_ns = visible
    message.after_row = venue.cursor


@kernel
def _fill(venue, rules, slot, price, size, maker):  # type: ignore[no-untyped-def]
    """Execute `size` lots of an order at `price` pips; a complete order is done."""
    order = venue.orders[slot]
    position = venue.position if order.side == BID else -venue.position
    closing = min(size, max(0, -position))
    paid = price if order.side == BID else DOLLAR - price
    revenue = closing * (DOLLAR - paid) - (size - closing) * paid
    rate = venue.maker_ppm if maker else venue.taker_ppm
    fee = charge_fee(order, size, price, revenue, rate, rules.fee_precision)
    order.filled += size
    venue.position += size if order.side == BID else -size
    _tell(venue, rules, slot, FILL, 0, price, size, fee, maker)


@kernel
def _finish(venue, rules, slot):  # type: ignore[no-untyped-def]
    """Take an order off the book: complete, cancelled or expired. A command on its way to it finds nothing."""
    order = venue.orders[slot]
    order.live = 0
    order.pending = 0
    venue.live -= 1
    _tell(venue, rules, slot, DONE, 0, 0, 0, 0, 0)


@kernel
def _fill_resting(venue, rules, slot, lots):  # type: ignore[no-untyped-def]
    """Fill a resting order at its own price with what is left of `lots`; return the lots filled."""
    order = venue.orders[slot]
    size = min(lots, order.size - order.filled)
    if size <= 0 or venue.message_count >= MAX_MESSAGES - 2 * (MAX_WALK + 2):
        return 0
    _fill(venue, rules, slot, venue.book.prices[order.tick], size, 1)
    if order.filled == order.size:
        _finish(venue, rules, slot)
    return size


@kernel
def _meet_print(venue, rules, slot, tick, lots):  # type: ignore[no-untyped-def]
    """A print of `lots` at `tick` that may have hit the resting order in `slot`."""
    order = venue.orders[slot]
    through = tick < order.tick if order.side == BID else tick > order.tick
    if through:
        _fill_resting(venue, rules, slot, lots)
    elif tick == order.tick:
        ahead = min(order.queue, lots)
        order.queue -= ahead
        order.owed -= lots
        _fill_resting(venue, rules, slot, lots - ahead)


@kernel
def _meet_cancel(venue, rules, order, before, lots):  # type: ignore[no-untyped-def]
    """A cancel of `lots` at our level, which showed `before`: our place by the fill model, clipped to what is left."""
    if rules.fill_model == OPTIMISTIC:
        order.queue = max(0, order.queue - lots)
    elif rules.fill_model == FITTED and before > 0:
        ahead = min(1.0, order.queue / before)
        order.queue -= int(lots * ahead**QUEUE_EXPONENT)
    order.queue = min(order.queue, max(0, venue.book.recorded[order.side, order.tick]) + max(0, order.owed))


@kernel
def _meet_far_side(venue, rules, slot):  # type: ignore[no-untyped-def]
    """Fill a resting order from levels of the other side that stand at or through its price, the queue first."""
    order = venue.orders[slot]
    book = venue.book
    far = 1 - order.side
    tick = book.best[far]
    while venue.orders[slot].live and 0 <= tick < book.levels and (order.tick - tick) * (1 - 2 * order.side) >= 0:
        lots = shown(book, far, tick) - order.queue
        behind = next_level(book, far, tick)
        if lots > 0 and venue.taken_count < MAX_TAKEN - 2 * MAX_WALK:
            filled = _fill_resting(venue, rules, slot, lots)
            _take(venue, rules, far, tick, filled)
        tick = behind


@kernel
def _take(venue, rules, side, tick, lots):  # type: ignore[no-untyped-def]
    """Remove lots from the venue's book and remember to remove them from the one the trader sees."""
    if lots <= 0:
        return
    consume(venue.book, side, tick, lots)
    taken = venue.taken[(venue.taken_start + venue.taken_count) % MAX_TAKEN]
    venue.taken_count += 1
    taken.before_row = venue.cursor
    taken.visible_ns = venue.clock_ns + rules.feed_ns
    taken.side = side
    taken.tick = tick
    taken.lots = lots


@kernel
def _take_through(venue, rules, slot):  # type: ignore[no-untyped-def]
    """Walk the shown ladder up to the order's limit; reduce-only orders stop at a flat position."""
    order = venue.orders[slot]
    book = venue.book
    far = 1 - order.side
    better = 1 - 2 * order.side
    tick = book.best[far]
    walked = 0
    while order.filled < order.size and walked < MAX_WALK and 0 <= tick < book.levels:
        if (order.tick - tick) * better < 0:
            break
        wanted = order.size - order.filled
        if order.reduce_only:
            wanted = min(wanted, max(0, venue.position if order.side == ASK else -venue.position))
        lots = min(wanted, shown(book, far, tick))
        if lots <= 0:
            break
        behind = next_level(book, far, tick)
        _take(venue, rules, far, tick, lots)
        _fill(venue, rules, slot, venue.book.prices[tick], lots, 0)
        walked += 1
        tick = behind


@kernel
def _crosses(book, side, tick):  # type: ignore[no-untyped-def]
    if side == BID:
        return book.best[1] < book.levels and tick >= book.best[1]
    return book.best[0] >= 0 and tick <= book.best[0]


@kernel
def _join_queue(venue, order):  # type: ignore[no-untyped-def]
    order.queue = shown(venue.book, order.side, order.tick)
    order.owed = 0


@kernel
def accept_command(venue, rules, command, now):  # type: ignore[no-untyped-def]
    """Put a command on its way; it arrives after the entry latency."""
    order = venue.orders[command.slot]
    if command.kind != CREATE and not order.live:
        return  # the order is done already and the trader will hear it
    order.pending = command.kind
    order.arrives_ns = now + draw_latency(venue, rules.entry_ns, rules.latency_spread_ppm)
    order.pending_tick = command.tick
    order.pending_size = command.size
    order.pending_expires_ns = command.expires_ns
    if command.kind == CREATE:
        order.id = command.id
        order.side = command.side
        order.post_only = command.post_only
        order.reduce_only = command.reduce_only
        order.time_in_force = command.time_in_force
        order.filled = 0
        order.fee_held = 0
    venue.next_own_ns = min(venue.next_own_ns, order.arrives_ns)


@kernel
def _arrive(venue, rules, slot):  # type: ignore[no-untyped-def]
    """A command reaches the exchange."""
    order = venue.orders[slot]
    kind = order.pending
    order.pending = 0
    if kind == CANCEL:
        _finish(venue, rules, slot)
    elif kind == CREATE:
        _arrive_create(venue, rules, slot)
    else:
        _arrive_amend(venue, rules, slot)


@kernel
def _arrive_create(venue, rules, slot):  # type: ignore[no-untyped-def]
    order = venue.orders[slot]
    order.tick = order.pending_tick
    order.size = order.pending_size
    order.expires_ns = order.pending_expires_ns
    if venue.status != ACTIVE or not venue.book.known:
        _tell(venue, rules, slot, REFUSE, MARKET_STATE, 0, 0, 0, 0)
        return
    if order.post_only and _crosses(venue.book, order.side, order.tick):
        _tell(venue, rules, slot, REFUSE, WOULD_CROSS, 0, 0, 0, 0)
        return
    _take_through(venue, rules, slot)
    if order.time_in_force != GTC or order.filled == order.size:
        _tell(venue, rules, slot, DONE, 0, 0, 0, 0, 0)
        return
    order.live = 1
    venue.live += 1
    _join_queue(venue, order)
    _tell(venue, rules, slot, ACK, 0, 0, 0, 0, 0)


@kernel
def _arrive_amend(venue, rules, slot):  # type: ignore[no-untyped-def]
    """A smaller size at the same price keeps its place; anything else goes to the back. Crossing is refused."""
    order = venue.orders[slot]
    if order.pending_size <= order.filled:
        _finish(venue, rules, slot)
        return
    moved = order.pending_tick != order.tick
    if moved and order.post_only and _crosses(venue.book, order.side, order.pending_tick):
        _tell(venue, rules, slot, REFUSE, WOULD_CROSS, 0, 0, 0, 0)
        return
    requeued = moved or order.pending_size > order.size
    order.tick = order.pending_tick
    order.size = order.pending_size
    order.expires_ns = order.pending_expires_ns
    if requeued:
        _join_queue(venue, order)
    _tell(venue, rules, slot, ACK, 0, 0, 0, 0, 0)


@kernel
def _own_events(venue, rules, until, expiries):  # type: ignore[no-untyped-def]
    """Arrivals up to `until`, by time, cancels of resting orders before new ones; and expiries where asked for."""
    while True:
        at, chosen, expiring = NEVER, -1, False
        for slot in range(SLOTS):
            order = venue.orders[slot]
            if order.pending and order.arrives_ns < at:
                at, chosen, expiring = order.arrives_ns, slot, False
            if order.live and order.expires_ns > 0 and order.expires_ns <= at:
                at, chosen, expiring = order.expires_ns, slot, True
        if chosen < 0 or at > until or (at == until and expiries and not expiring):
            venue.next_own_ns = at
            return
        venue.clock_ns = max(venue.clock_ns, at)
        if expiring:
            _finish(venue, rules, chosen)
        else:
            _arrive(venue, rules, chosen)


@kernel
def _cancel_all(venue, rules):  # type: ignore[no-untyped-def]
    for slot in range(SLOTS):
        if venue.orders[slot].live:
            _finish(venue, rules, slot)


@kernel
def _meet_row(venue, rules, update, before):  # type: ignore[no-untyped-def]
    """What a row of the tape does to our resting orders; `before` is what its level showed before it."""
    side = update.flags & ASK_SIDE
    tick = int(update.tick)
    if update.kind == TRADE:
        if tick < 0 or update.flags & OFF_BOOK:
            return
        if venue.orders[BID].live and not update.flags & TAKER_BOUGHT:
            _meet_print(venue, rules, BID, tick, int(update.size))
        if venue.orders[ASK].live and not update.flags & TAKER_SOLD:
            _meet_print(venue, rules, ASK, tick, int(update.size))
        return
    order = venue.orders[side]
    if update.kind == DELTA and update.size < 0 and order.live and order.tick == tick:
        if update.flags & BY_TRADE:
            order.owed -= int(update.size)
        else:
            _meet_cancel(venue, rules, order, before, -int(update.size))
    if update.kind == DELTA and update.size < 0:
        return
    if update.kind == SNAPSHOT_END:
        for slot in (BID, ASK):
            kept = venue.orders[slot]
            if kept.live:
                kept.queue = min(kept.queue, venue.book.recorded[slot, kept.tick])
    for slot in (BID, ASK):
        if venue.orders[slot].live and _crosses(venue.book, slot, venue.orders[slot].tick):
            _meet_far_side(venue, rules, slot)


@kernel
def advance_venue(venue, rules, updates, values, until):  # type: ignore[no-untyped-def]
    """Apply everything that reaches the exchange up to `until`, ns: at one time expiries, then the tape, then arrivals."""
    while venue.cursor < venue.stop:
        update = updates[venue.cursor]
        at = venue_time(update, rules.feed_ns)
        if at > until:
            break
        if venue.next_own_ns <= at:
            _own_events(venue, rules, at, True)
        venue.clock_ns = max(venue.clock_ns, at)
        venue.cursor += 1
        kind = update.kind
        if kind < GAP:
            before = 0
            if venue.live and kind == DELTA:
                before = venue.book.recorded[update.flags & ASK_SIDE, int(update.tick)]
            if kind != TRADE:
                apply_to_book(venue.book, update)
            if venue.live and kind != SNAPSHOT_LEVEL:
                _meet_row(venue, rules, update, before)
        elif kind == GAP:
            apply_to_book(venue.book, update)
            _cancel_all(venue, rules)
        elif kind == STATUS:
            if venue.status != update.size and (update.size != INACTIVE):
                _cancel_all(venue, rules)
            venue.status = update.size
        elif kind == FEE:
            venue.taker_ppm = values[update.size]
            venue.maker_ppm = values[update.size + 1]
        elif kind == SETTLEMENT:
            _cancel_all(venue, rules)
    if venue.next_own_ns <= until:
        _own_events(venue, rules, until, False)
    venue.clock_ns = max(venue.clock_ns, until)
