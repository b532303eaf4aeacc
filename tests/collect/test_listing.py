"""What is read of the exchange's lists: the simulator's REST interface over loopback, with refusals and faults."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qs

import msgspec
import pytest

from kalshi_ray import telemetry
from kalshi_ray.collect.choice import Found
from kalshi_ray.collect.collector import listing
from kalshi_ray.collect.collector.listing import ExchangeListing
from kalshi_ray.collect.settings import UniverseSettings
from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, SECOND, Side
from kalshi_ray.errors import AuthenticationFailed, ConfigError, ExchangeDown, NothingToDo, UsageError, WireError
from kalshi_ray.exchange.client import Requester
from kalshi_ray.exchange.settings import Address
from kalshi_ray.exchange.sign import Signer
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.faults import FaultPlan, Faults
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.exchange.simulator.rest_api import Api
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.exchange.simulator.surface import Surface
from kalshi_ray.wire.listing import Series
from kalshi_ray.wire.messages import BookSnapshot, Trade
from kalshi_ray.wire.trading import OrderRequest
from tests.exchange.keys import KEY_ID, ed25519_key, rsa_key, signer
from tests.exchange.loopback import Asked, Says, served, settings
from tests.exchange.simulator.serving import serving

T = TypeVar("T")
NY, LA, GAME = "KXHIGHNY-26OCT09", "KXHIGHLA-26OCT09", "KXGAME-26"
SERIES = {NY: "Climate", LA: "Climate", GAME: "Sports"}


@dataclass
class Venue:
    """Twelve markets of three series, a combo, what goes wrong, and every request that was made."""

    exchange: Exchange = field(default_factory=Exchange)
    wrong: Callable[[Asked], Says | None] = lambda asked: None
    asked: list[str] = field(default_factory=list)
    fee_type: str = "quadratic"

    def __post_init__(self) -> None:
        auth = Auth()
        self.account = self.exchange.create_account(1_000)
        auth.add(KEY_ID, ed25519_key().public_key(), self.account)
        self.now = time.time_ns()
        self.exchange.advance(self.now)
        for event, category in SERIES.items():
            for number in range(4):
                self.open(f"{event}-T{number}", category)
        self.open("KXMVEX-S1-T0", "Combos")
        self.exchange.set_status(f"{NY}-T3", Status.INACTIVE, self.now)
        self.exchange.set_status(f"{LA}-T3", Status.CLOSED, self.now)
        self.exchange.settle_at(f"{GAME}-T3", DOLLAR, self.now)
        self.exchange.advance(self.now + SECOND)
        self.api = Api(self.exchange, auth, Limits("prestige"))

    def open(self, ticker: str, category: str = "") -> None:
        event, _, _ = ticker.rpartition("-")
        series = event.partition("-")[0]
        terms = MarketTerms(ticker=ticker, event=event, series=series, category=category, fee_type=self.fee_type)
        self.exchange.open_market(terms)

    def trade(self, ticker: str, contracts: int) -> None:
        """A print, which makes a market busier."""
        print_ = Trade(ticker=ticker, price=50 * CENT, size=contracts * CONTRACT, taker=Side.BID)
        self.exchange.apply_flow(print_, self.now)

    def __call__(self, asked: Asked) -> Says:
        self.asked.append(asked.target.removeprefix("/trade-api/v2"))
        wrong = self.wrong(asked)
        if wrong is not None:
            return wrong
        response = self.api.handle(asked.method, asked.target, asked.headers, asked.body, time.time_ns())
        return Says(response.status, response.body, dict(response.headers))

    def paths(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(target.partition("?")[0] for target in self.asked)


def read(
    venue: Callable[[Asked], Says],
    work: Callable[[ExchangeListing], Awaitable[T]],
    key: Signer | None = None,
    **changes: object,
) -> T:
    """What `work` returns with the lists of that exchange."""

    async def whole() -> T:
        async with served(venue) as rest:
            address = Address(environment="local", rest=rest, stream="ws://127.0.0.1:1/trade-api/ws/v2")
            async with Requester(address, key, settings(**{"attempts": 2} | changes), random.Random(1)) as requester:
                return await work(ExchangeListing(requester, most_pages=4))

    return asyncio.run(asyncio.wait_for(whole(), 60))


def chosen(venue: Callable[[Asked], Says], **universe: object) -> Found:
    wanted = UniverseSettings(**universe)  # type: ignore[arg-type]
    return read(venue, lambda lists: lists.choose(wanted))


def tickers(found: Found) -> list[str]:
    return [market.ticker for market in (*found.named, *found.others)]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 3)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of warnings."""
    names: list[str] = []
    monkeypatch.setattr(telemetry, "warning", lambda name, **fields: names.append(name))
    yield names


