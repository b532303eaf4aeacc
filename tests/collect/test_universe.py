"""Which markets join and leave, against a model exchange that loses messages, answers late, and does not answer."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kalshi_ray.collect import universe as universe_module
from kalshi_ray.collect.choice import Described, Found, Listed, Looked, Sieve, busy_rank, state_of
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.collect.stages import Leave, Reason, Stage
from kalshi_ray.collect.universe import GRACE_NS, PATIENCE, TRIES, Universe
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import CONTRACT, SECOND
from kalshi_ray.wire.listing import Event, Leg, Market, Series
from kalshi_ray.wire.messages import EventCreated, MarketChange

T0 = 1_700_000_000 * SECOND
CATEGORIES = {"KXA": "Climate", "KXB": "Sports", "KXC": "Sports"}


def market(ticker: str, status: str = "active", **more: object) -> Market:
    event, _, _ = ticker.rpartition("-")
    return Market(**({"ticker": ticker, "event": event, "status": status} | more))  # type: ignore[arg-type]


def listed(one: Market, series: str = "", category: str = "") -> Listed:
    name = series or one.event.partition("-")[0]
    return Listed(
        market=one,
        event=Event(ticker=one.event, series=name),
        series=Series(ticker=name, category=category or CATEGORIES.get(name, "")),
    )


class ModelExchange:
    """Markets of three series that open, pause, close, settle; what it tells may be lost, and it may not answer."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.now = chance, T0
        self.markets: dict[str, Market] = {}
        self.listed_from: dict[str, int] = {}
        self.made = 0
        self.is_faulty = True
        for _ in range(8):
            self._create()
        self.told: list[MarketChange | EventCreated] = []

    def advance(self, now: int) -> list[MarketChange | EventCreated]:
        """Up to this time; the messages that arrive."""
        self.told, self.now = [], now
        for one in list(self.markets.values()):
            self._live(one)
        if self.chance.random() < 0.3 and self.made < 60:
            self._create()
        return [said for said in self.told if not self.is_faulty or self.chance.random() < 0.8]

    def look(self, tickers: tuple[str, ...]) -> Looked:
        """GET /markets?tickers="""
        if self._fails():
            return Looked(failed=dict.fromkeys(tickers, "it does not answer"))
        there = {t for t in tickers if self.listed_from[t] <= self.now}
        return Looked(
            markets=tuple(self.markets[t] for t in tickers if t in there),
            unlisted=tuple(t for t in tickers if t not in there),
        )

    def describe(self, tickers: tuple[str, ...]) -> Described:
        """The same with events and series."""
        looked = self.look(tickers)
        return Described(listed=tuple(map(listed, looked.markets)), unlisted=looked.unlisted, failed=looked.failed)

    def search(self, settings: UniverseSettings, *, named: bool = False) -> Found | None:
        """What is found; None where it does not answer."""
        if not named and self._fails():
            return None
        sieve = Sieve(settings, [self.markets[ticker] for ticker in settings.tickers] if named else [])
        there = [one for one in self.markets.values() if self.listed_from[one.ticker] <= self.now]
        for one in sieve.passing([one for one in there if self._is_asked_for(one, settings)], combos=settings.combos):
            of_series = CATEGORIES[one.event.partition("-")[0]]
            sieve.keep(one, is_in_categories=not settings.categories or of_series in settings.categories)
        return sieve.found()

    def _is_asked_for(self, one: Market, settings: UniverseSettings) -> bool:
        of_series = one.event.partition("-")[0] in settings.series
        return settings.discover or of_series or one.event in settings.events

    def _fails(self) -> bool:
        return self.is_faulty and self.chance.random() < 0.2

    def _create(self) -> None:
        self.made += 1
        series = self.chance.choice(("KXA", "KXB", "KXC"))
        event = f"{series}-{self.chance.randrange(3)}"
        opens = self.now + self.chance.randrange(0, 60) * SECOND
        one = market(
            f"{event}-T{self.made}", "initialized", open_ns=opens,
            close_ns=opens + self.chance.randrange(60, 600) * SECOND,
            volume=self.chance.randrange(1_000), volume_24h=self.chance.randrange(100),
        )  # fmt: skip
        is_first = not any(other.event == event for other in self.markets.values())
        self.markets[one.ticker] = one
        self.listed_from[one.ticker] = self.now + self.chance.randrange(5) * SECOND
        if hasattr(self, "told"):
            self.told += [EventCreated(event=event, series=series)] if is_first else []
            says_event = event if self.chance.random() < 0.8 else ""
            self.told.append(self._message(one, "created", Status.INITIALIZED, event=says_event))

    def _live(self, one: Market) -> None:
        """A step in the life of a market. Opens and closes are not told, as on the exchange."""
        luck = self.chance.random()
        if one.status == "initialized" and self.now >= one.open_ns:
            self._set(one, status="active")
        elif one.status in ("active", "inactive", "initialized") and self.now >= one.close_ns:
            self._set(one, status="closed")
        elif one.status == "active" and luck < 0.02:
            self._tell(self._set(one, status="inactive"), "deactivated", Status.INACTIVE)
        elif one.status == "active" and luck < 0.04:
            moved = self._set(one, close_ns=max(self.now + SECOND, one.close_ns - 120 * SECOND))
            self.told.append(self._message(moved, "close_date_updated", None, close_ns=moved.close_ns))
        elif one.status == "inactive" and luck < 0.2:
            self._tell(self._set(one, status="active"), "activated", Status.ACTIVE)
        elif one.status == "closed" and luck < 0.05:
            self._tell(self._set(one, status="determined", result="yes"), "determined", Status.DETERMINED, result="yes")
        elif one.status == "determined" and luck < 0.2:
            self._tell(self._set(one, status="finalized", settled_ns=self.now), "settled", Status.FINALIZED)

    def _set(self, one: Market, **changes: object) -> Market:
        self.markets[one.ticker] = msgspec.structs.replace(one, **changes)
        return self.markets[one.ticker]

    def _tell(self, one: Market, change: str, status: Status, **more: object) -> None:
        self.told.append(self._message(one, change, status, **more))

    def _message(self, one: Market, change: str, status: Status | None, **more: object) -> MarketChange:
        return MarketChange(ticker=one.ticker, change=change, status=status, **more)  # type: ignore[arg-type]


