"""pykalshi, a client that nobody here wrote, pointed at the simulator without a change to either."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.keys import pem_of, rsa_key
from tests.exchange.simulator.serving import RSA_ID, A, Served, make_surface, serving

pykalshi = pytest.importorskip("pykalshi", reason="pykalshi is not installed: pip install -e '.[bench]'")


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(make_surface(time.time_ns())) as found:
        yield found


@pytest.fixture
def client(served: Served, tmp_path: Path) -> Iterator[Any]:
    key = tmp_path / "key.pem"
    key.write_bytes(pem_of(rsa_key()))
    found = pykalshi.KalshiClient(api_key_id=RSA_ID, private_key_path=str(key), api_base=served.rest)
    yield found
    found.close()


def test_it_reads_markets_and_books(client: Any) -> None:
    markets = client.get_markets()
    assert A in [market.ticker for market in markets]
    market = client.get_market(A)
    assert (market.yes_bid_dollars, market.yes_ask_dollars) == ("0.4600", "0.4800")
    book = market.get_orderbook().orderbook
    assert [tuple(level) for level in book.yes_dollars] == [("0.4500", "3.00"), ("0.4600", "12.00")]
    assert client.get_event("KXA-26").event_ticker == "KXA-26" and client.get_series("KXA").ticker == "KXA"
    assert client.exchange.get_status().trading_active


def test_it_places_changes_and_cancels_orders(client: Any) -> None:
    portfolio = client.portfolio
    order = portfolio.place_order(A, book_side="bid", price_dollars="0.4000", count_fp="10")
    assert portfolio.get_order(order.order_id).status == pykalshi.OrderStatus.RESTING
    assert portfolio.get_queue_position(order.order_id).queue_position_fp == "0.00"
    portfolio.decrease_order(order.order_id, reduce_by_fp="4")
    assert portfolio.get_order(order.order_id).remaining_count_fp == "6.00"
    portfolio.cancel_order(order.order_id)
    assert [one.order_id for one in portfolio.get_orders(status=pykalshi.OrderStatus.CANCELED)] == [order.order_id]
    bought = portfolio.place_order(A, book_side="bid", price_dollars="0.4800", count_fp="2")
    assert [fill.order_id for fill in portfolio.get_fills()] == [bought.order_id]
    assert [position.position_fp for position in portfolio.get_positions()] == ["2.00"]
    group = portfolio.create_order_group("5.00")
    portfolio.trigger_order_group(group.id)
    assert len(portfolio.get_order_groups()) == 1


def test_a_refusal_is_an_error_of_its_own(client: Any) -> None:
    with pytest.raises(pykalshi.KalshiAPIError):
        client.portfolio.place_order(A, book_side="bid", price_dollars="0.4050", count_fp="1")
    with pytest.raises(pykalshi.ResourceNotFoundError):
        client.portfolio.cancel_order("nothing")


def test_its_feed_hears_books_and_fills(served: Served, client: Any) -> None:
    feed, heard = client.feed(), dict[str, list[Any]]()
    feed._ws_url = served.stream  # it knows the exchange's own hosts alone
    for channel in ("orderbook_delta", "fill"):
        feed.on(channel)(lambda message, channel=channel: heard.setdefault(channel, []).append(message))
    feed.subscribe("orderbook_delta", market_ticker=A)
    feed.subscribe("fill")
    feed.start()
    try:
        _wait_for(lambda: heard.get("orderbook_delta"))
        client.portfolio.place_order(A, book_side="bid", price_dollars="0.4800", count_fp="2")
        _wait_for(lambda: heard.get("fill") and len(heard["orderbook_delta"]) == 2)
    finally:
        feed.stop()
    snapshot, delta = heard["orderbook_delta"]
    assert snapshot.market_ticker == delta.market_ticker == A and delta.delta_fp == "-2.00"
    assert heard["fill"][0].count_fp == "2.00"


def _wait_for(said: Any) -> None:
    until = time.monotonic() + 10
    while not said():
        assert time.monotonic() < until
        time.sleep(0.01)
