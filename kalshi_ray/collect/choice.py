"""Which of the listed markets are recorded: filters in a fixed order, the busiest first, and what each dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from enum import Enum

import msgspec

from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import CONTRACT
from kalshi_ray.wire.listing import Event, Market, Series

COMBOS = "KXMVE"  # how the tickers of combinations begin
SETTLED = "settled"

# The exchange's word for a market's state in an answer, and the one that a query uses for it.
STATES = {
    "initialized": "unopened",
    "active": "open",
    "inactive": "paused",
    "closed": "closed",
    "determined": "closed",
    "disputed": "closed",
    "amended": "closed",
    "finalized": SETTLED,
}
STATES |= {word: word for word in set(STATES.values())}


class Filter(Enum):
    """What drops a market, in the order in which it is asked."""

    STATUS = "universe.status"
    SETTLED = "settled already"
    COMBOS = "universe.combos"
    VOLUME = "universe.min_volume"
    VOLUME_24H = "universe.min_volume_24h"
    CATEGORIES = "universe.categories"
    LIMIT = "universe.limit"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """All that the exchange lists about one market. `lacks` says what it does not list, which is empty here."""

    market: Market
    event: Event
    series: Series
    lacks: str = ""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange says of markets now."""

    markets: tuple[Market, ...] = ()
    unlisted: tuple[str, ...] = ()  # it does not know them
    failed: dict[str, str] = {}  # it could not be asked, and why: ask again


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """All that the exchange lists about markets."""

    listed: tuple[Listed, ...] = ()
    unlisted: tuple[str, ...] = ()
    failed: dict[str, str] = {}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Markets to record: those named, and at most `limit` others, busiest first."""

    named: tuple[Market, ...] = ()
    others: tuple[Market, ...] = ()
    seen: int = 0  # by series, event or discovery
    dropped: dict[str, int] = {}  # of those, by the first filter that dropped them
    unread: tuple[str, ...] = ()  # lists that were longer than what is read of them

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.named) + len(self.others)

    def words(self) -> str:
        """What became of the markets that were seen."""
        drops = "; ".join(f"{count:,} dropped: {name}" for name, count in self.dropped.items())
        return f"{self.seen:,} seen" + (f"; {drops}" if drops else "")


def state_of(market: Market) -> str:
    """The state of a market in the word of a query; empty for a word that is not known."""
    return SETTLED if market.settled_ns else STATES.get(market.status, "")


def state_of_status(status: Status) -> str:
    """The same for the tape's word."""
    return STATES[status.name.lower()]


def is_combo(market: Market) -> bool:
    """Whether it is a combination of other markets."""
    return bool(market.legs or market.collection) or market.ticker.startswith(COMBOS)


def busy_rank(market: Market) -> tuple[int, int, str]:
    """Ascending: most contracts of the last day first, then most since it opened, then by name."""
    return -market.volume_24h, -market.volume, market.ticker


def drop_of(market: Market, settings: UniverseSettings, *, combos: bool) -> Filter | None:
    """The first filter that drops a market, by what the market itself says; None if it passes them all.

    A state in a word that is not known is taken to be what was asked for.
    """
    state = state_of(market)
    if settings.status and state and state != settings.status:
        return Filter.STATUS
    if state == SETTLED:
        return Filter.SETTLED
    if is_combo(market) and not combos:
        return Filter.COMBOS
    if market.volume < settings.min_volume * CONTRACT:
        return Filter.VOLUME
    if market.volume_24h < settings.min_volume_24h * CONTRACT:
        return Filter.VOLUME_24H
    return None


def is_in_categories(settings: UniverseSettings, *categories: str) -> bool:
    """Whether one of a market's categories is wanted: that of its event or of its series."""
    return not settings.categories or not {*map(str.casefold, categories)}.isdisjoint(
        map(str.casefold, settings.categories)
    )


class Sieve:
    """Markets as pages bring them: counted, filtered, and the busiest kept. Each counts once."""

    def __init__(self, settings: UniverseSettings, named: Collection[Market] = ()) -> None:
        self._settings, self._named = settings, tuple(named)
        self._met = {market.ticker for market in named}
        self._kept: list[Market] = []
        self._dropped: Counter[Filter] = Counter()
        self._seen = 0

    def passing(self, markets: Collection[Market], *, combos: bool) -> list[Market]:
        """Those that were not met before and pass all filters but the last two; `keep` those that stay."""
        fresh = [market for market in markets if market.ticker not in self._met]
        self._met.update(market.ticker for market in fresh)
        self._seen += len(fresh)
        passed = []
        for market in fresh:
            drop = drop_of(market, self._settings, combos=combos)
            if drop is None:
                passed.append(market)
            else:
                self._dropped[drop] += 1
        return passed

    def keep(self, market: Market, *, is_in_categories: bool) -> None:
        """One that passed, and whether its category is wanted."""
        if not is_in_categories:
            self._dropped[Filter.CATEGORIES] += 1
            return
        self._kept.append(market)
        if len(self._kept) > 2 * self._settings.limit:
            self._cut()

    def found(self, unread: Collection[str] = ()) -> Found:
        """What is left."""
        self._cut()
        dropped = {which.value: self._dropped[which] for which in Filter if self._dropped[which]}
        return Found(
            named=self._named, others=tuple(self._kept), seen=self._seen, dropped=dropped, unread=tuple(unread)
        )

    def _cut(self) -> None:
        self._kept.sort(key=busy_rank)
        self._dropped[Filter.LIMIT] += max(0, len(self._kept) - self._settings.limit)
        del self._kept[self._settings.limit :]
