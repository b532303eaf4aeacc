"""Sessions in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from kalshi_ray.data.catalog.backend import PostgresBackend
from kalshi_ray.data.catalog.urls import read_place


def open_backend(url: str, *, patience_s: float | None = None) -> PostgresBackend:
    """The backend of a `postgresql://…` URL. Nothing connects before the first call. UsageError for a bad URL.

    `patience_s` bounds how long a call tries to reach the server, whatever the URL says.
    """
    place = read_place(url)
    return PostgresBackend(
        place if patience_s is None else replace(place, patience_s=min(patience_s, place.patience_s))
    )
