"""Recording from an exchange that shares no code with ours and is as odd as it may be: what is known is true."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_ray.collect.block import SIDS
from kalshi_ray.collect.collector import run
from kalshi_ray.collect.collector.run import Ended, Plan
from kalshi_ray.collect.inputs import read_inputs
from kalshi_ray.collect.rebuild import compare_with_raw
from kalshi_ray.collect.settings import CollectSettings, UniverseSettings
from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.validate import validate_session
from kalshi_ray.data.verify import verify_session
from kalshi_ray.exchange.settings import ExchangeSettings
from tests.collect.judging import check_no_row_twice, check_views, course_of, raw_frames, rows_in
from tests.collect.stranger import API, Book, Market, Stranger
from tests.collect.venue import KEY_ID, PATIENCE_S
from tests.exchange.keys import ed25519_key, pem_of

TICKERS = ("KXA-26-T1", "KXA-26-T104249.99", "KXB-26-T1", "KXB-26-T2")
Said = dict[tuple[int, int, int, str], dict[str, Any]]  # bodies by line, receive time, number and type


def recorded(folder: Path, stranger: Stranger, store: SessionStore) -> Ended:
    """Record until the exchange has come to rest and every book is known."""
    (folder / "key.pem").write_bytes(pem_of(ed25519_key()))
    (folder / "key.pem").chmod(0o600)
    stop, host, before = asyncio.Event(), f"127.0.0.1:{stranger.port}", -1

    def tell(status: Status) -> None:
        nonlocal before
        is_over = stranger.is_over and stranger.has_told and status.markets.known == len(TICKERS)
        if is_over and status.total_frames == before:  # nothing came since the rest was sent
            stop.set()
        before = status.total_frames if is_over else -1

    exchange = ExchangeSettings(
        rest_url=f"http://{host}{API}",
        stream_url=f"ws://{host}/trade-api/ws/v2",
        key_id=KEY_ID,
        private_key_file=str(folder / "key.pem"),
        ready_file=str(folder / "none"),
        backoff_s=0.02,
        most_backoff_s=0.2,
        attempts=12,
        tickers_per_connection=stranger.chance.choice((2, 1_000)),
    )
    collect = CollectSettings(
        block_s=0.02, part_s=1.0, part_rows=1_000, spool=str(folder / "spool"), queue_positions_s=0
    )
    plan = Plan(
        session="s",
        universe=UniverseSettings(tickers=TICKERS),
        collect=collect,
        exchange=exchange,
        duration_s=PATIENCE_S,
    )
    return asyncio.run(run.record(plan, store, tell, lambda: contextlib.nullcontext(stop)))


def said_in(session: Session) -> Said:
    """What the frames of books and prints said, read from the raw lines with nothing of ours but their form."""
    found: Said = {}
    for name in session.raw_parts:
        for one in read_inputs(session.raw_part(name), name):
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                frame = json.loads(one.content if isinstance(one.content, bytes) else b"")
                found[one.line, one.recv_ns, frame["seq"], frame["type"]] = frame["msg"]
    return found


def check_market(market: Market, number: int, rows: np.ndarray, said: Said) -> Counter[str]:
    """Between a snapshot and the next gap no version of the book and no print is left out, and each book is right."""
    seen, book, version, prints = Counter[str](), None, 0, None
    pending: Book = {}
    lines = {int(sid) // SIDS for sid in rows["sid"][rows["market"] == number] if sid}
    for row in rows[(rows["market"] == number) | (rows["market"] == -1)]:
        kind, line, seq = Kind(int(row["kind"])), int(row["sid"]) // SIDS, int(row["seq"])
        key, lots, where = (int(row["side"]), int(row["price"])), int(row["size"]), f"{market.ticker}: {row}"
        if kind is Kind.GAP:
            if row["market"] == number or not row["sid"] or line in lines:
                book = prints = None
        elif kind is Kind.SNAPSHOT_LEVEL:
            pending[key] = lots
        elif kind is Kind.SNAPSHOT_END:
            told = int(said[line, int(row["recv_ns"]), seq, "orderbook_snapshot"]["market_id"][1:])
            assert pending == market.books[told] and (book is None or told == version), where
            book, version, pending = pending, told, {}
        elif kind is Kind.DELTA and book is not None:
            told = int(said[line, int(row["recv_ns"]), seq, "orderbook_delta"]["market_id"][1:])
            book = {at: left for at, left in (book | {key: book.get(key, 0) + lots}).items() if left}
            assert told == version + 1 and (key, lots) == market.changes[told] and book == market.books[told], where
            version = told
        elif kind is Kind.TRADE:
            told = int(said[line, int(row["recv_ns"]), seq, "trade"]["trade_id"][1:])
            assert (key[1], lots, int(row["taker"])) == market.prints[told], where
            assert prints is None or told == prints + 1, where
            prints = told if book is not None else None
        seen[kind.name if book is not None else "unknown"] += 1
    assert book == market.books[-1] and version == len(market.books) - 1, f"{market.ticker}: the last book"
    return seen


def strange(folder: Path, seed: int, steps: int) -> Counter[str]:
    folder.mkdir()
    store = open_store(str(folder / "store"))
    with Stranger(seed, TICKERS, steps) as stranger:
        ended = recorded(folder, stranger, store)
    assert ended.why == "stopped", f"seed {seed}: books stay unknown"
    session = store.open("s")
    rows, said, difference = rows_in(session), said_in(session), compare_with_raw(session)
    assert difference is None, f"seed {seed}: {difference}"
    assert verify_session(store, "s").is_whole and validate_session(session).is_valid
    check_no_row_twice(rows)
    check_views(session, {ticker: course_of(rows, number) for number, ticker in enumerate(session.tickers())})
    assert (ended.status.total_rows, ended.status.total_frames) == (len(rows), raw_frames(session))
    numbered = enumerate(session.tickers())
    return sum((check_market(stranger.markets[ticker], at, rows, said) for at, ticker in numbered), Counter[str]())


def test_what_a_strange_exchange_says_is_recorded_and_true(tmp_path: Path) -> None:
    seen = 0
    for seed in range(1, 6):  # the exchange waits for nobody: where books are long unknown, one is not enough
        seen += strange(tmp_path / str(seed), seed, 500)["DELTA"]
        if seen > 100:
            break
    assert seen > 100


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_hundred_strange_exchanges(tmp_path: Path) -> None:
    seen = sum((strange(tmp_path / str(seed), seed, 1_200) for seed in range(2, 102)), Counter[str]())
    assert seen["DELTA"] > 20_000 and seen["TRADE"] > 5_000 and seen["unknown"] > 5_000
