"""Views packed from a session: one market's updates after the other, in a few large arrays (core.tape.ViewPack)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows, read_only
from kalshi_ray.core.tape import SIBLING, UPDATE, VIEW, Kind, ViewPack
from kalshi_ray.core.units import DOLLAR
from kalshi_ray.data.columns import Columns, Heads, Updates, split_large_sizes, updates_of
from kalshi_ray.data.keyframes import build_keyframes
from kalshi_ray.data.market_table import Axes, MarketTable, build_axes, fee_rates, read_market_table
from kalshi_ray.data.marking import mark_and_order
from kalshi_ray.data.partition import TALLY, Fault, Target, count_rows, last_recorded, place_rows
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.siblings import build_siblings
from kalshi_ray.errors import NothingToDo, SessionDamaged
from kalshi_ray.telemetry import Progress

KEPT_ROWS = 1 << 23  # updates of a session far away that are held while its pack is built: 41 bytes each


def build_pack(
    session: Session,
    *,
    tickers: Sequence[str] | None = None,
    siblings: bool = False,
    progress: Progress | None = None,
) -> ViewPack:
    """The views of a session, or of some of its markets. UnknownName for a ticker it does not have.

    What lies on this disk is read as often as needed, to count and to place, and never held together. What is far away
    is read once, and only the rows of these markets, unless they are too many to be held.
    """

    def read(table: MarketTable, chosen: list[int]) -> Updates:
        return _updates_for(session, table, chosen)

    return _build(session.markets(), read, session.manifest, session.checksum, tickers, siblings, progress or _silent)


def build_pack_from_tables(
    markets: pa.Table,
    updates: pa.Table | Iterable[pa.RecordBatch],
    manifest: Manifest,
    *,
    checksum: str = "",
    tickers: Sequence[str] | None = None,
    siblings: bool = False,
    progress: Progress | None = None,
) -> ViewPack:
    """Views from tables of schema MARKETS and UPDATES. Markets without an update have none.

    SessionDamaged names market and row where the updates contradict their schema, their grid or their clock;
    NothingToDo where no market is left.
    """

    def read(table: MarketTable, chosen: list[int]) -> Updates:
        return updates_of(updates)

    return _build(markets, read, manifest, checksum, tickers, siblings, progress or _silent)


def _updates_for(session: Session, table: MarketTable, chosen: list[int]) -> Updates:
    if session.is_local:
        return Updates(session.update_batches)
    is_whole = len(chosen) == len(table.tickers)
    tickers = None if is_whole else [table.tickers[market] for market in chosen]
    if session.manifest.updates > KEPT_ROWS:
        return Updates(lambda names: session.update_batches(names, tickers), is_whole=is_whole)
    return replace(updates_of(session.update_batches(Columns._fields, tickers)), is_whole=is_whole)


def _build(
    markets: pa.Table,
    read: Callable[[MarketTable, list[int]], Updates],
    manifest: Manifest,
    checksum: str,
    tickers: Sequence[str] | None,
    siblings: bool,
    progress: Progress,
) -> ViewPack:
    table = read_market_table(markets)
    asked = _asked_rows(table, tickers)
    chosen = _with_siblings(table, asked) if siblings else asked
    updates = read(table, chosen)
    part = _count(updates, chosen, table, progress)
    if part.tally["large"][0]:
        updates = split_large_sizes(updates)
        part = _count(updates, chosen, table, progress)
    axes = build_axes(table.grids, manifest.grids, _grid_changes(updates, part, table, manifest), part.used)
    views = _describe_views(part, table, axes, manifest)
    rows, values = _place(updates, part, views, axes, table, progress)
    progress("mark prints and write keyframes", 0, len(rows))
    starts, stops = views["start"].copy(), views["stop"].copy()
    rows = mark_and_order(rows, starts, stops, bool(part.tally["trades"][0]))
    views["start"], views["stop"] = starts, stops
    pack = replace(_assemble(rows, values, views, part, axes, table, manifest, siblings), checksum=checksum)
    progress("mark prints and write keyframes", len(rows), len(rows))
    return pack if len(chosen) == len(asked) else subset_pack(pack, np.flatnonzero(np.isin(views["market"], asked)))


def subset_pack(pack: ViewPack, views: NDArray[np.integer]) -> ViewPack:
    """The same pack with only the views of those indices, in that order; large arrays are shared, not cut."""
    if len(views) == 0:
        raise NothingToDo("no view is left of the pack", remedy="Choose other markets")
    return replace(pack, tickers=tuple(pack.tickers[view] for view in views), views=pack.views[views])


@dataclass(frozen=True)
class _Parting:
    """Which market has which view, and how much room each needs."""

    markets: list[int]  # [V] market of each view
    view_of: NDArray[np.int32]  # [M]
    used: NDArray[np.bool_]  # [M] whether the market has a view
    rows: NDArray[np.int64]  # [V] rows of each view, rows for all included
    reach: NDArray[np.uint8]  # [D, V] which views a row for all concerns
    reach_of: NDArray[np.int32]  # [rows for all] row of `reach`
    tally: NDArray[np.void]


def _silent(label: str, done: int, total: int) -> None:
    del label, done, total


def _asked_rows(table: MarketTable, tickers: Sequence[str] | None) -> list[int]:
    if tickers is None:
        return list(range(len(table.tickers)))
    return sorted({table.row_of(ticker) for ticker in tickers})


def _with_siblings(table: MarketTable, asked: list[int]) -> list[int]:
    events = {table.events[market] for market in asked}
    return [market for market, event in enumerate(table.events) if event in events]


def _count(updates: Updates, chosen: list[int], table: MarketTable, progress: Progress) -> _Parting:
    """Count the rows of each chosen market; views are the chosen markets that have any."""
    slot_of = np.full(len(table.tickers), -1, np.int32)
    slot_of[chosen] = np.arange(len(chosen))
    rows = np.zeros(len(chosen), np.int64)
    tally = np.zeros(1, TALLY)
    done = 0
    for heads in updates.heads():
        count_rows(heads, slot_of, rows, as_rows(tally)[0])
        _raise_fault(tally, heads, done, table, updates)
        done += len(heads.market)
        progress("count updates", done, 0)
    filled = np.flatnonzero(rows)
    if len(filled) == 0:
        raise NothingToDo(
            f"none of the {len(chosen)} chosen markets has an update", remedy="Choose other markets or another session"
        )
    tally["updates"] = done
    markets = np.asarray(chosen, np.int32)[filled]
    view_of = np.full(len(table.tickers), -1, np.int32)
    view_of[markets] = np.arange(len(markets))
    reach, reach_of = _reach(updates, view_of, len(markets), int(tally["for_all"][0]))
    counts = rows[filled] + np.bincount(reach_of, minlength=len(reach)) @ reach
    return _Parting(markets.tolist(), view_of, view_of >= 0, counts, reach, reach_of, tally)


def _reach(
    updates: Updates, view_of: NDArray[np.int32], views: int, for_all: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Which views the rows with market -1 concern: those that ever had a row of the same sid; sid 0 concerns all."""
    if not for_all:
        return np.ones((1, views), np.uint8), np.empty(0, np.int32)
    sids = np.concatenate([heads.sid[heads.market == -1] for heads in updates.heads()])
    kinds, reach_of = np.unique(sids, return_inverse=True)
    reach = np.zeros((len(kinds), views), np.uint8)
    for heads in updates.heads():
        own = heads.market >= 0
        view, sid = view_of[heads.market[own]], heads.sid[own]
        for row, kind in enumerate(kinds):
            reach[row, view[(sid == kind) & (view >= 0)]] = 1
    reach[kinds == 0] = 1
    return reach, reach_of.astype(np.int32)


