"""Small sessions for the tests of `data`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.schema import MARKETS, TRUTH, UPDATES, Manifest
from kalshi_ray.data.store import SessionStore

START = 1_790_000_000_000_000_000  # ns


def recorded(*parts: str) -> Path:
    """A file of the recorded data. Skips the test where that folder is not at hand."""
    repository = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("KALSHI_RAY_RECORDED", repository.parent / "shared" / "data" / "kalshi"))
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no recorded data at {path}; set KALSHI_RAY_RECORDED")
    return path


def market_table(*tickers: str, step: int = 100) -> pa.Table:
    """Markets of one event on a cent grid, active, everything else unknown."""
    return pa.Table.from_pylist(
        [
            {
                "ticker": ticker,
                "event": "KXA-26",
                "series": "KXA",
                "category": "",
                "price_ranges": [{"start": 0, "end": 10_000, "step": step}],
                "fee_type": "quadratic",
                "fee_multiplier": 1.0,
                "open_ns": 0,
                "close_ns": 0,
                "status": 1,
            }
            for ticker in tickers
        ],
        schema=MARKETS,
    )


def updates(*rows: dict[str, int]) -> pa.Table:
    """Updates with defaults: market 0, one millisecond apart, sid 1, seq counting up, no side."""
    complete = []
    for number, row in enumerate(rows):
        time = START + number * 1_000_000
        default = {
            "market": 0,
            "recv_ns": time,
            "exch_ns": time,
            "sid": 1,
            "seq": number + 1,
            "side": -1,
            "price": 0,
            "size": 0,
            "taker": -1,
            "flags": 0,
        }
        complete.append(default | row)
    return pa.Table.from_pylist(complete, schema=UPDATES)


def level(side: int, price: int, size: int, **more: int) -> dict[str, int]:
    """A level of a snapshot; price in pips, size in lots."""
    return {"kind": Kind.SNAPSHOT_LEVEL, "side": side, "price": price, "size": size} | more


def delta(side: int, price: int, size: int, **more: int) -> dict[str, int]:
    """A change of a level; price in pips, size in lots."""
    return {"kind": Kind.DELTA, "side": side, "price": price, "size": size} | more


def end(**more: int) -> dict[str, int]:
    """The end of a snapshot."""
    return {"kind": Kind.SNAPSHOT_END} | more


def random_updates(rows: int, *, markets: int, seed: int) -> pa.Table:
    """Deltas and trades at random: for what reads columns and not books."""
    rng = np.random.default_rng(seed)
    recv = START + np.cumsum(rng.integers(1, 200_000, rows))
    columns = {
        "market": rng.integers(0, markets, rows).astype(np.int32),
        "recv_ns": recv,
        "exch_ns": recv - 50_000_000,
        "sid": np.ones(rows, np.int32),
        "seq": np.arange(1, rows + 1),
        "kind": rng.choice([3, 4], rows).astype(np.int8),
        "side": rng.integers(0, 2, rows).astype(np.int8),
        "price": (rng.integers(1, 100, rows) * 100).astype(np.int32),
        "size": rng.integers(-500, 500, rows) * 100,
        "taker": np.full(rows, -1, np.int8),
        "flags": np.zeros(rows, np.int8),
    }
    return pa.table(columns, schema=UPDATES)


def truth_table(rows: int) -> pa.Table:
    """A truth of one half throughout."""
    times = START + np.arange(rows)
    columns = {
        "market": np.zeros(rows, np.int32),
        "recv_ns": times,
        "exch_ns": times,
        "p": np.full(rows, 0.5),
        "signal": np.zeros(rows, np.int8),
    }
    return pa.table(columns, schema=TRUTH)


def draft(**more: object) -> Manifest:
    """A manifest without counts."""
    return Manifest(id="", source="synthetic", **more)  # type: ignore[arg-type]


def write_session(store: SessionStore, name: str, table: pa.Table, markets: pa.Table, **more: object) -> Manifest:
    """A finished session of these rows."""
    with store.writer(name, manifest=draft(**more)) as writer:
        writer.add_markets(markets)
        writer.append(table)
        return writer.commit()
