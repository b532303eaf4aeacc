"""The report as tables of text: what the console prints and the page shows."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from kalshi_ray.evaluate.gates import in_words
from kalshi_ray.evaluate.intervals import Interval
from kalshi_ray.evaluate.metrics import Figures
from kalshi_ray.evaluate.report import EvaluationReport, PolicyReport

NOT_MEASURABLE = "not measurable"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A title, column names and rows of text; every column but the first holds numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def dollars(value: float | None) -> str:
    """Money with its sign first: -$1.25."""
    if value is None:
        return "-"
    sign = "-" if round(value, 2) < 0 else ""
    return f"{sign}${abs(value):,.2f}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None else f"{value:.1%}"


def cents(value: float | None) -> str:
    """Cents with two digits."""
    return "-" if value is None else f"{round(value, 2) + 0.0:+.2f}¢"  # adding zero drops the sign of a negative zero


def span(interval: Interval | None) -> str:
    """The two ends of an interval in dollars, or why there are none."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"none ({interval.events} events)"
    return f"{dollars(interval.low)} to {dollars(interval.high)}" + (" (weak)" if interval.is_weak else "")


def tables_of(report: EvaluationReport) -> tuple[Table, ...]:
    """Every table of the report, the headline first."""
    found = [headline(report), evidence(report)]
    if report.data.synthetic:
        found.append(edges(report))
    found += [costs(report), behaviour(report)]
    if any(len(policy.by_model) > 1 for policy in report.policies):
        found.append(band(report))
    found += [gates(policy) for policy in report.judged if policy.gates]
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
    """Net, return, drawdown and win rates side by side; on synthetic sessions the fill edge too."""
    columns: dict[str, Callable[[Figures], str]] = {
        "net": lambda f: dollars(f.money.net),
        "net a market": lambda f: dollars(f.net_per_market.mean),
        f"{report.settings.level:.0%} interval": lambda f: span(f.net_per_market),
    }
    if report.data.synthetic:
        columns["fill edge a market"] = lambda f: dollars(f.edge.per_market.mean if f.edge else None)
        columns["of the oracle's"] = lambda f: percent(f.edge.share_of_oracle if f.edge else None)
    columns |= {
        "return on peak": lambda f: percent(f.capital.return_on_peak),
        "drawdown": lambda f: percent(f.capital.drawdown_on_peak),
        "trades": lambda f: f"{f.counts.trades:,}",
        "win rate": lambda f: percent(f.rates.win_rate),
        "breaks even at": lambda f: percent(f.rates.break_even_rate),
        "markets won": lambda f: percent(f.rates.episode_win_rate),
        "fill rate": lambda f: percent(f.rates.fill_rate),
        "Sharpe": lambda f: "-" if f.capital.sharpe is None else f"{f.capital.sharpe:.2f}",
    }
    note = (
        "Net is settled by the venue, or closed down the shown ladder with taker fee, under the fill model with the "
        "lowest net. Return and drawdown: on the most capital in use at once. Markets won: of those with a fill. "
        "Breaks even at: the win rate that pays entry prices and fees of bets held to the result."
    )
    return _table(report, f"Policies on {report.data.markets:,} markets of {report.data.session}", columns, note=note)


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
            "markets": lambda f: f"{f.counts.markets:,}",
            "traded": lambda f: f"{f.counts.markets_traded:,}",
            "decisions": lambda f: f"{f.counts.decisions:,}",
            "fill model": lambda f: f.fill_model,
            "fills (maker/taker)": lambda f: f"{f.counts.maker_fills:,}/{f.counts.fills - f.counts.maker_fills:,}",
            "contracts": lambda f: f"{f.counts.contracts:,.0f}",
            "stake": lambda f: dollars(f.counts.stake_dollars),
            "still open": lambda f: f"{f.counts.open_positions:,}",
            "largest event": lambda f: percent(f.net_per_market.largest_event_share),
            "smallest edge seen": lambda f: dollars(f.net_per_market.detectable),
            "events needed": lambda f: (
                "-" if f.net_per_market.events_needed is None else f"{f.net_per_market.events_needed:,}"
            ),
        },
        note="Smallest edge seen: net a market that this many events would tell from zero with 80 % power. Events "
        "needed: to tell the net a market seen here.",
    )


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
            "gross ¢": lambda f: cents(f.money.gross_cents),
            "spread ¢": lambda f: cents(None if f.money.spread_cents is None else -f.money.spread_cents),
            "fees ¢": lambda f: cents(None if f.money.fees_cents is None else -f.money.fees_cents),
            "net ¢": lambda f: cents(f.money.net_cents),
            "settled": lambda f: dollars(f.money.settled),
            "marked": lambda f: dollars(f.money.unsettled),
            "net at last mark": lambda f: dollars(f.money.net_at_last_mark),
        },
        note="¢ are per contract traded. Settled and marked are P&L of markets with and without the venue's result, "
        "before closing. Net at last mark: positions at unknown books kept at their last mark instead of zero.",
    )


def behaviour(report: EvaluationReport) -> Table:
    """What the policies did with their decisions and their capital."""
    return _table(
        report,
        "Behaviour",
        {
            "hold share": lambda f: percent(f.rates.hold_share),
            "orders": lambda f: f"{f.counts.orders_sent:,}",
            "fill rate": lambda f: percent(f.rates.fill_rate),
            "maker share": lambda f: NOT_MEASURABLE if report.data.depth == "best" else percent(f.rates.maker_share),
            "trades a market": lambda f: f"{f.rates.trades_per_episode:.1f}",
            "contracts a trade": lambda f: (
                "-" if f.rates.contracts_per_trade is None else f"{f.rates.contracts_per_trade:.1f}"
            ),
            "held (median)": lambda f: duration(f.rates.median_holding_s),
            "turnover": lambda f: f"{f.capital.turnover:.2f}",
            "peak capital": lambda f: dollars(f.capital.peak_dollars),
            "allocated": lambda f: dollars(f.capital.allocated_dollars),
            "return on it": lambda f: percent(f.capital.return_on_allocated),
            "worst market fall": lambda f: dollars(f.capital.worst_market_drawdown_dollars),
        },
        note="Turnover: stake over allocated capital.",
    )


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use."""
    if seconds is None:
        return "-"
    for limit, unit, size in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"


def band(report: EvaluationReport) -> Table:
    """Net under each fill model."""
    models = tuple(dict.fromkeys(f.fill_model for policy in report.policies for f in policy.by_model))
    rows = []
    for policy in report.policies:
        net = {figures.fill_model: figures.money.net for figures in policy.by_model}
        rows.append((label(policy), *([dollars(net.get(model)) for model in models] if net else _absent(len(models)))))
    note = "Orders that never rest fill alike under every model and ran under one."
    return Table(title="Net by fill model", columns=("policy", *models), rows=tuple(rows), note=note)


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
