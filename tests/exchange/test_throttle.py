"""The budget of requests: never exceeded in any window, cancels first, and nothing waits for ever."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ray.core.units import SECOND, Side
from kalshi_ray.errors import UsageError
from kalshi_ray.exchange.throttle import BASIC, PUBLISHED_COSTS, Throttle, Ticket
from kalshi_ray.wire import requests
from kalshi_ray.wire.listing import AccountLimits, Bucket, EndpointCosts
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import AUTO_ROUTE, Cancel, OrderRequest

LIMITS = st.builds(
    AccountLimits,
    tier=st.just("drawn"),
    read=st.builds(Bucket, refill_rate=st.integers(7, 300), capacity=st.integers(60, 500)),
    write=st.builds(Bucket, refill_rate=st.integers(7, 300), capacity=st.integers(60, 500)),
)
SHARDS = st.sampled_from([AUTO_ROUTE, 0, 1, 3])


def order(shard: int = AUTO_ROUTE) -> OrderRequest:
    return OrderRequest(ticker="KXA", client_order_id="c", side=Side.BID, size=100, price=5_000, exchange_index=shard)


def cancel(shard: int = AUTO_ROUTE) -> Cancel:
    return Cancel(order_id="o", ticker="KXA", exchange_index=shard)


REQUESTS = st.one_of(
    SHARDS.map(lambda shard: requests.create_order(order(shard))),
    SHARDS.map(lambda shard: requests.cancel_order(cancel(shard))),
    st.integers(1, 6).map(lambda count: requests.create_batch([order()] * count)),
    st.integers(1, 6).map(lambda count: requests.cancel_batch([cancel()] * count)),
    st.just(requests.get_balance()),
    st.just(requests.get_order("o")),
    st.just(requests.cancel_all()),
)
# (nanoseconds until then, request or None to look only)
ARRIVALS = st.lists(st.tuples(st.integers(0, 2 * SECOND), st.none() | REQUESTS), min_size=1, max_size=40)


def played(limits: AccountLimits, arrivals: Sequence[tuple[int, Request | None]]) -> list[tuple[int, Ticket]]:
    """All arrivals, then as long as it takes: who was sent when. Wakes only when the throttle says so."""
    now, sent = 0, []
    throttle = Throttle(now, limits)
    for pause, request in arrivals:
        until = now + pause
        while throttle.next_ns is not None and throttle.next_ns <= until:
            now = max(now, throttle.next_ns)
            sent += [(now, ticket) for ticket in throttle.due(now)]
        now = until
        if request is not None:
            throttle.submit(request, now)
        sent += [(now, ticket) for ticket in throttle.due(now)]
    for _ in range(10_000):
        if throttle.next_ns is None:
            break
        now = max(now, throttle.next_ns)
        sent += [(now, ticket) for ticket in throttle.due(now)]
    assert throttle.waiting == 0
    return sent


def payers(request: Request) -> set[int]:
    """The buckets a request is billed to, by the exchange's rules: reads -2, else shards."""
    if not request.is_write:
        return {-2}
    if request.template.endswith("/batched"):
        return {0}
    return {0, 1, 2, 3} if request.exchange_index == AUTO_ROUTE else {request.exchange_index}


@given(LIMITS, ARRIVALS)
def test_no_window_holds_more_than_the_capacity_and_what_flowed_in(
    limits: AccountLimits, arrivals: list[tuple[int, Request | None]]
) -> None:
    sent = played(limits, arrivals)
    for shard in (-2, 0, 1, 2, 3):
        bucket = limits.read if shard == -2 else limits.write
        paid = [(at, ticket.cost) for at, ticket in sent if shard in payers(ticket.request)]
        for first, (start, _) in enumerate(paid):
            spent = 0
            for at, cost in paid[first:]:
                spent += cost
                assert spent * SECOND <= bucket.capacity * SECOND + bucket.refill_rate * (at - start)


@given(LIMITS, ARRIVALS)
def test_every_request_is_sent_once_and_as_soon_as_all_before_it_are_paid(
    limits: AccountLimits, arrivals: list[tuple[int, Request | None]]
) -> None:
    sent = played(limits, arrivals)
    assert len({id(ticket) for _, ticket in sent}) == len(sent) == sum(request is not None for _, request in arrivals)
    for lane in range(3):  # order is kept among those who pay the same
        for shard in (-2, 0, 1, 3):
            of_lane = [
                ticket.request for _, ticket in sent if ticket.lane == lane and payers(ticket.request) == {shard}
            ]
            asked = [one for _, one in arrivals if one in of_lane and one is not None and payers(one) == {shard}]
            assert of_lane == [one for one in asked if one in of_lane]
    total = sum(ticket.cost for _, ticket in sent)
    slowest = min(limits.read.refill_rate, limits.write.refill_rate)
    last = sum(pause for pause, _ in arrivals)
    # Had one payer to pay for all, full bucket and reserve included, it would take this long.
    longest = last + (total + limits.write.capacity + limits.read.capacity) * SECOND // slowest + SECOND
    assert all(at <= longest for at, _ in sent)


