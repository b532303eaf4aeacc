"""One import: sources to rows, rows to a session. Everything is read and checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalshi_ray.core.tape import Kind
from kalshi_ray.data.importing.books import import_books
from kalshi_ray.data.importing.frames import import_frames
from kalshi_ray.data.importing.market_lists import read_market_lists
from kalshi_ray.data.importing.market_table import Names, market_table
from kalshi_ray.data.importing.options import BookFiles, FrameFiles, ImportOptions, ImportSource, QuoteFiles
from kalshi_ray.data.importing.quotes import import_quotes
from kalshi_ray.data.importing.results import add_results, read_results
from kalshi_ray.data.importing.rows import Recording, counted, numbered, put_together
from kalshi_ray.data.importing.trades import import_trades
from kalshi_ray.data.market_table import fee_rates
from kalshi_ray.data.recording import ALL, table_of
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.store import SessionStore
from kalshi_ray.errors import NothingToDo, UsageError
from kalshi_ray.telemetry import Progress
from kalshi_ray.wire.numbers import PPM

_CHUNK = 1 << 18  # rows handed to the writer at a time


def import_session(
    store: SessionStore,
    session_id: str,
    source: ImportSource | Sequence[ImportSource],
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Manifest:
    """Make a session of recorded files and return its manifest, whose `unknowns` say what could not be known.

    Several sources are put together in order of receive time. On any error nothing is left behind.
    """
    options = options or ImportOptions()
    sources = list(source) if isinstance(source, Sequence) else [source]
    if not sources:
        raise NothingToDo("no source to import")
    if session_id in store.ids():
        raise UsageError(f"session {session_id!r} exists", remedy="Choose another name or delete it first")
    lists = read_market_lists(options.markets)
    names = Names(lists, options)
    parts = [_read(one, options, names, progress) for one in sources]
    recording = numbered(put_together(parts), list(lists.markets))
    if not recording.tickers:
        raise NothingToDo("the recording has no market with a book or a print")
    markets, unknowns = market_table(recording, lists, names, options)
    rows = _with_fees(recording, markets.to_pylist())
    if options.results:
        results = read_results(options.results, options.results_time)
        rows, foreign = add_results(rows, recording.tickers, results)
        if foreign:
            unknowns.append(f"{foreign} results are of markets that are not in the session: left out")
    unknowns = [*recording.unknowns, *unknowns, *_absent(rows, len(recording.tickers))]
    manifest = _manifest(recording, rows, unknowns, sources, options)
    with store.writer(session_id, manifest=manifest) as writer:
        try:
            writer.add_markets(markets)
            for start in range(0, len(rows), _CHUNK):
                if progress:
                    progress("writing", start, len(rows))
                writer.append(table_of(rows[start : start + _CHUNK]))
            return writer.commit()
        except BaseException:
            writer.discard()
            raise


def _read(source: ImportSource, options: ImportOptions, names: Names, progress: Progress | None) -> Recording:
    if isinstance(source, FrameFiles):
        return import_frames(source, progress)
    if isinstance(source, QuoteFiles):
        return import_quotes(source, options, names)
    if isinstance(source, BookFiles):
        return import_books(source, options, names)
    return import_trades(source)


def _with_fees(recording: Recording, markets: list[dict[str, Any]]) -> NDArray[Any]:
    """The rows with every fee change of an event as one row for each of its markets."""
    rows = recording.rows
    at = np.flatnonzero((rows["kind"] == Kind.FEE) & (rows["market"] == ALL))
    if not len(at):
        return rows
    places: list[int] = []
    made: list[NDArray[Any]] = []
    for place in at.tolist():
        change = recording.fee_changes[rows["size"][place]]
        for market, known in enumerate(markets):
            if known["event"] != change.event:
                continue
            fee_type = known["fee_type"] if change.fee_type is None else change.fee_type
            factor = known["fee_multiplier"] if change.multiplier_ppm is None else change.multiplier_ppm / PPM
            row = rows[place : place + 1].copy()
            row["market"] = market
            row["size"], row["price"] = fee_rates(fee_type, factor, known["ticker"])
            places.append(place)
            made.append(row)
    expanded: NDArray[Any] = np.insert(rows, places, np.concatenate(made)) if made else rows
    kept: NDArray[Any] = expanded[~((expanded["kind"] == Kind.FEE) & (expanded["market"] == ALL))]
    return kept


def _absent(rows: NDArray[Any], markets: int) -> list[str]:
    """What the rows as a whole do not say."""
    unknowns = []
    kinds = np.bincount(rows["kind"], minlength=max(Kind) + 1)
    if not kinds[Kind.TRADE]:
        unknowns.append("trades: none recorded, so that a decrease may be a trade or a cancel")
    if not kinds[Kind.SNAPSHOT_END]:
        unknowns.append("order books: no snapshot recorded")
    settled = len(np.unique(rows["market"][rows["kind"] == Kind.SETTLEMENT]))
    if settled < markets:
        unknowns.append(f"results of {counted(markets - settled)}")
    return unknowns


def _manifest(
    recording: Recording,
    rows: NDArray[Any],
    unknowns: list[str],
    sources: Sequence[ImportSource],
    options: ImportOptions,
) -> Manifest:
    sampled = any(not isinstance(source, FrameFiles) for source in sources)
    return Manifest(
        id="",
        source="import",
        environment=options.environment,
        clock=recording.clock,
        depth=recording.depth,
        sizes=recording.sizes,
        has_trades=bool((rows["kind"] == Kind.TRADE).any()),
        use_yes_price=recording.use_yes_price,
        unknowns=unknowns,
        gap_threshold_s=options.gap_threshold_s if sampled else 0.0,
        assumed_size=recording.assumed_size,
        grids=[[list(band) for band in ranges] for ranges in recording.grids],
        origin={
            "sources": msgspec.to_builtins(list(sources)),
            "options": msgspec.to_builtins(options),
            "counts": dict(recording.counts),
        },
    )
