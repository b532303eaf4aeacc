"""A real PostgreSQL for the tests: one server a process, an empty database for whoever asks, and a line that breaks."""

from __future__ import annotations

from functools import cache

from bench.postgres import Server
from kalshi_ray.data.catalog import open_backend
from kalshi_ray.data.catalog.backend import PostgresBackend


@cache
def server() -> Server:
    """The server of this process. It outlives a crash of its own, not one of the machine: it never waits for disks."""
    return Server(fsync="off", shared_buffers="64MB", max_wal_size="4GB", autovacuum="off")


def fresh_url(**parameters: str | int) -> str:
    """The URL of an empty database."""
    return server().url(server().create_database(), **parameters)


def fresh_backend(**parameters: str | int) -> PostgresBackend:
    """A backend on an empty database."""
    return open_backend(fresh_url(**parameters))
