"""Figures for Prometheus: every one of the status, served on loopback as long as the collector runs."""

from __future__ import annotations

import socket
import threading
import urllib.request

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bench.ports import free_port
from kalshi_ray.collect.collector.metrics import PREFIX, families_of, resident_bytes, serving_metrics
from kalshi_ray.collect.status import Markets, Status
from kalshi_ray.collect.tallies import LAG_BOUNDS_S, Lags
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError

T0 = 1_700_000_000 * SECOND
STATUS = Status(
    session="live", store="./data", environment="simulated", at_ns=T0 + 100 * SECOND, started_ns=T0,
    markets=Markets(recorded=12, known=9, closed=2, joining=3, settled=4, left=1),
    frames={"market": 500, "lifecycle": 7}, frame_ns=T0 + 98 * SECOND,
    rows={"delta": 400, "trade": 20}, gaps={"reconnect": 2}, unknown_frames={"weather": 3},
    lags=Lags(counts=tuple(range(len(LAG_BOUNDS_S) + 1)), total_ns=5 * SECOND),
    signals=8, signals_refused=1, pending_bytes=10, most_pending_bytes=64, synced_ns=T0 + 99 * SECOND,
    spool_bytes=1_000, segments=2, parts=5, store_problem="connection refused", memory_bytes=1 << 20,
)  # fmt: skip


@pytest.fixture
def port() -> int:
    """One that is free."""
    return free_port()


def scraped(port: int) -> dict[str, float]:
    """Samples by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        sample.name.removeprefix(PREFIX)
        + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_says_what_the_status_says(port: int) -> None:
    with serving_metrics(port) as tell:
        assert scraped(port) == {}, "nothing is made up before the first status"
        tell(STATUS)
        found = scraped(port)
    expected = {
        "frames_total market": 500, "frames_total lifecycle": 7, "rows_total delta": 400, "gaps_total reconnect": 2,
        "gaps_total sequence": 0, "gaps_total recorder": 0, "gaps_total left": 0,
        "unknown_frames_total weather": 3, "signals_total taken": 8, "signals_total refused": 1,
        "markets open": 10, "markets closed": 2, "markets joining": 3, "markets settled": 4, "markets left": 1,
        "books_known": 9, "books_unknown": 1, "store_up": 0, "disk_up": 1, "parts_stored": 5, "segments_waiting": 2,
        "last_frame_timestamp_seconds": STATUS.frame_ns / SECOND, "status_timestamp_seconds": STATUS.at_ns / SECOND,
        "last_sync_timestamp_seconds": STATUS.synced_ns / SECOND, "start_time_seconds": T0 / SECOND,
        "lag_seconds_count": STATUS.lags.count, "lag_seconds_sum": 5, "lag_seconds_bucket 0.001": 6,
        "session_info simulated live ./data": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_what_never_happened_has_no_time(port: int) -> None:
    with serving_metrics(port) as tell:
        tell(msgspec.structs.replace(STATUS, frame_ns=0, synced_ns=0))
        assert not [name for name in scraped(port) if "last_" in name]


def test_a_scrape_always_shows_the_last_status(port: int) -> None:
    with serving_metrics(port) as tell:
        for parts in range(3):
            tell(msgspec.structs.replace(STATUS, parts=parts))
            assert scraped(port)["parts_stored"] == parts


def test_the_server_ends_with_the_collector_and_the_port_can_be_used_again(port: int) -> None:
    for _ in range(2):
        with serving_metrics(port) as tell:
            tell(STATUS)
            assert scraped(port)
        with pytest.raises(OSError):
            scraped(port)
    assert not [thread for thread in threading.enumerate() if thread.name == "collect-metrics"]


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        said = rf"no metrics at 127\.0\.0\.1:{number}.*collect\.metrics_port"
        with pytest.raises(ConfigError, match=said), serving_metrics(number):
            pass


def test_without_a_port_nothing_is_served() -> None:
    before = threading.active_count()
    with serving_metrics(0) as tell:
        tell(STATUS)
        assert threading.active_count() == before


def test_every_figure_has_a_help_text_a_unit_and_no_global_registry() -> None:
    families = list(families_of(STATUS))
    assert all(family.documentation.endswith(".") and family.name.startswith(PREFIX) for family in families)
    assert len({family.name for family in families}) == len(families)
    registry = CollectorRegistry()
    assert not list(registry.collect())
    for family in families:
        if "age" in family.name or "time" in family.name or "lag" in family.name:
            assert family.name.endswith("_seconds")


def test_the_memory_of_this_process_is_known() -> None:
    assert 10_000_000 < resident_bytes() < 100_000_000_000
