"""What has come so far, counted from the blocks themselves: frames, rows by kind, gaps by cause, how late rows are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import SECOND

# Upper ends in seconds; a lag below zero means that this clock is behind the exchange's.
LAG_BOUNDS_S = (
    0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
_BOUNDS_NS = np.array([round(bound * SECOND) for bound in LAG_BOUNDS_S], np.int64)
LEFT = "left"
# Of a collector: silence is for imports.
CAUSES = (*(cause.name.lower() for cause in GapCause if cause != GapCause.SILENCE), LEFT)
_TIMED = (Kind.DELTA, Kind.TRADE)  # what the exchange sends at once


class Lags(msgspec.Struct, frozen=True, kw_only=True):
    """Receive time less exchange time of deltas and trades: how many by LAG_BOUNDS_S, and the rest; and their sum."""

    counts: tuple[int, ...] = (0,) * (len(LAG_BOUNDS_S) + 1)
    total_ns: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def __sub__(self, before: Lags) -> Lags:
        counts = tuple(now - then for now, then in zip(self.counts, before.counts))
        return Lags(counts=counts, total_ns=self.total_ns - before.total_ns)

    def quantile_s(self, share: float) -> float | None:
        """The lag that this share stays within, between the bounds it lies in; None of none."""
        left = share * self.count
        if not self.count:
            return None
        for at, count in enumerate(self.counts[:-1]):
            if count and left <= count:
                low = LAG_BOUNDS_S[max(at - 1, 0)]
                return low + (LAG_BOUNDS_S[at] - low) * left / count
            left -= count
        return LAG_BOUNDS_S[-1]


class Tallies:
    """Totals of one life of a collector. Every block is counted once, when it is on its way to the spool."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()  # market, lifecycle
        self._kinds = np.zeros(max(Kind) + 1, np.int64)
        self._gaps: Counter[int] = Counter()
        self._left = 0
        self._lags = np.zeros(len(LAG_BOUNDS_S) + 1, np.int64)
        self._lag_ns = 0
        self.frame_ns = 0  # when a frame came last, to the block

    def count(self, blocks: Iterable[Block]) -> None:
        """These blocks came."""
        for block in blocks:
            if block.frames:
                self.frames["lifecycle" if block.line == DESK else "market"] += block.frames
                self.frame_ns = max(self.frame_ns, block.until_ns)
            if len(block.rows):
                self._count_rows(block.rows)

    @property
    def rows(self) -> dict[str, int]:
        """Rows by kind, those that there are."""
        return {kind.name.lower(): int(self._kinds[kind]) for kind in Kind if self._kinds[kind]}

    @property
    def gaps(self) -> dict[str, int]:
        """GAP rows by cause, those that there are; LEFT are those of markets that are recorded no longer."""
        found = {cause.name.lower(): self._gaps[cause] for cause in GapCause if self._gaps[cause]}
        return found | ({LEFT: self._left} if self._left else {})

    @property
    def lags(self) -> Lags:
        """How late deltas and trades came."""
        return Lags(counts=tuple(self._lags.tolist()), total_ns=self._lag_ns)

    def _count_rows(self, rows: NDArray[Any]) -> None:
        kinds = rows["kind"]
        counts = np.bincount(kinds, minlength=len(self._kinds))
        self._kinds += counts
        if counts[Kind.GAP]:
            gaps = rows[kinds == Kind.GAP]
            has_left = (gaps["market"] >= 0) & (gaps["size"] == GapCause.RECORDER)
            self._left += int(has_left.sum())
            self._gaps.update(gaps["size"][~has_left].tolist())
        timed = np.isin(kinds, _TIMED) & (rows["exch_ns"] > 0)
        lags = rows["recv_ns"][timed] - rows["exch_ns"][timed]
        self._lags += np.bincount(np.searchsorted(_BOUNDS_NS, lags), minlength=len(self._lags))
        self._lag_ns += int(lags.sum())
