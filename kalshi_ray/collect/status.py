"""How a collector stands: one record, its line of JSON, and its figures in words. Counters in, record out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from kalshi_ray.collect.tallies import LEFT, Lags
from kalshi_ray.core.units import MICROSECOND, SECOND

GIGABYTE = 1_000_000_000


class Markets(msgspec.Struct, frozen=True, kw_only=True):
    """Markets of a session by how they stand."""

    recorded: int = 0  # now, those that closed and are waited for too
    known: int = 0  # of those, with a book that is known
    closed: int = 0  # of those, waited for to settle
    joining: int = 0
    settled: int = 0  # left with their result
    left: int = 0  # left otherwise

    @property
    def unknown(self) -> int:
        """Recorded, open, and without a known book."""
        return max(0, self.recorded - self.closed - self.known)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A collector at one moment. Counts are totals of this life of it; times in ns, 0 for never."""

    session: str
    store: str
    at_ns: int
    started_ns: int
    environment: str = ""
    is_resumed: bool = False
    is_final: bool = False
    markets: Markets = Markets()
    # The stream.
    frames: Mapping[str, int] = {}  # by what they came over: market, lifecycle
    frame_ns: int = 0  # when the last one came
    connections: int = 0
    connections_up: int = 0
    reconnects: int = 0
    shards: int = 0  # Ray actors; 0: none
    shards_lost: int = 0
    lags: Lags = Lags()
    unknown_frames: Mapping[str, int] = {}  # by type; kept raw
    broken_frames: int = 0
    clock_jumps: int = 0
    # The tape.
    rows: Mapping[str, int] = {}  # by kind
    gaps: Mapping[str, int] = {}  # by cause; `left`: of markets that are recorded no longer
    signals: int = 0
    signals_refused: int = 0
    # The disk and the store.
    pending_bytes: int = 0  # received and not on the disk yet
    most_pending_bytes: int = 0
    synced_ns: int = 0
    spool_bytes: int = 0
    segments: int = 0  # sealed, and not in the store yet
    parts: int = 0  # of the session, those of earlier lives too
    stored_rows: int = 0  # of the session
    stored_bytes: int = 0
    disk_free_bytes: int = 0
    disk_problem: str = ""
    store_problem: str = ""
    memory_bytes: int = 0
    happenings: tuple[str, ...] = ()  # worth telling, since the status before
    # Of the time since the status before; see `paced`.
    frames_per_s: float = 0.0
    rows_per_s: float = 0.0
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None

    @property
    def running_s(self) -> float:
        """How long it has run."""
        return max(0, self.at_ns - self.started_ns) / SECOND

    @property
    def total_frames(self) -> int:
        """Frames over all connections."""
        return sum(self.frames.values())

    @property
    def total_rows(self) -> int:
        """Rows of all kinds."""
        return sum(self.rows.values())

    @property
    def bytes_per_row(self) -> float | None:
        """What a row takes in the store, raw frames included."""
        return self.stored_bytes / self.stored_rows if self.stored_rows else None

    def age_s(self, at_ns: int) -> float | None:
        """How long ago that was; None for never."""
        return max(0, self.at_ns - at_ns) / SECOND if at_ns else None


def paced(status: Status, before: Status | None) -> Status:
    """The same with rates and lags of the time since `before`; None: since it started."""
    since = before or Status(session="", store="", at_ns=status.started_ns, started_ns=status.started_ns)
    seconds = max(status.at_ns - since.at_ns, MICROSECOND) / SECOND
    lags = status.lags - since.lags
    return msgspec.structs.replace(
        status,
        frames_per_s=(status.total_frames - since.total_frames) / seconds,
        rows_per_s=(status.total_rows - since.total_rows) / seconds,
        lag_p50_s=lags.quantile_s(0.5),
        lag_p99_s=lags.quantile_s(0.99),
    )


# -- as JSON


def line_of(status: Status) -> bytes:
    """One line of JSON, without its end. The last one of a run has `"final":true` and exact counts."""
    return msgspec.json.encode(_keys_of(status))


