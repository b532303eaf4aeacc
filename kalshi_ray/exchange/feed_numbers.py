"""The numbers of one connection's frames: what is next, missing, seen before, or begins again.

A frame whose number came before is a duplicate, unless it says something later than all that came, or a whole run of
them goes on: then the exchange began to count again, and nobody knows what was lost between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from kalshi_ray.core.units import SECOND
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, Trade
from kalshi_ray.wire.sequence import Order, SequenceTracker, Verdict
from kalshi_ray.wire.trading import StreamMessage

RUN = 16  # duplicates in a row whose numbers rise by one
FUTURE_NS = 30 * 60 * SECOND  # exchange times further ahead of ours are none


class Numbers(SequenceTracker):
    """A tracker that notices counters which begin again on the same subscription."""

    def __init__(self) -> None:
        super().__init__()
        self._newest_ns = 0  # exchange time
        self._runs: dict[int, tuple[int, int]] = {}  # by sid: the last duplicate, and how many came in a row

    def judge(self, message: StreamMessage, now_ns: int) -> Verdict:
        """As `receive`; RESTART where a number that came before is no duplicate."""
        said_ns = message.exch_ns if isinstance(message, BookDelta | BookSnapshot | Trade) else 0
        said_ns = said_ns if said_ns <= now_ns + FUTURE_NS else 0
        verdict = self.receive(message.sid, message.seq)
        if verdict.order is not Order.DUPLICATE:
            self._runs.pop(message.sid, None)
            self._newest_ns = max(self._newest_ns, said_ns)
            return verdict
        last, count = self._runs.get(message.sid, (0, 0))
        count = count + 1 if message.seq == last + 1 else 1
        self._runs[message.sid] = message.seq, count
        is_restart = count >= RUN or said_ns > self._newest_ns > 0
        return verdict._replace(order=Order.RESTART) if is_restart else verdict

    def took(self, last_of: Iterable[tuple[int, int]], rows: NDArray[Any]) -> None:
        """Others judged frames up to these numbers, (sid, number), which made these rows."""
        for sid, last in last_of:
            if last != self.last(sid):
                self._runs.pop(sid, None)
            self.accept(sid, last)
        times = rows["exch_ns"]
        if len(times) and int(times.max()) > self._newest_ns:
            possible = times[times - rows["recv_ns"] <= FUTURE_NS]
            self._newest_ns = max(self._newest_ns, int(possible.max(initial=0)))

    def forget(self, sid: int | None = None) -> None:
        """As before; of another connection no time is known either."""
        super().forget(sid)
        if sid is None:
            self._runs.clear()
            self._newest_ns = 0
        else:
            self._runs.pop(sid, None)
