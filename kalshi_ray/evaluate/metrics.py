"""What the ledger of one policy under one fill model says, in the units of reports.

Meanings. A trade goes flat to flat or to settlement and wins when its net is above zero; ties lose. Net P&L is settled
where the venue settled and otherwise closed down the shown ladder with taker fee (zero value at an unknown book).
Allocated capital is every row's bankroll; capital in use is what the open trades can still lose.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import CONTRACT, DOLLAR, MICROS_PER_CENT, MICROS_PER_DOLLAR, SECOND
from kalshi_ray.evaluate import account
from kalshi_ray.evaluate.intervals import Interval, by_event
from kalshi_ray.evaluate.ledger import Ending, Ledger, parts_of, reconcile, trades_of
from kalshi_ray.evaluate.markouts import NO_MID
from kalshi_ray.evaluate.settings import EvaluationSettings


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is to judge by."""

    events: int
    days: int  # UTC days on which the judged episodes ran
    markets: int
    settled_markets: int
    markets_traded: int  # with at least one fill
    decisions: int
    hours: float  # of market time, summed over markets
    orders_sent: int
    orders_filled: int
    fills: int
    maker_fills: int
    contracts: float  # bought and sold
    stake_dollars: float  # paid for what opened positions
    trades: int
    open_positions: int  # at the end of the recording: no trades
    unknown_books: int  # of them, where there was no book to close against
    refused: int  # actions that the mask forbade


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Net = gross to mid - spread - fees - closing, to the micro. Dollars, but for the last four: cents a contract."""

    net: float
    marked: float  # net with open positions at best bid or ask instead of closed
    settled: float  # of `marked`, from markets which the venue settled
    unsettled: float  # of `marked`, from the others
    gross_to_mid: float  # as if every fill had been at the mid just before it
    spread: float  # paid; negative: earned
    fees: float
    closing: float  # marked less closed value of what was open
    net_at_last_mark: float  # net, with positions at unknown books at their last mark
    gross_cents: float | None
    spread_cents: float | None
    fees_cents: float | None
    net_cents: float | None


class Capital(msgspec.Struct, frozen=True, kw_only=True):
    """Return and fall of the account, on what was allotted and on the most that was tied up at once."""

    allocated_dollars: float
    peak_dollars: float
    return_on_allocated: float
    return_on_peak: float | None
    drawdown_dollars: float  # of the account
    drawdown_on_allocated: float
    drawdown_on_peak: float | None
    worst_market_drawdown_dollars: float
    turnover: float  # stake over allocated capital
    sharpe: float | None
    sharpe_remark: str


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares between 0 and 1; None where there is nothing to take a share of."""

    win_rate: float | None  # per trade
    break_even_rate: float | None  # the win rate at which bets held to settlement pay their entry price and fees
    payoff_break_even: float | None  # mean loss over mean loss plus mean win of the trades seen
    episode_win_rate: float | None  # over episodes with a fill
    fill_rate: float | None  # orders with a fill over orders sent
    maker_share: float | None  # of contracts
    hold_share: float  # of decisions
    trades_per_episode: float
    contracts_per_trade: float | None  # opened
    median_holding_s: float | None


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """Fill edge against the true probability (synthetic sessions), dollars."""

    total: float
    per_market: Interval
    cents_per_contract: float | None
    share_of_oracle: float | None = None  # by mean per market


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One policy under one fill model."""

    fill_model: str
    counts: Counts
    money: Money
    capital: Capital
    rates: Rates
    net_per_market: Interval  # dollars
    gross_per_market: Interval  # dollars to mid: what is left of it by chance is what a negative control may have
    edge: Edge | None = None


def measure(ledger: Ledger, settings: EvaluationSettings, *, edges: NDArray[np.float64] | None = None) -> Figures:
    """All figures of a ledger; `edges` are micros by fill where the truth is known. Reconciles to the micro first."""
    reconcile(ledger)
    parts = parts_of(ledger)
    trades = trades_of(ledger, parts)
    return Figures(
        fill_model=ledger.fill_model,
        counts=count(ledger, trades),
        money=money(ledger),
        capital=capital(ledger, parts, trades),
        rates=rates(ledger, trades),
        net_per_market=_interval(ledger.closed_pnl / MICROS_PER_DOLLAR, ledger, settings),
        gross_per_market=_interval(gross_by_market(ledger) / MICROS_PER_DOLLAR, ledger, settings),
        edge=None if edges is None else edge(ledger, edges, settings),
    )


def _interval(values: NDArray[np.float64], ledger: Ledger, settings: EvaluationSettings) -> Interval:
    return by_event(values, ledger.events, level=settings.level, resamples=settings.resamples, seed=settings.seed)


def is_trade(trades: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which records are trades, rather than positions still open."""
    return np.asarray(trades["ending"] != int(Ending.OPEN))


