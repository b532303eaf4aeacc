"""Every trade of an evaluation as lines of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from kalshi_ray.core.units import CENT, CONTRACT, MICROS_PER_DOLLAR, SECOND
from kalshi_ray.evaluate.ledger import Ending, Ledger, parts_of, trades_of
from kalshi_ray.evaluate.markouts import NO_MID

COLUMNS = (
    "policy", "fill_model", "ticker", "event", "side", "ending", "opened", "closed", "seconds", "life_share",
    "contracts", "entry_cents", "exit_cents", "entry_mid_cents", "entry_spread_cents", "entry_order", "stake_dollars",
    "fees_dollars", "net_dollars", "net_closed_dollars", "fills", "maker_share",
)  # fmt: skip
"""Prices are of YES, means over contracts; `exit_cents` is what the result paid, or the mark, where no fill closed it.
`entry_mid_cents` and `entry_spread_cents` stood just before the first fill, empty where a side was missing;
`entry_order` is the number of its order in its market, as `env trace` shows it. `life_share`: how much of the market's
judged life was over. `net_closed_dollars` differs from `net_dollars` where the position was open at the end: sold down
the ladder; over all lines it sums to the net of the report."""


def trade_lines(ledgers: Sequence[Ledger], events: Sequence[str]) -> Iterator[str]:
    """A header, then one line for each trade and each open position; `events` by the ledgers' event numbers."""
    yield ",".join(COLUMNS)
    for ledger in ledgers:
        parts = parts_of(ledger)
        trades = trades_of(ledger, parts)
        first = np.flatnonzero(np.r_[True, np.diff(parts["trade"]) > 0]) if len(parts) else np.zeros(0, np.intp)
        for trade, entry in zip(trades, parts["fill"][first], strict=True):
            yield _line(_cells(ledger, trade, int(entry), events))


def _cells(ledger: Ledger, trade: np.void, entry: int, events: Sequence[str]) -> list[str]:
    market, lots = int(trade["market"]), int(trade["lots"])
    episode, opened, closed = ledger.episodes[market], int(trade["opened_ns"]), int(trade["closed_ns"])
    life = max(1, int(episode["ended_ns"]) - int(episode["started_ns"]))
    twice_mid, spread = int(ledger.twice_mids[entry, 0]), int(ledger.spreads[entry])
    gain = int(trade["pnl"]) + int(trade["fees"])
    left = int(trade["entry_value"]) + int(trade["side"]) * gain  # what it was worth when it ended, on the YES axis
    return [
        ledger.policy,
        ledger.fill_model,
        ledger.tickers[market],
        events[ledger.events[market]],
        "long" if trade["side"] > 0 else "short",
        Ending(int(trade["ending"])).name.lower(),
        _moment(opened),
        _moment(closed),
        f"{(closed - opened) / SECOND:.3f}",
        f"{(opened - int(episode['started_ns'])) / life:.4f}",
        f"{lots / CONTRACT:g}",
        f"{int(trade['entry_value']) / lots / CENT:.4f}",
        f"{left / lots / CENT:.4f}",
        "" if twice_mid == NO_MID else f"{twice_mid / 2 / CENT:.3f}",
        "" if spread < 0 else f"{spread / CENT:.2f}",
        str(int(ledger.fills["order_id"][entry])),
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
