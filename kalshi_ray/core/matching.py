"""The exchange's side of one row: our orders against a recorded book, on exchange time.

    accept_command   a command is on its way
    advance_venue    apply the tape and our own arrivals in the order in which they reach the exchange

A resting order fills on a print at or through its price, or when the other side shows a level there; never on touch or
cancel alone. An order decided at t meets only updates with an exchange time after t + entry.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.book import apply_to_book, consume, next_level, shown
from kalshi_ray.core.fees import charge_fee
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import MAX_MESSAGES, MAX_WALK, SLOTS, CommandKind, OrderEvent, Refusal, TimeInForce
from kalshi_ray.core.rules import FillModel
from kalshi_ray.core.tape import ASK_SIDE, BY_TRADE, OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, Kind, Status
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.core.venue import MAX_TAKEN, NEVER, draw_latency, tell, venue_time

QUEUE_EXPONENT = 3  # of the fitted model, until there is data to fit it

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
ACTIVE, INACTIVE, FINALIZED = int(Status.ACTIVE), int(Status.INACTIVE), int(Status.FINALIZED)
CREATE, AMEND, CANCEL = int(CommandKind.CREATE), int(CommandKind.AMEND), int(CommandKind.CANCEL)
ACK, REFUSE, FILL, DONE = int(OrderEvent.ACK), int(OrderEvent.REFUSE), int(OrderEvent.FILL), int(OrderEvent.DONE)
GTC = int(TimeInForce.GTC)
WOULD_CROSS, MARKET_STATE = int(Refusal.WOULD_CROSS), int(Refusal.MARKET_STATE)
PESSIMISTIC, FITTED, OPTIMISTIC = int(FillModel.PESSIMISTIC), int(FillModel.FITTED), int(FillModel.OPTIMISTIC)


@kernel
def _fill(venue, rules, slot, price, size, maker):
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
    tell(venue, rules, slot, FILL, 0, price, size, fee, maker)


@kernel
def _finish(venue, rules, slot):
    """Take an order off the book: complete, cancelled or expired. A command on its way to it finds nothing."""
    order = venue.orders[slot]
    order.live = 0
    order.pending = 0
    venue.live -= 1
    tell(venue, rules, slot, DONE, 0, 0, 0, 0, 0)


@kernel
def _fill_resting(venue, rules, slot, lots):
    """Fill a resting order at its own price with what is left of `lots`; return the lots filled."""
    order = venue.orders[slot]
    size = min(lots, order.size - order.filled)
    if size <= 0 or venue.message_count >= MAX_MESSAGES - 2 * (MAX_WALK + 2):
        return 0
    _fill(venue, rules, slot, int(venue.book.prices[order.tick]), size, 1)
    if order.filled == order.size:
        _finish(venue, rules, slot)
    return size


@kernel
def _meet_print(venue, rules, slot, tick, lots):
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
def _clip_queue(venue, order):
    """No more stands in front of us than is displayed; a trade whose print is still to come is in front as well."""
    order.queue = min(order.queue, venue.book.recorded[order.side, order.tick] + max(0, order.owed))


@kernel
def _meet_cancel(venue, rules, order, before, lots):
    """A cancel of `lots` at our level, which showed `before`: our place by the fill model, clipped to what is left."""
    if rules.fill_model == OPTIMISTIC:
        order.queue = max(0, order.queue - lots)
    elif rules.fill_model == FITTED and before > 0:
        ahead = min(1.0, order.queue / before)
        share = 1.0
        for _ in range(QUEUE_EXPONENT):  # a power by `**` is rounded otherwise in plain Python
            share *= ahead
        order.queue -= int(lots * share)
    _clip_queue(venue, order)


@kernel
def _meet_far_side(venue, rules, slot):
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
def _take(venue, rules, side, tick, lots):
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
def _take_through(venue, rules, slot):
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
        _fill(venue, rules, slot, int(venue.book.prices[tick]), lots, 0)
        walked += 1
        tick = behind


@kernel
def _crosses(book, side, tick):
    if side == BID:
        return book.best[1] < book.levels and tick >= book.best[1]
    return book.best[0] >= 0 and tick <= book.best[0]


@kernel
def _join_queue(venue, order):
    order.queue = shown(venue.book, order.side, order.tick)
    order.owed = 0


@kernel
def accept_command(venue, rules, command, now):
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
def _arrive(venue, rules, slot):
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
def _arrive_create(venue, rules, slot):
    order = venue.orders[slot]
    order.tick = order.pending_tick
    order.size = order.pending_size
    order.expires_ns = order.pending_expires_ns
    if venue.status != ACTIVE or not venue.book.known:
        tell(venue, rules, slot, REFUSE, MARKET_STATE, 0, 0, 0, 0)
        return
    if order.post_only and _crosses(venue.book, order.side, order.tick):
        tell(venue, rules, slot, REFUSE, WOULD_CROSS, 0, 0, 0, 0)
        return
    _take_through(venue, rules, slot)
    if order.time_in_force != GTC or order.filled == order.size:
        tell(venue, rules, slot, DONE, 0, 0, 0, 0, 0)
        return
    order.live = 1
    venue.live += 1
    _join_queue(venue, order)
    tell(venue, rules, slot, ACK, 0, 0, 0, 0, 0)


@kernel
def _arrive_amend(venue, rules, slot):
    """A smaller size at the same price keeps its place; anything else goes to the back. Crossing is refused."""
    order = venue.orders[slot]
    if order.pending_size <= order.filled:
        _finish(venue, rules, slot)
        return
    if venue.status != ACTIVE or not venue.book.known:
        tell(venue, rules, slot, REFUSE, MARKET_STATE, 0, 0, 0, 0)
        return
    moved = order.pending_tick != order.tick
    if moved and order.post_only and _crosses(venue.book, order.side, order.pending_tick):
        tell(venue, rules, slot, REFUSE, WOULD_CROSS, 0, 0, 0, 0)
        return
    requeued = moved or order.pending_size > order.size
    order.tick = order.pending_tick
    order.size = order.pending_size
    order.expires_ns = order.pending_expires_ns
    if requeued:
        _join_queue(venue, order)
    tell(venue, rules, slot, ACK, 0, 0, 0, 0, 0)


@kernel
def _own_events(venue, rules, until, expiries):
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
def _cancel_all(venue, rules):
    for slot in range(SLOTS):
        if venue.orders[slot].live:
            _finish(venue, rules, slot)


@kernel
def _meet_row(venue, rules, update, before):
    """What a row of the tape does to our resting orders; `before` is what its level showed before it."""
    side = update.flags & ASK_SIDE
    tick = int(update.tick)
    if update.kind == TRADE:
        if tick < 0 or update.flags & OFF_BOOK or venue.status != ACTIVE:
            return
        if venue.orders[BID].live and not update.flags & TAKER_BOUGHT:
            _meet_print(venue, rules, BID, tick, int(update.size))
        if venue.orders[ASK].live and not update.flags & TAKER_SOLD:
            _meet_print(venue, rules, ASK, tick, int(update.size))
        return
    order = venue.orders[side]
    if update.kind == DELTA and update.size < 0 and order.live and order.tick == tick:
        if update.flags & BY_TRADE and venue.status == ACTIVE:
            order.owed -= int(update.size)
            _clip_queue(venue, order)
        else:
            _meet_cancel(venue, rules, order, before, -int(update.size))
    if update.kind == DELTA and update.size < 0:
        return
    if update.kind == SNAPSHOT_END:
        for slot in (BID, ASK):
            kept = venue.orders[slot]
            if kept.live:
                _clip_queue(venue, kept)
    if venue.status != ACTIVE:  # a paused market keeps orders and trades nothing
        return
    for slot in (BID, ASK):
        if venue.orders[slot].live and _crosses(venue.book, slot, venue.orders[slot].tick):
            _meet_far_side(venue, rules, slot)


@kernel
def advance_venue(venue, rules, updates, values, until):
    """Apply all that reaches the exchange up to `until`, ns: at one time expiries, then the tape, then arrivals."""
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
            if venue.live and kind != SNAPSHOT_LEVEL and (venue.book.known or kind == TRADE):
                _meet_row(venue, rules, update, before)
            elif venue.live and kind == DELTA and not venue.book.in_snapshot:
                # A damaged book is unknown until the next snapshot, as after a gap.
                _cancel_all(venue, rules)
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
            venue.status = FINALIZED
    if venue.next_own_ns <= until:
        _own_events(venue, rules, until, False)
    venue.clock_ns = max(venue.clock_ns, until)