class Course:
    """A universe driven as a collector drives it, and what must hold at every step."""

    def __init__(self, exchange: ModelExchange, settings: UniverseSettings) -> None:
        self.exchange, self.settings = exchange, settings
        self.universe = Universe(settings, exchange.now)
        self.joined: dict[str, int] = {}
        self.left: dict[str, Leave] = {}
        first = exchange.search(settings, named=True)
        assert first is not None
        self.universe.found(first, exchange.now)

    @property
    def recorded(self) -> set[str]:
        return self.joined.keys() - self.left.keys()

    def run(self, turns: int, seconds: int = 1) -> None:
        """So many turns of so many seconds."""
        for _ in range(turns):
            self.turn(seconds)

    def turn(self, seconds: int = 1) -> None:
        """What comes in that time, and what a collector does about it."""
        now = self.exchange.now + seconds * SECOND
        for message in self.exchange.advance(now):
            self.universe.heard(message, now)
        while self.universe.next_ns <= now:
            step = self.universe.step(now)
            for leave in step.leaves:
                self._leave(leave)
            if step.look:
                self.universe.looked(self.exchange.look(step.look), now)
            if step.describe:
                for one in self.universe.described(self.exchange.describe(step.describe), now):
                    self._join(one.market)
            if step.search:
                found = self.exchange.search(self.settings)
                self.universe.not_found(now) if found is None else self.universe.found(found, now)

    def _join(self, one: Market) -> None:
        assert one.ticker not in self.joined, "no market joins twice"
        self.joined[one.ticker] = self.exchange.now
        if one.ticker not in self.settings.tickers:
            assert state_of(one) != "settled", "none that is settled joins by discovery"
            assert self._is_asked_for(one)
            assert len(self.recorded - set(self.settings.tickers)) <= self.settings.limit

    def _is_asked_for(self, one: Market) -> bool:
        series, settings = one.event.partition("-")[0], self.settings
        in_category = not settings.categories or CATEGORIES[series] in settings.categories
        return in_category and (settings.discover or series in settings.series or one.event in settings.events)

    def _leave(self, leave: Leave) -> None:
        assert leave.ticker not in self.left and leave.words
        assert leave.was_recorded == (leave.ticker in self.joined)
        truth = self.exchange.markets[leave.ticker]
        if leave.reason is Reason.SETTLED:
            assert state_of(truth) == "settled" and "yes" in leave.words
        else:
            assert leave.reason is Reason.UNSETTLED and truth.status != "active"
        self.left[leave.ticker] = leave