# -- choosing


def test_markets_are_found_by_name_series_event_and_discovery() -> None:
    assert tickers(chosen(Venue(), tickers=(f"{GAME}-T3",))) == [f"{GAME}-T3"], "named ones always count"
    assert tickers(chosen(Venue(), series=("KXHIGHNY",))) == [f"{NY}-T{n}" for n in range(3)]
    assert tickers(chosen(Venue(), events=(LA,))) == [f"{LA}-T{n}" for n in range(3)]
    assert len(chosen(Venue(), discover=True).others) == 9


def test_several_ways_are_joined_and_each_market_counts_once() -> None:
    found = chosen(Venue(), tickers=(f"{NY}-T0", f"{LA}-T3"), series=("KXHIGHNY",), events=(NY,), discover=True)
    assert [one.ticker for one in found.named] == [f"{NY}-T0", f"{LA}-T3"]
    assert len(set(tickers(found))) == len(tickers(found)) == 10


def test_combos_come_only_where_they_are_asked_for() -> None:
    assert "KXMVEX-S1-T0" not in tickers(chosen(Venue(), discover=True))
    assert "KXMVEX-S1-T0" in tickers(chosen(Venue(), discover=True, combos=True))
    assert tickers(chosen(Venue(), series=("KXMVEX",))) == ["KXMVEX-S1-T0"]


def test_the_busiest_come_first_and_the_limit_is_for_those_not_named() -> None:
    venue = Venue()
    for ticker, contracts in ((f"{GAME}-T1", 50), (f"{NY}-T2", 70), (f"{LA}-T0", 60)):
        venue.trade(ticker, contracts)
    found = chosen(venue, tickers=(f"{NY}-T0",), discover=True, limit=2)
    assert tickers(found) == [f"{NY}-T0", f"{NY}-T2", f"{LA}-T0"]
    assert found.dropped == {"universe.limit": 6}
    assert tickers(chosen(venue, discover=True, min_volume=55.0)) == [f"{NY}-T2", f"{LA}-T0"]
    assert tickers(chosen(venue, discover=True, min_volume_24h=65.0)) == [f"{NY}-T2"]


def test_categories_are_those_of_events_or_of_their_series() -> None:
    sports = [f"{GAME}-T{n}" for n in range(3)]
    assert tickers(chosen(Venue(), discover=True, categories=("Sports",))) == sports
    silent = Venue()  # events that do not say their category, as is planned by the exchange
    silent.wrong = lambda asked: Says(body=_without_category(silent, asked)) if asked.path == "/events" else None
    assert tickers(chosen(silent, discover=True, categories=("Sports",))) == sports
    assert silent.paths()["/events"] == 1, "events are asked for together"


def _without_category(venue: Venue, asked: Asked) -> bytes:
    answer = venue.api.handle(asked.method, asked.target, asked.headers, asked.body, time.time_ns())
    return answer.body.replace(b'"category":"Sports"', b'"category":""')