@given(st.integers(1, 30), st.integers(0, SECOND))
def test_a_cancel_never_waits_behind_an_order(orders: int, after: int) -> None:
    throttle = Throttle(0)
    for _ in range(orders):
        throttle.submit(requests.create_order(order()), 0)
    throttle.due(0)
    ticket = throttle.submit(requests.cancel_order(cancel()), after)
    assert throttle.due(after)[0] is ticket


def test_more_cancels_than_the_reserve_go_before_the_orders_that_wait() -> None:
    throttle = Throttle(0)
    for _ in range(20):
        throttle.submit(requests.create_order(order()), 0)
    throttle.due(0)
    cancels = [throttle.submit(requests.cancel_order(cancel()), 0) for _ in range(20)]
    sent: list[Ticket] = []
    while len(sent) < 20:
        assert throttle.next_ns is not None
        sent += throttle.due(throttle.next_ns)
    assert sent == cancels


def test_a_shard_that_waits_does_not_hold_another() -> None:
    throttle = Throttle(0)
    for _ in range(10):
        throttle.submit(requests.create_order(order(1)), 0)
    throttle.due(0)
    ticket = throttle.submit(requests.create_order(order(2)), 0)
    assert throttle.due(0) == [ticket]


def test_what_the_exchange_routes_is_billed_to_shards_that_are_met_later() -> None:
    throttle = Throttle(0)
    for _ in range(9):
        throttle.submit(requests.create_order(order(AUTO_ROUTE)), 0)
    assert len(throttle.due(0)) == 9
    throttle.submit(requests.create_order(order(3)), 0)
    assert throttle.due(0) == []


def test_a_batch_as_large_as_the_bucket_goes_once_it_is_full() -> None:
    throttle = Throttle(0)
    throttle.submit(requests.create_order(order()), 0)
    throttle.due(0)
    ticket = throttle.submit(requests.create_batch([order()] * 10), 0)
    assert throttle.due(0) == [] and throttle.next_ns == SECOND // 10
    assert throttle.due(SECOND // 10) == [ticket]


def test_a_batch_that_no_full_bucket_could_pay_is_refused_with_the_largest_that_fits() -> None:
    with pytest.raises(UsageError, match=r"110 tokens and tier basic holds 100\. Send at most 10 at once"):
        Throttle(0).submit(requests.create_batch([order()] * 11), 0)


@pytest.mark.parametrize(
    ("request_", "cost"),
    [
        (requests.create_order(order()), 10),
        (requests.cancel_order(cancel()), 2),
        (requests.cancel_all(), 2),
        (requests.get_order("o"), 2),
        (requests.get_balance(), 10),
        (requests.create_batch([order()] * 25), 250),
        (requests.cancel_batch([cancel()] * 25), 50),
    ],
)
def test_published_costs(request_: Request, cost: int) -> None:
    assert Throttle(0).cost_of(request_) == cost


def test_costs_are_found_whatever_the_exchange_calls_the_parts_of_a_path() -> None:
    costs = EndpointCosts(default=10, costs={("GET", "/portfolio/orders/{id}"): 3})
    assert Throttle(0, BASIC, costs).cost_of(requests.get_order("o")) == 3


def test_a_429_empties_the_bucket() -> None:
    throttle = Throttle(0)
    read = requests.get_balance()
    throttle.overdrawn(read, 0)
    throttle.submit(read, 0)
    assert throttle.due(0) == [] and throttle.next_ns == SECOND // 20


def test_a_request_that_is_withdrawn_is_not_sent() -> None:
    throttle = Throttle(0)
    throttle.overdrawn(requests.get_balance(), 0)
    ticket = throttle.submit(requests.get_balance(), 0)
    throttle.withdraw(ticket)
    assert throttle.due(SECOND) == [] and throttle.waiting == 0


def test_a_clock_that_goes_back_brings_no_tokens() -> None:
    throttle = Throttle(10 * SECOND)
    throttle.overdrawn(requests.get_balance(), 10 * SECOND)
    throttle.submit(requests.get_balance(), 0)
    assert throttle.due(0) == [] and throttle.due(10 * SECOND) == []


def test_an_account_without_a_budget_is_refused() -> None:
    nothing = AccountLimits(tier="none", read=BASIC.read, write=Bucket(refill_rate=0, capacity=0))
    with pytest.raises(UsageError, match="tier none allows no requests"):
        Throttle(0, nothing, PUBLISHED_COSTS)
