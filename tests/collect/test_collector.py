"""A collector beside a simulated exchange, over real sockets: what it recorded is what was."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.data.store import open_store
from tests.collect.judging import check, check_stretches, check_whole, course_of, raw_frames, rows_in
from tests.collect.venue import Venue, flow_of, plan_of, record, recording

AT_ONCE = 6  # collectors


def test_without_faults_every_change_and_every_print_is_there_once_and_the_totals_are_exact(tmp_path: Path) -> None:
    store, seen = open_store(str(tmp_path / "store")), list[Status]()
    with Venue(tmp_path, flow_of(1, 1_500, pauses=0.01), waits=True) as venue:
        ended = record(venue.plan("s"), store, venue.is_quiet, seen)
    session = store.open("s")
    counts = check(session, venue)
    check_whole(session, venue)
    assert ended.why == "stopped" and counts["changes in stretches"] > 600 and counts["prints in stretches"] > 150
    final = ended.status
    assert final.is_final and final.total_rows == len(rows_in(session)) == session.manifest.updates
    assert final.rows == {name.lower(): counts[name] for name in counts if name.lower() in final.rows}
    assert final.total_frames == raw_frames(session)
    assert final.gaps == {} and final.markets.known == len(venue.tickers)
    assert not (tmp_path / "spool" / "s").exists()
    assert max(status.pending_bytes for status in seen) <= seen[0].most_pending_bytes
    check_the_judge(rows_in(session), venue)


def check_the_judge(rows: NDArray[Any], venue: Venue) -> None:
    """What judges sees a single change or print that is missing, or wrong by a lot."""
    for kind in (Kind.DELTA, Kind.TRADE):
        own = np.flatnonzero((rows["market"] == 0) & (rows["kind"] == kind))
        damaged = rows.copy()
        damaged["size"][own[len(own) // 2]] += 1
        for one in (np.delete(rows, own[len(own) // 2]), damaged):
            with pytest.raises(AssertionError, match="are not those of the exchange"):
                check_stretches(venue.tickers[0], course_of(one, 0).stretches, venue.exchange.truths[venue.tickers[0]])


async def under_faults(folder: Path, seed: int) -> Counter[str]:
    """Record under one plan until the flow is over and every book is known again; judge what came of it."""
    folder.mkdir()
    store = open_store(str(folder / "store"))
    flow = flow_of(seed, 700, every_ns=2 * MILLISECOND, pauses=0.01)
    with Venue(folder, flow, faults=plan_of(seed), waits=True) as venue:
        ended = await recording(venue.plan("s"), store, venue.is_quiet)
    assert ended.why == "stopped", f"seed {seed}"
    counts = check(store.open("s"), venue)
    final = ended.status
    assert final.total_rows == store.open("s").manifest.updates and final.total_frames == raw_frames(store.open("s"))
    return counts + Counter(reconnects=final.reconnects)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 212), marks=pytest.mark.slow)], ids=["12", "200"])
def test_whatever_goes_wrong_known_books_are_true_and_each_loss_is_a_gap(tmp_path: Path, seeds: range) -> None:
    async def some(these: range) -> list[Counter[str]]:
        return await asyncio.gather(*(under_faults(tmp_path / str(seed), seed) for seed in these))

    seen: Counter[str] = Counter()
    each = {"GAP": 3, "reconnects": 1 / 3, "changes in stretches": 150, "prints in stretches": 30}
    least = {name: count * len(seeds) for name, count in each.items()}
    # The exchange does not wait for who has lost a book: where that takes long, more plans are needed for as much.
    for first in range(seeds.start, seeds.start + 5 * len(seeds), AT_ONCE):
        if first >= seeds.stop and all(seen[name] > count for name, count in least.items()):
            break
        seen += sum(asyncio.run(some(range(first, first + AT_ONCE))), Counter())
    assert all(seen[name] > count for name, count in least.items()), seen
