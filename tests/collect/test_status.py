"""What a collector says of itself: totals counted from blocks, rates of an interval, a JSON line, figures in words."""

from __future__ import annotations

import json
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.collect.block import DESK, Block
from kalshi_ray.collect.status import (
    GIGABYTE,
    Markets,
    Mood,
    Status,
    closing_line,
    duration_text,
    line_of,
    paced,
    problems_of,
    rate_text,
    sections_of,
    size_text,
    span_text,
)
from kalshi_ray.collect.tallies import LAG_BOUNDS_S, Lags, Tallies
from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import SECOND
from kalshi_ray.wire.rows import ROW

T0 = 1_700_000_000 * SECOND
EMPTY = Status(session="live", store="./data", at_ns=T0, started_ns=T0, disk_free_bytes=100 * GIGABYTE)


def later(seconds: float, **changes: object) -> Status:
    return msgspec.structs.replace(EMPTY, **({"at_ns": T0 + round(seconds * SECOND)} | changes))


def rows_of(*cells: tuple[Kind, int, int, int]) -> np.ndarray:
    """Rows of (kind, receive time, exchange time, size)."""
    rows = np.zeros(len(cells), ROW)
    for row, (kind, recv_ns, exch_ns, size) in zip(rows, cells):
        row["kind"], row["recv_ns"], row["exch_ns"], row["size"] = kind, recv_ns, exch_ns, size
    return rows


# -- tallies


def test_totals_are_counted_from_the_blocks() -> None:
    tallies = Tallies()
    rows = rows_of(
        (Kind.DELTA, T0 + 3_000_000, T0, 5), (Kind.DELTA, T0, 0, 5), (Kind.TRADE, T0, T0 + 9, 5),
        (Kind.SNAPSHOT_END, T0 + SECOND, T0, 0), (Kind.GAP, T0, 0, GapCause.RECONNECT), (Kind.GAP, T0, 0, 1),
    )  # fmt: skip
    tallies.count([Block(line=3, rows=rows, frames=4, raw_lines=6, until_ns=T0 + 7)])
    tallies.count([Block(line=DESK, rows=rows[:0], frames=2, until_ns=T0 + 5)])
    assert tallies.frames == {"market": 4, "lifecycle": 2}
    assert tallies.rows == {"snapshot_end": 1, "delta": 2, "trade": 1, "gap": 2}
    assert tallies.gaps == {"sequence": 1, "reconnect": 1}
    assert tallies.frame_ns == T0 + 7
    assert tallies.lags.count == 2, "those whose exchange time is known, and no snapshots"
    assert tallies.lags.total_ns == 3_000_000 - 9
    assert tallies.lags.counts[0] == 1 and tallies.lags.counts[LAG_BOUNDS_S.index(0.005)] == 1


