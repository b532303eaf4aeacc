"""The tables of `edge`: what can be earned at all."""

from __future__ import annotations

import msgspec

from kalshi_ray.data.analysis.report import AnalysisReport, ArbitrageLine, CostLine, Edge
from kalshi_ray.data.analysis.wording import ReportTable, missing, number_text, span_text


def edge_tables(report: AnalysisReport, edge: Edge) -> list[ReportTable]:
    """Costs, moves, markouts, makers, events."""
    found = [_cost_table("Cost of a round trip by price", edge.by_price, "mid"), _horizon_table(edge)]
    quantiles = ", ".join(f"{name} {value:.2f}¢" for name, value in edge.round_trip_cents.items())
    found[0] = msgspec.structs.replace(found[0], caption=f"Over all two-sided market time: {quantiles or 'none'}.")
    found.append(_cost_table("Cost of a round trip by hour of the day", edge.by_hour, "hour (UTC)"))
    return [*found, _markout_table(report, edge), _maker_table(report, edge), _event_table(edge)]


def _cost_table(title: str, lines: list[CostLine], name: str) -> ReportTable:
    columns = [name, "market hours", "spread (¢)", "taker fees, both ways (¢)", "round trip (¢)"]
    rows = [
        [x.name, f"{x.hours:,.1f}", f"{x.spread_cents:.2f}", f"{x.fee_cents:.2f}", f"{x.round_trip_cents:.2f}"]
        for x in lines
    ]
    return ReportTable(title=title, columns=columns, rows=rows, right=columns[1:])


def _horizon_table(edge: Edge) -> ReportTable:
    names = list(edge.horizons[0].move_cents) if edge.horizons else []
    columns = ["within", *(f"{name} (¢)" for name in names), "mid beats round trip", "foresight pays", "not seen"]
    rows = [
        [
            span_text(x.seconds),
            *(number_text(x.move_cents.get(name)) for name in names),
            f"{x.over_cost_share:.2%}",
            f"{x.foresight_share:.2%}",
            f"{x.unseen_share:.1%}",
        ]
        for x in edge.horizons
    ]
    caption = (
        "Shares of the market time that has two sides at both ends. Mid beats round trip: the mid moved by more than "
        "spread and both taker fees cost at the start. Foresight pays: taking now and taking back then, at the quotes "
        "of both times, would have left something. Not seen: share of two-sided time without two sides at the later "
        "end, left out of the others."
    )
    return ReportTable(title="Moves of the mid", columns=columns, rows=rows, right=columns[1:], caption=caption)


def _markout_table(report: AnalysisReport, edge: Edge) -> ReportTable:
    columns = ["after", "taker", "prints", "contracts", "¢ per contract", "standard error", "after fee", "not seen"]
    rows = [
        [
            span_text(x.seconds),
            x.taker,
            f"{x.prints:,}",
            f"{x.contracts:,.0f}",
            f"{x.cents:+.3f}",
            number_text(x.error_cents, 3),
            f"{x.after_fee_cents:+.3f}",
            f"{x.unseen:,}",
        ]
        for x in edge.markouts or []
    ]
    caption = "What takers had earned by the mid at the later time; errors are by event."
    if edge.markouts is None:
        rows, caption = [[missing(report.unmeasurable, "markouts")] + ["–"] * 7], ""
    elif edge.unknown_takers:
        caption += f" {edge.unknown_takers:,} prints of unknown takers are left out."
    title = "Markouts of prints"
    return ReportTable(title=title, columns=columns, rows=rows, right=columns[2:], caption=caption)


def _maker_table(report: AnalysisReport, edge: Edge) -> ReportTable:
    columns = ["series", "after", "contracts", "gross (¢)", "maker fee (¢)", "net (¢)", "standard error"]
    rows = [
        [
            x.series,
            span_text(x.seconds),
            f"{x.contracts:,.0f}",
            f"{x.gross_cents:+.3f}",
            f"{x.fee_cents:.3f}",
            f"{x.net_cents:+.3f}",
            number_text(x.error_cents, 3),
        ]
        for x in edge.makers or []
    ]
    caption = "Per contract of those who were hit: filled at the print's price, marked at the mid after the time."
    if edge.makers is None:
        rows, caption = [[missing(report.unmeasurable, "makers")] + ["–"] * 6], ""
    title = "Makers after adverse selection"
    return ReportTable(title=title, columns=columns, rows=rows, right=columns[2:], caption=caption)


def _event_table(edge: Edge) -> ReportTable:
    columns = ["event", "markets", "all two-sided (h)", "sum of bids (¢)", "sum of asks (¢)"]
    columns += ["asks + fees < $1", "bids - fees > $1"]
    rows = [
        [
            x.event,
            f"{x.markets:,}",
            f"{x.hours:,.1f}",
            number_text(x.bid_sum_cents, 1),
            number_text(x.ask_sum_cents, 1),
            _arbitrage(x.buy_all),
            _arbitrage(x.sell_all),
        ]
        for x in edge.events
    ]
    caption = (
        "Medians over the time in which all recorded markets of the event are two-sided; events with a single recorded "
        "market are left out. The sums mean something where exactly one market pays. Quotes are as received: one that "
        "was stale counts as standing. What lasted less than 5 ms does not count."
    )
    title = "Sums over the markets of an event"
    return ReportTable(title=title, columns=columns, rows=rows, right=columns[1:], caption=caption)


def _arbitrage(found: ArbitrageLine) -> str:
    if not found.count:
        return "never"
    times = f"{span_text(found.seconds)}, longest {span_text(found.longest_s)}"
    return f"{found.count:,} times, {times}, best {found.best_cents:.1f}¢"