WAYS = [
    {"series": ("KXA",)},
    {"series": ("KXA", "KXB"), "categories": ("Climate",)},
    {"events": ("KXB-0", "KXC-1")},
    {"discover": True},
    {"discover": True, "categories": ("Sports",), "min_volume": 2.0},
    {"discover": True, "status": "", "rediscover_s": 20.0},
    {"series": ("KXC",), "status": "", "rediscover_s": 0.0},
    {"series": ("KXB",), "events": ("KXA-1",), "rediscover_s": 0.0, "refresh_s": 0.0},
]


@given(seed=st.integers(0, 2**32), way=st.sampled_from(WAYS), limit=st.integers(1, 12), named=st.booleans())
@hypothesis_settings(max_examples=400, deadline=None)
def test_markets_join_once_leave_for_a_reason_and_respect_the_limit(
    seed: int, way: dict[str, object], limit: int, named: bool
) -> None:
    exchange = ModelExchange(random.Random(seed))
    tickers = tuple(sorted(exchange.markets)[:2]) if named else ()
    settings = UniverseSettings(**({"settled_s": 120.0, "limit": limit, "tickers": tickers} | way))  # type: ignore[arg-type]
    course = Course(exchange, settings)
    course.run(300)
    assert course.joined.keys() >= set(tickers), "those named always count"
    exchange.is_faulty, exchange.made = False, 10**6  # nothing is created any more
    course.run(200, seconds=8)
    assert not course.recorded, "whatever closes leaves in the end"
    assert Counter(leave.reason for leave in course.left.values() if leave.was_recorded) == course.universe.left


@given(seed=st.integers(0, 2**32), way=st.sampled_from(WAYS[:-2]))
@hypothesis_settings(max_examples=100, deadline=None)
def test_a_market_that_is_open_for_long_enough_is_recorded_whatever_messages_are_lost(
    seed: int, way: dict[str, object]
) -> None:
    exchange = ModelExchange(random.Random(seed))
    course = Course(exchange, UniverseSettings(**({"rediscover_s": 30.0} | way)))  # type: ignore[arg-type]
    wanted: Counter[str] = Counter()
    for _ in range(400):
        course.turn()
        passing = exchange.search(course.settings, named=True)
        assert passing is not None
        wanted = Counter({one.ticker: wanted[one.ticker] + 1 for one in passing.others})
        assert not {ticker for ticker, seconds in wanted.items() if seconds > 240} - course.joined.keys()


# -- single cases


def begun(**settings: object) -> Universe:
    return Universe(UniverseSettings(**settings), T0)  # type: ignore[arg-type]


def joined(universe: Universe, one: Market, now: int = T0) -> None:
    """Bring a market in by name or choice."""
    named = one.ticker in universe.settings.tickers
    universe.found(Found(named=(one,)) if named else Found(others=(one,)), now)
    step = universe.step(now)
    assert step.describe == (one.ticker,)
    assert [found.market for found in universe.described(Described(listed=(listed(one),)), now)] == [one]


