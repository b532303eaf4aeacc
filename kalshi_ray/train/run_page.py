"""The curves of one run, or of several, as one self-contained HTML page; light or dark as the screen is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from kalshi_ray.evaluate.svg import Line, line_chart
from kalshi_ray.train.lines import dollars
from kalshi_ray.train.run_tables import RunTable, comparison, health_table, tables_of
from kalshi_ray.train.runs import RunRecord

STYLES = ("s0", "s2", "s3", "s4", "s5", "s6", "s7", "s1")
POINTS = 400  # of a curve: more than the screen shows would only make the page large


@dataclass(frozen=True)
class Chart:
    """Figures that belong on one axis; those that a run did not measure are left out."""

    title: str
    words: str
    names: tuple[str, ...]


CHARTS = (
    Chart("Holding", "share of the decisions with a choice, beside random play", ("hold_share", "random_hold_share")),
    Chart("Exploration", "entropy over that of random play", ("exploration_ratio",)),
    Chart("Entropy", "nats a decision with a choice, beside random play", ("choice_entropy", "random_entropy")),
    Chart(
        "Reward",
        "of its unit in 1,000 decisions, and its parts",
        ("reward_per_1000", "reward_equity_per_1000", "reward_refund_per_1000", "reward_shaping_per_1000"),
    ),
    Chart("Cost ramp", "share of spread and fees that is charged", ("cost_share",)),
    Chart("Orders and fills", "in 1,000 decisions", ("orders_per_1000", "fills_per_1000", "rejected_per_1000")),
    Chart("Fees", "$ in 1,000 decisions", ("fees_per_1000",)),
    Chart("Inventory", "mean contracts held, either way", ("position_mean",)),
    Chart(
        "Shares", "flat, maker, filled, zero reward", ("flat_share", "maker_share", "fill_rate", "zero_reward_share")
    ),
    Chart("Accounts", "equity of the rows, $", ("equity_mean", "equity_min", "equity_max")),
    Chart("Drawdown", "of the rows since their episodes began, $", ("drawdown_mean", "drawdown_max")),
    Chart("Divergence", "of the policy before and after an update, nats", ("kl",)),
    Chart("Clip fraction", "share of probability ratios that were clipped", ("clip_fraction",)),
    Chart("Explained variance", "of the returns by the value tower", ("explained_variance",)),
    Chart("Gradient norms", "before they are clipped", ("policy_grad_norm", "value_grad_norm", "towers_grad_norm")),
    Chart("Value loss", "", ("value_loss",)),
    Chart("Learning rate", "", ("learning_rate",)),
    Chart("Orders of their own", "different orders sent, and ids used", ("distinct_orders", "actions_used")),
    Chart("Concentration", "share of one id among what does not hold", ("top_action_share",)),
    Chart("Observation", "features that are constant or often cut", ("constant_features", "clipped_features")),
    Chart("Speed", "decisions a second, learning included", ("steps_per_s",)),
)
# What two runs are compared by: one figure a chart, one colour a run.
COMPARED = (
    "reward_per_1000", "hold_share", "exploration_ratio", "orders_per_1000", "fills_per_1000", "position_mean", "kl",
    "clip_fraction", "explained_variance", "cost_share", "steps_per_s",
)  # fmt: skip


def run_page(run: RunRecord) -> str:
    """One run: how it stands, its curves and its tables."""
    summary = run.summary()
    style = "open" if summary.status in ("finished", "running") else ""
    state = f"{summary.status}{': ' if summary.why else ''}{summary.why}"
    of = f" of {summary.of_steps:,}" if summary.of_steps else ""
    best = "" if summary.best_validation is None else f"; best validation {dollars(summary.best_validation)} a market"
    alerts = "".join(
        f"<li><b>{escape(one['name'])}</b> at step {int(one['steps']):,}: {escape(one['words'])}</li>"
        for one in run.alerts
    )
    body = [
        f"<h1>Run {escape(run.name)}</h1>",
        f'<p class="muted">{escape(summary.algorithm)}, preset {escape(summary.preset)}, on '
        f"{escape(', '.join(summary.sessions) or 'unknown sessions')}; begun {escape(summary.created)}</p>",
        f'<div class="verdicts"><div class="verdict {style}"><b>{escape(state)}</b>{summary.steps:,}{of} steps in '
        f"{summary.seconds:,.0f} s{best}</div></div>",
        f'<h2>Alerts</h2><ul class="plain">{alerts}</ul>' if alerts else "",
        "<h2>Curves</h2>",
        f'<div class="charts">{_validations([run])}{"".join(_chart(run, chart) for chart in CHARTS)}</div>',
        *(_table(table) for table in tables_of(run) if table.title != "Alerts"),
        _table(health_table(run, whole=True)),
    ]
    return _page(f"Run {run.name}", body)


def comparison_page(runs: Sequence[RunRecord]) -> str:
    """Several runs: what differs, and their curves on shared axes."""
    names = ", ".join(run.name for run in runs)
    charts = [_validations(runs)]
    for name in COMPARED:
        lines = [
            _line(run.name, STYLES[at % len(STYLES)], [one["steps"] for one in found], [one[name] for one in found])
            for at, run in enumerate(runs)
            if (found := [one for one in run.progress if name in one])
        ]
        charts.append(_figure(name.replace("_", " ").capitalize(), "", name, lines) if lines else "")
    body = [
        f"<h1>{len(runs)} runs</h1>",
        f'<p class="muted">{escape(names)}</p>',
        *(_table(table) for table in comparison(runs) if table.rows),
        f'<h2>Curves</h2><div class="charts">{"".join(charts)}</div>',
    ]
    return _page(f"Runs {names}", body)


def thinned(x: Sequence[float], y: Sequence[float], points: int = POINTS) -> tuple[list[float], list[float]]:
    """At most `points` of a curve: means of neighbours, each at the last of its steps."""
    size = -(-len(x) // points)
    if size <= 1:
        return list(x), list(y)
    starts = range(0, len(x), size)
    kept = [y[at : at + size] for at in starts]
    return [x[min(at + size, len(x)) - 1] for at in starts], [sum(part) / len(part) for part in kept]


def _validations(runs: Sequence[RunRecord]) -> str:
    lines = [
        _line(run.name, STYLES[at % len(STYLES)], *_columns(run.validation, "net_per_market"))
        for at, run in enumerate(runs)
        if run.validation
    ]
    return _figure("Validation", "$ a market at full cost, closed at the end", "net a market", lines) if lines else ""


def _chart(run: RunRecord, chart: Chart) -> str:
    lines = []
    for at, name in enumerate(chart.names):
        found = [line for line in run.progress if name in line]
        if found and (at == 0 or any(line[name] for line in found)):  # a part that is always zero says nothing
            lines.append(_line(name, STYLES[at % len(STYLES)], *_columns(found, name)))
    return _figure(chart.title, chart.words, chart.title, lines) if lines else ""


def _columns(lines: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    return [line["steps"] for line in lines], [line[name] for line in lines]


def _line(name: str, style: str, x: Sequence[float], y: Sequence[float]) -> Line:
    return Line(name, style, *thinned(x, y))


def _figure(title: str, words: str, label: str, lines: Sequence[Line]) -> str:
    drawing = line_chart(lines, label=label, x_words=_steps, y_words=_number)
    return f"<figure><figcaption>{escape(title)} <span>{escape(words)}</span></figcaption>{drawing}</figure>"


def _steps(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _number(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:,.4g} k"
    return f"{value:,.4g}"


def _table(table: RunTable) -> str:
    if not table.rows:
        return ""
    head = "".join(f"<th{_align(table, column)}>{escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_align(table, c)}>{escape(_cell(v))}</td>" for c, v in zip(table.columns, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<h2>{escape(table.title)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _align(table: RunTable, column: str) -> str:
    return "" if column in table.right else ' class="left"'


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _page(title: str, body: Sequence[str]) -> str:
    css = files("kalshi_ray.evaluate").joinpath("page.css").read_text(encoding="utf-8")
    css += "th.left, td.left { text-align: left; }\n"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{css}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>"
    )
