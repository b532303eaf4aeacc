"""REST in memory: every route as specified, every refusal with its status, code and shape, pages without holes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.tape import Status
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.exchange.simulator.rest_api import OPEN, SIGNED
from tests.exchange.simulator.asking import ORDERS, START, Asking
from tests.exchange.simulator.foreign import order_body
from tests.exchange.simulator.serving import A, B
from tests.wire import specification

SECOND_NOW = START // 10**9
PERIOD = f"start_ts={SECOND_NOW - 3600}&end_ts={SECOND_NOW + 7200}&period_interval=1"


@pytest.fixture
def ask() -> Asking:
    return Asking()


def traded(ask: Asking) -> dict[str, str]:
    """An exchange on which something of everything happened; the names that paths need."""
    group = ask("POST", "/portfolio/order_groups/create", {"contracts_limit": 50}).json["order_group_id"]
    resting = ask("POST", ORDERS, order_body(A, order_group_id=group)).json["order_id"]
    ask("POST", ORDERS, order_body(A, side="bid", price="0.4800", count="2", time_in_force="immediate_or_cancel"))
    ask("POST", ORDERS, order_body(A, side="ask", price="0.4700", count="1.5"), who=ask.second)
    ask("POST", ORDERS, order_body(A, side="bid", price="0.4700", count="1.5"))
    ask("POST", ORDERS, order_body(B, side="ask", price="0.9000", count="1.5"), who=ask.second)
    ask("POST", ORDERS, order_body(B, side="bid", price="0.9000", count="1"))
    ask.wait(61)
    ask.exchange.settle_at(B, 10_000, ask.now_ns)
    ask.wait(1)
    return {"order_id": resting, "order_group_id": group, "ticker": A, "event_ticker": "KXA-26", "series_ticker": "KXA"}


QUERIES = {
    "/markets/orderbooks": f"tickers={A}&tickers={B}",
    "/markets/candlesticks": f"market_tickers={A},{B}&{PERIOD}",
    "/series/{series_ticker}/markets/{ticker}/candlesticks": PERIOD,
    "/series/{series_ticker}/events/{ticker}/candlesticks": PERIOD,
    "/portfolio/orders/queue_positions": f"market_tickers={A}",
    "/portfolio/positions": "settlement_status=all",
    "/events": "with_nested_markets=true",
}
READS = sorted({*OPEN, *(path for method, path in SIGNED if method == "GET")})


@pytest.mark.parametrize("template", READS)
def test_every_read_answers_as_specified_and_not_with_nothing(ask: Asking, template: str) -> None:
    names = traded(ask)
    if template.startswith("/series/{series_ticker}/events"):
        names["ticker"] = "KXA-26"
    path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], template)
    query = QUERIES.get(template, "")
    answer = ask("GET", f"{path}?{query}" if query else path)
    assert answer.status == 200, answer.raw
    specification.body("GET", template, 200).validate(answer.json)
    if "fee_changes" not in template and template != "/account/limits":  # nothing is granted, and no fees are announced
        assert all(found for name, found in answer.json.items() if isinstance(found, list)), answer.raw


@pytest.mark.parametrize("template", sorted(OPEN))
def test_public_reads_need_no_signature_but_refuse_a_wrong_one(ask: Asking, template: str) -> None:
    names = traded(ask)
    if template.startswith("/series/{series_ticker}/events"):
        names["ticker"] = "KXA-26"
    path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], template)
    assert ask("GET", f"{path}?{QUERIES.get(template, '')}", signed=False).status == 200
    headers = {"kalshi-access-key": "x", "kalshi-access-timestamp": "1", "kalshi-access-signature": "eA=="}
    assert ask.surface.handle("GET", "/trade-api/v2" + path, headers, b"", ask.now_ns).status == 401


@pytest.mark.parametrize(("method", "template"), sorted(SIGNED))
def test_everything_else_wants_a_signature(ask: Asking, method: str, template: str) -> None:
    path = re.sub(r"\{\w+\}", "x", template)
    answer = ask(method, path, signed=False)
    assert (answer.status, answer.code) == (401, "signature_is_missing_from_headers")


def test_every_write_answers_as_specified(ask: Asking) -> None:
    one = ORDERS + "/{order_id}"
    placed = ask("POST", ORDERS, order_body(A, count="10"))
    order_id = placed.json["order_id"]
    amended = ask("POST", f"{ORDERS}/{order_id}/amend", {"ticker": A, "side": "bid", "price": "0.4100", "count": "8"})
    decreased = ask("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_by": "3.00", "market_ticker": A})
    assert (amended.json["remaining_count"], decreased.json["remaining_count"]) == ("8.00", "5.00")
    cancelled = ask("DELETE", f"{ORDERS}/{order_id}?market_ticker={A}")
    assert cancelled.json["reduced_by"] == "5.00"
    batch = ask(
        "POST", ORDERS + "/batched", {"orders": [order_body(A), order_body("NO"), order_body(A, count="0.001")]}
    )
    kinds = [one.get("error", {}).get("code", "") for one in batch.json["orders"]]
    assert kinds == ["", "not_found", "invalid_order_size"]
    made = batch.json["orders"][0]["order_id"]
    undone = ask("DELETE", ORDERS + "/batched", {"orders": [{"order_id": made, "market_ticker": A}, {"order_id": "x"}]})
    assert [item["reduced_by"] for item in undone.json["orders"]] == ["10.00", "0.00"]
    for method, template, answer, status in (
        ("POST", ORDERS, placed, 201),
        ("POST", one + "/amend", amended, 200),
        ("POST", one + "/decrease", decreased, 200),
        ("DELETE", one, cancelled, 200),
        ("POST", ORDERS + "/batched", batch, 201),
        ("DELETE", ORDERS + "/batched", undone, 200),
    ):
        assert answer.status == status
        specification.body(method, template, status).validate(answer.json)


def test_cancel_all_takes_what_rests_and_says_nothing(ask: Asking) -> None:
    for price in ("0.1000", "0.2000"):
        ask("POST", ORDERS, order_body(A, price=price))
    theirs = ask("POST", ORDERS, order_body(A), who=ask.second).json["order_id"]
    answer = ask("DELETE", ORDERS)
    assert (answer.status, answer.raw) == (204, b"")
    assert ask("GET", "/portfolio/orders?status=resting").json["orders"] == []
    left = ask("GET", "/portfolio/orders?status=resting", who=ask.second).json["orders"]
    assert [order["order_id"] for order in left] == [theirs]


def test_groups_hold_their_orders_and_end_them(ask: Asking) -> None:
    group = ask("POST", "/portfolio/order_groups/create", {"contracts_limit": 3}).json["order_group_id"]
    path = f"/portfolio/order_groups/{group}"
    ask("POST", ORDERS, order_body(A, order_group_id=group))
    assert len(ask("GET", path).json["orders"]) == 1
    assert ask("PUT", path + "/trigger", {}).status == 200
    refused = ask("POST", ORDERS, order_body(A, order_group_id=group))
    assert (refused.status, refused.code) == (400, "invalid_order")
    assert ask("PUT", path + "/reset", {}).status == 200
    assert ask("PUT", path + "/limit", {"contracts_limit": 9}).status == 200
    assert ask("GET", path).json["contracts_limit_fp"] == "9.00"
    assert ask("DELETE", path).status == 200
    assert ask("GET", path).status == 404


def place(ask: Asking, **changes: Any) -> Any:
    return ask("POST", ORDERS, order_body(A, **changes))


REFUSED: list[tuple[str, Any, int, str]] = [
    ("a price off the grid", lambda ask: place(ask, price="0.5150"), 400, "invalid_price"),
    ("a price with five digits", lambda ask: place(ask, price="0.51501"), 400, "invalid_price"),
    ("a price of nothing", lambda ask: place(ask, price="0.0000"), 400, "invalid_price"),
    ("a price that is a number", lambda ask: place(ask, price=0.51), 400, "bad_request"),
    ("a count that is a number", lambda ask: place(ask, count=10), 400, "bad_request"),
    ("no contracts", lambda ask: place(ask, count="0.00"), 400, "invalid_order_size"),
    ("a count below the lot", lambda ask: place(ask, count="0.001"), 400, "invalid_order_size"),
    ("a negative count", lambda ask: place(ask, count="-1"), 400, "invalid_order_size"),
    ("an unknown side", lambda ask: place(ask, side="yes"), 400, "bad_request"),
    ("an unknown time in force", lambda ask: place(ask, time_in_force="GTT"), 400, "bad_request"),
    ("no side", lambda ask: ask("POST", ORDERS, {"ticker": A}), 400, "bad_request"),
    ("no JSON", lambda ask: ask("POST", ORDERS, raw=b"{"), 400, "bad_request"),
    ("a list", lambda ask: ask("POST", ORDERS, raw=b"[]"), 400, "bad_request"),
    ("a deep nest", lambda ask: ask("POST", ORDERS, raw=b"[" * 100_000), 400, "bad_request"),
    ("an unknown market", lambda ask: ask("POST", ORDERS, order_body("NO")), 404, "not_found"),
    ("a poor account", lambda ask: place(ask, count="100000"), 400, "insufficient_balance"),
    ("post only that crosses", lambda ask: place(ask, price="0.4800", post_only=True), 400, "invalid_order"),
    ("reduce only that rests", lambda ask: place(ask, reduce_only=True), 400, "invalid_order"),
    ("an expiry that is past", lambda ask: place(ask, expiration_time=SECOND_NOW - 1), 400, "invalid_order"),
    ("an expiry in milliseconds", lambda ask: place(ask, expiration_time=SECOND_NOW * 1000), 400, "bad_request"),
    ("fill or kill that cannot", lambda ask: place(ask, price="0.4800", count="6", time_in_force="fill_or_kill"), 409,
     "fill_or_kill_insufficient_resting_volume"),
    ("an unknown order", lambda ask: ask("DELETE", f"{ORDERS}/x?market_ticker={A}"), 404, "not_found"),
    ("an unknown order to read", lambda ask: ask("GET", "/portfolio/orders/x"), 404, "not_found"),
    ("an unknown path", lambda ask: ask("GET", "/portfolio/nothing"), 404, "not_found"),
    ("an unknown market to read", lambda ask: ask("GET", "/markets/NO"), 404, "not_found"),
    ("a legacy order", lambda ask: ask("POST", "/portfolio/orders", {}), 410, "deprecated_v1_order_endpoint"),
    ("a legacy cancel", lambda ask: ask("DELETE", "/portfolio/orders/x"), 410, "deprecated_v1_order_endpoint"),
    ("both reductions", lambda ask: ask("POST", f"{ORDERS}/x/decrease", {"reduce_by": "1", "reduce_to": "1"}), 400,
     "bad_request"),
    ("an empty batch", lambda ask: ask("POST", ORDERS + "/batched", {"orders": []}), 400, "bad_request"),
    ("an unknown group", lambda ask: place(ask, order_group_id="x"), 404, "not_found"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "status", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_refusal_has_its_status_and_code_and_changes_nothing(ask: Asking, how: Any, status: int, code: str) -> None:
    before = ask("GET", "/portfolio/balance").json["balance_dollars"], ask("GET", f"/markets/{A}/orderbook").raw
    answer = how(ask)
    assert (answer.status, answer.code) == (status, code), answer.raw
    flat = "error" not in answer.json
    assert flat == (code == "bad_request"), "only bad requests are flat"
    assert ask("GET", "/portfolio/orders").json["orders"] == []
    after = ask("GET", "/portfolio/balance").json["balance_dollars"], ask("GET", f"/markets/{A}/orderbook").raw
    assert after == before
    ask.exchange.audit()


def test_a_client_order_id_is_taken_once_even_after_its_order_is_gone(ask: Asking) -> None:
    order_id = place(ask, client_order_id="once").json["order_id"]
    ask("DELETE", f"{ORDERS}/{order_id}?market_ticker={A}")
    again = place(ask, client_order_id="once")
    assert (again.status, again.code) == (409, "order_already_exists")


def test_a_cancel_of_what_is_gone_is_not_found(ask: Asking) -> None:
    order_id = place(ask, price="0.4800", count="1").json["order_id"]
    answer = ask("DELETE", f"{ORDERS}/{order_id}?market_ticker={A}")
    assert (answer.status, answer.code) == (404, "not_found")


def test_orders_are_private(ask: Asking) -> None:
    order_id = place(ask).json["order_id"]
    assert ask("GET", f"/portfolio/orders/{order_id}", who=ask.second).status == 404
    assert ask("DELETE", f"{ORDERS}/{order_id}?market_ticker={A}", who=ask.second).status == 404
    assert ask("GET", "/portfolio/orders", who=ask.second).json["orders"] == []


def test_in_a_pause_cancels_pass_and_orders_do_not_and_after_the_close_nothing_does(ask: Asking) -> None:
    order_id, kept = (place(ask).json["order_id"] for _ in range(2))
    ask.exchange.set_status(A, Status.INACTIVE, ask.now_ns)
    assert place(ask).code == "trading_is_paused"
    assert ask("DELETE", f"{ORDERS}/{order_id}?market_ticker={A}").status == 200
    ask.exchange.set_status(A, Status.CLOSED, ask.now_ns)
    late = place(ask)
    assert (late.status, late.code) == (409, "market_closed")
    assert ask("DELETE", f"{ORDERS}/{kept}?market_ticker={A}").status == 409


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "status=old", "min_ts=1e9", "subaccount=64"]
)
def test_a_query_that_cannot_be_says_which_parameter(ask: Asking, query: str) -> None:
    answer = ask("GET", f"/portfolio/orders?{query}")
    assert answer.status == 400 and list(answer.json) == ["msg"]
    assert (
        answer.json["msg"].startswith("Parameter validation failed") and query.partition("=")[0] in answer.json["msg"]
    )


def test_more_than_the_tier_allows_is_429_and_was_not_done() -> None:
    ask = Asking(limits=Limits("basic"))
    answers = [place(ask, price="0.0100", count="1") for _ in range(12)]
    assert [answer.status for answer in answers] == [201] * 10 + [429] * 2
    assert answers[-1].raw == b'{"error":"too many requests"}'
    assert len(ask("GET", "/portfolio/orders").json["orders"]) == 10
    ask.wait(0.1)
    assert place(ask, price="0.0100", count="1").status == 201


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 6), st.booleans())
def test_pages_hold_every_order_once_newest_first_while_others_come(bursts: list[int], limit: int, new: bool) -> None:
    ask, placed = Asking(), []
    for burst in bursts:
        placed += [place(ask, price="0.0100", count="1").json["order_id"] for _ in range(burst)]
        ask.wait(1)
    seen, cursor = [], ""
    while True:
        page = ask("GET", f"/portfolio/orders?limit={limit}&cursor={cursor}").json
        assert len(page["orders"]) <= limit
        seen += [order["order_id"] for order in page["orders"]]
        cursor = page["cursor"]
        if not cursor:
            break
        if new:
            place(ask, price="0.0100", count="1")
    assert seen == placed[::-1]


def test_a_cursor_that_is_none_begins_at_the_front(ask: Asking) -> None:
    place(ask)
    for cursor in ("garbage", "AAAA", "e30=", "%00"):
        assert len(ask("GET", f"/portfolio/orders?cursor={cursor}").json["orders"]) == 1


def test_markets_are_chosen_by_what_is_asked(ask: Asking) -> None:
    ask.exchange.set_status(B, Status.INACTIVE, ask.now_ns)

    def tickers(query: str) -> list[str]:
        return [one["ticker"] for one in ask("GET", f"/markets?{query}", signed=False).json["markets"]]

    assert tickers("") == [A, B]
    assert (tickers("status=open"), tickers("status=paused"), tickers("status=settled")) == ([A], [B], [])
    assert (tickers(f"tickers={B}"), tickers("series_ticker=NO"), tickers("event_ticker=KXA-26")) == ([B], [], [A, B])
    assert (tickers("mve_filter=only"), tickers("mve_filter=exclude")) == ([], [A, B])
    first = ask("GET", "/markets?limit=1").json
    assert [one["ticker"] for one in first["markets"]] == [A]
    assert tickers(f"limit=1&cursor={first['cursor']}") == [B]


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    path=st.sampled_from([path for _, path in SIGNED]) | st.text(st.characters(codec="latin-1"), max_size=40),
    query=st.text(st.characters(codec="latin-1"), max_size=40),
    body=st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda tree: json.dumps({"orders": tree, "ticker": tree}).encode()
    ),
)  # fmt: skip
def test_whatever_is_asked_there_is_an_answer_in_json(method: str, path: str, query: str, body: bytes) -> None:
    path = path.replace("?", "")
    answer = SHARED(method, f"{path}?{query}", raw=body)
    assert 200 <= answer.status < 500
    assert answer.status == 204 or isinstance(answer.json, dict)


SHARED = Asking()


def test_a_closed_exchange_says_so_with_503(ask: Asking) -> None:
    ask.exchange.pause_exchange(ask.now_ns)
    answer = ask("GET", "/exchange/status", signed=False)
    assert answer.status == 503 and answer.json["exchange_active"] is False
    assert place(ask).code == "trading_is_paused"
