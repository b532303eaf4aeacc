"""What the import of one source gives, and how several are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.recording import ALL, ROW, KnownMarket
from kalshi_ray.wire.messages import FeeChange, Ranges

_LEFT_OUT = -2  # number of a market that is not of the session


class Recording(msgspec.Struct, kw_only=True):
    """Rows in arrival order, market by index of `tickers`, and what is known beside them."""

    rows: NDArray[Any]  # [N] ROW
    tickers: list[str]
    clock: str  # what recv_ns is
    known: dict[str, KnownMarket] = {}  # by ticker
    series: dict[str, str] = {}  # by event
    grids: list[Ranges] = []
    fee_changes: list[FeeChange] = []
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    unknowns: list[str] = []
    depth: Literal["full", "best"] = "full"
    sizes: Literal["observed", "assumed"] = "observed"
    assumed_size: int = 0  # lots
    use_yes_price: bool | None = None


def blank_rows(count: int, kind: Kind = Kind.DELTA) -> NDArray[Any]:
    """Rows of one kind with nothing in them."""
    rows = np.zeros(count, ROW)
    rows["kind"] = kind
    rows["side"] = rows["taker"] = -1
    return rows


def counted(markets: int) -> str:
    """A number of markets in words."""
    return f"{markets:,} market" + ("" if markets == 1 else "s")


def put_together(parts: Sequence[Recording]) -> Recording:
    """Several recordings as one, in order of receive time; rows of equal time keep the order of the sources."""
    if len(parts) == 1:
        return parts[0]
    tickers = list(dict.fromkeys(ticker for part in parts for ticker in part.tickers))
    place = {ticker: row for row, ticker in enumerate(tickers)}
    grids: list[Ranges] = []
    fee_changes: list[FeeChange] = []
    moved = []
    for part in parts:
        markets = np.array([place[ticker] for ticker in part.tickers] + [ALL], np.int32)  # -1 stays -1
        rows = part.rows.copy()
        rows["market"] = markets[rows["market"]]
        rows["size"][rows["kind"] == Kind.GRID] += len(grids)
        rows["size"][(rows["kind"] == Kind.FEE) & (rows["market"] == ALL)] += len(fee_changes)
        grids += part.grids
        fee_changes += part.fee_changes
        moved.append(rows)
    merged = np.concatenate(moved)
    return Recording(
        rows=merged[np.argsort(merged["recv_ns"], kind="stable")],
        tickers=tickers,
        clock="; ".join(dict.fromkeys(part.clock for part in parts)),
        known={ticker: known for part in parts for ticker, known in part.known.items()},
        series={event: series for part in parts for event, series in part.series.items()},
        grids=grids,
        fee_changes=fee_changes,
        counts=sum((part.counts for part in parts), Counter()),
        unknowns=list(dict.fromkeys(line for part in parts for line in part.unknowns)),
        depth="best" if any(part.depth == "best" for part in parts) else "full",
        sizes="assumed" if any(part.sizes == "assumed" for part in parts) else "observed",
        assumed_size=max(part.assumed_size for part in parts),
        use_yes_price=next((part.use_yes_price for part in parts if part.use_yes_price is not None), None),
    )


def numbered(recording: Recording, listed: Sequence[str] = ()) -> Recording:
    """Markets without book and print left out, the rest numbered as listed if all are, else by first appearance.

    A lifecycle channel speaks of every market there is. Equal rows get equal numbers, whatever they were read from.
    """
    rows = recording.rows
    traded = rows[np.isin(rows["kind"], (Kind.SNAPSHOT_LEVEL, Kind.SNAPSHOT_END, Kind.DELTA, Kind.TRADE))]
    kept = {recording.tickers[market] for market in np.unique(traded["market"]).tolist()}
    markets, first = np.unique(rows["market"], return_index=True)
    appeared = [recording.tickers[market] for _, market in sorted(zip(first.tolist(), markets.tolist())) if market >= 0]
    order = listed if kept <= set(listed) else appeared
    tickers = [ticker for ticker in order if ticker in kept]
    place = {ticker: row for row, ticker in enumerate(tickers)}
    number = np.array([place.get(ticker, _LEFT_OUT) for ticker in recording.tickers] + [ALL], np.int32)
    moved = rows.copy()
    moved["market"] = number[rows["market"]]
    return msgspec.structs.replace(recording, rows=moved[moved["market"] != _LEFT_OUT], tickers=tickers)