def count(ledger: Ledger, trades: NDArray[np.void]) -> Counts:
    """How much there is to judge by."""
    episodes, unfinished = ledger.episodes, ~is_trade(trades)
    return Counts(
        events=len(np.unique(ledger.events)),
        days=days_covered(episodes["started_ns"], ledger.end_ns),
        markets=len(ledger.tickers),
        settled_markets=int(ledger.settled.sum()),
        markets_traded=len(np.unique(ledger.fill_market)),
        decisions=int(episodes["steps"].sum()),
        hours=float((ledger.end_ns - episodes["started_ns"]).sum()) / SECOND / 3600,
        orders_sent=int(episodes["orders_sent"].sum()),
        orders_filled=int(episodes["orders_filled"].sum()),
        fills=len(ledger.fills),
        maker_fills=int((ledger.fills["maker"] != 0).sum()),
        contracts=float(ledger.fills["size"].sum()) / CONTRACT,
        stake_dollars=float(trades["stake"].sum()) / MICROS_PER_DOLLAR,
        trades=int(is_trade(trades).sum()),
        open_positions=int(unfinished.sum()),
        unknown_books=int(ledger.stranded.sum()),
        refused=int(episodes["refused"].sum()),
    )


def days_covered(start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> int:
    """UTC days touched by at least one of the spans."""
    days: set[int] = set()
    for start, end in zip(start_ns // account.DAY, end_ns // account.DAY, strict=True):
        days.update(range(int(start), int(end) + 1))
    return len(days)


def money(ledger: Ledger) -> Money:
    """Where the net came from."""
    settled = ledger.settled
    marked, net = int(ledger.pnl.sum()), int(ledger.closed_pnl.sum())
    fees, spread = int(ledger.episodes["fees"].sum()), spread_paid(ledger)
    lots = int(ledger.fills["size"].sum())

    def per_contract(micros: int) -> float | None:
        return micros / MICROS_PER_CENT / (lots / CONTRACT) if lots else None

    return Money(
        net=net / MICROS_PER_DOLLAR,
        marked=marked / MICROS_PER_DOLLAR,
        settled=int(ledger.pnl[settled].sum()) / MICROS_PER_DOLLAR,
        unsettled=int(ledger.pnl[~settled].sum()) / MICROS_PER_DOLLAR,
        gross_to_mid=(marked + spread + fees) / MICROS_PER_DOLLAR,
        spread=spread / MICROS_PER_DOLLAR,
        fees=fees / MICROS_PER_DOLLAR,
        closing=(marked - net) / MICROS_PER_DOLLAR,
        net_at_last_mark=(net + int((ledger.pnl - ledger.closed_pnl)[ledger.stranded].sum())) / MICROS_PER_DOLLAR,
        gross_cents=per_contract(marked + spread + fees),
        spread_cents=per_contract(spread),
        fees_cents=per_contract(fees),
        net_cents=per_contract(net),
    )


def spread_paid(ledger: Ledger) -> int:
    """Micros paid against the mid just before each fill; a fill without two sides counts at its own price."""
    return int(_twice_spread(ledger).sum()) // 2


def gross_by_market(ledger: Ledger) -> NDArray[np.float64]:
    """Marked P&L before spread and fees by market, [N] micros: as if every fill had been at the mid before it."""
    spread = np.zeros(len(ledger.tickers), np.int64)
    np.add.at(spread, ledger.fill_market, _twice_spread(ledger))
    return np.asarray(ledger.pnl + ledger.episodes["fees"] + spread / 2, np.float64)


def _twice_spread(ledger: Ledger) -> NDArray[np.int64]:
    fills, seen = ledger.fills, ledger.twice_mids[:, 0].astype(np.int64)
    twice_price = 2 * fills["price"].astype(np.int64)
    return np.asarray(
        fills["side"].astype(np.int64) * (twice_price - np.where(seen == NO_MID, twice_price, seen)) * fills["size"],
        np.int64,
    )


def capital(ledger: Ledger, parts: NDArray[np.void], trades: NDArray[np.void]) -> Capital:
    """Return, drawdown, turnover and Sharpe of the account."""
    allocated = int(ledger.episodes["equity_start"].sum())
    peak = account.peak_capital(parts, ledger.end_ns)
    net, fall = int(ledger.closed_pnl.sum()), account.drawdown(ledger.closed_curve)
    days = days_covered(ledger.episodes["started_ns"], ledger.end_ns)
    ratio = account.sharpe(account.daily_pnl(ledger), days)
    remark = "from daily account P&L x sqrt(365)"
    if ratio is None:
        short = days < account.MIN_DAYS
        why = f"{account.MIN_DAYS} days needed, {days} recorded" if short else "daily P&L never moves"
        remark = f"not computable: {why}"
    return Capital(
        allocated_dollars=allocated / MICROS_PER_DOLLAR,
        peak_dollars=peak / MICROS_PER_DOLLAR,
        return_on_allocated=net / allocated if allocated else 0.0,
        return_on_peak=net / peak if peak else None,
        drawdown_dollars=fall / MICROS_PER_DOLLAR,
        drawdown_on_allocated=fall / allocated if allocated else 0.0,
        drawdown_on_peak=fall / peak if peak else None,
        worst_market_drawdown_dollars=int(ledger.episodes["max_drawdown"].max(initial=0)) / MICROS_PER_DOLLAR,
        turnover=int(trades["stake"].sum()) / allocated if allocated else 0.0,
        sharpe=ratio,
        sharpe_remark=remark,
    )


def rates(ledger: Ledger, trades: NDArray[np.void]) -> Rates:
    """Win, fill, maker and hold rates."""
    done, episodes = trades[is_trade(trades)], ledger.episodes
    won = done["pnl"] > 0
    filled = ledger.closed_pnl[np.unique(ledger.fill_market)]
    size = ledger.fills["size"].astype(np.int64)
    sent = int(episodes["orders_sent"].sum())
    entry = (done["stake"] + done["fees"]) / np.maximum(done["lots"] * DOLLAR, 1)
    held_s = (done["closed_ns"] - done["opened_ns"]) / SECOND
    return Rates(
        win_rate=float(won.mean()) if len(done) else None,
        break_even_rate=float(entry.mean()) if len(done) else None,
        payoff_break_even=_payoff_break_even(done["pnl"]),
        episode_win_rate=float((filled > 0).mean()) if len(filled) else None,
        fill_rate=int(episodes["orders_filled"].sum()) / sent if sent else None,
        maker_share=float(size[ledger.fills["maker"] != 0].sum() / size.sum()) if len(size) else None,
        hold_share=float(episodes["holds"].sum() / max(1, episodes["steps"].sum())),
        trades_per_episode=len(done) / max(1, len(episodes)),
        contracts_per_trade=float(done["lots"].mean()) / CONTRACT if len(done) else None,
        median_holding_s=float(np.median(held_s)) if len(done) else None,
    )


def _payoff_break_even(pnl: NDArray[np.int64]) -> float | None:
    """Mean loss over mean loss plus mean win; None without both."""
    won, lost = pnl[pnl > 0], pnl[pnl <= 0]
    if not len(won) or not len(lost):
        return None
    loss = float(-lost.mean())
    return loss / (loss + float(won.mean()))


def edge(ledger: Ledger, edges: NDArray[np.float64], settings: EvaluationSettings) -> Edge:
    """Fill edge in all, by market with its interval, and by contract."""
    by_market = np.bincount(ledger.fill_market, weights=edges, minlength=len(ledger.tickers)) / MICROS_PER_DOLLAR
    contracts = float(ledger.fills["size"].sum()) / CONTRACT
    return Edge(
        total=float(by_market.sum()),
        per_market=_interval(by_market, ledger, settings),
        cents_per_contract=float(edges.sum()) / MICROS_PER_CENT / contracts if contracts else None,
    )
