"""Sessions in PostgreSQL, on a server of its own that waits for its disk as others do; the peer is a Parquet folder."""

from __future__ import annotations

import tempfile
from functools import cache

import pyarrow as pa

from bench.figures import Figure, Measured, amount
from bench.machine import called
from bench.postgres import Server
from bench.sessions import CALIBRATED, folder, session_of
from kalshi_ray.data.copying import copy_session
from kalshi_ray.data.schema import Manifest
from kalshi_ray.data.session import Session
from kalshi_ray.data.store import SessionStore, open_store
from kalshi_ray.data.views import build_pack

PART_ROWS = 1_000_000  # what a collector writes at a time
FEW = 6  # markets, of hundreds


@cache
def _database() -> SessionStore:
    server = Server(shared_buffers="256MB", max_wal_size="4GB")
    return open_store(server.url(server.create_database()))


@cache
def _stored() -> Session:
    """The calibrated session, in the database."""
    copy_session(session_of(CALIBRATED), _database())
    return _database().open(session_of(CALIBRATED).id)


@cache
def _part() -> pa.Table:
    return session_of(CALIBRATED).updates().slice(0, PART_ROWS).combine_chunks()


def _write_parts(store: SessionStore) -> float:
    """Updates a second through the writer, each part on disk before the next one begins."""
    markets, part = session_of(CALIBRATED).markets(), _part()
    with store.writer("written", manifest=Manifest(id="", source="synthetic")) as writer:
        writer.add_markets(markets)
        numbers = iter(range(100))
        spent = called(lambda: writer.write_part(next(numbers), part), repeats=5)
        writer.discard()
    return part.num_rows / spent.median


def written() -> Measured:
    """Parts of a million updates through `SessionWriter.write_part`, as a collector writes them."""
    with tempfile.TemporaryDirectory(dir=folder()) as peer:
        return Measured(_write_parts(_database()), _write_parts(open_store(peer)), "parts of a million rows")


def views() -> Measured:
    """Updates a second from the server to a pack."""
    session, peer = _stored(), session_of(CALIBRATED)
    build_pack(session), build_pack(peer)
    ours, theirs = called(lambda: build_pack(session)), called(lambda: build_pack(peer))
    updates = session.manifest.updates
    return Measured(updates / ours.median, updates / theirs.median, ours.rates(updates))


def few_views() -> Measured:
    """The same for a few markets: the server reads and sends their rows only."""
    session, peer = _stored(), session_of(CALIBRATED)
    tickers = session.tickers()[:FEW]
    build_pack(session, tickers=tickers)
    ours = called(lambda: build_pack(session, tickers=tickers)).median
    theirs = called(lambda: build_pack(peer, tickers=tickers)).median
    return Measured(
        1e3 * ours, 1e3 * theirs, f"of {session.manifest.markets} markets, {amount(session.manifest.updates)} updates"
    )


FIGURES = [
    Figure(name="postgres, updates written", unit="updates/s", measure=written, peer="Parquet folder", floor=5e5),
    Figure(name="postgres, views loaded", unit="updates/s", measure=views, peer="Parquet folder", floor=1e6),
    Figure(name=f"postgres, views of {FEW} markets", unit="ms", measure=few_views, peer="Parquet folder"),
]
