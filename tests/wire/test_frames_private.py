"""The private channels and the ticker: today's words and the deprecated ones, exactly, and nothing fatal."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import MILLISECOND, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.messages import BookDelta, Unknown
from kalshi_ray.wire.trading import (
    FillMessage,
    GroupMessage,
    Order,
    OrderMessage,
    OrderStatus,
    PositionMessage,
    SelfTrade,
    StreamMessage,
    TickerMessage,
)
from tests.examples import some_of
from tests.wire import values

MS = 1_790_922_689_123
UUID = "367dcce8-d796-4ed5-80ff-ddec69845a41"

# As the reference writes them (protocol.md, 4.4).
FILL = {
    "trade_id": UUID, "order_id": UUID, "client_order_id": "my-1", "market_ticker": "KXA-26-T1", "exchange_index": 0,
    "is_taker": True, "outcome_side": "yes", "book_side": "bid", "yes_price_dollars": "0.7500", "count_fp": "278.00",
    "fee_cost": "3.648800", "post_position_fp": "500.00", "ts": 1790922689, "ts_ms": MS, "side": "yes",
    "action": "buy", "purchased_side": "yes", "subaccount": 0,
}  # fmt: skip
ORDER = {
    "order_id": UUID, "user_id": UUID, "client_order_id": "my-1", "ticker": "KXA-26-T1", "exchange_index": 0,
    "status": "resting", "outcome_side": "yes", "book_side": "bid", "side": "yes", "is_yes": True,
    "yes_price_dollars": "0.3500", "initial_count_fp": "10.00", "fill_count_fp": "0.00",
    "remaining_count_fp": "10.00", "taker_fill_cost_dollars": "0.000000", "maker_fill_cost_dollars": "0.000000",
    "taker_fees_dollars": "0.000000", "maker_fees_dollars": "0.000000",
    "self_trade_prevention_type": "taker_at_cross", "order_group_id": "G", "created_ts_ms": MS,
    "last_updated_ts_ms": MS, "expiration_ts_ms": MS + 1, "subaccount_number": 0,
}  # fmt: skip
POSITION = {
    "user_id": "U", "market_ticker": "KXA-26-T1", "position_fp": "100.00", "position_cost_dollars": "50.0000",
    "realized_pnl_dollars": "10.0000", "fees_paid_dollars": "1.0000", "position_fee_cost_dollars": "0.5000",
    "volume_fp": "15.00",
}  # fmt: skip
GROUP = {"event_type": "limit_updated", "order_group_id": "G", "contracts_limit_fp": "150.00", "ts_ms": MS}
TICKER = {
    "market_ticker": "KXA-26-T1", "market_id": UUID, "price_dollars": "0.4800", "yes_bid_dollars": "0.4500",
    "yes_ask_dollars": "0.5300", "yes_bid_size_fp": "300.00", "yes_ask_size_fp": "150.00",
    "last_trade_size_fp": "25.00", "volume_fp": "33896.00", "open_interest_fp": "20422.00", "dollar_volume": 16948,
    "dollar_open_interest": 10211, "ts": 1790922689, "ts_ms": MS, "time": "2026-10-02T06:31:29.123Z",
}  # fmt: skip
BODIES = {
    "fill": FILL,
    "user_order": ORDER,
    "market_position": POSITION,
    "order_group_updates": GROUP,
    "ticker": TICKER,
}


def frame(kind: str, msg: Any, **envelope: Any) -> bytes:
    return json.dumps({"type": kind, "sid": 4, **envelope, "msg": msg}).encode()


def decode(kind: str, msg: Any, **envelope: Any) -> StreamMessage:
    codec = Codec(use_yes_price=False)
    message = codec.decode(frame(kind, msg, **envelope))
    assert not codec.unknown_keys and not codec.unknown_types and not codec.unknown_words
    return message


def test_a_fill_as_the_reference_writes_it() -> None:
    assert decode("fill", FILL, sending_ts_ms=MS) == FillMessage(
        sid=4,
        sent_ns=MS * MILLISECOND,
        trade_id=UUID,
        order_id=UUID,
        client_order_id="my-1",
        ticker="KXA-26-T1",
        side=Side.BID,
        price=7500,
        size=27_800,
        is_taker=True,
        fee=3_648_800,
        position=50_000,
        exch_ns=MS * MILLISECOND,
    )


def test_an_order_as_the_reference_writes_it() -> None:
    message = decode("user_order", ORDER | {"last_update_reason": "Trade"})
    order = Order(
        order_id=UUID,
        user_id=UUID,
        client_order_id="my-1",
        ticker="KXA-26-T1",
        side=Side.BID,
        price=3500,
        status=OrderStatus.RESTING,
        size=1000,
        filled=0,
        remaining=1000,
        self_trade=SelfTrade.TAKER_AT_CROSS,
        group="G",
        created_ns=MS * MILLISECOND,
        updated_ns=MS * MILLISECOND,
        expires_ns=(MS + 1) * MILLISECOND,
    )
    assert message == OrderMessage(sid=4, order=order, reason="Trade")


def test_positions_groups_and_the_ticker_as_the_reference_writes_them() -> None:
    assert decode("market_position", POSITION) == PositionMessage(
        sid=4,
        ticker="KXA-26-T1",
        position=10_000,
        cost=50_000_000,
        realized=10_000_000,
        fees=1_000_000,
        position_fees=500_000,
        volume=1500,
        user_id="U",
    )
    group = GroupMessage(sid=4, seq=7, group="G", change="limit_updated", limit=15_000, exch_ns=MS * MILLISECOND)
    assert decode("order_group_updates", GROUP, seq=7) == group
    assert decode("ticker", TICKER) == TickerMessage(
        sid=4,
        ticker="KXA-26-T1",
        price=4800,
        bid=4500,
        ask=5300,
        bid_size=30_000,
        ask_size=15_000,
        last_size=2500,
        volume=3_389_600,
        open_interest=2_042_200,
        dollar_volume=16_948,
        dollar_open_interest=10_211,
        exch_ns=MS * MILLISECOND,
        market_id=UUID,
    )


@settings(derandomize=True, max_examples=some_of(300), deadline=None)
@given(values.private_messages, st.booleans())
def test_every_private_message_survives_its_frame(message: StreamMessage, in_full: bool) -> None:
    codec = Codec(use_yes_price=False)
    assert codec.decode(codec.encode(message, form="full" if in_full else "fixed")) == message
    assert not codec.unknown_keys and not codec.unknown_types and not codec.unknown_words


@pytest.mark.parametrize("kind", BODIES)
def test_a_frame_is_written_as_the_reference_writes_it(kind: str) -> None:
    """All of its keys with the same words; beside them only the deprecated ones the exchange still sends."""
    codec = Codec(use_yes_price=False)
    written = json.loads(codec.encode(codec.decode(frame(kind, BODIES[kind])), form="full"))["msg"]
    left_out = {key: word for key, word in BODIES[kind].items() if key not in written}
    assert left_out in ({}, {"subaccount": 0})
    said = {key: word for key, word in BODIES[kind].items() if key in written and key != "time"}
    assert {key: written[key] for key in said} == said
    assert set(written) - set(BODIES[kind]) <= {"created_time", "last_update_time", "expiration_time"}


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ({"book_side": "ask", "outcome_side": "no", "side": "yes", "purchased_side": "yes"}, Side.ASK),
        ({"book_side": None, "outcome_side": "no", "side": "yes"}, Side.ASK),
        ({"book_side": None, "outcome_side": None, "side": "no", "action": "sell", "purchased_side": ""}, Side.ASK),
        ({"book_side": None, "outcome_side": None, "side": "yes", "action": "sell", "purchased_side": ""}, Side.BID),
    ],
)
def test_on_fills_the_outcome_acquired_counts_and_the_action_has_no_sign(words: Any, side: Side) -> None:
    message = decode("fill", FILL | words)
    assert isinstance(message, FillMessage) and message.side is side


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ({"book_side": "ask", "outcome_side": "no"}, Side.ASK),
        ({"book_side": None, "outcome_side": None, "is_yes": False, "side": "no"}, Side.ASK),
        ({"book_side": None, "outcome_side": None, "action": "sell", "side": "no"}, Side.BID),
    ],
)
def test_on_orders_the_traded_leg_counts_where_today_s_words_are_missing(words: Any, side: Side) -> None:
    message = decode("user_order", ORDER | words)
    assert isinstance(message, OrderMessage) and message.order.side is side


@pytest.mark.parametrize("side", [Side.BID, Side.ASK])
def test_the_deprecated_words_read_alone_say_the_same_side(side: Side) -> None:
    codec = Codec(use_yes_price=False)
    fill = decode("fill", FILL | {"book_side": "bid" if side is Side.BID else "ask", "outcome_side": None})
    for key in ("purchased_side", "side"):
        frame_ = json.loads(codec.encode(fill))
        alone = {
            name: word
            for name, word in frame_["msg"].items()
            if name not in ("book_side", "outcome_side", "side", "purchased_side") or name == key
        }
        read = codec.decode(json.dumps(frame_ | {"msg": alone}))
        assert isinstance(read, FillMessage) and read.side is side


@pytest.mark.parametrize(
    ("kind", "words", "counted"),
    [
        ("fill", {"book_side": "up", "outcome_side": None}, "fill side up"),
        ("user_order", {"status": "paused"}, "user_order status paused"),
        ("user_order", {"book_side": "up", "outcome_side": "sideways"}, "user_order side up"),
    ],
)
def test_a_frame_that_cannot_be_understood_is_counted_and_kept(kind: str, words: Any, counted: str) -> None:
    codec = Codec(use_yes_price=False)
    raw = frame(kind, BODIES[kind] | words, seq=3, sending_ts_ms=MS)
    assert codec.decode(raw) == Unknown(sid=4, seq=3, sent_ns=MS * MILLISECOND, type=kind, raw=raw)
    assert codec.decode(raw.decode()) == codec.decode(raw)
    assert codec.unknown_words == {counted: 3}


def test_words_that_change_nothing_are_counted() -> None:
    codec = Codec(use_yes_price=False)
    group = codec.decode(frame("order_group_updates", GROUP | {"event_type": "paused"}))
    assert isinstance(group, GroupMessage) and group.change == "paused"
    order = codec.decode(frame("user_order", ORDER | {"self_trade_prevention_type": "both"}))
    assert isinstance(order, OrderMessage) and order.order.self_trade is None
    assert codec.unknown_words == {
        "order_group_updates paused": 1,
        "user_order self_trade_prevention_type both": 1,
    }


def test_a_contradiction_is_an_error() -> None:
    with pytest.raises(WireError, match="contradict"):
        decode("fill", FILL | {"book_side": "ask"})


def test_an_empty_side_has_no_price() -> None:
    ends = {"price_dollars": "0.0000", "yes_bid_dollars": "0.0000", "yes_ask_dollars": "1.0000"}
    message = decode("ticker", TICKER | ends)
    assert isinstance(message, TickerMessage)
    assert (message.price, message.bid, message.ask) == (None, None, None)


def test_the_ticker_of_old_recordings_is_in_cents_and_whole_contracts() -> None:
    old = {"market_ticker": "A", "price": 48, "yes_bid": 45, "yes_ask": 53, "volume": 33896, "open_interest": 20422}
    message = decode("ticker", old | {"dollar_volume": 1, "dollar_open_interest": 2, "ts": 1_790_922_689})
    assert message == TickerMessage(
        sid=4,
        ticker="A",
        price=4800,
        bid=4500,
        ask=5300,
        volume=3_389_600,
        open_interest=2_042_200,
        dollar_volume=1,
        dollar_open_interest=2,
        exch_ns=1_790_922_689 * SECOND,
    )


def test_a_change_that_an_own_order_caused_names_it() -> None:
    body = {"market_ticker": "A", "side": "yes", "price_dollars": "0.4700", "delta_fp": "1.00"}
    message = decode("orderbook_delta", body | {"client_order_id": "my-1", "subaccount": 3, "market_id": UUID})
    assert isinstance(message, BookDelta)
    assert (message.client_order_id, message.subaccount, message.market_id) == ("my-1", 3, UUID)
    written = json.loads(Codec(use_yes_price=False).encode(message))["msg"]
    assert {key: written[key] for key in body} == body and written["client_order_id"] == "my-1"


@settings(derandomize=True, max_examples=some_of(400), deadline=None)
@given(st.sampled_from(list(BODIES)), values.json_values, st.data())
def test_nothing_that_comes_breaks_the_reader(kind: str, other: Any, data: st.DataObject) -> None:
    codec = Codec(use_yes_price=False)
    key = data.draw(st.sampled_from([*BODIES[kind], "flavour"]))
    for raw in (frame(kind, BODIES[kind] | {key: other}), frame(kind, other), json.dumps(other).encode()):
        with suppress(WireError):
            codec.encode(codec.decode(raw), form="full")


@pytest.mark.parametrize("created_ms", [-62_135_596_800_001, 253_402_300_800_000, 10**30])
def test_an_order_of_no_year_is_read_and_cannot_be_written(created_ms: int) -> None:
    codec = Codec(use_yes_price=False)
    message = codec.decode(frame("user_order", ORDER | {"created_ts_ms": created_ms}))
    assert isinstance(message, OrderMessage) and message.order.created_ns == created_ms * MILLISECOND
    with pytest.raises(WireError, match="in no year"):
        codec.encode(message, form="full")


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"type":"fill","msg":' + b"[" * 100_000, '{"type":"\ud800"}'])
def test_what_is_no_frame_is_one_clear_error(raw: bytes | str) -> None:
    with pytest.raises(WireError):
        Codec(use_yes_price=False).decode(raw)
