"""Names that the exchange does not list, as one error with the nearest that it does."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from kalshi_ray.errors import ExchangeError, UsageError, WireError
from kalshi_ray.exchange.client.requester import Requester
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.listing import Series

MOST_HINTS = 20  # unknown names for which the nearest are looked up
MOST_LISTED = 1_000  # names of a series to compare with
NEAR = 3


class Unknown(NamedTuple):
    """A name that the exchange does not list."""

    kind: Literal["ticker", "series", "event", "category"]
    name: str


class NotListed(UsageError):
    """The exchange lists nothing of some of the names."""


async def unknown_error(requester: Requester, unknown: Sequence[Unknown]) -> NotListed:
    """One error for all of them. Hints are left out where the exchange does not answer."""
    names, said = _Names(requester), []
    for at, one in enumerate(unknown):
        hint = ""
        if at < MOST_HINTS:
            with contextlib.suppress(ExchangeError, WireError):
                hint = await names.hint(one)
        said.append(f"{one.kind} {one.name!r}{hint}")
    return NotListed(
        f"the exchange does not list {'; '.join(said)}",
        remedy="Correct the names; markets that settled long ago are in the exchange's archive alone",
    )


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that are most like it, whatever their case."""
    by_lower = {one.lower(): one for one in known}
    return [by_lower[word] for word in difflib.get_close_matches(name.lower(), by_lower, n=NEAR)]


class _Names:
    """Names that the exchange lists. The list of all series is read once."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._all_series: tuple[Series, ...] | None = None

    async def hint(self, unknown: Unknown) -> str:
        """The nearest names of its kind, for a ticker or an event those of its series; else the nearest series."""
        kind, name = unknown
        if kind == "category":
            return _said(name, {series.category for series in await self._series()} - {""})
        if kind == "series":
            return _said(name, {series.ticker for series in await self._series()})
        # A ticker need not begin with its series, but for a hint it will do.
        series = name.partition("-")[0].upper()
        known = await (self._tickers(series) if kind == "ticker" else self._events(series))
        return _said(name, known) if known else _said(series, {one.ticker for one in await self._series()}, "series ")

    async def _tickers(self, series: str) -> list[str]:
        request = requests.get_markets(series=series, limit=MOST_LISTED)
        return [market.ticker for market in (await self._requester.ask(request, bodies.read_markets)).items]

    async def _events(self, series: str) -> list[str]:
        page = await self._requester.ask(requests.get_events(series=series), bodies.read_events)
        return [event.ticker for event in page.items]

    async def _series(self) -> tuple[Series, ...]:
        if self._all_series is None:
            self._all_series = await self._requester.ask(requests.get_series_list(), bodies.read_series_list)
        return self._all_series


def _said(name: str, known: Iterable[str], what: str = "") -> str:
    near = nearest(name, sorted(known))
    return f" (nearest {what}{', '.join(near)})" if near else ""
