"""What the exchange lists, over REST: markets to record, all about them, how they stand, own places in the queue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from kalshi_ray import telemetry
from kalshi_ray.collect.choice import Described, Found, Listed, Looked, Sieve, is_in_categories
from kalshi_ray.collect.collector.naming import Unknown, unknown_error
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.errors import (
    AuthenticationFailed,
    ConfigError,
    ExchangeDown,
    KalshiRayError,
    NothingToDo,
    RateLimited,
    RequestRejected,
    WireError,
)
from kalshi_ray.exchange.client.requester import Requester, unreadable
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.listing import Event, Market, Series
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Page, QueuePosition

T = TypeVar("T")
Query = Callable[[str], Request]  # of a cursor

PAGE = 1_000  # markets
BATCH = 100  # names in one request: its line must not grow too long
MOST_PAGES = 300  # of one list of markets; what lies beyond is not looked at, and that is told
EXPLAINED_PAGES = 5  # the same where nothing was found, to say why
MANY_SERIES = 20  # more than these are read as the list of all: it cannot be asked for several by name
CATEGORIES_S = 3_600.0  # how long the list of a category's series is good
# What may pass, so that the same may be asked again. A key that is refused from the beginning is refused for good.
PASSING = (ExchangeDown, RateLimited, RequestRejected, WireError)


class ExchangeListing:
    """Reads of one exchange. `most_pages` bounds what is read of one list of markets.

    `passing` is what may pass: once there was a choice, a refused key too, for clocks are set and exchanges restarted.
    """

    def __init__(self, requester: Requester, *, most_pages: int = MOST_PAGES) -> None:
        self.passing: tuple[type[KalshiRayError], ...] = PASSING
        self._requester, self._most_pages = requester, most_pages
        self._series_in: dict[str, str] = {}  # series of the wanted categories, and theirs
        self._categories_until = 0.0
        self._belongs: dict[str, tuple[str, str]] = {}  # event to its series and category
        self._unread: set[str] = set()  # markets that could not be read, and were told
        self._queue_trouble = ""

    # -- choosing

    async def choose(self, settings: UniverseSettings, *, knows_all: bool = True) -> Found:
        """The markets to record. NothingToDo where none is left; NotListed with all names that do not exist.

        `knows_all`: none may have gone since they were named.
        """
        if not (settings.tickers or settings.series or settings.events or settings.discover):
            raise ConfigError(
                "universe names no market",
                remedy="Give --tickers, --series, --events or --discover, or set universe.tickers and the like",
            )
        named = await self.refresh(tuple(dict.fromkeys(settings.tickers)))
        if named.failed:
            raise ExchangeDown(next(iter(named.failed.values())))
        unknown = [Unknown("ticker", ticker) for ticker in named.unlisted] + await self._unknown(settings)
        if unknown:
            problem = await unknown_error(self._requester, unknown)
            if knows_all:
                raise problem
            telemetry.warning("collect.not_listed", problem=str(problem))
        found = await self._search(settings, named.markets)
        self.passing = (*PASSING, AuthenticationFailed)
        if not found.named and not found.others:
            raise await self._nothing(settings)
        return found

    async def search(self, settings: UniverseSettings) -> Found:
        """Markets by series, event or discovery as they are now; none is no error."""
        return await self._search(settings, ())

    async def _search(self, settings: UniverseSettings, named: Sequence[Market]) -> Found:
        sieve, unread, met = Sieve(settings, named), [], set[str]()
        if settings.categories:
            await self._read_categories(settings.categories)
        for what, combos, query in _queries(settings):
            pages = _Pages(self._requester, query, self._most_pages)
            async for page in pages:
                passed = sieve.passing(page, combos=combos)
                events = {market.event for market in passed} if settings.categories else set()
                await self._learn(events)
                for market in passed:
                    sieve.keep(market, is_in_categories=self._is_in(settings, market.event))
                met |= events
            self._tell_unread(pages.unread)
            unread += [f"{what} after the first {pages.markets:,} markets"] if pages.are_cut else []
        self._belongs = {event: known for event, known in self._belongs.items() if event in met}
        if unread:
            telemetry.warning("collect.too_many_markets", unread=unread, remedy="name series, events or a status")
        return sieve.found(unread)

    def _tell_unread(self, unread: Mapping[str, str]) -> None:
        """Once for each market. It is left out, and the others count."""
        for ticker in unread.keys() - self._unread:
            telemetry.warning("collect.market_not_read", ticker=ticker, problem=unread[ticker])
        self._unread.update(unread)

    async def _nothing(self, settings: UniverseSettings) -> NothingToDo:
        """Why no market is left: asked again without a status, by which the exchange filters itself."""
        loose = msgspec.structs.replace(settings, status="", categories=())
        sieve = Sieve(settings)
        for _, combos, query in _queries(loose):
            async for page in _Pages(self._requester, query, min(EXPLAINED_PAGES, self._most_pages)):
                for market in sieve.passing(page, combos=combos):
                    sieve.keep(market, is_in_categories=not settings.categories)
        found = sieve.found()
        least = "at least " if found.seen >= PAGE else ""
        loosen = "Loosen the setting that dropped most, or name tickers, which always count"
        none_there = "The exchange lists no market there now; those that settled long ago are in its archive alone"
        return NothingToDo(f"no market to record: {least}{found.words()}", remedy=loosen if found.seen else none_there)

    # -- names

    async def _unknown(self, settings: UniverseSettings) -> list[Unknown]:
        """Series, events and categories that the exchange does not list."""
        found = [Unknown("series", name) for name in settings.series if not await self._has_series(name)]
        events = await self._events(settings.events)
        missing = [name for name in settings.events if name not in events]
        found += [Unknown("event", name) for name in missing if await self._event(name) is None]
        if settings.categories:
            self._categories_until = 0.0
            await self._read_categories(settings.categories)
            there = set(self._series_in.values())
            found += [Unknown("category", name) for name in settings.categories if name not in there]
        return found

    async def _has_series(self, name: str) -> bool:
        return await _if_listed(self._requester.ask(requests.get_series(name), bodies.read_series)) is not None

    async def _event(self, name: str) -> Event | None:
        """One event, also one that lists of events leave out, as they do with combos."""
        return await _if_listed(self._requester.ask(requests.get_event(name), bodies.read_event))

    async def _read_categories(self, categories: Sequence[str]) -> None:
        """The series of the categories, now and again."""
        if time.monotonic() < self._categories_until:
            return
        for category in categories:
            request = requests.get_series_list(category=category)
            listed = await self._requester.ask(request, bodies.read_series_list)
            of_it = (one for one in listed if one.category.casefold() in (category.casefold(), ""))
            self._series_in |= {series.ticker: category for series in of_it}
        self._categories_until = time.monotonic() + CATEGORIES_S

    async def _learn(self, events: Collection[str]) -> None:
        """Which series and category these events belong to."""
        missing = [event for event in events if event not in self._belongs]
        found = await self._events(missing)
        for name in missing:
            event = found.get(name) or await self._event(name)
            self._belongs[name] = (event.series, event.category) if event else ("", "")

    def _is_in(self, settings: UniverseSettings, event: str) -> bool:
        series, category = self._belongs.get(event, ("", ""))
        return is_in_categories(settings, category, self._series_in.get(series, ""))

    async def _events(self, names: Sequence[str]) -> dict[str, Event]:
        """Those that lists of events have."""
        found: dict[str, Event] = {}
        for batch in _batches(names):
            page = await self._requester.ask(requests.get_events(tickers=batch), bodies.read_events)
            found |= {event.ticker: event for event in page.items}
        return found

    # -- markets

    async def refresh(self, tickers: Sequence[str]) -> Looked:
        """How these markets stand now. A part that could not be read is told, and the others are there."""
        markets: list[Market] = []
        failed: dict[str, str] = {}
        for batch in _batches(tickers):
            pages = _Pages(
                self._requester, partial(_at, partial(requests.get_markets, tickers=batch, limit=PAGE)), BATCH
            )
            try:
                async for page in pages:
                    markets += page
            except self.passing as problem:
                read = {market.ticker for market in markets}
                failed |= {ticker: str(problem) for ticker in batch if ticker not in read}
            failed |= {ticker: f"{ticker}: {why}" for ticker, why in pages.unread.items() if ticker in batch}
        wanted = set(tickers)
        by_ticker = {market.ticker: market for market in markets if market.ticker in wanted}
        return Looked(
            markets=tuple(by_ticker[ticker] for ticker in tickers if ticker in by_ticker),
            unlisted=tuple(ticker for ticker in tickers if ticker not in by_ticker and ticker not in failed),
            failed=failed,
        )

    async def facts(self, tickers: Sequence[str]) -> Described:
        """These markets with their events and series, each read once. Where one of them fails, its markets do.

        An event or series that the exchange does not know is no failure: its markets lack it.
        """
        looked = await self.refresh(tickers)
        events = await self._each(
            {one.event for one in looked.markets}, self._events, _event_request, bodies.read_event
        )
        names = {event.series for event in events.values() if isinstance(event, Event)}
        series = await self._each(names, self._many_series, requests.get_series, bodies.read_series)
        listed, failed = [], dict(looked.failed)
        for market in looked.markets:
            event = events[market.event]
            of_event = series[event.series] if isinstance(event, Event) else None
            if isinstance(event, str) or isinstance(of_event, str):
                failed[market.ticker] = event if isinstance(event, str) else str(of_event)
            else:
                listed.append(_listed(market, event, of_event))
        return Described(listed=tuple(listed), unlisted=looked.unlisted, failed=failed)

    async def _many_series(self, names: Sequence[str]) -> dict[str, Series]:
        """The list of all series where many are wanted."""
        if len(names) <= MANY_SERIES:
            return {}
        listed = await self._requester.ask(requests.get_series_list(), bodies.read_series_list)
        return {series.ticker: series for series in listed}

    async def _each(
        self,
        names: Collection[str],
        many: Callable[[Sequence[str]], Awaitable[dict[str, T]]],
        request: Callable[[str], Request],
        reader: Callable[[bytes, Counter[str]], T],
    ) -> dict[str, T | str | None]:
        """What these names stand for: together, then one by one; why not, for those that could not be read.

        None for those that the exchange does not know, and for no name.
        """
        ordered = sorted(filter(None, names))
        try:
            found: dict[str, T | str | None] = dict(await _if_listed(many(ordered)) or {})
        except self.passing as problem:
            failed: dict[str, T | str | None] = {name: str(problem) for name in ordered}
            return {"": None} | failed
        missing = [name for name in ordered if name not in found]
        answers = await asyncio.gather(*(self._one(request(name), reader) for name in missing))
        return {"": None} | found | dict(zip(missing, answers))

    async def _one(self, request: Request, reader: Callable[[bytes, Counter[str]], T]) -> T | str | None:
        try:
            return await _if_listed(self._requester.ask(request, reader))
        except self.passing as problem:
            return str(problem)

    # -- the account

    async def queue_positions(self, tickers: Sequence[str]) -> tuple[QueuePosition, ...] | None:
        """Own places in the queues of these markets. None, told once, where they cannot be had: refused, for good."""
        if self._requester.signer is None or self._queue_trouble == "refused":
            return None
        found: list[QueuePosition] = []
        try:
            for batch in _batches(tickers):
                request = requests.get_queue_positions(tickers=batch)
                found += await self._requester.ask(request, bodies.read_queue_positions)
        except (AuthenticationFailed, RequestRejected) as problem:
            self._queue_trouble = "refused"
            telemetry.warning("collect.no_queue_positions", problem=str(problem), again=False)
            return None
        except PASSING as problem:
            if not self._queue_trouble:
                telemetry.warning("collect.no_queue_positions", problem=str(problem), again=True)
            self._queue_trouble = "passing"
            return None
        self._queue_trouble = ""
        return tuple(found)


def _listed(market: Market, event: Event | None, series: Series | None) -> Listed:
    """A market with what is known of its event and series, and the name of what is not."""
    lacks = "" if series else f"the series {event.series!r}" if event else f"the event {market.event!r}"
    of_event = event or Event(ticker=market.event, series="")
    return Listed(market=market, event=of_event, series=series or Series(ticker=of_event.series), lacks=lacks)


class _Pages:
    """Pages of markets, at most so many. `are_cut`: there are more. `unread`: why some on them could not be read."""

    def __init__(self, requester: Requester, query: Query, most: int) -> None:
        self.markets, self.are_cut = 0, False
        self.unread: dict[str, str] = {}
        self._requester, self._query, self._most = requester, query, most

    async def __aiter__(self) -> AsyncIterator[tuple[Market, ...]]:
        cursors = {""}
        cursor = ""
        for _ in range(self._most):
            body, _ = await self._requester.send(self._query(cursor))
            # A page of a thousand takes long to read: other tasks have their turn meanwhile.
            try:
                page, unread, unknown = await asyncio.to_thread(_read_page, body)
            except WireError as problem:
                raise unreadable(self._query(cursor), problem) from problem
            self._requester.unknown_keys.update(unknown)
            self.unread |= unread
            self.markets += len(page.items)
            yield page.items
            cursor = page.cursor
            if not cursor:
                return
            if cursor in cursors:  # one that the exchange does not know is answered with the first page
                raise WireError(f"GET /markets: the cursor of page {len(cursors)} came before")
            cursors.add(cursor)
        self.are_cut = True


def _read_page(body: bytes) -> tuple[Page[Market], dict[str, str], Counter[str]]:
    unknown: Counter[str] = Counter()
    return *bodies.read_market_page(body, unknown), unknown


def _queries(settings: UniverseSettings) -> Iterator[tuple[str, bool, Query]]:
    """Lists of markets that are asked for: what they are, whether combos may be among them, and their request."""
    page = partial(requests.get_markets, status=settings.status, limit=PAGE)
    for series in settings.series:
        yield f"series {series}", True, partial(_at, partial(page, series=series))
    for event in settings.events:
        yield f"event {event}", True, partial(_at, partial(page, event=event))
    if settings.discover:
        whole = partial(page, combos="" if settings.combos else "exclude")
        yield "the exchange", settings.combos, partial(_at, whole)


def _at(request: Callable[..., Request], cursor: str) -> Request:
    return request(cursor=cursor)


def _event_request(name: str) -> Request:
    return requests.get_event(name)


async def _if_listed(asked: Awaitable[T]) -> T | None:
    """The answer; None where the exchange does not know what was asked for."""
    try:
        return await asked
    except RequestRejected as problem:
        if problem.status != 404:
            raise
        return None


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), BATCH):
        yield names[first : first + BATCH]
