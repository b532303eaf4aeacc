"""What a session's rows say that cannot be: kernels that replay every book by price and count, with first examples.

The book here is by pip and not by tick, because off-grid levels are among the things to find. Everything a replay
touches is one record, which kernels pass by its address: arrays passed on are counted, which cost more than the work.
"""

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CONTRACT, DOLLAR
from kalshi_ray.data.schema import FLAG_BLOCK

SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, TRADE, GAP = (int(kind) for kind in list(Kind)[:5])
GRID, SETTLEMENT = int(Kind.GRID), int(Kind.SETTLEMENT)
EXAMPLES = 5  # rows named of every kind of finding
_BLOCK = 100  # pips whose levels are counted together, so that the next best price is found fast
BLOCKS = DOLLAR // _BLOCK + 1


class Check(IntEnum):
    """Kinds of findings that the replay makes; the value is their place in a TALLY."""

    NEGATIVE_LEVEL = 0
    LEVEL_OFF_GRID = auto()
    LEVEL_WITHOUT_SIDE = auto()
    LEVEL_WITHOUT_SIZE = auto()
    LEVEL_TWICE = auto()
    SNAPSHOT_CUT = auto()
    DELTA_ON_UNKNOWN = auto()
    LOCKED = auto()
    CROSSED = auto()
    CROSSED_LONG = auto()
    TRADE_OFF_GRID = auto()
    TRADE_IMPOSSIBLE = auto()
    BLOCK_TRADE = auto()
    GAP_AT_START = auto()
    REPEATED_SNAPSHOT = auto()
    FRACTIONAL_SIZE = auto()
    UNKNOWN_GRID = auto()
    SETTLEMENT_IMPOSSIBLE = auto()
    SETTLED_AGAIN = auto()
    ROW_AFTER_SETTLEMENT = auto()
    SEQUENCE_BACK = auto()
    SEQUENCE_SKIPPED = auto()


(
    NEGATIVE_LEVEL,
    LEVEL_OFF_GRID,
    LEVEL_WITHOUT_SIDE,
    LEVEL_WITHOUT_SIZE,
    LEVEL_TWICE,
    SNAPSHOT_CUT,
    DELTA_ON_UNKNOWN,
    LOCKED,
    CROSSED,
    CROSSED_LONG,
    TRADE_OFF_GRID,
    TRADE_IMPOSSIBLE,
    BLOCK_TRADE,
    GAP_AT_START,
    REPEATED_SNAPSHOT,
    FRACTIONAL_SIZE,
    UNKNOWN_GRID,
    SETTLEMENT_IMPOSSIBLE,
    SETTLED_AGAIN,
    ROW_AFTER_SETTLEMENT,
    SEQUENCE_BACK,
    SEQUENCE_SKIPPED,
) = (int(check) for check in Check)

# What the replay of one market saw.
STATS = np.dtype(
    [
        ("rows", np.int64),
        ("snapshots", np.int64),
        ("trades", np.int64),
        ("gaps", np.int64),
        ("unknown_ns", np.int64),  # in gaps
        ("crossed_ns", np.int64),  # locked or crossed
        ("longest_ns", np.int64),
        ("seen_bid", np.int64),
        ("seen_ask", np.int64),
        ("settled", np.int64),
    ]
)
_CHECKS = len(Check)

# Room for the replay of one market after another, and what was found in all of them.
WORK = np.dtype(
    [
        ("longest", np.int64),  # ns that a book may be crossed
        ("best", np.int32, 2),  # pips; 0 no bid, DOLLAR no ask
        ("levels", np.int32, 2),  # with a size
        ("known", np.int8),
        ("in_snapshot", np.int8),
        ("crossing", np.int8),  # 0 no, 1 locked, 2 crossed
        ("sid", np.int32),  # of the last row of the book
        ("changed_ns", np.int64),  # time of the last change
        ("changed_row", np.int64),  # -1 none yet
        ("crossing_ns", np.int64),  # since when
        ("crossing_row", np.int64),
        ("gap_ns", np.int64),  # since when unknown by a gap; 0 not
        ("value", np.int64),  # of the settlement
        ("stats", STATS),
        ("sizes", np.int64, (2, DOLLAR + 1)),  # lots by pip
        ("blocks", np.int64, (2, BLOCKS)),  # levels with a size in every hundred pips
        ("on_grid", np.uint8, DOLLAR + 1),  # 1 where a price is on the market's current grid
        ("found", np.int64, _CHECKS),  # how often, by Check
        ("found_rows", np.int64, (_CHECKS, EXAMPLES)),  # row of the first ones
        ("found_values", np.int64, (_CHECKS, EXAMPLES)),  # what stood there: a size, a price, a time
    ],
    align=True,
)


