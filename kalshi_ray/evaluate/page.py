"""The report as one self-contained HTML page: tables, charts and the small print; light or dark as the screen is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from itertools import accumulate

from kalshi_ray.core.units import SECOND
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.report import EvaluationReport, EventResult, PolicyReport
from kalshi_ray.evaluate.svg import Bar, Line, bar_chart, line_chart, row_chart, time_ticks
from kalshi_ray.evaluate.tables import Table, dollars, duration, gates, label, span, tables_of

STYLES = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")


def to_html(report: EvaluationReport) -> str:
    """The whole page, without any reference outside itself."""
    head, evidence, *rest = tables_of(report)
    titles = {gates(policy).title for policy in report.judged if policy.gates}
    body = [
        _opening(report),
        _table(head, report),
        _circumstances(report),
        _table(evidence, report),
        "<h2>Curves and fills</h2>",
        _charts(report),
        *(_table(table, report) for table in rest if table.title not in titles),
        *(_table(table, report) for table in rest if table.title in titles),
        _remarks(report),
        _small_print(report),
    ]
    title = f"Evaluation on {escape(report.data.session)}"
    css = files("kalshi_ray.evaluate").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{css}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def style_of(report: EvaluationReport, policy: PolicyReport) -> str:
    """The colour class of a policy: the same in every chart."""
    return STYLES[report.policies.index(policy) % len(STYLES)]


def _opening(report: EvaluationReport) -> str:
    cards = []
    for policy in report.judged:
        for gate in policy.gates:
            reasons = "".join(f"<li>{escape(reason)}</li>" for reason in gate.reasons)
            words = "open" if gate.is_open else "closed"
            cards.append(
                f'<div class="verdict {words}"><b>{escape(policy.name)}: {gate.name} gate {words}</b>'
                f"{f'<ul>{reasons}</ul>' if reasons else ''}</div>"
            )
    flags = "".join(f"<li>{escape(flag)}</li>" for flag in report.data.flags)
    return (
        f"<h1>Evaluation on {escape(report.data.session)}</h1>"
        f'<p class="muted">{report.data.markets:,} markets of {report.data.events:,} events on {report.data.days:,} '
        f"{'day' if report.data.days == 1 else 'days'}, {report.data.updates:,} updates; markets: "
        f"{escape(report.data.selection)}</p>"
        f'<div class="verdicts">{"".join(cards)}</div>' + (f'<ul class="plain note">{flags}</ul>' if flags else "")
    )


def _table(table: Table, report: EvaluationReport) -> str:
    judged = {label(policy) for policy in report.judged}
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = []
    for row in table.rows:
        cells = "".join(f"<td{_cell_class(cell)}>{escape(cell)}</td>" for cell in row)
        rows.append(f"<tr{' class=judged' if row[0] in judged else ''}>{cells}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<h2>{escape(table.title)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _cell_class(cell: str) -> str:
    return f" class={cell}" if cell in ("passed", "failed") else ""


def _circumstances(report: EvaluationReport) -> str:
    """What holds for every number of the page."""
    env = report.environment
    words = (
        f"Latency: feed {env['feed_ms']:g} ms, entry {env['entry_ms']:g} ms, response {env['response_ms']:g} ms. Fees "
        f"in full, {env['member']} member. Position limit {env['position_limit']:g} contracts, bankroll "
        f"{dollars(env['bankroll_cents'] / 100)} a market. {report.action_space}, {report.observation}."
    )
    return f'<p class="note">{escape(words)}</p>'


def _charts(report: EvaluationReport) -> str:
    shown = [policy for policy in report.policies if policy.by_model]
    first = report.judged[0] if report.judged and report.judged[0].by_model else None
    figures = [
        ("Account over time", "net of bankrolls, closed at the end", _curves(report, shown, fall=False)),
        ("Drawdown", "fall from the running peak", _curves(report, shown, fall=True)),
        ("Net a market", f"with the {report.settings.level:.0%} interval by event", _net_bars(report, shown)),
    ]
    if report.data.synthetic:
        figures.append(("Fill edge a market", "against the true probability", _edge_bars(report, shown)))
    figures.append(
        (
            "Markouts",
            "the mid later against the price, ¢ a contract before fees; makers dashed",
            _markouts(report, shown),
        )
    )
    if first:
        figures.append((f"Net by event: {first.name}", f"{len(first.events):,} events, best first", _events(first)))
        if first.actions:
            figures.append((f"Actions: {first.name}", "share of decisions, HOLD apart", _actions(first)))
    return '<div class="charts">' + "".join(_figure(*figure) for figure in figures) + "</div>"


def _figure(title: str, words: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(title)} <span>{escape(words)}</span></figcaption>{drawing}</figure>"


def _curves(report: EvaluationReport, shown: Sequence[PolicyReport], *, fall: bool) -> str:
    lines = []
    for policy in shown:
        values = list(policy.curve.dollars)
        if fall:
            peaks = accumulate(values, max, initial=0.0)
            values = [value - peak for value, peak in zip(values, list(peaks)[1:], strict=True)]
        lines.append(Line(policy.name, style_of(report, policy), [ns / SECOND for ns in policy.curve.ns], values))
    spans = [at for line in lines for at in line.x]
    long = bool(spans) and max(spans) - min(spans) > 2 * 86_400
    return line_chart(
        lines,
        label="Drawdown" if fall else "Account over time",
        x_words=lambda s: _moment(s, long=long),
        y_words=_money,
        x_ticks=time_ticks(min(spans), max(spans)) if spans else None,
    )


def _moment(seconds: float, *, long: bool) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b" if long else "%H:%M")


def _money(value: float) -> str:
    return dollars(value) if abs(value) < 10 and value % 1 else dollars(value).removesuffix(".00")


def _net_bars(report: EvaluationReport, shown: Sequence[PolicyReport]) -> str:
    return row_chart(
        [_interval_bar(report, policy, policy.figures.net_per_market) for policy in shown],
        label="Net a market with its interval",
        x_words=_money,
    )


def _edge_bars(report: EvaluationReport, shown: Sequence[PolicyReport]) -> str:
    found = [(policy, policy.figures.edge) for policy in shown]
    return row_chart(
        [_interval_bar(report, policy, edge.per_market) for policy, edge in found if edge],
        label="Fill edge a market with its interval",
        x_words=_money,
    )


def _interval_bar(report: EvaluationReport, policy: PolicyReport, interval: Interval) -> Bar:
    words = f"{policy.name}: {dollars(interval.mean)}, {span(interval)}"
    return Bar(label(policy), interval.mean, words, style_of(report, policy), interval.low, interval.high)


def _markouts(report: EvaluationReport, shown: Sequence[PolicyReport]) -> str:
    lines = []
    for policy in shown:
        for kind, dash in (("taker", ""), ("maker", " dashed")):
            points = [(at, getattr(one, f"{kind}_cents")) for at, one in enumerate(policy.markouts)]
            known = [(float(at), value) for at, value in points if value is not None]
            if known:
                x, y = zip(*known, strict=True)
                lines.append(Line(f"{policy.name}, {kind}", style_of(report, policy) + dash, x, y))
    delays = [duration(one.seconds) for one in shown[0].markouts] if shown else []
    places = [float(at) for at in range(len(delays))]
    return line_chart(
        lines,
        label="Markouts",
        x_words=lambda at: delays[round(at)],
        y_words=_cents_short,
        x_ticks=places,
        entries=[(policy.name, style_of(report, policy)) for policy in shown if policy.figures.counts.fills],
    )


def _cents_short(value: float) -> str:
    return f"{value:+g}¢" if value else "0¢"


def _events(policy: PolicyReport) -> str:
    def words(one: EventResult) -> str:
        return f"{one.event}: {dollars(one.net_dollars)}, {one.fills:,} fills in {one.markets:,} markets"

    bars = [Bar(one.event, one.net_dollars, words(one)) for one in policy.events]
    return bar_chart(bars, label="Net by event", y_words=_money)


def _actions(policy: PolicyReport) -> str:
    chosen = sorted((one for one in policy.actions if one.id and one.share), key=lambda one: -one.share)[:20]
    bars = [Bar(one.words, one.share, f"id {one.id}: {one.share:.3%}") for one in chosen]
    return row_chart(bars, label="Shares of actions", x_words=lambda share: f"{share:.2%}")


def _remarks(report: EvaluationReport) -> str:
    remarks = [(p, remark) for p in report.policies for remark in (p.not_measurable, *p.remarks) if remark]
    rows = [f"<li><b>{escape(p.name)}</b>: {escape(remark)}</li>" for p, remark in remarks]
    filtered = [
        f"<li><b>{escape(p.name)}</b>: {dollars(p.filtered_net_dollars)} of its net comes from the "
        f"{report.data.filtered_markets:,} markets that the training filter would have left out</li>"
        for p in report.policies
        if p.filtered_net_dollars is not None and report.data.filtered_markets
    ]
    return f'<h2>Remarks</h2><ul class="plain">{"".join(rows + filtered)}</ul>' if rows or filtered else ""


def _small_print(report: EvaluationReport) -> str:
    missing = "".join(f"<li>{escape(item)}</li>" for item in report.not_modelled)
    facts = {
        "session": f"{report.data.session}, checksum {report.data.checksum or 'none'}",
        "data": f"depth {report.data.depth}, sizes {report.data.sizes}, prints {_yes(report.data.has_trades)}",
        "action space": f"{report.action_space} ({report.action_fingerprint})",
        "observation": f"{report.observation} ({report.observation_fingerprint})",
        "environment": ", ".join(f"{name} = {value}" for name, value in report.environment.items()),
        "evaluation": f"seed {report.settings.seed}, shards of {report.settings.shard_markets} markets, "
        f"{report.settings.resamples:,} resamples by event",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f'<h2>What is not modelled</h2><ul class="plain">{missing}</ul><h2>Circumstances</h2><dl>{rows}</dl>'


def _yes(value: bool) -> str:
    return "yes" if value else "no"
