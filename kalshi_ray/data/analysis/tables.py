"""An analysis as tables for people: titles, units, captions. The command line prints them, the page shows them."""

from __future__ import annotations

from collections.abc import Callable

from kalshi_ray.data.analysis.edge_tables import edge_tables
from kalshi_ray.data.analysis.ladder import SessionView
from kalshi_ray.data.analysis.report import AnalysisReport, MarketLine, Overview, Ranked
from kalshi_ray.data.analysis.wording import (
    ReportTable,
    lots_text,
    missing,
    number_text,
    plain_text,
    utc_text,
)
from kalshi_ray.data.splits import SplitPart


def report_tables(report: AnalysisReport, *, all_markets: bool = False) -> list[ReportTable]:
    """All tables of a report in reading order; of the markets the busiest, or all of them."""
    found = [_overview_table(report), _market_table(report, all_markets)]
    if report.rejected:
        found.append(_rejected_table(report, all_markets))
    found += [_ranking(report, "top_displayed"), _ranking(report, "top_traded"), _regime_table(report)]
    found += [_activity_table(report, "hours"), _activity_table(report, "phases")]
    return found + (edge_tables(report, report.edge) if report.edge is not None else [])


def split_table(parts: list[SplitPart]) -> ReportTable:
    """The lines of a split: events, markets and time range of each part."""
    rows = [
        [p.part, f"{p.events:,}", f"{p.markets:,}", f"{p.decisions:,}", *(utc_text(t) for t in (p.first_ns, p.last_ns))]
        for p in parts
    ]
    columns = ["part", "events", "markets", "decision points", "first update (UTC)", "last update (UTC)"]
    return ReportTable(title="Split", columns=columns, rows=rows, right=columns[1:4])


def view_tables(view: SessionView) -> list[ReportTable]:
    """The ladder, the last prints and the price path of a market."""
    ladder = [[number_text(x.cents), lots_text(x.bid_contracts), lots_text(x.ask_contracts)] for x in view.ladder]
    prints = [
        [
            utc_text(p.recv_ns, fine=True),
            number_text(p.cents),
            f"{p.contracts:,.2f}",
            p.taker,
            "yes" if p.off_book else "",
        ]
        for p in view.prints
    ]
    columns = ["price (¢)", "bid (contracts)", "ask (contracts)"]
    stale = " (above is the last one known)" if view.state == "unknown" and view.ladder else ""
    book = "" if view.state == "not active" else f"book {view.state}{stale}, "
    about = f"{book}market {view.status}, after {view.updates:,} updates"
    hidden = f"; {view.hidden_levels:,} levels further out" if view.hidden_levels else ""
    assumed = "; sizes are assumed" if view.sizes == "assumed" else ""
    span = "" if view.path_low_cents is None else f"▁ = {view.path_low_cents:g}¢, █ = {view.path_high_cents:g}¢; "
    return [
        ReportTable(
            title=f"{view.ticker} at {utc_text(view.at_ns, fine=True)} UTC",
            columns=columns,
            rows=ladder,
            right=columns,
            caption=about + hidden + assumed,
        ),
        ReportTable(
            title="Last prints",
            columns=["received (UTC)", "price (¢)", "contracts", "taker", "off book"],
            rows=prints,
            right=["price (¢)", "contracts"],
            caption="" if prints else "none recorded by then",
        ),
        ReportTable(
            title="Mid over the recording",
            columns=[f"{utc_text(view.first_ns)} to {utc_text(view.last_ns)} UTC"],
            rows=[[view.price_path]],
            right=[],
            caption=f"{span}· = not two-sided",
        ),
    ]


def _overview_table(report: AnalysisReport) -> ReportTable:
    o: Overview = report.overview
    why = report.unmeasurable
    pairs = [
        ("session", f"{o.session} {o.checksum[:12]}".strip()),
        ("recorded", f"{utc_text(o.first_ns)} to {utc_text(o.last_ns)} UTC, {o.duration}"),
        ("depth, sizes, prints", f"{o.depth}, {o.sizes}, {'recorded' if o.has_trades else 'not recorded'}"),
        ("markets", f"{o.markets:,} of {o.listed_markets:,} listed, in {o.events:,} events"),
        ("updates", f"{o.updates:,}: {o.snapshots:,} snapshots, {o.deltas:,} deltas, {o.gaps:,} gaps of a market"),
        ("damaged levels", f"{o.damaged:,}"),
        ("prints", missing(why, "trades") if o.trades is None else f"{o.trades:,}, {o.contracts:,.0f} contracts"),
        ("book known", f"{o.known_share:.1%} of market time"),
        ("two-sided", f"{o.two_sided_share:.1%} of open market time"),
        ("locked or crossed", f"{o.crossed_share:.4%} of market time"),
        ("spread", "no two-sided time" if o.spread_cents is None else f"{o.spread_cents:.2f}¢, mean over market time"),
        ("decision points", f"{o.decisions:,}, of which {o.suitable_decisions:,} in suitable markets"),
        ("suitable markets", f"{o.suitable:,}"),
        ("patterns", ", ".join(f"{count} {name}" for name, count in report.patterns.items())),
        ("quality", f"{o.quality:.2f} = {o.quality_formula}"),
        ("training priority", f"{o.priority} ({o.priority_rule})"),
    ]
    return ReportTable(title="Session", columns=["what", "found"], rows=[[*pair] for pair in pairs], right=[])


