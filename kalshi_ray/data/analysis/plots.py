"""The plots of an analysis page as plain plotly figures: data, layout, title and caption."""

from __future__ import annotations

from typing import Any, NamedTuple

from kalshi_ray.data.analysis.report import AnalysisReport, Edge
from kalshi_ray.data.analysis.wording import span_text

BLUE, GREY, ORANGE, GREEN, PURPLE = "#1f6feb", "#8a94a6", "#d97706", "#0f9d8a", "#9b51e0"
SHADES = (GREY, "#7aa7e8", BLUE, ORANGE, "#c2410c")
POINTS = 1_000  # markets in the scatter: the page stays small


class Plot(NamedTuple):
    """One plot of the page."""

    title: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def plots_of(report: AnalysisReport) -> list[Plot]:
    """All plots that the report has figures for."""
    found = [_phases(report), _hours(report), _regimes(report), _scatter(report)]
    found = [plot for plot in found if any(y for trace in plot.data for y in trace["y"])]
    if report.edge is not None:
        found += _edge_plots(report.edge)
    return [plot for plot in found if any(len(trace["y"]) for trace in plot.data)]


def _phases(report: AnalysisReport) -> Plot:
    caption = "Decision points, changes of best prices and prints in each tenth of the session's time."
    return _activity_plot("Activity over the session", caption, report.phases, "share of the session")


def _hours(report: AnalysisReport) -> Plot:
    caption = "Summed over all days of the recording."
    return _activity_plot("Activity by hour of the day", caption, report.hours, "hour (UTC)")


def _activity_plot(title: str, caption: str, lines: list[Any], x_title: str) -> Plot:
    names = [line.name for line in lines]
    data = [
        _bar("changes of best prices", names, [line.quote_changes for line in lines], GREY),
        _bar("decision points", names, [line.decisions for line in lines], BLUE),
    ]
    if any(line.trades for line in lines):
        data.append(_bar("prints", names, [line.trades for line in lines], ORANGE))
    return Plot(title, caption, data, _layout(x_title, "count", barmode="group"))


def _regimes(report: AnalysisReport) -> Plot:
    names = [line.name for line in report.regimes]
    shares = [round(100 * line.share, 3) for line in report.regimes]
    trace = _bar("share of two-sided time", names, shares, BLUE)
    trace["hovertemplate"] = "%{x}: %{y:.1f} %<extra></extra>"
    caption = "How long the spread was in each range, over all markets."
    return Plot("Spread regimes", caption, [trace], _layout("spread", "% of two-sided market time", showlegend=False))


def _scatter(report: AnalysisReport) -> Plot:
    lines = sorted((x for x in report.markets if x.spread_cents is not None), key=lambda x: -x.decisions)[:POINTS]
    data = []
    for name, suitable, colour in (("suitable", True, BLUE), ("left out", False, ORANGE)):
        own = [x for x in lines if x.suitable == suitable]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [max(1, x.decisions) for x in own],
                "y": [round(x.spread_cents or 0.0, 2) for x in own],
                "text": [x.ticker for x in own],
                "marker": {"color": colour, "size": 7, "opacity": 0.7},
                "hovertemplate": "%{text}<br>%{x:,} decisions, %{y:.2f}¢<extra></extra>",
            }
        )
    some = f"The {POINTS:,} busiest of {len(report.markets):,} markets. " if len(lines) == POINTS else ""
    caption = some + "Each point is a market; suitable by the filter in force."
    layout = _layout("decision points", "mean spread (¢)")
    layout["xaxis"]["type"] = "log"
    return Plot("Markets", caption, [trace for trace in data if trace["x"]], layout)


def _edge_plots(edge: Edge) -> list[Plot]:
    return [_costs(edge), _moves(edge), _chances(edge), _markouts(edge), _makers(edge), _sums(edge)]


def _costs(edge: Edge) -> Plot:
    names = [line.name for line in edge.by_price]
    data = [
        _bar("spread", names, [round(line.spread_cents, 3) for line in edge.by_price], BLUE),
        _bar("taker fees, both ways", names, [round(line.fee_cents, 3) for line in edge.by_price], ORANGE),
    ]
    caption = "What buying and selling again at once costs per contract, mean over two-sided time at that price."
    return Plot("Cost of a round trip by price", caption, data, _layout("mid", "¢ per contract", barmode="stack"))