def later(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def test_a_market_whose_rank_fell_stays() -> None:
    universe = begun(series=("KXA",), limit=1)
    joined(universe, market("KXA-1-T1"))
    universe.found(Found(others=(market("KXA-1-T2", volume_24h=9_999),)), later(60))
    assert universe.step(later(60)).describe == ()
    assert universe.stages[Stage.RECORDED] == 1


def test_a_place_that_becomes_free_is_filled_by_the_next_search() -> None:
    universe = begun(series=("KXA",), limit=1)
    joined(universe, market("KXA-1-T1"))
    universe.heard(MarketChange(ticker="KXA-1-T1", change="determined", status=Status.DETERMINED, result="no"), T0)
    universe.heard(MarketChange(ticker="KXA-1-T1", change="settled", status=Status.FINALIZED), T0)
    (leave,) = universe.step(T0).leaves
    assert (leave.reason, leave.words) == (Reason.SETTLED, "settled, its result is no")
    assert universe.step(later(60)).search
    joined(universe, market("KXA-1-T2"), later(60))


def test_a_settled_message_without_a_result_is_looked_up_before_the_market_leaves() -> None:
    universe = begun(tickers=("KXA-1-T1",))
    joined(universe, market("KXA-1-T1"))
    universe.heard(MarketChange(ticker="KXA-1-T1", change="settled", status=Status.FINALIZED), T0)
    step = universe.step(T0)
    assert step.look == ("KXA-1-T1",) and not step.leaves
    universe.looked(Looked(markets=(market("KXA-1-T1", "finalized", result="yes"),)), T0)
    assert [leave.words for leave in universe.step(T0).leaves] == ["settled, its result is yes"]
    assert universe.is_over


def test_a_scheduled_close_is_looked_at_when_it_is_due_for_nobody_tells_it() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=0.0)
    joined(universe, market("KXA-1-T1", close_ns=later(100)))
    assert universe.next_ns == later(100) + GRACE_NS
    assert universe.step(universe.next_ns - 1).look == ()
    assert universe.step(universe.next_ns).look == ("KXA-1-T1",)


def test_a_close_that_moved_is_looked_at_at_its_new_time() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=0.0)
    joined(universe, market("KXA-1-T1", close_ns=later(100)))
    moved = MarketChange(ticker="KXA-1-T1", change="close_date_updated", close_ns=later(50))
    universe.heard(moved, later(1))
    assert universe.next_ns == later(50) + GRACE_NS


def test_a_closed_market_is_waited_for_and_then_left_with_a_note() -> None:
    universe = begun(tickers=("KXA-1-T1",), settled_s=300.0, refresh_s=0.0)
    joined(universe, market("KXA-1-T1", "closed"))
    leaves: list[Leave] = []
    while not leaves:
        now = universe.next_ns
        step = universe.step(now)
        leaves += step.leaves
        universe.looked(Looked(markets=tuple(market(t, "determined", result="yes") for t in step.look)), now)
    assert now == later(300)
    assert leaves[0].reason is Reason.UNSETTLED
    assert leaves[0].words == "closed for 300 s, and its result is yes, and not paid yet"


def test_a_close_that_moved_away_is_not_looked_at_at_its_former_time() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=0.0)
    joined(universe, market("KXA-1-T1", close_ns=later(100)))
    universe.heard(MarketChange(ticker="KXA-1-T1", change="close_date_updated", close_ns=later(500)), later(1))
    assert universe.step(later(200)).look == ()
    assert universe.step(later(502)).look == ("KXA-1-T1",)


