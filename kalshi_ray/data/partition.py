"""Rows in arrival order, parted by market: a counting sort that writes the records of the tape.

Two passes over the columns: `count_rows` says how much room each view needs, `place_rows` writes each row into the
room of its view. A row with market -1 goes into the view of every market it concerns.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import ASK_SIDE, LAG_UNKNOWN, OFF_BOOK, TAKER_BOUGHT, TAKER_SOLD, GapCause, Kind, Status
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.columns import LARGEST_SIZE
from kalshi_ray.data.schema import FLAG_BLOCK

SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, TRADE, GAP = (int(kind) for kind in list(Kind)[:5])
STATUS, SCHEDULE, GRID, FEE, SETTLEMENT, SIGNAL = (int(kind) for kind in list(Kind)[5:])
LAST_STATUS = int(max(Status))
RECORDER = int(GapCause.RECORDER)
LARGEST_LAG = 2**31 - 1  # microseconds: 35 minutes


class Fault(IntEnum):
    """Why a row cannot stand on a tape."""

    NONE = 0
    MARKET = 1
    KIND = 2
    TIME = 3
    OFF_GRID = 4
    SIDE = 5
    SIZE = 6
    FUTURE = 7
    VALUE = 8
    EVERYBODY = 9


FAULT_MARKET, FAULT_KIND, FAULT_TIME, FAULT_OFF_GRID, FAULT_SIDE, FAULT_SIZE, FAULT_FUTURE, FAULT_VALUE, FAULT_ALL = (
    int(fault) for fault in list(Fault)[1:]
)

TALLY = np.dtype(
    [
        ("values", np.int64),  # room needed in `values`; while placing: room taken
        ("trades", np.int64),
        ("grid_rows", np.int64),
        ("for_all", np.int64),  # rows with market -1; while placing: how many of them are done
        ("updates", np.int64),  # all rows of the session
        ("large", np.int64),  # rows whose size does not fit 32 bits
        ("fault", np.int64),
        ("fault_row", np.int64),  # inside the run of columns
    ]
)


class Target(NamedTuple):
    """Where rows go, and what is needed to place them. V views, X axes, M markets."""

    updates: NDArray[np.void]  # [U] UPDATE
    values: NDArray[np.int64]  # [N]
    cursor: NDArray[np.int64]  # [V] next row of each view
    start: NDArray[np.int64]  # [V] first row of each view
    is_over: NDArray[np.uint8]  # [V] 1 after the market's result, or once it is recorded no longer
    view_of: NDArray[np.int32]  # [M] view of a market, -1 not chosen
    axis: NDArray[np.int32]  # [V]
    ticks: NDArray[np.int16]  # [X, DOLLAR + 1]
    regrid: NDArray[np.int32]  # [X, grids of the manifest]
    reach: NDArray[np.uint8]  # [D, V] 1 where a row for all concerns the view, by kind of subscription
    reach_of: NDArray[np.int32]  # [rows for all] row of `reach`


@kernel
def count_rows(heads, view_of, rows, tally):
    """Add the rows of each chosen view to `rows` [V], and what else needs room to `tally`; stops at a fault."""
    for i in range(len(heads.market)):
        market = heads.market[i]
        kind = heads.kind[i]
        if market < -1 or market >= len(view_of):
            tally.fault = FAULT_MARKET
            tally.fault_row = i
            return
        if kind < SNAPSHOT_LEVEL or kind > SIGNAL:
            tally.fault = FAULT_KIND
            tally.fault_row = i
            return
        if market == -1:
            tally.for_all += 1
        elif view_of[market] >= 0:
            rows[view_of[market]] += 1
        if kind <= TRADE:
            tally.trades += kind == TRADE
            tally.large += abs(heads.size[i]) > LARGEST_SIZE
        elif kind == GRID:
            tally.grid_rows += 1
            tally.values += 1
        elif kind == FEE:
            tally.values += 2
        elif kind in (SCHEDULE, SIGNAL):
            tally.values += 1


@kernel
def _fault_of(kind, market, side, price, size, lag):
    """What is wrong with a row by itself, 0 for nothing."""
    if lag < -LARGEST_LAG and lag != LAG_UNKNOWN:
        return FAULT_FUTURE
    if market < 0 and kind != GAP and kind != STATUS and kind != SIGNAL:
        return FAULT_ALL
    if kind in (SNAPSHOT_LEVEL, DELTA) and side != 0 and side != 1:
        return FAULT_SIDE
    if (kind == SNAPSHOT_LEVEL and size < 0) or (kind == TRADE and size <= 0):
        return FAULT_SIZE
    if kind == STATUS and (size < 0 or size > LAST_STATUS):
        return FAULT_VALUE
    if kind == SETTLEMENT and (price < 0 or price > DOLLAR):
        return FAULT_VALUE
    if kind == SIGNAL and (price < 0 or price >= 2**15):
        return FAULT_VALUE
    return 0


@kernel
def _lag(recv_ns, exch_ns):
    """Receive time less exchange time in microseconds, cut to what a row can hold; LAG_UNKNOWN where it is."""
    if exch_ns == 0:
        return LAG_UNKNOWN
    return min(recv_ns // 1000 - exch_ns // 1000, LARGEST_LAG)


@kernel
def _flags(kind, side, taker, flags, tick):
    """The bits of a tape row."""
    if kind in (SNAPSHOT_LEVEL, DELTA):
        return ASK_SIDE if side == 1 else 0
    if kind != TRADE:
        return 0
    by = TAKER_BOUGHT if taker == 0 else (TAKER_SOLD if taker == 1 else 0)
    return by | (OFF_BOOK if tick < 0 or flags & FLAG_BLOCK else 0)


@kernel
def _is_over(before, kind, size):
    """Whether nothing of others concerns a market any more, after a row of its own."""
    if kind == SETTLEMENT or (kind == GAP and size == RECORDER):
        return 1
    return 0 if kind in (SNAPSHOT_LEVEL, SNAPSHOT_END) else before


@kernel
def last_recorded(updates, start, stop):
    """Move each `stop` [V] before the rows that end its view by saying that the recorder stopped: nothing was missed.

    A view of such rows alone keeps them.
    """
    for view in range(len(stop)):
        at = stop[view]
        while at > start[view] and updates[at - 1].kind == GAP and updates[at - 1].size == RECORDER:
            at -= 1
        if at > start[view]:
            stop[view] = at


@kernel
def place_rows(columns, target, tally):
    """Write all rows into the room of their views, in order; stops at a fault and says which row in `tally`.

    Calls take numbers, never arrays: counting references to arrays would cost more than the sort.
    """
    updates, values, cursor, axis = target.updates, target.values, target.cursor, target.axis
    views = len(cursor)
    for i in range(len(columns.market)):
        market, kind = columns.market[i], int(columns.kind[i])
        side, price, size = columns.side[i], columns.price[i], columns.size[i]
        recv_ns = columns.recv_ns[i]
        lag = _lag(recv_ns, columns.exch_ns[i])
        fault = _fault_of(kind, market, side, price, size, lag)
        first, last, reach = 0, views, -1
        if market >= 0:
            first = target.view_of[market]
            last = first + 1 if first >= 0 else first
            fault = fault if first >= 0 else 0  # a market that was not chosen may be damaged
        else:
            reach = target.reach_of[tally.for_all]
            tally.for_all += 1
        if kind == SETTLEMENT:
            size = price
        elif kind > STATUS:
            values[tally.values] = size
            size = tally.values
            tally.values += 1
            if kind == FEE:
                values[tally.values] = price
                tally.values += 1
        for view in range(first, last):
            if fault != 0 or (reach >= 0 and not target.reach[reach, view]):
                continue
            at = cursor[view]
            if reach < 0:
                target.is_over[view] = _is_over(target.is_over[view], kind, size)
            elif target.is_over[view] or (kind == GAP and at == target.start[view]):
                continue
            tick = -1
            if kind <= TRADE and kind != SNAPSHOT_END:
                tick = int(target.ticks[axis[view], price]) if 0 <= price <= DOLLAR else -1
                if tick < 0 and kind != TRADE:
                    fault = FAULT_OFF_GRID
            elif kind == SIGNAL:
                tick = int(price)
            elif kind == GRID:
                values[size] = target.regrid[axis[view], values[size]]
            if at > target.start[view] and updates[at - 1].recv_ns > recv_ns:
                fault = FAULT_TIME
            update = updates[at]
            update.recv_ns = recv_ns
            update.lag_us = lag
            update.size = size
            update.tick = tick
            update.kind = kind
            update.flags = _flags(kind, side, columns.taker[i], columns.flags[i], tick)
            cursor[view] = at + 1
        if fault != 0:
            tally.fault = fault
            tally.fault_row = i
            return