def _market_table(report: AnalysisReport, all_markets: bool) -> ReportTable:
    """One line per market; columns that cannot be measured are left out and named below."""
    ranked = sorted(report.markets, key=lambda line: -line.decisions)
    shown = ranked if all_markets else ranked[: report.settings.top]
    columns = [(name, cell) for name, figure, cell in _MARKET_COLUMNS if figure not in report.unmeasurable]
    caption = (
        "Spread and mid are means over two-sided time; one-sided is a share of open time, unknown of all time; touch "
        "and depth are mean contracts. Quarters are of the session, or of its event where that was recorded for less "
        "than half of it. Moves are of the mid per change, pauses between changes of the best prices."
    )
    if len(shown) < len(ranked):
        caption = f"The {len(shown)} of {len(ranked):,} markets with most decision points. {caption}"
    lacking = [
        f"{name} is {missing(report.unmeasurable, figure)}"
        for name, figure, _ in _MARKET_COLUMNS
        if figure in report.unmeasurable
    ]
    return ReportTable(
        title="Markets",
        columns=[name for name, _ in columns],
        rows=[[cell(line) for _, cell in columns] for line in shown],
        right=[name for name, _ in columns if name not in ("market", "pattern", "by quarter", "ends", "left out for")],
        caption=caption + (f" {'; '.join(lacking)}." if lacking else ""),
    )


# Name of the column, name of the figure it needs, text of the cell.
_MARKET_COLUMNS: tuple[tuple[str, str, Callable[[MarketLine], str]], ...] = (
    ("market", "", lambda x: x.ticker),
    ("updates", "", lambda x: f"{x.updates:,}"),
    ("decisions", "", lambda x: f"{x.decisions:,}"),
    ("by quarter", "", lambda x: "/".join(map(str, x.quarters))),
    ("pattern", "", lambda x: x.pattern),
    ("spread (¢)", "", lambda x: number_text(x.spread_cents, 2)),
    ("mid (¢)", "", lambda x: number_text(x.mid_cents, 1)),
    ("one-sided", "", lambda x: f"{x.one_sided_share:.1%}"),
    ("unknown", "", lambda x: f"{x.unknown_share:.1%}"),
    ("at touch", "touch_contracts", lambda x: number_text(x.touch_contracts, 0)),
    ("depth", "depth_contracts", lambda x: number_text(x.depth_contracts, 0)),
    ("prints", "trades", lambda x: number_text(x.trades, 0)),
    ("contracts", "contracts", lambda x: number_text(x.contracts, 0)),
    ("move p50/p90 (¢)", "", lambda x: f"{number_text(x.move_cents_p50)} / {number_text(x.move_cents_p90)}"),
    ("pause p50/p90 (s)", "", lambda x: f"{number_text(x.pause_s_p50)} / {number_text(x.pause_s_p90)}"),
    ("ends", "", lambda x: x.ending),
    ("left out for", "", lambda x: x.reason.removeprefix(f"{x.ticker}: ")),
)


def _rejected_table(report: AnalysisReport, all_markets: bool) -> ReportTable:
    shown = report.rejected if all_markets else report.rejected[: report.settings.top]
    rows = [[r.ticker, r.reason, plain_text(r.value), plain_text(r.threshold)] for r in shown]
    counts: dict[str, int] = {}
    for verdict in report.rejected:
        counts[verdict.reason] = counts.get(verdict.reason, 0) + 1
    caption = ", ".join(f"{count:,} by {reason}" for reason, count in counts.items())
    columns = ["market", "reason", "found", "asked for"]
    return ReportTable(title="Left out", columns=columns, rows=rows, right=columns[2:], caption=caption)


def _ranking(report: AnalysisReport, figure: str) -> ReportTable:
    ranked: list[Ranked] | None = getattr(report, figure)
    displayed = figure == "top_displayed"
    name = "contracts displayed (mean)" if displayed else "contracts traded"
    title = "Top markets by displayed size" if displayed else "Top markets by traded volume"
    caption = (
        "Displayed: what rests in the book, all levels of both sides, mean over open time. It is not traded volume."
    )
    if ranked is None:
        reason = missing(report.unmeasurable, "depth_contracts" if displayed else "contracts")
        return ReportTable(title=title, columns=["market", name], rows=[["–", reason]], right=[])
    rows = [[line.ticker, f"{line.contracts:,.0f}"] for line in ranked]
    return ReportTable(
        title=title, columns=["market", name], rows=rows, right=[name], caption=caption if displayed else ""
    )


def _regime_table(report: AnalysisReport) -> ReportTable:
    rows = [[x.name, f"{x.hours:,.1f}", f"{x.share:.1%}", f"{x.markets:,}"] for x in report.regimes]
    columns = ["spread", "two-sided market hours", "share", "markets by mean spread"]
    return ReportTable(title="Spread regimes", columns=columns, rows=rows, right=columns[1:])


def _activity_table(report: AnalysisReport, figure: str) -> ReportTable:
    lines = report.hours if figure == "hours" else report.phases
    columns = ["hour (UTC)" if figure == "hours" else "phase of the session", "updates", "quote changes", "prints"]
    columns.append("decisions")
    prints = "trades" not in report.unmeasurable
    rows = [
        [x.name, f"{x.updates:,}", f"{x.quote_changes:,}", f"{x.trades:,}" if prints else "–", f"{x.decisions:,}"]
        for x in lines
    ]
    title = "Activity by hour of the day" if figure == "hours" else "Activity by phase of the session"
    return ReportTable(title=title, columns=columns, rows=rows, right=columns[1:])