@kernel
def note(work, check, i, value):  # type: ignore[no-untyped-def]
    """Count a finding; keep it if it is among the first."""
    seen = work.found[check]
    if seen < EXAMPLES:
        work.found_rows[check, seen] = i
        work.found_values[check, seen] = value
    work.found[check] = seen + 1


@kernel
def clear(work):  # type: ignore[no-untyped-def]
    """Empty both sides."""
    for side in range(2):
        for block in range(BLOCKS):
            if work.blocks[side, block]:
                for price in range(block * _BLOCK, min((block + 1) * _BLOCK, DOLLAR + 1)):
                    work.sizes[side, price] = 0
                work.blocks[side, block] = 0
        work.levels[side] = 0
    work.best[0] = 0
    work.best[1] = DOLLAR


@kernel
def put_level(work, side, price, size):  # type: ignore[no-untyped-def]
    """Set the size of a level and keep the best prices right."""
    was = work.sizes[side, price]
    work.sizes[side, price] = size
    appeared = int(size > 0) - int(was > 0)
    work.blocks[side, price // _BLOCK] += appeared
    work.levels[side] += appeared
    if size > 0:
        if side == 0:
            work.best[0] = max(work.best[0], price)
        else:
            work.best[1] = min(work.best[1], price)
    elif work.levels[side] == 0:
        work.best[side] = 0 if side == 0 else DOLLAR
    elif price == work.best[side]:
        work.best[side] = next_bid(work, price) if side == 0 else next_ask(work, price)


@kernel
def next_bid(work, price):  # type: ignore[no-untyped-def]
    """The best bid below `price`; 0 none."""
    block = price // _BLOCK
    top = price
    while block >= 0:
        if work.blocks[0, block]:
            for level in range(top, block * _BLOCK - 1, -1):
                if work.sizes[0, level] > 0:
                    return level
        block -= 1
        top = block * _BLOCK + _BLOCK - 1
    return 0


@kernel
def next_ask(work, price):  # type: ignore[no-untyped-def]
    """The best ask above `price`; DOLLAR none."""
    block = price // _BLOCK
    bottom = price
    while block < BLOCKS:
        if work.blocks[1, block]:
            for level in range(bottom, min((block + 1) * _BLOCK, DOLLAR + 1)):
                if work.sizes[1, level] > 0:
                    return level
        block += 1
        bottom = block * _BLOCK
    return DOLLAR


@kernel
def judge_crossing(work):  # type: ignore[no-untyped-def]
    """Whether the book stood locked or crossed after everything that came at one time."""
    if not work.known or work.in_snapshot:
        return
    bid, ask = work.best[0], work.best[1]
    crossing = 0
    if bid > 0 and ask < DOLLAR and bid >= ask:
        crossing = 1 if bid == ask else 2
    if crossing and not work.crossing:
        work.crossing_ns = work.changed_ns
        work.crossing_row = work.changed_row
    if crossing:
        work.crossing = max(work.crossing, crossing)
    elif work.crossing:
        end_crossing(work, work.changed_ns)


@kernel
def end_crossing(work, now):  # type: ignore[no-untyped-def]
    """The book is right again, or unknown, or at its end."""
    lasted = now - work.crossing_ns
    note(work, LOCKED if work.crossing == 1 else CROSSED, work.crossing_row, lasted)
    if lasted > work.longest:
        note(work, CROSSED_LONG, work.crossing_row, lasted)
    work.stats.crossed_ns += lasted
    work.stats.longest_ns = max(work.stats.longest_ns, lasted)
    work.crossing = 0


@kernel
def check_level(row, i, work):  # type: ignore[no-untyped-def]
    """A level of a snapshot or a change of one. False if it cannot be applied."""
    side, price = row.side, row.price
    if side != 0 and side != 1:
        note(work, LEVEL_WITHOUT_SIDE, i, side)
        return False
    if price <= 0 or price >= DOLLAR or not work.on_grid[price]:
        note(work, LEVEL_OFF_GRID, i, price)
        if price <= 0 or price >= DOLLAR:
            return False
    if row.size % CONTRACT:
        note(work, FRACTIONAL_SIZE, i, row.size)
    return True


@kernel
def apply_snapshot_level(row, i, work):  # type: ignore[no-untyped-def]
    """The first level of a run empties the book."""
    if not work.in_snapshot:
        clear(work)
        work.in_snapshot = 1
    if not check_level(row, i, work):
        return
    side, price, size = int(row.side), int(row.price), row.size
    if size <= 0:
        note(work, LEVEL_WITHOUT_SIZE, i, size)
        return
    if work.sizes[side, price]:
        note(work, LEVEL_TWICE, i, price)
    put_level(work, side, price, size)


@kernel
def apply_snapshot_end(row, i, work):  # type: ignore[no-untyped-def]
    """The book is whole. Alone it means an empty one."""
    if not work.in_snapshot:
        clear(work)
    if work.known:
        note(work, REPEATED_SNAPSHOT, i, 0)
    if work.gap_ns:
        work.stats.unknown_ns += row.recv_ns - work.gap_ns
    work.known, work.in_snapshot, work.gap_ns = 1, 0, 0
    work.stats.snapshots += 1


@kernel
def apply_delta(row, i, work):  # type: ignore[no-untyped-def]
    """A change of one level."""
    if not work.known:
        note(work, DELTA_ON_UNKNOWN, i, 0)
        return
    if not check_level(row, i, work):
        return
    side, price = int(row.side), int(row.price)
    size = work.sizes[side, price] + row.size
    if size < 0:
        note(work, NEGATIVE_LEVEL, i, size)
        size = 0
    put_level(work, side, price, size)


@kernel
def check_trade(row, i, work):  # type: ignore[no-untyped-def]
    """A print: off the grid is rare but real (blocks, combos), outside (0, 1) or without size is not."""
    price = row.price
    work.stats.trades += 1
    if price <= 0 or price >= DOLLAR or row.size <= 0:
        note(work, TRADE_IMPOSSIBLE, i, price)
        return
    if not work.on_grid[price]:
        note(work, TRADE_OFF_GRID, i, price)
    if row.flags & FLAG_BLOCK:
        note(work, BLOCK_TRADE, i, price)
    if row.size % CONTRACT:
        note(work, FRACTIONAL_SIZE, i, row.size)


@kernel
def apply_gap(row, i, work):  # type: ignore[no-untyped-def]
    """From here the book is unknown."""
    if work.crossing:
        end_crossing(work, row.recv_ns)
    if not work.stats.snapshots and not work.stats.gaps:
        note(work, GAP_AT_START, i, row.size)
    work.stats.gaps += 1
    work.known, work.in_snapshot = 0, 0
    if not work.gap_ns:
        work.gap_ns = row.recv_ns


@kernel
def check_settlement(row, i, work):  # type: ignore[no-untyped-def]
    """A result between 0 and $1, once."""
    value = row.price
    if value < 0 or value > DOLLAR:
        note(work, SETTLEMENT_IMPOSSIBLE, i, value)
    if work.stats.settled and value != work.value:
        note(work, SETTLED_AGAIN, i, value)
    work.stats.settled, work.value = 1, value


@kernel
def check_row(row, i, work):  # type: ignore[no-untyped-def]
    """One row of the market, or of every market of its sid."""
    kind = row.kind
    work.stats.rows += 1
    is_level = kind in (SNAPSHOT_LEVEL, DELTA)
    if work.changed_row >= 0 and row.recv_ns != work.changed_ns:
        judge_crossing(work)
    if work.in_snapshot and kind != SNAPSHOT_LEVEL and kind != SNAPSHOT_END:
        note(work, SNAPSHOT_CUT, i, kind)
    if work.stats.settled and (is_level or kind == TRADE):
        note(work, ROW_AFTER_SETTLEMENT, i, kind)
    if kind == SNAPSHOT_LEVEL:
        apply_snapshot_level(row, i, work)
    elif kind == SNAPSHOT_END:
        apply_snapshot_end(row, i, work)
    elif kind == DELTA:
        apply_delta(row, i, work)
    elif kind == TRADE:
        check_trade(row, i, work)
    elif kind == GAP:
        apply_gap(row, i, work)
    elif kind == SETTLEMENT:
        check_settlement(row, i, work)
    if is_level or kind == SNAPSHOT_END:
        work.sid = row.sid
        work.changed_ns, work.changed_row = row.recv_ns, i
        if work.best[0] > 0:
            work.stats.seen_bid = 1
        if work.best[1] < DOLLAR:
            work.stats.seen_ask = 1


@kernel
def use_grid(work, on_grid, grid):  # type: ignore[no-untyped-def]
    """The prices of a row of `on_grid` are valid from here. (A loop: assigning a slice compiles for seconds.)"""
    for price in range(DOLLAR + 1):
        work.on_grid[price] = on_grid[grid, price]


@kernel
def begin_market(work, on_grid, grid):  # type: ignore[no-untyped-def]
    """An unknown book on that grid; what was found in other markets stays."""
    clear(work)
    work.known, work.in_snapshot, work.crossing = 0, 0, 0
    work.gap_ns, work.value, work.sid = 0, 0, 0
    work.changed_row = -1
    use_grid(work, on_grid, grid)
    stats = work.stats
    stats.rows = stats.snapshots = stats.trades = stats.gaps = stats.settled = 0
    stats.unknown_ns = stats.crossed_ns = stats.longest_ns = stats.seen_bid = stats.seen_ask = 0


@kernel
def end_market(work, last):  # type: ignore[no-untyped-def]
    """What is still open at the last row of the market."""
    judge_crossing(work)
    if work.crossing:
        end_crossing(work, last)
    if work.gap_ns:
        work.stats.unknown_ns += max(0, last - work.gap_ns)


@kernel
def change_grid(row, i, work, on_grid, first_later):  # type: ignore[no-untyped-def]
    """Later grids stand in `on_grid` from `first_later` on."""
    if row.size < 0 or first_later + row.size >= len(on_grid):
        note(work, UNKNOWN_GRID, i, row.size)
    else:
        use_grid(work, on_grid, first_later + row.size)


@kernel
def check_market(rows, order, start, stop, gap_rows, work, on_grid, first_later):  # type: ignore[no-untyped-def]
    """Replay the rows order[start:stop] of one market, and those of `gap_rows` (of market -1) on its book's sid."""
    gap = 0
    for place in range(start, stop):
        i = order[place]
        while gap < len(gap_rows) and gap_rows[gap] < i:
            marked = rows[gap_rows[gap]]
            if work.stats.rows and (marked.sid == 0 or marked.sid == work.sid):
                check_row(marked, gap_rows[gap], work)
            gap += 1
        check_row(rows[i], i, work)
        if rows[i].kind == GRID:
            change_grid(rows[i], i, work, on_grid, first_later)


@kernel
def check_markets(rows, order, starts, gap_rows, work, on_grid, first_later, grids, stats):  # type: ignore[no-untyped-def]
    """Replay every market and keep what it saw. `order`: rows by market, from `starts` [M + 1]; `grids` [M]."""
    for market in range(len(grids)):
        begin_market(work, on_grid, grids[market])
        start, stop = starts[market], starts[market + 1]
        check_market(rows, order, start, stop, gap_rows, work, on_grid, first_later)
        if stop > start:
            end_market(work, rows[order[stop - 1]].recv_ns)
        stats[market] = work.stats


@kernel
def judge_number(rows, i, work, last_seq, last_row, excused):  # type: ignore[no-untyped-def]
    """One number after the last of its subscription. Rows of one frame share it."""
    row = rows[i]
    if last_seq == 0 or excused:
        return
    if row.seq < last_seq or (row.seq == last_seq and row.recv_ns != rows[last_row].recv_ns):
        note(work, SEQUENCE_BACK, i, row.seq)
    elif row.seq > last_seq + 1:
        note(work, SEQUENCE_SKIPPED, i, row.seq - last_seq - 1)


@kernel
def check_sequence(rows, sids, work, last_seq, last_row, excused):  # type: ignore[no-untyped-def]
    """Numbers of every subscription in arrival order. `sids`: small number of each row's sid; the rest [S], zero."""
    for i in range(len(rows)):
        row, sid = rows[i], sids[i]
        if row.kind == GAP:
            if row.market < 0 and row.sid != 0 and last_seq[sid] == 0:
                note(work, GAP_AT_START, i, row.size)
            for other in range(len(excused)):
                if row.sid == 0 or other == sid:
                    excused[other] = 1
        elif row.seq > 0 and row.sid != 0:
            judge_number(rows, i, work, last_seq[sid], last_row[sid], excused[sid])
            last_seq[sid], last_row[sid], excused[sid] = row.seq, i, 0