def _grid_changes(updates: Updates, part: _Parting, table: MarketTable, manifest: Manifest) -> list[tuple[int, int]]:
    """Distinct (market, entry of the manifest's grids) of all GRID rows."""
    if not part.tally["grid_rows"][0]:
        return []
    changes: set[tuple[int, int]] = set()
    for heads in updates.heads():
        rows = (heads.kind == Kind.GRID) & (heads.market >= 0) & (part.view_of[heads.market] >= 0)
        changes.update(zip(heads.market[rows].tolist(), heads.size[rows].tolist()))
    for market, entry in sorted(changes):
        if not 0 <= entry < len(manifest.grids):
            raise SessionDamaged(
                f"{table.tickers[market]} changes to price grid {entry}, the manifest knows {len(manifest.grids)}"
            )
    return sorted(changes)


def _describe_views(part: _Parting, table: MarketTable, axes: Axes, manifest: Manifest) -> NDArray[np.void]:
    """VIEW records with ranges as counted, before prints are split and keyframes are written."""
    markets = np.array(part.markets)
    views = np.zeros(len(markets), VIEW)
    ends = np.cumsum(part.rows)
    event_rows: dict[str, int] = {}
    fees = [fee_rates(table.fee_types[m], table.fee_multipliers[m], table.tickers[m]) for m in part.markets]
    views["market"] = markets
    views["event"] = [event_rows.setdefault(table.events[m], len(event_rows)) for m in part.markets]
    views["siblings"] = views["event"]
    views["start"], views["stop"] = ends - part.rows, ends
    views["axis"] = axes.axis[markets]
    views["levels"] = axes.levels[axes.axis[markets]]
    views["grid"] = axes.grid[markets]
    views["status"] = table.status[markets]
    views["open_ns"], views["close_ns"] = table.open_ns[markets], table.close_ns[markets]
    views["taker_ppm"], views["maker_ppm"] = np.array(fees, np.int32).T
    views["default_size"] = manifest.assumed_size if manifest.sizes == "assumed" else 0
    return views


