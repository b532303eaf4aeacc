"""What becomes of a request: every kind of answer, for reads, cancels and writes."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.errors import (
    AuthenticationFailed,
    ConfigError,
    ExchangeDown,
    ExchangeError,
    OrderRejected,
    RateLimited,
    RequestRejected,
)
from kalshi_ray.exchange.rest import (
    Again,
    Backoff,
    Call,
    Done,
    Loss,
    Reply,
    Step,
    Unclear,
    is_amended,
    is_decreased,
    placed_of,
    reduced_of,
    skew_ns,
    skew_words,
)
from kalshi_ray.exchange.settings import ExchangeSettings, address_of, environment_of, read_ready
from kalshi_ray.wire import requests
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Amendment, Cancel, Decrease, GroupRequest, Order, OrderRequest, OrderStatus, Refused

ORDER = OrderRequest(ticker="KXA", client_order_id="mine", side=Side.BID, size=100, price=5_000)
READ = requests.get_balance()
CREATE = requests.create_order(ORDER)
CANCEL = requests.cancel_order(Cancel(order_id="o", ticker="KXA"))
WRITES = [
    CREATE,
    requests.create_batch([ORDER]),
    requests.amend_order(Amendment(order_id="o", ticker="KXA", side=Side.BID, price=5_000, size=100)),
    requests.decrease_order(Decrease(order_id="o", ticker="KXA", by=10)),
    requests.create_group(GroupRequest(limit=1_000)),
]
REPEATABLE = [READ, requests.get_order("o"), CANCEL, requests.cancel_all(), requests.cancel_batch([])]
ATTEMPTS = 4


def call_of(request: Request, **changes: float) -> Call:
    settings = ExchangeSettings(attempts=ATTEMPTS, **changes)  # type: ignore[arg-type]
    return Call(request, ATTEMPTS, Backoff(settings, random.Random(7)))


def no(status: int, code: str = "", details: str = "", message: str = "") -> Reply:
    return Reply(status=status, body=write_error(Refused(status=status, code=code, message=message, details=details)))


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("request_", [*WRITES, *REPEATABLE], ids=lambda r: f"{r.method} {r.template}")
def test_success_is_done(request_: Request, status: int) -> None:
    assert call_of(request_).answered(Reply(status=status, body=b"{}")) == Done(b"{}")


def test_a_closed_exchange_says_so_with_503_and_that_is_an_answer() -> None:
    body = b'{"exchange_active":false,"trading_active":false}'
    assert call_of(requests.get_status()).answered(Reply(status=503, body=body)) == Done(body)
    assert isinstance(call_of(requests.get_status()).answered(Reply(status=503, body=b"<html>")), Again)
    assert isinstance(call_of(READ).answered(Reply(status=503, body=body)), Again)


LOST = [
    lambda call: call.answered(Reply(status=500)),
    lambda call: call.answered(Reply(status=503, body=b"<html>")),
    lambda call: call.answered(Reply(status=408)),
    lambda call: call.failed(Loss.NO_ANSWER, "it hung up"),
]


@pytest.mark.parametrize("lose", LOST)
@pytest.mark.parametrize("request_", WRITES, ids=lambda r: r.template)
def test_a_write_whose_answer_was_lost_is_unclear_at_once(request_: Request, lose: object) -> None:
    call = call_of(request_)
    assert isinstance(lose(call), Unclear)  # type: ignore[operator]
    assert call.was_unclear


@pytest.mark.parametrize("lose", LOST)
@pytest.mark.parametrize("request_", REPEATABLE, ids=lambda r: f"{r.method} {r.template}")
def test_reads_and_cancels_are_sent_again_a_bounded_number_of_times(request_: Request, lose: object) -> None:
    call = call_of(request_)
    for _ in range(ATTEMPTS - 1):
        assert isinstance(lose(call), Again)  # type: ignore[operator]
    if request_.is_write:
        assert isinstance(lose(call), Unclear)  # type: ignore[operator]
    else:
        with pytest.raises(ExchangeDown):
            lose(call)  # type: ignore[operator]


@pytest.mark.parametrize("request_", [*WRITES, *REPEATABLE], ids=lambda r: f"{r.method} {r.template}")
def test_what_certainly_was_not_carried_out_is_sent_again_a_bounded_number_of_times(request_: Request) -> None:
    call = call_of(request_)
    for _ in range(ATTEMPTS - 1):
        step = call.answered(Reply(status=429, body=b'{"error":"too many requests"}'))
        assert isinstance(step, Again) and step.overdrawn
    with pytest.raises(RateLimited):
        call.answered(Reply(status=429))
    call = call_of(request_)
    for _ in range(ATTEMPTS - 1):
        step = call.failed(Loss.NOT_SENT, "refused")
        assert isinstance(step, Again) and not step.overdrawn
    with pytest.raises(ExchangeDown):
        call.failed(Loss.NOT_SENT, "refused")
    assert not call.was_unclear


Event = st.one_of(
    st.sampled_from([*range(200, 206), 301, 400, 404, 409, 410, 429, 500, 502, 503]).map(lambda s: Reply(status=s)),
    st.sampled_from(list(Loss)),
)


@given(st.sampled_from([*WRITES, *REPEATABLE]), st.lists(Event, min_size=ATTEMPTS, max_size=ATTEMPTS))
def test_no_write_but_a_cancel_is_ever_sent_again_after_it_may_have_been_carried_out(
    request: Request, events: list[Reply | Loss]
) -> None:
    call, sent, may_be_done = call_of(request), 0, 0
    for event in events:
        sent += 1
        may_be_done += event is Loss.NO_ANSWER or (isinstance(event, Reply) and event.status >= 500)
        try:
            step: Step = call.failed(event, "x") if isinstance(event, Loss) else call.answered(event)
        except ExchangeError:
            break
        if not isinstance(step, Again):
            break
        assert may_be_done == 0 or not request.is_write or request.is_cancel
    assert sent <= ATTEMPTS
    assert call.was_unclear == (may_be_done > 0 and request.is_write)


@pytest.mark.parametrize("shape", ["nested", "flat", "msg", "text"])
def test_a_refusal_of_any_shape_is_one_typed_error(shape: str) -> None:
    refused = Refused(status=400, code="invalid_order", message="invalid order", details="post only cross")
    body = write_error(refused, shape)  # type: ignore[arg-type]
    with pytest.raises(OrderRejected, match="refused POST /portfolio/events/orders with") as caught:
        call_of(CREATE).answered(Reply(status=400, body=body))
    if shape in ("nested", "flat"):
        assert (caught.value.code, caught.value.details) == ("invalid_order", "post only cross")
    assert caught.value.status == 400


def test_a_refused_read_is_no_refused_order() -> None:
    with pytest.raises(RequestRejected) as caught:
        call_of(requests.get_market("NOPE")).answered(no(404, "not_found", message="not found"))
    assert not isinstance(caught.value, OrderRejected) and str(caught.value).endswith("not_found (HTTP 404)")


@pytest.mark.parametrize(
    ("status", "code", "details", "said"),
    [
        (401, "header_timestamp_expired", "", "this clock is 31.0 s ahead of the exchange's. Set the clock"),
        (401, "authentication_error", "INCORRECT_API_KEY_SIGNATURE", "private key does not belong to exchange.key_id"),
        (401, "authentication_error", "NOT_FOUND", "exchange.key_id is not known there"),
        (401, "signature_is_missing_from_headers", "", "set exchange.key_id and a private key"),
        (403, "forbidden", "scope", "lacks the scope"),
        (401, "", "", "with no reason"),
    ],
)
def test_every_refused_key_says_what_to_do(status: int, code: str, details: str, said: str) -> None:
    with pytest.raises(AuthenticationFailed, match=said):
        call_of(CREATE).answered(no(status, code, details), 31 * SECOND)


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_pauses_double_within_their_bounds(attempt: int, seed: int) -> None:
    settings = ExchangeSettings(backoff_s=0.25, most_backoff_s=8.0)
    pause = Backoff(settings, random.Random(seed)).pause_ns(attempt)
    longest = min(8.0, 0.25 * 2 ** (attempt - 1)) * SECOND
    assert longest / 2 <= pause <= longest


@given(st.integers(-(10**6), 10**6), st.integers(0, 999), st.integers(0, 3_000))
def test_the_skew_that_a_date_shows_is_right_within_its_uncertainty(
    skew_ms: int, fraction_ms: int, trip_ms: int
) -> None:
    answered = 1_791_000_000 * SECOND + fraction_ms * 1_000_000  # on the exchange's clock, half way
    ours = answered + skew_ms * 1_000_000
    half = trip_ms * 500_000
    found = skew_ns("Sat, 03 Oct 2026 04:00:00 GMT", ours - half, ours + half)
    assert found is not None and abs(found[0] - skew_ms * 1_000_000) <= found[1]
    assert found[1] <= SECOND // 2 + half


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 04 Oct 2026", "Sun, 99 Oct 2026 04:00:00 GMT"])
def test_a_date_that_is_none_says_nothing(date: str) -> None:
    assert skew_ns(date, 0, 0) is None


def test_skew_in_words() -> None:
    assert skew_words(-2_500_000_000) == "2.5 s behind the exchange's"


def order(**changes: object) -> Order:
    made = Order(
        order_id="o",
        client_order_id="mine",
        ticker="KXA",
        side=Side.BID,
        price=5_000,
        status=OrderStatus.RESTING,
        size=100,
        filled=30,
        remaining=70,
        updated_ns=5,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_lost_answer_is_read_off_the_order() -> None:
    placed = placed_of(order())
    assert (placed.order_id, placed.client_order_id, placed.filled, placed.remaining) == ("o", "mine", 30, 70)
    assert reduced_of(order()) is None and reduced_of(order(status=OrderStatus.EXECUTED)) is None
    reduced = reduced_of(order(status=OrderStatus.CANCELED, remaining=0))
    assert reduced is not None and reduced.reduced_by == 70


def test_an_order_that_was_not_changed_is_not_taken_for_changed() -> None:
    wish = Amendment(order_id="o", ticker="KXA", side=Side.BID, price=5_100, size=100)
    assert not is_amended(order(), wish) and is_amended(order(price=5_100), wish)
    assert not is_amended(order(price=5_100, size=90, remaining=60), wish)
    assert is_decreased(order(remaining=20), Decrease(order_id="o", ticker="KXA", to=20))
    assert not is_decreased(order(), Decrease(order_id="o", ticker="KXA", to=20))
    assert not is_decreased(order(), Decrease(order_id="o", ticker="KXA", by=20))


def test_the_live_exchange_has_to_be_allowed() -> None:
    with pytest.raises(ConfigError, match="KALSHI_RAY_EXCHANGE__ALLOW_LIVE=yes"):
        address_of(ExchangeSettings(environment="live"))
    assert address_of(ExchangeSettings(environment="live", allow_live="yes")).rest.startswith(
        "https://external-api.kalshi"
    )


@pytest.mark.parametrize("environment", ["local", "demo"])
@pytest.mark.parametrize(
    "url", ["https://api.elections.kalshi.com/trade-api/v2", "https://gateway.example/trade-api/v2"]
)
def test_an_address_does_not_lead_to_the_live_exchange_by_another_name(environment: str, url: str) -> None:
    with pytest.raises(ConfigError, match=f"which is live, while exchange.environment is {environment}"):
        address_of(ExchangeSettings(environment=environment, rest_url=url, allow_live="yes"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is not an address"),
        ("127.0.0.1:80", "is not an address"),
        ("ftp://127.0.0.1/trade-api/v2", "is not an address"),
        ("http://127.0.0.1:port/trade-api/v2", "Port could not be cast"),
        ("http://user:word@127.0.0.1/trade-api/v2", "is not an address"),
        ("http://[::1", "Invalid IPv6"),
    ],
)
def test_a_wrong_address_is_one_clear_error(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        address_of(ExchangeSettings(rest_url=url))


def test_demo_is_encrypted() -> None:
    with pytest.raises(ConfigError, match="is not encrypted"):
        address_of(ExchangeSettings(environment="demo", rest_url="http://demo-api.kalshi.co/trade-api/v2"))


def test_a_stream_stands_beside_its_rest_address() -> None:
    address = address_of(ExchangeSettings(rest_url="http://127.0.0.1:81/trade-api/v2"))
    assert address.stream == "ws://127.0.0.1:81/trade-api/ws/v2"
    assert (address.rest_path, address.stream_path) == ("/trade-api/v2", "/trade-api/ws/v2")


@pytest.mark.parametrize(
    ("host", "environment"),
    [
        ("localhost", "local"),
        ("127.8.8.8", "local"),
        ("::1", "local"),
        ("external-api.demo.kalshi.co", "demo"),
        ("demo-api.kalshi.co", "demo"),
        ("demo.kalshi.co.example", "live"),
        ("192.168.0.1", "live"),
        ("external-api.kalshi.com", "live"),
    ],
)
def test_environments_of_hosts(host: str, environment: str) -> None:
    assert environment_of(host) == environment


def test_a_ready_file_that_is_none_is_one_clear_error() -> None:
    with pytest.raises(ConfigError, match="not the ready file of a simulator"):
        read_ready(b'{"rest": 1}', "f.json")


@pytest.mark.parametrize("change", [{"attempts": 0}, {"timeout_s": 0.0}, {"ping_s": -1.0}, {"account": -1}])
def test_settings_without_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ExchangeSettings(**change)  # type: ignore[arg-type]
