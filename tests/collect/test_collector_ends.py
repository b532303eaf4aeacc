"""How a collector ends: by a signal, its duration, its last market; and what stops it before it begins."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_ray.collect.collector.run import Ended, run
from kalshi_ray.collect.recorder import BookLine
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.units import DOLLAR, MILLISECOND
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.errors import AuthenticationFailed, ConfigError, KalshiRayError, NothingToDo, SessionBusy, UsageError
from kalshi_ray.exchange.settings import ExchangeSettings
from tests.collect.judging import check, check_whole, raw_frames, rows_in
from tests.collect.venue import Venue, endless, flow_of, record, recording


def check_counts(ended: Ended, store: SessionStore, venue: Venue) -> None:
    """The last status says exactly what is stored."""
    session, final = store.open("s"), ended.status
    counts = check(session, venue)
    assert final.is_final and final.total_rows == session.manifest.updates == final.stored_rows
    assert final.rows == {kind.name.lower(): counts[kind.name] for kind in Kind if counts[kind.name]}
    assert final.total_frames == raw_frames(session)
    assert final.segments == final.pending_bytes == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_session_with_exact_counts(tmp_path: Path, number: signal.Signals) -> None:
    store, sent = open_store(str(tmp_path / "store")), list[Status]()
    with Venue(tmp_path, endless()) as venue:

        def tell(status: Status) -> None:
            if status.markets.known == len(venue.tickers) and not sent:
                sent.append(status)  # a second one would end this process, however long the end of the session takes
                os.kill(os.getpid(), number)

        handler = signal.getsignal(number)
        ended = run(venue.plan("s"), store, tell)
    assert ended.why == "stopped" and signal.getsignal(number) is handler
    check_counts(ended, store, venue)


def test_the_duration_finishes_the_session(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path, endless()) as venue:
        ended = record(venue.plan("s", duration_s=0.7), store, lambda status: False)
    assert ended.why == "the duration is over" and ended.status.running_s >= 0.7
    check_counts(ended, store, venue)


def test_the_last_market_that_settles_finishes_the_session_and_every_result_is_recorded(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path, endless()) as venue:
        values = dict(zip(venue.tickers, (0, DOLLAR, DOLLAR // 4, 0)))

        def settle(status: Status) -> bool:
            for ticker, value in values.items():
                if status.markets.known and venue.exchange.markets_by_ticker[ticker].value is None:
                    venue.do(lambda now, ticker=ticker, value=value: venue.exchange.settle_at(ticker, value, now))
            return False

        ended = record(venue.plan("s"), store, settle)
    assert ended.why == "every market has left" and ended.status.markets.settled == len(values)
    check_counts(ended, store, venue)
    session = store.open("s")
    rows = rows_in(session)
    results = rows[rows["kind"] == Kind.SETTLEMENT]
    assert dict(zip([session.tickers()[market] for market in results["market"]], results["price"].tolist())) == values


def test_what_cannot_be_recorded_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path) as venue:
        stranger = {"rest_url": venue.server.rest, "key_id": "nobody", "private_key_file": str(tmp_path / "key.pem")}
        keyless = ExchangeSettings(rest_url=venue.server.rest, ready_file=str(tmp_path / "none"))
        plans: list[tuple[object, type[KalshiRayError], str]] = [
            (msgspec.structs.replace(venue.plan("s"), exchange=keyless), ConfigError, "recording needs a key"),
            (venue.plan("s", universe=UniverseSettings(tickers=("KXA-26-T9",))), UsageError, "KXA-26-T1"),
            (venue.plan("s", universe=UniverseSettings(discover=True, status="settled")), NothingToDo, "dropped"),
            (venue.plan("s", exchange=stranger), AuthenticationFailed, "key"),
            (venue.plan("s", signal_socket=str(tmp_path)), UsageError, "no socket"),
        ]
        for plan, kind, words in plans:
            with pytest.raises(kind, match=words):
                record(plan, store, lambda status: False)  # type: ignore[arg-type]
            assert store.ids() == [] and not (tmp_path / "spool" / "s").exists()


def test_only_an_unfinished_session_that_was_collected_is_gone_on_with(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with store.writer("synthetic", manifest=Manifest(id="synthetic", source="synthetic")):
        pass  # which leaves it unfinished
    with Venue(tmp_path) as venue:
        record(venue.plan("s"), store, lambda status: True)
        finished = store.open("s").checksum
        for session, words in (("s", "finished"), ("synthetic", "source")):
            with pytest.raises(UsageError, match=words):
                record(venue.plan(session), store, lambda status: True)
    assert store.open("s").checksum == finished
    assert not (tmp_path / "spool" / "synthetic").exists()


def test_a_second_collector_of_a_session_refuses_and_the_first_is_undisturbed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    async def both(venue: Venue) -> Ended:
        is_there = asyncio.Event()

        def until(status: Status) -> bool:
            if status.markets.known == len(venue.tickers):
                is_there.set()
            return venue.is_quiet(status)

        first = asyncio.create_task(recording(venue.plan("s"), store, until))
        await is_there.wait()
        for spool in ("spool", "another"):
            plan = venue.plan("s", spool=str(tmp_path / spool))
            with pytest.raises(SessionBusy, match=f"process {os.getpid()}"):
                await recording(plan, store, lambda status: False)
        return await first

    with Venue(tmp_path, flow_of(4, 700), waits=True) as venue:
        ended = asyncio.run(both(venue))
    check_counts(ended, store, venue)
    check_whole(store.open("s"), venue)
    assert not (tmp_path / "another").exists()


def test_a_fault_of_ours_on_a_connection_ends_the_recording_with_its_name_and_it_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path, flow_of(3, 2_000, every_ns=MILLISECOND)) as venue:
        with monkeypatch.context() as patched:
            reads, left = BookLine._read, [4]

            def failing(line: BookLine, *frames: Any) -> list[int]:
                left[0] -= 1
                if left[0] < 0:
                    raise RuntimeError("planted")
                return reads(line, *frames)

            patched.setattr(BookLine, "_read", failing)
            with pytest.raises(RuntimeError, match="planted"):
                record(venue.plan("s"), store, venue.is_quiet)
        ended = record(venue.plan("s"), store, venue.is_quiet)
    assert ended.status.is_resumed
    check(store.open("s"), venue)