@given(st.lists(st.integers(-(10**9), 100 * SECOND), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_bounds_of_the_true_one(lags: list[int], share: float) -> None:
    tallies = Tallies()
    tallies.count([Block(line=1, rows=rows_of(*((Kind.DELTA, T0 + lag, T0, 0) for lag in lags)))])
    true = sorted(lags)[max(0, int(np.ceil(share * len(lags))) - 1)] / SECOND
    found = tallies.lags.quantile_s(share)
    upper = next((bound for bound in LAG_BOUNDS_S if true <= bound), LAG_BOUNDS_S[-1])
    lower = max((bound for bound in LAG_BOUNDS_S if bound < true), default=0.0)
    assert found is not None and min(lower, LAG_BOUNDS_S[-1]) <= found <= upper + 1e-12


def test_there_is_no_quantile_of_nothing() -> None:
    assert Lags().quantile_s(0.5) is None


# -- rates


def test_rates_and_lags_are_those_of_the_interval() -> None:
    fast = (0, 0, 100) + (0,) * (len(LAG_BOUNDS_S) - 2)
    slow = (0, 0, 100) + (0,) * (len(LAG_BOUNDS_S) - 3) + (50,)
    before = later(10, frames={"market": 1_000}, rows={"delta": 500}, lags=Lags(counts=fast))
    after = later(15, frames={"market": 2_000}, rows={"delta": 550}, lags=Lags(counts=slow))
    assert (paced(after, before).frames_per_s, paced(after, before).rows_per_s) == (200.0, 10.0)
    assert paced(after, before).lag_p50_s == LAG_BOUNDS_S[-1], "of the fifty that came since"
    assert paced(before, None).frames_per_s == 100.0, "the first: since the start"
    assert paced(before, before).frames_per_s == 0.0


# -- the line


def test_the_line_of_a_status_is_json_with_exact_counts() -> None:
    status = later(
        3_600, is_final=True, frames={"market": 12, "lifecycle": 3}, rows={"delta": 10, "gap": 2},
        gaps={"reconnect": 2}, markets=Markets(recorded=5, known=3, closed=1), stored_rows=12, stored_bytes=96,
    )  # fmt: skip
    line = line_of(status)
    assert b"\n" not in line
    said = json.loads(line)
    assert (said["final"], said["frames"], said["rows"], said["gaps"]) == (True, 15, 12, 2)
    assert said["rows_by"] == {"delta": 10, "gap": 2}
    assert said["markets"]["unknown"] == 1 and said["bytes_per_row"] == 8.0
    assert said["last_frame_age_s"] is None and said["running_s"] == 3_600.0
    assert said["time"].startswith("2023-11-14T23:13:20")


def test_every_field_of_a_status_is_in_its_line() -> None:
    said = json.loads(line_of(EMPTY))
    renamed = {
        "at_ns": "time", "started_ns": "running_s", "is_resumed": "resumed", "is_final": "final", "lags": "lag_p99_s",
        "frame_ns": "last_frame_age_s", "synced_ns": "last_sync_age_s", "segments": "segments_waiting",
    }  # fmt: skip
    assert {renamed.get(name, name) for name in Status.__struct_fields__} <= said.keys()


# -- words


def moods(status: Status) -> dict[str, Mood]:
    return {figure.name: figure.mood for figures in sections_of(status).values() for figure in figures}


@pytest.mark.parametrize(
    ("name", "changes", "mood"),
    [
        ("store", {"store_problem": "connection refused"}, Mood.BAD),
        ("store", {}, Mood.GOOD),
        ("pending", {"pending_bytes": 60, "most_pending_bytes": 64}, Mood.WARN),
        ("pending", {"pending_bytes": 64, "most_pending_bytes": 64}, Mood.BAD),
        ("disk free", {"disk_free_bytes": 3 * GIGABYTE}, Mood.WARN),
        ("disk free", {"disk_free_bytes": GIGABYTE // 2}, Mood.BAD),
        ("disk free", {}, Mood.PLAIN),
        ("book unknown", {"markets": Markets(recorded=10, known=9)}, Mood.WARN),
        ("book unknown", {"markets": Markets(recorded=10, known=2)}, Mood.BAD),
        ("book unknown", {"markets": Markets(recorded=10, known=8, closed=2)}, Mood.PLAIN),
        ("last frame", {"frame_ns": T0 + 50 * SECOND}, Mood.WARN),
        ("last frame", {"frame_ns": T0 + 99 * SECOND}, Mood.PLAIN),
        ("clock jumps", {"clock_jumps": 1}, Mood.WARN),
        ("strange frames", {"unknown_frames": {"weather": 2}}, Mood.WARN),
        ("gaps", {"gaps": {"reconnect": 1}}, Mood.WARN),
        ("lag p50 · p99", {"lag_p50_s": 0.01, "lag_p99_s": 3.0}, Mood.WARN),
        ("lag p50 · p99", {"lag_p50_s": 0.0, "lag_p99_s": 0.1}, Mood.WARN),
        ("connections", {"connections": 2, "connections_up": 1}, Mood.WARN),
    ],
)
def test_what_a_person_should_look_at_stands_out(name: str, changes: dict[str, object], mood: Mood) -> None:
    assert moods(later(100, **changes))[name] is mood


def test_problems_are_told_in_words() -> None:
    status = later(1, store_problem="connection refused", disk_problem="no space", unknown_frames={"weather": 3})
    assert problems_of(status) == [
        (Mood.BAD, "the store takes nothing: connection refused"),
        (Mood.BAD, "the disk takes nothing: no space"),
        (Mood.WARN, "frames of unknown types, kept raw: weather (3)"),
    ]
    assert problems_of(EMPTY) == []


def test_the_closing_line_has_the_exact_counts() -> None:
    status = later(
        90_061, rows={"snapshot_level": 1_234_567, "delta": 8}, frames={"market": 99}, gaps={"reconnect": 2}, parts=3,
        markets=Markets(recorded=5, settled=2, left=1), stored_bytes=12_300_000,
    )  # fmt: skip
    assert closing_line(status) == (
        "live: 1,234,575 rows (snapshot level 1,234,567, delta 8) from 99 frames in 1 d 01:01:01; gaps: reconnect 2; "
        "markets: 8, 2 of them settled; 3 parts, 12.3 MB"
    )


def test_any_status_has_words() -> None:
    chance = random.Random(1)
    for _ in range(200):
        numbers = {
            name: chance.choice((0, 1, 10**6, 10**12))
            for name in ("pending_bytes", "spool_bytes", "segments", "parts", "signals", "stored_rows", "stored_bytes")
        }
        status = paced(later(chance.choice((0, 1e-9, 10.0, 1e7)), **numbers), None)
        assert all(figure.name and figure.text for figures in sections_of(status).values() for figure in figures)
        json.loads(line_of(status))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (duration_text(59.9), "00:00:59"),
        (duration_text(274_327), "3 d 04:12:07"),
        (span_text(0.0), "0 µs"),
        (span_text(0.0034), "3.4 ms"),
        (span_text(0.25), "250 ms"),
        (span_text(3.44), "3.4 s"),
        (span_text(300), "5.0 min"),
        (span_text(10_000), "2.8 h"),
        (size_text(0), "0 B"),
        (size_text(999), "999 B"),
        (size_text(999_600), "1 MB"),
        (size_text(12_345_678), "12.3 MB"),
        (size_text(5_000 * GIGABYTE), "5 TB"),
        (rate_text(0), "0/s"),
        (rate_text(3.14), "3.1/s"),
        (rate_text(50_123.4), "50,123/s"),
    ],
)
def test_numbers_read_well(made: str, text: str) -> None:
    assert made == text
