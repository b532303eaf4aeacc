"""How close a synthetic session is to recorded markets: the same statistics of both, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, MILLISECOND, SECOND
from kalshi_ray.data.session import Session
from kalshi_ray.data.synthetic.quotes import Quotes, best_quotes
from kalshi_ray.errors import NothingToDo

QUOTES_FOLDER = "jetpackjules_kalshi-trader"
RATES_FOLDER = "clouvelai_kalshiflow"
PRINTS_FOLDER = "gitty-gat_capopm"
CRYPTO_FOLDER = "himagna16_kalshi-microstructure"
SILENCE_NS = 300 * SECOND  # longer waits are holes of the recording: they count no time
TOGETHER_NS = MILLISECOND  # changes of one market closer than this are one


@dataclass(frozen=True)
class Comparison:
    """One statistic of the generated and the recorded data; nan where one of them is absent."""

    name: str
    unit: str
    recorded: float
    generated: float
    source: str


Statistics = dict[str, float]  # by "source|name|unit"
ONE_SIDED_SAMPLES = "crypto|one-sided share of samples|%"
_SOURCES = {"quotes": QUOTES_FOLDER, "rates": RATES_FOLDER, "prints": PRINTS_FOLDER, "crypto": CRYPTO_FOLDER}


def recorded_statistics(path: Path | str) -> Statistics:
    """The statistics of the recorded folders under `path`; those of an absent folder are left out."""
    root = Path(path)
    found: Statistics = {}
    if (root / QUOTES_FOLDER).is_dir():
        quotes = _recorded_quotes(root / QUOTES_FOLDER)
        found |= quote_statistics(quotes) | activity_statistics(np.bincount(quotes.market), "quotes")
    if (root / RATES_FOLDER).is_dir():
        rates = pq.read_table(root / RATES_FOLDER / "run32_market_profiles.parquet")["update_frequency_hz"]
        found |= activity_statistics(rates.to_numpy(), "rates")
        levels = pq.read_table(root / RATES_FOLDER / "run32_level_sizes.parquet")
        found |= _size_statistics("level", levels["level_size"].to_numpy(), levels["count"].to_numpy(), "rates")
    if (root / PRINTS_FOLDER).is_dir():
        prints = pq.read_table(root / PRINTS_FOLDER / "trades_KXNCAAFPLAYOFF-25.parquet")["contracts_traded"]
        found |= _size_statistics("print", prints.to_numpy(), np.ones(len(prints)), "prints")
    if (root / CRYPTO_FOLDER).is_dir():
        states = csv.read_csv(root / CRYPTO_FOLDER / "quote_state.csv").to_pylist()
        counts = {row["state"]: row["snapshots"] for row in states}
        found[ONE_SIDED_SAMPLES] = 100 * counts["one_sided"] / sum(counts.values())
    if not found:
        raise NothingToDo(f"no recorded data in {root}", remedy=f"Expected a folder {', '.join(_SOURCES.values())}")
    return found


def generated_statistics(session: Session) -> Statistics:
    """The same statistics of a session."""
    updates = session.updates()
    quotes, levels = best_quotes(updates)
    found = quote_statistics(quotes) | activity_statistics(np.bincount(quotes.market), "quotes")
    counts = np.bincount(updates["market"].to_numpy()[updates["market"].to_numpy() >= 0])
    found |= activity_statistics(counts, "rates")
    found |= _size_statistics("level", levels / CONTRACT, np.ones(len(levels)), "rates")
    found[ONE_SIDED_SAMPLES] = found["quotes|one-sided share of time|%"]
    prints = updates.filter(pc.equal(updates["kind"], pa.scalar(int(Kind.TRADE), pa.int8())))["size"].to_numpy()
    return found | _size_statistics("print", prints / CONTRACT, np.ones(len(prints)), "prints")


def compare_statistics(session: Session, path: Path | str) -> list[Comparison]:
    """Generated against recorded, statistic by statistic. NothingToDo where nothing recorded is found."""
    recorded, generated = recorded_statistics(path), generated_statistics(session)
    rows = []
    for key in generated:
        source, name, unit = key.split("|")
        rows.append(Comparison(name, unit, recorded.get(key, np.nan), generated[key], _SOURCES[source]))
    return rows


def comparison_table(rows: list[Comparison]) -> str:
    """The comparison as a Markdown table."""
    lines = ["| statistic | unit | recorded | generated | source |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.name} | {row.unit} | {_text(row.recorded)} | {_text(row.generated)} | {row.source} |")
    return "\n".join(lines) + "\n"


def quote_statistics(quotes: Quotes) -> Statistics:
    """Spread by time, one-sided share, waits and moves of best quotes."""
    same = quotes.market[1:] == quotes.market[:-1]
    wait = np.diff(quotes.recv_ns)[same]
    held = np.where(wait < SILENCE_NS, wait, 0).astype(np.float64)
    bid, ask = quotes.bid[:-1][same], quotes.ask[:-1][same]
    one_sided = (bid <= 0) | (ask >= DOLLAR)
    clean = ~one_sided & (ask > bid)
    found = _spread_statistics(bid[clean], ask[clean], held[clean])
    found["quotes|one-sided share of time|%"] = 100 * float((held * one_sided).sum() / held.sum())
    apart = wait[(wait >= TOGETHER_NS)] / SECOND
    for share in (10, 25, 50, 75, 90, 95, 99):
        found[f"quotes|wait between changes, {share} %|s"] = float(np.quantile(apart, share / 100))
    return found | _move_statistics(quotes, same)


def _spread_statistics(bid: NDArray[np.int32], ask: NDArray[np.int32], held: NDArray[np.float64]) -> Statistics:
    spread = (ask - bid) / CENT
    middle = (ask + bid) / 2 / CENT
    found = {"quotes|spread by time, mean|¢": _mean(spread, held)}
    for share in (25, 50, 75, 90, 99):
        found[f"quotes|spread by time, {share} %|¢"] = _quantile(spread, held, share / 100)
    for low, high in ((0, 10), (10, 35), (35, 65), (65, 90), (90, 100)):
        inside = (middle >= low) & (middle < high)
        found[f"quotes|spread by time, mid {low} to {high}¢, mean|¢"] = _mean(spread[inside], held[inside])
    return found


def _move_statistics(quotes: Quotes, same: NDArray[np.bool_]) -> Statistics:
    moves = [np.diff(side)[same] / CENT for side in (quotes.bid, quotes.ask)]
    sizes = np.abs(np.concatenate([move[move != 0] for move in moves]))
    market = quotes.market[1:][same]
    turns = []
    for move in moves:
        kept = move != 0
        sign, where = np.sign(move[kept]), market[kept]
        turns.append((sign[1:] != sign[:-1])[where[1:] == where[:-1]])
    times = np.diff(quotes.recv_ns)[same]
    other = (moves[0][1:] != 0) != (moves[0][:-1] != 0)
    pairs = other & (market[1:] == market[:-1]) & (times[1:] < TOGETHER_NS)
    return {
        "quotes|moves of up to 1¢|%": 100 * float((sizes <= 1).mean()),
        "quotes|moves of 2¢|%": 100 * float(((sizes > 1) & (sizes <= 2)).mean()),
        "quotes|moves of 5¢ and more|%": 100 * float((sizes >= 5).mean()),
        "quotes|moves that turn back|%": 100 * float(np.concatenate(turns).mean()),
        "quotes|other side moves within 1 ms|%": 100 * float(pairs.mean()),
    }


def activity_statistics(counts: NDArray[Any], source: str) -> Statistics:
    """How unequal markets are by updates (or by updates per second)."""
    ordered = np.sort(counts[counts > 0].astype(np.float64))[::-1]
    middle = np.median(ordered)
    tenth = max(1, len(ordered) // 10)
    what = "best-quote changes" if source == "quotes" else "updates"
    return {
        f"{source}|{what} of a market, 90 % / median|": float(np.quantile(ordered, 0.9) / middle),
        f"{source}|{what} of a market, largest / median|": float(ordered[0] / middle),
        f"{source}|share of {what} in the busiest tenth|%": 100 * float(ordered[:tenth].sum() / ordered.sum()),
    }


def _size_statistics(what: str, sizes: NDArray[Any], weights: NDArray[Any], source: str) -> Statistics:
    if not len(sizes):
        return {}
    values, held = sizes.astype(np.float64), weights.astype(np.float64)
    return {
        f"{source}|{what} size, {share} %|contracts": _quantile(values, held, share / 100) for share in (10, 50, 90, 99)
    }


def _recorded_quotes(folder: Path) -> Quotes:
    """The best-quote change logs of all days, by market and time; a side without a quote is 0 or one dollar."""
    parts: list[tuple[NDArray[Any], ...]] = []
    for file in sorted(folder.glob("bbo_*.parquet")):
        table = pq.read_table(file)
        market = table["market_ticker"].combine_chunks().dictionary_encode()
        time = table["timestamp"].cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
        prices = [table[name].to_numpy().astype(np.int32) * CENT for name in ("best_yes_bid", "implied_yes_ask")]
        first = sum(part[0].max() + 1 for part in parts[-1:])
        parts.append((market.indices.to_numpy() + first, time, *prices))
    market, time, bid, ask = (np.concatenate(columns) for columns in zip(*parts))
    order = np.lexsort((time, market))
    return Quotes(market[order].astype(np.int32), time[order], bid[order], ask[order])


def _mean(values: NDArray[np.floating], held: NDArray[np.float64]) -> float:
    return float((values * held).sum() / held.sum()) if held.sum() else float("nan")


def _quantile(values: NDArray[np.floating], held: NDArray[np.float64], share: float) -> float:
    """The value below which `share` of the weight lies."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(held[order])
    return float(values[order][min(np.searchsorted(total, share * total[-1]), len(order) - 1)])


def _text(value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
