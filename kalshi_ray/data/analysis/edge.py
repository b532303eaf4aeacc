"""What can be earned at all: costs against moves, markouts of prints, results of makers, sums over strikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND
from kalshi_ray.data.analysis.quotes import (
    ARBITRAGE,
    BANDS,
    COST,
    COST_BINS,
    MARKOUT,
    MOVE,
    MOVE_BINS,
    SUMS,
    compare_moves,
    mark_prints,
    sum_costs,
    sum_strikes,
)
from kalshi_ray.data.analysis.report import (
    AnalysisSettings,
    ArbitrageLine,
    CostLine,
    Edge,
    EventLine,
    HorizonLine,
    MakerLine,
    MarkoutLine,
)
from kalshi_ray.data.measures import HOURS, PATH

HOUR_S = 3_600.0
QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9}
MOVE_QUANTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def weighted_quantile(values: NDArray[np.floating], weights: NDArray[np.floating], share: float) -> float:
    """The smallest value below or at which at least `share` of the weight lies. Weights must not sum to zero."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, share * reached[-1] * (1.0 - 1e-12)))
    return float(values[order][min(place, len(order) - 1)])


def ratio_and_error(values: NDArray[np.floating], weights: NDArray[np.floating]) -> tuple[float, float | None]:
    """Sum of values over sum of weights and its standard error, each entry being one independent event."""
    total = weights.sum()
    mean = float(values.sum() / total)
    used = weights > 0
    count = int(used.sum())
    if count < 2:
        return mean, None
    rest = values[used] - mean * weights[used]
    return mean, float(np.sqrt(count / (count - 1) * (rest**2).sum()) / total)


@dataclass(frozen=True)
class EventPaths:
    """Quote paths and prints of the views of one event, in `path` and `prints` one after the other."""

    event: str
    path: NDArray[np.void]
    prints: NDArray[np.void]
    spans: list[tuple[int, int, int, int]]  # by view: path start, path stop, prints start, prints stop
    series: list[str]  # by view


@dataclass
class EdgeSums:
    """Adds up events; `finish` makes the report."""

    settings: AnalysisSettings
    cost_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(COST_BINS))
    bands: NDArray[np.void] = field(default_factory=lambda: np.zeros(len(BANDS) + 1, COST))
    hours: NDArray[np.void] = field(default_factory=lambda: np.zeros(HOURS, COST))
    markouts: list[NDArray[np.void]] = field(default_factory=list)  # by event and series: [horizons, 2] MARKOUT
    marked: list[tuple[str, str]] = field(default_factory=list)  # event and series of each entry of `markouts`
    events: list[EventLine] = field(default_factory=list)
    unknown_takers: int = 0

    def __post_init__(self) -> None:
        self.moves = np.zeros(len(self.settings.horizons_s), MOVE)
        self.moved_s = np.zeros((len(self.settings.horizons_s), MOVE_BINS))

    def add(self, paths: EventPaths) -> None:
        """Take in one event."""
        path, prints = as_rows(paths.path), as_rows(paths.prints)
        bands, hours, moves = as_rows(self.bands), as_rows(self.hours), as_rows(self.moves)
        by_series: dict[str, NDArray[np.void]] = {}
        for (start, stop, first, last), series in zip(paths.spans, paths.series):
            sum_costs(path, start, stop, self.cost_s, bands, hours)
            for at, seconds in enumerate(self.settings.horizons_s):
                compare_moves(path, start, stop, round(seconds * SECOND), self.moved_s[at], moves[at])
            if last > first:
                marks = by_series.setdefault(series, np.zeros((len(self.settings.markouts_s), 2), MARKOUT))
                for at, seconds in enumerate(self.settings.markouts_s):
                    found = as_rows(marks[at])
                    mark_prints(path, start, stop, prints, first, last, round(seconds * SECOND), found)
        self.unknown_takers += int((paths.prints["taker"] < 0).sum())
        self.marked += [(paths.event, series) for series in by_series]
        self.markouts += list(by_series.values())
        if len(paths.spans) > 1:
            self.events.append(sum_event(paths))

    def finish(self, *, has_trades: bool) -> Edge:
        """The report over all events taken in."""
        return Edge(
            round_trip_cents=self._round_trip(),
            by_price=_cost_lines(_band_names(), self.bands),
            by_hour=_cost_lines([f"{hour:02d}:00" for hour in range(HOURS)], self.hours),
            horizons=[self._horizon(at) for at in range(len(self.moves))],
            markouts=self._markout_lines() if has_trades else None,
            makers=self._maker_lines() if has_trades else None,
            events=self.events,
            unknown_takers=self.unknown_takers,
        )

    def _round_trip(self) -> dict[str, float]:
        seconds = self.bands["seconds"].sum()
        if seconds <= 0.0:
            return {}
        pips = np.arange(COST_BINS, dtype=np.float64)
        mean = (self.bands["spread"].sum() + self.bands["fee"].sum()) / seconds / CENT
        found = {name: weighted_quantile(pips, self.cost_s, share) / CENT for name, share in QUANTILES.items()}
        return {"mean": float(mean)} | found

    def _horizon(self, at: int) -> HorizonLine:
        sums, seen = self.moves[at], float(self.moves[at]["seen_s"])
        pips = np.arange(MOVE_BINS, dtype=np.float64)
        moved = self.moved_s[at]
        quantiles = {n: weighted_quantile(pips, moved, q) / CENT for n, q in MOVE_QUANTILES.items()} if seen else {}
        return HorizonLine(
            seconds=self.settings.horizons_s[at],
            hours=seen / HOUR_S,
            unseen_share=_share(float(sums["unseen_s"]), float(sums["unseen_s"]) + seen),
            move_cents=quantiles,
            over_cost_share=_share(float(sums["over_s"]), seen),
            foresight_share=_share(float(sums["foresight_s"]), seen),
        )

    def _by(self, names: Sequence[str]) -> NDArray[np.void]:
        """Markouts summed over entries of one name each: [names, horizons, 2]."""
        distinct = sorted(set(names))
        summed = np.zeros((len(distinct), len(self.settings.markouts_s), 2), MARKOUT)
        for name, marks in zip(names, self.markouts):
            place = summed[distinct.index(name)]
            for column in MARKOUT.fields or {}:
                place[column] += marks[column]
        return summed

    def _markout_lines(self) -> list[MarkoutLine]:
        lines = []
        by_event = self._by([event for event, _ in self.marked])
        for at, seconds in enumerate(self.settings.markouts_s):
            for name, sides in (("bought", [0]), ("sold", [1]), ("both", [0, 1])):
                sums = by_event[:, at][:, sides]
                value, lots, fee = (sums[c].sum(axis=1) for c in ("value", "lots", "taker_fee"))
                if lots.sum() == 0:
                    continue
                mean, error = ratio_and_error(value, lots)
                lines.append(
                    MarkoutLine(
                        seconds=seconds,
                        taker=name,
                        prints=int(sums["prints"].sum()),
                        contracts=float(lots.sum()) / CONTRACT,
                        cents=mean / CENT,
                        after_fee_cents=(mean - float(fee.sum() / lots.sum())) / CENT,
                        error_cents=None if error is None else error / CENT,
                        unseen=int(sums["unseen"].sum()),
                    )
                )
        return lines

    def _maker_lines(self) -> list[MakerLine]:
        lines = []
        for series in sorted({series for _, series in self.marked}):
            entries = [marks for (_, own), marks in zip(self.marked, self.markouts) if own == series]
            sums = np.stack(entries)
            for at, seconds in enumerate(self.settings.markouts_s):
                value, lots, fee = (sums[c][:, at].sum(axis=1) for c in ("value", "lots", "maker_fee"))
                if lots.sum() == 0:
                    continue
                mean, error = ratio_and_error(-value, lots)
                charged = float(fee.sum() / lots.sum())
                lines.append(
                    MakerLine(
                        series=series,
                        seconds=seconds,
                        contracts=float(lots.sum()) / CONTRACT,
                        gross_cents=mean / CENT,
                        fee_cents=charged / CENT,
                        net_cents=(mean - charged) / CENT,
                        error_cents=None if error is None else error / CENT,
                    )
                )
        return lines