def _moves(edge: Edge) -> Plot:
    lines = [line for line in edge.horizons if line.move_cents]
    if not lines:
        return Plot("Moves against costs", "", [], {})
    spans = [span_text(line.seconds) for line in lines]
    data = [
        _line(name, spans, [round(line.move_cents[name], 2) for line in lines], colour)
        for name, colour in zip(lines[0].move_cents, SHADES)
    ]
    mean = round(edge.round_trip_cents.get("mean", 0.0), 2)
    data.append(_line("mean round trip", spans, [mean] * len(spans), GREEN, dash="dash"))
    caption = "Quantiles of how far the mid had moved, over time, against the mean cost of a round trip."
    return Plot("Moves against costs", caption, data, _layout("within", "¢"))


def _chances(edge: Edge) -> Plot:
    spans = [span_text(line.seconds) for line in edge.horizons if line.hours]
    data = [
        _bar(
            "mid beats the round trip",
            spans,
            [round(100 * x.over_cost_share, 3) for x in edge.horizons if x.hours],
            GREY,
        ),
        _bar("foresight pays", spans, [round(100 * x.foresight_share, 3) for x in edge.horizons if x.hours], BLUE),
    ]
    caption = (
        "Share of two-sided time in which one who knew the quote to come would have earned by taking twice: a bound on "
        "what any taking policy can find."
    )
    return Plot("When moves exceed costs", caption, data, _layout("within", "% of two-sided time", barmode="group"))


def _markouts(edge: Edge) -> Plot:
    data = []
    for taker, colour in (("bought", BLUE), ("sold", ORANGE), ("both", GREY)):
        own = [line for line in edge.markouts or [] if line.taker == taker]
        errors = [line.error_cents or 0.0 for line in own]
        trace = _line(f"taker {taker}", [span_text(x.seconds) for x in own], [round(x.cents, 4) for x in own], colour)
        data.append(trace | {"error_y": {"type": "data", "array": errors, "thickness": 1}})
    caption = "What takers had earned per contract by the mid, before fees, with one standard error by event."
    traces = [trace for trace in data if trace["y"]]
    return Plot("Markouts of prints", caption, traces, _layout("after", "¢ per contract"))


def _makers(edge: Edge) -> Plot:
    lines = edge.makers or []
    data = []
    spans = sorted({line.seconds for line in lines})
    for seconds, colour in zip(spans, SHADES):
        own = [line for line in lines if line.seconds == seconds][:40]
        trace = _bar(span_text(seconds), [x.series for x in own], [round(x.net_cents, 4) for x in own], colour)
        data.append(trace | {"error_y": {"type": "data", "array": [x.error_cents or 0.0 for x in own], "thickness": 1}})
    caption = (
        "Per contract of those who were hit, marked at the mid after each time, maker fee paid; at most 40 series."
    )
    return Plot("Makers after adverse selection", caption, data, _layout("series", "¢ per contract", barmode="group"))


def _sums(edge: Edge) -> Plot:
    lines = [line for line in edge.events if line.bid_sum_cents is not None][:100]
    names = [line.event for line in lines]
    data = [
        _line("asks", names, [round(line.ask_sum_cents or 0.0, 2) for line in lines], ORANGE, mode="markers"),
        _line("bids", names, [round(line.bid_sum_cents or 0.0, 2) for line in lines], BLUE, mode="markers"),
        _line("one dollar", names, [100.0] * len(lines), GREEN, dash="dash"),
    ]
    caption = "Median sum of best prices over the markets of each event while all are two-sided; at most 100 events."
    layout = _layout("", "¢")
    layout["yaxis"]["rangemode"] = "normal"
    return Plot("Sums over events", caption, data if lines else [], layout)


def _bar(name: str, x: list[str], y: list[Any], colour: str) -> dict[str, Any]:
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}}


def _line(
    name: str, x: list[str], y: list[float], colour: str, *, dash: str = "solid", mode: str = "lines+markers"
) -> dict[str, Any]:
    shown = "lines" if dash != "solid" else mode
    return {
        "type": "scatter",
        "mode": shown,
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "dash": dash},
        "marker": {"color": colour, "size": 6},
    }


def _layout(x_title: str, y_title: str, **more: Any) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x_title}, "automargin": True},
        "yaxis": {"title": {"text": y_title}, "automargin": True, "rangemode": "tozero"},
        "margin": {"l": 50, "r": 10, "t": 10, "b": 40},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
    } | more