def test_events_are_asked_for_once_over_many_searches() -> None:
    async def work(lists: ExchangeListing) -> None:
        for _ in range(3):
            await lists.search(wanted)

    venue, wanted = Venue(), UniverseSettings(discover=True, categories=("Sports",))
    read(venue, work)
    assert venue.paths() == {"/markets": 3, "/events": 1, "/series": 1}


@pytest.mark.usefixtures("small_pages")
def test_all_pages_are_read_up_to_a_stated_most(told: list[str]) -> None:
    found = chosen(Venue(), series=("KXHIGHNY", "KXGAME"))
    assert len(found.others) == 6 and not found.unread
    venue = Venue()
    for number in range(10, 20):
        venue.open(f"{NY}-T{number}")
    found = chosen(venue, discover=True)
    assert found.unread == ("the exchange after the first 12 markets",) and found.seen == 12
    assert told == ["collect.too_many_markets"]


@pytest.mark.usefixtures("small_pages")
def test_a_cursor_that_comes_again_is_an_error_and_no_endless_list() -> None:
    def same(asked: Asked) -> Says:
        return Says(body=b'{"markets":[],"cursor":"again"}') if asked.path == "/markets" else Says(404)

    with pytest.raises(WireError, match="the cursor of page 2 came before"):
        read(same, lambda lists: lists.search(UniverseSettings(discover=True)))


# -- nothing, and no such name


def test_one_error_names_all_unknown_names_and_the_nearest_known() -> None:
    with pytest.raises(UsageError) as raised:
        chosen(
            Venue(),
            tickers=(f"{NY}-T0", "kxhighny-26oct09-t9", "KXHIHGNY-26OCT09-T1"),
            series=("KXHIGHNJ", "KXGAME"),
            events=("KXGAME-27", NY),
            discover=True,
            categories=("sports", "Climate"),
        )
    words = str(raised.value)
    assert f"ticker 'kxhighny-26oct09-t9' (nearest {NY}-T" in words
    assert "ticker 'KXHIHGNY-26OCT09-T1' (nearest series KXHIGHNY" in words, (
        "its series does not exist: the nearest one"
    )
    assert "series 'KXHIGHNJ' (nearest KXHIGHNY" in words
    assert "event 'KXGAME-27' (nearest KXGAME-26)" in words
    assert "category 'sports' (nearest Sports)" in words
    assert "Climate" not in words and "'KXGAME'" not in words


def test_hints_are_left_out_where_the_exchange_does_not_answer() -> None:
    venue = Venue()
    venue.wrong = lambda asked: Says(503) if "series_ticker" in asked.target or asked.path == "/series" else None
    with pytest.raises(UsageError, match=r"does not list ticker 'KXQ-1'\. Correct"):
        chosen(venue, tickers=("KXQ-1",))


def test_nothing_found_says_how_many_were_seen_and_what_dropped_them() -> None:
    with pytest.raises(NothingToDo) as raised:
        chosen(Venue(), series=("KXHIGHNY",), status="unopened")
    assert "4 seen; 4 dropped: universe.status" in str(raised.value)
    with pytest.raises(NothingToDo) as raised:
        chosen(Venue(), discover=True, status="open", min_volume=1_000.0)
    assert "12 seen; 3 dropped: universe.status; 9 dropped: universe.min_volume" in str(raised.value)
    with pytest.raises(NothingToDo, match=r"3 dropped: universe\.categories"):
        chosen(Venue(), series=("KXGAME",), categories=("Climate",))


def test_a_universe_without_any_way_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no market"):
        chosen(Venue())


def test_no_market_found_later_is_no_error() -> None:
    nothing = UniverseSettings(series=("KXHIGHNY",), status="unopened")
    assert read(Venue(), lambda lists: lists.search(nothing)).others == ()


# -- facts


