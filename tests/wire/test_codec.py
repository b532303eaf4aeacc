"""Frames to messages: both forms, both settings, and what the exchange may add."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Kind, Status
from kalshi_ray.core.units import DOLLAR, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.decode import crossings, decode_book
from kalshi_ray.wire.messages import (
    Acknowledged,
    AnyMessage,
    BookDelta,
    BookSnapshot,
    CommandFailed,
    EventCreated,
    FeeChange,
    MarketChange,
    RecorderFacts,
    RecorderRow,
    RecorderSkip,
    Subscribed,
    Trade,
    Unknown,
    Unsubscribed,
)
from tests.examples import some_of

TIME = 1_790_922_689_123_000_000


def frame(kind: str, msg: Any = None, **envelope: Any) -> bytes:
    return json.dumps({"type": kind, **envelope} | ({} if msg is None else {"msg": msg})).encode()


def decode(kind: str, msg: Any = None, *, use_yes_price: bool = False, **envelope: Any) -> AnyMessage:
    return Codec(use_yes_price=use_yes_price).decode(frame(kind, msg, **envelope))


def snapshot(**sides: Any) -> BookSnapshot:
    message = decode("orderbook_snapshot", {"market_ticker": "A", **sides}, sid=1, seq=2)
    assert isinstance(message, BookSnapshot)
    return message


@pytest.mark.parametrize(
    "sides",
    [
        {"yes_dollars_fp": [["0.4600", "12.50"], ["0.4700", "3.00"]], "no_dollars_fp": [["0.4800", "2.00"]]},
        {"yes_dollars_fp": [[0.46, 12.5], [0.47, 3]], "no_dollars_fp": [[0.48, 2]]},
        {"yes_dollars": [["0.47", "3"], ["0.46", "12.5"]], "no_dollars": [["0.48", "2"]]},
        {"yes": [[46, 12.5], [47, 3]], "no": [[48, 2]]},
        {"yes": [[1, 1]], "yes_dollars": [["0.46", "12.50"], ["0.47", 3]], "no": [[48, 2]]},
    ],
)
def test_every_form_of_a_snapshot_is_the_same_book(sides: Any) -> None:
    message = snapshot(**sides)
    assert (message.bids, message.asks) == (((4700, 300), (4600, 1250)), ((5200, 200),))
    assert (message.sid, message.seq) == (1, 2)


def test_an_absent_side_is_empty() -> None:
    assert snapshot(yes_dollars_fp=[["0.01", "1.00"]]).asks == ()
    assert snapshot() == snapshot(yes_dollars_fp=None, no_dollars_fp=[])


def test_the_no_side_is_moved_to_the_yes_axis_once() -> None:
    leg = decode("orderbook_snapshot", {"market_ticker": "A", "no_dollars_fp": [["0.4800", "2.00"]]})
    yes = decode(
        "orderbook_snapshot", {"market_ticker": "A", "no_dollars_fp": [["0.5200", "2.00"]]}, use_yes_price=True
    )
    assert leg == yes
    delta = {"market_ticker": "A", "price_dollars": "0.4800", "delta_fp": "-2.00", "side": "no"}
    assert decode("orderbook_delta", delta) == BookDelta(ticker="A", side=Side.ASK, price=5200, change=-200)
    moved = decode("orderbook_delta", delta, use_yes_price=True)
    assert isinstance(moved, BookDelta) and moved.price == 4800
    bid = decode("orderbook_delta", delta | {"side": "yes"}, use_yes_price=True)
    assert bid == decode("orderbook_delta", delta | {"side": "yes"})


@pytest.mark.parametrize(
    "body",
    [
        {"price_dollars": "0.4700", "delta_fp": "-54.00"},
        {"price": 47, "delta": -54},
        {"price": 47, "price_dollars": 0.47, "delta": -54},
    ],
)
def test_every_form_of_a_delta_is_the_same_change(body: Any) -> None:
    assert decode("orderbook_delta", {"market_ticker": "A", "side": "yes", **body}, sid=1, seq=9) == BookDelta(
        sid=1, seq=9, ticker="A", side=Side.BID, price=4700, change=-5400
    )


def test_a_number_on_the_wire_is_read_digit_by_digit() -> None:
    """0.29 is no binary float: 0.29 * 100 is 28.999999999999996."""
    body = b'{"market_ticker":"A","side":"yes","price_dollars":0.29,"delta_fp":1406474.86}'
    raw = b'{"type":"orderbook_delta","msg":' + body + b"}"
    message = Codec(use_yes_price=False).decode(raw)
    assert isinstance(message, BookDelta)
    assert (message.price, message.change) == (2900, 140_647_486)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"ts_ms": 1_790_922_689_123, "ts": "2026-10-02T06:31:29.123456Z"}, TIME),
        ({"ts": "2026-10-02T06:31:29.123456Z"}, TIME + 456_000),
        ({"ts": 1_790_922_689}, 1_790_922_689_000_000_000),
        ({"ts_ms": 1_790_922_689_123, "ts_ns": TIME + 7}, TIME + 7),
        ({}, 0),
    ],
)
def test_the_exchange_time_is_in_milliseconds_where_sent(times: Any, expected: int) -> None:
    body = {"market_ticker": "A", "side": "yes", "price_dollars": "0.47", "delta_fp": "1.00", **times}
    message = decode("orderbook_delta", body)
    assert isinstance(message, BookDelta) and message.exch_ns == expected


@pytest.mark.parametrize(
    ("body", "taker"),
    [
        ({"taker_book_side": "ask", "taker_outcome_side": "no", "taker_side": "no"}, Side.ASK),
        ({"taker_outcome_side": "yes"}, Side.BID),
        ({"taker_side": "no"}, Side.ASK),
        ({}, Side.NONE),
        ({"taker_side": "both"}, Side.NONE),
    ],
)
@pytest.mark.parametrize(
    "price", [{"yes_price_dollars": "0.36"}, {"no_price_dollars": "0.64"}, {"yes_price": 36}, {"no_price": 64}]
)
def test_a_trade_has_one_yes_price_and_the_side_of_its_taker(body: Any, taker: Side, price: Any) -> None:
    message = decode("trade", {"market_ticker": "A", "count_fp": "136.00", "is_block_trade": True, **body, **price})
    assert message == Trade(ticker="A", price=3600, size=13_600, taker=taker, is_block=True)


def test_the_life_of_a_market() -> None:
    grid = [{"start": "0.0000", "end": "1.0000", "step": "0.0010", "label": "deci"}]
    created = decode(
        "market_lifecycle_v2",
        {
            "market_ticker": "A",
            "event_type": "created",
            "open_ts": 10,
            "close_ts": 20,
            "price_ranges": grid,
            "additional_metadata": {"event_ticker": "E", "rules_primary": "long"},
        },
    )
    assert created == MarketChange(
        ticker="A",
        change="created",
        status=Status.INITIALIZED,
        open_ns=10_000_000_000,
        close_ns=20_000_000_000,
        ranges=((0, DOLLAR, 10),),
        event="E",
    )
    body = {"market_ticker": "A", "event_type": "determined", "determination_ts": 30}
    for more, value in (
        ({"result": "yes"}, DOLLAR),
        ({"result": "scalar", "settlement_value": "0.2500"}, 2500),
        ({}, None),
    ):
        message = decode("market_lifecycle_v2", body | more)
        assert isinstance(message, MarketChange)
        assert (message.status, message.value, message.exch_ns) == (Status.DETERMINED, value, 30_000_000_000)
    for word, status in (("activated", Status.ACTIVE), ("deactivated", Status.INACTIVE), ("settled", Status.FINALIZED)):
        message = decode("multivariate_market_lifecycle", {"market_ticker": "A", "event_type": word})
        assert isinstance(message, MarketChange) and message.status is status


def test_events_and_their_fees() -> None:
    event = {"event_ticker": "E", "series_ticker": "S", "exchange_index": 0, "title": "", "subtitle": ""}
    assert decode("event_lifecycle", event) == EventCreated(event="E", series="S")
    override = {"event_ticker": "E", "fee_type_override": "quadratic", "fee_multiplier_override": 0.35}
    assert decode("event_fee_update", override) == FeeChange(event="E", fee_type="quadratic", multiplier_ppm=350_000)
    cleared = {"event_ticker": "E", "fee_type_override": None, "fee_multiplier_override": None}
    assert decode("event_fee_update", cleared) == FeeChange(event="E", fee_type=None, multiplier_ppm=None)


def test_control_frames_keep_their_place_in_the_sequence() -> None:
    assert decode("subscribed", {"channel": "trade", "sid": 2}, id=1) == Subscribed(sid=2, channel="trade", id=1)
    ok = decode("ok", {"market_tickers": ["A"]}, id=6, sid=1, seq=1)
    assert ok == Acknowledged(sid=1, seq=1, id=6, tickers=("A",))
    assert decode("ok", [{"channel": "trade", "sid": 2}], id=4) == Acknowledged(id=4, subscriptions=(("trade", 2),))
    assert decode("ok", id=4, sid=1, seq=3) == Acknowledged(id=4, sid=1, seq=3)
    assert decode("unsubscribed", id=5, sid=2, seq=7) == Unsubscribed(id=5, sid=2, seq=7)
    error = decode("error", {"code": 25, "msg": "overflow"}, sid=1, seq=8)
    assert error == CommandFailed(sid=1, seq=8, code=25, text="overflow")
    assert isinstance(error, CommandFailed) and error.is_terminal


def test_unknown_keys_are_counted_and_change_nothing() -> None:
    body = {"market_ticker": "A", "side": "yes", "price_dollars": "0.47", "delta_fp": 0.29, "flavour": {"deep": [1.5]}}
    codec = Codec(use_yes_price=False)
    for _ in range(3):
        message = codec.decode(frame("orderbook_delta", body, sid=1, seq=4, shard=7, client=None))
    assert message == BookDelta(sid=1, seq=4, ticker="A", side=Side.BID, price=4700, change=29)
    assert codec.unknown_keys == {
        "orderbook_delta.msg.flavour": 3,
        "orderbook_delta.shard": 3,
        "orderbook_delta.client": 3,
    }


def test_a_null_is_an_absent_key() -> None:
    body = {"market_ticker": "A", "side": "yes", "price_dollars": "0.47", "delta_fp": "1.00", "client_order_id": None}
    assert decode("orderbook_delta", body, seq=None) == BookDelta(ticker="A", side=Side.BID, price=4700, change=100)


def test_unknown_types_are_counted_and_kept() -> None:
    codec = Codec(use_yes_price=False)
    raw = frame("weather", {"temperature": 1.5}, sid=4, seq=9, sending_ts_ms=5)
    message = codec.decode(raw)
    assert message == Unknown(sid=4, seq=9, sent_ns=5_000_000, type="weather", raw=raw)
    assert codec.unknown_types == {"weather": 1}
    assert codec.encode(message) == raw


def test_unknown_words_are_counted() -> None:
    codec = Codec(use_yes_price=False)
    message = codec.decode(frame("market_lifecycle_v2", {"market_ticker": "A", "event_type": "paused"}))
    assert isinstance(message, MarketChange) and message.status is None
    codec.decode(frame("trade", {"market_ticker": "A", "yes_price": 1, "count": 1, "taker_side": "both"}))
    assert codec.unknown_words == {"market_lifecycle_v2 paused": 1, "trade taker both": 1}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b'{"type":"orderbook_delta","msg":', "not JSON"),
        (b"[]", "not a frame with a type"),
        (b'{"msg":{}}', "not a frame with a type"),
        (b'{"type":"orderbook_delta"}', "missing required field `msg`"),
        (b'{"type":"orderbook_delta","msg":[]}', "orderbook_delta: Expected `object`"),
        (b'{"type":"orderbook_delta","msg":{"market_ticker":"A","side":"yes","price":4}}', "delta is missing"),
        (b'{"type":"orderbook_delta","msg":{"market_ticker":"A","side":"yes","delta":4}}', "price is missing"),
        (b'{"type":"orderbook_delta","msg":{"market_ticker":"A","side":"up","price":4,"delta":1}}', "side 'up'"),
        (
            b'{"type":"orderbook_delta","msg":{"market_ticker":"A","side":"yes","price":"x","delta":1}}',
            "Invalid decimal",
        ),
        (
            b'{"type":"orderbook_delta","msg":{"market_ticker":"A","side":"yes","price":4,"delta":"0.001"}}',
            "more than 2",
        ),
        (b'{"type":"trade","msg":{"market_ticker":"A","count":1}}', "no_price is missing"),
        (b'{"type":"orderbook_snapshot","msg":{"market_ticker":"A","yes":[[101,1]]}}', "not between 0 and"),
        (b'{"type":"recorder_row","msg":{"market_ticker":"A","kind":"X"}}', "kind 'X' is none of SNAPSHOT_LEVEL"),
    ],
)
def test_a_broken_frame_is_an_error_that_shows_it(raw: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        Codec(use_yes_price=False).decode(raw)


tickers = st.sampled_from(["A", "KXBTCD-26JUL0317-T60499.99"])
prices = st.integers(1, DOLLAR - 1)
times = st.integers(0, TIME)
sizes = st.integers(1, 10**12)
levels = st.dictionaries(prices, sizes, max_size=8)
envelopes = {
    "sid": st.integers(0, 9),
    "seq": st.integers(0, 10**9),
    "sent_ns": st.integers(0, TIME // 10**6).map(lambda t: t * 10**6),
}
seconds = st.integers(0, TIME // 10**9).map(lambda t: t * 10**9)
messages = st.one_of(
    st.builds(
        BookSnapshot,
        ticker=tickers,
        bids=levels.map(lambda side: tuple(sorted(side.items(), reverse=True))),
        asks=levels.map(lambda side: tuple(sorted(side.items()))),
        exch_ns=times,
        **envelopes,
    ),
    st.builds(
        BookDelta,
        ticker=tickers,
        side=st.sampled_from([Side.BID, Side.ASK]),
        price=prices,
        change=st.integers(-(10**12), 10**12),
        exch_ns=times,
        **envelopes,
    ),
    st.builds(
        Trade,
        ticker=tickers,
        price=prices,
        size=sizes,
        taker=st.sampled_from(Side),
        exch_ns=times,
        is_block=st.booleans(),
        trade_id=st.sampled_from(["", "id-1"]),
        **envelopes,
    ),
    st.builds(
        MarketChange,
        ticker=tickers,
        change=st.sampled_from(["created"]),
        status=st.just(Status.INITIALIZED),
        open_ns=st.none() | seconds,
        close_ns=st.none() | seconds,
        ranges=st.none() | st.just(((0, 1000, 10), (1000, DOLLAR, 100))),
        event=st.sampled_from(["", "E"]),
        exch_ns=times,
        **envelopes,
    ),
    st.builds(
        MarketChange,
        ticker=tickers,
        change=st.just("determined"),
        status=st.just(Status.DETERMINED),
        result=st.just("scalar"),
        value=prices,
        exch_ns=times,
        **envelopes,
    ),
    st.builds(EventCreated, event=tickers, series=tickers, **envelopes),
    st.builds(
        FeeChange,
        event=tickers,
        fee_type=st.none() | st.just("quadratic"),
        multiplier_ppm=st.none() | st.integers(0, 10**7),
        **envelopes,
    ),
    st.builds(Acknowledged, id=st.integers(0, 5), tickers=st.lists(tickers).map(tuple), **envelopes),
    st.builds(RecorderSkip, **envelopes),
    st.builds(
        RecorderFacts,
        **envelopes,
        depth=st.sampled_from(["full", "best"]),
        sizes=st.sampled_from(["observed", "assumed"]),
        assumed_size=st.integers(0, 10**9),
    ),
    st.builds(Unsubscribed, id=st.integers(0, 5), **envelopes),
    st.builds(CommandFailed, code=st.integers(1, 28), text=st.text(max_size=5), ticker=tickers, **envelopes),
    st.builds(
        RecorderRow,
        ticker=st.just("") | tickers,
        kind=st.sampled_from(Kind),
        side=st.integers(-1, 1),
        price=st.integers(0, DOLLAR),
        size=st.integers(-(2**62), 2**62),
        taker=st.integers(-1, 1),
        flags=st.integers(0, 1),
        exch_ns=times,
        **envelopes,
    ),
)


@settings(derandomize=True, max_examples=some_of(500), deadline=None)
@given(messages, st.booleans())
def test_every_message_survives_its_frame(message: AnyMessage, use_yes_price: bool) -> None:
    codec = Codec(use_yes_price=use_yes_price)
    assert codec.decode(codec.encode(message)) == message
    assert not codec.unknown_keys and not codec.unknown_words


@settings(derandomize=True, max_examples=some_of(200), deadline=None)
@given(st.integers(1, 99), st.integers(-500, 500), st.sampled_from([Side.BID, Side.ASK]), st.booleans())
def test_whole_cents_survive_the_legacy_form(cents: int, contracts: int, side: Side, use_yes_price: bool) -> None:
    codec = Codec(use_yes_price=use_yes_price)
    delta = BookDelta(ticker="A", side=side, price=cents * 100, change=contracts * 100)
    assert b"dollars" not in codec.encode(delta, form="cents")
    assert codec.decode(codec.encode(delta, form="cents")) == delta
    book = BookSnapshot(ticker="A", bids=((cents * 100, 100),), asks=((cents * 100, 700),))
    assert codec.decode(codec.encode(book, form="cents")) == book
    trade = Trade(ticker="A", price=cents * 100, size=100, taker=side)
    assert codec.decode(codec.encode(trade, form="cents")) == trade


def test_the_legacy_form_refuses_what_it_cannot_say() -> None:
    codec = Codec(use_yes_price=False)
    with pytest.raises(WireError, match="whole cents"):
        codec.encode(BookDelta(ticker="A", side=Side.BID, price=4710, change=100), form="cents")
    with pytest.raises(WireError, match="whole contracts"):
        codec.encode(BookDelta(ticker="A", side=Side.BID, price=4700, change=150), form="cents")
    with pytest.raises(WireError, match="whole second"):
        codec.encode(MarketChange(ticker="A", change="close_date_updated", close_ns=1))


@pytest.mark.parametrize(
    "book",
    [
        b'{"orderbook_fp":{"no_dollars":[["0.4800","3.00"]],"yes_dollars":[["0.4700","3.00"]]}}',
        b'{"orderbook":{"yes":[[47,3]],"no":[[48,3]],"yes_dollars":[["0.4700",3]],"no_dollars":null}}',
        b'{"yes":[[47,3]],"no":[[48,3]]}',
    ],
)
def test_a_rest_book_has_no_leg_prices(book: bytes) -> None:
    assert decode_book("A", book) == BookSnapshot(ticker="A", bids=((4700, 300),), asks=((5200, 300),))


def test_an_empty_rest_book_is_empty() -> None:
    assert decode_book("A", b'{"orderbook":{"no":null,"no_dollars":null,"yes":null}}').bids == ()
    with pytest.raises(WireError, match="not an order book"):
        decode_book("A", b"[]")


def test_crossings_tell_which_axis_a_recording_has() -> None:
    deep = snapshot(yes_dollars_fp=[["0.4700", "1"]], no_dollars_fp=[["0.0100", "1"], ["0.4800", "1"]])
    assert crossings(deep) == (False, True)
    shallow = snapshot(yes_dollars_fp=[["0.4700", "1"]], no_dollars_fp=[["0.4800", "1"]])
    assert crossings(shallow) == (False, False)
    assert crossings(snapshot(yes_dollars_fp=[["0.4700", "1"]])) == (False, False)
