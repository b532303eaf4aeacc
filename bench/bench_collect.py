"""The collector over loopback, to disk: how much it takes in, what a frame costs, whether its memory stays as it is."""

from __future__ import annotations

from functools import cache

from bench.collecting import Collected, collect_flow, collect_session
from bench.figures import Figure, Measured
from kalshi_ray.data.synthetic import SynthSettings

RATE, BUSY_S = 55_000, 60.0
EASY_RATE, EASY_S = 10_000, 10.0
HOUR = SynthSettings(regime="calibrated", markets=1_000, hours=1.0, waves=1, seed=1)
SPEED, HOUR_S = 60, 46.0  # the collector and its connection are there a few minutes of the tape after its start


@cache
def _busy() -> Collected:
    return collect_flow(markets=100, rate=RATE, seconds=BUSY_S)


def sustained() -> Measured:
    """Frames a second of one connection over a minute, all of them on disk."""
    found = _busy()
    _check_whole(found)
    cost_us, lag_ms = found.cpu_s / found.frames * 1e6, found.status["lag_p99_s"] * 1e3
    note = f"{cost_us:.1f} µs of processor a frame, lag p99 {lag_ms:.0f} ms"
    return Measured(found.frames / found.seconds, note=note)


def _check_whole(found: Collected) -> None:
    gaps = {cause: count for cause, count in found.status["gaps_by"].items() if cause != "left"}
    if found.lost or gaps:
        raise RuntimeError(f"{found.lost:,} changes are missing, gaps: {gaps}")


def busy_memory() -> Measured:
    """Memory at the end of that minute over memory after the first part."""
    found = _busy()
    return Measured(found.growth, note=f"{max(found.memory) / 1e6:.0f} MB at most")


def cost(shards: int) -> Measured:
    """Processor time of a frame, over all processes."""
    found = collect_flow(markets=100, rate=EASY_RATE, seconds=EASY_S, shards=shards)
    return Measured(found.cpu_s / found.frames * 1e6, note=f"at {EASY_RATE:,} frames/s, {found.lost} lost")


@cache
def _hour() -> Collected:
    found = collect_session(HOUR, speed=SPEED, seconds=HOUR_S)
    _check_whole(found)
    return found


def hour_memory() -> Measured:
    """The same for 1,000 markets."""
    found = _hour()
    return Measured(found.growth, note=f"{max(found.memory) / 1e6:.0f} MB at most, {found.frames:,} frames")


def hour_bytes() -> Measured:
    """Bytes that an update takes in the session's parts."""
    found = _hour()
    return Measured(found.bytes_per_update, note=f"with raw frames {found.status['bytes_per_row']:.1f}")


FIGURES = [
    Figure(name="collector, one connection to disk for a minute", unit="frames/s", measure=sustained, floor=50e3),
    Figure(name="collector, memory at the end of the minute over that after a part", unit="×", measure=busy_memory,
           ceiling=1.1),
    Figure(name="collector, a frame, in one process", unit="µs", measure=lambda: cost(0)),
    Figure(name="collector, a frame, one shard", unit="µs", measure=lambda: cost(1)),
    Figure(name="collector, a frame, four shards", unit="µs", measure=lambda: cost(4)),
    Figure(name="collector, 1,000 markets, an hour at 60 times its pace: memory", unit="×", measure=hour_memory,
           ceiling=1.1),
    Figure(name="collector, 1,000 markets, an hour at 60 times its pace: an update", unit="bytes", measure=hour_bytes,
           ceiling=12),
]  # fmt: skip
