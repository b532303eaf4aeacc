"""Shards in Ray actors: the same session as from one process; one that dies or hangs costs its own markets a gap."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kalshi_ray.collect.block import SIDS
from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import open_store
from kalshi_ray.errors import UsageError
from kalshi_ray.train.ray_session import RaySettings, ray_session
from tests.collect.judging import check, check_whole, rows_in
from tests.collect.venue import Venue, flow_of, record, recording

pytestmark = pytest.mark.ray

LOST_S = 4.0  # for a shard that is well to answer, on a machine that is busy


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    with ray_session(RaySettings(address="local", cpus=6, store_mib=100)):
        yield


def shards() -> list[int]:
    """The processes of all shards that live."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # others of Ray come and go
            if one.cmdline()[:1] and one.cmdline()[0].startswith("ray::Shard"):
                found.append(one.pid)
    return found


def recorded(session: Session, ticker: str, kind: Kind) -> Counter[Any]:
    """What the exchange did in a market, as it was recorded; its time comes first."""
    rows = rows_in(session)
    own = rows[(rows["market"] == session.tickers().index(ticker)) & (rows["kind"] == kind)]
    return Counter(map(tuple, own[["exch_ns", "side", "price", "size", "taker"]].tolist()))


def common(one: Counter[Any], other: Counter[Any]) -> tuple[Counter[Any], Counter[Any]]:
    """What both have of the time that both recorded."""
    first, last = max(min(one)[0], min(other)[0]), min(max(one)[0], max(other)[0])
    return tuple(Counter({row: count for row, count in rows.items() if first < row[0] < last}) for rows in (one, other))  # type: ignore[return-value]


def test_two_shards_record_what_one_process_does(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    async def both(venue: Venue) -> None:
        are_known = set[str]()

        def until(status: Status) -> bool:
            if status.markets.known == len(venue.tickers):
                are_known.add(status.session)
            return len(are_known) == 2 and status.rows.get("delta", 0) > 300

        plans = (venue.plan("one", exchange={"tickers_per_connection": 2}), venue.plan("two", shards=2))
        for ended in await asyncio.gather(*(recording(plan, store, until) for plan in plans)):
            assert not ended.status.gaps

    with Venue(tmp_path, flow_of(1, None, every_ns=2 * MILLISECOND)) as venue:
        asyncio.run(both(venue))
    one, two = store.open("one"), store.open("two")
    for session in (one, two):
        check(session, venue)
    lines = {int(sid) // SIDS for sid in np.unique(rows_in(two)["sid"])} - {0}
    assert len(lines) == 2
    for ticker in venue.tickers:
        for kind, least in ((Kind.DELTA, 20), (Kind.TRADE, 2)):
            mine, theirs = common(recorded(one, ticker, kind), recorded(two, ticker, kind))
            assert mine == theirs and mine.total() > least, (ticker, kind, mine - theirs, theirs - mine)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_shard_that_is_lost_costs_its_markets_a_gap_and_nothing_else(tmp_path: Path, blow: signal.Signals) -> None:
    store, earlier = open_store(str(tmp_path / "store")), shards()
    struck: list[int] = []
    with Venue(tmp_path, flow_of(2, None, every_ns=2 * MILLISECOND)) as venue:
        deltas: list[int] = []

        def until(status: Status) -> bool:
            if not struck and status.markets.known == 4 and status.rows.get("delta", 0) > 300:
                struck.append(next(pid for pid in shards() if pid not in earlier))
                os.kill(struck[0], blow)
            if status.shards_lost and status.markets.known == 4:
                deltas.append(status.rows["delta"])
            return bool(deltas) and deltas[-1] > deltas[0] + 300

        try:
            ended = record(venue.plan("s", shards=2, lost_s=LOST_S), store, until)
        finally:
            for pid in struck:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert ended.why == "stopped" and ended.status.shards_lost == 1 and ended.status.gaps == {"recorder": 1}
    session = store.open("s")
    counts = check(session, venue)
    (gap,) = rows_in(session)[rows_in(session)["kind"] == Kind.GAP]
    assert gap["market"] == -1 and int(gap["sid"]) // SIDS in (1, 2) and counts["stretches"] == 4 + 2


def test_a_shard_that_hangs_at_the_end_does_not_hold_up_the_session(tmp_path: Path) -> None:
    store, earlier = open_store(str(tmp_path / "store")), shards()
    struck: list[int] = []
    with Venue(tmp_path, flow_of(3, None, every_ns=2 * MILLISECOND)) as venue:

        def until(status: Status) -> bool:
            if not struck and status.markets.known == 4 and status.rows.get("delta", 0) > 300:
                struck.append(next(pid for pid in shards() if pid not in earlier))
                os.kill(struck[0], signal.SIGSTOP)
            return bool(struck)

        try:
            ended = record(venue.plan("s", shards=2, lost_s=LOST_S), store, until)
        finally:
            for pid in struck:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert ended.status.shards_lost == 1 and ended.status.gaps == {"recorder": 1}
    check(store.open("s"), venue)


@pytest.mark.slow
def test_without_faults_two_shards_miss_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path, flow_of(4, 1_000), waits=True) as venue:
        record(venue.plan("s", shards=2), store, venue.is_quiet)
    check(store.open("s"), venue)
    check_whole(store.open("s"), venue)


def test_more_shards_than_processors_are_refused_before_anything_begins(tmp_path: Path) -> None:
    """Ray would wait for the processors for ever."""
    store = open_store(str(tmp_path / "store"))
    said = pytest.raises(UsageError, match=r"64 shards take a CPU each, and Ray has \d+\. Give fewer --shards")
    with Venue(tmp_path, flow_of(1, 10)) as venue, said:
        record(venue.plan("s", shards=64), store, venue.is_quiet)
    assert store.ids() == []
