"""What we send, and what the simulator sends, is what the exchange's specification describes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Status
from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.wire import requests
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.commands import Code, Command, write_command
from kalshi_ray.wire.messages import (
    Acknowledged,
    BookDelta,
    BookSnapshot,
    EventCreated,
    FeeChange,
    MarketChange,
    Subscribed,
    Trade,
    Unsubscribed,
)
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import OrderRequest, OrderStatus, StreamMessage
from tests.examples import some_of
from tests.wire import specification, values
from tests.wire.pairs import NAMES, PAIRS, Pair

TIME = 1_790_922_689_123_456_789


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_every_body_is_as_specified(pair: Pair) -> None:
    validator = specification.body(pair.method, pair.template, pair.status)

    @settings(derandomize=True, max_examples=15, deadline=None)
    @given(pair.values)
    def is_as_specified(value: Any) -> None:
        validator.validate(json.loads(pair.write(value)))

    is_as_specified()


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_a_key_too_many_is_not_as_specified(pair: Pair) -> None:
    """The check bites: it knows every key at the top of every body."""
    validator = specification.body(pair.method, pair.template, pair.status)

    @settings(derandomize=True, max_examples=1, database=None)
    @given(pair.values)
    def is_noticed(value: Any) -> None:
        assert not validator.is_valid(json.loads(pair.write(value)) | {"flavour": 1})

    is_noticed()


@pytest.mark.parametrize("key", ["side", "count", "price", "time_in_force", "ticker"])
def test_an_order_with_a_wrong_key_is_not_as_specified(key: str) -> None:
    order = json.loads(requests.create_order(OrderRequest(ticker="A", client_order_id="", **LIMIT)).body)
    validator = specification.body("POST", "/portfolio/events/orders", 0)
    assert validator.is_valid(order)
    assert not validator.is_valid(order | {key: 1})
    assert not validator.is_valid({name: word for name, word in order.items() if name != key})


@pytest.mark.parametrize("name", ["fillPayload", "userOrderPayload", "marketPositionPayload", "tickerPayload"])
def test_a_frame_with_a_wrong_key_is_not_as_specified(name: str) -> None:
    validator = specification.payload(name)

    @settings(derandomize=True, max_examples=20, database=None)
    @given(values.private_messages)
    def is_noticed(message: StreamMessage) -> None:
        frame = json.loads(Codec(use_yes_price=False).encode(message, form="full"))
        if FRAMES[frame["type"]] == name:
            assert validator.is_valid(frame)
            for key, word in frame["msg"].items():
                changed = frame["msg"] | {key: [word]}
                assert not validator.is_valid(frame | {"msg": changed}) or key in ANYTHING, key
            assert not validator.is_valid(frame | {"msg": frame["msg"] | {"flavour": 1}})
        else:
            assert not validator.is_valid(frame)

    is_noticed()


LIMIT: dict[str, Any] = {"side": Side.BID, "size": 100, "price": 5000}
ANYTHING = {key for _, what, key, _ in specification.NEWER if what == "key"}
FRAMES = {
    "orderbook_snapshot": "orderbookSnapshotPayload",
    "orderbook_delta": "orderbookDeltaPayload",
    "trade": "tradePayload",
    "ticker": "tickerPayload",
    "fill": "fillPayload",
    "user_order": "userOrderPayload",
    "market_position": "marketPositionPayload",
    "order_group_updates": "orderGroupUpdatesPayload",
    "market_lifecycle_v2": "marketLifecycleV2Payload",
    "event_lifecycle": "eventLifecyclePayload",
    "event_fee_update": "eventFeeUpdatePayload",
    "subscribed": "subscribedResponsePayload",
    "unsubscribed": "unsubscribedResponsePayload",
    "ok": "okResponsePayload",
    "error": "errorResponsePayload",
}
# A plain result says its value, whether or not the frame does.
outcomes = st.sampled_from([("", None), ("yes", DOLLAR), ("no", 0)]) | st.tuples(st.just("scalar"), values.scale)
envelopes = {"sid": st.integers(1, 9), "seq": st.integers(1, 10**9), "sent_ns": values.milliseconds}
public_messages = st.one_of(
    st.builds(
        BookSnapshot,
        ticker=values.tickers,
        bids=values.ladders.map(lambda side: tuple(sorted(side.items(), reverse=True))),
        asks=values.ladders.map(lambda side: tuple(sorted(side.items()))),
        exch_ns=values.microseconds,
        id=st.integers(0, 9),
        **envelopes,
    ),
    st.builds(
        BookDelta,
        ticker=values.tickers,
        side=values.sides,
        price=values.prices,
        change=values.signed_sizes,
        exch_ns=values.microseconds,
        client_order_id=values.words,
        subaccount=values.subaccounts,
        **envelopes,
    ),
    st.builds(
        Trade,
        ticker=values.tickers,
        price=values.prices,
        size=values.sizes,
        taker=values.sides,
        exch_ns=values.microseconds,
        is_block=st.booleans(),
        trade_id=values.uuids,
        **envelopes,
    ),
    st.builds(
        MarketChange,
        ticker=values.tickers,
        change=st.sampled_from(["created", "activated", "deactivated", "determined", "settled"]),
        status=st.just(Status.ACTIVE),
        open_ns=st.none() | values.seconds,
        close_ns=st.none() | values.seconds,
        ranges=st.none() | values.grids,
        event=st.sampled_from(["", "E"]),
        exch_ns=values.microseconds,
        price_structure=st.sampled_from(["", "linear_cent"]),
        exchange_index=st.none() | values.real_shards,
        **envelopes,
    ).flatmap(lambda change: outcomes.map(lambda told: msgspec.structs.replace(change, result=told[0], value=told[1]))),
    st.builds(
        EventCreated,
        event=values.tickers,
        series=values.tickers,
        title=values.words,
        subtitle=values.words,
        collateral_return=st.sampled_from(["", "MECNET"]),
        exchange_index=values.real_shards,
        **envelopes,
    ),
    st.builds(
        FeeChange,
        event=values.tickers,
        fee_type=st.none() | values.fee_types,
        multiplier_ppm=st.none() | values.ppm,
        **envelopes,
    ),
    st.builds(Subscribed, channel=st.just("trade"), id=st.integers(0, 9), sid=st.integers(1, 9)),
    st.builds(Unsubscribed, id=st.integers(0, 9), **envelopes),
    st.builds(Acknowledged, id=st.integers(0, 9), tickers=values.tuples(values.tickers), **envelopes),
    st.builds(lambda code, id, sid: code.failure(id, sid=sid), st.sampled_from(Code), values.ids, values.sids),
)


@settings(derandomize=True, max_examples=some_of(400), deadline=None)
@given(public_messages | values.private_messages, st.booleans())
def test_every_frame_of_the_simulator_is_as_specified(message: StreamMessage, use_yes_price: bool) -> None:
    frame = json.loads(Codec(use_yes_price=use_yes_price).encode(message, form="full"))
    specification.payload(FRAMES[frame["type"]]).validate(frame)


@settings(derandomize=True, max_examples=some_of(200), deadline=None)
@given(public_messages | values.private_messages, st.booleans())
def test_a_full_frame_says_what_the_message_says_to_the_millisecond(
    message: StreamMessage, use_yes_price: bool
) -> None:
    codec = Codec(use_yes_price=use_yes_price)
    raw = codec.encode(message, form="full")
    again = codec.encode(codec.decode(raw), form="full")
    assert again == raw
    assert not codec.unknown_keys and not codec.unknown_types and not codec.unknown_words


def test_the_answer_to_list_subscriptions_is_as_specified() -> None:
    codec = Codec(use_yes_price=False)
    for subscriptions in ((), (("trade", 2), ("fill", 3))):
        message = Acknowledged(id=4, subscriptions=subscriptions)
        raw = codec.encode(message, form="full")
        specification.payload("listSubscriptionsResponsePayload").validate(json.loads(raw))
        assert codec.decode(raw) == message


@settings(derandomize=True, max_examples=some_of(200), deadline=None)
@given(values.commands)
def test_every_command_is_as_specified(command: Command) -> None:
    frame = json.loads(write_command(command))
    name = {
        "subscribe": "subscribeCommandPayload",
        "update_subscription": "updateSubscriptionCommandPayload",
        "unsubscribe": "unsubscribeCommandPayload",
        "list_subscriptions": "listSubscriptionsCommandPayload",
    }[frame["cmd"]]
    specification.payload(name).validate(frame)


REQUESTS: list[Request] = [
    requests.cancel_all(),
    requests.cancel_all(3),
    requests.get_orders(),
    requests.get_orders(
        ticker="A",
        events=["E", "F"],
        status=OrderStatus.RESTING,
        since_ns=TIME,
        until_ns=TIME,
        limit=1000,
        cursor="c",
        subaccount=0,
        exchange_index=1,
    ),
    requests.get_order("O"),
    requests.get_queue_positions(tickers=["A", "B"], event="E", subaccount=0),
    requests.get_queue_position("O"),
    requests.get_fills(
        tickers=["A", "B"],
        order_id="O",
        since_ns=TIME,
        until_ns=TIME,
        limit=5,
        cursor="c",
        subaccount=1,
        exchange_index=0,
    ),
    requests.get_positions(
        ticker="A",
        event="E",
        count_filter=["position", "total_traded"],
        settlement_status="all",
        limit=5,
        cursor="c",
        subaccount=1,
        exchange_index=0,
    ),
    requests.get_balance(subaccount=1, exchange_index=2),
    requests.get_settlements(ticker="A", event="E", since_ns=TIME, until_ns=TIME, limit=5, cursor="c", subaccount=0),
    requests.get_groups(subaccount=0),
    requests.get_group("G", subaccount=0),
    requests.delete_group("G", subaccount=1, exchange_index=0),
    requests.reset_group("G", subaccount=1, exchange_index=0),
    requests.trigger_group("G", subaccount=1, exchange_index=0),
    requests.limit_group("G", 1050, subaccount=1, exchange_index=0),
    requests.get_markets(
        tickers=["A", "B"],
        event="E",
        series="S",
        status="open",
        times={"min_close": TIME, "max_close": TIME},
        combos="exclude",
        limit=1000,
        cursor="c",
    ),
    requests.get_market("KXBTCD-26JUL0317-T60499.99"),
    requests.get_orderbook("A", 10),
    requests.get_orderbooks(["A", "B"]),
    requests.get_trades(ticker="A", since_ns=TIME, until_ns=TIME, is_block=False, limit=5, cursor="c"),
    requests.get_candlesticks("S", "A", since_ns=TIME, until_ns=TIME, minutes=60),
    requests.get_candlesticks_of_many(["A", "B"], since_ns=TIME, until_ns=TIME, minutes=1),
    requests.get_candlesticks_of_event("S", "E", since_ns=TIME, until_ns=TIME, minutes=1440),
    requests.get_events(
        tickers=["E"],
        series="S",
        status="open",
        with_markets=True,
        min_close_ns=TIME,
        min_updated_ns=TIME,
        limit=200,
        cursor="c",
    ),
    requests.get_event("E", with_markets=True),
    requests.get_series("S", with_volume=True),
    requests.get_series_list(category="Sports", tags=["a", "b"], with_volume=True),
    requests.get_series_fees(series="S", with_past=True),
    requests.get_event_fees(event="E", limit=5, cursor="c"),
    requests.get_status(),
    requests.get_schedule(),
    requests.get_user_data_timestamp(),
    requests.get_limits(),
    requests.get_endpoint_costs(),
]


def _random_writes() -> st.SearchStrategy[Request]:
    return st.one_of(
        values.order_requests.map(requests.create_order),
        st.lists(values.order_requests, min_size=1, max_size=3).map(requests.create_batch),
        values.cancels.map(requests.cancel_order),
        st.lists(values.cancels, min_size=1, max_size=3).map(requests.cancel_batch),
        values.amendments.map(requests.amend_order),
        values.decreases.map(requests.decrease_order),
        values.group_requests.map(requests.create_group),
    )


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: f"{one.method} {one.template}")
def test_every_call_is_as_specified(request_: Request) -> None:
    assert_is_as_specified(request_)


@settings(derandomize=True, max_examples=some_of(150), deadline=None)
@given(_random_writes())
def test_every_write_is_as_specified(request_: Request) -> None:
    assert_is_as_specified(request_)
    assert request_.is_write


def assert_is_as_specified(request_: Request) -> None:
    if (request_.method, request_.template) in specification.NEWER_CALLS:
        return
    call = specification.operation(request_.method, request_.template)
    known = specification.query(request_.method, request_.template)
    lists = [word for key, word in request_.query if key == "tickers"]
    for key, word in request_.query:
        if (request_.template, key) in specification.NEWER_QUERIES:
            continue
        assert key in known, f"{request_.template} has no {key}"
        kind = known[key].schema.get("type")
        known[key].validate(lists if kind == "array" else _typed(word))
    if request_.body:
        assert "requestBody" in call
        specification.body(request_.method, request_.template, 0).validate(json.loads(request_.body))
    else:
        assert not call.get("requestBody", {}).get("required")


def _typed(word: str) -> Any:
    """The word of a query as its schema means it."""
    if word in ("true", "false"):
        return word == "true"
    return int(word) if word.lstrip("-").isdigit() else word


def test_times_of_a_query_hold_what_was_asked_for() -> None:
    """The exchange filters by whole seconds: the first second rounds down and the last one up."""
    query = dict(requests.get_fills(since_ns=TIME, until_ns=TIME).query)
    assert int(query["min_ts"]) * SECOND <= TIME <= int(query["max_ts"]) * SECOND
    assert int(query["max_ts"]) - int(query["min_ts"]) == 1


def test_no_exception_is_listed_twice() -> None:
    listed = [(where, key) for where, _, key, _ in specification.NEWER]
    assert len(set(listed)) == len(listed)
