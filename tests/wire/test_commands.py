"""Commands on a stream, both directions, and the exchange's answers to those that cannot be carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.wire.codec import Codec
from kalshi_ray.wire.commands import (
    Action,
    Channel,
    Code,
    Command,
    ListSubscriptions,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
    read_command,
    write_command,
)
from kalshi_ray.wire.messages import TERMINAL_ERRORS, CommandFailed
from tests.examples import some_of
from tests.wire import values


def subscribe(**params: Any) -> dict[str, Any]:
    return {"id": 6, "cmd": "subscribe", "params": params}


def update(**params: Any) -> dict[str, Any]:
    return {"id": 6, "cmd": "update_subscription", "params": params}


BOOK = {"channels": ["orderbook_delta"], "market_tickers": ["A"]}
ADD = {"sids": [1], "action": "add_markets", "market_tickers": ["A"]}


@settings(derandomize=True, max_examples=some_of(300), deadline=None)
@given(values.commands)
def test_every_command_survives_its_frame(command: Command) -> None:
    assert read_command(write_command(command)) == command


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        (
            '{"id":1,"cmd":"subscribe","params":{"channels":["orderbook_delta","trade"],'
            '"market_tickers":["KXA-26-T1","KXA-26-T2"],"use_yes_price":false}}',
            Subscribe(
                id=1,
                channels=(Channel.BOOK, Channel.TRADE),
                tickers=("KXA-26-T1", "KXA-26-T2"),
                use_yes_price=False,
            ),
        ),
        (
            '{"id":3,"cmd":"update_subscription","params":{"sid":1,"action":"get_snapshot","market_ticker":"KXA"}}',
            UpdateSubscription(id=3, sid=1, action=Action.SNAPSHOT, tickers=("KXA",)),
        ),
        ('{"id":4,"cmd":"list_subscriptions"}', ListSubscriptions(id=4)),
        ('{"id":5,"cmd":"unsubscribe","params":{"sids":[2]}}', Unsubscribe(id=5, sids=(2,))),
        ('{"cmd":"subscribe","params":{"channels":["fill"]}}', Subscribe(id=0, channels=(Channel.FILL,))),
    ],
)
def test_commands_as_the_documentation_writes_them(frame: str, command: Command) -> None:
    assert read_command(frame) == command


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ([], Code.BAD_MESSAGE),
        ({"id": -1, "cmd": "list_subscriptions"}, Code.BAD_MESSAGE),
        ({"id": "1", "cmd": "list_subscriptions"}, Code.BAD_MESSAGE),
        ({"id": 6, "cmd": "subscribe", "params": []}, Code.BAD_MESSAGE),
        ({"id": 6, "cmd": "subscribe"}, Code.PARAMS_REQUIRED),
        ({"id": 6, "cmd": "unsubscribe"}, Code.PARAMS_REQUIRED),
        (subscribe(), Code.CHANNELS_REQUIRED),
        (subscribe(channels=[]), Code.CHANNELS_REQUIRED),
        ({"id": 6, "cmd": "unsubscribe", "params": {}}, Code.SIDS_REQUIRED),
        ({"id": 6, "cmd": "unsubscribe", "params": {"sids": []}}, Code.SIDS_REQUIRED),
        ({"id": 6, "cmd": "order"}, Code.UNKNOWN_COMMAND),
        ({"id": 6}, Code.UNKNOWN_COMMAND),
        (subscribe(channels=["weather"]), Code.UNKNOWN_CHANNEL),
        (subscribe(channels=["trade", 5]), Code.UNKNOWN_CHANNEL),
        (subscribe(channels="trade"), Code.INVALID_PARAMETER),
        (subscribe(**BOOK, market_ticker="B"), Code.INVALID_PARAMETER),
        (subscribe(channels=["trade"], market_tickers="A"), Code.INVALID_PARAMETER),
        (subscribe(channels=["trade"], market_tickers=["A", 1]), Code.INVALID_PARAMETER),
        (subscribe(channels=["trade"], market_ids=["x"]), Code.INVALID_PARAMETER),
        (subscribe(**BOOK, use_yes_price="true"), Code.INVALID_PARAMETER),
        ({"id": 6, "cmd": "unsubscribe", "params": {"sids": [True]}}, Code.INVALID_PARAMETER),
        ({"id": 6, "cmd": "unsubscribe", "params": {"sids": 1}}, Code.INVALID_PARAMETER),
        (update(**ADD | {"sids": []}), Code.ONE_SID_REQUIRED),
        (update(**ADD | {"sids": [1, 2]}), Code.ONE_SID_REQUIRED),
        (update(**ADD, sid=1), Code.ONE_SID_REQUIRED),
        (update(**ADD | {"action": "pause"}), Code.UNSUPPORTED_ACTION),
        (update(**ADD | {"action": ["add_markets"]}), Code.UNSUPPORTED_ACTION),
        (subscribe(channels=["orderbook_delta"]), Code.TICKER_REQUIRED),
        (update(sids=[1], action="get_snapshot"), Code.TICKER_REQUIRED),
        (update(sids=[1], action="get_snapshot", market_ids=["x"]), Code.TICKER_REQUIRED),
        (update(sids=[1], market_tickers=["A"]), Code.ACTION_REQUIRED),
        (subscribe(channels=["trade"], shard_factor=0), Code.SHARD_FACTOR_POSITIVE),
        (subscribe(channels=["trade"], shard_key=1), Code.SHARD_FACTOR_REQUIRED),
        (subscribe(channels=["trade"], shard_factor=4, shard_key=4), Code.SHARD_KEY_RANGE),
        (subscribe(channels=["trade"], shard_factor=101), Code.SHARD_FACTOR_LARGE),
    ],
)
def test_a_command_that_cannot_be_carried_out_gets_the_exchange_s_code(frame: Any, code: Code) -> None:
    answer = read_command(json.dumps(frame))
    id = frame["id"] if isinstance(frame, dict) and frame.get("id") == 6 else 0
    assert answer == CommandFailed(id=id, code=code.number, text=code.value[1])


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, '"\ud800"'])
def test_what_is_no_command_is_code_one(raw: bytes | str) -> None:
    assert read_command(raw) == Code.BAD_MESSAGE.failure()


@settings(derandomize=True, max_examples=some_of(300), deadline=None)
@given(st.sampled_from(["subscribe", "update_subscription", "unsubscribe"]), values.json_values, st.data())
def test_nothing_that_comes_breaks_the_reader(name: str, other: Any, data: st.DataObject) -> None:
    params = {"sids": [1], **(BOOK if name == "subscribe" else ADD)}
    key = data.draw(st.sampled_from([*params, "sid", "use_yes_price", "shard_factor", "shard_key", "market_ids"]))
    for frame in ({"id": 1, "cmd": name, "params": params | {key: other}}, {"id": other, "cmd": name}, other):
        answer = read_command(json.dumps(frame))
        assert isinstance(answer, CommandFailed) or read_command(write_command(answer)) == answer


def test_a_failure_is_a_frame_like_any_other() -> None:
    codec = Codec(use_yes_price=False)
    for code in Code:
        message = code.failure(6, sid=2, seq=9, ticker="A")
        assert codec.decode(codec.encode(message, form="full")) == message
        assert message.is_terminal is (code in (Code.CHANNEL_ERROR, Code.BUFFER_OVERFLOW))
    assert {code.number for code in Code} >= set(TERMINAL_ERRORS)
