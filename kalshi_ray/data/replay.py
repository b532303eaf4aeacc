"""One view replayed without a trader: book, market state and the decision timer, as recorded.

What keyframes, selection and analysis share. The book is the one of core.book with nothing consumed.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.book import apply_to_book, book_dtype, book_size, clear_book, is_crossed, load_axis
from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import Kind, Status, ViewPack
from kalshi_ray.core.units import MILLISECOND

STATUS, SCHEDULE, GRID, FEE = int(Kind.STATUS), int(Kind.SCHEDULE), int(Kind.GRID), int(Kind.FEE)
SETTLEMENT = int(Kind.SETTLEMENT)
ACTIVE = int(Status.ACTIVE)
DECISION_NS = 250 * MILLISECOND
BURST_NS = 5 * MILLISECOND

# What is public of a market besides its book, and where its decision timer stands.
STATE = np.dtype(
    [
        ("grid", np.int32),
        ("status", np.int32),
        ("close_ns", np.int64),
        ("taker_ppm", np.int32),
        ("maker_ppm", np.int32),
        ("settled", np.int32),  # nothing can be traded after the result
        ("waiting_ns", np.int64),  # first undecided change of the book, 0 none
        ("decided_ns", np.int64),  # last decision, 0 none
        ("decisions", np.int64),
    ],
    align=True,
)


class Replay(NamedTuple):
    """Room to replay any view of a pack, one at a time."""

    book: NDArray[np.void]  # [1] book of core.book; nothing is consumed here
    state: NDArray[np.void]  # [1] STATE


def make_replay(levels: int) -> Replay:
    """Room for views of at most `levels` prices."""
    return Replay(as_rows(np.zeros(1, book_dtype(book_size(levels)))), as_rows(np.zeros(1, STATE)))


class Tape(NamedTuple):
    """The arrays of a pack that a replay reads."""

    updates: NDArray[np.void]
    views: NDArray[np.void]
    axes: NDArray[np.int32]
    values: NDArray[np.int64]


def tape_of(pack: ViewPack) -> Tape:
    """The tape of a pack, as kernels want it."""
    return Tape(as_rows(pack.updates), as_rows(pack.views), pack.axes, pack.values)


@kernel
def start_view(book, state, axes, view):
    """Set the state before the first row of `view`: an unknown, empty book."""
    load_axis(book, axes, view.axis, view.levels)
    clear_book(book)
    book.known = 0
    book.in_snapshot = 0
    book.damaged = 0
    state.grid = view.grid
    state.status = view.status
    state.close_ns = view.close_ns
    state.taker_ppm = view.taker_ppm
    state.maker_ppm = view.maker_ppm
    state.settled = 0
    state.waiting_ns = 0
    state.decided_ns = 0
    state.decisions = 0


@kernel
def is_open(book, state):
    """Whether one could decide: the book known, neither locked nor crossed, the market active."""
    return book.known != 0 and state.status == ACTIVE and not state.settled and not is_crossed(book)


@kernel
def apply_row(book, state, update, values):
    """Apply one row of the tape; return whether it starts the decision timer: a change of the book, a reopening."""
    kind = update.kind
    if kind < STATUS:
        return apply_to_book(book, update)
    if kind == STATUS:
        state.status = int(update.size)
        return state.status == ACTIVE
    if kind == SETTLEMENT:
        state.settled = 1
    elif kind == SCHEDULE:
        state.close_ns = values[int(update.size)]
    elif kind == GRID:
        state.grid = int(values[int(update.size)])
    elif kind == FEE:
        state.taker_ppm = int(values[int(update.size)])
        state.maker_ppm = int(values[int(update.size) + 1])
    return False


@kernel
def decide_until(book, state, now_ns):
    """Take the decision that fell due before `now_ns`, if any; return its time, 0 for none. Call before `apply_row`.

    Due at the first undecided change + 5 ms, but not within 250 ms of the last decision (market-rules.md section 1). A
    decision that cannot be taken when it is due waits for the next change.
    """
    if state.waiting_ns == 0:
        return 0
    due = max(state.waiting_ns + BURST_NS, state.decided_ns + DECISION_NS)
    if due >= now_ns:
        return 0
    state.waiting_ns = 0
    if not is_open(book, state):
        return 0
    state.decided_ns = due
    state.decisions += 1
    return due


@kernel
def note_change(state, now_ns):
    """Start the decision timer at `now_ns`. Call after an `apply_row` that said so."""
    if state.waiting_ns == 0:
        state.waiting_ns = now_ns
