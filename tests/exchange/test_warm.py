"""Compiling a feed before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kalshi_ray.core.jit import COMPILED

ROOT = Path(__file__).parents[2]
LOOK = """
import numpy as np
from kalshi_ray.exchange import book_rows
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_settings import FeedSettings
from kalshi_ray.exchange.warm import warm_feed
from kalshi_ray.wire import scan, scan_frames
from kalshi_ray.wire.commands import Channel
from tests.exchange.test_feed import delta, frame, snapshot, subscribed

def versions():
    kernels = [one for part in (scan, scan_frames, book_rows) for one in vars(part).values()]
    return {one.py_func.__name__: len(one.overloads) for one in kernels if hasattr(one, "overloads")}

assert not any(versions().values())
warm_feed()
warm = versions()
channels = (Channel.TRADE, Channel.BOOK, Channel.TICKER)
feed = Feed(FeedSettings(channels=channels, unread=(Channel.TICKER,), books_need_trades=True), ["A", "B"])
feed.connect(1)
feed.receive(subscribed(1, 1, "trade"), 2)
feed.due(3)
feed.receive(subscribed(3, 2), 4)
trade = {"market_ticker": "A", "yes_price_dollars": "0.4700", "count_fp": "1.00", "taker_book_side": "bid"}
frames = [
    snapshot("A", 1, 2), snapshot("B", 2, 2), delta("A", 3, 2), frame("trade", trade, sid=1, seq=1),
    delta("B", 4, 2, price="0.4710"), delta("B", 5, 2, price="0.4711"), delta("A", 9, 2),
]
feed.receive_many(frames, np.full(len(frames), 5))
assert sorted(set(feed.rows.rows["kind"].tolist())) == [1, 2, 3, 4, 5], feed.rows.rows
assert versions() == warm and any(warm.values()), (versions(), warm)
"""


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
def test_after_warming_a_connection_compiles_nothing_more() -> None:
    found = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
