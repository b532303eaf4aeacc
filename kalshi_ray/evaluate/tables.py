"""The report as tables of text: what the console prints and the page shows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kalshi_ray.evaluate.account import MIN_DAYS
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.policy_tables import families, tables_of_policy
from kalshi_ray.evaluate.report import EvaluationReport, PolicyReport
from kalshi_ray.evaluate.wording import NOT_MEASURABLE, Table, cents, dollars, duration, percent, span


def tables_of(report: EvaluationReport) -> tuple[Table, ...]:
    """Every table of the report, the headline first."""
    found = [headline(report), *([edges(report)] if report.data.synthetic else [])]
    found += [won(report), evidence(report), power(report)]
    if report.families:
        found += families(report)
    found += [costs(report), per_contract(report), endings(report), behaviour(report), capital(report)]
    if any(len(policy.by_model) > 1 for policy in report.policies):
        found.append(band(report))
    for policy in report.judged:
        found += tables_of_policy(policy)
    return tuple(found)


def _table(
    report: EvaluationReport, title: str, columns: dict[str, Callable[[Figures], str]], *, note: str = ""
) -> Table:
    """One row for each policy, under its lowest fill model."""
    rows = []
    for policy in report.policies:
        cells = [read(policy.figures) for read in columns.values()] if policy.by_model else None
        rows.append((label(policy), *(cells or _absent(len(columns)))))
    return Table(title=title, columns=("policy", *columns), rows=tuple(rows), note=note)


def _absent(columns: int) -> list[str]:
    """The cells of a policy without figures."""
    return [NOT_MEASURABLE, *["-"] * (columns - 1)]


def label(policy: PolicyReport) -> str:
    """The policy's name, and what it stands for."""
    return policy.name if policy.role == "judged" or policy.name == policy.role else f"{policy.name} ({policy.role})"


def headline(report: EvaluationReport) -> Table:
    """Net, its interval, return and drawdown side by side."""
    columns: dict[str, Callable[[Figures], str]] = {
        "net": lambda f: dollars(f.money.net),
        "net a market": lambda f: dollars(f.net_per_market.mean),
        f"{report.settings.level:.0%} interval": lambda f: span(f.net_per_market),
        "net a contract": lambda f: cents(f.money.net_cents),
        "return on peak": lambda f: percent(f.capital.return_on_peak),
        "drawdown": lambda f: percent(f.capital.drawdown_on_peak),
    }
    note = (
        "Net is settled by the venue, or closed down the shown ladder with taker fee, under the fill model with the "
        "lowest net. The interval is by event. Return and drawdown: on the most capital in use at once."
    )
    return _table(report, f"Policies on {report.data.markets:,} markets of {report.data.session}", columns, note=note)


def won(report: EvaluationReport) -> Table:
    """How often it wins, beside how often it must."""
    return _table(
        report,
        "Wins",
        {
            "trades": lambda f: f"{f.counts.trades:,}",
            "win rate": lambda f: percent(f.rates.win_rate),
            "breaks even at": lambda f: percent(f.rates.break_even_rate),
            "by size of wins": lambda f: percent(f.rates.payoff_break_even),
            "markets won": lambda f: percent(f.rates.episode_win_rate),
            "hold share": lambda f: percent(f.rates.hold_share),
            "fill rate": lambda f: percent(f.rates.fill_rate),
            "Sharpe": lambda f: "-" if f.capital.sharpe is None else f"{f.capital.sharpe:.2f}",
        },
        note="A trade goes from flat to flat or to the result, and wins when its net is above zero. Breaks even at: "
        "the win rate that pays entry prices and fees of bets held to the result; by size of wins: the one at which "
        "the mean win pays for the mean loss. Markets won: of those with a fill. "
        f"Sharpe: from daily P&L × √365, not computable under {MIN_DAYS} days.",
    )


def edges(report: EvaluationReport) -> Table:
    """Fill edge against the true probability, for synthetic sessions."""
    return _table(
        report,
        "Fill edge against the true probability",
        {
            "edge a market": lambda f: dollars(f.edge.per_market.mean if f.edge else None),
            f"{report.settings.level:.0%} interval": lambda f: span(f.edge.per_market if f.edge else None),
            "¢ a contract": lambda f: cents(f.edge.cents_per_contract if f.edge else None),
            "share of the oracle": lambda f: percent(f.edge.share_of_oracle if f.edge else None),
            "net a market": lambda f: dollars(f.net_per_market.mean),
        },
        note="Edge = side x (true price after the fill's timestamp - price) x size - fee: net without the luck.",
    )


def evidence(report: EvaluationReport) -> Table:
    """How much there is to judge by."""
    return _table(
        report,
        "Evidence",
        {
            "events": lambda f: str(f.counts.events),
            "days": lambda f: str(f.counts.days),
            "markets (traded)": lambda f: f"{f.counts.markets:,} ({f.counts.markets_traded:,})",
            "maker fills": lambda f: f"{f.counts.maker_fills:,}",
            "taker fills": lambda f: f"{f.counts.fills - f.counts.maker_fills:,}",
            "contracts": lambda f: f"{f.counts.contracts:,.0f}",
            "stake": lambda f: f"${f.counts.stake_dollars:,.0f}",
        },
    )


