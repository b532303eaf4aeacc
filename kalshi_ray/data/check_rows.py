"""The checks of a replay: every row of every market, and the numbers of every subscription."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from kalshi_ray.core.jit import kernel
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CONTRACT, DOLLAR
from kalshi_ray.data.check_book import (
    BLOCK_TRADE,
    DELTA_ON_UNKNOWN,
    FRACTIONAL_SIZE,
    GAP_AT_START,
    LEVEL_OFF_GRID,
    LEVEL_TWICE,
    LEVEL_WITHOUT_SIDE,
    LEVEL_WITHOUT_SIZE,
    NEGATIVE_LEVEL,
    REPEATED_SNAPSHOT,
    ROW_AFTER_SETTLEMENT,
    SEQUENCE_BACK,
    SEQUENCE_SKIPPED,
    SETTLED_AGAIN,
    SETTLEMENT_IMPOSSIBLE,
    SNAPSHOT_CUT,
    TRADE_IMPOSSIBLE,
    TRADE_OFF_GRID,
    UNKNOWN_GRID,
    clear,
    end_crossing,
    judge_crossing,
    note,
    put_level,
)
from kalshi_ray.data.schema import FLAG_BLOCK

SNAPSHOT_LEVEL, SNAPSHOT_END, DELTA, TRADE, GAP = (int(kind) for kind in list(Kind)[:5])
GRID, SETTLEMENT = int(Kind.GRID), int(Kind.SETTLEMENT)


@kernel
def check_level(row, i, work):
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
def apply_snapshot_level(row, i, work):
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
def apply_snapshot_end(row, i, work):
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
def apply_delta(row, i, work):
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
def check_trade(row, i, work):
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
def apply_gap(row, i, work):
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
def check_settlement(row, i, work):
    """A result between 0 and $1, once."""
    value = row.price
    if value < 0 or value > DOLLAR:
        note(work, SETTLEMENT_IMPOSSIBLE, i, value)
    if work.stats.settled and value != work.value:
        note(work, SETTLED_AGAIN, i, value)
    work.stats.settled, work.value = 1, value


@kernel
def check_row(row, i, work):
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
def use_grid(work, on_grid, grid):
    """The prices of a row of `on_grid` are valid from here. (A loop: assigning a slice compiles for seconds.)"""
    for price in range(DOLLAR + 1):
        work.on_grid[price] = on_grid[grid, price]


@kernel
def begin_market(work, on_grid, grid):
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
def end_market(work, last):
    """What is still open at the last row of the market."""
    judge_crossing(work)
    if work.crossing:
        end_crossing(work, last)
    if work.gap_ns:
        work.stats.unknown_ns += max(0, last - work.gap_ns)


@kernel
def change_grid(row, i, work, on_grid, first_later):
    """Later grids stand in `on_grid` from `first_later` on."""
    if row.size < 0 or first_later + row.size >= len(on_grid):
        note(work, UNKNOWN_GRID, i, row.size)
    else:
        use_grid(work, on_grid, first_later + row.size)


@kernel
def check_market(rows, order, start, stop, gap_rows, work, on_grid, first_later):
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
def check_markets(rows, order, starts, gap_rows, work, on_grid, first_later, grids, stats):
    """Replay every market and keep what it saw. `order`: rows by market, from `starts` [M + 1]; `grids` [M]."""
    for market in range(len(grids)):
        begin_market(work, on_grid, grids[market])
        start, stop = starts[market], starts[market + 1]
        check_market(rows, order, start, stop, gap_rows, work, on_grid, first_later)
        if stop > start:
            end_market(work, rows[order[stop - 1]].recv_ns)
        stats[market] = work.stats


@kernel
def judge_number(rows, i, work, last_seq, last_row, excused):
    """One number after the last of its subscription. Rows of one frame share it."""
    row = rows[i]
    if last_seq == 0 or excused:
        return
    if row.seq < last_seq or (row.seq == last_seq and row.recv_ns != rows[last_row].recv_ns):
        note(work, SEQUENCE_BACK, i, row.seq)
    elif row.seq > last_seq + 1:
        note(work, SEQUENCE_SKIPPED, i, row.seq - last_seq - 1)


@kernel
def check_sequence(rows, sids, work, last_seq, last_row, excused):
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