def sum_event(paths: EventPaths) -> EventLine:
    """Sums of best prices over the markets of one event, and what they would have left after taker fees."""
    slot = np.concatenate([np.full(stop - start, v) for v, (start, stop, _, _) in enumerate(paths.spans)])
    used = np.concatenate([paths.path[start:stop] for start, stop, _, _ in paths.spans])
    order = np.argsort(used["recv_ns"], kind="stable")
    sums, found = np.empty(len(used), SUMS), np.zeros(2, ARBITRAGE)
    latest = np.full(len(paths.spans), -1, np.int64)
    rows = used if used.dtype == PATH else used.astype(PATH)
    written = int(sum_strikes(as_rows(rows), slot, order, latest, as_rows(sums), as_rows(found)))
    stood = sums[:written]
    seconds = float(stood["seconds"].sum())
    medians = [weighted_quantile(stood[c], stood["seconds"], 0.5) / CENT if seconds else None for c in ("bids", "asks")]
    buy_all, sell_all = (
        ArbitrageLine(int(f["count"]), float(f["seconds"]), float(f["longest_s"]), float(f["best"]) / CENT)
        for f in found
    )
    return EventLine(
        event=paths.event,
        markets=len(paths.spans),
        hours=seconds / HOUR_S,
        bid_sum_cents=medians[0],
        ask_sum_cents=medians[1],
        buy_all=buy_all,
        sell_all=sell_all,
    )


def _band_names() -> list[str]:
    bounds = [0, *BANDS, DOLLAR // CENT]
    return [f"{low}–{high}¢" for low, high in pairwise(bounds)]


def _cost_lines(names: Sequence[str], sums: NDArray[np.void]) -> list[CostLine]:
    lines = []
    for name, entry in zip(names, sums):
        seconds = float(entry["seconds"])
        if seconds > 0.0:
            spread, fee = float(entry["spread"]) / seconds / CENT, float(entry["fee"]) / seconds / CENT
            lines.append(CostLine(name, seconds / HOUR_S, spread, fee, spread + fee))
    return lines


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 0.0
