"""What one policy did under one fill model, and the trades that follow from its fills.

A trade goes from flat to flat, or to the settlement; a fill that crosses zero closes one trade and opens the next, its
fee shared by size. What is still open at the end of the recording is no trade yet: it is listed apart, at its mark.
All sums are micros on the YES axis: a purchase moves cash by -price x size, a short sale brings price x size and owes
up to a dollar a contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.units import DOLLAR, MICROS_PER_CENT
from kalshi_ray.errors import DataError


class Ending(IntEnum):
    """How a trade ended."""

    FLAT = 0  # closed by our own fills
    SETTLED = 1  # the venue's result paid it
    OPEN = 2  # the recording ended first: no trade yet


PART = np.dtype(
    [
        ("fill", np.int64),  # index into the ledger's fills
        ("market", np.int32),  # index into the ledger's markets
        ("trade", np.int64),
        ("ns", np.int64),
        ("side", np.int8),  # +1 bought YES, -1 sold YES
        ("price", np.int32),  # pips
        ("size", np.int64),  # lots
        ("fee", np.int64),  # micros
        ("opens", np.bool_),  # enlarges the position; otherwise reduces it
        ("after", np.int64),  # signed lots held afterwards
        ("capital", np.int64),  # micros tied up in the open trade afterwards: the most it can still lose
    ]
)
"""A fill, or the half of one that crossed zero."""

TRADE = np.dtype(
    [
        ("market", np.int32),
        ("side", np.int8),  # +1 long, -1 short
        ("ending", np.int8),
        ("opened_ns", np.int64),
        ("closed_ns", np.int64),
        ("fills", np.int32),
        ("lots", np.int64),  # opened in all
        ("maker_lots", np.int64),  # of all lots traded
        ("traded_lots", np.int64),  # opened and closed by fills
        ("entry_value", np.int64),  # sum of price x size of what opened it
        ("stake", np.int64),  # paid for what opened it: price for YES, a dollar less price for NO
        ("fees", np.int64),
        ("pnl", np.int64),  # net; what is open stands at its mark
        ("closed_pnl", np.int64),  # net; what is open is sold down the shown ladder with taker fee
    ]
)


@dataclass(frozen=True)
class Ledger:
    """N market-episodes of one policy under one fill model; arrays are read-only in spirit."""

    policy: str
    fill_model: str
    views: NDArray[np.int32]  # [N] of the pack
    tickers: tuple[str, ...]  # [N]
    events: NDArray[np.int32]  # [N] which event, any numbering
    episodes: NDArray[np.void]  # [N] EPISODE, aligned with `tickers`
    fills: NDArray[np.void]  # FILL, by market and then in order of execution
    fill_market: NDArray[np.int32]  # index into the N markets, one per fill, ascending
    twice_mids: NDArray[np.int32]  # [fills, 1 + horizons] half pips just before each fill and some seconds after it
    curve_ns: NDArray[np.int64]  # [G] ascending
    curve: NDArray[np.int64]  # [G] micros: sum over markets of equity less bankroll
    actions: NDArray[np.int64]  # [A] decisions by action id; empty for policies that quote
    spreads: NDArray[np.int32]  # [fills] pips just before each fill; -1 one-sided
    states: NDArray[np.int64]  # decisions by state and intent, see `tally`
    moments: NDArray[np.int64]  # and by moment

    @property
    def pnl(self) -> NDArray[np.int64]:
        """Net micros by market, [N]; open positions at their mark."""
        return np.asarray(self.episodes["equity_end"] - self.episodes["equity_start"], np.int64)

    @property
    def closed_pnl(self) -> NDArray[np.int64]:
        """Net micros by market, [N]: settled where settled, otherwise closed down the shown ladder; at an unknown
        book the position is worth nothing. Headline figures and gates use this."""
        episodes = self.episodes
        closed = episodes["cash_end"] + episodes["ladder_value"] - episodes["equity_start"]
        return np.where(self.settled, self.pnl, closed)

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Which markets the venue settled, [N]."""
        return np.asarray(self.episodes["terminated"] != 0)

    @property
    def stranded(self) -> NDArray[np.bool_]:
        """Which markets ended with a position and without a book to close it against, [N]."""
        episodes = self.episodes
        return np.asarray(~self.settled & (episodes["book_known"] == 0) & (episodes["position_end"] != 0))

    @property
    def end_ns(self) -> NDArray[np.int64]:
        """Settlement or last update by market, [N]."""
        return np.asarray(self.episodes["ended_ns"], np.int64)

    @property
    def closed_curve(self) -> NDArray[np.int64]:
        """`curve` with what is open at the end closed there, micros, [G]."""
        curve = self.curve.copy()
        curve[-1:] = self.closed_pnl.sum()
        return curve


def cash_flow(fills: NDArray[np.void]) -> NDArray[np.int64]:
    """Micros that each fill moves, fee included."""
    signed = fills["side"].astype(np.int64) * fills["size"]
    return np.asarray(-signed * fills["price"] - fills["fee"], np.int64)


