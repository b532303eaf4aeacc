"""Bodies about the exchange itself: its state, its hours, and what an account may ask of it."""

from __future__ import annotations

from typing import Any

import msgspec

from kalshi_ray.core.units import SECOND
from kalshi_ray.errors import WireError
from kalshi_ray.wire.listing import (
    AccountLimits,
    Bucket,
    EndpointCosts,
    ExchangeStatus,
    Grant,
    Schedule,
    ShardStatus,
    Week,
)
from kalshi_ray.wire.numbers import NO_TIME, time_of, time_or_none, time_text
from kalshi_ray.wire.shapes import Shape, Unknown

Json = dict[str, Any]
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ROOT = "/trade-api/v2"


class _ShardBody(msgspec.Struct):
    exchange_index: int
    exchange_active: bool
    trading_active: bool
    intra_exchange_transfers_active: bool = False
    description: str = ""


class _StatusBody(msgspec.Struct):
    exchange_active: bool
    trading_active: bool
    intra_exchange_transfers_active: bool | None = None
    exchange_estimated_resume_time: str | None = None
    exchange_index_statuses: list[_ShardBody] | None = None


class _Hours(msgspec.Struct):
    open_time: str
    close_time: str


class _WeekBody(msgspec.Struct):
    start_time: str
    end_time: str
    monday: list[_Hours] | None = None
    tuesday: list[_Hours] | None = None
    wednesday: list[_Hours] | None = None
    thursday: list[_Hours] | None = None
    friday: list[_Hours] | None = None
    saturday: list[_Hours] | None = None
    sunday: list[_Hours] | None = None


class _Maintenance(msgspec.Struct):
    start_datetime: str
    end_datetime: str


class _Hourly(msgspec.Struct):
    standard_hours: list[_WeekBody] = []
    maintenance_windows: list[_Maintenance] | None = None


class _ScheduleBody(msgspec.Struct):
    schedule: _Hourly


class _Timestamp(msgspec.Struct):
    as_of_time: str


class _BucketBody(msgspec.Struct):
    refill_rate: int
    bucket_capacity: int


class _GrantBody(msgspec.Struct):
    level: str
    source: str
    exchange_instance: str = ""
    expires_ts: int | None = None


class _LimitsBody(msgspec.Struct):
    usage_tier: str
    read: _BucketBody
    write: _BucketBody
    grants: list[_GrantBody] | None = None


class _CostBody(msgspec.Struct):
    method: str
    path: str
    cost: int


class _CostsBody(msgspec.Struct):
    default_cost: int
    endpoint_costs: list[_CostBody] = []


_status = Shape(_StatusBody)
_schedule = Shape(_ScheduleBody)
_timestamp = Shape(_Timestamp)
_limits = Shape(_LimitsBody)
_costs = Shape(_CostsBody)


def read_status(raw: bytes, unknown: Unknown = None) -> ExchangeStatus:
    """Whether the exchange is open. Answers with status 503 carry this body too."""
    body = _status.read(raw, unknown)
    return ExchangeStatus(
        exchange_active=body.exchange_active,
        trading_active=body.trading_active,
        transfers_active=body.intra_exchange_transfers_active,
        resumes_ns=time_or_none(body.exchange_estimated_resume_time),
        shards=tuple(
            ShardStatus(
                exchange_index=one.exchange_index,
                exchange_active=one.exchange_active,
                trading_active=one.trading_active,
                transfers_active=one.intra_exchange_transfers_active,
                description=one.description,
            )
            for one in body.exchange_index_statuses or ()
        ),
    )


def write_status(status: ExchangeStatus) -> bytes:
    """Whether the exchange is open."""
    keys: Json = {"exchange_active": status.exchange_active, "trading_active": status.trading_active}
    if status.transfers_active is not None:
        keys["intra_exchange_transfers_active"] = status.transfers_active
    if status.resumes_ns:
        keys["exchange_estimated_resume_time"] = time_text(status.resumes_ns)
    if status.shards:
        keys["exchange_index_statuses"] = [
            {
                "exchange_index": one.exchange_index,
                "description": one.description,
                "exchange_active": one.exchange_active,
                "trading_active": one.trading_active,
                "intra_exchange_transfers_active": one.transfers_active,
            }
            for one in status.shards
        ]
    return msgspec.json.encode(keys)


