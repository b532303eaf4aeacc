"""Bodies of the REST interface: what is written is read as it was, and nothing that comes breaks a reader."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import DOLLAR, SECOND, Side
from kalshi_ray.errors import WireError
from kalshi_ray.wire import bodies
from kalshi_ray.wire.listing import Market
from kalshi_ray.wire.refusals import RequestRefused
from kalshi_ray.wire.trading import Balance, Cancel, Decrease, OrderRequest, OrderStatus, Page, Placed, Refused
from tests.examples import some_of
from tests.wire import values
from tests.wire.pairs import ANSWERS, NAMES, PAIRS, REQUESTS, Pair

ORDER = {
    "ticker": "KXA-26-T1",
    "client_order_id": "my-1",
    "side": "bid",
    "count": "10.00",
    "price": "0.5600",
    "time_in_force": "good_till_canceled",
    "self_trade_prevention_type": "taker_at_cross",
}


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_every_value_survives_its_body(pair: Pair) -> None:
    @settings(derandomize=True, max_examples=25, deadline=None)
    @given(pair.values)
    def survives(value: Any) -> None:
        assert pair.read(pair.write(value)) == value

    survives()


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_a_damaged_body_is_read_or_refused_and_breaks_nothing(pair: Pair) -> None:
    @settings(derandomize=True, max_examples=25, deadline=None)
    @given(pair.values, values.json_values, st.randoms(use_true_random=False))
    def is_read_or_refused(value: Any, other: Any, random: Any) -> None:
        body = _damaged(json.loads(pair.write(value)), other, random)
        with suppress(WireError):
            pair.read(json.dumps(body).encode())

    is_read_or_refused()


def _damaged(body: Any, other: Any, random: Any) -> Any:
    """The body with one place of it, at any depth, replaced or taken away."""
    if not isinstance(body, (dict, list)) or not body or random.random() < 0.1:
        return other
    key = random.choice(list(body)) if isinstance(body, dict) else random.randrange(len(body))
    if random.random() < 0.2:
        del body[key]
    else:
        body[key] = _damaged(body[key], other, random)
    return body


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b"\xff", b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":' * 100_000, b"1e999999999"],
    ids=["nothing", "half", "null", "list", "no text", "half a sign", "deep list", "deep object", "large"],
)
def test_what_is_no_body_is_one_clear_error(pair: Pair, raw: bytes) -> None:
    with pytest.raises(WireError):
        pair.read(raw)


@pytest.mark.parametrize("pair", ANSWERS, ids=[pair.name for pair in ANSWERS])
def test_keys_that_nobody_documented_change_nothing_and_are_counted(pair: Pair) -> None:
    if pair.name in ("one group", "book"):  # take the name of what was asked for
        return

    @settings(derandomize=True, max_examples=8, deadline=None)
    @given(pair.values)
    def are_counted(value: Any) -> None:
        body = json.loads(pair.write(value))
        objects = _with_more_keys(body)
        counter: Counter[str] = Counter()
        raw = json.dumps(body).encode()
        assert pair.read(raw) == value
        pair.read(raw, counter)  # type: ignore[call-arg]  # readers of answers take a counter
        assert counter and all(key.endswith("flavour") for key in counter)
        assert sum(counter.values()) <= objects

    are_counted()


def _with_more_keys(body: Any) -> int:
    """Add an unknown key to every object; the number of them."""
    if isinstance(body, dict):
        inner = [value for key, value in body.items() if key != "custom_strike"]  # any keys are documented there
    else:
        inner = body if isinstance(body, list) else []
    if isinstance(body, dict):
        body["flavour"] = {"deep": [1.5, None]}
    return isinstance(body, dict) + sum(map(_with_more_keys, inner))


def test_an_order_as_the_documentation_writes_it() -> None:
    assert bodies.read_order_request(json.dumps(ORDER).encode()) == OrderRequest(
        ticker="KXA-26-T1", client_order_id="my-1", side=Side.BID, size=1000, price=5600
    )


@pytest.mark.parametrize(
    ("price", "pips"), [("0.56", 5600), ("0.560", 5600), ("0.5600", 5600), ("0.0001", 1), ("1.00", DOLLAR)]
)
@pytest.mark.parametrize(("count", "lots"), [("10", 1000), ("10.0", 1000), ("10.00", 1000), ("0.01", 1), ("0", 0)])
def test_requests_accept_two_to_four_decimals_of_a_price_and_none_to_two_of_a_count(
    price: str, pips: int, count: str, lots: int
) -> None:
    order = bodies.read_order_request(json.dumps(ORDER | {"price": price, "count": count}).encode())
    assert (order.price, order.size) == (pips, lots)


@pytest.mark.parametrize(
    ("changed", "code", "details"),
    [
        ({"count": 10}, "bad_request", "$.count"),
        ({"price": 0.56}, "bad_request", "$.price"),
        ({"expiration_time": "1791003600"}, "bad_request", "$.expiration_time"),
        ({"expiration_time": 1_791_003_600_000}, "bad_request", "not a time in seconds"),
        ({"side": "buy"}, "bad_request", "'buy'"),
        ({"time_in_force": "GTT"}, "bad_request", "'GTT'"),
        ({"self_trade_prevention_type": "none"}, "bad_request", "'none'"),
        ({"ticker": None}, "bad_request", "ticker"),
        ({"post_only": "true"}, "bad_request", "$.post_only"),
        ({"price": "0.5"}, "invalid_price", "'0.5'"),
        ({"price": "0.56001"}, "invalid_price", "'0.56001'"),
        ({"price": "1.0001"}, "invalid_price", "not between"),
        ({"price": "-0.50"}, "invalid_price", "'-0.50'"),
        ({"price": "٠.٥٠"}, "invalid_price", "decimals"),
        ({"price": ""}, "invalid_price", "''"),
        ({"count": "0.001"}, "invalid_order_size", "'0.001'"),
        ({"count": "-1"}, "invalid_order_size", "'-1'"),
        ({"count": "1e3"}, "invalid_order_size", "'1e3'"),
        ({"count": "NaN"}, "invalid_order_size", "'NaN'"),
        ({"count": "9" * 5000}, "invalid_order_size", "decimals"),
    ],
)
def test_an_order_that_cannot_be_read_gets_the_exchange_s_answer(
    changed: dict[str, Any], code: str, details: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        bodies.read_order_request(json.dumps(ORDER | changed).encode())
    refused = caught.value.refused
    assert (refused.status, refused.code) == (400, code)
    assert details in refused.details and len(refused.details) < 300


@pytest.mark.parametrize("key", [*ORDER, "order_group_id", "expiration_time", "post_only", "subaccount"])
def test_a_null_in_a_request_says_what_an_absent_key_says(key: str) -> None:
    absent = {name: value for name, value in ORDER.items() if name != key}
    with_null = absent | {key: None}
    try:
        expected = bodies.read_order_request(json.dumps(absent).encode())
    except RequestRefused:
        with pytest.raises(RequestRefused):
            bodies.read_order_request(json.dumps(with_null).encode())
    else:
        assert bodies.read_order_request(json.dumps(with_null).encode()) == expected


def test_in_a_batch_a_price_that_is_none_refuses_its_own_order_and_a_number_refuses_the_batch() -> None:
    good, bad = ORDER, ORDER | {"price": "0.5"}
    read = bodies.read_create_batch(json.dumps({"orders": [good, bad, good]}).encode())
    assert [type(one) for one in read] == [OrderRequest, Refused, OrderRequest]
    with pytest.raises(RequestRefused, match="orders"):
        bodies.read_create_batch(json.dumps({"orders": [good, ORDER | {"count": 1}]}).encode())


@pytest.mark.parametrize("body", [{}, {"reduce_by": "1.00", "reduce_to": "1.00"}])
def test_a_decrease_says_exactly_one_thing(body: dict[str, str]) -> None:
    with pytest.raises(RequestRefused, match="exactly one"):
        bodies.read_decrease(json.dumps(body).encode(), "O")
    with pytest.raises(WireError, match="exactly one"):
        bodies.write_decrease(Decrease(order_id="O", ticker="A"))


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"contracts_limit": 5}, 500),
        ({"contracts_limit_fp": "5.50"}, 550),
        ({"contracts_limit": 5, "contracts_limit_fp": "5.00"}, 500),
        ({}, None),
        ({"contracts_limit": 5, "contracts_limit_fp": "6.00"}, None),
        ({"contracts_limit": 0}, None),
        ({"contracts_limit_fp": "0.001"}, None),
        ({"contracts_limit": "5"}, None),
    ],
)
def test_a_group_s_limit_is_whole_or_exact_and_never_both_differently(body: Any, limit: int | None) -> None:
    raw = json.dumps(body).encode()
    if limit is not None:
        assert bodies.read_group_limit(raw) == bodies.read_group_request(raw).limit == limit
        return
    for read in (bodies.read_group_limit, bodies.read_group_request):
        with pytest.raises(RequestRefused):
            read(raw)


def test_an_answer_may_hold_numbers_where_text_is_due_and_is_read_digit_by_digit() -> None:
    raw = b'{"order_id":"O","fill_count":0.29,"remaining_count":"9.71","average_fill_price":0.29,"ts_ms":1}'
    placed = bodies.read_placed(raw)
    assert (placed.filled, placed.remaining, placed.average_price) == (29, 971, 290_000)


def test_an_amendment_that_changed_nothing_says_no_counts() -> None:
    placed = Placed(order_id="O", client_order_id="", filled=0, remaining=500, ts_ns=SECOND)
    read = bodies.read_placed(bodies.write_amended(placed, has_changed=False))
    assert (read.filled, read.remaining) == (0, None)
    nulls = b'{"order_id":"O","fill_count":null,"remaining_count":null,"average_fee_paid":null,"ts_ms":1}'
    assert bodies.read_placed(nulls).remaining is None


def test_a_batch_answers_in_the_order_that_was_asked() -> None:
    refused = Refused(status=0, code="not_found", message="not found")
    raw = bodies.write_batch_reduced([Cancel(order_id="O", ticker="A")], [refused])
    item = json.loads(raw)["orders"][0]
    assert item["order_id"] == "O" and item["reduced_by"] == "0.00"
    assert bodies.read_batch_reduced(raw) == (refused,)
    with pytest.raises(WireError, match="neither"):
        bodies.read_batch_placed(b'{"orders":[{}]}')


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ({"book_side": "bid", "outcome_side": "yes", "side": "no", "action": "sell"}, Side.BID),
        ({"outcome_side": "no"}, Side.ASK),
        ({"action": "buy", "side": "yes"}, Side.BID),
        ({"action": "sell", "side": "yes"}, Side.ASK),
        ({"action": "buy", "side": "no"}, Side.ASK),
        ({"action": "sell", "side": "no"}, Side.BID),
    ],
)
def test_an_order_s_direction_is_that_of_today_s_words_else_of_the_traded_leg(words: Any, side: Side) -> None:
    order = {
        "order_id": "O",
        "ticker": "A",
        "status": "resting",
        "yes_price_dollars": "0.3500",
        "initial_count_fp": "1.00",
        "fill_count_fp": "0.00",
        "remaining_count_fp": "1.00",
    }
    read = bodies.read_order(json.dumps({"order": order | words}).encode())
    assert (read.side, read.status, read.created_ns) == (side, OrderStatus.RESTING, 0)


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ({"book_side": "ask", "outcome_side": "no", "side": "yes"}, Side.ASK),
        ({"action": "sell", "side": "no"}, Side.ASK),  # the outcome acquired; the action has no sign
        ({"action": "sell", "side": "yes"}, Side.BID),
    ],
)
def test_a_fill_s_direction_is_that_of_today_s_words_else_of_the_outcome_acquired(words: Any, side: Side) -> None:
    fill = {"order_id": "O", "count_fp": "1", "yes_price_dollars": "0.4", "is_taker": True, "fee_cost": "0", "ts": 7}
    (read,) = bodies.read_fills(json.dumps({"fills": [fill | words]}).encode()).items
    assert (read.side, read.exch_ns) == (side, 7 * SECOND)


@pytest.mark.parametrize(
    "words", [{}, {"book_side": "up"}, {"book_side": "bid", "outcome_side": "no"}, {"action": "buy"}]
)
def test_a_direction_that_is_missing_or_contradicts_itself_is_an_error(words: Any) -> None:
    fill = {"order_id": "O", "count_fp": "1", "yes_price_dollars": "0.4", "is_taker": True, "fee_cost": "0"}
    with pytest.raises(WireError, match=r"direction|contradict"):
        bodies.read_fills(json.dumps({"fills": [fill | words]}).encode())


def test_cash_is_cut_to_cents_on_the_wire_and_exact_beside_it() -> None:
    raw = bodies.write_balance(Balance(cash=98_018_600, portfolio_value=1_980_000, updated_ns=0))
    assert json.loads(raw)["balance"] == 9801 and json.loads(raw)["balance_dollars"] == "98.0186"
    assert bodies.read_balance(b'{"balance":9801,"portfolio_value":1,"updated_ts":1}').cash == 98_010_000


def test_costs_are_named_by_the_template_of_the_call() -> None:
    raw = b"""{"default_cost":10,"endpoint_costs":[
        {"cost":2,"method":"DELETE","path":"/trade-api/v2/portfolio/events/orders/:order_id"}]}"""
    assert bodies.read_endpoint_costs(raw).costs == {("DELETE", "/portfolio/events/orders/{order_id}"): 2}


@settings(derandomize=True, max_examples=some_of(200), deadline=None)
@given(values.pages(values.markets, 3), values.json_values, st.randoms(use_true_random=False))
def test_a_market_that_cannot_be_read_costs_the_others_of_its_page_nothing(
    page: Page[Market], other: Any, random: Any
) -> None:
    body = json.loads(bodies.write_markets(page))
    if not body["markets"]:
        return
    at = random.randrange(len(body["markets"]))
    ticker = page.items[at].ticker
    damaged = _damaged(body["markets"][at], other, random)
    body["markets"][at] = (damaged if isinstance(damaged, dict) else {"status": damaged}) | {"ticker": ticker}
    found, unread = bodies.read_market_page(json.dumps(body).encode())
    assert set(unread) <= {ticker} and found.cursor == page.cursor
    others = list(found.items) if unread else [*found.items[:at], *found.items[at + 1 :]]
    assert others == [*page.items[:at], *page.items[at + 1 :]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": None},
        {"title": 5},
        {"price_ranges": [1]},
        {"yes_bid_dollars": "7.0"},
        {"close_time": "soon"},
        {"close_time": "9999-12-31T23:59:59Z"},
        {"open_time": "0001-01-02T00:00:00Z"},
    ],
)
def test_markets_that_cannot_be_read_are_named_and_keys_counted_once(wrong: dict[str, Any]) -> None:
    markets = [{"ticker": name, "event_ticker": "E", "status": "active", "flavour": 1} for name in ("A", "B", "C")]
    body = {"markets": [markets[0], markets[1] | wrong, markets[2]], "cursor": None, "taste": 2}
    unknown: Counter[str] = Counter()
    found, unread = bodies.read_market_page(json.dumps(body).encode(), unknown)
    assert [one.ticker for one in found.items] == ["A", "C"] and list(unread) == ["B"] and found.cursor == ""
    assert unknown == {"taste": 1, "markets[].flavour": 2}
    with pytest.raises(WireError, match="ticker"):
        bodies.read_market_page(json.dumps({"markets": [markets[0], {"status": "active"}]}).encode())


def test_requests_are_read_by_the_simulator_alone_and_answers_by_the_client_alone() -> None:
    """Every reader and writer of `bodies` is in one of the two tables, so nothing escapes the properties above."""
    tested = {pair.write.__name__ for pair in PAIRS} | {pair.read.__name__ for pair in PAIRS}
    wrapped = {
        "read_amendment", "read_decrease", "read_group", "read_orderbook", "write_batch_reduced",
        "write_candlesticks", "read_market_page",
    }  # fmt: skip
    assert set(bodies.__all__) <= tested | wrapped
    assert len(REQUESTS) + len(ANSWERS) == len(PAIRS) == len(set(NAMES))
