"""Every trade of an evaluation as lines of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from kalshi_ray.core.units import CENT, CONTRACT, MICROS_PER_DOLLAR, SECOND
from kalshi_ray.evaluate.ledger import Ending, Ledger, parts_of, trades_of

COLUMNS = (
    "policy", "fill_model", "ticker", "event", "side", "ending", "opened", "closed", "seconds", "contracts",
    "entry_cents", "stake_dollars", "fees_dollars", "net_dollars", "net_closed_dollars", "fills", "maker_share",
)  # fmt: skip
"""`net_closed_dollars` differs from `net_dollars` where the position was open at the end: sold down the ladder."""


def trade_lines(ledgers: Sequence[Ledger], events: Sequence[str]) -> Iterator[str]:
    """A header, then one line for each trade and each open position; `events` by the ledgers' event numbers."""
    yield ",".join(COLUMNS)
    for ledger in ledgers:
        trades = trades_of(ledger, parts_of(ledger))
        for trade in trades:
            yield _line(_cells(ledger, trade, events))


def _cells(ledger: Ledger, trade: np.void, events: Sequence[str]) -> list[str]:
    market, lots = int(trade["market"]), int(trade["lots"])
    return [
        ledger.policy,
        ledger.fill_model,
        ledger.tickers[market],
        events[ledger.events[market]],
        "long" if trade["side"] > 0 else "short",
        Ending(int(trade["ending"])).name.lower(),
        _moment(int(trade["opened_ns"])),
        _moment(int(trade["closed_ns"])),
        f"{(int(trade['closed_ns']) - int(trade['opened_ns'])) / SECOND:.3f}",
        f"{lots / CONTRACT:g}",
        f"{int(trade['entry_value']) / lots / CENT:.4f}",
        *(f"{int(trade[name]) / MICROS_PER_DOLLAR:.6f}" for name in ("stake", "fees", "pnl", "closed_pnl")),
        str(int(trade["fills"])),
        f"{int(trade['maker_lots']) / int(trade['traded_lots']):.4f}",
    ]


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / SECOND, UTC).isoformat(timespec="milliseconds")


def _line(cells: Sequence[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(cells)
    return stream.getvalue()