def _by_market(ledger: Ledger, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over the fills of each market, [N]."""
    sums = np.zeros(len(ledger.tickers), np.int64)
    np.add.at(sums, ledger.fill_market, values)
    return sums


def reconcile(ledger: Ledger) -> None:
    """Check that fills, fees, position and final value explain the equity of every market to the micro.

    Raises DataError naming the first market where money came from nowhere.
    """
    episodes, fills = ledger.episodes, ledger.fills
    position = _by_market(ledger, fills["side"].astype(np.int64) * fills["size"])
    fees = _by_market(ledger, fills["fee"].astype(np.int64))
    value = ledger.pnl - _by_market(ledger, cash_flow(fills))  # of the position, on the YES axis
    low, high = np.minimum(position, 0) * DOLLAR, np.maximum(position, 0) * DOLLAR
    # A scalar settlement floors its payout to the cent and books the rest as a fee.
    rounding = np.where(ledger.settled, MICROS_PER_CENT, 1)
    extra = episodes["fees"] - fees
    wrong = (value < low) | (value > high) | (extra < 0) | (extra >= rounding) | (position != episodes["position_end"])
    for market in np.flatnonzero(wrong)[:1]:
        raise DataError(
            f"{ledger.tickers[market]}, policy {ledger.policy}: {position[market]} lots by fills and "
            f"{episodes['position_end'][market]} by episode cannot be worth {value[market]} micros "
            f"(fees {fees[market]} and {episodes['fees'][market]})",
            remedy="Fills and episodes of the environment disagree; this is a fault of the program",
        )


def parts_of(ledger: Ledger) -> NDArray[np.void]:
    """Fills cut where they cross zero, each with its trade and the capital tied up afterwards."""
    fills, market = ledger.fills, ledger.fill_market
    signed = fills["side"].astype(np.int64) * fills["size"]
    after = _running(signed, market)
    before = after - signed
    crosses = before * after < 0
    source = np.repeat(np.arange(len(fills)), 1 + crosses)
    second = np.zeros(len(source), bool)
    second[1:] = source[1:] == source[:-1]
    parts = np.zeros(len(source), PART)
    parts["fill"], parts["market"], parts["ns"] = source, market[source], fills["venue_ns"][source]
    parts["side"], parts["price"] = fills["side"][source], fills["price"][source]
    cut = crosses[source]
    closing = np.abs(before[source])
    whole = fills["size"][source].astype(np.int64)
    parts["size"] = np.where(cut, np.where(second, whole - closing, closing), whole)
    fee = fills["fee"][source].astype(np.int64)
    first_fee = fee * closing // np.maximum(whole, 1)
    parts["fee"] = np.where(cut, np.where(second, fee - first_fee, first_fee), fee)
    held = np.where(cut & second, 0, before[source])
    parts["after"] = held + parts["side"].astype(np.int64) * parts["size"]
    parts["opens"] = np.abs(parts["after"]) > np.abs(held)
    parts["trade"] = np.cumsum(held == 0) - 1
    parts["capital"] = _capital(parts)
    return parts


def _running(values: NDArray[np.int64], group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Running sums that start anew with each group; groups are contiguous."""
    total = np.cumsum(values)
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, np.int64)
    base = np.r_[0, total][first]
    return np.asarray(total - np.repeat(base, np.diff(np.r_[first, len(group)])), np.int64)


def _capital(parts: NDArray[np.void]) -> NDArray[np.int64]:
    """The most that the open trade can still lose after each part; nothing once it is flat."""
    spent = -_running(cash_flow(parts), parts["trade"])
    owed = np.maximum(-parts["after"], 0) * DOLLAR
    return np.where(parts["after"] == 0, 0, np.maximum(spent + owed, 0))


def trades_of(ledger: Ledger, parts: NDArray[np.void]) -> NDArray[np.void]:
    """Every trade of the ledger as TRADE records, what is still open included (`ending` OPEN)."""
    count = int(parts["trade"][-1]) + 1 if len(parts) else 0
    trades = np.zeros(count, TRADE)
    if not count:
        return trades
    first = np.flatnonzero(np.r_[True, np.diff(parts["trade"]) > 0])
    last = np.r_[first[1:], len(parts)] - 1
    market = parts["market"][first]

    def total(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.add.reduceat(values.astype(np.int64), first)

    opening, traded = np.where(parts["opens"], parts["size"], 0), parts["size"].astype(np.int64)
    cost = np.where(parts["side"] > 0, parts["price"], DOLLAR - parts["price"])
    maker = ledger.fills["maker"][parts["fill"]].astype(np.int64)
    trades["market"], trades["side"] = market, parts["side"][first]
    trades["opened_ns"], trades["closed_ns"] = parts["ns"][first], parts["ns"][last]
    trades["fills"], trades["lots"], trades["fees"] = last - first + 1, total(opening), total(parts["fee"])
    trades["traded_lots"], trades["maker_lots"] = total(traded), total(traded * maker)
    trades["entry_value"], trades["stake"] = total(opening * parts["price"]), total(opening * cost)
    trades["pnl"] = total(cash_flow(parts))
    trades["closed_pnl"] = trades["pnl"]
    _end_trades(ledger, trades, parts["after"][last] != 0)
    return trades


def _end_trades(ledger: Ledger, trades: NDArray[np.void], unfinished: NDArray[np.bool_]) -> None:
    """Pay what was held to the end: by settlement, or at its mark and down the ladder."""
    held = np.flatnonzero(unfinished)
    market, flow = trades["market"][held], _by_market(ledger, cash_flow(ledger.fills))
    trades["ending"][held] = np.where(ledger.settled[market], int(Ending.SETTLED), int(Ending.OPEN))
    trades["closed_ns"][held] = ledger.end_ns[market]
    trades["pnl"][held] += (ledger.pnl - flow)[market]
    trades["closed_pnl"][held] += (ledger.closed_pnl - flow)[market]
