"""Messages of the exchange to rows of a session, in arrival order: for the importer and for the recorder."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.tape import GapCause, Kind, Status
from kalshi_ray.core.units import Side
from kalshi_ray.data.schema import FLAG_BLOCK, UPDATES
from kalshi_ray.errors import WireError
from kalshi_ray.wire.messages import (
    BookDelta,
    BookSnapshot,
    EventCreated,
    FeeChange,
    MarketChange,
    Ranges,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Subscribed,
    Trade,
    Unsubscribed,
)
from kalshi_ray.wire.sequence import Order, SequenceTracker
from kalshi_ray.wire.trading import StreamMessage

# A row of `updates`, as schema.UPDATES has it.
ROW = np.dtype([(field.name, field.type.to_pandas_dtype()) for field in UPDATES])
_WIDE = np.dtype([(field.name, np.int64) for field in UPDATES])
ALL = -1  # market of a row that concerns every market of its sid
BOOK_CHANNEL = "orderbook_delta"


class KnownMarket(msgspec.Struct):
    """What the stream said of a market before its first row."""

    event: str = ""
    open_ns: int = 0
    close_ns: int = 0
    ranges: Ranges | None = None
    status: Status = Status.ACTIVE


class TapeBuilder:
    """Collects rows. `add` takes every frame of the connection, control frames too: they use up numbers.

    A missing number on a book channel becomes a GAP row of market -1; on another channel nothing can be known to be
    wrong with the books, and it is only counted.
    """

    def __init__(self) -> None:
        self.tickers: list[str] = []  # by market
        self.known: dict[str, KnownMarket] = {}
        self.series: dict[str, str] = {}  # by event
        self.grids: list[Ranges] = []  # that GRID rows refer to
        self.fee_changes: list[FeeChange] = []  # that FEE rows of market -1 refer to, until the events are known
        self.facts: RecorderFacts | None = None  # where the recorder said what its books are made of
        self.counts: Counter[str] = Counter()
        self._tracker = SequenceTracker()
        self._markets: dict[str, int] = {}
        self._channels: dict[int, str] = {}
        self._cells = array("q")

    def __len__(self) -> int:
        return len(self._cells) // len(UPDATES)

    def add(self, message: StreamMessage, recv_ns: int) -> None:
        """Append the rows of one message, received at `recv_ns`."""
        if isinstance(message, (RecorderRow, RecorderSkip)):
            self._add_recorded(message, recv_ns)
            return
        if isinstance(message, RecorderFacts):
            self.facts = message
            return
        if isinstance(message, Subscribed):
            self._channels[message.sid] = message.channel
            self._tracker.resubscribed(message.sid)
            return
        if not self._is_next(message, recv_ns):
            return
        if isinstance(message, BookDelta):
            self._row(message, recv_ns, Kind.DELTA, message.side, message.price, message.change)
        elif isinstance(message, BookSnapshot):
            for side, levels in ((Side.BID, message.bids), (Side.ASK, message.asks)):
                for price, size in levels:
                    self._row(message, recv_ns, Kind.SNAPSHOT_LEVEL, side, price, size)
            self._row(message, recv_ns, Kind.SNAPSHOT_END)
        elif isinstance(message, Trade):
            flags = FLAG_BLOCK if message.is_block else 0
            self._row(message, recv_ns, Kind.TRADE, Side.NONE, message.price, message.size, message.taker, flags)
        elif isinstance(message, MarketChange):
            self._add_change(message, recv_ns)
        elif isinstance(message, FeeChange):
            self.fee_changes.append(message)
            self._cell(ALL, recv_ns, 0, message.sid, message.seq, Kind.FEE, size=len(self.fee_changes) - 1)
        elif isinstance(message, EventCreated):
            self.series[message.event] = message.series
        elif isinstance(message, Unsubscribed):
            self._tracker.forget(message.sid)
            self._channels.pop(message.sid, None)

    def rows(self) -> NDArray[Any]:
        """All rows so far, ROW records."""
        wide = np.frombuffer(self._cells, _WIDE)
        rows = np.empty(len(wide), ROW)
        for name in UPDATES.names:
            rows[name] = wide[name]
        return rows

    def clear(self) -> None:
        """Forget the rows, which were taken; markets, counters and sequence go on."""
        self._cells = array("q")

    def _is_next(self, message: StreamMessage, recv_ns: int) -> bool:
        """Whether the frame counts; marks the gap before it if there is one."""
        verdict = self._tracker.receive(message.sid, message.seq, opens_book=isinstance(message, BookSnapshot))
        if verdict.order is Order.DUPLICATE:
            self.counts["duplicate frames ignored"] += 1
            return False
        if verdict.order is Order.GAP:
            carries_books = self._carries_books(message)
            self.counts["frames missing" if carries_books else "frames missing outside the books"] += verdict.missing
            if carries_books:
                self._gap(message.sid, recv_ns, GapCause.SEQUENCE)
        elif verdict.order is Order.RESTART and self._carries_books(message):
            self._gap(message.sid, recv_ns, GapCause.RECONNECT)
        return True

    def _carries_books(self, message: StreamMessage) -> bool:
        """Whether the sid of a message is one of books, as far as can be told."""
        channel = self._channels.get(message.sid)
        if channel is not None:
            return channel == BOOK_CHANNEL
        return not isinstance(message, (Trade, MarketChange, EventCreated, FeeChange))

    def _gap(self, sid: int, recv_ns: int, cause: GapCause) -> None:
        self.counts[f"gaps: {cause.name.lower()}"] += 1
        self._cell(ALL, recv_ns, 0, sid, 0, Kind.GAP, size=cause)

    def _add_change(self, message: MarketChange, recv_ns: int) -> None:
        """A step in the life of a market: facts before its first row, rows afterwards."""
        if message.ticker not in self._markets and message.change == "created":
            self.known[message.ticker] = KnownMarket(
                event=message.event,
                open_ns=message.open_ns or 0,
                close_ns=message.close_ns or 0,
                ranges=message.ranges,
                status=Status.INITIALIZED,
            )
            return
        for kind, price, size in life_cells(message, self.grids):
            self._row(message, recv_ns, kind, price=price, size=size)

    def _add_recorded(self, message: RecorderRow | RecorderSkip, recv_ns: int) -> None:
        """A row that the recorder wrote as it stands; the sequence goes on from it."""
        if isinstance(message, RecorderSkip):
            self._tracker.accept(message.sid, message.seq)
            return
        if message.kind in (Kind.GRID, Kind.FEE) and not message.ticker:
            raise WireError(f"a recorded row of kind {Kind(message.kind).name} names no market")
        if message.kind == Kind.GAP:
            self._tracker.excuse(message.sid)
        elif message.sid and message.seq:
            self._tracker.accept(message.sid, message.seq)
        self._cell(
            self._market(message.ticker) if message.ticker else ALL,
            recv_ns,
            message.exch_ns,
            message.sid,
            message.seq,
            message.kind,
            message.side,
            message.price,
            message.size,
            message.taker,
            message.flags,
        )

    def _row(
        self,
        message: BookDelta | BookSnapshot | Trade | MarketChange,
        recv_ns: int,
        kind: Kind,
        side: int = Side.NONE,
        price: int = 0,
        size: int = 0,
        taker: int = Side.NONE,
        flags: int = 0,
    ) -> None:
        market = self._market(message.ticker)
        self._cell(market, recv_ns, message.exch_ns, message.sid, message.seq, kind, side, price, size, taker, flags)

    def _cell(
        self,
        market: int,
        recv_ns: int,
        exch_ns: int,
        sid: int,
        seq: int,
        kind: int,
        side: int = Side.NONE,
        price: int = 0,
        size: int = 0,
        taker: int = Side.NONE,
        flags: int = 0,
    ) -> None:
        self._cells.extend((market, recv_ns, exch_ns, sid, seq, kind, side, price, size, taker, flags))

    def _market(self, ticker: str) -> int:
        market = self._markets.get(ticker)
        if market is None:
            market = self._markets[ticker] = len(self.tickers)
            self.tickers.append(ticker)
        return market


def life_cells(change: MarketChange, grids: list[Ranges]) -> Iterator[tuple[Kind, int, int]]:
    """Kind, price and size of each row that a step in a market's life makes; its grid is added to `grids`."""
    if change.status is not None:
        yield Kind.STATUS, 0, change.status
    if change.close_ns is not None:
        yield Kind.SCHEDULE, 0, change.close_ns
    if change.ranges is not None:
        if change.ranges not in grids:
            grids.append(change.ranges)
        yield Kind.GRID, 0, grids.index(change.ranges)
    if change.value is not None:
        yield Kind.SETTLEMENT, change.value, 0


def table_of(rows: NDArray[Any]) -> pa.Table:
    """ROW records as a table of updates."""
    arrays = [pa.array(np.ascontiguousarray(rows[field.name]), field.type) for field in UPDATES]
    return pa.Table.from_arrays(arrays, schema=UPDATES)


def rows_of(table: pa.Table) -> NDArray[Any]:
    """A table of updates as ROW records."""
    rows = np.empty(table.num_rows, ROW)
    for name in UPDATES.names:
        rows[name] = table[name].to_numpy()
    return rows
