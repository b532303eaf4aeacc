"""Keyframes: the state of a book every few thousand rows, so that an episode can start anywhere.

A view has one before its first row. Others follow where a replay from the one before would take 2,048 rows, as long as
all of them together stay below three bytes per row; deep books therefore get them further apart.
"""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows, kernel
from kalshi_ray.core.tape import KEYFRAME, LEVEL
from kalshi_ray.data.replay import Replay, Tape, apply_row, decide_until, make_replay, note_change, start_view

SPACING = 2_048  # rows
BYTES_PER_ROW = 3
KEY_BYTES, LEVEL_BYTES = KEYFRAME.itemsize, LEVEL.itemsize


@kernel
def _write_key(book, state, at, keys, key, levels, level):
    """Write the state before row `at` as keyframe `key`; return one past its last row of `levels`."""
    frame = keys[key]
    frame.at = at
    frame.level_start = level
    for side in range(2):
        for tick in range(book.levels):
            size = book.recorded[side, tick]
            if size > 0:
                levels[level].size = size
                levels[level].tick = tick
                levels[level].side = side
                level += 1
    frame.level_stop = level
    frame.grid = state.grid
    frame.status = state.status
    frame.close_ns = state.close_ns
    frame.taker_ppm = state.taker_ppm
    frame.maker_ppm = state.maker_ppm
    frame.known = book.known
    frame.in_snapshot = book.in_snapshot
    return level


@kernel
def write_keys(tape, replay, keys, levels, used):
    """Replay all views: write keyframes, their range and the number of decision points of each view.

    `used` [2] receives the rows taken in `keys` and `levels`.
    """
    updates, values = tape.updates, tape.values
    book, state = replay.book[0], replay.state[0]
    key, level = 0, 0
    for v in range(len(tape.views)):
        view = tape.views[v]
        start_view(book, state, tape.axes, view)
        view.key_start = key
        last = view.start
        for at in range(view.start, view.stop):
            rows = at - last
            if at == view.start or (rows >= SPACING and not book.in_snapshot):
                stored = book.count[0] + book.count[1]
                if at == view.start or KEY_BYTES + LEVEL_BYTES * stored <= BYTES_PER_ROW * rows:
                    level = _write_key(book, state, at, keys, key, levels, level)
                    key += 1
                    last = at
            update = updates[at]
            decide_until(book, state, update.recv_ns)
            if apply_row(book, state, update, values):
                note_change(state, update.recv_ns)
        if view.stop > view.start:
            decide_until(book, state, updates[view.stop - 1].recv_ns + 1)
        view.key_stop = key
        view.steps = state.decisions
    used[0] = key
    used[1] = level


def build_keyframes(
    updates: NDArray[np.void], views: NDArray[np.void], axes: NDArray[np.int32], values: NDArray[np.int64]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Keyframes and their levels; `views` receive their key ranges and their decision points."""
    # Upper bounds; what is not written is never given memory by the system.
    keys = np.empty(len(views) + len(updates) // SPACING + 1, KEYFRAME)
    levels = np.empty(BYTES_PER_ROW * len(updates) // LEVEL_BYTES + 1, LEVEL)
    used = np.zeros(2, np.int64)
    tape = Tape(as_rows(updates), as_rows(views), axes, values)
    room: Replay = make_replay(axes.shape[1])
    write_keys(tape, room, as_rows(keys), as_rows(levels), used)
    return keys[: used[0]].copy(), levels[: used[1]].copy()
