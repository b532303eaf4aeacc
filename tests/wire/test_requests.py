"""Calls as values: where they go, what they say, and what they cost."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import Side
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Amendment, Cancel, Decrease, OrderRequest
from tests.examples import some_of
from tests.wire import values

ORDER = OrderRequest(ticker="KXA-26-T1", client_order_id="my-1", side=Side.BID, size=1000, price=5600)


@pytest.mark.parametrize(
    ("request_", "method", "target"),
    [
        (requests.create_order(ORDER), "POST", "/portfolio/events/orders"),
        (requests.create_batch([ORDER]), "POST", "/portfolio/events/orders/batched"),
        (
            requests.cancel_order(Cancel(order_id="O", ticker="KXBTCD-26JUL0317-T60499.99")),
            "DELETE",
            "/portfolio/events/orders/O?market_ticker=KXBTCD-26JUL0317-T60499.99",
        ),
        (
            requests.cancel_order(Cancel(order_id="O", ticker="A", subaccount=3, exchange_index=1)),
            "DELETE",
            "/portfolio/events/orders/O?market_ticker=A&exchange_index=1&subaccount=3",
        ),
        (requests.cancel_all(), "DELETE", "/portfolio/events/orders"),
        (requests.cancel_all(0), "DELETE", "/portfolio/events/orders?subaccount=0"),
        (
            requests.cancel_batch([Cancel(order_id="O", ticker="A")]),
            "DELETE",
            "/portfolio/events/orders/batched",
        ),
        (
            requests.amend_order(Amendment(order_id="O", ticker="A", side=Side.ASK, price=1, size=1, subaccount=2)),
            "POST",
            "/portfolio/events/orders/O/amend?subaccount=2",
        ),
        (
            requests.decrease_order(Decrease(order_id="O", ticker="A", by=1)),
            "POST",
            "/portfolio/events/orders/O/decrease",
        ),
        (requests.get_order("a/b?c"), "GET", "/portfolio/orders/a%2Fb%3Fc"),
        (requests.get_orders(limit=5, cursor="a+b="), "GET", "/portfolio/orders?limit=5&cursor=a%2Bb%3D"),
        (requests.get_orderbooks(["A", "B"]), "GET", "/markets/orderbooks?tickers=A&tickers=B"),
        (requests.get_markets(tickers=["A", "B"]), "GET", "/markets?tickers=A%2CB"),
        (requests.limit_group("G", 500), "PUT", "/portfolio/order_groups/G/limit"),
    ],
)
def test_every_call_goes_where_the_reference_says(request_: Request, method: str, target: str) -> None:
    assert (request_.method, request_.target) == (method, target)
    assert request_.path == target.partition("?")[0]  # what is signed


def test_a_call_says_what_it_is() -> None:
    cancel = requests.cancel_order(Cancel(order_id="O", ticker="A", exchange_index=2))
    assert (cancel.is_write, cancel.is_cancel, cancel.exchange_index) == (True, True, 2)
    assert cancel.template == "/portfolio/events/orders/{order_id}"
    batch = requests.create_batch([ORDER, ORDER, ORDER])
    assert (batch.is_write, batch.is_cancel, batch.items) == (True, False, 3)
    read = requests.get_orders()
    assert (read.is_write, read.is_cancel, read.items, read.body) == (False, False, 1, b"")
    for protective in (requests.cancel_all(), requests.trigger_group("G"), requests.delete_group("G")):
        assert protective.is_cancel


def test_an_order_names_its_shard_or_asks_to_be_routed() -> None:
    assert json.loads(requests.create_order(ORDER).body)["exchange_index"] == -1
    routed = OrderRequest(ticker="A", client_order_id="", side=Side.BID, size=1, price=1, exchange_index=2)
    assert requests.create_order(routed).exchange_index == 2
    assert requests.create_batch([routed, routed]).exchange_index == 2
    assert requests.create_batch([routed, ORDER]).exchange_index == -1


@settings(derandomize=True, max_examples=some_of(100), deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_any_name_survives_its_path_and_its_query(name: str, cursor: str) -> None:
    request_ = requests.get_orders(ticker=name, cursor=cursor)
    said = {"ticker": name, "cursor": cursor}
    assert dict(parse_qsl(request_.target.partition("?")[2])) == {key: word for key, word in said.items() if word}
    path = requests.get_order(name).path
    assert path.count("/") == 3 and unquote(path.rpartition("/")[2]) == name


@settings(derandomize=True, max_examples=some_of(100), deadline=None)
@given(values.amendments)
def test_the_simulator_reads_an_amendment_from_path_query_and_body(amendment: Amendment) -> None:
    request_ = requests.amend_order(amendment)
    order_id = request_.path.split("/")[4]
    subaccount = int(dict(request_.query).get("subaccount", "0"))
    assert bodies.read_amendment(request_.body, order_id, subaccount=subaccount) == amendment
