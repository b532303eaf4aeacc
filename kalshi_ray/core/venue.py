"""The exchange's side of one row as a record: its book, our orders on it, and the answers on their way to us."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from functools import cache

import numpy as np

from kalshi_ray.core.book import book_dtype, copy_book
from kalshi_ray.core.jit import kernel
from kalshi_ray.core.orders import MAX_MESSAGES, MESSAGE, SLOTS, OrderEvent
from kalshi_ray.core.rules import PPM
from kalshi_ray.core.tape import LAG_UNKNOWN
from kalshi_ray.core.units import MICROSECOND

MAX_TAKEN = 128  # own consumptions that the trader has not seen yet
NEVER = 2**62  # ns

FILL = int(OrderEvent.FILL)

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
def start_venue(venue, trader, row_start, row_stop):
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
def venue_time(update, feed_ns):
    """Exchange time of a row in ns; receive time less the feed latency where it was not recorded."""
    if update.lag_us == LAG_UNKNOWN:
        return update.recv_ns - feed_ns
    return (update.recv_ns // MICROSECOND - update.lag_us) * MICROSECOND


@kernel
def draw_latency(venue, latency, spread_ppm):
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
def tell(venue, rules, slot, event, reason, price, size, fee, maker):
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