def test_each_event_and_series_is_read_once_for_all_its_markets() -> None:
    venue, wanted = Venue(), [f"{NY}-T0", f"{NY}-T1", f"{GAME}-T0"]
    found = read(venue, lambda lists: lists.facts(wanted))
    assert [one.market.ticker for one in found.listed] == wanted
    assert [(one.event.ticker, one.series.ticker) for one in found.listed] == [
        (NY, "KXHIGHNY"), (NY, "KXHIGHNY"), (GAME, "KXGAME")
    ]  # fmt: skip
    assert {one.series.fee_type for one in found.listed} == {"quadratic"}
    assert venue.paths() == {"/markets": 1, "/events": 1, "/series/KXHIGHNY": 1, "/series/KXGAME": 1}


def test_many_series_are_read_as_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MANY_SERIES", 2)
    venue = Venue()
    found = read(venue, lambda lists: lists.facts([f"{event}-T0" for event in SERIES]))
    assert len(found.listed) == 3 and venue.paths() == {"/markets": 1, "/events": 1, "/series": 1}


def test_an_event_that_lists_leave_out_is_read_alone() -> None:
    found = read(Venue(), lambda lists: lists.facts(["KXMVEX-S1-T0"]))
    assert [one.event.ticker for one in found.listed] == ["KXMVEX-S1"]


def test_an_event_or_series_that_cannot_be_read_fails_its_markets_alone_and_without_a_default() -> None:
    venue = Venue()
    venue.wrong = lambda asked: Says(503) if asked.path == "/series/KXHIGHNY" else None
    found = read(venue, lambda lists: lists.facts([f"{NY}-T0", f"{GAME}-T0", "KXHIGHNY-26OCT09-T99"]))
    assert [one.market.ticker for one in found.listed] == [f"{GAME}-T0"]
    assert found.unlisted == ("KXHIGHNY-26OCT09-T99",)
    assert list(found.failed) == [f"{NY}-T0"] and "503" in found.failed[f"{NY}-T0"]
    venue.wrong = lambda asked: Says(body=b"{") if asked.path == "/events" else None
    found = read(venue, lambda lists: lists.facts([f"{NY}-T0"]))
    assert not found.listed and "JSON" in found.failed[f"{NY}-T0"]


@pytest.mark.parametrize(
    ("missing", "lacks"),
    [("/events", "the event 'KXHIGHNY-26OCT09'"), ("/series", "the series 'KXHIGHNY'")],
)
def test_a_market_whose_event_or_series_the_exchange_does_not_know_is_listed_without_it(
    missing: str, lacks: str
) -> None:
    venue = Venue()
    not_found = Says(404, b'{"error":{"code":"not_found","message":"not found"}}')
    venue.wrong = lambda asked: not_found if asked.path.startswith(missing) else None
    found = read(venue, lambda lists: lists.facts([f"{NY}-T0"]))
    (one,) = found.listed
    assert one.lacks == lacks and one.event.ticker == NY and not found.failed
    assert one.series == Series(ticker=one.event.series)


# -- how they stand


def test_named_markets_are_read_however_few_a_page_holds() -> None:
    """An exchange that gives fewer than were asked for, and a cursor to the others."""
    venue = Venue()

    def in_twos(asked: Asked) -> Says | None:
        query = {name: words[0] for name, words in parse_qs(asked.target.partition("?")[2]).items()}
        names = query.get("tickers", "").split(",")
        first = int(query.get("cursor", 0))
        if len(names) < 3:
            return None
        part = ",".join(names[first : first + 2])
        answer = venue.api.handle("GET", f"/trade-api/v2/markets?tickers={part}", asked.headers, b"", time.time_ns())
        cursor = str(first + 2) if first + 2 < len(names) else ""
        return Says(200, msgspec.json.encode(msgspec.json.decode(answer.body) | {"cursor": cursor}))

    venue.wrong = in_twos
    wanted = [f"{NY}-T{number}" for number in range(4)] + [f"{GAME}-T1"]
    looked = read(venue, lambda lists: lists.refresh(wanted))
    assert [one.ticker for one in looked.markets] == wanted and not looked.unlisted and not looked.failed


