"""Our client against the simulator's REST interface, over sockets that lose requests and answers: none twice."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import msgspec
import pytest

from kalshi_ray.core.units import Side
from kalshi_ray.errors import AuthenticationFailed, OrderRejected, OutcomeUnknown, RequestRejected
from kalshi_ray.exchange.client import ExchangeClient
from kalshi_ray.exchange.sign import Secret, signer_of
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.simulator.auth import Auth
from kalshi_ray.exchange.simulator.exchange import Exchange
from kalshi_ray.exchange.simulator.limits import Limits
from kalshi_ray.exchange.simulator.rest_api import Api
from kalshi_ray.exchange.simulator.settings import MarketTerms
from kalshi_ray.wire import bodies, requests
from kalshi_ray.wire.trading import (
    Amendment,
    Cancel,
    Decrease,
    OrderRequest,
    OrderStatus,
    Placed,
    Refused,
    TimeInForce,
)
from tests.exchange.keys import KEY_ID, ed25519_key, pem_of, rsa_key, signer
from tests.exchange.loopback import Asked, Says, talked

T1 = "KXA-26-T1"
HUNG_UP, BROKEN, BUSY = Says(hang_up=True), Says(503), Says(429, b'{"error":"too many requests"}')


@dataclass
class Venue:
    """A simulated exchange of two accounts, and what goes wrong with each request, by chance."""

    seed: int = 0
    faults: float = 0.0  # share of requests
    tier: str = "prestige"
    exchange: Exchange = field(default_factory=Exchange)

    def __post_init__(self) -> None:
        auth = Auth()
        self.account: Account = self.exchange.create_account(1_000)
        self.other: Account = self.exchange.create_account(1_000)
        auth.add(KEY_ID, ed25519_key().public_key(), self.account)
        auth.add("other", rsa_key().public_key(), self.other)
        self.exchange.open_market(MarketTerms(ticker=T1, event="KXA-26", series="KXA"))
        self.exchange.advance(time.time_ns())
        self.api = Api(self.exchange, auth, Limits(self.tier))
        self.chance = random.Random(self.seed)
        self.lost = 0

    def __call__(self, asked: Asked) -> Says:
        fault = self.chance.choice(("before", "after", "late", "busy")) if self.chance.random() < self.faults else ""
        self.lost += bool(fault)
        if fault == "busy":
            return BUSY
        if fault == "before":  # it never got there
            return self.chance.choice((HUNG_UP, BROKEN))
        response = self.api.handle(asked.method, asked.target, asked.headers, asked.body, time.time_ns())
        self.exchange.audit()
        if fault:  # it was carried out, and nobody is told
            return self.chance.choice((HUNG_UP, BROKEN))
        return Says(response.status, response.body, dict(response.headers))


def order(name: str, price: int = 5_000, side: Side = Side.BID, size: int = 100, **more: object) -> OrderRequest:
    return OrderRequest(ticker=T1, client_order_id=name, side=side, size=size, price=price, **more)  # type: ignore[arg-type]


def cancel_of(order_id: str) -> Cancel:
    return Cancel(order_id=order_id, ticker=T1)


def test_a_day_at_the_exchange() -> None:
    async def work(client: ExchangeClient) -> None:
        await client.read_limits()
        assert (await client.ask(requests.get_status(), bodies.read_status)).trading_active
        assert (await client.ask(requests.get_market(T1), bodies.read_market)).status == "active"
        first = await client.place(order("a"))
        amended = await client.amend(
            Amendment(order_id=first.order_id, ticker=T1, side=Side.BID, price=5_100, size=200)
        )
        assert amended.order_id == first.order_id
        assert (await client.decrease(Decrease(order_id=first.order_id, ticker=T1, to=150))).remaining == 150
        found = await client.order_of(first.order_id)
        assert (found.price, found.remaining, found.status) == (5_100, 150, OrderStatus.RESTING)
        answers = await client.place_batch([order("b", 4_000), order("b", 4_000), order("c", 4_100)])
        assert [type(one) for one in answers] == [Placed, Refused, Placed]
        assert (await client.cancel(cancel_of(first.order_id))).reduced_by == 150
        await client.cancel_all()
        pages = client.pages(lambda cursor: requests.get_orders(limit=2, cursor=cursor), bodies.read_orders)
        assert [one.status async for one in pages] == [OrderStatus.CANCELED] * 3
        assert (await client.ask(requests.get_balance(), bodies.read_balance)).cash == 1_000_000_000

    for key in (signer(), signer_of("other", Secret(pem_of(rsa_key()), "a test"))):
        talked(Venue(), work, signer=key)


def test_every_no_of_the_exchange_is_one_typed_error() -> None:
    async def work(client: ExchangeClient) -> None:
        await client.place(order("twice"))
        for wish, code in (
            (order("twice"), "order_already_exists"),
            (order("off", 5_050), "invalid_price"),
            (order("rich", size=10_000_000), "insufficient_balance"),
            (replace_ticker(order("where")), "not_found"),
            (order("fok", 6_000, time_in_force=TimeInForce.FOK), "fill_or_kill_insufficient_resting_volume"),
        ):
            with pytest.raises(OrderRejected) as caught:
                await client.place(wish)
            assert caught.value.code == code or (code == "not_found" and caught.value.status in (400, 404)), code
        with pytest.raises(OrderRejected, match="not_found"):
            await client.cancel(cancel_of("nobody"))
        with pytest.raises(RequestRejected):
            await client.ask(requests.get_market("NOPE"), bodies.read_market)

    def replace_ticker(wish: OrderRequest) -> OrderRequest:
        return msgspec.structs.replace(wish, ticker="NOPE")

    talked(Venue(), work, signer=signer())


@pytest.mark.parametrize("off_s", [-60, 60])
def test_a_clock_that_is_off_is_refused_as_such(off_s: int) -> None:
    venue = Venue()

    def late(asked: Asked) -> Says:
        response = venue.api.handle(
            asked.method, asked.target, asked.headers, asked.body, time.time_ns() + off_s * 1_000_000_000
        )
        return Says(response.status, response.body)

    async def work(client: ExchangeClient) -> None:
        with pytest.raises(AuthenticationFailed, match="refused the time of the signature"):
            await client.place(order("a"))

    talked(late, work, signer=signer())


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 60))])
def test_whatever_gets_lost_every_order_stands_once_and_is_known(seed: int) -> None:
    """A third of all requests are lost, or their answers are. What the client believes is what the exchange holds."""
    venue = Venue(seed=seed, faults=0.35)
    chance = random.Random(seed)
    believed: dict[str, Placed] = {}
    cancelled: set[str] = set()

    async def surely(client: ExchangeClient, wish: OrderRequest) -> Placed:
        again = False
        while True:
            try:
                return await client.place(wish, again=again)
            except OutcomeUnknown as unknown:
                assert unknown.client_order_ids == (wish.client_order_id,)
                again = True

    async def work(client: ExchangeClient) -> None:
        for number in range(12):
            name = f"n{number}"
            believed[name] = await surely(client, order(name, 100 * chance.randint(1, 50)))
            if chance.random() < 0.5:
                chosen = chance.choice([one for one in believed if one not in cancelled] or [name])
                if chosen not in cancelled:
                    reduced = await client.cancel(cancel_of(believed[chosen].order_id))
                    assert reduced.reduced_by == 100
                    cancelled.add(chosen)

    talked(venue, work, signer=signer(), attempts=30, lookup_s=0.25, timeout_s=2.0)
    stands = {one.client_order_id: order_id for order_id, one in venue.account.orders.by_id.items()}
    assert len(venue.account.orders.by_id) == len(stands)  # none twice
    assert stands == {name: placed.order_id for name, placed in believed.items()}
    working = {one.client_order_id for one in venue.account.orders.working.values()}
    assert working == believed.keys() - cancelled
    assert venue.lost > 0


def test_within_the_budget_of_the_lowest_tier_nothing_is_refused() -> None:
    venue = Venue(tier="basic")
    refused = []

    def watched(asked: Asked) -> Says:
        says = venue(asked)
        refused.append(says.status == 429)
        return says

    async def work(client: ExchangeClient) -> None:
        await client.read_limits()
        for number in range(14):
            placed = await client.place(order(f"n{number}", 100))
            await client.cancel(cancel_of(placed.order_id))

    talked(watched, work, signer=signer())
    assert len(refused) > 28 and not any(refused)
