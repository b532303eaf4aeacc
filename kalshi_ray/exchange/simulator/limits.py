"""What accounts may ask for: token buckets by tier, as published (protocol.md section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import UnknownName
from kalshi_ray.exchange.simulator.accounts import Account
from kalshi_ray.exchange.throttle import PUBLISHED_COSTS
from kalshi_ray.wire.listing import AccountLimits, Bucket, EndpointCosts
from kalshi_ray.wire.refusals import TOO_MANY
from kalshi_ray.wire.trading import AUTO_ROUTE, Refused

Tier = Literal["basic", "advanced", "expert", "premier", "paragon", "prime", "prestige"]
RATES: dict[str, tuple[int, int]] = {  # tokens a second: reads, writes
    "basic": (200, 100),
    "advanced": (300, 300),
    "expert": (600, 600),
    "premier": (1_200, 1_200),
    "paragon": (2_400, 2_400),
    "prime": (4_800, 4_800),
    "prestige": (12_000, 9_600),
}
TOO_MANY_REQUESTS = Refused(status=429, code="", message=TOO_MANY)


def limits_of(tier: str) -> AccountLimits:
    """Rates and capacities of a tier: three seconds for writes above basic and for reads of the lowest two."""
    if tier not in get_args(Tier):
        raise UnknownName("tier", tier, list(get_args(Tier)))
    read, write = RATES[tier]
    read_seconds = 3 if tier in ("basic", "advanced") else 1
    write_seconds = 1 if tier == "basic" else 3
    return AccountLimits(
        tier=tier,
        read=Bucket(refill_rate=read, capacity=read_seconds * read),
        write=Bucket(refill_rate=write, capacity=write_seconds * write),
    )


class _Tokens:
    """One bucket, in tokens times nanoseconds per second, so that a refill is exact. Full at first."""

    __slots__ = ("at_ns", "capacity", "level", "rate")

    def __init__(self, bucket: Bucket, now_ns: int) -> None:
        self.rate, self.capacity, self.at_ns = bucket.refill_rate, bucket.capacity * SECOND, now_ns
        self.level = self.capacity

    def holds(self, cost: int, now_ns: int) -> bool:
        """Whether the bucket holds so many tokens by now."""
        if now_ns > self.at_ns:
            self.level = min(self.capacity, self.level + (now_ns - self.at_ns) * self.rate)
            self.at_ns = now_ns
        return self.level >= cost * SECOND


class Limits:
    """The buckets of all accounts: one for reads, and one for the writes of every shard."""

    def __init__(self, tier: str = "prestige", shards: Iterable[int] = (0,), costs: EndpointCosts = PUBLISHED_COSTS):
        self.allowed, self.costs = limits_of(tier), costs
        self._shards = sorted({0, *shards})
        self._reads: dict[Account, _Tokens] = {}
        self._writes: dict[tuple[Account, int], _Tokens] = {}

    def charge(
        self, account: Account, method: str, template: str, now_ns: int, *, items: int = 1, shard: int = AUTO_ROUTE
    ) -> Refused | None:
        """Take the tokens of a request, all or none. A write that names no shard pays every shard's bucket."""
        cost = self.costs.costs.get((method, template), self.costs.default) * items
        if method == "GET":
            buckets = [self._read_bucket(account, now_ns)]
        else:
            shards = self._shards if shard == AUTO_ROUTE else [shard]
            buckets = [self._write_bucket(account, one, now_ns) for one in shards]
        if not all(bucket.holds(cost, now_ns) for bucket in buckets):
            return TOO_MANY_REQUESTS
        for bucket in buckets:
            bucket.level -= cost * SECOND
        return None

    def _read_bucket(self, account: Account, now_ns: int) -> _Tokens:
        found = self._reads.get(account)
        if found is None:
            found = self._reads[account] = _Tokens(self.allowed.read, now_ns)
        return found

    def _write_bucket(self, account: Account, shard: int, now_ns: int) -> _Tokens:
        found = self._writes.get((account, shard))
        if found is None:
            found = self._writes[account, shard] = _Tokens(self.allowed.write, now_ns)
        return found
