"""Tables about one judged policy, or one recipe: breakdown, stress, seeds, gates."""

from __future__ import annotations

from kalshi_ray.evaluate.gates import in_words
from kalshi_ray.evaluate.intervals import MIN_WEAK
from kalshi_ray.evaluate.report import EvaluationReport, PolicyReport
from kalshi_ray.evaluate.wording import Table, cents, dollars, percent, span


def tables_of_policy(policy: PolicyReport) -> tuple[Table, ...]:
    """Breakdown, stress and gates of one policy, where it has them."""
    found = [breakdown(policy)] if policy.breakdowns else []
    found += [stressed(policy)] if policy.stress else []
    found += [gates(policy)] if policy.gates else []
    return tuple(found)


def families(report: EvaluationReport) -> list[Table]:
    """Seeds of one recipe: each, and the median and worst of them."""
    found = []
    for family in report.families:
        rows = [
            (
                one.name,
                "-" if one.seed is None else str(one.seed),
                dollars(one.net),
                dollars(one.net_per_market),
                percent(one.return_on_peak),
                percent(one.win_rate),
                percent(one.share_of_oracle),
            )
            for one in family.members
        ]
        words = f"median {dollars(family.median_net_per_market)} a market, worst {family.worst}"
        columns = ("bundle", "seed", "net", "net a market", "return on peak", "win rate", "of the oracle's")
        found.append(Table(title=f"{len(rows)} seeds of {family.name}: {words}", columns=columns, rows=tuple(rows)))
    return found


def breakdown(policy: PolicyReport) -> Table:
    """Where the net came from."""
    rows = []
    for one in policy.breakdowns:
        for group in one.groups:
            small = " (small)" if group.is_small and group.fills else ""
            rows.append(
                (
                    f"{one.by}: {group.name}{small}",
                    f"{group.markets:,}",
                    percent(group.hold_share),
                    f"{group.fills:,}",
                    percent(group.win_rate),
                    dollars(group.net),
                    cents(group.net_cents),
                    ("none" if group.fills else "-") if group.is_small else span(group.per_market),
                )
            )
    verdict = policy.consistency
    words = f"Over kinds of market: {verdict.verdict}, {verdict.words}. " if verdict else ""
    note = (
        f"{words}Markets belong to one group of each kind with all they did, trades to the group of their first fill: "
        f"groups sum to the net. Interval: of net a market traded. Small: under {MIN_WEAK} events, no interval."
    )
    columns = ("group", "markets", "hold", "fills", "won", "net", "a contract", "interval a market")
    return Table(title=f"Breakdown of {policy.name}", columns=columns, rows=tuple(rows), note=note)


def stressed(policy: PolicyReport) -> Table:
    """The net under other cash, limits, fees and latency."""
    rows = tuple(
        (
            one.scenario,
            dollars(one.net),
            dollars(one.change),
            cents(one.net_cents),
            span(one.net_per_market),
            f"{one.fills:,}",
            dollars(one.fees),
            percent(one.return_on_peak),
        )
        for one in policy.stress
    )
    model = policy.stress[0].fill_model
    return Table(
        title=f"Stress of {policy.name}",
        columns=("scenario", "net", "change", "a contract", "interval a market", "fills", "fees", "return on peak"),
        rows=rows,
        note=f"One thing at a time is different, on the same markets, under the {model} fill model.",
    )


def gates(policy: PolicyReport) -> Table:
    """Every check of both gates of one policy."""
    rows = tuple(
        (
            f"{gate.name}: {check.name}",
            in_words(check.value, check.unit),
            check.bound,
            verdict(check.passed),
        )
        for gate in policy.gates
        for check in gate.checks
    )
    words = "; ".join(f"{gate.name} gate {'open' if gate.is_open else 'closed'}" for gate in policy.gates)
    return Table(title=f"Gates of {policy.name}: {words}", columns=("check", "value", "bound", "verdict"), rows=rows)


def verdict(passed: bool) -> str:
    """One word for a check."""
    return "passed" if passed else "failed"
