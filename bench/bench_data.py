"""Sessions: generated, read into views, validated, imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec

from bench.figures import Absent, Figure, Measured
from bench.machine import called, on_one_core
from bench.sessions import CALIBRATED, session_of, store
from kalshi_ray.data.importing import ImportOptions, QuoteFiles, import_session
from kalshi_ray.data.synthetic import SynthSettings, synthesize
from kalshi_ray.data.validate import validate_session
from kalshi_ray.data.views import build_pack

GENERATED = msgspec.structs.replace(CALIBRATED, markets=2 * CALIBRATED.markets)
REPOSITORY = Path(__file__).resolve().parents[1]


def _fresh_settings() -> Iterator[SynthSettings]:
    """Sessions of one kind that share nothing: the generator keeps what it once solved for equal settings."""
    for number in count(1):
        yield msgspec.structs.replace(GENERATED, seed=number, jitter_ms=2.0 + number / 1_000)


def generation() -> Measured:
    """Updates a second from settings to a finished session of Parquet files, the solving pilot included."""
    warm = SynthSettings(regime="calibrated", markets=6, hours=0.05)
    session_of(warm)
    settings = _fresh_settings()
    rows: list[int] = []

    def once() -> None:
        name = f"generated{len(rows)}"
        rows.append(synthesize(store(), name, next(settings)).updates)
        store().delete(name, expected_rows=rows[-1])

    return called(once, repeats=3).rate(sum(rows) // len(rows))


def views() -> Measured:
    """Updates a second from Parquet in the system's cache to a pack."""
    session = session_of(CALIBRATED)
    build_pack(session)
    return called(lambda: build_pack(session)).rate(session.manifest.updates)


def validation() -> Measured:
    """Updates a second through every check, checksums included."""
    session = session_of(CALIBRATED)
    validate_session(session)
    return called(lambda: validate_session(session), repeats=3).rate(session.manifest.updates)


def recorded_quotes() -> list[Path]:
    """The KXHIGHNY quote logs. Absent where they are not at hand."""
    given = os.environ.get("KALSHI_RAY_RECORDED", REPOSITORY.parent / "shared" / "data" / "kalshi")
    folder = Path(given) / "jetpackjules_kalshi-trader"
    found = sorted(folder.glob("*.parquet"))
    if not found:
        raise Absent(f"no quote logs in {folder}; set KALSHI_RAY_RECORDED")
    return found


def import_quotes() -> Measured:
    """Quote changes a second from the recorded files to a session."""
    paths = tuple(map(str, recorded_quotes()))
    source = QuoteFiles(paths=paths, time_zone="US/Pacific", bid="best_yes_bid", no_bid="best_no_bid")
    names = (f"imported{number}" for number in count())
    quotes = []

    def once() -> None:
        manifest = import_session(store(), next(names), source, ImportOptions(environment="production"))
        quotes.append(int(manifest.origin["counts"]["quotes"]))

    spent = called(once, repeats=3)
    return spent.rate(quotes[-1])


FIGURES = [
    Figure(name="synthetic generation with Parquet", unit="updates/s", measure=generation, floor=2e6),
    Figure(name="views from Parquet, warm", unit="updates/s", measure=on_one_core(views), floor=3e6),
    Figure(name="validation", unit="updates/s", measure=on_one_core(validation)),
    Figure(name="import of the KXHIGHNY quote logs", unit="quotes/s", measure=on_one_core(import_quotes)),
]
