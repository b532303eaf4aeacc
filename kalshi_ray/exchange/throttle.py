"""The account's budget of requests: token buckets, one for reads and one for the writes of every shard.

    ticket = throttle.submit(request, now_ns)
    for ticket in throttle.due(now_ns): send it
    wake again at throttle.next_ns

Tokens flow in all the time, up to a capacity. Cancels go before other writes, and a little of the write budget is kept
for them; in each lane requests go in their order, so that small ones do not starve a large one. Time is an argument.
"""

from __future__ import annotations

from collections import deque

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import UsageError
from kalshi_ray.wire.listing import AccountLimits, Bucket, EndpointCosts
from kalshi_ray.wire.requests import Request
from kalshi_ray.wire.trading import AUTO_ROUTE

ORDERS = "/portfolio/events/orders"
# The lowest tier, as published: what is assumed until the account's own limits are read.
BASIC = AccountLimits(
    tier="basic", read=Bucket(refill_rate=200, capacity=600), write=Bucket(refill_rate=100, capacity=100)
)
# As published: what is assumed until `GET /account/endpoint_costs` is read.
PUBLISHED_COSTS = EndpointCosts(
    default=10,
    costs={
        ("DELETE", ORDERS): 2,
        ("DELETE", ORDERS + "/{order_id}"): 2,
        ("DELETE", ORDERS + "/batched"): 2,
        ("GET", "/portfolio/orders/{order_id}"): 2,
    },
)

CANCELS, WRITES, READS = range(3)  # lanes, in the order in which they are served


class Ticket(msgspec.Struct, frozen=True, eq=False):
    """A request that waits for its tokens, or has them."""

    request: Request
    cost: int
    lane: int


class _Tokens:
    """One bucket. Counts in tokens times nanoseconds per second, so that a refill is exact."""

    def __init__(self, bucket: Bucket, now_ns: int) -> None:
        self.rate, self.capacity = bucket.refill_rate, bucket.capacity * SECOND
        self.level, self._at = self.capacity, now_ns

    def refill(self, now_ns: int) -> None:
        """Let in what has come since. A clock that goes back brings nothing."""
        if now_ns > self._at:
            self.level = min(self.capacity, self.level + (now_ns - self._at) * self.rate)
            self._at = now_ns

    def ready_ns(self, wanted: int) -> int:
        """When `wanted` will be there."""
        return self._at + max(0, -(-(wanted - self.level) // self.rate))

    def copy(self) -> _Tokens:
        """A bucket of the same history."""
        made = _Tokens(Bucket(refill_rate=self.rate, capacity=self.capacity // SECOND), self._at)
        made.level = self.level
        return made


class Throttle:
    """Who may be sent when. `cancel_reserve` tokens of every write bucket are kept for cancels."""

    def __init__(
        self,
        now_ns: int,
        limits: AccountLimits = BASIC,
        costs: EndpointCosts = PUBLISHED_COSTS,
        *,
        cancel_reserve: int = 10,
    ) -> None:
        self._reserve = cancel_reserve * SECOND
        self._lanes: tuple[deque[Ticket], ...] = (deque(), deque(), deque())
        self.next_ns: int | None = None  # when a waiting request may go; None: nothing waits
        self.adopt(limits, costs, now_ns)

    def adopt(self, limits: AccountLimits, costs: EndpointCosts, now_ns: int) -> None:
        """Go by the account's own limits from now on. Call it while nothing waits."""
        if min(limits.read.refill_rate, limits.write.refill_rate, limits.read.capacity, limits.write.capacity) <= 0:
            raise UsageError(f"tier {limits.tier} allows no requests: {limits.read}, {limits.write}")
        self._limits = limits
        self._costs = {(method, _nameless(path)): cost for (method, path), cost in costs.costs.items()}
        self._default = costs.default
        self._read = _Tokens(limits.read, now_ns)
        # By shard. A write that the exchange routes is billed to all, and so to those that were not met yet.
        self._unmet = _Tokens(limits.write, now_ns)
        self._writes = {0: _Tokens(limits.write, now_ns)}

    def cost_of(self, request: Request) -> int:
        """Tokens of a request; a batch pays for each of its items."""
        return self._costs.get((request.method, _nameless(request.template)), self._default) * request.items

    def submit(self, request: Request, now_ns: int) -> Ticket:
        """Queue a request. UsageError for a batch that no full bucket could pay."""
        cost = self.cost_of(request)
        bucket = self._limits.write if request.is_write else self._limits.read
        if cost > bucket.capacity:
            most = bucket.capacity * request.items // cost
            raise UsageError(
                f"a batch of {request.items} costs {cost} tokens and tier {self._limits.tier} holds {bucket.capacity}",
                remedy=f"Send at most {most} at once",
            )
        lane = CANCELS if request.is_cancel else WRITES if request.is_write else READS
        ticket = Ticket(request, cost, lane)
        self._lanes[lane].append(ticket)
        self.next_ns = now_ns
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Forget a request that is not wanted any more; its tokens stay spent if it had them."""
        if ticket in self._lanes[ticket.lane]:
            self._lanes[ticket.lane].remove(ticket)

    def due(self, now_ns: int) -> list[Ticket]:
        """The requests that may be sent now, in this order; they have paid."""
        for bucket in (self._read, self._unmet, *self._writes.values()):
            bucket.refill(now_ns)
        sent: list[Ticket] = []
        held: set[int] = set()  # shards where an earlier request waits
        self.next_ns = None
        for lane in self._lanes:
            for ticket in list(lane):
                buckets = self._buckets(ticket)
                if held.isdisjoint(buckets) and self._pay(ticket, list(buckets.values())):
                    lane.remove(ticket)
                    sent.append(ticket)
                else:
                    held.update(buckets)
        return sent

    def overdrawn(self, request: Request, now_ns: int) -> None:
        """The exchange said 429: it counts less than we do. Its bucket is taken for empty."""
        for bucket in self._buckets(Ticket(request, 0, WRITES if request.is_write else READS)).values():
            bucket.refill(now_ns)
            bucket.level = 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._lanes))

    def _buckets(self, ticket: Ticket) -> dict[int, _Tokens]:
        """Whom a request pays, by shard; reads have a bucket of their own, at -2."""
        if ticket.lane == READS:
            return {-2: self._read}
        is_batch = ticket.request.template.endswith("/batched")  # they pay the account's own bucket, that of shard 0
        shard = 0 if is_batch else ticket.request.exchange_index
        if shard == AUTO_ROUTE:
            return {AUTO_ROUTE: self._unmet, **self._writes}
        if shard not in self._writes:
            self._writes[shard] = self._unmet.copy()
        return {shard: self._writes[shard]}

    def _pay(self, ticket: Ticket, buckets: list[_Tokens]) -> bool:
        cost = ticket.cost * SECOND
        kept = self._reserve if ticket.lane == WRITES else 0
        # A full bucket pays whatever it can hold.
        wanted = [min(cost + kept, bucket.capacity) for bucket in buckets]
        if all(bucket.level >= each for bucket, each in zip(buckets, wanted)):
            for bucket in buckets:
                bucket.level -= cost
            return True
        ready = max(bucket.ready_ns(each) for bucket, each in zip(buckets, wanted))
        self.next_ns = ready if self.next_ns is None else min(self.next_ns, ready)
        return False


def _nameless(template: str) -> str:
    """A template without the names of its parts, which the exchange writes as it likes."""
    return "/".join("{}" if part.startswith("{") else part for part in template.split("/"))
