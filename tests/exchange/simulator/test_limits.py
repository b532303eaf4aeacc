"""Token buckets: what fits passes, what does not costs nothing, and both ends count alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ray.core.units import MILLISECOND, SECOND
from kalshi_ray.errors import UnknownName
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.limits import RATES, TOO_MANY_REQUESTS, Limits, limits_of
from kalshi_ray.exchange.throttle import Throttle
from kalshi_ray.wire import requests
from kalshi_ray.wire.refusals import write_error
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import Cancel

NOW = 1_791_000_000 * SECOND
ORDERS = "/portfolio/events/orders"
ONE = ORDERS + "/{order_id}"


def burst(limits: Limits, account: Account, method: str, template: str, now_ns: int = NOW, **asked: int) -> int:
    """How many pass at once."""
    passed = 0
    while limits.charge(account, method, template, now_ns, **asked) is None:
        passed += 1
    return passed


@pytest.mark.parametrize(
    ("tier", "orders", "cancels", "reads"),
    [("basic", 10, 50, 60), ("advanced", 90, 450, 90), ("expert", 180, 900, 60), ("prestige", 2880, 14400, 1200)],
)
def test_a_full_bucket_holds_what_is_published(tier: str, orders: int, cancels: int, reads: int) -> None:
    account = Account("a", 1)
    assert burst(Limits(tier), account, "POST", ORDERS) == orders
    assert burst(Limits(tier), account, "DELETE", ONE) == cancels
    assert burst(Limits(tier), account, "GET", "/portfolio/balance") == reads


@settings(deadline=None)
@given(waits=st.lists(st.integers(0, 3000), max_size=40))
def test_no_stretch_of_time_passes_more_than_capacity_and_refill(waits: list[int]) -> None:
    limits, account, now, spent = Limits("basic"), Account("a", 1), NOW, 0
    for wait in waits:
        now += wait * MILLISECOND
        spent += 10 * burst(limits, account, "POST", ORDERS, now)
        assert spent <= 100 + 100 * (now - NOW) // SECOND


def test_accounts_and_directions_do_not_share() -> None:
    limits, first, second = Limits("basic"), Account("a", 1), Account("b", 1)
    assert burst(limits, first, "POST", ORDERS) == 10
    assert burst(limits, second, "POST", ORDERS) == 10
    assert limits.charge(first, "GET", "/markets", NOW) is None


def test_a_batch_pays_for_each_item_and_passes_whole_or_not_at_all() -> None:
    limits, account, batched = Limits("basic"), Account("a", 1), ORDERS + "/batched"
    assert limits.charge(account, "POST", batched, NOW, items=11, shard=0) is TOO_MANY_REQUESTS
    assert limits.charge(account, "POST", batched, NOW, items=10, shard=0) is None
    assert limits.charge(account, "DELETE", batched, NOW, items=1, shard=0) is TOO_MANY_REQUESTS


def test_a_write_that_names_no_shard_pays_all_of_them() -> None:
    limits, account = Limits("basic", shards=(0, 1, 3)), Account("a", 1)
    assert burst(limits, account, "POST", ORDERS, shard=3) == 10
    assert limits.charge(account, "POST", ORDERS, NOW) is TOO_MANY_REQUESTS
    assert burst(limits, account, "POST", ORDERS, shard=1) == 10


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["cancel", "read", "order"])), max_size=80))
def test_what_our_throttle_lets_go_is_never_too_many(asked: list[tuple[int, str]]) -> None:
    limits, account, now = Limits("basic"), Account("a", 1), NOW
    throttle = Throttle(NOW, limits_of("basic"))
    for wait, what in asked:
        now += wait * MILLISECOND
        throttle.submit(_request(what), now)
        for ticket in throttle.due(now):
            one = ticket.request
            assert limits.charge(account, one.method, one.template, now, shard=one.exchange_index) is None


def _request(what: str) -> Request:
    if what == "cancel":
        return requests.cancel_order(Cancel(order_id="o", ticker="T"))
    if what == "read":
        return requests.get_balance()
    return Request(method="POST", path=ORDERS, template=ORDERS, is_write=True)


def test_the_answer_has_the_exchanges_form_and_tiers_are_those_published() -> None:
    assert write_error(TOO_MANY_REQUESTS) == b'{"error":"too many requests"}'
    assert set(RATES) == {"basic", "advanced", "expert", "premier", "paragon", "prime", "prestige"}
    with pytest.raises(UnknownName, match="gold"):
        limits_of("gold")
