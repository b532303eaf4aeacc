"""Streams in memory: commands and their answers, numbers without holes, frames as specified, slow readers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import CENT, CONTRACT, DOLLAR, MILLISECOND, Side
from kalshi_ray.exchange.simulator.flow import FlowDelta
from kalshi_ray.exchange.simulator.stream_frames import Bodies
from kalshi_ray.exchange.simulator.stream_session import Session
from kalshi_ray.exchange.simulator.stream_settings import StreamSettings
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.messages import BookDelta
from kalshi_ray.wire.trading import Refused
from tests.exchange.simulator.asking import ORDERS, Asking
from tests.exchange.simulator.foreign import SOCKET, Foreigner, order_body
from tests.exchange.simulator.serving import A, B
from tests.wire import specification
from tests.wire.test_specification import FRAMES

Frame = dict[str, Any]


class Streaming(Asking):
    """A surface with connections; every frame that comes is checked against the specification."""

    def dial(self, who: Foreigner | None = None) -> Session:
        headers = (who or self.first).headers("GET", SOCKET, at_ms=self.now_ns // MILLISECOND)
        session = self.surface.open({name.lower(): word for name, word in headers.items()}, self.now_ns)
        assert isinstance(session, Session)
        return session

    def say(self, session: Session, cmd: str, id: int = 1, **params: Any) -> list[Frame]:
        """Send a command; the frames that come of it."""
        frame = {"id": id, "cmd": cmd} | ({"params": params} if params else {})
        self.surface.receive(session, json.dumps(frame), self.now_ns)
        return self.hear(session)

    def hear(self, session: Session) -> list[Frame]:
        frames = [json.loads(raw) for raw in session.send_due(self.now_ns)]
        for frame in frames:
            name = FRAMES[frame["type"]]
            if frame["type"] == "ok" and isinstance(frame["msg"], list):
                name = "listSubscriptionsResponsePayload"
            specification.payload(name).validate(frame)
        return frames


@pytest.fixture
def line() -> Streaming:
    return Streaming()


def kinds(frames: list[Frame]) -> list[str]:
    return [frame["type"] for frame in frames]


def flow(line: Streaming, side: Side, cents: int, contracts: int, ticker: str = A) -> None:
    delta = FlowDelta(ticker=ticker, side=side, price=cents * CENT, change=contracts * CONTRACT)
    line.exchange.apply_flow(delta, line.now_ns)
    line.surface.stream.publish(line.now_ns)


def test_a_handshake_is_signed_for_the_stream_and_in_time(line: Streaming) -> None:
    good = line.first.headers("GET", SOCKET, at_ms=line.now_ns // MILLISECOND)
    late = line.first.headers("GET", SOCKET, at_ms=line.now_ns // MILLISECOND - 30_000)
    lower = {name.lower(): word for name, word in good.items()}
    for headers in ({}, late, lower | {"kalshi-access-key": "nobody"}, lower | {"kalshi-access-signature": "eA=="}):
        refused = line.surface.open({name.lower(): word for name, word in headers.items()}, line.now_ns)
        assert isinstance(refused, Refused) and refused.status == 401
    assert isinstance(line.surface.open(lower, line.now_ns), Session)


def test_one_subscribe_of_several_channels_gives_each_its_sid(line: Streaming) -> None:
    session = line.dial()
    frames = line.say(session, "subscribe", channels=["orderbook_delta", "trade"], market_tickers=[A, B])
    assert kinds(frames) == ["subscribed", "orderbook_snapshot", "orderbook_snapshot", "subscribed"]
    assert [frame["msg"]["sid"] for frame in frames if frame["type"] == "subscribed"] == [1, 2]
    assert [(frame["sid"], frame["seq"]) for frame in frames[1:3]] == [(1, 1), (1, 2)]
    listed = line.say(session, "list_subscriptions", id=7)
    assert listed[0]["msg"] == [{"channel": "orderbook_delta", "sid": 1}, {"channel": "trade", "sid": 2}]


def test_markets_join_and_leave_and_every_numbered_frame_counts(line: Streaming) -> None:
    session = line.dial()
    line.say(session, "subscribe", channels=["orderbook_delta"], market_tickers=[A])
    added = line.say(session, "update_subscription", id=2, sids=[1], action="add_markets", market_tickers=[B])
    assert kinds(added) == ["ok", "orderbook_snapshot"]
    assert added[0]["msg"]["market_tickers"] == [A, B] and [one["seq"] for one in added] == [2, 3]
    flow(line, Side.BID, 10, 1, B)
    assert [frame["seq"] for frame in line.hear(session)] == [4]
    left = line.say(session, "update_subscription", id=3, sid=1, action="delete_markets", market_tickers=[B])
    assert left[0]["msg"]["market_tickers"] == [A]
    flow(line, Side.BID, 10, 1, B)
    assert line.hear(session) == []
    again = line.say(session, "update_subscription", id=4, sid=1, action="get_snapshot", market_tickers=[A])
    assert (again[0]["type"], again[0]["id"], again[0]["seq"]) == ("orderbook_snapshot", 4, 6)
    ended = line.say(session, "unsubscribe", id=5, sids=[1])
    assert (ended[0]["type"], ended[0]["sid"], ended[0]["seq"]) == ("unsubscribed", 1, 7)
    flow(line, Side.BID, 10, 1, A)
    assert line.hear(session) == []


def test_subscribing_again_joins_the_subscription_that_is_there(line: Streaming) -> None:
    session = line.dial()
    line.say(session, "subscribe", channels=["orderbook_delta"], market_tickers=[A])
    again = line.say(session, "subscribe", id=2, channels=["orderbook_delta"], market_tickers=[A, B])
    assert kinds(again) == ["subscribed", "orderbook_snapshot"]
    assert again[0]["msg"]["sid"] == 1 and again[1]["msg"]["market_ticker"] == B


WRONG: list[tuple[str, Any, int]] = [
    ("no JSON", b"{", 1),
    ("no object", b"[1]", 1),
    ("too deep", b"[" * 100_000, 1),
    ("no command", {"id": 1}, 5),
    ("no params", {"id": 1, "cmd": "subscribe"}, 2),
    ("no channels", {"id": 1, "cmd": "subscribe", "params": {}}, 3),
    ("an unknown channel", {"id": 1, "cmd": "subscribe", "params": {"channels": ["books"]}}, 8),
    ("a book without markets", {"id": 1, "cmd": "subscribe", "params": {"channels": ["orderbook_delta"]}}, 14),
    ("no sids", {"id": 1, "cmd": "unsubscribe", "params": {}}, 4),
    ("an unknown sid", {"id": 1, "cmd": "unsubscribe", "params": {"sids": [9]}}, 7),
    ("an update of an unknown sid", {"id": 1, "cmd": "update_subscription",
     "params": {"sids": [9], "action": "add_markets", "market_tickers": [A]}}, 7),
    ("two sids", {"id": 1, "cmd": "update_subscription", "params": {"sids": [1, 2], "action": "add_markets"}}, 12),
    ("no action", {"id": 1, "cmd": "update_subscription", "params": {"sids": [1]}}, 15),
    ("an unknown action", {"id": 1, "cmd": "update_subscription", "params": {"sids": [1], "action": "swap"}}, 13),
    ("a snapshot of trades", {"id": 1, "cmd": "update_subscription",
     "params": {"sids": [1], "action": "get_snapshot", "market_tickers": [A]}}, 13),
    ("values of other places", {"id": 1, "cmd": "subscribe", "params": {"channels": ["pyth_value"]}}, 10),
]  # fmt: skip


@pytest.mark.parametrize(("said", "code"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_command_that_cannot_be_has_its_code_and_disturbs_nothing(line: Streaming, said: Any, code: int) -> None:
    session = line.dial()
    line.say(session, "subscribe", channels=["trade"], market_tickers=[A])
    line.surface.receive(session, said if isinstance(said, bytes) else json.dumps(said), line.now_ns)
    frames = line.hear(session)
    assert [(frame["type"], frame["msg"]["code"]) for frame in frames] == [("error", code)]
    line("POST", ORDERS, order_body(A, price="0.4800", count="1"))
    assert [(frame["type"], frame["seq"]) for frame in line.hear(session)] == [("trade", 1)]


def test_private_channels_tell_their_owner_and_nobody_else(line: Streaming) -> None:
    own, other = line.dial(), line.dial(line.second)
    channels = ["fill", "user_orders", "market_positions", "order_group_updates"]
    for session in (own, other):
        assert kinds(line.say(session, "subscribe", channels=channels)) == ["subscribed"] * 4
    line("POST", "/portfolio/order_groups/create", {"contracts_limit": 5})
    line("POST", ORDERS, order_body(A, price="0.4800", count="2", client_order_id="mine"))
    frames = line.hear(own)
    assert sorted(set(kinds(frames))) == ["fill", "market_position", "order_group_updates", "user_order"]
    assert all(("seq" in frame) == (frame["type"] == "order_group_updates") for frame in frames)
    fill = next(frame["msg"] for frame in frames if frame["type"] == "fill")
    assert (fill["client_order_id"], fill["post_position_fp"], fill["is_taker"]) == ("mine", "2.00", True)
    assert line.hear(other) == []


def test_the_life_of_a_market_is_told(line: Streaming) -> None:
    session = line.dial()
    line.say(session, "subscribe", channels=["market_lifecycle_v2"])
    line.exchange.set_status(A, Status.INACTIVE, line.now_ns)
    line.exchange.set_status(A, Status.ACTIVE, line.now_ns)
    line.exchange.settle_at(A, DOLLAR, line.now_ns)
    line.wait(1)
    frames = line.hear(session)
    assert [frame["msg"]["event_type"] for frame in frames] == ["deactivated", "activated", "determined", "settled"]
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4]


def test_a_ticker_is_told_at_once_where_that_is_asked(line: Streaming) -> None:
    session = line.dial()
    frames = line.say(session, "subscribe", channels=["ticker"], send_initial_snapshot=True)
    assert [one["msg"].get("market_ticker") for one in frames[1:]] == [A, B]
    market_id = frames[1]["msg"]["market_id"]
    other = line.dial()
    by_id = line.say(other, "subscribe", channels=["ticker"], market_ids=[market_id], send_initial_snapshot=True)
    assert [one["msg"].get("market_ticker") for one in by_id[1:]] == [A]


def test_a_slow_reader_loses_the_subscription_with_code_25_and_can_begin_again() -> None:
    line = Streaming(stream=StreamSettings(buffered_frames=5))
    slow, quick = line.dial(), line.dial()
    for session in (slow, quick):
        line.say(session, "subscribe", channels=["orderbook_delta"], market_tickers=[A])
    heard = []
    for _ in range(8):
        flow(line, Side.BID, 10, 1)
        heard += line.hear(quick)
    assert kinds(heard) == ["orderbook_delta"] * 8
    frames = line.hear(slow)
    assert kinds(frames) == ["orderbook_delta"] * 5 + ["error"]
    assert (frames[-1]["msg"]["code"], frames[-1]["sid"], frames[-1]["seq"]) == (25, 1, 7)
    again = line.say(slow, "subscribe", id=2, channels=["orderbook_delta"], market_tickers=[A])
    assert again[0]["msg"]["sid"] == 2 and again[1]["seq"] == 1


def test_limits_of_a_connection_have_their_codes() -> None:
    line = Streaming(stream=StreamSettings(market_limit=1, commands_per_second=3))
    session = line.dial()
    two = line.say(session, "subscribe", channels=["orderbook_delta"], market_tickers=[A, B])
    assert two[0]["msg"]["code"] == 26
    line.say(session, "list_subscriptions")
    line.say(session, "list_subscriptions")
    assert line.say(session, "list_subscriptions")[0]["msg"]["code"] == 27
    line.wait(1)
    assert line.say(session, "list_subscriptions")[0]["type"] == "ok"


def test_a_connection_that_is_gone_is_forgotten(line: Streaming) -> None:
    session = line.dial()
    line.say(session, "subscribe", channels=["orderbook_delta", "fill"], market_tickers=[A])
    line.surface.stream.close(session)
    flow(line, Side.BID, 10, 1)
    assert not session.has_frames and not line.surface.stream.sessions


@settings(max_examples=200, deadline=None)
@given(
    side=st.sampled_from([Side.BID, Side.ASK]), price=st.integers(1, DOLLAR - 1), change=st.integers(-(10**9), 10**9),
    at=st.integers(0, 2**61), use_yes_price=st.booleans(), ticker=st.text(min_size=1, max_size=10),
)  # fmt: skip
def test_the_short_way_to_a_delta_writes_what_the_long_one_does(
    side: Side, price: int, change: int, at: int, use_yes_price: bool, ticker: str
) -> None:
    delta = BookDelta(ticker=ticker, market_id="u", side=side, price=price, change=change, exch_ns=at)
    short = Bodies(delta).frame(3, 9, at, use_yes_price=use_yes_price)
    numbered = BookDelta(
        ticker=ticker, market_id="u", side=side, price=price, change=change, exch_ns=at, sid=3, seq=9, sent_ns=at
    )
    long = json.loads(Codec(use_yes_price=use_yes_price).encode(numbered, form="full"))
    assert json.loads(short) == {"sending_ts_ms": at // MILLISECOND} | long
