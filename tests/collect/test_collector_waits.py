"""A store that is down and a disk that is full: recording goes on as long as it can, waits, and loses nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kalshi_ray.collect.status import Status
from kalshi_ray.core.units import MILLISECOND
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.errors import DataError
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from tests.collect.judging import check, check_whole, rows_in
from tests.collect.process import Collecting
from tests.collect.venue import Steps, Venue, flow_of, record
from tests.data.stores import MovableFolder

PARTS = {"part_s": 0.2, "part_rows": 1_000}
SOON_S = 2  # until a database that is away is told to be


@pytest.fixture(params=["folder", "postgres"])
def movable(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """A store, and how to take it away and bring it back."""
    if request.param == "folder":
        folder = MovableFolder(tmp_path / "store")
        yield str(folder.path), folder.take, folder.bring
        return
    postgres = pytest.importorskip("tests.data.postgres", reason="needs a PostgreSQL that the tests can start")
    server = postgres.server()
    yield postgres.fresh_url(connect_timeout=SOON_S), server.kill, server.start
    server.start()


Movable = tuple[str, Callable[[], Any], Callable[[], Any]]


def test_while_the_store_is_down_recording_goes_on_and_later_everything_is_there(
    tmp_path: Path, movable: Movable
) -> None:
    url, take, bring = movable
    store, seen = open_store(url), list[Status]()

    def goes_on(status: Status) -> bool:
        during = [one for one in seen if one.store_problem]
        return len(during) > 1 and status.total_rows > during[0].total_rows and status.segments >= 2

    with Venue(tmp_path, flow_of(5, None, every_ns=2 * MILLISECOND), waits=True) as venue:
        steps = Steps(
            (lambda status: status.parts >= 1, take),
            (goes_on, bring),
            (lambda status: not status.store_problem, venue.end_flow),
            (lambda status: not status.segments, lambda: None),
        )
        ended = record(venue.plan("s", **PARTS), store, lambda status: steps(status) and venue.is_quiet(status), seen)
    session = store.open("s")
    check(session, venue)
    check_whole(session, venue)
    assert ended.status.total_rows == session.manifest.updates and len(session.parts) >= 4
    assert not ended.status.store_problem


@pytest.mark.parametrize("movable", ["postgres", pytest.param("folder", marks=pytest.mark.slow)], indirect=True)
def test_stopped_while_the_store_is_down_it_says_so_and_the_same_command_finishes_later(
    tmp_path: Path, movable: Movable
) -> None:
    url, take, bring = movable
    with Venue(tmp_path, flow_of(6, None, every_ns=2 * MILLISECOND)) as venue:
        with Collecting(venue, url, collect__finish_s=0.5, collect__part_s=0.2) as collecting:
            collecting.until(lambda line: line["parts"] >= 1)
            take()
            collecting.until(lambda line: bool(line["store_problem"]) and line["segments_waiting"] >= 1)
            ending = collecting.stop()
        said = ending.said.splitlines()[-1]
        assert ending.code == 1 and said.startswith("error: ") and "the same command goes on with it" in said
        bring()
        store = open_store(url)
        ended = record(venue.plan("s", **PARTS), store, lambda status: status.rows.get("delta", 0) > 50)
    assert ended.status.is_resumed
    session = store.open("s")
    check(session, venue)
    assert len(rows_in(session)) >= collecting.lines[-1]["rows"] + ended.status.total_rows


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """A disk whose room is given and taken."""
    has_room = True
    write = os.pwritev

    def write_if_there_is_room(number: int, buffers: Sequence[Any], position: int) -> int:
        if has_room:
            return write(number, buffers, position)
        half = bytes(buffers[0])[: len(buffers[0]) // 2]
        write(number, [half], position)
        raise OSError(errno.ENOSPC, "No space left on device")

    def give(room: bool) -> None:
        nonlocal has_room
        has_room = room

    monkeypatch.setattr(os, "pwritev", write_if_there_is_room)
    yield give


@pytest.mark.parametrize("drops", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["patient", "drops us"])
def test_a_full_disk_makes_the_exchange_wait_and_nothing_is_lost_that_it_did_not_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drops: bool
) -> None:
    store, seen = open_store(str(tmp_path / "store")), list[Status]()
    flow, least = flow_of(7, None, every_ns=MILLISECOND // 8), 100_000 if drops else 12_000
    stream = StreamSettings(buffered_frames=2_000) if drops else None
    with full_disk(monkeypatch) as give, Venue(tmp_path, flow, waits=True, stream=stream) as venue:
        steps = Steps(
            (lambda status: status.rows.get("delta", 0) > 100, lambda: give(False)),
            (lambda status: bool(status.disk_problem) and venue.happened > least, venue.end_flow),
            (lambda status: venue.is_over, lambda: give(True)),
            (lambda status: not status.disk_problem, lambda: None),
        )
        plan = venue.plan("s", most_pending_mb=1)
        ended = record(plan, store, lambda status: steps(status) and venue.is_quiet(status), seen)
    session = store.open("s")
    counts = check(session, venue)
    assert bool(counts["GAP"]) == drops
    if not drops:
        check_whole(session, venue)
    assert max(status.pending_bytes for status in seen) <= ended.status.most_pending_bytes
    assert "no space left" in next(status.disk_problem for status in seen if status.disk_problem)


def test_stopped_while_the_disk_is_full_it_says_so_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: SessionStore = open_store(str(tmp_path / "store"))
    with full_disk(monkeypatch) as give, Venue(tmp_path, flow_of(8, None), waits=True) as venue:
        steps = Steps(
            (lambda status: status.rows.get("delta", 0) > 100, lambda: give(False)),
            (lambda status: bool(status.disk_problem), lambda: None),
        )
        with pytest.raises(DataError, match=r"no space left.*the same command goes on with it"):
            record(venue.plan("s", finish_s=0.5), store, steps)
        give(True)
        venue.end_flow()
        ended = record(venue.plan("s"), store, venue.is_quiet)
    assert ended.status.is_resumed
    check(store.open("s"), venue)