def test_a_market_that_cannot_be_read_costs_the_others_nothing(told: list[str]) -> None:
    venue = Venue()

    def odd(asked: Asked) -> Says | None:
        if asked.path != "/markets":
            return None
        answer = venue.api.handle(asked.method, asked.target, asked.headers, asked.body, time.time_ns())
        body = msgspec.json.decode(answer.body)
        for one in body["markets"]:
            one["notional_value_dollars"] = "100.0000" if one["ticker"] == f"{LA}-T0" else "1.0000"
        return Says(200, msgspec.json.encode(body))

    venue.wrong = odd
    found = chosen(venue, discover=True)
    assert f"{NY}-T0" in tickers(found) and f"{LA}-T0" not in tickers(found)
    assert told == ["collect.market_not_read"]
    looked = read(venue, lambda lists: lists.refresh([f"{NY}-T0", f"{LA}-T0"]))
    assert [one.ticker for one in looked.markets] == [f"{NY}-T0"] and not looked.unlisted
    assert "KXHIGHLA-26OCT09-T0" in looked.failed[f"{LA}-T0"] and "1000000 pips" in looked.failed[f"{LA}-T0"]
    with pytest.raises(ExchangeDown, match="KXHIGHLA-26OCT09-T0"):
        chosen(venue, tickers=(f"{LA}-T0",))


def test_markets_are_asked_for_in_batches_and_a_batch_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "BATCH", 2)
    venue = Venue()
    venue.wrong = lambda asked: Says(500) if "KXGAME-26-T0" in asked.target else None
    wanted = [f"{NY}-T0", f"{LA}-T3", f"{GAME}-T0", "KXNO-1-T1", "KXNO-1-T2"]
    looked = read(venue, lambda lists: lists.refresh(wanted))
    assert [(one.ticker, one.status) for one in looked.markets] == [(f"{NY}-T0", "active"), (f"{LA}-T3", "closed")]
    assert looked.unlisted == ("KXNO-1-T2",)
    assert set(looked.failed) == {f"{GAME}-T0", "KXNO-1-T1"}
    asked = [parse_qs(target.partition("?")[2])["tickers"][0] for target in venue.asked]
    assert max(len(names.split(",")) for names in asked) == 2


def test_refusals_for_too_many_requests_are_waited_out() -> None:
    chance = random.Random(5)
    venue = Venue()
    venue.wrong = lambda asked: Says(429, b'{"error":"too many requests"}') if chance.random() < 0.4 else None
    wanted = UniverseSettings(discover=True, categories=("Climate",))
    found = read(venue, lambda lists: lists.choose(wanted), attempts=12)
    assert len(found.others) == 6


def test_an_exchange_that_is_down_is_said_to_be() -> None:
    with pytest.raises(ExchangeDown):
        read(lambda asked: Says(503), lambda lists: lists.choose(UniverseSettings(tickers=("KXA-1",))))
    with pytest.raises(ExchangeDown):
        read(lambda asked: Says(503), lambda lists: lists.choose(UniverseSettings(discover=True)))


def test_what_is_no_answer_of_the_exchange_is_told_with_what_was_asked_for() -> None:
    page = Says(200, b"<html>log in</html>")
    for universe in (UniverseSettings(tickers=("KXA-1",)), UniverseSettings(series=("KXA",))):
        with pytest.raises(
            (ExchangeDown, WireError), match=r"GET /(markets|series/KXA) cannot be read.*html.*addresses"
        ):
            read(lambda asked: page, lambda lists, wanted=universe: lists.choose(wanted))  # type: ignore[misc]


