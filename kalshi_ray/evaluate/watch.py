"""What is looked at between two decisions of a shard: equity on a grid of times, the ends of episodes, the answers."""

# Kernels take records, whose types are dtypes.
# mypy: disallow-untyped-defs=False

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import kernel
from kalshi_ray.env.market_env import Batch
from kalshi_ray.env.samplers import DONE


class Curve:
    """Equity by market on a grid of times; what is not seen at a time stands as it was last seen."""

    def __init__(self, times: NDArray[np.int64], markets: int, rows: int) -> None:
        self.times = times
        self._value = np.zeros((markets, len(times)), np.int64)
        self._seen = np.zeros((markets, len(times)), np.bool_)
        self._column = np.zeros(rows, np.int64)  # where each row stands on the grid

    def begin(self, row: int) -> None:
        """The row starts another market: its time may lie anywhere."""
        self._column[row] = 0

    def note(self, market: int, ns: int, gain: int) -> None:
        """`gain` micros above the bankroll at `ns` in one market."""
        column = min(int(np.searchsorted(self.times, ns)), len(self.times) - 1)
        self._value[market, column], self._seen[market, column] = gain, True

    def follow(self, rows: NDArray[np.void], current: NDArray[np.int64], bankroll: int, batch: Batch) -> int:
        """Note every row that goes on with its market; return how many episodes ended. `current` [B] are markets."""
        ended: int = follow_rows(
            rows["now_ns"], rows["equity"], current, batch.terminated, batch.truncated, bankroll,
            self.times, self._column, self._value, self._seen,
        )  # fmt: skip
        return ended

    def total(self, markets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Sum over markets at each time, [G]."""
        last = np.where(self._seen[markets], np.arange(len(self.times)), -1)
        last = np.maximum.accumulate(last, axis=1)
        value = np.take_along_axis(self._value[markets], np.maximum(last, 0), axis=1)
        return np.asarray(np.where(last >= 0, value, 0).sum(axis=0), np.int64)


@kernel
def follow_rows(now_ns, equity, current, terminated, truncated, bankroll, times, columns, value, seen):
    """Write equity less bankroll at the first time of the grid that is not before now; the last one takes the rest."""
    ended = 0
    last = times.shape[0] - 1
    for row in range(current.shape[0]):
        market = current[row]
        if market == DONE:
            continue
        if terminated[row] or truncated[row]:
            ended += 1
            continue
        column = columns[row]
        while column < last and times[column] < now_ns[row]:
            column += 1
        columns[row] = column
        value[market, column] = equity[row] - bankroll
        seen[market, column] = True
    return ended


@kernel
def count_answers(answers, current, counts):
    """Add the answers [B] of rows that play to `counts` [A]."""
    for row in range(current.shape[0]):
        if current[row] != DONE:
            counts[answers[row]] += 1
