"""Collectors and exchanges that are killed at any moment: the session goes on, and what is missing is a gap."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.data.store import open_store
from tests.collect.judging import check, raw_frames, rows_in
from tests.collect.process import Collecting, store_in
from tests.collect.venue import Venue, flow_of

EVERY_NS = 4_000_000
CHANGES = 50  # that each life records before it ends


def killed(folder: Path, seed: int, kills: int, *, venue_too: bool) -> None:
    """A collector that is killed again and again, and begun again with the same command."""
    chance, rows, frames = random.Random(seed), 0, 0
    flow = flow_of(seed, None, every_ns=EVERY_NS, pauses=0.005)
    settings = {"collect__part_s": chance.choice((0.3, 1.0, 600.0)), "collect__part_rows": 1_000}
    with Venue(folder, flow, waits=True) as venue:
        for life in range(kills):
            with Collecting(venue, store_in(folder), **settings) as collecting:
                first = collecting.until_known(len(venue.tickers))
                assert first["resumed"] == (life > 0)
                collecting.until(lambda line: line["rows_by"].get("delta", 0) > CHANGES)
                if venue_too and chance.random() < 0.7:
                    time.sleep(chance.uniform(0.0, 0.3))
                    venue.crash()
                    time.sleep(chance.uniform(0.0, 0.5))
                    venue.open()
                time.sleep(chance.uniform(0.0, 1.0))
                collecting.kill()
            rows, frames = rows + collecting.lines[-1]["rows"], frames + collecting.lines[-1]["frames"]
        with Collecting(venue, store_in(folder), **settings) as collecting:
            collecting.until_known(len(venue.tickers))
            collecting.until(lambda line: line["rows_by"].get("delta", 0) > CHANGES)
            venue.end_flow()
            collecting.until_quiet(venue)
            ending = collecting.stop()
    assert ending.code == 0, ending.said
    session = open_store(store_in(folder)).open("s")
    counts = check(session, venue)
    stored = rows_in(session)
    assert len(stored) >= rows + collecting.lines[-1]["rows"], "what was told to be recorded is there"
    assert raw_frames(session) >= frames + collecting.lines[-1]["frames"]
    gaps = stored[(stored["kind"] == Kind.GAP) & (stored["market"] == -1) & (stored["sid"] == 0)]
    assert len(gaps) == kills and set(gaps["size"].tolist()) == {GapCause.RECORDER}
    assert counts["changes in stretches"] > CHANGES * kills
    assert not (folder / "spool" / "s").exists()


def test_a_collector_that_is_killed_goes_on_with_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    killed(tmp_path, seed=1, kills=3, venue_too=False)


def test_a_collector_and_its_exchange_are_killed(tmp_path: Path) -> None:
    killed(tmp_path, seed=2, kills=2, venue_too=True)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(10, 20))
def test_they_are_killed_at_forty_moments(tmp_path: Path, seed: int) -> None:
    killed(tmp_path, seed=seed, kills=4, venue_too=seed % 2 == 0)
