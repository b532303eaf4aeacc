"""A feed alone: what it asks for, what it makes of each answer, and what it does about silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest

from kalshi_ray.core.tape import GapCause, Kind
from kalshi_ray.core.units import MILLISECOND, SECOND, Side
from kalshi_ray.errors import ConfigError, UnknownName, UsageError
from kalshi_ray.exchange.feed import Feed
from kalshi_ray.exchange.feed_events import Broken, Cause, Dead, Missed, Missing, Stale
from kalshi_ray.exchange.feed_settings import MARKETS_MOST, FeedSettings, plan_connections
from kalshi_ray.exchange.subscription import NEXT, State, Subscription, Word
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    Command,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
    read_command,
)
from kalshi_ray.wire.messages import BookDelta, BookSnapshot, CommandFailed, Subscribed, Trade, Unknown
from kalshi_ray.wire.trading import FillMessage, TickerMessage
from tests.data.samples import recorded
from tests.wire.test_recorded_frames import RECORDINGS, frames_of

NOW = 1_791_000_000 * SECOND
BOOKS = FeedSettings(channels=(Channel.BOOK,))


def frame(kind: str, msg: Any = None, **envelope: Any) -> bytes:
    return msgspec.json.encode({"type": kind, **envelope} | ({} if msg is None else {"msg": msg}))


def snapshot(ticker: str, seq: int, sid: int = 1, bids: Any = (("0.4700", "3.00"),), **more: Any) -> bytes:
    asks = [("0.5300", "2.00")]
    body = {"market_ticker": ticker, "yes_dollars_fp": list(bids), "no_dollars_fp": asks}
    return frame("orderbook_snapshot", body, sid=sid, seq=seq, **more)


def delta(ticker: str, seq: int, sid: int = 1, change: str = "1.00", price: str = "0.4700", **more: Any) -> bytes:
    body = {"market_ticker": ticker, "side": "yes", "price_dollars": price, "delta_fp": change} | more
    return frame("orderbook_delta", body, sid=sid, seq=seq)


def subscribed(id: int, sid: int = 1, channel: str = "orderbook_delta") -> bytes:
    return frame("subscribed", {"channel": channel, "sid": sid}, id=id)


def error(code: int, **envelope: Any) -> bytes:
    ticker = {"market_ticker": envelope.pop("ticker")} if "ticker" in envelope else {}
    return frame("error", {"code": code, "msg": "no"} | ticker, **envelope)


class Talk:
    """A feed, its clock, and the commands and events so far."""

    def __init__(self, settings: FeedSettings = BOOKS, tickers: Iterable[str] = ("A", "B")) -> None:
        self.feed, self.now = Feed(settings, tickers), NOW
        self.events: list[Any] = []
        self.commands = self._read(self.feed.connect(self.now))

    def hear(self, *frames: bytes) -> list[Any]:
        """Frames come; the events they bring."""
        found = [event for raw in frames for event in self.feed.receive(raw, self.now)]
        self.events += found
        return found

    def wait(self, seconds: float) -> list[Any]:
        """Time passes in tenths of a second, with pings; the commands that are sent."""
        sent = []
        for _ in range(round(10 * seconds)):
            self.now += 100 * MILLISECOND
            self.feed.heard(self.now)
            sent += self._read(self.feed.due(self.now))
        self.events += self.feed.take_events()
        self.commands += sent
        return [one for one in sent if not isinstance(one, ListSubscriptions)]

    def is_known(self, *tickers: str) -> list[bool]:
        return [self.feed.books[ticker].known for ticker in tickers]

    def _read(self, commands: list[bytes]) -> list[Command]:
        read = [read_command(raw) for raw in commands]
        assert not any(isinstance(one, CommandFailed) for one in read)
        return read  # type: ignore[return-value]


def live(settings: FeedSettings = BOOKS, tickers: Iterable[str] = ("A", "B")) -> Talk:
    """A talk whose books A and B are known; the next number of sid 1 is 3."""
    talk = Talk(settings, tickers)
    talk.hear(subscribed(1), snapshot("A", 1), snapshot("B", 2))
    assert talk.is_known("A", "B") == [True, True]
    return talk


# -- subscribing


def test_each_channel_is_asked_for_with_what_it_takes() -> None:
    every = (Channel.BOOK, Channel.TRADE, Channel.TICKER, Channel.FILL, Channel.ORDERS, Channel.LIFECYCLE)
    talk = Talk(FeedSettings(channels=every, all_markets=(Channel.TICKER,), use_yes_price=False))
    assert talk.commands == [
        Subscribe(id=1, channels=(Channel.BOOK,), tickers=("A", "B"), use_yes_price=False),
        Subscribe(id=2, channels=(Channel.TRADE,), tickers=("A", "B")),
        *(Subscribe(id=3 + at, channels=(channel,)) for at, channel in enumerate(every[2:])),
    ]


def test_a_book_is_unknown_until_its_snapshot_and_deltas_before_it_are_ignored() -> None:
    talk = Talk()
    talk.hear(subscribed(1))
    assert talk.hear(delta("A", 1)) == []
    assert talk.is_known("A", "B") == [False, False]
    assert talk.feed.books.early == 1
    (event,) = talk.hear(snapshot("A", 2))
    assert isinstance(event, BookSnapshot)
    (event,) = talk.hear(delta("A", 3))
    assert isinstance(event, BookDelta)
    assert talk.is_known("A", "B") == [True, False]
    assert talk.feed.books["A"].bids == ((4700, 400),) and talk.feed.books["A"].best_ask == 5300


def test_subscriptions_have_numbers_of_their_own() -> None:
    talk = Talk(FeedSettings())
    talk.hear(subscribed(1, 1), subscribed(2, 2, "trade"), snapshot("A", 1), snapshot("B", 2))
    trade = {"market_ticker": "A", "yes_price_dollars": "0.4700", "count_fp": "1.00", "taker_book_side": "bid"}
    (event,) = talk.hear(frame("trade", trade, sid=2, seq=1))
    assert isinstance(event, Trade)
    missed, event = talk.hear(frame("trade", trade, sid=2, seq=5))
    assert missed == Missed(channel=Channel.TRADE, sid=2, frames=3) and isinstance(event, Trade)
    assert talk.is_known("A", "B") == [True, True], "a gap of trades is none of books"


def test_control_frames_take_numbers() -> None:
    talk = live()
    talk.hear(frame("ok", {"market_tickers": ["A", "B"]}, id=9, sid=1, seq=3), error(11, id=9, sid=1, seq=4))
    talk.hear(delta("A", 5))
    assert talk.feed.counts["gaps"] == 0
    talk.hear(delta("A", 7))
    assert talk.feed.counts["gaps"] == 1


def test_an_answer_ok_confirms_a_subscription_as_well() -> None:
    talk = Talk()
    talk.hear(frame("ok", id=1, sid=4, seq=1), snapshot("A", 2, sid=4))
    assert talk.is_known("A") == [True]


def test_a_subscription_that_is_not_answered_is_asked_for_again() -> None:
    talk = Talk(FeedSettings(channels=(Channel.BOOK,), answer_s=2.0, retry_s=1.0))
    assert talk.wait(2.5) == []
    (again,) = talk.wait(1.0)
    assert again == Subscribe(id=2, channels=(Channel.BOOK,), tickers=("A", "B"), use_yes_price=True)
    talk.wait(2.1)
    talk.hear(subscribed(2), snapshot("A", 1))
    assert talk.is_known("A") == [True], "a late confirmation counts"
    assert not any(isinstance(one, Subscribe) for one in talk.wait(20))


@pytest.mark.parametrize(
    ("code", "asks_again"), [(27, True), (18, True), (1, True), (9, False), (5, False), (8, False)]
)
def test_a_refused_subscription_is_asked_for_again_only_if_that_can_help(code: int, asks_again: bool) -> None:
    talk = Talk()
    events = talk.hear(error(code, id=1))
    assert any(isinstance(event, CommandFailed) for event in events)
    finals = [event for event in events if isinstance(event, Dead)]
    assert finals == ([] if asks_again else [Dead(sid=0, channel=Channel.BOOK, code=code, text="no", is_final=True)])
    assert bool(talk.wait(1)) == asks_again
    talk.feed.lost(talk.now)
    assert talk.feed.connect(talk.now), "another connection, another chance"


def refusing(talk: Talk, refused: Collection[str], seconds: float, **error_of: Any) -> list[tuple[str, ...]]:
    """An exchange that takes no command that names one of these markets; what was named to it."""
    named, sid = [], 1
    for _ in range(round(10 * seconds)):
        for one in talk.wait(0.1):
            assert isinstance(one, Subscribe | UpdateSubscription)
            if isinstance(one, UpdateSubscription) and one.action is not Action.ADD:
                continue
            named.append(one.tickers)
            if bad := [ticker for ticker in one.tickers if ticker in refused]:
                said = {"ticker": bad[0]} if error_of.get("says_which") else {}
                talk.hear(error(error_of["code"], id=one.id, **said))
            elif isinstance(one, Subscribe):
                talk.hear(subscribed(one.id, sid), *(snapshot(each, 0, sid) for each in one.tickers))
            else:
                talk.hear(frame("ok", id=one.id, sid=sid), *(snapshot(each, 0, sid) for each in one.tickers))
    return named


@pytest.mark.parametrize("says_which", [False, True])
@pytest.mark.parametrize("code", [11, 16])
def test_a_market_that_the_exchange_does_not_take_costs_the_others_nothing(code: int, says_which: bool) -> None:
    tickers = [f"T{number}" for number in range(40)]
    talk = Talk(tickers=tickers)
    talk.hear(error(code, id=1, **({"ticker": "T7"} if says_which else {})))
    named = refusing(talk, {"T7", "T31"}, 20, code=code, says_which=says_which)
    known = dict(zip(tickers, talk.is_known(*tickers)))
    assert {ticker for ticker, is_known in known.items() if not is_known} == {"T7", "T31"}
    assert len(named) < 30
    missing = [event for event in talk.events if isinstance(event, Missing) and event.code == code]
    assert sorted(one.tickers for one in missing) == [("T31",), ("T7",)], "told once"
    refusing(talk, (), 40, code=code)
    assert talk.is_known("T7", "T31") == [True, True], "it may be taken later: it was new"


def test_where_the_exchange_takes_so_many_markets_only_as_many_are_recorded_and_the_others_are_told() -> None:
    tickers = [f"T{number}" for number in range(40)]
    talk, taken = Talk(tickers=tickers), set[str]()
    commands, sent = talk.commands, 0
    for _ in range(600):
        for one in commands:
            sent += 1
            assert isinstance(one, Subscribe | UpdateSubscription)
            if isinstance(one, UpdateSubscription) and one.action is not Action.ADD:
                continue
            if len(taken) + len(one.tickers) > 25:
                talk.hear(error(26, id=one.id))
                continue
            taken |= set(one.tickers)
            answer = subscribed(one.id) if isinstance(one, Subscribe) else frame("ok", id=one.id, sid=1)
            talk.hear(answer, *(snapshot(each, 0) for each in one.tickers))
        commands = talk.wait(0.1)
    assert len(taken) == 25 and all(talk.is_known(*taken)) and sent < 30
    (missing,) = [event for event in talk.events if isinstance(event, Missing)]
    assert missing.code == 26 and taken.isdisjoint(missing.tickers) and len(missing.tickers) == 15


def test_an_exchange_that_takes_no_market_is_asked_less_and_less() -> None:
    tickers = [f"T{number}" for number in range(40)]
    talk = Talk(tickers=tickers)
    talk.hear(error(16, id=1))
    assert 6 < len(refusing(talk, tickers, 60, code=16)) < 20


def test_books_of_markets_whose_prints_are_refused_are_not_asked_for_until_the_prints_come() -> None:
    talk = Talk(FeedSettings(channels=(Channel.TRADE, Channel.BOOK), books_need_trades=True))
    talk.hear(error(16, id=1, ticker="B"))
    (trades,) = talk.wait(0.5)
    assert trades == Subscribe(id=2, channels=(Channel.TRADE,), tickers=("A",))
    talk.hear(subscribed(2, 1, "trade"))
    (books,) = talk.wait(0.5)
    assert isinstance(books, Subscribe) and books.tickers == ("A",)
    talk.hear(subscribed(books.id, 2), snapshot("A", 1, sid=2))
    assert talk.wait(25) == []
    (again,) = talk.wait(7)
    assert isinstance(again, UpdateSubscription) and (again.sid, again.tickers) == (1, ("B",))
    talk.hear(frame("ok", id=again.id, sid=1, seq=1))
    (join,) = talk.wait(0.1)
    assert isinstance(join, UpdateSubscription) and (join.sid, join.tickers) == (2, ("B",))


def test_a_subscription_that_the_exchange_has_already_is_found_in_its_list() -> None:
    """The confirmation was lost, and asking again is refused: an exchange that does not take it for an addition."""
    talk = Talk(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0))
    talk.wait(1.5)
    again = talk.commands[-1]
    assert isinstance(again, Subscribe)
    talk.hear(error(6, id=again.id))
    talk.wait(0.1)
    listing = talk.commands[-1]
    assert isinstance(listing, ListSubscriptions)
    talk.hear(frame("ok", [{"channel": "orderbook_delta", "sid": 3}, {"channel": "fill", "sid": 4}], id=listing.id))
    asked = [one for one in talk.wait(2) if isinstance(one, UpdateSubscription)]
    assert {(one.sid, one.action, one.tickers) for one in asked} == {(3, Action.SNAPSHOT, ("A", "B"))}
    talk.hear(snapshot("A", 7, sid=3), snapshot("B", 8, sid=3), delta("A", 9, sid=3))
    talk.wait(0.5)
    talk.hear(snapshot("A", 10, sid=3), snapshot("B", 11, sid=3))
    assert talk.is_known("A", "B") == [True, True]
    assert not any(isinstance(one, Subscribe) for one in talk.wait(20))


# -- gaps


def test_a_gap_makes_every_book_of_the_sid_unknown_and_asks_for_all_of_them() -> None:
    talk = live()
    assert talk.hear(delta("A", 4)) == [Stale(tickers=("A", "B"), cause=Cause.GAP, sid=1)]
    assert talk.is_known("A", "B") == [False, False]
    (ask,) = talk.wait(0.1)
    assert isinstance(ask, UpdateSubscription)
    assert (ask.sid, ask.action, ask.tickers) == (1, Action.SNAPSHOT, ("A", "B"))
    talk.hear(snapshot("A", 5, id=ask.id))
    assert talk.is_known("A", "B") == [True, False]
    talk.hear(delta("A", 6), snapshot("B", 7, id=ask.id))
    assert talk.is_known("A", "B") == [True, True] and talk.feed.books["A"].bids == ((4700, 400),)
    assert talk.wait(20) == []


def test_a_frame_that_comes_late_is_a_duplicate() -> None:
    """Number 4 before number 3: the gap was there, and snapshots make up for it."""
    talk = live()
    talk.hear(delta("A", 4))
    assert talk.hear(delta("A", 3)) == [] and talk.feed.counts["duplicates"] == 1
    assert talk.is_known("A") == [False]


def test_a_frame_that_comes_twice_counts_once() -> None:
    talk = live()
    first, again = talk.hear(delta("A", 3)), talk.hear(delta("A", 3))
    assert len(first) == 1 and again == []
    assert talk.hear(snapshot("A", 1)) == [], "the first number too, on the same connection"
    assert talk.feed.books["A"].bids == ((4700, 400),) and talk.feed.counts["duplicates"] == 2


def again_from_one(talk: Talk, ask: Unsubscribe) -> None:
    """The subscription ends and is made anew."""
    talk.hear(frame("unsubscribed", id=ask.id, sid=1, seq=99))
    (subscribe,) = talk.wait(1)
    talk.hear(subscribed(subscribe.id), snapshot("A", 1), snapshot("B", 2), delta("A", 3))
    assert talk.is_known("A", "B") == [True, True] and talk.wait(20) == []


def test_a_number_that_came_before_on_a_later_frame_is_no_duplicate_and_the_subscription_is_made_anew() -> None:
    """An exchange that counts from one again, on the same connection and without a word."""
    talk = live()
    now_ms = NOW // MILLISECOND
    talk.hear(*(delta("A", 3 + at, ts_ms=now_ms + at) for at in range(20)))
    assert talk.hear(delta("A", 4, ts_ms=now_ms + 1)) == [] and talk.is_known("A") == [True], "a duplicate"
    assert talk.hear(delta("A", 5, ts_ms=now_ms + 9 * 3_600_000)) == [], "no time that can be"
    assert talk.is_known("A") == [True]
    restart = talk.hear(delta("A", 1, ts_ms=now_ms + 20))
    assert restart == [Stale(tickers=("A", "B"), cause=Cause.RESTART, sid=1)]
    assert talk.hear(delta("A", 2, ts_ms=now_ms + 21)) == [], "told once"
    (ask,) = talk.wait(0.1)
    assert isinstance(ask, Unsubscribe)
    again_from_one(talk, ask)


def test_where_frames_have_no_times_a_run_of_numbers_that_came_before_is_a_new_count() -> None:
    talk = live()
    talk.hear(*(delta("A", 3 + at) for at in range(40)))
    for at in range(10):
        assert talk.hear(delta("A", 3 + at)) == talk.hear(delta("A", 20)) == [], "sent twice"
    found = talk.hear(*(delta("A", 1 + at) for at in range(20)))
    assert found == [Stale(tickers=("A", "B"), cause=Cause.RESTART, sid=1)]
    (ask,) = talk.wait(0.1)
    assert isinstance(ask, Unsubscribe)
    again_from_one(talk, ask)


def test_a_new_count_is_noticed_behind_frames_that_were_judged_together() -> None:
    talk = live()
    now_ms = NOW // MILLISECOND
    frames = [delta("A", 3 + at, ts_ms=now_ms + at) for at in range(20)] + [delta("A", 4, ts_ms=now_ms + 20)]
    events = talk.feed.receive_many(frames, np.full(21, talk.now))
    assert events == [Stale(tickers=("A", "B"), cause=Cause.RESTART, sid=1)]
    assert list(talk.feed.rows.rows["kind"][-2:]) == [Kind.DELTA, Kind.GAP]


def test_a_book_that_is_not_sent_is_asked_for_again_and_then_told_as_missing() -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0, attempts=2))
    talk.hear(delta("A", 5))
    talk.wait(0.2)
    talk.hear(snapshot("A", 6))
    asked = [one.tickers for one in talk.wait(15) if isinstance(one, UpdateSubscription)]
    assert asked[0] == ("B",) and len(asked) >= 3
    assert [e for e in talk.events if isinstance(e, Missing)] == [Missing(tickers=("B",), channel=Channel.BOOK)]
    assert talk.is_known("A") == [True], "one silent market does not cost the others their books"


def test_a_market_whose_book_is_asked_for_in_vain_is_left_and_joined_anew() -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0, attempts=2))
    talk.hear(delta("B", 3, change="-9.00"))
    talk.hear(delta("A", 4))
    sent = talk.wait(3)
    part, join = (one for one in sent if isinstance(one, UpdateSubscription) and one.action is not Action.SNAPSHOT)
    assert (part.action, part.tickers, join.action, join.tickers) == (Action.DELETE, ("B",), Action.ADD, ("B",))
    talk.hear(snapshot("B", 5))
    assert talk.is_known("B") == [False], "it may lack what comes before the market is joined again"
    talk.hear(frame("ok", id=part.id, sid=1, seq=6), frame("ok", id=join.id, sid=1, seq=7), snapshot("B", 8))
    assert talk.is_known("A", "B") == [True, True]
    assert talk.hear(delta("B", 9)) and talk.wait(20) == []


@pytest.mark.parametrize("answer", ["silence", "refusal"])
def test_where_snapshots_do_not_come_the_subscription_is_made_anew(answer: str) -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0, attempts=2))
    talk.hear(delta("A", 5))
    (ask,) = talk.wait(0.2)
    if answer == "refusal":
        talk.hear(error(13, id=ask.id))
    sent = talk.wait(8 if answer == "silence" else 0.2)
    leave = next(one for one in sent if isinstance(one, Unsubscribe))
    assert leave.sids == (1,)
    talk.hear(frame("unsubscribed", id=leave.id, sid=1, seq=6))
    again = next(one for one in [*sent, *talk.wait(2)] if isinstance(one, Subscribe))
    talk.hear(subscribed(again.id, 1), snapshot("A", 1), snapshot("B", 2))
    assert talk.is_known("A", "B") == [True, True], "the sid may be the same, its numbers begin anew"


@pytest.mark.parametrize(
    "frames",
    [
        [delta("A", 3, change="-3.01")],
        [delta("A", 3, price="0.5300")],
        [delta("A", 3, price="1.0000")],
        [snapshot("A", 3, bids=[("0.5300", "1.00")])],
        [snapshot("A", 3, bids=[("0.4600", "-1.00")])],
    ],
    ids=["negative", "locked", "no price", "crossed snapshot", "negative snapshot"],
)
def test_a_book_that_cannot_be_right_is_stale_alone(frames: list[bytes]) -> None:
    talk = live()
    events = talk.hear(*frames)
    assert Stale(tickers=("A",), cause=Cause.WRONG, sid=1) in events
    assert talk.is_known("A", "B") == [False, True]
    (ask,) = talk.wait(0.5)
    assert isinstance(ask, UpdateSubscription) and ask.tickers == ("A",)
    talk.hear(snapshot("A", 4))
    assert talk.is_known("A") == [True]


def test_a_snapshot_in_prices_of_the_other_axis_is_told_as_such() -> None:
    """An exchange that does not know use_yes_price sends NO bids at their own prices: 0.38 for an ask at 0.62."""
    talk = live()
    body = {"market_ticker": "A", "yes_dollars_fp": [["0.6000", "3.00"]], "no_dollars_fp": [["0.3800", "2.00"]]}
    events = talk.hear(frame("orderbook_snapshot", body, sid=1, seq=3))
    assert Stale(tickers=("A",), cause=Cause.AXIS, sid=1) in events and "collect.use_yes_price" in Cause.AXIS.value


def test_a_book_that_stays_wrong_is_asked_for_less_and_less() -> None:
    talk = live()
    times = []
    talk.hear(delta("A", seq := 3, change="-9.00"))
    for _ in range(1200):
        for ask in talk.wait(0.1):
            assert isinstance(ask, UpdateSubscription) and ask.tickers == ("A",)
            times.append(talk.now)
            talk.hear(snapshot("A", seq := seq + 1, bids=[("0.9900", "1.00")]))
    pauses = np.diff(times) / SECOND
    assert list(pauses) == sorted(pauses) and pauses[-1] > 25
    assert talk.is_known("B") == [True] and not any(isinstance(one, Unsubscribe) for one in talk.commands)


# -- ends


@pytest.mark.parametrize("code", [10, 17, 25])
@pytest.mark.parametrize("names", [{"sid": 1, "seq": 3}, {}], ids=["with sid", "without"])
def test_a_dead_subscription_is_asked_for_again(code: int, names: dict[str, int]) -> None:
    talk = live()
    events = talk.hear(error(code, **names))
    assert Dead(sid=1, channel=Channel.BOOK, code=code, text="no") in events
    assert Stale(tickers=("A", "B"), cause=Cause.DEAD, sid=1) in events
    assert talk.hear(delta("A", 4)) == [] and talk.feed.counts["frames of no subscription"] == 1
    (again,) = talk.wait(1)
    assert isinstance(again, Subscribe)
    talk.hear(subscribed(again.id, 2), snapshot("A", 1, sid=2), snapshot("B", 2, sid=2))
    assert talk.is_known("A", "B") == [True, True]


def test_a_subscription_that_the_exchange_does_not_list_is_dead() -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), audit_s=10.0))
    talk.wait(21)
    asked = [one for one in talk.commands if isinstance(one, ListSubscriptions)]
    assert len(asked) >= 2
    talk.hear(frame("ok", [{"channel": "orderbook_delta", "sid": 1}], id=asked[-2].id))
    assert talk.is_known("A") == [True]
    events = talk.hear(frame("ok", [], id=asked[-1].id))
    assert [type(event) for event in events if not hasattr(event, "subscriptions")] == [Stale, Dead]
    assert talk.is_known("A") == [False] and isinstance(talk.wait(1)[0], Subscribe)


@pytest.mark.parametrize(
    "answer",
    [
        frame("ok", id=0),
        frame("ok", {"subscriptions": []}, id=0),
        frame("ok", [{"channel": "orderbook_delta", "sid": 1, "market_tickers": ["A", "B"]}], id=0),
        error(5, id=0),
        error(10, id=0),
    ],
    ids=["nothing", "another form", "more keys", "unknown command", "an error"],
)
def test_an_answer_that_lists_no_subscriptions_says_nothing_of_them(answer: bytes) -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), audit_s=10.0))
    talk.wait(11)
    listing = [one for one in talk.commands if isinstance(one, ListSubscriptions)][-1]
    talk.hear(answer.replace(b'"id":0', f'"id":{listing.id}'.encode()))
    assert talk.is_known("A", "B") == [True, True] and talk.wait(5) == []


def test_an_exchange_that_unsubscribes_us_is_asked_again() -> None:
    talk = live()
    events = talk.hear(frame("unsubscribed", sid=1, seq=3))
    assert any(isinstance(event, Dead) and event.code == 0 for event in events)
    assert isinstance(talk.wait(1)[0], Subscribe)


def test_a_lost_connection_makes_every_book_unknown_and_begins_anew() -> None:
    talk = live()
    assert talk.feed.lost(talk.now) == [Stale(tickers=("A", "B"), cause=Cause.LOST, sid=1)]
    assert talk.is_known("A", "B") == [False, False] and not talk.feed.is_online
    assert talk.feed.lost(talk.now) == [] and talk.feed.due(talk.now) == []
    assert talk.hear(delta("A", 3)) == [] and talk.feed.counts["frames without a connection"] == 1
    (first,) = (read_command(raw) for raw in talk.feed.connect(talk.now))
    assert isinstance(first, Subscribe) and first.id == 1
    talk.hear(subscribed(1), snapshot("A", 1))
    assert talk.is_known("A") == [True]


@pytest.mark.parametrize("is_heard", ["frame", "ping", "nothing"])
def test_silence_counts_as_a_lost_connection(is_heard: str) -> None:
    talk = live()
    talk.feed.due(later := NOW + 27 * SECOND)
    assert talk.feed.is_online
    if is_heard == "frame":
        talk.feed.receive(frame("nothing we know"), later)
    elif is_heard == "ping":
        talk.feed.heard(later)
    talk.feed.due(NOW + 28 * SECOND)
    assert talk.feed.is_online == (is_heard != "nothing") == talk.is_known("A")[0]
    events = talk.feed.take_events()
    assert events == ([] if is_heard != "nothing" else [Stale(tickers=("A", "B"), cause=Cause.LOST, sid=1)])


# -- markets come and go


def test_markets_are_added_and_dropped_while_it_runs() -> None:
    talk = live()
    talk.feed.add(["C", "A"])
    talk.feed.drop(["B"])
    assert talk.feed.tickers == ("A", "C") and "B" not in talk.feed.books
    part, join = talk.wait(0.1)
    assert (part.action, part.tickers, join.action, join.tickers) == (Action.DELETE, ("B",), Action.ADD, ("C",))
    talk.hear(frame("ok", {}, id=part.id, sid=1, seq=3), frame("ok", {}, id=join.id, sid=1, seq=4))
    assert talk.hear(delta("B", 5)) == [] and talk.feed.counts["frames of other markets"] == 1
    talk.hear(snapshot("C", 6))
    assert talk.is_known("A", "C") == [True, True]
    assert talk.wait(20) == []


def test_a_market_that_is_dropped_before_it_was_asked_for_is_never_asked_for() -> None:
    talk = live()
    talk.feed.add(["C"])
    talk.feed.drop(["C"])
    talk.feed.drop(["B"])
    talk.feed.add(["B"])
    (ask,) = talk.wait(0.1)
    assert (ask.action, ask.tickers) == (Action.SNAPSHOT, ("B",)), "B is still joined: no snapshot comes by itself"
    assert talk.is_known("B") == [False]


def test_a_market_that_comes_back_gets_its_book() -> None:
    talk = live()
    talk.feed.drop(["B"])
    talk.feed.add(["B"])
    (ask,) = talk.wait(0.1)
    assert (ask.action, ask.tickers) == (Action.SNAPSHOT, ("B",))
    talk.hear(delta("B", 3), snapshot("B", 4))
    assert talk.is_known("B") == [True] and talk.feed.books["B"].bids == ((4700, 300),)
    assert talk.wait(20) == []


def test_a_book_that_was_on_its_way_when_its_market_was_left_does_not_count() -> None:
    """Changes between the end of the old subscription to it and the start of the other are never sent."""
    talk = live()
    talk.feed.drop(["B"])
    (part,) = talk.wait(0.1)
    talk.feed.add(["B"])
    (join,) = talk.wait(0.1)
    assert (part.action, join.action) == (Action.DELETE, Action.ADD)
    for receive in (talk.hear, lambda raw: talk.feed.receive_many([raw], np.array([talk.now]))):
        receive(snapshot("B", talk.feed.counts["frames of other markets"] + 3))
        assert talk.is_known("A", "B") == [True, False]
    talk.hear(frame("ok", {}, id=part.id, sid=1, seq=5), frame("ok", {}, id=join.id, sid=1, seq=6))
    assert talk.feed.receive_many([snapshot("B", 7)], np.array([talk.now])) == []
    assert talk.is_known("A", "B") == [True, True]


def test_without_any_market_there_is_no_subscription() -> None:
    """An empty list would mean all markets."""
    talk = live()
    talk.feed.drop(["A", "B"])
    (leave,) = talk.wait(0.1)
    assert isinstance(leave, Unsubscribe)
    talk.hear(frame("unsubscribed", id=leave.id, sid=1, seq=3))
    assert talk.wait(10) == []
    talk.feed.add(["D"])
    (ask,) = talk.wait(0.1)
    assert isinstance(ask, Subscribe) and ask.tickers == ("D",)


def test_an_addition_that_is_refused_is_told_and_one_that_is_not_answered_is_made_again() -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0))
    talk.feed.add(["C"])
    (join,) = talk.wait(0.1)
    assert talk.hear(error(26, id=join.id))[1] == Missing(tickers=("C",), channel=Channel.BOOK, code=26)
    assert talk.wait(5) == []
    talk.feed.add(["D"])
    sent = talk.wait(3)
    assert [one.action for one in sent].count(Action.ADD) >= 2 and {one.tickers for one in sent} == {("D",)}
    assert talk.is_known("A") == [True]


def test_answers_without_an_id_are_for_the_first_change_of_their_subscription() -> None:
    talk = live(FeedSettings(channels=(Channel.BOOK,), answer_s=1.0))
    talk.feed.drop(["A"])
    talk.feed.add(["C"])
    sent = talk.wait(0.1)
    assert [one.action for one in sent if isinstance(one, UpdateSubscription)] == [Action.DELETE, Action.ADD]
    talk.hear(frame("ok", sid=1, seq=3))
    talk.feed.add(["A"])
    (join,) = talk.wait(0.1)
    talk.hear(frame("ok", sid=1, seq=4), snapshot("C", 5), frame("ok", sid=1, seq=6), snapshot("A", 7))
    assert talk.is_known("A", "B", "C") == [True] * 3 and join.tickers == ("A",)
    assert talk.wait(20) == []


def test_large_lists_are_sent_in_parts_and_commands_are_bounded() -> None:
    tickers = [f"T{number}" for number in range(1000)]
    settings = FeedSettings(channels=(Channel.BOOK,), tickers_per_command=10, commands_per_second=20)
    talk = Talk(settings, tickers)
    assert [one.tickers for one in talk.commands] == [tuple(tickers[:10])]
    talk.hear(subscribed(1))
    times = []
    for _ in range(100):
        times += [talk.now] * len(sent := talk.wait(0.1))
        talk.hear(*(frame("ok", {}, id=one.id) for one in sent))
        if len(times) >= 99:
            break
    joined = [t for one in talk.commands for t in one.tickers]
    assert joined[:1000] == tickers
    assert all(sum(t <= other < t + SECOND for other in times) <= 20 for t in times)


def test_what_cannot_be_asked_for_is_refused() -> None:
    feed = Feed(tickers=["A"])
    with pytest.raises(UsageError, match="a ticker is empty"):
        feed.add([""])
    with pytest.raises(UnknownName, match=r"no ticker of this feed named 'B'\. .*Known: A"):
        feed.drop(["A", "B"])
    assert feed.tickers == ("A",)
    with pytest.raises(UsageError, match="500001 markets on one connection; the exchange takes 500000"):
        feed.add(str(n) for n in range(MARKETS_MOST))
    with pytest.raises(UsageError, match="1 frames and 2 times"):
        feed.receive_many([b"{}"], np.zeros(2, np.int64))


# -- frames


def test_what_is_not_known_is_kept_and_what_is_broken_is_told() -> None:
    talk = live()
    raw = frame("weather", {"rain": True}, sid=1, seq=3)
    assert talk.hear(raw) == [Unknown(sid=1, seq=3, type="weather", raw=raw)]
    assert talk.feed.codec.unknown_types == {"weather": 1}
    for broken in (b"{", b"", b"\xff", frame("orderbook_delta", {"market_ticker": 4}, sid=7, seq=4)):
        (event,) = talk.hear(broken)
        assert isinstance(event, Broken) and event.raw == broken
    assert talk.is_known("A") == [True]


def test_books_are_unknown_from_a_frame_on_that_cannot_be_read_and_the_next_one_is_no_second_gap() -> None:
    talk = live()
    broken = delta("A", 3, price="0.47123")
    first, stale = talk.hear(broken)
    assert isinstance(first, Broken) and stale == Stale(tickers=("A", "B"), cause=Cause.GAP, sid=1)
    assert [type(event) for event in talk.hear(broken, snapshot("A", 4))] == [Broken, BookSnapshot]
    assert talk.is_known("A", "B") == [True, False]
    assert (talk.feed.counts["gaps"], talk.feed.counts["duplicates"]) == (1, 1)


def test_a_print_that_cannot_be_read_is_told_as_missed() -> None:
    talk = Talk(FeedSettings(channels=(Channel.TRADE,)), ("A",))
    talk.hear(frame("subscribed", {"channel": "trade", "sid": 1}, id=talk.commands[0].id))
    _, missed = talk.hear(frame("trade", {"market_ticker": "A", "count_fp": "x"}, sid=1, seq=3))
    assert missed == Missed(channel=Channel.TRADE, sid=1, frames=3)


@pytest.mark.parametrize(
    "raw",
    [
        frame("orderbook_delta", {"market_ticker": "A", "side": "yes", "price_dollars": "0.4", "delta_fp": "1"}, sid=9),
        delta("Z", 3),
        frame("recorder_row", {"market_ticker": "A", "kind": "GAP"}, sid=1, seq=3),
        frame("trade", {"market_ticker": "A", "yes_price_dollars": "0.47", "count_fp": "1.00"}, sid=1, seq=3),
        delta("A", 2**70),
    ],
    ids=["no such sid", "another market", "ours", "a trade among books", "no such number"],
)
def test_frames_that_do_not_belong_here_change_nothing(raw: bytes) -> None:
    talk = live()
    assert talk.hear(raw) == []
    assert talk.is_known("A", "B") == [True, True] and talk.feed.books["A"].bids == ((4700, 300),)
    assert sum(talk.feed.counts.values()) == 1


def test_times_out_of_range_do_not_cost_a_delta() -> None:
    talk = live()
    talk.hear(delta("A", 3, ts_ms=10**30))
    assert talk.feed.books["A"].bids == ((4700, 400),)


def test_channels_without_numbers_pass_through() -> None:
    talk = Talk(FeedSettings(channels=(Channel.BOOK, Channel.TICKER, Channel.FILL)))
    talk.hear(subscribed(1), subscribed(2, 2, "ticker"), subscribed(3, 3, "fill"))
    fill = {
        "order_id": "o", "market_ticker": "Z", "is_taker": True, "yes_price_dollars": "0.5000", "count_fp": "1.00",
        "book_side": "bid",
    }  # fmt: skip
    events = talk.hear(
        frame("ticker", {"market_ticker": "A", "price_dollars": "0.4800"}, sid=2),
        frame("ticker", {"market_ticker": "Z", "price_dollars": "0.4800"}, sid=2),
        frame("fill", fill, sid=3),
        frame("fill", fill, sid=3),
    )
    assert [type(event) for event in events] == [TickerMessage, FillMessage, FillMessage]


def test_trades_of_all_markets_get_rows() -> None:
    talk = Talk(FeedSettings(channels=(Channel.TRADE,), all_markets=(Channel.TRADE,)), tickers=())
    assert talk.commands == [Subscribe(id=1, channels=(Channel.TRADE,))]
    talk.hear(subscribed(1, 1, "trade"))
    trades = [
        frame("trade", {"market_ticker": t, "yes_price_dollars": "0.47", "count_fp": "1.00"}, sid=1, seq=at + 1)
        for at, t in enumerate("XYXY")
    ]
    assert talk.feed.receive_many(trades, np.arange(4)) == []
    assert [talk.feed.names.tickers[row["market"]] for row in talk.feed.rows.rows] == list("XYXY")


def test_rows_hold_gaps_in_their_place_and_events_what_rows_cannot_say() -> None:
    talk = live()
    frames = [
        delta("A", 3),
        delta("B", 4, client_order_id="mine"),
        delta("A", 6),
        snapshot("A", 7),
        delta("A", 8, change="-9.00"),
        frame("weather", sid=1, seq=9),
    ]
    events = talk.feed.receive_many(frames, np.arange(6))
    assert [type(event) for event in events] == [BookDelta, Stale, Stale, Unknown]
    assert events[0].client_order_id == "mine"
    rows = [(int(row["market"]), Kind(row["kind"]), int(row["size"])) for row in talk.feed.rows.rows]
    assert rows == [
        (0, Kind.DELTA, 100),
        (1, Kind.DELTA, 100),
        (-1, Kind.GAP, GapCause.SEQUENCE),
        (0, Kind.DELTA, 100),
        (0, Kind.SNAPSHOT_LEVEL, 300),
        (0, Kind.SNAPSHOT_LEVEL, 200),
        (0, Kind.SNAPSHOT_END, 0),
        (0, Kind.GAP, GapCause.SEQUENCE),  # instead of a change that no book can hold
    ]
    talk.feed.rows.clear()
    talk.hear(snapshot("A", 10))
    assert len(talk.feed.rows) == 0, "typed messages keep no rows"
    talk.feed.lost(talk.now)
    assert talk.feed.rows.rows["size"].tolist() == [GapCause.RECONNECT]


@pytest.mark.parametrize(("name", "use_yes_price"), RECORDINGS)
def test_recorded_streams_make_the_same_books_one_by_one_and_in_batches(name: str, use_yes_price: bool) -> None:
    frames = list(frames_of(recorded(*name.split("/"))))
    bodies = [msgspec.json.decode(raw) for raw in frames]
    tickers = sorted({b["msg"]["market_ticker"] for b in bodies if "market_ticker" in b.get("msg", ())})
    settings = FeedSettings(use_yes_price=use_yes_price)
    feeds = [Feed(settings, tickers) for _ in range(2)]
    sids = {b["sid"]: "trade" if b["type"] == "trade" else "orderbook_delta" for b in bodies if "sid" in b}
    for feed in feeds:
        feed.connect(NOW)
        for sid, channel in sids.items():
            feed.receive(subscribed(0, sid, channel), NOW)
    for raw in frames:
        feeds[0].receive(raw, NOW)
    feeds[1].receive_many(frames, np.full(len(frames), NOW))
    assert feeds[0].counts == feeds[1].counts
    for ticker in tickers:
        one, other = (feed.books[ticker] for feed in feeds)
        assert (one.known, one.bids, one.asks) == (other.known, other.bids, other.asks)
    if name.startswith(("jfreun", "ws_rest")):
        assert feeds[0].counts["gaps"] == 0 and feeds[0].counts["wrong books"] == 0
        assert any(feeds[0].books[ticker].known for ticker in tickers)


# -- settings, tables, plans


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"channels": ()}, "at least one channel"),
        ({"channels": (Channel.BOOK, Channel.BOOK)}, "none twice"),
        ({"channels": (Channel.COMMUNICATIONS,)}, "communications, which is not read here"),
        ({"all_markets": (Channel.BOOK,)}, "all_markets holds orderbook_delta"),
        ({"all_markets": (Channel.TICKER,)}, "all_markets holds ticker"),
        ({"silence_s": 0}, "silence_s must be above 0"),
        ({"commands_per_second": 10_001}, "commands_per_second must be from 1 to 10000"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeedSettings(**given)


def test_every_pair_of_the_table_leads_on_and_every_other_is_an_error() -> None:
    for state, word in product(State, Word):
        subscription = Subscription(Channel.BOOK, BOOKS)
        subscription.state = state
        if (state, word) in NEXT:
            subscription.turn(word)
            assert subscription.state is NEXT[state, word]
        else:
            with pytest.raises(RuntimeError, match=f"that is {state.name} cannot {word.name}"):
                subscription.turn(word)
    assert all((state, Word.LOSE) in NEXT for state in State), "a connection can be lost at any time"


@pytest.mark.parametrize(
    ("count", "per_connection", "sizes"),
    [(0, 5, []), (1, 5, [1]), (5, 5, [5]), (6, 5, [3, 3]), (1001, 250, [200, 200, 200, 200, 201])],
)
def test_connections_are_as_few_as_can_be_and_evenly_filled(count: int, per_connection: int, sizes: list[int]) -> None:
    tickers = [f"T{number}" for number in range(count)]
    plan = plan_connections([*tickers, *tickers[:1]], per_connection)
    assert [len(part) for part in plan] == sizes
    assert [ticker for part in plan for ticker in part] == tickers


@pytest.mark.parametrize("per_connection", [0, -1, MARKETS_MOST + 1])
def test_a_connection_takes_at_least_one_market_and_no_more_than_the_exchange_allows(per_connection: int) -> None:
    with pytest.raises(ConfigError, match="a connection takes 1 to 500000 markets"):
        plan_connections(["A"], per_connection)


def test_sides_of_books_are_of_the_yes_axis() -> None:
    talk = live()
    assert talk.feed.books["A"].size_at(Side.ASK, 5300) == 200
    assert isinstance(talk.hear(subscribed(7, 5, "no channel of ours"))[0], Subscribed)


# -- a tape that needs its prints

TAPE = FeedSettings(channels=(Channel.TRADE, Channel.BOOK), books_need_trades=True)
PRINT = {"market_ticker": "A", "yes_price_dollars": "0.4700", "count_fp": "1.00", "taker_book_side": "bid"}


def recording() -> Talk:
    """A talk whose books A and B are known and need trades: books on sid 2 up to number 2, trades on sid 1."""
    talk = Talk(TAPE)
    talk.hear(subscribed(1, 1, "trade"))
    talk.wait(0.1)
    talk.hear(subscribed(2, 2), snapshot("A", 1, 2), snapshot("B", 2, 2))
    assert talk.is_known("A", "B") == [True, True]
    talk.feed.rows.clear()
    return talk


def told_gaps(talk: Talk) -> list[tuple[int, int]]:
    """(sid, cause) of the gaps of all markets."""
    return [(row["sid"], row["size"]) for row in talk.feed.rows.rows if row["kind"] == Kind.GAP and row["market"] < 0]


def without_ids(commands: list[Command]) -> list[Command]:
    """Commands to compare, whatever audits were between them."""
    return [msgspec.structs.replace(command, id=0) for command in commands]


def hear_rows(talk: Talk, *frames: bytes) -> None:
    """Frames come, and their rows are kept."""
    talk.events += talk.feed.receive_many(frames, np.full(len(frames), talk.now))


def test_books_that_need_trades_are_not_asked_for_before_the_trades_come() -> None:
    talk = Talk(TAPE)
    assert talk.commands == [Subscribe(id=1, channels=(Channel.TRADE,), tickers=("A", "B"))]
    assert talk.wait(1) == []
    talk.hear(subscribed(1, 1, "trade"))
    books = Subscribe(id=2, channels=(Channel.BOOK,), tickers=("A", "B"), use_yes_price=True)
    assert talk.wait(0.1) == [books]


def test_a_market_joins_the_books_when_it_has_joined_the_trades() -> None:
    talk = recording()
    talk.feed.add(["C"])
    join = UpdateSubscription(id=0, sid=1, action=Action.ADD, tickers=("C",))
    assert without_ids(talk.wait(1)) == [join]
    (again,) = talk.wait(5)
    assert without_ids([again]) == [join], "unanswered: again"
    talk.hear(frame("ok", {"market_tickers": ["A", "B", "C"]}, id=again.id, sid=1, seq=1))
    assert without_ids(talk.wait(0.1)) == [msgspec.structs.replace(join, sid=2)]


def test_where_trades_are_refused_for_good_books_come_without_them_and_that_is_told() -> None:
    talk = Talk(TAPE)
    (dead,) = (event for event in talk.hear(error(13, id=1)) if isinstance(event, Dead))
    assert dead.channel is Channel.TRADE and dead.is_final
    assert [one.channels for one in talk.wait(0.1) if isinstance(one, Subscribe)] == [(Channel.BOOK,)]
    talk.hear(subscribed(2, 1), snapshot("A", 1))
    assert talk.is_known("A", "B") == [True, False]


def test_a_missing_print_is_a_gap_of_trades_and_books_and_the_books_are_asked_for() -> None:
    talk = recording()
    hear_rows(talk, frame("trade", PRINT, sid=1, seq=1), frame("trade", PRINT, sid=1, seq=3))
    assert [row["kind"] for row in talk.feed.rows.rows] == [Kind.TRADE, Kind.GAP, Kind.GAP, Kind.TRADE]
    assert told_gaps(talk) == [(1, GapCause.SEQUENCE), (2, GapCause.SEQUENCE)]
    assert Missed(channel=Channel.TRADE, sid=1, frames=1) in talk.events
    assert Stale(tickers=("A", "B"), cause=Cause.GAP, sid=2) in talk.events
    asked = UpdateSubscription(id=0, sid=2, action=Action.SNAPSHOT, tickers=("A", "B"))
    assert without_ids(talk.wait(0.1)) == [asked]


def test_while_a_trade_subscription_is_dead_no_snapshot_makes_a_book_known() -> None:
    talk = recording()
    hear_rows(talk, error(25, sid=1, seq=1), delta("A", 3, 2), snapshot("B", 4, 2))
    assert told_gaps(talk) == [(1, GapCause.SEQUENCE), (2, GapCause.SEQUENCE)] and len(talk.feed.rows) == 2
    assert talk.is_known("A", "B") == [False, False]
    assert talk.feed.counts["frames of books without their prints"] == 2
    (asked,) = talk.wait(0.5)
    assert without_ids([asked]) == [Subscribe(id=0, channels=(Channel.TRADE,), tickers=("A", "B"))]
    talk.hear(subscribed(asked.id, 5, "trade"))
    books = UpdateSubscription(id=0, sid=2, action=Action.SNAPSHOT, tickers=("A", "B"))
    assert without_ids(talk.wait(0.1)) == [books]
    talk.hear(snapshot("A", 5, 2), snapshot("B", 6, 2))
    assert talk.is_known("A", "B") == [True, True] and talk.feed.counts["gaps"] == 0


def test_a_lost_connection_is_a_gap_of_trades_and_books() -> None:
    talk = recording()
    talk.feed.lost(talk.now)
    assert sorted(told_gaps(talk)) == [(1, GapCause.RECONNECT), (2, GapCause.RECONNECT)]


def test_rows_say_the_sids_they_are_told_whatever_the_exchange_calls_them() -> None:
    talk = Talk(BOOKS)
    talk.feed = Feed(TAPE, ["A"], sids={Channel.BOOK: 113, Channel.TRADE: 114})
    talk.feed.connect(talk.now)
    talk.hear(subscribed(1, 1, "trade"))
    talk.wait(0.1)
    trades = [frame("trade", PRINT, sid=1, seq=1), frame("trade", PRINT | {"unknown": 1}, sid=1, seq=2)]
    hear_rows(talk, subscribed(2, 2), snapshot("A", 1, 2), *trades, delta("A", 2, 2), delta("A", 5, 2))
    assert set(talk.feed.rows.rows["sid"].tolist()) == {113, 114}
    talk.feed.lost(talk.now)
    assert told_gaps(talk) == [(113, 1), (114, 3), (113, 3)] or sorted(told_gaps(talk)) == [
        (113, 1),
        (113, 3),
        (114, 3),
    ]


def test_tickers_that_nobody_reads_pass_without_an_event() -> None:
    channels = (Channel.BOOK, Channel.TICKER)
    talk = Talk(FeedSettings(channels=channels, unread=(Channel.TICKER,)))
    ticker = frame("ticker", {"market_ticker": "A", "price_dollars": "0.4800", "whatever": 1}, sid=2)
    hear_rows(talk, subscribed(1), subscribed(2, 2, "ticker"), snapshot("A", 1), ticker, delta("A", 2), ticker)
    assert talk.feed.aside == [0, 1] and not any(isinstance(event, TickerMessage) for event in talk.events)
    assert not talk.feed.counts and talk.feed.books["A"].bids == ((4700, 400),)


def test_where_nothing_was_due_it_makes_no_difference_that_it_was_asked() -> None:
    talk = recording()
    before = talk.feed.acts
    for _ in range(300):  # 30 s: an audit, and what became of it
        talk.now += 100 * MILLISECOND
        talk.feed.heard(talk.now)
        talk.feed.due(talk.now)
    assert talk.feed.acts - before <= 3
    acts = talk.feed.acts
    talk.hear(delta("A", 9, 2))
    talk.feed.due(talk.now)
    assert talk.feed.acts == acts + 1, "snapshots are asked for"
    talk.now += 60 * SECOND
    for _ in range(2):
        assert talk.feed.due(talk.now) == [] and talk.feed.acts == acts + 2, "silence, once"


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": (Channel.BOOK,), "books_need_trades": True},
        {"channels": (Channel.TRADE,), "books_need_trades": True},
        {"channels": (Channel.BOOK,), "unread": (Channel.TICKER,)},
        {"channels": (Channel.BOOK, Channel.TRADE), "unread": (Channel.TRADE,)},
    ],
)
def test_a_tape_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        FeedSettings(**wrong)
