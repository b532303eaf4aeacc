"""An analysis as one HTML file: key figures, plots and tables. It needs no network; plotly's script is inside."""

from __future__ import annotations

from html import escape

import msgspec
from plotly.offline import get_plotlyjs

from kalshi_ray.data.analysis.plots import Plot, plots_of
from kalshi_ray.data.analysis.report import AnalysisReport
from kalshi_ray.data.analysis.tables import report_tables
from kalshi_ray.data.analysis.wording import ReportTable

FOLDED_ROWS = 24  # longer tables are folded
FIGURES = {  # as people call what may not be measurable
    "touch_contracts": "sizes at the best prices",
    "depth_contracts": "depth",
    "trades": "prints",
    "contracts": "contracts traded",
    "markouts": "markouts of prints",
    "makers": "results of makers",
}
WIDE = 4  # columns from which cells stay on one line

CSS = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2430;--muted:#667085;--line:#d9dee7;--card:#f6f8fb}
@media(prefers-color-scheme:dark){:root{--bg:#12161d;--fg:#e6eaf1;--muted:#98a2b3;--line:#2b3340;--card:#1a202a}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}
.muted,.note{color:var(--muted)}.note{font-size:13px;margin:6px 0 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px;margin:18px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:8px 12px}
.card b{display:block;font-size:18px}.card span{font-size:13px;color:var(--muted)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:26px}
figure{margin:0;min-width:0}figcaption b{display:block}figcaption{font-size:13px;color:var(--muted);margin-bottom:4px}
figcaption b{color:var(--fg);font-size:15px}.plot{height:320px}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--muted)}.right{text-align:right;white-space:nowrap}
td:first-child,.wide td,.wide th{white-space:nowrap}ul.note{margin-bottom:20px}
details summary{cursor:pointer;color:var(--muted)}
"""

DRAW = """
const css=getComputedStyle(document.documentElement);
const ink=css.getPropertyValue('--fg'),rule=css.getPropertyValue('--line');
for(const [id,data,layout] of PLOTS){
for(const axis of ['xaxis','yaxis'])Object.assign(layout[axis],{gridcolor:rule,zerolinecolor:rule,linecolor:rule});
Plotly.newPlot(id,data,{...layout,font:{color:ink,size:12},paper_bgcolor:'rgba(0,0,0,0)',plot_bgcolor:'rgba(0,0,0,0)'},
{responsive:true,displayModeBar:false});}
"""


def report_html(report: AnalysisReport) -> str:
    """The whole page."""
    o = report.overview
    plots = plots_of(report)
    about = f"{o.markets:,} markets of {o.events:,} events over {o.duration}; depth {o.depth}, sizes {o.sizes}"
    missing = "".join(
        f"<li>{escape(FIGURES.get(name, name))}: {escape(why)}</li>" for name, why in report.unmeasurable.items()
    )
    lacking = (
        f'<p class="note">Not measurable from this recording:</p><ul class="note">{missing}</ul>' if missing else ""
    )
    tables = "".join(_table(table) for table in report_tables(report))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Session {escape(o.session)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{CSS}</style></head><body><main>'
        f'<h1>Session {escape(o.session)}</h1><p class="muted">{escape(about)}</p>{_cards(report)}{lacking}'
        f'<div class="plots">{"".join(_figure(plot, at) for at, plot in enumerate(plots))}</div>{tables}</main>'
        f"<script>{get_plotlyjs()}</script><script>const PLOTS={_json(plots)};{DRAW}</script></body></html>"
    )


def _cards(report: AnalysisReport) -> str:
    o = report.overview
    cards = [
        (o.priority.capitalize(), "training priority"),
        (f"{o.quality:.2f}", "quality, 0 to 1"),
        (f"{o.suitable:,} of {o.markets:,}", "suitable markets"),
        (f"{o.decisions:,}", "decision points"),
        ("–" if o.spread_cents is None else f"{o.spread_cents:.2f}¢", "mean spread"),
        (f"{o.known_share:.1%}", "of market time known"),
    ]
    if report.edge is not None and report.edge.round_trip_cents:
        cards.append((f"{report.edge.round_trip_cents['mean']:.2f}¢", "mean round trip"))
    return '<div class="cards">' + "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in cards
    ) + "</div>"  # fmt: skip


def _figure(plot: Plot, at: int) -> str:
    return (
        f"<figure><figcaption><b>{escape(plot.title)}</b>{escape(plot.caption)}</figcaption>"
        f'<div class="plot" id="plot{at}"></div></figure>'
    )


def _json(plots: list[Plot]) -> str:
    found = [(f"plot{at}", plot.data, plot.layout) for at, plot in enumerate(plots)]
    # A ticker must not be able to end the script.
    return msgspec.json.encode(found).decode().replace("</", "<\\/")


def _table(table: ReportTable) -> str:
    classes = [' class="right"' if column in table.right else "" for column in table.columns]
    head = "".join(f"<th{kind}>{escape(column)}</th>" for kind, column in zip(classes, table.columns))
    rows = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(classes, row))}</tr>"
        for row in table.rows
    )
    kind = ' class="wide"' if len(table.columns) > WIDE else ""
    body = f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    if len(table.rows) > FOLDED_ROWS:
        body = f"<details><summary>{len(table.rows)} rows</summary>{body}</details>"
    note = f'<p class="note">{escape(table.caption)}</p>' if table.caption else ""
    return f"<h2>{escape(table.title)}</h2>{body}{note}"
