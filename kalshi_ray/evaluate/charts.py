"""The drawings of the report's page, from the report alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from itertools import accumulate

from kalshi_ray.core.units import SECOND
from kalshi_ray.evaluate.breakdown import Breakdown, Group
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.report import EvaluationReport, EventResult, Heat, PolicyReport
from kalshi_ray.evaluate.svg import Bar, Cell, Line, bar_chart, heat_map, legend, line_chart, row_chart, time_ticks
from kalshi_ray.evaluate.tables import label
from kalshi_ray.evaluate.wording import dollars, duration, span

STYLES = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")
INTENT_STYLES = ("", "s0", "s2", "s3")  # none, buys, sells, both
STRONGEST = 0.75  # of a colour, so that text stays readable


def style_of(report: EvaluationReport, policy: PolicyReport) -> str:
    """The colour class of a policy: the same in every chart."""
    return STYLES[report.policies.index(policy) % len(STYLES)]


def charts(report: EvaluationReport) -> str:
    """Account, drawdown, net, edge, markouts, events and actions."""
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


def drawn_by_regime(report: EvaluationReport, policy: PolicyReport) -> str:
    """What one judged policy does where, and what it earns by kind of market and of moment."""
    figures = [_heat(policy, heat) for heat in policy.heats if any(_acts(heat))]
    figures += [_regime(one) for one in policy.breakdowns if sum(group.fills > 0 for group in one.groups) > 1]
    if not figures:
        return ""
    return f'<h2>Where: {escape(policy.name)}</h2><div class="charts">{"".join(figures)}</div>'


def _acts(heat: Heat) -> list[int]:
    return [sum(cell[1:]) for row in heat.counts for cell in row]


def _heat(policy: PolicyReport, heat: Heat) -> str:
    rows = list(zip(heat.rows, heat.counts, strict=True))[::-1]  # long on top
    cells = [[_cell(heat, name, column, counts) for column, counts in zip(heat.columns, row)] for name, row in rows]
    drawing = heat_map(cells, label=f"Actions by {heat.by}", columns=heat.columns, rows=[name for name, _ in rows])
    used = [at for at in range(1, len(heat.intents)) if any(cell[at] for row in heat.counts for cell in row)]
    words = "does something" if policy.decides.startswith("actions") else "wants an order"
    keys = legend([(f"{heat.intents[at]} YES" if at < 3 else "both sides", INTENT_STYLES[at]) for at in used])
    return _figure(f"Actions by {heat.by}", f"by position; share of decisions at which it {words}", drawing + keys)


def _cell(heat: Heat, row: str, column: str, counts: Sequence[int]) -> Cell:
    total = sum(counts)
    if not total:
        return Cell()
    share = 1.0 - counts[0] / total
    most = max(range(1, len(counts)), key=lambda at: counts[at])
    said = ", ".join(f"{name} {count / total:.2%}" for name, count in zip(heat.intents, counts, strict=True) if count)
    return Cell(
        text=f"{share:.1%}" if share < 0.1 else f"{share:.0%}",
        words=f"{row}, {heat.by} {column}: {total:,} decisions: {said}",
        style=INTENT_STYLES[most],
        strength=STRONGEST * share**0.5,  # the root: one in a hundred can be seen
    )


def _regime(one: Breakdown) -> str:
    groups = [group for group in one.groups if group.fills]
    bars = [Bar(group.name + (" *" if group.is_small else ""), group.net, _group_words(group)) for group in groups]
    small = "; * under ten events" if any(group.is_small for group in groups) else ""
    drawing = row_chart(bars, label=f"Net by {one.by}", x_words=_money)
    return _figure(f"Net by {one.by}", one.words + small, drawing)


def _group_words(group: Group) -> str:
    cents = "" if group.net_cents is None else f", {group.net_cents:+.2f}¢ a contract"
    return f"{group.name}: {group.fills:,} fills in {group.markets:,} markets, {dollars(group.net)}{cents}"
