"""The report as one self-contained HTML page: tables, charts and the small print; light or dark as the screen is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files

from kalshi_ray.evaluate.across import Across
from kalshi_ray.evaluate.across import table_of as across_table
from kalshi_ray.evaluate.charts import charts, drawn_by_regime
from kalshi_ray.evaluate.policy_tables import tables_of_policy
from kalshi_ray.evaluate.report import EvaluationReport
from kalshi_ray.evaluate.tables import label, tables_of
from kalshi_ray.evaluate.wording import Table, dollars


def to_html(report: EvaluationReport) -> str:
    """The whole page, without any reference outside itself."""
    head, *rest = tables_of(report)
    early = 4 if report.data.synthetic else 3  # what belongs beside the headline
    later = {one.title for policy in report.judged for one in tables_of_policy(policy)}
    body = [
        _opening(report),
        _table(head, report),
        _circumstances(report),
        *(_table(table, report) for table in rest[:early]),
        "<h2>Curves and fills</h2>",
        charts(report),
        *(drawn_by_regime(report, policy) for policy in report.judged if policy.by_model),
        *(_table(table, report) for table in rest[early:] if table.title not in later),
        *(_table(table, report) for table in rest[early:] if table.title in later),
        _remarks(report),
        _small_print(report),
    ]
    return page(f"Evaluation on {report.data.session}", body)


def page(title: str, body: Sequence[str]) -> str:
    """One self-contained page."""
    css = files("kalshi_ray.evaluate").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{css}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def across_html(found: Across, links: Sequence[tuple[str, str]]) -> str:
    """The page over several sessions; `links` are (session, path of its own page)."""
    items = "".join(f'<li><a href="{escape(path)}">{escape(session)}</a></li>' for session, path in links)
    return page(
        f"Evaluation across {len(found.sessions)} sessions",
        [f"<h1>Across {len(found.sessions)} sessions</h1>", plain_table(across_table(found)), f"<ul>{items}</ul>"],
    )


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
    use = report.test_use
    times = "" if use is None else f"used {use.before:,} times before, by {use.models:,} other models"
    used = "" if use is None else f"; this test set was {times if use.before else 'never used before'}"
    return (
        f"<h1>Evaluation on {escape(report.data.session)}</h1>"
        f'<p class="muted">{report.data.markets:,} markets of {report.data.events:,} events on {report.data.days:,} '
        f"{'day' if report.data.days == 1 else 'days'}, {report.data.updates:,} updates; markets: "
        f"{escape(report.data.selection)}{used}</p>"
        f'<div class="verdicts">{"".join(cards)}</div>' + (f'<ul class="plain note">{flags}</ul>' if flags else "")
    )


def _table(table: Table, report: EvaluationReport) -> str:
    return plain_table(table, {label(policy) for policy in report.judged})


def plain_table(table: Table, judged: Collection[str] = ()) -> str:
    """A table; rows whose first cell is in `judged` stand out."""
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