def test_a_market_leaves_only_if_it_is_not_listed_several_times_in_a_row() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=10.0)
    one = market("KXA-1-T1")
    joined(universe, one)
    answers = [*[Looked(unlisted=(one.ticker,))] * 10, Looked(markets=(one,))] * 2
    missing_since = now = T0
    for answer in [*answers, *[Looked(unlisted=(one.ticker,))] * 100]:
        while not universe.step(now := universe.next_ns).look:
            pass  # one of its moments that is no longer due
        universe.looked(answer, now)
        missing_since = now if answer.markets else missing_since
        if universe.left:
            break
    assert universe.left == {Reason.UNLISTED: 1}
    assert 600 * SECOND <= now - missing_since < 700 * SECOND, (
        "an exchange that loses its list for minutes gets it back"
    )


def test_a_market_that_was_not_listed_for_long_joins_again_when_it_is_found() -> None:
    universe = begun(discover=True, rediscover_s=3_600.0, refresh_s=0.0)
    one = market("KXA-1-T1")
    joined(universe, one)
    universe.doubt(later(1))
    now = later(1)
    while not (step := universe.step(now := max(now, universe.next_ns))).leaves:
        universe.looked(Looked(unlisted=step.look), now)
    universe.found(Found(others=(one,)), now)
    assert universe.step(now).describe == (one.ticker,)
    assert universe.described(Described(listed=(listed(one),)), now) and universe.left[Reason.UNLISTED] == 0
    universe.heard(MarketChange(ticker=one.ticker, change="settled", status=Status.FINALIZED, result="no"), now)
    assert universe.step(now).leaves
    universe.found(Found(others=(one,)), now)
    assert universe.step(now).describe == (), "one that settled does not"


def test_a_market_whose_event_or_series_is_not_listed_is_asked_for_again_and_then_recorded_without() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=0.0)
    universe.found(Found(named=(market("KXA-1-T1"),)), T0)
    bare = msgspec.structs.replace(listed(market("KXA-1-T1")), lacks="the series 'KXA'")
    joins, asked = [], 0
    while not joins:
        now = universe.next_ns
        asked += len(universe.step(now).describe)
        joins = universe.described(Described(listed=(bare,)), now)
    assert joins == [bare] and asked == PATIENCE and now < later(10)


def test_a_market_that_cannot_be_recorded_leaves() -> None:
    universe = begun(tickers=("KXA-1-T1",))
    joined(universe, market("KXA-1-T1"))
    universe.unfit("KXA-1-T1", "its price grid has no range")
    (leave,) = universe.step(T0).leaves
    assert leave.reason is Reason.UNFIT and "no range" in leave.words and universe.is_over


def test_a_search_that_failed_is_repeated_after_a_pause() -> None:
    universe = begun(series=("KXA",), rediscover_s=10.0)
    assert universe.step(later(10)).search
    universe.not_found(later(11))
    assert not universe.step(later(12)).search
    assert universe.next_ns == later(71) and universe.step(later(71)).search


def test_a_flood_of_messages_is_left_to_the_next_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(universe_module, "MOST_CANDIDATES", 2)
    universe = begun(series=("KXA",), rediscover_s=3_600.0)
    for at in range(5):
        universe.heard(MarketChange(ticker=f"KXA-1-T{at}", change="activated"), T0)
    step = universe.step(T0)
    assert step.describe == ("KXA-1-T0", "KXA-1-T1") and step.search
    universe.found(Found(others=(market("KXA-1-T0"),)), T0)  # one of them is chosen
    universe.heard(MarketChange(ticker="KXA-1-T9", change="activated"), T0)
    assert "KXA-1-T9" in universe.step(T0).describe


def test_a_market_that_reopens_is_not_left() -> None:
    universe = begun(tickers=("KXA-1-T1",), settled_s=300.0, refresh_s=0.0)
    joined(universe, market("KXA-1-T1", "closed"))
    now = universe.next_ns
    (ticker,) = universe.step(now).look
    universe.looked(Looked(markets=(market(ticker, "active", close_ns=later(9_000)),)), now)
    assert not universe.step(later(400)).leaves
    assert universe.stages[Stage.RECORDED] == 1


