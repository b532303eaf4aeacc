"""`analyze_session`: one pass over a session, event by event, and the report of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kalshi_ray.core.jit import as_rows
from kalshi_ray.core.tape import ViewPack
from kalshi_ray.core.units import CENT, CONTRACT
from kalshi_ray.data.analysis.edge import EdgeSums, EventPaths
from kalshi_ray.data.analysis.market_lines import (
    PRIORITY_RULE,
    QUALITY_FORMULA,
    Changes,
    Facts,
    describe_market,
    duration_text,
    priority_of,
    quality_of,
    recorded_share,
    share,
)
from kalshi_ray.data.analysis.report import (
    ActivityLine,
    AnalysisReport,
    AnalysisSettings,
    MarketLine,
    Overview,
    Ranked,
    RegimeLine,
)
from kalshi_ray.data.measures import (
    CROSSED,
    HOURS,
    MEASURES,
    OPEN,
    PHASES,
    REGIMES,
    UNKNOWN,
    Survey,
    make_survey,
    measure_one,
    spans_of,
)
from kalshi_ray.data.replay import make_replay, tape_of
from kalshi_ray.data.selection import judge
from kalshi_ray.data.session import Session
from kalshi_ray.data.views import build_pack
from kalshi_ray.telemetry import Progress

HOUR_S = 3_600.0


def analyze_session(
    source: Session | ViewPack,
    settings: AnalysisSettings | None = None,
    progress: Progress | None = None,
    *,
    markets: pa.Table | None = None,
) -> AnalysisReport:
    """Look at every market of a session, or of a pack; a pack knows series and category only if given its `markets`."""
    chosen = settings or AnalysisSettings()
    if isinstance(source, Session):
        pack, table = build_pack(source, progress=progress), source.markets()
    else:
        pack, table = source, markets
    origin = source.manifest.source if isinstance(source, Session) else ""
    found = _survey(pack, chosen, table, progress)
    rejected = judge(pack, chosen.suitability, markets=table, measures=found.measures).rejected
    lines = _lines(pack, chosen, table, found, {verdict.ticker: str(verdict) for verdict in rejected})
    return AnalysisReport(
        overview=_overview(pack, found.measures, lines, origin, len(pack.tickers) if table is None else len(table)),
        markets=lines,
        rejected=rejected,
        patterns={name: sum(line.pattern == name for line in lines) for name in sorted({x.pattern for x in lines})},
        top_displayed=_top(lines, "depth_contracts", chosen.top),
        top_traded=_top(lines, "contracts", chosen.top),
        hours=_activity([f"{hour:02d}:00" for hour in range(HOURS)], found.survey.hours),
        phases=_activity([f"{10 * tenth}–{10 * tenth + 10} %" for tenth in range(PHASES)], found.survey.phases),
        regimes=_regimes(found.measures, lines),
        edge=found.edge.finish(has_trades=pack.has_trades) if found.edge is not None else None,
        unmeasurable=unmeasurable_of(pack),
        settings=chosen,
    )


def unmeasurable_of(pack: ViewPack) -> dict[str, str]:
    """Figures that this recording cannot give, and why."""
    found: dict[str, str] = {}
    if pack.sizes != "observed":
        found["touch_contracts"] = "sizes were not recorded; a size was assumed at every quote"
    if pack.depth != "full" or pack.sizes != "observed":
        found["depth_contracts"] = "only the best quotes were recorded"
        if pack.depth == "full":
            found["depth_contracts"] = "sizes were not recorded"
    if not pack.has_trades:
        for name in ("trades", "contracts", "markouts", "makers"):
            found[name] = "prints were not recorded"
    return found


@dataclass(frozen=True)
class _Found:
    measures: NDArray[np.void]  # [V]
    changes: list[Changes]  # by view
    survey: Survey
    edge: EdgeSums | None


def _survey(pack: ViewPack, settings: AnalysisSettings, table: pa.Table | None, progress: Progress | None) -> _Found:
    """Measure all views, one event after the other, so that paths of one event alone are held at a time."""
    measures = np.zeros(len(pack.views), MEASURES)
    rows, tape, room = as_rows(measures), tape_of(pack), make_replay(pack.max_levels)
    lengths = pack.views["stop"] - pack.views["start"]
    events = pack.views["event"]
    largest = int(np.bincount(events, weights=lengths).max())
    # What is not written is never given memory by the system.
    survey = make_survey(largest + len(pack.views), largest)
    edge = EdgeSums(settings) if settings.edge else None
    changes: list[Changes | None] = [None] * len(pack.views)
    spans = spans_of(pack)
    for done, event in enumerate(np.unique(events).tolist()):
        if progress is not None:
            progress("analyze events", done, len(pack.events))
        survey.used[:] = 0
        views = np.flatnonzero(events == event).tolist()
        parts = []
        for view in views:
            first, first_print = measure_one(tape, room, view, spans, rows[view], survey)
            stop, stop_print = int(survey.used[0]), int(survey.used[1])
            parts.append((first, stop, first_print, stop_print))
            changes[view] = Changes.of(survey.path[first:stop])
        if edge is not None:
            path, prints = survey.path[: survey.used[0]], survey.prints[: survey.used[1]]
            series = [_names(pack, view, table)[0] or pack.events[event] for view in views]
            edge.add(EventPaths(pack.events[event], path, prints, parts, series))
    return _Found(measures, [entry for entry in changes if entry is not None], survey, edge)


def _names(pack: ViewPack, view: int, table: pa.Table | None) -> tuple[str, str]:
    """Series and category of a view, "" where they are not known."""
    if table is None:
        return "", ""
    row = int(pack.views[view]["market"])
    return table["series"][row].as_py(), table["category"][row].as_py()


def _lines(
    pack: ViewPack, settings: AnalysisSettings, table: pa.Table | None, found: _Found, reasons: dict[str, str]
) -> list[MarketLine]:
    lines = []
    for view, ticker in enumerate(pack.tickers):
        names, reason = _names(pack, view, table), reasons.get(ticker, "")
        measure, changes = found.measures[view], found.changes[view]
        lines.append(describe_market(pack, view, measure, changes, names, settings.suitability, reason))
    return lines


def _overview(
    pack: ViewPack, measures: NDArray[np.void], lines: list[MarketLine], origin: str, listed: int
) -> Overview:
    seconds = measures["seconds"]
    opened, total = float(seconds[:, OPEN].sum()), float(seconds.sum())
    two_sided = float(measures["two_sided_s"].sum())
    first, last = int(measures["first_ns"].min()), int(measures["last_ns"].max())
    suitable = [line for line in lines if line.suitable]
    facts = Facts(
        known_share=1.0 - share(float(seconds[:, UNKNOWN].sum()), total),
        two_sided_share=share(two_sided, opened),
        suitable_share=share(len(suitable), len(lines)),
        hours=(last - first) * 1e-9 / HOUR_S,
        recorded=recorded_share(pack),
        suitable=len(suitable),
        suitable_decisions=sum(line.decisions for line in suitable),
    )
    return Overview(
        session=pack.session,
        checksum=pack.checksum,
        source=origin,
        depth=pack.depth,
        sizes=pack.sizes,
        has_trades=pack.has_trades,
        first_ns=first,
        last_ns=last,
        duration=duration_text(last - first),
        listed_markets=listed,
        markets=len(lines),
        events=len(np.unique(pack.views["event"])),
        updates=int(measures["updates"].sum()),
        snapshots=int(measures["snapshots"].sum()),
        deltas=int(measures["deltas"].sum()),
        trades=int(measures["trades"].sum()) if pack.has_trades else None,
        contracts=float(measures["traded"].sum()) / CONTRACT if pack.has_trades else None,
        gaps=int(measures["gaps"].sum()),
        damaged=int(measures["damaged"].sum()),
        known_share=facts.known_share,
        two_sided_share=facts.two_sided_share,
        crossed_share=share(float(seconds[:, CROSSED].sum()), total),
        spread_cents=float(measures["spread_sum"].sum()) / two_sided / CENT if two_sided else None,
        decisions=int(measures["decisions"].sum()),
        suitable_decisions=facts.suitable_decisions,
        suitable=facts.suitable,
        quality=quality_of(facts),
        quality_formula=QUALITY_FORMULA,
        priority=priority_of(facts),
        priority_rule=PRIORITY_RULE,
    )


def _top(lines: list[MarketLine], figure: str, count: int) -> list[Ranked] | None:
    """Markets with most of a figure; None where it was not measured anywhere."""
    known = [(float(value), line.ticker) for line in lines if (value := getattr(line, figure)) is not None]
    if not known:
        return None
    return [Ranked(ticker, value) for value, ticker in sorted(known, reverse=True)[:count]]


def _activity(names: list[str], counts: NDArray[np.void]) -> list[ActivityLine]:
    return [
        ActivityLine(name, int(row["updates"]), int(row["quotes"]), int(row["trades"]), int(row["decisions"]))
        for name, row in zip(names, np.asarray(counts))
    ]


def _regimes(measures: NDArray[np.void], lines: list[MarketLine]) -> list[RegimeLine]:
    seconds = measures["regime_s"].sum(axis=0)
    bounds = [0.0, *map(float, REGIMES), float("inf")]
    names = [f"below {REGIMES[0]}¢", *(f"{a}–{b}¢" for a, b in pairwise(REGIMES)), f"{REGIMES[-1]}¢ and more"]
    spreads = [line.spread_cents for line in lines if line.spread_cents is not None]
    return [
        RegimeLine(
            name, float(s) / HOUR_S, share(float(s), float(seconds.sum())), sum(low <= x < high for x in spreads)
        )
        for name, s, low, high in zip(names, seconds, bounds, bounds[1:])
    ]