def _place(
    updates: Updates, part: _Parting, views: NDArray[np.void], axes: Axes, table: MarketTable, progress: Progress
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """The updates by view, and the values that do not fit a row."""
    placed = np.empty(int(part.rows.sum()), UPDATE)
    values = np.zeros(int(part.tally["values"][0]), np.int64)
    starts = views["start"].copy()
    target = Target(
        as_rows(placed),
        values,
        starts.copy(),
        starts,
        np.zeros(len(starts), np.uint8),
        part.view_of,
        views["axis"].copy(),
        axes.ticks,
        axes.regrid,
        part.reach,
        part.reach_of,
    )
    tally = np.zeros(1, TALLY)
    done = 0
    for columns in updates.columns():
        place_rows(columns, target, as_rows(tally)[0])
        _raise_fault(tally, columns, done, table, updates)
        done += len(columns.market)
        progress("part by market", done, int(part.tally["updates"][0]))
    last_recorded(target.updates, starts, target.cursor)
    return _close_up(placed, views, target.cursor), values


def _close_up(placed: NDArray[np.void], views: NDArray[np.void], stops: NDArray[np.int64]) -> NDArray[np.void]:
    """The rows without the room that is left behind each view; `views` are moved to where theirs stand."""
    if (stops == views["stop"]).all():
        return placed
    kept = np.concatenate([placed[start:stop] for start, stop in zip(views["start"], stops, strict=True)])
    rows = stops - views["start"]
    views["stop"] = np.cumsum(rows)
    views["start"] = views["stop"] - rows
    return kept


def _assemble(
    rows: NDArray[np.void],
    values: NDArray[np.int64],
    views: NDArray[np.void],
    part: _Parting,
    axes: Axes,
    table: MarketTable,
    manifest: Manifest,
    siblings: bool,
) -> ViewPack:
    """The pack of placed and marked rows: keyframes, decision points and sibling rows are added here."""
    # As they will be in the pack: kernels are compiled once for locked arrays.
    rows, values = read_only(rows), read_only(values)
    keyframes, levels = build_keyframes(rows, views, axes.axes, values)
    events = tuple(dict.fromkeys(table.events[market] for market in part.markets))
    sibling_rows, sibling_start = np.empty(0, SIBLING), np.zeros(len(events) + 1, np.int64)
    if siblings:
        sibling_rows, sibling_start = build_siblings(rows, views, axes.axes, values, len(events))
    return ViewPack(
        session=manifest.id,
        checksum="",
        tickers=tuple(table.tickers[market] for market in part.markets),
        events=events,
        updates=rows,
        views=views,
        keyframes=keyframes,
        levels=levels,
        axes=axes.axes,
        grids=axes.grids,
        values=values,
        siblings=sibling_rows,
        sibling_start=sibling_start,
        depth=manifest.depth,
        sizes=manifest.sizes,
        has_trades=manifest.has_trades,
        signals=tuple(manifest.signals),
    )


def _raise_fault(
    tally: NDArray[np.void], columns: Columns | Heads, first_row: int, table: MarketTable, updates: Updates
) -> None:
    """Turn a fault found by a kernel into an error that names the market and the row."""
    fault = Fault(int(tally["fault"][0]))
    if fault == Fault.NONE:
        return
    row = int(tally["fault_row"][0])
    cells = {name: int(column[row]) for name, column in columns._asdict().items()}
    market, kind, size, price = cells["market"], cells["kind"], cells["size"], cells.get("price", 0)
    named = Kind(kind).name if kind in list(Kind) else kind
    name = table.tickers[market] if 0 <= market < len(table.tickers) else "every market"
    what = {
        Fault.MARKET: f"market {market} is not one of the {len(table.tickers)} of the market table",
        Fault.KIND: f"kind {kind} is unknown, expected {min(Kind)} to {max(Kind)}",
        Fault.TIME: f"received at {cells.get('recv_ns')} ns, before the row before it: the clock ran backwards",
        Fault.OFF_GRID: f"book level at {price} pips (${price / DOLLAR:.4f}) is not on the market's price grid",
        Fault.SIDE: f"side {cells.get('side')} of a book level, expected 0 (bid) or 1 (ask)",
        Fault.SIZE: f"size {size} lots of a {named} row",
        Fault.FUTURE: f"exchange time {cells.get('exch_ns')} ns is over 35 minutes after its receipt",
        Fault.VALUE: f"{named} row with size {size} and price {price}",
        Fault.EVERYBODY: f"{named} row without a market",
    }[fault]
    raise SessionDamaged(
        f"{name}, update {first_row + row:,}{'' if updates.is_whole else ' of the chosen markets'}: {what}",
        remedy="`kalshi-ray sessions validate` lists all such rows; correct the import or leave the market out",
    )