def _keys_of(status: Status) -> dict[str, Any]:
    seconds = max(status.running_s, 1e-6)
    return {
        "time": datetime.fromtimestamp(status.at_ns / SECOND, UTC).isoformat(timespec="milliseconds"),
        "final": status.is_final,
        "session": status.session,
        "store": status.store,
        "environment": status.environment,
        "resumed": status.is_resumed,
        "running_s": round(status.running_s, 3),
        "markets": msgspec.structs.asdict(status.markets) | {"unknown": status.markets.unknown},
        "frames": status.total_frames,
        "frames_by": status.frames,
        "frames_per_s": round(status.frames_per_s, 1),
        "mean_frames_per_s": round(status.total_frames / seconds, 1),
        "last_frame_age_s": _rounded(status.age_s(status.frame_ns)),
        "rows": status.total_rows,
        "rows_by": status.rows,
        "rows_per_s": round(status.rows_per_s, 1),
        "mean_rows_per_s": round(status.total_rows / seconds, 1),
        "gaps": sum(status.gaps.values()),
        "gaps_by": status.gaps,
        "lag_p50_s": _rounded(status.lag_p50_s),
        "lag_p99_s": _rounded(status.lag_p99_s),
        "connections": status.connections,
        "connections_up": status.connections_up,
        "reconnects": status.reconnects,
        "shards": status.shards,
        "shards_lost": status.shards_lost,
        "unknown_frames": status.unknown_frames,
        "broken_frames": status.broken_frames,
        "clock_jumps": status.clock_jumps,
        "signals": status.signals,
        "signals_refused": status.signals_refused,
        "pending_bytes": status.pending_bytes,
        "most_pending_bytes": status.most_pending_bytes,
        "last_sync_age_s": _rounded(status.age_s(status.synced_ns)),
        "spool_bytes": status.spool_bytes,
        "segments_waiting": status.segments,
        "parts": status.parts,
        "stored_rows": status.stored_rows,
        "stored_bytes": status.stored_bytes,
        "bytes_per_row": _rounded(status.bytes_per_row),
        "disk_free_bytes": status.disk_free_bytes,
        "disk_problem": status.disk_problem,
        "store_problem": status.store_problem,
        "memory_bytes": status.memory_bytes,
        "happenings": status.happenings,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


# -- in words


class Mood(Enum):
    """How a figure is to be taken."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Figure(NamedTuple):
    """A name, what stands beside it, and how it is to be taken."""

    name: str
    text: str
    mood: Mood = Mood.PLAIN


def sections_of(status: Status) -> dict[str, list[Figure]]:
    """All figures in four groups, for a screen. What is not there is left out, unless its absence says something."""
    return {
        "markets": list(_markets(status)),
        "stream": list(_stream(status)),
        "tape": list(_tape(status)),
        "storage": list(_storage(status)),
    }


def problems_of(status: Status) -> list[tuple[Mood, str]]:
    """What a person should look at now, in words."""
    found = [(Mood.BAD, f"the store takes nothing: {status.store_problem}")] if status.store_problem else []
    found += [(Mood.BAD, f"the disk takes nothing: {status.disk_problem}")] if status.disk_problem else []
    types = ", ".join(f"{name} ({count:,})" for name, count in status.unknown_frames.items())
    return found + ([(Mood.WARN, f"frames of unknown types, kept raw: {types}")] if types else [])


def closing_line(status: Status) -> str:
    """The exact counts of a run that is over."""
    rows = _listed(status.rows) or "none"
    gaps = _listed(status.gaps) or "none"
    left = status.markets.settled + status.markets.left
    parts = "1 part" if status.parts == 1 else f"{status.parts:,} parts"
    return (
        f"{status.session}: {status.total_rows:,} rows ({rows}) from {status.total_frames:,} frames in "
        f"{duration_text(status.running_s)}; gaps: {gaps}; markets: {status.markets.recorded + left:,}, "
        f"{status.markets.settled:,} of them settled; {parts}, {size_text(status.stored_bytes)}"
    )


# Figures of each group in the order in which they are looked for: a small screen shows the first ones.


def _markets(status: Status) -> Iterator[Figure]:
    markets = status.markets
    yield Figure("recorded", f"{markets.recorded:,}", Mood.GOOD if markets.recorded else Mood.WARN)
    mood = _mood(markets.unknown, 1, max(2, markets.recorded // 2))
    yield Figure("book unknown", f"{markets.unknown:,}", mood)
    yield Figure("book known", f"{markets.known:,}")
    yield Figure("settled", f"{markets.settled:,}")
    yield Figure("joining", f"{markets.joining:,}")
    yield Figure("closed, awaited", f"{markets.closed:,}")
    yield Figure("left otherwise", f"{markets.left:,}")


def _stream(status: Status) -> Iterator[Figure]:
    yield Figure("frames", rate_text(status.frames_per_s))
    age = status.age_s(status.frame_ns)
    yield Figure("last frame", "none yet" if age is None else f"{span_text(age)} ago", _mood(age or 0.0, 30, 120))
    yield Figure("lag p50 · p99", f"{_lag(status.lag_p50_s)} · {_lag(status.lag_p99_s)}", _lag_mood(status))
    up = f"{status.connections_up:,} of {status.connections:,} up"
    yield Figure("connections", up, Mood.PLAIN if status.connections_up == status.connections else Mood.WARN)
    yield Figure("frames in all", f"{status.total_frames:,}")
    yield Figure("frames, mean", rate_text(status.total_frames / max(status.running_s, 1e-6)))
    yield Figure("reconnects", f"{status.reconnects:,}")
    if status.shards:
        yield Figure("shards lost", f"{status.shards_lost:,} of {status.shards:,}", _mood(status.shards_lost, 1))
    strange = sum(status.unknown_frames.values()) + status.broken_frames
    yield Figure("strange frames", f"{strange:,}", _mood(strange, 1))
    yield Figure("clock jumps", f"{status.clock_jumps:,}", _mood(status.clock_jumps, 1))


def _tape(status: Status) -> Iterator[Figure]:
    yield Figure("rows", rate_text(status.rows_per_s))
    yield Figure("rows in all", f"{status.total_rows:,}")
    gaps = {cause: count for cause, count in status.gaps.items() if cause != LEFT}
    total = sum(gaps.values())
    yield Figure("gaps", f"{total:,}", _mood(total, 1))
    for cause, count in gaps.items():
        yield Figure(f"  {cause}", f"{count:,}", Mood.WARN)
    yield Figure("trades", f"{status.rows.get('trade', 0):,}")
    yield Figure("deltas", f"{status.rows.get('delta', 0):,}")
    levels = status.rows.get("snapshot_level", 0) + status.rows.get("snapshot_end", 0)
    yield Figure("snapshot rows", f"{levels:,}")
    life = sum(status.rows.get(kind, 0) for kind in ("status", "schedule", "grid", "fee", "settlement"))
    yield Figure("lifecycle", f"{life:,}")
    refused = f", {status.signals_refused:,} refused" if status.signals_refused else ""
    yield Figure("signals", f"{status.signals:,}{refused}", _mood(status.signals_refused, 1))
    yield Figure("rows, mean", rate_text(status.total_rows / max(status.running_s, 1e-6)))


def _storage(status: Status) -> Iterator[Figure]:
    yield Figure("store", "waits" if status.store_problem else "up", Mood.BAD if status.store_problem else Mood.GOOD)
    waiting = f" · {status.segments:,} waiting" if status.segments else ""
    yield Figure("spool", size_text(status.spool_bytes) + waiting, _mood(status.segments, 3, 30))
    share = status.pending_bytes / max(status.most_pending_bytes, 1)
    pending = f"{size_text(status.pending_bytes)} of {size_text(status.most_pending_bytes)}"
    yield Figure("pending", pending, _mood(share, 0.8, 1.0))
    scarce = _mood(-status.disk_free_bytes, -5 * GIGABYTE, -GIGABYTE)
    yield Figure("disk free", size_text(status.disk_free_bytes), Mood.BAD if status.disk_problem else scarce)
    age = status.age_s(status.synced_ns)
    yield Figure("last sync", "none yet" if age is None else f"{span_text(age)} ago", _mood(age or 0.0, 5, 30))
    parts = f"{status.parts:,}" + (f" · {size_text(status.stored_bytes)}" if status.stored_bytes else "")
    yield Figure("parts", parts)
    yield Figure("memory", size_text(status.memory_bytes))
    if status.bytes_per_row is not None:
        yield Figure("a row, with raw", f"{status.bytes_per_row:.1f} bytes")


def _lag(seconds: float | None) -> str:
    return "–" if seconds is None else span_text(seconds)


def _lag_mood(status: Status) -> Mood:
    is_behind = status.lag_p50_s == 0.0  # the exchange's times lie ahead of ours
    return Mood.WARN if is_behind else _mood(status.lag_p99_s or 0.0, 1.0, 10.0)


def _mood(number: float, warn: float, bad: float = float("inf")) -> Mood:
    return Mood.BAD if number >= bad else Mood.WARN if number >= warn else Mood.PLAIN


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())


def duration_text(seconds: float) -> str:
    """3 d 04:12:07."""
    days, rest = divmod(int(seconds), 86_400)
    clock = f"{rest // 3_600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days:,} d {clock}" if days else clock


def span_text(seconds: float) -> str:
    """A short time: 850 µs, 12 ms, 3.4 s, 5 min, 2.5 h."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7_200.0, 1 / 60, "min")):
        if seconds < limit:
            scaled = seconds * factor
            return f"{scaled:.1f} {unit}" if scaled < 10 and unit != "µs" else f"{scaled:.0f} {unit}"
    return f"{seconds / 3_600:.1f} h"


def size_text(count: int) -> str:
    """Bytes: 0 B, 12.3 kB, 4.56 MB, 1.2 TB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1_000
    return f"{size:,.3g} TB"


def rate_text(rate: float) -> str:
    """Things a second."""
    return f"{rate:,.0f}/s" if rate >= 10 or rate == 0 else f"{rate:.1f}/s"