def test_a_category_counts_for_series_that_say_it_although_the_exchange_lists_others() -> None:
    venue = Venue()

    def unfiltered(asked: Asked) -> Says | None:
        if asked.path != "/series":
            return None
        answer = venue.api.handle("GET", "/trade-api/v2/series", asked.headers, b"", time.time_ns())
        return Says(answer.status, answer.body)

    venue.wrong = unfiltered
    assert {one.partition("-")[0] for one in tickers(chosen(venue, discover=True, categories=("Sports",)))} == {
        "KXGAME"
    }
    with pytest.raises(UsageError, match=r"category 'Sport'.*nearest Sports"):
        chosen(venue, discover=True, categories=("Sport",))


def test_an_event_without_a_market_is_said_to_have_none() -> None:
    venue = Venue()
    empty = Says(200, b'{"markets":[],"cursor":""}')
    venue.wrong = lambda asked: empty if asked.path == "/markets" else None
    with pytest.raises(NothingToDo, match=r"0 seen.*lists no market there now"):
        chosen(venue, events=(NY,))


def test_a_key_that_is_refused_ends_the_choice() -> None:
    with pytest.raises(AuthenticationFailed):
        read(lambda asked: Says(401), lambda lists: lists.choose(UniverseSettings(tickers=("KXA-1",))))


# -- own places in the queue


def test_queue_positions_are_read_where_there_is_a_key() -> None:
    venue = Venue()
    book = BookSnapshot(ticker=f"{NY}-T0", bids=((40 * CENT, 7 * CONTRACT),), asks=((60 * CENT, CONTRACT),))
    venue.exchange.apply_flow(book, venue.now)
    order = OrderRequest(ticker=f"{NY}-T0", client_order_id="a", side=Side.BID, price=40 * CENT, size=CONTRACT)
    venue.exchange.place(venue.account, order, venue.now)
    positions = read(venue, lambda lists: lists.queue_positions([f"{NY}-T0", f"{NY}-T1"]), signer(ed25519_key()))
    assert positions is not None
    assert [(one.ticker, one.ahead) for one in positions] == [(f"{NY}-T0", 7 * CONTRACT)]


def test_queue_positions_that_are_refused_are_told_once_and_not_asked_for_again(told: list[str]) -> None:
    async def work(lists: ExchangeListing) -> list[object]:
        return [await lists.queue_positions([f"{NY}-T0"]) for _ in range(3)]

    venue = Venue()
    assert read(venue, work) == [None] * 3 and not venue.asked and not told, "no key"
    assert read(venue, work, signer(rsa_key())) == [None] * 3
    assert len(venue.asked) == 1 and told == ["collect.no_queue_positions"]


def test_queue_positions_come_back_when_the_exchange_does(told: list[str]) -> None:
    async def work(lists: ExchangeListing) -> list[object]:
        venue.wrong = lambda asked: Says(503)
        down = [await lists.queue_positions([f"{NY}-T0"]) for _ in range(2)]
        venue.wrong = lambda asked: None
        return [*down, await lists.queue_positions([f"{NY}-T0"])]

    venue = Venue()
    assert read(venue, work, signer(ed25519_key())) == [None, None, ()]
    assert told == ["collect.no_queue_positions"]


# -- the simulator as it is served


def test_the_served_simulator_with_faults_gives_the_same_choice() -> None:
    venue = Venue()
    calm = chosen(venue, discover=True, series=("KXMVEX",), categories=("Climate", "Combos"))
    plan = FaultPlan(seed=3, too_many=0.2, failed_after=0.1, hang_up=0.1)

    async def work(rest: str) -> Found:
        address = Address(environment="local", rest=rest, stream="ws://127.0.0.1:1/trade-api/ws/v2")
        wanted = UniverseSettings(discover=True, series=("KXMVEX",), categories=("Climate", "Combos"))
        async with Requester(address, None, settings(attempts=20), random.Random(2)) as requester:
            return await ExchangeListing(requester).choose(wanted)

    with serving(Surface(venue.exchange, Auth(), faults=Faults(plan))) as server:
        assert tickers(asyncio.run(work(server.rest))) == tickers(calm)
