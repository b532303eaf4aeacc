"""A collector's figures for Prometheus, on loopback: made from its status at every scrape, kept nowhere else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from kalshi_ray.collect.status import Status
from kalshi_ray.collect.tallies import CAUSES, LAG_BOUNDS_S
from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import ConfigError

HOST = "127.0.0.1"
PREFIX = "kalshi_ray_collect_"
STATM = Path("/proc/self/statm")

Number = Callable[[Status], float]
Labelled = Callable[[Status], Mapping[str, float]]

# Name without prefix and `_total`, what it is, and where it is in a status.
COUNTERS: tuple[tuple[str, str, Number], ...] = (
    ("reconnects", "Connections to the exchange that were lost and dialled again.", lambda s: s.reconnects),
    ("shards_lost", "Shards that died or fell silent and were started again.", lambda s: s.shards_lost),
    ("broken_frames", "Frames that could not be read; they are kept raw.", lambda s: s.broken_frames),
    ("clock_jumps", "Times that the clock of this machine was set.", lambda s: s.clock_jumps),
)
LABELLED_COUNTERS: tuple[tuple[str, str, str, Labelled], ...] = (
    ("frames", "Frames received, by what they came over.", "channel", lambda s: s.frames),
    ("rows", "Rows recorded, by kind.", "kind", lambda s: s.rows),
    # A cause stands there before it happens: the first one would be no increase otherwise.
    ("gaps", "Gap rows recorded, by cause.", "cause", lambda s: dict.fromkeys(CAUSES, 0) | dict(s.gaps)),
    ("unknown_frames", "Frames of types that are not read, by type; they are kept raw.", "type",
     lambda s: s.unknown_frames),
    ("signals", "External values, by what became of them.", "outcome",
     lambda s: {"taken": s.signals, "refused": s.signals_refused}),
)  # fmt: skip
GAUGES: tuple[tuple[str, str, Number], ...] = (
    ("books_known", "Recorded markets with a known book.", lambda s: s.markets.known),
    ("books_unknown", "Recorded open markets without a known book.", lambda s: s.markets.unknown),
    ("connections", "Connections to the exchange that there should be.", lambda s: s.connections),
    ("connections_up", "Connections to the exchange that there are.", lambda s: s.connections_up),
    ("pending_bytes", "Received and not on the disk yet.", lambda s: s.pending_bytes),
    ("pending_limit_bytes", "What may be pending before the exchange is made to wait.",
     lambda s: s.most_pending_bytes),
    ("spool_bytes", "On the disk and not in the store yet.", lambda s: s.spool_bytes),
    ("segments_waiting", "Sealed segments of the spool that are not in the store yet.", lambda s: s.segments),
    ("parts_stored", "Parts of the session in the store.", lambda s: s.parts),
    ("stored_rows", "Rows of the session in the store.", lambda s: s.stored_rows),
    ("stored_bytes", "Bytes of the session in the store.", lambda s: s.stored_bytes),
    ("store_up", "1 while the store takes what is sealed, 0 while it does not.", lambda s: not s.store_problem),
    ("disk_up", "1 while the disk takes what comes, 0 while it does not.", lambda s: not s.disk_problem),
    ("disk_free_bytes", "Left on the disk of the spool.", lambda s: s.disk_free_bytes),
    ("resident_memory_bytes", "Memory of the collector's process.", lambda s: s.memory_bytes),
    ("start_time_seconds", "When the collector started, since the epoch.", lambda s: s.started_ns / SECOND),
    ("status_timestamp_seconds", "When these figures were taken, since the epoch.", lambda s: s.at_ns / SECOND),
)  # fmt: skip
# Times rather than ages: an age would stand still with the collector that it tells of.
MOMENTS: tuple[tuple[str, str, Callable[[Status], int]], ...] = (
    ("last_frame_timestamp_seconds", "When a frame came last, since the epoch; absent before the first.",
     lambda s: s.frame_ns),
    ("last_sync_timestamp_seconds", "When what had come was safe on the disk, since the epoch; absent before that.",
     lambda s: s.synced_ns),
)  # fmt: skip


def families_of(status: Status) -> Iterator[Metric]:
    """All figures of a status."""
    where = {"session": status.session, "store": status.store, "environment": status.environment}
    yield InfoMetricFamily(PREFIX + "session", "What is recorded, and where to.", where)
    for name, what, number in COUNTERS:
        yield CounterMetricFamily(PREFIX + name, what, number(status))
    for name, what, label, counts in LABELLED_COUNTERS:
        counter = CounterMetricFamily(PREFIX + name, what, labels=[label])
        for value, count in counts(status).items():
            counter.add_metric([value], count)
        yield counter
    for name, what, number in GAUGES:
        yield GaugeMetricFamily(PREFIX + name, what, float(number(status)))
    for name, what, moment in MOMENTS:
        gauge = GaugeMetricFamily(PREFIX + name, what)
        if at_ns := moment(status):
            gauge.add_metric([], at_ns / SECOND)
        yield gauge
    yield _markets(status)
    yield _lags(status)


def _markets(status: Status) -> Metric:
    markets = status.markets
    gauge = GaugeMetricFamily(PREFIX + "markets", "Markets of the session, by how they stand.", labels=["state"])
    for state, count in (
        ("open", markets.recorded - markets.closed),
        ("closed", markets.closed),
        ("joining", markets.joining),
        ("settled", markets.settled),
        ("left", markets.left),
    ):
        gauge.add_metric([state], count)
    return gauge


def _lags(status: Status) -> Metric:
    counts, buckets, so_far = status.lags.counts, [], 0
    for bound, count in zip((*map(str, LAG_BOUNDS_S), "+Inf"), counts):
        so_far += count
        buckets.append((bound, so_far))
    what = "Receive time less exchange time of deltas and trades; below zero: this clock is behind."
    return HistogramMetricFamily(PREFIX + "lag_seconds", what, buckets, sum_value=status.lags.total_ns / SECOND)


class _Figures(Collector):
    """What a registry asks at every scrape: the status that was told last."""

    def __init__(self) -> None:
        self.status: Status | None = None

    def collect(self) -> Iterable[Metric]:
        return [] if self.status is None else list(families_of(self.status))


@contextlib.contextmanager
def serving_metrics(port: int) -> Iterator[Callable[[Status], None]]:
    """Serve http://127.0.0.1:<port>/metrics while the block runs; give each new status to what it yields. 0: no server.

    ConfigError where the port is taken.
    """
    figures = _Figures()

    def tell(status: Status) -> None:
        figures.status = status

    if not port:
        yield tell
        return
    registry = CollectorRegistry()
    registry.register(figures)
    try:
        server = make_server(HOST, port, make_wsgi_app(registry), WSGIServer, _Quiet)
    except OSError as problem:
        raise ConfigError(
            f"no metrics at {HOST}:{port}: {problem.strerror}", remedy="Choose another collect.metrics_port"
        ) from problem
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="collect-metrics")
    thread.start()
    try:
        yield tell
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    """Scrapes are not logged, and one that stalls is given up: the server has one thread."""

    timeout = 5.0

    def log_message(self, format: str, *args: object) -> None:
        return


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    import resource

    try:
        pages = int(STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()