def test_a_market_created_in_a_chosen_series_joins_at_once() -> None:
    universe = begun(series=("KXA",), rediscover_s=0.0)
    universe.heard(EventCreated(event="KXA-9", series="KXA"), T0)
    created = MarketChange(ticker="KXA-9-T1", change="created", status=Status.INITIALIZED, event="KXA-9")
    universe.heard(created, T0)
    step = universe.step(T0 + GRACE_NS)
    assert step.describe == ("KXA-9-T1",)
    assert universe.described(Described(listed=(listed(market("KXA-9-T1")),)), T0 + GRACE_NS)


def test_a_market_created_before_its_open_is_asked_for_when_it_opens() -> None:
    universe = begun(series=("KXA",), rediscover_s=0.0)
    universe.heard(MarketChange(ticker="KXA-9-T1", change="created", event="KXA-9"), T0)
    universe.step(T0 + GRACE_NS)
    waiting = market("KXA-9-T1", "initialized", open_ns=later(500))
    assert universe.described(Described(listed=(listed(waiting),)), T0 + GRACE_NS) == []
    assert universe.step(later(500)).describe == ()
    assert universe.step(later(500) + GRACE_NS).describe == ("KXA-9-T1",)


def test_a_market_that_is_not_listed_yet_is_asked_for_again() -> None:
    universe = begun(series=("KXA",), rediscover_s=0.0, refresh_s=0.0)
    universe.heard(MarketChange(ticker="KXA-9-T1", change="created", event="KXA-9"), T0)
    for _ in range(TRIES):
        now = universe.next_ns
        assert universe.step(now).describe == ("KXA-9-T1",)
        universe.described(Described(unlisted=("KXA-9-T1",)), now)
    assert universe.step(later(10_000)).describe == ()


def test_markets_of_other_series_are_asked_for_once_an_event() -> None:
    universe = begun(series=("KXA",), rediscover_s=0.0)
    universe.heard(MarketChange(ticker="KXQ-9-T1", change="created", event="KXQ-9"), T0)
    universe.step(later(2))
    assert universe.described(Described(listed=(listed(market("KXQ-9-T1")),)), later(2)) == []
    universe.heard(MarketChange(ticker="KXQ-9-T2", change="created", event="KXQ-9"), later(3))
    assert universe.step(later(9)).describe == ()


def test_lost_messages_are_made_up_for_by_a_look_at_everything() -> None:
    universe = begun(tickers=("KXA-1-T1",), series=("KXB",), refresh_s=0.0, rediscover_s=3_600.0)
    joined(universe, market("KXA-1-T1"))
    universe.doubt(later(5))
    step = universe.step(later(5))
    assert step.look == ("KXA-1-T1",) and step.search


def test_what_was_heard_while_a_market_was_described_is_looked_at() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=0.0)
    universe.found(Found(named=(market("KXA-1-T1"),)), T0)
    universe.step(T0)
    universe.heard(MarketChange(ticker="KXA-1-T1", change="determined", status=Status.DETERMINED, result="no"), T0)
    assert universe.described(Described(listed=(listed(market("KXA-1-T1")),)), T0)
    assert universe.step(T0).look == ("KXA-1-T1",)


def test_markets_of_an_earlier_life_go_on_whatever_the_filters_say() -> None:
    universe = begun(series=("KXA",), min_volume=10_000.0)
    universe.keep(["KXA-1-T1", "KXA-1-T2"], T0)
    assert set(universe.step(T0).describe) == {"KXA-1-T1", "KXA-1-T2"}
    settled = listed(market("KXA-1-T2", "finalized", result="yes"))
    joins = universe.described(Described(listed=(listed(market("KXA-1-T1")), settled)), T0)
    assert len(joins) == 2, "the result of one that settled meanwhile is told too"
    assert [leave.ticker for leave in universe.step(T0).leaves] == ["KXA-1-T2"]


