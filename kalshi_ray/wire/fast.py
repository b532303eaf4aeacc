"""The fast path: many frames to rows in one call, up to the first that needs the codec.

What it takes it reads as the codec does, row for row; `tests/wire/test_fast.py` holds it to that. Frames that are not
the next of a subscription, or speak of a market that is not wanted, are not taken either: they are the feed's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows
from kalshi_ray.wire.rows import ROW
from kalshi_ray.wire.scan import FRAME, LEVELS_MOST, place_names
from kalshi_ray.wire.scan_frames import (
    BOOK_FRAMES,
    ROWS_MOST,
    SUBSCRIPTION,
    TICKER_FRAMES,
    TRADE_FRAMES,
    scan_frames,
)

__all__ = ["BOOK_FRAMES", "SID_MOST", "TICKER_FRAMES", "TRADE_FRAMES", "Batch", "FastReader", "Followed", "Names"]

SID_MOST = 2**31 - 1  # of a row


class Batch:
    """Frames end to end, as the scanner wants them. `times` says when each was received."""

    def __init__(self, frames: Sequence[bytes], times: NDArray[np.int64]) -> None:
        self.frames = frames
        self.times = np.ascontiguousarray(times, np.int64)  # [N]
        self.text = np.frombuffer(b"".join(frames), np.uint8)
        self.ends = np.fromiter(accumulate(map(len, frames), initial=0), np.int64, len(frames) + 1)  # [N + 1]

    def __len__(self) -> int:
        return len(self.frames)


class Names:
    """Tickers by index and indexes by ticker, for Python and for kernels. An index is never given twice."""

    def __init__(self) -> None:
        self.tickers: list[str] = []
        self.wanted = np.zeros(64, np.uint8)  # [N and more] bits of each market
        self._index: dict[str, int] = {}
        self.letters = np.zeros(1024, np.uint8)
        self.starts = np.zeros(65, np.int64)
        self.slots = np.full(256, -1, np.int32)

    def __len__(self) -> int:
        return len(self.tickers)

    def find(self, ticker: str) -> int:
        """The index of a ticker; -1 where it has none."""
        return self._index.get(ticker, -1)

    def enter(self, ticker: str) -> int:
        """The index of a ticker, which gets one if it has none."""
        index = self._index.get(ticker)
        if index is None:
            index = self._index[ticker] = len(self.tickers)
            self.tickers.append(ticker)
            self._write(index, ticker.encode("utf-8", "surrogatepass"))
        return index

    def want(self, index: int, bits: int) -> None:
        """Which frames of a market are to be taken: BOOK_FRAMES | TRADE_FRAMES."""
        self.wanted[index] = bits

    def _write(self, index: int, name: bytes) -> None:
        start = int(self.starts[index])
        stop = start + len(name)
        self.letters = _grown(self.letters, stop)
        self.starts = _grown(self.starts, index + 2)
        self.wanted = _grown(self.wanted, index + 1)
        self.letters[start:stop] = np.frombuffer(name, np.uint8)
        self.starts[index + 1] = stop
        first = index
        if 2 * (index + 1) > len(self.slots):
            self.slots, first = np.full(2 * len(self.slots), -1, np.int32), 0
        place_names(first, index + 1, self.letters, self.starts, self.slots)


def _grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    """The array, or a longer copy of it that holds `length`."""
    if length <= len(array):
        return array
    longer = np.zeros(max(2 * len(array), length), array.dtype)
    longer[: len(array)] = array
    return longer


class Followed(NamedTuple):
    """A subscription whose frames may be taken: after number `last`."""

    sid: int
    last: int
    carries: int  # BOOK_FRAMES, TRADE_FRAMES or TICKER_FRAMES, which are passed over
    told: int = 0  # sid of its rows; 0: its own


class FastReader:
    """Reads frames whose tickers are in `names`. `use_yes_price` is what the subscription said."""

    def __init__(self, names: Names, *, use_yes_price: bool, room: int = 2 * ROWS_MOST) -> None:
        self._names = names
        self._use_yes_price = int(use_yes_price)
        self._rows = as_rows(np.zeros(max(room, ROWS_MOST), ROW))
        self._frame = as_rows(np.zeros(1, FRAME))
        self._ladders = np.zeros((2, LEVELS_MOST, 2), np.int64)
        self._followed = as_rows(np.zeros(0, SUBSCRIPTION))

    @property
    def rows(self) -> NDArray[Any]:
        """The rows of the last call, ROW records: a view that the next call overwrites."""
        return self._rows[: int(self._frame[0]["rows"])]

    def follow(self, subscriptions: Iterable[Followed]) -> None:
        """Take the frames of these subscriptions from now on."""
        known = [one._replace(told=one.told or one.sid) for one in subscriptions if one.sid <= SID_MOST]
        self._followed = as_rows(np.array(known, SUBSCRIPTION))

    def followed(self) -> list[tuple[int, int]]:
        """(sid, number of its last frame) of each subscription."""
        return [(int(one["sid"]), int(one["last"])) for one in self._followed]

    def read(self, batch: Batch, first: int) -> int:
        """Rows of the frames from `first` on; return the first frame that was not taken, or how many there are.

        Where `is_full` is set afterwards, that frame only found no room: call again.
        """
        self._frame[0]["rows"] = 0
        names = self._names
        return int(
            scan_frames(
                batch.text,
                batch.ends,
                batch.times,
                first,
                self._use_yes_price,
                self._followed,
                names.wanted,
                names.letters,
                names.starts,
                names.slots,
                self._ladders,
                self._frame[0],
                self._rows,
            )
        )

    @property
    def is_full(self) -> bool:
        """Whether the last call ended because the rows had to be taken first."""
        return len(self._rows) - int(self._frame[0]["rows"]) < ROWS_MOST