def read_schedule(raw: bytes, unknown: Unknown = None) -> Schedule:
    """The hours of the exchange."""
    body = _schedule.read(raw, unknown).schedule
    return Schedule(
        weeks=tuple(map(_week_of, body.standard_hours)),
        maintenance=tuple(
            (time_of(one.start_datetime), time_of(one.end_datetime)) for one in body.maintenance_windows or ()
        ),
    )


def write_schedule(schedule: Schedule) -> bytes:
    """The hours of the exchange."""
    windows = [
        {"start_datetime": time_text(start), "end_datetime": time_text(end)} for start, end in schedule.maintenance
    ]
    body = {"standard_hours": [_week_keys(week) for week in schedule.weeks], "maintenance_windows": windows}
    return msgspec.json.encode({"schedule": body})


def read_user_data_timestamp(raw: bytes, unknown: Unknown = None) -> int:
    """The moment up to which reads of an account know its writes, in ns."""
    return time_of(_timestamp.read(raw, unknown).as_of_time)


def write_user_data_timestamp(time_ns: int) -> bytes:
    """The moment up to which reads of an account know its writes."""
    return msgspec.json.encode({"as_of_time": time_text(time_ns)})


def read_limits(raw: bytes, unknown: Unknown = None) -> AccountLimits:
    """What an account may ask for."""
    body = _limits.read(raw, unknown)
    return AccountLimits(
        tier=body.usage_tier,
        read=Bucket(refill_rate=body.read.refill_rate, capacity=body.read.bucket_capacity),
        write=Bucket(refill_rate=body.write.refill_rate, capacity=body.write.bucket_capacity),
        grants=tuple(
            Grant(
                level=one.level,
                source=one.source,
                instance=one.exchange_instance,
                expires_ns=None if one.expires_ts is None else one.expires_ts * SECOND,
            )
            for one in body.grants or ()
        ),
    )


def write_limits(limits: AccountLimits) -> bytes:
    """What an account may ask for."""
    grants = [
        {
            "exchange_instance": one.instance,
            "level": one.level,
            "source": one.source,
            "expires_ts": None if one.expires_ns is None else one.expires_ns // SECOND,
        }
        for one in limits.grants
    ]
    keys = {"read": _bucket_keys(limits.read), "write": _bucket_keys(limits.write)}
    return msgspec.json.encode({"usage_tier": limits.tier, **keys, "grants": grants})


def read_endpoint_costs(raw: bytes, unknown: Unknown = None) -> EndpointCosts:
    """What calls cost. `/trade-api/v2/portfolio/orders/:order_id` is our template `/portfolio/orders/{order_id}`."""
    body = _costs.read(raw, unknown)
    costs = {(one.method, _template(one.path)): one.cost for one in body.endpoint_costs}
    return EndpointCosts(default=body.default_cost, costs=costs)


def write_endpoint_costs(costs: EndpointCosts) -> bytes:
    """What calls cost."""
    items = [{"method": method, "path": _route(path), "cost": cost} for (method, path), cost in costs.costs.items()]
    return msgspec.json.encode({"default_cost": costs.default, "endpoint_costs": items})


def _week_of(body: _WeekBody) -> Week:
    days = [getattr(body, day) or () for day in DAYS]
    return Week(
        from_ns=time_of(body.start_time),
        to_ns=time_of(body.end_time),
        days=tuple(tuple((hours.open_time, hours.close_time) for hours in day) for day in days),
    )


def _week_keys(week: Week) -> Json:
    if len(week.days) != len(DAYS):
        raise WireError(f"a week of {len(week.days)} days")
    keys: Json = {
        day: [{"open_time": opens, "close_time": closes} for opens, closes in hours]
        for day, hours in zip(DAYS, week.days)
    }
    return keys | {"start_time": _time(week.from_ns), "end_time": _time(week.to_ns)}


def _bucket_keys(bucket: Bucket) -> Json:
    return {"refill_rate": bucket.refill_rate, "bucket_capacity": bucket.capacity}


def _template(route: str) -> str:
    parts = route.removeprefix(ROOT).split("/")
    return "/".join(f"{{{part[1:]}}}" if part.startswith(":") else part for part in parts)


def _route(template: str) -> str:
    parts = template.split("/")
    return ROOT + "/".join(f":{part[1:-1]}" if part.startswith("{") else part for part in parts)


def _time(time_ns: int) -> str:
    return time_text(time_ns) if time_ns else NO_TIME