def test_nothing_is_asked_for_twice_before_it_was_answered() -> None:
    universe = begun(tickers=("KXA-1-T1",), refresh_s=5.0)
    joined(universe, market("KXA-1-T1", close_ns=later(10)))
    assert universe.step(later(5)).look == ("KXA-1-T1",)
    assert universe.step(later(11)).look == ()
    assert universe.step(later(20)).look == ()
    universe.looked(Looked(failed={"KXA-1-T1": "HTTP 503"}), later(21))
    assert universe.step(later(40)).look == ("KXA-1-T1",)


# -- the sieve


def test_each_market_is_dropped_by_the_first_filter_that_does_not_let_it_pass() -> None:
    settings = UniverseSettings(discover=True, min_volume=10.0, min_volume_24h=5.0, categories=("sports",), limit=1)
    busy = {"volume": 20 * CONTRACT, "volume_24h": 6 * CONTRACT}
    seen = [
        market("A-1-T1", "closed"),
        market("A-1-T2", "finalized"),
        market("KXMVEX-1-T1", **busy),
        market("A-1-T3", legs=(Leg(event="A-1", ticker="A-1-T1", side="yes"),), **busy),
        market("A-1-T4", volume=9 * CONTRACT),
        market("A-1-T5", volume=20 * CONTRACT, volume_24h=4 * CONTRACT),
        market("A-1-T6", **busy),
        market("A-1-T7", **busy),
        market("A-1-T8", **busy),
        market("A-1-T9", "a word of tomorrow", **busy),
    ]
    sieve = Sieve(settings)
    passed = sieve.passing(seen, combos=False)
    assert [one.ticker for one in passed] == ["A-1-T6", "A-1-T7", "A-1-T8", "A-1-T9"]
    assert sieve.passing(seen, combos=True) == [], "each counts once"
    for one in passed:
        sieve.keep(one, is_in_categories=one.ticker != "A-1-T7")
    found = sieve.found()
    assert [one.ticker for one in found.others] == ["A-1-T6"]
    assert found.dropped == {
        "universe.status": 2, "universe.combos": 2, "universe.min_volume": 1, "universe.min_volume_24h": 1,
        "universe.categories": 1, "universe.limit": 2,
    }  # fmt: skip
    assert found.seen == len(seen) == len(found.others) + sum(found.dropped.values())
    assert found.words().startswith("10 seen; 2 dropped: universe.status; ")


def test_settled_markets_are_found_by_no_status() -> None:
    sieve = Sieve(UniverseSettings(discover=True, status=""))
    assert sieve.passing([market("A-1-T1", "finalized")], combos=False) == []
    assert sieve.found().dropped == {"settled already": 1}


@given(volumes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40), limit=st.integers(1, 10))
def test_the_busiest_are_kept_in_whatever_order_they_come(volumes: list[tuple[int, int]], limit: int) -> None:
    markets = [market(f"A-1-T{at}", volume=all_, volume_24h=day) for at, (day, all_) in enumerate(volumes)]
    sieve = Sieve(UniverseSettings(discover=True, limit=limit))
    for one in sieve.passing(markets, combos=False):
        sieve.keep(one, is_in_categories=True)
    assert list(sieve.found().others) == sorted(markets, key=busy_rank)[:limit]


@pytest.mark.parametrize("ways", [{"tickers": ("KXA-1-T1",)}, {"tickers": ("KXA-1-T1",), "series": ("KXA",)}])
def test_a_collector_is_over_once_all_left_and_none_can_join(ways: dict[str, tuple[str, ...]]) -> None:
    universe = begun(**ways)
    joined(universe, market("KXA-1-T1", "finalized", result="yes"))
    assert not universe.is_over, "its leave is not told yet"
    assert len(universe.step(T0).leaves) == 1
    assert universe.is_over == ("series" not in ways)
