"""Updates for the exchange from the tape that environments read: the same rows, marked the same way.

So an order in the simulator meets what an order in the environment meets. Prints off the market's grid, which neither
can trade, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import (
    ASK_SIDE,
    BY_TRADE,
    LAG_UNKNOWN,
    OFF_BOOK,
    TAKER_BOUGHT,
    TAKER_SOLD,
    Kind,
    Status,
    ViewPack,
)
from kalshi_ray.core.units import DOLLAR, MICROSECOND, Side
from kalshi_ray.exchange.simulator.flow import FlowDelta, FlowUpdate
from kalshi_ray.exchange.simulator.replay import Pace, Timed
from kalshi_ray.wire.messages import BookSnapshot, MarketChange, Ranges, RecorderRow, Trade

AT_ONCE = 65_536  # rows that stand as Python values
_SIDES = (Side.BID, Side.ASK)


def tape_of(pack: ViewPack, pace: Pace | None) -> Iterator[Timed]:
    """All markets' updates by exchange time. `pace` maps the times that updates name; without one there are none."""
    view_of, at = _times(pack)
    order = np.argsort(at, kind="stable")
    tellers = [_Teller(pack, view, pace) for view in range(len(pack.views))]
    for view, teller in enumerate(tellers):
        status = Status(int(pack.views[view]["status"]))
        if status is Status.INACTIVE and len(at):
            yield int(at[order[0]]), RecorderRow(ticker=teller.ticker, kind=Kind.STATUS, size=status)
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        updates = pack.updates[rows]
        columns = (updates[name].tolist() for name in ("kind", "tick", "size", "flags"))
        for time, view, kind, tick, size, flags in zip(at[rows].tolist(), view_of[rows].tolist(), *columns):
            update = tellers[view].tell(kind, tick, size, flags)
            if update is not None:
                yield time, update


def first_ns(pack: ViewPack) -> int:
    """The exchange time of the first update."""
    return int(_times(pack)[1].min())


def _times(pack: ViewPack) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """View and exchange time of each row, never falling within a view; rows of no view come last."""
    updates = pack.updates
    recv = updates["recv_ns"]
    lag = updates["lag_us"].astype(np.int64)
    at = np.where(lag == LAG_UNKNOWN, recv, recv // MICROSECOND * MICROSECOND - lag * MICROSECOND)
    view_of = np.zeros(len(updates), np.int32)
    for view, record in enumerate(pack.views):
        part = slice(int(record["start"]), int(record["stop"]))
        view_of[part] = view
        at[part] = np.maximum.accumulate(at[part])
    return view_of, at


class _Teller:
    """One market's rows as updates."""

    def __init__(self, pack: ViewPack, view: int, pace: Pace | None) -> None:
        record = pack.views[view]
        self.ticker = pack.tickers[view]
        self._prices: list[int] = pack.axes[record["axis"]][: record["levels"]].tolist()
        self._pack, self._pace = pack, pace
        self._levels: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def tell(self, kind: int, tick: int, size: int, flags: int) -> FlowUpdate | None:
        """The update of a row, if it completes one."""
        if kind == Kind.DELTA:
            side = _SIDES[flags & ASK_SIDE]
            is_print = bool(flags & BY_TRADE)
            return FlowDelta(ticker=self.ticker, side=side, price=self._prices[tick], change=size, by_trade=is_print)
        if kind == Kind.TRADE:
            return self._print(tick, size, flags)
        if kind == Kind.SNAPSHOT_LEVEL:
            self._levels[flags & ASK_SIDE][self._prices[tick]] = size
            return None
        if kind == Kind.SNAPSHOT_END:
            bids, asks = (tuple(sorted(side.items(), reverse=at == 0)) for at, side in enumerate(self._levels))
            self._levels = ({}, {})
            return BookSnapshot(ticker=self.ticker, bids=bids, asks=asks)
        return self._life(Kind(kind), size)

    def _print(self, tick: int, size: int, flags: int) -> Trade | None:
        if tick < 0:
            return None
        taker = Side.BID if flags & TAKER_BOUGHT else Side.ASK if flags & TAKER_SOLD else Side.NONE
        return Trade(
            ticker=self.ticker, price=self._prices[tick], size=size, taker=taker, is_block=bool(flags & OFF_BOOK)
        )

    def _life(self, kind: Kind, size: int) -> FlowUpdate | None:
        values = self._pack.values
        if kind is Kind.SETTLEMENT:
            return RecorderRow(ticker=self.ticker, kind=kind, price=size)
        if kind in (Kind.GAP, Kind.STATUS):
            return RecorderRow(ticker=self.ticker, kind=kind, size=size)
        if kind is Kind.FEE:
            return RecorderRow(ticker=self.ticker, kind=kind, size=int(values[size]), price=int(values[size + 1]))
        if kind is Kind.GRID:
            grid = self._pack.grids[int(values[size])][: len(self._prices)]
            prices = [price for price, valid in zip(self._prices, grid) if valid]
            change = "price_level_structure_updated"
            return MarketChange(ticker=self.ticker, change=change, ranges=ranges_of(prices))
        if kind is Kind.SCHEDULE and self._pace is not None:
            return RecorderRow(ticker=self.ticker, kind=kind, size=self._pace.second_at(int(values[size])))
        return None


def ranges_of(prices: list[int]) -> Ranges:
    """The bands of equal steps that hold just these prices between nothing and a dollar."""
    points = [0, *prices, DOLLAR]
    bands: list[tuple[int, int, int]] = []
    for before, after in pairwise(points):
        step = after - before
        if bands and bands[-1][2] == step:
            bands[-1] = (bands[-1][0], after, step)
        else:
            bands.append((before, after, step))
    return tuple(bands)
