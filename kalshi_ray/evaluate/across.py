"""One policy on several sessions: what is left of it away from the session that it was trained on."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from kalshi_ray.core.units import MICROS_PER_CENT, MICROS_PER_DOLLAR
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.report import EvaluationReport, PolicyReport
from kalshi_ray.evaluate.wording import Table, dollars, percent, span

CENTS = MICROS_PER_DOLLAR // MICROS_PER_CENT


class Abroad(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on one session, under the fill model with its lowest net."""

    policy: str
    session: str
    home: bool  # it was trained on another part of this session
    markets: int
    events: int
    net_per_market: Interval  # dollars
    net_per_decision: float | None  # cents
    win_rate: float | None
    hold_share: float
    return_on_peak: float | None
    change: float | None  # of net a market against the mean of its home sessions, dollars; None without one
    kept: float | None  # share of the home sessions' net a market; None unless that was above zero


class Across(msgspec.Struct, frozen=True, kw_only=True):
    """Every judged policy on every session."""

    sessions: tuple[str, ...]
    rows: tuple[Abroad, ...]


def across(reports: Sequence[EvaluationReport]) -> Across:
    """The judged policies of several reports side by side; policies without figures on a session are left out."""
    names = dict.fromkeys(policy.name for report in reports for policy in report.judged)
    rows: list[Abroad] = []
    for name in names:
        own = [
            (report, policy)
            for report in reports
            for policy in report.judged
            if policy.name == name and policy.by_model
        ]
        home = [policy.figures.net_per_market.mean for _, policy in own if policy.home]
        rows += [_row(report, policy, statistics.mean(home) if home else None) for report, policy in own]
    return Across(sessions=tuple(report.data.session for report in reports), rows=tuple(rows))


def _row(report: EvaluationReport, policy: PolicyReport, home: float | None) -> Abroad:
    figures = policy.figures
    mean, decisions = figures.net_per_market.mean, figures.counts.decisions
    return Abroad(
        policy=policy.name,
        session=report.data.session,
        home=policy.home,
        markets=figures.counts.markets,
        events=figures.counts.events,
        net_per_market=figures.net_per_market,
        net_per_decision=figures.money.net * CENTS / decisions if decisions else None,
        win_rate=figures.rates.win_rate,
        hold_share=figures.rates.hold_share,
        return_on_peak=figures.capital.return_on_peak,
        change=None if home is None or policy.home else mean - home,
        kept=mean / home if home is not None and home > 0 and not policy.home else None,
    )


def table_of(found: Across) -> Table:
    """The rows as text."""
    columns = ("policy", "session", "markets", "net a market", "interval", "change", "¢ a decision", "won", "hold",
               "return")  # fmt: skip
    rows = tuple(
        (
            row.policy,
            f"{row.session} (home)" if row.home else row.session,
            f"{row.markets:,}",
            dollars(row.net_per_market.mean),
            span(row.net_per_market),
            "-" if row.change is None else f"{dollars(row.change)}{'' if row.kept is None else f' ({row.kept:.0%})'}",
            "-" if row.net_per_decision is None else f"{row.net_per_decision:+.3f}¢",
            percent(row.win_rate),
            percent(row.hold_share),
            percent(row.return_on_peak),
        )
        for row in found.rows
    )
    note = (
        "Home: it was trained on another part of this session. Change: of net a market against home, and in brackets "
        "what is left of it. Won: trades. Return: on the most capital in use at once."
    )
    return Table(title=f"Across {len(found.sessions)} sessions", columns=columns, rows=rows, note=note)
