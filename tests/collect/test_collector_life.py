"""Markets that come, change and go while they are recorded, values from outside, strange frames and clocks."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.ports import free_port, socket_folder
from kalshi_ray.collect.choice import Looked
from kalshi_ray.collect.collector import shard
from kalshi_ray.collect.collector.listing import ExchangeListing
from kalshi_ray.collect.market_facts import listed_market
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.collect.status import Status
from kalshi_ray.core.tape import Kind
from kalshi_ray.core.tape import Status as MarketStatus
from kalshi_ray.core.units import CENT, DOLLAR, SECOND
from kalshi_ray.data.store import open_store
from kalshi_ray.wire.messages import MarketChange
from tests.collect.judging import check, raw_frames, rows_in
from tests.collect.venue import PATIENCE_S, Steps, Venue, endless, record


def test_markets_join_change_and_settle_while_they_are_recorded(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    tenths = ((0, DOLLAR, CENT // 10),)
    at_ns: dict[str, int] = {}
    with Venue(tmp_path, endless()) as venue:
        t1, t2, t3, _ = venue.tickers
        close_ns = (time.time_ns() // SECOND + 5_000) * SECOND

        def change() -> None:
            exchange = venue.exchange
            at_ns["change"] = time.time_ns()
            venue.do(lambda now: exchange.set_status(t1, MarketStatus.INACTIVE, now))
            venue.do(lambda now: exchange.set_status(t1, MarketStatus.ACTIVE, now))
            venue.do(lambda now: exchange.apply_flow(MarketChange(ticker=t2, change="x", close_ns=close_ns), now))
            venue.do(lambda now: exchange.apply_flow(MarketChange(ticker=t2, change="x", ranges=tenths), now))
            venue.do(lambda now: exchange.settle_at(t3, DOLLAR, now))
            venue.do(lambda now: venue.open_market("KXA-26-T9"))

        steps = Steps(
            (lambda status: status.markets.known == 4 and status.rows.get("delta", 0) > 100, change),
            (lambda status: status.markets.settled == 1 and status.markets.known == 4, lambda: None),
        )
        universe = UniverseSettings(discover=True, rediscover_s=0.3, refresh_s=1.0)
        ended = record(venue.plan("s", universe=universe), store, steps)
    session = store.open("s")
    check(session, venue)
    rows, tickers = rows_in(session), session.tickers()
    assert tickers[4:] == ["KXA-26-T9"] and ended.status.markets.settled == 1

    def told(ticker: str, kind: Kind, column: str = "size") -> list[int]:
        chosen = rows[(rows["market"] == tickers.index(ticker)) & (rows["kind"] == kind)]
        assert (chosen["recv_ns"] > at_ns["change"]).all()
        return [int(value) for value in chosen[column]]

    assert told(t1, Kind.STATUS) == [MarketStatus.INACTIVE, MarketStatus.ACTIVE]
    assert told(t2, Kind.SCHEDULE) == [close_ns] and told(t2, Kind.GRID) == [0]
    assert session.manifest.grids == [[list(band) for band in tenths]]
    assert told(t3, Kind.SETTLEMENT, "price") == [DOLLAR]
    joined = rows[rows["market"] == 4]
    assert len(joined) and joined["recv_ns"].min() > at_ns["change"]


def test_a_result_of_rest_is_told_before_the_market_leaves_whatever_the_stream_says_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    refresh, words = ExchangeListing.refresh, ["still to come"]
    with Venue(tmp_path, endless()) as venue:
        ticker = venue.tickers[2]

        def settle_unheard(now: int) -> None:
            venue.exchange.settle_at(ticker, DOLLAR, now)
            venue.exchange.drain()  # what the stream would have said of it

        def say(now: int) -> None:
            body = b'{"market_ticker":"%b","event_type":"metadata_updated"}' % ticker.encode()
            for session in venue.surface.stream.sessions:
                session._out += [b'{"type":"market_lifecycle_v2","sid":1,"msg":%b}' % body]

        async def crossed(self: ExchangeListing, tickers: Sequence[str]) -> Looked:
            looked = await refresh(self, tickers)
            if words and any(market.value is not None for market in map(listed_market, looked.markets)):
                words.clear()
                venue.do(say)
                await asyncio.sleep(0.3)  # until it is heard
            return looked

        monkeypatch.setattr(ExchangeListing, "refresh", crossed)
        steps = Steps(
            (lambda status: status.markets.known == 4, lambda: venue.do(settle_unheard)),
            (lambda status: status.markets.settled == 1, lambda: None),
        )
        record(venue.plan("s", universe=UniverseSettings(discover=True, refresh_s=0.3)), store, steps)
    session = store.open("s")
    rows = rows_in(session)
    (result,) = rows[rows["kind"] == Kind.SETTLEMENT]
    assert not words and (session.tickers()[result["market"]], result["price"]) == (ticker, DOLLAR)


def test_a_market_that_has_settled_before_it_joins_brings_its_result(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Venue(tmp_path) as venue:
        venue.do(lambda now: venue.exchange.settle_at(venue.tickers[2], 0, now))
        record(venue.plan("s"), store, lambda status: status.markets.settled == 1 and status.markets.known == 3)
    session = store.open("s")
    check(session, venue)
    rows = rows_in(session)
    (result,) = rows[rows["kind"] == Kind.SETTLEMENT]
    assert (session.tickers()[result["market"]], result["price"]) == (venue.tickers[2], 0)


def test_signals_become_rows_with_the_time_of_their_receipt_and_metrics_say_what_the_status_does(
    tmp_path: Path,
) -> None:
    store, port = open_store(str(tmp_path / "store")), free_port()
    path, tail = socket_folder("kalshi-ray-signals-") / "signals.sock", tmp_path / "signals.jsonl"
    answers: list[dict[str, object]] = []
    scraped: list[str] = []
    tail.touch()
    with Venue(tmp_path, endless()) as venue:

        def send() -> None:
            lines = [{"signal": "rain", "value": 0.25, "ticker": venue.tickers[1]}, {"signal": "rain", "value": "x"}]
            with socket.socket(socket.AF_UNIX) as line, line.makefile("rw") as file:
                line.connect(str(path))
                for said in lines:
                    file.write(json.dumps(said) + "\n")
                    file.flush()
                    answers.append(json.loads(file.readline()))
            with tail.open("a") as file:
                file.write('{"signal": "wind", "value": -3}\n')

        def scrape() -> None:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
                scraped.append(answer.read().decode())

        steps = Steps(
            (lambda status: status.markets.known == 4, send),
            (lambda status: status.signals == 2, lambda: None),  # which is told to who scrapes after this
            (lambda status: status.signals == 2, scrape),
        )
        before, seen = time.time_ns(), list[Status]()
        plan = venue.plan("s", signal_socket=str(path), signal_file=str(tail), metrics_port=port)
        ended = record(plan, store, steps, seen)
        after = time.time_ns()
    assert answers[0]["ok"] and not answers[1]["ok"] and not path.exists()
    path.parent.rmdir()
    session = store.open("s")
    check(session, venue)
    rows = rows_in(session)
    signals = rows[rows["kind"] == Kind.SIGNAL]
    assert session.manifest.signals == ["rain", "wind"]
    assert signals[["market", "price", "size"]].tolist() == [(1, 0, 250_000), (-1, 1, -3_000_000)]
    assert signals["recv_ns"][0] == answers[0]["recv_ns"] and (signals["recv_ns"] > before).all()
    assert (signals["recv_ns"] < after).all() and (ended.status.signals, ended.status.signals_refused) == (2, 1)
    check_metrics(scraped[0], seen)


def check_metrics(scraped: str, seen: list[Status]) -> None:
    """What was scraped is one of the statuses."""
    samples = [one for family in text_string_to_metric_families(scraped) for one in family.samples]
    found = {(one.name.removeprefix("kalshi_ray_collect_"), *one.labels.values()): one.value for one in samples}
    (status,) = [one for one in seen if one.at_ns / SECOND == found["status_timestamp_seconds",]]
    assert {kind: found["rows_total", kind] for kind in status.rows} == status.rows
    assert {name: found["frames_total", name] for name in status.frames} == status.frames
    assert found["signals_total", "taken"] == 2 and found["signals_total", "refused"] == 1
    assert found["books_known",] == 4 and found["connections_up",] == status.connections_up


def test_a_frame_of_a_type_never_seen_is_kept_counted_and_shown(tmp_path: Path) -> None:
    store, seen = open_store(str(tmp_path / "store")), list[Status]()
    with Venue(tmp_path, endless()) as venue:

        def say() -> None:
            for session in venue.surface.stream.sessions:
                session._out += [b'{"type":"moon_phase","sid":1,"msg":{"phase":0.5}}', b"{no json"]

        steps = Steps(
            (lambda status: status.markets.known == 4, lambda: venue.do(lambda now: say())),
            (lambda status: status.unknown_frames.get("moon_phase") == 2 and status.broken_frames == 2, lambda: None),
        )
        ended = record(venue.plan("s"), store, steps, seen)
    session = store.open("s")
    check(session, venue)
    assert ended.status.total_frames == raw_frames(session)
    raw = [line for name in session.raw_parts for line in session_lines(session.raw_part(name))]
    assert Counter(b"moon_phase" in line for line in raw)[True] == 2
    told = [what for status in seen for what in status.happenings]
    assert any("unknown type" in what for what in told) and any("cannot be read" in what for what in told)


def session_lines(content: bytes) -> list[bytes]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        return bytes(stream.read()).splitlines()


@pytest.mark.parametrize("jump_s", [-3_600, 3_600])
def test_a_clock_that_jumps_is_told_and_times_never_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    store, off_s, seen = open_store(str(tmp_path / "store")), [0], list[Status]()

    def wall() -> int:
        return time.time_ns() + off_s[0] * SECOND

    monkeypatch.setattr(shard, "time", SimpleNamespace(time_ns=wall, monotonic_ns=time.monotonic_ns))
    with Venue(tmp_path, endless()) as venue:
        steps = Steps(
            (lambda status: status.markets.known == 4, lambda: off_s.__setitem__(0, jump_s)),
            (lambda status: status.clock_jumps == 1 and status.rows.get("delta", 0) > 200, lambda: None),
        )
        record(venue.plan("s"), store, steps, seen)
    session = store.open("s")
    rows = rows_in(session)
    assert (rows["recv_ns"][1:] >= rows["recv_ns"][:-1]).all()
    assert any("jumped" in what for status in seen for what in status.happenings)
