"""Sessions in PostgreSQL."""

from __future__ import annotations

from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.urls import read_place


def open_backend(url: str) -> PostgresBackend:
    """The backend of a `postgresql://…` URL. Nothing connects before the first call. UsageError for a bad URL."""
    return PostgresBackend(read_place(url))