def power(report: EvaluationReport) -> Table:
    """What so much data can show."""
    seeds = {one.name: len(one.members) for one in report.families}
    counts = {policy.name: seeds.get(policy.family, 1) for policy in report.policies}
    made = _table(
        report,
        "What it can show",
        {
            "smallest edge": lambda f: dollars(f.net_per_market.detectable or None),
            "events needed": lambda f: (
                "-" if f.net_per_market.events_needed is None else f"{f.net_per_market.events_needed:,}"
            ),
            "largest event": lambda f: percent(f.net_per_market.largest_event_share),
            "fill model": lambda f: f.fill_model,
        },
        note="Smallest edge: net a market that this many events would tell from zero with 80 % power. Events needed: "
        "to tell the net a market seen here. Largest event: its part of all that was won and lost by event. Seeds: of "
        "its recipe, judged here.",
    )
    rows = tuple(
        (*row, str(counts[policy.name]) if policy.role == "judged" else "-")
        for row, policy in zip(made.rows, report.policies, strict=True)
    )
    return msgspec.structs.replace(made, columns=(*made.columns, "seeds"), rows=rows)


def costs(report: EvaluationReport) -> Table:
    """From gross to net."""
    return _table(
        report,
        "From gross to net",
        {
            "gross to mid": lambda f: dollars(f.money.gross_to_mid),
            "spread": lambda f: dollars(-f.money.spread),
            "fees": lambda f: dollars(-f.money.fees),
            "closing": lambda f: dollars(-f.money.closing),
            "net": lambda f: dollars(f.money.net),
        },
        note="Gross to mid: as if every fill had been at the mid just before it.",
    )


def endings(report: EvaluationReport) -> Table:
    """What of the net the venue settled, and what was still open."""
    return _table(
        report,
        "How it ended",
        {
            "settled markets": lambda f: f"{f.counts.settled_markets:,} of {f.counts.markets:,}",
            "settled P&L": lambda f: dollars(f.money.settled),
            "marked P&L": lambda f: dollars(f.money.unsettled),
            "still open": lambda f: f"{f.counts.open_positions:,}",
            "no book": lambda f: f"{f.counts.unknown_books:,}",
            "net at last mark": lambda f: dollars(f.money.net_at_last_mark),
        },
        note="Settled and marked: P&L of markets with and without the venue's result, before closing. Still open: "
        "positions at the end of the recording; no book: of them, without one to close against, worth nothing in the "
        "net and their last mark in the last column.",
    )


def per_contract(report: EvaluationReport) -> Table:
    """The same by contract traded."""
    return _table(
        report,
        "By contract traded",
        {
            "gross to mid": lambda f: cents(f.money.gross_cents),
            "spread": lambda f: cents(None if f.money.spread_cents is None else -f.money.spread_cents),
            "fees": lambda f: cents(None if f.money.fees_cents is None else -f.money.fees_cents),
            "net": lambda f: cents(f.money.net_cents),
        },
    )


def behaviour(report: EvaluationReport) -> Table:
    """What the policies did with their decisions."""
    return _table(
        report,
        "Behaviour",
        {
            "decisions": lambda f: f"{f.counts.decisions:,}",
            "orders": lambda f: f"{f.counts.orders_sent:,}",
            "makers": lambda f: NOT_MEASURABLE if report.data.depth == "best" else percent(f.rates.maker_share),
            "trades each": lambda f: f"{f.rates.trades_per_episode:.1f}",
            "trade size": lambda f: (
                "-" if f.rates.contracts_per_trade is None else f"{f.rates.contracts_per_trade:.1f}"
            ),
            "held": lambda f: duration(f.rates.median_holding_s),
            "turnover": lambda f: f"{f.capital.turnover:.2f}",
        },
        note="Makers: their share of the contracts. Trades each: by market. Trade size: mean of contracts. Held: "
        "median time of a trade. Turnover: stake over allocated capital.",
    )


def capital(report: EvaluationReport) -> Table:
    """What the policies did with their capital."""
    return _table(
        report,
        "Capital",
        {
            "allocated": lambda f: f"${f.capital.allocated_dollars:,.0f}",
            "return on it": lambda f: percent(f.capital.return_on_allocated),
            "drawdown on it": lambda f: percent(f.capital.drawdown_on_allocated),
            "peak in use": lambda f: dollars(f.capital.peak_dollars),
            "drawdown": lambda f: dollars(f.capital.drawdown_dollars),
            "worst market": lambda f: dollars(f.capital.worst_market_drawdown_dollars),
        },
        note="Allocated: every market's bankroll. Peak in use: the most that open trades together could lose at once. "
        "Worst market: the deepest fall of one bankroll.",
    )


def band(report: EvaluationReport) -> Table:
    """Net under each fill model."""
    models = tuple(dict.fromkeys(f.fill_model for policy in report.policies for f in policy.by_model))
    rows = []
    for policy in report.policies:
        net = {figures.fill_model: figures.money.net for figures in policy.by_model}
        rows.append((label(policy), *([dollars(net.get(model)) for model in models] if net else _absent(len(models)))))
    note = "Orders that never rest fill alike under every model and ran under one."
    return Table(title="Net by fill model", columns=("policy", *models), rows=tuple(rows), note=note)
